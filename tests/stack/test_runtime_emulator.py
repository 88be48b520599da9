"""The API's handler under Lambda's runtime client and runtime emulator, without a container."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.contract.event_files import read_event
from tests.stack import calls, loopback
from tests.stack.conftest import MODEL_SET, Report, or_skip
from tests.stack.sam import REGION, ROOT
from tests.standins.cloudinary import CloudinaryStandIn

pytestmark = pytest.mark.stack

STOP_S = 10


@dataclass(frozen=True)
class Emulated:
    """The handler, ready to be called on ``port``; it fetches photos from ``photo_host``."""

    port: int
    photo_host: str
    cloudinary: CloudinaryStandIn
    output: Path
    runtime_api: str

    @property
    def log(self) -> list[dict[str, Any]]:
        """Every record so far."""
        return calls.records(self.output.read_text())


@pytest.fixture(scope="module")
def emulated(emulator_path: Path, photo: bytes, tmp_path_factory: Any) -> Iterator[Emulated]:
    pytest.importorskip("awslambdaric")
    output = tmp_path_factory.mktemp("emulator") / "output"
    port = loopback.free_port()
    with ExitStack() as stack:
        cloudinary = stack.enter_context(CloudinaryStandIn())
        photo_port = stack.enter_context(loopback.photo_server({calls.PATH: photo}))
        with or_skip():
            host = stack.enter_context(loopback.from_processes({80: photo_port}))
        aws = ThreadedMotoServer(loopback.LOOPBACK, port=0, verbose=False)
        aws.start()
        stack.callback(aws.stop)
        account = {
            "AWS_ENDPOINT_URL": f"http://{loopback.LOOPBACK}:{aws.get_host_and_port()[1]}",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }
        boto3.client(
            "dynamodb",
            endpoint_url=account["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        ).create_table(
            TableName="once",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "function"),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(calls.TIMEOUT_S),
            "LAMBDA_TASK_ROOT": str(ROOT / "function"),
            "POWERTOOLS_TRACE_DISABLED": "1",
            "MASK_STORE": "cloudinary",
            "CLOUDINARY_URL": cloudinary.url,
            "ALLOW_HTTP": "1",
            **account,
            "IDEMPOTENCY_TABLE": "once",
            "JOBS_TABLE": "jobs",
            "WORK_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/work",
            "PHOTO_BUCKET": "photos",
            "BATCH_MACHINE_ARN": f"arn:aws:states:{REGION}:123456789012:stateMachine:lists",
            "CALLBACK_SECRET_ARN": f"arn:aws:secretsmanager:{REGION}:123456789012:secret:a-AbCdEf",
        }
        addresses = ["--runtime-interface-emulator-address", f"{loopback.LOOPBACK}:{port}"]
        runtime_api = f"{loopback.LOOPBACK}:{loopback.free_port()}"
        addresses += ["--runtime-api-address", runtime_api]
        handler = ["-m", "awslambdaric", "tryon_masks.entrypoints.api.handler"]
        process = subprocess.Popen(
            [emulator_path, *addresses, sys.executable, *handler],
            env=environ,
            stdout=stack.enter_context(output.open("w")),
            stderr=subprocess.STDOUT,
        )
        stack.callback(process.wait, STOP_S)
        stack.callback(process.terminate)
        yield Emulated(port, host, cloudinary, output, runtime_api)


@pytest.fixture(scope="module")
def first(emulated: Emulated) -> calls.Call:
    return calls.call(emulated.port, calls.event_for("api-masks", emulated.photo_host))


@pytest.fixture(scope="module")
def second(emulated: Emulated, first: calls.Call) -> calls.Call:
    return calls.call(emulated.port, calls.event_for("api-masks", emulated.photo_host))


def test_an_api_event_becomes_masks_in_the_store(
    emulated: Emulated, first: calls.Call, photo: bytes
) -> None:
    assert first.answer.get("statusCode") == 200, emulated.output.read_text()
    # The stand-in takes no upload whose signature is wrong.
    assert len(emulated.cloudinary.uploads) == 2
    calls.check_masks(emulated.cloudinary, first.body["masks"], photo)


def test_nothing_around_the_function_can_be_fetched(
    emulated: Emulated, first: calls.Call, report: Report
) -> None:
    asked = calls.check_inside(emulated.port, f"http://{emulated.runtime_api}/2018-06-01/runtime/")
    report(f"runtime emulator: {len(asked)} addresses inside, all refused")


def test_the_answer_has_the_fields_that_clients_read(first: calls.Call) -> None:
    body = first.body
    assert body["status"] == "success"
    assert body["model_set"] == MODEL_SET
    assert body["request_id"] == read_event("api-masks")["requestContext"]["requestId"]
    assert body["timing"].keys() == {
        "setup_model_symlinks",
        "download_image",
        "generate_masks",
        "upload_masks",
    }
    assert 0 < sum(body["timing"].values()) <= body["total_time"]
    assert body["image"].keys() == {"width", "height", "sha256"}
    assert body["person"]["people_found"] == 1
    assert body["quality"].keys() == {"upper", "lower"}
    assert body["refused"] == []


def test_a_second_call_loads_nothing(
    emulated: Emulated, first: calls.Call, second: calls.Call, report: Report
) -> None:
    log = emulated.log
    (loading,) = calls.seconds_of("load_models", log)
    (init,) = calls.seconds_of("init", log)
    report(
        f"runtime emulator: init {init:.2f} s (models {loading:.2f} s), "
        f"first call {first.body['total_time']:.2f} s, second {second.body['total_time']:.2f} s"
    )
    assert second.body["masks"] == first.body["masks"]
    requests = [r for r in log if r["request_id"] != "init"]
    assert {r["step"] for r in requests}.isdisjoint({"init", "load_models", "check_models"})
    starts = [i for i, r in enumerate(requests) if r["step"] == "read_request"]
    later = requests[starts[len(starts) // 2] :]
    assert later
    assert {r["cold_start"] for r in later} == {False}
