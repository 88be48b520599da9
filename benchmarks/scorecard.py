"""What a pair of masks is worth on a labelled photo.

A dataset is a folder::

    photos/NNNN.jpg     the photo
    labels/NNNN.png     one label a pixel, an index into labels.json
    labels.json         the labels' names, a list
    regions/NNNN.png    what the label "skin" covers: face, neck, torso, arms, hands, legs, feet
    regions.json        by photo: "ok" (it was annotated), "hip_y" (mid-hip, pixels from the top)

A *recall* is the share of a region that the mask covers and should (wanted: 1), a *cover* the share
of a region that it covers and should not (wanted: 0). *spill* is the share of the mask on nobody,
*area* the share of the frame that is masked. A *core* region is shrunk by 0.4 % of the photo's
height, which frees it of the noise at label edges.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

BoolMask = NDArray[np.bool_]
Grey = NDArray[np.uint8]

MASKS = ("upper", "lower")
MIN_REGION = 64
"""Pixels: a smaller region is not scored on that photo."""
CORE_MARGIN = 0.004
"""How far a core region is shrunk, as a fraction of the photo's height, 2 pixels at least."""
REPAINT = 128
"""A mask's grey level from which a pixel counts as masked."""
TAIL = 5
"""Percent: a figure's worst 5 % begin at its 5th or 95th percentile."""

# fmt: off
UPPER_GARMENTS = frozenset({
    "blazer", "blouse", "bra", "cape", "cardigan", "coat", "hoodie", "intimate", "jacket",
    "jumper", "shirt", "suit", "sweater", "sweatshirt", "t-shirt", "top", "vest",
})
LOWER_GARMENTS = frozenset({
    "jeans", "leggings", "panties", "pants", "shorts", "skirt", "stockings", "tights",
})
SHOES = frozenset({
    "boots", "clogs", "flats", "heels", "loafers", "pumps", "sandals", "shoes", "sneakers",
    "wedges",
})
# fmt: on
DRESSES = frozenset({"bodysuit", "dress", "romper"})
BAGS = frozenset({"bag", "purse", "wallet"})
HAIR = frozenset({"hair"})
NOBODY = frozenset({"null"})

FACE, NECK, TORSO, ARMS, HANDS, LEGS, FEET = (1,), (2,), (3,), (4, 5), (6, 7), (8, 9), (10, 11)
"""Values of a regions file; pairs are left and right."""


@dataclass(frozen=True)
class Figure:
    """One line of the score card.

    ``bound``: what the mean over a dataset must reach (recall) or stay under (the others).
    """

    name: str
    bound: float | None = None

    @property
    def is_recall(self) -> bool:
        """More is better."""
        return self.name.endswith("_recall")

    @property
    def region(self) -> str:
        """Return which region it is a fraction of."""
        return self.name.rpartition("_")[0]

    def excess(self, value: float) -> float:
        """How far ``value`` is on the wrong side of the bound; negative: on the right side."""
        if self.bound is None:
            return -1.0
        return self.bound - value if self.is_recall else value - self.bound


SPILL, AREA = "background_spill", "area"

FIGURES: Mapping[str, Sequence[Figure]] = {
    "upper": (
        Figure("upper_garment_recall", 0.95),
        Figure("dress_above_hip_recall"),
        Figure("arm_skin_recall", 0.95),
        Figure("neck_recall", 0.93),
        Figure("chest_skin_recall"),
        Figure("hair_cover"),
        Figure("hair_core_cover", 0.06),
        Figure("face_cover"),
        Figure("face_core_cover", 0.005),
        Figure("hands_cover"),
        Figure("hands_core_cover", 0.12),
        Figure("lower_garment_cover", 0.12),
        Figure("leg_skin_cover"),
        Figure("shoes_cover"),
        Figure("bag_cover"),
        Figure(SPILL, 0.257),
        Figure(AREA),
    ),
    "lower": (
        Figure("lower_garment_recall", 0.95),
        Figure("leg_skin_recall", 0.95),
        Figure("dress_below_hip_recall", 0.90),
        Figure("shoes_cover"),
        Figure("shoes_core_cover", 0.03),
        Figure("foot_skin_cover"),
        Figure("upper_above_hip_cover"),
        Figure("upper_below_hip_cover"),
        Figure("dress_above_hip_cover", 0.10),
        Figure("hands_cover"),
        Figure("hands_core_cover", 0.05),
        Figure("arm_skin_cover"),
        Figure("hair_cover"),
        Figure("face_cover"),
        Figure("bag_cover"),
        Figure(SPILL, 0.31),
        Figure(AREA),
    ),
}

Scores = dict[str, dict[str, float | None]]
"""By mask and figure, 0 to 1; None: not scored, because the region or the mask is not there."""


@dataclass(frozen=True)
class Truth:
    """What people marked in one photo.

    ``labels`` and ``parts``: uint8 (H, W); ``names``: the labels' names by value; ``hip_y``: pixels
    from the top.
    """

    labels: Grey
    parts: Grey
    names: Sequence[str]
    hip_y: float

    def regions(self) -> dict[str, BoolMask]:
        """Every region that a figure is a share of, bool (H, W)."""
        above_hip = np.arange(self.labels.shape[0])[:, None] < self.hip_y
        dress = self._labelled(DRESSES)
        upper = self._labelled(UPPER_GARMENTS)
        kept = {
            "hair": self._labelled(HAIR),
            "face": np.isin(self.parts, FACE),
            "hands": np.isin(self.parts, HANDS),
            "shoes": self._labelled(SHOES),
        }
        return {
            **kept,
            **{f"{name}_core": _core(region) for name, region in kept.items()},
            "upper_garment": upper,
            "upper_above_hip": upper & above_hip,
            "upper_below_hip": upper & ~above_hip,
            "lower_garment": self._labelled(LOWER_GARMENTS),
            "dress_above_hip": dress & above_hip,
            "dress_below_hip": dress & ~above_hip,
            "arm_skin": np.isin(self.parts, ARMS),
            "neck": np.isin(self.parts, NECK),
            "chest_skin": np.isin(self.parts, TORSO),
            "leg_skin": np.isin(self.parts, LEGS),
            "foot_skin": np.isin(self.parts, FEET),
            "bag": self._labelled(BAGS),
        }

    def nobody(self) -> BoolMask:
        """Where there is neither person nor garment."""
        return self._labelled(NOBODY)

    def _labelled(self, wanted: frozenset[str]) -> BoolMask:
        return np.isin(self.labels, [n for n, name in enumerate(self.names) if name in wanted])


def _core(region: BoolMask) -> BoolMask:
    reach = max(2, round(CORE_MARGIN * region.shape[0]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    # The frame's edge is no label edge: nothing is taken off there.
    eroded = cv2.erode(
        region.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1
    )
    return np.asarray(eroded, dtype=np.bool_)


def score(masks: Mapping[str, BoolMask | None], truth: Truth) -> Scores:
    """Score one photo.

    A mask that is missing (None) or empty has recall 0, and no cover, spill or area.

    Parameters
    ----------
    masks
        By name, bool, the shape of the labels.
    """
    regions, nobody = truth.regions(), truth.nobody()
    scores: Scores = {}
    for name, figures in FIGURES.items():
        mask = masks[name]
        if mask is not None and not mask.any():
            mask = None
        scores[name] = {figure.name: _value(figure, mask, regions, nobody) for figure in figures}
    return scores


def _value(
    figure: Figure, mask: BoolMask | None, regions: Mapping[str, BoolMask], nobody: BoolMask
) -> float | None:
    if figure.name in (SPILL, AREA):
        if mask is None:
            return None
        return float(nobody[mask].mean() if figure.name == SPILL else mask.mean())
    region = regions[figure.region]
    if region.sum() < MIN_REGION:
        return None
    if mask is None:
        return 0.0 if figure.is_recall else None
    return float(mask[region].mean())


def repainted(grey: Grey, shape: tuple[int, int]) -> BoolMask:
    """A mask file's pixels, uint8 (h, w), as bool on the labels' grid ``shape`` = (H, W)."""
    if grey.shape != shape:
        grey = np.asarray(
            cv2.resize(grey, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), dtype=np.uint8
        )
    return grey >= REPAINT


@dataclass(frozen=True)
class Line:
    """One figure over all photos.

    ``worst``: 5 % of the photos are this bad or worse; ``n``: how many photos were scored.
    """

    mean: float
    median: float
    worst: float
    n: int


def summarise(scores: Sequence[Scores]) -> dict[str, dict[str, Line | None]]:
    """Every figure over all photos, by mask and figure; None where no photo was scored."""
    return {
        mask: {
            figure.name: _line(figure, [one[mask][figure.name] for one in scores])
            for figure in figures
        }
        for mask, figures in FIGURES.items()
    }


def _line(figure: Figure, values: Sequence[float | None]) -> Line | None:
    known = np.array([value for value in values if value is not None])
    if not known.size:
        return None
    tail = np.percentile(known, TAIL if figure.is_recall else 100 - TAIL)
    return Line(float(known.mean()), float(np.median(known)), float(tail), known.size)


@dataclass(frozen=True)
class Worst:
    """A photo's figure that is furthest on the wrong side of its bound."""

    photo: str
    mask: str
    figure: Figure
    value: float


def worst_photos(scores: Mapping[str, Scores], count: int) -> list[Worst]:
    """At most ``count`` photos that miss a bound, the furthest off first."""
    found = []
    for photo, one in scores.items():
        candidates = [
            Worst(photo, mask, figure, value)
            for mask, figures in FIGURES.items()
            for figure in figures
            if (value := one[mask][figure.name]) is not None and figure.excess(value) > 0
        ]
        if candidates:
            found.append(max(candidates, key=_excess))
    return sorted(found, key=_excess, reverse=True)[:count]


def _excess(one: Worst) -> float:
    return one.figure.excess(one.value)


class Dataset:
    """A folder of labelled photos, laid out as the module says.

    Raises
    ------
    FileNotFoundError
        ``labels.json`` or ``regions.json`` is not there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: list[str] = json.loads((root / "labels.json").read_bytes())
        self._regions = json.loads((root / "regions.json").read_bytes())

    def photos(self, endings: str | None = None) -> dict[str, Path]:
        """The annotated photos by id, in order; ``endings``: of ids whose last digit is in it."""
        return {
            photo: self._root / "photos" / f"{photo}.jpg"
            for photo in self._ids(endings)
            if self._regions[photo]["ok"]
        }

    def unannotated(self, endings: str | None = None) -> list[str]:
        """Ids of the labelled photos whose regions could not be made: they are left out."""
        return [photo for photo in self._ids(endings) if not self._regions[photo]["ok"]]

    def truth(self, photo: str) -> Truth:
        """The labels of one photo."""
        return Truth(
            labels=_grey(self._root / "labels" / f"{photo}.png"),
            parts=_grey(self._root / "regions" / f"{photo}.png"),
            names=self._names,
            hip_y=self._regions[photo]["hip_y"],
        )

    def _ids(self, endings: str | None) -> list[str]:
        ids = sorted(path.stem for path in (self._root / "labels").glob("*.png"))
        return [photo for photo in ids if endings is None or photo[-1] in endings]


def _grey(path: Path) -> Grey:
    with Image.open(path) as image:
        return np.array(image, dtype=np.uint8)
