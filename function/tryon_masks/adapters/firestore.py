"""The step log and the user profiles in Firestore.

::

    vton_logs/{request_id}              the request: user, time, number of records
    vton_logs/{request_id}/steps/0001   the first record, as it was printed; 0002 the next
    users/{user_id}                     the app's own document, of which only these fields are ours:
        Mask                            Status, Upper mask URL, Lower mask URL, as in a data.json
        masks                           every mask's address by its kind
        masks_request_id, masks_updated_at

``FIRESTORE_EMULATOR_HOST`` sends everything to an emulator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from tryon_masks.domain.errors import (
    InvalidRequest,
    LogUnavailable,
    ProfileUnavailable,
    SettingsError,
)
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.telemetry import step

LOGS = "vton_logs"
STEPS = "steps"
USERS = "users"

TIMEOUT_S = 3.0
"""A request waits for Firestore three times: at its start, for the profile, for the records."""

OURS = ("Mask", "masks", "masks_request_id", "masks_updated_at")
"""Our fields of a user's document."""

MAX_WRITES = 500
"""Most writes that Firestore takes in one commit."""


class FirestoreLog:
    """A :class:`~tryon_masks.ports.StepLog` and :class:`~tryon_masks.ports.UserProfiles`.

    Also a :class:`~tryon_masks.ports.UserData`: the requests of a user, and our fields of the
    user's document. Making one opens no connection. Every call ends within ``timeout_s`` seconds,
    retries included.

    Parameters
    ----------
    project
        The Google Cloud project.
    service_account
        A service account's key as JSON text; None: the ambient credentials.
    timeout_s
        Seconds for one call.

    Raises
    ------
    SettingsError
        There are no usable credentials.
    """

    def __init__(
        self, project: str, service_account: str | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        # Imported here: the client takes a second to load, and most set-ups run without it.
        from google.api_core import exceptions, retry
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
        from google.cloud import firestore

        credentials = service_account and _credentials(service_account)
        try:
            self._client: Any = firestore.Client(project=project, credentials=credentials)
        except DefaultCredentialsError as error:
            raise SettingsError(
                "Firestore is on, but there are no Google credentials: set FIRESTORE_SECRET_ARN.",
                detail=str(error),
            ) from error
        self._now = firestore.SERVER_TIMESTAMP
        self._no_more = firestore.DELETE_FIELD
        self._failures = (exceptions.GoogleAPIError, GoogleAuthError)
        # Every write sets a document by its name, so a repeated one is harmless.
        transient = retry.if_exception_type(
            exceptions.ServiceUnavailable,
            exceptions.DeadlineExceeded,
            exceptions.InternalServerError,
            exceptions.ResourceExhausted,
            exceptions.Aborted,
        )
        self._call: dict[str, Any] = {
            "timeout": timeout_s,
            "retry": retry.Retry(predicate=transient, initial=0.1, maximum=1.0, timeout=timeout_s),
        }

    def open(self, request_id: str, header: Mapping[str, Any]) -> None:
        """Write the request's own document, which proves that the log takes records."""
        document = self._client.collection(LOGS).document(_document_id(request_id, "request_id"))
        with self._reported(LogUnavailable):
            document.set(dict(header), **self._call)

    def write(self, request_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Write all records, numbered from 0001, and their count into the request's document."""
        request = self._client.collection(LOGS).document(_document_id(request_id, "request_id"))
        steps = request.collection(STEPS)
        writes = [(steps.document(f"{n:04d}"), record) for n, record in enumerate(records, 1)]
        # The count comes last: a reader that sees it sees every record.
        summary = {"records": len(records), "finished_at": self._now}
        if records:
            summary["user_id"] = records[-1]["user_id"]
        writes.append((request, summary))
        with self._reported(LogUnavailable, "The request's log could not be written."):
            for start in range(0, len(writes), MAX_WRITES):
                batch = self._client.batch()
                for document, fields in writes[start : start + MAX_WRITES]:
                    batch.set(document, dict(fields), merge=document is request)
                batch.commit(**self._call)

    def merge_masks(self, user_id: str, masks: Mapping[str, str], request_id: str) -> None:
        """Put the masks into the user's document. ``anonymous`` is nobody and has no document.

        Each of our fields is replaced whole, so that masks of two photos never stand side by side.
        ``Mask`` is written only when an upper or a lower mask was made.
        """
        if user_id == ANONYMOUS:
            with step("skip_profile", "firestore", reason="the user is anonymous"):
                return
        fields: dict[str, Any] = {
            "masks": dict(masks),
            "masks_request_id": request_id,
            "masks_updated_at": self._now,
        }
        if masks.keys() & {"upper", "lower"}:
            fields["Mask"] = {
                "Status": "success" if masks.keys() >= {"upper", "lower"} else "partial",
                "Upper mask URL": masks.get("upper"),
                "Lower mask URL": masks.get("lower"),
            }
        document = self._client.collection(USERS).document(_profile_id(user_id))
        with self._reported(ProfileUnavailable):
            document.set(fields, merge=list(fields), **self._call)

    def find(self, user_id: str) -> list[str]:
        """Return the paths of the user's documents: requests first, the profile last."""
        from google.cloud.firestore import FieldFilter

        theirs = FieldFilter("user_id", "==", user_id)
        requests = self._client.collection(LOGS).where(filter=theirs).select([])
        profile = self._client.collection(USERS).document(_profile_id(user_id))
        with self._reported(LogUnavailable, "Firestore could not be searched."):
            found = [f"{LOGS}/{request.id}" for request in requests.stream(**self._call)]
            fields = profile.get(**self._call).to_dict() or {}
        return [*found, f"{USERS}/{profile.id}"] if fields.keys() & set(OURS) else found

    def erase(self, names: Sequence[str]) -> None:
        """Delete requests with all their steps, and our fields of a profile.

        A profile that holds nothing else is deleted whole.
        """
        with self._reported(LogUnavailable, "Firestore could not be erased."):
            for name in names:
                document = self._client.document(name)
                if name.startswith(f"{LOGS}/"):
                    self._erase_request(document)
                else:
                    self._erase_profile(document)

    def _erase_request(self, request: Any) -> None:
        steps = request.collection(STEPS).select([]).stream(**self._call)
        # The request comes last: while it is there, its steps can be found.
        documents = [*(one.reference for one in steps), request]
        for start in range(0, len(documents), MAX_WRITES):
            batch = self._client.batch()
            for document in documents[start : start + MAX_WRITES]:
                batch.delete(document)
            batch.commit(**self._call)

    def _erase_profile(self, profile: Any) -> None:
        found = profile.get(**self._call)
        fields = found.to_dict() or {}
        # Whatever else happens to the document meanwhile must not be lost.
        unchanged = self._client.write_option(last_update_time=found.update_time)
        if fields and fields.keys() <= set(OURS):
            profile.delete(option=unchanged, **self._call)
        elif left := fields.keys() & set(OURS):
            profile.update(dict.fromkeys(left, self._no_more), option=unchanged, **self._call)

    @contextmanager
    def _reported(
        self, kind: type[LogUnavailable | ProfileUnavailable], message: str | None = None
    ) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            raise kind(message, detail=f"Firestore: {type(error).__name__}: {error}") from error


def _credentials(service_account: str) -> Any:
    from google.oauth2.service_account import Credentials

    from_info: Any = Credentials.from_service_account_info
    try:
        account = json.loads(service_account)
        if not isinstance(account, dict):
            raise ValueError
        return from_info(account)
    except ValueError:
        # The cause may quote the key.
        raise SettingsError(
            "The secret of FIRESTORE_SECRET_ARN is not a service account's JSON."
        ) from None


_NO_NAME = re.compile(r"/|%|\x00|^\.{1,2}$|^__.*__$", re.DOTALL)
"""What no document can be named; and what percent-encoding would make two users' the same by."""


def _profile_id(user_id: str) -> str:
    """Name the user's document: the id itself, percent-encoded where that cannot name a document.

    Raises
    ------
    InvalidRequest
    """
    if _NO_NAME.search(user_id):
        first, rest = user_id[:1], user_id[1:]
        first = f"%{ord(first):02X}" if first in "._" else quote(first, safe="")
        user_id = first + "".join(quote(one, safe="") if one in "/%\x00" else one for one in rest)
    return _document_id(user_id, "user_id")


def _document_id(value: str, name: str) -> str:
    """Return ``value`` where Firestore can name a document by it.

    Raises
    ------
    InvalidRequest
    """
    valid = (
        0 < len(value.encode("utf-8", "replace")) <= 1500
        and value not in (".", "..")
        and not re.search(r"[/\x00\ud800-\udfff]|^__.*__$", value)
    )
    if not valid:
        raise InvalidRequest(f"{name} cannot name a document.")
    return value
