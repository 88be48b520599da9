"""The compact model set: BlazePose finds people, the garment parser takes one apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.parts import Part
from tryon_masks.domain.person import Box, Candidate, Person
from tryon_masks.domain.shapes import whole_grid
from tryon_masks.domain.skeleton import Keypoint, Skeleton
from tryon_masks.telemetry import step
from tryon_masks.vision.catalog import ModelSet
from tryon_masks.vision.compact.calibration import CALIBRATION
from tryon_masks.vision.compact.garment_parser import GarmentParser
from tryon_masks.vision.compact.part_map import compose, perhaps_lower
from tryon_masks.vision.compact.people import PeopleFinder, outline_of, outline_of_any

WARM_UP_SIDE = 256
"""Pixels of the empty square that each model is run on once."""


def load(model_set: ModelSet, threads: int, _options: Mapping[str, str]) -> CompactVision:
    """Load the models; the set has no options."""
    return CompactVision(model_set, threads)


class CompactVision:
    """Loads the three models, runs each once, and then only infers.

    Parameters
    ----------
    model_set
        Verified files ``person_detector``, ``pose_landmark`` and ``garment_parser``.
    threads
        Intra-op threads of every model.
    """

    def __init__(self, model_set: ModelSet, threads: int) -> None:
        self.model_set = model_set.name
        self._people = PeopleFinder(model_set, threads)
        self._parser = GarmentParser(model_set.files["garment_parser"].path, threads)
        self._warm_up()

    def _warm_up(self) -> None:
        grey = np.full((WARM_UP_SIDE, WARM_UP_SIDE, 3), 127, np.uint8)
        self._people.warm_up(grey)
        nobody = np.zeros((WARM_UP_SIDE, WARM_UP_SIDE), np.uint8)
        box = Box(0, 0, WARM_UP_SIDE, WARM_UP_SIDE)
        shoulders = {"left_shoulder": Keypoint(160, 80, 1), "right_shoulder": Keypoint(96, 80, 1)}
        self._parser.parse(grey, nobody, box, Skeleton(shoulders))

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        """Find everybody in ``rgb`` (H, W, 3), largest box first; one entry a person."""
        return self._people.find(rgb)

    def parse(
        self, rgb: NDArray[np.uint8], chosen: Candidate, others: Sequence[Candidate]
    ) -> Person:
        """Parse ``chosen`` on the grid of ``rgb`` (H, W, 3), uint8.

        Raises
        ------
        TypeError
            A candidate did not come from :meth:`find_people`.
        ValueError
            ``chosen`` has no body unit.
        """
        frame = (rgb.shape[0], rgb.shape[1])
        unit = chosen.skeleton.torso
        if unit is None:
            raise ValueError("a skeleton without shoulders cannot be parsed")
        box = chosen.box
        region = box.surroundings(
            frame, (CALIBRATION.near + CALIBRATION.far) * unit / max(box.width, box.height)
        )
        whole = whole_grid(frame)
        with step("parse_garments", "garment_parser"):
            outline = outline_of(chosen, whole)
            seen = np.asarray(cv2.convertScaleAbs(outline, alpha=255), np.uint8)
            probabilities = self._parser.parse(rgb, seen, chosen.box, chosen.skeleton)
        with step("compose_parts", "composition"):
            theirs = outline_of_any(others, whole)
            rows, columns = region
            skeleton = chosen.skeleton.moved(-columns.start, -rows.start)
            probabilities = probabilities.moved(-columns.start, -rows.start)
            parts, part_confidence = compose(
                probabilities, skeleton, outline[region], theirs[region]
            )
            part_map = np.where(
                theirs > CALIBRATION.other_person, np.uint8(Part.OTHER_PERSON), np.uint8(0)
            )
            confidence = np.ones(frame, np.float32)
            part_map[region], confidence[region] = parts, part_confidence
            perhaps = np.zeros(frame, bool)
            perhaps[region] = perhaps_lower(parts, probabilities)
        return Person(chosen.box, chosen.score, chosen.skeleton, part_map, confidence, perhaps)
