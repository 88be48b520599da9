"""A Firestore emulator in a process of its own, on the loopback interface."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "tests" / "tools" / "firestore-emulator"
INSTALLED = REPOSITORY / ".make" / "firestore-emulator"
INSTALL_S = 300
STOP_S = 60


class NodeMissingError(Exception):
    """The emulator needs node, and npm to be installed; the message says which is missing."""


class FirestoreEmulator:
    """Started on entry, installed first where that was not done yet; stopped on exit.

    ``host`` is what ``FIRESTORE_EMULATOR_HOST`` wants.
    """

    host: str

    def __enter__(self) -> Self:
        node = shutil.which("node")
        if node is None:
            raise NodeMissingError("the Firestore emulator needs node, which is not on the PATH")
        _install()
        self._process = subprocess.Popen(
            [node, str(SOURCE / "launch.cjs")],
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


def _install() -> None:
    """Tests that run side by side take turns."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        _install_unless_done()


def _install_unless_done() -> None:
    lock = (SOURCE / "package-lock.json").read_bytes()
    done = INSTALLED / "installed-lock.json"
    if done.is_file() and done.read_bytes() == lock:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise NodeMissingError("the Firestore emulator needs npm, which is not on the PATH")
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(SOURCE / name, INSTALLED / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=INSTALLED, check=True, timeout=INSTALL_S)
    done.write_bytes(lock)
