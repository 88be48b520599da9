"""The real models on groups: figures cut out of the demo photos and put side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.demo_photos import HALF_BODY, STANDING, TWO_FIGURES
from tests.vision.compact.conftest import shown

from tryon_masks.domain import fitness
from tryon_masks.domain.errors import SeveralPeople
from tryon_masks.domain.person import Candidate
from tryon_masks.telemetry import request_log
from tryon_masks.vision.compact.people import PoseCandidate
from tryon_masks.vision.compact.vision import CompactVision

pytestmark = pytest.mark.models

SEATED_FROM_THE_SIDE = "*cliff-booth-4057839.jpg"
SEATED = "*mart-production-8032834.jpg"
IN_WHITE = "*lucas-pezeta-2121049.jpg"
HEIGHT, WIDTH = 768, 700

Place = tuple[str, float, float, float]
"""Who, where their neck is (x, y), and their body unit in pixels."""
FIGURES = {
    "front": (TWO_FIGURES, 0),
    "back": (TWO_FIGURES, 1),
    "standing": (STANDING, 0),
    "half": (HALF_BODY, 0),
    "side": (SEATED_FROM_THE_SIDE, 0),
    "seated": (SEATED, 0),
    "white": (IN_WHITE, 0),
}
MIRRORED = "mirrored "

GROUPS: dict[str, tuple[Place, ...]] = {
    "side by side": (("front", 220, 170, 130), ("standing", 500, 190, 120)),
    "shoulder to shoulder": (("front", 280, 170, 150), ("back", 415, 170, 150)),
    "overlapping": (("back", 290, 170, 150), ("front", 395, 170, 150)),
    "one behind the other": (("back", 310, 150, 130), ("standing", 390, 200, 140)),
    "one behind somebody seated": (("front", 300, 180, 140), ("white", 390, 300, 170)),
    "a photo of themselves": (("half", 230, 420, 230), ("mirrored half", 470, 430, 230)),
    "one who looks over a shoulder": (("mirrored half", 430, 330, 190), ("half", 280, 430, 230)),
    "three in a row": (
        ("front", 180, 170, 130),
        ("back", 350, 170, 130),
        ("standing", 520, 190, 120),
    ),
    "one standing behind one seated": (("front", 430, 150, 130), ("side", 300, 330, 160)),
    "four in a row": (
        ("front", 120, 200, 110),
        ("back", 270, 200, 110),
        ("mirrored front", 420, 200, 110),
        ("mirrored back", 570, 200, 110),
    ),
    "two seated": (("seated", 250, 300, 130), ("white", 480, 310, 130)),
    "a back row": (
        ("standing", 350, 130, 110),
        ("front", 260, 210, 130),
        ("back", 440, 210, 130),
    ),
    "two from behind": (("back", 250, 180, 140), ("mirrored back", 420, 190, 140)),
    "the smaller one first": (("standing", 480, 240, 110), ("front", 240, 170, 140)),
}
ALONE: dict[str, tuple[Place, ...]] = {
    name: ((name, 340, 250, 150),) for name in ("front", "back", "standing", "side", "white")
}


@dataclass(frozen=True)
class Figure:
    """Somebody in a photo (H, W, 3): outline (H, W) 0 to 1, neck (x, y), unit in pixels."""

    rgb: NDArray[np.uint8]
    outline: NDArray[np.float32]
    neck: tuple[float, float]
    unit: float

    def mirrored(self) -> Figure:
        width = self.rgb.shape[1]
        neck = (width - 1 - self.neck[0], self.neck[1])
        return Figure(self.rgb[:, ::-1].copy(), self.outline[:, ::-1].copy(), neck, self.unit)


Find = Callable[[NDArray[np.uint8]], list[Candidate]]
Scene = Callable[[Sequence[Place]], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def find(vision: CompactVision) -> Find:
    def everybody(rgb: NDArray[np.uint8]) -> list[Candidate]:
        with request_log("request-1", "user-1"):
            return vision.find_people(rgb)

    return everybody


@pytest.fixture(scope="module")
def scene(find: Find) -> Scene:
    figures: dict[str, Figure] = {}

    def cut_out(name: str) -> Figure:
        if name.startswith(MIRRORED):
            return cut_out(name.removeprefix(MIRRORED)).mirrored()
        if name not in figures:
            photo, which = FIGURES[name]
            rgb = shown(photo)
            one = sorted(find(rgb), key=lambda one: one.box.x0)[which]
            assert isinstance(one, PoseCandidate)
            x, y = one.pose.neck.tolist()
            whole = slice(0, rgb.shape[0]), slice(0, rgb.shape[1])
            figures[name] = Figure(rgb, one.pose.outline_on(*whole), (x, y), one.pose.unit)
        return figures[name]

    def put_together(places: Sequence[Place]) -> NDArray[np.uint8]:
        """Before a wall, the furthest first."""
        wall = np.linspace((205, 200, 190), (160, 150, 140), HEIGHT)
        canvas = wall[:, None].repeat(WIDTH, axis=1)
        for name, x, y, unit in places:
            one = cut_out(name)
            scale = unit / one.unit
            shift = (x - scale * one.neck[0], y - scale * one.neck[1])
            matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
            rgb, outline = (
                cv2.warpAffine(of, matrix, (WIDTH, HEIGHT)) for of in (one.rgb, one.outline)
            )
            share = np.clip((outline - 0.3) / 0.4, 0, 1)[..., None]
            canvas = canvas * (1 - share) + rgb * share
        return canvas.astype(np.uint8)

    return put_together


@pytest.mark.parametrize("places", GROUPS.values(), ids=GROUPS)
def test_everybody_in_a_group_is_found_and_the_caller_must_choose(
    places: tuple[Place, ...], scene: Scene, find: Find
) -> None:
    people = find(scene(places))

    assert len(people) == len(places)
    for _, x, y, unit in places:
        assert any(
            neck is not None and np.hypot(neck[0] - x, neck[1] - y) < 0.2 * unit
            for neck in (one.skeleton.neck_base for one in people)
        )
    with pytest.raises(SeveralPeople):
        fitness.choose(people, HEIGHT)
    for one in people:
        assert fitness.choose(people, HEIGHT, box=one.box) is one


@pytest.mark.parametrize("places", ALONE.values(), ids=ALONE)
def test_somebody_alone_is_one(places: tuple[Place, ...], scene: Scene, find: Find) -> None:
    (one,) = find(scene(places))

    assert fitness.choose([one], HEIGHT) is one


def test_somebody_far_behind_need_not_be_chosen_from(scene: Scene, find: Find) -> None:
    people = find(scene((("front", 300, 170, 150), ("back", 560, 250, 60))))

    assert fitness.choose(people, HEIGHT).box.x0 < 300
