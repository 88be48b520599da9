"""A user who has come in by every way is erased by the command line, and nobody else is."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
from moto import mock_aws
from tests import fakes
from tests.contract.event_files import read_event
from tests.standins.cloudinary import CloudinaryStandIn

from tryon_masks.adapters.s3 import S3Objects, s3_client
from tryon_masks.entrypoints import cli
from tryon_masks.entrypoints.http.routes import create_handler
from tryon_masks.entrypoints.queue.messages import Worker
from tryon_masks.entrypoints.queue.uploads import Uploads
from tryon_masks.jobs.progress import BatchTracker, JobTracker
from tryon_masks.jobs.run import JobRunner
from tryon_masks.jobs.submit import BatchSubmitter, JobSubmitter, Submission
from tryon_masks.ports import user_folder
from tryon_masks.schema.requests import BatchBody
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log, request_log
from tryon_masks.wiring import (
    build_batch_files,
    build_batches,
    build_forms,
    build_jobs,
    build_service,
)

REGION = "eu-central-1"
PHOTOS, MASKS, JOBS, ONCE = "the-photos", "the-masks", "jobs", "once"
AWS = {
    "PHOTO_BUCKET": PHOTOS,
    "JOBS_TABLE": JOBS,
    "IDEMPOTENCY_TABLE": ONCE,
    "MASK_STORE": "s3",
    "MASK_BUCKET": MASKS,
}
ADA, GRACE = "ada-1", "grace-2"
FORBIDDEN = "https://127.0.0.1/a.jpg"
"""A photo of which a worker says so at once."""
PLACES = [
    "lines of lists",
    "batches",
    "jobs",
    "uploads and results",
    "repeated answers",
    "masks",
    "profile and step log",
]


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        for bucket in (PHOTOS, MASKS):
            boto3.client("s3").create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        for table in (JOBS, ONCE):
            boto3.client("dynamodb").create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        yield


class House:
    """API and worker, on the parts that the environment names, with fakes for models and queue."""

    def __init__(self, environ: dict[str, str]) -> None:
        settings = Settings.from_env(environ, on_lambda=False)
        with init_log("test"):
            service = build_service(settings, lambda _: fakes.FakeVision())
            jobs, batches = build_jobs(settings), build_batches(settings)
            forms, files = build_forms(settings), build_batch_files(settings)
        self.queue = fakes.FakeQueue()
        self.submission = Submission(
            JobSubmitter(jobs, self.queue, forms),
            BatchSubmitter(self.queue, batches, files, fakes.FakeRuns()),
        )
        self._api = create_handler(service, self.submission)
        runner = JobRunner(service)
        tracker = JobTracker(
            jobs,
            self.queue,
            fakes.FakeCallbacks(),
            BatchTracker(jobs, self.queue, batches, files),
        )
        uploads = Uploads(
            runner,
            S3Objects(s3_client(5.0)),
            tracker,
            results_prefix="results/",
            mask_folder=(MASKS, "masks"),
            max_bytes=1_000_000,
        )
        self._worker = Worker(runner, uploads, tracker, tries=1)

    def serve(self, user: str) -> None:
        """A call, a job, a batch, an upload by a form and one by the app, all of one user."""
        image = base64.b64encode(fakes.photo()).decode()
        assert self.call(user, "api-masks", {"image": image})["status"] == "success"
        self.call(user, "api-masks-later", {"user_image_url": "https://example.com/a.jpg"})
        self.call(user, "api-upload", {"content_type": "image/jpeg"})
        for key in (f"uploads/{user}/photo", f"uploads/by-the-app-{user}.jpg"):
            boto3.client("s3").put_object(
                Bucket=PHOTOS, Key=key, Body=fakes.photo(), Metadata={"user-id": user}
            )
            self._notify(key)

        self.call(user, "api-batches", {"items": [{"photo": FORBIDDEN}]})
        self.work()

    def upload_by_form(self, user: str) -> None:
        """As a browser does it."""
        answer = self.call(user, "api-upload", {"content_type": "image/jpeg"})
        start = "x-amz-meta-"
        fields = answer["upload"]["fields"]
        metadata = {
            name.removeprefix(start): value
            for name, value in fields.items()
            if name.startswith(start)
        }
        # Headers of HTTP are ASCII.
        assert all(value.isascii() and value.isprintable() for value in metadata.values())
        assert len("".join(metadata.values())) < 2000
        assert len(f"results/{answer['key']}.json".encode()) <= 1024
        boto3.client("s3").put_object(
            Bucket=PHOTOS, Key=answer["key"], Body=fakes.photo(), Metadata=metadata
        )
        self._notify(quote_plus(answer["key"], safe="/"))
        asked = read_event("api-job")
        asked["rawPath"] = asked["requestContext"]["http"]["path"] = answer["job"]
        asked["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = user
        found = json.loads(self._api(asked, fakes.FakeContext())["body"])
        assert found["state"] == "success", found

    def work(self, most: int = 100) -> None:
        """Deliver what batches have put into the queue; nobody fetches the photos of jobs."""
        sent = self.queue.sent
        waiting = deque(message for message in sent if "batch_id" in message)
        sent.clear()
        (record,) = read_event("sqs-item")["Records"]
        for _ in range(most):
            if not waiting:
                return
            event = {"Records": [record | {"body": json.dumps(waiting.popleft())}]}
            assert self._worker.handle(event, fakes.FakeContext()) == {"batchItemFailures": []}
            waiting += sent
            sent.clear()
        sent += waiting

    def call(self, user: str, event: str, body: dict[str, Any]) -> dict[str, Any]:
        sent = read_event(event) | {"body": json.dumps(body)}
        sent["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = user
        answer: dict[str, Any] = json.loads(self._api(sent, fakes.FakeContext())["body"])
        return answer

    def _notify(self, key: str) -> None:
        (message,) = read_event("sqs-upload")["Records"]
        event = json.loads(message["body"])
        event["Records"][0]["s3"]["bucket"]["name"] = PHOTOS
        event["Records"][0]["s3"]["object"]["key"] = key
        batch = {"Records": [message | {"body": json.dumps(event)}]}
        assert self._worker.handle(batch, fakes.FakeContext()) == {"batchItemFailures": []}


@dataclass
class Ran:
    """What the command line said. ``found``: how much was found, by the place's name."""

    code: int
    answer: dict[str, Any]
    err: str

    @property
    def found(self) -> dict[str, int | None]:
        return {place["place"]: place["found"] for place in self.answer["places"]}


def erase(
    capsys: pytest.CaptureFixture[str], environ: dict[str, str], *argv: str, user: str = ADA
) -> Ran:
    capsys.readouterr()
    code = cli.main(["erase", "--user-id", user, *argv], environ=environ)
    printed = capsys.readouterr()
    return Ran(code, json.loads(printed.out), printed.err)


def jobs_kept() -> list[dict[str, Any]]:
    """The jobs of the table, without its batches."""
    items = boto3.client("dynamodb").scan(TableName=JOBS)["Items"]
    return [item for item in items if "task" in item]


def all_kept() -> str:
    """Everything that lies in the account, as one text."""
    s3, dynamodb = boto3.client("s3"), boto3.client("dynamodb")
    kept: list[Any] = [dynamodb.scan(TableName=table)["Items"] for table in (JOBS, ONCE)]
    for bucket in (PHOTOS, MASKS):
        for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
            found = s3.get_object(Bucket=bucket, Key=entry["Key"])
            # A file without a line stays where it is.
            if body := found["Body"].read():
                kept.append([entry["Key"], found["Metadata"], str(body)])
    return json.dumps(kept)


def test_a_user_is_erased_and_nobody_else(capsys: pytest.CaptureFixture[str]) -> None:
    house = House(AWS)
    house.serve(GRACE)
    without_ada = all_kept()
    house.serve(ADA)

    looked = erase(capsys, AWS)
    assert ADA in all_kept()
    ran = erase(capsys, AWS, "--yes")
    again = erase(capsys, AWS, "--yes")

    assert (looked.code, looked.answer["status"]) == (0, "found")
    assert "Nothing was erased" in looked.err
    assert looked.found == dict(zip(PLACES, [2, 1, 3, 4, 1, 2, None], strict=True))
    assert (ran.code, ran.answer["status"], ran.found) == (0, "erased", looked.found)
    assert all_kept() == without_ada
    assert (again.code, set(again.found.values())) == (0, {0, None})


def test_of_a_batch_that_is_of_several_users_the_others_items_are_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    house = House(AWS)
    users = [ADA, GRACE, ADA, GRACE]
    items = [{"photo": FORBIDDEN, "user_id": user} for user in users]
    with request_log("request-1", "the-app"):
        batch_id = house.submission.batches.submit(
            "the-app", None, BatchBody.model_validate({"items": items})
        ).batch.batch_id
    house.work(most=3)
    assert sorted(job["task"]["S"].count(ADA) for job in jobs_kept()) == [0, 1]

    ran = erase(capsys, AWS, "--yes")
    house.work()

    assert (ran.code, ran.found["lines of lists"], ran.found["jobs"]) == (0, 2, 1)
    assert ADA not in all_kept()
    assert sorted(job["task"]["S"].count(GRACE) for job in jobs_kept()) == [1, 1]
    with request_log("request-2", "the-app"):
        progress = house.submission.batches.get("the-app", batch_id)
    assert (progress.state, progress.counts["error"]) == ("done", 4)
    written = boto3.client("s3").get_object(Bucket=PHOTOS, Key=f"results/batches/{batch_id}.jsonl")
    lines = [json.loads(line) for line in written["Body"].read().splitlines()]
    assert [(line["id"], line["user_id"]) for line in lines] == [("2", GRACE), ("4", GRACE)]


def test_lists_and_their_results_are_erased_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    s3 = boto3.client("s3")
    of_both = "".join(f'{{"photo": "x", "user_id": "{user}"}}\n' for user in (ADA, GRACE))
    folder = "results/batches/1/0b2c"
    for key in ("manifests/the-app/a.jsonl", f"{folder}/SUCCEEDED_0.jsonl"):
        s3.put_object(Bucket=PHOTOS, Key=key, Body=of_both)
    s3.put_object(Bucket=PHOTOS, Key=f"manifests/{ADA}/a.jsonl", Body=b'{"photo": "x"}')
    s3.put_object(Bucket=PHOTOS, Key=f"manifests/{GRACE}/a.jsonl", Body=b'{"photo": "x"}')

    ran = erase(capsys, AWS, "--yes")

    assert (ran.found["lines of lists"], ran.found["uploads and results"]) == (2, 1)
    assert ADA not in all_kept()
    assert all_kept().count(GRACE) == 3


def test_what_is_out_of_reach_or_not_set_up_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    ran = erase(capsys, AWS | {"MASK_PUBLIC_BASE_URL": "https://cdn.example.com"}, "--yes")

    assert ran.answer["places"][-1]["state"] == "not set up"
    assert "Not set up, so not searched: profile and step log." in ran.err
    told = "\n".join(ran.answer["out_of_reach"])
    assert all(
        word in told for word in ("CloudWatch", "SQS", "Step Functions", "CDN", "at this moment")
    )


def test_masks_in_cloudinary_are_erased(capsys: pytest.CaptureFixture[str]) -> None:
    with CloudinaryStandIn() as cloudinary:
        environ = AWS | {"MASK_STORE": "cloudinary", "CLOUDINARY_URL": cloudinary.url}
        house = House(environ)
        house.serve(GRACE)
        of_grace = set(cloudinary.uploads)
        house.serve(ADA)

        ran = erase(capsys, environ, "--yes")

        assert (ran.code, ran.found["masks"]) == (0, 2)
        assert set(cloudinary.uploads) == of_grace
        assert ADA not in all_kept()


def test_what_fails_is_named_and_the_rest_is_erased(capsys: pytest.CaptureFixture[str]) -> None:
    with CloudinaryStandIn() as cloudinary:
        environ = AWS | {"MASK_STORE": "cloudinary", "CLOUDINARY_URL": cloudinary.url}
        House(environ).serve(ADA)
        cloudinary.fail("throttled", name="admin", times=1)

        ran = erase(capsys, environ, "--yes")
        assert ADA not in all_kept()
        assert cloudinary.uploads != {}
        again = erase(capsys, environ, "--yes")

        assert (ran.code, ran.answer["status"]) == (1, "failed")
        (failed,) = (place for place in ran.answer["places"] if place["state"] == "failed")
        assert failed["place"] == "masks"
        assert failed["error"] == "Cloudinary could not list or erase images."
        assert (again.code, cloudinary.uploads) == (0, {})


ODD_USERS = [
    "auth0|5f7c8ec7c33c6c004bbafe82",
    "oidc:acme/ada",
    "oidc:acme%2Fada",
    "..",
    "__ada__",
    "ada lovelace+1",
    "Ä漢🧥" * 32,
    "/" * 128,
]


@pytest.mark.parametrize("user", ODD_USERS, ids=ascii)
def test_a_user_of_any_id_is_served_and_erased(
    capsys: pytest.CaptureFixture[str], user: str
) -> None:
    house = House(AWS)
    others = [one for one in ODD_USERS if one != user]
    for other in others:
        house.upload_by_form(other)
    without = all_kept()

    house.upload_by_form(user)
    house.call(user, "api-masks-later", {"user_image_url": "https://example.com/a.jpg"})
    ran = erase(capsys, AWS, "--yes", user=user)

    assert ran.found == dict(zip(PLACES, [0, 0, 2, 2, 1, 2, None], strict=True))
    assert all_kept() == without


@pytest.mark.parametrize("user", ["", "u" * 129, "anonymous"])
def test_an_id_that_is_nobodys_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], user: str
) -> None:
    assert cli.main(["erase", f"--user-id={user}", "--yes"], environ=AWS) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "environ",
    [{}, {"MASK_DIR": "masks"}, {name: AWS[name] for name in AWS if name != "MASK_STORE"}],
    ids=["nothing", "a folder", "no store"],
)
def test_without_a_deployments_store_nothing_is_looked_for(
    capsys: pytest.CaptureFixture[str], environ: dict[str, str]
) -> None:
    assert cli.main(["erase", "--user-id", ADA, "--yes"], environ=environ) == 2

    printed = capsys.readouterr()
    assert "MASK_STORE is not set" in printed.err
    assert printed.out == ""


def test_a_folder_that_the_command_line_names_is_searched(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mask = tmp_path / user_folder(ADA) / "abc.upper.png"
    mask.parent.mkdir(parents=True)
    mask.touch()

    ran = erase(capsys, {}, "--out", str(tmp_path), "--yes")

    assert (ran.code, ran.found["masks"], mask.exists()) == (0, 1, False)
    assert f"not searched: {', '.join(name for name in PLACES if name != 'masks')}." in ran.err


def test_settings_that_are_wrong_erase_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    environ = AWS | {"MASK_BUCKET": ""}

    assert cli.main(["erase", "--user-id", ADA, "--yes"], environ=environ) == 2
    assert "MASK_BUCKET" in capsys.readouterr().err
