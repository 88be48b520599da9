"""From a candidate to a person on the grid, with a parser that reads colours. No weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests import fakes, figures
from tests.vision.compact.painted import SCENES, ColourReader, Scene, near_borders, photo

from tryon_masks.domain.parts import Part, PartMap
from tryon_masks.domain.person import Candidate, Person
from tryon_masks.telemetry import RequestLog, request_log
from tryon_masks.vision.catalog import ModelFile, ModelSet
from tryon_masks.vision.compact import blazepose, garment_parser
from tryon_masks.vision.compact.blazepose import CROP_SIDE, Crop, Pose
from tryon_masks.vision.compact.classes import Class
from tryon_masks.vision.compact.people import PoseCandidate
from tryon_masks.vision.compact.vision import CompactVision

Figure = Callable[[], PartMap]
Tensor = NDArray[np.float32]


Graphs = dict[Path, int]
"""How often each opened graph ran."""


def blind(tensor: Tensor, outputs: tuple[str, ...]) -> list[Tensor]:
    """What the pose graphs say of a photo with nobody in it."""
    if len(outputs) == 2:
        return [np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -60, np.float32)]
    shapes = [(1, 195), (1, 1), (1, 256, 256, 1), (1, 64, 64, 39)]
    return [np.zeros(shape, np.float32) for shape in shapes]


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Graphs:
    """No model is opened but stand-ins: blind pose models, and a parser that reads colours."""
    ran: Graphs = {}

    class Graph:
        def __init__(self, path: Path, threads: int, outputs: tuple[str, ...]) -> None:
            self.path, self.outputs = path, outputs
            self.reader = ColourReader(path, threads, outputs)
            ran[path] = 0

        def run(self, tensor: Tensor) -> list[Tensor]:
            ran[self.path] += 1
            reads = self.path.stem == "garment_parser"
            return self.reader.run(tensor) if reads else blind(tensor, self.outputs)

    monkeypatch.setattr(blazepose, "Model", Graph)
    monkeypatch.setattr(garment_parser, "Model", Graph)
    return ran


def loaded() -> CompactVision:
    about: dict[str, Any] = {
        "task": "",
        "sha256": "",
        "bytes": 0,
        "licence": "",
        "package": "",
        "version": "",
        "inputs": {},
        "outputs": {},
    }
    names = ("person_detector", "pose_landmark", "garment_parser")
    files = {name: ModelFile(id=name, path=Path(f"{name}.onnx"), **about) for name in names}
    return CompactVision(ModelSet("compact", Path(), files), 1)


@pytest.fixture
def vision(graphs: Graphs) -> CompactVision:
    return loaded()


def seen(one: Candidate, body: NDArray[np.bool_]) -> PoseCandidate:
    """The candidate as the pose models would have found it: ``body`` is its outline."""
    height, width = body.shape
    crop = Crop(width / 2, height / 2, float(max(height, width)), 0.0)
    outline = crop.cut((body * 255).astype(np.uint8)).astype(np.float32) / np.float32(255)
    pose = Pose(np.zeros((39, 2), np.float32), np.zeros(39, np.float32), 0.9, outline, crop)
    assert outline.shape == (CROP_SIDE, CROP_SIDE)
    return PoseCandidate(one.box, one.score, one.skeleton, pose)


def parsed(vision: CompactVision, scene: Scene, figure: PartMap) -> tuple[Person, RequestLog]:
    parts = scene.parts(figure)
    one = seen(scene.candidate(), parts > 0)
    with request_log("request-1", "user-1") as log:
        return vision.parse(photo(figures.classes(parts)), one, []), log


@pytest.mark.parametrize("figure", [fakes.part_map, figures.bare_legged, figures.in_a_long_dress])
@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_a_painted_figure_comes_back_as_its_own_part_map(
    scene: Scene, figure: Figure, vision: CompactVision
) -> None:
    painted = scene.parts(figure())

    person, _ = parsed(vision, scene, figure())

    assert person.part_map.shape == person.confidence.shape == (scene.height, scene.width)
    assert person.part_map.dtype == np.uint8
    assert person.confidence.dtype == np.float32
    inner = ~near_borders(painted, 7 * scene.scale + 1)
    assert set(np.unique(painted[inner])) > {0}
    assert (person.part_map == painted)[inner].mean() > 0.999
    one = scene.candidate()
    assert (person.box, person.skeleton) == (one.box, one.skeleton)


def test_outside_the_persons_surroundings_there_is_surely_nobody(vision: CompactVision) -> None:
    scene = Scene(331, 997, 0.8, 703, 5)

    person, _ = parsed(vision, scene, fakes.part_map())

    assert not person.part_map[:, :700].any()
    assert (person.confidence[:, :700] == 1).all()


def test_somebody_beside_is_somebody_else_though_dressed_alike(vision: CompactVision) -> None:
    """The parser here is fooled: the pose models are not."""
    scene = Scene(400, 420)
    painted = scene.parts(fakes.part_map())
    theirs = np.zeros(painted.shape, np.uint8)
    cv2.rectangle(theirs, (214, 100), (300, 399), 1, -1)
    theirs[painted > 0] = 0
    labels = figures.classes(painted)
    labels[theirs > 0] = Class.TOP
    ours = seen(scene.candidate(), painted > 0)
    other = seen(scene.candidate(), theirs > 0)

    with request_log("request-1", "user-1"):
        person = vision.parse(photo(labels), ours, [other])

    inner = cv2.erode(theirs, np.ones((9, 9), np.uint8)) > 0
    inner[:, 230:] = False
    assert inner.any()
    assert (person.part_map[inner] == Part.OTHER_PERSON).all()


def test_what_was_done_is_logged(vision: CompactVision) -> None:
    _, log = parsed(vision, Scene(400, 300), fakes.part_map())

    done = [(one["step"], one["component"]) for one in log.records if one["status"] == "done"]
    assert done == [("parse_garments", "garment_parser"), ("compose_parts", "composition")]


def test_nobody_is_found_where_the_models_see_nobody(vision: CompactVision) -> None:
    with request_log("request-1", "user-1"):
        assert vision.find_people(np.zeros((90, 120, 3), np.uint8)) == []


def test_somebody_that_these_models_did_not_find_cannot_be_parsed(vision: CompactVision) -> None:
    rgb = np.zeros((400, 300, 3), np.uint8)

    with request_log("request-1", "user-1"), pytest.raises(TypeError, match="find_people"):
        vision.parse(rgb, fakes.candidate(), [])


def test_a_skeleton_that_cannot_be_measured_is_a_mistake(vision: CompactVision) -> None:
    one = seen(fakes.candidate(without=frozenset({"left_shoulder"})), fakes.part_map() > 0)

    with request_log("request-1", "user-1"), pytest.raises(ValueError, match="shoulders"):
        vision.parse(np.zeros((400, 300, 3), np.uint8), one, [])


def test_every_model_runs_once_before_the_first_photo(graphs: Graphs) -> None:
    loaded()

    assert sorted(path.stem for path, runs in graphs.items() if runs) == [
        "garment_parser",
        "person_detector",
        "pose_landmark",
    ]
