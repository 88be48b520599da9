"""Masks to look at, many on one page: ``python -m benchmarks.sheet PHOTO... --out sheet.jpg``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.making import Refused, UnreadableMask, make_masks, mask_file, positive, read_mask
from benchmarks.scorecard import MASKS, REPAINT
from tryon_masks import images
from tryon_masks.domain.errors import StartError, TryonMasksError
from tryon_masks.domain.profiles import Profile
from tryon_masks.entrypoints.commands.photos import PHOTO_ENDINGS
from tryon_masks.service import MaskOptions

SHEET_ENDINGS = frozenset({".jpg", ".jpeg", ".png"})
SHEET_HELP = "a .jpg or .png"

CELL_HEIGHT = 420
CAPTION_HEIGHT = 40
GAP = 6
HAIRLINE = 2
COLUMNS = 4
PAPER = "white"
INK = "black"
REFUSED_INK = (200, 0, 0)


@dataclass(frozen=True)
class Entry:
    """One photo of a sheet. ``masks``: the files; ``refused``: codes for those that are missing."""

    photo: Path
    title: str
    masks: Mapping[str, Path]
    refused: Refused


@dataclass(frozen=True)
class Picture:
    """What is drawn for one mask. ``made``: whether there is a mask, or only the photo."""

    image: Image.Image
    caption: str
    made: bool


def write_sheet(entries: Sequence[Entry], path: Path, columns: int = COLUMNS) -> list[list[str]]:
    """Draw all entries, ``columns`` in a row, into one picture; return the captions by entry."""
    blocks = []
    captions = []
    for entry in entries:
        pictures = draw(entry)
        blocks.append(_block(entry.title, pictures))
        captions.append([picture.caption for picture in pictures])
    rows = [blocks[start : start + columns] for start in range(0, len(blocks), columns)]
    width = max((sum(block.width + GAP for block in row) for row in rows), default=GAP)
    height = CELL_HEIGHT + CAPTION_HEIGHT + GAP
    page = Image.new("RGB", (width, max(GAP, height * len(rows))), PAPER)
    for number, row in enumerate(rows):
        left = 0
        for block in row:
            page.paste(block, (left, number * height))
            left += block.width + GAP
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path, quality=88)
    return captions


def sheet_path(text: str) -> Path:
    """The path of a sheet, for the command lines.

    Raises
    ------
    ValueError
        It ends in nothing that a sheet can be written as.
    """
    path = Path(text)
    if path.suffix.lower() not in SHEET_ENDINGS:
        raise ValueError
    return path


def draw(entry: Entry) -> list[Picture]:
    """The photo once for each mask: with the mask laid over it, or greyed where there is none."""
    try:
        rgb = images.decode(entry.photo.read_bytes(), images.Limits()).rgb
    except TryonMasksError as error:
        blank = Image.new("RGB", (CELL_HEIGHT, CELL_HEIGHT), "lightgrey")
        return [Picture(blank, f"{mask}: {error.code}", made=False) for mask in entry.masks]
    return [_picture(rgb, mask, path, entry.refused) for mask, path in entry.masks.items()]


def _picture(rgb: NDArray[np.uint8], mask: str, path: Path, refused: Refused) -> Picture:
    try:
        grey = read_mask(path)
    except FileNotFoundError:
        return _without_mask(rgb, f"{mask}: {refused.get(mask, 'missing')}")
    except UnreadableMask:
        return _without_mask(rgb, f"{mask}: unreadable")
    size = (rgb.shape[1], rgb.shape[0])
    pixels = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) >= REPAINT
    overlay = Image.open(BytesIO(images.overlay(rgb, {mask: pixels}).data))
    return Picture(_cell(overlay), f"{mask}: {pixels.mean():.1%}", made=True)


def _without_mask(rgb: NDArray[np.uint8], caption: str) -> Picture:
    return Picture(_cell(Image.fromarray(rgb).convert("L").convert("RGB")), caption, made=False)


def _cell(image: Image.Image) -> Image.Image:
    return image.resize((max(1, round(image.width * CELL_HEIGHT / image.height)), CELL_HEIGHT))


def _block(title: str, pictures: Sequence[Picture]) -> Image.Image:
    font = ImageFont.load_default(15)
    width = sum(picture.image.width + HAIRLINE for picture in pictures)
    block = Image.new("RGB", (width, CELL_HEIGHT + CAPTION_HEIGHT), PAPER)
    pen = ImageDraw.Draw(block)
    pen.text((2, 1), title, INK, font)
    left = 0
    for picture in pictures:
        block.paste(picture.image, (left, CAPTION_HEIGHT))
        pen.text((left + 2, 20), picture.caption, INK if picture.made else REFUSED_INK, font)
        left += picture.image.width + HAIRLINE
    return block


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sheet", description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="a file or a folder")
    parser.add_argument("--out", type=sheet_path, required=True, metavar="FILE", help=SHEET_HELP)
    parser.add_argument("--profile", type=Profile, choices=list(Profile), default=Profile.BODY)
    parser.add_argument("--person", choices=["largest"], help="of several people")
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="processes")
    parser.add_argument("--columns", type=positive, default=COLUMNS, metavar="N")
    args = parser.parse_args(argv)
    photos = {str(number): path for number, path in enumerate(_files(args.photos))}
    missing = [str(path) for path in photos.values() if not path.is_file()]
    if missing or not photos:
        parser.error(f"no photo here: {', '.join(missing or map(str, args.photos))}")
    options = MaskOptions(profile=args.profile, person=args.person)
    with TemporaryDirectory() as scratch:
        try:
            refused = make_masks(photos, Path(scratch), options, args.jobs)
        except StartError as error:
            parser.error(str(error))
        entries = [
            Entry(
                photo=photo,
                title=photo.stem,
                masks={mask: mask_file(Path(scratch), key, mask) for mask in MASKS},
                refused=refused[key],
            )
            for key, photo in photos.items()
        ]
        captions = write_sheet(entries, args.out, args.columns)
    print(f"| photo | {' | '.join(MASKS)} |\n|---|{'---|' * len(MASKS)}")
    for photo, cells in zip(photos.values(), captions, strict=True):
        print(f"| {photo.name} | {' | '.join(cell.partition(': ')[2] for cell in cells)} |")
    return 0


def _files(given: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in given:
        if path.is_dir():
            files += sorted(one for one in path.iterdir() if one.suffix.lower() in PHOTO_ENDINGS)
        else:
            files.append(path)
    return files


if __name__ == "__main__":
    sys.exit(main())
