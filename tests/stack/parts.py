"""Says at once what ``make local`` lacks on this machine: setting up the rest takes minutes.

It needs nothing but Python.
"""

from __future__ import annotations

import sys

from tests.stack import base_image, engine, loopback
from tests.stack.engine import PartMissingError


def missing() -> list[str]:
    """What is not there, and cannot be set up by ``make``; each says what it is."""
    found = []
    for check in (loopback.check, _engine):
        try:
            check()
        except PartMissingError as error:
            found.append(str(error))
    return found


def _engine() -> None:
    if engine.check():
        # A private engine cannot pull AWS's base image.
        base_image.check_parts()


def main() -> int:
    """Say what is missing; the exit code."""
    found = missing()
    for part in found:
        print(f"make local cannot run: {part}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
