"""``tryon-masks data-json``: the Mask block of one ``data.json``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from tryon_masks.entrypoints.commands.arguments import (
    UsageError,
    logging_arguments,
    option_arguments,
    read_choices,
    storing_arguments,
)
from tryon_masks.entrypoints.commands.making import Maker, Wire, print_answer


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's ``commands``."""
    data_json = commands.add_parser(
        "data-json",
        parents=[storing_arguments(), option_arguments(), logging_arguments()],
        help="fill in the Mask block of a data.json",
    )
    data_json.add_argument("file", type=Path, metavar="FILE")
    data_json.add_argument(
        "--local",
        action="store_true",
        help="the photo may be a path beside FILE, or an address of this machine",
    )
    data_json.set_defaults(run=run, masks=None, outputs=None, target=None)


def run(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire) -> int:
    """Run the command and return its exit code."""
    if not args.file.is_file():
        raise UsageError(f"no such file: {args.file}")
    options, user_id = read_choices(args)
    answer = Maker(args, environ, wire).document(args.file, options, user_id)
    print_answer(answer, str(args.file))
    return 0 if answer["status"] == "success" else 1
