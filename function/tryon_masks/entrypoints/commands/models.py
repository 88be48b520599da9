"""``tryon-masks models``: which model files are used, and how they come here."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from tryon_masks.entrypoints.commands.arguments import logging_arguments
from tryon_masks.entrypoints.commands.making import Wire
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's ``commands``."""
    models = commands.add_parser(
        "models",
        parents=[logging_arguments()],
        help="list the models that are used; with --build, make them first",
    )
    models.add_argument(
        "--build",
        action="store_true",
        help="fetch, check and convert what is missing (PyPI and npm, some minutes)",
    )
    models.set_defaults(run=run)


def run(args: argparse.Namespace, environ: Mapping[str, str], _wire: Wire) -> int:
    """Run the command and return its exit code."""
    # Here, so that --version and --help need not load it.
    from tryon_masks.vision.catalog import load_model_set
    from tryon_masks.wiring import build_models, models_dir

    settings = Settings.from_env(environ, on_lambda=False)
    if args.build:
        with init_log("cli"):
            build_models(settings)
    models = load_model_set(settings.model_set, models_dir(settings) / settings.model_set)
    rows = [("SET", "FILE", "SHA256", "LICENCE", "SOURCE")]
    for file in models.files.values():
        source = f"{file.package} {file.version}"
        rows.append((models.name, file.path.name, file.sha256, file.licence, source))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0
