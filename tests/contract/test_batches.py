"""Batches from the API through the queue and the workers to the results, on tables of DynamoDB.

The queue is a list here, so that messages come when a test wants them: late, twice, to two workers
at once.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from moto import mock_aws
from numpy.typing import NDArray
from tests import fakes
from tests.contract.event_files import read_event
from tests.contract.test_template import definition

from tryon_masks.adapters.aws import aws_client
from tryon_masks.adapters.batches import DynamoBatches
from tryon_masks.adapters.idempotency import DynamoIdempotency
from tryon_masks.adapters.jobs import DynamoJobs
from tryon_masks.adapters.s3 import S3BatchFiles, S3Objects, s3_client
from tryon_masks.domain.errors import StoreFailed
from tryon_masks.domain.person import Candidate
from tryon_masks.entrypoints.http.routes import create_handler
from tryon_masks.entrypoints.queue.messages import Worker
from tryon_masks.entrypoints.queue.uploads import Uploads
from tryon_masks.images import Limits
from tryon_masks.jobs.progress import BatchTracker, JobTracker
from tryon_masks.jobs.run import JobRunner
from tryon_masks.jobs.submit import BatchSubmitter, JobSubmitter, Submission
from tryon_masks.ports import Run
from tryon_masks.service import MaskService

BUCKET = "the-photo-bucket"
OWNER = "user-1"
TRIES = 5
BAD = {7: "UNSUPPORTED_PHOTO", 19: "BROKEN_PHOTO", 23: "NO_PERSON", 31: "NO_PERSON", 44: "EMPTY"}
"""Item -> its code; EMPTY stands for a file without a byte."""
CODES = Counter("UNSUPPORTED_PHOTO" if code == "EMPTY" else code for code in BAD.values())


class Killed(BaseException):
    """A worker process ends where it is."""


class Vision(fakes.FakeVision):
    """Sees nobody in some photos; ``meanwhile`` happens when it is shown its photo of a number."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: dict[int, Callable[[], None]] = {}
        self.seen: Counter[int] = Counter()

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        number = rgb.shape[1] - fakes.WIDTH
        if number in self.meanwhile:
            self.meanwhile.pop(number)()
        self.seen[number] += 1
        return [] if BAD.get(number) == "NO_PERSON" else super().find_people(rgb)


def photo(number: int) -> bytes:
    match BAD.get(number):
        case "EMPTY":
            return b""
        case "UNSUPPORTED_PHOTO":
            return b"not an image"
        case "BROKEN_PHOTO":
            return fakes.photo()[:2000]
    return fakes.photo(width=fakes.WIDTH + number)


def url(number: int) -> str:
    return f"https://photos.example.com/{number}.jpg"


class House:
    """The API and two workers on one set of tables; vision, photos and the store are fakes."""

    def __init__(self, client: Any, s3: Any) -> None:
        self.client, self.s3 = client, s3
        s3.create_bucket(Bucket=BUCKET)
        for table in ("jobs", "once"):
            client.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        self.vision = Vision()
        self.store = fakes.FakeStore()
        self.queue = fakes.FakeQueue()
        self.jobs = DynamoJobs("jobs", client, 600)
        self.batches = DynamoBatches("jobs", client, 600)
        self.files = S3BatchFiles(BUCKET, s3, "results/", 60)
        self.runs = fakes.FakeRuns()
        photos = fakes.FakePhotos({url(n): photo(n) for n in range(50)})
        idempotency = DynamoIdempotency("once", client, 600)
        service = MaskService(
            self.vision, self.store, photos, idempotency=idempotency, limits=Limits()
        )
        submission = Submission(
            JobSubmitter(self.jobs, self.queue, fakes.FakeForms()),
            BatchSubmitter(self.queue, self.batches, self.files, self.runs),
        )
        self._api = create_handler(service, submission)
        batches = BatchTracker(self.jobs, self.queue, self.batches, self.files)
        tracker = JobTracker(self.jobs, self.queue, fakes.FakeCallbacks(), batches)
        runner = JobRunner(service)
        uploads = Uploads(
            runner,
            S3Objects(s3),
            tracker,
            results_prefix="results/",
            mask_folder=None,
            max_bytes=1_000_000,
        )
        self._worker = Worker(runner, uploads, tracker, tries=TRIES)
        self.waiting: deque[tuple[str, int]] = deque()
        self.given_up: list[str] = []

    def call(
        self, event: str, path: str = "", body: object = None, sub: str = OWNER
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        asked = read_event(event)
        asked["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = sub
        if body is not None:
            asked["body"] = json.dumps(body)
        if path:
            asked["rawPath"] = asked["requestContext"]["http"]["path"] = path
        response = self._api(asked, fakes.FakeContext())
        return response["statusCode"], json.loads(response["body"]), response["headers"]

    def hand_in(self, total: int = 50) -> str:
        """The batch's path."""
        items = [{"photo": url(number), "masks": ["upper"]} for number in range(total)]
        status, answer, headers = self.call("api-batches", body={"items": items})
        assert status == 202
        assert (answer["state"], answer["counts"]["queued"]) == ("queued", total)
        return headers["Location"]

    def look_up(self, path: str) -> dict[str, Any]:
        status, answer, _ = self.call("api-batch", path)
        assert status == 200
        assert sum(answer["counts"].values()) == answer["total"]
        return answer

    def deliver(self, body: str, delivery: int = 1) -> bool:
        """One message to a worker; whether it must come again."""
        event = read_event("sqs-job")
        (message,) = event["Records"]
        message["body"] = body
        message["attributes"]["ApproximateReceiveCount"] = str(delivery)
        answer = self._worker.handle(event, fakes.FakeContext(seconds=60))
        return bool(answer["batchItemFailures"])

    def work(self, most: int = 10_000) -> None:
        """Deliver what is in the queue, one after the other, until it is empty."""
        for _ in range(most):
            self.waiting += [(json.dumps(sent), 1) for sent in self.queue.sent]
            self.queue.sent.clear()
            if not self.waiting:
                return
            body, delivery = self.waiting.popleft()
            try:
                again = self.deliver(body, delivery)
            except Killed:
                # The queue hides the message for longer than the dead one holds its photo.
                self.forget_who_was_at_it()
                again = True
            if again and delivery < TRIES:
                self.waiting.append((body, delivery + 1))
            elif again:
                self.given_up.append(body)

    def forget_who_was_at_it(self) -> None:
        """As time does: who died at something held it until its own deadline."""
        for item in self.client.scan(TableName="once")["Items"]:
            if item["status"]["S"] == "INPROGRESS":
                past = {**item, "in_progress_expiration": {"N": "1"}}
                self.client.put_item(TableName="once", Item=past)

    def line(self, batch_id: str, number: int, item: object, user_id: str | None) -> dict[str, Any]:
        """One line of a list, as the template's state machine hands it over."""
        given = {
            "$.batch_id": batch_id,
            "$.user_id": user_id,
            "$$.Map.Item.Index": number,
            "$$.Map.Item.Value": item,
        }
        selector = definition()["States"]["EveryLine"]["ItemSelector"]
        event = {name.removesuffix(".$"): given[where] for name, where in selector.items()}
        answer: dict[str, Any] = json.loads(
            json.dumps(self._worker.handle(event, fakes.FakeContext(seconds=60)))
        )
        return answer

    def results(self, path: str) -> list[dict[str, Any]]:
        key = f"results/batches/{path.rpartition('/')[2]}.jsonl"
        written = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return [json.loads(line) for line in written.splitlines()]


@pytest.fixture(scope="module")
def clients() -> tuple[Any, Any]:
    """Make clients of DynamoDB and S3 once: that takes longer than most tests here."""
    with pytest.MonkeyPatch.context() as environ:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environ.setenv(name, "testing")
        environ.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return aws_client("dynamodb", 2.0), s3_client(5.0)


@pytest.fixture
def house(clients: tuple[Any, Any]) -> Iterator[House]:
    with mock_aws():
        yield House(*clients)


def check_fifty(house: House, path: str) -> None:
    """45 with masks, 5 with a code, each item once and in order."""
    answer = house.look_up(path)
    assert answer["state"] == "done"
    assert {state: n for state, n in answer["counts"].items() if n} == {
        "success": 45,
        "refused": 2,
        "error": 3,
    }
    (address,) = answer["results"]
    assert f"results/batches/{answer['batch_id']}.jsonl?" in address
    lines = house.results(path)
    assert [line["id"] for line in lines] == [str(place) for place in range(1, 51)]
    made = [line for line in lines if line["status"] == "success"]
    assert all(set(line["masks"]) == {"upper"} for line in made)
    assert len({line["masks"]["upper"] for line in made}) == len(made) == 45
    codes = [
        one["code"] for line in lines if line["status"] == "refused" for one in line["refused"]
    ]
    codes += [line["error"]["code"] for line in lines if line["status"] == "error"]
    assert Counter(codes) == CODES


def test_of_fifty_with_five_bad_ones_none_is_lost_and_none_is_there_twice(house: House) -> None:
    path = house.hand_in()

    house.work()

    check_fifty(house, path)
    assert set(house.vision.seen.values()) == {1}
    assert house.given_up == []


def test_so_it_is_when_workers_die_and_every_message_comes_again(house: House) -> None:
    path = house.hand_in()
    (fan_out,) = house.queue.sent

    def die() -> None:
        raise Killed

    # In the middle of items, and with half of the items queued.
    house.vision.meanwhile = {5: die, 27: die, 48: die}
    send_all, house.queue.send_all = house.queue.send_all, die_after(house.queue, 20)  # type: ignore[method-assign,assignment]
    house.work(most=1)
    house.queue.send_all = send_all  # type: ignore[method-assign]
    house.work(most=30)
    halfway = house.look_up(path)
    assert (halfway["state"], "results" in halfway) == ("running", False)
    house.queue.send(fan_out)
    house.work()

    check_fifty(house, path)
    assert house.given_up == []
    assert all(times == 1 for number, times in house.vision.seen.items())


def die_after(queue: fakes.FakeQueue, number: int) -> Callable[[Any], None]:
    def send_all(messages: Any) -> None:
        queue.sent += messages[:number]
        raise Killed

    return send_all


def test_a_message_that_comes_three_times_is_one_inference(house: House) -> None:
    path = house.hand_in(2)
    house.work(most=1)
    (first, second) = map(json.dumps, house.queue.sent)
    house.queue.sent.clear()

    assert [house.deliver(first) for _ in range(3)] == [False, False, False]

    assert house.vision.seen == {0: 1}
    assert house.look_up(path)["counts"]["success"] == 1
    assert [house.deliver(second) for _ in range(3)] == [False, False, False]
    assert house.vision.seen == {0: 1, 1: 1}
    assert house.look_up(path)["counts"]["success"] == 2


def test_two_workers_at_one_item_are_one_inference(house: House) -> None:
    path = house.hand_in(1)
    house.work(most=1)
    (message,) = map(json.dumps, house.queue.sent)
    house.queue.sent.clear()
    meanwhile: list[bool] = []
    house.vision.meanwhile = {0: lambda: meanwhile.append(house.deliver(message))}

    assert house.deliver(message) is False

    assert meanwhile == [True]
    assert house.deliver(message, delivery=2) is False
    assert house.vision.seen == {0: 1}
    assert house.look_up(path)["counts"]["success"] == 1
    assert len(house.results(path)) == 1


def test_who_dies_before_the_results_are_written_leaves_that_to_the_next(house: House) -> None:
    path = house.hand_in(1)
    put_results, house.files.put_results = house.files.put_results, dies  # type: ignore[method-assign,assignment]
    house.work(most=2)
    assert (house.look_up(path)["state"], house.look_up(path)["counts"]["success"]) == (
        "running",
        1,
    )

    house.files.put_results = put_results  # type: ignore[method-assign]
    house.work()

    assert house.look_up(path)["state"] == "done"
    assert [line["id"] for line in house.results(path)] == ["1"]
    assert house.vision.seen == {0: 1}


def dies(*_: object) -> str:
    raise Killed


def test_what_was_given_up_is_an_error_until_it_is_sent_again(house: House) -> None:
    path = house.hand_in(2)
    house.store.failing = "upper"

    house.work()

    answer = house.look_up(path)
    assert (answer["state"], answer["counts"]["error"]) == ("done", 2)
    assert {line["error"]["code"] for line in house.results(path)} == {"STORE_FAILED"}
    assert len(house.given_up) == 2

    house.store.failing = None
    first, second = house.given_up
    house.deliver(first)
    answer = house.look_up(path)
    assert (answer["state"], answer["counts"]["success"]) == ("done", 1)
    house.deliver(second)
    assert house.look_up(path)["counts"]["success"] == 2
    assert {line["status"] for line in house.results(path)} == {"success"}


def test_somebody_elses_batch_looks_like_none(house: House) -> None:
    path = house.hand_in(1)

    theirs = house.call("api-batch", path, sub="user-2")
    none = house.call("api-batch", "/v1/batches/" + "0" * 32, sub="user-2")

    assert theirs[:2] == none[:2]
    assert (theirs[0], theirs[1]["error"]["code"]) == (404, "NOT_FOUND")


def test_who_is_signed_in_is_the_user_whatever_an_item_says(house: House) -> None:
    body = {"items": [{"photo": url(0), "user_id": "user-9"}]}

    _, answer, _ = house.call("api-batches", body=body)

    (task,) = house.files.items(answer["batch_id"])
    assert task.user_id == OWNER


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": [{}]}, "items.0.photo"),
        ({"items": [{"photo": url(0), "masks": ["torso"]}]}, "items.0.masks"),
        ({"items": [{"photo": url(0), "colour": 1}]}, "items.0.colour"),
        ({"items": [{"photo": url(0), "id": "../a"}]}, "items.0.id"),
        ({"items": [{"photo": url(0), "id": "2"}, {"photo": url(1)}]}, "each id once"),
        ({"items": [{"photo": url(0)}] * 1001}, "items"),
        ({"items": [{"photo": url(0)}], "manifest": f"manifests/{OWNER}/a"}, "exactly one"),
        ({"items": [{"photo": url(0)}], "callback_url": "https://a.example/"}, "callback_url"),
    ],
)
def test_a_batch_with_a_bad_item_is_not_taken(
    house: House, body: dict[str, Any], named: str
) -> None:
    status, answer, _ = house.call("api-batches", body=body)

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert named in answer["error"]["message"]
    assert house.queue.sent == []


def hand_in_list(house: House) -> str:
    """The number of a batch whose items are in a list."""
    body = {"manifest": f"manifests/{OWNER}/list.jsonl"}
    status, answer, headers = house.call("api-batches", body=body)
    assert (status, answer["state"], answer["total"]) == (202, "queued", 0)
    assert headers["Location"] == f"/v1/batches/{answer['batch_id']}"
    assert house.runs.started == [(answer["batch_id"], body["manifest"], OWNER)]
    batch_id: str = answer["batch_id"]
    return batch_id


def test_a_list_is_worked_off_line_by_line(house: House) -> None:
    batch_id = hand_in_list(house)
    numbers = (*BAD, 0, 1)
    lines: list[dict[str, Any]] = [{"photo": url(number), "masks": ["upper"]} for number in numbers]
    lines += [{"photo": url(2), "id": "named", "user_id": "user-9"}, {"id": "broken"}]

    made = [house.line(batch_id, number, line, OWNER) for number, line in enumerate(lines)]

    assert [line["id"] for line in made] == ["1", "2", "3", "4", "5", "6", "7", "named", "broken"]
    counts = Counter(line["status"] for line in made)
    assert counts == {"success": 3, "refused": 2, "error": 4}
    assert made[-1]["error"]["code"] == "INVALID_REQUEST"
    house.runs.run = Run("running", 20, 10, 1, 0, None)
    answer = house.look_up(f"/v1/batches/{batch_id}")
    assert answer["counts"] == {"queued": 10, "running": 1, "partial": 0, **counts}
    assert (answer["state"], answer["total"]) == ("running", 20)


def test_the_results_of_a_list_are_files(house: House) -> None:
    batch_id = hand_in_list(house)
    house.line(batch_id, 0, {"photo": url(0)}, None)
    folder = f"results/batches/{batch_id}/0b2c"
    listed = {"SUCCEEDED": [{"Key": f"{folder}/SUCCEEDED_0.jsonl"}], "FAILED": [], "PENDING": []}
    house.s3.put_object(
        Bucket=BUCKET, Key=f"{folder}/manifest.json", Body=json.dumps({"ResultFiles": listed})
    )
    house.runs.run = Run("done", 2, 0, 0, 1, f"{folder}/manifest.json")

    answer = house.look_up(f"/v1/batches/{batch_id}")

    assert answer["state"] == "done"
    assert answer["counts"] | {"success": 1, "error": 1} == answer["counts"]
    (address,) = answer["results"]
    assert f"{folder}/SUCCEEDED_0.jsonl?" in address


def test_a_line_that_may_pass_is_raised_and_counted_when_it_did(house: House) -> None:
    batch_id = hand_in_list(house)
    house.store.failing = "upper"
    with pytest.raises(StoreFailed):
        house.line(batch_id, 0, {"photo": url(0)}, None)
    assert sum(house.batches.count_list_items(batch_id, 1).values()) == 0

    house.store.failing = None
    answers = [house.line(batch_id, 0, {"photo": url(0)}, None) for _ in range(3)]

    assert {answer["status"] for answer in answers} == {"success"}
    assert house.batches.count_list_items(batch_id, 1)["success"] == 1
    assert house.vision.seen == {0: 2}


@pytest.mark.parametrize(
    "manifest",
    ["manifests/user-2/list.jsonl", "manifests/user-10/a", "uploads/user-1/a", "manifests/", "x"],
)
def test_a_list_of_somebody_elses_is_not_taken(house: House, manifest: str) -> None:
    status, answer, _ = house.call("api-batches", body={"manifest": manifest})

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert house.runs.started == []


def test_a_thousand_are_taken(house: House) -> None:
    path = house.hand_in(1000)

    house.work(most=1)

    assert len(house.queue.sent) == 1000
    assert len({json.dumps(sent) for sent in house.queue.sent}) == 1000
    assert house.look_up(path)["counts"]["queued"] == 1000


def test_a_batch_that_was_forgotten_is_let_go(house: House) -> None:
    assert house.deliver(json.dumps({"batch_id": "1" * 32})) is False
    assert house.queue.sent == []


def test_an_item_that_was_erased_while_it_waited_is_an_error(house: House) -> None:
    path = house.hand_in(3)
    house.work(most=2)
    batch_id = path.rpartition("/")[2]
    house.files.put_items(batch_id, house.files.items(batch_id)[:2])

    house.work()

    answer = house.look_up(path)
    assert (answer["state"], answer["counts"]["success"], answer["counts"]["error"]) == (
        "done",
        2,
        1,
    )
    assert [line["id"] for line in house.results(path)] == ["1", "2"]
    assert house.given_up == []
