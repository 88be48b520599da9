"""The swift set on real photos of standing people, which is what it is for."""

from __future__ import annotations

import pytest
from tests.demo_photos import TWO_FIGURES
from tests.vision.conftest import MODELS, THREADS, Sight, look_at, shown
from tests.vision.test_demo_photos import at, between, joint

from tryon_masks.domain.masks import MaskKind
from tryon_masks.domain.parts import HANDS, HEAD, SHOES, where
from tryon_masks.domain.skeleton import SIDES
from tryon_masks.vision.catalog import load_model_set
from tryon_masks.vision.swift import SwiftVision

pytestmark = pytest.mark.models


@pytest.fixture(scope="module", params=[0, 1], ids=["from the front", "from the back"])
def figure(request: pytest.FixtureRequest) -> Sight:
    """A man in a T-shirt and jeans, once facing us and once not."""
    swift = SwiftVision(load_model_set("swift", MODELS.parent / "swift"), THREADS)
    return look_at(swift, shown(TWO_FIGURES), request.param)


def at_the_front(figure: Sight) -> bool:
    return joint(figure, "left_shoulder")[0] > joint(figure, "right_shoulder")[0]


def test_the_upper_mask_has_shirt_and_arms_and_no_head_or_hand(figure: Sight) -> None:
    upper = figure.mask(MaskKind.UPPER)

    assert at(upper, between(figure, "left_shoulder", "right_hip"))
    for side in SIDES:
        assert at(upper, joint(figure, f"{side}_shoulder"))
        assert at(upper, between(figure, f"{side}_elbow", f"{side}_wrist"))
    assert not upper[where(figure.person.part_map, HEAD | HANDS | SHOES)].any()
    assert not at(upper, joint(figure, "nose"))


def test_the_lower_mask_has_both_legs_and_no_shoe(figure: Sight) -> None:
    lower = figure.mask(MaskKind.LOWER)

    for side in SIDES:
        assert at(lower, joint(figure, f"{side}_knee"))
        assert at(lower, between(figure, f"{side}_hip", f"{side}_knee"))
        # From behind, toes are a guess of the pose model's.
        end = "big_toe" if at_the_front(figure) else "heel"
        assert not at(lower, joint(figure, f"{side}_{end}"))
    assert not lower[where(figure.person.part_map, SHOES | HEAD)].any()
