"""The init phase of a Lambda module, which imports this first.

No garbage is looked for: what the phase makes is there for good, and looking through it takes a
tenth of the phase. A snapshot may be taken at its end, and any number of copies restored from it.
"""

from __future__ import annotations

import gc
import random

from snapshot_restore_py import register_after_restore

gc.disable()


def end_init() -> None:
    """Look for garbage again, never among what is there by now; shuffle anew in every copy.

    What is shuffled are the pauses of AWS's client before it tries again. Nothing secret is: that
    is the system's to make, which knows of its snapshots.
    """
    gc.freeze()
    gc.enable()
    register_after_restore(random.seed)
