"""``tryon-masks sheet``: masks over many photos on one page, the worst first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tryon_masks.domain.errors import InvalidRequest
from tryon_masks.entrypoints.commands import options as given
from tryon_masks.entrypoints.commands.making import Session, check_writable
from tryon_masks.entrypoints.commands.photos import find_all_photos
from tryon_masks.entrypoints.commands.processes import share_cores
from tryon_masks.entrypoints.commands.progress import ProgressBar
from tryon_masks.settings import Settings

if TYPE_CHECKING:
    from tryon_masks.sheet.card import Card

RESULTS = ".jsonl"
"""The ending of files of answers."""


def sheet(
    ctx: typer.Context,
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO|RESULTS",
            help="A file, a folder or a glob; or a .jsonl file of answers of generate or batch.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page, an .html file.")],
    masks: given.Kinds = None,
    profile: given.ProfileName = None,
    person: given.WhichPerson = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Photos at a time.")] = 1,
    _verbose: given.Verbose = False,
) -> int:
    """Show many photos with their masks on one HTML page, the worst first.

    The exit code is 0 when there is a page, whatever it shows.
    """
    session: Session = ctx.obj
    # Here, so that --version and --help need not load the rest.
    from tryon_masks.sheet.report import write_report

    if out.suffix.lower() != ".html":
        raise given.UsageError("--out must end in .html")
    check_writable(out.parent)
    settings = Settings.from_env(share_cores(session.environ, jobs), on_lambda=False)
    chosen = {"masks": masks, "profile": profile, "person": person}
    options = {name: value for name, value in chosen.items() if value is not None}
    results = [Path(one) for one in photos if one.endswith(RESULTS)]
    if not results:
        total, found = _of_photos(photos, settings, jobs, options)
    elif len(results) < len(photos):
        raise given.UsageError("give photos, or answers, not both")
    elif options or jobs != 1:
        raise given.UsageError("answers take no --masks, --profile, --person and --jobs")
    else:
        total, found = _of_answers(results, settings)
    cards = []
    with ProgressBar(total, shown=total > 1) as bar:
        for card in found:
            cards.append(card)
            bar.advance()
    cards.sort(key=lambda card: (card.rank, card.name))
    write_report(out, cards, out.stem)
    counts = Counter(card.status for card in cards)
    print(json.dumps({"sheet": str(out), "photos": len(cards), **counts}))
    return 0


def _of_photos(
    photos: Sequence[str], settings: Settings, jobs: int, options: Mapping[str, Any]
) -> tuple[int, Iterator[Card]]:
    """How many photos there are, and their cards as they are made."""
    from tryon_masks.library import MaskMaker
    from tryon_masks.sheet.card import cards_of

    found = find_all_photos(photos)
    paths = {one.source: one.name for one in found if isinstance(one.source, Path)}
    if len(paths) < len(found):
        raise given.UsageError("photos must be files, each given once")
    maker = MaskMaker(
        settings.model_set, models_dir=settings.models_dir, threads=settings.ort_threads
    )
    return len(paths), cards_of(maker, paths, jobs, options)


def _of_answers(results: Sequence[Path], settings: Settings) -> tuple[int, Iterator[Card]]:
    """How many answers there are, and their cards as they are read."""
    from tryon_masks.sheet.answers import card_of_answer, read_answers
    from tryon_masks.wiring import build_limits

    try:
        answers = [answer for path in results for answer in read_answers(path)]
    except (InvalidRequest, OSError, UnicodeDecodeError) as error:
        raise given.UsageError(str(error)) from error
    limits = build_limits(settings)
    return len(answers), (card_of_answer(answer, limits) for answer in answers)
