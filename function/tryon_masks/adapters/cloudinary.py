"""Masks in a Cloudinary account, uploaded and signed by the official SDK."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from urllib3 import Timeout
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

from tryon_masks.adapters.parallel import save_in_parallel
from tryon_masks.deadline import require_time, time_left
from tryon_masks.domain.errors import SettingsError, StoreFailed, StoreTimeout
from tryon_masks.ports import EncodedImage, user_folder
from tryon_masks.telemetry import step

_RATE_LIMITED = (420, 429)
"""HTTP statuses with which Cloudinary says that there were too many calls."""
_STABLE_VERSION = "/v1/"
_CONNECTIONS = 10
"""Connections that are kept open at most."""
_TRY_S = 1.0
"""Seconds of the call without which no try is begun."""
_DETAIL_CHARS = 500
"""Characters of Cloudinary's own message that go to the log."""
_LEAST_S = 0.05
"""Least seconds that a try is given."""
_DICE = random.SystemRandom()
PAGE_SIZE = 500
MAX_DELETIONS = 100
"""Most assets that Cloudinary lists, and deletes, in one call."""


class StoreBusy(StoreFailed):
    """One try failed, the next may not: 429, 5xx, a lost connection, an unreadable answer."""


class StoreSlow(StoreTimeout):
    """One try was not answered in time; the next may be."""


class CloudinaryMaskStore:
    """Keeps each mask as the image ``folder/key/name``, overwritten when it is there already.

    The address is the one that Cloudinary answers, with its version (new at each overwrite)
    replaced by ``v1``. Any version leads to the newest upload, so a retry or the same photo again
    gives the same address, and ``v1`` is the form of address that ``invalidate`` clears from the
    CDN for an image in a folder. Also a :class:`~tryon_masks.ports.UserData`.

    Parameters
    ----------
    url
        ``cloudinary://API_KEY:API_SECRET@CLOUD_NAME``, with ``upload_prefix`` (another API
        address) and ``signature_algorithm`` (sha1, sha256) as optional query parameters.
    folder
        First part of every public id.
    timeout_s
        Seconds for one file: its tries share them, and each gets its part of what is left.
    tries
        Uploads of one file before it counts as failed.
    backoff_s
        Upper bound in seconds of the random pause after the first try; it doubles with each try.

    Raises
    ------
    SettingsError
        ``url`` is malformed. The message never repeats it.
    """

    def __init__(
        self, url: str, folder: str, timeout_s: float, *, tries: int = 3, backoff_s: float = 0.5
    ) -> None:
        self._account = _account(url)
        self._upload, self._sdk_error = _sdk()
        self._folder = folder.strip("/")
        self._timeout_s = timeout_s
        self._tries = tries
        self._backoff_s = backoff_s

    def save(self, key: str, files: Mapping[str, EncodedImage]) -> dict[str, str]:
        """Upload all files side by side and return ``{name: https URL}``.

        Raises
        ------
        StoreFailed, StoreTimeout, OutOfTime
        """
        return save_in_parallel(files, lambda name, file: self._save_one(key, name, file))

    def find(self, user_id: str) -> list[str]:
        """Return the public ids of all that was made for the user."""
        folder = "/".join(filter(None, (self._folder, user_folder(user_id))))
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = self._ask("resources", prefix=f"{folder}/", max_results=PAGE_SIZE, **cursor)
            found += [asset["public_id"] for asset in page["resources"]]
            if "next_cursor" not in page:
                return found
            cursor = {"next_cursor": page["next_cursor"]}

    def erase(self, names: Sequence[str]) -> None:
        """Delete these images, and have the CDN forget them."""
        for start in range(0, len(names), MAX_DELETIONS):
            self._ask(
                "delete_resources", list(names[start : start + MAX_DELETIONS]), invalidate=True
            )

    def _ask(self, function: str, *given: Any, **options: Any) -> Any:
        """Call one function of the SDK's Admin API."""
        from cloudinary import api

        try:
            return getattr(api, function)(
                *given,
                resource_type="image",
                type="upload",
                timeout=Timeout(total=self._timeout_s),
                **options,
                **self._account,
            )
        except Exception as error:
            # The SDK raises no class of its own for a status that it does not know.
            raise StoreFailed(
                "Cloudinary could not list or erase images.", detail=str(error)[:_DETAIL_CHARS]
            ) from error

    def _save_one(self, key: str, name: str, file: EncodedImage) -> str:
        public_id = "/".join(filter(None, (self._folder, key, name)))
        end = time.monotonic() + min(self._timeout_s, time_left())
        attempt = 1
        while True:
            patience_s = max(_LEAST_S, end - time.monotonic()) / (self._tries - attempt + 1)
            try:
                with step("upload_mask", "cloudinary", mask=name, attempt=attempt):
                    require_time(_TRY_S)
                    return self._try(public_id, name, file, patience_s)
            except (StoreBusy, StoreSlow):
                left_s = end - time.monotonic()
                if attempt == self._tries or left_s <= 0:
                    raise
            pause_s = _DICE.uniform(0, self._backoff_s * 2 ** (attempt - 1))
            time.sleep(min(pause_s, left_s / 2))
            attempt += 1

    def _try(self, public_id: str, name: str, file: EncodedImage, patience_s: float) -> str:
        try:
            answer = self._upload(
                (f"{name}.{file.extension}", file.data),
                public_id=public_id,
                resource_type="image",
                overwrite=True,
                invalidate=True,
                timeout=Timeout(total=patience_s),
                return_error=True,
                **self._account,
            )
        except self._sdk_error as error:
            raise _lost(error) from error
        if "error" in answer:
            raise _said_no(answer["error"])
        return _address(answer, public_id)


@cache
def _sdk() -> tuple[Any, type[Exception]]:
    """Import the SDK: its upload function, and the error that it raises.

    Imported late: the SDK reads CLOUDINARY_URL from the environment when it is imported, and fails
    on a bad one with an error of its own, so ours has to be checked first.
    """
    import cloudinary
    from cloudinary import exceptions, uploader, utils

    # The SDK's own pool keeps one connection for all threads and repeats each connect three times
    # more, whatever the timeout.
    options = {**cloudinary.CERT_KWARGS, "maxsize": _CONNECTIONS, "retries": False}
    uploader._http = utils.get_http_connector(cloudinary.config(), options)
    return uploader.upload, exceptions.Error


def _account(url: str) -> dict[str, Any]:
    """Return every option that the SDK would otherwise take from its process-wide configuration."""
    form = "CLOUDINARY_URL must look like cloudinary://API_KEY:API_SECRET@CLOUD_NAME."
    try:
        parts = urlsplit(url)
    except ValueError:
        raise SettingsError(form) from None
    credentials, _, cloud_name = parts.netloc.rpartition("@")
    api_key, _, api_secret = credentials.partition(":")
    if parts.scheme != "cloudinary" or parts.path not in ("", "/") or parts.fragment:
        raise SettingsError(form)
    if not (api_key and api_secret and re.fullmatch(r"[A-Za-z0-9_-]+", cloud_name)):
        raise SettingsError(form)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    upload_prefix = options.pop("upload_prefix", "https://api.cloudinary.com")
    if not re.fullmatch(r"https?://[^/?#@\s]+", upload_prefix):
        raise SettingsError("upload_prefix in CLOUDINARY_URL must be an http or https origin.")
    algorithm = options.pop("signature_algorithm", "sha1")
    if algorithm not in ("sha1", "sha256"):
        raise SettingsError("signature_algorithm in CLOUDINARY_URL must be sha1 or sha256.")
    if options:
        raise SettingsError(f"CLOUDINARY_URL has unknown parameters: {', '.join(sorted(options))}.")
    return {
        "cloud_name": cloud_name,
        "api_key": api_key,
        "api_secret": api_secret,
        "upload_prefix": upload_prefix,
        "signature_algorithm": algorithm,
        "signature_version": 2,
        "oauth_token": None,
        "upload_preset": None,
    }


def _lost(error: Exception) -> StoreBusy | StoreSlow:
    """No readable answer. What the SDK caught is the context of what it raises."""
    detail = str(error)[:_DETAIL_CHARS]
    cause = error.__context__
    # urllib3 counts a refused connection among the timeouts.
    late = isinstance(cause, ConnectTimeoutError | ReadTimeoutError)
    if late and not isinstance(cause, NewConnectionError):
        return StoreSlow(detail=detail)
    return StoreBusy(detail=detail)


def _said_no(error: Mapping[str, Any]) -> StoreFailed:
    status = int(error["http_code"])
    detail = f"HTTP {status}: {error.get('message')}"[:_DETAIL_CHARS]
    busy = status in _RATE_LIMITED or status >= 500
    return (StoreBusy if busy else StoreFailed)(detail=detail)


def _address(answer: Mapping[str, Any], public_id: str) -> str:
    secure_url = str(answer.get("secure_url"))
    version = f"/v{answer.get('version')}/"
    if answer.get("public_id") != public_id or secure_url.count(version) != 1:
        raise StoreFailed(
            detail=f"{public_id} was stored as {answer.get('public_id')} at {secure_url}"
        )
    return secure_url.replace(version, _STABLE_VERSION)
