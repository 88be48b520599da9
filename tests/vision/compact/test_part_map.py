"""The parser's classes and a skeleton become the canonical part map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests import fakes, figures

from tryon_masks.domain import anatomy
from tryon_masks.domain.parts import HEAD, LEGS, SHOES, BoolMask, Part, PartMap, where
from tryon_masks.domain.shapes import grow
from tryon_masks.domain.skeleton import Skeleton
from tryon_masks.vision.compact import part_map
from tryon_masks.vision.compact.calibration import CALIBRATION, Calibration
from tryon_masks.vision.compact.classes import CLASSES, Class
from tryon_masks.vision.compact.garment_parser import ClassProbabilities
from tryon_masks.vision.compact.part_map import PARTS, perhaps_lower

Floats = NDArray[np.float32]

LIMBS = tuple(figures.LIMBS.values())
BELOW_THE_HIPS = ("knee", "ankle", "heel", "big_toe")


def answer(parts: PartMap, probability: float = 0.9) -> Floats:
    """What a good parser would say of the painted parts: ``probability`` for the right class."""
    probabilities: Floats = np.full(
        (len(CLASSES), *parts.shape), (1 - probability) / (len(CLASSES) - 1), np.float32
    )
    label = figures.classes(parts).astype(int)[None]
    np.put_along_axis(probabilities, label, np.float32(probability), axis=0)
    return probabilities


def body(parts: PartMap) -> Floats:
    """The pose model's outline of the figure."""
    outline: Floats = (parts != Part.BACKGROUND).astype(np.float32)
    return outline


def nobody(parts: PartMap) -> Floats:
    return np.zeros(parts.shape, np.float32)


def compose(
    probabilities: Floats,
    skeleton: Skeleton,
    outline: Floats,
    others: Floats,
    calibration: Calibration = CALIBRATION,
) -> tuple[PartMap, Floats]:
    """By an answer with a cell a pixel."""
    return part_map.compose(
        ClassProbabilities(probabilities, np.eye(2, 3)), skeleton, outline, others, calibration
    )


def composed(parts: PartMap, skeleton: Skeleton | None = None) -> PartMap:
    """The figure's part map, nobody else being near."""
    known = figures.skeleton() if skeleton is None else skeleton
    return compose(answer(parts), known, body(parts), nobody(parts))[0]


DOUBT, NEXT_TO_NONE = 2.5 * CALIBRATION.floor, CALIBRATION.floor / 2
"""What a parser gives a class that it takes for another: enough for a rule, and too little."""
CLEARLY_CLOTH = (1 + CALIBRATION.cloth) / 2
"""A probability at which cloth is believed beyond the outline."""


def mistaken(
    painted: PartMap,
    region: BoolMask,
    called: Part,
    meant: float,
    skeleton: Skeleton | None = None,
) -> PartMap:
    """Compose the figure by a parser that calls a region something else.

    The parser gives what is painted there the probability ``meant``.
    """
    probabilities = answer(painted)
    truth = figures.classes(painted)[region]
    probabilities[:, region] = 0
    probabilities[figures.classes(np.array([called], np.uint8))[0], region] = 1 - meant
    probabilities[truth, *region.nonzero()] += meant
    known = figures.skeleton() if skeleton is None else skeleton
    return compose(probabilities, known, body(painted), nobody(painted))[0]


def fraction(parts: PartMap, inside: BoolMask, *wanted: Part) -> float:
    """Return the fraction of a region that carries one of the parts."""
    return float(where(parts, set(wanted))[inside].mean())


def without_sides(parts: PartMap) -> PartMap:
    """The part map with every left limb called right."""
    table = np.arange(256, dtype=np.uint8)
    for left, right in LIMBS:
        table[left] = right
    return table[parts]


# What the classes become


@pytest.mark.parametrize("part", [*np.unique(fakes.part_map())], ids=lambda part: Part(part).name)
def test_clear_evidence_gives_each_part_its_label(part: int) -> None:
    painted = fakes.part_map()

    assert fraction(composed(painted), painted == part, Part(part)) > 0.9


ARM_OR_HAND = frozenset({part for sides in LIMBS[:2] for part in sides})
LIMB = ARM_OR_HAND | LEGS | SHOES
SIDED = dict(zip(figures.LIMBS, (set(sides) for sides in LIMBS), strict=True))
BY_THE_SKELETON = {
    Class.FACE: {Part.FACE, Part.NECK},
    Class.NECK: {Part.FACE, Part.NECK},
    Class.ARM: ARM_OR_HAND,
    Class.HAND: ARM_OR_HAND,
    Class.SHOE: set(SHOES),
    Class.LEG: set(LEGS),
}
"""What becomes of a class that is seen everywhere, where the parser leaves the skeleton a say."""


def everywhere(cls: Class, others: float, calibration: Calibration = CALIBRATION) -> set[Part]:
    """The parts that come of one class all over the photo, all others having so much."""
    probabilities = np.full((len(CLASSES), *figures.SHAPE), others, np.float32)
    probabilities[cls] = 1 - others * (len(CLASSES) - 1)
    outline = np.ones(figures.SHAPE, np.float32)
    parts, _ = compose(
        probabilities, figures.skeleton(), outline, np.zeros_like(outline), calibration
    )
    return {Part(part) for part in np.unique(parts)}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.name)
def test_a_class_that_the_parser_is_certain_of_becomes_the_part_of_its_name(cls: Class) -> None:
    """Wherever it lies: no rule moves a pixel to a class that the parser gives nothing."""
    assert everywhere(cls, 0) == (SIDED.get(cls) or {Part[cls.name]})


@pytest.mark.parametrize("cls", CLASSES[1:], ids=lambda cls: cls.name)
def test_a_class_in_doubt_becomes_the_part_of_its_name_or_what_the_skeleton_makes_of_it(
    cls: Class,
) -> None:
    """Cloth, hats and bags are what the parser says: only skin, shoes and eyewear can move."""
    plain = replace(CALIBRATION, class_weights={})

    assert everywhere(cls, 1.01 * plain.floor, plain) == (
        BY_THE_SKELETON.get(cls) or {Part[cls.name]}
    )


@pytest.mark.parametrize("cls", CLASSES[1:], ids=lambda cls: cls.name)
def test_under_the_floor_the_skeleton_has_no_say(cls: Class) -> None:
    plain = replace(CALIBRATION, class_weights={})

    assert everywhere(cls, 0.99 * plain.floor, plain) == (SIDED.get(cls) or {Part[cls.name]})


def test_bare_feet_are_kept_like_shoes() -> None:
    """The parser has one class for both."""
    painted = figures.bare_legged()
    feet = where(painted, SHOES)

    parts = composed(painted)

    assert fraction(parts, feet, *SHOES) == 1
    assert not (where(parts, SHOES) & ~feet).any()


# What the bones know better


def seated() -> tuple[PartMap, Skeleton]:
    """The figure with its left leg held out straight to the side, in trousers."""
    parts = fakes.part_map()
    parts[figures.HIP_LINE :, 152:] = Part.BACKGROUND
    (x, y), out = figures.POINTS["left_hip"], {"left_elbow": (215.0, 90.0)}
    for name in ("wrist", "index", "pinky", "thumb"):
        out[f"left_{name}"] = (225.0, 50.0 if name == "wrist" else 30.0)
    for i, name in enumerate(("knee", "ankle", "heel", "big_toe")):
        out[f"left_{name}"] = (x + (50.0, 95.0, 100.0, 105.0)[i], y)
    leg = np.zeros(parts.shape, np.uint8)
    cv2.line(leg, (round(x), round(y)), (round(x) + 90, round(y)), 1, 26)
    parts[(leg > 0) & (parts == Part.BACKGROUND)] = Part.TROUSERS
    return parts, figures.skeleton(moved=out)


def along(skeleton: Skeleton, first: str, second: str, fraction: float = 0.6) -> tuple[int, int]:
    """Row and column on the way between two joints."""
    a, b = skeleton.get(first), skeleton.get(second)
    assert a is not None
    assert b is not None
    return round(a[1] + fraction * (b[1] - a[1])), round(a[0] + fraction * (b[0] - a[0]))


@pytest.mark.parametrize("worn", [Part.TOP, Part.OUTERWEAR, Part.DRESS, Part.SKIRT, Part.BAG])
def test_what_lies_over_a_lifted_leg_stays_what_the_parser_calls_it(worn: Part) -> None:
    """The hem of a shirt, a coat's tail, a bag on the lap of somebody who sits."""
    painted, skeleton = seated()
    leg = where(painted, {Part.TROUSERS})

    parts = mistaken(painted, leg, worn, meant=0.2, skeleton=skeleton)

    assert fraction(parts, leg, worn) == 1


@pytest.mark.parametrize("long", [Part.TOP, Part.OUTERWEAR])
def test_a_coat_may_hang_over_the_legs_of_somebody_who_stands(long: Part) -> None:
    painted = fakes.part_map()
    thighs = where(painted, {Part.TROUSERS})
    painted[thighs] = long

    parts = composed(painted)

    assert fraction(parts, thighs, long) == 1


def test_bare_skin_that_can_hardly_be_a_limbs_is_not_that_limbs() -> None:
    painted = figures.bare_legged()
    arms, legs = where(painted, {*LIMBS[0]}), where(painted, LEGS)

    assert fraction(mistaken(painted, arms, Part.RIGHT_LEG, NEXT_TO_NONE), arms, *LEGS) == 1
    assert fraction(mistaken(painted, legs, Part.RIGHT_ARM, NEXT_TO_NONE), legs, *LIMBS[0]) == 1


def test_an_arm_that_lies_along_a_thigh_stays_an_arm() -> None:
    """Near both bones the skeleton has no say."""
    painted = figures.bare_legged()
    painted[where(painted, ARM_OR_HAND)] = Part.BACKGROUND
    known = {
        "left_elbow": (196.0, 205.0),
        "left_wrist": (180.0, 260.0),
        "left_index": (178.0, 280.0),
        "left_pinky": (181.0, 280.0),
    }
    skeleton = figures.skeleton(moved=known)
    cv2.line(painted, (196, 205), (180, 250), int(Part.LEFT_ARM), 12)
    arm = painted == Part.LEFT_ARM
    probabilities = answer(painted)
    probabilities[:, arm] = 0
    probabilities[Class.ARM, arm], probabilities[Class.LEG, arm] = 0.9, 0.1

    parts, _ = compose(probabilities, skeleton, body(painted), nobody(painted))

    assert fraction(parts, arm, Part.LEFT_ARM) > 0.97


@pytest.mark.parametrize("stray", [Part.FACE, Part.NECK, Part.LEFT_HAND, Part.RIGHT_ARM])
def test_at_a_foot_that_can_hardly_be_one_the_parser_is_believed(stray: Part) -> None:
    """Hands that tie laces, a child's face before the shins."""
    painted = figures.bare_legged()
    feet = where(painted, SHOES)

    parts = mistaken(painted, feet, stray, NEXT_TO_NONE)

    assert not where(parts, SHOES).any()


def test_a_shoe_carried_in_the_hand_is_a_shoe() -> None:
    painted, skeleton = fakes.part_map(), figures.skeleton()
    x, y = along(skeleton, "left_wrist", "left_index", 1.0)[::-1]
    carried = np.zeros(painted.shape, np.uint8)
    cv2.circle(carried, (x, y), 8, 1, -1)
    on_hand = (carried > 0) & (painted == Part.LEFT_HAND)

    parts = mistaken(painted, on_hand, Part.LEFT_SHOE, NEXT_TO_NONE)

    assert fraction(parts, on_hand, *SHOES) == 1


@pytest.mark.parametrize("cloth", [Part.TOP, Part.OUTERWEAR, Part.DRESS, Part.TROUSERS])
def test_a_cuff_over_a_hand_stays_cloth_where_the_parser_says_so(cloth: Part) -> None:
    """On a hand held away from the body too."""
    painted = fakes.part_map()
    wrist = figures.POINTS["left_wrist"]
    out = {
        f"left_{name}": (wrist[0] + 68 + x, wrist[1] - 80 + y)
        for name, x, y in (("wrist", 0, 0), ("index", 1, 18), ("pinky", 5, 16))
    }
    skeleton = figures.skeleton(moved=out)
    x, y = along(skeleton, "left_wrist", "left_index", 1.0)[::-1]
    cv2.circle(painted, (x, y), 14, int(Part.LEFT_HAND), -1)
    cuff = np.zeros(painted.shape, bool)
    cuff[y - 14 : y + 15, x - 14 : x + 15] = True
    cuff &= painted == Part.LEFT_HAND

    parts = mistaken(painted, cuff, cloth, meant=0.2, skeleton=skeleton)

    assert fraction(parts, cuff, cloth) == 1


@pytest.mark.parametrize("cloth", [Part.TOP, Part.OUTERWEAR, Part.DRESS])
def test_a_collar_near_the_chin_stays_the_shirts(cloth: Part) -> None:
    painted = fakes.part_map()
    collar = np.zeros(painted.shape, bool)
    collar[80:104, 130:171] = where(painted, {Part.FACE, Part.NECK})[80:104, 130:171]
    painted[collar] = Part.HAIR

    parts = mistaken(painted, collar, cloth, meant=0.2)

    assert fraction(parts, collar, cloth) == 1


def test_the_part_map_lies_on_the_evidences_grid_and_confidence_is_a_share() -> None:
    painted = fakes.part_map()

    parts, confidence = compose(answer(painted), figures.skeleton(), body(painted), nobody(painted))

    assert parts.shape == confidence.shape == figures.SHAPE
    assert parts.dtype == np.uint8
    assert confidence.dtype == np.float32
    assert confidence.min() >= 0
    assert confidence.max() <= 1


@pytest.mark.parametrize("probability", [0.6, 0.75, 0.95])
def test_confidence_is_the_share_of_the_class_that_won(probability: float) -> None:
    painted = fakes.part_map()
    probabilities = answer(painted, probability)
    somebody = painted != Part.BACKGROUND

    _, confidence = compose(probabilities, figures.skeleton(), body(painted), nobody(painted))

    assert np.abs(confidence[somebody] - probability).max() < 1e-6
    assert (confidence[:5] == 1).all()


def test_faint_evidence_is_less_sure_of_the_same_parts() -> None:
    painted = fakes.part_map()
    clear = answer(painted)
    faint = clear.copy()
    top = painted == Part.TOP
    faint[:, top] = 0.6 * clear[:, top] + 0.4 / len(CLASSES)

    parts, confidence = compose(clear, figures.skeleton(), body(painted), nobody(painted))
    same, fainter = compose(faint, figures.skeleton(), body(painted), nobody(painted))

    assert (same == parts).all()
    assert fainter[top].max() < confidence[top].min()
    assert (fainter[~top] == confidence[~top]).all()


@pytest.mark.parametrize("seed", range(5))
def test_between_cells_the_winner_is_the_one_that_all_probabilities_would_give(seed: int) -> None:
    noise = np.random.default_rng(seed).standard_normal((len(CLASSES), 24, 16))
    logits = np.stack([cv2.GaussianBlur(plane, (0, 0), 2) for plane in noise]) * 30
    probabilities = np.exp(logits - logits.max(0))
    answer = ClassProbabilities(
        (probabilities / probabilities.sum(0)).astype(np.float32),
        np.array([[0.3, 0, -1], [0, 0.3, 0]]),
    )
    pixels = anatomy.Points.from_mask(np.ones((80, 60), bool))
    limbs = pixels.x > 30

    parts, confidence = np.zeros((80, 60), np.uint8), np.ones((80, 60), np.float32)
    evidence = part_map.gather(answer, figures.skeleton())

    part_map.label_pixels(parts, confidence, pixels, evidence, limbs.reshape(parts.shape))

    every = answer.at(CLASSES, pixels.x, pixels.y)
    table = np.array([PARTS[cls] for cls in Class], np.uint8)
    for least, on in ((CALIBRATION.nobody, ~limbs), (CALIBRATION.nobody_on_limb, limbs)):
        expected, probability_of = part_map.winners_of(every[:, on], least, CALIBRATION)
        assert (parts.reshape(-1)[on] == table[expected]).mean() > 0.999
        assert np.abs(confidence.reshape(-1)[on] - probability_of).max() < 0.02
    assert len(np.unique(parts)) > 5


def test_what_the_parser_said_is_left_as_it_was() -> None:
    painted = figures.with_a_second_person()
    given_probabilities, outline, others = answer(painted), body(painted), body(painted)
    probabilities = given_probabilities.copy()

    compose(given_probabilities, figures.skeleton(), outline, others)

    assert (given_probabilities == probabilities).all()


# Left and right


@pytest.mark.parametrize("painted", [fakes.part_map(), figures.bare_legged(), figures.equipped()])
def test_limbs_are_told_apart_by_the_bones_they_lie_on(painted: PartMap) -> None:
    parts = composed(painted)

    for sides in LIMBS:
        for part in sides:
            if (painted == part).any():
                assert fraction(parts, painted == part, part) > 0.9
    assert fraction(parts, painted == Part.TROUSERS, Part.TROUSERS) == 1
    assert fraction(parts, where(painted, {Part.LEFT_ARM, Part.RIGHT_ARM}), *LEGS) == 0


def test_left_and_right_come_from_the_skeleton_and_change_nothing_else() -> None:
    front = figures.person(figures.bare_legged())
    back = figures.swapped(front)
    given_probabilities, outline = answer(front.part_map), body(front.part_map)
    none = nobody(front.part_map)

    parts, confidence = compose(given_probabilities, front.skeleton, outline, none)
    swapped, swapped_confidence = compose(given_probabilities, back.skeleton, outline, none)

    assert (without_sides(swapped) == without_sides(parts)).all()
    assert (swapped_confidence == confidence).all()
    for left, right in LIMBS:
        on_left, on_right = parts == left, parts == right
        assert fraction(swapped, on_left, right) > 0.97
        assert fraction(swapped, on_right, left) > 0.97


def test_a_hand_across_the_body_is_still_its_own_arms() -> None:
    crossed = {
        "left_elbow": (200.0, 170.0),
        "left_wrist": (140.0, 224.0),
        "left_index": (126.0, 230.0),
        "left_pinky": (128.0, 234.0),
        "right_elbow": (104.0, 150.0),
        "right_wrist": (160.0, 158.0),
        "right_index": (176.0, 160.0),
        "right_pinky": (175.0, 164.0),
    }
    painted = fakes.part_map()
    painted[where(painted, {part for sides in LIMBS[:2] for part in sides})] = Part.BACKGROUND
    for side, hand in (("left", Part.LEFT_HAND), ("right", Part.RIGHT_HAND)):
        wrist, index = (np.round(crossed[f"{side}_{name}"]) for name in ("wrist", "index"))
        cv2.line(painted, wrist.astype(int).tolist(), index.astype(int).tolist(), int(hand), 12)

    parts = composed(painted, figures.skeleton(moved=crossed))

    for arm, hand in zip(*LIMBS[:2], strict=True):
        assert fraction(parts, painted == hand, hand) > 0.6
        assert fraction(parts, painted == hand, hand, arm) > 0.95


@pytest.mark.parametrize(("gone", "kept"), [("left", 1), ("right", 0)])
def test_where_one_sides_joints_are_lost_the_limb_is_the_others(gone: str, kept: int) -> None:
    lost = [name for name in figures.JOINTS if name.startswith(gone) and "shoulder" not in name]
    painted = figures.bare_legged()

    parts = composed(painted, figures.skeleton(lost))

    arm, hand, leg, shoe = (sides[kept] for sides in LIMBS)
    assert fraction(parts, where(painted, ARM_OR_HAND), arm, hand) == 1
    assert fraction(parts, where(painted, LEGS), leg) == 1
    assert fraction(parts, where(painted, SHOES), shoe) == 1


# What the skeleton knows better


@pytest.mark.parametrize("called", [Part.RIGHT_ARM, Part.RIGHT_HAND])
def test_skin_is_arm_up_to_the_wrist_and_hand_beyond_it(called: Part) -> None:
    """A bare arm that the parser takes for one long hand, or a hand for the arm's end."""
    painted = fakes.part_map()

    parts = mistaken(painted, where(painted, ARM_OR_HAND), called, meant=0.2)

    for sides in LIMBS[:2]:
        for part in sides:
            assert fraction(parts, painted == part, part) > 0.9


@pytest.mark.parametrize("called", [Part.RIGHT_ARM, Part.RIGHT_HAND])
def test_skin_that_can_hardly_be_the_other_side_of_the_wrist_is_not(called: Part) -> None:
    """A glove up to the elbow; a stump."""
    painted = fakes.part_map()
    limbs = where(painted, ARM_OR_HAND)

    parts = mistaken(painted, limbs, called, NEXT_TO_NONE)

    kept = next(sides for sides in LIMBS[:2] if called in sides)
    assert fraction(parts, limbs, *kept) == 1


@pytest.mark.parametrize(("called", "sides"), [(Class.ARM, LIMBS[0]), (Class.HAND, LIMBS[1])])
def test_at_the_wrist_the_parser_parts_arm_and_hand(
    called: Class, sides: tuple[Part, Part]
) -> None:
    """It sees where the cuff ends and the hand begins."""
    painted, skeleton = fakes.part_map(), figures.skeleton()
    pixels = anatomy.Points.from_mask(where(painted, ARM_OR_HAND))
    to_arm, to_hand = (
        anatomy.nearest(
            [bone for bone in anatomy.bones(skeleton, fakes.TORSO) if bone.segment == segment],
            pixels.x,
            pixels.y,
        )[1]
        for segment in ("arm", "hand")
    )
    close = np.zeros(painted.shape, bool)
    np.put(close, pixels.index[np.abs(to_arm - to_hand) < 0.03], True)
    assert close.sum() > 20
    probabilities = answer(painted)
    probabilities[:, close] = 0
    for cls in (Class.ARM, Class.HAND):
        probabilities[cls, close] = 1 - DOUBT if cls == called else DOUBT

    parts, _ = compose(probabilities, skeleton, body(painted), nobody(painted))

    assert fraction(parts, close, *sides) == 1


def height_above_jaw(skeleton: Skeleton) -> Floats:
    over = anatomy.height_above_jaw(skeleton, *anatomy.grid(figures.SHAPE))
    assert over is not None
    return over


@pytest.mark.parametrize("called", [Part.FACE, Part.NECK])
def test_away_from_the_jaw_skin_is_face_above_and_neck_below(called: Part) -> None:
    """A long throat in full light, a cheek in shade."""
    over = height_above_jaw(figures.skeleton())
    painted = fakes.part_map()

    parts = mistaken(painted, where(painted, {Part.FACE, Part.NECK}), called, DOUBT)

    assert fraction(parts, (painted == Part.FACE) & (over > 0.15), Part.FACE) > 0.97
    assert fraction(parts, (painted == Part.NECK) & (over < -0.15), Part.NECK) > 0.97


@pytest.mark.parametrize("called", [Part.FACE, Part.NECK])
def test_skin_that_can_hardly_be_the_other_side_of_the_jaw_is_not(called: Part) -> None:
    painted = fakes.part_map()
    head = where(painted, {Part.FACE, Part.NECK})

    assert fraction(mistaken(painted, head, called, NEXT_TO_NONE), head, called) == 1


def test_at_the_jaw_the_parser_parts_face_and_neck() -> None:
    painted = fakes.part_map()
    close = where(painted, {Part.FACE, Part.NECK}) & (
        abs(height_above_jaw(figures.skeleton())) < 0.05
    )
    assert close.sum() > 20

    for called in (Part.FACE, Part.NECK):
        parts = composed(np.where(close, np.uint8(called), painted))

        assert fraction(parts, close, called) == 1


@pytest.mark.parametrize("seen", [Part.SKIRT, Part.TROUSERS], ids=lambda part: part.name)
@pytest.mark.parametrize("rows", [slice(130, 160), slice(170, 200)], ids=["chest", "high waist"])
def test_what_is_worn_below_stays_so_however_high_the_parser_sees_it(
    rows: slice, seen: Part
) -> None:
    """A high skirt over which a cardigan falls, somebody who sits with the knees drawn up."""
    painted = fakes.part_map()
    piece = np.zeros(painted.shape, bool)
    piece[rows] = painted[rows] == Part.TOP

    assert fraction(mistaken(painted, piece, seen, meant=0.2), piece, seen) == 1


def test_dungarees_stay_in_one_piece() -> None:
    painted = fakes.part_map()
    bib = painted == Part.TOP

    parts = composed(np.where(bib, np.uint8(Part.TROUSERS), painted))

    assert fraction(parts, bib, Part.TROUSERS) > 0.9


def throat(hair: float, skin: float) -> PartMap:
    """The figure, where the parser sees so much hair and so much neck on its throat."""
    painted = fakes.part_map()
    probabilities = answer(painted)
    neck = painted == Part.NECK
    probabilities[:, neck] = (1 - hair - skin) / (len(CLASSES) - 2)
    probabilities[Class.HAIR, neck] = hair
    probabilities[Class.NECK, neck] = skin
    return compose(probabilities, figures.skeleton(), body(painted), nobody(painted))[0]


def test_a_shadow_on_the_throat_is_no_hair() -> None:
    neck = fakes.part_map() == Part.NECK

    assert fraction(throat(hair=0.7, skin=0.25), neck, Part.NECK) == 1
    assert fraction(throat(hair=0.9, skin=0.05), neck, Part.HAIR) == 1


def test_hair_beside_the_throat_stays_hair() -> None:
    painted = fakes.part_map()
    beside = np.zeros(figures.SHAPE, bool)
    beside[90:130, 105:120] = True
    painted[beside] = Part.HAIR

    assert fraction(composed(painted), beside, Part.HAIR) == 1


@pytest.mark.parametrize("called", [Part.TROUSERS, Part.LEGWEAR])
def test_what_covers_the_leg_is_no_shoe(called: Part) -> None:
    painted = fakes.part_map()
    covered = painted == Part.TROUSERS
    painted[covered] = called

    assert fraction(composed(painted), covered, called) > 0.97


@pytest.mark.parametrize("shoe", [0.001, 0.2])
@pytest.mark.parametrize("worn", [Part.TROUSERS, Part.LEGWEAR, Part.SKIRT, Part.DRESS])
def test_trousers_over_a_foot_stay_trousers_where_the_parser_says_so(
    worn: Part, shoe: float
) -> None:
    """Wide hems, long skirts, stockings without shoes."""
    painted = fakes.part_map()
    feet = where(painted, SHOES)

    assert fraction(mistaken(painted, feet, worn, meant=shoe), feet, worn) == 1


def test_what_belongs_to_somebody_else_is_marked_whatever_it_looks_like() -> None:
    painted = fakes.part_map()
    others = nobody(painted)
    others[120:160, 130:300] = 0.9
    outline = np.where(others > 0, np.float32(0.2), body(painted))

    parts, _ = compose(answer(painted), figures.skeleton(), outline, others)

    assert (parts[others > 0] == Part.OTHER_PERSON).all()
    assert (parts[others == 0] == composed(painted)[others == 0]).all()


def test_a_second_persons_arm_across_the_chest_is_not_this_persons() -> None:
    scene = figures.with_a_second_person()
    theirs = scene == Part.OTHER_PERSON
    dressed_alike = np.where(theirs, np.uint8(Part.TOP), scene)
    dressed_alike[150:170, 140:180][theirs[150:170, 140:180]] = Part.LEFT_ARM
    others = theirs.astype(np.float32)

    parts, _ = compose(answer(dressed_alike), figures.skeleton(), body(scene) - others, others)

    assert (parts[theirs] == Part.OTHER_PERSON).all()
    assert fraction(parts, scene == Part.TOP, Part.TOP) == 1


@pytest.mark.parametrize(("theirs", "ours"), [(0.4, 0.6), (0.7, 0.9)])
def test_where_the_other_outline_is_weaker_the_person_stays_whole(
    theirs: float, ours: float
) -> None:
    """Two people's crops overlap: a faint outline, or a fainter one, takes nobody's pixels."""
    painted = fakes.part_map()
    others = np.float32(theirs) * body(painted)
    outline = np.float32(ours) * body(painted)

    parts, _ = compose(answer(painted), figures.skeleton(), outline, others)

    assert (parts == composed(painted)).all()


def test_a_garment_off_the_person_is_nobodys() -> None:
    """A coat on the wall, at arm's length and right beside the shoulder."""
    painted = fakes.part_map()
    with_coats = painted.copy()
    cv2.rectangle(with_coats, (2, 20), (30, 90), int(Part.OUTERWEAR), -1)
    cv2.rectangle(with_coats, (84, 30), (104, 86), int(Part.OUTERWEAR), -1)

    parts, _ = compose(answer(with_coats), figures.skeleton(), body(painted), nobody(painted))

    assert (parts == composed(painted)).all()


def flared(
    probability: float = CLEARLY_CLOTH, called: Part = Part.DRESS, others: Floats | None = None
) -> tuple[PartMap, BoolMask]:
    """The figure in a wide dress, of which the pose model sees the legs alone; what it misses."""
    dressed, legs = figures.in_a_long_dress(), body(fakes.part_map())
    near = grow(legs > 0, CALIBRATION.near * fakes.TORSO)
    beyond = (dressed == Part.DRESS) & ~near
    assert beyond.sum() > 500
    probabilities = answer(dressed)
    probabilities[:, beyond] = answer(np.where(beyond, np.uint8(called), dressed), probability)[
        :, beyond
    ]
    none = nobody(dressed) if others is None else others
    return compose(probabilities, figures.skeleton(), legs, none)[0], beyond


@pytest.mark.parametrize("called", [Part.DRESS, Part.SKIRT, Part.TROUSERS, Part.TOP, Part.SCARF])
def test_cloth_that_hangs_on_the_person_is_the_persons_beyond_the_outline_too(called: Part) -> None:
    """Coat tails, wide skirts, a scarf in the wind."""
    parts, beyond = flared(called=called)

    assert fraction(parts, beyond, called) == 1


def test_garments_may_share_what_makes_it_cloth_beyond_the_outline() -> None:
    dressed, legs = figures.in_a_long_dress(), body(fakes.part_map())
    beyond = (dressed == Part.DRESS) & (legs == 0)
    probabilities = answer(dressed)
    probabilities[:, beyond] = 0
    dress, skirt = 0.6 * CLEARLY_CLOTH, 0.4 * CLEARLY_CLOTH
    for cls, likely in ((Class.DRESS, dress), (Class.SKIRT, skirt)):
        probabilities[cls, beyond] = likely
    probabilities[Class.BACKGROUND, beyond] = 1 - CLEARLY_CLOTH

    parts, confidence = compose(probabilities, figures.skeleton(), legs, nobody(dressed))

    assert fraction(parts, beyond, Part.DRESS) == 1
    assert np.abs(confidence[beyond] - dress).max() < 1e-6


@pytest.mark.parametrize(
    ("probability", "called"),
    [
        pytest.param(CALIBRATION.cloth - 0.1, Part.DRESS, id="cloth, perhaps"),
        pytest.param(CLEARLY_CLOTH, Part.LEFT_LEG, id="skin"),
        pytest.param(CLEARLY_CLOTH, Part.BAG, id="a bag"),
    ],
)
def test_beyond_the_outline_what_is_not_surely_cloth_is_nobodys(
    probability: float, called: Part
) -> None:
    parts, beyond = flared(probability, called)

    assert fraction(parts, beyond, Part.BACKGROUND) == 1


def test_cloth_that_reaches_far_beyond_the_outline_ends_there() -> None:
    """A curtain that touches the sleeve."""
    painted = fakes.part_map()
    hung = painted.copy()
    hung[130:160, 190:][hung[130:160, 190:] == Part.BACKGROUND] = Part.OUTERWEAR

    parts, _ = compose(answer(hung), figures.skeleton(), body(painted), nobody(painted))

    reach = (CALIBRATION.near + CALIBRATION.far) * fakes.TORSO
    assert (parts == Part.OUTERWEAR).any()
    assert not (where(parts, {Part.OUTERWEAR}) & ~figures.near(painted, reach + 1)).any()


def test_cloth_beyond_the_outline_that_is_another_persons_is_not_this_persons() -> None:
    others = nobody(fakes.part_map())
    others[:, 184:] = 0.9

    parts, beyond = flared(others=others)

    theirs = beyond & (others > 0)
    assert theirs.any()
    assert fraction(parts, theirs, Part.OTHER_PERSON) == 1
    assert fraction(parts, beyond & (others == 0), Part.DRESS) == 1


def test_cloth_that_hangs_on_another_persons_is_not_this_persons() -> None:
    """Their outline ends before their coat does."""
    others = nobody(fakes.part_map())
    others[:, 187:191] = 0.9

    parts, beyond = flared(others=others)

    behind = beyond.copy()
    behind[:, :191] = False
    assert behind.sum() > 100
    assert fraction(parts, behind, Part.BACKGROUND) == 1


def test_what_the_outline_misses_near_the_person_is_still_the_persons() -> None:
    """It is coarse, and does not know wide skirts."""
    painted = figures.in_a_long_dress()
    outline = np.asarray(cv2.erode(body(painted), np.ones((9, 9), np.uint8)), np.float32)

    parts, _ = compose(answer(painted), figures.skeleton(), outline, nobody(painted))

    assert fraction(parts, painted == Part.DRESS, Part.DRESS) > 0.999


@pytest.mark.parametrize(
    ("background", "dress", "top", "seen"),
    [
        (0.5, 0.45, 0.05, Part.BACKGROUND),
        (0.4, 0.29, 0.31, Part.DRESS),
        (0.4, 0.05, 0.55, Part.TOP),
    ],
)
def test_the_classes_weights_move_the_borders_between_them_and_no_outline(
    background: float, dress: float, top: float, seen: Part
) -> None:
    painted = fakes.part_map()
    probabilities = answer(painted)
    chest = (150, 150)
    assert painted[chest] == Part.TOP
    probabilities[:, *chest] = 0
    for cls, value in zip(
        (Class.BACKGROUND, Class.DRESS, Class.TOP), (background, dress, top), strict=True
    ):
        probabilities[cls, *chest] = value

    parts, _ = compose(probabilities, figures.skeleton(), body(painted), nobody(painted))

    assert parts[chest] == seen


@pytest.mark.parametrize(
    ("outlined", "background", "seen"),
    [
        (1.0, 0.9, Part.LEFT_ARM),
        (1.0, 0.98, Part.BACKGROUND),
        (0.0, 0.9, Part.BACKGROUND),
    ],
)
def test_on_a_limbs_bone_within_the_outline_somebody_is_likelier_than_nobody(
    outlined: float, background: float, seen: Part
) -> None:
    """A tattooed arm before a bush."""
    painted = fakes.part_map()
    probabilities, outline = answer(painted), body(painted)
    forearm = along(figures.skeleton(), "left_elbow", "left_wrist", 0.5)
    probabilities[:, *forearm] = 0
    probabilities[Class.BACKGROUND, *forearm] = background
    probabilities[Class.ARM, *forearm] = 1 - background
    outline[forearm] = outlined

    parts, _ = compose(probabilities, figures.skeleton(), outline, nobody(painted))

    assert parts[forearm] == seen


# A top, or worn below?


def test_a_top_that_may_be_a_dress_is_perhaps_worn_below() -> None:
    parts = np.array([[Part.TOP, Part.OUTERWEAR, Part.TOP, Part.DRESS, Part.LEFT_HAND]], np.uint8)
    probabilities = np.zeros((len(CLASSES), *parts.shape), np.float32)
    probabilities[Class.DRESS] = [[0.15, 0.25, 0.1, 0.9, 0.3]]
    probabilities[Class.SKIRT] = [[0.1, 0.0, 0.05, 0.0, 0.0]]

    assert perhaps_lower(parts, ClassProbabilities(probabilities, np.eye(2, 3))).tolist() == [
        [True, True, False, False, False]
    ]


def test_where_the_parser_sees_nobody_there_is_nobody() -> None:
    """Whatever the pose model's outline says."""
    empty = np.zeros(figures.SHAPE, np.uint8)

    probabilities = answer(empty, probability=0.99)

    parts, _ = compose(probabilities, figures.skeleton(), body(fakes.part_map()), nobody(empty))

    assert not parts.any()


def test_a_skeleton_without_a_body_unit_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="shoulders"):
        composed(fakes.part_map(), figures.skeleton(["left_shoulder"]))


# Sizes and lost joints


@pytest.mark.parametrize("painted", [fakes.part_map(), figures.bare_legged()])
def test_the_same_person_on_a_finer_grid_has_the_same_parts(painted: PartMap) -> None:
    fine = composed(painted.repeat(2, 0).repeat(2, 1), figures.skeleton().scaled(2))

    assert (fine[::2, ::2] == composed(painted)).mean() > 0.999


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(sorted(set(figures.JOINTS) - {"left_shoulder", "right_shoulder"})),
        unique=True,
    ),
    st.sampled_from([fakes.part_map(), figures.in_a_long_dress(), figures.bare_legged()]),
)
def test_lost_joints_cost_sides_never_the_person(lost: Iterable[str], painted: PartMap) -> None:
    parts = composed(painted, figures.skeleton(lost))

    assert ((parts == Part.BACKGROUND) == (painted == Part.BACKGROUND)).all()
    for group in (
        HEAD | {Part.NECK},
        ARM_OR_HAND,
        LEGS | SHOES,
        {Part.TOP},
        {Part.DRESS},
        {Part.TROUSERS},
    ):
        assert where(parts, {*group})[where(painted, group)].all()


def test_cloth_beyond_the_outline_stays_cloth() -> None:
    """Weights that part neighbours on the body have no say there."""
    dressed, legs = figures.in_a_long_dress(), body(fakes.part_map())
    beyond = (dressed == Part.DRESS) & ~grow(legs > 0, 6)
    probabilities = answer(dressed)
    probabilities[:, beyond] = 0
    probabilities[Class.OUTERWEAR, beyond], probabilities[Class.LEG, beyond] = 0.8, 0.2

    parts, _ = compose(probabilities, figures.skeleton(), legs, nobody(dressed))

    assert fraction(parts, beyond, Part.OUTERWEAR) == 1


def test_cloth_that_hangs_on_anothers_cloth_within_our_fringe_is_theirs() -> None:
    painted = fakes.part_map()
    theirs, tail = np.zeros((2, *painted.shape), bool)
    theirs[250:330, 184:188] = True  # their coat, right beside our trousers
    tail[250:330, 188:206] = True  # its tail, which their outline misses
    both = np.where(theirs | tail, np.uint8(Part.OUTERWEAR), painted)

    parts, _ = compose(answer(both), figures.skeleton(), body(painted), theirs.astype(np.float32))

    assert fraction(parts, tail, Part.BACKGROUND) > 0.75  # all but the fringe itself


def test_a_hand_on_the_other_arm_stays_its_own_arms() -> None:
    """Crossed arms."""
    painted = fakes.part_map()
    painted[where(painted, ARM_OR_HAND)] = Part.BACKGROUND
    moved = {
        "left_elbow": (190.0, 168.0),
        "left_wrist": (132.0, 148.0),
        "left_index": (114.0, 140.0),
        "left_pinky": (116.0, 145.0),
        "right_elbow": (106.0, 165.0),
        "right_wrist": (160.0, 160.0),
        "right_index": (176.0, 158.0),
        "right_pinky": (177.0, 162.0),
    }
    cv2.line(painted, (132, 148), (110, 139), int(Part.LEFT_HAND), 18)
    hand = painted == Part.LEFT_HAND
    probabilities = answer(painted)
    probabilities[:, hand] = 0
    probabilities[Class.HAND, hand], probabilities[Class.ARM, hand] = 0.9, 0.1

    parts, _ = compose(probabilities, figures.skeleton(moved=moved), body(painted), nobody(painted))

    assert fraction(parts, hand, Part.LEFT_HAND) > 0.75
    assert fraction(parts, hand, Part.LEFT_HAND, Part.LEFT_ARM) == 1
