"""What the two teachers are shown, and what they give back. No weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from models.garment_parser import cloth, selfie
from models.garment_parser.cloth import ClothSegmenter
from models.garment_parser.selfie import SelfieSegmenter
from models.garment_parser.teachers import on_photo
from numpy.typing import NDArray

from tryon_masks.domain.person import Box
from tryon_masks.vision.compact.classes import CLASSES

Tensor = NDArray[np.float32]

CLOTHES, LOWER = 4, 2
"""One class of each model."""


class Echo:
    """In place of a loaded graph: keeps its input, and answers with logits for one class a half."""

    shown: ClassVar[list[Tensor]] = []
    shape: ClassVar[tuple[int, ...]] = ()

    def __init__(self, path: Path, threads: int, outputs: tuple[str, ...]) -> None:
        self.outputs = outputs

    def run(self, tensor: Tensor) -> list[Tensor]:
        self.shown.append(tensor)
        logits = np.zeros(self.shape, np.float32)
        if self.shape[-1] < 10:
            logits[:, : self.shape[1] // 2, :, CLOTHES] = 9
        else:
            logits[:, LOWER, : self.shape[2] // 2] = 9
        return [logits]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    class Selfie(Echo):
        shown: ClassVar[list[Tensor]] = []
        shape = (1, 256, 256, 6)

    class Cloth(Echo):
        shown: ClassVar[list[Tensor]] = []
        shape = (1, 4, 768, 768)

    monkeypatch.setattr(selfie, "Model", Selfie)
    monkeypatch.setattr(cloth, "Model", Cloth)
    return {"selfie": Selfie, "cloth": Cloth}


def red(height: int, width: int) -> NDArray[np.uint8]:
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[..., 0] = 255
    return rgb


@pytest.mark.parametrize("size", [(900, 400), (101, 67), (256, 256), (1, 1)])
def test_the_selfie_model_is_shown_its_square_in_rgb_from_minus_one_to_one(
    size: tuple[int, int], models: dict[str, Any]
) -> None:
    SelfieSegmenter(Path(), 1).segment(red(*size))

    (tensor,) = models["selfie"].shown
    assert tensor.shape == (1, 256, 256, 3)
    assert tensor.dtype == np.float32
    assert tensor[0, 100, 100].tolist() == [1, -1, -1]


@pytest.mark.parametrize("size", [(900, 400), (101, 67), (1024, 1024)])
def test_the_cloth_model_is_shown_its_square_in_planes_from_minus_one_to_one(
    size: tuple[int, int], models: dict[str, Any]
) -> None:
    ClothSegmenter(Path(), 1).segment(red(*size))

    (tensor,) = models["cloth"].shown
    assert tensor.shape == (1, 3, 768, 768)
    assert tensor.dtype == np.float32
    assert tensor[0, :, 400, 400].tolist() == [1, -1, -1]


def test_the_answers_are_probabilities_class_by_class(models: dict[str, Any]) -> None:
    soft = SelfieSegmenter(Path(), 1).segment(red(300, 200))
    garments = ClothSegmenter(Path(), 1).segment(red(300, 200))

    assert soft.shape == (256, 256, 6)
    assert garments.shape == (768, 768, 4)
    for planes, label in ((soft, CLOTHES), (garments, LOWER)):
        assert planes.sum(-1) == pytest.approx(1, abs=1e-5)
        top, bottom = np.split(planes, 2)
        assert (top.argmax(-1) == label).all()
        assert bottom[..., label] == pytest.approx(1 / planes.shape[-1])


def test_an_answer_lies_on_the_photo_and_outside_the_persons_crop_is_background(
    models: dict[str, Any],
) -> None:
    soft = on_photo(SelfieSegmenter(Path(), 1), red(400, 300), Box(100, 100, 200, 300))

    assert soft.shape == (400, 300, 6)
    assert soft.sum(-1) == pytest.approx(1, abs=1e-5)
    clothed = soft.argmax(-1) == CLOTHES
    assert clothed[100:190, 100:200].all()
    assert clothed[86:100, 100:200].all()
    outside = np.ones((400, 300), bool)
    outside[83:317, 83:217] = False
    assert (soft[outside, 0] == 1).all()


def test_each_class_is_of_one_kind() -> None:
    named = {
        kind: {cls.name for cls in CLASSES if selfie.KIND_OF[cls] == kind}
        for kind in (selfie.NOTHING, selfie.HAIR, selfie.SKIN)
    }

    assert named == {
        selfie.NOTHING: {"BACKGROUND"},
        selfie.HAIR: {"HAIR"},
        selfie.SKIN: {"FACE", "NECK", "TORSO_SKIN", "ARM", "HAND", "LEG"},
    }
