"""A container engine for the stack tests: the machine's own, or a private one for the run.

A private engine keeps its images in the user's cache folder, so that a second run is quick, and
everything else in a temporary folder. It listens on a unix socket only and is stopped by its
process id. What it does to the machine's network is undone.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S = 60
STOP_S = 60
TABLES = ("nat", "filter")
BRIDGE = Path("/sys/class/net/docker0")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


class PartMissingError(Exception):
    """A part of the stack is not on this machine; the message says which."""


@dataclass(frozen=True)
class Engine:
    """A reachable engine.

    ``private``: started by us, so nobody else's images or networks are in it.
    """

    host: str
    private: bool

    @property
    def environ(self) -> dict[str, str]:
        """The environment for every client of this engine."""
        return {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "1"}

    def run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``docker`` with ``arguments``; output is captured as text."""
        done = subprocess.run(
            [_client(), *map(str, arguments)],
            env=self.environ,
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            raise RuntimeError(f"docker {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done


@contextmanager
def engine() -> Iterator[Engine]:
    """The engine that ``docker`` reaches already, else a private one while the block runs.

    Raises
    ------
    PartMissingError
        No engine is reachable and none can be started here.
    """
    check()
    found = _reachable()
    if found is not None:
        yield found
        return
    with _network_restored(), _private_engine() as started:
        yield started


def check() -> bool:
    """Make sure that there is an engine, or that a private one can be started: then True.

    Raises
    ------
    PartMissingError
    """
    if _reachable() is not None:
        return False
    if os.geteuid() != 0:
        raise PartMissingError("no container engine is reachable, and only root can start one")
    for tool in ("dockerd", "iptables"):
        if shutil.which(tool) is None:
            raise PartMissingError(f"no container engine is reachable, and there is no {tool}")
    return True


def cache_folder() -> Path:
    """Where the stack tests keep what is slow to make."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tryon-masks" / "stack"


def _client() -> str:
    # A standalone docker client has no BuildKit without its buildx plugin; the distribution's has.
    for candidate in ("/usr/bin/docker", shutil.which("docker")):
        if candidate and Path(candidate).exists():
            return candidate
    raise PartMissingError("docker is not installed")


def _reachable() -> Engine | None:
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    there = Engine(host, private=False)
    return there if there.run("version", check=False).returncode == 0 else None


@contextmanager
def _private_engine() -> Iterator[Engine]:
    images = cache_folder() / "docker"
    images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tryon-masks-engine-") as name:
        folder = Path(name)
        host = f"unix://{folder / 'docker.sock'}"
        with (folder / "dockerd.log").open("w") as log:
            process = subprocess.Popen(
                [
                    "dockerd",
                    *("--data-root", images),
                    *("--exec-root", folder / "exec"),
                    *("--pidfile", folder / "pid"),
                    *("--host", host),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield _wait_for(Engine(host, private=True), process, folder / "dockerd.log")
        finally:
            process.terminate()
            process.wait(STOP_S)


@contextmanager
def _network_restored() -> Iterator[None]:
    """Take away what the engine adds to the network and leaves: its bridge, and rules about it."""
    bridged = BRIDGE.exists()
    forwarding = FORWARDING.read_text()
    before = {table: _rules(table) for table in TABLES}
    try:
        yield
    finally:
        for table in TABLES:
            left = [rule for rule in _rules(table) if rule not in before[table]]
            # Rules first: a chain that one of them leads to cannot be deleted.
            for rule in left:
                kind, *rest = shlex.split(rule)
                if kind == "-A":
                    _iptables(table, "-D", *rest)
            for rule in left:
                kind, chain, *_ = shlex.split(rule)
                if kind == "-N":
                    _iptables(table, "-X", chain)
            for rule in before[table]:
                kind, *rest = shlex.split(rule)
                if kind == "-P":
                    _iptables(table, "-P", *rest)
        FORWARDING.write_text(forwarding)
        if not bridged and BRIDGE.exists():
            subprocess.run(["ip", "link", "delete", BRIDGE.name], check=True)


def _rules(table: str) -> list[str]:
    return _iptables(table, "-S").splitlines()


def _iptables(table: str, *arguments: str) -> str:
    command = ["iptables", "--wait", "--table", table, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _wait_for(started: Engine, process: subprocess.Popen[bytes], log: Path) -> Engine:
    deadline = time.monotonic() + START_S
    while started.run("version", check=False).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"dockerd did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)
    return started


if __name__ == "__main__":
    with engine() as running:
        command = sys.argv[1:] or [os.environ.get("SHELL", "/bin/sh")]
        sys.exit(subprocess.run(command, env=running.environ).returncode)
