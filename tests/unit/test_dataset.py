"""Data sets' trees, made by worker processes that see the painted figure."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests import fakes

from tryon_masks import telemetry
from tryon_masks.domain.person import Candidate
from tryon_masks.entrypoints import cli
from tryon_masks.images import Limits
from tryon_masks.ports import StepLog
from tryon_masks.service import MaskService
from tryon_masks.settings import Settings

VITON_HD = {
    "test/image/{}_00.jpg",
    "test/agnostic-mask/{}_00_mask.png",
    "test/agnostic-v3.2/{}_00.jpg",
    "test/image-parse-v3/{}_00.png",
    "test/image-parse-agnostic-v3.2/{}_00.png",
    "test/openpose_json/{}_00_keypoints.json",
    "test/openpose_img/{}_00_rendered.png",
    "test/transform/{}_00.json",
}


class MortalVision(fakes.FakeVision):
    """Sees nobody in a wide photo; where a file named poison lies, its process is killed, once."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.poison = folder / "poison"

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        if self.poison.exists():
            self.poison.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().find_people(rgb) if rgb.shape[0] > rgb.shape[1] else []


@dataclass
class Wire:
    """Goes to the worker processes."""

    def __call__(self, settings: Settings) -> tuple[MaskService, StepLog | None]:
        assert settings.mask_dir is not None
        vision = MortalVision(settings.mask_dir)
        return MaskService(vision, fakes.FakeStore(), fakes.FakePhotos(), limits=Limits()), None


@dataclass
class Folder:
    """Photos, and the tree that they become."""

    path: Path
    capsys: pytest.CaptureFixture[str]
    err: str = ""

    def photo(self, name: str, data: bytes | None = None) -> None:
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(fakes.photo() if data is None else data)

    def run(self, *more: str, layout: str = "viton-hd") -> tuple[int, dict[str, Any]]:
        """The exit code, and what was printed."""
        argv = ["dataset", str(self.path / "photos"), "--out", str(self.path / "set")]
        code = cli.main([*argv, "--layout", layout, *more], environ={}, wire=Wire())
        telemetry.configure(sys.__stderr__)
        telemetry.configure(None)
        printed = self.capsys.readouterr()
        self.err = printed.err
        return code, json.loads(printed.out) if printed.out else {}

    @property
    def made(self) -> set[str]:
        root = self.path / "set"
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}

    @property
    def results(self) -> list[dict[str, Any]]:
        text = (self.path / "set" / "dataset.results.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    return Folder(tmp_path, capsys)


def test_a_tree_with_pairs_and_a_report(folder: Folder) -> None:
    folder.photo("photos/anna.jpg")
    folder.photo("photos/b c.jpg")
    folder.photo("photos/nobody.jpg", fakes.photo(width=400, height=300))
    folder.photo("photos/broken.jpg", b"not an image")
    folder.photo("garments/anna.png", fakes.photo(width=200, height=200, format="PNG"))

    code, report = folder.run("--jobs", "2", "--garments", str(folder.path / "garments"))

    assert code == 1
    assert report.pop("photos_per_second") > 0
    assert report == {
        "photos": 4,
        "skipped": 0,
        "success": 2,
        "refused": 1,
        "error": 1,
        "codes": {"NO_PERSON": 1, "UNSUPPORTED_PHOTO": 1},
        "without_garment": 3,
        "not_made": ["test/image-densepose", "test/cloth-mask"],
    }
    photos = {path.format(name) for path in VITON_HD for name in ("anna", "b_c")}
    assert folder.made == photos | {
        "dataset.results.jsonl",
        "test/cloth/anna_00.jpg",
        "test_pairs.txt",
    }
    assert (folder.path / "set/test_pairs.txt").read_text() == "anna_00.jpg anna_00.jpg\n"
    with Image.open(folder.path / "set/test/cloth/anna_00.jpg") as garment:
        assert garment.size == (768, 1024)
    assert (folder.path / "set/test/image-densepose").is_dir()
    by_name = {one["id"]: one for one in folder.results}
    assert by_name["nobody"]["message"] == "Nobody was found in the photo."


def test_a_killed_run_goes_on_where_it_was(folder: Folder) -> None:
    for name in ("a", "b", "c"):
        folder.photo(f"photos/{name}.jpg")
    folder.photo("set/poison", b"")

    code, report = folder.run()
    assert code == 1
    assert report["not done"] >= 1
    assert "goes on from here" in folder.err

    code, report = folder.run()
    assert (code, report["success"]) == (0, 3)

    code, report = folder.run()
    assert (code, report["skipped"], report["photos_per_second"]) == (0, 3, 0)
    assert len(folder.results) == 3


def test_a_changed_photo_is_made_again(folder: Folder) -> None:
    folder.photo("photos/a.jpg")
    folder.run()

    folder.photo("photos/a.jpg", fakes.photo(format="PNG"))

    assert folder.run()[1]["skipped"] == 0


def test_dress_code_has_a_folder_a_kind(folder: Folder) -> None:
    folder.photo("photos/a.jpg")

    assert folder.run("--kind", "full", layout="dresscode")[0] == 0

    assert folder.made == {
        "dataset.results.jsonl",
        "dresses/images/a_0.jpg",
        "dresses/label_maps/a_4.png",
        "dresses/keypoints/a_2.json",
        "dresses/skeletons/a_5.jpg",
        "dresses/agnostic_masks/a_0.png",
        "dresses/transform/a_0.json",
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--kind", "lower"), "viton-hd takes --kind upper only"),
        (("--profile", "round"), "profile"),
        (("https://example.com/a.jpg",), "made of files"),
        (("--garments", "nowhere"), "nowhere"),
        (("--jobs", "0"), "--jobs"),
    ],
)
def test_wrong_usage_makes_nothing(folder: Folder, more: tuple[str, ...], said: str) -> None:
    folder.photo("photos/a.jpg")

    # The options first, so that an address is one more photo.
    code, _ = folder.run(*more) if more[0].startswith("--") else run_with(folder, *more)

    assert code == 2
    assert said in folder.err
    assert folder.made == set()


def run_with(folder: Folder, photo: str) -> tuple[int, dict[str, Any]]:
    out = str(folder.path / "set")
    argv = ["dataset", photo, "--layout", "viton-hd", "--out", out]
    code = cli.main(argv, environ={}, wire=Wire())
    folder.err = folder.capsys.readouterr().err
    return code, {}


def test_two_photos_of_one_name(folder: Folder) -> None:
    folder.photo("photos/a b.jpg")
    folder.photo("photos/a_b.png")

    assert folder.run()[0] == 2
    assert "would write the same files" in folder.err
