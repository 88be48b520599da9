"""``tryon-masks models``: which model files are used."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from tryon_masks.entrypoints.commands.arguments import logging_arguments
from tryon_masks.entrypoints.commands.making import Wire
from tryon_masks.settings import Settings


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's ``commands``."""
    models = commands.add_parser(
        "models",
        parents=[logging_arguments()],
        help="list the models that are used",
    )
    models.set_defaults(run=run)


def run(_args: argparse.Namespace, environ: Mapping[str, str], _wire: Wire) -> int:
    """Run the command and return its exit code."""
    from tryon_masks.vision.catalog import load_model_set
    from tryon_masks.wiring import CHECKOUT_MODELS

    settings = Settings.from_env(environ, on_lambda=False)
    folder = (settings.models_dir or CHECKOUT_MODELS) / settings.model_set
    models = load_model_set(settings.model_set, folder)
    rows = [("SET", "FILE", "SHA256", "LICENCE", "SOURCE")]
    for file in models.files.values():
        source = f"{file.package} {file.version}"
        rows.append((models.name, file.path.name, file.sha256, file.licence, source))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0
