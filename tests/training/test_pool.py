"""What teaches the parser: it and the selfie model together, and where that objects. No weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tryon_masks.vision.compact.classes import CLASSES, Class

torch = pytest.importorskip("torch", reason="the training's environment is not this one")

from models.garment_parser.data import IGNORE  # noqa: E402
from models.garment_parser.network import Parser  # noqa: E402
from models.garment_parser.pool import PooledTeacher, kind_loss  # noqa: E402
from models.garment_parser.pseudo import contradicted  # noqa: E402
from models.garment_parser.selfie import SelfieSegmenter  # noqa: E402

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]


class ClothAbove(SelfieSegmenter):
    """Sure of cloth in the upper half of a crop, and below as much of hair as of cloth."""

    def __init__(self) -> None:
        self.asked = 0

    def segment(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.asked += 1
        answer = np.zeros((256, 256, 6), np.float32)
        answer[:128, :, 4] = 1
        answer[128:, :, [1, 4]] = 0.5
        return answer


class Undecided(Parser):
    """Hair or a top, with the same probability, everywhere."""

    def forward(self, x: Any) -> Any:
        logits = torch.full((len(x), len(CLASSES), x.shape[2] // 2, x.shape[3] // 2), -9.0)
        logits[:, [Class.HAIR, Class.TOP]] = 9
        return logits


def test_the_selfie_model_decides_where_the_parser_cannot() -> None:
    inputs = torch.full((1, 13, 96, 64), -1.0)
    inputs[0, -1, 16:80, 16:48] = 1

    (pooled,) = PooledTeacher(Undecided(pretrained=False), ClothAbove())(inputs)

    assert pooled.shape == (20, 48, 32)
    assert pooled.sum(0).numpy() == pytest.approx(1, abs=1e-5)
    assert (pooled[Class.TOP, 10:22, 10:22] > 0.8).all()
    assert pooled[Class.TOP, 30:36, 10:22].numpy() == pytest.approx(0.5, abs=0.01)


def test_without_an_outline_the_selfie_model_is_not_asked() -> None:
    selfie = ClothAbove()
    teacher = PooledTeacher(Undecided(pretrained=False), selfie)

    (pooled,) = teacher(torch.full((1, 13, 96, 64), -1.0))

    assert selfie.asked == 0
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
