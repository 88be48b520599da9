"""``tryon-masks paste``: a try-on model's result, back into the photo."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from tryon_masks import images
from tryon_masks.domain.errors import BadRequest, InvalidRequest
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.entrypoints.commands.arguments import UsageError, logging_arguments
from tryon_masks.outputs.parsed_photo import png
from tryon_masks.outputs.paste import paste
from tryon_masks.outputs.transform import Transform
from tryon_masks.settings import Settings
from tryon_masks.telemetry import request_log, step

PASTED = "pasted"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's ``commands``."""
    command = commands.add_parser(
        "paste",
        parents=[logging_arguments()],
        help="put a try-on model's result back into the photo",
    )
    command.add_argument("result", type=Path, metavar="RESULT", help="the model's picture")
    command.add_argument("--on", type=Path, required=True, metavar="PHOTO")
    command.add_argument(
        "--transform", type=Path, required=True, metavar="FILE", help="transform.json"
    )
    command.add_argument(
        "--mask", type=Path, required=True, metavar="FILE", help="the target's mask, or the photo's"
    )
    command.add_argument(
        "--out", type=Path, metavar="FILE", help=f"default: RESULT's name with .{PASTED}.png"
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace, environ: Mapping[str, str], _wire: Any) -> int:
    """Run the command and return its exit code."""
    out: Path = args.out or args.result.with_suffix(f".{PASTED}.png")
    if out.suffix.lower() != ".png":
        raise UsageError("--out must end in .png: other formats would change every pixel")
    settings = Settings.from_env(environ, on_lambda=False)
    most = settings.max_photo_pixels
    limits = images.Limits(settings.max_photo_bytes, most, working_side=most)
    try:
        with request_log(uuid4().hex, ANONYMOUS), step("paste_result", "cli"):
            transform = Transform.from_json(_json(args.transform))
            photo, result, mask = (
                images.decode(path.read_bytes(), limits).rgb
                for path in (args.on, args.result, args.mask)
            )
            pasted = paste(photo, result, np.ascontiguousarray(mask[:, :, 0]), transform)
            out.write_bytes(png(pasted).data)
    except (BadRequest, OSError) as error:
        raise UsageError(str(error)) from error
    print(json.dumps({"pasted": str(out), "width": photo.shape[1], "height": photo.shape[0]}))
    return 0


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidRequest("The transform is not JSON.") from error
