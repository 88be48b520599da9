"""``tryon-masks dataset``: photos become a data set's folder tree; what is done is skipped."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tryon_masks import images, telemetry
from tryon_masks.domain.errors import (
    InvalidRequest,
    PhotoFetchFailed,
    StartError,
    StoreFailed,
    TryonMasksError,
)
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.entrypoints.commands.arguments import UsageError, logging_arguments
from tryon_masks.entrypoints.commands.generate import PHOTO_ENDINGS, find_photos
from tryon_masks.entrypoints.commands.making import Wire
from tryon_masks.entrypoints.commands.photo_list import MADE, Item, Results
from tryon_masks.entrypoints.commands.processes import (
    BROKEN,
    end_with,
    job_count,
    process_pool,
)
from tryon_masks.outputs.layouts import KINDS, SIZE, LayoutName, Tree
from tryon_masks.outputs.parsed_photo import WHITE, jpeg
from tryon_masks.outputs.transform import Transform
from tryon_masks.schema.requests import read_options
from tryon_masks.service import MASK_RULES, MaskOptions, MaskService
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log, request_log, step

RESULTS = "dataset.results.jsonl"
TREE_RULES = "1"
"""Raise it when the same photo must get new files."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's ``commands``."""
    command = commands.add_parser(
        "dataset",
        parents=[logging_arguments()],
        help="make a data set's folders from photos; what is done already is skipped",
    )
    command.add_argument("photos", nargs="+", metavar="PHOTO", help="a file, a folder or a glob")
    command.add_argument(
        "--layout", required=True, choices=[name.value for name in LayoutName], help="whose folders"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--jobs", type=job_count, default=1, metavar="N", help="processes")
    command.add_argument(
        "--kind",
        default=MaskKind.UPPER.value,
        choices=[kind.value for kind in KINDS[LayoutName.DRESS_CODE]],
        help="what is to be tried on (default: upper)",
    )
    command.add_argument("--split", default="test", choices=("train", "test"))
    command.add_argument(
        "--garments", type=Path, metavar="DIR", help="pictures named like the photos, for the pairs"
    )
    command.add_argument("--profile", help="body (default), tight, hull or box")
    command.add_argument("--person", help="largest: of several people")
    command.set_defaults(run=run)


@dataclass(frozen=True)
class _Work:
    """One photo, and its garment's picture where there is one."""

    item: Item
    path: Path
    garment: Path | None


def run(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire) -> int:
    """Run the command and return its exit code."""
    from tqdm import tqdm  # Of an extra, which other commands do without.

    layout, kind = LayoutName(args.layout), MaskKind(args.kind)
    if kind not in KINDS[layout]:
        raise UsageError(f"{layout} takes --kind {' or '.join(KINDS[layout])} only")
    tree = Tree(layout, kind, args.split)
    out: Path = args.out
    settings = Settings.from_env(environ, on_lambda=False, mask_store="directory", mask_dir=out)
    results = Results(out / RESULTS)
    try:
        work = _work(args, tree, settings)
        for folder in (tree.garments, *tree.left_out):
            (out / folder).mkdir(parents=True, exist_ok=True)
        earlier = results.answers()
        results.mend()
    except (InvalidRequest, OSError) as error:
        raise UsageError(str(error)) from error
    answers = {
        one.item.item_id: answer
        for one in work
        if (answer := earlier.get((one.item.item_id, one.item.digest)))
    }
    to_do = [one for one in work if not _is_there(answers.get(one.item.item_id))]
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    given = (args, {"ORT_THREADS": str(threads), **environ}, wire, tree, os.getpid())
    begun = time.monotonic()
    with (
        process_pool(args.jobs, _start, given) as pool,
        tqdm(initial=len(work) - len(to_do), total=len(work), unit="photo") as progress,
    ):
        pending = {pool.submit(_make, one): one.item for one in to_do}
        try:
            for done in as_completed(pending):
                answer = done.result()
                results.add(pending[done], answer)
                answers[pending[done].item_id] = answer
                progress.update()
        except BrokenProcessPool:
            print(BROKEN, file=sys.stderr)
    made = [one for one in work if answers.get(one.item.item_id, {}).get("status") == "success"]
    if args.garments is not None:
        for name, text in tree.pairs([one.item.item_id for one in made if one.garment]).items():
            _write(out / name, text.encode())
    seconds = time.monotonic() - begun
    print(json.dumps(_report(work, answers, len(to_do), seconds, tree)))
    return 0 if len(made) == len(work) else 1


def _is_there(answer: Mapping[str, Any] | None) -> bool:
    return answer is not None and answer["status"] in MADE


def _report(
    work: list[_Work],
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


def _work(args: argparse.Namespace, tree: Tree, settings: Settings) -> list[_Work]:
    given = {"masks": [tree.kind], "profile": args.profile, "person": args.person}
    options = read_options({name: value for name, value in given.items() if value is not None})
    garments = {} if args.garments is None else _by_name(args.garments)
    work: dict[str, _Work] = {}
    several = sum(Path(given).is_dir() for given in args.photos) > 1
    for photo in (one for given in args.photos for one in find_photos(given, named=several)):
        if not isinstance(photo.source, Path):
            raise UsageError(f"a data set is made of files: {photo.name}")
        name = _plain(photo.stem)
        if name in work:
            raise UsageError(f"{work[name].path} and {photo.name} would write the same files")
        garment = garments.get(name)
        what: list[object] = [asdict(tree), asdict(options), settings.model_set]
        what += [MASK_RULES, TREE_RULES, *_stat(photo.source), *(_stat(garment) if garment else ())]
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
        item = Item(name, photo.source, ANONYMOUS, options, digest)
        work[name] = _Work(item, photo.source, garment)
    return list(work.values())


def _plain(stem: str) -> str:
    # Lists of pairs part names by white space.
    return re.sub(r"[^\w.-]", "_", stem)


def _by_name(folder: Path) -> dict[str, Path]:
    files = (file for file in sorted(folder.iterdir()) if file.suffix.lower() in PHOTO_ENDINGS)
    return {_plain(file.stem): file for file in files}


def _stat(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


class _Worker:
    """Makes one photo's files after the other."""

    def __init__(
        self, args: argparse.Namespace, environ: Mapping[str, str], wire: Wire, tree: Tree
    ) -> None:
        self._out: Path = args.out
        self._tree = tree
        settings = Settings.from_env(
            environ, on_lambda=False, mask_store="directory", mask_dir=self._out
        )
        most = settings.max_photo_pixels
        self._most_bytes = settings.max_photo_bytes + 1
        self._limits = images.Limits(settings.max_photo_bytes, most, working_side=most)
        with init_log("cli"):
            self._service: MaskService = wire(settings)[0]

    def make(self, work: _Work) -> dict[str, Any]:
        """One line of results."""
        try:
            with request_log(uuid4().hex, ANONYMOUS):
                answer = self._made(work, work.item.options)
        except TryonMasksError as error:
            answer = {"status": "error", "code": error.code, "message": str(error)}
        except Exception:  # noqa: BLE001 - its trace is shown; the other photos go on
            traceback.print_exc()
            unknown = TryonMasksError()
            answer = {"status": "error", "code": unknown.code, "message": str(unknown)}
        return {**answer, "photo": str(work.path)}

    def _made(self, work: _Work, options: MaskOptions) -> dict[str, Any]:
        with step("read_photo", "cli"):
            data = self._read(work.path)
        parsed, made, refused = self._service.infer(data, options)
        if parsed is None:
            (why,) = refused
            return {"status": "refused", "code": why.code, "message": why.message}
        name = work.item.item_id
        with step("draw_files", "outputs"):
            files = self._tree.files(parsed, made[0], name)
            if work.garment is not None:
                path = f"{self._tree.garments}/{self._tree.garment(name)}"
                files[path] = self._garment(work.garment)
        with step("write_files", "cli"):
            try:
                for path, content in files.items():
                    _write(self._out / path, content)
            except OSError as error:
                raise StoreFailed("The files could not be written.", detail=str(error)) from error
        return {"status": "success", "confidence": round(made[0].confidence, 4)}

    def _garment(self, path: Path) -> bytes:
        rgb = images.decode(self._read(path), self._limits).rgb
        return jpeg(Transform.padded((rgb.shape[1], rgb.shape[0]), SIZE).picture(rgb, WHITE)).data

    def _read(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(self._most_bytes)
        except OSError as error:
            raise PhotoFetchFailed("The file could not be read.", detail=str(error)) from error


_worker: list[_Worker | StartError] = []
"""The worker process's own, or why there is none."""


def _start(
    args: argparse.Namespace, environ: Mapping[str, str], wire: Wire, tree: Tree, parent: int
) -> None:
    end_with(parent)
    telemetry.configure(sys.stderr if args.verbose else None)
    try:
        _worker.append(_Worker(args, environ, wire, tree))
    except StartError as error:
        # From here it would only be told that the process broke.
        _worker.append(error)


def _make(work: _Work) -> dict[str, Any]:
    (worker,) = _worker
    if isinstance(worker, StartError):
        raise worker
    return worker.make(work)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of one name: what a killed process has left is written over.
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)
