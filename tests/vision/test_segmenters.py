"""What the two segmenters are shown, and what they give back. No weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from tryon_masks.vision import cloth, selfie
from tryon_masks.vision.cloth import ClothSegmenter
from tryon_masks.vision.selfie import SelfieSegmenter

Tensor = NDArray[np.float32]


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
            logits[:, : self.shape[1] // 2, :, 4] = 9
        else:
            logits[:, 2, : self.shape[2] // 2] = 9
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
    for planes, label in ((soft, selfie.CLOTHES), (garments, cloth.LOWER)):
        assert planes.sum(-1) == pytest.approx(1, abs=1e-5)
        top, bottom = np.split(planes, 2)
        assert (top.argmax(-1) == label).all()
        assert bottom[..., label] == pytest.approx(1 / planes.shape[-1])
