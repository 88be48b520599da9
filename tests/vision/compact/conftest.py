"""The real models and what they see in the demo photos: each photo is parsed once a session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.demo_photos import STANDING, TWO_FIGURES, demo_photo
from tests.figures import make_mask

from tryon_masks.domain import fitness
from tryon_masks.domain.errors import ModelSetError
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.parts import BoolMask
from tryon_masks.domain.person import Candidate, Person
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.images import Limits, decode
from tryon_masks.model_sets import model_sets
from tryon_masks.telemetry import request_log
from tryon_masks.vision.catalog import load_model_set
from tryon_masks.vision.compact.vision import CompactVision

MODELS = Path(__file__).parents[3] / "models" / "build" / "compact"
THREADS = 2


@dataclass(frozen=True)
class Sight:
    """A photo (H, W, 3), everybody in it, and the one who was parsed."""

    rgb: NDArray[np.uint8]
    people: list[Candidate]
    person: Person

    def mask(self, kind: MaskKind, profile: Profile = Profile.BODY) -> BoolMask:
        return make_mask(self.person, kind, profile, Expand()).pixels


def shown(pattern: str) -> NDArray[np.uint8]:
    """The demo photo as the models are shown it."""
    return decode(
        demo_photo(pattern), Limits(working_side=model_sets()["compact"].working_side)
    ).rgb


@contextmanager
def no_loading() -> Iterator[None]:
    """Opening a model in here is an error."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded in a request")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tryon_masks.vision.runtime.ort.InferenceSession", forbidden)
        yield


def look_at(vision: CompactVision, rgb: NDArray[np.uint8], which: int = 0) -> Sight:
    """Find everybody in a photo and parse one of them, counted from the left; load nothing."""
    with no_loading(), request_log("request-1", "user-1"):
        people = vision.find_people(rgb)
        wanted = sorted(people, key=lambda one: one.box.x0)[which]
        chosen = fitness.choose(people, rgb.shape[0], box=wanted.box)
        others = [other for other in people if other is not chosen]
        return Sight(rgb, people, vision.parse(rgb, chosen, others))


@pytest.fixture(scope="session")
def vision() -> CompactVision:
    """The compact set, loaded once."""
    try:
        return CompactVision(load_model_set("compact", MODELS), THREADS)
    except ModelSetError as missing:
        pytest.fail(f"{missing}\n`make models` builds it.", pytrace=False)


@pytest.fixture(scope="session")
def standing(vision: CompactVision) -> Sight:
    """One full figure with raised arms."""
    return look_at(vision, shown(STANDING))


@pytest.fixture(scope="session")
def mirrored(vision: CompactVision) -> Sight:
    """The standing figure's mirror image."""
    return look_at(vision, np.ascontiguousarray(shown(STANDING)[:, ::-1]))


@pytest.fixture(scope="session")
def halved(vision: CompactVision) -> Sight:
    """The standing figure at half the size."""
    rgb = shown(STANDING)
    size = (rgb.shape[1] // 2, rgb.shape[0] // 2)
    return look_at(vision, np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)))


@pytest.fixture(scope="session")
def from_the_front(vision: CompactVision) -> Sight:
    """The left one of two figures, facing us."""
    return look_at(vision, shown(TWO_FIGURES), 0)


@pytest.fixture(scope="session")
def from_the_back(vision: CompactVision) -> Sight:
    """The right one of two figures, seen from behind."""
    return look_at(vision, shown(TWO_FIGURES), 1)
