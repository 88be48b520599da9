"""What the two teachers are shown, and what they give back. No weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from models.garment_parser import cloth, selfie
from models.garment_parser.cloth import ClothSegmenter
from models.garment_parser.data import IGNORE
from models.garment_parser.network import Parser
from models.garment_parser.pool import PooledTeacher, kind_loss
from models.garment_parser.pseudo import contradicted
from models.garment_parser.selfie import SelfieSegmenter
from models.garment_parser.teachers import on_photo
from numpy.typing import NDArray

from tryon_masks.domain.person import Box
from tryon_masks.vision.compact.classes import CLASSES, Class

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


class Undecided(Parser):
    """Hair or a top, with the same probability, everywhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(x), len(CLASSES), x.shape[2] // 2, x.shape[3] // 2), -9.0)
        logits[:, [Class.HAIR, Class.TOP]] = 9
        return logits


def test_the_selfie_model_decides_where_the_parser_cannot(models: dict[str, Any]) -> None:
    inputs = torch.full((1, 13, 96, 64), -1.0)
    inputs[0, -1, 16:80, 16:48] = 1

    (pooled,) = PooledTeacher(Undecided(pretrained=False), SelfieSegmenter(Path(), 1))(inputs)

    assert pooled.shape == (20, 48, 32)
    assert pooled.sum(0).numpy() == pytest.approx(1, abs=1e-5)
    assert (pooled[Class.TOP, 10:22, 10:22] > 0.8).all()
    # In the lower half it gives every class of its own the same, and two of its six are cloth.
    assert (pooled[Class.TOP, 30:36, 10:22] < 0.6).all()


def test_without_an_outline_the_selfie_model_is_not_asked(models: dict[str, Any]) -> None:
    teacher = PooledTeacher(Undecided(pretrained=False), SelfieSegmenter(Path(), 1))

    (pooled,) = teacher(torch.full((1, 13, 96, 64), -1.0))

    assert not models["selfie"].shown
    assert pooled[Class.TOP].numpy() == pytest.approx(0.5, abs=0.01)


def test_a_name_of_the_same_kind_is_no_mistake_of_kind() -> None:
    top, coat, hair = (
        torch.nn.functional.one_hot(torch.full((1, 4, 4), cls), len(CLASSES)).permute(0, 3, 1, 2)
        * 9.0
        for cls in (Class.TOP, Class.OUTERWEAR, Class.HAIR)
    )
    taught = top.softmax(1)

    assert float(kind_loss(coat, taught)) == pytest.approx(0, abs=1e-3)
    assert float(kind_loss(hair, taught)) > 5


@pytest.mark.parametrize(
    ("label", "kind", "is_contradicted"),
    [
        (Class.TOP, (0.9, 0, 0, 0), True),
        (Class.TOP, (0.7, 0, 0, 0.3), False),
        (Class.TOP, (0, 0, 0, 0.9), False),
        (Class.HAIR, (0, 0, 0.9, 0), True),
        (Class.FACE, (0, 0, 0.9, 0), False),
        (Class.HAT, (0, 0, 0, 0.9), False),
        (Class.HAT, (0, 0.9, 0, 0), False),
        (Class.HAT, (0, 0, 0.9, 0), False),
        (Class.HAT, (0.9, 0, 0, 0), True),
        (IGNORE, (0.9, 0, 0, 0), False),
    ],
)
def test_the_selfie_model_objects_where_it_is_sure_of_another_kind(
    label: int, kind: tuple[float, ...], is_contradicted: bool
) -> None:
    labels, kinds = np.array([[label]], np.uint8), np.array([[kind]], np.float32)

    assert contradicted(labels, kinds).tolist() == [[is_contradicted]]


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
