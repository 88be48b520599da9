"""Jobs, uploads and batches in this process's memory, for a server on somebody's own machine."""

from __future__ import annotations

import json
import queue
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import uuid4

from tryon_masks.adapters.memory import MemoryFiles, StoredFile
from tryon_masks.domain.errors import CallbackFailed, InvalidRequest, PhotoNotFound, PhotoTooLarge
from tryon_masks.ports import (
    COUNTED,
    FINAL,
    JSON_LINES,
    Batch,
    Job,
    JobState,
    MaskTask,
    Task,
    UploadForm,
)
from tryon_masks.settings import RESULTS
from tryon_masks.telemetry import now

MAX_JOBS = 10_000
MAX_BATCHES = 100
BUCKET = "memory"
"""What stands in the place of a bucket's name."""

T = TypeVar("T")


class _Recent(OrderedDict[str, T], Generic[T]):
    """Forgets its oldest member when there are more than ``most``."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: str, value: T) -> None:
        super().__setitem__(key, value)
        if len(self) > self._most:
            self.popitem(last=False)


class MemoryJobs:
    """A :class:`~tryon_masks.ports.Jobs`: the last :data:`MAX_JOBS`."""

    def __init__(self, max_jobs: int = MAX_JOBS) -> None:
        self._jobs: _Recent[Job] = _Recent(max_jobs)
        self._lock = threading.Lock()

    def add(self, job_id: str, owner: str, task: Task) -> Job:
        """Take a job; it is queued."""
        job = Job(job_id, owner, "queued", task, now(), now(), None)
        with self._lock:
            self._jobs[job_id] = job
        return job

    def get(self, job_id: str) -> Job | None:
        """Return the job, or None."""
        with self._lock:
            return self._jobs.get(job_id)

    def get_all(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Return those of these jobs that there are, by their numbers."""
        with self._lock:
            return {job_id: self._jobs[job_id] for job_id in job_ids if job_id in self._jobs}

    def update(
        self,
        job_id: str,
        state: JobState,
        answer: Mapping[str, Any] | None = None,
        *,
        done: bool = False,
    ) -> None:
        """Say how far the job is; nothing where it is unknown, or done."""
        kept = None if answer is None else deepcopy(dict(answer))
        with self._lock:
            job = self._jobs.get(job_id)
            if job is not None and not job.done:
                self._jobs[job_id] = replace(
                    job, state=state, updated_at=now(), answer=kept, done=done
                )


class MemoryBatches:
    """A :class:`~tryon_masks.ports.Batches`: the last :data:`MAX_BATCHES`."""

    def __init__(self, max_batches: int = MAX_BATCHES) -> None:
        self._batches: _Recent[Batch] = _Recent(max_batches)
        self._items: _Recent[dict[int, JobState]] = _Recent(max_batches)
        self._lock = threading.Lock()

    def add(self, batch_id: str, owner: str, total: int | None) -> Batch:
        """Take a batch; all its items are queued."""
        batch = Batch(batch_id, owner, total, _count([]), now(), now(), None)
        with self._lock:
            self._batches[batch_id], self._items[batch_id] = batch, {}
        return batch

    def get(self, batch_id: str) -> Batch | None:
        """Return the batch, or None."""
        with self._lock:
            return self._batches.get(batch_id)

    def set_item_state(self, batch_id: str, number: int, state: JobState) -> Batch | None:
        """Set the state of an item, unless it has masks or a refusal already."""
        with self._lock:
            batch = self._batches.get(batch_id)
            if batch is not None and self._move(batch_id, number, state):
                counts = _count(self._items[batch_id].values())
                batch = replace(batch, counts=counts, updated_at=now(), results=None)
                self._batches[batch_id] = batch
            return batch

    def close(self, batch_id: str, results: str) -> None:
        """Record where all the answers are."""
        with self._lock:
            if batch_id in self._batches:
                batch = self._batches[batch_id]
                self._batches[batch_id] = replace(batch, results=results, updated_at=now())

    def set_list_item_state(self, batch_id: str, number: int, state: JobState) -> None:
        """Set the state of an item of a list."""
        with self._lock:
            if batch_id in self._items:
                self._move(batch_id, number, state)

    def count_list_items(self, batch_id: str, total: int) -> dict[JobState, int]:
        """Count how many of the first ``total`` items of a list are in each state."""
        with self._lock:
            items = self._items.get(batch_id, {})
            return _count(state for number, state in items.items() if number < total)

    def _move(self, batch_id: str, number: int, state: JobState) -> bool:
        """Whether the item is in another state now."""
        items = self._items[batch_id]
        if items.get(number) in {*FINAL, state}:
            return False
        items[number] = state
        return True


def _count(states: Iterable[JobState]) -> dict[JobState, int]:
    counts: dict[JobState, int] = dict.fromkeys(COUNTED, 0)
    for state in states:
        counts[state] += 1
    return counts


class MemoryBatchFiles:
    """A :class:`~tryon_masks.ports.BatchFiles`; results are in ``files``, below ``results/``."""

    def __init__(self, base_url: str, files: MemoryFiles, max_batches: int = MAX_BATCHES) -> None:
        self._base_url = base_url
        self._files = files
        self._items: _Recent[Sequence[MaskTask]] = _Recent(max_batches)

    def put_items(self, batch_id: str, items: Sequence[MaskTask]) -> None:
        """Keep the items."""
        self._items[batch_id] = items

    def items(self, batch_id: str) -> list[MaskTask]:
        """Return the items that were kept, in order."""
        return list(self._items.get(batch_id, ()))

    def put_results(self, batch_id: str, lines: Iterable[Mapping[str, Any]]) -> str:
        """Write all answers, one a line, and return the file's key."""
        key = f"{RESULTS}batches/{batch_id}.jsonl"
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        self._files.put({key: StoredFile(text.encode(), JSON_LINES)})
        return key

    def parts(self, key: str) -> list[str]:
        """Return the one file of answers."""
        return [key]

    def address(self, key: str) -> str:
        """Return where the file can be read."""
        return f"{self._base_url}/{key}"


@dataclass(frozen=True)
class Delivery:
    """A message as a worker gets it: its text is JSON, ``count`` how often it was delivered."""

    message_id: str
    text: str
    count: int


class MemoryQueue:
    """A :class:`~tryon_masks.ports.WorkQueue` for the workers of this process."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Delivery | None] = queue.Queue()
        self._pauses: dict[str, int] = {}

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over JSON values."""
        self._waiting.put(Delivery(uuid4().hex, json.dumps(message), 1))

    def send_all(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Hand over many."""
        for message in messages:
            self.send(message)

    def redeliver(self, receipt: str, seconds: int) -> None:
        """Set the pause before the message ``receipt`` is delivered again."""
        self._pauses[receipt] = seconds

    def take(self) -> Delivery | None:
        """Wait for a message; None: the queue is closed."""
        return self._waiting.get()

    def deliver_again(self, delivery: Delivery) -> None:
        """Deliver a message once more, after the pause that was set for it."""
        again = replace(delivery, count=delivery.count + 1)
        pause = self._pauses.pop(delivery.message_id, 0)
        timer = threading.Timer(pause, self._waiting.put, [again])
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """Let one worker end once it has taken what was sent before."""
        self._waiting.put(None)


class _Form(NamedTuple):
    token: str
    content_type: str
    metadata: Mapping[str, str]
    expires: float


class MemoryUploads:
    """Forms to upload with, and the objects that come by them, kept in ``files``.

    Parameters
    ----------
    base_url
        Where the process takes forms, at ``/uploads``.
    queue
        Is told of each upload as S3 tells.
    max_bytes, lifetime_s
        Of one upload, and of its form.
    """

    def __init__(
        self,
        base_url: str,
        files: MemoryFiles,
        queue: MemoryQueue,
        max_bytes: int,
        lifetime_s: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_bytes = max_bytes
        self.lifetime_s = lifetime_s
        self._base_url = base_url
        self._files = files
        self._queue = queue
        self._clock = clock
        self._forms: _Recent[_Form] = _Recent(MAX_JOBS)

    def make(self, key: str, content_type: str, metadata: Mapping[str, str]) -> UploadForm:
        """Make a form that stores a file of this type under this key, and nothing else."""
        token = secrets.token_hex(16)
        expires = self._clock() + self.lifetime_s
        self._forms[key] = _Form(token, content_type, dict(metadata), expires)
        fields = {"key": key, "Content-Type": content_type, "token": token}
        return UploadForm(f"{self._base_url}/uploads", fields)

    def accept(self, fields: Mapping[str, str], file: bytes) -> None:
        """Keep the file that came with a form, and queue it.

        Raises
        ------
        InvalidRequest
            The form is not one of these, or is too old.
        PhotoTooLarge
        """
        key = fields.get("key", "")
        form = self._forms.get(key)
        if (
            form is None
            or not secrets.compare_digest(form.token.encode(), fields.get("token", "").encode())
            or form.content_type != fields.get("Content-Type")
            or form.expires < self._clock()
        ):
            raise InvalidRequest("This form is unknown or too old: ask for another.")
        if len(file) > self.max_bytes:
            raise PhotoTooLarge(f"The photo is larger than {self.max_bytes} bytes.")
        self._files.put({key: StoredFile(file, form.content_type, form.metadata)})
        s3 = {"bucket": {"name": BUCKET}, "object": {"key": key}}
        self._queue.send({"Records": [{"eventName": "ObjectCreated:Post", "s3": s3}]})

    def get(
        self,
        bucket: str,  # noqa: ARG002 - there is one
        key: str,
        max_bytes: int,
    ) -> tuple[bytes, dict[str, str]]:
        """Return an upload's bytes and its metadata.

        Raises
        ------
        PhotoTooLarge, PhotoNotFound
        """
        file = self._files.get(key)
        if file is None:
            raise PhotoNotFound("The upload is no longer kept.")
        if len(file.data) > max_bytes:
            raise PhotoTooLarge(f"The photo has more than {max_bytes} bytes.")
        return file.data, dict(file.metadata)

    def put_json(
        self,
        bucket: str,  # noqa: ARG002 - there is one
        key: str,
        document: object,
        metadata: Mapping[str, str],
    ) -> None:
        """Keep ``document`` as a JSON file."""
        data = json.dumps(document, ensure_ascii=False).encode()
        self._files.put({key: StoredFile(data, "application/json", dict(metadata))})


class NoCallbacks:
    """A :class:`~tryon_masks.ports.Callbacks` of a server that tells nobody."""

    def post(self, address: str, body: bytes) -> None:  # noqa: ARG002
        """Fail.

        Raises
        ------
        CallbackFailed
        """
        raise CallbackFailed(detail="this server posts to nobody")
