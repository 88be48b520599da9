"""``tryon-masks batch``: the masks of a list of photos."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tryon_masks import telemetry
from tryon_masks.domain.errors import InvalidRequest, StartError, StateUnavailable
from tryon_masks.entrypoints.commands.arguments import (
    UsageError,
    logging_arguments,
    storing_arguments,
)
from tryon_masks.entrypoints.commands.making import Maker, Photo, Wire
from tryon_masks.entrypoints.commands.photo_list import MADE, Item, Results, read_list
from tryon_masks.ports import Run
from tryon_masks.service import MASK_RULES
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
    batch.add_argument("--jobs", type=_processes, default=1, metavar="N", help="processes")
    batch.add_argument(
        "--results", type=Path, metavar="FILE", help="default: MANIFEST's name with .results.jsonl"
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
        status = results.status()
        results.mend()
    except (InvalidRequest, OSError, UnicodeDecodeError) as error:
        raise UsageError(str(error)) from error
    found = {item.item_id: status.get((item.item_id, item.digest)) for item in items}
    to_do = [item for item in items if found[item.item_id] not in MADE]
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    started = (args, {"ORT_THREADS": str(threads), **environ}, wire)
    broken = False
    with (
        _pool(args.jobs, started) as pool,
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
        print(
            "A worker process did not start or was killed, for want of memory perhaps. The same "
            "command again goes on from here.",
            file=sys.stderr,
        )
    counts = Counter(one or "not done" for one in found.values())
    print(json.dumps({"items": len(items), "skipped": len(items) - len(to_do), **counts}))
    return 0 if counts["success"] == len(items) else 1


def _batch_remote(args: argparse.Namespace, results: Results) -> int:
    from tqdm import tqdm

    # Here, because only this command needs AWS's client.
    from tryon_masks.entrypoints.commands.remote import RemoteStack, read_remote_list

    if args.out is not None or args.store is not None or args.jobs != 1:
        raise UsageError("--remote takes no --jobs, --out or --store: the stack has its own")
    try:
        listed = read_remote_list(args.manifest)
        results.status()
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


@contextmanager
def _pool(jobs: int, started: tuple[Any, ...]) -> Iterator[ProcessPoolExecutor]:
    # Not forked: a copy of a process with threads may hang.
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_start, initargs=started
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


_worker: list[Maker | StartError] = []
"""The worker process's own, or why there is none."""


def _start(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire) -> None:
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
    return {**answer.model_dump(mode="json", by_alias=True), "photo": name}


def _processes(text: str) -> int:
    if not 1 <= int(text) <= 256:
        raise ValueError
    return int(text)
