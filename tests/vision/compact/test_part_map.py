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
from tryon_masks.domain.skeleton import Skeleton
from tryon_masks.vision.compact import part_map
from tryon_masks.vision.compact.classes import CLASSES, Class
from tryon_masks.vision.compact.garment_parser import Answer
from tryon_masks.vision.compact.part_map import PARTS, perhaps_lower

Floats = NDArray[np.float32]

LIMBS = tuple(figures.LIMBS.values())
BELOW_THE_HIPS = ("knee", "ankle", "heel", "big_toe")


def answer(parts: PartMap, sure: float = 0.9) -> Floats:
    """What a good parser would say of the painted parts: ``sure`` for the right class."""
    shares: Floats = np.full(
        (len(CLASSES), *parts.shape), (1 - sure) / (len(CLASSES) - 1), np.float32
    )
    label = figures.classes(parts).astype(int)[None]
    np.put_along_axis(shares, label, np.float32(sure), axis=0)
    return shares


def body(parts: PartMap) -> Floats:
    """The pose model's outline of the figure."""
    outline: Floats = (parts != Part.BACKGROUND).astype(np.float32)
    return outline


def nobody(parts: PartMap) -> Floats:
    return np.zeros(parts.shape, np.float32)


def compose(
    shares: Floats, skeleton: Skeleton, outline: Floats, others: Floats
) -> tuple[PartMap, Floats]:
    """By an answer with a cell a pixel."""
    return part_map.compose(Answer(shares, np.eye(2, 3)), skeleton, outline, others)


def composed(parts: PartMap, skeleton: Skeleton | None = None) -> PartMap:
    """The figure's part map, nobody else being near."""
    known = figures.skeleton() if skeleton is None else skeleton
    return compose(answer(parts), known, body(parts), nobody(parts))[0]


def share(parts: PartMap, inside: BoolMask, *wanted: Part) -> float:
    """Share of a region that carries one of the parts."""
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

    assert share(composed(painted), painted == part, Part(part)) > 0.9


ARM_OR_HAND = frozenset({part for sides in LIMBS[:2] for part in sides})
HAND = frozenset(LIMBS[1])
LIMB = ARM_OR_HAND | LEGS | SHOES
BY_THE_SKELETON = {
    Class.EYEWEAR: {Part.EYEWEAR, *LIMB},
    Class.FACE: {Part.FACE, Part.NECK, *LIMB},
    Class.NECK: {Part.FACE, Part.NECK, *LIMB},
    Class.ARM: LIMB,
    Class.HAND: ARM_OR_HAND | SHOES,
    Class.LEG: ARM_OR_HAND | LEGS,
    Class.SHOE: ARM_OR_HAND | SHOES,
    Class.TOP: {Part.TOP, Part.HAIR, *HAND},
    Class.OUTERWEAR: {Part.OUTERWEAR, Part.HAIR, *HAND},
    Class.DRESS: {Part.DRESS, Part.HAIR, *HAND},
    Class.SKIRT: {Part.SKIRT, Part.HAIR, *HAND},
    Class.TROUSERS: {Part.TROUSERS, Part.HAIR, *HAND, *SHOES},
}
"""What becomes of a class that is seen everywhere, where the skeleton has a say in it."""


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.name)
def test_a_class_becomes_the_part_of_its_name_or_what_the_skeleton_makes_of_it(cls: Class) -> None:
    shares = np.zeros((len(CLASSES), *figures.SHAPE), np.float32)
    shares[cls] = 1
    outline = np.ones(figures.SHAPE, np.float32)

    parts, _ = compose(shares, figures.skeleton(), outline, np.zeros_like(outline))

    assert set(np.unique(parts)) == (BY_THE_SKELETON.get(cls) or {Part[cls.name]})


def test_bare_feet_are_kept_like_shoes() -> None:
    """The parser has one class for both."""
    painted = figures.bare_legged()
    feet = where(painted, SHOES)

    parts = composed(painted)

    assert share(parts, feet, *SHOES) == 1
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


def along(skeleton: Skeleton, first: str, second: str, share: float = 0.6) -> tuple[int, int]:
    """Row and column on the way between two joints."""
    a, b = skeleton.get(first), skeleton.get(second)
    assert a is not None
    assert b is not None
    return round(a[1] + share * (b[1] - a[1])), round(a[0] + share * (b[0] - a[0]))


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        (Part.TOP, Part.TROUSERS),
        (Part.OUTERWEAR, Part.TROUSERS),
        (Part.BAG, Part.TROUSERS),
        (Part.DRESS, Part.SKIRT),
    ],
)
def test_cloth_on_a_leg_that_is_lifted_is_worn_below(slip: Part, meant: Part) -> None:
    painted, skeleton = seated()
    leg = where(painted, {Part.TROUSERS})
    shin = along(skeleton, "left_knee", "left_ankle")
    painted[leg] = slip

    parts = composed(painted, skeleton)

    assert parts[shin] == meant


def test_cloth_on_a_shin_that_points_up_is_worn_below() -> None:
    """As on somebody who lies on the belly with the feet in the air."""
    feet = {
        "left_ankle": (262.0, 200.0),
        "left_heel": (270.0, 196.0),
        "left_big_toe": (280.0, 190.0),
    }
    painted, skeleton = fakes.part_map(), figures.skeleton(moved=feet)
    knee, ankle = (
        tuple(map(round, skeleton.get(f"left_{end}") or ())) for end in ("knee", "ankle")
    )
    painted[280:, 152:] = Part.BACKGROUND
    cv2.line(painted, knee, ankle, int(Part.DRESS), 20)

    parts = composed(painted, skeleton)

    assert parts[along(skeleton, "left_knee", "left_ankle", 0.8)] == Part.SKIRT


@pytest.mark.parametrize("long", [Part.TOP, Part.OUTERWEAR])
def test_a_coat_may_hang_over_the_legs_of_somebody_who_stands(long: Part) -> None:
    painted = fakes.part_map()
    thighs = where(painted, {Part.TROUSERS})
    painted[thighs] = long

    parts = composed(painted)

    assert share(parts, thighs, long, *SHOES) == 1


def test_bare_skin_is_the_limbs_that_it_lies_on() -> None:
    painted, skeleton = figures.bare_legged(), figures.skeleton()
    arms, legs = where(painted, {*LIMBS[0]}), where(painted, LEGS)
    painted[arms], painted[legs] = Part.RIGHT_LEG, Part.RIGHT_ARM

    parts = composed(painted, skeleton)

    for side in ("left", "right"):
        forearm = along(skeleton, f"{side}_elbow", f"{side}_wrist", 0.5)
        shin = along(skeleton, f"{side}_knee", f"{side}_ankle")
        assert parts[forearm] == Part[f"{side}_arm".upper()]
        assert parts[shin] == Part[f"{side}_leg".upper()]


def test_the_skin_of_an_arm_is_no_legs_where_no_leg_is_seen() -> None:
    painted = fakes.part_map()
    arms = where(painted, {*LIMBS[0]})
    lost = [f"{side}_{name}" for side in ("left", "right") for name in BELOW_THE_HIPS]

    parts = composed(np.where(arms, np.uint8(Part.RIGHT_LEG), painted), figures.skeleton(lost))

    assert share(parts, arms, *LIMBS[0]) > 0.9


@pytest.mark.parametrize("stray", [Part.FACE, Part.NECK, Part.LEFT_HAND, Part.RIGHT_ARM])
def test_a_foot_is_no_face_and_no_hand(stray: Part) -> None:
    painted = figures.bare_legged()
    feet = where(painted, SHOES)
    slipped = np.where(feet, np.uint8(stray), painted)

    parts = composed(slipped)

    assert share(parts, cv2.erode(feet.astype(np.uint8), np.ones((5, 5))) > 0, *SHOES) > 0.9
    assert share(parts, where(painted, HEAD), *HEAD) > 0.95
    assert share(parts, where(painted, ARM_OR_HAND), *ARM_OR_HAND) > 0.95


def test_a_tattoo_on_the_forearm_is_no_shoe() -> None:
    painted, skeleton = fakes.part_map(), figures.skeleton()
    x, y = along(skeleton, "left_elbow", "left_wrist", 0.5)[::-1]
    cv2.circle(painted, (x, y), 4, int(Part.LEFT_SHOE), -1)

    assert composed(painted, skeleton)[y, x] == Part.LEFT_ARM


def test_a_hand_held_out_is_no_cloth() -> None:
    painted, known = fakes.part_map(), dict(figures.skeleton().keypoints)
    wrist = known["left_wrist"]
    out = figures.SHAPE[1] - 30 - wrist.x
    for name in ("left_wrist", "left_index", "left_pinky"):
        known[name] = replace(known[name], x=known[name].x + out, y=known[name].y - 80)
    skeleton = Skeleton(known)
    x, y = along(skeleton, "left_wrist", "left_index", 1.0)[::-1]
    cv2.circle(painted, (x, y), 14, int(Part.DRESS), -1)

    parts = composed(painted, skeleton)

    assert parts[y, x] == Part.LEFT_HAND


@pytest.mark.parametrize("slip", [Part.TOP, Part.DRESS])
def test_cloth_on_the_head_is_hair(slip: Part) -> None:
    """As on somebody who is seen from behind."""
    painted = fakes.part_map()
    slipped = np.where(painted == Part.FACE, np.uint8(slip), painted)

    parts = composed(slipped)

    x, y = figures.skeleton().get("nose") or (0, 0)
    assert parts[round(y), round(x)] == Part.HAIR
    assert (parts == Part.TOP)[painted == Part.TOP].mean() > 0.95


def test_the_part_map_lies_on_the_evidences_grid_and_confidence_is_a_share() -> None:
    painted = fakes.part_map()

    parts, sure = compose(answer(painted), figures.skeleton(), body(painted), nobody(painted))

    assert parts.shape == sure.shape == figures.SHAPE
    assert parts.dtype == np.uint8
    assert sure.dtype == np.float32
    assert sure.min() >= 0
    assert sure.max() <= 1


@pytest.mark.parametrize("probability", [0.6, 0.75, 0.95])
def test_confidence_is_the_share_of_the_class_that_won(probability: float) -> None:
    painted = fakes.part_map()
    shares = answer(painted, probability)
    somebody = painted != Part.BACKGROUND

    _, sure = compose(shares, figures.skeleton(), body(painted), nobody(painted))

    assert np.abs(sure[somebody] - probability).max() < 1e-6
    assert (sure[:5] == 1).all()


def test_faint_evidence_is_less_sure_of_the_same_parts() -> None:
    painted = fakes.part_map()
    clear = answer(painted)
    faint = clear.copy()
    top = painted == Part.TOP
    faint[:, top] = 0.6 * clear[:, top] + 0.4 / len(CLASSES)

    parts, sure = compose(clear, figures.skeleton(), body(painted), nobody(painted))
    same, fainter = compose(faint, figures.skeleton(), body(painted), nobody(painted))

    assert (same == parts).all()
    assert fainter[top].max() < sure[top].min()
    assert (fainter[~top] == sure[~top]).all()


@pytest.mark.parametrize("seed", range(5))
def test_between_cells_the_winner_is_the_one_that_all_shares_would_give(seed: int) -> None:
    noise = np.random.default_rng(seed).standard_normal((len(CLASSES), 24, 16))
    logits = np.stack([cv2.GaussianBlur(plane, (0, 0), 2) for plane in noise]) * 30
    shares = np.exp(logits - logits.max(0))
    answer = Answer(
        (shares / shares.sum(0)).astype(np.float32), np.array([[0.3, 0, -1], [0, 0.3, 0]])
    )
    spots = anatomy.Points.of(np.ones((80, 60), bool))
    limbs = spots.x > 30

    label, sure = part_map._likeliest(answer, spots, limbs)

    every = answer.at(CLASSES, spots.x, spots.y)
    for least, on in ((part_map.NOBODY, ~limbs), (part_map.NO_LIMB, limbs)):
        expected, shares_of = part_map._winners(every[:, on], least)
        assert (label[on] == expected).mean() > 0.999
        assert np.abs(sure[on] - shares_of).max() < 0.02
    assert len(np.unique(label)) > 5


def test_what_the_parser_said_is_left_as_it_was() -> None:
    painted = figures.with_a_second_person()
    given_shares, outline, others = answer(painted), body(painted), body(painted)
    shares = given_shares.copy()

    compose(given_shares, figures.skeleton(), outline, others)

    assert (given_shares == shares).all()


# Left and right


@pytest.mark.parametrize("painted", [fakes.part_map(), figures.bare_legged(), figures.equipped()])
def test_limbs_are_told_apart_by_the_bones_they_lie_on(painted: PartMap) -> None:
    parts = composed(painted)

    for sides in LIMBS:
        for part in sides:
            if (painted == part).any():
                assert share(parts, painted == part, part) > 0.9
    assert share(parts, painted == Part.TROUSERS, Part.TROUSERS) == 1
    assert share(parts, where(painted, {Part.LEFT_ARM, Part.RIGHT_ARM}), *LEGS) == 0


def test_left_and_right_come_from_the_skeleton_and_change_nothing_else() -> None:
    front = figures.person(figures.bare_legged())
    back = figures.swapped(front)
    given_shares, outline = answer(front.part_map), body(front.part_map)
    none = nobody(front.part_map)

    parts, sure = compose(given_shares, front.skeleton, outline, none)
    swapped, swapped_sure = compose(given_shares, back.skeleton, outline, none)

    assert (without_sides(swapped) == without_sides(parts)).all()
    assert (swapped_sure == sure).all()
    for left, right in LIMBS:
        on_left, on_right = parts == left, parts == right
        assert share(swapped, on_left, right) > 0.97
        assert share(swapped, on_right, left) > 0.97


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
        assert share(parts, painted == hand, hand) > 0.6
        assert share(parts, painted == hand, hand, arm) > 0.95


@pytest.mark.parametrize(("gone", "kept"), [("left", 1), ("right", 0)])
def test_where_one_sides_joints_are_lost_the_limb_is_the_others(gone: str, kept: int) -> None:
    lost = [name for name in figures.JOINTS if name.startswith(gone) and "shoulder" not in name]
    painted = figures.bare_legged()

    parts = composed(painted, figures.skeleton(lost))

    arm, hand, leg, shoe = (sides[kept] for sides in LIMBS)
    assert share(parts, where(painted, ARM_OR_HAND), arm, hand) == 1
    assert share(parts, where(painted, LEGS), leg) == 1
    assert share(parts, where(painted, SHOES), shoe) == 1


# What the skeleton knows better


def test_skin_is_arm_up_to_the_wrist_and_hand_beyond_it() -> None:
    for called in (Part.RIGHT_ARM, Part.RIGHT_HAND):
        painted = fakes.part_map()
        limbs = where(painted, ARM_OR_HAND)
        taken_for = np.where(limbs, np.uint8(called), painted)

        parts = composed(taken_for)

        for sides in LIMBS[:2]:
            for part in sides:
                assert share(parts, painted == part, part) > 0.9


def over_jaw(skeleton: Skeleton) -> Floats:
    over = anatomy.over_jaw(skeleton, *anatomy.grid(figures.SHAPE))
    assert over is not None
    return over


def test_away_from_the_jaw_skin_is_face_above_and_neck_below_whatever_the_parser_says() -> None:
    over = over_jaw(figures.skeleton())
    for called in (Part.FACE, Part.NECK):
        painted = fakes.part_map()
        head = where(painted, {Part.FACE, Part.NECK})

        parts = composed(np.where(head, np.uint8(called), painted))

        assert share(parts, (painted == Part.FACE) & (over > 0.15), Part.FACE) > 0.97
        assert share(parts, (painted == Part.NECK) & (over < -0.15), Part.NECK) > 0.97


def test_at_the_jaw_the_parser_parts_face_and_neck() -> None:
    painted = fakes.part_map()
    close = where(painted, {Part.FACE, Part.NECK}) & (abs(over_jaw(figures.skeleton())) < 0.05)
    assert close.sum() > 20

    for called in (Part.FACE, Part.NECK):
        parts = composed(np.where(close, np.uint8(called), painted))

        assert share(parts, close, called) == 1


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        pytest.param(slice(130, 160), Part.TOP, id="a band about the chest"),
        pytest.param(slice(170, 200), Part.SKIRT, id="a high waist"),
    ],
)
@pytest.mark.parametrize("seen", [Part.SKIRT, Part.TROUSERS], ids=lambda part: part.name)
def test_what_is_worn_on_the_chest_alone_is_a_top(rows: slice, part: Part, seen: Part) -> None:
    painted = fakes.part_map()
    piece = np.zeros(painted.shape, bool)
    piece[rows] = painted[rows] == Part.TOP

    parts = composed(np.where(piece, np.uint8(seen), painted))

    assert share(parts, piece, part if part is Part.TOP else seen) > 0.9


def test_dungarees_stay_in_one_piece() -> None:
    painted = fakes.part_map()
    bib = painted == Part.TOP

    parts = composed(np.where(bib, np.uint8(Part.TROUSERS), painted))

    assert share(parts, bib, Part.TROUSERS) > 0.9


def throat(hair: float, skin: float) -> PartMap:
    """The figure, where the parser sees so much hair and so much neck on its throat."""
    painted = fakes.part_map()
    shares = answer(painted)
    neck = painted == Part.NECK
    shares[:, neck] = (1 - hair - skin) / (len(CLASSES) - 2)
    shares[Class.HAIR, neck] = hair
    shares[Class.NECK, neck] = skin
    return compose(shares, figures.skeleton(), body(painted), nobody(painted))[0]


def test_a_shadow_on_the_throat_is_no_hair() -> None:
    neck = fakes.part_map() == Part.NECK

    assert share(throat(hair=0.7, skin=0.25), neck, Part.NECK) > 0.8
    assert share(throat(hair=0.9, skin=0.05), neck, Part.HAIR) == 1


def test_hair_beside_the_throat_stays_hair() -> None:
    painted = fakes.part_map()
    beside = np.zeros(figures.SHAPE, bool)
    beside[90:130, 105:120] = True
    painted[beside] = Part.HAIR

    assert share(composed(painted), beside, Part.HAIR) == 1


@pytest.mark.parametrize("called", [Part.TROUSERS, Part.LEGWEAR])
def test_what_covers_the_leg_is_no_shoe(called: Part) -> None:
    painted = fakes.part_map()
    covered = painted == Part.TROUSERS
    painted[covered] = called

    assert share(composed(painted), covered, called) > 0.97


@pytest.mark.parametrize(
    ("called", "shoe", "kept"),
    [
        pytest.param(Class.TROUSERS, 0.001, False, id="trousers"),
        pytest.param(Class.LEGWEAR, 0.2, False, id="perhaps a stocking"),
        pytest.param(Class.LEGWEAR, 0.001, True, id="surely a stocking"),
    ],
)
def test_what_covers_a_foot_is_its_shoe_unless_it_is_surely_a_stocking(
    called: Class, shoe: float, kept: bool
) -> None:
    painted = fakes.part_map()
    feet = where(painted, SHOES)
    shares = answer(painted)
    shares[:, feet] = 0.001
    shares[called, feet], shares[Class.SHOE, feet] = 0.97 - shoe, shoe

    parts = compose(shares, figures.skeleton(), body(painted), nobody(painted))[0]

    for side in LIMBS[3]:
        meant = PARTS[called] if kept else side
        assert share(parts, painted == side, meant) > 0.8


@pytest.mark.parametrize("side", ["left", "right"])
def test_about_the_ankle_what_may_be_skin_or_shoe_is_skin(side: str) -> None:
    painted, skeleton = figures.bare_legged(), figures.skeleton()
    shares = answer(painted)
    legs = where(painted, LEGS | SHOES)
    shares[:, legs] = 0.001
    shares[Class.LEG, legs], shares[Class.SHOE, legs] = 0.27, 0.71

    parts = compose(shares, skeleton, body(painted), nobody(painted))[0]

    leg, shoe = Part[f"{side}_leg".upper()], Part[f"{side}_shoe".upper()]
    assert parts[along(skeleton, f"{side}_knee", f"{side}_ankle", 0.99)] == leg
    assert parts[along(skeleton, f"{side}_knee", f"{side}_ankle", 0.5)] == shoe
    assert parts[along(skeleton, f"{side}_heel", f"{side}_big_toe", 0.9)] == shoe


# Somebody else, and nobody


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
    assert share(parts, scene == Part.TOP, Part.TOP) == 1


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
    """A coat on the wall."""
    painted = fakes.part_map()
    with_coat = painted.copy()
    cv2.rectangle(with_coat, (2, 20), (30, 90), int(Part.OUTERWEAR), -1)

    parts, _ = compose(answer(with_coat), figures.skeleton(), body(painted), nobody(painted))

    assert (parts == composed(painted)).all()


def test_what_the_outline_misses_near_the_person_is_still_the_persons() -> None:
    """It is coarse, and does not know wide skirts."""
    painted = figures.in_a_long_dress()
    outline = np.asarray(cv2.erode(body(painted), np.ones((9, 9), np.uint8)), np.float32)

    parts, _ = compose(answer(painted), figures.skeleton(), outline, nobody(painted))

    assert share(parts, painted == Part.DRESS, Part.DRESS) > 0.999


@pytest.mark.parametrize(
    ("background", "dress", "top", "seen"),
    [
        (0.5, 0.45, 0.05, Part.BACKGROUND),
        (0.4, 0.28, 0.32, Part.DRESS),
        (0.4, 0.05, 0.55, Part.TOP),
    ],
)
def test_the_classes_weights_move_the_borders_between_them_and_no_outline(
    background: float, dress: float, top: float, seen: Part
) -> None:
    painted = fakes.part_map()
    shares = answer(painted)
    chest = (150, 150)
    assert painted[chest] == Part.TOP
    shares[:, *chest] = 0
    for cls, value in zip(
        (Class.BACKGROUND, Class.DRESS, Class.TOP), (background, dress, top), strict=True
    ):
        shares[cls, *chest] = value

    parts, _ = compose(shares, figures.skeleton(), body(painted), nobody(painted))

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
    shares, outline = answer(painted), body(painted)
    forearm = along(figures.skeleton(), "left_elbow", "left_wrist", 0.5)
    shares[:, *forearm] = 0
    shares[Class.BACKGROUND, *forearm] = background
    shares[Class.ARM, *forearm] = 1 - background
    outline[forearm] = outlined

    parts, _ = compose(shares, figures.skeleton(), outline, nobody(painted))

    assert parts[forearm] == seen


# A top, or worn below?


def test_a_top_that_may_be_a_dress_is_perhaps_worn_below() -> None:
    parts = np.array([[Part.TOP, Part.OUTERWEAR, Part.TOP, Part.DRESS, Part.LEFT_HAND]], np.uint8)
    shares = np.zeros((len(CLASSES), *parts.shape), np.float32)
    shares[Class.DRESS] = [[0.15, 0.25, 0.1, 0.9, 0.3]]
    shares[Class.SKIRT] = [[0.1, 0.0, 0.05, 0.0, 0.0]]

    assert perhaps_lower(parts, Answer(shares, np.eye(2, 3))).tolist() == [
        [True, True, False, False, False]
    ]


def test_where_the_parser_sees_nobody_there_is_nobody() -> None:
    """Whatever the pose model's outline says."""
    empty = np.zeros(figures.SHAPE, np.uint8)

    shares = answer(empty, sure=0.99)

    parts, _ = compose(shares, figures.skeleton(), body(fakes.part_map()), nobody(empty))

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
    for group, more in (
        (HEAD | {Part.NECK}, set()),
        (ARM_OR_HAND, set()),
        (LEGS | SHOES, set()),
        ({Part.TOP}, set()),
        ({Part.DRESS}, set()),
        ({Part.TROUSERS}, SHOES),
    ):
        assert where(parts, {*group, *more})[where(painted, group)].all()
