"""Every row of docs/faults.md, run: what the caller gets when a part of the outside world fails."""

from __future__ import annotations

import gzip
import io
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from tests import fakes
from tests.clock import Clock, google_retries_at_once
from tests.contract.event_files import read_event
from tests.contract.template_file import RESOURCES
from tests.standins import faulty
from tests.standins.cloudinary import CloudinaryStandIn
from tests.standins.faulty import Faulty, garbage, nobody, resets, says, silent

from tryon_masks import telemetry, wiring
from tryon_masks.adapters import cloudinary as cloudinary_adapter
from tryon_masks.adapters import firestore as firestore_adapter
from tryon_masks.adapters import http as http_adapter
from tryon_masks.adapters.addresses import Address, AddressRules
from tryon_masks.adapters.aws import aws_client
from tryon_masks.adapters.cloudinary import CloudinaryMaskStore
from tryon_masks.adapters.firestore import FirestoreLog
from tryon_masks.adapters.http import HttpPhotoSource, dial
from tryon_masks.adapters.idempotency import DynamoIdempotency
from tryon_masks.adapters.jobs import SqsQueue
from tryon_masks.adapters.s3 import S3MaskStore, S3Objects, s3_client
from tryon_masks.adapters.secrets import read_secret, secrets_client
from tryon_masks.domain.errors import SettingsError, TryonMasksError
from tryon_masks.entrypoints.http.routes import create_handler
from tryon_masks.images import Limits
from tryon_masks.jobs.submit import Submission
from tryon_masks.ports import Idempotency, MaskStore, PhotoSource, StepLog, UserProfiles
from tryon_masks.service import ANSWER_S, STORE_S, MaskService
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log, request_log, step

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
URL = "http://photos.example/me.jpg"
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:a-secret-AbCdEf"
PATIENCE_S = 60.0
"""Seconds for calls that are answered, however slow the machine is."""
SILENCE_S = 0.5
"""Seconds for calls that nobody answers."""


def patience_with(fault: object) -> float:
    return SILENCE_S if fault is silent else PATIENCE_S


@dataclass(frozen=True)
class Outcome:
    """What came of one request. ``tries`` is None where they are as many as fit the time."""

    answer: str
    tries: int | None
    failed_steps: frozenset[str]
    masks: dict[str, str]
    message: str = ""
    profiles: list[Any] = field(default_factory=list)
    log_saved: bool | None = None


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    telemetry.configure(stream)
    yield stream
    telemetry.configure(None)


@dataclass
class House:
    """The handler; what is not under test is a fake."""

    printed: io.StringIO
    photos: PhotoSource = field(default_factory=lambda: fakes.FakePhotos({URL: fakes.photo()}))
    store: MaskStore = field(default_factory=fakes.FakeStore)
    step_log: StepLog | None = None
    profiles: UserProfiles = field(default_factory=fakes.FakeProfiles)
    idempotency: Idempotency | None = None
    submission: Submission = field(default_factory=fakes.submission)

    def ask(self, tries: Callable[[], int | None], event_name: str = "api-masks") -> Outcome:
        vision = fakes.FakeVision()
        service = MaskService(
            vision,
            self.store,
            self.photos,
            self.profiles,
            idempotency=self.idempotency,
            limits=Limits(),
        )
        event = read_event(event_name) | {"body": json.dumps({"user_image_url": URL})}
        handler = create_handler(service, self.submission, self.step_log)
        response = handler(event, fakes.FakeContext())
        body = json.loads(response["body"])
        lines = [json.loads(line) for line in self.printed.getvalue().splitlines()]
        failed = {line["step"] for line in lines if line["status"] in ("failed", "refused")}
        what = body["error"]["code"] if "error" in body else body["status"]
        return Outcome(
            answer=f"{response['statusCode']} {what}",
            tries=tries(),
            failed_steps=frozenset(failed),
            masks=body.get("masks", {}),
            message=body.get("error", {}).get("message", ""),
            profiles=getattr(self.profiles, "merged", []),
            log_saved=body.get("log_saved"),
        )


def photo_host(fault: faulty.HttpFault | None) -> Callable[..., Outcome]:
    """One that does ``fault``; None: nobody listens."""

    def run(house: House, monkeypatch: pytest.MonkeyPatch) -> Outcome:
        clock = Clock()
        monkeypatch.setattr(http_adapter, "time", clock)
        dialled = []
        with ExitStack() as stack:
            port = stack.enter_context(Faulty(fault)).port if fault else nobody()

            def call(address: Address, _port: int, timeout: float) -> socket.socket:
                dialled.append(address)
                if fault is silent:
                    clock.sleep(PATIENCE_S - SILENCE_S)
                return dial(ip_address("127.0.0.1"), port, timeout)

            house.photos = HttpPhotoSource(
                1_000_000,
                PATIENCE_S,
                AddressRules(allow_http=True),
                resolve=lambda _host, _port: [ip_address("93.184.216.34")],
                dial=call,
            )
            return house.ask(lambda: len(dialled))

    return run


def cloudinary(how: str | None, times: int | None = None, name: str | None = None) -> Any:
    def run(house: House, monkeypatch: pytest.MonkeyPatch) -> Outcome:
        monkeypatch.setattr(cloudinary_adapter, "time", Clock())
        with CloudinaryStandIn() as standin:
            url = standin.url
            if how is None:
                url = re.sub(r":\d+$", f":{nobody()}", url)
            else:
                standin.fail(how, times=times, name=name)
            patience_s = SILENCE_S if how == "hang" else PATIENCE_S
            house.store = CloudinaryMaskStore(url, "masks", patience_s, backoff_s=0.001)

            def tries() -> int:
                if how in (None, "hang"):
                    return house.printed.getvalue().count('"upload_mask started"') // 2
                return max(standin.requests.count(one) for one in standin.requests)

            return house.ask(tries)

    return run


def s3(fault: faulty.HttpFault | None, unless: str | None = None) -> Any:
    def run(house: House, monkeypatch: pytest.MonkeyPatch) -> Outcome:
        with ExitStack() as stack:
            server = stack.enter_context(Faulty(fault, unless)) if fault else None
            url = server.url if server else f"http://127.0.0.1:{nobody()}"
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
            client = s3_client(patience_with(fault))
            sent = sent_by(client)
            house.store = S3MaskStore("bucket", "masks", client, None, 60)
            return house.ask(lambda: sum("lower" in address for address in sent))

    return run


def state(service: str, fault: faulty.HttpFault | None) -> Any:
    """The table of what was made, or the queue of jobs."""

    def run(house: House, monkeypatch: pytest.MonkeyPatch) -> Outcome:
        with ExitStack() as stack:
            server = stack.enter_context(Faulty(fault)) if fault else None
            url = server.url if server else f"http://127.0.0.1:{nobody()}"
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service.upper()}", url)
            client = aws_client(service, patience_with(fault), tries=wiring.STATE_TRIES)
            sent = sent_by(client)
            if service == "sqs":
                queue = SqsQueue(f"{url}/123456789012/work", client)
                jobs = replace(house.submission.jobs, queue=queue)
                house.submission = replace(house.submission, jobs=jobs)
                return house.ask(lambda: len(sent), "api-masks-later")
            house.idempotency = DynamoIdempotency("once", client, 600)
            return house.ask(lambda: len(sent))

    return run


def sent_by(client: Any) -> list[str]:
    """The addresses of all requests that the client of AWS sends from now on, tries of one too."""
    sent: list[str] = []

    def note(request: Any, **_: object) -> None:
        sent.append(request.url)

    client.meta.events.register("before-send", note)
    return sent


def firestore_wire(fault: faulty.HttpFault | None) -> Any:
    """Something that is no Firestore at all."""

    def run(house: House, monkeypatch: pytest.MonkeyPatch) -> Outcome:
        with ExitStack() as stack:
            port = stack.enter_context(Faulty(fault)).port if fault else nobody()
            monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{port}")
            house.step_log = FirestoreLog("demo-project", timeout_s=SILENCE_S)
            return house.ask(lambda: None)

    return run


def firestore(status: str, during: bytes) -> Any:
    """One that answers every commit with ``during`` in it with a gRPC status."""

    def run(house: House, monkeypatch: pytest.MonkeyPatch) -> Outcome:
        import grpc

        code = grpc.StatusCode[status]
        lasting = status == "PERMISSION_DENIED"
        google_retries_at_once(monkeypatch)
        with faulty.firestore(lambda commit: code if during in commit else None) as (host, commits):
            monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", host)
            log = FirestoreLog("demo-project", timeout_s=PATIENCE_S)
            house.step_log = house.profiles = log
            hits: Callable[[], int] = lambda: sum(during in commit for commit in commits)  # noqa: E731
            outcome = house.ask(lambda: hits() if lasting else None)
            assert lasting or hits() > 1
            return outcome

    return run


def secrets(fault: faulty.HttpFault | None) -> Any:
    def run(house: House, monkeypatch: pytest.MonkeyPatch) -> Outcome:
        with ExitStack() as stack:
            server = stack.enter_context(Faulty(fault)) if fault else None
            url = server.url if server else f"http://127.0.0.1:{nobody()}"
            monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
            client = secrets_client(patience_with(fault))
            sent = sent_by(client)
            with pytest.raises(SettingsError) as stopped, init_log("api"):
                read_secret(ARN, client)
            assert ARN not in str(stopped.value)
            return Outcome("no start", len(sent), frozenset({"init"}), {})

    return run


def labelled(encoding: str, pack: Callable[[bytes], bytes] = bytes) -> faulty.HttpFault:
    return says(200, pack(fakes.photo()), f"Content-Encoding: {encoding}")


def dead_band() -> bytes:
    photo = fakes.photo()
    fifth = (len(photo) - photo.index(b"\xff\xda")) // 5
    return photo[: -2 * fifth] + bytes(fifth) + photo[-fifth:]


def upload(fault: faulty.HttpFault) -> Any:
    """The bucket that the worker reads an upload from; what it answers is what the caller gets."""

    def run(house: House, monkeypatch: pytest.MonkeyPatch) -> Outcome:
        with Faulty(fault) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
            client = s3_client(PATIENCE_S)
            sent = sent_by(client)
            objects = S3Objects(client)
            with request_log("request-1", "user-1"):
                try:
                    with step("read_upload", "worker"):
                        objects.get("bucket", "uploads/a.jpg", 1_000_000)
                except TryonMasksError as error:
                    told = f"{error.status} {error.code}"
            return Outcome(told, len(sent), frozenset({"read_upload"}), {})

    return run


NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>"
LOG, PROFILE, STEPS = b"/vton_logs/", b"/users/", b"/steps/"
DENIED = b'{"__type": "AccessDeniedException"}'

ROWS: dict[tuple[str, str], Callable[[House, pytest.MonkeyPatch], Outcome]] = {
    ("photo host", "slow"): photo_host(silent),
    ("photo host", "refuses"): photo_host(None),
    ("photo host", "resets"): photo_host(resets),
    ("photo host", "garbage"): photo_host(garbage),
    ("photo host", "a page"): photo_host(says(200, b"<html>Please sign in</html>")),
    ("photo host", "404"): photo_host(says(404)),
    ("photo host", "400 of an expired signature"): photo_host(says(400)),
    ("photo host", "203"): photo_host(says(203, fakes.photo())),
    ("photo host", "206 of a part"): photo_host(
        says(206, fakes.photo()[:999], "Content-Range: bytes 0-998/9999")
    ),
    ("photo host", "labels it aws-chunked"): photo_host(labelled("aws-chunked")),
    ("photo host", "packs it with gzip"): photo_host(labelled("gzip", gzip.compress)),
    ("photo host", "labels it gzip, which it is not"): photo_host(labelled("gzip")),
    ("photo host", "packs it with br"): photo_host(labelled("br")),
    ("photo host", "sends a JPEG without its end marker"): photo_host(
        says(200, fakes.photo()[:-2])
    ),
    ("photo host", "sends a JPEG with a dead band"): photo_host(says(200, dead_band())),
    ("photo host", "429"): photo_host(says(429)),
    ("photo host", "500"): photo_host(says(500)),
    ("photo host", "503"): photo_host(says(503)),
    ("Cloudinary", "slow"): cloudinary("hang"),
    ("Cloudinary", "refuses"): cloudinary(None),
    ("Cloudinary", "resets"): cloudinary("reset"),
    ("Cloudinary", "garbage"): cloudinary("gateway"),
    ("Cloudinary", "429"): cloudinary("throttled"),
    ("Cloudinary", "500"): cloudinary("broken"),
    ("Cloudinary", "403"): cloudinary("forbidden"),
    ("Cloudinary", "500 once"): cloudinary("broken", times=1, name="lower"),
    ("Cloudinary", "dies between two uploads"): cloudinary("reset", name="lower"),
    ("S3", "slow"): s3(silent),
    ("S3", "refuses"): s3(None),
    ("S3", "resets"): s3(resets),
    ("S3", "garbage"): s3(garbage),
    ("S3", "429"): s3(says(429)),
    ("S3", "500"): s3(says(500)),
    ("S3", "503"): s3(says(503)),
    ("S3", "403"): s3(says(403)),
    ("S3", "dies between two uploads"): s3(resets, unless="upper"),
    ("S3, upload", "deleted"): upload(says(404, NO_SUCH_KEY)),
    ("S3, upload", "500"): upload(says(500)),
    ("S3, upload", "403"): upload(says(403)),
    ("Firestore, at the start", "slow"): firestore_wire(silent),
    ("Firestore, at the start", "refuses"): firestore_wire(None),
    ("Firestore, at the start", "resets"): firestore_wire(resets),
    ("Firestore, at the start", "garbage"): firestore_wire(garbage),
    ("Firestore, at the start", "429"): firestore("RESOURCE_EXHAUSTED", LOG),
    ("Firestore, at the start", "500"): firestore("INTERNAL", LOG),
    ("Firestore, at the start", "503"): firestore("UNAVAILABLE", LOG),
    ("Firestore, at the start", "403"): firestore("PERMISSION_DENIED", LOG),
    ("Firestore, profile", "503"): firestore("UNAVAILABLE", PROFILE),
    ("Firestore, profile", "403"): firestore("PERMISSION_DENIED", PROFILE),
    ("Firestore, records", "503"): firestore("UNAVAILABLE", STEPS),
    ("Firestore, records", "403"): firestore("PERMISSION_DENIED", STEPS),
    ("DynamoDB", "slow"): state("dynamodb", silent),
    ("DynamoDB", "refuses"): state("dynamodb", None),
    ("DynamoDB", "resets"): state("dynamodb", resets),
    ("DynamoDB", "garbage"): state("dynamodb", garbage),
    ("DynamoDB", "429"): state("dynamodb", says(429)),
    ("DynamoDB", "500"): state("dynamodb", says(500)),
    ("DynamoDB", "503"): state("dynamodb", says(503)),
    ("DynamoDB", "403"): state("dynamodb", says(400, DENIED)),
    ("SQS", "slow"): state("sqs", silent),
    ("SQS", "refuses"): state("sqs", None),
    ("SQS", "resets"): state("sqs", resets),
    ("SQS", "garbage"): state("sqs", garbage),
    ("SQS", "429"): state("sqs", says(429)),
    ("SQS", "500"): state("sqs", says(500)),
    ("SQS", "503"): state("sqs", says(503)),
    ("SQS", "403"): state("sqs", says(400, DENIED)),
    ("Secrets Manager", "slow"): secrets(silent),
    ("Secrets Manager", "refuses"): secrets(None),
    ("Secrets Manager", "resets"): secrets(resets),
    ("Secrets Manager", "garbage"): secrets(garbage),
    ("Secrets Manager", "429"): secrets(says(429)),
    ("Secrets Manager", "500"): secrets(says(500)),
    ("Secrets Manager", "403"): secrets(says(400, DENIED)),
}


def told() -> dict[tuple[str, str], list[str]]:
    """The page's table: what the caller gets, tries, which step fails in the log."""
    rows = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith("| ") and not line.startswith(("| part", "| step")):
            cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
            if len(cells) == 5:
                rows[cells[0], cells[1]] = cells[2:]
    return rows


TOLD = told()


def test_every_fault_is_told() -> None:
    assert TOLD.keys() == ROWS.keys()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ": ".join(row))
def test_what_the_caller_gets(
    row: tuple[str, str], printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(printed)

    outcome = ROWS[row](house, monkeypatch)

    answer, tries, step = TOLD[row]
    assert outcome.answer == answer
    if outcome.tries is not None:
        assert str(outcome.tries) == tries
    assert (step == "none") or step in outcome.failed_steps
    made = answer == "200 success"
    assert bool(outcome.masks) is made
    assert bool(outcome.profiles) is (made and not row[0].startswith("Firestore"))
    if row[0] == "Firestore, records":
        assert outcome.log_saved is False
    if "between" in row[1]:
        assert outcome.message == "These masks could not be stored: lower."


def test_the_same_request_again_mends_what_died_between_two_uploads(printed: io.StringIO) -> None:
    with CloudinaryStandIn() as standin:
        store = CloudinaryMaskStore(standin.url, "masks", PATIENCE_S, backoff_s=0.001)
        standin.fail("reset", times=3, name="lower")
        broken = House(printed, store=store).ask(lambda: None)
        half = set(standin.uploads)
        again = House(printed, store=store).ask(lambda: None)

    assert (broken.answer, again.answer) == ("502 STORE_FAILED", "200 success")
    assert len(half) == 1
    assert half < set(standin.uploads)
    assert len(standin.uploads) == 2


def test_all_waits_together_leave_time_for_the_photo() -> None:
    """A request that meets nothing but slow parts still ends with an answer of its own."""
    photo_s = Settings.from_env({}, on_lambda=False).photo_time_s
    record_s = wiring.STATE_TRIES * 2 * wiring.STATE_TIMEOUT_S + LONGEST_PAUSE_S
    limit = RESOURCES["ApiFunction"]["Properties"]["Timeout"]
    opening_s = firestore_adapter.TIMEOUT_S
    assert record_s + 2 * firestore_adapter.TIMEOUT_S <= ANSWER_S
    assert opening_s + photo_s + STORE_S + ANSWER_S < limit


LONGEST_PAUSE_S = 1.0
"""Seconds that botocore waits at most before the second try."""
