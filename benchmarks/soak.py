"""Thousands of calls of the API in one process: ``python -m benchmarks.soak PHOTO...``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from benchmarks.making import USED_SETTINGS, positive
from tryon_masks import telemetry
from tryon_masks.adapters.addresses import AddressRules
from tryon_masks.adapters.directory import DirectoryMaskStore
from tryon_masks.adapters.http import HttpPhotoSource, dial
from tryon_masks.adapters.powertools import Powertools
from tryon_masks.domain.errors import StartError
from tryon_masks.entrypoints.http.routes import Handler, create_handler
from tryon_masks.service import MaskService
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log
from tryon_masks.wiring import build_limits, build_local, build_vision

EVENT = Path(__file__).resolve().parents[1] / "events" / "api-masks.json"
PHOTO_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic"})
HOST = "http://photos.example"
CALLS = 1000
BAD_IN_TEN = (3, 6, 9)
"""Which of every ten calls are bad ones, the kinds taking turns."""
HUNDRED = 100
MB = 2**20


@dataclass(frozen=True)
class Case:
    """One kind of call; ``is_photo``: its answer is masks, and its time counts."""

    name: str
    body: dict[str, Any]
    is_photo: bool = False


@dataclass(frozen=True)
class CallRecord:
    """The process after one call: seconds it took, memory held in bytes, files, threads."""

    case: Case
    outcome: str
    seconds: float
    rss: int
    files: int
    threads: int


@dataclass(frozen=True)
class Figures:
    """What is reported.

    ``slope_mb``: of the memory, by least squares over the calls after ``warm``, in MB a thousand
    calls. ``first`` and ``last``: median and 99th percentile in seconds of the first and the last
    hundred photos after ``warm``, or halves where there are fewer than two hundred. ``unstable``:
    cases that did not end the same way every time.
    """

    calls: int
    warm: int
    slope_mb: float
    start_mb: float
    end_mb: float
    peak_mb: float
    first: tuple[float, float]
    last: tuple[float, float]
    files: tuple[int, int]
    threads: tuple[int, int]
    outcomes: dict[str, dict[str, int]]
    unstable: list[str]
    faults: int


class Context:
    """Lambda's context, with all the time in the world."""

    aws_request_id = "soak"

    def get_remaining_time_in_millis(self) -> int:
        """Fifteen minutes, however late it is."""
        return 900_000


def cases(photos: Sequence[Path], folder: Path) -> tuple[list[Case], list[Case]]:
    """The good calls, and the bad ones; their files are put into ``folder``."""
    good = []
    for number, photo in enumerate(photos):
        file = folder / f"{number}{photo.suffix.lower()}"
        file.symlink_to(photo.resolve())
        good.append(Case(photo.name, {"user_image_url": f"{HOST}/{file.name}"}, is_photo=True))
    whole = photos[0].read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("not a photo\n" * 1000)
    Image.new("RGB", (1200, 1600), (120, 130, 140)).save(folder / "nobody.jpg")
    bad = [
        Case("cut short", {"user_image_url": f"{HOST}/cut.jpg"}),
        Case("not a photo", {"user_image_url": f"{HOST}/text.jpg"}),
        Case("nobody in it", {"user_image_url": f"{HOST}/nobody.jpg"}),
        Case("not there", {"user_image_url": f"{HOST}/missing.jpg"}),
        Case("an address inside", {"user_image_url": "http://127.0.0.1/latest/meta-data"}),
        Case("a bad field", {"user_image_url": f"{HOST}/0.jpg", "max_side": "large"}),
    ]
    return good, bad


def order(good: Sequence[Case], bad: Sequence[Case], calls: int) -> Iterator[Case]:
    """Which case each call is, good and bad in turn."""
    numbers = [0, 0]
    for call in range(calls):
        is_bad = call % 10 in BAD_IN_TEN
        kinds = bad if is_bad else good
        yield kinds[numbers[is_bad] % len(kinds)]
        numbers[is_bad] += 1


@contextmanager
def photo_host(folder: Path) -> Iterator[int]:
    """A web server for ``folder`` on loopback, in a process of its own; gives its port."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--directory", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline().partition(" port ")[2].split()[0])
        finally:
            server.terminate()


def open_handler(port: int, masks: Path) -> Handler:
    """The API's handler on the real models and the real intake, which dials ``port``.

    Raises
    ------
    SettingsError, ModelSetError
    """
    used = {name: os.environ[name] for name in USED_SETTINGS if name in os.environ}
    settings = Settings.from_env(used, on_lambda=False, allow_http=True)
    photos = HttpPhotoSource(
        settings.max_photo_bytes,
        120.0,
        AddressRules(allow_http=True),
        resolve=lambda _host, _port: [ip_address("93.184.216.34")],
        dial=lambda _address, _port, timeout: dial(ip_address("127.0.0.1"), port, timeout),
    )
    with init_log("benchmarks"):
        vision = build_vision(settings)
        # Nothing is handed in for later; the handler wants to know where it would go.
        parts = build_local(settings, vision, "http://127.0.0.1")
    limits = build_limits(settings)
    service = MaskService(vision, DirectoryMaskStore(masks), photos, limits=limits)
    return create_handler(service, parts.submission)


def soak(handler: Handler, calls: Iterator[Case], number: int) -> list[CallRecord]:
    """Make every call; what the process was like after each."""
    event = json.loads(EVENT.read_text())
    seen = []
    for call in track(calls, "calls", total=number, console=Console(stderr=True)):
        started = time.perf_counter()
        response = handler(event | {"body": json.dumps(call.body)}, Context())
        seconds = time.perf_counter() - started
        answer = json.loads(response["body"])
        what = answer["error"]["code"] if "error" in answer else answer["status"]
        seen.append(CallRecord(call, f"{response['statusCode']} {what}", seconds, *_process()))
    return seen


def _process() -> tuple[int, int, int]:
    """Resident memory in bytes, open files, threads of the system."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    return pages * os.sysconf("SC_PAGE_SIZE"), files, threads


def figures(seen: Sequence[CallRecord]) -> Figures:
    """The figures of one run, of at least 20 calls; its first tenth, or ten calls, warm it up."""
    warm = max(10, len(seen) // 10)
    counted = seen[warm:]
    memory = [one.rss / MB for one in counted]
    slope = float(np.polyfit(np.arange(len(memory)), memory, 1)[0])
    seconds = [one.seconds for one in counted if one.case.is_photo]
    some = min(HUNDRED, len(seconds) // 2)
    outcomes: dict[str, dict[str, int]] = {}
    for one in seen:
        counts = outcomes.setdefault(one.case.name, {})
        counts[one.outcome] = counts.get(one.outcome, 0) + 1
    return Figures(
        calls=len(seen),
        warm=warm,
        slope_mb=1000 * slope,
        start_mb=memory[0],
        end_mb=memory[-1],
        peak_mb=max(memory),
        first=_median_and_p99(seconds[:some]),
        last=_median_and_p99(seconds[-some:]),
        files=(counted[0].files, counted[-1].files),
        threads=(counted[0].threads, counted[-1].threads),
        outcomes=outcomes,
        unstable=[name for name, counts in outcomes.items() if len(counts) > 1],
        faults=sum(one.outcome.startswith("500 ") for one in seen),
    )


def _median_and_p99(seconds: Sequence[float]) -> tuple[float, float]:
    return float(np.median(seconds)), float(np.percentile(seconds, 99))


def as_text(found: Figures) -> str:
    """The figures as Markdown."""
    rows = [
        "| | first | last |",
        "|---|--:|--:|",
        f"| photos, median s | {found.first[0]:.3f} | {found.last[0]:.3f} |",
        f"| photos, p99 s | {found.first[1]:.3f} | {found.last[1]:.3f} |",
        f"| memory, MB | {found.start_mb:.1f} | {found.end_mb:.1f} |",
        "| open files | {} | {} |".format(*found.files),
        "| threads | {} | {} |".format(*found.threads),
        "",
        f"{found.calls} calls, {found.warm} of them to warm up; {found.slope_mb:+.1f} MB a "
        f"thousand calls, {found.peak_mb:.1f} MB at most.",
        "",
        "| call | answers |",
        "|---|---|",
    ]
    for name, counts in found.outcomes.items():
        rows.append(f"| {name} | {', '.join(f'{n} x {what}' for what, n in counts.items())} |")
    return "\n".join(rows)


def _photos(given: Path) -> list[Path]:
    if given.is_dir():
        found = sorted(file for file in given.iterdir() if file.suffix.lower() in PHOTO_ENDINGS)
    else:
        found = [given] if given.is_file() else []
    if not found:
        raise argparse.ArgumentTypeError(f"no photo here: {given}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: tables, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("photos", nargs="+", type=lambda text: _photos(Path(text)), metavar="PHOTO")
    parser.add_argument("--calls", type=positive, default=CALLS, metavar="N", help="at least 20")
    args = parser.parse_args(argv)
    if args.calls < 20:
        parser.error("--calls must be at least 20")
    with (
        TemporaryDirectory() as photos,
        TemporaryDirectory() as masks,
        photo_host(Path(photos)) as port,
        Path(os.devnull).open("w") as nowhere,
    ):
        good, bad = cases([photo for some in args.photos for photo in some], Path(photos))
        # Log and metrics are written as on Lambda, and read by nobody.
        telemetry.configure(nowhere, exporter=Powertools())
        with redirect_stdout(nowhere):
            try:
                handler = open_handler(port, Path(masks))
            except StartError as error:
                parser.error(str(error))
            seen = soak(handler, order(good, bad, args.calls), args.calls)
        telemetry.configure(None)
    found = figures(seen)
    print(as_text(found))
    print(f"\n{json.dumps(asdict(found))}")
    return 1 if found.faults or found.unstable else 0


if __name__ == "__main__":
    sys.exit(main())
