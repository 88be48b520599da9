from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tryon_masks.adapters.directory import DirectoryMaskStore
from tryon_masks.domain.errors import StoreFailed
from tryon_masks.ports import EncodedImage, user_folder
from tryon_masks.telemetry import RequestLog, request_log

FILES = {
    "upper": EncodedImage(b"first", "image/png", "png"),
    "overlay": EncodedImage(b"second", "image/jpeg", "jpg"),
}


@pytest.fixture(autouse=True)
def log() -> Iterator[RequestLog]:
    with request_log("request-1", "user-1") as log:
        yield log


def test_files_are_named_after_the_photo_and_the_addresses_lead_to_them(tmp_path: Path) -> None:
    addresses = DirectoryMaskStore(tmp_path / "new folder").save("jäger 1", FILES)

    assert {path.name for path in (tmp_path / "new folder").iterdir()} == {
        "jäger 1.upper.png",
        "jäger 1.overlay.jpg",
    }
    for name, address in addresses.items():
        assert address.startswith("file:///")
        assert Path(unquote(urlsplit(address).path)).read_bytes() == FILES[name].data


def test_a_relative_folder_gives_absolute_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    addresses = DirectoryMaskStore(Path("masks")).save("photo", FILES)

    assert addresses["upper"] == (tmp_path / "masks" / "photo.upper.png").as_uri()


def test_saving_again_replaces_the_file_and_keeps_the_address(tmp_path: Path) -> None:
    store = DirectoryMaskStore(tmp_path)
    first = store.save("photo", FILES)

    again = store.save("photo", {"upper": EncodedImage(b"newer", "image/png", "png")})

    assert again["upper"] == first["upper"]
    assert (tmp_path / "photo.upper.png").read_bytes() == b"newer"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_key_with_slashes_makes_folders(tmp_path: Path) -> None:
    DirectoryMaskStore(tmp_path).save("a/b/photo", FILES)

    assert (tmp_path / "a" / "b" / "photo.upper.png").read_bytes() == b"first"


@pytest.mark.parametrize("key", ["../photo", "a/../../photo", "/photo"])
def test_a_key_that_leads_out_of_the_folder_is_refused(tmp_path: Path, key: str) -> None:
    root = tmp_path / "masks"

    with pytest.raises(StoreFailed) as caught:
        DirectoryMaskStore(root).save(key, FILES)

    assert str(caught.value) == "These masks could not be stored: upper."
    assert list(tmp_path.rglob("*.png")) == []


def test_a_file_that_cannot_be_replaced_is_a_failure_that_leaves_no_scraps(
    tmp_path: Path,
) -> None:
    (tmp_path / "photo.overlay.jpg" / "in the way").mkdir(parents=True)

    with pytest.raises(StoreFailed) as caught:
        DirectoryMaskStore(tmp_path).save("photo", FILES)

    assert str(caught.value) == "These masks could not be stored: overlay."
    assert {path.name for path in tmp_path.iterdir()} == {"photo.upper.png", "photo.overlay.jpg"}


def test_a_folder_that_cannot_be_made_is_a_failure_whose_message_hides_the_path(
    tmp_path: Path,
) -> None:
    (tmp_path / "masks").write_text("a file, not a folder")

    with pytest.raises(StoreFailed) as caught:
        DirectoryMaskStore(tmp_path / "masks").save("photo", FILES)

    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path) in str(caught.value.detail)


def test_each_file_is_a_step(tmp_path: Path, log: RequestLog) -> None:
    DirectoryMaskStore(tmp_path).save("photo", FILES)

    done = [(r["component"], r["step"], r["mask"]) for r in log.records if r["status"] == "done"]
    assert done == [
        ("directory", "write_mask", "upper"),
        ("directory", "write_mask", "overlay"),
    ]


def test_what_was_made_for_a_user_is_found_and_erased(tmp_path: Path) -> None:
    store = DirectoryMaskStore(tmp_path)
    for key in (f"{user_folder('u1')}/abc", f"{user_folder('u2')}/abc", "photo"):
        store.save(key, FILES)

    found = store.find("u1")
    store.erase(found)

    assert found == sorted(
        f"{user_folder('u1')}/abc.{name}" for name in ("upper.png", "overlay.jpg")
    )
    assert store.find("u1") == []
    assert len(store.find("u2")) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        user_folder("u2"),
        "photo.upper.png",
        "photo.overlay.jpg",
    }
    store.erase(found)


def test_what_cannot_be_erased_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()

    with pytest.raises(StoreFailed, match=r"^The masks could not be erased\.$"):
        DirectoryMaskStore(tmp_path).erase(["a folder"])
