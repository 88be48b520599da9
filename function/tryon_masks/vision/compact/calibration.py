"""Every number by which the part map weighs the parser against the skeleton, in one place.

``python -m models.garment_parser.calibrate`` fits the class weights and thresholds anew after a
training, on folds of the validation photos; ``python -m models.garment_parser.rules`` counts how
often each rule is right. Lengths are in units of the torso length T.

Sources: class weights, ``nobody`` and ``wrist`` were set on the 101 validation photos of Clothing
Co-Parsing after the eleventh round. ``far`` and ``cloth`` come from the everyday validation photos,
where they gain .003 of the torso for .001 of spill. ``jaw`` comes from labelled street photos.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tryon_masks.vision.compact.classes import Class


@dataclass(frozen=True)
class Calibration:
    """Constants of :mod:`tryon_masks.vision.compact.part_map`.

    Attributes
    ----------
    nobody, nobody_on_limb
        Probability of the background from which a pixel is background: elsewhere, and on a limb
        that the pose model sees. What is left goes to the other classes by weight.
    class_weights
        Factor of each class's probability, 1 where nothing is said. The weights move the borders
        between classes, not the outline: a slip does not cost a mask the same both ways.
    floor
        Least probability that the parser must give a class before a rule moves a pixel to it.
    limb_core
        Share of a limb's width that is surely that limb.
    near
        How far beyond the pose model's outline everything is believed.
    far, cloth
        How far beyond it cloth is believed, if it is connected to the person and its probability
        is at least ``cloth``.
    other_person
        Probability from which the pose model's outline of somebody else is believed.
    jaw
        How fast the log odds of face against neck rise with the height over the jaw, in units of
        the distance from eyes to mouth.
    wrist
        What a pixel's log odds of hand against arm gain for every half width that it is nearer to
        the hand's bone than to the arm's.
    perhaps_lower
        Probability of the classes worn below from which what seems a top may be one of them.
    """

    nobody: float = 0.47
    nobody_on_limb: float = 0.95
    class_weights: Mapping[Class, float] = field(
        default_factory=lambda: {
            Class.HAIR: 2.9,
            Class.FACE: 6.5,
            Class.NECK: 32.0,
            Class.ARM: 4.5,
            Class.HAND: 3.5,
            Class.LEG: 9.0,
            Class.TOP: 1.8,
            Class.OUTERWEAR: 1.8,
            Class.DRESS: 3.2,
            Class.SKIRT: 1.4,
            Class.TROUSERS: 1.3,
            Class.SHOE: 2.8,
            Class.BAG: 0.6,
        }
    )
    floor: float = 0.02
    limb_core: float = 0.7
    near: float = 0.06
    far: float = 0.35
    cloth: float = 0.8
    other_person: float = 0.5
    jaw: float = 45.0
    wrist: float = 40.0
    perhaps_lower: float = 0.25


CALIBRATION = Calibration()
