"""The demo photos, fetched as ``make demo`` fetches them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / "models" / "build.py"
STANDING_FIGURE = "*4793290*"


def demo_photo() -> bytes:
    """One full standing figure, a JPEG file of more than 10 MP."""
    fetched = subprocess.run(
        [sys.executable, BUILD, "--demo-photos"], stdout=subprocess.PIPE, text=True, check=True
    )
    (path,) = Path(fetched.stdout.strip()).glob(STANDING_FIGURE)
    return path.read_bytes()
