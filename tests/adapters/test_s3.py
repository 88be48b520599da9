from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from botocore.exceptions import ClientError
from moto import mock_aws

from tryon_masks.adapters.s3 import (
    S3MaskStore,
    S3Objects,
    S3UploadForms,
    S3UserLines,
    S3UserObjects,
    s3_client,
)
from tryon_masks.domain.errors import (
    PhotoFetchFailed,
    PhotoFetchTimeout,
    PhotoNotFound,
    PhotoTooLarge,
    StoreFailed,
    StoreTimeout,
    TryonMasksError,
)
from tryon_masks.ports import EncodedImage, UserData, user_folder
from tryon_masks.telemetry import RequestLog, request_log

BUCKET = "a-bucket"
KEPT = ("upper.png", "lower.webp")
FILES = {
    "upper": EncodedImage(b"first", "image/png", "png"),
    "lower": EncodedImage(b"second", "image/webp", "webp"),
}


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def log() -> Iterator[RequestLog]:
    with request_log("request-1", "user-1") as log:
        yield log


@pytest.fixture
def client() -> Iterator[Any]:
    with mock_aws():
        client = s3_client(60.0)
        client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        yield client


class Server:
    """An S3 endpoint on loopback that gives each request to ``answer``, with its number."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler, int], object]) -> None:
        self.calls = 0
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(handler) -> None:  # noqa: N805
                handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
                with lock:
                    self.calls += 1
                    number = self.calls
                answer(handler, number)

            do_GET = do_PUT = do_POST = handle_any  # noqa: N815

            def log_message(self, *args: Any) -> None:
                """Nothing on stderr."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def empty(handler: BaseHTTPRequestHandler, status: int) -> None:
    says(handler, status, b"")


def says(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_masks_are_kept_under_prefix_key_and_name(client: Any) -> None:
    S3MaskStore(BUCKET, "masks/", client, None, 600).save("abc", FILES)

    listed = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert {item["Key"] for item in listed} == {"masks/abc/upper.png", "masks/abc/lower.webp"}
    kept = client.get_object(Bucket=BUCKET, Key="masks/abc/lower.webp")
    assert kept["Body"].read() == b"second"
    assert kept["ContentType"] == "image/webp"
    assert kept["CacheControl"] == "private, max-age=86400"


def test_without_a_prefix_the_key_comes_first(client: Any) -> None:
    addresses = S3MaskStore(BUCKET, "", client, "https://cdn.example", 600).save("abc", FILES)

    assert addresses["upper"] == "https://cdn.example/abc/upper.png"
    assert client.get_object(Bucket=BUCKET, Key="abc/upper.png")["Body"].read() == b"first"


def test_a_presigned_address_reads_the_mask_for_its_time(client: Any) -> None:
    address = S3MaskStore(BUCKET, "masks", client, None, 600).save("abc", FILES)["upper"]

    query = parse_qs(urlsplit(address).query)
    assert address.startswith("https://")
    assert query["X-Amz-Expires"] == ["600"]
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert "/eu-central-1/s3/" in query["X-Amz-Credential"][0]
    assert requests.get(address, timeout=60).content == b"first"


def test_a_presigned_address_is_one_of_the_bucket_s_own_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        client = s3_client(60.0)
        client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        address = S3MaskStore(BUCKET, "masks", client, None, 60).save("abc", FILES)["upper"]

    assert urlsplit(address).hostname == f"{BUCKET}.s3.eu-west-1.amazonaws.com"
    assert "X-Amz-Signature" in parse_qs(urlsplit(address).query)


def test_saving_again_overwrites_behind_the_same_path(client: Any) -> None:
    store = S3MaskStore(BUCKET, "masks", client, None, 600)
    first = store.save("abc", FILES)["upper"]

    again = store.save("abc", {"upper": EncodedImage(b"newer", "image/png", "png")})["upper"]

    assert urlsplit(again).path == urlsplit(first).path
    assert requests.get(first, timeout=60).content == b"newer"


def test_a_public_address_is_the_base_and_the_escaped_key(client: Any) -> None:
    store = S3MaskStore(BUCKET, "masks", client, "https://cdn.example/try-on/", 600)

    addresses = store.save("my photo+1", FILES)

    assert addresses["upper"] == "https://cdn.example/try-on/masks/my%20photo%2B1/upper.png"
    kept = client.head_object(Bucket=BUCKET, Key="masks/my photo+1/upper.png")
    assert kept["CacheControl"] == "public, max-age=86400"


def test_a_bucket_that_is_not_there_fails_and_names_all_masks(client: Any) -> None:
    with pytest.raises(StoreFailed) as caught:
        S3MaskStore("another-bucket", "masks", client, None, 600).save("abc", FILES)

    assert str(caught.value) == "These masks could not be stored: upper, lower."
    assert "NoSuchBucket" in str(caught.value.detail)


class OneMaskIsDenied:
    """A client that may write the upper mask and not the lower."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def put_object(self, *, Key: str, **_: object) -> None:  # noqa: N803
        self.keys.append(Key)
        if "lower" in Key:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")

    def generate_presigned_url(self, *_: object, **__: object) -> str:
        return "https://bucket.example/upper"


def test_one_mask_that_fails_fails_the_save_and_is_named(log: RequestLog) -> None:
    client = OneMaskIsDenied()

    with pytest.raises(StoreFailed) as caught:
        S3MaskStore(BUCKET, "masks", client, None, 600).save("abc", FILES)

    assert str(caught.value) == "These masks could not be stored: lower."
    assert sorted(client.keys) == ["masks/abc/lower.webp", "masks/abc/upper.png"]
    ends = {(r["mask"], r["status"]) for r in log.records if r["status"] != "started"}
    assert ends == {("upper", "done"), ("lower", "failed")}


def test_a_passing_fault_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(lambda handler, number: empty(handler, 503 if number == 1 else 200)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        store = S3MaskStore(BUCKET, "masks", s3_client(60.0, tries=2), None, 600)

        store.save("abc", {"upper": FILES["upper"]})

    assert server.calls == 2


def test_a_denial_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(lambda handler, _: empty(handler, 403)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        store = S3MaskStore(BUCKET, "masks", s3_client(60.0), None, 600)
        with pytest.raises(StoreFailed, match="upper"):
            store.save("abc", {"upper": FILES["upper"]})

    assert server.calls == 1


def test_silence_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    with Server(lambda _, __: over.wait(60)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        client = s3_client(0.2, tries=1)
        with pytest.raises(StoreTimeout, match="did not answer in time for: upper, lower"):
            S3MaskStore(BUCKET, "masks", client, None, 600).save("abc", FILES)
        with pytest.raises(PhotoFetchTimeout):
            S3Objects(client).get(BUCKET, "photo.jpg", 100)
        with pytest.raises(StoreTimeout):
            S3Objects(client).put_json(BUCKET, "results/photo.json", {}, {})
        over.set()


def test_an_object_gives_its_bytes_and_metadata(client: Any) -> None:
    client.put_object(
        Bucket=BUCKET, Key="uploads/a b.jpg", Body=b"photo", Metadata={"User-Id": "u1"}
    )

    assert S3Objects(client).get(BUCKET, "uploads/a b.jpg", 5) == (b"photo", {"user-id": "u1"})


def test_an_object_over_the_limit_is_not_read(client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="photo.jpg", Body=b"photo!")

    with pytest.raises(PhotoTooLarge) as caught:
        S3Objects(client).get(BUCKET, "photo.jpg", 5)

    assert str(caught.value) == "The photo has more than 5 bytes."


@pytest.mark.parametrize(
    ("bucket", "key", "why"),
    [
        (BUCKET, "gone.jpg", "NoSuchKey"),
        (BUCKET, "folder/", "NoSuchKey"),
        ("another-bucket", "photo.jpg", "NoSuchBucket"),
        (BUCKET, "archived.jpg", "InvalidObjectState"),
    ],
)
def test_an_object_that_is_not_there_is_not_found(
    client: Any, bucket: str, key: str, why: str
) -> None:
    client.put_object(Bucket=BUCKET, Key="archived.jpg", Body=b"", StorageClass="GLACIER")
    with pytest.raises(PhotoNotFound) as caught:
        S3Objects(client).get(bucket, key, 5)

    assert why in str(caught.value.detail)
    assert key not in str(caught.value)


def cut_short(handler: BaseHTTPRequestHandler, _: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"only this")
    handler.close_connection = True


def test_an_object_that_is_cut_short_is_a_failed_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(cut_short) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        with pytest.raises(PhotoFetchFailed):
            S3Objects(s3_client(60.0, tries=1)).get(BUCKET, "photo.jpg", 1000)


def test_an_answer_is_written_as_json_and_replaced(client: Any) -> None:
    objects = S3Objects(client)
    for status in ("refused", "success"):
        document = {"status": status, "name": "Jürgen"}
        objects.put_json(BUCKET, "results/ä.json", document, {"user-id": "u1"})

    kept = client.get_object(Bucket=BUCKET, Key="results/ä.json")
    assert kept["ContentType"] == "application/json"
    assert kept["Metadata"] == {"user-id": "u1"}
    assert json.loads(kept["Body"].read()) == {"status": "success", "name": "Jürgen"}


@pytest.mark.parametrize(
    "call",
    [
        lambda objects: objects.get(BUCKET, "photo.jpg", 100),
        lambda objects: objects.put_json(BUCKET, "results/photo.json", {}, {}),
    ],
)
def test_nobody_listening_is_a_typed_error(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[S3Objects], object]
) -> None:
    with Server(lambda _, __: None) as gone:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", gone.url)

    with pytest.raises(TryonMasksError) as caught:
        call(S3Objects(s3_client(1.0, tries=1)))

    assert caught.value.status == 502


def test_a_form_takes_one_photo_of_its_type_and_size_under_its_key(client: Any) -> None:
    metadata = {"user-id": "user-1", "job-id": "7", "options": '{"masks": ["upper"]}'}

    form = S3UploadForms(BUCKET, client, 20_000_000, 900).make(
        "uploads/user-1/7", "image/jpeg", metadata
    )

    assert form.url == f"https://{BUCKET}.s3.eu-central-1.amazonaws.com/"
    policy = json.loads(base64.b64decode(form.fields["policy"]))
    fixed = {
        "key": "uploads/user-1/7",
        "Content-Type": "image/jpeg",
        "x-amz-meta-user-id": "user-1",
        "x-amz-meta-job-id": "7",
        "x-amz-meta-options": '{"masks": ["upper"]}',
    }
    assert fixed.items() <= form.fields.items()
    conditions = policy["conditions"]
    assert ["content-length-range", 1, 20_000_000] in conditions
    for name, value in {"bucket": BUCKET, **fixed}.items():
        assert {name: value} in conditions
    assert not any(one[0] == "starts-with" for one in conditions if isinstance(one, list))
    ends = datetime.fromisoformat(policy["expiration"]) - datetime.now(UTC)
    assert timedelta(seconds=880) < ends <= timedelta(seconds=900)
    assert "x-amz-signature" in form.fields


def test_a_form_works_as_it_is(client: Any) -> None:
    form = S3UploadForms(BUCKET, client, 100, 900).make(
        "uploads/user-1/7", "image/jpeg", {"job-id": "7"}
    )

    answer = requests.post(form.url, data=form.fields, files={"file": b"photo"}, timeout=60)

    assert answer.status_code < 300
    data, metadata = S3Objects(client).get(BUCKET, "uploads/user-1/7", 100)
    assert (data, metadata) == (b"photo", {"job-id": "7"})


def put(client: Any, key: str, body: bytes = b"x", **metadata: str) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata=metadata)


def keys(client: Any) -> set[str]:
    return {entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())}


@pytest.mark.parametrize("prefix", ["masks", ""])
def test_what_was_made_for_a_user_is_found_and_erased(
    client: Any, log: RequestLog, prefix: str
) -> None:
    store = S3MaskStore(BUCKET, prefix, client, None, 600)
    for user in ("u1", "u2"):
        store.save(f"{user_folder(user)}/abc", FILES)

    found = store.find("u1")
    store.erase(found)

    start = f"{prefix}/" if prefix else ""
    assert set(found) == {f"{start}{user_folder('u1')}/abc/{name}" for name in KEPT}
    assert store.find("u1") == []
    assert len(store.find("u2")) == len(keys(client)) == 2
    store.erase(found)


def test_a_users_uploads_and_results_are_found_by_what_they_say_of_themselves(
    client: Any,
) -> None:
    theirs = {
        "uploads/u1/named": {"user-id": "u1"},
        "uploads/backend/photo": {"user-id": "u1"},
        "results/uploads/backend/photo.json": {"user-id": "u1"},
        "uploads/u1/unnamed": {},
        "results/uploads/u1/gone.json": {},
        "manifests/u1/list.jsonl": {},
    }
    others = {
        "uploads/u1/of-another": {"user-id": "u2"},
        "uploads/u1": {},
        "uploads/u12/photo": {},
        "uploads/backend/nobodys": {},
        "masks/uploads/u1/upper.png": {},
    }
    for key, metadata in {**theirs, **others}.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=b"x", Metadata=metadata)
    objects = S3UserObjects(BUCKET, client, ("uploads/", "manifests/"), "results/")

    found = objects.find("u1")
    objects.erase(found)

    assert set(found) == theirs.keys()
    assert keys(client) == others.keys()


LINES = {
    "manifests/backend/list.jsonl": (
        '{"photo": "https://a.example/1", "user_id": "u1"}\n{"photo":"x","user_id":"u1"',
        '{"photo": "\u2028", "user_id": "u2"}\n\n{"photo": "\\"user_id\\": \\"u1\\""}\n[1]\n7\nu1\n'
        '{"photo": "u1", "user_id": "u2"\n{"photo": "\\"user_id\\": \\"u1\\""\n"u1"',
    ),
    "batches/1.jsonl": ('{"number": 0, "user_id": "u1"}', '{"number": 1, "user_id": "u12"}'),
    "results/batches/1.jsonl": ('{"id": "1", "user_id": "u1", "status": "success"}', ""),
    "results/batches/2/a/FAILED_0.jsonl": (
        json.dumps({"Input": '{"user_id": null, "item": {"user_id": "u1"}}', "Cause": "x"}),
        json.dumps({"Input": '{"user_id": "u2", "item": "u1"}', "Cause": "u1"}),
    ),
}
"""Key -> the user's lines and those of others."""


def test_a_users_lines_are_erased_and_the_others_stay(client: Any) -> None:
    for key, parts in LINES.items():
        put(client, key, "\n".join(filter(None, parts)).encode())
    put(client, "uploads/list.jsonl", b'{"user_id": "u1"}')
    lines = S3UserLines(BUCKET, client, ("manifests/", "batches/", "results/batches/"))

    found = lines.find("u1")
    lines.erase(found)

    assert len(found) == 5
    left = {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in LINES}
    for key, (_, others) in LINES.items():
        assert left[key].decode().split("\n")[:-1] == [line for line in others.split("\n") if line]
    assert lines.find("u1") == []
    lines.erase(found)
    for key in LINES:
        client.delete_object(Bucket=BUCKET, Key=key)
    lines.erase(found)
    assert keys(client) == {"uploads/list.jsonl"}


def test_entries_of_a_list_in_json_are_erased_too(client: Any) -> None:
    put(client, "results/a.json", b'[\n {"user_id": "u1"},\n {"user_id": "u2"}\n]')
    put(client, "results/b.jsonl", b'[1\n{"user_id": "u1"}')
    lines = S3UserLines(BUCKET, client, ("results/",))

    lines.erase(lines.find("u1"))

    left = client.get_object(Bucket=BUCKET, Key="results/a.json")["Body"].read()
    assert json.loads(left) == {"user_id": "u2"}
    assert client.get_object(Bucket=BUCKET, Key="results/b.jsonl")["Body"].read() == b"[1\n"


def test_a_list_that_is_nested_too_deeply_is_taken_line_by_line(client: Any) -> None:
    deep = b"[" * 100_000
    put(client, "results/a.jsonl", deep + b'\n{"user_id": "u1"}\n{"user_id": "u2"}')
    lines = S3UserLines(BUCKET, client, ("results/",))

    lines.erase(lines.find("u1"))

    left = client.get_object(Bucket=BUCKET, Key="results/a.jsonl")["Body"].read()
    assert left == deep + b'\n{"user_id": "u2"}\n'


class WrittenMeanwhile:
    """A client; whatever is read through it, somebody else writes at once."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_object(self, **asked: str) -> Any:
        answer = self._client.get_object(**asked)
        put(self._client, asked["Key"], b'{"user_id": "u1"}\n{"user_id": "u2"}\n')
        return answer


def test_lines_that_were_written_meanwhile_are_not_lost(client: Any) -> None:
    put(client, "batches/1.jsonl", b'{"user_id": "u1"}\n')
    found = S3UserLines(BUCKET, client, ("batches/",)).find("u1")

    with pytest.raises(StoreFailed):
        S3UserLines(BUCKET, WrittenMeanwhile(client), ("batches/",)).erase(found)

    assert b"u2" in client.get_object(Bucket=BUCKET, Key="batches/1.jsonl")["Body"].read()


def test_more_than_a_thousand_objects_are_erased(client: Any) -> None:
    for number in range(1003):
        put(client, f"masks/{user_folder('u1')}/{number}")
    store = S3MaskStore(BUCKET, "masks", client, None, 600)

    store.erase(store.find("u1"))

    assert keys(client) == set()


def test_what_s3_does_not_erase_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        b"<DeleteResult><Error><Key>masks/b</Key><Code>AccessDenied</Code><Message>no</Message>"
        b"</Error></DeleteResult>"
    )
    with Server(lambda handler, _: says(handler, 200, said)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        store = S3MaskStore(BUCKET, "masks", s3_client(60.0), None, 600)
        with pytest.raises(StoreFailed, match=r"^1 of 2 objects could not be erased\.$") as caught:
            store.erase(["masks/a", "masks/b"])

    assert caught.value.detail == "masks/b: AccessDenied"


@pytest.mark.parametrize("call", ["find", "erase"])
@pytest.mark.parametrize("kind", ["masks", "uploads", "lines"])
def test_without_permission_nothing_counts_as_erased(
    monkeypatch: pytest.MonkeyPatch, kind: str, call: str
) -> None:
    with Server(lambda handler, _: empty(handler, 403)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        places: dict[str, UserData] = {
            "masks": S3MaskStore(BUCKET, "masks", s3_client(60.0), None, 600),
            "uploads": S3UserObjects(BUCKET, s3_client(60.0), ("uploads/",), "results/"),
            "lines": S3UserLines(BUCKET, s3_client(60.0), ("batches/",)),
        }
        place = places[kind]
        with pytest.raises(StoreFailed, match=r"^S3 could not list or erase objects\.$"):
            place.find("u1") if call == "find" else place.erase(["key#digest"])
