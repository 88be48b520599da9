"""The classic set as a whole, on contract graphs: painted people in, part map, masks, refusals."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests import fakes
from tests.vision.dwpose_schp.contract_graphs import (
    Rgb,
    anchor,
    colour_parser,
    planted_detector,
    planted_pose,
    raw_row,
    write_manifest,
)

from tryon_masks.adapters.directory import DirectoryMaskStore
from tryon_masks.domain.errors import ModelSetError
from tryon_masks.domain.parts import Part
from tryon_masks.domain.person import Box, Person
from tryon_masks.entrypoints import cli
from tryon_masks.images import Limits
from tryon_masks.service import MaskRequest, MaskResult, MaskService
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log, request_log
from tryon_masks.vision.catalog import load_model_set
from tryon_masks.vision.dwpose_schp import vision as dwpose_schp
from tryon_masks.vision.dwpose_schp.dwpose import NAMED, PoseModel, WholeBody
from tryon_masks.vision.dwpose_schp.schp import Atr, Lip
from tryon_masks.vision.dwpose_schp.vision import (
    ATR_SIDE,
    LIP_SIDE,
    MAX_POSES,
    DwposeSchpVision,
)
from tryon_masks.vision.dwpose_schp.yolox import Detection
from tryon_masks.wiring import build_vision

WALL: Rgb = (0, 0, 0)
PAINT: dict[Part, tuple[Rgb, Atr, Lip]] = {
    Part.HAIR: ((0, 0, 255), Atr.HAIR, Lip.HAIR),
    Part.FACE: ((255, 255, 255), Atr.FACE, Lip.FACE),
    Part.NECK: ((255, 255, 140), Atr.FACE, Lip.BACKGROUND),
    Part.TOP: ((255, 0, 0), Atr.UPPER_CLOTHES, Lip.COAT),
    Part.LEFT_ARM: ((0, 255, 0), Atr.LEFT_ARM, Lip.LEFT_ARM),
    Part.RIGHT_ARM: ((0, 255, 130), Atr.RIGHT_ARM, Lip.RIGHT_ARM),
    Part.TROUSERS: ((255, 0, 255), Atr.PANTS, Lip.PANTS),
    Part.LEFT_SHOE: ((0, 140, 255), Atr.LEFT_SHOE, Lip.LEFT_SHOE),
    Part.RIGHT_SHOE: ((130, 130, 255), Atr.RIGHT_SHOE, Lip.RIGHT_SHOE),
}
"""What the painted figure wears, and what either parser calls it."""
BOX = (fakes.BOX.x0, fakes.BOX.y0, fakes.BOX.x1, fakes.BOX.y1)
SKIN_OF = {Part.LEFT_HAND: Part.LEFT_ARM, Part.RIGHT_HAND: Part.RIGHT_ARM}


def colours(classes: type[Atr] | type[Lip], which: Literal[1, 2]) -> list[list[Rgb]]:
    table: list[list[Rgb]] = [[] for _ in classes]
    table[0] = [WALL]
    for row in PAINT.values():
        table[row[which]].append(row[0])
    return table


def peaks() -> Mapping[int, tuple[int, int, float, float]]:
    """The figure's points on the crop around its box, each hand's fingers below its wrist."""
    box = fakes.BOX
    zoom = 384 / (1.25 * max(box.height, box.width * 4 / 3))
    middle = np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2
    places = {NAMED[name]: np.array(xy) for name, xy in fakes.POINTS.items() if name in NAMED}
    for side, first in (("left", 91), ("right", 112)):
        wrist = np.array(fakes.POINTS[f"{side}_wrist"])
        for finger in range(5):
            for joint in range(4):
                places[first + 1 + 4 * finger + joint] = np.add(
                    wrist, (3 * finger - 6, 6 + 7 * joint)
                )
    for point in range(17):  # the jaw, from ear to ear over the chin
        turn = np.pi * point / 16
        places[23 + point] = np.array([150 - 20 * np.cos(turn), 62 + 22 * np.sin(turn)])
    planted = {}
    for point, xy in places.items():
        x, y = np.round(2 * ((xy - middle) * zoom + [144, 192])).astype(int).tolist()
        planted[point] = (x, y, 0.9, 0.8)
    return planted


Folders = Callable[[int], Path]
"""Number of people that the detector reports -> folder of the model set."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("models")
    planted_pose(root / "dw-ll_ucoco_384.onnx", peaks())
    colour_parser(root / "parsing_atr.onnx", ATR_SIDE, colours(Atr, 1))
    colour_parser(root / "parsing_lip.onnx", LIP_SIDE, colours(Lip, 2))

    def folder(people: int) -> Path:
        made = root / str(people) / "dwpose-schp"
        if not made.exists():
            made.mkdir(parents=True)
            for file in root.glob("*.onnx"):
                (made / file.name).hardlink_to(file)
            planted_detector(made / "yolox_l.onnx", boxes(people))
            write_manifest(made)
        return made

    return folder


def boxes(people: int) -> dict[int, NDArray[np.float32]]:
    """What the detector answers for a crowd: one box for each figure, on every other stride."""
    scale = 640 / max(fakes.HEIGHT, people * fakes.WIDTH)
    rows = {}
    for number in range(people):
        stride, cell = (8, 16, 32)[number], (number, 2)
        left = number * fakes.WIDTH
        corners = [v + shift for v, shift in zip(BOX, (left, 0, left, 0), strict=True)]
        x0, y0, x1, y1 = (v * scale for v in corners)
        rows[anchor(stride, *cell)] = raw_row(
            stride, cell, (x0, y0, x1, y1), objectness=0.9, of_class=0.9
        )
    return rows


def seeing(folders: Folders, people: int) -> DwposeSchpVision:
    return DwposeSchpVision(load_model_set("dwpose-schp", folders(people)), 1)


@pytest.fixture(scope="module")
def vision(folders: Folders) -> DwposeSchpVision:
    return seeing(folders, 1)


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    with request_log("request-1", "user-1"):
        yield


def crowd(people: int) -> NDArray[np.uint8]:
    """So many painted figures side by side, twice their size."""
    table = np.zeros((256, 3), np.uint8)
    for part, (colour, _, _) in PAINT.items():
        table[part] = colour
    for part, like in SKIN_OF.items():
        table[part] = PAINT[like][0]
    figure = table[fakes.part_map()]
    row = np.concatenate([figure] * people, axis=1) if people else np.zeros_like(figure)
    return np.asarray(cv2.resize(row, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST))


def parsed(vision: DwposeSchpVision, rgb: NDArray[np.uint8], which: int = 0) -> Person:
    people = sorted(vision.find_people(rgb), key=lambda one: one.box.x0)
    return vision.parse(rgb, people[which], [one for one in people if one is not people[which]])


def truth() -> NDArray[np.uint8]:
    part_map = fakes.part_map().astype(np.uint8)
    part_map[part_map == Part.TOP] = Part.OUTERWEAR
    return np.asarray(
        cv2.resize(part_map, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST), np.uint8
    )


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_the_figure_comes_back_as_its_own_part_map(vision: DwposeSchpVision) -> None:
    person = parsed(vision, crowd(1))

    wanted = truth()
    assert (person.part_map != wanted).mean() < 0.02
    for part in (Part.HAIR, Part.FACE, Part.NECK, Part.OUTERWEAR, Part.TROUSERS):
        assert overlap(person.part_map == part, wanted == part) > 0.75, part.name
    # Between hair and face the colours mix to that of a shoe.
    below = slice(400, None)
    for part in (Part.LEFT_HAND, Part.RIGHT_HAND, Part.LEFT_SHOE, Part.RIGHT_SHOE):
        assert overlap((person.part_map == part)[below], (wanted == part)[below]) > 0.55, part.name
    assert person.confidence.min() == 0.5
    assert person.confidence.mean() > 0.95


def test_keypoints_lie_where_the_figure_has_them(vision: DwposeSchpVision) -> None:
    (person,) = vision.find_people(crowd(1))

    # A bin of the crop is 1.2 pixels wide here.
    for name in fakes.POINTS.keys() - {"left_index", "right_index"}:
        x, y = fakes.POINTS[name]
        assert person.skeleton.get(name) == pytest.approx((2 * x, 2 * y), abs=0.6)


def test_a_neighbours_clothes_are_somebody_elses(folders: Folders) -> None:
    rgb = crowd(2)

    person = parsed(seeing(folders, 2), rgb, which=1)

    width = rgb.shape[1] // 2
    mine, neighbours = person.part_map[:, width:], person.part_map[:, :width]
    assert (mine != Part.OTHER_PERSON).all()
    wanted = truth() != Part.BACKGROUND
    assert overlap(neighbours == Part.OTHER_PERSON, wanted) > 0.9
    assert set(np.unique(neighbours)) == {Part.BACKGROUND, Part.OTHER_PERSON}


def test_on_a_crop_the_parsers_see_the_same(folders: Folders, vision: DwposeSchpVision) -> None:
    close = DwposeSchpVision(load_model_set("dwpose-schp", folders(1)), 1, view="person")

    person = parsed(close, crowd(1))

    assert close.model_set == "dwpose-schp-person"
    assert (person.part_map != parsed(vision, crowd(1)).part_map).mean() < 0.02


def test_without_lip_coats_are_tops_and_the_jaw_parts_neck_from_face(folders: Folders) -> None:
    alone = DwposeSchpVision(load_model_set("dwpose-schp", folders(1)), 1, lip=False)

    part_map = parsed(alone, crowd(1)).part_map

    wanted = truth()
    assert alone.model_set == "dwpose-schp-atr"
    assert overlap(part_map == Part.TOP, wanted == Part.OUTERWEAR) > 0.75
    assert overlap(part_map == Part.NECK, wanted == Part.NECK) > 0.5


def test_a_hole_in_a_top_is_filled_where_that_is_wanted(
    folders: Folders, vision: DwposeSchpVision
) -> None:
    filling = DwposeSchpVision(load_model_set("dwpose-schp", folders(1)), 1, fill=True)
    rgb = crowd(1)
    top = truth() == Part.OUTERWEAR
    middle = tuple(int(places.mean()) for places in np.nonzero(top))
    hole = tuple(slice(place - 18, place + 18) for place in middle)
    assert top[hole].all()
    rgb[hole] = WALL

    as_it_is, filled = (parsed(one, rgb).part_map[middle] for one in (vision, filling))

    assert filling.model_set == "dwpose-schp-filled"
    assert (as_it_is, filled) == (Part.BACKGROUND, Part.TOP)


def served(vision: DwposeSchpVision, rgb: NDArray[np.uint8], store: Path) -> MaskResult:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    service = MaskService(vision, DirectoryMaskStore(store), fakes.FakePhotos(), limits=Limits())
    with request_log("request-2", "user-1") as log:
        return service.make(MaskRequest(file.getvalue(), "user-1"), log)


@pytest.mark.parametrize(("people", "code"), [(0, "NO_PERSON"), (3, "SEVERAL_PEOPLE")])
def test_nobody_and_a_crowd_are_refused(
    folders: Folders, tmp_path: Path, people: int, code: str
) -> None:
    result = served(seeing(folders, people), crowd(people), tmp_path)

    assert result.status == "refused"
    assert result.people_found == people
    assert [one.code for one in result.refused] == [code, code]
    assert list(tmp_path.iterdir()) == []


def test_one_person_gets_both_masks(vision: DwposeSchpVision, tmp_path: Path) -> None:
    result = served(vision, crowd(1), tmp_path)

    assert (result.status, result.people_found) == ("success", 1)
    assert result.model_set == "dwpose-schp"
    upper, lower = (
        np.asarray(Image.open(next(tmp_path.rglob(f"*.{kind}.png")))) == 255
        for kind in ("upper", "lower")
    )
    wanted = truth()
    assert upper[wanted == Part.OUTERWEAR].mean() > 0.95
    assert upper[wanted == Part.FACE].mean() < 0.05
    assert lower[wanted == Part.TROUSERS].mean() > 0.95
    assert lower[wanted == Part.LEFT_SHOE].mean() < 0.1


def test_only_what_find_people_returned_can_be_parsed(vision: DwposeSchpVision) -> None:
    with pytest.raises(TypeError, match="find_people"):
        vision.parse(crowd(1), fakes.candidate(), [])


def test_the_sets_name_chooses_what_runs_it(folders: Folders) -> None:
    chosen = Settings(
        mask_store="directory",
        ort_threads=1,
        model_set="dwpose-schp",
        models_dir=folders(1).parent,
    )
    with init_log("test"):
        vision = build_vision(chosen)

    assert isinstance(vision, DwposeSchpVision)
    assert vision.model_set == "dwpose-schp"


def test_the_command_line_says_which_set_it_is(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"MODEL_SET": "dwpose-schp", "MODELS_DIR": str(folders(1).parent)}

    assert cli.main(["models"], environ=environ) == 0

    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[:2] for row in rows] == [
        ["dwpose-schp", f"{name}.onnx"]
        for name in ("dw-ll_ucoco_384", "parsing_atr", "parsing_lip", "yolox_l")
    ]


def test_an_altered_file_stops_the_start_with_both_digests(
    folders: Folders, tmp_path: Path
) -> None:
    for path in folders(1).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / "parsing_lip.onnx").read_bytes())
    content[-1] ^= 1
    (tmp_path / "parsing_lip.onnx").write_bytes(content)

    with pytest.raises(
        ModelSetError, match=r"parsing_lip\.onnx has sha256 [0-9a-f]{64}, expected [0-9a-f]{64}"
    ):
        load_model_set("dwpose-schp", tmp_path)


class Crowd:
    """A detector that sees the figure, and beside it ever smaller boxes."""

    def __init__(self, people: int) -> None:
        self.found = [
            Detection(Box(0, 0, 30 + number / 10, 60), 0.31 + number / 1000)
            for number in range(people - 1)
        ]
        self.found.insert(people // 2, Detection(fakes.BOX, 0.9))

    def find(self, _rgb: NDArray[np.uint8]) -> list[Detection]:
        return self.found


class Counting:
    """A pose model that counts its looks."""

    def __init__(self, poses: PoseModel) -> None:
        self.looks: list[Box] = []
        self._poses = poses

    def infer(self, rgb: NDArray[np.uint8], box: Box) -> WholeBody:
        self.looks.append(box)
        return self._poses.infer(rgb, box)


@pytest.mark.parametrize("people", [MAX_POSES, MAX_POSES + 1, 106])
def test_of_a_crowd_the_largest_and_surest_are_looked_at(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, people: int
) -> None:
    crowd = Crowd(people)
    poses = Counting(PoseModel(folders(1) / "dw-ll_ucoco_384.onnx", 1))
    monkeypatch.setattr(dwpose_schp, "PersonDetector", lambda _path, _threads: crowd)
    monkeypatch.setattr(dwpose_schp, "PoseModel", lambda _path, _threads: poses)
    vision = seeing(folders, 1)
    poses.looks.clear()
    rgb = np.zeros((fakes.HEIGHT, fakes.WIDTH, 3), np.uint8)

    found = vision.find_people(rgb)

    assert len(found) == people
    assert len(poses.looks) == MAX_POSES
    assert poses.looks[0] == found[0].box == fakes.BOX
    ranked = sorted(crowd.found, key=lambda one: -one.box.area * one.score)
    assert poses.looks == [one.box for one in ranked[:MAX_POSES]]
    unseen = [one for one in found if one.skeleton.torso is None]
    assert len(unseen) == people - MAX_POSES
    person = vision.parse(rgb, found[0], found[1:])
    assert person.box == fakes.BOX
