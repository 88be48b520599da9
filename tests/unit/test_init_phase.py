"""The init phase of a Lambda module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FUNCTION = Path(__file__).parents[2] / "function"
PROGRAM = """
import gc
from tryon_masks.entrypoints.init_phase import end_init
print(gc.isenabled(), gc.get_freeze_count() > 0)
end_init()
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""


def test_no_garbage_is_looked_for_and_afterwards_never_among_what_was_made() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": str(FUNCTION)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "False False\nTrue True\n"
