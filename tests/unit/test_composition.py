"""Soft answers of the segmenters and a skeleton become the canonical part map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests import fakes, figures

from tryon_masks.domain.parts import BOTTOMS, LEGS, SHOES, TOPS, BoolMask, Part, PartMap, where
from tryon_masks.vision import cloth, selfie
from tryon_masks.vision.composition import Evidence, compose

SKIN = {
    Part.NECK,
    Part.TORSO_SKIN,
    Part.LEFT_ARM,
    Part.RIGHT_ARM,
    Part.LEFT_HAND,
    Part.RIGHT_HAND,
    Part.LEFT_LEG,
    Part.RIGHT_LEG,
}
SELFIE: dict[int, set[Part]] = {
    selfie.HAIR: {Part.HAIR},
    selfie.BODY_SKIN: SKIN,
    selfie.FACE_SKIN: {Part.FACE},
    selfie.CLOTHES: {Part.TOP, Part.OUTERWEAR, Part.DRESS, Part.SKIRT, Part.TROUSERS},
    selfie.OTHER: {Part.HAT, Part.BAG, Part.LEFT_SHOE, Part.RIGHT_SHOE},
}
CLOTH: dict[int, set[Part]] = {
    cloth.UPPER: {Part.TOP, Part.OUTERWEAR},
    cloth.LOWER: {Part.TROUSERS, Part.SKIRT},
    cloth.FULL: {Part.DRESS},
}


def probabilities(
    parts: PartMap, classes: Mapping[int, set[Part]], count: int
) -> NDArray[np.float32]:
    """What a good model would say of the painted parts: 0.9 for the right class."""
    rest = 0.1 / (count - 1)
    planes = np.full((*parts.shape, count), rest, np.float32)
    label = np.zeros(parts.shape, int)
    for index, painted in classes.items():
        label[where(parts, painted)] = index
    np.put_along_axis(planes, label[..., None], 0.9, axis=-1)
    return planes


def evidence(parts: PartMap, garments: PartMap | None = None) -> Evidence:
    """Of the painted parts; ``garments``: parts as the cloth model takes them."""
    return Evidence(
        selfie=probabilities(parts, SELFIE, 6),
        cloth=probabilities(parts if garments is None else garments, CLOTH, 4),
        outline=(parts != Part.BACKGROUND).astype(np.float32),
        others=np.zeros(parts.shape, bool),
    )


def composed(
    parts: PartMap, *, lost: Iterable[str] = (), garments: PartMap | None = None
) -> PartMap:
    return compose(figures.skeleton(lost), evidence(parts, garments))[0]


def share(parts: PartMap, inside: BoolMask, *wanted: Part) -> float:
    """Share of a region that carries one of the parts."""
    return float(where(parts, set(wanted))[inside].mean())


def barefoot() -> PartMap:
    parts = figures.bare_legged()
    for side, shoe in (("LEFT", Part.LEFT_SHOE), ("RIGHT", Part.RIGHT_SHOE)):
        parts[parts == shoe] = Part[f"{side}_LEG"]
    return parts


@pytest.mark.parametrize(
    ("part", "least"),
    [
        (Part.HAIR, 0.95),
        (Part.FACE, 0.9),
        (Part.NECK, 0.8),
        (Part.TOP, 0.95),
        (Part.LEFT_ARM, 0.9),
        (Part.RIGHT_ARM, 0.9),
        (Part.LEFT_HAND, 0.8),
        (Part.RIGHT_HAND, 0.8),
        (Part.TROUSERS, 0.95),
        (Part.LEFT_SHOE, 0.9),
        (Part.RIGHT_SHOE, 0.9),
        (Part.BACKGROUND, 1.0),
    ],
)
def test_clear_evidence_gives_each_part_its_label(part: Part, least: float) -> None:
    painted = fakes.part_map()

    assert share(composed(painted), painted == part, part) >= least


def test_the_part_map_lies_on_the_evidences_grid_and_confidence_is_a_share() -> None:
    parts, sure = compose(figures.skeleton(), evidence(fakes.part_map()))

    assert parts.shape == sure.shape == figures.SHAPE
    assert parts.dtype == np.uint8
    assert sure.dtype == np.float32
    assert sure.min() >= 0
    assert sure.max() <= 1


def test_faint_evidence_is_less_sure() -> None:
    painted = fakes.part_map()
    clear = evidence(painted)
    faint = replace(clear, cloth=0.6 * clear.cloth + 0.1)
    body = painted == Part.TOP

    assert compose(figures.skeleton(), faint)[1][body].mean() < (
        compose(figures.skeleton(), clear)[1][body].mean()
    )


def test_skin_is_split_by_the_limb_it_lies_on() -> None:
    painted = figures.bare_legged()
    parts = composed(painted)

    for part in (Part.LEFT_LEG, Part.RIGHT_LEG):
        assert share(parts, painted == part, part) > 0.85
    assert share(parts, where(painted, {Part.LEFT_ARM, Part.RIGHT_ARM}), *LEGS) == 0


def test_bare_feet_are_kept_like_shoes() -> None:
    feet = where(fakes.part_map(), SHOES)

    assert share(composed(barefoot()), feet, *SHOES) > 0.8


def test_a_bare_belly_is_torso() -> None:
    painted = fakes.part_map()
    belly = np.zeros(figures.SHAPE, bool)
    belly[170:196, 130:170] = True
    painted[belly] = Part.TORSO_SKIN

    assert share(composed(painted), belly, Part.TORSO_SKIN) > 0.9


def test_a_hand_on_the_thigh_is_no_leg() -> None:
    painted = fakes.part_map()
    hand = painted == Part.LEFT_HAND
    painted[hand] = Part.BACKGROUND
    resting = np.zeros(figures.SHAPE, np.uint8)
    cv2.line(resting, (175, 233), (167, 251), 1, 14)
    painted[resting > 0] = Part.LEFT_HAND
    skeleton = figures.skeleton(
        moved={
            "left_elbow": (200.0, 170.0),
            "left_wrist": (176.0, 230.0),
            "left_index": (168.0, 243.0),
            "left_pinky": (172.0, 244.0),
        }
    )

    parts, _ = compose(skeleton, evidence(painted))

    assert share(parts, resting > 0, Part.LEFT_HAND, Part.LEFT_ARM) > 0.9


def test_left_and_right_come_from_the_skeleton_and_change_nothing_else() -> None:
    front = figures.person(figures.bare_legged())
    back = figures.swapped(front)

    parts, sure = compose(front.skeleton, evidence(front.part_map))
    swapped, swapped_sure = compose(back.skeleton, evidence(front.part_map))

    expected = figures.swapped(replace(front, part_map=parts)).part_map
    assert (swapped == expected).mean() > 0.999
    assert (swapped_sure == sure).all()


# Garments


def test_a_full_body_garment_from_shoulder_to_foot_is_a_dress() -> None:
    painted = figures.in_a_long_dress()

    assert share(composed(painted), painted == Part.DRESS, Part.DRESS) > 0.95


def test_a_full_body_garment_that_leaves_the_chest_to_a_top_is_a_skirt() -> None:
    painted = fakes.part_map()
    taken_for = painted.copy()
    taken_for[painted == Part.TROUSERS] = Part.DRESS

    parts = composed(painted, garments=taken_for)

    assert share(parts, painted == Part.TROUSERS, *BOTTOMS) > 0.95
    assert share(parts, painted == Part.TOP, *TOPS) > 0.95


def test_a_full_body_garment_with_trousers_below_it_is_worn_above_the_hips() -> None:
    """A long shirt or a coat: the models have no name for it."""
    painted = fakes.part_map()
    taken_for = painted.copy()
    rows = np.arange(len(painted))[:, None]
    coat = (painted == Part.TOP) | ((painted == Part.TROUSERS) & (rows < 240))
    taken_for[coat] = Part.DRESS

    parts = composed(painted, garments=taken_for)

    assert share(parts, coat & (rows < figures.HIP_LINE), *TOPS) > 0.95
    assert share(parts, (painted == Part.TROUSERS) & (rows > 245), *BOTTOMS) > 0.95
    assert not (parts == Part.DRESS).any()


def test_skin_coloured_clothes_are_clothes() -> None:
    """The selfie model calls them skin; the cloth model sees the garment."""
    painted = fakes.part_map()
    as_skin = painted.copy()
    as_skin[painted == Part.TOP] = Part.TORSO_SKIN

    parts = composed(as_skin, garments=painted)

    assert share(parts, painted == Part.TOP, Part.TOP) > 0.95


def test_a_garment_off_the_person_is_nobodys() -> None:
    """A coat on the wall."""
    painted = fakes.part_map()
    with_coat = painted.copy()
    cv2.rectangle(with_coat, (2, 20), (30, 90), int(Part.TOP), -1)
    seen = replace(evidence(with_coat), outline=(painted > 0).astype(np.float32))

    parts, _ = compose(figures.skeleton(), seen)

    assert not parts[20:91, 2:31].any()
    assert share(parts, painted == Part.TOP, Part.TOP) > 0.95


# Others, and nobody


def test_what_belongs_to_somebody_else_is_marked_whatever_it_looks_like() -> None:
    painted = fakes.part_map()
    others = np.zeros(figures.SHAPE, bool)
    others[120:160, 130:300] = True

    parts, _ = compose(figures.skeleton(), replace(evidence(painted), others=others))

    assert (parts[others] == Part.OTHER_PERSON).all()
    assert not (parts[~others] == Part.OTHER_PERSON).any()
    assert share(parts, (painted == Part.TOP) & ~others, Part.TOP) > 0.9


def test_where_the_models_see_nobody_there_is_nobody() -> None:
    empty = np.zeros(figures.SHAPE, np.uint8)

    assert not composed(empty).any()


def test_a_skeleton_without_a_body_unit_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="shoulders"):
        composed(fakes.part_map(), lost=["left_shoulder"])


def test_a_naked_figure_is_skin_all_over() -> None:
    parts = composed(figures.bare_legged(), garments=np.zeros(figures.SHAPE, np.uint8))

    assert not where(parts, {Part.DRESS, Part.TROUSERS, Part.SKIRT}).any()


# Sizes and lost joints


@pytest.mark.parametrize("painted", [fakes.part_map(), figures.bare_legged()])
def test_the_same_person_on_a_finer_grid_has_the_same_parts(painted: PartMap) -> None:
    seen = evidence(painted)
    finer = Evidence(
        selfie=seen.selfie.repeat(2, 0).repeat(2, 1),
        cloth=seen.cloth.repeat(2, 0).repeat(2, 1),
        outline=seen.outline.repeat(2, 0).repeat(2, 1),
        others=seen.others.repeat(2, 0).repeat(2, 1),
    )

    coarse, _ = compose(figures.skeleton(), seen)
    fine, _ = compose(figures.skeleton().scaled(2), finer)

    body = coarse != Part.BACKGROUND
    assert (fine[::2, ::2] == coarse)[body].mean() > 0.97


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(sorted(set(figures.JOINTS) - {"left_shoulder", "right_shoulder"})),
        unique=True,
    ),
    st.sampled_from([fakes.part_map(), figures.in_a_long_dress(), figures.equipped(), barefoot()]),
)
def test_lost_joints_cost_labels_never_the_person(lost: list[str], painted: PartMap) -> None:
    parts = composed(painted, lost=lost)

    seen = parts != Part.BACKGROUND
    assert seen[painted != Part.BACKGROUND].mean() > 0.95
    assert not seen[painted == Part.BACKGROUND].any()
    assert set(np.unique(parts)) <= set(Part)
    garments = where(painted, {Part.TOP, Part.TROUSERS, Part.DRESS})
    worn = {Part.TOP, Part.OUTERWEAR, Part.TROUSERS, Part.SKIRT, Part.DRESS}
    assert share(parts, garments, *worn) > 0.9
