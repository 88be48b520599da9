"""What is planted in requests, photos and settings is in no log, and in no file that is made."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from tests import fakes
from tests.contract.event_files import read_event
from tests.contract.template_file import PARAMETERS
from tests.standins.cloudinary import CloudinaryStandIn
from tests.standins.faulty import Faulty, says

from tryon_masks import telemetry
from tryon_masks.adapters.addresses import AddressRules
from tryon_masks.adapters.cloudinary import CloudinaryMaskStore
from tryon_masks.adapters.http import HttpPhotoSource, dial
from tryon_masks.entrypoints.http.routes import create_handler
from tryon_masks.images import Limits
from tryon_masks.service import MaskService

PLACE = "52 12.345 N planted place"
PROFILE = b"planted profile" * 20
TOKEN = "planted-token"
API_SECRET = "planted-api-secret"
USER_INFO = "planted-user:planted-word"
PATH = "users/planted-name/me.jpg"
ADDRESS = f"http://photos.example/{PATH}"
URL = f"{ADDRESS}?alt=media&token={TOKEN}#{TOKEN}"
CALLBACK = f"https://shop.example/{PATH}?token={TOKEN}"


def photo(kind: str = "JPEG") -> bytes:
    """The figure, with all that a camera may say beside it."""
    tags = Image.Exif()
    tags[ExifTags.Base.ImageDescription] = PLACE
    tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = PLACE
    text = PngInfo()
    text.add_text("Comment", PLACE)
    more: dict[str, Any] = {"pnginfo": text} if kind == "PNG" else {"comment": PLACE.encode()}
    file = io.BytesIO()
    with Image.open(io.BytesIO(fakes.photo())) as image:
        image.save(file, kind, exif=tags, icc_profile=PROFILE, **more)
    return file.getvalue()


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """All that is printed: our lines, and what libraries say at their most talkative."""
    stream = io.StringIO()
    telemetry.configure(stream, level="DEBUG")
    others = logging.StreamHandler(stream)
    root = logging.getLogger()
    before = root.level
    root.addHandler(others)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(others)
    root.setLevel(before)
    telemetry.configure(None, level="INFO")


PHOTO = base64.b64encode(photo()).decode()
BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "an address": ({"user_image_url": URL}, "200 success"),
    "a photo": ({"image": PHOTO, "overlay": True}, "200 success"),
    "a document": ({"userImageUrl": URL, "note": TOKEN}, "200 success"),
    "an address inside": (
        {"user_image_url": f"https://127.0.0.1/{PATH}?token={TOKEN}"},
        "400 URL_NOT_ALLOWED",
    ),
    "credentials": (
        {"user_image_url": f"https://{USER_INFO}@photos.example/{PATH}"},
        "400 URL_NOT_ALLOWED",
    ),
    "a malformed address": (
        {"user_image_url": f"https://{USER_INFO}@[photos.example/{PATH}?{TOKEN}"},
        "400 URL_NOT_ALLOWED",
    ),
    "a port of letters": (
        {"user_image_url": f"https://photos.example:{TOKEN}/"},
        "400 URL_NOT_ALLOWED",
    ),
    "a bad field": ({"user_image_url": URL, "max_side": TOKEN}, "400 INVALID_REQUEST"),
    "a bad photo": (
        {"image": base64.b64encode(b"\xff\xd8\xff" + PLACE.encode() * 20).decode()},
        "422 BROKEN_PHOTO",
    ),
}


class Api:
    """The API with the real intake and the real Cloudinary client."""

    def __init__(self, standin: CloudinaryStandIn, host: Faulty) -> None:
        photos = HttpPhotoSource(
            10_000_000,
            20,
            AddressRules(allow_http=True),
            resolve=lambda _host, _port: [ip_address("93.184.216.34")],
            dial=lambda _address, _port, timeout: dial(ip_address("127.0.0.1"), host.port, timeout),
        )
        store = CloudinaryMaskStore(standin.url, "masks", 20, tries=1)
        self.step_log = fakes.FakeStepLog()
        service = MaskService(
            fakes.FakeVision(), store, photos, fakes.FakeProfiles(), limits=Limits()
        )
        self._handler = create_handler(service, fakes.submission(), self.step_log)

    def post(self, **body: Any) -> tuple[str, dict[str, Any]]:
        return self.send("api-masks", body)

    def send(self, event: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        sent = read_event(event) | {"body": json.dumps(body)}
        response = self._handler(sent, fakes.FakeContext())
        answer = json.loads(response["body"])
        what = answer["error"]["code"] if "error" in answer else answer.get("status", "later")
        return f"{response['statusCode']} {what}", answer


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("fault", [None, "broken", "forbidden"])
def test_nothing_planted_is_in_any_log(printed: io.StringIO, case: str, fault: str | None) -> None:
    body, expected = BODIES[case]
    with (
        CloudinaryStandIn(api_secret=API_SECRET) as standin,
        Faulty(says(200, photo())) as host,
    ):
        if fault:
            standin.fail(fault)
        api = Api(standin, host)
        outcome, answer = api.post(**body, include_logs=True)

    made = expected == "200 success"
    assert outcome == ("502 STORE_FAILED" if fault and made else expected)
    (records,) = api.step_log.written.values()
    logs = printed.getvalue() + json.dumps(records) + json.dumps(answer.get("logs", []))
    assert "read_request" in logs
    for secret in ("planted", PHOTO[:200], PHOTO[400:600]):
        assert secret not in logs
    if "error" in answer:
        assert "planted" not in answer["error"]["message"]


@pytest.mark.parametrize(
    ("event", "body", "expected"),
    [
        ("api-masks-later", {"user_image_url": URL, "callback_url": CALLBACK}, "202 later"),
        ("api-upload", {"content_type": "image/jpeg", "callback_url": CALLBACK}, "201 later"),
    ],
)
def test_nor_is_what_a_job_keeps(
    printed: io.StringIO, event: str, body: dict[str, Any], expected: str
) -> None:
    with CloudinaryStandIn() as standin, Faulty(says(200, photo())) as host:
        api = Api(standin, host)
        outcome, _ = api.send(event, body)

    assert outcome == expected
    (records,) = api.step_log.written.values()
    logs = printed.getvalue() + json.dumps(records)
    assert "read_request" in logs
    assert "planted" not in logs


@pytest.mark.parametrize("format", ["png", "webp"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_files_that_are_made_hold_nothing_of_the_photos_metadata(
    printed: io.StringIO,
    kind: str,
    format: str,  # noqa: A002
) -> None:
    data = photo(kind)
    assert b"planted place" in data
    with CloudinaryStandIn() as standin, Faulty(says(200, data)) as host:
        Api(standin, host).post(user_image_url=URL, format=format, overlay=True)

    assert len(standin.uploads) == 3
    for upload in standin.uploads.values():
        assert b"planted" not in upload.data
        with Image.open(io.BytesIO(upload.data)) as image:
            assert not image.getexif()
            assert not {"icc_profile", "exif", "comment", "xmp"} & image.info.keys()
            assert "planted" not in upload.public_id


def test_the_page_tells_the_days_that_the_template_sets() -> None:
    page = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text()
    told = {name: days for days, name in re.findall(r"\| (\d+) days \| `(\w+)` \|", page)}
    kept = {name for name in PARAMETERS if name.endswith("RetentionDays")}
    assert told == {name: str(PARAMETERS[name]["Default"]) for name in kept}
