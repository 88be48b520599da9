"""The image that ``sam build`` makes, run by the SAM CLI and as Lambda runs it."""

from __future__ import annotations

import copy
import json
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from tests.contract.event_files import read_event
from tests.contract.template_file import of_type
from tests.stack import calls, loopback
from tests.stack.conftest import Report, or_skip
from tests.stack.sam import REGION, Sam
from tests.standins.cloudinary import CloudinaryStandIn

pytestmark = pytest.mark.stack

MEMORY_MB = 3008
STATE = {
    "IDEMPOTENCY_TABLE": "OnceTable",
    "JOBS_TABLE": "JobsTable",
    "WORK_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/work",
    "PHOTO_BUCKET": "tryon-masks-photos",
    "BATCH_MACHINE_ARN": f"arn:aws:states:{REGION}:123456789012:stateMachine:lists",
}
AWS = {
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}
BURST = 3
SOMEBODY = "65534:65534"
BUILD_TOOLS = ("gcc", "cc", "g++", "make", "cmake", "git", "node", "npm")
BUILD_PACKAGES = ("ai_edge_litert", "onnx")


@dataclass(frozen=True)
class World:
    """What the function finds around it, and where: on loopback here, at ``host`` there."""

    host: str
    cloudinary: CloudinaryStandIn
    aws_port: int

    @property
    def cloudinary_url(self) -> str:
        return self.cloudinary.url.replace(loopback.LOOPBACK, self.host)

    @property
    def environ(self) -> dict[str, str]:
        secret = self.client("secretsmanager").create_secret(
            Name=f"callbacks-{uuid4().hex}", SecretString="key"
        )
        return {
            "CALLBACK_SECRET_ARN": secret["ARN"],
            "AWS_ENDPOINT_URL": f"http://{self.host}:{self.aws_port}",
            "ALLOW_HTTP": "1",
            **STATE,
        }

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://{loopback.LOOPBACK}:{self.aws_port}",
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def make_tables(self) -> None:
        """The template's tables under their logical names, which is what SAM calls them here."""
        # One memory serves every moto of this process.
        requests.post(f"http://{loopback.LOOPBACK}:{self.aws_port}/moto-api/reset", timeout=9)
        for name, table in of_type("AWS::DynamoDB::Table").items():
            wanted = ("KeySchema", "AttributeDefinitions", "BillingMode")
            self.client("dynamodb").create_table(
                TableName=name, **{key: table[key] for key in wanted}
            )

    @property
    def parameters(self) -> dict[str, str]:
        """The template's parameters for a stack on Cloudinary, its secret made."""
        secret = self.client("secretsmanager").create_secret(
            Name=f"cloudinary-{id(self)}", SecretString=self.cloudinary_url
        )
        return {
            "AuthMode": "IAM",
            "MaskStore": "cloudinary",
            "CloudinarySecretArn": secret["ARN"],
            "MemorySize": str(MEMORY_MB),
        }


@pytest.fixture
def world(built: Sam, photo: bytes) -> Iterator[World]:
    with ExitStack() as stack:
        cloudinary = stack.enter_context(CloudinaryStandIn())
        photo_port = stack.enter_context(loopback.photo_server({calls.PATH: photo}))
        aws = ThreadedMotoServer(loopback.LOOPBACK, port=0, verbose=False)
        aws.start()
        stack.callback(aws.stop)
        aws_port = aws.get_host_and_port()[1]
        cloudinary_port = urllib.parse.urlsplit(cloudinary.origin).port
        assert cloudinary_port is not None
        ports = {80: photo_port, aws_port: aws_port, cloudinary_port: cloudinary_port}
        with or_skip():
            host = stack.enter_context(loopback.from_containers(built.engine, ports))
        there = World(host, cloudinary, aws_port)
        there.make_tables()
        yield there


def test_an_api_event_becomes_masks(built: Sam, world: World, photo: bytes, report: Report) -> None:
    event = calls.event_for("api-masks", world.host)
    done = built.invoke(
        "ApiFunction",
        event,
        parameters=world.parameters,
        environ=world.environ,
        network=loopback.NETWORK,
    )
    assert done.answer.get("statusCode") == 200, done.stdout + done.stderr
    body = json.loads(done.answer["body"])
    assert body["status"] == "success"
    calls.check_masks(world.cloudinary, body["masks"], photo)
    report(f"sam local invoke ApiFunction: {body['total_time']:.2f} s, {body['timing']}")


def test_an_upload_becomes_masks_and_a_result(
    built: Sam, world: World, photo: bytes, report: Report
) -> None:
    event = read_event("sqs-upload")
    (message,) = event["Records"]
    (record,) = json.loads(message["body"])["Records"]
    bucket = record["s3"]["bucket"]["name"]
    key = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
    s3 = world.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=bucket, Key=key, Body=photo, Metadata={"user-id": "user-1"})
    done = built.invoke(
        "WorkerFunction",
        event,
        parameters=world.parameters,
        environ=world.environ,
        network=loopback.NETWORK,
    )
    written = {found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert written == {key, f"results/{key}.json"}, done.stderr
    result = json.loads(s3.get_object(Bucket=bucket, Key=f"results/{key}.json")["Body"].read())
    assert result["status"] == "success"
    calls.check_masks(world.cloudinary, result["masks"], photo)
    (user,) = {r["user_id"] for r in calls.records(done.stderr) if r["step"] == "upload_masks"}
    assert user == "user-1"
    report(f"sam local invoke WorkerFunction: {result['total_time']:.2f} s, {result['timing']}")


def test_a_function_without_its_store_does_not_start(built: Sam, world: World) -> None:
    done = built.invoke(
        "ApiFunction",
        read_event("api-health"),
        parameters={"AuthMode": "IAM", "MaskStore": "cloudinary"},
        environ=world.environ,
        network=loopback.NETWORK,
    )
    assert "CLOUDINARY_SECRET_ARN" in done.stderr
    assert '"ready"' not in done.stdout


@contextmanager
def as_lambda_runs_it(built: Sam, world: World) -> Iterator[tuple[int, str]]:
    """The image's API handler: the port that it is called on, and its container."""
    port = loopback.free_port()
    container = built.engine.run(
        *("run", "--detach", "--network", loopback.NETWORK),
        *("--publish", f"{loopback.LOOPBACK}:{port}:8080"),
        # Lambda's own conditions: nothing can be written but /tmp, by a user who owns nothing.
        *("--read-only", "--tmpfs", "/tmp:size=512m", "--user", SOMEBODY),
        *("--memory", f"{MEMORY_MB}m", "--memory-swap", f"{MEMORY_MB}m"),
        *("--env", "MASK_STORE=cloudinary", "--env", f"CLOUDINARY_URL={world.cloudinary_url}"),
        *("--env", "ORT_THREADS=2"),
        *(f"--env={name}={value}" for name, value in (world.environ | AWS).items()),
        *("--env", "POWERTOOLS_TRACE_DISABLED=1"),
        *("--env", f"AWS_LAMBDA_FUNCTION_TIMEOUT={calls.TIMEOUT_S}"),
        built.image,
        "tryon_masks.entrypoints.api.handler",
    ).stdout.strip()
    try:
        yield port, container
    finally:
        built.engine.run("rm", "--force", container)


def test_as_lambda_runs_it_a_second_call_loads_nothing(
    built: Sam, world: World, photo: bytes, report: Report
) -> None:
    engine = built.engine
    with as_lambda_runs_it(built, world) as (port, container):
        event = calls.event_for("api-masks", world.host)
        first, second = calls.call(port, event), calls.call(port, event)
        output = engine.run("logs", container)
        peaks = engine.run("exec", container, "sh", "-c", "grep VmHWM /proc/[0-9]*/status").stdout
    log = calls.records(output.stdout + output.stderr)
    assert first.answer.get("statusCode") == 200, output.stdout + output.stderr
    calls.check_masks(world.cloudinary, first.body["masks"], photo)
    assert second.body["masks"] == first.body["masks"]
    (loading,) = calls.seconds_of("load_models", log)
    (init,) = calls.seconds_of("init", log)
    report(
        f"image at {MEMORY_MB} MB: init {init:.2f} s (models {loading:.2f} s), "
        f"first call {first.body['total_time']:.2f} s, second {second.body['total_time']:.2f} s, "
        f"peak {max(int(line.split()[1]) for line in peaks.splitlines()) / 1024:.0f} MB"
    )


def test_nothing_around_the_function_can_be_fetched(
    built: Sam, world: World, report: Report
) -> None:
    engine = built.engine
    with as_lambda_runs_it(built, world) as (port, container):
        asked = calls.check_inside(port)
        output = engine.run("logs", container)
        user = engine.run("exec", container, "id", "-u").stdout.strip()
        tried = engine.run(
            "exec", container, "sh", "-c", "touch /var/task/x || touch /opt/x", check=False
        )
    assert "SECRET" not in output.stdout + output.stderr
    assert (user, tried.returncode != 0) == (SOMEBODY.partition(":")[0], True)
    report(f"image as user {user}, read-only: {len(asked)} addresses inside, all refused")


def test_a_burst_is_served_by_containers_side_by_side(
    built: Sam, world: World, report: Report
) -> None:
    event = calls.event_for("api-masks", world.host)
    users = [_by(event, f"burst-{number}") for number in range(BURST)]
    with ExitStack() as stack, ThreadPoolExecutor(BURST) as pool:
        ports = [stack.enter_context(as_lambda_runs_it(built, world))[0] for _ in users]
        # The emulator would count each start as part of the first call.
        for port in ports:
            assert calls.call(port, read_event("api-health")).answer["statusCode"] == 200
        several = list(pool.map(calls.call, ports, users))
        stored = set(world.cloudinary.uploads)
        one = list(pool.map(calls.call, ports, [_by(event, "one")] * BURST))
    assert [call.answer["statusCode"] for call in several] == [200] * BURST
    assert len({call.body["masks"]["upper"] for call in several}) == BURST
    assert len(stored) == 2 * BURST
    # Of one user's calls for the same, one works; the others are told so, or get its answer.
    made = [call.body["masks"] for call in one if call.answer["statusCode"] == 200]
    assert {call.answer["statusCode"] for call in one} <= {200, 409}
    assert made
    assert made == [made[0]] * len(made)
    assert len(set(world.cloudinary.uploads) - stored) == 2
    slowest = max(call.seconds for call in several)
    report(f"burst of {BURST}, one container each: all served, the slowest in {slowest:.2f} s")


def _by(event: dict[str, Any], user: str) -> dict[str, Any]:
    """The event as another user's."""
    event = copy.deepcopy(event)
    event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = user
    return event


def test_the_image_has_no_build_tools(built: Sam) -> None:
    script = "\n".join(
        [
            *(f"command -v {tool} && exit 1" for tool in BUILD_TOOLS),
            "exec python3 - <<'EOF'",
            "import sys",
            "from importlib.util import find_spec",
            f"sys.exit(any(map(find_spec, {BUILD_PACKAGES!r})))",
            "EOF",
        ]
    )
    done = built.engine.run(
        "run", "--rm", "--entrypoint", "sh", built.image, "-c", script, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_image_keeps_the_inference_engine_quiet(built: Sam) -> None:
    shown = built.engine.run("image", "inspect", "--format", "{{json .Config.Env}}", built.image)
    assert "ORT_DISABLE_TELEMETRY=1" in json.loads(shown.stdout)
