"""The template, deployed to the local AWS: from a call to its masks at Cloudinary's stand-in."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from botocore.exceptions import ClientError
from google.cloud import firestore
from tests.contract.event_files import read_event
from tests.stack import calls, many_photos
from tests.stack.conftest import MODEL_SET, Report, or_skip
from tests.stack.deployed import (
    FORM_S,
    HIDDEN_S,
    ORIGIN,
    PROJECT,
    TRIES,
    WORKERS,
    Answer,
    Caller,
    Deployed,
    deployed,
    deployed_beside,
    wait_until,
)
from tests.stack.sam import Sam
from tests.standins.cloudinary import Upload

from tryon_masks.ports import user_folder

pytestmark = pytest.mark.stack

DONE_S = 300
BATCH_S = 900
BAD_ITEMS = {
    7: "BROKEN_PHOTO",
    19: "UNSUPPORTED_PHOTO",
    23: "NO_PERSON",
    31: "PHOTO_NOT_FOUND",
    44: "URL_NOT_ALLOWED",
}
PRIVATE = "http://10.0.0.1/photo.jpg"
TOTAL = 50
KILLED_AFTER = 10
"""Photos of a batch that are stored when its workers are killed."""
POISON = json.dumps({"nobody": "sends this"})
MASKS = ("upper", "lower")
IMPORTED = "auth0|5f7c8ec7c33c6c004bbafe82"
"""A user whom Firebase took over from elsewhere."""
ELSEWHERE = "https://elsewhere.example.com"
MAPPED = "tryon"
"""The key of a custom domain's API mapping."""


@dataclass(frozen=True)
class Scene:
    """The stack, who calls it, and what was begun first because it takes its time."""

    stack: Deployed
    backend: Caller
    old_form: dict[str, Any]
    old_since: float


@pytest.fixture(scope="module")
def scene(built: Sam, tmp_path_factory: pytest.TempPathFactory, report: Report) -> Iterator[Scene]:
    with ExitStack() as running:
        start = time.perf_counter()
        with or_skip():
            stack = running.enter_context(deployed(built, tmp_path_factory.mktemp("aws")))
        report(f"deployed: {time.perf_counter() - start:.0f} s")
        for number, photo in enumerate(many_photos.good(TOTAL)):
            stack.photos[f"/good/{number}.jpg"] = photo
        for code, bad in many_photos.bad().items():
            if bad is not None:
                stack.photos[f"/bad/{code}.jpg"] = bad
        backend = stack.caller("backend")
        assert stack.wait_until_ready().body["model_set"] == MODEL_SET
        form = take_form(stack, backend, "early")
        yield Scene(stack, backend, form["upload"], time.time())


@pytest.fixture(scope="module")
def other(built: Sam, scene: Scene) -> Deployed:
    """A second stack: its masks are kept in S3, and its steps in Firestore."""
    stack = deployed_beside(built, scene.stack)
    stack.wait_until_ready()
    return stack


@pytest.fixture(scope="module")
def poison(scene: Scene) -> str:
    """The id of a message that nobody of ours sends, sent before it is asked for: it takes long."""
    sent = scene.stack.aws.client("sqs").send_message(
        QueueUrl=scene.stack.outputs["WorkQueueUrl"], MessageBody=POISON
    )
    message_id: str = sent["MessageId"]
    return message_id


def take_form(stack: Deployed, caller: Caller, user_id: str) -> dict[str, Any]:
    body = {"content_type": "image/jpeg", "user_id": user_id, "masks": list(MASKS)}
    answer = stack.call(caller, "POST", "/v1/uploads", body)
    assert answer.status == 201, answer.body
    return answer.body


def ended(stack: Deployed, caller: Caller, job: str) -> bool:
    answer = stack.call(caller, "GET", job)
    assert answer.status == 200, answer.body
    return answer.body["state"] not in ("queued", "running")


def stored(stack: Deployed, user_id: str) -> list[Upload]:
    """What the stand-in has of a user."""
    folder = f"/{user_folder(user_id)}/"
    return [one for name, one in list(stack.cloudinary.uploads.items()) if folder in name]


def inferences(stack: Deployed, function: str, user_id: str) -> int:
    """How often a function looked at a user's photo."""
    looked = {
        record["request_id"]
        for record in stack.log(function)
        if (record["step"], record["status"], record["user_id"]) == ("find_people", "done", user_id)
    }
    return len(looked)


def test_a_photo_uploaded_by_a_form_becomes_masks_and_a_result(
    scene: Scene, report: Report
) -> None:
    stack, photo = scene.stack, scene.stack.photos["/good/0.jpg"]
    taken = take_form(stack, scene.backend, "uploader")
    start = time.perf_counter()

    sent = stack.upload(taken["upload"], photo)
    assert sent.status_code == 204, sent.text
    wait_until(lambda: ended(stack, scene.backend, taken["job"]), DONE_S, "the upload's job")
    seconds = time.perf_counter() - start

    result = json.loads(stack.read_object(f"results/{taken['key']}.json"))
    assert result["status"] == "success"
    calls.check_masks(stack.cloudinary, result["masks"], photo)
    job = stack.call(scene.backend, "GET", taken["job"])
    assert (job.body["state"], job.body["answer"]["masks"]) == ("success", result["masks"])
    report(f"upload form -> S3 -> SQS -> worker -> masks and result: {seconds:.1f} s")


def test_jobs_are_worked_off_side_by_side(scene: Scene) -> None:
    stack = scene.stack
    wanted = {"Prefer": "respond-async"}
    jobs = []
    with nobody_working(stack):
        for number in range(WORKERS):
            body = {"user_image_url": stack.photo_url(f"/good/{number}.jpg"), "user_id": "later"}
            answer = stack.call(scene.backend, "POST", "/v1/masks", body, **wanted)
            assert (answer.status, answer.body["state"]) == (202, "queued")
            jobs.append(answer.headers["Location"])

    wait_until(lambda: all(ended(stack, scene.backend, job) for job in jobs), DONE_S, "the jobs")

    answers = [stack.call(scene.backend, "GET", job).body for job in jobs]
    assert [answer["state"] for answer in answers] == ["success"] * WORKERS
    assert len(stored(stack, "later")) == len(MASKS) * WORKERS
    assert len(stack.containers("WorkerFunction")) == WORKERS


def test_a_strangers_job_is_not_there_and_nobody_without_a_signature_gets_in(scene: Scene) -> None:
    stack = scene.stack
    taken = take_form(stack, scene.backend, "uploader")
    stranger = stack.caller("stranger")

    assert stack.call(scene.backend, "GET", taken["job"]).status == 200
    theirs = stack.call(stranger, "GET", taken["job"])
    assert (theirs.status, theirs.body["error"]["code"]) == (404, "NOT_FOUND")
    assert stack.call(None, "GET", taken["job"]).status == 403
    forged = Caller(scene.backend.key, "another secret")
    assert stack.call(forged, "GET", taken["job"]).status == 403
    # Policies are enforced here: who may call the API may do nothing beside it.
    s3 = stack.aws.client("s3", scene.backend.key, scene.backend.secret)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket=stack.outputs["PhotoBucketName"])


def test_s3_refuses_a_form_that_was_tampered_with_or_a_photo_too_large(
    scene: Scene, report: Report
) -> None:
    stack, photo = scene.stack, scene.stack.photos["/good/1.jpg"]
    taken = take_form(stack, scene.backend, "tamperer")
    form = taken["upload"]
    elsewhere = "uploads/somebody-else/photo"

    def refused(photo: bytes, **fields: str) -> tuple[int, str]:
        answer = stack.upload({**form, "fields": form["fields"] | fields}, photo)
        return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]

    policy = base64.b64decode(form["fields"]["policy"]).decode()
    assert taken["key"] in policy
    rewritten = base64.b64encode(policy.replace(taken["key"], elsewhere).encode()).decode()
    tried = {
        "another key": refused(photo, key=elsewhere),
        "another user": refused(photo, **{"x-amz-meta-user-id": "somebody-else"}),
        "another type": refused(photo, **{"Content-Type": "text/html"}),
        "one more field": refused(photo, **{"x-amz-meta-more": "more"}),
        "another policy": refused(photo, key=elsewhere, policy=rewritten),
        "too large": refused(bytes(taken["max_bytes"] + 1)),
        "empty": refused(b""),
    }
    assert tried == {
        "another key": (403, "AccessDenied"),
        "another user": (403, "AccessDenied"),
        "another type": (403, "AccessDenied"),
        "one more field": (403, "AccessDenied"),
        "another policy": (403, "SignatureDoesNotMatch"),
        "too large": (400, "EntityTooLarge"),
        "empty": (400, "EntityTooSmall"),
    }
    assert keys(stack, f"uploads/{taken['key'].split('/')[1]}/").isdisjoint({taken["key"]})
    assert keys(stack, elsewhere) == set()
    # It was the tampering: the form itself is good.
    assert stack.upload(form, photo).status_code == 204
    report(f"upload forms: {len(tried)} ways to tamper, all refused by S3")


def keys(stack: Deployed, prefix: str) -> set[str]:
    """The photo bucket's keys that begin so."""
    pages = (
        stack.aws.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=stack.outputs["PhotoBucketName"], Prefix=prefix)
    )
    return {entry["Key"] for page in pages for entry in page.get("Contents", ())}


def test_an_event_that_comes_three_times_is_one_inference(scene: Scene, report: Report) -> None:
    stack, photo = scene.stack, scene.stack.photos["/good/4.jpg"]
    sqs, queue = stack.aws.client("sqs"), stack.outputs["WorkQueueUrl"]
    taken = take_form(stack, scene.backend, "tripled")
    with nobody_working(stack):
        assert stack.upload(taken["upload"], photo).status_code == 204
        (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
        assert json.loads(message["Body"])["Records"][0]["s3"]["object"]["key"] == taken["key"]
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        for _ in range(3):
            sqs.send_message(QueueUrl=queue, MessageBody=message["Body"])
    # Who finds another at it comes again when the queue shows the message again.
    wait_until(lambda: stack.in_queue("WorkQueueUrl") == (0, 0), HIDDEN_S + DONE_S, "the events")

    assert inferences(stack, "WorkerFunction", "tripled") == 1
    times = {one.public_id.rpartition("/")[2]: one.times for one in stored(stack, "tripled")}
    assert times == dict.fromkeys(MASKS, 1)
    assert ended(stack, scene.backend, taken["job"])
    assert keys(stack, f"results/{taken['key']}") == {f"results/{taken['key']}.json"}
    deliveries = {r["request_id"] for r in stack.log("WorkerFunction") if r["user_id"] == "tripled"}
    assert len(deliveries) >= 3
    report(f"one S3 event three times, {len(deliveries)} deliveries: 1 inference, 1 upload a mask")


@contextmanager
def nobody_working(stack: Deployed) -> Iterator[None]:
    """The queue keeps what comes while the block runs."""
    functions = stack.aws.client("lambda")
    name = stack.physical("WorkerFunction")
    sources = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    (source,) = sources
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=source["UUID"], Enabled=True)


def test_two_identical_calls_at_once_are_one_inference(scene: Scene, report: Report) -> None:
    stack = scene.stack
    body = {"user_image_url": stack.photo_url("/good/5.jpg"), "user_id": "twice"}

    def call(_: int) -> Answer:
        return stack.call(scene.backend, "POST", "/v1/masks", body)

    with ThreadPoolExecutor(2) as pool:
        # Two containers, started before anything counts.
        list(pool.map(lambda _: stack.call(None, "GET", "/v1/health"), range(2)))
        assert len(stack.containers("ApiFunction")) == 2
        answers = list(pool.map(call, range(2)))
    later = call(0)

    statuses = sorted(answer.status for answer in answers)
    assert statuses in ([200, 200], [200, 409])
    for answer in answers:
        assert answer.status == 200 or int(answer.headers["Retry-After"]) > 0
    assert later.status == 200
    made = [answer.body["masks"] for answer in (*answers, later) if answer.status == 200]
    assert made == [made[0]] * len(made)
    assert inferences(stack, "ApiFunction", "twice") == 1
    times = {one.public_id.rpartition("/")[2]: one.times for one in stored(stack, "twice")}
    assert times == dict.fromkeys(MASKS, 1)
    report(f"two identical calls at once: {statuses}, 1 inference, 1 upload a mask")


def test_a_user_of_an_imported_account_is_served_and_erased(
    scene: Scene, other: Deployed, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    stack = other
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", stack.firestore.host)
    # Somebody whose things must stay.
    wanted = {"user_image_url": stack.photo_url("/good/6.jpg"), "user_id": f"{IMPORTED}0"}
    assert stack.call(scene.backend, "POST", "/v1/masks", wanted).status == 200
    before = kept(stack)

    taken = take_form(stack, scene.backend, IMPORTED)
    assert stack.upload(taken["upload"], stack.photos["/good/6.jpg"]).status_code == 204
    wanted = {"user_image_url": stack.photo_url("/good/7.jpg"), "user_id": IMPORTED}
    called = stack.call(scene.backend, "POST", "/v1/masks", wanted)
    assert called.status == 200, called.body
    wanted = {"user_image_url": stack.photo_url("/good/8.jpg"), "user_id": IMPORTED}
    job = stack.call(scene.backend, "POST", "/v1/masks", wanted, Prefer="respond-async")
    jobs = [taken["job"], job.headers["Location"]]
    wait_until(lambda: all(ended(stack, scene.backend, one) for one in jobs), DONE_S, "the jobs")
    states = [stack.call(scene.backend, "GET", one).body["state"] for one in jobs]
    assert states == ["success"] * 2
    assert f"users/{IMPORTED}" in kept(stack) - before

    looked, ran, again = (erase(stack, *options) for options in ([], ["--yes"], ["--yes"]))

    found = {place["place"]: place["found"] for place in looked["places"]}
    assert found.pop("profile and step log") >= 4  # the user's document, and each request's
    assert found == {
        "lines of lists": 0,
        "batches": 0,
        "jobs": 2,
        "uploads and results": 2,
        "repeated answers": 3,
        "masks": 3 * len(MASKS),
    }
    assert (ran["status"], {place["state"] for place in ran["places"]}) == ("erased", {"erased"})
    assert {place["found"] for place in again["places"]} == {0}
    assert kept(stack) == before
    assert stack.call(scene.backend, "GET", taken["job"]).status == 404
    report(f"{IMPORTED}, by upload, call and job: {sum(found.values())} things kept, all erased")


def kept(stack: Deployed) -> set[str]:
    """What lies in the buckets, the tables and Firestore, by name; of the log, users' requests."""
    s3, dynamodb = stack.aws.client("s3"), stack.aws.client("dynamodb")
    names = set()
    for bucket in ("PhotoBucketName", "MaskBucketName"):
        listed = s3.list_objects_v2(Bucket=stack.outputs[bucket]).get("Contents", ())
        names |= {entry["Key"] for entry in listed}
    for table in ("JobsTable", "OnceTable"):
        items = dynamodb.scan(TableName=stack.physical(table))["Items"]
        names |= {item["id"]["S"] for item in items}
    client: Any = firestore.Client(project=PROJECT)
    with closing(client):
        names |= {document.reference.path for document in client.collection("users").stream()}
        # Whoever asks for a job is logged as well.
        logs = {
            log.reference.path: log.get("user_id")
            for log in client.collection("vton_logs").stream()
        }
        names |= {path for path, user in logs.items() if user.startswith(IMPORTED)}
    return names


def erase(stack: Deployed, *options: str) -> dict[str, Any]:
    """What the command line says of the imported user."""
    command = Path(sys.executable).with_name("tryon-masks")
    done = subprocess.run(
        [command, "erase", "--user-id", IMPORTED, *options],
        env={**os.environ, **stack.environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_an_upload_that_is_gone_before_it_is_read_is_answered_at_once(
    scene: Scene, report: Report
) -> None:
    stack = scene.stack
    taken = take_form(stack, scene.backend, "gone")
    with nobody_working(stack):
        assert stack.upload(taken["upload"], stack.photos["/good/9.jpg"]).status_code == 204
        bucket = stack.outputs["PhotoBucketName"]
        stack.aws.client("s3").delete_object(Bucket=bucket, Key=taken["key"])
    seconds = wait_until(lambda: ended(stack, scene.backend, taken["job"]), DONE_S, "the job")
    wait_until(lambda: stack.in_queue("WorkQueueUrl") == (0, 0), DONE_S, "its message")

    job = stack.call(scene.backend, "GET", taken["job"]).body
    assert (job["state"], job["answer"]["error"]["code"]) == ("error", "PHOTO_NOT_FOUND")
    assert json.loads(stack.read_object(f"results/{taken['key']}.json")) == job["answer"]
    tries = {r["request_id"] for r in stack.log("WorkerFunction") if r["user_id"] == "gone"}
    assert len(tries) == 1
    report(f"an upload that is gone before it is read: answered at once, in {seconds:.1f} s")


def test_pages_of_an_allowed_origin_read_masks_and_results(
    scene: Scene, other: Deployed, report: Report
) -> None:
    stack, s3 = other, other.aws.client("s3")
    wanted = {"user_image_url": stack.photo_url("/good/10.jpg"), "user_id": "reader"}
    called = stack.call(scene.backend, "POST", "/v1/masks", wanted)
    assert called.status == 200, called.body
    result = {"Bucket": stack.outputs["PhotoBucketName"], "Key": "results/uploads/a.jpg.json"}
    s3.put_object(Body=b"{}", **result)
    addresses = [
        *called.body["masks"].values(),
        s3.generate_presigned_url("get_object", Params=result),
    ]

    for address in addresses:
        read = ask(stack, "GET", address, ORIGIN)
        assert (read.status_code, allowed_origin(read)) == (200, ORIGIN)
        # S3 hands the file out all the same; the browser keeps it from the page.
        assert allowed_origin(ask(stack, "GET", address, ELSEWHERE)) is None
        assert (preflight(stack, address, ORIGIN, "GET")) == (200, ORIGIN)
        assert (preflight(stack, address, ELSEWHERE, "GET")) == (403, None)
        assert (preflight(stack, address, ORIGIN, "DELETE")) == (403, None)
    report(f"{len(addresses)} files in S3: read by pages of one origin, and no other")


def ask(
    stack: Deployed, method: str, address: str, origin: str, **headers: str
) -> requests.Response:
    """What a browser would send from a page of that origin."""
    there = urlsplit(address)
    return requests.request(
        method,
        f"{stack.aws.origin}{there.path}?{there.query}",
        headers={"Host": there.netloc, "Origin": origin, **headers},
        timeout=60,
    )


def preflight(stack: Deployed, address: str, origin: str, method: str) -> tuple[int, str | None]:
    """The status, and the origin that is let in."""
    asked = {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type",
    }
    answer = ask(stack, "OPTIONS", address, origin, **asked)
    return answer.status_code, allowed_origin(answer)


def allowed_origin(answer: requests.Response) -> str | None:
    return answer.headers.get("Access-Control-Allow-Origin")


def test_the_api_answers_behind_a_domains_mapping_key(scene: Scene, report: Report) -> None:
    stack, domain = scene.stack, "masks.example.com"
    gateway = stack.aws.client("apigatewayv2")
    certificate = f"arn:aws:acm:eu-central-1:123456789012:certificate/{'0' * 8}"
    gateway.create_domain_name(
        DomainName=domain, DomainNameConfigurations=[{"CertificateArn": certificate}]
    )
    gateway.create_api_mapping(
        DomainName=domain, ApiId=stack.physical("Api"), Stage="$default", ApiMappingKey=MAPPED
    )

    health = stack.call(None, "GET", f"/{MAPPED}/v1/health", Host=domain)

    assert (health.status, health.body["ready"]) == (200, True)
    # The local API Gateway takes the key out of the path; the real one leaves it in.
    event = read_event("api-masks-mapped")
    event["body"] = json.dumps({"user_image_url": stack.photo_url("/good/11.jpg")})
    event["headers"]["prefer"] = "respond-async"
    taken = invoke(stack, event)
    assert taken["statusCode"] == 202, taken
    location = taken["headers"]["Location"]
    assert location.startswith(f"/{MAPPED}/v1/jobs/")
    asked = read_event("api-job")
    asked["rawPath"] = asked["requestContext"]["http"]["path"] = location
    wait_until(
        lambda: json.loads(invoke(stack, asked)["body"])["state"] == "success", DONE_S, "the job"
    )
    report(f"behind the mapping key {MAPPED}: health, a job, and where it is asked for")


def test_the_api_answers_behind_a_route_of_another_name(scene: Scene) -> None:
    stack = scene.stack
    stack.aws.client("apigatewayv2").create_route(
        ApiId=stack.physical("Api"),
        RouteKey="ANY /shop/{proxy+}",
        Target=f"integrations/{stack.physical('ApiIntegration')}",
        AuthorizationType="AWS_IAM",
    )
    body = {"user_image_url": stack.photo_url("/good/12.jpg"), "user_id": "shopper"}

    made = stack.call(scene.backend, "POST", "/shop/v1/masks", body)
    taken = stack.call(scene.backend, "POST", "/shop/v1/masks", body, Prefer="respond-async")

    assert (made.status, set(made.body["masks"])) == (200, set(MASKS))
    location = taken.headers["Location"]
    assert location.startswith("/shop/v1/jobs/")
    wait_until(lambda: ended(stack, scene.backend, location), DONE_S, "the job")
    assert stack.call(None, "POST", "/shop/v1/masks", body).status == 403


def invoke(stack: Deployed, event: dict[str, Any]) -> dict[str, Any]:
    """The API function's answer to an event, as the alias of the deployed version gives it."""
    done = stack.aws.client("lambda").invoke(
        FunctionName=stack.outputs["ApiFunctionArn"], Payload=json.dumps(event).encode()
    )
    answer: dict[str, Any] = json.loads(done["Payload"].read())
    return answer


def test_of_fifty_with_five_bad_ones_none_is_lost_and_none_is_there_twice(
    scene: Scene, poison: str, report: Report
) -> None:
    stack = scene.stack
    start = time.perf_counter()
    path = hand_in(scene, "fifty")
    wait_until(lambda: is_done(scene, path), BATCH_S, "the batch")
    seconds = time.perf_counter() - start

    check_fifty(scene, path, "fifty")
    assert {one.times for one in stored(stack, "fifty")} == {1}
    assert inferences(stack, "WorkerFunction", "fifty") == TOTAL - len(BAD_ITEMS) + 1
    report(f"batch of 50, 5 of them bad: 45 with masks, 5 with their codes, {seconds:.0f} s")


def test_so_it_is_when_the_workers_are_killed_in_the_middle(scene: Scene, report: Report) -> None:
    stack = scene.stack
    start = time.perf_counter()
    path = hand_in(scene, "killed")
    wait_until(lambda: len(stored(stack, "killed")) >= 2 * KILLED_AFTER, DONE_S, "its first photos")
    # Whoever sends the next mask is in the middle of a photo for as long as it takes to be killed.
    stack.cloudinary.fail("hang", times=1)
    wait_until(lambda: bool(stack.cloudinary.failed), DONE_S, "a mask on its way")
    workers = stack.kill("WorkerFunction")
    so_far = len(stored(stack, "killed"))
    wait_until(lambda: is_done(scene, path), BATCH_S, "the batch")
    seconds = time.perf_counter() - start

    assert workers == WORKERS
    assert so_far < 2 * (TOTAL - len(BAD_ITEMS))
    check_fifty(scene, path, "killed")
    again = {
        record["request_id"]
        for record in stack.log("WorkerFunction")
        if (record["user_id"], record["step"]) == ("killed", "find_people")
        and not record["request_id"].endswith("-1")
    }
    assert again
    report(
        f"the same, {workers} workers killed after {so_far // 2} photos: the same answers, "
        f"{len(again)} photos begun again, {seconds:.0f} s"
    )


def hand_in(scene: Scene, user_id: str) -> str:
    """A batch of 45 good photos and five bad ones, each item named by its number; its path."""
    items = [
        {"photo": address(scene.stack, number), "id": str(number), "user_id": user_id}
        for number in range(TOTAL)
    ]
    answer = scene.stack.call(scene.backend, "POST", "/v1/batches", {"items": items})
    assert (answer.status, answer.body["counts"]["queued"]) == (202, TOTAL)
    return answer.headers["Location"]


def address(stack: Deployed, number: int) -> str:
    code = BAD_ITEMS.get(number)
    if code == "URL_NOT_ALLOWED":
        return PRIVATE
    return stack.photo_url(f"/bad/{code}.jpg" if code else f"/good/{number}.jpg")


def look_up(scene: Scene, path: str) -> dict[str, Any]:
    answer = scene.stack.call(scene.backend, "GET", path)
    assert answer.status == 200, answer.body
    assert sum(answer.body["counts"].values()) == TOTAL
    return answer.body


def is_done(scene: Scene, path: str) -> bool:
    return bool(look_up(scene, path)["state"] == "done")


def check_fifty(scene: Scene, path: str, user_id: str) -> None:
    """45 with masks, 5 with a code, each item once and in order."""
    stack, answer = scene.stack, look_up(scene, path)
    counts = {state: count for state, count in answer["counts"].items() if count}
    assert counts == {"success": TOTAL - len(BAD_ITEMS), "refused": 1, "error": 4}

    key = f"results/batches/{answer['batch_id']}.jsonl"
    written = stack.read_object(key)
    (results,) = answer["results"]
    there = urlsplit(results)
    # Signed for the host that functions know S3 by.
    fetched = requests.get(
        f"{stack.aws.origin}{there.path}?{there.query}", headers={"Host": there.netloc}, timeout=60
    )
    assert (fetched.status_code, fetched.content) == (200, written)

    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["id"] for line in lines] == [str(number) for number in range(TOTAL)]
    codes, addresses = {}, []
    for number, line in enumerate(lines):
        if line["status"] == "success":
            assert set(line["masks"]) == set(MASKS)
            addresses += line["masks"].values()
        elif line["status"] == "refused":
            (codes[number],) = {refused["code"] for refused in line["refused"]}
        else:
            codes[number] = line["error"]["code"]
    assert codes == BAD_ITEMS
    made = stored(stack, user_id)
    assert len(addresses) == len(set(addresses)) == len(made) == 2 * (TOTAL - len(BAD_ITEMS))
    assert all(any(one.public_id in url for url in addresses) for one in made)


def test_s3_refuses_a_form_that_has_expired(scene: Scene, report: Report) -> None:
    time.sleep(max(0.0, scene.old_since + FORM_S + 1 - time.time()))

    answer = scene.stack.upload(scene.old_form, scene.stack.photos["/good/0.jpg"])

    assert answer.status_code == 403
    assert "<Code>AccessDenied</Code>" in answer.text
    assert "Policy expired" in answer.text
    report(f"an upload form older than {FORM_S} s: refused by S3")


def test_what_cannot_be_done_is_given_up(scene: Scene, poison: str, report: Report) -> None:
    stack, sqs = scene.stack, scene.stack.aws.client("sqs")
    given_up: dict[str, str] = {}

    def arrived() -> bool:
        found = sqs.receive_message(
            QueueUrl=stack.outputs["FailedWorkUrl"],
            MaxNumberOfMessages=10,
            WaitTimeSeconds=1,
        )
        given_up.update((one["MessageId"], one["Body"]) for one in found.get("Messages", ()))
        return poison in given_up

    wait_until(arrived, BATCH_S, "the message that nobody sends")
    # And nothing beside it: a bad photo is an answer.
    assert given_up == {poison: POISON}
    tries = {
        record["request_id"]
        for record in stack.log("WorkerFunction")
        if record["request_id"].startswith(poison) and record["step"] == "read_message"
    }
    assert tries == {f"{poison}-{delivery}" for delivery in range(1, TRIES + 1)}
    report(f"a message that nobody sends: given up after {TRIES} deliveries, and nothing else")
