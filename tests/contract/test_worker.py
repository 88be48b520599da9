from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
from moto import mock_aws
from tests import fakes
from tests.contract.event_files import read_event

from tryon_masks.adapters.s3 import S3MaskStore, S3Objects
from tryon_masks.domain.errors import CallbackFailed, UrlNotAllowed
from tryon_masks.entrypoints.queue.messages import Worker as RealWorker
from tryon_masks.entrypoints.queue.uploads import Uploads
from tryon_masks.images import Limits
from tryon_masks.jobs.progress import BatchTracker, JobTracker
from tryon_masks.jobs.run import JobRunner
from tryon_masks.ports import MaskTask, UploadTask
from tryon_masks.service import MaskService

BUCKET = "tryon-masks-photos"
URL = "https://example.com/photos/standing.jpg"
CONTEXT = fakes.FakeContext("0c0e7d9d", 60)
MESSAGE = "059f36b4"
TRIES = 3
CALLBACK = "https://shop.example.com/masks"
JOB = "1".zfill(32)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


class Worker:
    """The worker on a mock of S3 and fakes, all of them within reach."""

    def __init__(
        self,
        s3: Any,
        vision: fakes.FakeVision | None = None,
        store: fakes.FakeStore | S3MaskStore | None = None,
        step_log: fakes.FakeStepLog | None = None,
        idempotency: fakes.FakeIdempotency | None = None,
    ) -> None:
        self.s3 = s3
        self.vision = vision or fakes.FakeVision()
        self.store = store or fakes.FakeStore()
        self.profiles = fakes.FakeProfiles()
        self.photos = fakes.FakePhotos({URL: fakes.photo()})
        self.jobs = fakes.FakeJobs()
        self.queue = fakes.FakeQueue()
        self.callbacks = fakes.FakeCallbacks()
        self.batches = fakes.FakeBatches()
        self.files = fakes.FakeBatchFiles()
        batches = BatchTracker(self.jobs, self.queue, self.batches, self.files)
        tracker = JobTracker(self.jobs, self.queue, self.callbacks, batches)
        service = MaskService(
            self.vision,
            self.store,
            self.photos,
            self.profiles,
            idempotency=idempotency,
            limits=Limits(),
        )
        runner = JobRunner(service, step_log)
        uploads = Uploads(
            runner,
            S3Objects(s3),
            tracker,
            results_prefix="results/",
            mask_folder=(BUCKET, "masks"),
            max_bytes=1_000_000,
        )
        self._worker = RealWorker(runner, uploads, tracker, tries=TRIES)

    def upload(
        self, key: str, data: bytes | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Put an object, as an app would."""
        body = fakes.photo() if data is None else data
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata=dict(metadata or {}))

    def deliver(self, *bodies: object, delivery: int = 1) -> list[str]:
        """One batch with a message for each body; gives the ids of those to come again."""
        (message,) = read_event("sqs-job")["Records"]
        attributes = message["attributes"] | {"ApproximateReceiveCount": str(delivery)}
        records = [
            message
            | {
                "messageId": MESSAGE if len(bodies) == 1 else f"{MESSAGE}-{number}",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": attributes,
            }
            for number, body in enumerate(bodies, 1)
        ]
        answer = self._worker.handle({"Records": records}, CONTEXT)
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def notify(self, *keys: str, delivery: int = 1) -> list[str]:
        """One message about all of ``keys``."""
        return self.deliver(self.event(*keys), delivery=delivery)

    @staticmethod
    def event(*keys: str) -> dict[str, Any]:
        """What S3 says when all of ``keys`` were uploaded."""
        (message,) = read_event("sqs-upload")["Records"]
        (record,) = json.loads(message["body"])["Records"]
        records = []
        for key in keys:
            object_ = record["s3"]["object"] | {"key": quote_plus(key, safe="/")}
            records.append(record | {"s3": record["s3"] | {"object": object_}})
        return {"Records": records}

    def answer(self, key: str) -> dict[str, Any]:
        """What was written for the upload ``key``."""
        written = self.s3.get_object(Bucket=BUCKET, Key=f"results/{key}.json")
        assert written["ContentType"] == "application/json"
        answer: dict[str, Any] = json.load(written["Body"])
        return answer

    def keys(self) -> set[str]:
        """Everything in the bucket."""
        return {o["Key"] for o in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def test_an_upload_becomes_masks_and_an_answer(s3: Any) -> None:
    worker = Worker(s3)
    worker.upload("uploads/a.jpg")

    worker.notify("uploads/a.jpg")

    answer = worker.answer("uploads/a.jpg")
    assert answer["status"] == "success"
    assert set(answer["masks"]) == {"upper", "lower"}
    assert answer["request_id"] == f"{MESSAGE}-1-1"
    assert "Mask" not in answer
    assert [user for user, _, _ in worker.profiles.merged] == ["anonymous"]


def test_the_key_is_decoded(s3: Any) -> None:
    worker = Worker(s3)
    key = "uploads/50% + Jäger/photo (1).jpg"
    worker.upload(key)

    worker.notify(key)

    assert worker.answer(key)["status"] == "success"


def test_the_metadata_chooses(s3: Any) -> None:
    worker = Worker(s3)
    options = json.dumps({"expand": {"top": 0.1}, "overlay": True})
    metadata = {"user-id": "user-7", "masks": "full, face", "profile": "hull", "options": options}
    worker.upload("uploads/a.jpg", metadata=metadata | {"camera": "another program's"})

    worker.notify("uploads/a.jpg")

    answer = worker.answer("uploads/a.jpg")
    assert answer["status"] == "success"
    assert set(answer["masks"]) == {"full", "face"}
    assert answer["overlay"]
    assert [user for user, _, _ in worker.profiles.merged] == ["user-7"]


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"masks": "torso"}, "masks"),
        ({"profile": "loose"}, "profile"),
        ({"options": "{"}, "options"),
        ({"options": "[]"}, "options"),
        ({"options": '{"colour": 1}'}, "colour"),
        ({"options": '{"profile": "body"}', "profile": "hull"}, "profile"),
        ({"user-id": "a" * 129}, "user id"),
    ],
)
def test_bad_metadata_is_answered(s3: Any, metadata: dict[str, str], named: str) -> None:
    worker = Worker(s3)
    worker.upload("uploads/a.jpg", metadata=metadata)

    worker.notify("uploads/a.jpg")

    answer = worker.answer("uploads/a.jpg")
    assert (answer["status"], answer["error"]["code"]) == ("error", "INVALID_REQUEST")
    assert named in answer["error"]["message"]


def test_a_document_is_read_and_its_block_answered(s3: Any) -> None:
    worker = Worker(s3)
    document = {"userImageUrl": URL, "profile": {"name": "its owner's own field"}}
    worker.upload("uploads/data.json", json.dumps(document).encode(), {"user-id": "user-7"})

    worker.notify("uploads/data.json")

    answer = worker.answer("uploads/data.json")
    assert answer["Mask"] == {
        "Status": "success",
        "Upper mask URL": answer["masks"]["upper"],
        "Lower mask URL": answer["masks"]["lower"],
    }
    assert [user for user, _, _ in worker.profiles.merged] == ["user-7"]


@pytest.mark.parametrize(
    ("key", "data", "code"),
    [
        ("uploads/a.jpg", b"not an image", "UNSUPPORTED_PHOTO"),
        ("uploads/a.jpg", b"", "UNSUPPORTED_PHOTO"),
        ("uploads/a.jpg", fakes.photo()[:2000], "BROKEN_PHOTO"),
        ("uploads/a.jpg", bytes(1_000_001), "PHOTO_TOO_LARGE"),
        ("uploads/data.json", b'{"name": "Ada"}', "INVALID_REQUEST"),
        ("uploads/data.json", b"{", "INVALID_REQUEST"),
    ],
)
def test_what_the_uploader_can_mend_is_an_answer(s3: Any, key: str, data: bytes, code: str) -> None:
    worker = Worker(s3)
    worker.upload(key, data)

    worker.notify(key)

    answer = worker.answer(key)
    assert (answer["status"], answer["error"]["code"]) == ("error", code)


def test_a_refusal_is_an_answer(s3: Any) -> None:
    worker = Worker(s3, fakes.FakeVision(people=0))
    worker.upload("uploads/a.jpg")

    worker.notify("uploads/a.jpg")

    answer = worker.answer("uploads/a.jpg")
    assert answer["status"] == "refused"
    assert {one["code"] for one in answer["refused"]} == {"NO_PERSON"}


def test_what_may_pass_comes_again_and_is_not_answered(s3: Any) -> None:
    worker = Worker(s3, store=fakes.FakeStore(failing="lower"))
    worker.upload("uploads/a.jpg")

    assert worker.notify("uploads/a.jpg", delivery=TRIES - 1) == [MESSAGE]
    assert worker.keys() == {"uploads/a.jpg"}


def test_what_never_passed_is_answered_in_the_end_and_given_up(s3: Any) -> None:
    worker = Worker(s3, store=fakes.FakeStore(failing="lower"))
    worker.upload("uploads/a.jpg")

    assert worker.notify("uploads/a.jpg", delivery=TRIES) == [MESSAGE]

    answer = worker.answer("uploads/a.jpg")
    assert (answer["status"], answer["error"]["code"]) == ("error", "STORE_FAILED")


def test_what_nobody_foresaw_is_answered_in_the_end_without_a_word_about_it(s3: Any) -> None:
    worker = Worker(s3, fakes.BrokenVision())
    worker.upload("uploads/a.jpg")

    assert worker.notify("uploads/a.jpg", delivery=TRIES) == [MESSAGE]

    answer = worker.answer("uploads/a.jpg")
    assert answer["error"]["code"] == "INTERNAL"
    assert "secret" not in json.dumps(answer)


def test_without_a_log_nothing_is_started(s3: Any) -> None:
    worker = Worker(s3, step_log=fakes.FakeStepLog(closed=True))
    worker.upload("uploads/a.jpg")

    assert worker.notify("uploads/a.jpg") == [MESSAGE]
    assert worker.vision.parsed == 0
    assert worker.keys() == {"uploads/a.jpg"}


@pytest.mark.parametrize("full", [False, True])
def test_the_answer_says_whether_the_log_was_saved(s3: Any, full: bool) -> None:
    step_log = fakes.FakeStepLog(full=full)
    worker = Worker(s3, step_log=step_log)
    worker.upload("uploads/a.jpg")
    worker.upload("uploads/b.jpg", b"not an image")

    worker.notify("uploads/a.jpg", "uploads/b.jpg")

    assert worker.answer("uploads/a.jpg")["log_saved"] is not full
    assert worker.answer("uploads/b.jpg")["log_saved"] is not full
    assert step_log.opened == [f"{MESSAGE}-1-1", f"{MESSAGE}-1-2"]


@pytest.mark.parametrize("key", ["results/uploads/a.jpg.json", "masks/abc/upper.png"])
def test_it_never_reads_what_it_wrote(s3: Any, key: str) -> None:
    step_log = fakes.FakeStepLog()
    worker = Worker(s3, step_log=step_log)
    worker.upload(key)

    worker.notify(key)

    assert worker.keys() == {key}
    assert worker.vision.parsed == 0
    assert step_log.opened == []


def test_what_it_wrote_for_an_upload_ends_there(s3: Any) -> None:
    worker = Worker(s3, store=S3MaskStore(BUCKET, "masks", s3, "https://cdn.example.com", 60))
    worker.upload("uploads/a.jpg")
    worker.notify("uploads/a.jpg")
    written = worker.keys()
    assert len(written) == 4

    worker.notify(*sorted(written - {"uploads/a.jpg"}))

    assert worker.keys() == written


def test_one_lost_upload_does_not_stop_the_others(s3: Any) -> None:
    worker = Worker(s3)
    worker.upload("uploads/a.jpg")
    worker.upload("uploads/c.jpg")

    assert worker.notify("uploads/a.jpg", "uploads/lost.jpg", "uploads/c.jpg") == []

    assert worker.answer("uploads/a.jpg")["request_id"] == f"{MESSAGE}-1-1"
    assert worker.answer("uploads/lost.jpg")["error"]["code"] == "PHOTO_NOT_FOUND"
    assert worker.answer("uploads/c.jpg")["request_id"] == f"{MESSAGE}-1-3"


def test_several_failed_uploads_are_one_message_to_come_again(s3: Any) -> None:
    worker = Worker(s3, store=fakes.FakeStore(failing="lower"))
    worker.upload("uploads/a.jpg")
    worker.upload("uploads/b.jpg")

    assert worker.notify("uploads/a.jpg", "uploads/b.jpg") == [MESSAGE]


def test_an_archived_upload_is_answered_at_once(s3: Any) -> None:
    worker = Worker(s3)
    s3.put_object(Bucket=BUCKET, Key="uploads/a.jpg", Body=b"photo", StorageClass="GLACIER")

    assert worker.notify("uploads/a.jpg") == []
    assert worker.answer("uploads/a.jpg")["error"]["code"] == "PHOTO_NOT_FOUND"


@pytest.mark.parametrize(
    ("key", "code"), [(f"uploads/shop/{JOB}", "PHOTO_NOT_FOUND"), (f"uploads/other/{JOB}", None)]
)
def test_an_upload_that_is_gone_is_its_jobs_answer(s3: Any, key: str, code: str | None) -> None:
    worker = Worker(s3)
    worker.jobs.add(JOB, "shop", UploadTask(f"uploads/shop/{JOB}", "auth0|5f7c"))

    assert worker.notify(key) == []

    answer = worker.jobs.kept[JOB].answer
    assert (answer and answer["error"]["code"]) == code
    assert worker.answer(key)["error"]["code"] == "PHOTO_NOT_FOUND"
    written = s3.head_object(Bucket=BUCKET, Key=f"results/{key}.json")["Metadata"]
    assert written == ({"user-id": "auth0%7C5f7c"} if code else {})


@pytest.mark.parametrize("key", ["uploads/", "uploads/anna/", "uploads/anna_$folder$"])
def test_a_folder_is_no_upload(s3: Any, key: str) -> None:
    worker = Worker(s3)
    worker.upload(key, b"")

    assert worker.notify(key) == []
    assert worker.keys() == {key}


def test_of_a_batch_only_what_failed_comes_again(s3: Any) -> None:
    worker = Worker(s3)
    worker.upload("uploads/a.jpg")
    worker.upload("uploads/c.jpg", b"not an image")
    bodies = worker.event("uploads/a.jpg"), {"from": "nobody"}, worker.event("uploads/c.jpg")

    assert worker.deliver(*bodies) == [f"{MESSAGE}-2"]

    assert worker.answer("uploads/a.jpg")["status"] == "success"
    assert worker.answer("uploads/c.jpg")["error"]["code"] == "UNSUPPORTED_PHOTO"


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"job_id": 7}', '{"Records": []}', "7"])
def test_a_message_of_nobodys_is_given_up(s3: Any, body: str) -> None:
    assert Worker(s3).deliver(body) == [MESSAGE]


def test_the_message_that_s3_sends_to_try_the_queue_is_taken(s3: Any) -> None:
    assert Worker(s3).deliver({"Service": "Amazon S3", "Event": "s3:TestEvent"}) == []


def test_the_same_event_again_has_the_same_masks(s3: Any) -> None:
    worker = Worker(s3)
    worker.upload("uploads/a.jpg")

    worker.notify("uploads/a.jpg")
    first = worker.answer("uploads/a.jpg")["masks"]
    worker.notify("uploads/a.jpg")

    assert worker.answer("uploads/a.jpg")["masks"] == first
    assert worker.vision.parsed == 2


def test_the_same_event_three_times_is_one_inference(s3: Any) -> None:
    worker = Worker(s3, idempotency=fakes.FakeIdempotency())
    worker.upload("uploads/a.jpg")

    worker.notify("uploads/a.jpg")
    first = worker.answer("uploads/a.jpg")["masks"]
    worker.notify("uploads/a.jpg", "uploads/a.jpg")

    assert worker.answer("uploads/a.jpg")["masks"] == first
    assert worker.vision.parsed == 1


def task(**more: Any) -> MaskTask:
    return replace(MaskTask(URL, "user-7", {"masks": ["upper"], "profile": "hull"}), **more)


def test_a_job_is_made_and_answered(s3: Any) -> None:
    worker = Worker(s3)
    worker.jobs.add(JOB, "user-7", task())

    assert worker.deliver({"job_id": JOB}) == []

    job = worker.jobs.kept[JOB]
    assert (job.state, worker.jobs.states) == ("success", ["running", "success"])
    assert job.answer is not None
    assert job.answer["status"] == "success"
    assert set(job.answer["masks"]) == {"upper"}
    assert job.answer["request_id"] == f"{MESSAGE}-1"
    assert "logs" not in job.answer
    assert [user for user, _, _ in worker.profiles.merged] == ["user-7"]


def test_a_jobs_answer_is_what_the_request_asked_for(s3: Any) -> None:
    worker = Worker(s3)
    worker.jobs.add(JOB, "user-7", task(document=True, include_logs=True, options={}))

    worker.deliver({"job_id": JOB})

    answer = worker.jobs.kept[JOB].answer
    assert answer is not None
    assert answer["Mask"]["Status"] == "success"
    assert {record["user_id"] for record in answer["logs"][2:]} == {"user-7"}


@pytest.mark.parametrize(
    ("vision", "data", "state", "code"),
    [
        (fakes.FakeVision(people=0), fakes.photo(), "refused", "NO_PERSON"),
        (fakes.FakeVision(without=fakes.LEG_POINTS), fakes.photo(), "partial", "LEGS_NOT_VISIBLE"),
        (fakes.FakeVision(), b"not an image", "error", "UNSUPPORTED_PHOTO"),
    ],
)
def test_what_time_does_not_mend_is_a_jobs_answer(
    s3: Any, vision: fakes.FakeVision, data: bytes, state: str, code: str
) -> None:
    worker = Worker(s3, vision)
    worker.photos.known = {URL: data}
    worker.jobs.add(JOB, "user-7", task(options={}))

    assert worker.deliver({"job_id": JOB}) == []

    job = worker.jobs.kept[JOB]
    assert (job.state, code in json.dumps(job.answer)) == (state, True)


def test_a_job_lists_the_people_to_choose_from(s3: Any) -> None:
    worker = Worker(s3, fakes.FakeVision(people=2))

    worker.jobs.add(JOB, "user-7", task(options={}))

    worker.deliver({"job_id": JOB})

    answer = worker.jobs.kept[JOB].answer
    assert answer is not None
    assert [set(one) for one in answer["people"]] == [{"box", "score"}] * 2


def test_a_job_that_failed_runs_again_and_then_succeeds(s3: Any) -> None:
    store = fakes.FakeStore(failing="upper")
    worker = Worker(s3, store=store)
    worker.jobs.add(JOB, "user-7", task())

    assert worker.deliver({"job_id": JOB}) == [MESSAGE]
    assert (worker.jobs.kept[JOB].state, worker.jobs.kept[JOB].answer) == ("running", None)
    store.failing = None
    assert worker.deliver({"job_id": JOB}, delivery=2) == []

    assert worker.jobs.kept[JOB].state == "success"


def test_a_job_that_is_given_up_says_so_and_can_be_sent_again(s3: Any) -> None:
    store = fakes.FakeStore(failing="upper")
    worker = Worker(s3, store=store)
    worker.jobs.add(JOB, "user-7", task())

    assert worker.deliver({"job_id": JOB}, delivery=TRIES) == [MESSAGE]
    job = worker.jobs.kept[JOB]
    assert job.state == "error"
    assert job.answer is not None
    assert job.answer["error"]["code"] == "STORE_FAILED"

    store.failing = None
    assert worker.deliver({"job_id": JOB}) == []
    assert worker.jobs.kept[JOB].state == "success"


def test_a_finished_job_is_not_done_again(s3: Any) -> None:
    worker = Worker(s3)
    worker.jobs.add(JOB, "user-7", task())

    worker.deliver({"job_id": JOB})
    worker.deliver({"job_id": JOB}, {"job_id": JOB})

    assert worker.vision.parsed == 1
    assert worker.jobs.states == ["running", "success"]


def test_a_job_that_was_forgotten_is_let_go(s3: Any) -> None:
    worker = Worker(s3)

    assert worker.deliver({"job_id": JOB}) == []
    assert worker.vision.shown == []


def test_a_job_that_is_being_done_elsewhere_comes_again(s3: Any) -> None:
    idempotency = fakes.FakeIdempotency()
    worker = Worker(s3, idempotency=idempotency)
    for number in "12":
        worker.jobs.add(number.zfill(32), "user-7", task())
    worker.deliver({"job_id": "1".zfill(32)})
    idempotency.busy = set(idempotency.asked)

    assert worker.deliver({"job_id": "2".zfill(32)}) == [MESSAGE]

    idempotency.busy = set()
    assert worker.deliver({"job_id": "2".zfill(32)}, delivery=2) == []
    assert worker.vision.parsed == 1
    first, second = (worker.jobs.kept[n.zfill(32)].answer for n in "12")
    assert first is not None
    assert second is not None
    assert second["masks"] == first["masks"]


def form(worker: Worker, key: str, data: bytes | None = None) -> None:
    """An upload by a form of the API, whose job was taken before."""
    worker.jobs.add(JOB, "user-7", UploadTask("uploads/user-7/photo", "user-7", CALLBACK))
    options = json.dumps({"masks": ["upper"]})
    worker.upload(key, data, {"job-id": JOB, "user-id": "user-7", "options": options})


def test_an_upload_by_a_form_answers_its_job(s3: Any) -> None:
    worker = Worker(s3)
    form(worker, "uploads/user-7/photo")

    assert worker.notify("uploads/user-7/photo") == []

    job = worker.jobs.kept[JOB]
    assert worker.jobs.states == ["running", "success"]
    assert job.answer == worker.answer("uploads/user-7/photo")
    assert worker.queue.sent == [{"callback": JOB}]


def test_a_bad_photo_by_a_form_is_its_jobs_answer(s3: Any) -> None:
    worker = Worker(s3)
    form(worker, "uploads/user-7/photo", b"not an image")

    assert worker.notify("uploads/user-7/photo") == []

    answer = worker.jobs.kept[JOB].answer
    assert answer is not None
    assert answer["error"]["code"] == "UNSUPPORTED_PHOTO"


def test_an_upload_cannot_answer_anothers_job(s3: Any) -> None:
    worker = Worker(s3)
    form(worker, "uploads/user-8/photo")

    assert worker.notify("uploads/user-8/photo") == []

    assert worker.jobs.kept[JOB].state == "queued"
    assert worker.answer("uploads/user-8/photo")["error"]["code"] == "INVALID_REQUEST"


def test_a_finished_job_is_posted_to_whoever_asked_for_it(s3: Any) -> None:
    worker = Worker(s3)
    worker.jobs.add(JOB, "user-7", task(callback_url=CALLBACK))

    assert worker.deliver({"job_id": JOB}) == []
    assert (worker.queue.sent, worker.callbacks.posted) == ([{"callback": JOB}], [])
    assert worker.deliver(*worker.queue.sent) == []

    ((address, body),) = worker.callbacks.posted
    job = worker.jobs.kept[JOB]
    assert address == CALLBACK
    assert (body["job_id"], body["state"], body["answer"]) == (JOB, "success", job.answer)


def test_a_job_that_is_given_up_is_posted_too(s3: Any) -> None:
    worker = Worker(s3, store=fakes.FakeStore(failing="upper"))
    worker.jobs.add(JOB, "user-7", task(callback_url=CALLBACK))

    worker.deliver({"job_id": JOB}, delivery=TRIES)
    worker.deliver(*worker.queue.sent)

    assert worker.callbacks.posted[0][1]["answer"]["error"]["code"] == "STORE_FAILED"


def test_a_callback_that_is_not_taken_comes_again_ever_later(s3: Any) -> None:
    worker = Worker(s3)
    worker.jobs.add(JOB, "user-7", task(callback_url=CALLBACK))
    worker.deliver({"job_id": JOB})
    worker.callbacks.failure = CallbackFailed()

    for delivery in (1, 2, 3, 4, 5):
        assert worker.deliver({"callback": JOB}, delivery=delivery) == [MESSAGE]

    pauses = [seconds for _, seconds in worker.queue.later]
    assert pauses == [10, 30, 90, 270, 270]
    worker.callbacks.failure = None
    assert worker.deliver({"callback": JOB}) == []
    assert len(worker.callbacks.posted) == 1
    assert worker.vision.parsed == 1


def test_a_callback_to_where_none_may_go_is_not_tried_again(s3: Any) -> None:
    worker = Worker(s3)
    worker.jobs.add(JOB, "user-7", task(callback_url=CALLBACK))
    worker.deliver({"job_id": JOB})
    worker.callbacks.failure = UrlNotAllowed()

    assert worker.deliver({"callback": JOB}) == []


def test_a_callback_waits_for_the_answer(s3: Any) -> None:
    worker = Worker(s3)
    worker.jobs.add(JOB, "user-7", task(callback_url=CALLBACK))

    assert worker.deliver({"callback": JOB}) == [MESSAGE]
    assert worker.callbacks.posted == []


def test_what_is_in_progress_keeps_all_the_time_of_the_queue(s3: Any) -> None:
    idempotency = fakes.FakeIdempotency()
    worker = Worker(s3, idempotency=idempotency)
    worker.upload("uploads/a.jpg")
    worker.notify("uploads/a.jpg")
    idempotency.busy = set(idempotency.asked)

    assert worker.notify("uploads/a.jpg") == [MESSAGE]
    assert worker.queue.later == []
