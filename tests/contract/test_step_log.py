"""One request's log: the same records on stdout and in Firestore, or no work at all."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from PIL import Image
from tests import fakes
from tests.contract.event_files import read_event
from tests.standins.firestore import FirestoreEmulator
from tests.standins.npm import NodeMissingError

from tryon_masks import telemetry
from tryon_masks.adapters.directory import DirectoryMaskStore
from tryon_masks.adapters.firestore import FirestoreLog
from tryon_masks.entrypoints.http.routes import create_handler
from tryon_masks.images import Limits
from tryon_masks.service import MaskService

PROJECT = "demo-tryon"
ADDRESS = "https://photos.example.com/standing.jpg"
URL = f"{ADDRESS}?Signature=s3cret"
STEPS = [
    "open_log",
    "read_request",
    "check_request",
    "download_image",
    "generate_masks",
    "decode_image",
    "find_people",
    "choose_person",
    "parse_person",
    "shape_mask",
    "encode_masks",
    "upload_masks",
    "write_mask",
    "update_profile",
]


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[FirestoreEmulator]:
    """One of its own, which the test may stop."""
    try:
        with FirestoreEmulator() as running:
            monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", running.host)
            yield running
    except NodeMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """What the log prints."""
    stream = io.StringIO()
    telemetry.configure(stream)
    yield stream
    telemetry.configure(sys.__stderr__)
    telemetry.configure(None)


@dataclass
class Api:
    """The API on fake eyes, a real store and the real log."""

    photos: fakes.FakePhotos
    vision: fakes.FakeVision
    folder: Path
    timeout_s: float = 60.0

    def post(self, user_id: str, **body: Any) -> tuple[str, int, dict[str, Any]]:
        """Request id, status code and decoded answer of one request."""
        log = FirestoreLog(PROJECT, timeout_s=self.timeout_s)
        service = MaskService(
            self.vision, DirectoryMaskStore(self.folder), self.photos, log, limits=Limits()
        )
        event = read_event("api-masks")
        request_id = f"request-{uuid4()}"
        event["requestContext"]["requestId"] = request_id
        event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = user_id
        event["body"] = json.dumps({"user_image_url": URL, **body})
        response = create_handler(service, fakes.submission(), log)(event, fakes.FakeContext())
        return request_id, response["statusCode"], json.loads(response["body"])


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(fakes.FakePhotos({URL: fakes.photo()}), fakes.FakeVision(), tmp_path)


@pytest.fixture
def firestore(emulator: FirestoreEmulator) -> Iterator[Any]:
    """A client for looking into the emulator."""
    from google.cloud import firestore

    client: Any = firestore.Client(project=PROJECT)
    yield client
    client.close()


def saved(firestore: Any, request_id: str) -> list[dict[str, Any]]:
    """The request's records in Firestore, in order."""
    steps = firestore.collection("vton_logs").document(request_id).collection("steps")
    return [document.to_dict() for document in steps.order_by("__name__").get()]


def test_every_step_is_on_stdout_and_the_same_in_firestore(
    firestore: Any, printed: io.StringIO, api: Api
) -> None:
    user_id = f"user-{uuid4()}"

    request_id, status, answer = api.post(user_id, include_logs=True)

    assert (status, answer["status"]) == (200, "success")
    records = saved(firestore, request_id)
    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    assert [
        {key: line[key] for key in record} for line, record in zip(lines, records, strict=True)
    ] == records
    ended = [record["step"] for record in records if record["status"] == "done"]
    assert set(ended) == set(STEPS)
    assert ended.count("shape_mask") == ended.count("write_mask") == 2
    started = [record["step"] for record in records if record["status"] == "started"]
    assert list(dict.fromkeys(started)) == STEPS
    for record in records:
        assert record["request_id"] == request_id
        assert record["user_id"] == user_id
        assert record["timestamp"].endswith("Z")
        assert record["component"]
        assert record["duration"] >= 0
    assert "s3cret" not in printed.getvalue()
    public = [
        {k: v for k, v in one.items() if k not in ("detail", "error_type")} for one in records
    ]
    assert answer["logs"] == public[: len(answer["logs"])]


def test_the_masks_are_in_the_users_profile_and_on_the_disk(
    firestore: Any, printed: io.StringIO, api: Api
) -> None:
    user_id = f"user-{uuid4()}"
    profile = firestore.collection("users").document(user_id)
    profile.set({"name": "Marie", "userImageUrl": ADDRESS})

    request_id, _, answer = api.post(user_id)

    after = profile.get().to_dict()
    assert (after["name"], after["userImageUrl"]) == ("Marie", ADDRESS)
    assert after["masks"] == answer["masks"]
    assert after["masks_request_id"] == request_id
    assert after["Mask"] == {
        "Status": "success",
        "Upper mask URL": answer["masks"]["upper"],
        "Lower mask URL": answer["masks"]["lower"],
    }
    for url in answer["masks"].values():
        with Image.open(urlsplit(url).path) as mask:
            assert (mask.size, mask.mode) == ((fakes.WIDTH, fakes.HEIGHT), "L")


def test_a_refused_photo_leaves_its_log_and_no_profile(
    firestore: Any, printed: io.StringIO, api: Api
) -> None:
    api.vision = fakes.FakeVision(people=0)
    user_id = f"user-{uuid4()}"

    request_id, status, answer = api.post(user_id)

    assert (status, answer["status"]) == (422, "refused")
    refused = [one for one in saved(firestore, request_id) if one["status"] == "refused"]
    assert {one["step"] for one in refused} == {"choose_person", "shape_mask"}
    assert {one["code"] for one in refused} == {"NO_PERSON"}
    assert not firestore.collection("users").document(user_id).get().exists


def test_with_the_log_gone_a_request_is_refused_before_any_work(
    emulator: FirestoreEmulator, printed: io.StringIO, api: Api
) -> None:
    api.timeout_s = 1
    emulator.stop()

    request_id, status, answer = api.post("user-1")

    assert status == 503
    assert (answer["status"], answer["error"]["code"]) == ("error", "LOG_UNAVAILABLE")
    assert answer["request_id"] == request_id
    assert api.photos.asked == []
    assert api.vision.shown == []
    assert list(api.folder.iterdir()) == []
    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    assert [(line["step"], line["status"]) for line in lines] == [
        ("open_log", "started"),
        ("open_log", "failed"),
    ]
