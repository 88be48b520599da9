"""Packages from the npm registry, installed once, where no test has done so yet."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

INSTALL_S = 300


class NodeMissingError(Exception):
    """Node, or npm to install packages, is not there; the message says which."""


def node() -> str:
    """Where node is.

    Raises
    ------
    NodeMissingError
    """
    found = shutil.which("node")
    if found is None:
        raise NodeMissingError("node is not on the PATH")
    return found


def install(source: Path, target: Path) -> None:
    """Install what the lock in ``source`` names into ``target``, unless that was done.

    Tests that run side by side take turns.

    Raises
    ------
    NodeMissingError
    """
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        _install_unless_done(source, target)


def _install_unless_done(source: Path, target: Path) -> None:
    lock = (source / "package-lock.json").read_bytes()
    done = target / "installed-lock.json"
    if done.is_file() and done.read_bytes() == lock:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise NodeMissingError("npm is not on the PATH")
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(source / name, target / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=target, check=True, timeout=INSTALL_S)
    done.write_bytes(lock)
