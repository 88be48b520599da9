"""AWS's services on loopback: an emulator in an environment of its own, ``.ministack``.

It asks for signatures and enforces the roles' policies, as AWS does, and runs functions as
containers of the engine. It is stopped by its process id, and its containers go with it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config
from tests.stack import loopback
from tests.stack.engine import Engine, PartMissingError
from tests.stack.sam import REGION, ROOT

PYTHON = ROOT / ".ministack" / "bin" / "python"
START_S = 60
STOP_S = 60
ROOT_USER = ("testing", "testing")
"""Key and secret of who may do everything."""
ACCOUNT = "123456789012"
WARM_S = 900
"""How long a container stays without work: for as long as any test waits."""


@dataclass(frozen=True)
class LocalAws:
    """The services, all of them at ``port``."""

    port: int
    log: Path

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{loopback.LOOPBACK}:{self.port}"

    def client(self, service: str, key: str = ROOT_USER[0], secret: str = ROOT_USER[1]) -> Any:
        """A client of ``service``, of who may do everything if nobody else is named."""
        return boto3.client(
            service,
            endpoint_url=self.origin,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            # A function may take its time, and is not to be called twice.
            config=Config(read_timeout=120, retries={"total_max_attempts": 1}),
        )

    def secret(self, name: str, value: str) -> str:
        """The ARN of a new secret."""
        made = self.client("secretsmanager").create_secret(Name=name, SecretString=value)
        arn: str = made["ARN"]
        return arn


@contextmanager
def local_aws(engine: Engine, port: int, folder: Path) -> Iterator[LocalAws]:
    """The services while the block runs.

    Parameters
    ----------
    port
        Of loopback, on which they listen.
    folder
        Where they may write.

    Raises
    ------
    PartMissingError
    """
    if not PYTHON.exists():
        raise PartMissingError("the local AWS is not installed (make aws)")
    there = LocalAws(port, folder / "ministack.log")
    with there.log.open("w") as log:
        process = subprocess.Popen(
            [PYTHON, "-m", "ministack"],
            cwd=folder,
            env=_environ(engine, port, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(there, process)
        yield there
    finally:
        process.terminate()
        process.wait(STOP_S)


def _environ(engine: Engine, port: int, folder: Path) -> dict[str, str]:
    key, secret = ROOT_USER
    inherited = {k: v for k, v in engine.environ.items() if not k.startswith("AWS_")}
    return {
        **inherited,
        "TMPDIR": str(folder),
        "BIND_HOST": loopback.LOOPBACK,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "LAMBDA_EXECUTOR": "docker",
        "LAMBDA_DOCKER_NETWORK": loopback.NETWORK,
        "LAMBDA_WARM_TTL_SECONDS": str(WARM_S),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _wait_for(there: LocalAws, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            requests.get(f"{there.origin}/_ministack/health", timeout=5).raise_for_status()
        except requests.ConnectionError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = there.log.read_text()[-3000:]
                raise RuntimeError(f"the local AWS did not start:\n{said}") from error
            time.sleep(0.2)
        else:
            return
