"""Settings: explicit argument > environment > default, and every problem at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tryon_masks.domain.errors import SettingsError
from tryon_masks.images import Limits
from tryon_masks.model_sets import model_sets
from tryon_masks.settings import Settings

CLOUDINARY_URL = "cloudinary://1234:s3cr3t@cloud"
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:cloudinary-AbCdEf"
QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/stack-WorkQueue-1A2B"
MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:BatchMachine-1A2b"
STATE = {
    "IDEMPOTENCY_TABLE": "once",
    "JOBS_TABLE": "jobs",
    "WORK_QUEUE_URL": QUEUE,
    "PHOTO_BUCKET": "uploaded",
    "CALLBACK_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:key-AbCdEf",
}
S3 = {"MASK_STORE": "s3", "MASK_BUCKET": "photos", **STATE}


def problems(environ: dict[str, str], *, on_lambda: bool = True, **explicit: Any) -> list[str]:
    with pytest.raises(SettingsError) as stopped:
        Settings.from_env({**STATE, **environ}, on_lambda=on_lambda, **explicit)
    return str(stopped.value).splitlines()


def test_off_lambda_nothing_needs_to_be_set() -> None:
    settings = Settings.from_env({}, on_lambda=False)
    assert settings.mask_store == "directory"
    assert settings.model_set == "compact"
    assert settings.models_dir is None
    assert settings.mask_dir is None
    assert settings.ort_threads >= 1
    assert settings.allow_http is False
    assert settings.firestore_project is None


def test_the_photo_limits_are_those_of_the_images_module() -> None:
    settings = Settings.from_env({}, on_lambda=False)
    limits = Limits()
    assert settings.max_photo_bytes == limits.max_bytes
    assert settings.max_photo_pixels == limits.max_pixels


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("MODEL_SET", "dwpose-schp", "dwpose-schp"),
        ("MODELS_DIR", "/opt/models", Path("/opt/models")),
        ("ORT_THREADS", "3", 3),
        ("MASK_STORE", "s3", "s3"),
        ("MASK_DIR", "out", Path("out")),
        ("MASK_BUCKET", "other.bucket-2", "other.bucket-2"),
        ("MASK_PREFIX", "a/b", "a/b"),
        ("MASK_PUBLIC_BASE_URL", "https://cdn.example/m/", "https://cdn.example/m"),
        ("MASK_URL_TTL_S", "604800", 604800),
        ("CLOUDINARY_URL", CLOUDINARY_URL, CLOUDINARY_URL),
        ("CLOUDINARY_URL", CLOUDINARY_URL + "?upload_prefix=http://127.0.0.1:1", None),
        ("CLOUDINARY_SECRET_ARN", ARN, ARN),
        ("CLOUDINARY_FOLDER", "masks/eu", "masks/eu"),
        ("FIRESTORE_PROJECT", "my-app-123", "my-app-123"),
        ("ALLOW_HTTP", "1", True),
        ("ALLOW_HTTP", "0", False),
        ("ALLOWED_IMAGE_HOSTS", "a.example, *.B.example", ("a.example", "*.b.example")),
        ("ALLOWED_IMAGE_HOSTS", "", ()),
        ("MAX_PHOTO_BYTES", "1000", 1000),
        ("MAX_PHOTO_PIXELS", "1000", 1000),
        ("FETCH_TIMEOUT_S", "2.5", 2.5),
        ("UPLOAD_TIMEOUT_S", "120", 120.0),
        ("PHOTO_TIME_S", "8.5", 8.5),
        ("IDEMPOTENCY_TABLE", "stack-OnceTable-1A2B", "stack-OnceTable-1A2B"),
        ("JOBS_TABLE", "jobs-2", "jobs-2"),
        ("JOB_TTL_S", "60", 60),
        ("WORK_QUEUE_URL", QUEUE, QUEUE),
        ("WORK_TRIES", "1", 1),
        ("BATCH_MACHINE_ARN", MACHINE, MACHINE),
        ("PHOTO_BUCKET", "uploads.example", "uploads.example"),
        ("UPLOAD_FORM_TTL_S", "60", 60),
    ],
)
def test_each_variable_sets_its_field(name: str, text: str, value: object) -> None:
    settings = Settings.from_env({**S3, name: text}, on_lambda=True)
    assert getattr(settings, name.lower()) == (text if value is None else value)


@pytest.mark.parametrize("model_set", ["dwpose-schp", "dwpose-schp-int8"])
def test_a_model_set_has_options_of_its_own(model_set: str) -> None:
    chosen = {"SCHP_LIP": "0", "SCHP_VIEW": "", "SCHP_FILL": "1"}
    settings = Settings.from_env({**S3, "MODEL_SET": model_set, **chosen}, on_lambda=True)

    assert settings.model_options == {"SCHP_LIP": "0", "SCHP_FILL": "1"}
    assert model_sets()[model_set].options_from(settings.model_options) == {
        "SCHP_LIP": "0",
        "SCHP_VIEW": "whole",
        "SCHP_FILL": "1",
    }


def test_another_sets_options_are_left_out() -> None:
    assert Settings.from_env({**S3, "SCHP_LIP": "0"}, on_lambda=True).model_options == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MODEL_SET", "../secret"),
        ("ORT_THREADS", "0"),
        ("ORT_THREADS", "two"),
        ("ORT_THREADS", "1.5"),
        ("MASK_STORE", "S3"),
        ("MASK_BUCKET", "Upper_Case"),
        ("MASK_PREFIX", "/masks"),
        ("MASK_PREFIX", "masks/"),
        ("MASK_PUBLIC_BASE_URL", "http://cdn.example"),
        ("MASK_PUBLIC_BASE_URL", "https://cdn.example/?a=b"),
        ("MASK_PUBLIC_BASE_URL", "https://user:word@cdn.example/"),
        ("MASK_URL_TTL_S", "604801"),
        ("MASK_URL_TTL_S", "-1"),
        ("MASK_URL_TTL_S", "59"),
        ("CLOUDINARY_SECRET_ARN", "cloudinary-secret"),
        ("CLOUDINARY_FOLDER", "a b"),
        *(("CLOUDINARY_FOLDER", f"masks/a{odd}b") for odd in "?&#\\%<>+\x00\x7f"),
        ("CLOUDINARY_FOLDER", "/masks"),
        ("CLOUDINARY_FOLDER", "a" * 151),
        ("FIRESTORE_PROJECT", "My App"),
        ("FIRESTORE_SECRET_ARN", "arn:aws:s3:::bucket"),
        ("SCHP_LIP", "no"),
        ("SCHP_VIEW", "crop"),
        ("SCHP_FILL", "yes"),
        ("ALLOW_HTTP", "true"),
        ("ALLOWED_IMAGE_HOSTS", "*"),
        ("ALLOWED_IMAGE_HOSTS", "https://a.example"),
        ("ALLOWED_IMAGE_HOSTS", "a.example/photos"),
        ("ALLOWED_IMAGE_HOSTS", "a.example,"),
        ("ALLOWED_IMAGE_HOSTS", "a.*.example"),
        ("ALLOWED_IMAGE_HOSTS", "10.0.0.1"),
        ("ALLOWED_IMAGE_HOSTS", "bücher.example"),
        ("MAX_PHOTO_BYTES", "25_000_000"),
        ("MAX_PHOTO_BYTES", "1e6"),
        ("MAX_PHOTO_PIXELS", " 5"),
        ("MAX_PHOTO_PIXELS", "\u0665"),
        ("FETCH_TIMEOUT_S", "0"),
        ("FETCH_TIMEOUT_S", "nan"),
        ("FETCH_TIMEOUT_S", "inf"),
        ("UPLOAD_TIMEOUT_S", "121"),
        ("IDEMPOTENCY_TABLE", "a/b"),
        ("JOBS_TABLE", "j"),
        ("JOB_TTL_S", "0"),
        ("WORK_QUEUE_URL", "WorkQueue"),
        ("WORK_TRIES", "0"),
        ("BATCH_MACHINE_ARN", "BatchMachine"),
        ("PHOTO_BUCKET", "s3://photos"),
        ("CALLBACK_SECRET_ARN", "the key itself"),
        ("UPLOAD_FORM_TTL_S", "604801"),
    ],
)
def test_a_malformed_value_stops_the_start_and_names_its_variable(name: str, text: str) -> None:
    found = problems({**S3, "FIRESTORE_PROJECT": "app-1", name: text})
    assert len(found) == 1
    assert found[0].startswith(name + " ")


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, ["MASK_STORE"]),
        ({"MASK_STORE": ""}, ["MASK_STORE"]),
        ({"MASK_STORE": "s3"}, ["MASK_BUCKET"]),
        ({"MASK_STORE": "directory"}, ["MASK_DIR"]),
        ({"MASK_STORE": "cloudinary"}, ["CLOUDINARY_URL", "CLOUDINARY_SECRET_ARN"]),
        (
            {
                "MASK_STORE": "cloudinary",
                "CLOUDINARY_URL": CLOUDINARY_URL,
                "CLOUDINARY_SECRET_ARN": ARN,
            },
            ["exactly one", "CLOUDINARY_URL", "CLOUDINARY_SECRET_ARN"],
        ),
        ({**S3, "FIRESTORE_SECRET_ARN": ARN}, ["FIRESTORE_PROJECT"]),
    ],
)
def test_what_belongs_together_is_asked_for_on_lambda(
    environ: dict[str, str], named: list[str]
) -> None:
    (problem,) = problems(environ)
    assert all(name in problem for name in named)


@pytest.mark.parametrize("name", STATE)
def test_on_lambda_the_services_own_state_has_a_place(name: str) -> None:
    (problem,) = problems({**S3, name: ""})
    assert problem == f"{name} is not set."


@pytest.mark.parametrize(
    ("environ", "remembered_s"),
    [
        (S3, 1800),
        ({**S3, "MASK_URL_TTL_S": "600"}, 300),
        ({**S3, "MASK_URL_TTL_S": "7200"}, 1800),
        (
            {**S3, "MASK_URL_TTL_S": "600", "MASK_PUBLIC_BASE_URL": "https://cdn.example"},
            1800,
        ),
        (
            {
                **STATE,
                "MASK_STORE": "cloudinary",
                "CLOUDINARY_URL": CLOUDINARY_URL,
                "MASK_URL_TTL_S": "600",
            },
            1800,
        ),
    ],
)
def test_a_signed_address_outlives_the_memory_of_it(
    environ: dict[str, str], remembered_s: int
) -> None:
    assert Settings.from_env(environ, on_lambda=True).idempotency_ttl_s == remembered_s


@pytest.mark.parametrize(
    "environ",
    [
        S3,
        {"MASK_STORE": "directory", "MASK_DIR": "/mnt/masks"},
        {"MASK_STORE": "cloudinary", "CLOUDINARY_URL": CLOUDINARY_URL},
        {"MASK_STORE": "cloudinary", "CLOUDINARY_SECRET_ARN": ARN, "CLOUDINARY_URL": ""},
        {**S3, "FIRESTORE_PROJECT": "app-1", "FIRESTORE_SECRET_ARN": ARN},
        {**S3, "FIRESTORE_PROJECT": "app-1"},
    ],
)
def test_what_is_complete_starts_on_lambda(environ: dict[str, str]) -> None:
    assert (
        Settings.from_env({**STATE, **environ}, on_lambda=True).mask_store == environ["MASK_STORE"]
    )


def test_every_problem_is_reported_at_once() -> None:
    found = problems(
        {
            "MASK_STORE": "cloudinary",
            "ORT_THREADS": "many",
            "FETCH_TIMEOUT_S": "soon",
            "ALLOW_HTTP": "yes",
            "FIRESTORE_SECRET_ARN": ARN,
        }
    )
    starts = [line.split()[0] for line in found]
    assert sorted(starts) == [
        "ALLOW_HTTP",
        "FETCH_TIMEOUT_S",
        "FIRESTORE_SECRET_ARN",
        "MASK_STORE=cloudinary",
        "ORT_THREADS",
    ]


def test_an_explicit_argument_wins_over_the_environment() -> None:
    environ = {"MASK_STORE": "cloudinary", "MASK_DIR": "there", "ALLOW_HTTP": "0"}
    settings = Settings.from_env(
        environ, on_lambda=False, mask_store="directory", mask_dir=Path("here"), allow_http=True
    )
    assert (settings.mask_store, settings.mask_dir) == ("directory", Path("here"))
    assert settings.allow_http is True


def test_an_explicit_none_is_not_given() -> None:
    settings = Settings.from_env({"MASK_DIR": "there"}, on_lambda=False, mask_dir=None)
    assert settings.mask_dir == Path("there")


def test_an_explicit_argument_is_checked_too() -> None:
    (problem,) = problems({}, on_lambda=False, mask_store="cellar")
    assert problem.startswith("MASK_STORE ")


def test_a_setting_that_does_not_exist_is_a_mistake_of_the_code() -> None:
    with pytest.raises(TypeError, match="mask_storr"):
        Settings.from_env({}, on_lambda=False, mask_storr="s3")


def test_secrets_are_never_shown() -> None:
    environ = {"MASK_STORE": "cloudinary", "CLOUDINARY_URL": CLOUDINARY_URL, **STATE}
    assert "s3cr3t" not in repr(Settings.from_env(environ, on_lambda=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CLOUDINARY_URL", "https://1234:s3cr3t@cloud"),
        ("CLOUDINARY_URL", "cloudinary://s3cr3t@cloud"),
        ("CLOUDINARY_URL", "cloudinary://[s3cr3t"),
        ("FIRESTORE_SECRET_ARN", '{"private_key": "s3cr3t"}'),
        ("MASK_PUBLIC_BASE_URL", "https://user:s3cr3t@cdn.example"),
    ],
)
def test_a_malformed_secret_is_not_quoted(name: str, text: str) -> None:
    (problem,) = problems({**S3, "FIRESTORE_PROJECT": "app-1", name: text})
    assert problem.startswith(name + " ")
    assert "s3cr3t" not in problem


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("MASK_BUKET", "MASK_BUCKET"),
        ("MASKS_DIR", "MASK_DIR"),
        ("mask_store", "MASK_STORE"),
        ("CLOUDINARY_ULR", "CLOUDINARY_URL"),
        ("MAX_PHOTO_BYTE", "MAX_PHOTO_BYTES"),
        ("JOB_TTL", "JOB_TTL_S"),
        ("MODEL_DIR", "MODELS_DIR"),
    ],
)
def test_a_misspelt_variable_is_told(written: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f"^{written} is not a setting: did you mean {meant}"):
        Settings.from_env({written: "1"}, on_lambda=False)


def test_other_programs_variables_are_theirs() -> None:
    others = {"PATH": "/bin", "MASKS": "1", "FIRESTORE_EMULATOR_HOST": "x", "AWS_LAMBDA_x": "1"}
    Settings.from_env(others | {"MASK_BUKET": ""}, on_lambda=False)
