"""Decodes files in a process of its own, so that a crash is a finding and memory can be told.

Run as a program it is that process: it reads files from stdin and answers a line for each.
"""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tryon_masks.domain.errors import BadRequest
from tryon_masks.images import Limits, decode

IMAGE = "image"
CPU_LIMIT_S = 120
"""Where the kernel ends a decoder that would go on for ever."""

ADDRESS_SPACE = 6 << 30
"""Bytes: keeps the machine alive. What a photo may really take is the test's to say."""

_LENGTH = struct.Struct(">Q")
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Outcome:
    """``what``: image, an error's name with a ``!`` where it is none of ours, or how it died.

    ``cpu_s``: seconds of processor time over all threads. ``memory_mb``: most memory above what the
    process had before its first file, the file itself included.
    """

    name: str
    what: str
    cpu_s: float
    memory_mb: float

    @property
    def crashed(self) -> bool:
        return "!" in self.what


@dataclass
class Decoder:
    """The process, started again when it dies."""

    tried: list[Outcome] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def _start(self) -> None:
        paths = {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
        program = [sys.executable, "-m", "tests.unit.decoding"]
        self._process = subprocess.Popen(
            program, env=paths, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def decode(self, name: str, data: bytes) -> Outcome:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(_LENGTH.pack(len(data)) + data)
        self._process.stdin.flush()
        if line := self._process.stdout.readline():
            outcome = Outcome(name, **json.loads(line))
        else:
            self._process.communicate()
            died = f"died! {self._process.returncode}"
            outcome = Outcome(name, died, CPU_LIMIT_S, 0)
            self._start()
        self.tried.append(outcome)
        return outcome

    def figures(self) -> str:
        """One line about everything tried so far."""
        slowest = max(self.tried, key=lambda outcome: outcome.cpu_s)
        largest = max(self.tried, key=lambda outcome: outcome.memory_mb)
        images = sum(outcome.what == IMAGE for outcome in self.tried)
        crashes = sum(outcome.crashed for outcome in self.tried)
        return (
            f"files: {len(self.tried)} tried, {images} images, {crashes} crashes; "
            f"longest {slowest.cpu_s:.2f} s ({slowest.name}), "
            f"highest {largest.memory_mb:.0f} MB ({largest.name})"
        )


def _memory_mb(line: str) -> float:
    (found,) = (row for row in _STATUS.read_text().splitlines() if row.startswith(line))
    return int(found.split()[1]) / 1024


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _serve() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    limits = Limits()
    idle = _memory_mb("VmRSS")
    while head := sys.stdin.buffer.read(_LENGTH.size):
        data = sys.stdin.buffer.read(*_LENGTH.unpack(head))
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far
        started = _cpu_s()
        soft = int(started) + CPU_LIMIT_S
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
        try:
            decode(data, limits)
            what = IMAGE
        except BadRequest as error:
            what = type(error).__name__
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            what = f"{type(error).__name__}! {error}"
        spent, memory = _cpu_s() - started, _memory_mb("VmHWM") - idle
        print(json.dumps({"what": what, "cpu_s": spent, "memory_mb": memory}), flush=True)


if __name__ == "__main__":
    _serve()
