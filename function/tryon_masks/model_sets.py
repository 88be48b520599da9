"""Which model sets there are: each folder of ``vision/`` says so for itself.

A package below :mod:`tryon_masks.vision` is a model set, or several that run alike, when it has a
tuple ``MODEL_SETS``. Its module ``vision`` has ``load(model_set, threads, options)``, which loads
the models. Nothing outside the folder names the set, so deleting the folder deletes the set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

_PACKAGE = "tryon_masks.vision"


@dataclass(frozen=True)
class ModelOption:
    """A setting that only some model sets have.

    Attributes
    ----------
    values
        What it may be set to.
    default
        One of them.
    """

    values: tuple[str, ...]
    default: str


@dataclass(frozen=True)
class ModelSetInfo:
    """One model set, before any of its files is looked at.

    Attributes
    ----------
    name
        What MODEL_SET calls it; also the name of the folder of its files.
    working_side
        Longer side in pixels of the grid that models and masks work on.
    options
        The set's own settings by environment variable.
    default
        Whether it is taken where MODEL_SET is not set.
    package
        Where its code lies; filled in by :func:`model_sets`.
    """

    name: str
    working_side: int
    options: Mapping[str, ModelOption] = field(default_factory=dict)
    default: bool = False
    package: str = ""

    def options_from(self, chosen: Mapping[str, str]) -> dict[str, str]:
        """Return a value for every option: what was chosen, or its default."""
        return {name: chosen.get(name, option.default) for name, option in self.options.items()}


@cache
def model_sets() -> Mapping[str, ModelSetInfo]:
    """Return every model set by its name, the default first."""
    folder = Path(__file__).parent / "vision"
    found: list[ModelSetInfo] = []
    for module in iter_modules([str(folder)]):
        if module.ispkg:
            package = f"{_PACKAGE}.{module.name}"
            found += [replace(one, package=package) for one in import_module(package).MODEL_SETS]
    return {info.name: info for info in sorted(found, key=lambda info: not info.default)}


def default_model_set() -> str | None:
    """Return the name of the set that is taken where nothing is said, if there is one."""
    return next((info.name for info in model_sets().values() if info.default), None)
