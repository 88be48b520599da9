"""The command line: ``tryon-masks generate``, ``paste``, ``batch`` and more; a module each.

Exit codes: 0 everything was made, 1 something was refused or failed (the rest is done), 2 wrong
usage or a start that failed (nothing is done), 130 interrupted, 141 nobody reads the answers.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from tryon_masks import __version__, telemetry
from tryon_masks.domain.errors import StartError
from tryon_masks.entrypoints.commands import (
    batch,
    data_json,
    dataset,
    erase,
    generate,
    models,
    paste,
    serve,
)
from tryon_masks.entrypoints.commands.arguments import UsageError
from tryon_masks.entrypoints.commands.making import Wire, real_parts

INTERRUPTED, NOBODY_READS = 128 + signal.SIGINT, 128 + signal.SIGPIPE
"""Exit codes, as a shell tells of a command that these signals end."""

EXTRAS = {
    "certifi": "cli",
    "requests": "cli",
    "tqdm": "cli",
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
    parser = _parser()
    args = parser.parse_args(argv)
    telemetry.configure(sys.stderr if args.verbose else None)
    try:
        run: Callable[[argparse.Namespace, Mapping[str, str], Wire], int] = args.run
        code = run(args, environ, wire or real_parts)
        sys.stdout.flush()
        return code
    except UsageError as error:
        parser.error(str(error))
    except StartError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        if error.detail is not None:
            print(f"{parser.prog}: {error.detail}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        needed = f"pip install 'tryon-masks[{extra}]'"
        print(f"{parser.prog}: this needs more packages: {needed}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # What is left to be written would be an error once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tryon-masks", description="Masks for virtual try-on, from photos, on the CPU."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (generate, paste, batch, dataset, data_json, models, erase, serve):
        command.add_to(commands)
    return parser
