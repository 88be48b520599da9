"""Time, memory and price of one photo: ``make bench``, or ``python -m benchmarks.speed``."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

import numpy as np
from PIL import Image, ImageOps

from benchmarks.making import open_service, positive, request
from tryon_masks.domain.errors import StartError
from tryon_masks.service import MaskOptions, MaskService

P = ParamSpec("P")
T = TypeVar("T")

INFERENCE_STEPS = {
    "compact": ("parse_garments",),
    "dwpose-schp": ("parse_atr", "parse_lip"),
    "dwpose-schp-int8": ("parse_atr", "parse_lip"),
}
BEFORE = ("decode_image", "detect_people", "estimate_poses")
AFTER = ("compose_parts", "shape_mask", "encode_masks", "upload_masks")
"""Steps of a request, as the service logs them, about those of each model set. ``shape_mask`` is
both masks together."""
TOTAL = "whole request"
CPU = "CPU time, all threads"
RUNS = 10

DEMO_PHOTO = "pexels-anete-lusina-4793290.jpg"
JPEG_QUALITY = 92
SIZES = ((768, 1024), (4000, 6000))
"""Width and height in pixels."""

PRICE_PER_GB_SECOND = 0.0000166667
PRICE_PER_REQUEST = 0.0000002
PRICE_LIST = "US dollars, on demand, x86_64, US East (N. Virginia), first tier, list of 2024"
"""AWS Lambda's two prices; a photo is one request."""
MB_PER_VCPU = 1769
"""The memory at which a Lambda function has one vCPU; its CPU share grows in proportion."""
MEMORY_SIZES_MB = (1769, 3008, 3538)


@dataclass(frozen=True)
class Measured:
    """One fresh process that served the same photo again and again.

    ``stages``: seconds of every warm run, by step. ``loaded_mb`` and ``peak_mb``: the most memory
    that the process ever held (2**20 bytes), once the models were loaded and at the end. ``load``:
    the machine's one-minute load average before and after.
    """

    width: int
    height: int
    photo_bytes: int
    threads: int
    runs: int
    start_s: float
    first_s: float
    stages: dict[str, list[float]]
    loaded_mb: float
    peak_mb: float
    load: tuple[float, float]


@dataclass(frozen=True)
class Cost:
    """What a warm request costs at one memory size.

    ``billed_s``: the median, stretched where the function has fewer vCPUs than the measurement had
    cores, rounded up to a millisecond. ``price``: of one photo, in dollars. ``fits``: the peak
    memory is less than ``memory_mb``.
    """

    memory_mb: int
    threads: int
    billed_s: float
    gb_seconds: float
    price: float
    fits: bool


def resized(source: Path, size: tuple[int, int]) -> bytes:
    """A JPEG of the photo, cut to the aspect of ``size`` (width, height) about its middle."""
    file = BytesIO()
    with Image.open(source) as photo:
        fitted = ImageOps.fit(photo, size, Image.Resampling.LANCZOS)
        fitted.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def measure(photo: bytes, size: tuple[int, int], threads: int, runs: int) -> Measured:
    """Start the service on ``threads`` cores and time ``runs`` requests after a first one.

    To be called in a fresh process: the peak memory is the process's own.

    Raises
    ------
    StartError
    RuntimeError
        The machine has fewer cores, or the request did not make all masks.
    """
    _hold_to_cores(threads)
    load_before = os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        start_s, service = _timed(lambda: open_service(Path(folder), threads))
        loaded_mb = peak_mb()
        first_s, _ = _timed(lambda: serve(service, photo))
        stages = serve_often(service, photo, runs)
    return Measured(
        width=size[0],
        height=size[1],
        photo_bytes=len(photo),
        threads=threads,
        runs=runs,
        start_s=start_s,
        first_s=first_s,
        stages=stages,
        loaded_mb=loaded_mb,
        peak_mb=peak_mb(),
        load=(load_before, os.getloadavg()[0]),
    )


def _hold_to_cores(number: int) -> None:
    """Keep the process, OpenCV's and every other library's threads included, to so many cores."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < number:
        raise RuntimeError(f"{number} threads asked for, but there are {len(cores)} cores")
    os.sched_setaffinity(0, cores[-number:])


def _timed(what: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = what()
    return time.perf_counter() - started, result


def serve(service: MaskService, photo: bytes) -> dict[str, float]:
    """Seconds by step of one request that makes both masks.

    Raises
    ------
    RuntimeError
        A mask was refused: that is quicker, and no measurement.
    """
    cpu_before = time.process_time()
    seconds, (result, log) = _timed(lambda: request(service, photo, "bench", MaskOptions()))
    cpu = time.process_time() - cpu_before
    if result.status != "success":
        raise RuntimeError(f"the photo is no good for a benchmark: {result.refused}")
    stages = (*BEFORE, *INFERENCE_STEPS[service.vision.model_set], *AFTER)
    return {**{stage: log.timings[stage] for stage in stages}, TOTAL: seconds, CPU: cpu}


def serve_often(service: MaskService, photo: bytes, runs: int) -> dict[str, list[float]]:
    """Seconds of ``runs`` requests, by step."""
    times = [serve(service, photo) for _ in range(runs)]
    return {stage: [one[stage] for one in times] for stage in times[0]}


def peak_mb() -> float:
    """Most memory that this process has held; ``ru_maxrss`` would count its parent's too."""
    (line,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) / 1024


def median_and_p95(seconds: Sequence[float]) -> tuple[float, float]:
    """The two numbers that every stage is quoted by."""
    return float(np.median(seconds)), float(np.percentile(seconds, 95))


def cost(measured: Measured, memory_mb: int) -> Cost:
    """What the measured request costs at ``memory_mb``."""
    median, _ = median_and_p95(measured.stages[TOTAL])
    stretch = max(1.0, measured.threads * MB_PER_VCPU / memory_mb)
    billed_s = math.ceil(round(median * stretch * 1000, 6)) / 1000
    gb_seconds = billed_s * memory_mb / 1024
    return Cost(
        memory_mb=memory_mb,
        threads=measured.threads,
        billed_s=billed_s,
        gb_seconds=gb_seconds,
        price=gb_seconds * PRICE_PER_GB_SECOND + PRICE_PER_REQUEST,
        fits=measured.peak_mb < memory_mb,
    )


def as_text(found: Sequence[Measured], memory_sizes: Sequence[int], machine: str) -> str:
    """Everything as Markdown."""
    return "\n\n".join(
        (machine, _stage_table(found), _memory_table(found), _cost_table(found, memory_sizes))
    )


def _stage_table(found: Sequence[Measured]) -> str:
    rows = [
        _row("median / p95, s", *(_name(one) for one in found)),
        _row("---", *("--:" for _ in found)),
    ]
    for stage in found[0].stages:
        cells = (median_and_p95(one.stages[stage]) for one in found)
        rows.append(_row(stage, *(f"{median:.3f} / {p95:.3f}" for median, p95 in cells)))
    rows.append(_row("warm runs", *(str(one.runs) for one in found)))
    return "\n".join(rows)


def _memory_table(found: Sequence[Measured]) -> str:
    rows = [
        _row("one process", *(_name(one) for one in found)),
        _row("---", *("--:" for _ in found)),
        _row("start, models loaded and warm, s", *(f"{one.start_s:.2f}" for one in found)),
        _row("first request, s", *(f"{one.first_s:.2f}" for one in found)),
        _row("peak memory at the start, MB", *(f"{one.loaded_mb:.0f}" for one in found)),
        _row("peak memory, MB", *(f"{one.peak_mb:.0f}" for one in found)),
        _row("load average before, after", *("{:.2f}, {:.2f}".format(*one.load) for one in found)),
    ]
    return "\n".join(rows)


def _cost_table(found: Sequence[Measured], memory_sizes: Sequence[int]) -> str:
    rows = [
        _row("Lambda memory, MB", "vCPU", "photo", "billed s", "GB-s", "$ a photo", "fits"),
        _row("--:", "--:", "---", "--:", "--:", "--:", "---"),
    ]
    for memory in memory_sizes:
        for one in found:
            if one.threads != _threads_at(memory, found):
                continue
            price = cost(one, memory)
            rows.append(
                _row(
                    f"{memory:,}",
                    f"{memory / MB_PER_VCPU:.2f}",
                    _name(one),
                    f"{price.billed_s:.3f}",
                    f"{price.gb_seconds:.2f}",
                    f"{price.price:.6f}",
                    "yes" if price.fits else f"no: needs {one.peak_mb:.0f} MB",
                )
            )
    rows += ["", f"Prices: {PRICE_LIST}. {MB_PER_VCPU:,} MB is one vCPU."]
    return "\n".join(rows)


def _threads_at(memory_mb: int, found: Sequence[Measured]) -> int:
    """As many as the memory buys vCPUs, rounded up, of those that were measured."""
    wanted = math.ceil(memory_mb / MB_PER_VCPU)
    counts = {one.threads for one in found}
    return max((count for count in counts if count <= wanted), default=min(counts))


def _name(one: Measured) -> str:
    threads = "1 thread" if one.threads == 1 else f"{one.threads} threads"
    return f"{one.width} x {one.height}, {threads}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def as_json(found: Sequence[Measured], memory_sizes: Sequence[int], machine: str) -> dict[str, Any]:
    """Everything, every run included, as JSON values."""
    return {
        "machine": machine,
        "measured": [
            {
                **asdict(one),
                "median_and_p95_s": {
                    name: median_and_p95(runs) for name, runs in one.stages.items()
                },
                "costs": [
                    asdict(cost(one, memory))
                    for memory in memory_sizes
                    if one.threads == _threads_at(memory, found)
                ],
            }
            for one in found
        ],
        "prices": {
            "gb_second": PRICE_PER_GB_SECOND,
            "request": PRICE_PER_REQUEST,
            "list": PRICE_LIST,
        },
    }


def compare(found: Sequence[Measured], other: dict[str, Any], name: str) -> str:
    """A table of this model set beside another, ``name``, whose JSON is ``other``."""
    rows = [
        _row(f"this set / {name}", "whole request, s", "ratio", "peak memory, MB", "ratio"),
        _row("---", "--:", "--:", "--:", "--:"),
    ]
    for one, that in zip(found, other["measured"], strict=True):
        here, there = (float(np.median(m[TOTAL])) for m in (one.stages, that["stages"]))
        rows.append(
            _row(
                _name(one),
                f"{here:.3f} / {there:.3f}",
                f"{here / there:.3f}",
                f"{one.peak_mb:.0f} / {that['peak_mb']:.0f}",
                f"{one.peak_mb / that['peak_mb']:.2f}",
            )
        )
    return "\n".join(rows)


def _of_another_set(name: str, runs: int, threads: Sequence[int]) -> dict[str, Any]:
    """What this command says of another model set, which is built."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.speed", "--runs", str(runs)),
            *("--threads", ",".join(map(str, threads))),
        ],
        env={**os.environ, "MODEL_SET": name},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _machine() -> str:
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (
        f"{(models or [platform.machine()])[0]}, {len(os.sched_getaffinity(0))} cores, "
        f"{platform.system()}, Python {platform.python_version()}"
    )


def demo_photo() -> Path:
    """The photo that is served, fetched where it is not here yet."""
    builder = Path(__file__).resolve().parents[1] / "models" / "build.py"
    done = subprocess.run(
        [sys.executable, str(builder), "--demo-photos"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip()) / DEMO_PHOTO


def _in_fresh_process(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    # A process starts out with the peak memory of the one that started it, so that one stays small.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args, **kwargs).result()


def _numbers(text: str) -> list[int]:
    return [positive(part) for part in text.split(",")]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: tables, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--runs", type=positive, default=RUNS, metavar="N", help="of each photo")
    parser.add_argument("--threads", type=_numbers, default=[1, 2], metavar="N,...")
    parser.add_argument(
        "--memory",
        type=_numbers,
        default=list(MEMORY_SIZES_MB),
        metavar="MB,...",
        help="Lambda memory sizes to price",
    )
    parser.add_argument("--beside", metavar="SET", help="measure another model set too")
    args = parser.parse_args(argv)
    source = demo_photo()
    found = []
    for size in SIZES:
        photo = _in_fresh_process(resized, source, size)
        for threads in args.threads:
            print(f"{size[0]} x {size[1]}, {threads} thread(s) ...", file=sys.stderr, flush=True)
            try:
                found.append(_in_fresh_process(measure, photo, size, threads, args.runs))
            except StartError as error:
                parser.error(str(error))
    machine = _machine()
    print(as_text(found, args.memory, machine))
    if args.beside:
        other = _of_another_set(args.beside, args.runs, args.threads)
        print(f"\n{compare(found, other, args.beside)}")
    print(f"\n{json.dumps(as_json(found, args.memory, machine))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
