"""Labels that name parts of the body, but no garments: learnt from as sets of classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from tests import figures

from tryon_masks.vision.compact.classes import CLASSES, Class

torch = pytest.importorskip("torch", reason="the training's environment is not this one")

from models.garment_parser import data, partial, train  # noqa: E402
from models.garment_parser.evaluate import AllowedAccuracy  # noqa: E402

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]


def logits_for(cls: Class, height: int = 1, width: int = 1) -> Any:
    logits = torch.zeros(1, len(CLASSES), height, width)
    logits[0, cls] = 9
    return logits


def tables(outfit: frozenset[Class] | None = None) -> Any:
    return torch.from_numpy(partial.allowed() * data.outfit_factors(outfit))[None]


def loss(cls: Class, label: int, outfit: frozenset[Class] | None = None) -> float:
    labels = torch.full((1, 1, 1), label)
    return float(train.partial_loss(logits_for(cls), labels, tables(outfit)))


@pytest.mark.parametrize("worn", [Class.LEG, Class.TROUSERS, Class.SKIRT, Class.OUTERWEAR])
def test_a_thigh_may_be_anything_that_is_worn_on_it(worn: Class) -> None:
    weight = partial.SETS[partial.UPPER_LEG][worn]

    assert loss(worn, partial.UPPER_LEG) == pytest.approx(-np.log(weight), abs=0.01)


def test_a_dress_is_not_the_cheapest_answer_everywhere() -> None:
    for label, likelier in (
        (partial.TORSO, Class.TOP),
        (partial.UPPER_ARM, Class.TOP),
        (partial.UPPER_LEG, Class.TROUSERS),
        (partial.LOWER_LEG, Class.TROUSERS),
    ):
        assert loss(Class.DRESS, label) > loss(likelier, label) + 1


@pytest.mark.parametrize("other", [Class.BACKGROUND, Class.FACE, Class.HAND, Class.SHOE])
def test_and_nothing_else(other: Class) -> None:
    assert loss(other, partial.UPPER_LEG) > 3


def test_an_outfit_says_which_of_the_garments_it_can_be() -> None:
    jeans = frozenset({Class.TOP, Class.TROUSERS})

    assert loss(Class.DRESS, partial.UPPER_LEG, jeans) > loss(Class.DRESS, partial.UPPER_LEG) + 3
    assert loss(Class.TROUSERS, partial.UPPER_LEG, jeans) < 0.01
    assert loss(Class.DRESS, partial.UPPER_LEG, frozenset({Class.DRESS})) < 0.2


def test_an_outfit_says_nothing_of_hair_and_hands() -> None:
    factors = data.outfit_factors(frozenset())

    assert factors[[Class.BACKGROUND, Class.HAIR, Class.HAND, Class.SHOE]].tolist() == [1, 1, 1, 1]
    assert data.outfit_factors(None).tolist() == [1] * len(CLASSES)


def test_every_outfit_is_written_in_known_letters() -> None:
    outfits = json.loads(partial.OUTFITS.read_text())

    assert len(outfits) > 1000
    assert set("".join(outfits.values())) <= set(partial.LETTERS)


def test_a_bag_is_unlikely_outside_of_what_is_outlined() -> None:
    factors = data.outfit_factors(None, outlined=True)

    assert factors[Class.BAG] == pytest.approx(data.NOT_CARRIED)
    assert np.delete(factors, Class.BAG).tolist() == [1] * (len(CLASSES) - 1)


def test_an_outline_labels_what_is_inside_and_nothing_along_its_edge() -> None:
    labels = np.full((100, 100), partial.TORSO, np.uint8)

    data.outline_piece(labels, Class.BAG, [[20, 20], [60, 20], [60, 60], [20, 60]])

    assert labels[40, 40] == Class.BAG
    assert labels[40, 20] == labels[60, 40] == data.IGNORE
    assert labels[40, 70] == labels[10, 10] == partial.TORSO


def test_an_outline_reaches_the_frame() -> None:
    labels = np.full((100, 100), partial.TORSO, np.uint8)

    data.outline_piece(labels, Class.TROUSERS, [[0, 50], [100, 50], [100, 100], [0, 100]])

    assert labels[99, 0] == labels[99, 50] == labels[70, 99] == Class.TROUSERS


def test_the_later_outline_lies_over_the_earlier_one() -> None:
    labels = np.full((100, 100), partial.TORSO, np.uint8)

    data.outline_piece(labels, Class.TROUSERS, [[0, 0], [100, 0], [100, 100], [0, 100]])
    data.outline_piece(labels, Class.HAND, [[40, 40], [60, 40], [60, 60], [40, 60]])

    assert labels[50, 50] == Class.HAND
    assert labels[50, 40] == data.IGNORE
    assert labels[50, 20] == Class.TROUSERS


def test_every_outline_can_be_drawn_and_is_of_no_validation_photo() -> None:
    carried = json.loads(partial.CARRIED.read_text())
    corrected = json.loads(data.CORRECTED.read_text())
    polygons = [polygon for pieces in carried.values() for polygon in pieces]
    polygons += [polygon for pieces in corrected.values() for _, polygon in pieces]
    names = {cls for pieces in corrected.values() for cls, _ in pieces}

    assert len(polygons) > 400
    assert all(len(polygon) >= 3 for polygon in polygons)
    assert all(0 <= value <= 100 for polygon in polygons for corner in polygon for value in corner)
    assert names <= {cls.name.lower() for cls in CLASSES}
    street = {name for name in corrected if name.startswith("ccp/")}
    assert not [name for name in street if name.endswith(data.VALIDATION)]
    # Photos of Clothing Co-Parsing without labels count from 1005; none of them is validation.
    unlabelled = {name for name in corrected if name.isdigit() and int(name) >= 1005}
    others = {*carried, *corrected} - street - unlabelled
    assert not [name for name in others if name.endswith(partial.VALIDATION)]


def test_a_label_of_an_earlier_parser_is_corrected_where_somebody_saw_it_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skeleton = figures.skeleton()
    points = {name: [k.x, k.y, k.score] for name, k in skeleton.keypoints.items()}
    shape = figures.person().part_map.shape
    for folder in ("ccp/unlabelled", "people", "pseudo"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "people/people.json").write_text(
        json.dumps({f"{name}.jpg": {"points": points} for name in ("1005", "1006")})
    )
    for name in ("1005", "1006"):
        Image.new("RGB", shape[::-1]).save(tmp_path / f"ccp/unlabelled/{name}.jpg")
        Image.fromarray(np.full(shape, 255, np.uint8)).save(tmp_path / f"people/{name}.png")
        top = np.full(shape, Class.TOP, np.uint8)
        Image.fromarray(top).save(tmp_path / f"pseudo/{name}.png")
    corrected = {"1005": [["bag", [[20, 20], [60, 20], [60, 60], [20, 60]]]]}
    (tmp_path / "corrected.json").write_text(json.dumps(corrected))
    monkeypatch.setattr(data, "CORRECTED", tmp_path / "corrected.json")

    one, other = data.pseudo_labelled(*(tmp_path / name for name in ("ccp", "people", "pseudo")))

    assert one.checked
    assert one.labels[shape[0] * 2 // 5, shape[1] * 2 // 5] == Class.BAG
    assert one.labels[5, 5] == Class.TOP
    assert not other.checked
    assert (other.labels == Class.TOP).all()


def test_what_nobody_knows_costs_nothing() -> None:
    assert loss(Class.FACE, data.IGNORE) == 0


def test_the_teacher_names_the_garment_among_those_that_are_allowed() -> None:
    labels = torch.full((1, 1, 1), partial.UPPER_LEG)
    coat = torch.zeros(1, len(CLASSES), 1, 1)
    coat[0, [Class.BACKGROUND, Class.SKIRT]] = torch.tensor([[[0.6]], [[0.4]]])

    found = {
        worn: float(train.partial_distillation_loss(logits_for(worn), coat, labels, tables()))
        for worn in (Class.SKIRT, Class.TROUSERS)
    }

    assert found[Class.SKIRT] < 0.01
    assert found[Class.TROUSERS] > 3


def test_a_batch_without_an_exact_label_still_has_a_loss() -> None:
    labels = torch.full((1, 1, 1), partial.TORSO)

    assert np.isfinite(loss(Class.TOP, int(labels[0, 0, 0])))
    assert not (labels < train.FIRST_PARTIAL_LABEL).any()


def test_accuracy_counts_the_likeliest_class_against_the_set() -> None:
    tally = AllowedAccuracy()
    labels = np.array([[partial.HEAD, partial.HEAD, partial.TORSO, data.IGNORE]], np.uint8)
    probabilities = np.zeros((len(CLASSES), 1, 4), np.float32)
    for x, cls in enumerate((Class.FACE, Class.TOP, Class.DRESS, Class.BAG)):
        probabilities[cls, 0, x] = 1

    tally.add(labels, probabilities)

    assert tally.accuracy() == {"head": 0.5, "torso": 1.0}


def test_the_figure_of_a_cut_out_is_all_but_the_black_around_it() -> None:
    rgb = np.zeros((60, 60, 3), np.uint8)
    rgb[10:50, 20:40] = 200
    rgb[28:31, 28:31] = 0  # black print on the shirt

    figure = partial.silhouette(rgb)

    assert figure[10:50, 20:40].all()
    assert not figure[:9].any()
    assert not figure[:, :19].any()


def test_the_border_between_two_labels_is_not_learnt() -> None:
    labels = np.array([[1, 1, 1, 2, 2, 2]] * 3, np.uint8)

    assert partial.without_borders(labels)[1].tolist() == [1, 1, 255, 255, 2, 2]


def test_a_dyed_garment_has_the_colours_of_another_and_all_else_stays() -> None:
    painted = figures.classes(figures.equipped())
    rgb = np.full((*painted.shape, 3), 90, np.uint8)
    rgb[painted == Class.TOP] = (200, 30, 30)
    rgb[painted == Class.TROUSERS] = (20, 40, 160)
    nobody = np.zeros(painted.shape, np.uint8)
    skeleton = figures.skeleton()
    example = data.Example("x", rgb, painted, nobody, skeleton, data.body_box(painted, skeleton))

    dyed = data.dye_garment(example, np.random.default_rng(0))

    near = cv2.dilate(np.isin(painted, data.DYED).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    changed = np.abs(dyed.rgb.astype(int) - rgb).max(2)
    assert changed[near].max() > 40
    assert changed[~near].max() <= 4  # there and back through another colour space
    assert (dyed.labels == painted).all()


def write_people(folder: Path, names: list[str], photo: Image.Image, labels: str) -> None:
    for one in ("photos", labels, "people"):
        (folder / one).mkdir()
    points = {name: [k.x, k.y, k.score] for name, k in figures.skeleton().keypoints.items()}
    for name in names:
        photo.save(folder / "photos" / f"{name}.jpg", quality=100, subsampling=0)
        Image.new("L", photo.size, 2).save(folder / labels / f"{name}.png")
        Image.new("L", photo.size, 255).save(folder / "people" / f"{name}.png")
    about = {name: {"box": [0, 0, *photo.size], "points": points} for name in names}
    (folder / "people" / "people.json").write_text(json.dumps(about))


def test_validation_photos_are_those_whose_name_ends_in_3_or_8(tmp_path: Path) -> None:
    photo = Image.new("RGB", (160, 360), (90, 90, 90))
    write_people(tmp_path, ["2008_000003", "2008_000004", "2008_000008"], photo, "labels")

    learnt = partial.body_parts(tmp_path, tmp_path / "people", validation=False)
    held_back = partial.body_parts(tmp_path, tmp_path / "people", validation=True)

    assert [one.name for one in learnt] == ["2008_000004"]
    assert [one.name for one in held_back] == ["2008_000003", "2008_000008"]


def test_a_black_gap_in_a_cut_out_is_neither_cloth_nor_ground(tmp_path: Path) -> None:
    rgb = np.zeros((360, 160, 3), np.uint8)
    rgb[40:320, 40:120] = 200
    rgb[100:120, 50:60] = 0
    write_people(tmp_path, ["x1"], Image.fromarray(rgb), "skin")

    (example,) = partial.skin_labels(tmp_path, tmp_path / "people", validation=False)

    assert np.unique(example.labels[102:118, 52:58]).tolist() == [data.IGNORE]
    assert np.unique(example.labels[150:300, 50:110]).tolist() == [partial.NO_SKIN]
    assert np.unique(example.labels[:30]).tolist() == [Class.BACKGROUND]
