"""Says at once whether ``make stack`` or ``make local`` can run: setting up the rest takes minutes.

``python -m tests.stack.can_run TARGET`` needs nothing but Python. For ``stack`` it starts the
container engine that the tests would use, and stops it again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from tests.stack import base_image, engine, loopback
from tests.stack.engine import PartMissingError


def _engine() -> None:
    if engine.check():
        # A private engine cannot pull AWS's base image.
        base_image.check_parts()


def _running_engine() -> None:
    _engine()
    with engine.engine():
        pass


CHECKS: dict[str, list[Callable[[], None]]] = {
    "stack": [_running_engine],
    "local": [loopback.check, _engine],
}
"""What ``make`` cannot set up, by its target."""


def missing(target: str) -> Iterator[str]:
    """What is not there for ``make TARGET``; each says what it is."""
    for check in CHECKS[target]:
        try:
            check()
        except (PartMissingError, RuntimeError) as error:
            # Where a daemon did not start, the message holds its log, whose last line says why.
            what, *log = str(error).splitlines()
            yield " ".join([what, *log[-1:]])


def main(target: str) -> int:
    """Return the exit status: 0 where it can run, else 1 with the reasons on stderr."""
    parts = list(missing(target))
    for part in parts:
        print(f"make {target} cannot run: {part}", file=sys.stderr)
    return int(bool(parts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
