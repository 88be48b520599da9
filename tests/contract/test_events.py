from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests import fakes
from tests.contract.event_files import event_names, read_event

from tryon_masks.adapters.s3 import S3Objects
from tryon_masks.entrypoints.app import create_handler
from tryon_masks.entrypoints.uploads import Uploads
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


def test_there_is_an_event_for_each_way_in() -> None:
    assert event_names() == [
        "api-data-json",
        "api-health",
        "api-image",
        "api-masks",
        "api-masks-iam",
        "api-root",
        "s3-data-json",
        "s3-upload",
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
    response = create_handler(service)(read_event(name), fakes.FakeContext())

    answer = json.loads(response["body"])
    assert (response["statusCode"], answer["status"]) == (200, "success")
    assert set(answer["masks"]) == {"upper", "lower"}
    assert more == set(answer) & {"overlay", "Mask"}


def test_the_health_event_is_answered(service: MaskService) -> None:
    response = create_handler(service)(read_event("api-health"), fakes.FakeContext())

    assert (response["statusCode"], json.loads(response["body"])["ready"]) == (200, True)


@pytest.mark.parametrize(
    ("name", "key", "data"),
    [
        ("s3-upload", UPLOAD, fakes.photo()),
        ("s3-data-json", "uploads/user-1/data.json", json.dumps({"userImageUrl": URL}).encode()),
    ],
)
def test_an_s3_event_writes_its_answer(
    service: MaskService, s3: Any, name: str, key: str, data: bytes
) -> None:
    s3.put_object(Bucket="tryon-masks-photos", Key=key, Body=data)
    uploads = Uploads(
        service, S3Objects(s3), results_prefix="results/", mask_folder=None, max_bytes=1_000_000
    )

    uploads.handle(read_event(name), fakes.FakeContext())

    written = s3.get_object(Bucket="tryon-masks-photos", Key=f"results/{key}.json")
    answer = json.load(written["Body"])
    assert answer["status"] == "success"
    assert ("Mask" in answer) == (name == "s3-data-json")
