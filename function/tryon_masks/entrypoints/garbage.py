"""No garbage is looked for in a Lambda module's init phase: the first import of such a module.

What it makes is there for good, and looking through it takes a tenth of the phase.
"""

from __future__ import annotations

import gc

gc.disable()


def end_init() -> None:
    """Look for garbage again, but never among what is there by now."""
    gc.freeze()
    gc.enable()
