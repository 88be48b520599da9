"""A test a target: what each model's own loader reads, as the facts have it."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests import fakes
from tests.figures import make_mask

from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.masks import Mask
from tryon_masks.domain.person import Person
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.outputs.layouts import CATEGORIES, LayoutName, Tree
from tryon_masks.outputs.parse_maps import ATR_PALETTE, LIP_PALETTE
from tryon_masks.outputs.parsed_photo import ParsedPhoto
from tryon_masks.outputs.targets import TARGETS, TargetFiles, TargetName, target_files


def person() -> Person:
    part_map = fakes.part_map()
    ones = np.ones(part_map.shape, np.float32)
    return Person(fakes.BOX, 0.9, fakes.skeleton(), part_map, ones)


def parsed() -> ParsedPhoto:
    photo = Image.open(io.BytesIO(fakes.photo(width=900, height=1200, format="PNG")))
    return ParsedPhoto(np.array(photo.convert("RGB")), person())


def mask(kind: MaskKind) -> Mask:
    return make_mask(person(), kind, Profile.BODY, Expand())


def files(name: TargetName, kind: MaskKind = MaskKind.UPPER, wide: bool = False) -> TargetFiles:
    seen = parsed()
    if wide:
        # The same figure in the middle of a wide ground.
        ground = np.full((1200, 1800, 3), 200, np.uint8)
        ground[:, 450:1350] = seen.rgb
        parts = np.pad(person().part_map, ((0, 0), (150, 150)))
        moved = Person(
            fakes.BOX,
            0.9,
            fakes.skeleton().moved(150, 0),
            parts,
            np.ones(parts.shape, np.float32),
        )
        seen = ParsedPhoto(ground, moved)
        made = make_mask(moved, kind, Profile.BODY, Expand())
    else:
        made = mask(kind)
    return target_files(seen, made, name, "anna")


def read(made: TargetFiles, path: str) -> NDArray[np.uint8]:
    return np.array(Image.open(io.BytesIO(made.files[path].data)))


def mode(made: TargetFiles, path: str) -> str:
    return Image.open(io.BytesIO(made.files[path].data)).mode


def is_mask(pixels: NDArray[np.uint8], width: int, height: int) -> bool:
    """One channel, 8 bits, nothing but 0 and 255, of that size."""
    values = np.unique(pixels).tolist()
    return pixels.shape == (height, width) and pixels.dtype == np.uint8 and values == [0, 255]


def chest_is_white(made: TargetFiles, pixels: NDArray[np.uint8]) -> bool:
    """White is what is repainted: the chest; black is what is kept: the face."""
    shoulders = made.transform.skeleton(parsed().skeleton).neck_base
    nose = made.transform.skeleton(parsed().skeleton).get("nose")
    assert shoulders is not None
    assert nose is not None
    x, y = round(shoulders[0]), round(shoulders[1])
    return bool(pixels[y + 60, x] == 255 and pixels[round(nose[1]), round(nose[0])] == 0)


def first_limb(made: TargetFiles, pose: NDArray[np.uint8]) -> list[int]:
    """The colour half way between neck and right shoulder, in a wide photo."""
    neck = made.transform.skeleton(parsed().skeleton.moved(450, 0)).neck_base
    shoulder = made.transform.skeleton(parsed().skeleton.moved(450, 0)).get("right_shoulder")
    assert neck is not None
    assert shoulder is not None
    x, y = (neck[0] + shoulder[0]) / 2, (neck[1] + shoulder[1]) / 2
    colour: list[int] = pose[round(y), round(x)].tolist()
    return colour


def test_every_target_has_a_row() -> None:
    assert set(TARGETS) == set(TargetName)


def test_catvton() -> None:
    made = files(TargetName.CATVTON)

    assert set(made.files) == {"image", "mask"}
    assert mode(made, "image") == "RGB"
    assert read(made, "image").shape == (1024, 768, 3)
    assert mode(made, "mask") == "L"
    assert is_mask(read(made, "mask"), 768, 1024)
    assert chest_is_white(made, read(made, "mask"))
    assert made.category == "upper"
    assert files(TargetName.CATVTON, MaskKind.FULL).category == "overall"


def test_catvton_takes_a_cut_of_a_wide_photo() -> None:
    made = files(TargetName.CATVTON, wide=True)

    assert made.transform.crop == (450, 0, 1350, 1200)
    assert made.transform.content == (0, 0, 768, 1024)


def test_fastfit() -> None:
    made = files(TargetName.FASTFIT, wide=True)

    assert set(made.files) == {"image", "mask", "pose"}
    assert read(made, "image").shape == read(made, "pose").shape == (1024, 768, 3)
    assert is_mask(read(made, "mask"), 768, 1024)
    assert made.transform.crop == (450, 0, 1350, 1200)
    # Black is nothing, and the first limb, neck to right shoulder, is red.
    pose = read(made, "pose")
    assert pose[5, 5].tolist() == [0, 0, 0]
    assert first_limb(made, pose) == [153, 0, 0]
    assert made.category == "upper"


def test_idm_vton() -> None:
    made = files(TargetName.IDM_VTON, MaskKind.LOWER, wide=True)

    assert set(made.files) == {"image", "mask"}
    assert made.transform.crop == (0, 0, 1800, 1200)
    assert made.transform.content == (0, 0, 768, 1024)
    assert read(made, "image").shape == (1024, 768, 3)
    assert is_mask(read(made, "mask"), 768, 1024)
    assert made.category == "lower_body"
    assert any("DensePose" in need for need in TARGETS[TargetName.IDM_VTON].needs)


def test_ootdiffusion() -> None:
    made = files(TargetName.OOTDIFFUSION)
    image, mask_, grey = (read(made, name) for name in ("image", "mask", "agnostic"))

    assert set(made.files) == {"image", "mask", "agnostic"}
    assert mode(made, "mask") == "L"
    assert is_mask(mask_, 768, 1024)
    assert np.unique(grey[mask_ == 255]).tolist() == [127]
    assert np.array_equal(grey[mask_ == 0], image[mask_ == 0])
    categories = [files(TargetName.OOTDIFFUSION, kind).category for kind in CATEGORIES]
    assert categories == ["upperbody", "lowerbody", "dress"]


def test_leffa() -> None:
    made = files(TargetName.LEFFA, MaskKind.FULL, wide=True)
    image, mask_ = read(made, "image"), read(made, "mask")

    assert set(made.files) == {"image", "mask"}
    assert made.transform.content == (0, 256, 768, 768)
    assert image.shape == (1024, 768, 3)
    assert np.unique(image[:256]).tolist() == [255]
    assert np.unique(mask_[:256]).tolist() == [0]
    assert is_mask(mask_, 768, 1024)
    assert made.category == "dresses"


def test_fitdit() -> None:
    made = files(TargetName.FITDIT, wide=True)
    image, mask_, pose = (read(made, name) for name in ("image", "mask", "pose"))

    assert set(made.files) == {"image", "mask", "mask_layer", "pose"}
    assert image.shape == pose.shape == (1536, 1152, 3)
    assert is_mask(mask_, 1152, 1536)
    assert np.unique(image[:384]).tolist() == [255]
    assert np.unique(mask_[:384]).tolist() == [0]
    assert np.unique(pose[:384]).tolist() == [0]
    # Its channels are reversed: the first limb is blue.
    assert first_limb(made, pose) == [0, 0, 153]
    assert np.array_equal(read(made, "mask_layer")[:, :, 3], mask_)
    assert made.category == "Upper-body"


def test_stableviton() -> None:
    made = files(TargetName.STABLEVITON)
    image, grey, mask_ = (read(made, name) for name in made.files)

    assert list(made.files) == [
        "test/image/anna_00",
        "test/agnostic-v3.2/anna_00",
        "test/agnostic-mask/anna_00_mask",
    ]
    endings = [file.extension for file in made.files.values()]
    assert endings == ["jpg", "jpg", "png"]
    assert image.shape == grey.shape == (512, 384, 3)
    # Its loader takes grey from 128 on as repainted, and turns it round by itself.
    assert is_mask(mask_, 384, 512)
    inner = np.zeros_like(mask_)
    inner[8:-8, 8:-8] = 255
    deep = Image.fromarray(mask_ & inner).resize((48, 64), Image.Resampling.BOX)
    blocks = np.array(deep.resize((384, 512), Image.Resampling.NEAREST)) == 255
    assert np.abs(grey[blocks].astype(int) - 128).max() <= 2
    assert set(TARGETS[TargetName.STABLEVITON].categories) == {MaskKind.UPPER}


@pytest.mark.parametrize("name", TargetName)
def test_what_a_program_must_know_is_json(name: TargetName) -> None:
    about = json.loads(json.dumps(files(name).about()))

    assert about["target"] == name
    assert about["mask"] == "upper"
    assert about["transform"]["size"] == list(TARGETS[name].size)
    assert "garment" in " ".join(about["needs"])


# Data sets


def tree_file(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_viton_hd_tree() -> None:
    tree = Tree(LayoutName.VITON_HD, MaskKind.UPPER, "train")

    made = tree.files(parsed(), mask(MaskKind.UPPER), "anna")

    assert set(made) == {
        "train/image/anna_00.jpg",
        "train/agnostic-mask/anna_00_mask.png",
        "train/agnostic-v3.2/anna_00.jpg",
        "train/image-parse-v3/anna_00.png",
        "train/image-parse-agnostic-v3.2/anna_00.png",
        "train/openpose_json/anna_00_keypoints.json",
        "train/openpose_img/anna_00_rendered.png",
        "train/transform/anna_00.json",
    }
    for path, data in made.items():
        if not path.endswith(".json"):
            assert tree_file(data).size == (768, 1024), path
    covered = tree_file(made["train/agnostic-mask/anna_00_mask.png"])
    assert covered.mode == "RGB"
    assert np.unique(np.array(covered)).tolist() == [0, 255]
    parse = tree_file(made["train/image-parse-v3/anna_00.png"])
    assert parse.mode == "P"
    labels = np.array(parse)
    # Hair, top, trousers, neck, face, arms with hands, shoes.
    assert np.unique(labels).tolist() == [0, 2, 5, 9, 10, 13, 14, 15, 18, 19]
    palette = parse.getpalette()
    assert palette is not None
    assert palette[: 3 * 20] == [value for colour in LIP_PALETTE for value in colour]
    without = np.array(tree_file(made["train/image-parse-agnostic-v3.2/anna_00.png"]))
    assert not np.isin(without, [5, 10]).any()
    assert np.array_equal(without[labels == 9], labels[labels == 9])
    (one,) = json.loads(made["train/openpose_json/anna_00_keypoints.json"])["people"]
    points = np.reshape(one["pose_keypoints_2d"], (25, 3))
    # 300 x 400 becomes 768 x 1024.
    assert points[2].tolist() == pytest.approx([120 * 2.56, 110 * 2.56, 0.98])
    assert points[9, 0] < points[12, 0]


def test_a_dress_code_tree() -> None:
    tree = Tree(LayoutName.DRESS_CODE, MaskKind.LOWER, "test")

    made = tree.files(parsed(), mask(MaskKind.LOWER), "anna")

    assert set(made) == {
        "lower_body/images/anna_0.jpg",
        "lower_body/label_maps/anna_4.png",
        "lower_body/keypoints/anna_2.json",
        "lower_body/skeletons/anna_5.jpg",
        "lower_body/agnostic_masks/anna_0.png",
        "lower_body/transform/anna_0.json",
    }
    parse = tree_file(made["lower_body/label_maps/anna_4.png"])
    assert parse.mode == "P"
    palette = parse.getpalette()
    assert palette is not None
    assert palette[: 3 * 18] == [value for colour in ATR_PALETTE for value in colour]
    assert np.unique(np.array(parse)).tolist() == [0, 2, 4, 6, 9, 10, 11, 14, 15]
    rows = json.loads(made["lower_body/keypoints/anna_2.json"])["keypoints"]
    assert len(rows) == 18
    # Right shoulder on the 384 x 512 grid: 120, 110 of 300 x 400.
    assert rows[2] == pytest.approx([153.6, 140.8, 0.98, 2])
    covered = tree_file(made["lower_body/agnostic_masks/anna_0.png"])
    assert covered.mode == "L"


def test_a_missing_joint_in_dress_code() -> None:
    without = Person(
        fakes.BOX,
        0.9,
        fakes.skeleton(frozenset({"left_knee"})),
        fakes.part_map(),
        np.ones((400, 300), np.float32),
    )
    tree = Tree(LayoutName.DRESS_CODE, MaskKind.UPPER, "test")

    made = tree.files(ParsedPhoto(parsed().rgb, without), mask(MaskKind.UPPER), "anna")

    rows = json.loads(made["upper_body/keypoints/anna_2.json"])["keypoints"]
    assert rows[12] == [-1, -1, 0, -1]


def test_pairs() -> None:
    photos = ["anna", "bert"]

    assert Tree(LayoutName.VITON_HD, MaskKind.UPPER, "test").pairs(photos) == {
        "test_pairs.txt": "anna_00.jpg anna_00.jpg\nbert_00.jpg bert_00.jpg\n"
    }
    assert Tree(LayoutName.DRESS_CODE, MaskKind.FULL, "test").pairs(["anna"]) == {
        "dresses/test_pairs_paired.txt": "anna_0.jpg\tanna_1.jpg\n",
        "test_pairs_paired.txt": "anna_0.jpg\tanna_1.jpg\t2\n",
    }
