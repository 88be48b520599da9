"""The commands, registered with Typer.

To add one: a module here with a function of that name, and a place in the list below.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from tryon_masks import __version__
from tryon_masks.entrypoints.commands.batch import batch
from tryon_masks.entrypoints.commands.data_json import data_json
from tryon_masks.entrypoints.commands.dataset import dataset
from tryon_masks.entrypoints.commands.erase import erase
from tryon_masks.entrypoints.commands.generate import generate
from tryon_masks.entrypoints.commands.making import Session
from tryon_masks.entrypoints.commands.models import models
from tryon_masks.entrypoints.commands.paste import paste
from tryon_masks.entrypoints.commands.serve import serve
from tryon_masks.entrypoints.commands.sheet import sheet

PROGRAM = "tryon-masks"
WRONG_USAGE, NOBODY_READS = 2, 128 + signal.SIGPIPE
"""Exit codes; the second as a shell tells of a command that the signal ends."""

# Plain text: what Typer draws with rich cuts values short where they do not fit into its boxes.
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def describe(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Make masks for virtual try-on from photos, on the CPU."""


def _until_nobody_reads(command: Callable[..., int]) -> Callable[..., int]:
    """End ``command`` without a trace when whoever reads its answers has left."""

    @functools.wraps(command)
    def run(*args: object, **options: object) -> int:
        try:
            code = command(*args, **options)
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            # What is left to be written would be an error once more when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return NOBODY_READS

    return run


for _command in (generate, paste, batch, dataset, data_json, models, erase, serve, sheet):
    app.command()(_until_nobody_reads(_command))


def run_app(argv: Sequence[str] | None, session: Session) -> int:
    """Run the command that ``argv`` (None: the process's own) names, and return its exit code."""
    try:
        code: int = app(argv, prog_name=PROGRAM, standalone_mode=False, obj=session)
    except typer.TyperException as error:
        print(f"{PROGRAM}: error: {error.format_message()}", file=sys.stderr)
        print(f"`{PROGRAM} COMMAND --help` lists what can be given.", file=sys.stderr)
        return WRONG_USAGE
    return code
