"""Tryon Masks: upper-body and lower-body masks for virtual try-on, from one photo, on the CPU.

The library is :class:`MaskMaker`, see :mod:`tryon_masks.library`. It is loaded when it is first
asked for, so that ``import tryon_masks`` alone costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tryon_masks.domain.errors import TryonMasksError
    from tryon_masks.library import BatchItem, MaskMaker, Result

__version__ = "0.1.0"

__all__ = ["BatchItem", "MaskMaker", "Result", "TryonMasksError", "__version__"]

_MODULES = {
    "BatchItem": "tryon_masks.library",
    "MaskMaker": "tryon_masks.library",
    "Result": "tryon_masks.library",
    "TryonMasksError": "tryon_masks.domain.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
