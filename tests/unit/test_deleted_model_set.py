"""A model set is deleted by deleting its folder: the rest imports, and knows the other one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "function"
PROGRAM = """
import pkgutil
from importlib import import_module

import tryon_masks
from tryon_masks.domain.errors import SettingsError
from tryon_masks.model_sets import model_sets
from tryon_masks.settings import Settings

LAMBDA = {"tryon_masks.entrypoints.api", "tryon_masks.entrypoints.worker"}
for module in pkgutil.walk_packages(tryon_masks.__path__, "tryon_masks."):
    if module.name not in LAMBDA:
        import_module(module.name)
print(*model_sets())
try:
    print(Settings.from_env({}, on_lambda=False).model_set)
except SettingsError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("deleted", "left", "chosen"),
    [
        ("dwpose_schp", "compact", "compact"),
        (
            "compact",
            "dwpose-schp dwpose-schp-int8",
            "MODEL_SET is not set: choose dwpose-schp or dwpose-schp-int8.",
        ),
    ],
)
def test_the_rest_goes_on(tmp_path: Path, deleted: str, left: str, chosen: str) -> None:
    shutil.copytree(SOURCE, tmp_path / "function")
    shutil.rmtree(tmp_path / "function" / "tryon_masks" / "vision" / deleted)

    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": str(tmp_path / "function"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (ran.stderr, ran.stdout.splitlines()) == ("", [left, chosen])
