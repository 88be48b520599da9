"""Photos whose labels name parts of the body, or skin, but no garments.

A pixel labelled "upper leg" may be leg, trousers, skirt, dress, legwear or a coat's tail, and
nothing else. Such a label is a *set* of classes; :data:`SETS` lists what each set allows, and the
loss is the negative logarithm of the summed probability of these classes, each with its weight.

    python -m models.garment_parser.partial DATASET MODELS OUT

writes the outline of the person in each photo of DATASET/photos, OUT/NAME.png, and all skeletons,
OUT/people.json, by the photos' names without their endings; :mod:`models.garment_parser.people`
keeps the endings.

Data sets: PASCAL-Person-Part (Chen et al., CVPR 2014) and fashion photos with skin marked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.garment_parser.data import (
    IGNORE,
    NOBODY,
    Example,
    Polygon,
    body_box,
    outline_pieces,
    read_corrected,
    read_skeleton,
    things_of,
)
from tryon_masks.domain.person import Box
from tryon_masks.domain.shapes import whole_grid
from tryon_masks.vision.compact.blazepose import Crop, PersonDetector, PoseModel, to_candidate
from tryon_masks.vision.compact.classes import CLASSES, Class

ReadLabels = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]]
"""From a photo (H, W, 3) and what is marked in it (H, W) to labels (H, W)."""

VALIDATION = ("3", "8")
"""Last characters of the names that are never trained on."""
_SKIN = {Class.FACE, Class.NECK, Class.TORSO_SKIN, Class.ARM, Class.HAND, Class.LEG}
LOWER_ARM, TORSO, LOWER_LEG, HEAD, UPPER_LEG, UPPER_ARM, SKIN, NO_SKIN = range(
    NOBODY + 1, NOBODY + 9
)
SETS: dict[int, dict[Class, float]] = {
    NOBODY: {Class.BACKGROUND: 1, Class.BAG: 1},
    LOWER_ARM: {
        Class.ARM: 1,
        Class.HAND: 1,
        Class.TOP: 0.8,
        Class.OUTERWEAR: 0.8,
        Class.DRESS: 0.2,
    },
    TORSO: {
        Class.TOP: 1,
        Class.OUTERWEAR: 0.6,
        Class.DRESS: 0.35,
        Class.SKIRT: 0.2,
        Class.TROUSERS: 0.2,
        Class.BELT: 1,
        Class.TORSO_SKIN: 1,
        Class.NECK: 0.5,
        Class.SCARF: 0.5,
    },
    LOWER_LEG: {
        Class.LEG: 1,
        Class.TROUSERS: 1,
        Class.SHOE: 1,
        Class.LEGWEAR: 0.7,
        Class.SKIRT: 0.15,
        Class.DRESS: 0.15,
        Class.OUTERWEAR: 0.05,
    },
    HEAD: {
        Class.HAT: 1,
        Class.HAIR: 1,
        Class.EYEWEAR: 1,
        Class.FACE: 1,
        Class.NECK: 0.5,
        Class.SCARF: 0.2,
    },
    UPPER_LEG: {
        Class.LEG: 1,
        Class.TROUSERS: 1,
        Class.SKIRT: 0.5,
        Class.LEGWEAR: 0.5,
        Class.DRESS: 0.35,
        Class.OUTERWEAR: 0.15,
    },
    UPPER_ARM: {Class.ARM: 1, Class.TOP: 1, Class.OUTERWEAR: 0.7, Class.DRESS: 0.3},
    SKIN: dict.fromkeys(_SKIN, 1.0) | {Class.LEGWEAR: 0.3, Class.SHOE: 0.2},
    NO_SKIN: {cls: 1.0 for cls in CLASSES if cls not in _SKIN and cls is not Class.BACKGROUND},
}
"""The classes that each set allows, and the weight of each: how common it is there, about. Without
weights a dress, which every region allows, would be the cheapest answer everywhere. A bare foot
counts as a shoe; sheer tights pass for skin."""
NAMES = {
    NOBODY: "nobody",
    TORSO: "torso",
    HEAD: "head",
    UPPER_ARM: "upper arm",
    LOWER_ARM: "lower arm",
    UPPER_LEG: "upper leg",
    LOWER_LEG: "lower leg",
    SKIN: "skin",
    NO_SKIN: "no skin",
}
PARTS = np.array([NOBODY, LOWER_ARM, TORSO, LOWER_LEG, HEAD, UPPER_LEG, UPPER_ARM])
"""From the label of PASCAL-Person-Part to ours."""
OUTFITS = Path(__file__).with_name("outfits.json")
"""What the people of both data sets wear, seen by eye: photo -> letters of :data:`LETTERS`."""
LETTERS = {
    "T": Class.TOP,
    "O": Class.OUTERWEAR,
    "D": Class.DRESS,
    "S": Class.SKIRT,
    "P": Class.TROUSERS,
    "L": Class.LEGWEAR,
    "B": Class.LEG,
    "K": Class.SCARF,
    "H": Class.HAT,
}
"""The class that each letter of an outfit stands for; photos without an entry are not known."""
CARRIED = Path(__file__).with_name("carried.json")
"""What they carry or hold, outlined by eye: photo -> polygons. An empty list says that somebody
looked and saw nothing."""
BLACK = 4
"""Greatest brightness of the cut-outs' ground, 0 to 255."""
SMALLEST = 0.0004
"""Least area of a figure's piece or hole that is not noise, as a fraction of the photo's."""
BORDER = 3
"""Width in pixels of the strip along the labels' borders that is not learnt."""
AGREEMENT = 0.3
"""Least intersection over union of a pose's outline and the labelled person."""


def allowed() -> NDArray[np.float32]:
    """Return the weights of the classes that a label allows, 0 to 1: shape (256, 20).

    All are 1 where nobody knows.
    """
    table = np.ones((256, len(CLASSES)), np.float32)
    table[: len(CLASSES)] = np.eye(len(CLASSES))
    for label, classes in SETS.items():
        table[label] = 0
        table[label, list(classes)] = list(classes.values())
    return table


def body_parts(folder: Path, people: Path, *, validation: bool) -> list[Example]:
    """Load PASCAL-Person-Part, either the photos of the validation or all others."""
    return _load(folder, people, "labels", _parts_of, validation=validation)


def skin_labels(folder: Path, people: Path, *, validation: bool) -> list[Example]:
    """Load the cut-out photos with skin marked, either those of the validation or all others."""
    return _load(folder, people, "skin", _skin_of, validation=validation)


def _load(
    folder: Path, people: Path, labels: str, read: ReadLabels, *, validation: bool
) -> list[Example]:
    known = json.loads((people / "people.json").read_text())
    outfits: dict[str, str] = json.loads(OUTFITS.read_text())
    carried: dict[str, list[Polygon]] = json.loads(CARRIED.read_text())
    corrected = read_corrected()
    examples = []
    for name in sorted(known):
        if name.endswith(VALIDATION) != validation:
            continue
        rgb = np.asarray(Image.open(folder / "photos" / f"{name}.jpg").convert("RGB"))
        raw = np.asarray(Image.open(folder / labels / f"{name}.png").convert("L"))
        skeleton = read_skeleton(known[name])
        if skeleton.torso is None:
            continue
        marked = read(rgb, raw)
        pieces = corrected.get(name, []) + [(Class.BAG, one) for one in carried.get(name, [])]
        outline_pieces(marked, pieces)
        outline = np.asarray(Image.open(people / f"{name}.png"))
        box = body_box(marked, skeleton)
        outfit = outfits.get(name)
        worn = None if outfit is None else frozenset(LETTERS[letter] for letter in outfit)
        examples.append(
            Example(
                name,
                rgb,
                marked,
                outline,
                skeleton,
                box,
                worn,
                outlined=name in carried,
                things=things_of(pieces),
            )
        )
    return examples


def _parts_of(_: NDArray[np.uint8], raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return without_borders(PARTS[raw].astype(np.uint8))


def _skin_of(rgb: NDArray[np.uint8], raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # The outermost pixels are half black.
    figure = cv2.erode(silhouette(rgb).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    labels = np.where(raw > 127, SKIN, NO_SKIN).astype(np.uint8)
    # A black place inside the figure is dark cloth, or ground between an arm and the trunk.
    dark = (rgb.max(2) <= BLACK).astype(np.uint8)
    labels[cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0] = IGNORE
    labels[~figure] = Class.BACKGROUND
    return without_borders(labels)


def silhouette(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a cut-out photo shows the person: what is not black, and holes in it."""
    smallest = SMALLEST * rgb.shape[0] * rgb.shape[1]
    lit = (rgb.max(2) > BLACK).astype(np.uint8)
    lit = cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    for seen in (0, 1):  # holes first, then specks
        _, pieces, stats, _ = cv2.connectedComponentsWithStats((lit == seen).astype(np.uint8))
        small = stats[:, cv2.CC_STAT_AREA] < (40 * smallest if seen == 0 else smallest)
        small[0] = False
        lit[small[pieces]] = 1 - seen
    return lit > 0


def without_borders(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``labels`` (H, W) with :data:`IGNORE` along the border of two labels."""
    kernel = np.ones((BORDER, BORDER), np.uint8)
    border = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    return np.where(border, np.uint8(IGNORE), labels)


def main() -> None:
    """Write the outlines, and {name: {"box": [x0, y0, x1, y1], "points": {name: [x, y, p]}}}."""
    folder, models, out = (Path(argument) for argument in sys.argv[1:])
    detector = PersonDetector(models / "person_detector.onnx", 1)
    poses = PoseModel(models / "pose_landmark.onnx", 1)
    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    people, missed = {}, 0
    for path in sorted((folder / "photos").glob("*.jpg")):
        rgb = np.asarray(Image.open(path).convert("RGB"))
        frame = (rgb.shape[0], rgb.shape[1])
        label = folder / "labels" / f"{path.stem}.png"
        body = np.asarray(Image.open(label)) > 0 if label.exists() else silhouette(rgb)
        best, found = None, AGREEMENT
        confident = [one.crop for one in detector.find(rgb) if one.confident]
        for crop in [*confident, *crops_around(body)]:
            pose = poses.infer(rgb, crop)
            if pose is None or (one := to_candidate(pose, frame)) is None:
                continue
            outline = pose.outline_on(*whole_grid(frame))
            seen = outline > 0.5
            overlap = (seen & body).sum() / max(1, (seen | body).sum())
            if overlap > found:
                best, found = (one, outline), overlap
        if best is None:
            missed += 1
            continue
        one, outline = best
        Image.fromarray(cv2.convertScaleAbs(outline, alpha=255)).save(out / f"{path.stem}.png")
        points = {name: [k.x, k.y, k.score] for name, k in one.skeleton.keypoints.items()}
        box: Box = one.box
        people[path.stem] = {"box": [box.x0, box.y0, box.x1, box.y1], "points": points}
    (out / "people.json").write_text(json.dumps(people))
    print(f"{len(people)} found, {missed} missed")


def crops_around(body: NDArray[np.bool_]) -> list[Crop]:
    """Return squares about a labelled person in which the pose model may see what it missed."""
    x, y, width, height = cv2.boundingRect(body.astype(np.uint8))
    centre = x + width / 2, y + height / 2
    return [
        Crop(*centre, 1.25 * max(width, height), 0.0),
        Crop(*centre, 2 * max(width, height), 0.0),
    ]


if __name__ == "__main__":
    main()
