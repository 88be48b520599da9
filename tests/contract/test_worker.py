from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
from moto import mock_aws
from tests import fakes
from tests.contract.event_files import read_event

from tryon_masks.adapters.s3 import S3MaskStore, S3Objects
from tryon_masks.domain.errors import LogUnavailable, PhotoFetchFailed, StoreFailed
from tryon_masks.entrypoints.uploads import Uploads
from tryon_masks.service import MaskService

BUCKET = "tryon-masks-photos"
URL = "https://example.com/photos/standing.jpg"
CONTEXT = fakes.FakeContext("0c0e7d9d", 60)


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
        once: fakes.FakeOnce | None = None,
    ) -> None:
        self.s3 = s3
        self.vision = vision or fakes.FakeVision()
        self.store = store or fakes.FakeStore()
        self.profiles = fakes.FakeProfiles()
        photos = fakes.FakePhotos({URL: fakes.photo()})
        self._uploads = Uploads(
            MaskService(self.vision, self.store, photos, self.profiles, once=once),
            S3Objects(s3),
            results_prefix="results/",
            mask_folder=(BUCKET, "masks"),
            max_bytes=1_000_000,
            step_log=step_log,
        )

    def upload(
        self, key: str, data: bytes | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Put an object, as an app would."""
        body = fakes.photo() if data is None else data
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata=dict(metadata or {}))

    def notify(self, *keys: str) -> None:
        """One event about all of ``keys``."""
        (record,) = read_event("s3-upload")["Records"]
        records = []
        for key in keys:
            object_ = record["s3"]["object"] | {"key": quote_plus(key, safe="/")}
            records.append(record | {"s3": record["s3"] | {"object": object_}})
        self._uploads.handle({"Records": records}, CONTEXT)

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
    assert answer["request_id"] == "0c0e7d9d-1"
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
        ({"user-id": "a/b"}, "user id"),
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


def test_what_may_pass_is_raised_and_not_answered(s3: Any) -> None:
    worker = Worker(s3, store=fakes.FakeStore(failing="lower"))
    worker.upload("uploads/a.jpg")

    with pytest.raises(StoreFailed):
        worker.notify("uploads/a.jpg")
    assert worker.keys() == {"uploads/a.jpg"}


def test_without_a_log_nothing_is_started(s3: Any) -> None:
    worker = Worker(s3, step_log=fakes.FakeStepLog(closed=True))
    worker.upload("uploads/a.jpg")

    with pytest.raises(LogUnavailable):
        worker.notify("uploads/a.jpg")
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
    assert step_log.opened == ["0c0e7d9d-1", "0c0e7d9d-2"]


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

    with pytest.raises(PhotoFetchFailed):
        worker.notify("uploads/a.jpg", "uploads/lost.jpg", "uploads/c.jpg")

    assert worker.answer("uploads/a.jpg")["request_id"] == "0c0e7d9d-1"
    assert worker.answer("uploads/c.jpg")["request_id"] == "0c0e7d9d-3"


def test_several_lost_uploads_are_raised_together(s3: Any) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        Worker(s3).notify("uploads/lost.jpg", "uploads/lost too.jpg")

    assert [type(error) for error in raised.value.exceptions] == [PhotoFetchFailed] * 2


def test_the_same_event_again_has_the_same_masks(s3: Any) -> None:
    worker = Worker(s3)
    worker.upload("uploads/a.jpg")

    worker.notify("uploads/a.jpg")
    first = worker.answer("uploads/a.jpg")["masks"]
    worker.notify("uploads/a.jpg")

    assert worker.answer("uploads/a.jpg")["masks"] == first
    assert worker.vision.parsed == 2


def test_the_same_event_three_times_is_one_inference(s3: Any) -> None:
    worker = Worker(s3, once=fakes.FakeOnce())
    worker.upload("uploads/a.jpg")

    worker.notify("uploads/a.jpg")
    first = worker.answer("uploads/a.jpg")["masks"]
    worker.notify("uploads/a.jpg", "uploads/a.jpg")

    assert worker.answer("uploads/a.jpg")["masks"] == first
    assert worker.vision.parsed == 1
