"""Who is meant, and every reason why a mask is refused."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from tests import fakes, figures
from tests.figures import make_mask

from tryon_masks.domain import fitness
from tryon_masks.domain.errors import (
    LegsNotVisible,
    LowConfidence,
    NoPerson,
    PersonTooSmall,
    Refusal,
    SeveralPeople,
    UpperNotVisible,
)
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.masks import Mask
from tryon_masks.domain.parts import Part, where
from tryon_masks.domain.person import Box, Candidate, Person
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.domain.skeleton import SIDES

UPPER = {MaskKind.UPPER, MaskKind.FULL, MaskKind.ARMS}
LOWER = {MaskKind.LOWER, MaskKind.FULL, MaskKind.LEGS}


def somebody(x: float = 0, size: float = 1.0) -> Candidate:
    """A copy of the figure, moved to the right and so many times as large."""
    one = fakes.candidate().scaled(size)
    box = Box(one.box.x0 + x, one.box.y0, one.box.x1 + x, one.box.y1)
    return replace(one, box=box, skeleton=one.skeleton.moved(x, 0))


def mask(person: Person, kind: MaskKind) -> Mask:
    return make_mask(person, kind, Profile.BODY, Expand())


# Who is meant


def test_one_person_needs_no_choosing() -> None:
    one = somebody()

    assert fitness.choose([one], 400) is one


def test_nobody_is_refused() -> None:
    with pytest.raises(NoPerson):
        fitness.choose([], 400)
    with pytest.raises(NoPerson):
        fitness.choose([], 400, largest=True)
    with pytest.raises(NoPerson):
        fitness.choose([], 400, box=fakes.BOX)


def test_two_of_a_size_are_too_many() -> None:
    with pytest.raises(SeveralPeople):
        fitness.choose([somebody(), somebody(120, 0.95)], 400)


def test_arms_held_out_do_not_make_the_other_one_small() -> None:
    """The box of somebody who spreads their arms is three times as large."""
    one, other = somebody(), somebody(120)
    wide = replace(one, box=Box(one.box.x0 - 124, one.box.y0, one.box.x1 + 124, one.box.y1))

    with pytest.raises(SeveralPeople):
        fitness.choose([wide, other], 400)


def test_somebody_of_the_same_size_who_is_half_hidden_counts() -> None:
    one, other = somebody(), somebody(60)
    head = replace(other, box=Box(other.box.x0, other.box.y0, other.box.x1, other.box.y0 + 110))

    with pytest.raises(SeveralPeople):
        fitness.choose([one, head], 400)
    hand = replace(other, box=Box(other.box.x0, other.box.y0, other.box.x1, other.box.y0 + 50))
    assert fitness.choose([one, hand], 400) is one


def test_somebody_small_in_the_background_does_not_count() -> None:
    one = somebody()

    assert fitness.choose([one, somebody(200, 0.3)], 400) is one
    assert fitness.choose([somebody(200, 0.3), one], 400) is one


def test_of_several_the_largest_is_taken_where_it_is_asked_for() -> None:
    one = somebody(120, 1.05)

    assert fitness.choose([somebody(), one], 420, largest=True) is one


def test_of_several_the_one_in_the_box_is_taken_large_or_small() -> None:
    people = [somebody(), somebody(120), somebody(260, 0.5)]

    for one in people:
        assert fitness.choose(people, 400, box=one.box) is one


def test_a_rough_box_is_enough() -> None:
    people = [somebody(), somebody(120)]
    box = people[1].box

    rough = Box(box.x0 - 15, box.y0 + 30, box.x1 + 15, box.y1)

    assert fitness.choose(people, 400, box=rough) is people[1]


def test_a_box_beside_everybody_is_refused() -> None:
    with pytest.raises(NoPerson, match="person_box"):
        fitness.choose([somebody()], 400, box=Box(230, 0, 300, 60))


def test_a_person_under_a_fifth_of_the_photos_height_is_too_small() -> None:
    one = somebody()

    assert fitness.choose([one], round(one.box.height / 0.21)) is one
    with pytest.raises(PersonTooSmall):
        fitness.choose([one], round(one.box.height / 0.19))


def test_somebody_who_lies_on_the_side_is_as_long_as_the_box_is_wide() -> None:
    one = somebody()
    lying = replace(one, box=Box(0, 0, one.box.height, one.box.width))

    assert fitness.choose([lying], round(one.box.height / 0.21)) is lying
    with pytest.raises(PersonTooSmall):
        fitness.choose([lying], round(one.box.height / 0.19))


def test_a_torso_under_48_pixels_of_the_photo_is_too_small() -> None:
    with pytest.raises(PersonTooSmall):
        fitness.choose([somebody(size=0.47)], 200)
    assert fitness.choose([somebody(size=0.49)], 200)


def test_the_torso_is_measured_in_the_photo_not_on_the_working_grid() -> None:
    one = somebody(size=0.3)

    assert fitness.choose([one], 200, photo_px_per_px=2) is one
    with pytest.raises(PersonTooSmall):
        fitness.choose([one], 200, photo_px_per_px=1.5)


@pytest.mark.parametrize("shoulder", ["left_shoulder", "right_shoulder"])
def test_without_both_shoulders_nothing_can_be_measured(shoulder: str) -> None:
    with pytest.raises(UpperNotVisible):
        fitness.choose([fakes.candidate(without=frozenset({shoulder}))], 400)


# Joints


@pytest.mark.parametrize("kind", MaskKind)
def test_a_half_body_has_no_legs_and_everything_above(kind: MaskKind) -> None:
    """Cut below the hips. The pose model still says where the knees must be: outside."""
    half = figures.cropped(figures.person(), 0, 0, fakes.WIDTH, figures.HIP_LINE + 30)

    if kind in LOWER:
        with pytest.raises(LegsNotVisible):
            mask(half, kind)
    elif kind is MaskKind.FEET:
        with pytest.raises(LegsNotVisible, match="feet"):
            mask(half, kind)
    else:
        assert mask(half, kind).pixels.any()


def test_legs_that_the_pose_model_does_not_see_are_refused() -> None:
    with pytest.raises(LegsNotVisible):
        mask(figures.person(lost=["left_knee", "right_knee"]), MaskKind.LOWER)
    with pytest.raises(LegsNotVisible):
        mask(figures.person(lost=["left_hip", "right_hip"]), MaskKind.LOWER)


def test_knees_in_the_frame_are_enough_and_the_mask_runs_to_its_edge() -> None:
    to_the_knees = figures.cropped(figures.person(), 0, 0, fakes.WIDTH, figures.KNEES + 15)

    lower = mask(to_the_knees, MaskKind.LOWER).pixels

    trousers = to_the_knees.part_map == Part.TROUSERS
    assert lower[-1][trousers[-1]].all()
    assert trousers[-1].any()


@pytest.mark.parametrize("kind", sorted(LOWER - {MaskKind.LEGS}))
def test_half_of_a_thigh_is_enough(kind: MaskKind) -> None:
    """45 of 80 pixels."""
    to_the_thighs = figures.cropped(figures.person(), 0, 0, fakes.WIDTH, figures.HIP_LINE + 45)

    assert mask(to_the_thighs, kind).pixels[-1].any()


def test_legs_behind_a_table_are_refused() -> None:
    """The pose model says where they must be; the part map has nothing of them there."""
    parts = fakes.part_map()
    parts[figures.HIP_LINE + 10 :] = Part.BACKGROUND
    parts[figures.HIP_LINE + 10 : figures.HIP_LINE + 30, 60:240] = Part.TOP

    for kind in (MaskKind.LOWER, MaskKind.FULL):
        with pytest.raises(LowConfidence, match="legs were not found"):
            mask(figures.person(parts), kind)
    assert mask(figures.person(parts), MaskKind.UPPER).pixels.any()


def test_legs_that_hang_below_a_long_coat_are_enough() -> None:
    parts = fakes.part_map()
    parts[(parts == Part.TROUSERS) & (np.indices(parts.shape)[0] < figures.KNEES)] = Part.OUTERWEAR

    assert mask(figures.person(parts), MaskKind.LOWER).pixels.any()


def test_what_may_be_a_dress_or_a_skirt_counts_as_legs() -> None:
    parts = fakes.part_map()
    trousers = parts == Part.TROUSERS
    parts[trousers] = Part.TOP
    one = figures.person(parts)

    with pytest.raises(LowConfidence, match="legs were not found"):
        mask(one, MaskKind.LOWER)
    assert mask(replace(one, perhaps_lower=trousers), MaskKind.LOWER).pixels.any()


def test_one_leg_is_enough() -> None:
    assert mask(figures.person(lost=["left_knee"]), MaskKind.LOWER).pixels.any()


@pytest.mark.parametrize("kind", MaskKind)
def test_legs_without_a_head_and_shoulders_have_no_upper_mask(kind: MaskKind) -> None:
    legs = figures.cropped(figures.person(), 0, 150, fakes.WIDTH, fakes.HEIGHT)

    if kind in UPPER:
        with pytest.raises(UpperNotVisible):
            mask(legs, kind)
    elif kind in (MaskKind.LOWER, MaskKind.FEET, MaskKind.HANDS):
        assert mask(legs, kind).pixels.any()


# Pose and part map


@pytest.mark.parametrize("kind", MaskKind)
def test_somebody_of_whom_the_parser_is_unsure_has_no_mask(kind: MaskKind) -> None:
    """A dog; the parser is sure of the wall behind it."""
    one = figures.person()
    body = one.part_map != Part.BACKGROUND
    dog = replace(one, confidence=np.where(body, np.float32(0.48), np.float32(1)))
    human = replace(one, confidence=np.where(body, np.float32(0.52), np.float32(0)))

    with pytest.raises(LowConfidence, match="not plainly a person"):
        fitness.check(dog, kind)
    fitness.check(human, kind)


def beside_itself() -> Person:
    """The figure's pixels, half a photo to the right of where the pose has its limbs."""
    wide = np.zeros((fakes.HEIGHT, 2 * fakes.WIDTH), np.uint8)
    wide[:, fakes.WIDTH :] = fakes.part_map()
    return figures.person(wide)


@pytest.mark.parametrize("kind", [MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL])
def test_clothes_that_hang_on_nobody_are_refused(kind: MaskKind) -> None:
    with pytest.raises(LowConfidence):
        mask(beside_itself(), kind)


def test_a_garment_mostly_off_the_person_is_refused() -> None:
    parts = fakes.part_map()
    cv2.rectangle(parts, (0, 60), (50, 380), int(Part.TOP), -1)
    cv2.rectangle(parts, (250, 60), (299, 380), int(Part.TOP), -1)

    with pytest.raises(LowConfidence):
        mask(figures.person(parts), MaskKind.UPPER)


@pytest.mark.parametrize("kind", [MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL, MaskKind.ARMS])
def test_a_skeleton_in_a_larger_body_is_refused(kind: MaskKind) -> None:
    """A small skeleton in a headless torso that fills the photo."""
    parts = fakes.part_map()
    grown = cv2.dilate((parts > 0).astype(np.uint8), np.ones((91, 91), np.uint8)) > 0
    parts[grown & (parts == 0)] = Part.TOP

    with pytest.raises(LowConfidence, match="joints do not fit"):
        mask(figures.person(parts), kind)


def test_a_train_that_trails_makes_no_body_too_large() -> None:
    parts = figures.in_a_long_dress()
    cv2.ellipse(parts, (150, 395), (149, 110), 0, 180, 360, int(Part.DRESS), -1)

    assert mask(figures.person(parts), MaskKind.UPPER).pixels.any()


def test_of_a_torso_bent_towards_us_the_shoulders_say_how_large_a_body_may_be() -> None:
    bent = {f"{side}_hip": (x, 160.0) for side, x in (("left", 166.0), ("right", 134.0))}
    one = figures.person(moved=bent)

    assert one.torso < 0.6 * figures.person().torso
    assert mask(one, MaskKind.UPPER).pixels.any()


def test_a_chest_whose_hips_are_out_of_the_frame_has_an_upper_mask() -> None:
    """The pose model gives no hips and no elbows there: trunk and arms have no bones."""
    lost = [f"{side}_{joint}" for side in SIDES for joint in ("elbow", "wrist", "hip")]
    chest = figures.cropped(figures.person(lost=lost), 0, 0, fakes.WIDTH, figures.HIP_LINE - 10)

    assert fitness.near_bones(chest)[where(chest.part_map, {Part.TOP})].mean() > 0.95
    assert mask(chest, MaskKind.UPPER).pixels.any()


def test_a_part_map_of_noise_is_refused() -> None:
    tatters = np.random.default_rng(7).random(figures.SHAPE) < 0.5
    parts = np.where(tatters, fakes.part_map(), 0).astype(np.uint8)

    with pytest.raises(LowConfidence):
        mask(figures.person(parts), MaskKind.UPPER)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (MaskKind.HAIR, Part.HAIR),
        (MaskKind.FACE, Part.FACE),
        (MaskKind.LOWER, Part.TROUSERS),
        (MaskKind.LEGS, Part.LEFT_LEG),
    ],
)
def test_a_part_that_is_not_in_the_photo_is_refused(kind: MaskKind, part: Part) -> None:
    parts = fakes.part_map()
    parts[parts == part] = Part.BACKGROUND

    with pytest.raises(LowConfidence, match="not found"):
        mask(figures.person(parts), kind)


@pytest.mark.parametrize("profile", Profile)
def test_a_mask_of_the_whole_frame_is_refused(profile: Profile) -> None:
    """A close-up of a chest: nothing but top."""
    chest = figures.cropped(figures.person(), 120, 108, 180, 205)
    filled = replace(chest, part_map=np.full_like(chest.part_map, Part.TOP))

    with pytest.raises(LowConfidence, match="whole photo"):
        make_mask(filled, MaskKind.UPPER, profile, Expand())


def test_a_refused_mask_says_why_in_words_that_a_caller_may_see() -> None:
    for refusal in (
        NoPerson,
        PersonTooSmall,
        SeveralPeople,
        UpperNotVisible,
        LegsNotVisible,
        LowConfidence,
    ):
        assert issubclass(refusal, Refusal)
        assert refusal.status == 422
        assert str(refusal())


def test_the_corridor_along_the_skeleton_holds_the_figure_and_no_corner() -> None:
    near = fitness.near_bones(figures.person())

    assert near[fakes.part_map() > 0].mean() > 0.99
    assert not near[:5, :5].any()
    assert not near[-5:, -5:].any()
    assert near.mean() < 0.7
