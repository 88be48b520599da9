"""``tryon-masks sheet``: what stands on the page, and in which order."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import fakes
from tests.sheets import cards_in

from tryon_masks.adapters.directory import DirectoryMaskStore
from tryon_masks.entrypoints import cli
from tryon_masks.images import Limits
from tryon_masks.ports import StepLog
from tryon_masks.service import MaskService
from tryon_masks.settings import Settings

NO_SETTINGS: Mapping[str, str] = {}


class Folder:
    """Photos in a folder, and the command on a fake vision."""

    def __init__(
        self,
        root: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.root = root
        self.photos = root / "photos"
        self.out = root / "sheets" / "all.html"
        self.vision = fakes.FakeVision()
        self._capsys = capsys
        monkeypatch.setattr("tryon_masks.library.build_vision", lambda settings: self.vision)
        monkeypatch.chdir(root)

    def put(self, name: str, data: bytes | None = None) -> Path:
        path = self.photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fakes.photo() if data is None else data)
        return path

    def sheet(self, *given: str) -> list[dict[str, Any]]:
        """What the command wrote, worst first."""
        assert cli.main(["sheet", *given, "--out", str(self.out)], environ=NO_SETTINGS) == 0
        return cards_in(self.out)

    def refused(self, *given: str) -> str:
        """What the command says in place of a sheet."""
        assert cli.main(["sheet", *given], environ=NO_SETTINGS) == 2
        return self._capsys.readouterr().err

    def generate(self, *given: str) -> Path:
        """Answers of ``generate``, in a file."""
        self._capsys.readouterr()
        cli.main(
            ["generate", *given, "--out", str(self.root / "masks")], environ={}, wire=self._wire
        )
        answers = self.root / "answers.jsonl"
        answers.write_text(self._capsys.readouterr().out)
        return answers

    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return told

    def _wire(self, settings: Settings) -> tuple[MaskService, StepLog | None]:
        assert settings.mask_dir is not None
        store = DirectoryMaskStore(settings.mask_dir)
        return MaskService(
            self.vision, store, fakes.FakePhotos({ADDRESS: fakes.photo()}), limits=Limits()
        ), None


ADDRESS = "https://photos.example.com/ada.jpg"


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Folder:
    return Folder(tmp_path, monkeypatch, capsys)


def pixels(text: str) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGBA"))


def test_a_card_shows_the_photo_and_its_masks(folder: Folder) -> None:
    folder.put("me.jpg", fakes.photo(width=900, height=1200))

    (card,) = folder.sheet("photos")

    assert (card["name"], card["status"], card["refused"]) == ("me.jpg", "success", [])
    assert card["made"]["upper"]["confidence"] == 0.9
    shown = card["pictures"]
    photo = pixels(shown["photo"])
    assert photo.shape == (512, 384, 4)
    mask = pixels(shown["masks"]["upper"])
    assert mask.shape == (512, 384, 4)
    assert set(np.unique(mask[:, :, 3]).tolist()) == {0, 255}
    assert np.mean(mask[:, :, 3] > 0) == pytest.approx(card["made"]["upper"]["coverage"], abs=0.01)


def test_the_worst_come_first(folder: Folder) -> None:
    folder.put("broken.jpg", b"no photo")
    folder.put("whole.jpg")
    folder.vision.without = fakes.LEG_POINTS
    cards = folder.sheet("photos")
    assert [(card["name"], card["status"]) for card in cards] == [
        ("broken.jpg", "error"),
        ("whole.jpg", "partial"),
    ]
    assert cards[0]["error"]["code"] == "UNSUPPORTED_PHOTO"
    assert cards[0]["pictures"] is None
    assert [one["code"] for one in cards[1]["refused"]] == ["LEGS_NOT_VISIBLE"]
    assert folder.told() == {"sheet": str(folder.out), "photos": 2, "error": 1, "partial": 1}


def test_options_are_those_of_generate(folder: Folder) -> None:
    folder.put("a.jpg")
    folder.put("b.jpg")
    folder.vision.people = 2
    given = ["--masks", "feet,full", "--profile", "hull", "--person", "largest", "--jobs", "2"]

    cards = folder.sheet("photos", *given)

    assert [list(card["made"]) for card in cards] == [["feet", "full"]] * 2
    assert [card["name"] for card in cards] == ["a.jpg", "b.jpg"]


def test_folders_tell_photos_of_one_name_apart(folder: Folder) -> None:
    folder.put("ada/front.jpg")
    folder.put("grace/front.jpg")
    assert [card["name"] for card in folder.sheet("photos")] == ["ada/front.jpg", "grace/front.jpg"]


def test_answers_of_generate_are_shown_without_a_model(folder: Folder) -> None:
    folder.put("broken.jpg", b"no photo")
    folder.put("whole.jpg")
    answers = folder.generate("photos")
    seen = len(folder.vision.shown)

    broken, whole = folder.sheet(str(answers))

    assert len(folder.vision.shown) == seen
    assert (broken["status"], broken["error"]["code"]) == ("error", "UNSUPPORTED_PHOTO")
    assert whole["made"]["lower"]["confidence"] == 0.9
    assert whole["pictures"]["masks"].keys() == {"upper", "lower"}
    assert whole["note"] == ""


def test_of_answers_about_one_photo_the_last_counts(folder: Folder) -> None:
    photo = folder.put("me.jpg")
    failed = {
        "photo": str(photo),
        "id": "a",
        "status": "error",
        "error": {"code": "X", "message": ""},
    }
    made = {"photo": str(photo), "id": "a", "status": "refused"}
    (folder.root / "list.jsonl").write_text(f"{json.dumps(failed)}\n\n{json.dumps(made)}\n")

    (card,) = folder.sheet("list.jsonl")

    assert (card["status"], card["error"]) == ("refused", None)


def test_what_is_not_here_or_damaged_is_said(folder: Folder) -> None:
    photo = folder.put("me.jpg")
    answers = folder.generate("photos", ADDRESS)
    (folder.root / "masks" / "me.upper.png").write_bytes(b"no image")
    (folder.root / "masks" / "me.lower.png").unlink()
    elsewhere, here = folder.sheet(str(answers))
    assert elsewhere["note"] == "The photo does not lie on this machine."
    assert elsewhere["pictures"] is None
    assert here["pictures"]["masks"] == {}
    assert "The mask upper: The photo is not a JPEG" in here["note"]
    assert "The mask lower: There is no such file." in here["note"]
    photo.unlink()
    assert folder.sheet(str(answers))[1]["note"] == "The photo: There is no such file."


def test_a_path_that_cannot_be_one_is_said(folder: Folder) -> None:
    answer = {"photo": "me\0.jpg", "status": "success"}
    (folder.root / "list.jsonl").write_text(json.dumps(answer))
    (card,) = folder.sheet("list.jsonl")
    assert card["note"] == "The photo: The file could not be read."


def test_the_page_needs_nothing_beside_itself_and_runs_nothing_of_a_name(folder: Folder) -> None:
    folder.put("</script><script>alert(1)/me.jpg")
    (card,) = folder.sheet("photos")
    page = folder.out.read_text()
    assert "default-src 'none'" in page
    assert not any(name in page for name in ("http:", "https:", '<link rel="stylesheet', "src="))
    assert "<script>alert" not in page
    assert card["name"] == "me.jpg"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["photos", "--out", "sheet.jpg"], "must end in .html"),
        (["photos", "--out", "/proc/sheet.html"], "cannot be written to /proc"),
        (["nowhere", "--out", "a.html"], "no photo here: nowhere"),
        (["photos/me.jpg", "photos/me.jpg", "--out", "a.html"], "each given once"),
        ([ADDRESS, "--out", "a.html"], "must be files"),
        (["photos", "--masks", "hat", "--out", "a.html"], "no mask"),
        (["photos", "list.jsonl", "--out", "a.html"], "not both"),
        (["list.jsonl", "--profile", "hull", "--out", "a.html"], "answers take no"),
        (["list.jsonl", "--jobs", "2", "--out", "a.html"], "answers take no"),
        (["list.jsonl", "--out", "a.html"], "list.jsonl, line 1: no answer"),
        (["other.jsonl", "--out", "a.html"], "No such file"),
    ],
)
def test_wrong_usage_stops_before_any_work(folder: Folder, given: list[str], says: str) -> None:
    folder.put("me.jpg")
    (folder.root / "list.jsonl").write_text('{"photo": "me.jpg"}\n')
    assert says in folder.refused(*given)
    assert folder.vision.shown == []
    assert not (folder.root / "a.html").exists()


def test_every_step_is_logged(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.put("me.jpg")
    answers = folder.generate("photos")
    with caplog.at_level("INFO"):
        folder.sheet("photos")
        folder.sheet(str(answers))
    steps = {one.__dict__["record"]["step"] for one in caplog.records}
    assert steps >= {"find_people", "draw_card", "show_answer", "read_file", "write_sheet"}
