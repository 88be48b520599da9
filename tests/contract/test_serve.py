"""The server on somebody's own machine: the API, the page's answers, and who may ask."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from tests import fakes

from tryon_masks.entrypoints import cli
from tryon_masks.entrypoints.local.app import JSON_BYTES, create_app
from tryon_masks.library import MaskMaker
from tryon_masks.settings import Settings
from tryon_masks.wiring import build_local

MOST = 200_000
TRIES = 2
DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
JSON = {"content-type": "application/json"}
JPEG = {"content-type": "image/jpeg"}
CALLBACK = "https://app.example.com/answer"


class Local:
    """The server on a fake vision, and a client."""

    def __init__(self, vision: fakes.FakeVision, photos: fakes.FakePhotos, port: int) -> None:
        self.vision = vision
        self.photos = photos
        self.port = port

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        status, _, answer = self.ask("POST", path, json.dumps(body).encode(), **JSON)
        return status, json.loads(answer)

    def open(self, photo: bytes | None = None) -> dict[str, Any]:
        status, _, answer = self.ask("POST", "/page/photos", photo or fakes.photo(), **JPEG)
        assert status == 200, answer
        kept: dict[str, Any] = json.loads(answer)
        return kept


def started(vision: fakes.FakeVision, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    photos = fakes.FakePhotos({})
    monkeypatch.setattr("tryon_masks.library.build_vision", lambda settings: vision)
    monkeypatch.setattr("tryon_masks.adapters.http.HttpPhotoSource", lambda *_: photos)
    monkeypatch.setattr("tryon_masks.entrypoints.queue.messages.PAUSES_S", (0,))
    monkeypatch.setenv("MAX_PHOTO_BYTES", str(MOST))
    maker = MaskMaker()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        host = f"127.0.0.1:{port}"
        environ = {"MAX_PHOTO_BYTES": str(MOST), "WORK_TRIES": str(TRIES)}
        settings = Settings.from_env(environ, on_lambda=False)
        parts = build_local(settings, maker.vision, f"http://{host}")
        app = create_app(maker, parts, [host], settings.work_tries)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Local(vision, photos, port)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    yield from started(fakes.FakeVision(), monkeypatch)


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    yield from started(fakes.FakeVision(people=2), monkeypatch)


def png(data: bytes, mode: str | None = None) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert(mode))


@pytest.mark.parametrize("path", ["/", "/v1/masks"])
def test_masks_are_made_by_the_routes_of_lambda_and_can_be_fetched(local: Local, path: str) -> None:
    status, answer = local.post(path, image=base64.b64encode(fakes.photo()).decode())

    assert (status, answer["status"]) == (200, "success")
    address = answer["masks"]["upper"]
    assert address.startswith(f"http://127.0.0.1:{local.port}/masks/")
    status, headers, mask = local.ask("GET", address.partition(str(local.port))[2])
    assert (status, headers["content-type"]) == (200, "image/png")
    assert set(np.unique(png(mask)).tolist()) == {0, 255}


def test_a_targets_files_and_outputs_can_be_fetched_too(local: Local) -> None:
    image = base64.b64encode(fakes.photo()).decode()
    status, answer = local.post(
        "/v1/masks", image=image, masks=["upper"], outputs=["agnostic"], target="leffa"
    )

    assert (status, answer["status"]) == (200, "success")
    addresses = [*answer["outputs"].values(), *answer["target"]["upper"]["files"].values()]
    assert len(addresses) == 3
    for address in addresses:
        status, headers, file = local.ask("GET", address.partition(str(local.port))[2])
        assert (status, headers["content-type"]) == (200, "image/png")
        assert png(file).size > 0


def test_errors_and_refusals_are_those_of_lambda(local: Local) -> None:
    assert local.post("/v1/masks", masks=["upper"])[0] == 400
    status, answer = local.post("/v1/masks", image=base64.b64encode(b"no photo").decode())
    assert (status, answer["error"]["code"]) == (415, "UNSUPPORTED_PHOTO")
    status, headers, _ = local.ask("PUT", "/v1/masks")
    assert (status, headers["allow"]) == (405, "POST")


def test_health_and_the_document_are_those_of_lambda(local: Local) -> None:
    status, _, answer = local.ask("GET", "/v1/health")
    assert (status, json.loads(answer)["ready"]) == (200, True)
    status, _, document = local.ask("GET", "/openapi.json")
    assert (status, json.loads(document)) == (200, json.loads(DOCUMENT.read_text()))


def wait_for(local: Local, path: str, *ends: str) -> dict[str, Any]:
    """Ask until the state under ``path`` is one of ``ends``; the answer."""
    while True:
        status, headers, answer = local.ask("GET", path)
        assert status == 200, answer
        found: dict[str, Any] = json.loads(answer)
        if found["state"] in ends:
            assert headers["retry-after"] is None
            return found
        assert headers["retry-after"] == "2"
        time.sleep(0.05)


ANSWERED = ("success", "partial", "refused", "error")


def form(fields: dict[str, str], file: bytes | None = None) -> tuple[bytes, dict[str, str]]:
    """A form as browsers send it, and its headers."""
    parts = [f'"{name}"\r\n\r\n{text}'.encode() for name, text in fields.items()]
    if file is not None:
        parts.append(b'"file"; filename="me.jpg"\r\ncontent-type: image/jpeg\r\n\r\n' + file)
    start = b"--mark\r\ncontent-disposition: form-data; name="
    body = b"".join(start + part + b"\r\n" for part in parts) + b"--mark--\r\n"
    return body, {"content-type": "multipart/form-data; boundary=mark"}


def upload(local: Local, file: bytes, **chosen: Any) -> dict[str, Any]:
    """Upload a file as clients do; where it goes."""
    status, given = local.post("/v1/uploads", content_type="image/jpeg", **chosen)
    assert status == 201, given
    assert given["upload"]["url"] == f"http://127.0.0.1:{local.port}/uploads"
    body, headers = form(given["upload"]["fields"], file)
    assert local.ask("POST", "/uploads", body, **headers)[0] == 204
    return given


def test_an_upload_becomes_a_job_with_an_answer(local: Local) -> None:
    given = upload(local, fakes.photo(), masks=["upper"], user_id="ada")
    job = wait_for(local, given["job"], *ANSWERED)

    assert (job["state"], job["answer"]["status"]) == ("success", "success")
    address = job["answer"]["masks"]["upper"]
    assert local.ask("GET", address.partition(str(local.port))[2])[0] == 200
    status, _, beside = local.ask("GET", f"/results/{given['key']}.json")
    assert (status, json.loads(beside)) == (200, job["answer"])


def test_an_upload_that_is_no_photo_has_its_error(local: Local) -> None:
    given = upload(local, b"no photo")
    answer = wait_for(local, given["job"], *ANSWERED)["answer"]
    assert answer["error"]["code"] == "UNSUPPORTED_PHOTO"


@pytest.mark.parametrize(
    ("change", "file", "status", "code"),
    [
        ({"token": "0" * 32}, b"photo", 400, "INVALID_REQUEST"),
        ({"key": "uploads/local/another"}, b"photo", 400, "INVALID_REQUEST"),
        ({"Content-Type": "text/html"}, b"photo", 400, "INVALID_REQUEST"),
        ({}, None, 400, "INVALID_REQUEST"),
        ({}, b" " * (MOST + 1), 413, "PHOTO_TOO_LARGE"),
        ({}, b" " * (MOST + JSON_BYTES), 413, "PHOTO_TOO_LARGE"),
    ],
)
def test_a_form_that_was_not_handed_out_is_refused(
    local: Local, change: dict[str, str], file: bytes | None, status: int, code: str
) -> None:
    _, given = local.post("/v1/uploads", content_type="image/jpeg")
    body, headers = form({**given["upload"]["fields"], **change}, file)
    told, _, answer = local.ask("POST", "/uploads", body, **headers)
    assert (told, json.loads(answer)["error"]["code"]) == (status, code)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "multipart/x"])
def test_what_is_no_form_is_refused(local: Local, kind: str) -> None:
    status, _, answer = local.ask("POST", "/uploads", b"{}", content_type=kind)
    assert (status, json.loads(answer)["error"]["code"]) == (400, "INVALID_REQUEST")


def test_a_photo_by_address_is_made_later(local: Local) -> None:
    local.photos.known = {"https://photos.example.com/me.jpg": fakes.photo()}
    body = json.dumps({"user_image_url": "https://photos.example.com/me.jpg"}).encode()
    status, headers, _ = local.ask("POST", "/v1/masks", body, prefer="respond-async", **JSON)
    assert status == 202
    assert wait_for(local, headers["location"], *ANSWERED)["state"] == "success"


def test_what_may_pass_is_tried_again_before_it_is_an_error(local: Local) -> None:
    address = "https://photos.example.com/nothing.jpg"
    body = json.dumps({"user_image_url": address}).encode()
    _, headers, _ = local.ask("POST", "/v1/masks", body, prefer="respond-async", **JSON)
    answer = wait_for(local, headers["location"], *ANSWERED)["answer"]
    assert answer["error"]["code"] == "PHOTO_FETCH_FAILED"
    assert local.photos.asked == [address] * TRIES


def test_a_batch_has_its_answers_in_one_file(local: Local) -> None:
    addresses = {name: f"https://photos.example.com/{name}.jpg" for name in "ab"}
    local.photos.known = {addresses["a"]: fakes.photo(), addresses["b"]: b"no photo"}
    items = [{"photo": address, "id": name} for name, address in addresses.items()]
    status, given = local.post("/v1/batches", items=items)
    assert status == 202

    batch = wait_for(local, f"/v1/batches/{given['batch_id']}", "done")

    assert (batch["counts"]["success"], batch["counts"]["error"]) == (1, 1)
    (address,) = batch["results"]
    status, headers, results = local.ask("GET", address.partition(str(local.port))[2])
    assert (status, headers["content-type"]) == (200, "application/jsonl")
    answers = {line["id"]: line["status"] for line in map(json.loads, results.splitlines())}
    assert answers == {"a": "success", "b": "error"}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v1/uploads", {"content_type": "image/jpeg", "callback_url": CALLBACK}, "callback_url"),
        ("/v1/masks", {"user_image_url": CALLBACK, "callback_url": CALLBACK}, "callback_url"),
        ("/v1/batches", {"manifest": "manifests/local/list.jsonl"}, "manifest"),
    ],
)
def test_callbacks_and_lists_need_a_stack(
    local: Local, path: str, body: dict[str, Any], says: str
) -> None:
    status, _, answer = local.ask(
        "POST", path, json.dumps(body).encode(), prefer="respond-async", **JSON
    )
    error = json.loads(answer)["error"]
    assert (status, error["code"]) == (400, "INVALID_REQUEST")
    assert error["message"].startswith(f"{says} needs a deployed stack")


@pytest.mark.parametrize("path", ["/v1/jobs/", "/v1/batches/"])
def test_a_job_that_is_not_there_is_not_found(local: Local, path: str) -> None:
    status, _, answer = local.ask("GET", path + "0" * 32)
    assert (status, json.loads(answer)["error"]["code"]) == (404, "NOT_FOUND")


def test_the_page_loads_nothing_from_elsewhere(local: Local) -> None:
    status, headers, page = local.ask("GET", "/")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in headers["content-security-policy"]
    for name in ("app.js", "style.css", "many.js", "sheet/sheet.js", "sheet/sheet.css"):
        assert name in ("many.js", "sheet/sheet.js") or f"/static/{name}".encode() in page
        status, headers, text = local.ask("GET", f"/static/{name}")
        assert status == 200
        assert headers["x-content-type-options"] == "nosniff"
        assert b"http:" not in text.replace(b"http://www.w3.org", b"")
        assert b"https:" not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:{port}"},
        {"host": "127.0.0.1"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("POST", "/v1/masks"), ("POST", "/page/photos")]
)
def test_other_names_and_other_pages_are_refused(
    local: Local, headers: dict[str, str], method: str, path: str
) -> None:
    sent = {name: value.format(port=local.port) for name, value in headers.items()}
    status, _, _ = local.ask(method, path, fakes.photo() if method == "POST" else None, **sent)
    assert status == 403
    assert local.vision.shown == []


def test_its_own_page_may_ask(local: Local) -> None:
    own = {"origin": f"http://127.0.0.1:{local.port}", "sec_fetch_site": "same-origin"}
    assert local.ask("POST", "/page/photos", fakes.photo(), **own, **JPEG)[0] == 200


@pytest.mark.parametrize(
    ("path", "most"),
    [("/page/photos", MOST), ("/v1/masks", MOST * 4 // 3 + JSON_BYTES), ("/", 10 * MOST)],
)
def test_a_body_is_read_no_further_than_its_bound(local: Local, path: str, most: int) -> None:
    status, _, answer = local.ask("POST", path, b" " * (most + 1), **JSON)
    assert (status, json.loads(answer)["error"]["code"]) == (413, "PHOTO_TOO_LARGE")


def test_a_photo_is_seen_once_and_its_masks_shaped_again_and_again(local: Local) -> None:
    kept = local.open()
    seen = len(local.vision.shown)
    assert (kept["width"], kept["height"], kept["chosen"]) == (300, 400, 0)
    assert kept["keypoints"]["nose"][:2] == [150, 55]

    path = f"/page/photos/{kept['id']}/view"
    _, body = local.post(path, masks=["upper", "feet"], max_side=200)
    _, hull = local.post(path, masks=["upper"], profile="hull", expand={"top": 0.3}, edge="soft")

    assert len(local.vision.shown) == seen
    assert body["masks"].keys() == {"upper", "feet"}
    upper = png(base64.b64decode(body["masks"]["upper"]), "RGBA")
    assert upper.shape == (200, 150, 4)
    assert set(np.unique(upper[:, :, 3]).tolist()) == {0, 255}
    across, down = body["middles"]["upper"]
    assert upper[round(200 * down), round(150 * across), 3] == 255
    soft = png(base64.b64decode(hull["masks"]["upper"]), "RGBA")
    assert soft.shape == (400, 300, 4)
    assert len(np.unique(soft[:, :, 3])) > 2
    assert hull["quality"]["upper"]["coverage"] > body["quality"]["upper"]["coverage"]
    steps = [one["step"] for one in hull["steps"]]
    assert set(steps) == {"read_request", "shape_mask", "scale_masks"}
    assert all(one["start"] >= 0 and one["seconds"] >= 0 for one in kept["steps"])
    assert {"find_people", "parse_person"} <= {one["step"] for one in kept["steps"]}


def test_the_page_saves_masks_as_the_api_makes_them(local: Local) -> None:
    kept = local.open()
    options = {"masks": ["upper"], "profile": "hull"}
    _, saved = local.post(f"/page/photos/{kept['id']}/masks", **options)
    _, made = local.post("/v1/masks", image=base64.b64encode(fakes.photo()).decode(), **options)
    _, _, file = local.ask("GET", made["masks"]["upper"].partition(str(local.port))[2])
    assert base64.b64decode(saved["upper"]) == file


def test_a_zip_holds_the_masks_at_full_size_and_the_overlay(local: Local) -> None:
    kept = local.open()

    status, headers, archive = local.ask(
        "POST",
        f"/page/photos/{kept['id']}/zip",
        b'{"masks": ["upper", "lower"], "format": "webp"}',
        **JSON,
    )

    assert (status, headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        assert files.namelist() == ["upper.webp", "lower.webp", "overlay.jpg"]
        assert png(files.read("lower.webp")).shape == (400, 300, 3)


def test_one_photo_of_many_becomes_a_card_and_is_not_kept(local: Local) -> None:
    path = "/page/cards?options=" + quote('{"masks": ["upper"], "profile": "hull"}')

    status, _, answer = local.ask("POST", path, fakes.photo(width=900, height=1200), **JPEG)

    card = json.loads(answer)
    assert (status, card["status"], list(card["made"])) == (200, "success", ["upper"])
    assert png(base64.b64decode(card["pictures"]["masks"]["upper"]), "L").shape == (512, 384)


@pytest.mark.parametrize(
    ("photo", "options", "status", "code"),
    [
        (b"no photo", "{}", 200, "UNSUPPORTED_PHOTO"),
        (b"", '{"masks": ["hat"]}', 400, "INVALID_REQUEST"),
        (b"", '{"max_side": 100}', 400, "INVALID_REQUEST"),
        (b"", "[]", 400, "INVALID_REQUEST"),
        (b" " * (MOST + 1), "{}", 413, "PHOTO_TOO_LARGE"),
    ],
)
def test_of_a_photo_that_fails_the_card_says_why(
    local: Local, photo: bytes, options: str, status: int, code: str
) -> None:
    told, _, answer = local.ask("POST", f"/page/cards?options={quote(options)}", photo, **JPEG)
    assert (told, json.loads(answer)["error"]["code"]) == (status, code)


def test_the_part_map_is_a_picture_clear_where_nobody_is(local: Local) -> None:
    kept = local.open()

    _, _, picture = local.ask("GET", f"/page/photos/{kept['id']}/parts.png")

    pixels = png(picture)
    assert pixels.shape == (400, 300, 4)
    assert np.array_equal(pixels[:, :, 3] > 0, fakes.part_map() > 0)


def test_of_several_people_one_can_be_chosen(crowd: Local) -> None:
    kept = crowd.open()
    path = f"/page/photos/{kept['id']}"
    assert (len(kept["people"]), kept["chosen"]) == (2, None)
    _, refused = crowd.post(f"{path}/view", masks=["upper"])
    assert [one["code"] for one in refused["refused"]] == ["SEVERAL_PEOPLE"]
    assert crowd.ask("GET", f"{path}/parts.png")[0] == 404

    status, chosen = crowd.post(f"{path}/person", person_box=kept["people"][1]["box"])

    assert (status, chosen["chosen"], chosen["id"]) == (200, 1, kept["id"])
    assert crowd.post(f"{path}/view", masks=["upper"])[1]["status"] == "success"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("masks", b"{", 400),
        ("masks", b"[]", 400),
        ("masks", b'{"masks": 5}', 400),
        ("view", b'{"masks": 5}', 400),
        ("masks", b'{"profile": "loose"}', 400),
        ("masks", b'{"person": "largest"}', 400),
        ("masks", b'{"colour": "red"}', 400),
        ("person", b"{}", 400),
        ("person", b'{"person_box": [1, 2]}', 400),
        ("zip", b'{"expand": {"top": "much"}}', 400),
    ],
)
def test_wrong_questions_of_a_page_are_answered(
    local: Local, path: str, body: bytes, status: int
) -> None:
    kept = local.open()
    told, _, answer = local.ask("POST", f"/page/photos/{kept['id']}/{path}", body, **JSON)
    assert told == status
    assert json.loads(answer)["error"]["code"] == "INVALID_REQUEST"


def test_a_photo_that_is_not_kept_is_not_there(local: Local) -> None:
    status, answer = local.post("/page/photos/nothing/masks", masks=["upper"])
    assert (status, answer["error"]["code"]) == (404, "NOT_FOUND")


def test_what_the_page_asks_for_is_logged(local: Local, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="tryon_masks"):
        local.open()
    steps = {one.__dict__["record"]["step"] for one in caplog.records}
    assert steps >= {"answer_page", "decode_image", "find_people", "parse_person"}


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "step"),
    [
        (
            "POST",
            "/v1/masks",
            b" " * (MOST * 4 // 3 + JSON_BYTES + 1),
            "PHOTO_TOO_LARGE",
            "read_body",
        ),
        ("GET", "/masks/nothing.png", None, "NOT_FOUND", "give_file"),
        ("GET", "/results/nothing.json", None, "NOT_FOUND", "give_file"),
        ("POST", "/uploads", b"", "INVALID_REQUEST", "take_upload"),
    ],
)
def test_whoever_is_refused_is_told_an_id_that_the_log_has(
    local: Local,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    body: bytes | None,
    code: str,
    step: str,
) -> None:
    with caplog.at_level("INFO", logger="tryon_masks"):
        _, _, answer = local.ask(method, path, body)

    error = json.loads(answer)
    assert error["error"]["code"] == code
    records = [one.__dict__["record"] for one in caplog.records]
    assert [
        (one["request_id"], one["code"])
        for one in records
        if one["step"] == step and one["status"] == "refused"
    ] == [(error["request_id"], code)]


def test_every_address_at_once_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--host", "0.0.0.0"], environ={}) == 2
    assert "one address" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "port", "origin"),
    [
        ("127.0.0.1", 8000, "http://localhost:8000"),
        ("::1", 8000, "http://[::1]:8000"),
        ("2001:DB8::7", 8000, "http://[2001:db8::7]:8000"),
        ("127.0.0.1", 80, "http://127.0.0.1"),
        ("localhost", 80, "http://[::1]"),
        ("192.168.1.7", 80, "http://192.168.1.7:80"),
    ],
)
def test_it_answers_under_its_address_as_clients_write_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: str,
    port: int,
    origin: str,
) -> None:
    apps: list[Starlette] = []
    monkeypatch.setattr("uvicorn.run", lambda app, **_: apps.append(app))
    monkeypatch.setattr("tryon_masks.library.build_vision", lambda settings: fakes.FakeVision())
    assert cli.main(["serve", "--host", host, "--port", str(port)], environ={}) == 0
    address = capsys.readouterr().err.split("/ (")[0]

    async def ask(base_url: str) -> tuple[httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(app=apps[0])
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
            photo = base64.b64encode(fakes.photo()).decode()
            made = await client.post("/v1/masks", json={"image": photo}, headers={"origin": origin})
            return made, await client.get(made.json()["masks"]["upper"])

    for base_url in (origin, address):
        made, mask = asyncio.run(ask(base_url))
        assert (made.status_code, mask.status_code) == (200, 200)
        assert made.json()["masks"]["upper"].startswith(f"{address}/masks/")
