"""The compact model set: BlazePose, selfie multiclass and a cloth segmenter make a Person."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.person import Box, Candidate, Person
from tryon_masks.domain.skeleton import SIDES, Skeleton
from tryon_masks.telemetry import step
from tryon_masks.vision.catalog import ModelSet
from tryon_masks.vision.cloth import ClothSegmenter
from tryon_masks.vision.composition import Evidence, compose
from tryon_masks.vision.people import PeopleFinder, Region, outline_of, outline_of_any
from tryon_masks.vision.runtime import Floats
from tryon_masks.vision.selfie import SelfieSegmenter

CROP_MARGIN = 0.08
"""Around the person's box for the segmenters, as a share of its longer side."""
REGION_MARGIN = 0.16
"""The same for the region in which the part map is composed."""
CLOSE_HEAD, CLOSE_SHINS = 0.7, 0.45
"""Weights of the close views; close up, the model takes boots for trousers."""
SMALLEST_VIEW = 32
"""Pixels a side; a smaller view would show the model nothing new."""

WARM_UP_SIDE = 256


class CompactVision:
    """Loads the four models, runs each once, and then only infers.

    Parameters
    ----------
    model_set
        Verified files ``person_detector``, ``pose_landmark``, ``selfie_multiclass`` and
        ``cloth_segmentation``.
    threads
        Intra-op threads of every model.
    """

    def __init__(self, model_set: ModelSet, threads: int) -> None:
        self.model_set = model_set.name
        path = {name: file.path for name, file in model_set.files.items()}
        self._people = PeopleFinder(model_set, threads)
        self._selfie = SelfieSegmenter(path["selfie_multiclass"], threads)
        self._cloth = ClothSegmenter(path["cloth_segmentation"], threads)
        self._warm_up()

    def _warm_up(self) -> None:
        grey = np.full((WARM_UP_SIDE, WARM_UP_SIDE, 3), 127, np.uint8)
        self._people.warm_up(grey)
        self._selfie.segment(grey)
        self._cloth.segment(grey)

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        """Everybody in ``rgb`` (H, W, 3), largest box first; one entry a person."""
        return self._people.find(rgb)

    def parse(
        self, rgb: NDArray[np.uint8], chosen: Candidate, others: Sequence[Candidate]
    ) -> Person:
        """The part map of ``chosen``, on the grid of ``rgb``.

        Raises
        ------
        TypeError
            A candidate did not come from :meth:`find_people`.
        """
        frame = (rgb.shape[0], rgb.shape[1])
        region = chosen.box.surroundings(frame, REGION_MARGIN)
        outline = outline_of(chosen, region)
        others_outline = outline_of_any(others, region)
        crop = chosen.box.surroundings(frame, CROP_MARGIN)
        with step("segment_skin_and_hair", "selfie_multiclass"):
            selfie = self._look_closely(rgb, chosen, crop, region)
        with step("segment_garments", "cloth_segmentation"):
            cloth = self._cloth.segment(rgb[crop])
        with step("compose_parts", "composition"):
            evidence = Evidence(
                selfie=selfie,
                cloth=laid_out(cloth, crop, region),
                outline=outline,
                others=others_outline > np.maximum(outline, 0.5),
            )
            rows, columns = region
            skeleton = chosen.skeleton.moved(-columns.start, -rows.start)
            parts, sure = compose(skeleton, evidence)
        part_map = np.zeros(frame, np.uint8)
        confidence = np.ones(frame, np.float32)
        part_map[region], confidence[region] = parts, sure
        return Person(chosen.box, chosen.score, chosen.skeleton, part_map, confidence)

    def _look_closely(
        self, rgb: NDArray[np.uint8], chosen: Candidate, crop: Region, region: Region
    ) -> Floats:
        """Selfie classes on ``region``: the whole person, then head and shins at a finer scale."""
        total = laid_out(self._selfie.segment(rgb[crop]), crop, region)
        for view, weight in _close_views(chosen.skeleton, region):
            rows, columns = view
            inside = (
                slice(rows.start - region[0].start, rows.stop - region[0].start),
                slice(columns.start - region[1].start, columns.stop - region[1].start),
            )
            close = laid_out(self._selfie.segment(rgb[view]), view, view)
            total[inside] = (1 - weight) * total[inside] + weight * close
        return total


def laid_out(probabilities: Floats, crop: Region, region: Region) -> Floats:
    """A model's square answer for ``crop``, on the grid of ``region``; class 0 outside the crop."""
    (rows, columns), (top, left) = crop, (region[0].start, region[1].start)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    shape = (region[0].stop - top, region[1].stop - left, probabilities.shape[-1])
    canvas = np.zeros(shape, np.float32)
    canvas[..., 0] = 1.0
    canvas[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
        cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR)
    )
    return canvas


def _close_views(skeleton: Skeleton, region: Region) -> list[tuple[Region, float]]:
    """Where a second look pays, and its weight: head and shoulders, and below the knees."""
    unit = skeleton.torso
    head = ("nose", "left_shoulder", "right_shoulder")
    shins = [f"{side}_{name}" for side in SIDES for name in ("knee", "ankle", "heel", "big_toe")]
    groups = [(head, 0.5, CLOSE_HEAD), (shins, 0.25, CLOSE_SHINS)]
    views: list[tuple[Region, float]] = []
    for names, margin, weight in groups:
        points = np.array([point for name in names if (point := skeleton.get(name)) is not None])
        if len(points) < len(names) / 2 or unit is None:
            continue
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        box = Box(x0 - margin * unit, y0 - margin * unit, x1 + margin * unit, y1 + margin * unit)
        rows, columns = _inside(box, region)
        if min(rows.stop - rows.start, columns.stop - columns.start) >= SMALLEST_VIEW:
            views.append(((rows, columns), weight))
    return views


def _inside(box: Box, region: Region) -> Region:
    rows, columns = region
    y0, y1 = np.clip([int(box.y0), int(box.y1) + 1], rows.start, rows.stop).tolist()
    x0, x1 = np.clip([int(box.x0), int(box.x1) + 1], columns.start, columns.stop).tolist()
    return slice(y0, y1), slice(x0, x1)
