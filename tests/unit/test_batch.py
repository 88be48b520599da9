"""A list of photos, on worker processes that see the painted figure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests import fakes

from tryon_masks import telemetry
from tryon_masks.adapters.directory import DirectoryMaskStore
from tryon_masks.domain.errors import InvalidRequest, ModelSetError
from tryon_masks.domain.person import Candidate
from tryon_masks.entrypoints import cli
from tryon_masks.entrypoints.commands import batch
from tryon_masks.entrypoints.commands.photo_list import Results, read_list
from tryon_masks.images import Limits
from tryon_masks.ports import StepLog
from tryon_masks.service import MaskService
from tryon_masks.settings import Settings


class MortalVision(fakes.FakeVision):
    """Where a file named poison lies in the store's folder, its process is killed, once."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.poison = folder / "poison"

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        if rgb.shape[1] == 310 and self.poison.exists():
            self.poison.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().find_people(rgb)


@dataclass
class Wire:
    """Goes to the worker processes."""

    models: bool = True

    def __call__(self, settings: Settings) -> tuple[MaskService, StepLog | None]:
        if not self.models:
            raise ModelSetError("pose_landmark.onnx is missing.")
        assert settings.mask_dir is not None
        settings.mask_dir.mkdir(exist_ok=True)
        store = DirectoryMaskStore(settings.mask_dir)
        return MaskService(
            MortalVision(settings.mask_dir), store, fakes.FakePhotos(), limits=Limits()
        ), None


@dataclass
class Folder:
    """Photos, their list and what became of them."""

    path: Path
    capsys: pytest.CaptureFixture[str]
    err: str = ""

    def write(self, *lines: dict[str, Any]) -> None:
        (self.path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")

    def photo(self, name: str, data: bytes | None = None) -> dict[str, Any]:
        (self.path / name).write_bytes(fakes.photo() if data is None else data)
        return {"photo": name}

    def run(
        self, *more: str, wire: Wire | None = None, **environ: str
    ) -> tuple[int, dict[str, Any]]:
        """The exit code, and the counts that were printed."""
        out = str(self.path / "masks")
        argv = ["batch", str(self.path / "list.jsonl"), "--out", out, *more]
        code = cli.main(argv, environ=environ, wire=wire or Wire())
        telemetry.configure(sys.__stderr__)
        telemetry.configure(None)
        printed = self.capsys.readouterr()
        self.err = printed.err
        return code, json.loads(printed.out) if printed.out else {}

    @property
    def results(self) -> list[dict[str, Any]]:
        text = (self.path / "list.results.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    return Folder(tmp_path, capsys)


def test_every_photo_of_the_list_is_made_or_said_why_not(folder: Folder) -> None:
    folder.write(
        {**folder.photo("a.jpg"), "masks": ["upper"], "user_id": "user-7"},
        {**folder.photo("b.jpg"), "id": "second", "profile": "hull", "format": "webp"},
        folder.photo("c.jpg", b"not an image"),
    )

    code, counts = folder.run("--jobs", "2")

    assert code == 1
    assert counts == {"items": 3, "skipped": 0, "success": 2, "error": 1}
    made = {path.name for path in (folder.path / "masks").iterdir()}
    assert made == {"a.upper.png", "second.upper.webp", "second.lower.webp"}
    by_id = {line["id"]: line for line in folder.results}
    assert {name: line["status"] for name, line in by_id.items()} == {
        "a": "success",
        "second": "success",
        "c": "error",
    }
    assert by_id["c"]["error"]["code"] == "UNSUPPORTED_PHOTO"
    assert by_id["a"]["masks"]["upper"] == (folder.path / "masks" / "a.upper.png").as_uri()


def test_what_is_done_is_skipped_unless_it_changed(folder: Folder) -> None:
    lines = [folder.photo(f"{name}.jpg") for name in "abc"]
    folder.write(*lines)
    assert folder.run()[0] == 0
    results = folder.path / "list.results.jsonl"
    first, second, third = results.read_text().splitlines()
    # Killed while it wrote the last line.
    results.write_text(f"{first}\n{second}\n{third[:40]}")

    assert folder.run() == (0, {"items": 3, "skipped": 2, "success": 3})
    assert [line["id"] for line in folder.results] == ["a", "b", "c"]

    assert folder.run() == (0, {"items": 3, "skipped": 3, "success": 3})
    assert len(folder.results) == 3

    folder.photo("b.jpg", fakes.photo(format="PNG"))
    folder.write(lines[0], lines[1], {**lines[2], "profile": "hull"})
    assert folder.run() == (0, {"items": 3, "skipped": 1, "success": 3})
    assert sorted(line["id"] for line in folder.results) == ["a", "b", "b", "c", "c"]


def test_what_other_models_or_rules_made_is_made_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(folder.photo("a.jpg"))
    assert folder.run() == (0, {"items": 1, "skipped": 0, "success": 1})
    assert folder.run() == (0, {"items": 1, "skipped": 1, "success": 1})

    monkeypatch.setattr(batch, "MASK_RULES", "others")
    assert folder.run() == (0, {"items": 1, "skipped": 0, "success": 1})
    assert folder.run(MODEL_SET="dwpose-schp") == (0, {"items": 1, "skipped": 0, "success": 1})


def test_after_a_worker_was_killed_only_the_rest_is_done(folder: Folder) -> None:
    (folder.path / "masks").mkdir()
    (folder.path / "masks" / "poison").touch()
    folder.write(
        *(folder.photo(f"{number}.jpg") for number in range(3)),
        folder.photo("deadly.jpg", fakes.photo(width=310, height=400)),
        folder.photo("last.jpg"),
    )

    code, counts = folder.run()
    assert code == 1
    assert counts == {"items": 5, "skipped": 0, "success": 3, "not done": 2}
    assert "goes on from here" in folder.err

    assert folder.run() == (0, {"items": 5, "skipped": 3, "success": 5})
    assert sorted(line["id"] for line in folder.results) == ["0", "1", "2", "deadly", "last"]


def test_models_that_are_missing_are_named(folder: Folder) -> None:
    folder.write(folder.photo("a.jpg"))

    assert folder.run(wire=Wire(models=False)) == (2, {})
    assert "pose_landmark.onnx is missing." in folder.err
    assert not (folder.path / "list.results.jsonl").exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"photo": "gone.jpg"}'], "line 1: no such file: gone.jpg"),
        (['{"photo": "a.jpg"}', "", "{"], "line 3: not JSON"),
        (['{"photo": "a.jpg", "masks": ["torso"]}'], "line 1: masks.0"),
        (['{"photo": "a.jpg", "colour": 1}'], "line 1: colour"),
        (['{"photo": "a.jpg", "id": "../a"}'], "line 1: id"),
        (["[]"], "line 1: "),
        (['{"photo": "a.jpg"}', '{"photo": "a.jpg"}'], "line 2: another line has the id a"),
    ],
)
def test_a_list_is_checked_whole_before_anything_is_done(
    folder: Folder, lines: list[str], said: str
) -> None:
    folder.photo("a.jpg")
    (folder.path / "list.jsonl").write_text("\n".join([*lines, '{"photo": "also gone.jpg"}']))

    with pytest.raises(InvalidRequest) as raised:
        read_list(folder.path / "list.jsonl")
    assert said in str(raised.value)
    assert "no such file: also gone.jpg" in str(raised.value)

    assert folder.run()[0] == 2
    assert not (folder.path / "masks").exists()


def test_an_address_is_named_by_its_path(folder: Folder) -> None:
    folder.write({"photo": "https://example.com/me%20(1).jpg?signature=s3cret"})

    (item,) = read_list(folder.path / "list.jsonl")

    assert item.item_id == "me__1_"
    assert item.photo == "https://example.com/me%20(1).jpg?signature=s3cret"


@pytest.mark.parametrize("text", ['{"name": "Ada"}\n', '{"name": "Ada"}', "{}\n", "7", "[1]\n"])
def test_a_file_of_something_else_is_not_taken_for_results(folder: Folder, text: str) -> None:
    folder.write(folder.photo("a.jpg"))
    other = folder.path / "list.results.jsonl"
    other.write_text(text)

    with pytest.raises(InvalidRequest):
        Results(other).answers()
    assert folder.run()[0] == 2
    assert other.read_text() == text


def test_what_is_there_no_more_is_made_again(folder: Folder) -> None:
    folder.write(
        *({**folder.photo(f"{name}.jpg"), "overlay": name == "c"} for name in "abc"),
        folder.photo("d.jpg", b"not an image"),
    )
    assert folder.run()[0] == 1
    assert folder.run()[1] == {"items": 4, "skipped": 3, "success": 3, "error": 1}

    (folder.path / "masks" / "b.lower.png").unlink()
    (folder.path / "masks" / "c.overlay.jpg").unlink()
    assert folder.run()[1] == {"items": 4, "skipped": 1, "success": 3, "error": 1}
    assert (folder.path / "masks" / "b.lower.png").is_file()
    assert (folder.path / "masks" / "c.overlay.jpg").is_file()


def test_another_folder_gets_all_masks(folder: Folder) -> None:
    folder.write(folder.photo("a.jpg"), folder.photo("b.jpg"))
    assert folder.run() == (0, {"items": 2, "skipped": 0, "success": 2})
    there = str(folder.path / "there")

    assert folder.run("--out", there) == (0, {"items": 2, "skipped": 0, "success": 2})
    assert folder.run("--out", there) == (0, {"items": 2, "skipped": 2, "success": 2})
    assert len(list((folder.path / "there").iterdir())) == 4


def test_everything_is_made_again_when_asked(folder: Folder) -> None:
    folder.write(folder.photo("a.jpg"))
    assert folder.run()[0] == 0
    mask = folder.path / "masks" / "a.upper.png"
    mask.write_bytes(b"an older one")

    assert folder.run("--force") == (0, {"items": 1, "skipped": 0, "success": 1})
    assert mask.read_bytes() != b"an older one"


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(folder: Folder) -> None:
    folder.write(folder.photo("a.jpg"))

    assert folder.run("--out", "/proc/masks") == (2, {})
    assert "cannot be written to /proc/masks" in folder.err
    assert not (folder.path / "list.results.jsonl").exists()


class PatientVision(fakes.FakeVision):
    """Says that it is there, and looks at the photo until it is ended."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        (folder / f"{os.getpid()}.pid").touch()

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        time.sleep(600)
        return super().find_people(rgb)


def patient_wire(settings: Settings) -> tuple[MaskService, StepLog | None]:
    assert settings.mask_dir is not None
    vision = PatientVision(settings.mask_dir.parent)
    return MaskService(
        vision, DirectoryMaskStore(settings.mask_dir), fakes.FakePhotos(), limits=Limits()
    ), None


PROGRAM = """
import sys
from tests.unit.test_batch import patient_wire
from tryon_masks.entrypoints.cli import main
if __name__ == "__main__":
    sys.exit(main(wire=patient_wire))
"""


def alive(pid: int) -> bool:
    """Whether the process is there, and more than a number that waits to be asked for."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(1200):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=str)
def test_worker_processes_end_with_their_parent(folder: Folder, how: signal.Signals) -> None:
    folder.write(*(folder.photo(f"{name}.jpg") for name in "abc"))
    program = folder.path / "program.py"
    program.write_text(PROGRAM)
    arguments = ["batch", str(folder.path / "list.jsonl"), "--jobs", "2"]
    arguments += ["--out", str(folder.path / "masks")]
    environ = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(program), *arguments],
        env=environ,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as parent:
        wait_until(lambda: len(list(folder.path.glob("*.pid"))) == 2)
        workers = [int(file.stem) for file in folder.path.glob("*.pid")]
        assert all(map(alive, workers))

        parent.send_signal(how)
        _, said = parent.communicate(timeout=120)

        wait_until(lambda: not any(map(alive, workers)))
    assert parent.returncode == (130 if how == signal.SIGINT else -how)
    assert b"Traceback" not in said
