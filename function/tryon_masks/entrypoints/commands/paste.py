"""``tryon-masks paste``: a try-on model's result, back into the photo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import numpy as np
import typer

from tryon_masks import images
from tryon_masks.domain.errors import BadRequest, InvalidRequest
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.entrypoints.commands import options as given
from tryon_masks.entrypoints.commands.making import Session
from tryon_masks.entrypoints.commands.photos import PASTED
from tryon_masks.outputs.parsed_photo import png
from tryon_masks.outputs.paste import paste as paste_result
from tryon_masks.outputs.transform import Transform
from tryon_masks.settings import Settings
from tryon_masks.telemetry import request_log, step


def paste(
    ctx: typer.Context,
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The model's picture.")],
    photo_file: Annotated[
        Path,
        typer.Option(
            "--on", metavar="PHOTO", help="The photo that the model's files were made of."
        ),
    ],
    transform: Annotated[
        Path, typer.Option(metavar="FILE", help="The transform.json beside the model's files.")
    ],
    mask: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The mask that the model was given, or the photo's own."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"[default: RESULT's name with .{PASTED}.png]"),
    ] = None,
    _verbose: given.Verbose = False,
) -> int:
    """Put a try-on model's result back into the photo."""
    session: Session = ctx.obj
    out = out or result.with_suffix(f".{PASTED}.png")
    if out.suffix.lower() != ".png":
        raise given.UsageError("--out must end in .png: other formats would change every pixel")
    settings = Settings.from_env(session.environ, on_lambda=False)
    limits = images.Limits(settings.max_photo_bytes, settings.max_photo_pixels).whole
    try:
        with request_log(uuid4().hex, ANONYMOUS), step("paste_result", "cli"):
            way = Transform.from_json(_json(transform))
            photo, picture, grey = (
                images.decode(path.read_bytes(), limits).rgb for path in (photo_file, result, mask)
            )
            pasted = paste_result(photo, picture, np.ascontiguousarray(grey[:, :, 0]), way)
            out.write_bytes(png(pasted).data)
    except (BadRequest, OSError) as error:
        raise given.UsageError(str(error)) from error
    print(json.dumps({"pasted": str(out), "width": photo.shape[1], "height": photo.shape[0]}))
    return 0


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidRequest("The transform is not JSON.") from error
