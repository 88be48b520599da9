"""Masks in an S3 bucket, and the objects that the worker reads and writes."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from typing import Any
from urllib.parse import quote, unquote

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    ReadTimeoutError,
)
from pydantic import TypeAdapter

from tryon_masks.adapters.aws import aws_client, translate_state_errors
from tryon_masks.adapters.parallel import save_in_parallel
from tryon_masks.domain.errors import (
    PhotoFetchFailed,
    PhotoFetchTimeout,
    PhotoNotFound,
    PhotoTooLarge,
    StateUnavailable,
    StoreFailed,
    StoreTimeout,
)
from tryon_masks.ports import (
    JSON_LINES,
    USER_METADATA,
    EncodedImage,
    MaskTask,
    UploadForm,
    user_folder,
    user_key,
)
from tryon_masks.telemetry import step

_TIMEOUTS = (ConnectTimeoutError, ReadTimeoutError)
_ERRORS = (BotoCoreError, ClientError)
_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "InvalidObjectState", "404"})
"""Why an object cannot be read now or later: it was deleted, or moved to an archive."""
_CACHE_S = 86_400
"""Seconds that others may cache a mask: its address belongs to its content."""
_MAX_DELETIONS = 1000
"""Most objects that S3 deletes in one call."""
_AT_ONCE = 10
"""Objects that are asked at a time."""
BATCHES = "batches/"

_ITEM = TypeAdapter(MaskTask)


def s3_client(timeout_s: float, *, tries: int = 2) -> Any:
    """Return an S3 client whose calls end within ``timeout_s`` seconds, all tries together.

    Each try waits twice, to connect and to be answered; the pause before the second takes a part,
    too. An object's bytes may take longer, as long as they keep coming.

    Raises
    ------
    SettingsError
    """
    # botocore's own choice presigns with the old signature in the old regions, and for the global
    # host, which redirects to a host that was not signed.
    return aws_client(
        "s3",
        timeout_s / (2 * tries + 1),
        tries=tries,
        signature_version="s3v4",
        s3={"addressing_style": "virtual"},
    )


class S3MaskStore:
    """Keeps each mask as ``prefix/key/name.extension``.

    Also a :class:`~tryon_masks.ports.UserData`.

    Parameters
    ----------
    bucket, prefix
        Where the masks go; an empty prefix is the bucket's root.
    client
        From :func:`s3_client`.
    public_base_url
        The address under which the bucket's root can be read by anyone. ``None`` answers
        presigned GET addresses, whose path is the same again for the same mask.
    url_ttl_s
        Seconds that a presigned address works, 1 to 604,800; temporary credentials end it sooner.
    """

    def __init__(
        self, bucket: str, prefix: str, client: Any, public_base_url: str | None, url_ttl_s: int
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/")
        self._client = client
        self._public_base_url = public_base_url and public_base_url.rstrip("/")
        self._url_ttl_s = url_ttl_s

    def save(self, key: str, files: Mapping[str, EncodedImage]) -> dict[str, str]:
        """Put all files side by side and return ``{name: URL}``.

        Raises
        ------
        StoreFailed, StoreTimeout, OutOfTime
        """
        return save_in_parallel(files, lambda name, file: self._save_one(key, name, file))

    def _save_one(self, key: str, name: str, file: EncodedImage) -> str:
        object_key = "/".join(filter(None, (self._prefix, key, f"{name}.{file.extension}")))
        with step("upload_mask", "s3", mask=name):
            _put(
                self._client,
                Bucket=self._bucket,
                Key=object_key,
                Body=file.data,
                ContentType=file.content_type,
                CacheControl=f"{'public' if self._public_base_url else 'private'}, "
                f"max-age={_CACHE_S}",
            )
            return self._address(object_key)

    def find(self, user_id: str) -> list[str]:
        """Return the keys of all that was made for the user."""
        folder = "/".join(filter(None, (self._prefix, user_folder(user_id))))
        return _keys_under(self._client, self._bucket, f"{folder}/")

    def erase(self, names: Sequence[str]) -> None:
        """Delete the objects of these keys."""
        _delete(self._client, self._bucket, names)

    def _address(self, object_key: str) -> str:
        if self._public_base_url:
            return f"{self._public_base_url}/{quote(object_key)}"
        return _presigned(self._client, self._bucket, object_key, self._url_ttl_s)


class S3UploadForms:
    """Signed forms (presigned POST) for one photo each.

    Parameters
    ----------
    bucket
        Where the photos go.
    client
        From :func:`s3_client`; a form can do what its signer may.
    max_bytes
        Of one photo; S3 refuses more.
    lifetime_s
        Seconds that a form works; temporary credentials end it sooner.
    """

    def __init__(self, bucket: str, client: Any, max_bytes: int, lifetime_s: int) -> None:
        self.max_bytes = max_bytes
        self.lifetime_s = lifetime_s
        self._bucket = bucket
        self._client = client

    def make(self, key: str, content_type: str, metadata: Mapping[str, str]) -> UploadForm:
        """Make a form; see :class:`~tryon_masks.ports.UploadForms`."""
        fields = {"Content-Type": content_type}
        fields |= {f"x-amz-meta-{name}": value for name, value in _written(metadata).items()}
        try:
            form = self._client.generate_presigned_post(
                self._bucket,
                key,
                Fields=fields,
                Conditions=[
                    *({name: value} for name, value in fields.items()),
                    ["content-length-range", 1, self.max_bytes],
                ],
                ExpiresIn=self.lifetime_s,
            )
        except BotoCoreError as error:
            raise StateUnavailable(detail=str(error)) from error
        return UploadForm(form["url"], form["fields"])


class S3BatchFiles:
    """A :class:`~tryon_masks.ports.BatchFiles` in a bucket, all of them JSON Lines.

    Parameters
    ----------
    bucket
        Where they go: items to ``batches/``, results to ``{results_prefix}batches/``.
    client
        From :func:`s3_client`; an address can do what its signer may.
    results_prefix
        Ends with a slash.
    url_ttl_s
        Seconds that an address works; temporary credentials end it sooner.
    """

    def __init__(self, bucket: str, client: Any, results_prefix: str, url_ttl_s: int) -> None:
        self._bucket = bucket
        self._client = client
        self._results_prefix = results_prefix
        self._url_ttl_s = url_ttl_s

    def put_items(self, batch_id: str, items: Sequence[MaskTask]) -> None:
        """Keep the items."""
        self._put(_items_key(batch_id), map(asdict, items))

    def items(self, batch_id: str) -> list[MaskTask]:
        """Return the items that were kept, in order."""
        lines = self._get(_items_key(batch_id)).splitlines()
        return [_ITEM.validate_json(line, extra="forbid") for line in lines]

    def put_results(self, batch_id: str, lines: Iterable[Mapping[str, Any]]) -> str:
        """Write all answers, over what is there."""
        key = f"{self._results_prefix}{BATCHES}{batch_id}.jsonl"
        self._put(key, lines)
        return key

    def put_list(self, key: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Keep a list under a key of the caller's choice."""
        self._put(key, lines)

    def read(self, key: str) -> str:
        """Read a whole file of answers."""
        return self._get(key).decode()

    def address(self, key: str) -> str:
        """Return a presigned address of the file."""
        return _presigned(self._client, self._bucket, key, self._url_ttl_s)

    def parts(self, key: str) -> list[str]:
        """Return the files of answers of a run of Step Functions: those that were made, then the
        others.

        The latter hold what was given up, with its input and its cause.
        """
        files = json.loads(self._get(key))["ResultFiles"]
        return [file["Key"] for kind in ("SUCCEEDED", "FAILED") for file in files.get(kind, [])]

    def _get(self, key: str) -> bytes:
        with translate_state_errors():
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with closing(answer["Body"]) as body:
                data: bytes = body.read()
                return data

    def _put(self, key: str, lines: Iterable[Mapping[str, Any]]) -> None:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        with translate_state_errors():
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=JSON_LINES)


def _items_key(batch_id: str) -> str:
    return f"{BATCHES}{batch_id}.jsonl"


class S3Objects:
    """Single objects, for the worker."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get(self, bucket: str, key: str, max_bytes: int) -> tuple[bytes, dict[str, str]]:
        """Return the object's bytes and its user metadata (names in lower case).

        Raises
        ------
        PhotoTooLarge
            It has more than ``max_bytes`` bytes; none of them is read.
        PhotoNotFound
            It is gone, or archived. S3 says so only to whoever may list the bucket.
        PhotoFetchFailed, PhotoFetchTimeout
        """
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            # Entering the body itself would give urllib3's stream, whose errors are not botocore's.
            with closing(answer["Body"]) as body:
                size = answer["ContentLength"]
                if size > max_bytes:
                    raise PhotoTooLarge(
                        f"The photo has more than {max_bytes} bytes.", detail=f"{size} bytes"
                    )
                return body.read(), _read(answer["Metadata"])
        except _TIMEOUTS as error:
            raise PhotoFetchTimeout(detail=str(error)) from error
        except _ERRORS as error:
            gone = isinstance(error, ClientError) and error.response["Error"]["Code"] in _GONE
            raise (PhotoNotFound if gone else PhotoFetchFailed)(detail=str(error)) from error

    def put_json(
        self, bucket: str, key: str, document: object, metadata: Mapping[str, str]
    ) -> None:
        """Write ``document`` as a JSON object, replacing what is there.

        Raises
        ------
        StoreFailed, StoreTimeout
        """
        _put(
            self._client,
            Bucket=bucket,
            Key=key,
            Body=json.dumps(document, ensure_ascii=False).encode(),
            ContentType="application/json",
            Metadata=_written(metadata),
        )


class S3UserObjects:
    """A :class:`~tryon_masks.ports.UserData`: uploads and their results in one bucket.

    An object is the user's whom its metadata names. One that names nobody is the user's in whose
    folder it is, or whose upload it answers.

    Parameters
    ----------
    bucket
        Of the uploads.
    client
        From :func:`s3_client`.
    folders, results_prefix
        What keys begin with: ``FOLDER/`` and :func:`~tryon_masks.ports.user_key` of an upload or a
        list, and those of results before it.
    """

    def __init__(
        self, bucket: str, client: Any, folders: Sequence[str], results_prefix: str
    ) -> None:
        self._bucket = bucket
        self._client = client
        self._folders = folders
        self._results_prefix = results_prefix

    def find(self, user_id: str) -> list[str]:
        """Return the keys of the user's objects. Each object of the bucket is asked whose it is."""
        keys = _keys_under(self._client, self._bucket, "")
        with _erasing(), ThreadPoolExecutor(_AT_ONCE) as pool:
            theirs = list(pool.map(lambda key: self._is_of(user_id, key), keys))
        return [key for key, is_theirs in zip(keys, theirs, strict=True) if is_theirs]

    def erase(self, names: Sequence[str]) -> None:
        """Delete the objects of these keys."""
        _delete(self._client, self._bucket, names)

    def _is_of(self, user_id: str, key: str) -> bool:
        try:
            found = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return False
            raise
        metadata = _read(found["Metadata"])
        if USER_METADATA in metadata:
            return metadata[USER_METADATA] == user_id
        upload = key.removeprefix(self._results_prefix)
        return upload.startswith(tuple(f"{folder}{user_key(user_id)}/" for folder in self._folders))


class S3UserLines:
    """A :class:`~tryon_masks.ports.UserData`: lines of lists, of batches' items and of results.

    A line is the user's whom its ``user_id`` names. A file stays, if without a line.

    Parameters
    ----------
    bucket
        Of the files.
    client
        From :func:`s3_client`.
    prefixes
        What their keys begin with.
    """

    def __init__(self, bucket: str, client: Any, prefixes: Sequence[str]) -> None:
        self._bucket = bucket
        self._client = client
        self._prefixes = prefixes

    def find(self, user_id: str) -> list[str]:
        """Return ``KEY#DIGEST`` of each of the user's lines. Every file is read."""
        keys = [
            key
            for prefix in self._prefixes
            for key in _keys_under(self._client, self._bucket, prefix)
        ]
        return [
            f"{key}#{_digest(line)}"
            for key in keys
            for line in self._read(key)[0]
            if _is_of(user_id, line)
        ]

    def erase(self, names: Sequence[str]) -> None:
        """Write the files without these lines."""
        digests: defaultdict[str, set[str]] = defaultdict(set)
        for name in names:
            key, _, digest = name.rpartition("#")
            digests[key].add(digest)
        for key, theirs in digests.items():
            lines, tag = self._read(key)
            kept = [line for line in lines if _digest(line) not in theirs]
            if len(kept) == len(lines):
                continue
            body = "".join(f"{line}\n" for line in kept).encode(errors="surrogateescape")
            with _erasing():
                # What was written meanwhile is not lost.
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType=JSON_LINES, IfMatch=tag
                )

    def _read(self, key: str) -> tuple[list[str], str]:
        """Return the file's lines, none where it is gone, and the tag of its content."""
        with _erasing():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
            except self._client.exceptions.NoSuchKey:
                return [], ""
            with closing(answer["Body"]) as body:
                return _lines(body.read()), answer["ETag"]


def _lines(data: bytes) -> list[str]:
    """Split a file in JSON Lines, or one list in JSON, into lines of the former."""
    text = data.decode(errors="surrogateescape")
    if text.startswith("["):
        with suppress(ValueError, RecursionError):
            return [json.dumps(entry) for entry in json.loads(text)]
    return [line for line in text.split("\n") if line]


def _is_of(user_id: str, line: str) -> bool:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        # A line that is cut off may have the attribute. Either way in which JSON may be written.
        values = [re.escape(json.dumps(user_id, ensure_ascii=ascii_)) for ascii_ in (True, False)]
        return re.search(rf'"user_id"\s*:\s*({"|".join(values)})', line) is not None
    if not isinstance(entry, dict):
        return False
    if isinstance(given := entry.get("Input"), str):
        # What Step Functions gave up, as it was given to the worker.
        return _is_of(user_id, given)
    item = entry.get("item")
    named = item.get("user_id") if isinstance(item, dict) else None
    return user_id in (entry.get("user_id"), named)


def _written(metadata: Mapping[str, str]) -> dict[str, str]:
    """Encode metadata as S3 takes it, which is ASCII: the user's id is percent-encoded."""
    return {
        name: quote(value, safe="@:+") if name == USER_METADATA else value
        for name, value in metadata.items()
    }


def _read(metadata: Mapping[str, str]) -> dict[str, str]:
    """Decode what :func:`_written` wrote, and an id that somebody wrote as it is."""
    return {
        name: unquote(value) if name == USER_METADATA else value for name, value in metadata.items()
    }


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode(errors="surrogateescape")).hexdigest()


def _presigned(client: Any, bucket: str, key: str, ttl_s: int) -> str:
    address: str = client.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=ttl_s
    )
    return address


def _put(client: Any, **what: Any) -> None:
    try:
        client.put_object(**what)
    except _TIMEOUTS as error:
        raise StoreTimeout(detail=str(error)) from error
    except _ERRORS as error:
        raise StoreFailed(detail=str(error)) from error


def _keys_under(client: Any, bucket: str, prefix: str) -> list[str]:
    with _erasing():
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def _delete(client: Any, bucket: str, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), _MAX_DELETIONS):
        batch = [{"Key": key} for key in keys[start : start + _MAX_DELETIONS]]
        with _erasing():
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
        if failed := answer.get("Errors"):
            raise StoreFailed(
                f"{len(failed)} of {len(keys)} objects could not be erased.",
                detail=f"{failed[0]['Key']}: {failed[0]['Code']}",
            )


@contextmanager
def _erasing() -> Iterator[None]:
    try:
        yield
    except _TIMEOUTS as error:
        raise StoreTimeout("S3 did not answer in time.", detail=str(error)) from error
    except _ERRORS as error:
        raise StoreFailed("S3 could not list or erase objects.", detail=str(error)) from error
