"""One photo under the memory and processors of each size of function: as root, on Linux.

Lambda's own machines, its start from a snapshot and its network are not in it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.making import open_service, positive
from benchmarks.speed import (
    MB_PER_VCPU,
    PRICE_LIST,
    PRICE_PER_GB_SECOND,
    PRICE_PER_REQUEST,
    TOTAL,
    demo_photo,
    resized,
    serve,
    serve_often,
)

SIZES_MB = (1024, 1769, 2048, 3008, 4096, 5307)
PHOTOS = ((768, 1024), (4000, 6000))
PERIOD_US = 100_000
GROUPS = Path("/sys/fs/cgroup")
NAME = "tryon-masks-benchmark"


class CannotLimit(Exception):
    """On this machine, or for this user, there are no control groups to bound a process with."""


@dataclass(frozen=True)
class Row:
    """One size of function and one photo; ``seconds`` is None where the process was killed."""

    memory_mb: int
    vcpus: float
    width: int
    height: int
    seconds: float | None

    @property
    def gb_seconds(self) -> float | None:
        """What is billed of one photo."""
        return None if self.seconds is None else self.seconds * self.memory_mb / 1024

    @property
    def price(self) -> float | None:
        """Return the price of one photo in dollars."""
        billed = self.gb_seconds
        return None if billed is None else billed * PRICE_PER_GB_SECOND + PRICE_PER_REQUEST


@contextmanager
def limited(memory_mb: int, vcpus: float) -> Iterator[list[Path]]:
    """A control group with so much memory and processor; the files that processes are put in by.

    Raises
    ------
    CannotLimit
    """
    quota, memory = round(vcpus * PERIOD_US), memory_mb * 2**20
    if (GROUPS / "cgroup.controllers").exists():
        folders = [GROUPS / NAME]
        limits = {"cpu.max": f"{quota} {PERIOD_US}", "memory.max": memory, "memory.swap.max": 0}
        places = dict.fromkeys(limits, folders[0])
    else:
        cpu, memory_group = GROUPS / "cpu" / NAME, GROUPS / "memory" / NAME
        folders = [cpu, memory_group]
        limits = {
            "cpu.cfs_period_us": PERIOD_US,
            "cpu.cfs_quota_us": quota,
            "memory.limit_in_bytes": memory,
        }
        places = {name: cpu if name.startswith("cpu") else memory_group for name in limits}
    made = []
    try:
        try:
            for folder in folders:
                folder.mkdir()
                made.append(folder)
            for name, value in limits.items():
                (places[name] / name).write_text(str(value))
        except OSError as error:
            raise CannotLimit(f"no limits can be set here: {error}") from error
        yield [folder / "cgroup.procs" for folder in folders]
    finally:
        for folder in made:
            folder.rmdir()


def measure(photo: Path, memory_mb: int, runs: int) -> float | None:
    """Median seconds of a warm request in a process of this size; None where it was killed.

    Raises
    ------
    CannotLimit
    """
    vcpus = memory_mb / MB_PER_VCPU
    threads = max(1, math.ceil(vcpus))
    with limited(memory_mb, vcpus) as groups:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.memory", "--inside", str(photo)),
                *("--threads", str(threads), "--runs", str(runs)),
                *(f"--group={group}" for group in groups),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
    if done.returncode < 0:
        return None
    done.check_returncode()
    return float(done.stdout.splitlines()[-1])


def inside(photo: Path, threads: int, runs: int, groups: Sequence[str]) -> float:
    """What the bounded process does: the median of its warm requests."""
    for group in groups:
        Path(group).write_text(str(os.getpid()))
    data = photo.read_bytes()
    with TemporaryDirectory() as folder:
        service = open_service(Path(folder), threads)
        serve(service, data)
        return float(np.median(serve_often(service, data, runs)[TOTAL]))


def as_text(rows: Sequence[Row]) -> str:
    """A table for docs/quality.md."""
    lines = ["| memory, MB | vCPU | photo | s | GB-s | $ a photo |", "|--:|--:|---|--:|--:|--:|"]
    for row in rows:
        measured = "killed | | "
        if row.seconds is not None and row.gb_seconds is not None and row.price is not None:
            measured = f"{row.seconds:.2f} | {row.gb_seconds:.1f} | {row.price:.6f}"
        size = f"{row.width} x {row.height}"
        lines.append(f"| {row.memory_mb} | {row.vcpus:.2f} | {size} | {measured} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: the table, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--memory", type=positive, nargs="+", default=SIZES_MB, metavar="MB")
    parser.add_argument("--runs", type=positive, default=3, metavar="N")
    parser.add_argument("--threads", type=positive, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--group", action="append", default=[], help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.inside is not None:
        print(inside(args.inside, args.threads, args.runs, args.group))
        return 0
    cores = len(os.sched_getaffinity(0))
    rows = []
    with TemporaryDirectory() as folder:
        for width, height in PHOTOS:
            photo = Path(folder) / f"{width}.jpg"
            photo.write_bytes(resized(demo_photo(), (width, height)))
            for memory_mb in args.memory:
                vcpus = memory_mb / MB_PER_VCPU
                if vcpus > cores:
                    print(f"{memory_mb} MB not measured: {cores} cores here", file=sys.stderr)
                    continue
                try:
                    seconds = measure(photo, memory_mb, args.runs)
                except CannotLimit as error:
                    parser.error(str(error))
                rows.append(Row(memory_mb, vcpus, width, height, seconds))
    print(as_text(rows))
    print(f"\nPrices: {PRICE_LIST}. One-minute load now: {os.getloadavg()[0]:.2f}.")
    print(f"\n{json.dumps([asdict(row) for row in rows])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
