"""A thousand messages, faults and double deliveries among them: none is lost, none done twice."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, cast

from PIL import Image
from tests import fakes
from tests.contract.event_files import read_event

from tryon_masks.adapters.s3 import S3Objects
from tryon_masks.domain.errors import InProgress, PhotoFetchFailed
from tryon_masks.domain.person import Candidate
from tryon_masks.entrypoints.queue.messages import Worker
from tryon_masks.entrypoints.queue.uploads import Uploads
from tryon_masks.images import Limits
from tryon_masks.jobs.progress import BatchTracker, JobTracker
from tryon_masks.jobs.run import JobRunner
from tryon_masks.jobs.submit import JobSubmitter
from tryon_masks.schema.requests import MaskRequestBody
from tryon_masks.service import MaskService
from tryon_masks.telemetry import request_log

MESSAGES = 1000
CONTAINERS = 4
TRIES = 5
FLAKY = 7
"""Every so many-th photo cannot be fetched the first time."""
DOUBLED = 10
"""Every so many-th message is given to two containers at once."""


@dataclass(frozen=True)
class Message:
    """``count``: how often it has been received. ``failed``: it was given back."""

    number: int
    body: str
    count: int = 0
    failed: bool = False


class Sqs:
    """A queue as SQS is: at least once, in about the order of sending, given up in the end."""

    def __init__(self) -> None:
        self.given_up: list[Message] = []
        self.deliveries = 0
        self._waiting: deque[Message] = deque()
        self._sent = 0
        self._flying: Counter[int] = Counter()
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            self._sent += 1
            self._waiting.append(Message(self._sent, json.dumps(message)))

    def send_all(self, messages: Sequence[Mapping[str, Any]]) -> None:
        for message in messages:
            self.send(message)

    def redeliver(self, receipt: str, seconds: int) -> None:
        """What failed comes again without a pause here."""

    def receive(self) -> Message | None:
        """The next message; None when there is none for the moment."""
        with self._lock:
            for waiting in self._waiting:
                # What failed stays hidden for longer than any container can be at it.
                if not (waiting.failed and self._flying[waiting.number]):
                    break
            else:
                return None
            self._waiting.remove(waiting)
            message = replace(waiting, count=waiting.count + 1)
            if message.number % DOUBLED == 0 and message.count == 1:
                self._waiting.appendleft(message)
            self._flying[message.number] += 1
            self.deliveries += 1
            return message

    def end(self, message: Message, *, failed: bool) -> None:
        with self._lock:
            self._flying[message.number] -= 1
            if failed and message.count >= TRIES:
                self.given_up.append(message)
            elif failed:
                self._waiting.append(replace(message, failed=True))


class FakeIdempotency:
    """Remembers in memory, for several threads."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any] | None] = {}
        self._lock = threading.Lock()

    def run(self, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        with self._lock:
            if key in self._known:
                if (known := self._known[key]) is None:
                    raise InProgress
                return known
            self._known[key] = None
        result: dict[str, Any] | None = None
        try:
            result = work()
            return result
        finally:
            with self._lock:
                if result is None:
                    del self._known[key]
                else:
                    self._known[key] = result


class Photos:
    """A small photo of its own behind every address; some come only when asked again."""

    def __init__(self) -> None:
        self.failed: set[int] = set()

    def fetch(self, address: str) -> bytes:
        number = int(address.rpartition("/")[2])
        if number % FLAKY == 0 and number not in self.failed:
            self.failed.add(number)
            raise PhotoFetchFailed
        file = io.BytesIO()
        Image.new("RGB", (64, 64), (number // 256, number % 256, 0)).save(file, "PNG")
        return file.getvalue()


class CountingVision(fakes.FakeVision):
    """Sees nobody, and counts how often it was shown which photo."""

    def __init__(self) -> None:
        super().__init__()
        self.looked: Counter[int] = Counter()
        self._lock = threading.Lock()

    def find_people(self, rgb: Any) -> list[Candidate]:
        with self._lock:
            self.looked[int(rgb[0, 0, 0]) * 256 + int(rgb[0, 0, 1])] += 1
        return []


def container(service: MaskService, tracker: JobTracker) -> Worker:
    runner = JobRunner(service)
    # No message tells of an upload.
    objects = cast(S3Objects, None)
    uploads = Uploads(
        runner, objects, tracker, results_prefix="results/", mask_folder=None, max_bytes=1
    )
    return Worker(runner, uploads, tracker, tries=TRIES)


def run(worker: Worker, queue: Sqs) -> None:
    """What Lambda does with a queue: one message a batch, and given back what has failed."""
    (record,) = read_event("sqs-job")["Records"]
    while (message := queue.receive()) is not None:
        attributes = record["attributes"] | {"ApproximateReceiveCount": str(message.count)}
        sent = record | {"messageId": str(message.number), "body": message.body}
        event = {"Records": [sent | {"attributes": attributes}]}
        failed = worker.handle(event, fakes.FakeContext(seconds=60))["batchItemFailures"]
        assert failed in ([], [{"itemIdentifier": str(message.number)}])
        queue.end(message, failed=bool(failed))


def test_a_thousand_messages_are_each_done_once() -> None:
    queue, jobs, photos, vision = Sqs(), fakes.FakeJobs(), Photos(), CountingVision()
    batches = BatchTracker(jobs, queue, fakes.FakeBatches(), fakes.FakeBatchFiles())
    submit = JobSubmitter(jobs, queue, fakes.FakeForms()).submit
    service = MaskService(
        vision, fakes.FakeStore(), photos, idempotency=FakeIdempotency(), limits=Limits()
    )
    tracker = JobTracker(jobs, queue, fakes.FakeCallbacks(), batches)
    with request_log("request-1", "user-1"):
        for number in range(MESSAGES):
            address = f"https://example.com/{number}"
            submit("user-1", "user-1", MaskRequestBody(user_image_url=address))

    with ThreadPoolExecutor(CONTAINERS) as pool:
        for done in [
            pool.submit(run, container(service, tracker), queue) for _ in range(CONTAINERS)
        ]:
            done.result()

    assert Counter(job.state for job in jobs.kept.values()) == {"refused": MESSAGES}
    assert vision.looked == Counter(range(MESSAGES))
    assert queue.given_up == []
    doubled, flaky = MESSAGES // DOUBLED, len(photos.failed)
    assert flaky == len(range(0, MESSAGES, FLAKY))
    assert queue.deliveries >= MESSAGES + doubled + flaky
    print(f"{MESSAGES} messages, {queue.deliveries} deliveries: none lost, none done twice")
