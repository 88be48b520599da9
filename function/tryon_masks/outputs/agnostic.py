"""The photo without what is to be repainted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GREY = 128
"""VITON-HD's grey. OOTDiffusion's is 127."""


def agnostic(
    rgb: NDArray[np.uint8], mask: NDArray[np.uint8], grey: int = GREY
) -> NDArray[np.uint8]:
    """Paint what is to be repainted grey.

    Parameters
    ----------
    rgb
        Shape (H, W, 3), uint8.
    mask
        Shape (H, W), uint8: 255 is painted, 0 stays.
    grey
        0 to 255, for all three channels.

    Returns
    -------
    Shape (H, W, 3), uint8.
    """
    return np.where(mask[:, :, None] >= 128, np.uint8(grey), rgb)


def agnostic_rgba(rgb: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add an alpha channel: 0 where ``mask`` (H, W) is 255, else 255.

    ComfyUI's LoadImage reads the mask from it as 1 - alpha. The colours below are the photo's own.

    Returns
    -------
    Shape (H, W, 4), uint8.
    """
    alpha = np.where(mask >= 128, np.uint8(0), np.uint8(255))
    return np.dstack([rgb, alpha])


def mask_layer(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make an editor's layer, (H, W, 4): white, with ``mask`` (H, W) of 0 and 255 as alpha."""
    return np.dstack([np.full((*mask.shape, 3), 255, np.uint8), mask])
