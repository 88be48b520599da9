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
from tryon_masks.images import Limits
from tryon_masks.jobs.progress import BatchTracker, JobTracker
from tryon_masks.jobs.run import JobRunner
from tryon_masks.service import MaskService

URL = "https://example.com/photos/standing.jpg"
UPLOAD = "uploads/user-1/Jäger photo (1).jpg"


@pytest.fixture
def service() -> MaskService:
    photos = fakes.FakePhotos({URL: fakes.photo()})
    return MaskService(fakes.FakeVision(), fakes.FakeStore(), photos, limits=Limits())


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
    runner = JobRunner(service)
    more = batches or (fakes.FakeBatches(), fakes.FakeBatchFiles())
    queue = fakes.FakeQueue()
    tracker = JobTracker(jobs, queue, fakes.FakeCallbacks(), BatchTracker(jobs, queue, *more))
    uploads = Uploads(
        runner,
        S3Objects(s3),
        tracker,
        results_prefix="results/",
        mask_folder=None,
        max_bytes=1_000_000,
    )
    return Worker(runner, uploads, tracker, tries=5)


def test_there_is_an_event_for_each_way_in() -> None:
    assert event_names() == [
        "api-batch",
        "api-batches",
        "api-data-json",
        "api-health",
        "api-image",
        "api-job",
        "api-masks",
        "api-masks-function-url",
        "api-masks-iam",
        "api-masks-later",
        "api-masks-mapped",
        "api-masks-rest",
        "api-root",
        "api-upload",
        "s3-upload",
        "sqs-batch",
        "sqs-callback",
        "sqs-data-json",
        "sqs-eventbridge",
        "sqs-item",
        "sqs-job",
        "sqs-s3-test",
        "sqs-sns",
        "sqs-upload",
    ]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("api-masks", set()),
        ("api-masks-iam", set()),
        ("api-masks-mapped", set()),
        ("api-masks-function-url", set()),
        ("api-masks-rest", set()),
        ("api-root", set()),
        ("api-image", {"overlay"}),
        ("api-data-json", {"Mask"}),
    ],
)
def test_an_api_event_makes_masks(service: MaskService, name: str, more: set[str]) -> None:
    response = create_handler(service, fakes.submission())(read_event(name), fakes.FakeContext())

    answer = json.loads(response["body"])
    assert (response["statusCode"], answer["status"]) == (200, "success")
    assert set(answer["masks"]) == {"upper", "lower"}
    assert more == set(answer) & {"overlay", "Mask"}


def test_the_health_event_is_answered(service: MaskService) -> None:
    response = create_handler(service, fakes.submission())(
        read_event("api-health"), fakes.FakeContext()
    )

    assert (response["statusCode"], json.loads(response["body"])["ready"]) == (200, True)


@pytest.mark.parametrize(
    ("name", "key", "data"),
    [
        ("sqs-upload", UPLOAD, fakes.photo()),
        ("sqs-eventbridge", UPLOAD, fakes.photo()),
        ("sqs-sns", UPLOAD, fakes.photo()),
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
    submission = fakes.submission()
    jobs = cast(fakes.FakeJobs, submission.jobs.jobs)
    handler = create_handler(service, submission)
    taken = handler(read_event("api-masks-later"), fakes.FakeContext())
    assert taken["statusCode"] == 202
    (message,) = read_event("sqs-job")["Records"]
    assert json.loads(message["body"]) == cast(fakes.FakeQueue, submission.jobs.queue).sent[0]

    worker(service, s3, jobs).handle(read_event("sqs-job"), fakes.FakeContext())

    asked = read_event("api-job")
    asked["rawPath"] = asked["requestContext"]["http"]["path"] = taken["headers"]["Location"]
    found = json.loads(handler(asked, fakes.FakeContext())["body"])
    assert (found["state"], found["answer"]["status"]) == ("success", "success")
    assert set(found["answer"]["masks"]) == {"upper", "lower"}


def test_a_job_that_is_not_the_callers_is_not_found(service: MaskService) -> None:
    response = create_handler(service, fakes.submission())(
        read_event("api-job"), fakes.FakeContext()
    )

    assert response["statusCode"] == 404


def test_a_batch_goes_from_the_api_through_the_worker_and_back(
    service: MaskService, s3: Any
) -> None:
    submission = fakes.submission()
    handler = create_handler(service, submission)
    taken = handler(read_event("api-batches"), fakes.FakeContext())
    assert taken["statusCode"] == 202
    (message,) = read_event("sqs-batch")["Records"]
    assert json.loads(message["body"]) == cast(fakes.FakeQueue, submission.jobs.queue).sent[0]
    batches = (
        cast(fakes.FakeBatches, submission.batches.batches),
        cast(fakes.FakeBatchFiles, submission.batches.files),
    )
    works = worker(service, s3, cast(fakes.FakeJobs, submission.jobs.jobs), batches)

    for event in ("sqs-batch", "sqs-item"):
        works.handle(read_event(event), fakes.FakeContext())

    asked = read_event("api-batch")
    asked["rawPath"] = asked["requestContext"]["http"]["path"] = taken["headers"]["Location"]
    found = json.loads(handler(asked, fakes.FakeContext())["body"])
    counts = {state: count for state, count in found["counts"].items() if count}
    assert (found["state"], counts) == ("running", {"queued": 1, "success": 1})


def test_an_upload_begins_with_a_form(service: MaskService) -> None:
    response = create_handler(service, fakes.submission())(
        read_event("api-upload"), fakes.FakeContext()
    )

    assert response["statusCode"] == 201


def test_s3s_own_test_of_the_queue_is_taken(service: MaskService, s3: Any) -> None:
    event = read_event("sqs-s3-test")

    answer = worker(service, s3, fakes.FakeJobs()).handle(event, fakes.FakeContext())

    assert answer == {"batchItemFailures": []}


def test_a_callback_for_a_job_that_was_forgotten_is_let_go(service: MaskService, s3: Any) -> None:
    event = read_event("sqs-callback")

    answer = worker(service, s3, fakes.FakeJobs()).handle(event, fakes.FakeContext())

    assert answer == {"batchItemFailures": []}


def direct(name: str) -> dict[str, Any]:
    """The notice itself, where no queue lies between."""
    match name:
        case "s3":
            return read_event("s3-upload")
        case "sns":
            record = {
                "EventSource": "aws:sns",
                "Sns": {"Type": "Notification", "Message": json.dumps(read_event("s3-upload"))},
            }
            return {"Records": [record]}
        case _:
            (message,) = read_event("sqs-eventbridge")["Records"]
            notice: dict[str, Any] = json.loads(message["body"])
            return notice


@pytest.mark.parametrize("name", ["s3", "sns", "eventbridge"])
def test_an_upload_that_is_told_of_without_a_queue_is_served(
    service: MaskService, s3: Any, name: str
) -> None:
    s3.put_object(Bucket="tryon-masks-photos", Key=UPLOAD, Body=fakes.photo())

    worker(service, s3, fakes.FakeJobs()).handle(direct(name), fakes.FakeContext())

    written = s3.get_object(Bucket="tryon-masks-photos", Key=f"results/{UPLOAD}.json")
    assert json.load(written["Body"])["status"] == "success"


@pytest.mark.parametrize("name", ["s3", "sns", "eventbridge"])
def test_a_deleted_object_is_no_upload(service: MaskService, s3: Any, name: str) -> None:
    event = json.loads(
        json.dumps(direct(name))
        .replace("ObjectCreated:Put", "ObjectRemoved:Delete")
        .replace("Object Created", "Object Deleted")
    )

    answer = worker(service, s3, fakes.FakeJobs()).handle(event, fakes.FakeContext())

    assert answer == {"status": "done", "uploads": 0}
    assert s3.list_objects_v2(Bucket="tryon-masks-photos")["KeyCount"] == 0


UNKNOWN: list[Any] = [
    {},
    {"Records": []},
    {"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {"Keys": {}}}]},
    {"Records": [{"kinesis": {"data": "e30="}}]},
    {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "hello"}}]},
    {"Records": "text"},
    {"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification", "detail": {}},
    {"source": "aws.s3", "detail-type": "Object Created", "detail": {}},
    {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
    {"requestContext": {"elb": {"targetGroupArn": "arn"}}, "httpMethod": "GET", "path": "/"},
    {"requestContext": {"routeKey": "$connect", "connectionId": "c"}, "isBase64Encoded": False},
    {"requestContext": None, "rawPath": "/v1/masks"},
    {"type": "TOKEN", "authorizationToken": "t", "methodArn": "arn"},
    {"batch_id": "1", "number": "2", "item": {}},
]


@pytest.mark.parametrize("event", UNKNOWN, ids=lambda event: json.dumps(event)[:40])
def test_an_unknown_event_is_called_so(service: MaskService, s3: Any, event: Any) -> None:
    response = create_handler(service, fakes.submission())(event, fakes.FakeContext())
    assert response["statusCode"] == 400
    assert json.loads(response["body"])["error"]["code"] == "UNKNOWN_EVENT"

    answer = worker(service, s3, fakes.FakeJobs()).handle(event, fakes.FakeContext())
    assert answer["error"]["code"] == "UNKNOWN_EVENT"


@pytest.mark.parametrize(
    ("path", "mapping"),
    [
        ("/v1/masks", ""),
        ("/tryon/v1/masks", "/tryon"),
        ("/shop/eu/v1/masks", "/shop/eu"),
        ("/v1/v1/masks", "/v1"),
        ("/prod/tryon/v1/masks", "/prod/tryon"),
    ],
)
@pytest.mark.parametrize("route", ["POST /v1/masks", "$default", "ANY /{proxy+}"])
@pytest.mark.parametrize("stage", ["$default", "prod", "v1"])
def test_routes_match_behind_any_mapping(
    service: MaskService, path: str, mapping: str, route: str, stage: str
) -> None:
    event = read_event("api-masks-later")
    event["routeKey"] = event["requestContext"]["routeKey"] = route
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    event["requestContext"]["stage"] = stage

    response = create_handler(service, fakes.submission())(event, fakes.FakeContext())

    assert response["statusCode"] == 202
    location = response["headers"]["Location"]
    assert location.startswith(f"{mapping}/v1/jobs/")
    event = read_event("api-job")
    event["routeKey"] = "GET /v1/jobs/{job_id}" if route.startswith("POST") else route
    event["rawPath"] = event["requestContext"]["http"]["path"] = location
    event["requestContext"]["stage"] = stage
    found = create_handler(service, fakes.submission())(event, fakes.FakeContext())
    assert "no such job" in json.loads(found["body"])["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/tryon", "/tryon/", "/shop/eu"])
def test_the_root_matches_behind_any_mapping(service: MaskService, path: str) -> None:
    event = read_event("api-root")
    event["rawPath"] = event["requestContext"]["http"]["path"] = path

    response = create_handler(service, fakes.submission())(event, fakes.FakeContext())

    assert response["statusCode"] == 200


@pytest.mark.parametrize("path", ["/tryon/v2/masks", "/v1/masks/more", "/tryonv1/masks", "//"])
def test_other_paths_are_not_found(service: MaskService, path: str) -> None:
    event = read_event("api-masks")
    event["routeKey"] = "$default"
    event["rawPath"] = event["requestContext"]["http"]["path"] = path

    response = create_handler(service, fakes.submission())(event, fakes.FakeContext())

    assert response["statusCode"] == 404


@pytest.mark.parametrize(
    ("context", "status", "user"),
    [
        ({"authorizer": {"claims": {"sub": "auth0|5f7c"}}}, 200, "auth0|5f7c"),
        ({"authorizer": {"principalId": "somebody"}}, 401, None),
        ({"identity": {"userArn": "arn:aws:iam::1:user/a", "caller": "AIDA1"}}, 200, "anonymous"),
        ({}, 200, "anonymous"),
    ],
)
def test_a_rest_api_says_who_calls(context: dict[str, Any], status: int, user: str | None) -> None:
    profiles = fakes.FakeProfiles()
    photos = fakes.FakePhotos({URL: fakes.photo()})
    service = MaskService(fakes.FakeVision(), fakes.FakeStore(), photos, profiles, limits=Limits())
    event = read_event("api-masks-rest")
    event["requestContext"] = {"requestId": "request-1", **context}

    response = create_handler(service, fakes.submission())(event, fakes.FakeContext())

    assert response["statusCode"] == status
    assert response.keys() == {"statusCode", "headers", "body", "isBase64Encoded"}
    assert [merged[0] for merged in profiles.merged] == ([user] if user else [])
