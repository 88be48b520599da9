"""``tryon-masks dataset``: photos become a data set's folder tree; what is done is skipped."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tryon_masks.domain.errors import InvalidRequest
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.entrypoints.commands import options as given
from tryon_masks.entrypoints.commands.making import Session
from tryon_masks.entrypoints.commands.photo_list import MADE, Results
from tryon_masks.entrypoints.commands.processes import share_cores, work_off
from tryon_masks.entrypoints.commands.progress import ProgressBar
from tryon_masks.entrypoints.commands.tree_files import TreeWorker, Work, list_work, write_file
from tryon_masks.outputs.layouts import KINDS, LayoutName, Split, Tree
from tryon_masks.settings import Settings

RESULTS = "dataset.results.jsonl"
TreeKind = Literal[MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL]


def dataset(
    ctx: typer.Context,
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO", help="A file, a folder or a glob.")
    ],
    layout: Annotated[LayoutName, typer.Option(help="Whose folders to make.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the folders go.")],
    jobs: given.Jobs = 1,
    kind: Annotated[TreeKind, typer.Option(help="What is to be tried on.")] = MaskKind.UPPER,
    split: Annotated[Split, typer.Option(help="Which half of the data set.")] = "test",
    garments: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Pictures named like the photos, for the pairs."),
    ] = None,
    profile: given.ProfileName = None,
    person: given.WhichPerson = None,
    verbose: given.Verbose = False,
) -> int:
    """Make a data set's folders from photos. What is done already is skipped."""
    session: Session = ctx.obj
    if kind not in KINDS[layout]:
        raise given.UsageError(f"{layout} takes --kind {' or '.join(KINDS[layout])} only")
    tree = Tree(layout, kind, split)
    environ = share_cores(session.environ, jobs)
    settings = Settings.from_env(environ, on_lambda=False, mask_store="directory", mask_dir=out)
    results = Results(out / RESULTS)
    options, _ = given.read_choices(ANONYMOUS, masks=[kind], profile=profile, person=person)
    try:
        work = list_work(photos, garments, tree, options, settings.model_set)
        for folder in (tree.garments, *tree.left_out):
            (out / folder).mkdir(parents=True, exist_ok=True)
        earlier = results.answers()
        results.mend()
    except (InvalidRequest, OSError) as error:
        raise given.UsageError(str(error)) from error
    answers = {
        one.item.item_id: answer
        for one in work
        if (answer := earlier.get((one.item.item_id, one.item.digest)))
    }
    to_do = [one for one in work if not _is_there(answers.get(one.item.item_id))]
    begun = time.monotonic()
    with ProgressBar(len(work), len(work) - len(to_do)) as bar:

        def take(one: Work, answer: dict[str, Any]) -> None:
            results.add(one.item, answer)
            answers[one.item.item_id] = answer
            bar.advance()

        work_off(
            to_do,
            partial(TreeWorker, settings, session.wire, tree, out),
            TreeWorker.make,
            take,
            jobs=jobs,
            threads=settings.ort_threads,
            verbose=verbose,
        )
    made = [one for one in work if answers.get(one.item.item_id, {}).get("status") == "success"]
    if garments is not None:
        for name, text in tree.pairs([one.item.item_id for one in made if one.garment]).items():
            write_file(out / name, text.encode())
    seconds = time.monotonic() - begun
    print(json.dumps(_report(work, answers, len(to_do), seconds, tree)))
    return 0 if len(made) == len(work) else 1


def _is_there(answer: Mapping[str, Any] | None) -> bool:
    return answer is not None and answer["status"] in MADE


def _report(
    work: list[Work],
    answers: Mapping[str, Mapping[str, Any]],
    tried: int,
    seconds: float,
    tree: Tree,
) -> dict[str, Any]:
    statuses = Counter(answer["status"] for answer in answers.values())
    if missing := len(work) - len(answers):
        statuses["not done"] = missing
    codes = Counter(answer["code"] for answer in answers.values() if "code" in answer)
    return {
        "photos": len(work),
        "skipped": len(work) - tried,
        **statuses,
        "codes": dict(codes.most_common()),
        "without_garment": sum(one.garment is None for one in work),
        "photos_per_second": round(tried / seconds, 2) if tried else 0,
        "not_made": tree.left_out,
    }
