"""The command line: ``tryon-masks generate``, ``paste``, ``batch`` and more; a module each.

Exit codes: 0 everything was made, 1 something was refused or failed (the rest is done), 2 wrong
usage or a start that failed (nothing is done), 130 interrupted, 141 nobody reads the answers.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tryon_masks.domain.errors import StartError

if TYPE_CHECKING:
    from tryon_masks.entrypoints.commands.making import Wire

PROGRAM = "tryon-masks"
INTERRUPTED = 128 + signal.SIGINT
"""Exit code, as a shell tells of a command that the signal ends."""

EXTRAS = {
    "certifi": "cli",
    "requests": "cli",
    "rich": "cli",
    "typer": "cli",
    "aws_lambda_powertools": "aws",
    "boto3": "aws",
    "cloudinary": "cloudinary",
    "google": "firestore",
    "starlette": "serve",
    "uvicorn": "serve",
}
"""Module that only some commands need -> the extra that brings it."""


def main(
    argv: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    wire: Wire | None = None,
) -> int:
    """Run one command and return its exit code; ``wire`` replaces the real models and stores."""
    try:
        # Here, because Typer is of an extra: without it this says which.
        from tryon_masks.entrypoints.commands.app import run_app
        from tryon_masks.entrypoints.commands.making import Session, real_parts

        return run_app(argv, Session(environ, wire or real_parts))
    except StartError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        if error.detail is not None:
            print(f"{PROGRAM}: {error.detail}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        needed = f"pip install 'tryon-masks[{extra}]'"
        print(f"{PROGRAM}: this needs more packages: {needed}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
