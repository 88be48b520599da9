"""``tryon-masks batch``: the masks of a list of photos."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import typer

from tryon_masks.domain.errors import InvalidRequest
from tryon_masks.entrypoints.commands import options as given
from tryon_masks.entrypoints.commands.making import (
    RequestRunner,
    Session,
    Wire,
    check_writable,
    chosen_settings,
)
from tryon_masks.entrypoints.commands.photo_list import MADE, Item, Results, read_list
from tryon_masks.entrypoints.commands.photos import Photo
from tryon_masks.entrypoints.commands.processes import share_cores, work_off
from tryon_masks.entrypoints.commands.progress import ProgressBar
from tryon_masks.service import MASK_RULES
from tryon_masks.settings import Settings
from tryon_masks.telemetry import public_url


def batch(
    ctx: typer.Context,
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="JSON Lines: photo, and options.")
    ],
    jobs: given.Jobs = 1,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where answers go.  [default: MANIFEST's name with .results.jsonl]",
        ),
    ] = None,
    out: given.Out = None,
    store: given.Store = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make everything again, whatever is done already.")
    ] = False,
    remote: Annotated[
        str | None,
        typer.Option(
            metavar="STACK",
            help="Have a deployed stack do it; again with the same list, follow it further.",
        ),
    ] = None,
    verbose: given.Verbose = False,
) -> int:
    """Make masks from a list of photos. What is done already is skipped."""
    session: Session = ctx.obj
    path = results or manifest.with_suffix(".results.jsonl")
    if not path.parent.is_dir():
        raise given.UsageError(f"no such folder: {path.parent}")
    file = Results(path)
    if remote is None:
        settings = chosen_settings(share_cores(session.environ, jobs), out, store)
        return _batch_here(manifest, file, settings, session.wire, jobs, force, verbose)
    if out is not None or store is not None or jobs != 1 or force:
        raise given.UsageError(
            "--remote takes no --jobs, --out, --store or --force: the stack decides"
        )
    # Here, because only this needs AWS's client.
    from tryon_masks.entrypoints.commands.remote import batch_remote

    return batch_remote(manifest, file, remote)


def _batch_here(
    manifest: Path,
    results: Results,
    settings: Settings,
    wire: Wire,
    jobs: int,
    force: bool,
    verbose: bool,
) -> int:
    try:
        items = read_list(manifest, settings.model_set, MASK_RULES)
        earlier = {} if force else results.answers()
        results.mend()
    except (InvalidRequest, OSError, UnicodeDecodeError) as error:
        raise given.UsageError(str(error)) from error
    there = {
        item.item_id: answer["status"]
        for item in items
        if (answer := earlier.get((item.item_id, item.digest))) and _is_there(answer, settings)
    }
    found: dict[str, str | None] = {item.item_id: there.get(item.item_id) for item in items}
    to_do = [item for item in items if item.item_id not in there]
    if to_do:
        check_writable(settings.mask_dir if settings.mask_store == "directory" else None)
    with ProgressBar(len(items), len(items) - len(to_do)) as bar:

        def take(item: Item, answer: dict[str, Any]) -> None:
            results.add(item, answer)
            found[item.item_id] = answer["status"]
            bar.advance()

        work_off(
            to_do,
            partial(RequestRunner, settings, wire),
            _make_item,
            take,
            jobs=jobs,
            threads=settings.ort_threads,
            verbose=verbose,
        )
    counts = Counter(one or "not done" for one in found.values())
    print(json.dumps({"items": len(items), "skipped": len(items) - len(to_do), **counts}))
    return 0 if counts["success"] == len(items) else 1


def _is_there(answer: Mapping[str, Any], settings: Settings) -> bool:
    """Whether a line is done, and what was made of it lies where it would be put now.

    Whether it still lies in S3 or in Cloudinary is not asked.
    """
    if answer["status"] not in MADE or "masks" not in answer:
        return False
    addresses = [*answer["masks"].values(), *filter(None, [answer.get("overlay")])]
    if settings.mask_store != "directory" or settings.mask_dir is None:
        return not any(address.startswith("file:") for address in addresses)
    folder = settings.mask_dir.resolve()
    files = [Path(unquote(urlsplit(address).path)) for address in addresses]
    return all(
        address.startswith("file:") and file.is_file() and file.is_relative_to(folder)
        for address, file in zip(addresses, files, strict=True)
    )


def _make_item(runner: RequestRunner, item: Item) -> dict[str, Any]:
    name = public_url(item.photo) if isinstance(item.photo, str) else str(item.photo)
    answer = runner.photo(Photo(item.photo, name, item.item_id), item.options, item.user_id)
    return {**answer, "photo": name}
