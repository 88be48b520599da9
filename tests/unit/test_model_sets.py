"""benchmarks/model_sets.py, on graphs a hundredth as wide as those that it measures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.graphs import make_published, make_set
from benchmarks.model_sets import Figures, Reference, as_text, main
from tests import fakes

from tryon_masks.vision.dwpose_schp.schp import HumanParser

SLIM = 128


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    make_published(folder / "published", SLIM)
    make_set(folder / "dwpose-schp", folder / "published")
    return folder


@pytest.mark.parametrize(("name", "side"), [("atr", 512), ("lip", 473)])
def test_the_reference_way_gives_the_same_label_map(graphs: Path, name: str, side: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (641, 483, 3), dtype=np.uint8)

    reference = Reference(graphs / "published", 1).parse(name, rgb)
    ours = HumanParser(graphs / "dwpose-schp" / f"parsing_{name}.onnx", 1, side).parse(rgb)

    assert len(np.unique(reference)) == 4
    assert (ours != reference).mean() < 0.005


def test_the_command_measures_every_stage_and_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "photo.jpg").write_bytes(fakes.photo())
    what = ["--only", "dwpose-schp", "int8", "reference", "--sizes", "150x200", "--slim", str(SLIM)]

    assert main([str(tmp_path / "photo.jpg"), *what, "--runs", "1", "--threads", "1"]) == 0

    *table, last = capsys.readouterr().out.splitlines()
    figures = json.loads(last)["sizes"]["150x200"]
    assert table[0] == "| 150 x 200, median s | dwpose-schp | int8 | reference |"
    for stage in ("decode_image", "detect_people", "estimate_poses", "parse_atr", "parse_lip"):
        for name in ("dwpose-schp", "int8", "reference"):
            assert len(figures[name]["stages_s"][stage]) == 1
    assert figures["reference"]["peak_mb"] > 0


def test_ratios_are_to_the_reference() -> None:
    figures = {
        "dwpose-schp": Figures({"whole photo": [1.0, 3.0, 2.0]}, 300),
        "reference": Figures({"whole photo": [10.0]}, 1200),
    }

    text = as_text((3, 4), figures)

    assert "| whole photo | 2.000 | 10.000 |" in text
    assert "| speed | 5.00 x | 1.00 x |" in text
    assert "| memory | 0.25 x | 1.00 x |" in text
