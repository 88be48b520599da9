"""Settings become live objects, or the start is stopped and says which setting did it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto import mock_aws
from numpy.typing import NDArray
from PIL import Image
from tests import fakes
from tests.standins.cloudinary import CloudinaryStandIn

from tryon_masks.domain.errors import (
    ModelSetError,
    PhotoTooLarge,
    SettingsError,
    UrlNotAllowed,
)
from tryon_masks.domain.person import Candidate, Person
from tryon_masks.ports import EncodedImage, MaskTask, Vision
from tryon_masks.service import MaskRequest
from tryon_masks.settings import Settings
from tryon_masks.telemetry import RequestLog, init_log, step
from tryon_masks.wiring import (
    build_batch_files,
    build_batches,
    build_callbacks,
    build_forms,
    build_jobs,
    build_queue,
    build_runs,
    build_service,
    build_step_log,
    build_store,
    build_vision,
    vision_ahead,
)

REGION = "eu-central-1"
GONE = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:gone-AbCdEf"


class BlindVision:
    """Sees nobody."""

    model_set = "blind"

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        return []

    def parse(
        self, rgb: NDArray[np.uint8], chosen: Candidate, others: Sequence[Candidate]
    ) -> Person:
        raise AssertionError("nobody was found")


@pytest.fixture(autouse=True)
def log() -> Iterator[RequestLog]:
    with init_log("test") as log:
        yield log


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield


@pytest.fixture
def png() -> EncodedImage:
    file = io.BytesIO()
    Image.new("L", (6, 4), 255).save(file, "PNG")
    return EncodedImage(file.getvalue(), "image/png", "png")


def settings(**chosen: Any) -> Settings:
    return Settings(**{"mask_store": "directory", "ort_threads": 1, **chosen})


def secret(text: str) -> str:
    arn: str = boto3.client("secretsmanager").create_secret(Name="a-secret", SecretString=text)[
        "ARN"
    ]
    return arn


def test_the_directory_store_writes_into_its_folder(tmp_path: Path, png: EncodedImage) -> None:
    build_store(settings(mask_dir=tmp_path)).save("photo", {"upper": png})

    assert (tmp_path / "photo.upper.png").read_bytes() == png.data


def test_the_s3_store_writes_under_its_prefix(aws: None, png: EncodedImage) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    chosen = settings(mask_store="s3", mask_bucket="bucket", mask_prefix="made", mask_url_ttl_s=77)

    address = build_store(chosen).save("abc", {"upper": png})["upper"]

    assert client.get_object(Bucket="bucket", Key="made/abc/upper.png")["Body"].read() == png.data
    assert "X-Amz-Expires=77" in address


def test_a_public_base_replaces_signed_addresses(aws: None, png: EncodedImage) -> None:
    boto3.client("s3").create_bucket(
        Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    chosen = settings(
        mask_store="s3", mask_bucket="bucket", mask_public_base_url="https://cdn.example"
    )

    addresses = build_store(chosen).save("abc", {"upper": png})

    assert addresses == {"upper": "https://cdn.example/masks/abc/upper.png"}


def test_the_cloudinary_store_uploads_into_its_folder(png: EncodedImage) -> None:
    with CloudinaryStandIn() as cloudinary:
        chosen = settings(
            mask_store="cloudinary", cloudinary_url=cloudinary.url, cloudinary_folder="made"
        )
        build_store(chosen).save("abc", {"upper": png})

    assert list(cloudinary.uploads) == ["made/abc/upper"]


def test_credentials_from_secrets_manager_are_read_once(
    aws: None, png: EncodedImage, log: RequestLog
) -> None:
    with CloudinaryStandIn() as cloudinary:
        arn = secret(cloudinary.url)
        store = build_store(settings(mask_store="cloudinary", cloudinary_secret_arn=arn))
        boto3.client("secretsmanager").delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
        store.save("abc", {"upper": png})

    assert list(cloudinary.uploads) == ["tryon-masks/abc/upper"]
    assert "demo-secret" not in json.dumps(log.records)


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"mask_store": "directory"}, "MASK_DIR is not set"),
        ({"mask_store": "s3"}, "MASK_BUCKET is not set"),
        ({"mask_store": "cloudinary"}, "CLOUDINARY_URL is not set"),
        ({"mask_store": "cloudinary", "cloudinary_url": "cloudinary://x"}, "CLOUDINARY_URL must"),
        (
            {"mask_store": "cloudinary", "cloudinary_secret_arn": GONE},
            "CLOUDINARY_SECRET_ARN: .*ResourceNotFoundException",
        ),
    ],
)
def test_a_store_without_what_it_needs_stops_the_start(
    aws: None, chosen: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        build_store(settings(**chosen))


def test_a_secret_that_is_no_cloudinary_url_stops_the_start(aws: None) -> None:
    arn = secret("hush")

    with pytest.raises(SettingsError, match="must look like cloudinary://") as caught:
        build_store(settings(mask_store="cloudinary", cloudinary_secret_arn=arn))

    assert "hush" not in str(caught.value)


def test_what_was_made_is_remembered_in_the_table_that_is_set(
    aws: None, tmp_path: Path, log: RequestLog
) -> None:
    boto3.client("dynamodb").create_table(
        TableName="once",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    chosen = settings(mask_dir=tmp_path, idempotency_table="once")
    service = build_service(chosen, lambda _: BlindVision())

    for _ in range(2):
        service.make(MaskRequest(fakes.photo(), "user-1"), log)

    done = [record["step"] for record in log.records if record["status"] == "done"]
    assert (done.count("find_people"), done.count("repeat_answer")) == (1, 1)


@pytest.mark.parametrize("table", [None, "once"])
def test_the_log_says_whether_anything_is_remembered(
    aws: None, tmp_path: Path, log: RequestLog, table: str | None
) -> None:
    build_service(settings(mask_dir=tmp_path, idempotency_table=table), lambda _: BlindVision())

    (opened,) = [r for r in log.records if (r["step"], r["status"]) == ("open_once", "done")]
    assert opened["on"] is (table is not None)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (build_jobs, "JOBS_TABLE is not set"),
        (build_queue, "WORK_QUEUE_URL is not set"),
        (build_forms, "PHOTO_BUCKET is not set"),
        (build_batches, "JOBS_TABLE is not set"),
        (build_batch_files, "PHOTO_BUCKET is not set"),
        (build_runs, "BATCH_MACHINE_ARN is not set"),
        (build_callbacks, "CALLBACK_SECRET_ARN is not set"),
    ],
)
def test_a_part_without_its_place_stops_the_start(
    aws: None, build: Callable[[Settings], object], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        build(settings())


def test_forms_are_for_the_bucket_and_the_size_that_are_set(aws: None) -> None:
    chosen = settings(photo_bucket="uploaded", max_photo_bytes=99, upload_form_ttl_s=77)

    forms = build_forms(chosen)

    assert (forms.max_bytes, forms.lifetime_s) == (99, 77)
    assert "uploaded" in forms.make("uploads/user-1/1", "image/png", {}).url


def test_a_job_is_kept_in_the_table_that_is_set(aws: None) -> None:
    boto3.client("dynamodb").create_table(
        TableName="taken",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    build_jobs(settings(jobs_table="taken")).add("1", "user-1", MaskTask("x", "user-1", {}))

    assert boto3.client("dynamodb").scan(TableName="taken")["Count"] == 1


@pytest.mark.parametrize("name", ["other", "teachers"])
def test_an_unknown_model_set_stops_the_start(name: str) -> None:
    """Those that the training needs are no set to run."""
    with pytest.raises(
        SettingsError,
        match=f"MODEL_SET must be compact or dwpose-schp or dwpose-schp-int8, not '{name}'",
    ):
        build_vision(settings(model_set=name))


def test_an_unknown_model_set_stops_the_service_in_the_same_words(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MODEL_SET must be"):
        build_service(settings(mask_dir=tmp_path, model_set="other"))


def test_missing_models_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(ModelSetError):
        build_vision(settings(models_dir=tmp_path))


def test_a_store_that_cannot_be_opened_stops_the_start_before_the_models_load() -> None:
    def load(_: Settings) -> Vision:
        raise AssertionError("the models were loaded")

    with pytest.raises(SettingsError, match="MASK_DIR"):
        build_service(settings(), load)


def test_models_that_load_beside_the_rest_stop_the_start_when_they_are_waited_for(
    tmp_path: Path, log: RequestLog
) -> None:
    chosen = settings(mask_dir=tmp_path, models_dir=tmp_path)
    with vision_ahead(chosen) as load_vision, pytest.raises(ModelSetError):
        build_service(chosen, load_vision)
    failed = [(r["request_id"], r["step"]) for r in log.records if r["status"] == "failed"]
    assert failed == [("init", "check_models")]


def test_the_rest_of_the_start_does_not_wait_for_the_models(
    tmp_path: Path, log: RequestLog
) -> None:
    """The models' list is a pipe: whoever reads it waits until somebody writes."""
    chosen = settings(mask_dir=tmp_path, models_dir=tmp_path)
    (tmp_path / chosen.model_set).mkdir()
    pipe = tmp_path / chosen.model_set / "manifest.json"
    os.mkfifo(pipe)

    with vision_ahead(chosen) as load_vision:
        with step("meanwhile", "wiring"):
            pass
        pipe.write_text("not a list of models")
        with pytest.raises(ModelSetError):
            load_vision(chosen)

    ended = [record["step"] for record in log.records if record["status"] != "started"]
    assert ended == ["meanwhile", "check_models"]


def test_the_service_sees_with_the_models_that_were_loaded(tmp_path: Path) -> None:
    service = build_service(settings(mask_dir=tmp_path), lambda _: BlindVision())

    assert service.vision.model_set == "blind"


def test_the_service_keeps_the_limits_that_were_set(
    tmp_path: Path, png: EncodedImage, log: RequestLog
) -> None:
    chosen = settings(mask_dir=tmp_path, max_photo_pixels=23)
    service = build_service(chosen, lambda _: BlindVision())

    with pytest.raises(PhotoTooLarge):
        service.make(MaskRequest(png.data, "user-1"), log)


def test_plain_http_is_refused_unless_it_was_allowed(tmp_path: Path, log: RequestLog) -> None:
    service = build_service(settings(mask_dir=tmp_path), lambda _: BlindVision())

    with pytest.raises(UrlNotAllowed):
        service.make(MaskRequest("http://photos.example/a.jpg", "user-1"), log)


def test_without_a_firestore_project_there_is_no_step_log() -> None:
    assert build_step_log(settings()) is None


def test_the_step_log_and_the_profiles_are_one_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
    chosen = settings(mask_dir=tmp_path, firestore_project="a-project")
    build_service(chosen, lambda _: BlindVision())

    log = build_step_log(chosen)

    assert log is not None
    assert build_step_log(chosen) is log


def test_a_firestore_secret_that_is_no_service_account_stops_the_start(aws: None) -> None:
    arn = secret("hush")

    with pytest.raises(SettingsError, match="FIRESTORE_SECRET_ARN") as caught:
        build_step_log(settings(firestore_project="another-project", firestore_secret_arn=arn))

    assert "hush" not in str(caught.value)


def test_every_part_of_the_start_is_logged(tmp_path: Path, log: RequestLog) -> None:
    build_store(settings(mask_dir=tmp_path))

    done = [(r["request_id"], r["step"], r["component"]) for r in log.records[1:]]
    assert done == [("init", "open_store", "directory")] * 2
