"""What is made beside masks and is no picture: JSON files beside them in the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tryon_masks.domain.errors import StoreFailed
from tryon_masks.service import MaskResult

TARGET_JSON = "target.json"
"""Lies in every folder that is made for a model."""


def write_json_files(result: MaskResult, folder: Path, stem: str) -> None:
    """Write keypoints, and each target's words and transform, for the photo called ``stem``.

    Raises
    ------
    StoreFailed
    """
    files: dict[str, Any] = {}
    if result.keypoints is not None:
        files |= {
            f"{stem}.keypoints.json": result.keypoints["named"],
            f"{stem}.keypoints_body_25.json": result.keypoints["body_25"],
            f"{stem}.keypoints_coco_18.json": result.keypoints["coco_18"],
        }
    for kind, target in result.targets.items():
        words = {name: value for name, value in target.about.items() if name != "transform"}
        place = f"{stem}.{words['target']}_{kind}"
        files[f"{place}/{TARGET_JSON}"] = words
        files[f"{place}/transform.json"] = target.about["transform"]
    try:
        for name, value in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value, indent=2) + "\n")
    except OSError as error:
        raise StoreFailed("The JSON files could not be written.", detail=str(error)) from error
