"""Fit the class weights and the thresholds of the background anew, after a training.

    python -m models.garment_parser.calibrate PARSER.onnx CCP PEOPLE PARTS PARTS_PEOPLE

Minimises what the masks cost, on the validation photos of both data sets: the mean over photos of
the share of each labelled region that lies in a mask that must not have it, or outside the one
that must. One fold's figures come from weights that the other fold chose, so that no figure is
published on the photos that chose it; the last line is fitted on all photos.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.garment_parser import partial
from models.garment_parser.data import NOBODY, Example, labelled
from models.garment_parser.partial import body_parts
from models.garment_parser.rules import evidence_of
from tryon_masks.domain import anatomy
from tryon_masks.domain.anatomy import Points
from tryon_masks.domain.shapes import grow
from tryon_masks.vision.compact.calibration import CALIBRATION, Calibration
from tryon_masks.vision.compact.classes import CLASSES, Class
from tryon_masks.vision.compact.garment_parser import GarmentParser
from tryon_masks.vision.compact.part_map import limbs_of, winners_of
from tryon_masks.vision.runtime import Floats

PIXELS = 4000
"""Pixels of each photo that are looked at."""
LEAST = 20
"""Pixels from which a region of a photo counts."""
STRAIN = 0.003
"""Cost of a weight that is e times too large or too small."""
STEPS = (1.5, 1.2, 1.08)
"""Factors by which a number is moved, in turn."""

UPPER, LOWER, KEPT, BY_HEIGHT = range(4)
_UPPER = (Class.TOP, Class.OUTERWEAR, Class.ARM, Class.NECK, Class.TORSO_SKIN, Class.SCARF)
_LOWER = (Class.SKIRT, Class.TROUSERS, Class.LEG, Class.LEGWEAR)
MASK_OF = np.full(len(CLASSES), KEPT)
MASK_OF[list(_UPPER)] = UPPER
MASK_OF[list(_LOWER)] = LOWER
MASK_OF[[Class.DRESS, Class.BELT]] = BY_HEIGHT
"""The mask that repaints each class: a dress is ``UPPER`` above the hips, ``LOWER`` below."""


@dataclass(frozen=True)
class Line:
    """A region of the labels, the masks that it may be in, and what a miss of all of it costs."""

    labels: tuple[int, ...]
    masks: tuple[int, ...]
    cost: float = 1.0


LINES = {
    "top": Line((Class.TOP, Class.OUTERWEAR), (UPPER,), 2.0),
    "arm": Line((Class.ARM,), (UPPER,), 1.5),
    "neck": Line((Class.NECK,), (UPPER,), 1.5),
    "bottom": Line((Class.SKIRT, Class.TROUSERS), (LOWER,), 2.0),
    "leg": Line((Class.LEG,), (LOWER,), 1.5),
    "dress": Line((Class.DRESS,), (UPPER, LOWER), 0.5),
    "hair": Line((Class.HAIR, Class.HAT), (KEPT,)),
    "face": Line((Class.FACE,), (KEPT,), 2.0),
    "hand": Line((Class.HAND,), (KEPT,)),
    "shoe": Line((Class.SHOE,), (KEPT,), 1.5),
    "bag": Line((Class.BAG,), (KEPT,), 0.2),
    "torso": Line((partial.TORSO,), (UPPER,), 2.0),
    "upper arm": Line((partial.UPPER_ARM,), (UPPER,), 1.5),
    "thigh": Line((partial.UPPER_LEG,), (LOWER,), 2.0),
    "head": Line((partial.HEAD,), (KEPT,), 0.5),
    "nobody": Line((Class.BACKGROUND, NOBODY), (KEPT,)),
}


@dataclass(frozen=True)
class Sample:
    """Some pixels of one photo.

    ``probabilities`` (20, N), ``labels`` (N,), and which of them lie on a limb, and above the hips.
    """

    probabilities: Floats
    labels: NDArray[np.uint8]
    on_limb: NDArray[np.bool_]
    above: NDArray[np.bool_]


def sample(parser: GarmentParser, example: Example, rng: np.random.Generator) -> Sample:
    """Draw pixels from where the person may be."""
    evidence, outline, _ = evidence_of(parser, example)
    own = outline >= 0.5
    pixels = Points.from_mask(grow(own, CALIBRATION.near * evidence.unit))
    some = rng.permutation(len(pixels.index))[:PIXELS]
    pixels = Points(pixels.index[some], pixels.x[some], pixels.y[some])
    axis = anatomy.axis(evidence.skeleton)
    height = np.zeros_like(pixels.x) if axis is None else axis.height(pixels.x, pixels.y)
    return Sample(
        evidence.answer.at(CLASSES, pixels.x, pixels.y),
        np.take(example.labels, pixels.index),
        np.take(limbs_of(evidence, own), pixels.index),
        height > 0,
    )


def costs(samples: list[Sample], calibration: Calibration) -> dict[str, float]:
    """Return what each line costs: the mean over the photos that have the region."""
    shares: dict[str, list[float]] = {name: [] for name in LINES}
    for one in samples:
        off, _ = winners_of(one.probabilities, calibration.nobody, calibration)
        on, _ = winners_of(one.probabilities, calibration.nobody_on_limb, calibration)
        masks = MASK_OF[np.where(one.on_limb, on, off)]
        by_height = np.where(one.above, UPPER, LOWER)
        masks = np.where(masks == BY_HEIGHT, by_height, masks)
        for name, line in LINES.items():
            there = np.isin(one.labels, line.labels)
            if there.sum() >= LEAST:
                shares[name].append(1 - float(np.isin(masks[there], line.masks).mean()))
    return {name: float(np.mean(values)) if values else 0.0 for name, values in shares.items()}


def total(found: dict[str, float]) -> float:
    """Add the lines up, each with its cost."""
    return sum(LINES[name].cost * value for name, value in found.items())


def strain(calibration: Calibration) -> float:
    """Return what it costs that weights are far from 1: photos are few, and rare classes rarer."""
    weights = np.array(list(calibration.class_weights.values()))
    return float(STRAIN * (np.log(weights) ** 2).sum())


def fit(samples: list[Sample], start: Calibration) -> Calibration:
    """Move one number after the other while the total falls."""

    def cost_of(calibration: Calibration) -> float:
        return total(costs(samples, calibration)) + strain(calibration)

    names: tuple[str | Class, ...] = ("nobody", "nobody_on_limb", *CLASSES[1:])
    best, least = start, cost_of(start)
    for step in STEPS:
        for name in names:
            for factor in (step, 1 / step):
                while True:
                    tried = _moved(best, name, factor)
                    cost = cost_of(tried)
                    if cost >= least - 1e-5:
                        break
                    best, least = tried, cost
    return best


def _moved(calibration: Calibration, name: str | Class, factor: float) -> Calibration:
    if isinstance(name, Class):
        weights = dict(calibration.class_weights)
        weights[name] = weights.get(name, 1.0) * factor
        return replace(calibration, class_weights=weights)
    odds = getattr(calibration, name) / (1 - getattr(calibration, name)) * factor
    return replace(calibration, **{name: odds / (1 + odds)})


def main() -> None:
    """Print what each fold's fit costs on the other, and the numbers fitted on all photos."""
    path, ccp, people, parts, parts_people = (Path(argument) for argument in sys.argv[1:])
    parser, rng = GarmentParser(path, 2), np.random.default_rng(7)
    examples = [
        *labelled(ccp, people, validation=True),
        *body_parts(parts, parts_people, validation=True),
    ]
    samples = [sample(parser, example, rng) for example in examples]
    folds = samples[::2], samples[1::2]
    before = [costs(fold, CALIBRATION) for fold in folds]
    after = [costs(fold, fit(other, CALIBRATION)) for fold, other in (folds, (folds[1], folds[0]))]
    print("| line | now | fitted on the other fold |\n|---|--:|--:|")
    for name in LINES:
        now, then = (np.mean([found[name] for found in side]) for side in (before, after))
        print(f"| {name} | {now:.3f} | {then:.3f} |")
    now, then = (np.mean([total(found) for found in side]) for side in (before, after))
    print(f"| total | {now:.3f} | {then:.3f} |\n")
    best = fit(samples, CALIBRATION)
    print(f"nobody {best.nobody:.3f}, nobody_on_limb {best.nobody_on_limb:.3f}")
    print(", ".join(f"{cls.name} {weight:.2f}" for cls, weight in best.class_weights.items()))


if __name__ == "__main__":
    main()
