"""The score card against another scorer, which is not in the repository.

``EVALUATION=DIR`` names its folder: ``tools/score_masks.py`` and ``data/ccp/labels.json`` in it.
"""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path

import numpy as np
import pytest
from benchmarks.scorecard import Truth, score

pytestmark = pytest.mark.evaluation


@pytest.fixture
def evaluation() -> Path:
    if not (folder := os.environ.get("EVALUATION")):
        pytest.skip("EVALUATION names no folder")
    return Path(folder)


def test_every_figure_equals_the_reference_scorer(evaluation: Path) -> None:
    reference = runpy.run_path(str(evaluation / "tools" / "score_masks.py"))["score"]
    names = json.loads((evaluation / "data" / "ccp" / "labels.json").read_bytes())
    random = np.random.default_rng(7)
    compared = 0
    for _ in range(20):
        # Blocks of 15 x 15 pixels: large enough to be scored and to have a core.
        labels, parts, upper, lower = (
            np.kron(random.integers(0, most, (20, 14)), np.ones((15, 15))).astype(np.uint8)
            for most in (len(names), 13, 2, 2)
        )
        hip = float(random.uniform(60, 240))
        wanted = reference(upper * 255, lower * 255, labels, {"part": parts, "hip_y": hip})
        found = score(
            {"upper": upper.astype(bool), "lower": lower.astype(bool)},
            Truth(labels, parts, names, hip),
        )
        # The reference does not look at hems.
        del found["lower"]["upper_below_hip_cover"]
        assert found == wanted
        compared += sum(value is not None for one in found.values() for value in one.values())
    assert compared > 500
