"""models/build.py: files that are published by themselves, from a server on this machine."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from models import build
from tests.unit.test_build_models import CATALOGUE, EYES, FakeTools, sha256

from tryon_masks.domain.errors import ModelSetError
from tryon_masks.vision.catalog import load_model_set

WEIGHTS = b"".join(number.to_bytes(4, "big") for number in range(1 << 18))
"""One megabyte, no two words alike."""


class Shelf(ThreadingHTTPServer):
    """Serves files with ranges; may break off, or not know ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Reader)
        self.files: dict[str, bytes] = {}
        self.break_off_after: list[int] = []
        self.ranges = True
        self.asked: list[tuple[str, str | None]] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Reader(BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        shelf, name = self.server, self.path[1:]
        wanted = self.headers.get("Range")
        shelf.asked.append((name, wanted))
        if name not in shelf.files:
            self.send_error(404)
            return
        content, start = shelf.files[name], 0
        if wanted and shelf.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        rest = content[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if shelf.break_off_after:
            rest = rest[: shelf.break_off_after.pop(0)]
        self.wfile.write(rest)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        server.files["eyes.onnx"] = WEIGHTS
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture
def eyes(shelf: Shelf) -> Any:
    origin = build.Downloaded([shelf.url("eyes.onnx")], "who/eyes", "f7c16a3d")
    return replace(EYES, origin=origin, sha256=sha256(WEIGHTS), bytes=len(WEIGHTS), steps=[])


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    return build.Cache(tmp_path / "cache", FakeTools())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "build" / "tiny"


def test_a_file_is_fetched_once_and_used_as_it_is(
    shelf: Shelf, eyes: Any, cache: Any, folder: Path, tmp_path: Path
) -> None:
    build.build("tiny", [eyes], folder, cache)
    build.build("tiny", [eyes], tmp_path / "second", cache)

    file = load_model_set("tiny", folder).files["eyes"]
    assert file.path.read_bytes() == WEIGHTS
    assert file.sha256 == sha256(WEIGHTS)
    assert (file.package, file.version) == ("who/eyes", "f7c16a3d")
    assert shelf.asked == [("eyes.onnx", None)]
    assert cache.tools.done == []


def test_a_download_that_breaks_off_goes_on_where_it_was(
    shelf: Shelf, eyes: Any, cache: Any, folder: Path
) -> None:
    shelf.break_off_after = [300_000, 200_000]

    build.build("tiny", [eyes], folder, cache)

    assert [wanted for _, wanted in shelf.asked] == [None, "bytes=300000-", "bytes=500000-"]
    assert (folder / "eyes.onnx").read_bytes() == WEIGHTS


def test_so_does_one_that_was_given_up(shelf: Shelf, eyes: Any, cache: Any, folder: Path) -> None:
    shelf.break_off_after = [100_000] * build.DOWNLOAD_ATTEMPTS
    with pytest.raises(build.BuildError, match=r"eyes\.onnx could not be fetched:\n.*300000 of"):
        build.build("tiny", [eyes], folder, cache)
    shelf.asked.clear()

    build.build("tiny", [eyes], folder, cache)

    assert shelf.asked == [("eyes.onnx", "bytes=300000-")]
    assert (folder / "eyes.onnx").read_bytes() == WEIGHTS


def test_a_server_without_ranges_starts_anew(
    shelf: Shelf, eyes: Any, cache: Any, folder: Path
) -> None:
    shelf.ranges = False
    shelf.break_off_after = [300_000]

    build.build("tiny", [eyes], folder, cache)

    assert (folder / "eyes.onnx").read_bytes() == WEIGHTS


def test_a_part_that_belongs_to_another_file_is_thrown_away(
    shelf: Shelf, eyes: Any, cache: Any, folder: Path
) -> None:
    shelf.files["eyes.onnx"] = b"?" * len(WEIGHTS)
    shelf.break_off_after = [100_000] * build.DOWNLOAD_ATTEMPTS
    with pytest.raises(build.BuildError):
        build.build("tiny", [eyes], folder, cache)
    shelf.files["eyes.onnx"] = WEIGHTS

    build.build("tiny", [eyes], folder, cache)

    assert (folder / "eyes.onnx").read_bytes() == WEIGHTS


def test_a_mirror_helps_out(shelf: Shelf, eyes: Any, cache: Any, folder: Path) -> None:
    urls = [shelf.url("gone.onnx"), shelf.url("altered.onnx"), shelf.url("eyes.onnx")]
    shelf.files["altered.onnx"] = b"?" * len(WEIGHTS)
    mirrored = replace(eyes, origin=build.Downloaded(urls, "who/eyes", "f7c16a3d"))

    build.build("tiny", [mirrored], folder, cache)

    assert [name for name, _ in shelf.asked] == ["gone.onnx", "altered.onnx", "eyes.onnx"]
    assert (folder / "eyes.onnx").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("published", "says"),
    [
        (None, r"HTTP Error 404"),
        (WEIGHTS[:-1], rf"{len(WEIGHTS) - 1} of {len(WEIGHTS)} bytes"),
        (WEIGHTS + b"?", rf"{len(WEIGHTS) + 1} bytes, but the catalogue says {len(WEIGHTS)}"),
        (
            b"?" * len(WEIGHTS),
            rf"sha256 is [0-9a-f]{{64}}, but the catalogue says {sha256(WEIGHTS)}",
        ),
    ],
)
def test_a_missing_cut_or_altered_file_stops_the_build(
    shelf: Shelf, eyes: Any, cache: Any, folder: Path, published: bytes | None, says: str
) -> None:
    del shelf.files["eyes.onnx"]
    if published is not None:
        shelf.files["eyes.onnx"] = published

    with pytest.raises(
        build.BuildError, match=rf"^eyes\.onnx could not be fetched:\n(.|\n)*{says}"
    ):
        build.build("tiny", [eyes], folder, cache)

    with pytest.raises(ModelSetError, match=r"manifest\.json cannot be read"):
        load_model_set("tiny", folder)


def test_a_file_that_is_there_already_is_not_fetched(
    shelf: Shelf, eyes: Any, folder: Path, tmp_path: Path
) -> None:
    have = tmp_path / "have"
    have.mkdir()
    (have / "eyes.onnx").write_bytes(WEIGHTS)

    build.build("tiny", [eyes], folder, build.Cache(tmp_path / "cache", FakeTools(), have))

    assert shelf.asked == []
    assert (folder / "eyes.onnx").read_bytes() == WEIGHTS


def test_a_file_that_is_there_already_must_be_the_right_one(
    shelf: Shelf, eyes: Any, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "eyes.onnx").write_bytes(WEIGHTS[:-1] + b"?")

    with pytest.raises(build.BuildError, match=rf"^eyes\.onnx: sha256 .* {sha256(WEIGHTS)}"):
        build.build("tiny", [eyes], folder, build.Cache(tmp_path / "cache", FakeTools(), tmp_path))

    assert shelf.asked == []


def test_a_wrong_later_file_is_found_before_anything_is_downloaded(
    shelf: Shelf, eyes: Any, folder: Path, tmp_path: Path
) -> None:
    ears = replace(eyes, id="ears")
    (tmp_path / "ears.onnx").write_bytes(WEIGHTS[:-1])

    with pytest.raises(build.BuildError, match=r"^ears\.onnx"):
        build.build(
            "tiny", [eyes, ears], folder, build.Cache(tmp_path / "cache", FakeTools(), tmp_path)
        )

    assert shelf.asked == []
    assert not folder.exists()


@pytest.mark.parametrize("have", ["nope", "a file", "empty"])
def test_a_folder_to_take_files_from_must_have_some(
    shelf: Shelf, eyes: Any, folder: Path, tmp_path: Path, have: str
) -> None:
    (tmp_path / "a file").write_bytes(WEIGHTS)
    (tmp_path / "empty").mkdir()
    cache = build.Cache(tmp_path / "cache", FakeTools(), tmp_path / have)

    with pytest.raises(build.BuildError, match=rf"{have} (is not a folder|has none of eyes\.onnx)"):
        build.build("tiny", [eyes], folder, cache)

    assert shelf.asked == []


def test_the_int8_set_is_made_of_the_same_files() -> None:
    sets = [CATALOGUE.sets[name] for name in ("dwpose-schp", "dwpose-schp-int8")]

    for model, int8 in zip(*sets, strict=True):
        assert replace(int8, steps=model.steps, photos=None) == model
    assert [[model.steps for model in files] for files in sets] == [
        [[], [], ["resize_late"], ["resize_late"]],
        [
            ["quantise_detector"],
            [],
            ["resize_late", "quantise_parser"],
            ["resize_late", "quantise_parser"],
        ],
    ]


def test_the_classic_set_is_pinned_by_digest_and_by_revision_where_there_is_one() -> None:
    files = {model.id: model for model in CATALOGUE.sets["dwpose-schp"]}

    assert list(files) == ["yolox_l", "dw-ll_ucoco_384", "parsing_atr", "parsing_lip"]
    for name, model in files.items():
        assert isinstance(model.origin, build.Downloaded)
        assert all(url.endswith(f"/{model.file}") for url in model.origin.urls)
        assert all(url.startswith("https://") for url in model.origin.urls)
        assert re.fullmatch("[0-9a-f]{64}", model.sha256)
        if name in ("yolox_l", "dw-ll_ucoco_384"):
            assert all(model.origin.version in url for url in model.origin.urls)
