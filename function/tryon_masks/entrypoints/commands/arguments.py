"""What several commands are told, and how it is read."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from tryon_masks.domain.errors import InvalidRequest
from tryon_masks.domain.identity import ANONYMOUS, check_user_id
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.schema.requests import ExpandBody, read_options
from tryon_masks.service import OVERLAY, MaskOptions

OUT = "masks"
SIDES = tuple(ExpandBody.model_fields)


class UsageError(Exception):
    """The command line asks for something that cannot be; nothing has been done."""


def logging_arguments() -> argparse.ArgumentParser:
    """Return the parent parser of ``--verbose``."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-v", "--verbose", action="store_true", help="log lines on stderr")
    return common


def storing_arguments() -> argparse.ArgumentParser:
    """Return the parent parser of where masks are stored."""
    storing = argparse.ArgumentParser(add_help=False)
    storing.add_argument("--out", type=Path, metavar="DIR", help=f"default: {OUT}/")
    storing.add_argument("--store", choices=("directory", "cloudinary", "s3"))
    return storing


def option_arguments() -> argparse.ArgumentParser:
    """Return the parent parser of whose masks are made, and how they look."""
    making = argparse.ArgumentParser(add_help=False)
    making.add_argument("--user-id", default=ANONYMOUS, metavar="ID")
    making.add_argument("--profile", help="body (default), tight, hull or box")
    making.add_argument(
        "--expand", type=_margins, metavar="SIDE=T,...", help="for instance top=0.1,left=0.05"
    )
    making.add_argument("--format", help="png (default) or webp")
    making.add_argument("--edge", help="hard (default) or soft")
    making.add_argument("--max-side", type=int, metavar="PX", help="of the mask files, 64 to 8192")
    making.add_argument("--person", help="largest: of several people")
    making.add_argument("--person-box", type=_numbers, metavar="X0,Y0,X1,Y1")
    making.add_argument("--overlay", action="store_true", help="also the photo with masks drawn in")
    return making


def read_choices(args: argparse.Namespace) -> tuple[MaskOptions, str]:
    """Return the chosen mask options and the user.

    Raises
    ------
    UsageError
    """
    names = ("masks", "profile", "expand", "format", "edge", "max_side", "person", "person_box")
    more = (OVERLAY, "outputs", "target")
    given: dict[str, Any] = {name: getattr(args, name) for name in (*names, *more)}
    try:
        options = read_options({name: value for name, value in given.items() if value is not None})
        return options, check_user_id(args.user_id)
    except InvalidRequest as error:
        raise UsageError(str(error)) from error


def mask_kinds(text: str) -> list[str]:
    """Return the kinds of masks between the commas of ``text``."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in tuple(MaskKind):
            allowed = ", ".join(MaskKind)
            raise argparse.ArgumentTypeError(f"{name!r} is no mask; there are {allowed}")
    return names


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _margins(text: str) -> dict[str, float]:
    margins = {}
    for pair in text.split(","):
        side, _, margin = (part.strip() for part in pair.partition("="))
        if side not in SIDES or not re.fullmatch(r"0*(0?\.\d+|[01](\.0*)?)", margin):
            raise argparse.ArgumentTypeError(
                f"{pair.strip()!r} is no margin; write SIDE=T, where SIDE is one of "
                f"{', '.join(SIDES)} and T is 0 to 1, a share of the torso's length"
            )
        margins[side] = float(margin)
    return margins
