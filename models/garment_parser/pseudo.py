"""Labels for the unlabelled photos: the parser's own, where a teacher does not object.

    python -m models.garment_parser.pseudo CCP PEOPLE WEIGHTS SELFIE.onnx OUT [--height N]

Writes OUT/NNNN.png. A pixel is left open where the parser is unsure, or where
the selfie model is sure of another kind of thing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.garment_parser.data import IGNORE, read_skeleton, resample
from models.garment_parser.network import flip_tta, starting
from models.garment_parser.selfie import KIND_OF, NOTHING, SelfieSegmenter
from models.garment_parser.teachers import on_photo
from tryon_masks.domain.person import Box
from tryon_masks.vision.compact.classes import Class
from tryon_masks.vision.compact.garment_parser import ClassProbabilities
from tryon_masks.vision.compact.input import crop_matrix, tensor
from tryon_masks.vision.runtime import Floats

MIN_PROBABILITY = 0.6
"""Probability from which the parser's label is believed."""
CONTRADICTION = 0.8
"""Probability from which the teacher's is, where the two differ in kind."""

ANYTHING = (Class.HAT, Class.EYEWEAR, Class.SHOE, Class.BAG, Class.LEGWEAR, Class.SCARF, Class.BELT)
"""What the teacher has no name for: it may only object that there is nothing."""


def main() -> None:
    """Label every photo that has a skeleton."""
    parser = argparse.ArgumentParser(description="Label the unlabelled photos.")
    for name in ("ccp", "people", "weights", "selfie", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--height", type=int, default=384)
    args = parser.parse_args()
    size = (args.height, args.height * 2 // 3)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = starting(args.weights).to(device)
    teacher = SelfieSegmenter(args.selfie, 2)
    args.out.mkdir(parents=True, exist_ok=True)
    people = json.loads((args.people / "people.json").read_text())
    for name, person in people.items():
        rgb = np.asarray(Image.open(args.ccp / "unlabelled" / name).convert("RGB"))
        box, skeleton = Box(*person["box"]), read_skeleton(person)
        outline = np.asarray(Image.open(args.people / f"{Path(name).stem}.png"))
        matrix = crop_matrix(box, skeleton, size)
        inputs = torch.from_numpy(tensor(rgb, outline, skeleton, matrix, size)).to(device)
        (probabilities,) = flip_tta(model, inputs).cpu().numpy()
        planes = resample(ClassProbabilities.from_cells(probabilities, matrix), outline.shape)
        labels = planes.argmax(0).astype(np.uint8)
        labels[planes.max(0) < MIN_PROBABILITY] = IGNORE
        labels[contradicted(labels, kind_probabilities(on_photo(teacher, rgb, box)))] = IGNORE
        Image.fromarray(labels).save(args.out / f"{Path(name).stem}.png")


def kind_probabilities(probabilities: Floats) -> Floats:
    """What kind of thing the selfie model sees: (H, W, 6) -> (H, W, 4).

    What it calls other speaks for no kind, and so against none.
    """
    background, hair, body, face, clothes, _ = np.moveaxis(probabilities, -1, 0)
    return np.stack([background, hair, body + face, clothes], -1)


def contradicted(labels: NDArray[np.uint8], kinds: Floats) -> NDArray[np.bool_]:
    """Where the teacher is sure of another kind of thing: shape (H, W)."""
    known = labels != IGNORE
    own = KIND_OF[np.where(known, labels, 0)]
    sure = kinds > CONTRADICTION
    other = sure.any(-1) & (kinds.argmax(-1) != own)
    nameless = np.isin(labels, ANYTHING)
    return np.asarray(known & np.where(nameless, sure[..., NOTHING], other))


if __name__ == "__main__":
    main()
