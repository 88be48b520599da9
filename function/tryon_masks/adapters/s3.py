"""Masks in an S3 bucket, and the objects that the worker reads and writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    ReadTimeoutError,
)

from tryon_masks.adapters.aws import aws_client
from tryon_masks.adapters.side_by_side import save_side_by_side
from tryon_masks.domain.errors import (
    PhotoFetchFailed,
    PhotoFetchTimeout,
    PhotoTooLarge,
    StateUnavailable,
    StoreFailed,
    StoreTimeout,
)
from tryon_masks.ports import EncodedImage, UploadForm
from tryon_masks.telemetry import step

_TIMEOUTS = (ConnectTimeoutError, ReadTimeoutError)
_ERRORS = (BotoCoreError, ClientError)
_CACHE_S = 86_400
BATCHES = "batches/"
JSON_LINES = "application/jsonl"


def s3_client(timeout_s: float, *, tries: int = 2) -> Any:
    """An S3 client whose calls end within ``timeout_s`` seconds, all tries together.

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
        StoreFailed, StoreTimeout
        """
        return save_side_by_side(files, lambda name, file: self._save_one(key, name, file))

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
        """See :class:`~tryon_masks.ports.UploadForms`."""
        fields = {"Content-Type": content_type}
        fields |= {f"x-amz-meta-{name}": value for name, value in metadata.items()}
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

    def put_items(self, batch_id: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Keep the items."""
        self._put(_items_key(batch_id), items)

    def items(self, batch_id: str) -> list[dict[str, Any]]:
        """The items that were kept, in order."""
        return [json.loads(line) for line in self._get(_items_key(batch_id)).splitlines()]

    def put_results(self, batch_id: str, lines: Iterable[Mapping[str, Any]]) -> str:
        """Write all answers, over what is there."""
        key = f"{self._results_prefix}{BATCHES}{batch_id}.jsonl"
        self._put(key, lines)
        return key

    def put_list(self, key: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Keep a list under a key of the caller's choice."""
        self._put(key, lines)

    def read(self, key: str) -> str:
        """A file of answers, whole."""
        return self._get(key).decode()

    def address(self, key: str) -> str:
        """A presigned address of the file."""
        return _presigned(self._client, self._bucket, key, self._url_ttl_s)

    def parts(self, key: str) -> list[str]:
        """The files of answers of a run of Step Functions: those that were made, then the others.

        The latter hold what was given up, with its input and its cause.
        """
        files = json.loads(self._get(key))["ResultFiles"]
        return [file["Key"] for kind in ("SUCCEEDED", "FAILED") for file in files.get(kind, [])]

    def _get(self, key: str) -> bytes:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with closing(answer["Body"]) as body:
                data: bytes = body.read()
                return data
        except _ERRORS as error:
            raise StateUnavailable(detail=str(error)) from error

    def _put(self, key: str, lines: Iterable[Mapping[str, Any]]) -> None:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=JSON_LINES)
        except _ERRORS as error:
            raise StateUnavailable(detail=str(error)) from error


def _items_key(batch_id: str) -> str:
    return f"{BATCHES}{batch_id}.jsonl"


class S3Objects:
    """Single objects, for the worker."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get(self, bucket: str, key: str, max_bytes: int) -> tuple[bytes, dict[str, str]]:
        """The object's bytes and its user metadata (names in lower case).

        Raises
        ------
        PhotoTooLarge
            It has more than ``max_bytes`` bytes; none of them is read.
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
                return body.read(), answer["Metadata"]
        except _TIMEOUTS as error:
            raise PhotoFetchTimeout(detail=str(error)) from error
        except _ERRORS as error:
            raise PhotoFetchFailed(detail=str(error)) from error

    def put_json(self, bucket: str, key: str, document: object) -> None:
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
        )


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
