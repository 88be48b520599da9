"""Which photos an argument of the command line means."""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from tryon_masks.domain.kinds import MaskKind
from tryon_masks.entrypoints.commands.json_files import TARGET_JSON
from tryon_masks.entrypoints.commands.options import UsageError
from tryon_masks.outputs.extra import LABEL_SETS, Output
from tryon_masks.service import OVERLAY
from tryon_masks.telemetry import public_url

PASTED = "pasted"
"""In the name of a photo that a result was pasted into."""
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


@dataclass(frozen=True)
class Photo:
    """``name`` is how the caller knows it; ``stem`` names its masks in a folder."""

    source: Path | str
    name: str
    stem: str


def find_all_photos(given: Sequence[str]) -> list[Photo]:
    """Return the photos that all arguments mean.

    Raises
    ------
    UsageError
        There is no photo where an argument says.
    """
    several = sum(Path(one).is_dir() for one in given) > 1
    return [photo for one in given for photo in find_photos(one, named=several)]


def find_photos(given: str, *, named: bool) -> list[Photo]:
    """Return the photos that an argument means.

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
