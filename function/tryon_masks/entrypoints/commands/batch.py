"""``tryon-masks batch``: the masks of a list of photos."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tryon_masks import telemetry
from tryon_masks.domain.errors import InvalidRequest, StartError, StateUnavailable
from tryon_masks.entrypoints.commands.arguments import (
    UsageError,
    logging_arguments,
    storing_arguments,
)
from tryon_masks.entrypoints.commands.making import Maker, Photo, Wire, check_writable
from tryon_masks.entrypoints.commands.photo_list import MADE, Item, Results, read_list
from tryon_masks.entrypoints.commands.processes import (
    BROKEN,
    end_with,
    job_count,
    process_pool,
)
from tryon_masks.ports import Run
from tryon_masks.service import MASK_RULES
from tryon_masks.settings import Settings
from tryon_masks.telemetry import public_url

if TYPE_CHECKING:
    from tqdm import tqdm


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's ``commands``."""
    batch = commands.add_parser(
        "batch",
        parents=[storing_arguments(), logging_arguments()],
        help="make masks from a list of photos; what is done already is skipped",
    )
    batch.add_argument(
        "manifest", type=Path, metavar="MANIFEST", help="JSON Lines: photo, and options"
    )
    batch.add_argument("--jobs", type=job_count, default=1, metavar="N", help="processes")
    batch.add_argument(
        "--results", type=Path, metavar="FILE", help="default: MANIFEST's name with .results.jsonl"
    )
    batch.add_argument(
        "--force", action="store_true", help="make everything again, whatever is done already"
    )
    batch.add_argument(
        "--remote",
        metavar="STACK",
        help="have a deployed stack do it; again with the same list, follow it further",
    )
    batch.set_defaults(run=run)


def run(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire) -> int:
    """Run the command and return its exit code."""
    from tqdm import tqdm  # Of an extra, which other commands do without.

    path: Path = args.results or args.manifest.with_suffix(".results.jsonl")
    if not path.parent.is_dir():
        raise UsageError(f"no such folder: {path.parent}")
    results = Results(path)
    if args.remote is not None:
        return _batch_remote(args, results)
    settings = Maker.settings(args, environ)
    try:
        items = read_list(args.manifest, settings.model_set, MASK_RULES)
        earlier = {} if args.force else results.answers()
        results.mend()
    except (InvalidRequest, OSError, UnicodeDecodeError) as error:
        raise UsageError(str(error)) from error
    there = {
        item.item_id: answer["status"]
        for item in items
        if (answer := earlier.get((item.item_id, item.digest))) and _is_there(answer, settings)
    }
    found: dict[str, str | None] = {item.item_id: there.get(item.item_id) for item in items}
    to_do = [item for item in items if item.item_id not in there]
    if to_do:
        check_writable(settings.mask_dir if settings.mask_store == "directory" else None)
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    started = (args, {"ORT_THREADS": str(threads), **environ}, wire, os.getpid())
    broken = False
    with (
        process_pool(args.jobs, _start, started) as pool,
        tqdm(initial=len(items) - len(to_do), total=len(items), unit="photo") as progress,
    ):
        pending = {pool.submit(_make_item, item): item for item in to_do}
        try:
            for done in as_completed(pending):
                answer = done.result()
                results.add(pending[done], answer)
                found[pending[done].item_id] = answer["status"]
                progress.update()
        except BrokenProcessPool:
            broken = True
    if broken:
        print(BROKEN, file=sys.stderr)
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


def _batch_remote(args: argparse.Namespace, results: Results) -> int:
    from tqdm import tqdm

    # Here, because only this command needs AWS's client.
    from tryon_masks.entrypoints.commands.remote import RemoteStack, read_remote_list

    if args.out is not None or args.store is not None or args.jobs != 1 or args.force:
        raise UsageError("--remote takes no --jobs, --out, --store or --force: the stack decides")
    try:
        listed = read_remote_list(args.manifest)
        results.answers()
    except (InvalidRequest, OSError, UnicodeDecodeError) as error:
        raise UsageError(str(error)) from error
    stack = RemoteStack.find(args.remote)
    try:
        batch_id = stack.submit([line for _, line in listed])
        print(f"batch {batch_id}: stopping this command does not stop it", file=sys.stderr)
        with tqdm(total=len(listed), unit="photo") as progress:
            run = stack.follow(batch_id, lambda run: _show(progress, run))
        if run.results is None:
            print(
                "The run has failed: its execution in Step Functions says why. It can be redriven.",
                file=sys.stderr,
            )
            return 1
        answers = {answer["id"]: answer for answer in stack.answers(run.results)}
    except StateUnavailable as error:
        print(f"AWS cannot be reached: {error.detail}", file=sys.stderr)
        return 1
    results.replace((item, answers[item.item_id]) for item, _ in listed if item.item_id in answers)
    found = (answers.get(item.item_id, {}).get("status", "not done") for item, _ in listed)
    counts = Counter(found)
    print(json.dumps({"items": len(listed), **counts}))
    return 0 if counts["success"] == len(listed) else 1


def _show(progress: tqdm[Any], run: Run) -> None:
    progress.n = run.total - run.queued - run.running
    progress.refresh()


_worker: list[Maker | StartError] = []
"""The worker process's own, or why there is none."""


def _start(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire, parent: int) -> None:
    end_with(parent)
    telemetry.configure(sys.stderr if args.verbose else None)
    try:
        _worker.append(Maker(args, environ, wire))
    except StartError as error:
        # From here it would only be told that the process broke.
        _worker.append(error)


def _make_item(item: Item) -> dict[str, Any]:
    (maker,) = _worker
    if isinstance(maker, StartError):
        raise maker
    name = public_url(item.photo) if isinstance(item.photo, str) else str(item.photo)
    answer = maker.photo(Photo(item.photo, name, item.item_id), item.options, item.user_id)
    return {**answer, "photo": name}
