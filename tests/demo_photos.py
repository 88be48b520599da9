"""The demo photos, fetched as ``make demo`` fetches them."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

BUILD = Path(__file__).parents[1] / "models" / "build.py"
STANDING = "*4793290.jpg"
"""One full figure, standing on one leg with her arms raised, barefoot: more than 10 MP."""
SITTING = "*cliff-booth-4056969.jpg"
"""One full figure, sitting on the floor."""
HALF_BODY = "*mart-production-8032742.jpg"
"""One figure down to the waist."""
TWO_FIGURES = "person.jpg"
"""One figure from the front and one from the back, of the same size."""


@cache
def folder() -> Path:
    """Where they lie, all of them unaltered."""
    fetched = subprocess.run(
        [sys.executable, BUILD, "--demo-photos"], stdout=subprocess.PIPE, text=True, check=True
    )
    return Path(fetched.stdout.strip())


def demo_photo(pattern: str) -> bytes:
    """The one JPEG file whose name fits."""
    (path,) = folder().glob(pattern)
    return path.read_bytes()
