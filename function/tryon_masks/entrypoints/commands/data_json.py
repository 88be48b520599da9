"""``tryon-masks data-json``: the Mask block of one ``data.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.entrypoints.commands import options as given
from tryon_masks.entrypoints.commands.making import RequestRunner, Session, chosen_settings
from tryon_masks.entrypoints.commands.progress import answer_line


def data_json(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The data.json.")],
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="The photo may be a path beside FILE, or an address of this machine."
        ),
    ] = False,
    out: given.Out = None,
    store: given.Store = None,
    profile: given.ProfileName = None,
    expand: given.Margins = None,
    file_format: given.Format = None,
    edge: given.EdgeName = None,
    max_side: given.MaxSide = None,
    person: given.WhichPerson = None,
    person_box: given.PersonBox = None,
    overlay: given.Overlay = False,
    user_id: given.UserId = ANONYMOUS,
    _verbose: given.Verbose = False,
) -> int:
    """Fill in the Mask block of a data.json."""
    session: Session = ctx.obj
    if not file.is_file():
        raise given.UsageError(f"no such file: {file}")
    options, user_id = given.read_choices(
        user_id,
        profile=profile,
        expand=expand,
        format=file_format,
        edge=edge,
        max_side=max_side,
        person=person,
        person_box=person_box,
        overlay=overlay,
    )
    settings = chosen_settings(session.environ, out, store)
    answer = RequestRunner(settings, session.wire, allow_local=local).document(
        file, options, user_id
    )
    print(answer_line(answer, str(file)), flush=True)
    return 0 if answer["status"] == "success" else 1
