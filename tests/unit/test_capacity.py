"""The model of what a stack needs: against the theory of queues, and at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.capacity import Limits, Need, Photos, as_text, enough, need, oldest, waits


def erlang_c(load: float, servers: int) -> float:
    """The share of arrivals that wait, where services last exponentially."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize(("rate", "servers"), [(0.7, 1), (1.5, 2), (8.0, 10)])
def test_the_simulated_queue_waits_as_long_as_theory_says(rate: float, servers: int) -> None:
    rng = np.random.default_rng(1)
    seconds = rng.exponential(1.0, 200_000).tolist()
    waited = np.array(waits(rate, servers, seconds, rng))
    late = erlang_c(rate, servers)
    assert (waited > 0).mean() == pytest.approx(late, abs=0.03)
    assert waited.mean() == pytest.approx(late / (servers - rate), rel=0.1)


@pytest.mark.parametrize("rate", [1, 30])
def test_one_execution_less_would_not_be_enough(rate: float) -> None:
    photos = Photos(network_s=0.5)
    found = enough(rate, photos)
    assert found > rate * photos.mean_s
    if found - 1 > rate * photos.mean_s:
        rng = np.random.default_rng(7)
        assert np.percentile(waits(rate, found - 1, photos.seconds(100_000, rng), rng), 99) > 1


def test_what_the_workers_cannot_take_piles_up() -> None:
    photos = Photos(small_s=1, large_s=1, network_s=1)
    assert oldest(4, 8, photos) == 0
    # Half of what comes is taken: after an hour the workers are at what came after half of it.
    assert oldest(8, 8, photos) == 1800


def test_each_limit_is_passed_where_it_is() -> None:
    limits = Limits(calls=20, workers=10, executions=1000, gateway_calls=100, table_writes=1e9)
    assert need(1, Photos(), limits).passed == {}
    passed = need(400, Photos(), limits).passed
    assert list(passed) == ["WorkerConcurrency", "RateLimit", "HTTP API"]
    assert passed["RateLimit"] == 20
    assert passed["HTTP API"] == 4


def test_the_price_is_that_of_the_time_and_the_memory() -> None:
    photos = Photos(small_s=1, large_s=1, network_s=1, memory_mb=1024)
    a_day = 86_400 * (2 * 0.0000166667 + 0.0000002)
    assert need(1, photos, Limits()).dollars_a_day == pytest.approx(a_day)


def test_the_table_has_a_column_a_rate() -> None:
    one = Need(1, 0.5, 2, 0, 2.5, 2, 2, 7200, {})
    many = Need(100, 51.2, 53, 2880, 218, 194, 200, 720_000, {"RateLimit": 5.0})
    lines = as_text([one, many]).splitlines()
    assert lines[0] == "| photos a second | 1 | 100 |"
    assert "| none waits | 48 min |" in lines[4]
    assert lines[-1].endswith("| nothing | RateLimit 5.0 |")
