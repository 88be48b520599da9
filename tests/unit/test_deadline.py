from __future__ import annotations

import math

import pytest

from tryon_masks.deadline import require_time, time_left, time_limit
from tryon_masks.domain.errors import OutOfTime


def test_without_a_limit_there_is_all_the_time_in_the_world() -> None:
    assert time_left() == math.inf
    require_time(1e9)


def test_a_limit_holds_inside_and_ends_outside() -> None:
    with time_limit(100):
        assert 90 < time_left() <= 100
        require_time(90)
        with pytest.raises(OutOfTime, match="not enough time") as caught:
            require_time(101)
        assert "101.0 s needed" in (caught.value.detail or "")
    assert time_left() == math.inf


def test_an_inner_limit_only_shortens() -> None:
    with time_limit(50):
        with time_limit(100):
            assert time_left() <= 50
        with time_limit(10):
            assert time_left() <= 10
        assert time_left() > 40


def test_after_the_limit_nothing_is_begun() -> None:
    with time_limit(-1), pytest.raises(OutOfTime):
        require_time(0)
