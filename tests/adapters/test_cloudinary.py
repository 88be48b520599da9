"""The Cloudinary store through the real SDK, against a stand-in that verifies signatures."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image
from tests.standins import cloudinary as standin_module
from tests.standins.cloudinary import CloudinaryStandIn, signature_base

from tryon_masks.adapters import cloudinary as cloudinary_adapter
from tryon_masks.adapters.cloudinary import CloudinaryMaskStore
from tryon_masks.deadline import time_limit
from tryon_masks.domain.errors import OutOfTime, SettingsError, StoreFailed, StoreTimeout
from tryon_masks.ports import EncodedImage, user_folder
from tryon_masks.telemetry import RequestLog, request_log

KEY = "0123456789abcdef"


def png(grey: int) -> EncodedImage:
    file = io.BytesIO()
    Image.new("L", (6, 4), grey).save(file, "PNG")
    return EncodedImage(file.getvalue(), "image/png", "png")


FILES = {"upper": png(255), "lower": png(0)}


@pytest.fixture
def cloudinary() -> Iterator[CloudinaryStandIn]:
    with CloudinaryStandIn() as standin:
        yield standin


@pytest.fixture
def log() -> Iterator[RequestLog]:
    with request_log("request-1", "user-1") as log:
        yield log


def store_for(url: str, *, timeout_s: float = 60.0, tries: int = 3) -> CloudinaryMaskStore:
    return CloudinaryMaskStore(url, "tryon-masks", timeout_s, tries=tries, backoff_s=0.001)


def ends(log: RequestLog, mask: str) -> list[tuple[int, str]]:
    return [
        (record["attempt"], record["status"])
        for record in log.records
        if record.get("mask") == mask and record["status"] != "started"
    ]


def test_each_address_serves_the_bytes_that_were_saved(
    cloudinary: CloudinaryStandIn, log: RequestLog
) -> None:
    addresses = store_for(cloudinary.url).save(KEY, FILES)

    assert list(addresses) == ["upper", "lower"]
    for name, address in addresses.items():
        answer = requests.get(address, timeout=60)
        assert answer.content == FILES[name].data
        assert answer.headers["Content-Type"] == "image/png"


def test_the_public_id_is_folder_key_name_and_an_upload_overwrites(
    cloudinary: CloudinaryStandIn, log: RequestLog
) -> None:
    store_for(cloudinary.url).save(KEY, FILES)

    upload = cloudinary.uploads[f"tryon-masks/{KEY}/upper"]
    assert upload.fields["overwrite"] == "1"
    assert upload.fields["invalidate"] == "1"
    assert upload.filename == "upper.png"
    assert set(cloudinary.uploads) == {f"tryon-masks/{KEY}/{name}" for name in FILES}


def test_saving_again_gives_the_same_addresses_and_the_newest_bytes(
    cloudinary: CloudinaryStandIn, log: RequestLog
) -> None:
    store = store_for(cloudinary.url)
    first = store.save(KEY, FILES)
    version = cloudinary.uploads[f"tryon-masks/{KEY}/upper"].version

    again = store.save(KEY, {"upper": png(7), "lower": png(8)})

    assert again == first
    upload = cloudinary.uploads[f"tryon-masks/{KEY}/upper"]
    assert (upload.times, upload.version > version) == (2, True)
    assert requests.get(again["upper"], timeout=60).content == png(7).data


def test_webp_and_jpeg_keep_their_endings(cloudinary: CloudinaryStandIn, log: RequestLog) -> None:
    files = {}
    for name, kind, extension in (("upper", "WEBP", "webp"), ("overlay", "JPEG", "jpg")):
        file = io.BytesIO()
        Image.new("L", (4, 4)).save(file, kind)
        files[name] = EncodedImage(file.getvalue(), f"image/{kind.lower()}", extension)

    addresses = store_for(cloudinary.url).save(KEY, files)

    assert addresses["upper"].endswith(f"/v1/tryon-masks/{KEY}/upper.webp")
    assert addresses["overlay"].endswith(f"/v1/tryon-masks/{KEY}/overlay.jpg")


def test_all_files_are_under_way_at_once(cloudinary: CloudinaryStandIn, log: RequestLog) -> None:
    cloudinary.fail("wait_for_another")

    assert len(store_for(cloudinary.url, tries=1).save(KEY, FILES)) == 2


def test_connections_are_kept(cloudinary: CloudinaryStandIn, log: RequestLog) -> None:
    cloudinary.fail("wait_for_another")
    store = store_for(cloudinary.url, tries=1)

    for _ in range(3):
        store.save(KEY, FILES)

    assert cloudinary.connections == 2


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_the_signature_algorithm_can_be_chosen(
    cloudinary: CloudinaryStandIn, log: RequestLog, algorithm: str
) -> None:
    store = store_for(f"{cloudinary.url}&signature_algorithm={algorithm}")

    store.save(KEY, FILES)

    assert {upload.signed_with for upload in cloudinary.uploads.values()} == {algorithm}


@pytest.mark.parametrize("how", ["throttled", "broken", "gateway", "reset"])
def test_a_passing_fault_is_tried_again(
    cloudinary: CloudinaryStandIn, log: RequestLog, how: str
) -> None:
    cloudinary.fail(how, times=2, name="lower")

    addresses = store_for(cloudinary.url).save(KEY, FILES)

    assert set(addresses) == {"upper", "lower"}
    assert ends(log, "upper") == [(1, "done")]
    assert ends(log, "lower") == [(1, "failed"), (2, "failed"), (3, "done")]


def test_a_hanging_try_is_cut_and_tried_again(
    cloudinary: CloudinaryStandIn, log: RequestLog
) -> None:
    cloudinary.fail("hang", times=1, name="lower")

    addresses = store_for(cloudinary.url, timeout_s=15.0).save(KEY, FILES)

    assert set(addresses) == {"upper", "lower"}
    assert ends(log, "lower") == [(1, "failed"), (2, "done")]


@pytest.mark.parametrize("how", ["throttled", "broken", "gateway", "reset"])
def test_a_lasting_fault_ends_after_three_tries_and_names_the_mask(
    cloudinary: CloudinaryStandIn, log: RequestLog, how: str
) -> None:
    cloudinary.fail(how, name="lower")

    with pytest.raises(StoreFailed) as caught:
        store_for(cloudinary.url).save(KEY, FILES)

    assert str(caught.value) == "These masks could not be stored: lower."
    assert cloudinary.requests.count(f"tryon-masks/{KEY}/lower") == 3
    assert cloudinary.requests.count(f"tryon-masks/{KEY}/upper") == 1


def test_when_all_fail_all_are_named(cloudinary: CloudinaryStandIn, log: RequestLog) -> None:
    cloudinary.fail("broken")

    with pytest.raises(StoreFailed, match=r"^These masks could not be stored: upper, lower\.$"):
        store_for(cloudinary.url, tries=1).save(KEY, FILES)


def test_a_final_refusal_is_not_repeated(cloudinary: CloudinaryStandIn, log: RequestLog) -> None:
    cloudinary.fail("forbidden", name="upper")

    with pytest.raises(StoreFailed, match="stored: upper") as caught:
        store_for(cloudinary.url).save(KEY, FILES)

    assert ends(log, "upper") == [(1, "failed")]
    assert caught.value.detail == "upper: HTTP 403: Your account is disabled"


def test_a_store_that_never_answers_is_a_timeout(
    cloudinary: CloudinaryStandIn, log: RequestLog
) -> None:
    cloudinary.fail("hang")

    with pytest.raises(StoreTimeout) as caught:
        store_for(cloudinary.url, timeout_s=0.1, tries=2).save(KEY, FILES)

    assert str(caught.value) == "The mask store did not answer in time for: upper, lower."
    assert caught.value.status == 504


def test_one_slow_and_one_broken_mask_are_a_failure_of_both(
    cloudinary: CloudinaryStandIn, log: RequestLog
) -> None:
    cloudinary.fail("hang", name="upper")
    cloudinary.fail("broken", name="lower")

    with pytest.raises(StoreFailed, match="stored: upper, lower"):
        store_for(cloudinary.url, timeout_s=5.0, tries=1).save(KEY, FILES)


def test_nobody_listening_is_a_failure(log: RequestLog, caplog: pytest.LogCaptureFixture) -> None:
    with CloudinaryStandIn() as gone:
        url = gone.url

    with pytest.raises(StoreFailed, match="stored: upper, lower"):
        store_for(url, tries=2).save(KEY, FILES)

    assert ends(log, "upper") == [(1, "failed"), (2, "failed")]
    assert [record for record in caplog.records if record.name.startswith("urllib3")] == []


@pytest.mark.parametrize(
    ("right", "wrong", "status"),
    [
        ("demo-secret", "other-secret", 401),
        ("demo-key", "other-key", 401),
        ("@demo-cloud", "@other-cloud", 404),
    ],
)
def test_wrong_credentials_are_refused_once_and_never_told(
    cloudinary: CloudinaryStandIn, log: RequestLog, right: str, wrong: str, status: int
) -> None:
    with pytest.raises(StoreFailed) as caught:
        store_for(cloudinary.url.replace(right, wrong)).save(KEY, FILES)

    assert f"HTTP {status}" in str(caught.value.detail)
    assert ends(log, "upper") == [(1, "failed")]
    assert "secret" not in f"{caught.value} {json.dumps(log.records)}"
    assert cloudinary.uploads == {}


def test_a_clock_that_is_wrong_is_refused(log: RequestLog) -> None:
    with (
        CloudinaryStandIn(clock=lambda: time.time() + 3700) as tomorrow,
        pytest.raises(StoreFailed) as caught,
    ):
        store_for(tomorrow.url).save(KEY, FILES)

    assert "HTTP 400: Stale request" in str(caught.value.detail)


def test_an_image_stored_under_another_name_is_a_failure(
    cloudinary: CloudinaryStandIn, log: RequestLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_upload = cloudinary.store

    def rename(fields: dict[str, str], filename: str, data: bytes) -> standin_module.Upload:
        fields = {**fields, "public_id": f"preset/{fields['public_id']}"}
        return store_upload(fields, filename, data)

    monkeypatch.setattr(cloudinary, "store", rename)

    with pytest.raises(StoreFailed, match="stored: upper") as caught:
        store_for(cloudinary.url).save(KEY, {"upper": FILES["upper"]})

    assert f"was stored as preset/tryon-masks/{KEY}/upper" in str(caught.value.detail)


def test_two_accounts_in_one_process_do_not_mix(log: RequestLog) -> None:
    with (
        CloudinaryStandIn(cloud_name="one", api_secret="first") as one,
        CloudinaryStandIn(cloud_name="two", api_secret="second") as two,
    ):
        stores = [store_for(one.url), store_for(two.url)]
        for store in stores:
            store.save(KEY, FILES)

        assert [len(standin.uploads) for standin in (one, two)] == [2, 2]


def test_every_upload_is_a_step_of_the_request(
    cloudinary: CloudinaryStandIn, log: RequestLog
) -> None:
    store_for(cloudinary.url).save(KEY, FILES)

    done = [record for record in log.records if record["status"] == "done"]
    assert {record["mask"] for record in done} == {"upper", "lower"}
    assert {record["request_id"] for record in done} == {"request-1"}
    assert {(record["component"], record["step"]) for record in done} == {
        ("cloudinary", "upload_mask")
    }


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "must look like"),
        ("https://key:hush@cloud", "must look like"),
        ("cloudinary://cloud", "must look like"),
        ("cloudinary://hush@cloud", "must look like"),
        ("cloudinary://:hush@cloud", "must look like"),
        ("cloudinary://key:@cloud", "must look like"),
        ("cloudinary://key:hush@", "must look like"),
        ("cloudinary://key:hush@cloud/path", "must look like"),
        ("cloudinary://key:hush@clo ud", "must look like"),
        ("cloudinary://key:hu?sh@cloud", "must look like"),
        ("cloudinary://key:hu#sh@cloud", "must look like"),
        ("cloudinary://key:[hush@cloud", "must look like"),
        ("cloudinary://key:hush@cloud?upload_prefix=", "upload_prefix"),
        ("cloudinary://key:hush@cloud?upload_prefix=ftp://host", "upload_prefix"),
        ("cloudinary://key:hush@cloud?signature_algorithm=md5", "sha1 or sha256"),
        ("cloudinary://key:hush@cloud?speed=high", "unknown parameters: speed"),
    ],
)
def test_a_malformed_url_stops_the_start_and_is_not_repeated(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        CloudinaryMaskStore(url, "tryon-masks", 5.0)

    assert "hush" not in f"{caught.value} {caught.value.detail}"
    assert caught.value.__cause__ is None


def test_a_bad_url_in_the_environment_stops_the_start_with_our_error() -> None:
    """In a process of its own, because the SDK reads the environment when it is imported."""
    program = (
        "import os\n"
        "from tryon_masks.adapters.cloudinary import CloudinaryMaskStore\n"
        "from tryon_masks.domain.errors import SettingsError\n"
        "try:\n"
        "    CloudinaryMaskStore(os.environ['CLOUDINARY_URL'], 'tryon-masks', 5.0)\n"
        "except SettingsError as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"CLOUDINARY_URL": "cloudnary://key:hush@cloud", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith("CLOUDINARY_URL must look like")


def test_the_string_to_sign_leaves_out_what_is_not_signed_and_escapes_ampersands() -> None:
    fields = {
        "timestamp": "1315060510",
        "public_id": "a&b=c",
        "eager": "",
        "api_key": "key",
        "signature": "x",
        "resource_type": "image",
        "cloud_name": "cloud",
        "file": "bytes",
    }
    assert signature_base(fields) == "public_id=a%26b=c&timestamp=1315060510"


def test_the_stand_in_runs_as_a_process_and_fails_on_demand(log: RequestLog) -> None:
    program = Path(standin_module.__file__)
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        origin = url.partition("upload_prefix=")[2]
        try:
            store = store_for(url, tries=1)
            fault = {"how": "broken", "times": "1", "name": "lower"}
            requests.post(f"{origin}/standin/fail", params=fault, timeout=60).raise_for_status()
            with pytest.raises(StoreFailed, match="lower"):
                store.save(KEY, FILES)
            store.save(KEY, FILES)
            listed = requests.get(f"{origin}/standin/uploads", timeout=60).json()
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert {upload["public_id"]: upload["times"] for upload in listed["uploads"]} == {
        f"tryon-masks/{KEY}/upper": 2,
        f"tryon-masks/{KEY}/lower": 1,
    }
    assert len(listed["requests"]) == 4


def test_without_the_time_for_it_nothing_is_uploaded(
    cloudinary: CloudinaryStandIn, log: RequestLog
) -> None:
    with time_limit(0.9), pytest.raises(OutOfTime):
        store_for(cloudinary.url).save(KEY, FILES)

    assert cloudinary.uploads == {}


def test_what_was_made_for_a_user_is_found_and_erased_and_the_cdn_told(
    cloudinary: CloudinaryStandIn, log: RequestLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudinary_adapter, "PAGE_SIZE", 3)
    monkeypatch.setattr(cloudinary_adapter, "MAX_DELETIONS", 2)
    store = store_for(cloudinary.url)
    for key in ("u1/a", "u1/b", "u1/c", "u2/a"):
        user, _, what = key.partition("/")
        store.save(f"{user_folder(user)}/{what}", FILES)

    found = store.find("u1")
    store.erase(found)

    start = f"tryon-masks/{user_folder('u1')}/"
    assert set(found) == {f"{start}{what}/{name}" for what in "abc" for name in FILES}
    assert cloudinary.forgotten == found
    assert store.find("u1") == []
    assert set(cloudinary.uploads) == set(store.find("u2"))
    store.erase(found)


@pytest.mark.parametrize("call", ["find", "erase"])
@pytest.mark.parametrize("why", ["throttled", "wrong key", "gone", "gateway"])
def test_what_cloudinary_does_not_do_is_a_failure(
    cloudinary: CloudinaryStandIn, call: str, why: str
) -> None:
    url = cloudinary.url
    if why == "throttled":
        cloudinary.fail("throttled", name="admin")
    if why == "wrong key":
        url = url.replace("demo-key", "other-key")
    if why == "gateway":
        cloudinary.fail("gateway", name="admin")
    with CloudinaryStandIn() as other:
        if why == "gone":
            url = other.url
    store = store_for(url)

    with pytest.raises(StoreFailed, match=r"^Cloudinary could not list or erase") as caught:
        store.find("u1") if call == "find" else store.erase(["tryon-masks/a"])

    assert "secret" not in f"{caught.value} {caught.value.detail}"
