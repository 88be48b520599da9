"""``tryon-masks generate``: the masks of photos."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.entrypoints.commands import options as given
from tryon_masks.entrypoints.commands.making import RequestRunner, Session, chosen_settings
from tryon_masks.entrypoints.commands.photos import find_all_photos
from tryon_masks.entrypoints.commands.progress import ProgressBar, answer_line
from tryon_masks.outputs.targets import TargetName

MADE = "made"


def generate(
    ctx: typer.Context,
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO", help="A file, a folder, a glob or an https address."),
    ],
    out: given.Out = None,
    store: given.Store = None,
    masks: given.Kinds = None,
    profile: given.ProfileName = None,
    expand: given.Margins = None,
    file_format: given.Format = None,
    edge: given.EdgeName = None,
    max_side: given.MaxSide = None,
    person: given.WhichPerson = None,
    person_box: given.PersonBox = None,
    overlay: given.Overlay = False,
    outputs: given.Outputs = None,
    target: Annotated[
        TargetName | None,
        typer.Option("--for", help="Also make the files that this try-on model reads."),
    ] = None,
    user_id: given.UserId = ANONYMOUS,
    _verbose: given.Verbose = False,
) -> int:
    """Make masks from photos."""
    session: Session = ctx.obj
    found = find_all_photos(photos)
    options, user_id = given.read_choices(
        user_id,
        masks=masks,
        profile=profile,
        expand=expand,
        format=file_format,
        edge=edge,
        max_side=max_side,
        person=person,
        person_box=person_box,
        overlay=overlay,
        outputs=outputs,
        target=target,
    )
    runner = RequestRunner(chosen_settings(session.environ, out, store), session.wire, found)
    started = time.monotonic()
    outcomes: Counter[str] = Counter()
    with ProgressBar(len(found), shown=len(found) > 1) as bar:
        for photo in found:
            answer = runner.photo(photo, options, user_id)
            bar.print(answer_line(answer, photo.name))
            outcomes[_outcome(answer)] += 1
            bar.advance()
    if len(found) > 1:
        told = ", ".join(f"{outcome}: {count}" for outcome, count in sorted(outcomes.items()))
        print(f"{told}; {time.monotonic() - started:.1f} s", file=sys.stderr)
    return 0 if outcomes[MADE] == len(found) else 1


def _outcome(answer: Mapping[str, Any]) -> str:
    """Return what the closing line counts an answer under."""
    match answer:
        case {"status": "success"}:
            return MADE
        case {"status": "error", "error": {"code": code}}:
            return f"failed, {code}"
        case {"status": status, "refused": refused}:
            codes = ", ".join(sorted({one["code"] for one in refused}))
            return f"{'made in part' if status == 'partial' else status}, {codes}"
    raise AssertionError
