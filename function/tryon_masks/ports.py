"""What the service needs from outside, as small protocols. Adapters and vision implement them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Candidate, Person

USER_METADATA = "user-id"
"""Metadata of an uploaded object, and of its result, that says whose they are."""

JSON_LINES = "application/jsonl"
"""The type of files of answers, one a line."""


def user_folder(user_id: str) -> str:
    """Return the first part of the keys of what is made for a user, by which it is found again.

    32 hexadecimal digits: others see the masks' addresses, and these name nobody.
    """
    return hashlib.sha256(user_id.encode()).hexdigest()[:32]


def user_key(user_id: str) -> str:
    """Name the user's folder of uploads and lists: the id itself, or as keys can hold it.

    All but letters, digits and ``_.~@:+-`` is percent-encoded, and a dot in front. Where that makes
    more than 512 characters it is a digest behind ``~``.
    """
    name = quote(user_id, safe="@:+")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    return name if len(name) <= 512 else f"~{user_folder(user_id)}"


@dataclass(frozen=True)
class EncodedImage:
    """One image file in memory.

    ``content_type`` is the MIME type, ``extension`` the file ending without a dot.
    """

    data: bytes
    content_type: str
    extension: str


class PhotoSource(Protocol):
    """Fetches the bytes behind a photo's address."""

    def fetch(self, address: str) -> bytes:
        """Return the file's bytes.

        Raises
        ------
        UrlNotAllowed, PhotoTooLarge, PhotoNotFound, PhotoFetchFailed, PhotoFetchTimeout
        UnsupportedPhoto, BrokenPhoto
            It came compressed, and cannot be unpacked.
        OutOfTime
            The call's own time was up first.
        """


class MaskStore(Protocol):
    """Keeps mask files and says where they can be read."""

    def save(self, key: str, files: Mapping[str, EncodedImage]) -> dict[str, str]:
        """Store every file under ``key`` and return ``{name: URL}``, or store nothing that counts.

        The same ``key`` and name give the same address again, overwritten, so a retry is harmless.
        What lies in a :func:`user_folder` is that user's.

        Raises
        ------
        StoreFailed, StoreTimeout
            The public message names the files that failed, or the first of them.
        OutOfTime
            The call's own time was up first.
        """


class Vision(Protocol):
    """The models: a photo in, what they saw out. Loaded once, before the first request."""

    model_set: str

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        """Find everybody in a photo.

        Parameters
        ----------
        rgb
            Shape (H, W, 3), uint8, sRGB, upright.

        Returns
        -------
        One candidate a person, largest box first.
        """

    def parse(
        self, rgb: NDArray[np.uint8], chosen: Candidate, others: Sequence[Candidate]
    ) -> Person:
        """Parse one person.

        Parameters
        ----------
        rgb
            Shape (H, W, 3), uint8, sRGB, upright.
        chosen, others
            From :meth:`find_people`. Pixels of ``others`` become ``OTHER_PERSON``.

        Returns
        -------
        The person on the grid of ``rgb``.
        """


class Idempotency(Protocol):
    """Remembers what was done, so that the same is not done twice."""

    def run(self, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do the work and remember its result (JSON values), or return what is remembered.

        A ``key`` in a :func:`user_folder` is that user's.
        Work that raises is forgotten, so that it can be tried again.

        Raises
        ------
        InProgress
            Somebody else is doing the same at this moment.
        StateUnavailable
        """


JobState = Literal["queued", "running", "success", "partial", "refused", "error"]

FINAL: tuple[JobState, ...] = ("success", "partial", "refused")
"""States that an item of a batch does not leave."""
ANSWERED: tuple[JobState, ...] = (*FINAL, "error")
COUNTED: tuple[JobState, ...] = ("running", *ANSWERED)
"""States that a batch counts: an item in none of them is queued."""


@dataclass(frozen=True)
class ItemOfBatch:
    """Which item of which batch a task is: its ``number`` from 0, its ``name`` in the results."""

    batch_id: str
    number: int
    name: str


@dataclass(frozen=True)
class MaskTask:
    """Make masks of the photo at an address.

    ``options`` are JSON values as the API takes them. ``document``: the answer has the Mask block
    of a ``data.json``. ``callback_url`` is told of the answer.
    """

    photo: str
    user_id: str
    options: dict[str, Any]
    document: bool = False
    include_logs: bool = False
    callback_url: str | None = None
    item: ItemOfBatch | None = None


@dataclass(frozen=True)
class UploadTask:
    """Make masks of the photo that is uploaded under a key; what to make, its metadata says."""

    upload: str
    user_id: str
    callback_url: str | None = None


Task = MaskTask | UploadTask


@dataclass(frozen=True)
class Job:
    """Work that is done later.

    ``owner`` is who may look it up; ``task`` says what to do and ``answer``, JSON values, what came
    of it; times are ISO 8601 in UTC. ``done``: the answer stays as it is. Without that, an error is
    one that may pass when the work is sent again.
    """

    job_id: str
    owner: str
    state: JobState
    task: Task
    created_at: str
    updated_at: str
    answer: dict[str, Any] | None
    done: bool = False


class Jobs(Protocol):
    """All jobs, until they are forgotten."""

    def add(self, job_id: str, owner: str, task: Task) -> Job:
        """Take a job; it is queued.

        Raises
        ------
        StateUnavailable
        """

    def get(self, job_id: str) -> Job | None:
        """Return the job, or None.

        Raises
        ------
        StateUnavailable
        """

    def get_all(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Return those of these jobs that exist, by their ids.

        Raises
        ------
        StateUnavailable
        """

    def update(
        self,
        job_id: str,
        state: JobState,
        answer: Mapping[str, Any] | None = None,
        *,
        done: bool = False,
    ) -> None:
        """Set how far the job is; do nothing where it is unknown, or done.

        Raises
        ------
        StateUnavailable
        """


@dataclass(frozen=True)
class Batch:
    """Photos that were handed in together, ``total`` of them; None: a :class:`Run` knows.

    ``owner`` is who may look it up; ``counts`` says how many items are in a state, those that are
    queued left out; ``results`` is the key of the file of all answers, once each item has one;
    times are ISO 8601 in UTC.
    """

    batch_id: str
    owner: str
    total: int | None
    counts: dict[JobState, int]
    created_at: str
    updated_at: str
    results: str | None

    @property
    def answered(self) -> bool:
        """Return whether each item has its answer."""
        return self.total == sum(n for state, n in self.counts.items() if state in ANSWERED)


class Batches(Protocol):
    """All batches, until they are forgotten."""

    def add(self, batch_id: str, owner: str, total: int | None) -> Batch:
        """Take a batch; all its items are queued. ``total`` is None where a list holds them.

        Raises
        ------
        StateUnavailable
        """

    def get(self, batch_id: str) -> Batch | None:
        """Return the batch, or None.

        Raises
        ------
        StateUnavailable
        """

    def set_item_state(self, batch_id: str, number: int, state: JobState) -> Batch | None:
        """Set the state of the item of this number, and return the batch, or None where it is
        unknown.

        An item is in one state, whoever says it how often. Of masks and refusals it does not go
        back; of an error it may, when the work is sent again. Then ``results`` are gone for now.

        Raises
        ------
        StateUnavailable
        """

    def close(self, batch_id: str, results: str) -> None:
        """Record where all the answers are.

        Raises
        ------
        StateUnavailable
        """

    def set_list_item_state(self, batch_id: str, number: int, state: JobState) -> None:
        """Set the state of an item as :meth:`set_item_state` does, where a list of any length holds
        it.

        Raises
        ------
        StateUnavailable
        """

    def count_list_items(self, batch_id: str, total: int) -> dict[JobState, int]:
        """Count how many of the first ``total`` items of a list are in each state.

        Raises
        ------
        StateUnavailable
        """


@dataclass(frozen=True)
class Run:
    """How far a list of any length is: how many of its items are not begun, or are being worked on,
    or were given up without an answer.

    ``results`` is the key of the file that lists the files of answers, once the run is done.
    """

    state: Literal["running", "done", "failed"]
    total: int
    queued: int
    running: int
    given_up: int
    results: str | None


class BatchRuns(Protocol):
    """Works off lists of any length, some items at a time."""

    def start(self, batch_id: str, manifest: str, user_id: str | None) -> None:
        """Begin with the list under the key ``manifest``.

        ``user_id`` is whose all photos are; None: each line says it.

        Raises
        ------
        StateUnavailable
        """

    def get(self, batch_id: str) -> Run:
        """Return how far the run is.

        Raises
        ------
        StateUnavailable
        """


class BatchFiles(Protocol):
    """What batches are made of, and what came of them."""

    def put_items(self, batch_id: str, items: Sequence[MaskTask]) -> None:
        """Keep the items.

        Raises
        ------
        StateUnavailable
        """

    def items(self, batch_id: str) -> list[MaskTask]:
        """Return the items that were kept, in order.

        Raises
        ------
        StateUnavailable
        """

    def put_results(self, batch_id: str, lines: Iterable[Mapping[str, Any]]) -> str:
        """Write all answers, one a line, over what is there, and get the file's key.

        Raises
        ------
        StateUnavailable
        """

    def parts(self, key: str) -> list[str]:
        """Return the keys of the files of answers that the file ``key`` of a run lists.

        Raises
        ------
        StateUnavailable
        """

    def address(self, key: str) -> str:
        """Return where somebody without credentials can read the file for a while."""


class Callbacks(Protocol):
    """Tells others of answers."""

    def post(self, address: str, body: bytes) -> None:
        """Send JSON, once, so that the other side can tell that it comes from here.

        Raises
        ------
        UrlNotAllowed, CallbackFailed
        """


class WorkQueue(Protocol):
    """The way to the workers."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over JSON values; a worker gets them at least once.

        Raises
        ------
        StateUnavailable
        """

    def send_all(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Hand over many; where it fails, some may have been sent.

        Raises
        ------
        StateUnavailable
        """

    def redeliver(self, receipt: str, seconds: int) -> None:
        """Deliver the message of this receipt once more after so many seconds.

        Raises
        ------
        StateUnavailable
        """


@dataclass(frozen=True)
class UploadForm:
    """Where a file is posted, as multipart/form-data: every field first, the file last."""

    url: str
    fields: dict[str, str]


class UploadForms(Protocol):
    """Lets somebody without credentials upload one file."""

    max_bytes: int
    lifetime_s: int

    def make(self, key: str, content_type: str, metadata: Mapping[str, str]) -> UploadForm:
        """Make a form that stores a file of this type under this key, and nothing else.

        Raises
        ------
        StateUnavailable
        """


class Objects(Protocol):
    """Files that somebody uploaded, and what is written beside them."""

    def get(self, bucket: str, key: str, max_bytes: int) -> tuple[bytes, dict[str, str]]:
        """Return an object's bytes and its metadata.

        Raises
        ------
        PhotoTooLarge, PhotoNotFound, PhotoFetchFailed, PhotoFetchTimeout
        """

    def put_json(
        self, bucket: str, key: str, document: object, metadata: Mapping[str, str]
    ) -> None:
        """Write ``document`` as a JSON object, replacing what is there.

        Raises
        ------
        StoreFailed, StoreTimeout
        """


class StepLog(Protocol):
    """A second home for the log records, beside stdout."""

    def open(self, request_id: str, header: Mapping[str, Any]) -> None:
        """Make sure that this request's records can be written.

        Raises
        ------
        LogUnavailable
        """

    def write(self, request_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Write all records of one request, in order.

        Raises
        ------
        LogUnavailable
        """


Dimensions = tuple[tuple[str, str], ...]
"""What tells counts of one name apart: pairs of a dimension and its value."""


class TelemetryExporter(Protocol):
    """Where the traces and metrics of requests go. The log records go there by themselves."""

    def line_fields(self) -> Mapping[str, str]:
        """Return what each log line has besides its record, to be found by."""

    def segment(self, name: str) -> AbstractContextManager[Any]:
        """Trace one step, from its start to its end."""

    def publish(
        self,
        request_id: str,
        durations: Mapping[str, Sequence[float]],
        counts: Mapping[tuple[str, Dimensions], float],
    ) -> None:
        """Take the metrics of one request.

        Parameters
        ----------
        durations
            Step name -> seconds of each time that it ran.
        counts
            Name and dimensions -> how many.
        """


class UserProfiles(Protocol):
    """The app's user documents."""

    def merge_masks(self, user_id: str, masks: Mapping[str, str], request_id: str) -> None:
        """Merge mask addresses into the user's profile, leaving its other fields alone.

        Raises
        ------
        ProfileUnavailable
        """


class UserData(Protocol):
    """A place where something of users is kept, and can be erased."""

    def find(self, user_id: str) -> list[str]:
        """Return the names of all that is this user's there.

        Raises
        ------
        Unavailable
        """

    def erase(self, names: Sequence[str]) -> None:
        """Erase what was found; what is gone already is as good.

        Raises
        ------
        Unavailable
            Some of it may be left.
        """
