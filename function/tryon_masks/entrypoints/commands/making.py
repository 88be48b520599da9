"""One answer after the other, for the commands that make masks."""

from __future__ import annotations

import re
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tryon_masks.domain.errors import (
    LogUnavailable,
    PhotoFetchFailed,
    StoreFailed,
    TryonMasksError,
    UrlNotAllowed,
)
from tryon_masks.entrypoints.commands.json_files import write_json_files
from tryon_masks.entrypoints.commands.json_text import replace_text, with_member
from tryon_masks.entrypoints.commands.options import OUT, UsageError
from tryon_masks.entrypoints.commands.photos import Photo
from tryon_masks.files import read_file
from tryon_masks.ports import StepLog
from tryon_masks.schema.answers import answer_for, error_for, mask_block
from tryon_masks.schema.requests import photo_of_document
from tryon_masks.service import MaskOptions, MaskRequest, MaskResult, MaskService
from tryon_masks.settings import Settings, StoreName
from tryon_masks.telemetry import RequestLog, init_log, request_log, step

_LOOPBACK = re.compile(r"https?://(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?(/|$)", re.I)
LOCAL_TIMEOUT_S = 10.0
"""For each wait for a server on this machine."""

Wire = Callable[[Settings], tuple[MaskService, StepLog | None]]


@dataclass(frozen=True)
class Session:
    """What a command is run with beside its options: Typer hands it on as ``ctx.obj``."""

    environ: Mapping[str, str]
    wire: Wire


def chosen_settings(
    environ: Mapping[str, str], out: Path | None, store: StoreName | None
) -> Settings:
    """Return the settings with the store and the folder that the command line names.

    Raises
    ------
    SettingsError
    UsageError
        A folder is given, but the masks go to another store.
    """
    settings = Settings.from_env(
        environ,
        on_lambda=False,
        mask_store=store,
        mask_dir=out or environ.get("MASK_DIR") or OUT,
    )
    if settings.mask_store != "directory" and out is not None:
        raise UsageError(f"--out is for the store directory, not {settings.mask_store}")
    return settings


class RequestRunner:
    """Makes one answer after the other."""

    def __init__(
        self,
        settings: Settings,
        wire: Wire,
        photos: Sequence[Photo] = (),
        *,
        allow_local: bool = False,
    ) -> None:
        self._folder = settings.mask_dir if settings.mask_store == "directory" else None
        if self._folder is not None:
            _check_stems(photos)
            check_writable(settings.mask_dir)
        self._max_bytes = settings.max_photo_bytes
        self._allow_local = settings.allow_http or allow_local
        with init_log("cli"):
            self._service, self._step_log = wire(settings)

    def photo(self, photo: Photo, options: MaskOptions, user_id: str) -> dict[str, Any]:
        """Make one photo's masks; the answer as JSON values."""

        def make(log: RequestLog) -> MaskResult:
            source = photo.source
            data = source if isinstance(source, str) else self._read(source)
            key = photo.stem if self._folder is not None else None
            result = self._service.make(MaskRequest(data, user_id, options, key), log)
            if self._folder is not None:
                with step("write_json", "cli"):
                    write_json_files(result, self._folder, photo.stem)
            return result

        return self._answer(user_id, make)

    def document(self, path: Path, options: MaskOptions, user_id: str) -> dict[str, Any]:
        """Fill in one ``data.json``; without success it is as before."""

        def make(log: RequestLog) -> MaskResult:
            with step("read_document", "cli"):
                data = read_file(path, None)
                photo = self._photo_of(photo_of_document(data), path.parent)
            result = self._service.make(MaskRequest(photo, user_id, options), log)
            if result.status == "success":
                block = mask_block(result).model_dump(by_alias=True)
                with step("write_document", "cli"):
                    _write_file(path, with_member(data.decode(), "Mask", block))
            return result

        return self._answer(user_id, make, document=True)

    def _photo_of(self, address: str, folder: Path) -> str | bytes:
        """The photo behind an address of this machine; any other address as it is."""
        on_this_machine = _LOOPBACK.match(address)
        if not on_this_machine and re.match(r"\w[\w+.-]+://", address):
            return address
        if not self._allow_local:
            raise UrlNotAllowed(
                "The photo lies on this machine: --local, or ALLOW_HTTP=1, lets it be read."
            )
        if not on_this_machine:
            return self._read(folder / address)
        with step("read_photo", "cli"):
            return _read_address(address, self._max_bytes + 1)

    def _read(self, path: Path) -> bytes:
        with step("read_photo", "cli"):
            # One byte over the limit is enough for the service to refuse the file.
            return read_file(path, self._max_bytes + 1)

    def _answer(
        self, user_id: str, make: Callable[[RequestLog], MaskResult], *, document: bool = False
    ) -> dict[str, Any]:
        request_id = uuid4().hex
        started = time.perf_counter()
        try:
            with request_log(request_id, user_id, self._step_log) as log:
                return self._made(log, make, started, document=document)
        except LogUnavailable as error:
            return _failed(error, request_id, saved=False)

    @staticmethod
    def _made(
        log: RequestLog,
        make: Callable[[RequestLog], MaskResult],
        started: float,
        *,
        document: bool,
    ) -> dict[str, Any]:
        try:
            result = make(log)
            log.flush()
            answer = answer_for(result, log, time.perf_counter() - started, document=document)
            return answer.model_dump(mode="json", by_alias=True)
        except TryonMasksError as error:
            public = error
        except Exception:  # noqa: BLE001 - its trace is shown; the other photos go on
            traceback.print_exc()
            public = TryonMasksError()
        log.flush()
        return _failed(public, log.request_id, saved=log.saved)


def _failed(error: TryonMasksError, request_id: str, *, saved: bool | None) -> dict[str, Any]:
    """The answer to a failure, with the detail that only whoever runs the command may see."""
    answer = error_for(error, request_id, saved).model_dump(mode="json")
    if error.detail is not None:
        answer["error"]["detail"] = error.detail
    return answer


def check_writable(folder: Path | None) -> None:
    """Make sure that masks can be written into ``folder``, which is made where it is not there.

    Raises
    ------
    UsageError
    """
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"masks cannot be written to {folder}: {error.strerror}") from error


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


def _read_address(address: str, most: int) -> bytes:
    # Of an extra, which other commands do without.
    import requests
    from urllib3.exceptions import HTTPError

    try:
        with requests.get(
            address, timeout=LOCAL_TIMEOUT_S, stream=True, allow_redirects=False
        ) as answer:
            if not 200 <= answer.status_code < 300:
                raise PhotoFetchFailed(detail=f"status {answer.status_code}")
            # The raw body is urllib3's, and so are its errors.
            return answer.raw.read(most, decode_content=True) or b""
    except (requests.RequestException, HTTPError) as error:
        raise PhotoFetchFailed(detail=str(error)) from error


def _write_file(path: Path, text: str) -> None:
    try:
        replace_text(path, text)
    except OSError as error:
        raise StoreFailed("The document could not be written.", detail=str(error)) from error
