"""``tryon-masks generate``: the masks of photos."""

from __future__ import annotations

import argparse
import glob
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from tryon_masks.domain.kinds import MaskKind
from tryon_masks.entrypoints.commands.arguments import (
    UsageError,
    logging_arguments,
    mask_kinds,
    option_arguments,
    read_choices,
    storing_arguments,
)
from tryon_masks.entrypoints.commands.json_files import TARGET_JSON
from tryon_masks.entrypoints.commands.making import Maker, Photo, Wire, print_answer
from tryon_masks.entrypoints.commands.paste import PASTED
from tryon_masks.outputs.extra import LABEL_SETS, Output
from tryon_masks.outputs.targets import TargetName
from tryon_masks.service import OVERLAY
from tryon_masks.telemetry import public_url

MADE = "made"
PHOTO_ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".mpo", ".png", ".webp", ".avif"}
    | {".heic", ".heif", ".hif"}
)
_KINDS = "|".join(MaskKind)
_MADE = re.compile(rf"(.+)\.(?:({_KINDS})\.(?:png|webp)|{OVERLAY}\.jpg)")
_PER_MASK = "|".join((Output.AGNOSTIC, Output.AGNOSTIC_RGBA))
_ONCE = "|".join((*LABEL_SETS, Output.SKELETON, PASTED))
_BESIDE = re.compile(rf"(.+)\.(?:(?:{_KINDS})_(?:{_PER_MASK})|{_ONCE})\.png")
"""Pictures that are made beside masks, and never lie alone."""
_MASK_HEAD = re.compile(rb"\x89PNG\r\n\x1a\n.{16}\x08\x00|RIFF.{4}WEBPVP8L", re.DOTALL)
"""A mask is a grey PNG of 8 bits, or a lossless WebP."""
_SHOWN = 5
"""Names of what was left out."""


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
        "--masks", type=mask_kinds, metavar="KIND,...", help="default: upper,lower"
    )
    generate.add_argument(
        "--outputs",
        type=lambda text: text.split(","),
        metavar="NAME,...",
        help=f"of {', '.join(Output)}",
    )
    generate.add_argument(
        "--for",
        dest="target",
        choices=[name.value for name in TargetName],
        help="also the files that this try-on model reads",
    )
    generate.set_defaults(run=run)


def run(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire) -> int:
    """Run the command and return its exit code."""
    from tqdm import tqdm  # Of an extra, which other commands do without.

    several = sum(Path(given).is_dir() for given in args.photos) > 1
    photos = [photo for given in args.photos for photo in find_photos(given, named=several)]
    options, user_id = read_choices(args)
    maker = Maker(args, environ, wire, photos)
    started = time.monotonic()
    outcomes: Counter[str] = Counter()
    with tqdm(photos, unit="photo", file=sys.stderr, disable=len(photos) < 2) as progress:
        for photo in progress:
            answer = maker.photo(photo, options, user_id)
            print_answer(answer, photo.name)
            outcomes[_outcome(answer)] += 1
    if len(photos) > 1:
        told = ", ".join(f"{outcome}: {count}" for outcome, count in sorted(outcomes.items()))
        print(f"{told}; {time.monotonic() - started:.1f} s", file=sys.stderr)
    return 0 if outcomes[MADE] == len(photos) else 1


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _outcome(answer: Mapping[str, Any]) -> str:
    """What the closing line counts an answer under."""
    match answer:
        case {"status": "success"}:
            return MADE
        case {"status": "error", "error": {"code": code}}:
            return f"failed, {code}"
        case {"status": status, "refused": refused}:
            codes = ", ".join(sorted({one["code"] for one in refused}))
            return f"{'made in part' if status == 'partial' else status}, {codes}"
    raise AssertionError


def find_photos(given: str, *, named: bool) -> list[Photo]:
    """Give the photos that an argument means.

    Parameters
    ----------
    named
        A folder's own name goes before their names.

    Raises
    ------
    UsageError
        There is no photo.
    """
    if re.match("https?://", given, re.IGNORECASE):
        stem = re.sub(r"[^\w.-]", "_", PurePosixPath(unquote(urlsplit(given).path)).stem)
        return [Photo(given, public_url(given), stem or "photo")]
    path = Path(given)
    if path.is_file():
        return [_photo(path, path.name)]
    if path.is_dir():
        before = PurePosixPath(path.resolve().name if named else "")
        found = [
            _photo(file, str(before / file.relative_to(path).as_posix())) for file in _inside(path)
        ]
    else:
        # Path.glob takes no absolute pattern.
        matches = sorted(Path(match) for match in glob.glob(given))  # noqa: PTH207
        found = [_photo(file, file.name) for file in matches if file.is_file()]
    if not found:
        raise UsageError(f"no photo here: {given}")
    return found


def _photo(file: Path, key: str) -> Photo:
    return Photo(file, str(file), str(PurePosixPath(key).with_suffix("")))


def _inside(folder: Path) -> list[Path]:
    """Every photo below ``folder``; what is passed over is said."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    photos: list[Path] = []
    left_out: list[Path] = []
    for file in files:
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        is_photo = file.suffix.lower() in PHOTO_ENDINGS and not hidden and not _is_ours(file)
        (photos if is_photo else left_out).append(file)
    if left_out:
        names = ", ".join(str(file.relative_to(folder)) for file in left_out[:_SHOWN])
        more = f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
        print(f"left out of {folder}: {names}{more}", file=sys.stderr)
    return photos


def _is_ours(file: Path) -> bool:
    """Whether a run of this command wrote the file. Masks may lie beside their photos."""
    if any((folder / TARGET_JSON).is_file() for folder in file.parents):
        return True
    beside = _BESIDE.fullmatch(file.name)
    made = beside or _MADE.fullmatch(file.name)
    if made is None:
        return False
    if beside is not None or made[2] is None:
        # An overlay is a JPEG as others are, but it does not lie alone.
        others = file.parent.glob(f"{glob.escape(made[1])}.*")
        return any(other != file for other in others)
    with file.open("rb") as opened:
        head = opened.read(26)
    return _MASK_HEAD.match(head) is not None
