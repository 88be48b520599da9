"""The init phase of a Lambda module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FUNCTION = Path(__file__).parents[2] / "function"
GARBAGE = """
import gc
from tryon_masks.entrypoints.init_phase import end_init
print(gc.isenabled(), gc.get_freeze_count() > 0)
end_init()
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""
SHUFFLED = """
import random
from snapshot_restore_py import get_after_restore
from tryon_masks.entrypoints.init_phase import end_init
end_init()
snapshot, drawn = random.getstate(), set()
for copy in range(2):
    random.setstate(snapshot)
    for hook, given, named in get_after_restore():
        hook(*given, **named)
    drawn.add(random.random())
print(len(drawn))
"""


def ran(program: str) -> str:
    """What a process of its own prints."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(FUNCTION)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_no_garbage_is_looked_for_and_afterwards_never_among_what_was_made() -> None:
    assert ran(GARBAGE) == "False False\nTrue True\n"


def test_every_copy_of_a_snapshot_shuffles_anew() -> None:
    assert ran(SHUFFLED) == "2\n"
