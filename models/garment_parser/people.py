"""Skeletons of the unlabelled photos, by the service's own pose models.

    python -m models.garment_parser.people CCP MODELS OUT.json

A photo with nobody in it is left out; among several people the largest counts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tryon_masks.domain import fitness
from tryon_masks.domain.errors import Refusal
from tryon_masks.vision.blazepose import PersonDetector, PoseModel, to_candidate


def main() -> None:
    """Write {photo: {"box": [x0, y0, x1, y1], "points": {name: [x, y, score]}}}."""
    ccp, models, out = (Path(argument) for argument in sys.argv[1:])
    detector = PersonDetector(models / "person_detector.onnx", 1)
    poses = PoseModel(models / "pose_landmark.onnx", 1)
    cv2.setNumThreads(1)
    found = {}
    for path in sorted((ccp / "unlabelled").glob("*.jpg")):
        rgb = np.asarray(Image.open(path).convert("RGB"))
        frame = (rgb.shape[0], rgb.shape[1])
        looks = (poses.look(rgb, crop) for crop in detector.find(rgb))
        people = [to_candidate(pose, frame) for pose in looks if pose is not None]
        try:
            chosen = fitness.choose(
                [one for one in people if one is not None], frame[0], largest=True
            )
        except Refusal:
            continue
        points = {name: [k.x, k.y, k.score] for name, k in chosen.skeleton.keypoints.items()}
        box = chosen.box
        found[path.name] = {"box": [box.x0, box.y0, box.x1, box.y1], "points": points}
    out.write_text(json.dumps(found))
    print(len(found))


if __name__ == "__main__":
    main()
