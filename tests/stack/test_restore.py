"""What becomes of the API when it is restored from the snapshot that Lambda takes after its init.

AWS's own runtime client runs the real module on the real models, and waits between init and restore
as it does for SnapStart. Each of Lambda's copies begins with the same memory: keys that may be old
by then, the same state of every random generator, and no connection that is alive.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.contract.event_files import read_event
from tests.stack import calls
from tests.stack.sam import REGION, ROOT
from tests.standins.cloudinary import CloudinaryStandIn
from tests.standins.runtime_api import RuntimeApi

pytestmark = pytest.mark.stack

PHOTO = ROOT / "docs" / "img" / "astronaut.jpg"
STOP_S = 10
FUNCTION = """
import random, runpy, sys
from botocore.utils import ContainerMetadataFetcher
from snapshot_restore_py import register_after_restore, register_before_snapshot

def throw(when):
    print("dice", when, random.random(), flush=True)

@register_before_snapshot
def before():
    throw("before")
    register_after_restore(throw, "after")

ContainerMetadataFetcher.TIMEOUT_SECONDS = 60
random.seed(1)
sys.argv = ["awslambdaric", "tryon_masks.entrypoints.api.handler"]
runpy.run_module("awslambdaric", run_name="__main__")
"""
ESTABLISHED = "01"


class Credentials:
    """Gives AWS keys as Lambda does to a function with snapshots; each soon needs another."""

    def __init__(self) -> None:
        self.given = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.given += 1
                body = json.dumps(
                    {
                        "AccessKeyId": f"KEY{outer.given}",
                        "SecretAccessKey": "secret",
                        "Token": "token",
                        "Expiration": f"{datetime.now(UTC) + timedelta(seconds=30):%FT%TZ}",
                    }
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self.server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/credentials"

    def __enter__(self) -> Credentials:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@dataclass(frozen=True)
class Around:
    """What a function calls, and what it is told of it."""

    cloudinary: CloudinaryStandIn
    credentials: Credentials
    environ: dict[str, str]


@dataclass(frozen=True)
class Function:
    """A function whose init phase is over."""

    api: RuntimeApi
    process: subprocess.Popen[bytes]
    output: Path

    def said(self, word: str) -> list[str]:
        """The lines of its output that begin with ``word``."""
        return [line for line in self.output.read_text().splitlines() if line.startswith(word)]

    def connections(self) -> list[str]:
        """The other ends of its open TCP connections, but for the runtime's own."""
        folder = Path(f"/proc/{self.process.pid}")
        inodes = {str(one.readlink()) for one in (folder / "fd").iterdir()}
        rows = [line.split() for line in (folder / "net" / "tcp").read_text().splitlines()[1:]]
        return [
            row[2]
            for row in rows
            if f"socket:[{row[9]}]" in inodes
            and row[3] == ESTABLISHED
            and int(row[2].partition(":")[2], 16) != self.api.port
        ]


@pytest.fixture(scope="module")
def around() -> Iterator[Around]:
    with ExitStack() as stack:
        cloudinary = stack.enter_context(CloudinaryStandIn())
        credentials = stack.enter_context(Credentials())
        aws = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        aws.start()
        stack.callback(aws.stop)
        url = f"http://127.0.0.1:{aws.get_host_and_port()[1]}"
        given: dict[str, Any] = {
            "endpoint_url": url,
            "region_name": REGION,
            "aws_access_key_id": "testing",
            "aws_secret_access_key": "testing",
        }
        boto3.client("dynamodb", **given).create_table(
            TableName="answers",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        secret = boto3.client("secretsmanager", **given).create_secret(
            Name="cloudinary", SecretString=cloudinary.url
        )["ARN"]
        arn = f"arn:aws:states:{REGION}:123456789012:stateMachine:lists"
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "function"),
            "LAMBDA_TASK_ROOT": str(ROOT / "function"),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(calls.TIMEOUT_S),
            "AWS_ENDPOINT_URL": url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials.url,
            "MASK_STORE": "cloudinary",
            "CLOUDINARY_SECRET_ARN": secret,
            "IDEMPOTENCY_TABLE": "answers",
            "JOBS_TABLE": "jobs",
            "WORK_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/work",
            "PHOTO_BUCKET": "photos",
            "BATCH_MACHINE_ARN": arn,
            "CALLBACK_SECRET_ARN": secret,
        }
        yield Around(cloudinary, credentials, environ)


@contextmanager
def frozen(around: Around, folder: Path) -> Iterator[Function]:
    """A function at the moment when its snapshot is taken."""
    output = folder / "output"
    with RuntimeApi() as api, output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", FUNCTION],
            env={**around.environ, **api.environ},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            api.wait_for_snapshot()
            yield Function(api, process, output)
        finally:
            process.terminate()
            process.wait(STOP_S)


@pytest.fixture
def event() -> dict[str, Any]:
    event = read_event("api-masks")
    photo = base64.b64encode(PHOTO.read_bytes()).decode()
    event["body"] = json.dumps({"image": photo, "masks": ["upper"]})
    return event


def test_a_restored_copy_answers_with_new_keys_and_its_own_dice(
    around: Around, event: dict[str, Any], tmp_path: Path
) -> None:
    dice = []
    for place in ("one", "another"):
        (tmp_path / place).mkdir()
        with frozen(around, tmp_path / place) as function:
            # What is open now would be open in every copy, and nobody at its other end.
            assert function.connections() == []
            before = around.credentials.given
            function.api.restore()
            answer = function.api.call(event)
            assert answer["statusCode"] == 200, function.output.read_text()
            assert around.credentials.given > before
            dice.append((function.said("dice before"), function.said("dice after")))
            assert function.api.errors == []
    (before_one, after_one), (before_other, after_other) = dice
    assert before_one == before_other
    assert after_one != after_other
