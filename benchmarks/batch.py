"""``tryon-masks batch`` over many photos: one process and several, and killed and run again."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.making import positive
from benchmarks.speed import demo_photo, resized

SIZE = (768, 1024)
"""Width and height in pixels of every photo."""


def listed(folder: Path, number: int) -> Path:
    """A list of ``number`` photos in ``folder``, each with an id of its own."""
    photo = resized(demo_photo(), SIZE)
    lines = []
    for place in range(number):
        (folder / f"{place}.jpg").write_bytes(photo)
        lines.append(json.dumps({"photo": f"{place}.jpg"}))
    path = folder / "list.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def command(path: Path, jobs: int) -> list[str]:
    """The command line over the list ``path``."""
    program = [sys.executable, "-c", "import sys; from tryon_masks.entrypoints.cli import main; "]
    program[-1] += "sys.exit(main())"
    return [*program, "batch", str(path), "--jobs", str(jobs), "--out", str(path.parent / "masks")]


def forget(path: Path) -> None:
    """Let the list be as if nothing of it had been done."""
    path.with_suffix(".results.jsonl").unlink(missing_ok=True)
    shutil.rmtree(path.parent / "masks", ignore_errors=True)


def done(path: Path) -> int:
    """How many answers there are."""
    results = path.with_suffix(".results.jsonl")
    return results.read_bytes().count(b"\n") if results.exists() else 0


@dataclass(frozen=True)
class Timed:
    """One run of the whole command, its start included: seconds, and those of the processors."""

    jobs: int
    seconds: float
    cpu_seconds: float


def timed(path: Path, jobs: int) -> Timed:
    """Run the command.

    Raises
    ------
    CalledProcessError
        Not every photo's masks were made.
    """
    started, cpu = time.perf_counter(), _cpu_of_children()
    subprocess.run(command(path, jobs), stdout=subprocess.DEVNULL, check=True)
    return Timed(jobs, time.perf_counter() - started, _cpu_of_children() - cpu)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def as_text(runs: Sequence[Timed], photos: int) -> str:
    """A table: where more processes make no more photos a second, the machine is busy."""
    lines = [
        "| processes | s | photos a second | as the first | CPU s a photo |",
        "|--:|--:|--:|--:|--:|",
    ]
    for one in runs:
        rate, ratio = photos / one.seconds, runs[0].seconds / one.seconds
        cpu = one.cpu_seconds / photos
        lines.append(f"| {one.jobs} | {one.seconds:.1f} | {rate:.1f} | {ratio:.2f} | {cpu:.3f} |")
    return "\n".join(lines)


def killed_halfway(path: Path, jobs: int, number: int) -> dict[str, int]:
    """Kill the command with all its processes when half is done; what the next one says it did."""
    process = subprocess.Popen(
        command(path, jobs), stdout=subprocess.DEVNULL, start_new_session=True
    )
    while done(path) < number // 2 and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = subprocess.run(command(path, jobs), stdout=subprocess.PIPE, text=True, check=True)
    counts: dict[str, int] = json.loads(again.stdout)
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: what was measured, as lines of text."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--photos", type=positive, default=100, metavar="N")
    parser.add_argument("--jobs", type=positive, nargs="+", default=[1, 2], metavar="N")
    args = parser.parse_args(argv)
    with TemporaryDirectory() as folder:
        path = listed(Path(folder), args.photos)
        runs = []
        for jobs in args.jobs:
            forget(path)
            runs.append(timed(path, jobs))
            print(f"{args.photos} photos, {jobs} process(es) ...", file=sys.stderr, flush=True)
        print(as_text(runs, args.photos))
        print(f"One-minute load now: {os.getloadavg()[0]:.2f}.", flush=True)
        forget(path)
        counts = killed_halfway(path, args.jobs[-1], args.photos)
        print(f"killed and run again: {counts}, {done(path)} answers in the file")
    return 0


if __name__ == "__main__":
    sys.exit(main())
