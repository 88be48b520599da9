from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest
from tests import fakes
from tests.contract.event_files import read_event

from tryon_masks import __version__, telemetry
from tryon_masks.domain.errors import LogUnavailable
from tryon_masks.entrypoints.http.routes import create_handler
from tryon_masks.images import Limits
from tryon_masks.ports import MaskTask
from tryon_masks.service import MaskService

URL = "https://example.com/photos/standing.jpg"
ANSWER = {
    "status",
    "masks",
    "total_time",
    "timing",
    "request_id",
    "model_set",
    "image",
    "person",
    "quality",
    "refused",
}


class Api:
    """The handler on fakes, all of them within reach."""

    def __init__(
        self,
        vision: fakes.FakeVision | None = None,
        store: fakes.FakeStore | None = None,
        step_log: fakes.FakeStepLog | None = None,
        limits: Limits | None = None,
        idempotency: fakes.FakeIdempotency | None = None,
    ) -> None:
        self.vision = vision or fakes.FakeVision()
        self.store = store or fakes.FakeStore()
        self.photos = fakes.FakePhotos({URL: fakes.photo()})
        self.profiles = fakes.FakeProfiles()
        self.step_log = step_log
        self.submission = fakes.submission()
        self.jobs = cast(fakes.FakeJobs, self.submission.jobs.jobs)
        self.queue = cast(fakes.FakeQueue, self.submission.jobs.queue)
        self.forms = cast(fakes.FakeForms, self.submission.jobs.forms)
        service = MaskService(
            self.vision,
            self.store,
            self.photos,
            self.profiles,
            limits=limits or Limits(),
            idempotency=idempotency,
        )
        self._handler = create_handler(service, self.submission, step_log)

    def send(self, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status code and decoded answer of one event."""
        _, status, answer = self.respond(event)
        return status, answer

    def respond(
        self, event: dict[str, Any], seconds: float = 29.0
    ) -> tuple[dict[str, str], int, dict[str, Any]]:
        """Headers, status code and decoded answer of one event, with ``seconds`` to go."""
        response = self._handler(event, fakes.FakeContext(seconds=seconds))
        assert response["headers"]["Content-Type"] == "application/json"
        assert response["isBase64Encoded"] is False
        answer = json.loads(response["body"])
        assert response["headers"]["x-request-id"] == answer["request_id"]
        return response["headers"], response["statusCode"], answer

    def post(self, sub: str | None = None, **body: Any) -> tuple[int, dict[str, Any]]:
        return self.send(post_event(json.dumps(body), sub))


def post_event(body: str | None, sub: str | None = None) -> dict[str, Any]:
    event = read_event("api-masks")
    event["body"] = body
    if sub is None:
        del event["requestContext"]["authorizer"]
    else:
        event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = sub
    return event


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """What the log prints."""
    stream = io.StringIO()
    telemetry.configure(stream)
    yield stream
    telemetry.configure(sys.__stderr__)
    telemetry.configure(None)


def test_an_address_in_two_masks_out() -> None:
    api = Api()

    status, answer = api.post(user_image_url=URL)

    assert status == 200
    assert set(answer) == ANSWER
    assert answer["status"] == "success"
    ((key, files),) = api.store.files.items()
    assert answer["masks"] == {
        name: f"https://masks.example.com/{key}/{name}.png" for name in ("upper", "lower")
    }
    assert set(files) == {"upper", "lower"}
    assert answer["request_id"] == "JKJaXmPLvHcESHA="
    assert answer["model_set"] == "fake"
    assert answer["image"].keys() == {"width", "height", "sha256"}
    assert (answer["image"]["width"], answer["image"]["height"]) == (300, 400)
    assert answer["person"] == {"box": [88, 20, 212, 388], "score": 0.93, "people_found": 1}
    assert answer["quality"].keys() == {"upper", "lower"}
    assert answer["quality"]["upper"].keys() == {"coverage", "confidence"}
    assert answer["refused"] == []


def test_the_timing_has_the_fields_that_clients_read() -> None:
    _, answer = Api().post(user_image_url=URL)

    timing = answer["timing"]
    assert list(timing) == [
        "setup_model_symlinks",
        "download_image",
        "generate_masks",
        "upload_masks",
    ]
    assert timing["setup_model_symlinks"] == 0.0
    assert 0 < timing["generate_masks"] <= answer["total_time"] + 0.001
    assert sum(timing.values()) <= answer["total_time"] + 0.002


def test_a_photo_in_the_body() -> None:
    api = Api()

    status, answer = api.post(image=base64.b64encode(fakes.photo(format="PNG")).decode())

    assert (status, answer["status"]) == (200, "success")
    assert api.photos.asked == []


def test_an_encoded_body_is_read() -> None:
    event = post_event(base64.b64encode(json.dumps({"user_image_url": URL}).encode()).decode())

    assert Api().send(event | {"isBase64Encoded": True})[0] == 200


def test_an_overlay_has_a_field_of_its_own() -> None:
    _, answer = Api().post(user_image_url=URL, overlay=True)

    assert set(answer) == ANSWER | {"overlay"}
    assert answer["overlay"].endswith("/overlay.jpg")
    assert set(answer["masks"]) == {"upper", "lower"}


def test_some_masks_are_partial() -> None:
    status, answer = Api(fakes.FakeVision(without=fakes.LEG_POINTS)).post(user_image_url=URL)

    assert (status, answer["status"]) == (200, "partial")
    assert set(answer["masks"]) == {"upper"}
    (refused,) = answer["refused"]
    assert (refused["mask"], refused["code"]) == ("lower", "LEGS_NOT_VISIBLE")
    assert refused["message"]


def test_no_mask_is_refused() -> None:
    status, answer = Api(fakes.FakeVision(people=0)).post(user_image_url=URL)

    assert (status, answer["status"], answer["masks"]) == (422, "refused", {})
    assert {one["code"] for one in answer["refused"]} == {"NO_PERSON"}
    assert answer["person"] == {"box": None, "score": None, "people_found": 0}
    assert answer["timing"]["upload_masks"] == 0.0


def test_of_several_people_the_caller_is_told_where_each_of_them_is() -> None:
    api = Api(fakes.FakeVision(people=2))

    status, answer = api.post(user_image_url=URL)

    assert (status, answer["status"]) == (422, "refused")
    assert {one["code"] for one in answer["refused"]} == {"SEVERAL_PEOPLE"}
    assert answer["person"] == {"box": None, "score": None, "people_found": 2}
    assert answer["people"] == [
        {"box": [88, 20, 212, 388], "score": 0.93},
        {"box": [97, 20, 221, 388], "score": 0.93},
    ]

    for one in answer["people"]:
        status, chosen = api.post(user_image_url=URL, person_box=one["box"])

        assert (status, chosen["person"]["box"]) == (200, one["box"])
        assert "people" not in chosen


@pytest.mark.parametrize("people", [0, 1])
def test_where_nobody_has_to_choose_no_people_are_listed(people: int) -> None:
    _, answer = Api(fakes.FakeVision(people=people)).post(user_image_url=URL)

    assert set(answer) == ANSWER


def test_a_document_gets_its_block() -> None:
    _, answer = Api().post(userImageUrl=URL, name="Ada", garments=[1, 2])

    assert set(answer) == ANSWER | {"Mask"}
    assert answer["Mask"] == {
        "Status": "success",
        "Upper mask URL": answer["masks"]["upper"],
        "Lower mask URL": answer["masks"]["lower"],
    }


def test_a_documents_block_says_what_is_missing() -> None:
    _, answer = Api(fakes.FakeVision(without=fakes.LEG_POINTS)).post(userImageUrl=URL)

    assert answer["Mask"]["Status"] == "partial"
    assert answer["Mask"]["Lower mask URL"] is None


def test_the_log_comes_along_when_asked_for() -> None:
    _, answer = Api().post(user_image_url=URL, user_id="user-7", include_logs=True)

    steps = [(record["step"], record["status"]) for record in answer["logs"]]
    assert steps[:2] == [("read_request", "started"), ("read_request", "done")]
    assert ("upload_masks", "done") in steps
    assert {record["user_id"] for record in answer["logs"][2:]} == {"user-7"}
    assert {record["request_id"] for record in answer["logs"]} == {answer["request_id"]}


def test_the_user_of_the_body_gets_the_masks() -> None:
    api = Api()

    _, answer = api.post(user_image_url=URL, user_id="user-7")

    assert api.profiles.merged == [("user-7", answer["masks"], answer["request_id"])]


def test_the_token_wins_over_the_body() -> None:
    api = Api()

    api.post(sub="firebase-user-1", user_image_url=URL, user_id="somebody-else")

    assert [user for user, _, _ in api.profiles.merged] == ["firebase-user-1"]


def test_a_token_without_a_subject_does_not_become_the_bodys_user() -> None:
    api = Api()
    event = post_event(json.dumps({"user_image_url": URL, "user_id": "somebody"}), sub="user-1")
    del event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]

    status, answer = api.send(event)

    assert (status, answer["error"]["code"]) == (401, "NOT_SIGNED_IN")
    assert api.photos.asked == []


def test_a_backend_with_aws_credentials_speaks_for_its_users() -> None:
    api = Api()

    api.send(read_event("api-masks-iam"))

    assert [user for user, _, _ in api.profiles.merged] == ["user-1"]


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "application/json",
            "Application/JSON",
            "application/JSON; Charset=UTF-8",
            "",
            "text/json",
        ),
        *("application/vnd.shop+json", " application/json "),
    ],
)
@pytest.mark.parametrize("header", ["content-type", "Content-Type"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_json_as_clients_send_it(kind: str, header: str, packed: bool, mark: str) -> None:
    event = post_event(mark + json.dumps({"user_image_url": URL, "profile": None, "masks": None}))
    del event["headers"]["content-type"]
    event["headers"][header] = kind
    if packed:
        event["body"] = base64.b64encode(event["body"].encode()).decode()
        event["isBase64Encoded"] = True

    status, answer = Api().send(event)

    assert (status, answer["status"]) == (200, "success")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x+json", "multipart/form-data"])
@pytest.mark.parametrize("body", ["", None])
def test_no_body_of_any_type_is_a_missing_one(kind: str, body: str | None) -> None:
    event = post_event(body)
    event["headers"]["content-type"] = kind

    status, answer = Api().send(event)

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")


def test_a_token_that_names_no_user_id_is_refused() -> None:
    api = Api()

    status, answer = api.post(sub="a" * 129, user_image_url=URL)

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert api.photos.asked == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (None, "required"),
        ("", "required"),
        ("null", "object"),
        ("{", "JSON"),
        ('[{"user_image_url": "https://example.com/photos/standing.jpg"}]', "object"),
        ('"text"', "object"),
        ("[" * 200_000, "JSON"),
        ('{"max_side": ' + "9" * 5000 + "}", "JSON"),
        ("{}", "exactly one of"),
        ('{"user_image_url": "https://e.com/a.jpg", "colour": "red"}', "colour"),
        ('{"user_image_url": "https://e.com/a.jpg", "masks": ["upper", "torso"]}', "masks.1"),
        ('{"image": "?"}', "image"),
    ],
)
def test_a_bad_body(body: str | None, named: str) -> None:
    status, answer = Api().send(post_event(body))

    assert status == 400
    assert set(answer) == {"status", "error", "request_id"}
    assert answer["status"] == "error"
    assert answer["error"]["code"] == "INVALID_REQUEST"
    assert named in answer["error"]["message"]


@pytest.mark.parametrize("body", ["%%%", "/w==", "a"])
def test_an_encoded_body_that_is_no_text(body: str) -> None:
    status, answer = Api().send(post_event(body) | {"isBase64Encoded": True})

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "image/jpeg",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ],
)
def test_a_body_of_another_type(kind: str) -> None:
    event = post_event(json.dumps({"user_image_url": URL}))
    event["headers"]["content-type"] = kind

    status, answer = Api().send(event)

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert "application/json" in answer["error"]["message"]


def test_a_body_of_our_type_with_its_encoding() -> None:
    event = post_event(json.dumps({"user_image_url": URL}))
    event["headers"]["content-type"] = "application/json; charset=utf-8"

    assert Api().send(event)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/masks", 404, "NOT_FOUND"),
        ("POST", "/v1/masks/", 404, "NOT_FOUND"),
        ("GET", "/v1/masks", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/health", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_another_address(method: str, path: str, status: int, code: str) -> None:
    event = post_event(json.dumps({"user_image_url": URL}))
    event["rawPath"] = path
    event["requestContext"]["http"] |= {"method": method, "path": path}

    answered, answer = Api().send(event)

    assert (answered, answer["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/masks", "POST"),
        ("/", "POST"),
        ("/v1/uploads", "POST"),
        ("/v1/jobs/" + "0" * 32, "GET"),
        ("/v1/health", "GET"),
    ],
)
def test_another_method_is_told_which_is_right(path: str, allowed: str) -> None:
    event = post_event(None)
    event["rawPath"] = path
    event["requestContext"]["http"] |= {"method": "PUT", "path": path}

    headers, _, _ = Api().respond(event)

    assert headers["Allow"] == allowed


@pytest.mark.parametrize(
    ("photo", "status", "code"),
    [
        (b"not an image", 415, "UNSUPPORTED_PHOTO"),
        (fakes.photo()[:2000], 422, "BROKEN_PHOTO"),
        (fakes.photo(width=800, height=800), 413, "PHOTO_TOO_LARGE"),
    ],
)
def test_a_bad_photo(photo: bytes, status: int, code: str) -> None:
    api = Api(limits=Limits(max_pixels=500_000))

    answered, answer = api.post(image=base64.b64encode(photo).decode())

    assert (answered, answer["error"]["code"]) == (status, code)


def test_a_photo_of_too_many_bytes() -> None:
    api = Api(limits=Limits(max_bytes=1000))

    status, answer = api.post(image=base64.b64encode(fakes.photo()).decode())

    assert (status, answer["error"]["code"]) == (413, "PHOTO_TOO_LARGE")


def test_a_photo_that_cannot_be_fetched() -> None:
    status, answer = Api().post(user_image_url="https://example.com/missing.jpg")

    assert (status, answer["error"]["code"]) == (502, "PHOTO_FETCH_FAILED")


def test_half_a_store_is_an_error_that_says_which_half() -> None:
    status, answer = Api(store=fakes.FakeStore(failing="lower")).post(user_image_url=URL)

    assert (status, answer["error"]["code"]) == (502, "STORE_FAILED")
    assert "lower" in answer["error"]["message"]
    assert "masks" not in answer


def test_a_store_that_does_not_answer() -> None:
    status, answer = Api(store=fakes.FakeStore(slow=True)).post(user_image_url=URL)

    assert (status, answer["error"]["code"]) == (504, "STORE_TIMEOUT")


def test_an_unforeseen_error_is_for_the_log_alone(printed: io.StringIO) -> None:
    status, answer = Api(fakes.BrokenVision()).post(user_image_url=URL)

    assert (status, answer["error"]["code"]) == (500, "INTERNAL")
    assert "secret internals" not in json.dumps(answer)
    assert "RuntimeError" not in json.dumps(answer)
    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    traces = [line for line in lines if "secret internals" in json.dumps(line)]
    assert len(traces) == 1
    assert "find_people" in traces[0]["exception"]


def test_an_unforeseen_error_outside_every_stage_is_logged_too(printed: io.StringIO) -> None:
    api = Api()
    api.vision.model_set = None  # type: ignore[assignment]  # no answer can be built of this

    status, answer = api.post(user_image_url=URL)

    assert (status, answer["error"]["code"]) == (500, "INTERNAL")
    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    (trace,) = [line for line in lines if "exception" in line]
    assert (trace["step"], trace["status"]) == ("answer_request", "failed")


def test_without_a_log_nothing_is_started() -> None:
    api = Api(step_log=fakes.FakeStepLog(closed=True))

    status, answer = api.post(user_image_url=URL)

    assert (status, answer["error"]["code"]) == (503, "LOG_UNAVAILABLE")
    assert answer["error"]["message"] == LogUnavailable.message
    assert answer["log_saved"] is False
    assert api.photos.asked == []
    assert api.store.files == {}


def test_the_saved_log_is_the_answers_log() -> None:
    step_log = fakes.FakeStepLog()
    api = Api(step_log=step_log)

    _, answer = api.post(user_image_url=URL, include_logs=True)

    assert set(answer) == ANSWER | {"logs", "log_saved"}
    assert answer["log_saved"] is True
    assert step_log.opened == [answer["request_id"]]
    assert step_log.written == {answer["request_id"]: answer["logs"]}


def test_a_log_that_was_lost_is_admitted() -> None:
    status, answer = Api(step_log=fakes.FakeStepLog(full=True)).post(user_image_url=URL)

    assert (status, answer["status"]) == (200, "success")
    assert answer["log_saved"] is False


@pytest.mark.parametrize("body", ['{"colour": 1}', '{"user_image_url": "https://e.com/no.jpg"}'])
def test_a_failed_request_is_logged(body: str) -> None:
    step_log = fakes.FakeStepLog()

    _, answer = Api(step_log=step_log).send(post_event(body))

    assert answer["log_saved"] is True
    (records,) = step_log.written.values()
    failed = [record for record in records if record["status"] in ("refused", "failed")]
    assert failed[-1]["code"] == answer["error"]["code"]


def test_one_handler_serves_request_after_request() -> None:
    api = Api(fakes.FakeVision())

    assert api.post(colour="red")[0] == 400
    assert api.post(user_image_url=URL)[0] == 200
    assert api.post(user_image_url=URL, masks=["hair"])[1]["masks"].keys() == {"hair"}


def test_health_names_what_runs() -> None:
    status, answer = Api().send(read_event("api-health"))

    assert status == 200
    assert set(answer) == {"ready", "model_set", "versions", "request_id"}
    assert answer["ready"] is True
    assert answer["model_set"] == "fake"
    assert answer["versions"].keys() == {"tryon-masks", "onnxruntime", "python"}
    assert answer["versions"]["tryon-masks"] == __version__


def test_health_neither_needs_nor_writes_the_step_log() -> None:
    step_log = fakes.FakeStepLog(closed=True)

    assert Api(step_log=step_log).send(read_event("api-health"))[0] == 200


@pytest.mark.parametrize("module", ["api", "worker"])
def test_a_start_without_settings_is_stopped_with_every_reason(module: str) -> None:
    environ = {"PYTHONPATH": os.pathsep.join(sys.path), "ORT_THREADS": "many"}

    start = subprocess.run(
        [sys.executable, "-c", f"import tryon_masks.entrypoints.{module}"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert start.returncode != 0
    assert "SettingsError" in start.stderr
    assert "MASK_STORE is not set" in start.stderr
    assert "ORT_THREADS" in start.stderr


def test_the_same_request_again_has_the_same_answer_without_the_work() -> None:
    api = Api(idempotency=fakes.FakeIdempotency())

    _, first = api.post(user_image_url=URL)
    status, second = api.post(user_image_url=URL)

    assert status == 200
    changing = {"total_time", "timing"}
    assert {k: v for k, v in second.items() if k not in changing} == {
        k: v for k, v in first.items() if k not in changing
    }
    assert second["timing"]["generate_masks"] == 0.0
    assert api.vision.parsed == 1


def test_two_at_once_and_the_second_is_told_when_to_ask_again() -> None:
    idempotency = fakes.FakeIdempotency()
    api = Api(idempotency=idempotency)
    api.post(user_image_url=URL)
    idempotency.busy = set(idempotency.asked)

    headers, status, answer = api.respond(post_event(json.dumps({"user_image_url": URL})))

    assert (status, answer["error"]["code"]) == (409, "IN_PROGRESS")
    assert headers["Retry-After"] == "5"


def later(body: dict[str, Any], sub: str | None = "user-1") -> dict[str, Any]:
    event = post_event(json.dumps(body), sub)
    event["headers"]["prefer"] = "wait=5, Respond-Async"
    return event


def look_up(path: str, sub: str | None = "user-1") -> dict[str, Any]:
    event = read_event("api-job")
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    if sub is None:
        del event["requestContext"]["authorizer"]
    else:
        event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = sub
    return event


def test_whoever_prefers_an_answer_later_gets_a_job_at_once() -> None:
    api = Api()
    body = {"user_image_url": URL, "masks": ["upper"], "include_logs": True, "user_id": "nobody"}

    headers, status, answer = api.respond(later(body))

    assert status == 202
    assert headers["Location"] == f"/v1/jobs/{answer['job_id']}"
    assert headers["Preference-Applied"] == "respond-async"
    assert answer["state"] == "queued"
    assert "answer" not in answer
    assert api.photos.asked == []
    assert api.queue.sent == [{"job_id": answer["job_id"]}]
    job = api.jobs.kept[answer["job_id"]]
    assert job.owner == "user-1"
    assert job.task == MaskTask(
        photo=URL, user_id="user-1", options={"masks": ["upper"]}, include_logs=True
    )


def test_without_that_wish_the_answer_comes_now() -> None:
    api = Api()
    event = later({"user_image_url": URL})
    event["headers"]["prefer"] = "return=minimal"

    assert api.send(event)[0] == 200
    assert api.queue.sent == []


def test_a_document_is_remembered_as_one_without_what_is_its_owners() -> None:
    api = Api()

    _, answer = api.send(later({"userImageUrl": URL, "name": "Ada", "profile": "hull"}))

    task = api.jobs.kept[answer["job_id"]].task
    assert task == MaskTask(URL, "user-1", {"profile": "hull"}, document=True)


def test_a_photo_in_the_body_is_not_kept_for_later() -> None:
    api = Api()

    status, answer = api.send(later({"image": base64.b64encode(fakes.photo()).decode()}))

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert "/v1/uploads" in answer["error"]["message"]
    assert api.jobs.kept == {}


def test_a_job_is_looked_up_by_its_owner() -> None:
    api = Api()
    headers, _, _ = api.respond(later({"user_image_url": URL}))
    path = headers["Location"]

    headers, status, answer = api.respond(look_up(path))
    assert (status, answer["state"]) == (200, "queued")
    assert headers["Retry-After"] == "2"

    done = {"status": "partial", "masks": {"upper": "https://example.com/upper.png"}}
    api.jobs.update(answer["job_id"], "partial", done)
    headers, status, answer = api.respond(look_up(path))
    assert (status, answer["state"], answer["answer"]) == (200, "partial", done)
    assert "Retry-After" not in headers


@pytest.mark.parametrize("sub", ["user-2", "user-10", "USER-1"])
def test_somebody_elses_job_looks_like_none(sub: str) -> None:
    api = Api()
    headers, _, _ = api.respond(later({"user_image_url": URL}))

    theirs = api.send(look_up(headers["Location"], sub))
    none = api.send(look_up("/v1/jobs/" + "0" * 32, sub))

    assert theirs == none
    assert theirs[0] == 404
    assert theirs[1]["error"]["code"] == "NOT_FOUND"


def test_a_job_of_a_role_is_found_from_its_next_session() -> None:
    api = Api()
    event = read_event("api-masks-iam")
    event["headers"]["prefer"] = "respond-async"
    headers, _, _ = api.respond(event)

    asked = look_up(headers["Location"])
    asked["requestContext"]["authorizer"] = event["requestContext"]["authorizer"]
    asked["requestContext"]["authorizer"]["iam"]["userId"] = "AROACKCEVSQ6C2EXAMPLE:another"

    assert api.send(asked)[0] == 200
    assert api.jobs.kept["1".zfill(32)].task.user_id == "user-1"


@pytest.mark.parametrize(
    "path",
    ["/v1/jobs/x", "/v1/jobs/" + "f" * 5000, "/v1/jobs/..%2F", "/v1/jobs/\x9b", "/v1/jobs/#"],
)
def test_what_is_no_job_id_is_not_looked_for(path: str) -> None:
    api = Api()
    api.jobs.lost = True

    assert api.send(look_up(path))[0] == 404


def test_nobody_has_no_jobs_and_no_uploads() -> None:
    api = Api()
    upload = read_event("api-upload")
    del upload["requestContext"]["authorizer"]

    for event in (
        later({"user_image_url": URL}, sub=None),
        look_up("/v1/jobs/" + "0" * 32, sub=None),
        upload,
    ):
        status, answer = api.send(event)
        assert (status, answer["error"]["code"]) == (401, "NOT_SIGNED_IN")
    assert (api.jobs.kept, api.queue.sent, api.forms.made) == ({}, [], [])


def test_a_job_that_cannot_be_kept_is_not_taken() -> None:
    api = Api()
    api.jobs.lost = True

    status, answer = api.send(later({"user_image_url": URL}))

    assert (status, answer["error"]["code"]) == (503, "STATE_UNAVAILABLE")
    assert api.queue.sent == []


def test_another_method_on_a_job_is_not_allowed() -> None:
    event = look_up("/v1/jobs/" + "0" * 32)
    event["requestContext"]["http"]["method"] = "DELETE"

    assert Api().send(event)[0] == 405


def test_a_form_for_one_photo() -> None:
    api = Api()

    headers, status, answer = api.respond(read_event("api-upload"))

    assert status == 201
    assert headers["Location"] == answer["job"] == f"/v1/jobs/{answer['job_id']}"
    assert answer["key"] == f"uploads/firebase-user-1/{answer['job_id']}"
    assert answer["upload"]["url"] == "https://photos.example.com/"
    assert answer["upload"]["fields"]["key"] == answer["key"]
    assert (answer["max_bytes"], answer["expires_in"]) == (1_000_000, 60)
    ((key, content_type, metadata),) = api.forms.made
    assert (key, content_type) == (answer["key"], "image/heic")
    assert metadata["user-id"] == "firebase-user-1"
    assert metadata["job-id"] == answer["job_id"]
    assert json.loads(metadata["options"]) == {"masks": ["upper"], "profile": "hull"}
    assert api.queue.sent == []
    assert api.send(look_up(answer["job"], "firebase-user-1"))[1]["state"] == "queued"
    assert api.send(look_up(answer["job"], "user-2"))[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content_type": "text/html"},
        {"content_type": "image/jpeg", "masks": ["torso"]},
        {"content_type": "image/jpeg", "key": "uploads/user-2/a"},
    ],
)
def test_a_form_for_something_else_is_refused(body: dict[str, Any]) -> None:
    api = Api()
    event = read_event("api-upload")
    event["body"] = json.dumps(body)

    assert api.send(event)[0] == 400
    assert (api.forms.made, api.jobs.kept) == ([], {})


def test_a_call_without_the_time_for_it_is_refused_before_any_work() -> None:
    api = Api()

    _, status, answer = api.respond(post_event(json.dumps({"user_image_url": URL})), seconds=3.5)

    assert (status, answer["error"]["code"]) == (504, "DEADLINE")
    assert api.photos.asked == []


def test_a_callback_is_for_whoever_does_not_wait() -> None:
    api = Api()
    body = {"user_image_url": URL, "callback_url": "https://shop.example.com/masks?order=7"}

    status, answer = api.post(**body)
    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert "Prefer" in answer["error"]["message"]

    _, answer = api.send(later(body))
    assert api.jobs.kept[answer["job_id"]].task.callback_url == body["callback_url"]


@pytest.mark.parametrize("address", ["http://shop.example.com/", "https://", "/masks", "", 7])
def test_a_callback_address_is_https(address: object) -> None:
    status, answer = Api().send(later({"user_image_url": URL, "callback_url": address}))

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert "callback_url" in answer["error"]["message"]


def test_outputs_and_a_targets_files_have_fields_of_their_own() -> None:
    status, answer = Api().post(
        user_image_url=URL, masks=["upper"], outputs=["agnostic", "keypoints"], target="leffa"
    )

    assert status == 200
    assert set(answer["outputs"]) == {"upper_agnostic"}
    assert set(answer["keypoints"]) == {"named", "body_25", "coco_18"}
    target = answer["target"]["upper"]
    assert target["category"] == "upper_body"
    assert set(target["files"]) == {"image", "mask"}
    assert target["transform"]["size"] == [768, 1024]
    assert any("DensePose" in need for need in target["needs"])


def test_a_plain_answer_says_nothing_of_outputs() -> None:
    _, answer = Api().post(user_image_url=URL)

    assert not {"outputs", "keypoints", "target"} & set(answer)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"target": "stableviton", "masks": ["lower"]}, "takes masks of these kinds only: upper"),
        ({"target": "catvton", "masks": ["hair"]}, "upper, lower, full"),
        ({"target": "vton-9000"}, "target"),
        ({"outputs": ["agnostic", "agnostic"]}, "outputs must name each once"),
        ({"outputs": ["densepose"]}, "outputs.0"),
    ],
)
def test_outputs_that_cannot_be(body: dict[str, Any], named: str) -> None:
    status, answer = Api().post(user_image_url=URL, **body)

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert named in answer["error"]["message"]
