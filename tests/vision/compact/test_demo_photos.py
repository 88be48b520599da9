"""The real models on real photos: what anyone can see in them must hold."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests import fakes, figures
from tests.demo_photos import HALF_BODY, STANDING, TWO_FIGURES, demo_photo
from tests.vision.compact.conftest import MODELS, THREADS, Sight, no_loading, shown

from tryon_masks.domain import fitness
from tryon_masks.domain.errors import NoPerson, SeveralPeople
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.masks import SPECK
from tryon_masks.domain.parts import HANDS, HEAD, SHOES, BoolMask, Part, where
from tryon_masks.domain.person import Box
from tryon_masks.domain.profiles import Profile
from tryon_masks.domain.shapes import without_specks
from tryon_masks.domain.skeleton import SIDES, Point
from tryon_masks.images import Limits
from tryon_masks.model_sets import model_sets
from tryon_masks.service import MaskOptions, MaskRequest, MaskService
from tryon_masks.telemetry import request_log
from tryon_masks.vision.catalog import load_model_set
from tryon_masks.vision.compact.vision import CompactVision

pytestmark = pytest.mark.models

TRY_ON = (MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL)
profile = pytest.mark.parametrize("profile", Profile)
shaped = pytest.mark.parametrize("profile", [Profile.BODY, Profile.TIGHT, Profile.HULL])
"""Without the box, a rectangle that only the head and the shoes are cut out of."""


def joint(sight: Sight, name: str) -> Point:
    point = sight.person.skeleton.get(name)
    assert point is not None, name
    return point


def disc(sight: Sight, centre: Point, radius: float) -> BoolMask:
    """Pixels within so many T of a point."""
    canvas = np.zeros(sight.rgb.shape[:2], np.uint8)
    x, y = (round(v) for v in centre)
    cv2.circle(canvas, (x, y), round(radius * sight.person.torso), 1, -1)
    return canvas.astype(bool)


def at(pixels: BoolMask, point: Point) -> bool:
    return bool(pixels[round(point[1]), round(point[0])])


def between(sight: Sight, first: str, second: str, share: float = 0.5) -> Point:
    (ax, ay), (bx, by) = joint(sight, first), joint(sight, second)
    return (ax + share * (bx - ax), ay + share * (by - ay))


# A full standing figure, arms raised, barefoot


def test_one_person_is_found_where_she_stands(standing: Sight) -> None:
    assert len(standing.people) == 1
    height, width = standing.rgb.shape[:2]
    box = standing.person.box
    assert 0.1 * width < box.x0 < 0.2 * width
    assert 0.85 * width < box.x1 < width
    assert box.height > 0.65 * height
    assert standing.person.score > 0.9


def test_her_joints_are_in_order_from_nose_to_ankle(standing: Sight) -> None:
    def height(part: str) -> float:
        return sum(joint(standing, f"{side}_{part}")[1] for side in SIDES) / 2

    assert joint(standing, "nose")[1] < height("shoulder") < height("hip") < height("knee")
    assert height("knee") < joint(standing, "left_ankle")[1]


def test_both_wrists_are_above_the_head(standing: Sight) -> None:
    for side in SIDES:
        assert joint(standing, f"{side}_wrist")[1] < joint(standing, "nose")[1] - 20


def test_her_left_is_at_the_photos_right(standing: Sight) -> None:
    for part in ("shoulder", "elbow", "wrist", "hip", "knee"):
        assert joint(standing, f"left_{part}")[0] > joint(standing, f"right_{part}")[0]


@profile
def test_her_face_is_not_in_the_upper_mask(standing: Sight, profile: Profile) -> None:
    upper = standing.mask(MaskKind.UPPER, profile)

    # The rectangle of ``upper`` leaves out no hair.
    head = HEAD - {Part.HAIR} if profile is Profile.BOX else HEAD
    assert not upper[where(standing.person.part_map, head)].any()
    assert not (upper & disc(standing, joint(standing, "nose"), 0.1)).any()
    for name in ("left_eye", "right_eye", "left_mouth", "right_mouth"):
        assert not at(upper, joint(standing, name))


@profile
def test_the_foot_she_stands_on_is_not_in_the_lower_mask(standing: Sight, profile: Profile) -> None:
    """The other one, raised and bare before dark leggings, the parser takes for trousers."""
    lower = standing.mask(MaskKind.LOWER, profile)

    shoes = where(standing.person.part_map, SHOES)
    assert not lower[without_specks(shoes, 0.001 * standing.person.torso**2)].any()
    assert not (lower & disc(standing, joint(standing, "left_big_toe"), 0.04)).any()


@shaped
def test_her_arms_are_in_the_upper_mask_and_her_hands_are_not(
    standing: Sight, profile: Profile
) -> None:
    upper = standing.mask(MaskKind.UPPER, profile)

    for side in SIDES:
        assert at(upper, joint(standing, f"{side}_shoulder"))
        assert at(upper, between(standing, f"{side}_shoulder", f"{side}_elbow"))
        assert at(upper, joint(standing, f"{side}_elbow"))
        assert at(upper, between(standing, f"{side}_elbow", f"{side}_wrist"))
        assert not at(upper, between(standing, f"{side}_index", f"{side}_pinky"))
    hands = without_specks(where(standing.person.part_map, HANDS), 0.001 * standing.person.torso**2)
    assert not upper[hands].any()


def test_her_legs_are_in_the_lower_mask(standing: Sight) -> None:
    lower = standing.mask(MaskKind.LOWER)

    for side in SIDES:
        assert at(lower, between(standing, f"{side}_hip", f"{side}_knee"))
        assert at(lower, joint(standing, f"{side}_knee"))
    assert at(lower, between(standing, "left_knee", "left_ankle"))


@shaped
def test_upper_and_lower_hardly_overlap(standing: Sight, profile: Profile) -> None:
    upper, lower = (standing.mask(kind, profile) for kind in (MaskKind.UPPER, MaskKind.LOWER))

    # The hull takes a dress whole for both, and what the parser calls one.
    shared = {Part.DRESS} if profile is Profile.HULL else set()
    both = upper & lower & ~where(standing.person.part_map, shared)
    assert not (both & (standing.person.part_map != Part.BACKGROUND)).any()
    assert both.sum() < 0.02 * min(upper.sum(), lower.sum())


def test_the_masks_lie_on_her_and_not_on_the_landscape(standing: Sight) -> None:
    outside = np.ones(standing.rgb.shape[:2], bool)
    box, room = standing.person.box, 0.1 * standing.person.torso
    rows = slice(max(0, int(box.y0 - room)), int(box.y1 + room) + 1)
    outside[rows, max(0, int(box.x0 - room)) : int(box.x1 + room) + 1] = False

    for kind in TRY_ON:
        mask = standing.mask(kind)
        assert not (mask & outside).any()
        assert 0.02 < mask.mean() < 0.3


def test_every_kind_of_mask_can_be_made_of_her(standing: Sight) -> None:
    for kind in MaskKind:
        assert standing.mask(kind).any()


def test_a_mirrored_photo_gives_the_mirrored_masks(standing: Sight, mirrored: Sight) -> None:
    for kind in TRY_ON:
        assert figures.overlap(standing.mask(kind), mirrored.mask(kind)[:, ::-1]) > 0.9


def test_half_the_size_gives_nearly_the_same_masks(standing: Sight, halved: Sight) -> None:
    size = (standing.rgb.shape[1], standing.rgb.shape[0])
    for kind in TRY_ON:
        small = halved.mask(kind).astype(np.uint8)
        enlarged = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)) > 0
        assert figures.overlap(standing.mask(kind), enlarged) > 0.9


def test_no_look_loaded_a_model(vision: CompactVision, standing: Sight, mirrored: Sight) -> None:
    """Every look was made where loading one is an error, as here."""
    with no_loading(), pytest.raises(AssertionError, match="loaded"):
        CompactVision(load_model_set(vision.model_set, MODELS), THREADS)


def test_somebody_that_these_models_did_not_find_cannot_be_parsed(
    vision: CompactVision, standing: Sight
) -> None:
    with request_log("request-1", "user-1"), pytest.raises(TypeError, match="find_people"):
        vision.parse(standing.rgb, fakes.candidate(), [])


# Two figures


@pytest.fixture(params=["from_the_front", "from_the_back"])
def sight(request: pytest.FixtureRequest) -> Sight:
    """Each of them in turn."""
    one: Sight = request.getfixturevalue(request.param)
    return one


def test_two_figures_are_several_people(from_the_front: Sight) -> None:
    assert len(from_the_front.people) == 2
    with pytest.raises(SeveralPeople):
        fitness.choose(from_the_front.people, from_the_front.rgb.shape[0])


def test_person_largest_takes_one_of_them(from_the_front: Sight) -> None:
    people = from_the_front.people

    chosen = fitness.choose(people, from_the_front.rgb.shape[0], largest=True)

    assert chosen.box.area == max(one.box.area for one in people)


@profile
def test_the_other_figure_has_no_mask_pixel(sight: Sight, profile: Profile) -> None:
    (other,) = (one for one in sight.people if one.box != sight.person.box)

    columns = slice(int(other.box.x0), int(other.box.x1) + 1)
    for kind in TRY_ON:
        mask = sight.mask(kind, profile)
        assert mask.any()
        assert not mask[:, columns].any()


def test_front_and_back_have_arms_in_the_upper_mask_and_hands_outside(
    sight: Sight, from_the_front: Sight
) -> None:
    upper, lower = sight.mask(MaskKind.UPPER), sight.mask(MaskKind.LOWER)

    # From behind, a hem lies over the heel, and toes are a guess of the pose model's.
    toes = 0.5 if sight is from_the_front else 0.0
    for side in SIDES:
        assert at(upper, joint(sight, f"{side}_elbow"))
        assert at(upper, between(sight, f"{side}_elbow", f"{side}_wrist", 0.7))
        knuckles = between(sight, f"{side}_index", f"{side}_pinky")
        assert not at(upper, knuckles)
        assert not at(lower, knuckles)
        assert at(lower, joint(sight, f"{side}_knee"))
        assert not at(lower, between(sight, f"{side}_heel", f"{side}_big_toe", toes))
    assert not at(upper, joint(sight, "nose"))


def test_the_upper_mask_has_shirt_and_arms_and_no_head_or_hand(sight: Sight) -> None:
    upper = sight.mask(MaskKind.UPPER)

    assert at(upper, between(sight, "left_shoulder", "right_hip"))
    for side in SIDES:
        assert at(upper, joint(sight, f"{side}_shoulder"))
        assert at(upper, between(sight, f"{side}_elbow", f"{side}_wrist"))
    kept = where(sight.person.part_map, HEAD | HANDS | SHOES)
    assert not without_specks(upper & kept, SPECK * sight.person.torso**2).any()
    assert not at(upper, joint(sight, "nose"))


def test_the_lower_mask_has_both_legs_and_no_shoe(sight: Sight, from_the_front: Sight) -> None:
    lower = sight.mask(MaskKind.LOWER)

    # From behind, toes are a guess of the pose model's.
    end = "big_toe" if sight is from_the_front else "heel"
    for side in SIDES:
        assert at(lower, joint(sight, f"{side}_knee"))
        assert at(lower, between(sight, f"{side}_hip", f"{side}_knee"))
        assert not at(lower, joint(sight, f"{side}_{end}"))
    assert not lower[where(sight.person.part_map, SHOES | HEAD)].any()


def test_the_figure_in_the_box_is_the_one_that_is_masked(from_the_back: Sight) -> None:
    assert from_the_back.person.box.x0 > from_the_back.rgb.shape[1] / 2
    columns = from_the_back.mask(MaskKind.UPPER).nonzero()[1]
    assert columns.min() > from_the_back.rgb.shape[1] / 2


# Half a figure, and nobody


def test_half_a_body_has_an_upper_mask_and_no_legs(vision: CompactVision) -> None:
    store = fakes.FakeStore()
    limits = Limits(working_side=model_sets()["compact"].working_side)
    service = MaskService(vision, store, fakes.FakePhotos(), limits=limits)
    request = MaskRequest(demo_photo(HALF_BODY), "user-1", MaskOptions(max_side=1024))

    with request_log("request-1", "user-1") as log:
        result = service.make(request, log)

    assert result.status == "partial"
    assert [(one.mask, one.code) for one in result.refused] == [("lower", "LEGS_NOT_VISIBLE")]
    ((name, file),) = next(iter(store.files.values())).items()
    assert name == "upper"
    upper = np.asarray(Image.open(io.BytesIO(file.data)))
    assert upper.shape == (683, 1024)
    assert 0.1 < (upper == 255).mean() < 0.4
    done = [record["step"] for record in log.records if record["status"] == "done"]
    for step in ("detect_people", "estimate_poses", "parse_garments", "compose_parts"):
        assert done.count(step) == 1


def gradient() -> NDArray[np.uint8]:
    column = np.linspace(0, 255, 800)[:, None, None]
    return np.broadcast_to(column, (800, 600, 3)).astype(np.uint8)


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (800, 600, 3)).astype(np.uint8)


def landscape() -> NDArray[np.uint8]:
    """The strip of the standing figure's photo above her fingertips."""
    return shown(STANDING)[:180]


@pytest.mark.parametrize("empty", [gradient, noise, landscape])
def test_nobody_is_found_where_nobody_is(empty: type, vision: CompactVision) -> None:
    rgb = empty()
    with request_log("request-1", "user-1"):
        people = vision.find_people(rgb)

    with pytest.raises(NoPerson):
        fitness.choose(people, rgb.shape[0], largest=True)


def test_a_box_around_nobody_is_refused(vision: CompactVision) -> None:
    rgb = shown(TWO_FIGURES)
    with request_log("request-1", "user-1"):
        people = vision.find_people(rgb)

    with pytest.raises(NoPerson):
        fitness.choose(people, rgb.shape[0], box=Box(180, 0, 250, 360))
