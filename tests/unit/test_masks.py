"""What each mask repaints and keeps, in every profile, and what holds for any person at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import fakes, figures
from tests.figures import make_mask

from tryon_masks.domain import fitness
from tryon_masks.domain.errors import LegsNotVisible, Refusal
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.masks import Mask
from tryon_masks.domain.parts import BoolMask, Part, PartMap, where
from tryon_masks.domain.person import Box, Candidate, Person
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.domain.shapes import hulls, without_specks

T = fakes.TORSO
HEAD = {Part.HAT, Part.HAIR, Part.EYEWEAR, Part.FACE}
HANDS = {Part.LEFT_HAND, Part.RIGHT_HAND, Part.GLOVE}
SHOES = {Part.LEFT_SHOE, Part.RIGHT_SHOE}
ARMS = {Part.LEFT_ARM, Part.RIGHT_ARM}
LEGS = {Part.LEFT_LEG, Part.RIGHT_LEG}
UNTOUCHED = HEAD | HANDS | SHOES | {Part.BAG, Part.OTHER_PERSON}

REPAINTED = {
    MaskKind.UPPER: ARMS | {Part.NECK, Part.TORSO_SKIN, Part.TOP, Part.OUTERWEAR},
    MaskKind.LOWER: LEGS | {Part.TROUSERS, Part.SKIRT, Part.LEGWEAR},
    MaskKind.FULL: ARMS
    | LEGS
    | {Part.NECK, Part.TORSO_SKIN, Part.TOP, Part.OUTERWEAR, Part.TROUSERS, Part.SKIRT}
    | {Part.LEGWEAR, Part.DRESS},
    MaskKind.FACE: {Part.FACE},
    MaskKind.ARMS: ARMS,
    MaskKind.LEGS: LEGS,
    MaskKind.HANDS: HANDS,
    MaskKind.FEET: SHOES,
    MaskKind.HAIR: {Part.HAIR},
    MaskKind.PROTECT: UNTOUCHED,
}
"""The part map's share of each mask. Dresses and belts have their own tests."""

KEPT = {
    MaskKind.UPPER: UNTOUCHED | LEGS | {Part.TROUSERS, Part.SKIRT},
    MaskKind.LOWER: UNTOUCHED | ARMS | {Part.TOP, Part.OUTERWEAR, Part.NECK, Part.TORSO_SKIN},
    MaskKind.FULL: UNTOUCHED,
    MaskKind.FACE: set(Part) - {Part.FACE, Part.EYEWEAR, Part.BACKGROUND},
    MaskKind.ARMS: set(Part) - ARMS - {Part.BACKGROUND},
    MaskKind.LEGS: set(Part) - LEGS - {Part.LEGWEAR, Part.BACKGROUND},
    MaskKind.HANDS: set(Part) - HANDS - {Part.BACKGROUND},
    MaskKind.FEET: set(Part) - SHOES - {Part.BACKGROUND},
    MaskKind.HAIR: set(Part) - {Part.HAIR, Part.BACKGROUND},
}
IN_A_BOX = {
    MaskKind.UPPER: (HEAD - {Part.HAIR}) | {Part.OTHER_PERSON},
    MaskKind.LOWER: HEAD | SHOES | {Part.OTHER_PERSON},
    MaskKind.FULL: HEAD | SHOES | {Part.OTHER_PERSON},
}
"""What is cut out of the rectangle, in place of ``KEPT``."""
DRESS_WHOLE = (Profile.HULL, Profile.BOX)
"""Profiles whose models repaint a dress whole, for ``upper`` as for ``lower``."""

FIGURES: dict[str, Callable[[], PartMap]] = {
    "top and trousers": fakes.part_map,
    "shorts": figures.bare_legged,
    "long dress": figures.in_a_long_dress,
    "hat, glasses, bag": figures.equipped,
    "second person": figures.with_a_second_person,
}

figure = pytest.mark.parametrize("parts", [make() for make in FIGURES.values()], ids=FIGURES.keys())
profile = pytest.mark.parametrize("profile", Profile)
shaped = pytest.mark.parametrize("profile", [Profile.BODY, Profile.TIGHT, Profile.HULL])
"""Without the box, which is a rectangle and runs over whatever lies beside the garment."""


def mask(
    person: Person,
    kind: MaskKind,
    profile: Profile = Profile.BODY,
    expand: Expand | None = None,
) -> BoolMask:
    return make_mask(person, kind, profile, expand or Expand()).pixels


def all_masks(
    person: Person, profile: Profile, expand: Expand | None = None
) -> Iterator[tuple[MaskKind, Mask]]:
    """Every mask that this person allows."""
    for kind in MaskKind:
        try:
            yield kind, make_mask(person, kind, profile, expand or Expand())
        except Refusal:
            continue


def extent(pixels: BoolMask) -> dict[str, int]:
    rows, columns = pixels.nonzero()
    return {
        "top": int(rows.min()),
        "bottom": int(rows.max()),
        "left": int(columns.min()),
        "right": int(columns.max()),
    }


def repainted(parts: PartMap, kind: MaskKind, profile: Profile) -> BoolMask:
    """The figure's pixels that the mask must hold."""
    dress = parts == Part.DRESS
    rows = np.arange(len(parts))[:, None]
    if kind not in (MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL):
        dress &= False
    elif kind is MaskKind.UPPER and profile not in DRESS_WHOLE:
        dress &= rows < figures.HIP_LINE
    elif kind is MaskKind.LOWER and profile not in DRESS_WHOLE:
        dress &= rows > figures.HIP_LINE
    return without_specks(where(parts, REPAINTED[kind]) | dress, 0.002 * T**2)


def kept(parts: PartMap, kind: MaskKind, profile: Profile) -> BoolMask:
    """The figure's pixels that the mask must not touch."""
    if profile is Profile.BOX and kind in IN_A_BOX:
        return where(parts, IN_A_BOX[kind])
    dress = parts == Part.DRESS
    rows = np.arange(len(parts))[:, None]
    if kind is MaskKind.FULL or (
        profile in DRESS_WHOLE and kind in (MaskKind.UPPER, MaskKind.LOWER)
    ):
        dress &= False
    elif kind is MaskKind.UPPER:
        dress &= rows > figures.HIP_LINE
    elif kind is MaskKind.LOWER:
        dress &= rows < figures.HIP_LINE
    return np.asarray(where(parts, KEPT[kind]) | dress)


# The table


@profile
@figure
def test_a_mask_repaints_all_of_its_parts(parts: PartMap, profile: Profile) -> None:
    made = dict(all_masks(figures.person(parts), profile))

    assert {MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL, MaskKind.PROTECT} <= set(made)
    for kind, one in made.items():
        assert (repainted(parts, kind, profile) <= one.pixels).all(), kind


@profile
@figure
def test_a_mask_keeps_what_is_not_its_own(parts: PartMap, profile: Profile) -> None:
    for kind, one in all_masks(figures.person(parts), profile, Expand(0.3, 0.3, 0.3, 0.3)):
        if kind is not MaskKind.PROTECT:
            assert not (one.pixels & kept(parts, kind, profile)).any(), kind


@shaped
@figure
def test_the_lower_mask_keeps_everything_above_the_hips_but_trousers_and_their_belt(
    parts: PartMap, profile: Profile
) -> None:
    lower = mask(figures.person(parts), MaskKind.LOWER, profile, Expand(top=0.5))

    above = lower[: figures.HIP_LINE - 1]
    own = {Part.TROUSERS, Part.BELT} | ({Part.DRESS} if profile in DRESS_WHOLE else set())
    assert not (above & ~where(parts, own)[: figures.HIP_LINE - 1]).any()


@shaped
@figure
def test_upper_and_lower_share_no_pixel_of_the_person_but_a_dress_that_both_take_whole(
    parts: PartMap, profile: Profile
) -> None:
    person = figures.person(parts)
    shared = {Part.DRESS} if profile in DRESS_WHOLE else set()

    both = mask(person, MaskKind.UPPER, profile) & mask(person, MaskKind.LOWER, profile)

    assert not (both & ~where(parts, {Part.BACKGROUND, *shared})).any()
    assert both[where(parts, shared)].all()


@profile
@figure
def test_full_is_upper_and_lower_together(parts: PartMap, profile: Profile) -> None:
    """Less what it keeps: the rectangle of ``upper`` alone may hold hair and shoes."""
    person = figures.person(parts)
    body = (parts != Part.BACKGROUND) & ~kept(parts, MaskKind.FULL, profile)

    full = mask(person, MaskKind.FULL, profile)

    for kind in (MaskKind.UPPER, MaskKind.LOWER):
        assert (mask(person, kind, profile) & body <= full).all()


@shaped
@figure
def test_no_try_on_mask_touches_what_protect_holds(parts: PartMap, profile: Profile) -> None:
    person = figures.person(parts)
    protect = mask(person, MaskKind.PROTECT, profile)

    for kind in (MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL):
        assert not (mask(person, kind, profile) & protect).any()


def test_sleeves_are_part_of_the_upper_mask_long_or_short() -> None:
    """The new garment may have other sleeves."""
    person = figures.person()

    upper = mask(person, MaskKind.UPPER)

    for side in ("left", "right"):
        for joint in ("shoulder", "elbow"):
            x, y = figures.POINTS[f"{side}_{joint}"]
            assert upper[round(y), round(x)]
        x, y = figures.POINTS[f"{side}_index"]
        assert not upper[round(y), round(x)]


# Belts


def in_a_coat() -> PartMap:
    """The figure in a coat down to the knees, over trousers."""
    parts = fakes.part_map()
    parts[: figures.KNEES][where(parts[: figures.KNEES], {Part.TOP, Part.TROUSERS})] = (
        Part.OUTERWEAR
    )
    return parts


def belted(parts: PartMap, rows: slice) -> tuple[Person, BoolMask]:
    """The figure with a belt about its clothes in these rows, and where the belt is."""
    cloth = where(parts, {Part.TOP, Part.TROUSERS, Part.OUTERWEAR, Part.DRESS})
    belt = np.zeros(parts.shape, bool)
    belt[rows, 118:183] = cloth[rows, 118:183]
    assert belt.any()
    return figures.person(np.where(belt, np.uint8(Part.BELT), parts)), belt


@shaped
@pytest.mark.parametrize(
    ("parts", "rows", "owner"),
    [
        pytest.param(fakes.part_map(), slice(203, 209), "lower", id="trousers, over the hip line"),
        pytest.param(fakes.part_map(), slice(208, 214), "lower", id="trousers, across it"),
        pytest.param(in_a_coat(), slice(180, 188), "upper", id="coat, over the hip line"),
        pytest.param(in_a_coat(), slice(214, 222), "upper", id="coat, under the hip line"),
    ],
)
def test_a_belt_goes_with_the_garment_that_it_lies_on(
    parts: PartMap, rows: slice, owner: str, profile: Profile
) -> None:
    person, belt = belted(parts, rows)

    for kind in (MaskKind.UPPER, MaskKind.LOWER):
        assert mask(person, kind, profile)[belt].mean() == (kind == owner), kind
    assert mask(person, MaskKind.FULL, profile)[belt].all()


@pytest.mark.parametrize("profile", [Profile.BODY, Profile.TIGHT])
@pytest.mark.parametrize(
    "rows", [slice(180, 186), slice(207, 213), slice(220, 226)], ids=["over", "across", "under"]
)
def test_a_belt_on_a_dress_is_parted_at_the_hips_as_the_dress_is(
    rows: slice, profile: Profile
) -> None:
    person, belt = belted(figures.in_a_long_dress(), rows)
    above = np.indices(belt.shape)[0] < figures.HIP_LINE

    upper, lower = (mask(person, kind, profile) for kind in (MaskKind.UPPER, MaskKind.LOWER))

    assert (upper == above)[belt].all()
    assert (lower == ~above)[belt].all()


# Dresses


@pytest.mark.parametrize("profile", [Profile.BODY, Profile.TIGHT])
def test_a_dress_is_parted_at_the_hips(profile: Profile) -> None:
    dress = figures.in_a_long_dress() == Part.DRESS
    above = np.indices(dress.shape)[0] < figures.HIP_LINE
    person = figures.person(figures.in_a_long_dress())

    upper, lower = (mask(person, kind, profile) for kind in (MaskKind.UPPER, MaskKind.LOWER))

    assert (upper == above)[dress].all()
    assert (lower == ~above)[dress].all()


@pytest.mark.parametrize("profile", DRESS_WHOLE)
def test_hull_and_box_take_a_dress_whole_for_upper_and_for_lower(profile: Profile) -> None:
    """As the models do that they imitate."""
    dress = figures.in_a_long_dress() == Part.DRESS
    person = figures.person(figures.in_a_long_dress())

    for kind in (MaskKind.UPPER, MaskKind.LOWER):
        assert mask(person, kind, profile)[dress].all()


def long_sleeved(arm: list[tuple[int, int]]) -> tuple[Person, BoolMask]:
    """The figure in a dress whose left sleeve hangs to the wrist, and that sleeve."""
    elbow, wrist = arm
    parts = figures.in_a_long_dress()
    parts[where(parts, {Part.LEFT_ARM, Part.LEFT_HAND})] = Part.BACKGROUND
    line = np.zeros(parts.shape, np.uint8)
    cv2.line(line, elbow, wrist, 1, 14)
    parts[line > 0] = Part.DRESS
    x, y = map(float, wrist)
    hand = {"left_index": (x, y + 18), "left_pinky": (x + 4, y + 16)}
    moved = {"left_elbow": (float(elbow[0]), float(elbow[1])), "left_wrist": (x, y), **hand}
    return figures.person(parts, moved=moved), (line > 0)


@pytest.mark.parametrize("profile", [Profile.BODY, Profile.TIGHT])
@pytest.mark.parametrize(
    "arm",
    [
        pytest.param([(206, 190), (222, 250)], id="beside the skirt"),
        pytest.param([(196, 190), (192, 250)], id="before the skirt"),
    ],
)
def test_the_sleeve_of_a_dress_is_uppers_wherever_it_hangs(
    arm: list[tuple[int, int]], profile: Profile
) -> None:
    person, sleeve = long_sleeved(arm)
    hanging = sleeve.copy()
    hanging[: figures.HIP_LINE] = hanging[251:] = False
    skirt = (person.part_map == Part.DRESS) & ~cv2.dilate(
        sleeve.astype(np.uint8), np.ones((25, 25))
    ).astype(bool)
    skirt[: figures.HIP_LINE] = False

    upper, lower = (mask(person, kind, profile) for kind in (MaskKind.UPPER, MaskKind.LOWER))

    assert upper[hanging].mean() > 0.97
    assert lower[hanging].mean() < 0.03
    assert lower[skirt].all()
    assert not upper[skirt].any()


def test_the_skirt_over_a_thigh_is_lowers_though_an_arm_hangs_before_it() -> None:
    person, _ = long_sleeved([(190, 190), (178, 250)])
    thigh = (slice(215, 250), slice(164, 173))

    assert mask(person, MaskKind.LOWER, Profile.TIGHT)[thigh].all()
    assert not mask(person, MaskKind.UPPER, Profile.TIGHT)[thigh].any()


@profile
@pytest.mark.parametrize(
    "person",
    [
        pytest.param(
            figures.cropped(figures.person(figures.in_a_long_dress()), 0, 0, 300, 240),
            id="cut above half of the thighs",
        ),
        pytest.param(
            figures.person(figures.in_a_long_dress(), lost=["left_knee", "right_knee"]),
            id="knees not found",
        ),
    ],
)
def test_upper_takes_the_whole_dress_where_lower_is_refused(
    person: Person, profile: Profile
) -> None:
    """No strip of the old dress is left under the new one."""
    with pytest.raises(LegsNotVisible):
        mask(person, MaskKind.LOWER, profile)

    assert mask(person, MaskKind.UPPER, profile)[person.part_map == Part.DRESS].all()


# The profiles


def test_every_profile_but_the_tight_one_gives_room() -> None:
    person = figures.person()
    tight = mask(person, MaskKind.UPPER, Profile.TIGHT)

    for profile in (Profile.BODY, Profile.HULL, Profile.BOX):
        assert mask(person, MaskKind.UPPER, profile).sum() > tight.sum()


@pytest.mark.parametrize("kind", [MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL])
@pytest.mark.parametrize("profile", [Profile.BODY, Profile.TIGHT, Profile.HULL])
def test_margins_stay_near_the_body(kind: MaskKind, profile: Profile) -> None:
    parts = fakes.part_map()
    spill = mask(figures.person(parts), kind, profile) & (parts == Part.BACKGROUND)
    reach = {Profile.TIGHT: 0.03, Profile.BODY: 0.12, Profile.HULL: 0.5}[profile]

    assert not (spill & ~figures.near(parts, reach * T)).any()


@figure
@pytest.mark.parametrize("kind", [MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL])
def test_a_box_is_a_rectangle_around_the_garment_less_what_is_kept(
    parts: PartMap, kind: MaskKind
) -> None:
    box = mask(figures.person(parts), kind, Profile.BOX)

    edges = extent(box)
    rectangle = np.zeros_like(box)
    rectangle[edges["top"] : edges["bottom"] + 1, edges["left"] : edges["right"] + 1] = True
    left_out = rectangle & ~box
    # What is cut out may leave a corner that is too small to keep.
    assert (left_out & ~kept(parts, kind, Profile.BOX)).sum() < 0.02 * rectangle.sum()


@figure
@pytest.mark.parametrize("kind", [MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL])
def test_a_box_fits_the_garment_closely(parts: PartMap, kind: MaskKind) -> None:
    person = figures.person(parts)
    # The hull too takes a dress whole.
    fitted = Profile.HULL if (parts == Part.DRESS).any() else Profile.BODY
    body, box = (extent(mask(person, kind, profile)) for profile in (fitted, Profile.BOX))

    for side in ("top", "bottom", "left", "right"):
        assert abs(box[side] - body[side]) < 0.35 * T, side


def test_the_rectangle_of_upper_leaves_out_face_hat_and_eyewear_and_no_hair() -> None:
    parts = figures.equipped()
    cv2.rectangle(parts, (112, 30), (122, 140), int(Part.HAIR), -1)
    cv2.rectangle(parts, (142, 84), (158, 92), int(Part.FACE), -1)
    cv2.rectangle(parts, (170, 100), (178, 110), int(Part.EYEWEAR), -1)
    cv2.rectangle(parts, (186, 96), (200, 110), int(Part.HAT), -1)
    within = np.zeros(parts.shape, bool)
    within[96:130, 112:200] = True

    upper = mask(figures.person(parts), MaskKind.UPPER, Profile.BOX)

    assert upper[within & (parts == Part.HAIR)].all()
    for kept_part in (Part.FACE, Part.HAT, Part.EYEWEAR):
        assert not upper[parts == kept_part].any()


def test_a_hull_spans_what_the_parts_leave_open() -> None:
    person = figures.person()
    hull = mask(person, MaskKind.UPPER, Profile.HULL)
    tight = mask(person, MaskKind.UPPER, Profile.TIGHT)
    keep = kept(person.part_map, MaskKind.UPPER, Profile.HULL)

    def hollow(pixels: BoolMask) -> float:
        return float((hulls(pixels) & ~pixels & ~keep).sum() / pixels.sum())

    assert hollow(hull) < 0.05 < hollow(tight)


# More room on request


@profile
@pytest.mark.parametrize(
    ("side", "kind"),
    [
        ("top", MaskKind.HAIR),
        ("bottom", MaskKind.FEET),
        ("left", MaskKind.UPPER),
        ("right", MaskKind.UPPER),
    ],
)
def test_a_margin_goes_to_its_own_side_in_body_units(
    side: str, kind: MaskKind, profile: Profile
) -> None:
    wide = replace(
        figures.person(np.pad(fakes.part_map(), 40)),
        skeleton=figures.skeleton().moved(40, 40),
    )
    before = extent(mask(wide, kind, profile))
    after = extent(mask(wide, kind, profile, Expand(**{side: 0.1})))

    opposite = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}[side]
    outward = -1 if side in ("top", "left") else 1
    assert after[side] == before[side] + outward * round(0.1 * T)
    assert after[opposite] == before[opposite]


# Holes, specks, confidence


ON_THE_CHEST = {
    "left_elbow": (200.0, 170.0),
    "left_wrist": (182.0, 156.0),
    "left_index": (168.0, 151.0),
    "left_pinky": (168.0, 153.0),
}
"""A left arm bent before the body: its fingers lie on the shirt."""


@shaped
def test_a_hole_in_the_shirt_is_filled_and_a_hand_on_it_is_not(profile: Profile) -> None:
    parts = fakes.part_map()
    cv2.circle(parts, (140, 150), 4, int(Part.BACKGROUND), -1)
    cv2.circle(parts, (165, 150), 4, int(Part.LEFT_HAND), -1)

    upper = mask(figures.person(parts, moved=ON_THE_CHEST), MaskKind.UPPER, profile)

    assert upper[parts == Part.TOP].all()
    assert upper[150, 140]
    assert not upper[150, 165]


@shaped
@pytest.mark.parametrize(
    "speck",
    [
        Part.LEFT_HAND,
        Part.HAIR,
        Part.EYEWEAR,
        Part.RIGHT_SHOE,
        Part.BAG,
        Part.OTHER_PERSON,
    ],
)
def test_a_speck_to_keep_far_from_its_own_bones_is_shirt(speck: Part, profile: Profile) -> None:
    """A button, a print, a fold's shadow."""
    parts = fakes.part_map()
    cv2.circle(parts, (150, 170), 4, int(speck), -1)

    upper = mask(figures.person(parts), MaskKind.UPPER, profile)

    assert upper[where(parts, {Part.TOP, speck}) & where(fakes.part_map(), {Part.TOP})].all()


@shaped
def test_what_is_larger_than_a_speck_is_kept_wherever_it_lies(profile: Profile) -> None:
    parts = fakes.part_map()
    cv2.circle(parts, (150, 170), 10, int(Part.BAG), -1)

    upper = mask(figures.person(parts), MaskKind.UPPER, profile)

    assert not upper[parts == Part.BAG].any()


@shaped
def test_a_speck_of_shoe_within_a_trouser_leg_is_trousers(profile: Profile) -> None:
    """A shoe reaches to the leg's end; what lies within the leg is a crease or a patch."""
    parts = fakes.part_map()
    cv2.circle(parts, (166, 345), 4, int(Part.LEFT_SHOE), -1)

    lower = mask(figures.person(parts), MaskKind.LOWER, profile)

    assert lower[345, 166]


@shaped
def test_a_lock_of_hair_at_the_neck_is_kept(profile: Profile) -> None:
    parts = fakes.part_map()
    cv2.circle(parts, (150, 124), 4, int(Part.HAIR), -1)

    upper = mask(figures.person(parts), MaskKind.UPPER, profile)

    assert not upper[124, 150]


@shaped
@pytest.mark.parametrize("kept", [Part.HAIR, Part.LEFT_HAND, Part.LEFT_LEG])
def test_a_speck_to_keep_within_a_shirt_is_shirt(profile: Profile, kept: Part) -> None:
    parts = fakes.part_map()
    cv2.circle(parts, (140, 150), 1, int(kept), -1)

    upper = mask(figures.person(parts), MaskKind.UPPER, profile)

    assert upper[where(fakes.part_map(), {Part.TOP})].all()


@pytest.mark.parametrize("radius", [1, 4, 7])
@pytest.mark.parametrize("profile", [Profile.BODY, Profile.TIGHT, Profile.HULL, Profile.BOX])
def test_a_speck_of_shirt_on_the_wall_is_no_shirt(profile: Profile, radius: int) -> None:
    clean = mask(figures.person(), MaskKind.UPPER, profile)
    parts = fakes.part_map()
    cv2.circle(parts, (30, 40), radius, int(Part.TOP), -1)

    assert (mask(figures.person(parts), MaskKind.UPPER, profile) == clean).all()


def test_a_patch_of_shirt_beside_the_body_is_shirt() -> None:
    parts = fakes.part_map()
    cv2.circle(parts, (30, 40), 10, int(Part.TOP), -1)

    assert mask(figures.person(parts), MaskKind.UPPER, Profile.BODY)[40, 30]


def test_a_lock_of_hair_is_hair_though_a_shirt_as_small_is_none() -> None:
    parts = fakes.part_map()
    cv2.circle(parts, (30, 40), 4, int(Part.HAIR), -1)

    assert mask(figures.person(parts), MaskKind.HAIR, Profile.TIGHT)[40, 30]


def test_confidence_is_that_of_the_masks_own_parts() -> None:
    parts = fakes.part_map()
    sure = np.full(parts.shape, 0.9, np.float32)
    sure[parts == Part.TROUSERS] = 0.4
    person = replace(figures.person(parts), confidence=sure)

    upper = make_mask(person, MaskKind.UPPER, Profile.BODY, Expand())
    lower = make_mask(person, MaskKind.LOWER, Profile.BODY, Expand())

    assert upper.confidence == pytest.approx(0.9)
    assert lower.confidence == pytest.approx(0.4, abs=0.01)


def test_a_mask_says_what_it_is() -> None:
    made = make_mask(figures.person(), MaskKind.LOWER, Profile.BOX, Expand())

    assert made.kind is MaskKind.LOWER
    assert made.pixels.dtype == bool
    assert made.pixels.shape == figures.SHAPE


def test_a_person_is_left_as_it_was() -> None:
    person = figures.person()
    before = person.part_map.copy()

    mask(person, MaskKind.UPPER, Profile.BOX, Expand(0.1, 0.1, 0.1, 0.1))

    assert (person.part_map == before).all()


# Anybody at all

kinds = st.sampled_from(MaskKind)
profiles = st.sampled_from(Profile)
shares = st.floats(0, 0.4)
expands = st.builds(Expand, shares, shares, shares, shares)
some = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def people(draw: st.DrawFn, *, most_lost: int = 6) -> Person:
    """A figure with joints lost, in a photo that may cut it anywhere."""
    parts = FIGURES[draw(st.sampled_from(sorted(FIGURES)))]()
    lost = draw(st.lists(st.sampled_from(figures.JOINTS), max_size=most_lost, unique=True))
    someone = figures.person(parts, lost=lost)
    if draw(st.booleans()):
        x0, y0 = draw(st.integers(0, 140)), draw(st.integers(0, 240))
        x1, y1 = draw(st.integers(x0 + 70, 300)), draw(st.integers(y0 + 70, 400))
        someone = figures.cropped(someone, x0, y0, x1, y1)
    return someone


def chosen(person: Person) -> Person:
    """The person, where the service would have chosen it."""
    candidate = Candidate(person.box, person.score, person.skeleton)
    fitness.choose([candidate], person.part_map.shape[0])
    return person


@some
@given(people(most_lost=len(figures.JOINTS)), kinds, profiles, expands)
def test_anybody_gives_an_honest_mask_or_a_refusal(
    person: Person, kind: MaskKind, profile: Profile, expand: Expand
) -> None:
    try:
        made = make_mask(chosen(person), kind, profile, expand)
    except Refusal:
        return
    assert made.pixels.shape == person.part_map.shape
    assert made.pixels.any()
    assert not made.pixels.all()
    assert 0 <= made.confidence <= 1


@some
@given(people(), kinds, profiles, expands)
def test_parts_in_keep_out(
    person: Person, kind: MaskKind, profile: Profile, expand: Expand
) -> None:
    try:
        made = make_mask(chosen(person), kind, profile, expand)
    except Refusal:
        return
    core = without_specks(where(person.part_map, REPAINTED[kind]), 0.002 * person.torso**2)
    if Part.DRESS in REPAINTED[kind] or not (person.part_map == Part.DRESS).any():
        assert (core <= made.pixels).all()
    if kind is not MaskKind.PROTECT:
        table = IN_A_BOX if profile is Profile.BOX and kind in IN_A_BOX else KEPT
        keep = without_specks(where(person.part_map, table[kind]), 0.001 * person.torso**2)
        assert not (made.pixels & keep).any()


@some
@given(people(), kinds, profiles, expands)
def test_a_margin_only_adds(
    person: Person, kind: MaskKind, profile: Profile, expand: Expand
) -> None:
    try:
        plain = make_mask(chosen(person), kind, profile, Expand())
        wider = make_mask(person, kind, profile, expand)
    except Refusal:
        return
    assert (plain.pixels <= wider.pixels).all()


@some
@given(people(), kinds, expands)
def test_tight_lies_within_body(person: Person, kind: MaskKind, expand: Expand) -> None:
    try:
        tight = make_mask(chosen(person), kind, Profile.TIGHT, expand)
        body = make_mask(person, kind, Profile.BODY, expand)
    except Refusal:
        return
    assert (tight.pixels <= body.pixels).all()


@some
@given(people(), profiles.filter(lambda profile: profile is not Profile.BOX))
def test_no_pixel_of_the_person_but_a_whole_dress_is_in_upper_and_lower(
    person: Person, profile: Profile
) -> None:
    try:
        upper = make_mask(chosen(person), MaskKind.UPPER, profile, Expand())
        lower = make_mask(person, MaskKind.LOWER, profile, Expand())
    except Refusal:
        return
    shared = {Part.DRESS} if profile in DRESS_WHOLE else set()
    seen = ~where(person.part_map, {Part.BACKGROUND, *shared})
    assert not (upper.pixels & lower.pixels & seen).any()


def test_a_top_that_is_perhaps_worn_below_is_in_the_lower_mask_too_below_the_hips() -> None:
    long_top = fakes.part_map()
    rows = np.indices(long_top.shape)[0]
    long_top[(long_top == Part.TROUSERS) & (rows < figures.KNEES)] = Part.TOP
    top = long_top == Part.TOP
    hem, chest = top & (rows > figures.HIP_LINE + 20), top & (rows < figures.HIP_LINE - 20)
    person = figures.person(long_top)
    unsure = replace(person, perhaps_lower=top)

    assert mask(person, MaskKind.LOWER)[hem].mean() < 0.2
    assert mask(unsure, MaskKind.LOWER)[hem].all()
    assert not mask(unsure, MaskKind.LOWER)[chest].any()
    assert (mask(unsure, MaskKind.UPPER) == mask(person, MaskKind.UPPER)).all()


walls = st.tuples(*[st.integers(0, 150)] * 4)


def before(wall: tuple[int, int, int, int], person: Person) -> Person:
    """The same person in a photo with so much more above, below, left and right."""
    top, bottom, left, right = wall
    sides = ((top, bottom), (left, right))
    return Person(
        Box(*np.add([person.box.x0, person.box.y0, person.box.x1, person.box.y1], [left, top] * 2)),
        person.score,
        person.skeleton.moved(left, top),
        np.pad(person.part_map, sides),
        np.pad(person.confidence, sides, constant_values=1),
    )


@st.composite
def half_hidden(draw: st.DrawFn) -> Person:
    """A whole figure, behind a table or a door for whatever part of it."""
    parts = FIGURES[draw(st.sampled_from(sorted(FIGURES)))]()
    top, left = draw(st.integers(0, 120)), draw(st.integers(0, 130))
    bottom, right = draw(st.integers(200, 400)), draw(st.integers(170, 300))
    hidden = np.ones(figures.SHAPE, bool)
    hidden[top:bottom, left:right] = False
    parts[hidden] = Part.BACKGROUND
    lost = draw(st.lists(st.sampled_from(figures.JOINTS), max_size=4, unique=True))
    return figures.person(parts, lost=lost)


@some
@given(half_hidden(), kinds, profiles, expands, walls)
def test_more_wall_around_the_person_changes_no_mask(
    person: Person,
    kind: MaskKind,
    profile: Profile,
    expand: Expand,
    wall: tuple[int, int, int, int],
) -> None:
    roomy = before((60, 60, 60, 60), person)
    try:
        plain = make_mask(chosen(roomy), kind, profile, expand)
        wider = make_mask(before(wall, roomy), kind, profile, expand)
    except Refusal:
        return
    top, bottom, left, right = wall
    rows, columns = slice(top, -bottom or None), slice(left, -right or None)
    assert (wider.pixels[rows, columns] == plain.pixels).all()
    assert wider.pixels.sum() >= plain.pixels.sum()
    assert wider.confidence == plain.confidence


def told(person: Person, kind: MaskKind, profile: Profile, expand: Expand) -> Mask | str:
    """The mask, or the code of the refusal."""
    try:
        return make_mask(chosen(person), kind, profile, expand)
    except Refusal as refusal:
        return refusal.code


@some
@given(
    half_hidden(),
    kinds.filter(lambda kind: kind is not MaskKind.PROTECT),
    profiles,
    st.sampled_from([Expand(), Expand(0.2, 0.1, 0.3, 0.05)]),
)
def test_somebody_at_the_far_ends_of_the_photo_changes_no_mask(
    person: Person, kind: MaskKind, profile: Profile, expand: Expand
) -> None:
    """A mask is worked out where the people are: here that is everywhere."""
    alone = before((150, 150, 150, 150), person)
    crowded = replace(alone, part_map=alone.part_map.copy())
    crowded.part_map[[0, -1], [0, -1]] = Part.OTHER_PERSON

    one, other = (told(who, kind, profile, expand) for who in (alone, crowded))

    if isinstance(one, Mask) and isinstance(other, Mask):
        assert (one.pixels == other.pixels).all()
        assert one.confidence == other.confidence
    else:
        assert one == other


@pytest.mark.parametrize("profile", [Profile.BODY, Profile.BOX])
@pytest.mark.parametrize("table", range(250, 400, 15))
def test_a_leg_behind_a_table_is_the_same_leg_in_any_crowd(table: int, profile: Profile) -> None:
    """Whether most of a shin is seen does not hang on where the photo's people end."""
    parts = fakes.part_map()
    parts[table:] = Part.BACKGROUND
    alone = before((200, 200, 200, 200), figures.person(parts))
    crowded = replace(alone, part_map=alone.part_map.copy())
    crowded.part_map[[0, -1], [0, -1]] = Part.OTHER_PERSON

    one, other = (mask(who, MaskKind.LOWER, profile) for who in (alone, crowded))

    assert (one == other).all()


# Belts, specks and stray pieces of dresses


@pytest.mark.parametrize("profile", [Profile.BODY, Profile.TIGHT])
def test_a_wide_belt_on_a_dress_under_the_hips_is_lowers(profile: Profile) -> None:
    person, belt = belted(figures.in_a_long_dress(), slice(214, 228))

    assert mask(person, MaskKind.LOWER, profile)[belt].all()


@pytest.mark.parametrize("profile", Profile)
def test_where_lower_is_refused_the_belt_of_the_dress_is_uppers(profile: Profile) -> None:
    person, belt = belted(figures.in_a_long_dress(), slice(214, 220))
    half = figures.cropped(person, 0, 0, 300, 240)

    assert mask(half, MaskKind.UPPER, profile)[belt[:240]].all()


@pytest.mark.parametrize("rows", [slice(180, 186), slice(214, 220)], ids=["over", "under"])
@pytest.mark.parametrize("profile", [Profile.HULL, Profile.BOX])
def test_a_dress_that_is_whole_in_both_takes_its_belt_along(rows: slice, profile: Profile) -> None:
    person, belt = belted(figures.in_a_long_dress(), rows)

    for kind in (MaskKind.UPPER, MaskKind.LOWER):
        assert mask(person, kind, profile)[belt].all(), kind


@pytest.mark.parametrize("profile", [Profile.HULL, Profile.BOX])
def test_a_raised_hand_taken_for_a_dress_is_not_lowers(profile: Profile) -> None:
    parts = fakes.part_map()
    cv2.circle(parts, (60, 30), 14, int(Part.DRESS), -1)

    assert not mask(figures.person(parts), MaskKind.LOWER, profile)[:150].any()


def test_protect_and_upper_agree_about_specks() -> None:
    parts = fakes.part_map()
    cv2.circle(parts, (150, 170), 4, int(Part.BAG), -1)
    person = figures.person(parts)

    assert not (mask(person, MaskKind.UPPER) & mask(person, MaskKind.PROTECT)).any()


def test_a_finger_of_a_hand_without_bones_is_kept() -> None:
    parts = fakes.part_map()
    cv2.circle(parts, (165, 150), 4, int(Part.LEFT_HAND), -1)
    lost = [
        f"{side}_{joint}" for side in ("left", "right") for joint in ("wrist", "index", "pinky")
    ]

    assert not mask(figures.person(parts, lost=lost), MaskKind.UPPER)[150, 165]


def test_a_dress_over_a_lap_is_lowers() -> None:
    """Somebody who sits: the thighs point at the viewer or to the side, no lower than the hips."""
    x, y = figures.POINTS["left_hip"]
    out = {"left_knee": (x + 60, y - 8), "left_ankle": (x + 62, y + 60)}
    parts = fakes.part_map()
    lap = np.zeros(parts.shape, np.uint8)
    cv2.line(lap, (round(x) + 14, round(y) - 6), (round(x) + 56, round(y) - 9), 1, 12)
    parts[lap > 0] = Part.DRESS
    person = figures.person(parts, moved=out)

    assert mask(person, MaskKind.LOWER)[lap > 0].mean() > 0.8
