"""Who is in the photos, by the service's own pose models.

    python -m models.garment_parser.people CCP MODELS OUT

Writes the outline of one person a photo, OUT/NNNN.png, and the skeletons of the unlabelled photos,
OUT/people.json. A photo with nobody in it is left out. Among several people the largest counts, and
on a labelled photo whoever stands where the data set's skeleton does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from models.garment_parser.data import known_skeleton
from tryon_masks.domain import fitness
from tryon_masks.domain.errors import Refusal
from tryon_masks.domain.person import Candidate
from tryon_masks.domain.shapes import whole_grid
from tryon_masks.domain.skeleton import Skeleton
from tryon_masks.vision.compact.blazepose import PersonDetector, PoseModel, to_candidate
from tryon_masks.vision.compact.people import PoseCandidate, outline_of

ASTRAY = 0.5
"""Mean distance of the shoulders and hips, in T, from which a skeleton is another person's."""
COMPARED = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


def main() -> None:
    """Write the outlines, and {photo: {"box": [x0, y0, x1, y1], "points": {name: [x, y, p]}}}."""
    ccp, models, out = (Path(argument) for argument in sys.argv[1:])
    detector = PersonDetector(models / "person_detector.onnx", 1)
    poses = PoseModel(models / "pose_landmark.onnx", 1)
    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    labelled = {
        name: known_skeleton(about)
        for name, about in json.loads((ccp / "regions.json").read_text()).items()
        if about["ok"]
    }
    paths = [ccp / "photos" / f"{name}.jpg" for name in labelled]
    unlabelled, missed = {}, 0
    for path in [*paths, *sorted((ccp / "unlabelled").glob("*.jpg"))]:
        rgb = np.asarray(Image.open(path).convert("RGB"))
        frame = (rgb.shape[0], rgb.shape[1])
        confident = [one.crop for one in detector.find(rgb) if one.confident]
        looks = [pose for crop in confident if (pose := poses.infer(rgb, crop))]
        people = [
            PoseCandidate(one.box, one.score, one.skeleton, pose)
            for pose in looks
            if (one := to_candidate(pose, frame)) is not None
        ]
        chosen = _choose(people, frame[0], labelled.get(path.stem))
        if chosen is None:
            missed += 1
            continue
        outline = outline_of(chosen, whole_grid(frame))
        Image.fromarray(cv2.convertScaleAbs(outline, alpha=255)).save(out / f"{path.stem}.png")
        if path.stem not in labelled:
            points = {name: [k.x, k.y, k.score] for name, k in chosen.skeleton.keypoints.items()}
            box = chosen.box
            corners = [box.x0, box.y0, box.x1, box.y1]
            unlabelled[path.name] = {"box": corners, "points": points}
    (out / "people.json").write_text(json.dumps(unlabelled))
    print(f"{len(labelled)} labelled, {len(unlabelled)} unlabelled; nobody in {missed}")


def _choose(people: Sequence[Candidate], height: int, known: Skeleton | None) -> Candidate | None:
    if known is not None:
        nearest = min(people, key=lambda one: _distance(one.skeleton, known), default=None)
        astray = nearest is not None and _distance(nearest.skeleton, known) > ASTRAY
        return None if astray else nearest
    try:
        return fitness.choose(people, height, largest=True)
    except Refusal:
        return None


def _distance(one: Skeleton, other: Skeleton) -> float:
    """Mean distance of the trunks' corners, in T; infinite where none can be compared."""
    pairs = [(one.get(name), other.get(name)) for name in COMPARED]
    apart = [np.hypot(*np.subtract(a, b)) for a, b in pairs if a is not None and b is not None]
    return float(np.mean(apart)) / (other.torso or 1.0) if apart else np.inf


if __name__ == "__main__":
    main()
