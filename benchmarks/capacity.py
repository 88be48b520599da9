"""What a stack needs at a rate of photos, and what gives way first: on paper, and by simulation.

``python -m benchmarks.capacity`` prints the table of docs/operations.md.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.making import positive
from benchmarks.speed import MEMORY_SIZES_MB, PRICE_PER_GB_SECOND, PRICE_PER_REQUEST

RATES = (1.0, 100.0, 10_000.0)
"""Photos a second."""
SEED = 7
SIMULATED = 100_000
"""Photos whose waiting is simulated."""
PATIENCE_S = 1.0
"""What 99 of 100 photos may wait for an execution."""
DAY_S, HOUR_S = 86_400, 3_600


@dataclass(frozen=True)
class Photos:
    """What one photo takes of a function.

    ``small_s`` and ``large_s`` are the seconds of a photo of 768 x 1024 and of 24 megapixels (see
    ``benchmarks.memory``), ``large_share`` is the share of the latter. ``network_s`` is the mean of
    what fetching the photo and storing its masks take besides, which varies: exponentially.
    """

    small_s: float = 0.28
    large_s: float = 0.42
    large_share: float = 0.1
    network_s: float = 0.3
    memory_mb: int = MEMORY_SIZES_MB[1]

    @property
    def mean_s(self) -> float:
        """Seconds that an execution is busy with a photo."""
        share = self.large_share
        return (1 - share) * self.small_s + share * self.large_s + self.network_s

    def seconds(self, number: int, rng: np.random.Generator) -> list[float]:
        """Draw the seconds of so many photos."""
        large = rng.random(number) < self.large_share
        own = np.where(large, self.large_s, self.small_s)
        seconds: list[float] = (own + rng.exponential(self.network_s, number)).tolist()
        return seconds


@dataclass(frozen=True)
class Limits:
    """What AWS and the template allow before anybody asks for more; all but two a second.

    ``executions`` and ``workers`` are at once.
    """

    calls: float = 20
    workers: int = 10
    executions: int = 1_000
    gateway_calls: float = 10_000
    table_writes: float = 40_000


WRITES = {"call": 2, "job": 5}
"""To DynamoDB, for each photo: who made it, and the answer; a job is kept and counted too."""
MASKS = 2
"""Files stored a photo."""
PRICES_BESIDE = {
    "HTTP API": 1.0e-6,
    "DynamoDB": 3.0e-6,
    "S3": 10.0e-6,
    "logs": 5.0e-6,
    "X-Ray": 5.0e-6,
}
"""Dollars a photo beside Lambda, of US East: see docs/deploying.md."""


@dataclass(frozen=True)
class Need:
    """What a rate of photos needs, and which of the limits it passes, the worst first.

    ``executions``: so many that 99 of 100 photos wait no longer than :data:`PATIENCE_S`.
    ``oldest_s``: how long the oldest job has waited after an hour with the template's workers.
    ``passed``: limit -> how many times as much is needed.
    """

    rate: float
    busy: float
    executions: int
    oldest_s: float
    dollars_a_day: float
    dollars_beside: float
    writes: float
    uploads_an_hour: float
    passed: dict[str, float]


def waits(
    rate: float, executions: int, seconds: Sequence[float], rng: np.random.Generator
) -> list[float]:
    """Simulate a queue: photos that come at random, each taken by the first free execution.

    Returns
    -------
    Seconds that each photo waits.
    """
    free = [0.0] * executions
    waited = []
    for now, own in zip(
        np.cumsum(rng.exponential(1 / rate, len(seconds))).tolist(), seconds, strict=True
    ):
        start = max(now, heapq.heappop(free))
        waited.append(start - now)
        heapq.heappush(free, start + own)
    return waited


def enough(rate: float, photos: Photos, patience_s: float = PATIENCE_S) -> int:
    """Return the fewest executions with which 99 of 100 photos wait no longer, by simulation."""
    low, high = max(1, math.floor(rate * photos.mean_s)), math.ceil(2 * rate * photos.mean_s) + 4
    while low < high:
        middle = (low + high) // 2
        rng = np.random.default_rng(SEED)
        waited = waits(rate, middle, photos.seconds(SIMULATED, rng), rng)
        # What waits longer and longer is not enough, however short the simulation.
        if np.percentile(waited, 99) <= patience_s and middle > rate * photos.mean_s:
            high = middle
        else:
            low = middle + 1
    return low


def oldest(rate: float, workers: int, photos: Photos, after_s: float = HOUR_S) -> float:
    """Return how long the oldest job has waited when jobs have come for ``after_s``.

    What the workers cannot take piles up, and the oldest is as far behind as they are.
    """
    served = workers / photos.mean_s
    return max(0.0, after_s * (1 - served / rate))


def need(rate: float, photos: Photos, limits: Limits) -> Need:
    """Return what ``rate`` photos a second need."""
    executions = enough(rate, photos)
    gb_seconds = rate * photos.mean_s * photos.memory_mb / 1024
    uses = {
        "RateLimit": rate / limits.calls,
        "WorkerConcurrency": rate * photos.mean_s / limits.workers,
        "the account's executions": executions / limits.executions,
        "HTTP API": rate / limits.gateway_calls,
        "DynamoDB, jobs": WRITES["job"] * rate / limits.table_writes,
    }
    worst = sorted(uses.items(), key=lambda use: -use[1])
    return Need(
        rate=rate,
        busy=rate * photos.mean_s,
        executions=executions,
        oldest_s=oldest(rate, limits.workers, photos),
        dollars_a_day=DAY_S * (gb_seconds * PRICE_PER_GB_SECOND + rate * PRICE_PER_REQUEST),
        dollars_beside=DAY_S * rate * sum(PRICES_BESIDE.values()),
        writes=WRITES["call"] * rate,
        uploads_an_hour=MASKS * rate * HOUR_S,
        passed={name: used for name, used in worst if used > 1},
    )


def as_text(needs: Sequence[Need]) -> str:
    """Return the table as Markdown."""
    rows = {
        "executions busy, mean": [f"{one.busy:,.1f}" for one in needs],
        "executions, so that 99 of 100 wait under a second": [
            f"{one.executions:,}" for one in needs
        ],
        "oldest job after an hour, as the template is": [_age(one.oldest_s) for one in needs],
        "Lambda, $ a day": [f"{one.dollars_a_day:,.2f}" for one in needs],
        "beside Lambda, $ a day": [f"{one.dollars_beside:,.2f}" for one in needs],
        "writes to DynamoDB a second, calls": [f"{one.writes:,.0f}" for one in needs],
        "masks stored an hour": [f"{one.uploads_an_hour:,.0f}" for one in needs],
        "gives way, and how often too small": [
            "; ".join(f"{name} {used:,.1f}" for name, used in one.passed.items()) or "nothing"
            for one in needs
        ],
    }
    head = ["photos a second", *(f"{one.rate:,.0f}" for one in needs)]
    lines = [head, ["---", *("--:" for _ in needs)], *([name, *row] for name, row in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _age(seconds: float) -> str:
    return "none waits" if seconds == 0 else f"{seconds / 60:.0f} min"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: the table, then the same as one line of JSON."""
    photos, limits = Photos(), Limits()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, metavar="N")
    for name, help_ in (
        ("small-s", "seconds of a photo of 768 x 1024"),
        ("large-s", "seconds of one of 24 megapixels"),
        ("large-share", "share of those, 0 to 1"),
        ("network-s", "mean seconds of fetching and storing"),
    ):
        default = getattr(photos, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=float, default=default, metavar="X", help=help_)
    parser.add_argument("--memory", type=positive, default=photos.memory_mb, metavar="MB")
    parser.add_argument("--workers", type=positive, default=limits.workers, metavar="N")
    parser.add_argument("--executions", type=positive, default=limits.executions, metavar="N")
    args = parser.parse_args(argv)
    photos = Photos(args.small_s, args.large_s, args.large_share, args.network_s, args.memory)
    limits = Limits(workers=args.workers, executions=args.executions)
    needs = [need(rate, photos, limits) for rate in args.rates]
    print(as_text(needs))
    print(f"\n{json.dumps({'photos': asdict(photos), 'needs': [asdict(one) for one in needs]})}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
