"""Options that several commands take, as Typer reads them.

To add one: a type here, a parameter of every command that takes it, and a row in ``docs/cli.md``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tryon_masks import telemetry
from tryon_masks.domain.errors import InvalidRequest
from tryon_masks.domain.identity import check_user_id
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.profiles import Profile
from tryon_masks.images import Edge, FileFormat
from tryon_masks.outputs.extra import Output
from tryon_masks.schema.requests import LARGEST_SIDE, SMALLEST_SIDE, ExpandBody, read_options
from tryon_masks.service import MaskOptions, PersonChoice
from tryon_masks.settings import StoreName

OUT = "masks"
SIDES = tuple(ExpandBody.model_fields)


class UsageError(typer.TyperException):
    """The command line asks for something that cannot be; nothing has been done."""


def read_choices(user_id: str, **chosen: Any) -> tuple[MaskOptions, str]:
    """Return the chosen mask options and the user.

    Parameters
    ----------
    chosen
        The API's options by name; None counts as not given.

    Raises
    ------
    UsageError
    """
    try:
        options = read_options({name: one for name, one in chosen.items() if one is not None})
        return options, check_user_id(user_id)
    except InvalidRequest as error:
        raise UsageError(str(error)) from error


def parse_kinds(text: str) -> list[MaskKind]:
    """Return the kinds of masks between the commas of ``text``."""
    names = _names(text)
    for name in names:
        if name not in tuple(MaskKind):
            raise typer.BadParameter(f"{name!r} is no mask; there are {', '.join(MaskKind)}")
    return [MaskKind(name) for name in names]


def parse_outputs(text: str) -> list[Output]:
    """Return the outputs between the commas of ``text``."""
    names = _names(text)
    for name in names:
        if name not in tuple(Output):
            raise typer.BadParameter(f"{name!r} is no output; there are {', '.join(Output)}")
    return [Output(name) for name in names]


def parse_margins(text: str) -> dict[str, float]:
    """Return the margin of each side in ``text``, as ``top=0.1,left=0.05``."""
    margins = {}
    for pair in text.split(","):
        side, _, margin = (part.strip() for part in pair.partition("="))
        if side not in SIDES or not re.fullmatch(r"0*(0?\.\d+|[01](\.0*)?)", margin):
            raise typer.BadParameter(
                f"{pair.strip()!r} is no margin; write SIDE=T, where SIDE is one of "
                f"{', '.join(SIDES)} and T is 0 to 1, a share of the torso's length"
            )
        margins[side] = float(margin)
    return margins


def parse_numbers(text: str) -> list[float]:
    """Return the numbers between the commas of ``text``."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not numbers between commas") from error


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _completed(names: Iterable[str], incomplete: str) -> list[str]:
    """Complete the last of several names between commas."""
    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names]


def complete_kinds(incomplete: str) -> list[str]:
    """Complete the value of ``--masks``."""
    return _completed(MaskKind, incomplete)


def complete_outputs(incomplete: str) -> list[str]:
    """Complete the value of ``--outputs``."""
    return _completed(Output, incomplete)


def configure_log(verbose: bool) -> bool:
    """Send the log to stderr, or nowhere."""
    telemetry.configure(sys.stderr if verbose else None)
    return verbose


Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", callback=configure_log, help="Write log lines to stderr."),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help=f"Where files go.  [default: {OUT}]")]
Store = Annotated[
    StoreName | None, typer.Option(help="Where masks are stored.  [default: directory]")
]
Jobs = Annotated[
    int,
    typer.Option(min=1, max=256, metavar="N", help="Processes, each with models of its own."),
]
UserId = Annotated[
    str, typer.Option(metavar="ID", help="For the log, and for the folder in a store.")
]
# A Sequence, because Typer has an option with a list given once for each element.
Kinds = Annotated[
    Sequence[MaskKind] | None,
    typer.Option(
        parser=parse_kinds,
        autocompletion=complete_kinds,
        metavar="KIND,...",
        help=f"Of {', '.join(MaskKind)}.  [default: upper,lower]",
    ),
]
Outputs = Annotated[
    Sequence[Output] | None,
    typer.Option(
        parser=parse_outputs,
        autocompletion=complete_outputs,
        metavar="NAME,...",
        help=f"What else to make, of {', '.join(Output)}.",
    ),
]
ProfileName = Annotated[
    Profile | None, typer.Option("--profile", help="The masks' shape.  [default: body]")
]
Margins = Annotated[
    Mapping[str, float] | None,
    typer.Option(
        "--expand",
        parser=parse_margins,
        metavar="SIDE=T,...",
        help=f"Margins on top of the profile's: {', '.join(SIDES)}, each 0 to 1, in torso lengths.",
    ),
]
Format = Annotated[
    FileFormat | None, typer.Option("--format", help="Of the mask files.  [default: png]")
]
EdgeName = Annotated[
    Edge | None, typer.Option("--edge", help="Of the masks' contours.  [default: hard]")
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        min=SMALLEST_SIDE, max=LARGEST_SIDE, metavar="PX", help="Bound of the mask files' sides."
    ),
]
WhichPerson = Annotated[
    PersonChoice | None, typer.Option("--person", help="Whom to take of several people.")
]
PersonBox = Annotated[
    Sequence[float] | None,
    typer.Option(
        parser=parse_numbers,
        metavar="X0,Y0,X1,Y1",
        help="Who is meant, in pixels of the upright photo.",
    ),
]
Overlay = Annotated[
    bool, typer.Option("--overlay", help="Also make the photo with the masks drawn in.")
]
