"""How long the current call may take: said once by the way in, asked by whatever takes time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tryon_masks.domain.errors import OutOfTime

clock: Callable[[], float] = time.monotonic
"""In seconds."""

_end: ContextVar[float] = ContextVar("deadline", default=math.inf)
"""On the clock."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limit everything inside to ``seconds``, or to what is left of an outer limit."""
    token = _end.set(min(_end.get(), clock() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


def time_left() -> float:
    """Return the seconds until the limit, negative after it; infinite where there is none."""
    return _end.get() - clock()


def require_time(seconds: float) -> None:
    """Raise :class:`OutOfTime` where less than ``seconds`` are left.

    Raises
    ------
    OutOfTime
    """
    left = time_left()
    if left < seconds:
        raise OutOfTime(detail=f"{left:.1f} s left, {seconds:.1f} s needed")
