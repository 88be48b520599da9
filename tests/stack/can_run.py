"""Says whether ``make stack`` can run on this machine, before anything is installed for it.

``python -m tests.stack.can_run`` needs nothing but Python. It starts the container engine that the
tests would use, and stops it again.
"""

from __future__ import annotations

import sys

from tests.stack import base_image
from tests.stack.engine import PartMissingError, engine


def main() -> int:
    """Return the exit status: 0 where the tests can run, else 1 with the reason on stderr."""
    try:
        with engine() as running:
            if running.private:
                base_image.check_parts()
    except (PartMissingError, RuntimeError) as error:
        # Where a daemon did not start, the message holds its log, whose last line says why.
        what, *log = str(error).splitlines()
        print("make stack cannot run here:", what, *log[-1:], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
