"""The command line: ``tryon-masks generate``, ``batch``, ``data-json``, ``models``, ``erase``.

Exit codes: 0 everything was made, 1 something was refused or failed (the rest is done), 2 wrong
usage or a start that failed (nothing is done).
"""

from __future__ import annotations

import argparse
import glob
import json
import multiprocessing
import os
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from tqdm import tqdm

from tryon_masks import __version__, telemetry
from tryon_masks.domain.errors import (
    InvalidRequest,
    LogUnavailable,
    PhotoFetchFailed,
    StartError,
    StateUnavailable,
    StoreFailed,
    TryonMasksError,
)
from tryon_masks.domain.masks import MaskKind
from tryon_masks.entrypoints.batch import MADE, Item, Results, read_list
from tryon_masks.entrypoints.data_json import replace_text, with_member
from tryon_masks.entrypoints.erase import erase, read_person
from tryon_masks.entrypoints.schema import (
    ErrorAnswer,
    MaskAnswer,
    answer_for,
    error_for,
    mask_block,
    photo_of_document,
    read_options,
    read_user_id,
)
from tryon_masks.ports import Run, StepLog
from tryon_masks.service import (
    MASK_RULES,
    OVERLAY,
    MaskOptions,
    MaskRequest,
    MaskResult,
    MaskService,
)
from tryon_masks.settings import Settings
from tryon_masks.telemetry import ANONYMOUS, RequestLog, init_log, public_url, request_log, step

OUT = "masks"
PHOTO_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif"})
MADE_ENDINGS = frozenset(f".{name}" for name in (*MaskKind, OVERLAY))

Wire = Callable[[Settings], tuple[MaskService, StepLog | None]]


def main(
    argv: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    wire: Wire | None = None,
) -> int:
    """Run one command and return its exit code; ``wire`` replaces the real models and stores."""
    parser = _parser()
    args = parser.parse_args(argv)
    telemetry.configure(sys.stderr if args.verbose else None)
    try:
        run: Callable[[argparse.Namespace, Mapping[str, str], Wire], int] = args.run
        return run(args, environ, wire or _real_parts)
    except _UsageError as error:
        parser.error(str(error))
    except StartError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2


class _UsageError(Exception):
    """The command line asks for something that cannot be; nothing has been done."""


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-v", "--verbose", action="store_true", help="log lines on stderr")
    storing = argparse.ArgumentParser(add_help=False)
    storing.add_argument("--out", type=Path, metavar="DIR", help=f"default: {OUT}/")
    storing.add_argument("--store", choices=("directory", "cloudinary", "s3"))
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

    parser = argparse.ArgumentParser(
        prog="tryon-masks", description="Masks for virtual try-on, from photos, on the CPU."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    generate = commands.add_parser(
        "generate", parents=[storing, making, common], help="make masks from photos"
    )
    generate.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="a file, a folder, a glob or an https address"
    )
    generate.add_argument("--masks", type=_names, metavar="KIND,...", help="default: upper,lower")
    generate.set_defaults(run=_generate)

    batch = commands.add_parser(
        "batch",
        parents=[storing, common],
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
    batch.set_defaults(run=_batch)

    data_json = commands.add_parser(
        "data-json", parents=[storing, making, common], help="fill in the Mask block of a data.json"
    )
    data_json.add_argument("file", type=Path, metavar="FILE")
    data_json.set_defaults(run=_data_json, masks=None)

    models = commands.add_parser("models", parents=[common], help="list the models that are used")
    models.set_defaults(run=_models)

    erasing = commands.add_parser(
        "erase",
        parents=[storing, common],
        help="count all that is kept of a user; with --yes, erase it",
    )
    erasing.add_argument("--user-id", required=True, metavar="ID")
    erasing.add_argument("--yes", action="store_true", help="erase it: this cannot be undone")
    erasing.set_defaults(run=_erase)
    return parser


def _processes(text: str) -> int:
    if not 1 <= int(text) <= 256:
        raise ValueError
    return int(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _margins(text: str) -> dict[str, float]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    return {side.strip(): float(margin) for side, _, margin in pairs}


@dataclass(frozen=True)
class _Photo:
    """``name`` is how the caller knows it; ``stem`` names its masks in a folder."""

    source: Path | str
    name: str
    stem: str


def _generate(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire) -> int:
    photos = [photo for given in args.photos for photo in _find(given)]
    options, user_id = _checked(args)
    maker = _Maker(args, environ, wire, photos)
    made = 0
    with tqdm(photos, unit="photo", file=sys.stderr, disable=len(photos) < 2) as progress:
        for photo in progress:
            answer = maker.photo(photo, options, user_id)
            _print(answer, photo.name)
            made += answer.status == "success"
    return 0 if made == len(photos) else 1


def _data_json(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire) -> int:
    if not args.file.is_file():
        raise _UsageError(f"no such file: {args.file}")
    options, user_id = _checked(args)
    answer = _Maker(args, environ, wire).document(args.file, options, user_id)
    _print(answer, str(args.file))
    return 0 if answer.status == "success" else 1


def _batch(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire) -> int:
    path: Path = args.results or args.manifest.with_suffix(".results.jsonl")
    if not path.parent.is_dir():
        raise _UsageError(f"no such folder: {path.parent}")
    results = Results(path)
    if args.remote is not None:
        return _batch_remote(args, results)
    settings = _Maker.settings(args, environ)
    try:
        items = read_list(args.manifest, settings.model_set, MASK_RULES)
        status = results.status()
        results.mend()
    except (InvalidRequest, OSError, UnicodeDecodeError) as error:
        raise _UsageError(str(error)) from error
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
    # Here, because only this command needs AWS's client.
    from tryon_masks.entrypoints.remote import RemoteStack, read_remote_list

    if args.out is not None or args.store is not None or args.jobs != 1:
        raise _UsageError("--remote takes no --jobs, --out or --store: the stack has its own")
    try:
        listed = read_remote_list(args.manifest)
        results.status()
    except (InvalidRequest, OSError, UnicodeDecodeError) as error:
        raise _UsageError(str(error)) from error
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


_worker: list[_Maker | StartError] = []
"""The worker process's own, or why there is none."""


def _start(args: argparse.Namespace, environ: Mapping[str, str], wire: Wire) -> None:
    telemetry.configure(sys.stderr if args.verbose else None)
    try:
        _worker.append(_Maker(args, environ, wire))
    except StartError as error:
        # From here it would only be told that the process broke.
        _worker.append(error)


def _make_item(item: Item) -> dict[str, Any]:
    (maker,) = _worker
    if isinstance(maker, StartError):
        raise maker
    name = public_url(item.photo) if isinstance(item.photo, str) else str(item.photo)
    answer = maker.photo(_Photo(item.photo, name, item.item_id), item.options, item.user_id)
    return {**answer.model_dump(mode="json", by_alias=True), "photo": name}


def _models(_args: argparse.Namespace, environ: Mapping[str, str], _wire: Wire) -> int:
    from tryon_masks.vision.catalog import load_model_set
    from tryon_masks.wiring import CHECKOUT_MODELS

    settings = Settings.from_env(environ, on_lambda=False)
    folder = (settings.models_dir or CHECKOUT_MODELS) / settings.model_set
    models = load_model_set(settings.model_set, folder)
    rows = [("SET", "FILE", "SHA256", "LICENCE", "SOURCE")]
    for file in models.files.values():
        source = f"{file.package} {file.version}"
        rows.append((models.name, file.path.name, file.sha256, file.licence, source))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


def _erase(args: argparse.Namespace, environ: Mapping[str, str], _wire: Wire) -> int:
    try:
        user_id = read_person(args.user_id)
    except InvalidRequest as error:
        raise _UsageError(str(error)) from error
    answer = erase(_Maker.settings(args, environ), user_id, really=args.yes)
    print(json.dumps(answer))
    if not args.yes:
        print("Nothing was erased. The same with --yes erases it.", file=sys.stderr)
    return 1 if answer["status"] == "failed" else 0


class _Maker:
    """Makes one answer after the other."""

    def __init__(
        self,
        args: argparse.Namespace,
        environ: Mapping[str, str],
        wire: Wire,
        photos: Sequence[_Photo] = (),
    ) -> None:
        settings = self.settings(args, environ)
        self._named = settings.mask_store == "directory"
        if self._named:
            _check_stems(photos)
        self._max_bytes = settings.max_photo_bytes
        with init_log("cli"):
            self._service, self._step_log = wire(settings)

    @staticmethod
    def settings(args: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
        """What was chosen, and nothing done yet."""
        settings = Settings.from_env(
            environ,
            on_lambda=False,
            mask_store=args.store,
            mask_dir=args.out or environ.get("MASK_DIR") or OUT,
        )
        if settings.mask_store != "directory" and args.out is not None:
            raise _UsageError(f"--out is for the store directory, not {settings.mask_store}")
        return settings

    def photo(self, photo: _Photo, options: MaskOptions, user_id: str) -> MaskAnswer | ErrorAnswer:
        """Make one photo's masks."""

        def make(log: RequestLog) -> MaskResult:
            source = photo.source
            data = source if isinstance(source, str) else self._read(source)
            key = photo.stem if self._named else None
            return self._service.make(MaskRequest(data, user_id, options, key), log)

        return self._answer(user_id, make)

    def document(self, path: Path, options: MaskOptions, user_id: str) -> MaskAnswer | ErrorAnswer:
        """Fill in one ``data.json``; without success it is as before."""

        def make(log: RequestLog) -> MaskResult:
            with step("read_document", "cli"):
                data = _read_file(path)
                address = photo_of_document(data)
            result = self._service.make(MaskRequest(address, user_id, options), log)
            if result.status == "success":
                block = mask_block(result).model_dump(by_alias=True)
                with step("write_document", "cli"):
                    _write_file(path, with_member(data.decode(), "Mask", block))
            return result

        return self._answer(user_id, make, document=True)

    def _read(self, path: Path) -> bytes:
        with step("read_photo", "cli"):
            # One byte over the limit is enough for the service to refuse the file.
            return _read_file(path, self._max_bytes + 1)

    def _answer(
        self, user_id: str, make: Callable[[RequestLog], MaskResult], *, document: bool = False
    ) -> MaskAnswer | ErrorAnswer:
        request_id = uuid4().hex
        started = time.perf_counter()
        try:
            with request_log(request_id, user_id, self._step_log) as log:
                return self._made(log, make, started, document=document)
        except LogUnavailable as error:
            return error_for(error, request_id, log_saved=False)

    @staticmethod
    def _made(
        log: RequestLog,
        make: Callable[[RequestLog], MaskResult],
        started: float,
        *,
        document: bool,
    ) -> MaskAnswer | ErrorAnswer:
        try:
            result = make(log)
            log.flush()
            return answer_for(result, log, time.perf_counter() - started, document=document)
        except TryonMasksError as error:
            public = error
        except Exception:  # noqa: BLE001 - its trace is shown; the other photos go on
            traceback.print_exc()
            public = TryonMasksError()
        log.flush()
        return error_for(public, log.request_id, log.saved)


def _real_parts(settings: Settings) -> tuple[MaskService, StepLog | None]:
    # Here, so that --version and --help need not load the runtime.
    from tryon_masks.wiring import build_service, build_step_log

    return build_service(settings), build_step_log(settings)


def _checked(args: argparse.Namespace) -> tuple[MaskOptions, str]:
    names = ("masks", "profile", "expand", "format", "edge", "max_side", "person", "person_box")
    given: dict[str, Any] = {name: getattr(args, name) for name in (*names, OVERLAY)}
    try:
        options = read_options({name: value for name, value in given.items() if value is not None})
        return options, read_user_id(args.user_id)
    except InvalidRequest as error:
        raise _UsageError(str(error)) from error


def _find(given: str) -> list[_Photo]:
    if re.match("https?://", given, re.IGNORECASE):
        stem = re.sub(r"[^\w.-]", "_", PurePosixPath(unquote(urlsplit(given).path)).stem)
        return [_Photo(given, public_url(given), stem or "photo")]
    path = Path(given)
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(file for file in path.iterdir() if _is_photo(file))
    else:
        # Path.glob takes no absolute pattern.
        found = sorted(Path(match) for match in glob.glob(given) if Path(match).is_file())  # noqa: PTH207
    if not found:
        raise _UsageError(f"no photo here: {given}")
    return [_Photo(file, str(file), file.stem) for file in found]


def _is_photo(file: Path) -> bool:
    # Masks may lie beside their photos: they are not photos.
    is_made = Path(file.stem).suffix in MADE_ENDINGS
    return file.suffix.lower() in PHOTO_ENDINGS and not is_made and file.is_file()


def _check_stems(photos: Sequence[_Photo]) -> None:
    seen: dict[str, _Photo] = {}
    for photo in photos:
        if photo.stem in seen:
            raise _UsageError(
                f"{seen[photo.stem].name} and {photo.name} would write the same masks"
            )
        seen[photo.stem] = photo


def _read_file(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise PhotoFetchFailed("The file could not be read.", detail=str(error)) from error


def _write_file(path: Path, text: str) -> None:
    try:
        replace_text(path, text)
    except OSError as error:
        raise StoreFailed("The document could not be written.", detail=str(error)) from error


def _print(answer: MaskAnswer | ErrorAnswer, photo: str) -> None:
    line = {**answer.model_dump(mode="json", by_alias=True), "photo": photo}
    with tqdm.external_write_mode(file=sys.stdout):
        print(json.dumps(line), flush=True)
