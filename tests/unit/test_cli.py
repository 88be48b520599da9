from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from tests import fakes
from tests.standins import faulty

from tryon_masks import __version__, telemetry
from tryon_masks.adapters.directory import DirectoryMaskStore
from tryon_masks.domain.errors import ModelSetError
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.profiles import Profile
from tryon_masks.entrypoints import cli
from tryon_masks.entrypoints.commands.making import real_parts
from tryon_masks.entrypoints.commands.options import SIDES
from tryon_masks.images import Edge, FileFormat, Limits
from tryon_masks.outputs.extra import Output
from tryon_masks.outputs.layouts import KINDS, LayoutName, Split
from tryon_masks.outputs.targets import TargetName
from tryon_masks.outputs.transform import Transform
from tryon_masks.ports import MaskStore, StepLog
from tryon_masks.service import MaskService
from tryon_masks.settings import Settings, StoreName

URL = "https://example.com/photos/standing.jpg?signature=s3cret"
CLOUDINARY = {"CLOUDINARY_URL": "cloudinary://1:2@cloud"}


class Line:
    """The command line in a folder of its own, on fakes."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.vision = fakes.FakeVision()
        self.store = fakes.FakeStore()
        self.step_log: fakes.FakeStepLog | None = None
        self.settings: Settings | None = None
        self.out: list[dict[str, Any]] = []
        self.err = ""
        self._capsys = capsys

    def run(self, *argv: str, **environ: str) -> int:
        """The exit code; ``out`` and ``err`` hold what was printed."""
        code = cli.main([*argv], environ=environ, wire=self.wire)
        # The log must not keep a stream that ends with the test.
        telemetry.configure(sys.__stderr__)
        telemetry.configure(None)
        printed = self._capsys.readouterr()
        self.out = [json.loads(line) for line in printed.out.splitlines()]
        self.err = printed.err
        return code

    def wire(self, settings: Settings) -> tuple[MaskService, StepLog | None]:
        self.settings = settings
        store: MaskStore = self.store
        if settings.mask_store == "directory":
            assert settings.mask_dir is not None
            store = DirectoryMaskStore(settings.mask_dir)
        photos = fakes.FakePhotos({URL: fakes.photo()})
        limits = Limits(max_bytes=settings.max_photo_bytes)
        return MaskService(self.vision, store, photos, limits=limits), self.step_log

    def photo(self, name: str, data: bytes | None = None) -> str:
        """Write a photo; its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fakes.photo() if data is None else data)
        return str(path)

    def size(self, name: str) -> tuple[int, int]:
        """Width and height of an image file."""
        with Image.open(self.folder / name) as image:
            return image.size

    def made(self, folder: str = "masks") -> set[str]:
        """The names of the files there."""
        root = self.folder / folder
        return {path.name for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Line:
    monkeypatch.chdir(tmp_path)
    return Line(tmp_path, capsys)


def test_a_photo_becomes_two_files_and_a_line(line: Line) -> None:
    assert line.run("generate", line.photo("standing.jpg")) == 0

    assert line.made() == {"standing.upper.png", "standing.lower.png"}
    (answer,) = line.out
    assert answer["status"] == "success"
    assert answer["photo"] == str(line.folder / "standing.jpg")
    assert answer["masks"]["upper"] == (line.folder / "masks" / "standing.upper.png").as_uri()
    assert line.size("masks/standing.upper.png") == (300, 400)
    assert line.err == ""


def test_every_option_of_the_api_is_an_option_here(line: Line) -> None:
    code = line.run(
        "generate",
        line.photo("a.jpg"),
        *("--out", "there", "--masks", "full,face", "--profile", "hull", "--format", "webp"),
        *("--edge", "soft", "--max-side", "200", "--expand", "top=0.1,left=0.2"),
        *("--person-box", "88,20,212,388", "--overlay", "--user-id", "user-7"),
    )

    assert code == 0
    assert line.made("there") == {"a.full.webp", "a.face.webp", "a.overlay.jpg"}
    assert line.size("there/a.full.webp") == (150, 200)
    assert line.out[0]["overlay"].endswith("/there/a.overlay.jpg")


def test_files_folders_globs_and_addresses(line: Line) -> None:
    line.photo("folder/b.PNG", fakes.photo(format="PNG"))
    line.photo("folder/a.jpeg")
    line.photo("folder/notes.txt", b"no photo")
    line.photo("folder/below/c.jpg")
    line.photo("x1.jpg")
    line.photo("x2.jpg")

    assert line.run("generate", "folder", "x?.jpg", URL) == 0

    assert [answer["photo"] for answer in line.out] == [
        "folder/a.jpeg",
        "folder/b.PNG",
        "folder/below/c.jpg",
        "x1.jpg",
        "x2.jpg",
        "https://example.com/photos/standing.jpg",
    ]
    made = {name.partition(".")[0] for name in line.made()}
    assert made == {"a", "b", "c", "x1", "x2", "standing"}
    assert (line.folder / "masks" / "below" / "c.upper.png").is_file()
    assert "6/6" in line.err
    assert "left out of folder: notes.txt\n" in line.err
    assert "made: 6; " in line.err


@pytest.mark.parametrize(
    "name",
    [
        *("a.jfif", "a.jpe", "a.hif", "a.mpo", "a.JFIF", "a.pjpeg", "anna.hair.JPG"),
        *("anna.face.jpeg", "anna.lower.png", "anna.legs.webp", "anna.overlay.jpg"),
        *("upper.jpg", "über mir 1.2.jpeg"),
    ],
)
def test_photos_of_any_name(line: Line, name: str) -> None:
    kind = {".png": "PNG", ".webp": "WEBP"}.get(Path(name).suffix, "JPEG")
    line.photo(f"folder/{name}", fakes.photo(format=kind))

    assert line.run("generate", "folder") == 0

    assert [answer["photo"] for answer in line.out] == [f"folder/{name}"]
    assert "left out" not in line.err


def test_what_is_no_photo_is_left_out_and_said(line: Line) -> None:
    for name in ("._IMG_1.jpg", ".thumbs/b.jpg", ".DS_Store", "clip.mov", "notes.txt", "x.gif"):
        line.photo(f"folder/{name}", b"?")
    line.photo("folder/a.jpg")

    assert line.run("generate", "folder") == 0

    assert [answer["photo"] for answer in line.out] == ["folder/a.jpg"]
    assert "left out of folder: .DS_Store, ._IMG_1.jpg, .thumbs/b.jpg, clip.mov, " in line.err
    assert " and 1 more" in line.err


def test_sub_paths_are_kept(line: Line) -> None:
    for person in ("anna", "ben"):
        for view in ("front.jpg", "side/1.jpg"):
            line.photo(f"people/{person}/{view}")
    line.photo("others/ben/front.jpg")
    wanted = {f"{one}.{kind}.png" for one in ("front", "side/1") for kind in ("upper", "lower")}

    assert line.run("generate", "people", "--out", "one") == 0
    assert line.run("generate", "people", "others", "--out", "two") == 0

    def made(folder: str) -> set[str]:
        root = line.folder / folder
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}

    assert made("one") == {f"{person}/{one}" for person in ("anna", "ben") for one in wanted}
    assert made("two") == {f"people/{one}" for one in made("one")} | {
        f"others/ben/front.{kind}.png" for kind in ("upper", "lower")
    }


def test_the_closing_line_counts_by_code(line: Line) -> None:
    line.vision = fakes.FakeVision(without=fakes.LEG_POINTS)
    photos = [line.photo("a.jpg"), line.photo("b.jpg", b"?"), line.photo("c.jpg", b"?")]

    assert line.run("generate", *photos) == 1

    assert "failed, UNSUPPORTED_PHOTO: 2, made in part, LEGS_NOT_VISIBLE: 1; " in line.err


def test_why_masks_could_not_be_stored_is_told_here(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)

    assert line.run("generate", line.photo("a.jpg")) == 1

    error = line.out[0]["error"]
    assert error["code"] == "STORE_FAILED"
    assert "No space left on device" in error["detail"]


def test_an_interrupt_ends_without_a_trace(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(line.vision, "find_people", interrupted)

    assert line.run("generate", line.photo("a.jpg")) == 130
    assert "Traceback" not in line.err


def test_a_reader_that_leaves_ends_without_a_trace(tmp_path: Path) -> None:
    program = "import sys; from tryon_masks.entrypoints.cli import main; sys.exit(main())"
    models = [sys.executable, "-c", program, "models"]
    built = Path(__file__).parents[2] / "models" / "build"
    environ = {"PYTHONPATH": ":".join(sys.path), "MODELS_DIR": str(built)}
    reading, writing = os.pipe()
    os.close(reading)

    ended = subprocess.run(models, stdout=writing, stderr=subprocess.PIPE, env=environ, check=False)

    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_masks_beside_their_photos_are_no_photos(line: Line) -> None:
    line.photo("folder/a.jpg")
    assert line.run("generate", "folder", "--out", "folder", "--overlay") == 0
    first = line.made("folder")

    assert line.run("generate", "folder", "--out", "folder", "--overlay") == 0

    assert len(line.out) == 1
    assert line.made("folder") == first


def test_one_bad_photo_does_not_stop_the_rest(line: Line) -> None:
    photos = [
        line.photo("a.jpg"),
        line.photo("b.jpg", b"not an image"),
        line.photo("c.jpg"),
        "https://example.com/missing.jpg",
    ]

    assert line.run("generate", *photos) == 1

    assert [answer["status"] for answer in line.out] == ["success", "error", "success", "error"]
    assert line.out[1]["error"]["code"] == "UNSUPPORTED_PHOTO"
    assert line.out[3]["error"]["code"] == "PHOTO_FETCH_FAILED"
    assert {name.partition(".")[0] for name in line.made()} == {"a", "c"}


def test_a_refusal_is_exit_code_one(line: Line) -> None:
    line.vision = fakes.FakeVision(people=0)

    assert line.run("generate", line.photo("a.jpg")) == 1

    assert line.out[0]["status"] == "refused"
    assert line.made() == set()


def test_several_people_are_listed_and_one_of_them_can_be_asked_for(line: Line) -> None:
    line.vision = fakes.FakeVision(people=2)
    photo = line.photo("a.jpg")

    assert line.run("generate", photo) == 1

    (answer,) = line.out
    assert [one["score"] for one in answer["people"]] == [0.93, 0.93]
    box = answer["people"][1]["box"]
    assert line.run("generate", photo, "--person-box", ",".join(map(str, box))) == 0
    assert line.out[0]["person"]["box"] == box


def test_half_a_body_is_exit_code_one(line: Line) -> None:
    line.vision = fakes.FakeVision(without=fakes.LEG_POINTS)

    assert line.run("generate", line.photo("a.jpg")) == 1

    assert line.out[0]["status"] == "partial"
    assert line.made() == {"a.upper.png"}


def test_an_unforeseen_error_shows_its_trace_and_the_rest_is_tried(line: Line) -> None:
    line.vision = fakes.BrokenVision()

    assert line.run("generate", line.photo("a.jpg"), line.photo("b.jpg")) == 1

    assert [answer["error"]["code"] for answer in line.out] == ["INTERNAL", "INTERNAL"]
    assert line.err.count("RuntimeError: secret internals") == 2


def test_a_file_that_cannot_be_read_is_named_but_not_explained(line: Line) -> None:
    photo = Path(line.photo("a.jpg"))
    photo.unlink()
    photo.symlink_to("/proc/self/mem")

    assert line.run("generate", str(photo)) == 1

    assert line.out[0]["error"]["code"] == "PHOTO_FETCH_FAILED"


def test_a_file_over_the_limit_is_not_read_whole(line: Line) -> None:
    assert line.run("generate", line.photo("a.jpg"), MAX_PHOTO_BYTES="1000") == 1

    assert line.out[0]["error"]["code"] == "PHOTO_TOO_LARGE"


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ([], "COMMAND"),
        (["generate"], "PHOTO"),
        (["generate", "missing.jpg"], "missing.jpg"),
        (["generate", "*.tiff"], "*.tiff"),
        (["generate", "empty"], "empty"),
        (["generate", "a.jpg", "--masks", "torso"], "'torso' is no mask; there are upper, lower"),
        (["generate", "a.jpg", "--masks", ""], "'' is no mask; there are upper, lower"),
        (["generate", "a.jpg", "--profile", "loose"], "'body', 'tight', 'hull', 'box'"),
        (["generate", "a.jpg", "--outputs", "depth"], "'depth' is no output; there are agnostic"),
        (["generate", "a.jpg", "--expand", "top"], "--expand"),
        (["generate", "a.jpg", "--expand", "front=0.1"], "one of top, bottom, left, right"),
        (["generate", "a.jpg", "--expand", "top=2"], "'top=2' is no margin"),
        (["generate", "a.jpg", "--expand", "top=-0.1"], "T is 0 to 1"),
        (["generate", "a.jpg", "--expand", "top=nan,left=0.1"], "'top=nan' is no margin"),
        (["generate", "a.jpg", "--out", "a.jpg"], "cannot be written to a.jpg"),
        (["generate", "a.jpg", "--out", "a.jpg/masks"], "cannot be written to a.jpg/masks"),
        (["generate", "a.jpg", "--out", "/proc/masks"], "cannot be written to /proc/masks"),
        (["data-json", "data.json", "--out", "/proc/masks"], "cannot be written"),
        (["generate", "a.jpg", "--person-box", "1,2,x,4"], "--person-box"),
        (["generate", "a.jpg", "--person-box", "1,2,3"], "person_box"),
        (["generate", "a.jpg", "--max-side", "10"], "--max-side"),
        (["generate", "a.jpg", "--store", "ftp"], "ftp"),
        (["generate", "a.jpg", "--user-id", "a" * 129], "user id"),
        (["generate", "a.jpg", "--colour", "red"], "--colour"),
        (["generate", "a.jpg", "other/a.png"], "a.jpg and other/a.png"),
        (["generate", "a.jpg", "a.jpg"], "a.jpg and a.jpg"),
        (["data-json", "missing.json"], "missing.json"),
        (["data-json"], "FILE"),
    ],
)
def test_wrong_usage_is_exit_code_two_and_does_nothing(
    line: Line, argv: list[str], named: str
) -> None:
    line.photo("a.jpg")
    line.photo("other/a.png", fakes.photo(format="PNG"))
    line.photo("data.json", b"{}")
    (line.folder / "empty").mkdir()

    assert line.run(*argv) == 2

    assert named in line.err
    assert line.out == []
    assert line.settings is None
    assert line.made() == set()


def test_photos_of_one_name_may_go_where_names_do_not_count(line: Line) -> None:
    photos = (line.photo("a.jpg"), line.photo("other/a.png", fakes.photo(format="PNG")))

    assert line.run("generate", *photos, "--store", "cloudinary", **CLOUDINARY) == 0

    assert len(line.store.files) == 2
    assert line.out[0]["masks"]["upper"].startswith("https://masks.example.com/")
    assert line.made() == set()


def test_the_store_may_come_from_the_environment(line: Line) -> None:
    assert line.run("generate", line.photo("a.jpg"), MASK_STORE="cloudinary", **CLOUDINARY) == 0
    assert len(line.store.files) == 1


def test_a_folder_for_another_store_is_wrong_usage(line: Line) -> None:
    argv = ("generate", line.photo("a.jpg"), "--store", "cloudinary", "--out", "there")

    assert line.run(*argv, **CLOUDINARY) == 2
    assert "--out" in line.err


def test_a_folder_may_come_from_the_environment_and_the_option_wins(line: Line) -> None:
    photo = line.photo("a.jpg")

    assert line.run("generate", photo, MASK_DIR="there") == 0
    assert line.run("generate", photo, "--out", "elsewhere", MASK_DIR="there") == 0
    assert line.made("there") == line.made("elsewhere") == {"a.upper.png", "a.lower.png"}


def test_a_start_that_fails_is_exit_code_two_with_the_reason(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line.run("generate", line.photo("a.jpg"), "--store", "s3") == 2
    assert "MASK_BUCKET" in line.err
    assert "Traceback" not in line.err

    def no_models(settings: Settings) -> tuple[MaskService, StepLog | None]:
        raise ModelSetError("pose_landmark.onnx is missing")

    assert cli.main(["generate", line.photo("a.jpg")], environ={}, wire=no_models) == 2
    assert "pose_landmark.onnx is missing" in capsys.readouterr().err


def test_log_lines_are_printed_when_asked_for(line: Line) -> None:
    photo = line.photo("a.jpg")

    assert line.run("generate", photo, "-v", "--user-id", "user-7") == 0

    logged = [json.loads(text) for text in line.err.splitlines()]
    assert {"read_photo", "generate_masks", "write_mask"} <= {record["step"] for record in logged}
    assert {r["user_id"] for r in logged if r["request_id"] != "init"} == {"user-7"}
    assert len(line.out) == 1

    assert line.run("generate", photo) == 0
    assert line.err == ""


def test_without_a_log_nothing_is_started(line: Line) -> None:
    line.step_log = fakes.FakeStepLog(closed=True)

    assert line.run("generate", line.photo("a.jpg")) == 1

    assert line.out[0]["error"]["code"] == "LOG_UNAVAILABLE"
    assert line.out[0]["log_saved"] is False
    assert line.made() == set()


def test_each_photo_has_a_log_of_its_own(line: Line) -> None:
    line.step_log = fakes.FakeStepLog()

    assert line.run("generate", line.photo("a.jpg"), line.photo("b.jpg")) == 0

    assert line.step_log.opened == [answer["request_id"] for answer in line.out]
    assert all(answer["log_saved"] for answer in line.out)


DOCUMENT = f'{{\n  "name": "Ada",\n  "userImageUrl": "{URL}",\n  "price": 1.10\n}}\n'


def test_a_documents_block_is_filled_in(line: Line) -> None:
    path = line.folder / "data.json"
    path.write_text(DOCUMENT)
    options = ("--store", "cloudinary", "--user-id", "user-7")

    assert line.run("data-json", str(path), *options, **CLOUDINARY) == 0

    (answer,) = line.out
    assert answer["photo"] == str(path)
    assert path.read_text().startswith(DOCUMENT.removesuffix("\n}\n"))
    assert json.loads(path.read_text())["Mask"] == {
        "Status": "success",
        "Upper mask URL": answer["masks"]["upper"],
        "Lower mask URL": answer["masks"]["lower"],
    }
    assert answer["Mask"] == json.loads(path.read_text())["Mask"]


def test_documents_in_a_folder_store_do_not_overwrite_each_other(line: Line) -> None:
    for folder in ("one", "two"):
        (line.folder / folder).mkdir()
        (line.folder / folder / "data.json").write_text(DOCUMENT)
    assert line.run("data-json", "one/data.json") == 0
    assert line.run("data-json", "two/data.json", "--profile", "hull") == 0

    assert len(line.made()) == 4


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        '{"name": "Ada"}',
        '{"userImageUrl": "https://example.com/missing.jpg"}',
    ],
)
def test_a_document_that_fails_is_unchanged(line: Line, document: str) -> None:
    path = line.folder / "data.json"
    path.write_text(document)

    assert line.run("data-json", str(path)) == 1

    assert line.out[0]["status"] == "error"
    assert path.read_text() == document


@pytest.mark.parametrize(
    "vision", [fakes.FakeVision(people=0), fakes.FakeVision(without=fakes.LEG_POINTS)]
)
def test_a_document_without_both_masks_is_unchanged(line: Line, vision: fakes.FakeVision) -> None:
    line.vision = vision
    path = line.folder / "data.json"
    path.write_text(DOCUMENT)

    assert line.run("data-json", str(path)) == 1

    assert line.out[0]["status"] in ("refused", "partial")
    assert path.read_text() == DOCUMENT


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0

    assert capsys.readouterr().out == f"tryon-masks {__version__}\n"


@pytest.mark.parametrize(
    ("command", "choices"),
    [
        (
            "generate",
            [MaskKind, Profile, Output, TargetName, SIDES, ["largest"]],
        ),
        ("generate", [get_args(FileFormat), get_args(Edge), get_args(StoreName)]),
        ("dataset", [LayoutName, KINDS[LayoutName.DRESS_CODE], Profile, get_args(Split)]),
    ],
)
def test_help_lists_every_allowed_value(
    capsys: pytest.CaptureFixture[str], command: str, choices: list[Iterable[str]]
) -> None:
    assert cli.main([command, "--help"]) == 0

    words = set(re.findall(r"[\w-]+", capsys.readouterr().out))
    assert {value for values in choices for value in values} - words == set()


def run_program(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from tryon_masks.entrypoints.cli import main; sys.exit(main())"
    environ = {"PYTHONPATH": ":".join(sys.path), **environ}
    called = [sys.executable, "-c", program, *argv]
    return subprocess.run(called, capture_output=True, text=True, env=environ, check=False)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tryon-masks pas", ["paste"]),
        ("tryon-masks generate a.jpg --profile ", ["body", "tight", "hull", "box"]),
        ("tryon-masks generate a.jpg --masks upper,fa", ["upper,face"]),
        ("tryon-masks generate a.jpg --outputs par", ["parse_lip", "parse_atr", "parse_viton_hd"]),
        ("tryon-masks dataset a.jpg --lay", ["--layout"]),
    ],
)
def test_a_shell_completes(typed: str, offered: list[str]) -> None:
    place = str(len(typed.split(" ")) - 1)

    ended = run_program(_TRYON_MASKS_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=place)

    assert ended.stdout.split() == offered


def test_help_does_not_load_the_runtime() -> None:
    program = (
        "import sys; from tryon_masks.entrypoints.cli import main; main(['generate', '--help'])\n"
        "print('loaded', {'onnxruntime', 'boto3', 'rich'} & set(sys.modules))"
    )
    environ = {"PYTHONPATH": ":".join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ, check=True
    )
    assert ended.stdout.endswith("loaded set()\n")


def built_set(folder: Path, digest: str) -> None:
    """A model set of one file, as `make models` leaves it."""
    folder.mkdir(parents=True)
    (folder / "pose_landmark.onnx").write_bytes(b"weights")
    entry = {
        "id": "pose_landmark",
        "task": "landmarks",
        "file": "pose_landmark.onnx",
        "sha256": digest,
        "bytes": 7,
        "licence": "Apache-2.0",
        "package": "npm @mediapipe/pose",
        "version": "0.5.1",
        "inputs": {"image": [1, 256, 256, 3]},
        "outputs": {"landmarks": [1, 195]},
        "recipe": "1",
    }
    (folder / "manifest.json").write_text(json.dumps({"set": Settings.model_set, "files": [entry]}))


def test_the_models_are_listed_with_where_they_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    built_set(tmp_path / Settings.model_set, digest)

    assert cli.main(["models"], environ={"MODELS_DIR": str(tmp_path)}) == 0

    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["SET", "FILE", "SHA256", "LICENCE", "SOURCE"]
    assert row.split("  ") == [
        Settings.model_set,
        "pose_landmark.onnx",
        digest,
        "Apache-2.0",
        "npm @mediapipe/pose 0.5.1",
    ]


def test_models_that_are_altered_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built_set(tmp_path / Settings.model_set, "0" * 64)

    assert cli.main(["models"], environ={"MODELS_DIR": str(tmp_path)}) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "pose_landmark.onnx" in printed.err


def test_a_check_of_the_models_is_logged(line: Line) -> None:
    built_set(line.folder / Settings.model_set, "0" * 64)

    assert line.run("models", "--verbose", MODELS_DIR=str(line.folder)) == 2

    records = [json.loads(text) for text in line.err.splitlines() if text.startswith("{")]
    assert [one["status"] for one in records if one["step"] == "check_models"] == [
        "started",
        "failed",
    ]


@pytest.mark.parametrize("how", ["--local", "ALLOW_HTTP"])
@pytest.mark.parametrize("where", ["beside", "path", "server"])
def test_a_document_may_name_a_photo_of_this_machine_when_told(
    line: Line, how: str, where: str
) -> None:
    line.photo("data/photos/me.jpg")
    here = partial(SimpleHTTPRequestHandler, directory=str(line.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), here) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        address = {
            "beside": "photos/me.jpg",
            "path": str(line.folder / "data" / "photos" / "me.jpg"),
            "server": f"http://127.0.0.1:{server.server_address[1]}/data/photos/me.jpg",
        }[where]
        document = line.photo("data/data.json", json.dumps({"userImageUrl": address}).encode())

        assert line.run("data-json", document) == 1
        assert line.out[0]["error"]["code"] == "URL_NOT_ALLOWED"
        assert "--local" in line.out[0]["error"]["message"]
        more = ["--local"] if how == "--local" else []
        environ = {"ALLOW_HTTP": "1"} if how == "ALLOW_HTTP" else {}
        assert line.run("data-json", document, *more, **environ) == 0

        server.shutdown()
        serving.join()
    assert json.loads(Path(document).read_text())["Mask"]["Status"] == "success"


@pytest.mark.parametrize(
    ("name", "code"), [("me.jpg", "PHOTO_NOT_FOUND"), ("me\0.jpg", "PHOTO_FETCH_FAILED")]
)
def test_a_file_beside_the_document_that_is_not_there(line: Line, name: str, code: str) -> None:
    document = line.photo("data.json", json.dumps({"userImageUrl": name}).encode())

    assert line.run("data-json", document, "--local") == 1
    assert line.out[0]["error"]["code"] == code


def test_a_photo_of_this_machine_that_is_not_there(line: Line) -> None:
    document = line.photo("data.json", b'{"userImageUrl": "http://localhost:9/me.jpg"}')

    assert line.run("data-json", document, "--local") == 1
    assert line.out[0]["error"]["code"] == "PHOTO_FETCH_FAILED"


def starts_only(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nphoto")
    over.wait(60)


@pytest.mark.parametrize(
    "fault",
    [
        starts_only,
        faulty.says(301, fakes.photo(), "Location: /elsewhere.jpg"),
        faulty.says(304),
        faulty.says(404, fakes.photo()),
        faulty.says(200, b"not packed", "Content-Encoding: gzip"),
        lambda connection, _: connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nphoto"
        ),
        lambda connection, _: connection.sendall(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n"
        ),
    ],
    ids=["slow", "moved", "not changed", "not found", "not packed", "cut", "no chunk"],
)
def test_a_server_of_this_machine_that_sends_no_photo(
    line: Line, fault: faulty.HttpFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tryon_masks.entrypoints.commands.making.LOCAL_TIMEOUT_S", 0.3)
    with faulty.Faulty(fault) as server:
        address = f"{server.url}/me.jpg"
        document = line.photo("data.json", json.dumps({"userImageUrl": address}).encode())

        assert line.run("data-json", document, "--local") == 1

    assert line.out[0]["error"]["code"] == "PHOTO_FETCH_FAILED"


@pytest.mark.parametrize("command", [["models"], ["generate", "a.jpg"]])
def test_models_that_are_not_there_are_named_with_folder_and_command(
    line: Line, command: list[str]
) -> None:
    line.photo("a.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line, "wire", real_parts)
        assert line.run(*command, MODELS_DIR=str(line.folder / "nowhere")) == 2

    assert f"{line.folder / 'nowhere' / 'compact'}" in line.err
    assert "`make models MODEL_SET=compact`" in line.err


def test_outputs_lie_beside_the_masks_and_are_no_photos(line: Line) -> None:
    photo = line.photo("masks/a.png", fakes.photo(format="PNG"))

    assert line.run("generate", photo, "--masks", "upper", "--outputs", "agnostic,keypoints") == 0

    assert line.made() == {
        "a.png",
        "a.upper.png",
        "a.upper_agnostic.png",
        "a.keypoints.json",
        "a.keypoints_body_25.json",
        "a.keypoints_coco_18.json",
    }
    named = json.loads((line.folder / "masks" / "a.keypoints.json").read_text())
    assert named["width"] == 300
    assert line.run("generate", "masks", "--masks", "upper") == 0
    assert [Path(answer["photo"]).name for answer in line.out] == ["a.png"]


def test_a_targets_files_and_the_way_back(line: Line) -> None:
    photo = line.photo("a.png", fakes.photo(format="PNG"))

    assert line.run("generate", photo, "--for", "fitdit") == 0

    place = line.folder / "masks" / "a.fitdit_upper"
    assert {path.name for path in place.iterdir()} == {
        "image.png",
        "mask.png",
        "mask_layer.png",
        "pose.png",
        "target.json",
        "transform.json",
    }
    assert json.loads((place / "target.json").read_text())["category"] == "Upper-body"
    # The model's place is taken by nothing: what went in comes out.
    code = line.run(
        *("paste", str(place / "image.png"), "--on", photo),
        *("--transform", str(place / "transform.json"), "--mask", str(place / "mask.png")),
    )
    assert code == 0
    before = np.array(Image.open(photo).convert("RGB")).astype(int)
    after = np.array(Image.open(place / "image.pasted.png"))
    kept = np.array(Image.open(line.folder / "masks" / "a.upper.png")) == 0
    away = np.abs(after - before).max(axis=2)
    assert (away[kept] == 0).mean() > 0.995
    assert np.median(away) == 0


def test_a_target_takes_its_own_kinds_and_profile(line: Line) -> None:
    photo = line.photo("a.jpg")

    assert line.run("generate", photo, "--for", "stableviton") == 0
    assert set(line.out[0]["masks"]) == {"upper"}
    image = line.folder / "masks/a.stableviton_upper/test/image/a_00.jpg"
    assert image.is_file()

    assert line.run("generate", photo, "--for", "stableviton", "--masks", "lower") == 2
    assert "stableviton takes masks of these kinds only: upper" in line.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--transform": "a.png"}, "not JSON"),
        ({"--transform": "other.json"}, "not one that tryon-masks has written"),
        ({"--on": "none.png"}, "none.png"),
        ({"--mask": "other.json"}, "not a JPEG"),
        ({"--out": "b.jpg"}, "must end in .png"),
    ],
)
def test_what_cannot_be_pasted_is_wrong_usage(
    line: Line, change: dict[str, str], said: str
) -> None:
    photo = line.photo("a.png", fakes.photo(format="PNG"))
    line.photo("other.json", b"[]")
    transform = Transform.identity((300, 400)).as_json()
    line.photo("t.json", json.dumps(transform).encode())
    given = {"--on": photo, "--transform": "t.json", "--mask": photo, **change}

    assert line.run("paste", photo, *[word for pair in given.items() for word in pair]) == 2

    assert said in line.err
    assert line.made(".") == {"a.png", "other.json", "t.json"}
