"""Puts the builder of the model sets, and what it reads, into the wheel; see pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUILDER = (
    "build.py",
    "convert.py",
    "catalog.toml",
    "conversion-requirements.txt",
    "npm-requirements.txt",
    "garment_parser/garment_parser_int8.onnx",
)
"""Below models/."""


class BuildWithBuilder(build_py):
    """A source checkout, and what is installed from it as editable, has the folder itself."""

    def run(self) -> None:
        """Copy the packages, then the builder to where the code looks for it."""
        super().run()
        if not self.editable_mode:
            for name in BUILDER:
                target = Path(self.build_lib, "tryon_masks", "models", name)
                self.mkpath(str(target.parent))
                self.copy_file(str(Path("models", name)), str(target))


setup(cmdclass={"build_py": BuildWithBuilder})
