"""A Firestore emulator in a process of its own, on the loopback interface."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.standins.npm import install, node

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "tests" / "tools" / "firestore-emulator"
INSTALLED = REPOSITORY / ".make" / "firestore-emulator"
STOP_S = 60


class FirestoreEmulator:
    """Started on entry, installed first where that was not done yet; stopped on exit.

    ``host`` is what ``FIRESTORE_EMULATOR_HOST`` wants.
    """

    host: str

    def __enter__(self) -> Self:
        command = [node(), str(SOURCE / "launch.cjs")]
        install(SOURCE, INSTALLED)
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "NODE_PATH": str(INSTALLED / "node_modules")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.host = self._process.stdout.readline().strip()
        if not self.host:
            self.stop()
            raise RuntimeError("The Firestore emulator did not start; its own words are above.")
        return self

    def stop(self) -> None:
        """End the process; a second call is harmless."""
        self._process.terminate()
        self._process.communicate(timeout=STOP_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self.stop()


def service_account() -> str:
    """A service account's key as JSON; nobody's, but the emulator takes every caller."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "client_email": "masks@demo-tryon.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps(account)
