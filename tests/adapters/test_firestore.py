"""The Firestore log through the real client, against an emulator in a process of its own."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from tests.clock import google_retries_at_once
from tests.standins.firestore import FirestoreEmulator, service_account
from tests.standins.npm import NodeMissingError

from tryon_masks import telemetry
from tryon_masks.adapters import firestore as firestore_adapter
from tryon_masks.adapters.firestore import MAX_WRITES, FirestoreLog
from tryon_masks.adapters.powertools import Powertools
from tryon_masks.domain.errors import (
    InvalidRequest,
    LogUnavailable,
    NoPerson,
    ProfileUnavailable,
    SettingsError,
)
from tryon_masks.telemetry import request_log, step

PROJECT = "demo-tryon"


@pytest.fixture(scope="session")
def emulator() -> Iterator[FirestoreEmulator]:
    try:
        with FirestoreEmulator() as running:
            yield running
    except NodeMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def firestore(emulator: FirestoreEmulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client for looking into the emulator; the log under test reaches the same one."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator.host)
    # A slow machine's emulator takes longer than Firestore may.
    monkeypatch.setitem(FirestoreLog.__init__.__kwdefaults__ or {}, "timeout_s", 60.0)
    from google.cloud import firestore

    client: Any = firestore.Client(project=PROJECT)
    yield client
    client.close()


@pytest.fixture
def own_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[FirestoreEmulator]:
    """One that the test may stop."""
    try:
        with FirestoreEmulator() as running:
            monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", running.host)
            yield running
    except NodeMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    telemetry.configure(stream)
    yield stream
    telemetry.configure(None)


def unique(what: str) -> str:
    return f"{what}-{uuid4()}"


def saved_steps(client: Any, request_id: str) -> dict[str, dict[str, Any]]:
    steps = client.collection("vton_logs").document(request_id).collection("steps")
    return {document.id: document.to_dict() for document in steps.order_by("__name__").get()}


def test_every_record_is_the_same_in_order_on_stdout_and_in_firestore(
    firestore: Any, printed: io.StringIO
) -> None:
    request_id = unique("request")
    with request_log(request_id, "", FirestoreLog(PROJECT)) as log:
        log.identify("marie")
        with step("download_image", "intake", url="https://photos.example/1.jpg?Signature=abc"):
            pass
        with step("generate_masks", "service"), step("parse_person", "vision", box=[1, 2.5, 3, 4]):
            pass
        with pytest.raises(NoPerson), step("choose_person", "fitness"):
            raise NoPerson(detail="best score 0.01")

    assert log.saved is True
    saved = saved_steps(firestore, request_id)
    assert list(saved) == [f"{n:04d}" for n in range(1, 11)]
    assert list(saved.values()) == log.records
    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    assert [
        {key: line[key] for key in record} for line, record in zip(lines, log.records, strict=True)
    ] == log.records
    assert [(one["step"], one["status"]) for one in saved.values()] == [
        ("open_log", "started"),
        ("open_log", "done"),
        ("download_image", "started"),
        ("download_image", "done"),
        ("generate_masks", "started"),
        ("parse_person", "started"),
        ("parse_person", "done"),
        ("generate_masks", "done"),
        ("choose_person", "started"),
        ("choose_person", "refused"),
    ]
    assert saved["0003"]["url"] == "https://photos.example/1.jpg"
    assert saved["0010"]["detail"] == "best score 0.01"


def test_the_requests_document_tells_user_and_number_of_records(
    firestore: Any, printed: io.StringIO
) -> None:
    request_id = unique("request")
    document = firestore.collection("vton_logs").document(request_id)
    with request_log(request_id, "", FirestoreLog(PROJECT)) as log:
        opened = document.get().to_dict()
        log.identify("marie")
        with step("download_image", "intake"):
            pass
    closed = document.get().to_dict()
    assert (opened["user_id"], opened["service"]) == ("anonymous", "tryon-masks")
    assert "records" not in opened
    assert (closed["user_id"], closed["service"]) == ("marie", "tryon-masks")
    assert closed["records"] == len(log.records) == 4


def test_records_after_a_flush_follow_those_before_it(firestore: Any) -> None:
    request_id = unique("request")
    with request_log(request_id, "marie", FirestoreLog(PROJECT)) as log:
        log.flush()
        with step("write_result", "worker"):
            pass
    assert list(saved_steps(firestore, request_id).values()) == log.records


def test_more_records_than_one_commit_takes_stay_in_order(firestore: Any) -> None:
    request_id = unique("request")
    records = [{"step": f"step {n}", "user_id": "marie"} for n in range(MAX_WRITES + 2)]
    FirestoreLog(PROJECT, timeout_s=30).write(request_id, records)
    saved = saved_steps(firestore, request_id)
    assert [one["step"] for one in saved.values()] == [one["step"] for one in records]


def test_masks_are_merged_into_the_profile_and_the_rest_of_it_stays(firestore: Any) -> None:
    user_id = unique("user")
    profile = firestore.collection("users").document(user_id)
    profile.set({"userImageUrl": "https://photos.example/1.jpg", "sizes": {"shirt": "M"}})
    FirestoreLog(PROJECT).merge_masks(
        user_id, {"upper": "https://m/u.png", "lower": "https://m/l.png"}, "request-1"
    )
    after = profile.get().to_dict()
    updated_at = after.pop("masks_updated_at")
    assert updated_at.tzinfo is not None
    assert after == {
        "userImageUrl": "https://photos.example/1.jpg",
        "sizes": {"shirt": "M"},
        "Mask": {
            "Status": "success",
            "Upper mask URL": "https://m/u.png",
            "Lower mask URL": "https://m/l.png",
        },
        "masks": {"upper": "https://m/u.png", "lower": "https://m/l.png"},
        "masks_request_id": "request-1",
    }


def test_masks_of_two_photos_never_stand_side_by_side(firestore: Any) -> None:
    user_id = unique("user")
    log = FirestoreLog(PROJECT)
    log.merge_masks(user_id, {"upper": "https://m/u1.png", "lower": "https://m/l1.png"}, "first")
    log.merge_masks(user_id, {"upper": "https://m/u2.png"}, "second")
    after = firestore.collection("users").document(user_id).get().to_dict()
    assert after["masks"] == {"upper": "https://m/u2.png"}
    assert after["Mask"] == {
        "Status": "partial",
        "Upper mask URL": "https://m/u2.png",
        "Lower mask URL": None,
    }
    assert after["masks_request_id"] == "second"


def test_other_masks_leave_the_mask_block_alone(firestore: Any) -> None:
    user_id = unique("user")
    log = FirestoreLog(PROJECT)
    log.merge_masks(user_id, {"upper": "https://m/u.png", "lower": "https://m/l.png"}, "first")
    log.merge_masks(user_id, {"hair": "https://m/h.png"}, "second")
    after = firestore.collection("users").document(user_id).get().to_dict()
    assert after["Mask"]["Upper mask URL"] == "https://m/u.png"
    assert after["masks"] == {"hair": "https://m/h.png"}


def test_an_anonymous_user_gets_no_profile_and_the_log_says_so(
    firestore: Any, printed: io.StringIO
) -> None:
    step_log = FirestoreLog(PROJECT)
    with request_log(unique("request"), "", step_log) as log:
        step_log.merge_masks(log.user_id, {"upper": "https://m/u.png"}, log.request_id)
    assert not firestore.collection("users").document("anonymous").get().exists
    assert log.records[-1]["step"] == "skip_profile"
    assert log.records[-1]["reason"] == "the user is anonymous"


@pytest.mark.parametrize(
    "bad", ["", "a/b", ".", "..", "__secret__", "x" * 1501, "\ud800", "nul\x00"]
)
def test_a_request_that_cannot_be_a_document_is_refused(firestore: Any, bad: str) -> None:
    log = FirestoreLog(PROJECT)
    with pytest.raises(InvalidRequest):
        log.open(bad, {})
    with pytest.raises(InvalidRequest):
        log.write(bad, [])


@pytest.mark.parametrize(
    ("user_id", "name"),
    [
        ("auth0|5f7c", "auth0|5f7c"),
        ("ada@example.com", "ada@example.com"),
        ("漢字", "漢字"),
        ("oidc:a/b", "oidc:a%2Fb"),
        ("oidc:a%2Fb", "oidc:a%252Fb"),
        (".", "%2E"),
        ("..", "%2E."),
        ("__secret__", "%5F_secret__"),
        ("nul\x00", "nul%00"),
    ],
)
def test_a_user_of_any_id_has_a_document_that_is_found(
    firestore: Any, user_id: str, name: str
) -> None:
    log = FirestoreLog(PROJECT)
    with request_log("request", user_id):
        log.merge_masks(user_id, {"upper": "https://m/u.png"}, "request")

    assert firestore.collection("users").document(name).get().to_dict()["masks"]
    assert log.find(user_id) == [f"users/{name}"]
    log.erase(log.find(user_id))
    assert log.find(user_id) == []
    assert not firestore.collection("users").document(name).get().exists


@pytest.mark.parametrize("bad", ["", "\ud800"])
def test_a_user_that_cannot_be_a_document_is_refused(firestore: Any, bad: str) -> None:
    with pytest.raises(InvalidRequest):
        FirestoreLog(PROJECT).merge_masks(bad, {"upper": "https://m/u.png"}, "request")


def test_without_its_log_a_request_is_refused_before_any_work(
    own_emulator: FirestoreEmulator, printed: io.StringIO
) -> None:
    step_log = FirestoreLog(PROJECT, timeout_s=1)
    own_emulator.stop()
    worked = False
    with pytest.raises(LogUnavailable) as refused, request_log("gone", "marie", step_log):
        worked = True
    assert not worked
    assert refused.value.status == 503
    last = json.loads(printed.getvalue().splitlines()[-1])
    assert (last["step"], last["status"], last["code"]) == ("open_log", "failed", "LOG_UNAVAILABLE")


def test_a_log_lost_on_the_way_is_an_error_record_and_a_metric_not_an_exception(
    own_emulator: FirestoreEmulator,
    printed: io.StringIO,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    google_retries_at_once(monkeypatch)
    telemetry.configure(printed, exporter=Powertools())
    with request_log("lost", "marie", FirestoreLog(PROJECT, timeout_s=60)) as log:
        with step("download_image", "intake"):
            pass
        own_emulator.stop()
    assert log.saved is False
    last = log.records[-1]
    assert (last["step"], last["status"], last["level"]) == ("write_log", "failed", "ERROR")
    assert last["code"] == "LOG_UNAVAILABLE"
    assert json.loads(printed.getvalue().splitlines()[-1])["step"] == "write_log"
    blobs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [blob["StepLogFailed"] for blob in blobs if "StepLogFailed" in blob] == [[1.0]]


def test_a_profile_that_cannot_be_reached_is_an_error(own_emulator: FirestoreEmulator) -> None:
    log = FirestoreLog(PROJECT, timeout_s=1)
    own_emulator.stop()
    with pytest.raises(ProfileUnavailable, match="profile"):
        log.merge_masks("marie", {"upper": "https://m/u.png"}, "request")


def test_a_server_that_never_answers_does_not_hold_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(LogUnavailable):
            FirestoreLog(PROJECT, timeout_s=1).open("request", {})


def test_a_secret_that_is_no_service_account_stops_the_start_and_is_not_quoted() -> None:
    for secret in ("k3y-that-leaked", '{"private_key": "k3y-that-leaked"}', "[]"):
        with pytest.raises(SettingsError) as stopped:
            FirestoreLog(PROJECT, secret)
        assert "FIRESTORE_SECRET_ARN" in str(stopped.value)
        assert "k3y" not in f"{stopped.value} {stopped.value.detail}"
        assert stopped.value.__suppress_context__


def test_a_service_account_is_taken_as_it_is() -> None:
    FirestoreLog(PROJECT, service_account())


def test_no_credentials_at_all_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    with pytest.raises(SettingsError, match="FIRESTORE_SECRET_ARN"):
        FirestoreLog(PROJECT)


def test_the_client_is_imported_only_when_it_is_on() -> None:
    code = (
        "import sys, tryon_masks.adapters.firestore;"
        "print([name for name in sys.modules if name.startswith(('google', 'grpc'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_users_requests_and_masks_are_found_and_erased(firestore: Any) -> None:
    log, user, other = FirestoreLog(PROJECT), unique("ada"), unique("ada")
    theirs, another = unique("request"), unique("request")
    for request_id, user_id in ((theirs, user), (another, other)):
        with request_log(request_id, "", log) as scope:
            scope.identify(user_id)
            with step("generate_masks", "service"):
                pass
        log.merge_masks(user_id, {"upper": "https://masks.example/upper.png"}, request_id)
    profile = firestore.collection("users").document(user)
    profile.set({"name": "Ada"}, merge=True)

    found = log.find(user)
    log.erase(found)

    assert found == [f"vton_logs/{theirs}", f"users/{user}"]
    assert saved_steps(firestore, theirs) == {}
    assert not firestore.document(f"vton_logs/{theirs}").get().exists
    assert profile.get().to_dict() == {"name": "Ada"}
    assert log.find(user) == []
    assert log.find(other) == [f"vton_logs/{another}", f"users/{other}"]
    log.erase(found)


def test_a_profile_of_nothing_but_masks_is_erased_whole(firestore: Any) -> None:
    log, user = FirestoreLog(PROJECT), unique("ada")
    log.merge_masks(user, {"upper": "https://masks.example/upper.png"}, "request-1")

    log.erase(log.find(user))

    assert not firestore.collection("users").document(user).get().exists


def test_more_steps_than_one_commit_takes_are_erased(
    firestore: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firestore_adapter, "MAX_WRITES", 3)
    log, user, request_id = FirestoreLog(PROJECT), unique("ada"), unique("request")
    with request_log(request_id, user, log):
        for _ in range(5):
            with step("generate_masks", "service"):
                pass

    log.erase(log.find(user))

    assert saved_steps(firestore, request_id) == {}
    assert log.find(user) == []


@pytest.mark.parametrize("call", ["find", "erase"])
def test_what_cannot_be_erased_is_said(own_emulator: FirestoreEmulator, call: str) -> None:
    log = FirestoreLog(PROJECT, timeout_s=0.5)
    own_emulator.stop()

    with pytest.raises(LogUnavailable, match=r"^Firestore could not be"):
        log.find("ada") if call == "find" else log.erase(["vton_logs/1", "users/ada"])
