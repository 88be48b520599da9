"""One answer after the other, for the commands that make masks."""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tryon_masks.domain.errors import LogUnavailable, PhotoFetchFailed, StoreFailed, TryonMasksError
from tryon_masks.entrypoints.commands.arguments import OUT, UsageError
from tryon_masks.entrypoints.commands.json_text import replace_text, with_member
from tryon_masks.ports import StepLog
from tryon_masks.schema.answers import ErrorAnswer, MaskAnswer, answer_for, error_for, mask_block
from tryon_masks.schema.requests import photo_of_document
from tryon_masks.service import MaskOptions, MaskRequest, MaskResult, MaskService
from tryon_masks.settings import Settings
from tryon_masks.telemetry import RequestLog, init_log, request_log, step

Wire = Callable[[Settings], tuple[MaskService, StepLog | None]]


@dataclass(frozen=True)
class Photo:
    """``name`` is how the caller knows it; ``stem`` names its masks in a folder."""

    source: Path | str
    name: str
    stem: str


class Maker:
    """Makes one answer after the other."""

    def __init__(
        self,
        args: argparse.Namespace,
        environ: Mapping[str, str],
        wire: Wire,
        photos: Sequence[Photo] = (),
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
            raise UsageError(f"--out is for the store directory, not {settings.mask_store}")
        return settings

    def photo(self, photo: Photo, options: MaskOptions, user_id: str) -> MaskAnswer | ErrorAnswer:
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


def real_parts(settings: Settings) -> tuple[MaskService, StepLog | None]:
    """Return the service and the step log that the settings name."""
    # Here, so that --version and --help need not load the runtime.
    from tryon_masks.wiring import build_service, build_step_log

    return build_service(settings), build_step_log(settings)


def _check_stems(photos: Sequence[Photo]) -> None:
    seen: dict[str, Photo] = {}
    for photo in photos:
        if photo.stem in seen:
            raise UsageError(f"{seen[photo.stem].name} and {photo.name} would write the same masks")
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


def print_answer(answer: MaskAnswer | ErrorAnswer, photo: str) -> None:
    """Print an answer as one line of JSON, with the photo that it is for."""
    from tqdm import tqdm  # Of an extra, which other commands do without.

    line = {**answer.model_dump(mode="json", by_alias=True), "photo": photo}
    with tqdm.external_write_mode(file=sys.stdout):
        print(json.dumps(line), flush=True)
