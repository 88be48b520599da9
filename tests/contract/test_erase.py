"""A user who has come in by every way is erased by the command line, and nobody else is."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests import fakes
from tests.contract.event_files import read_event
from tests.standins.cloudinary import CloudinaryStandIn

from tryon_masks.adapters.s3 import S3Objects, s3_client
from tryon_masks.entrypoints import cli
from tryon_masks.entrypoints.app import create_handler
from tryon_masks.entrypoints.desk import Desk
from tryon_masks.entrypoints.maker import Maker
from tryon_masks.entrypoints.uploads import Uploads
from tryon_masks.entrypoints.work import Worker
from tryon_masks.entrypoints.workdesk import JobDesk
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log
from tryon_masks.wiring import build_forms, build_jobs, build_service

REGION = "eu-central-1"
PHOTOS, MASKS, JOBS, ONCE = "the-photos", "the-masks", "jobs", "once"
AWS = {
    "PHOTO_BUCKET": PHOTOS,
    "JOBS_TABLE": JOBS,
    "ONCE_TABLE": ONCE,
    "MASK_STORE": "s3",
    "MASK_BUCKET": MASKS,
}
ADA, GRACE = "ada-1", "grace-2"
PLACES = ["jobs", "uploads and results", "repeated answers", "masks", "profile and step log"]


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
            desk = Desk(build_jobs(settings), fakes.FakeQueue(), build_forms(settings))
        self._api = create_handler(service, desk)
        maker = Maker(service)
        jobs = JobDesk(desk.jobs, desk.queue, fakes.FakeCallbacks())
        uploads = Uploads(
            maker,
            S3Objects(s3_client(5.0)),
            jobs,
            results_prefix="results/",
            mask_folder=(MASKS, "masks"),
            max_bytes=1_000_000,
        )
        self._worker = Worker(maker, uploads, jobs, tries=1)

    def serve(self, user: str) -> None:
        """A call, a job, an upload by a form and one by the app itself, all of one user."""
        image = base64.b64encode(fakes.photo()).decode()
        assert self._call(user, "api-masks", {"image": image})["status"] == "success"
        self._call(user, "api-masks-later", {"user_image_url": "https://example.com/a.jpg"})
        self._call(user, "api-upload", {"content_type": "image/jpeg"})
        for key in (f"uploads/{user}/photo", f"uploads/by-the-app-{user}.jpg"):
            boto3.client("s3").put_object(
                Bucket=PHOTOS, Key=key, Body=fakes.photo(), Metadata={"user-id": user}
            )
            self._notify(key)

    def _call(self, user: str, event: str, body: dict[str, Any]) -> dict[str, Any]:
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


def all_kept() -> str:
    """Everything that lies in the account, as one text."""
    s3, dynamodb = boto3.client("s3"), boto3.client("dynamodb")
    kept: list[Any] = [dynamodb.scan(TableName=table)["Items"] for table in (JOBS, ONCE)]
    for bucket in (PHOTOS, MASKS):
        for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
            found = s3.get_object(Bucket=bucket, Key=entry["Key"])
            kept.append([entry["Key"], found["Metadata"], str(found["Body"].read())])
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
    assert looked.found == dict(zip(PLACES, [2, 4, 1, 2, None], strict=True))
    assert (ran.code, ran.answer["status"], ran.found) == (0, "erased", looked.found)
    assert all_kept() == without_ada
    assert (again.code, set(again.found.values())) == (0, {0, None})


def test_what_is_out_of_reach_or_not_set_up_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    ran = erase(capsys, AWS | {"MASK_PUBLIC_BASE_URL": "https://cdn.example.com"}, "--yes")

    assert ran.answer["places"][-1]["state"] == "not set up"
    told = "\n".join(ran.answer["out_of_reach"])
    assert all(word in told for word in ("CloudWatch", "SQS", "CDN", "at this moment"))


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


@pytest.mark.parametrize("user", ["", "../u1", "-u1", "a b", "u" * 129, "anonymous"])
def test_an_id_that_is_nobodys_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], user: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["erase", f"--user-id={user}", "--yes"], environ=AWS)

    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


def test_settings_that_are_wrong_erase_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    environ = AWS | {"MASK_BUCKET": ""}

    assert cli.main(["erase", "--user-id", ADA, "--yes"], environ=environ) == 2
    assert "MASK_BUCKET" in capsys.readouterr().err
