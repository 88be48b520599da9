"""The classic model set: YOLOX, DWPose and SCHP make a Person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain import anatomy
from tryon_masks.domain.parts import Part, PartMap
from tryon_masks.domain.person import Box, Candidate, Person
from tryon_masks.domain.shapes import Region, whole_grid
from tryon_masks.telemetry import step
from tryon_masks.vision.catalog import ModelSet
from tryon_masks.vision.dwpose_schp.dwpose import NO_POINTS, PoseModel, WholeBody
from tryon_masks.vision.dwpose_schp.part_map import fuse, without_holes
from tryon_masks.vision.dwpose_schp.schp import HumanParser, LabelMap
from tryon_masks.vision.dwpose_schp.yolox import PersonDetector
from tryon_masks.vision.runtime import Floats, share_memory_arena

View = Literal["whole", "person"]

ATR_SIDE, LIP_SIDE = 512, 473
"""Pixels of the parsers' inputs a side, from their cards."""
REGION_MARGIN = 0.16
"""Around the person's box, as a share of its longer side: what lies outside is not the person's."""
WARM_UP_SIDE = 64
"""Pixels of the empty square that each model is run on once."""
MAX_POSES = 16
"""Most people of a crowd that the pose model runs on; whoever is meant is among the largest."""


def load(model_set: ModelSet, threads: int, options: Mapping[str, str]) -> DwposeSchpVision:
    """Load the models as SCHP_LIP, SCHP_VIEW and SCHP_FILL say."""
    return DwposeSchpVision(
        model_set,
        threads,
        cast(View, options["SCHP_VIEW"]),
        lip=options["SCHP_LIP"] == "1",
        fill=options["SCHP_FILL"] == "1",
    )


@dataclass(frozen=True)
class WholeBodyCandidate(Candidate):
    """A candidate with all the points that the pose model found."""

    body: WholeBody


class DwposeSchpVision:
    """Loads the models, runs each once, and then only infers.

    Parameters
    ----------
    model_set
        Verified files ``yolox_l``, ``dw-ll_ucoco_384``, ``parsing_atr`` and ``parsing_lip``.
    threads
        Intra-op threads of every model.
    view
        What the parsers are shown: the whole photo, as in the projects that the pair comes from, or
        the person's surroundings only.
    lip
        Whether the second parser is loaded and run.
    fill
        Whether holes in tops are filled, see :func:`~.part_map.without_holes`.
    """

    def __init__(
        self,
        model_set: ModelSet,
        threads: int,
        view: View = "whole",
        *,
        lip: bool = True,
        fill: bool = False,
    ) -> None:
        # What makes other masks is another set: answers and addresses name it.
        more = ["" if lip else "atr", "" if view == "whole" else view, "filled" if fill else ""]
        self.model_set = "-".join([model_set.name, *filter(None, more)])
        share_memory_arena()
        path = {name: file.path for name, file in model_set.files.items()}
        # One after the other, the largest first: side by side they need twice the memory, and it is
        # the most that this set ever needs.
        self._atr = HumanParser(path["parsing_atr"], threads, ATR_SIDE)
        self._lip = HumanParser(path["parsing_lip"], threads, LIP_SIDE) if lip else None
        self._detector = PersonDetector(path["yolox_l"], threads)
        self._poses = PoseModel(path["dw-ll_ucoco_384"], threads)
        self._view = view
        self._fill = fill
        self._warm_up()

    def _warm_up(self) -> None:
        grey = np.full((WARM_UP_SIDE, WARM_UP_SIDE, 3), 127, np.uint8)
        # In this order too: the others find room in what the largest has asked for.
        for parser in (self._atr, self._lip):
            if parser is not None:
                parser.parse(grey)
        self._detector.find(grey)
        self._poses.infer(grey, Box(0, 0, WARM_UP_SIDE, WARM_UP_SIDE))

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        """Find everybody in ``rgb`` (H, W, 3), largest box first; one entry a person.

        Beyond the :data:`MAX_POSES` people with the most area and score, nobody has a point.
        """
        height, width = rgb.shape[:2]
        with step("detect_people", "yolox"):
            found = self._detector.find(rgb)
        inside = [(one, one.box.clipped(width, height)) for one in found]
        ranked = sorted(
            ((one, box) for one, box in inside if box.area > 0),
            key=lambda pair: -pair[1].area * pair[0].score,
        )
        people: list[Candidate] = []
        looked_at = min(len(ranked), MAX_POSES)
        with step("estimate_poses", "dwpose", people=len(ranked), looked_at=looked_at):
            for place, (one, box) in enumerate(ranked):
                # The pose model's crop is around the whole box, even where it leaves the photo.
                body = self._poses.infer(rgb, one.box) if place < looked_at else NO_POINTS
                people.append(WholeBodyCandidate(box, one.score, body.skeleton, body))
        return sorted(people, key=lambda one: -one.box.area)

    def parse(
        self, rgb: NDArray[np.uint8], chosen: Candidate, others: Sequence[Candidate]
    ) -> Person:
        """Parse ``chosen`` on the grid of ``rgb`` (H, W, 3), uint8.

        Raises
        ------
        TypeError
            ``chosen`` did not come from :meth:`find_people`.
        ValueError
            It has no body unit.
        """
        if not isinstance(chosen, WholeBodyCandidate):
            raise TypeError("parse() needs a candidate that find_people() returned")
        unit = chosen.skeleton.torso
        if unit is None:
            raise ValueError("a skeleton without shoulders cannot be parsed")
        frame = (rgb.shape[0], rgb.shape[1])
        region = chosen.box.surroundings(frame, REGION_MARGIN)
        shown = region if self._view == "person" else whole_grid(frame)
        with step("parse_atr", "schp"):
            atr = _labels(self._atr, rgb, shown)
        lip = None
        if self._lip is not None:
            with step("parse_lip", "schp"):
                lip = _labels(self._lip, rgb, shown)
        with step("compose_parts", "fusion"):
            if self._fill:
                atr = without_holes(atr)
            rows, columns = region
            part_map = np.zeros(frame, np.uint8)
            confidence = np.ones(frame, np.float32)
            part_map[region], confidence[region] = fuse(
                atr[region],
                None if lip is None else lip[region],
                chosen.body.moved(-columns.start, -rows.start),
                unit,
            )
            for other in others:
                _mark_other_person(part_map, atr, chosen, other, unit)
        return Person(chosen.box, chosen.score, chosen.skeleton, part_map, confidence)


def _labels(parser: HumanParser, rgb: NDArray[np.uint8], shown: Region) -> LabelMap:
    """Label the grid of ``rgb``; background where the parser is not shown anything."""
    labels = np.zeros(rgb.shape[:2], np.uint8)
    labels[shown] = parser.parse(rgb[shown])
    return labels


def _mark_other_person(
    part_map: PartMap, atr: LabelMap, chosen: Candidate, other: Candidate, unit: float
) -> None:
    """Mark what belongs to ``other``: in its box, and nearer to its bones than to the chosen's.

    Somebody without bones gets what lies outside the chosen's box.
    """
    rows = slice(int(other.box.y0), int(other.box.y1) + 1)
    columns = slice(int(other.box.x0), int(other.box.x1) + 1)
    y, x = np.nonzero(atr[rows, columns])
    y, x = y + rows.start, x + columns.start
    xy = x.astype(np.float32), y.astype(np.float32)
    box = chosen.box
    outside = (x < box.x0) | (x >= box.x1) | (y < box.y0) | (y >= box.y1)
    reach = _reach(other, *xy, unit)
    theirs = (reach < _reach(chosen, *xy, unit)) | (np.isinf(reach) & outside)
    part_map[y[theirs], x[theirs]] = Part.OTHER_PERSON


def _reach(person: Candidate, x: Floats, y: Floats, unit: float) -> Floats:
    """Return the distance of points (N,) from the nearest bone, in that bone's half widths."""
    bones = anatomy.bones(person.skeleton, person.skeleton.torso or unit)
    return anatomy.nearest(bones, x, y)[1]
