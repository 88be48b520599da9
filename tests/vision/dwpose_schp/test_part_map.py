"""Holes in tops, filled as OOTDiffusion fills them."""

from __future__ import annotations

import numpy as np
import pytest

from tryon_masks.vision.dwpose_schp.part_map import without_holes
from tryon_masks.vision.dwpose_schp.schp import Atr, LabelMap

HEIGHT, WIDTH = 512, 384


def photo() -> LabelMap:
    """A top with an arm on its right side, on the grid that OOTDiffusion squashes photos to."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[100:400, 100:250] = Atr.UPPER_CLOTHES
    labels[100:400, 250:300] = Atr.LEFT_ARM
    return labels


@pytest.mark.parametrize("label", [Atr.BACKGROUND, Atr.BAG, Atr.FACE])
@pytest.mark.parametrize(("side", "is_filled"), [(40, True), (50, False)])
def test_a_hole_of_up_to_2000_pixels_becomes_upper_clothes(
    label: Atr, side: int, is_filled: bool
) -> None:
    labels = photo()
    labels[200 : 200 + side, 150 : 150 + side] = label

    filled = without_holes(labels)

    assert (filled == photo()).all() == is_filled
    assert (filled == labels).all() != is_filled


def test_what_arm_and_trunk_enclose_is_a_hole_and_the_arm_stays() -> None:
    labels = photo()
    labels[200:230, 230:270] = Atr.BACKGROUND

    filled = without_holes(labels)

    assert (filled[200:230, 230:270] == Atr.UPPER_CLOTHES).all()
    assert (filled[labels == Atr.LEFT_ARM] == Atr.LEFT_ARM).all()


def test_an_arm_in_front_and_what_is_open_to_the_side_are_no_holes() -> None:
    labels = photo()
    labels[150:180, 120:150] = Atr.RIGHT_ARM
    labels[380:400, 150:200] = Atr.PANTS

    assert (without_holes(labels) == labels).all()


def test_holes_are_measured_by_the_photos_size() -> None:
    labels = photo().repeat(2, axis=0).repeat(2, axis=1)
    labels[400:480, 300:380] = Atr.BACKGROUND

    assert (without_holes(labels)[400:480, 300:380] == Atr.UPPER_CLOTHES).all()
