"""``tryon-masks generate``: the masks of photos."""

from __future__ import annotations

import argparse
import glob
import re
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from tryon_masks.domain.kinds import MaskKind
from tryon_masks.entrypoints.commands.arguments import (
    UsageError,
    comma_separated,
    logging_arguments,
    option_arguments,
    read_choices,
    storing_arguments,
)
from tryon_masks.entrypoints.commands.making import Maker, Photo, Wire, print_answer
from tryon_masks.service import OVERLAY
from tryon_masks.telemetry import public_url

PHOTO_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif"})
MADE_ENDINGS = frozenset(f".{name}" for name in (*MaskKind, OVERLAY))


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's ``commands``."""
    generate = commands.add_parser(
        "generate",
        parents=[storing_arguments(), option_arguments(), logging_arguments()],
        help="make masks from photos",
    )
    generate.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="a file, a folder, a glob or an https address"
    )
    generate.add_argument(
        "--masks", type=comma_separated, metavar="KIND,...", help="default: upper,lower"
    )
    generate.set_defaults(run=run)


def run(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire) -> int:
    """Run the command and return its exit code."""
    from tqdm import tqdm  # Of an extra, which other commands do without.

    photos = [photo for given in args.photos for photo in _find(given)]
    options, user_id = read_choices(args)
    maker = Maker(args, environ, wire, photos)
    made = 0
    with tqdm(photos, unit="photo", file=sys.stderr, disable=len(photos) < 2) as progress:
        for photo in progress:
            answer = maker.photo(photo, options, user_id)
            print_answer(answer, photo.name)
            made += answer.status == "success"
    return 0 if made == len(photos) else 1


def _find(given: str) -> list[Photo]:
    if re.match("https?://", given, re.IGNORECASE):
        stem = re.sub(r"[^\w.-]", "_", PurePosixPath(unquote(urlsplit(given).path)).stem)
        return [Photo(given, public_url(given), stem or "photo")]
    path = Path(given)
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(file for file in path.iterdir() if _is_photo(file))
    else:
        # Path.glob takes no absolute pattern.
        found = sorted(Path(match) for match in glob.glob(given) if Path(match).is_file())  # noqa: PTH207
    if not found:
        raise UsageError(f"no photo here: {given}")
    return [Photo(file, str(file), file.stem) for file in found]


def _is_photo(file: Path) -> bool:
    # Masks may lie beside their photos: they are not photos.
    is_made = Path(file.stem).suffix in MADE_ENDINGS
    return file.suffix.lower() in PHOTO_ENDINGS and not is_made and file.is_file()
