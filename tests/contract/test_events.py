from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from tests import fakes
from tests.contract.event_files import event_names, read_event

from tryon_masks.adapters.s3 import S3Objects
from tryon_masks.entrypoints.http.routes import create_handler
from tryon_masks.entrypoints.queue.messages import Worker
from tryon_masks.entrypoints.queue.uploads import Uploads
from tryon_masks.jobs.progress import JobDesk
from tryon_masks.jobs.run import Maker
from tryon_masks.service import MaskService

URL = "https://example.com/photos/standing.jpg"
UPLOAD = "uploads/user-1/Jäger photo (1).jpg"


@pytest.fixture
def service() -> MaskService:
    photos = fakes.FakePhotos({URL: fakes.photo()})
    return MaskService(fakes.FakeVision(), fakes.FakeStore(), photos)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="eu-central-1")
        client.create_bucket(
            Bucket="tryon-masks-photos",
            CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
        )
        yield client


def worker(
    service: MaskService,
    s3: Any,
    jobs: fakes.FakeJobs,
    batches: tuple[fakes.FakeBatches, fakes.FakeBatchFiles] | None = None,
) -> Worker:
    maker = Maker(service)
    more = batches or (fakes.FakeBatches(), fakes.FakeBatchFiles())
    desk = JobDesk(jobs, fakes.FakeQueue(), fakes.FakeCallbacks(), *more)
    uploads = Uploads(
        maker,
        S3Objects(s3),
        desk,
        results_prefix="results/",
        mask_folder=None,
        max_bytes=1_000_000,
    )
    return Worker(maker, uploads, desk, tries=5)


def test_there_is_an_event_for_each_way_in() -> None:
    assert event_names() == [
        "api-batch",
        "api-batches",
        "api-data-json",
        "api-health",
        "api-image",
        "api-job",
        "api-masks",
        "api-masks-iam",
        "api-masks-later",
        "api-root",
        "api-upload",
        "sqs-batch",
        "sqs-callback",
        "sqs-data-json",
        "sqs-item",
        "sqs-job",
        "sqs-s3-test",
        "sqs-upload",
    ]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("api-masks", set()),
        ("api-masks-iam", set()),
        ("api-root", set()),
        ("api-image", {"overlay"}),
        ("api-data-json", {"Mask"}),
    ],
)
def test_an_api_event_makes_masks(service: MaskService, name: str, more: set[str]) -> None:
    response = create_handler(service, fakes.desk())(read_event(name), fakes.FakeContext())

    answer = json.loads(response["body"])
    assert (response["statusCode"], answer["status"]) == (200, "success")
    assert set(answer["masks"]) == {"upper", "lower"}
    assert more == set(answer) & {"overlay", "Mask"}


def test_the_health_event_is_answered(service: MaskService) -> None:
    response = create_handler(service, fakes.desk())(read_event("api-health"), fakes.FakeContext())

    assert (response["statusCode"], json.loads(response["body"])["ready"]) == (200, True)


@pytest.mark.parametrize(
    ("name", "key", "data"),
    [
        ("sqs-upload", UPLOAD, fakes.photo()),
        ("sqs-data-json", "uploads/user-1/data.json", json.dumps({"userImageUrl": URL}).encode()),
    ],
)
def test_an_upload_event_writes_its_answer(
    service: MaskService, s3: Any, name: str, key: str, data: bytes
) -> None:
    s3.put_object(Bucket="tryon-masks-photos", Key=key, Body=data)

    assert worker(service, s3, fakes.FakeJobs()).handle(read_event(name), fakes.FakeContext()) == {
        "batchItemFailures": []
    }

    written = s3.get_object(Bucket="tryon-masks-photos", Key=f"results/{key}.json")
    answer = json.load(written["Body"])
    assert answer["status"] == "success"
    assert ("Mask" in answer) == (name == "sqs-data-json")


def test_a_job_goes_from_the_api_to_the_worker_and_back(service: MaskService, s3: Any) -> None:
    desk = fakes.desk()
    jobs = cast(fakes.FakeJobs, desk.jobs)
    handler = create_handler(service, desk)
    taken = handler(read_event("api-masks-later"), fakes.FakeContext())
    assert taken["statusCode"] == 202
    (message,) = read_event("sqs-job")["Records"]
    assert json.loads(message["body"]) == cast(fakes.FakeQueue, desk.queue).sent[0]

    worker(service, s3, jobs).handle(read_event("sqs-job"), fakes.FakeContext())

    asked = read_event("api-job")
    asked["rawPath"] = asked["requestContext"]["http"]["path"] = taken["headers"]["Location"]
    found = json.loads(handler(asked, fakes.FakeContext())["body"])
    assert (found["state"], found["answer"]["status"]) == ("success", "success")
    assert set(found["answer"]["masks"]) == {"upper", "lower"}


def test_a_job_that_is_not_the_callers_is_not_found(service: MaskService) -> None:
    response = create_handler(service, fakes.desk())(read_event("api-job"), fakes.FakeContext())

    assert response["statusCode"] == 404


def test_a_batch_goes_from_the_api_through_the_worker_and_back(
    service: MaskService, s3: Any
) -> None:
    desk = fakes.desk()
    handler = create_handler(service, desk)
    taken = handler(read_event("api-batches"), fakes.FakeContext())
    assert taken["statusCode"] == 202
    (message,) = read_event("sqs-batch")["Records"]
    assert json.loads(message["body"]) == cast(fakes.FakeQueue, desk.queue).sent[0]
    batches = cast(fakes.FakeBatches, desk.batches), cast(fakes.FakeBatchFiles, desk.files)
    works = worker(service, s3, cast(fakes.FakeJobs, desk.jobs), batches)

    for event in ("sqs-batch", "sqs-item"):
        works.handle(read_event(event), fakes.FakeContext())

    asked = read_event("api-batch")
    asked["rawPath"] = asked["requestContext"]["http"]["path"] = taken["headers"]["Location"]
    found = json.loads(handler(asked, fakes.FakeContext())["body"])
    counts = {state: count for state, count in found["counts"].items() if count}
    assert (found["state"], counts) == ("running", {"queued": 1, "success": 1})


def test_an_upload_begins_with_a_form(service: MaskService) -> None:
    response = create_handler(service, fakes.desk())(read_event("api-upload"), fakes.FakeContext())

    assert response["statusCode"] == 201


def test_s3s_own_test_of_the_queue_is_taken(service: MaskService, s3: Any) -> None:
    event = read_event("sqs-s3-test")

    answer = worker(service, s3, fakes.FakeJobs()).handle(event, fakes.FakeContext())

    assert answer == {"batchItemFailures": []}


def test_a_callback_for_a_job_that_was_forgotten_is_let_go(service: MaskService, s3: Any) -> None:
    event = read_event("sqs-callback")

    answer = worker(service, s3, fakes.FakeJobs()).handle(event, fakes.FakeContext())

    assert answer == {"batchItemFailures": []}
