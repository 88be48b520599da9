from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter, ValidationError

from tryon_masks.domain.errors import InvalidRequest
from tryon_masks.domain.identity import check_user_id
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.person import Box
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.schema.requests import (
    PROBLEMS_SHOWN,
    BatchBody,
    Body,
    DataJson,
    MaskRequestBody,
    UploadBody,
    invalid,
    mask_request,
    photo_of_document,
    read_item,
    read_options,
)
from tryon_masks.service import MaskOptions

URL = "https://example.com/photo.jpg"


def read(body: object) -> MaskRequestBody | DataJson:
    """As the API reads it: pydantic's problems become one InvalidRequest."""
    try:
        read_body: MaskRequestBody | DataJson = TypeAdapter(Body).validate_python(body)
    except ValidationError as error:
        raise invalid(error.errors()) from error
    return read_body


def test_an_address_is_enough() -> None:
    request = mask_request(read({"user_image_url": URL}), "anonymous")

    assert request.photo == URL
    assert request.options == MaskOptions()
    assert request.store_key is None


def test_every_option_reaches_the_service() -> None:
    body = read(
        {
            "user_image_url": URL,
            "masks": ["full", "protect"],
            "profile": "hull",
            "expand": {"top": 0.5, "left": 1},
            "format": "webp",
            "edge": "soft",
            "max_side": 1024,
            "person_box": [10, 20.5, 110, 220],
            "overlay": True,
        }
    )

    assert body.options() == MaskOptions(
        masks=(MaskKind.FULL, MaskKind.PROTECT),
        profile=Profile.HULL,
        expand=Expand(top=0.5, left=1.0),
        format="webp",
        edge="soft",
        max_side=1024,
        person_box=Box(10, 20.5, 110, 220),
        overlay=True,
    )


def test_base64_becomes_bytes() -> None:
    body = read({"image": base64.b64encode(b"\xff\xd8 a photo").decode()})

    assert body.photo == b"\xff\xd8 a photo"


def test_a_whole_number_may_be_written_with_a_point() -> None:
    body = read(json.loads('{"user_image_url": "https://e.com/a.jpg", "max_side": 512.0}'))

    assert isinstance(body.options().max_side, int)
    assert body.options().max_side == 512


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"unknown": 1}, "unknown"),
        ({"userimageurl": URL}, "userimageurl"),
        ({"user_image_url": 7}, "user_image_url"),
        ({"user_image_url": ""}, "user_image_url"),
        ({"user_image_url": "https://e.com/" + "x" * 4096}, "user_image_url"),
        ({"user_image_url": None}, "exactly one of"),
        ({"image": "aGk="}, "exactly one of"),
        ({"image": "not base64!"}, "image"),
        ({"image": "aG\nk="}, "image"),
        ({"image": ""}, "image"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a" * 129}, "user_id"),
        ({"user_id": 7}, "user_id"),
        ({"masks": []}, "masks"),
        ({"masks": ["upper", "upper"]}, "masks"),
        ({"masks": ["torso"]}, "masks.0"),
        ({"masks": "upper"}, "masks"),
        ({"profile": "loose"}, "profile"),
        ({"expand": {"top": 1.01}}, "expand.top"),
        ({"expand": {"top": -0.1}}, "expand.top"),
        ({"expand": {"top": "0.1"}}, "expand.top"),
        ({"expand": {"top": True}}, "expand.top"),
        ({"expand": {"front": 0.1}}, "expand.front"),
        ({"expand": 0.1}, "expand"),
        ({"format": "jpeg"}, "format"),
        ({"edge": "round"}, "edge"),
        ({"max_side": 63}, "max_side"),
        ({"max_side": 8193}, "max_side"),
        ({"max_side": "512"}, "max_side"),
        ({"max_side": 512.5}, "max_side"),
        ({"max_side": True}, "max_side"),
        ({"max_side": float("inf")}, "max_side"),
        ({"person": "smallest"}, "person"),
        ({"person_box": [0, 0, 10]}, "person_box"),
        ({"person_box": [0, 0, 10, 10, 10]}, "person_box"),
        ({"person_box": [10, 0, 10, 10]}, "person_box"),
        ({"person_box": [0, 10, 10, 10]}, "person_box"),
        ({"person_box": [-1, 0, 10, 10]}, "person_box.0"),
        ({"person_box": [0, 0, float("nan"), 10]}, "person_box.2"),
        ({"person_box": [0, 0, float("inf"), 10]}, "person_box.2"),
        ({"person_box": [0, 0, 10, 10], "person": "largest"}, "person or person_box"),
        ({"overlay": 1}, "overlay"),
        ({"include_logs": "yes"}, "include_logs"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        read({"user_image_url": URL} | change)


@pytest.mark.parametrize("body", [None, [], "text", 7])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest):
        read(body)


def test_a_document_keeps_its_own_keys() -> None:
    body = read({"userImageUrl": URL, "name": "Ada", "Mask": {"Status": ""}, "masks": ["upper"]})

    assert isinstance(body, DataJson)
    assert body.photo == URL
    assert body.options().masks == (MaskKind.UPPER,)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"user_image_url": URL}, "exactly one of"),
        ({"image": "aGk="}, "exactly one of"),
        ({"userImageUrl": None}, "userImageUrl"),
        ({"userImageUrl": ["https://example.com"]}, "userImageUrl"),
        ({"profile": {"name": "Ada"}}, "profile"),
    ],
)
def test_a_document_must_name_one_photo_and_use_our_fields_as_we_do(
    change: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidRequest, match=named):
        read({"userImageUrl": URL} | change)


def test_values_are_never_repeated() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read({"user_image_url": f"{URL}?signature=s3cret", "image": "s3cret", "profile": "s3cret"})

    assert "s3cret" not in str(refused.value)


def test_a_flood_of_problems_is_cut() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read({"user_image_url": URL} | {f"field{n:03}": n for n in range(500)})

    assert str(refused.value).count("field") == PROBLEMS_SHOWN
    assert f"and {500 - PROBLEMS_SHOWN} more" in str(refused.value)


@pytest.mark.parametrize(
    "user_id",
    [
        *("a", "user-1", "ada@example.com", "A" * 128, "x_.@:+-", "auth0|5f7c8ec7c33c6c004bbafe82"),
        *("google-oauth2|1", "oidc:a/b", ".", "..", "__a__", "a b", "jäger", "漢" * 128, "%2F"),
    ],
)
def test_user_ids(user_id: str) -> None:
    assert check_user_id(user_id) == user_id
    assert read({"user_image_url": URL, "user_id": user_id}).user_id == user_id


@pytest.mark.parametrize("user_id", ["", "A" * 129, "a\ud800"])
def test_what_is_no_user_id(user_id: str) -> None:
    with pytest.raises(InvalidRequest):
        check_user_id(user_id)
    with pytest.raises(InvalidRequest):
        read({"user_image_url": URL, "user_id": user_id})


IMAGE = bytes(range(256)) + b"\xfb\xff"
BASE64 = base64.b64encode(IMAGE).decode()


@pytest.mark.parametrize(
    "written",
    [
        BASE64,
        f"data:image/jpeg;base64,{BASE64}",
        f"DATA:image/heic;charset=binary;BASE64,{BASE64}",
        f"data:;base64,{BASE64}",
        f"data:image/png;base64,{quote(BASE64, safe='')}",
        base64.encodebytes(IMAGE).decode(),
        "\r\n".join(BASE64[start : start + 64] for start in range(0, len(BASE64), 64)) + "\r\n",
        f" \t{BASE64}\n",
        base64.urlsafe_b64encode(IMAGE).decode(),
        base64.urlsafe_b64encode(IMAGE).decode().rstrip("="),
        BASE64.rstrip("="),
        BASE64 + "=",
    ],
)
def test_base64_as_clients_write_it(written: str) -> None:
    assert read({"image": written}).photo == IMAGE


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("iVBORw0KGgo*", "character 12 is not base64"),
        ("aGVs=bG8=", "character 5 is not base64"),
        ("data:image/jpeg,raw", "must say ;base64"),
        ("aGVsb", "base64 breaks off"),
        ("https://example.com/a.jpg", "character 6 is not base64"),
        ("", "image"),
        ("data:image/jpeg;base64,", "image"),
    ],
)
def test_what_is_no_base64_is_told(written: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        read({"image": written})


OPTIONAL = [name for name in MaskRequestBody.model_fields if name != "user_image_url"]


@pytest.mark.parametrize("name", [*OPTIONAL, "userImageUrl"])
def test_null_is_absent_for_every_optional_field(name: str) -> None:
    assert read({"user_image_url": URL, name: None}) == read({"user_image_url": URL})


def test_null_is_absent_wherever_something_is_optional() -> None:
    assert read({"image": BASE64, "user_image_url": None}).photo == IMAGE
    sides = {"top": 0.1, "left": None}
    assert read({"user_image_url": URL, "expand": sides}).options().expand == Expand(top=0.1)
    document = read({"userImageUrl": URL, "image": None, "profile": None, "name": None})
    assert isinstance(document, DataJson)
    assert document.photo == URL
    item = {"photo": URL, "id": None, "masks": None}
    assert read_item(item).options() == read_options({})
    batch = BatchBody.model_validate({"items": [item], "manifest": None})
    assert batch.names == ["1"]
    with pytest.raises(InvalidRequest, match="exactly one"):
        read({"userImageUrl": None})
    with pytest.raises(InvalidRequest, match="photo"):
        read_item({"photo": None})


@pytest.mark.parametrize(
    ("named", "stored"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/jpg", "image/jpg"),
        ("image/pjpeg", "image/pjpeg"),
        ("IMAGE/HEIC", "image/heic"),
        ("image/heic-sequence", "image/heic-sequence"),
        ("image/x-png", "image/x-png"),
        ("image/*", "image/*"),
        ("image/jpeg; charset=binary", "image/jpeg"),
        ("", "application/octet-stream"),
        ("application/octet-stream", "application/octet-stream"),
        ("Application/Octet-Stream", "application/octet-stream"),
        ("binary/octet-stream", "binary/octet-stream"),
    ],
)
def test_types_as_browsers_and_phones_name_them(named: str, stored: str) -> None:
    assert UploadBody(content_type=named).stored_type == stored


@pytest.mark.parametrize("named", ["text/html", "video/mp4", "image/", "image/a b", "jpeg", None])
def test_types_of_no_photo(named: Any) -> None:
    with pytest.raises(ValidationError):
        UploadBody(content_type=named)


def test_options_alone_take_no_photo() -> None:
    assert read_options({"profile": "tight"}).profile is Profile.TIGHT
    with pytest.raises(InvalidRequest, match="user_image_url"):
        read_options({"user_image_url": URL})


def test_the_photo_of_a_document_file() -> None:
    assert photo_of_document(b'{"userImageUrl": "https://example.com/\xc3\xa4.jpg"}').endswith(
        "ä.jpg"
    )
    assert photo_of_document(b'\xef\xbb\xbf{"userImageUrl": "https://a"}') == "https://a"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"userImageUrl": ""}',
        b'{"userImageUrl": 7}',
        b'{"userImageUrl": "\xff"}',
        b"[" * 200_000,
    ],
)
def test_a_document_without_a_photo(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        photo_of_document(data)
