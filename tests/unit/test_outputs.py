"""Parse maps, keypoints, agnostic pictures, and the way to a target's grid and back."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests import fakes

from tryon_masks.domain.errors import CropCutsMask, InvalidRequest
from tryon_masks.domain.parts import Part
from tryon_masks.domain.skeleton import Keypoint, Skeleton
from tryon_masks.outputs.agnostic import agnostic, agnostic_rgba
from tryon_masks.outputs.openpose import (
    COLOURS,
    JOINTS,
    LIMBS,
    PoseOrder,
    drawing,
    named_json,
    openpose_json,
)
from tryon_masks.outputs.parse_maps import (
    LABELS,
    NEAREST_PARTS,
    PALETTES,
    SHARED_LABELS,
    LabelSet,
    ParseMap,
    parse_map,
    without_upper,
)
from tryon_masks.outputs.paste import paste
from tryon_masks.outputs.transform import Fit, Transform, fitted

NO_COUNTERPART = {
    LabelSet.LIP: {"NECK", "TORSO_SKIN", "BAG", "OTHER_PERSON", "BACKGROUND"},
    LabelSet.ATR: {"OTHER_PERSON", "BACKGROUND"},
    LabelSet.VITON_HD: {"BAG", "OTHER_PERSON", "BACKGROUND"},
}


def row(*parts: int) -> NDArray[np.uint8]:
    return np.array([parts], np.uint8)


@pytest.mark.parametrize("label_set", LabelSet)
def test_every_class_that_both_have_keeps_a_number_of_its_own(label_set: LabelSet) -> None:
    numbers = SHARED_LABELS[label_set]

    (labels,) = parse_map(row(0, *numbers), label_set).labels.tolist()

    assert labels == [0, *numbers.values()]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("label_set", LabelSet)
def test_every_part_has_a_label_a_neighbour_or_none(label_set: LabelSet) -> None:
    named = {part.name for part in (*LABELS[label_set], *NEAREST_PARTS[label_set])}

    assert {part.name for part in Part} - named == NO_COUNTERPART[label_set]


@pytest.mark.parametrize(
    ("label_set", "part", "number"),
    [
        (LabelSet.LIP, Part.OUTERWEAR, 7),
        (LabelSet.LIP, Part.TROUSERS, 9),
        (LabelSet.LIP, Part.LEFT_HAND, 14),
        (LabelSet.LIP, Part.NECK, 0),
        (LabelSet.VITON_HD, Part.NECK, 10),
        (LabelSet.VITON_HD, Part.TORSO_SKIN, 10),
        (LabelSet.VITON_HD, Part.FACE, 13),
        (LabelSet.ATR, Part.OUTERWEAR, 4),
        (LabelSet.ATR, Part.NECK, 11),
        (LabelSet.ATR, Part.TORSO_SKIN, 11),
        (LabelSet.ATR, Part.BAG, 16),
        (LabelSet.ATR, Part.RIGHT_HAND, 15),
    ],
)
def test_numbers_of_parts(label_set: LabelSet, part: Part, number: int) -> None:
    assert parse_map(row(part), label_set).labels.tolist() == [[number]]


def test_a_belt_is_the_garment_it_lies_on_where_belts_have_no_number() -> None:
    parts = row(Part.FACE, Part.DRESS, Part.BELT, Part.DRESS, 0, Part.TROUSERS)

    assert parse_map(parts, LabelSet.LIP).labels.tolist() == [[13, 6, 6, 6, 0, 9]]
    assert parse_map(parts, LabelSet.ATR).labels.tolist() == [[11, 7, 8, 7, 0, 6]]


def test_a_belt_without_a_garment_is_nothing() -> None:
    assert parse_map(row(Part.FACE, Part.BELT), LabelSet.LIP).labels.tolist() == [[13, 0]]


@pytest.mark.parametrize(
    ("label_set", "palette"),
    [
        (
            LabelSet.LIP,
            "0,0,0 128,0,0 255,0,0 0,85,0 170,0,51 255,85,0 0,0,85 0,119,221 85,85,0 0,85,85 "
            "85,51,0 52,86,128 0,128,0 0,0,255 51,170,221 0,255,255 85,255,170 170,255,85 "
            "255,255,0 255,170,0",
        ),
        (
            LabelSet.ATR,
            "0,0,0 128,0,0 0,128,0 128,128,0 0,0,128 128,0,128 0,128,128 128,128,128 64,0,0 "
            "192,0,0 64,128,0 192,128,0 64,0,128 192,0,128 64,128,128 192,128,128 0,64,0 128,64,0",
        ),
    ],
)
def test_palettes_entry_by_entry(label_set: LabelSet, palette: str) -> None:
    wanted = [tuple(map(int, entry.split(","))) for entry in palette.split()]
    file = ParseMap(np.arange(len(wanted), dtype=np.uint8)[None], label_set).png()

    image = Image.open(io.BytesIO(file.data))

    assert list(PALETTES[label_set]) == wanted
    assert image.mode == "P"
    assert np.array(image).tolist() == [list(range(len(wanted)))]
    assert [tuple(pixel) for pixel in np.array(image.convert("RGB"))[0].tolist()] == wanted


def test_viton_hd_has_lips_palette() -> None:
    assert PALETTES[LabelSet.VITON_HD] == PALETTES[LabelSet.LIP]


def test_an_agnostic_parse_map_keeps_arms_outside_the_mask() -> None:
    parse = ParseMap(row(5, 6, 7, 10, 14, 15, 14, 13, 9), LabelSet.VITON_HD)
    mask = row(0, 0, 0, 0, 255, 255, 0, 255, 255)

    assert without_upper(parse, mask).labels.tolist() == [[0, 0, 0, 0, 0, 0, 14, 13, 9]]


def test_agnostic_pictures() -> None:
    rgb = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    mask = row(0, 255)

    assert agnostic(rgb, mask).tolist() == [[[1, 2, 3], [128, 128, 128]]]
    assert agnostic(rgb, mask, 127)[0, 1].tolist() == [127, 127, 127]
    assert agnostic_rgba(rgb, mask).tolist() == [[[1, 2, 3, 255], [4, 5, 6, 0]]]


# Keypoints


def seen(**points: tuple[float, float, float]) -> Skeleton:
    return Skeleton({name: Keypoint(*values) for name, values in points.items()})


def test_body_25_has_a_neck_a_mid_hip_and_zeros_where_a_joint_is_missing() -> None:
    skeleton = seen(
        left_shoulder=(10, 20, 0.9),
        right_shoulder=(30, 40, 0.7),
        left_hip=(12, 80, 0.8),
        right_hip=(28, 84, 0.6),
        left_heel=(13, 99, 0.9),
        nose=(1, 1, 0.2),
    )

    (person,) = openpose_json(skeleton, PoseOrder.BODY_25)["people"]
    triples = np.reshape(person["pose_keypoints_2d"], (25, 3)).tolist()

    assert triples[0] == [0, 0, 0]
    assert triples[1] == [20, 30, 0.7]
    assert triples[2] == [30, 40, 0.7]
    assert triples[5] == [10, 20, 0.9]
    assert triples[8] == [20, 82, 0.6]
    assert (triples[9], triples[12]) == ([28, 84, 0.6], [12, 80, 0.8])
    assert triples[21] == [13, 99, 0.9]
    assert sum(score > 0 for _, _, score in triples) == 7


def test_coco_18_has_the_hips_one_place_earlier() -> None:
    skeleton = seen(right_hip=(28, 84, 0.6), left_hip=(12, 80, 0.8), left_ear=(5, 6, 0.9))

    (person,) = openpose_json(skeleton, PoseOrder.COCO_18)["people"]
    triples = np.reshape(person["pose_keypoints_2d"], (18, 3)).tolist()

    assert triples[8] == [28, 84, 0.6]
    assert triples[11] == [12, 80, 0.8]
    assert triples[17] == [5, 6, 0.9]


def test_a_public_reader_finds_the_joints_where_they_are() -> None:
    """It is none of the tests' needs: ``pip install pose-format``."""
    reader = pytest.importorskip("pose_format.utils.openpose")
    skeleton = seen(nose=(10, 20, 0.9), right_hip=(28, 84, 0.6), left_big_toe=(5, 99, 0.8))

    body = reader.load_openpose({0: openpose_json(skeleton, PoseOrder.BODY_25)}).body

    for name, point in (("Nose", (10, 20)), ("RHip", (28, 84)), ("LBigToe", (5, 99))):
        assert tuple(body.data[0, 0, reader.BODY_POINTS.index(name)]) == point
    assert (body.confidence > 0).sum() == 3


def test_hands_where_a_knuckle_is_seen() -> None:
    skeleton = seen(left_wrist=(1, 2, 0.9), left_index=(3, 4, 0.8), right_wrist=(5, 6, 0.9))

    (person,) = openpose_json(skeleton, PoseOrder.COCO_18)["people"]
    left = np.reshape(person["hand_left_keypoints_2d"], (21, 3)).tolist()

    assert left[0] == [1, 2, 0.9]
    assert left[5] == [3, 4, 0.8]
    assert sum(score > 0 for _, _, score in left) == 2
    assert person["hand_right_keypoints_2d"] == []
    assert person["face_keypoints_2d"] == []


def test_named_keypoints_are_those_that_are_seen() -> None:
    skeleton = seen(nose=(1.234, 5, 0.9), left_eye=(1, 1, 0.3))

    assert named_json(skeleton, (30, 40)) == {
        "width": 30,
        "height": 40,
        "keypoints": {"nose": [1.23, 5, 0.9]},
    }


@pytest.mark.parametrize("order", PoseOrder)
def test_tables_fit_each_other(order: PoseOrder) -> None:
    count = len(JOINTS[order])

    assert count == (18 if order is PoseOrder.COCO_18 else 25)
    assert len(COLOURS[order]) == count
    assert len(LIMBS[order]) == (17 if order is PoseOrder.COCO_18 else 24)
    assert {joint for limb in LIMBS[order] for joint in limb} <= set(range(count))


def test_the_first_limb_of_dwpose_is_red_and_dim_its_joints_bright() -> None:
    skeleton = seen(left_shoulder=(80, 50, 0.9), right_shoulder=(20, 50, 0.9))

    picture = drawing(skeleton, (100, 100))

    assert picture[50, 35].tolist() == [153, 0, 0]
    assert picture[50, 65].tolist() == [153, 51, 0]
    assert picture[50, 20].tolist() == [255, 170, 0]
    assert picture[50, 50].tolist() == [255, 85, 0]
    assert picture[90, 50].tolist() == [0, 0, 0]


def test_body_25_colours_a_limb_like_its_farther_joint() -> None:
    skeleton = seen(right_shoulder=(20, 20, 0.9), right_elbow=(20, 80, 0.9))

    picture = drawing(skeleton, (100, 100), PoseOrder.BODY_25)

    assert picture[50, 20].tolist() == [153, 102, 0]


# To a target's grid and back


def stripes(width: int, height: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(7)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def test_a_crop_is_of_the_targets_aspect_and_from_the_middle() -> None:
    wide = Transform.cropped((900, 600), (768, 1024), (300, 100, 600, 500))
    tall = Transform.cropped((600, 1200), (3, 4), (0, 300, 600, 900))

    assert wide.crop == (225, 0, 675, 600)
    assert tall.crop == (0, 200, 600, 1000)


def test_a_crop_moves_as_far_as_the_mask_needs() -> None:
    assert Transform.cropped((900, 600), (3, 4), (100, 10, 300, 590)).crop == (100, 0, 550, 600)
    assert Transform.cropped((900, 600), (3, 4), (600, 10, 800, 590)).crop == (350, 0, 800, 600)


def test_a_mask_wider_than_any_crop_is_refused() -> None:
    with pytest.raises(CropCutsMask):
        Transform.cropped((900, 600), (3, 4), (100, 10, 600, 590))


def test_a_pad_keeps_the_aspect() -> None:
    transform = Transform.padded((300, 100), (768, 1024))

    assert transform.content == (0, 384, 768, 640)
    picture = transform.picture(np.zeros((100, 300, 3), np.uint8), 255)
    assert picture.shape == (1024, 768, 3)
    assert np.unique(picture[:384]).tolist() == [255]
    assert np.unique(picture[384:640]).tolist() == [0]
    assert np.unique(transform.mask(np.full((100, 300), 255, np.uint8))[:384]).tolist() == [0]


def test_keypoints_follow_the_picture() -> None:
    transform = Transform((200, 100), (50, 0, 150, 100), (300, 200), (0, 10, 300, 190))

    point = transform.skeleton(seen(nose=(100, 50, 0.9))).get("nose")

    assert point == pytest.approx((150, 100))


def test_labels_on_the_same_grid_are_the_same() -> None:
    labels = fakes.part_map()

    same = Transform.identity((fakes.WIDTH, fakes.HEIGHT)).labels(labels)

    assert np.array_equal(same, labels)


@pytest.mark.parametrize("factor", [2, 4])
def test_enlarged_labels_are_those_there_were_and_lie_where_they_lay(factor: int) -> None:
    labels = np.zeros((40, 30), np.uint8)
    labels[10:30, 5:25] = 9
    labels[20:30, 5:25] = 200
    photo = (30 * factor, 40 * factor)

    large = Transform.identity(photo).labels(labels)

    assert set(np.unique(large).tolist()) == {0, 9, 200}
    inside = large[12 * factor : 18 * factor, 7 * factor : 23 * factor]
    assert np.unique(inside).tolist() == [9]
    columns = np.flatnonzero(large[15 * factor] == 9)
    assert (columns[0], columns[-1]) == (5 * factor, 25 * factor - 1)


def test_labels_follow_a_crop() -> None:
    labels = np.zeros((50, 100), np.uint8)
    labels[:, 50:] = 7
    transform = Transform((200, 100), (50, 0, 150, 100), (100, 100), (0, 0, 100, 100))

    cut = transform.labels(labels)

    assert np.unique(cut[:, :49]).tolist() == [0]
    assert np.unique(cut[:, 51:]).tolist() == [7]


@pytest.mark.parametrize("fit", Fit)
def test_a_transform_survives_json(fit: Fit) -> None:
    mask = np.zeros((90, 70), np.uint8)
    mask[30:40, 30:40] = 255
    transform = fitted(fit, (70, 90), (384, 512), mask)

    assert Transform.from_json(transform.as_json()) == transform


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"photo": [1]},
        {"size": "768"},
        {"crop": [0, 0, 71, 90]},
        {"content": [5, 0, 5, 512]},
        {"crop": [0.5, 0, 70, 90]},
    ],
)
def test_other_json_is_no_transform(change: dict[str, Any]) -> None:
    given = {**Transform.stretched((70, 90), (384, 512)).as_json(), **change}

    with pytest.raises(InvalidRequest):
        Transform.from_json(given)


def test_a_list_is_no_transform() -> None:
    with pytest.raises(InvalidRequest):
        Transform.from_json([1, 2])


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("size", [(96, 128), (768, 1024)])
def test_what_came_back_unchanged_is_the_photo(fit: Fit, size: tuple[int, int]) -> None:
    photo = stripes(96, 128)
    mask = np.zeros((128, 96), np.uint8)
    mask[40:90, 30:60] = 255
    transform = fitted(fit, (96, 128), size, mask)
    result = transform.picture(photo, 255)

    pasted = paste(photo, result, transform.mask(mask), transform)

    away = np.abs(pasted.astype(int) - photo)
    assert away[mask == 0].max() == 0
    if size == (96, 128):
        assert away.max() <= 1


@pytest.mark.parametrize("fit", Fit)
def test_only_what_is_masked_changes(fit: Fit) -> None:
    photo = stripes(200, 300)
    mask = np.zeros((300, 200), np.uint8)
    mask[100:200, 60:140] = 255
    transform = fitted(fit, (200, 300), (768, 1024), mask)
    result = np.full_like(transform.picture(photo, 255), 255)

    pasted = paste(photo, result, mask, transform)

    assert np.array_equal(pasted[mask == 0], photo[mask == 0])
    assert np.unique(pasted[110:190, 70:130]).tolist() == [255]


def test_a_result_of_the_photos_own_size_is_pasted_as_it_is() -> None:
    photo, mask = stripes(30, 40), np.full((40, 30), 255, np.uint8)
    transform = Transform.padded((30, 40), (500, 500))

    pasted = paste(photo, np.zeros_like(photo), mask, transform)

    assert pasted[20, 15].tolist() == [0, 0, 0]


def test_a_result_of_another_size_is_no_result() -> None:
    photo, mask = stripes(30, 40), np.zeros((40, 30), np.uint8)
    transform = Transform.stretched((30, 40), (60, 80))

    with pytest.raises(InvalidRequest, match="result has 31 x 40 pixels"):
        paste(photo, np.zeros((40, 31, 3), np.uint8), mask, transform)
    with pytest.raises(InvalidRequest, match="photo does not"):
        paste(photo, photo, mask, replace(transform, photo=(31, 40)))
