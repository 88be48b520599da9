"""A try-on model's result, back into the photo it was made from."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tryon_masks.domain.errors import InvalidRequest
from tryon_masks.outputs.transform import Transform

FEATHER = 0.005
"""Width of the blend within the mask's edge, as a share of the photo's longer side."""


def paste(
    photo: NDArray[np.uint8],
    result: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    transform: Transform,
) -> NDArray[np.uint8]:
    """Paste ``result`` into ``photo`` where ``mask`` says so, blended inwards from the mask's edge.

    Parameters
    ----------
    photo
        Shape (height, width, 3), as ``transform`` has it.
    result
        RGB on the target's grid, or on the photo's where the model has brought it back itself.
    mask
        255 where the photo is repainted, on the target's grid or on the photo's.

    Returns
    -------
    Shape (height, width, 3). Where the mask is 0, every pixel is the photo's own.

    Raises
    ------
    InvalidRequest
        Sizes do not fit.
    """
    if photo.shape[1::-1] != transform.photo:
        raise InvalidRequest("The photo does not have the size that the transform was made for.")
    painted = _on_photo(result, transform, np.zeros_like(photo), "result")
    there = _on_photo(mask, transform, np.zeros(photo.shape[:2], np.uint8), "mask") >= 128
    width = max(1.0, FEATHER * max(transform.photo))
    inside = cv2.distanceTransform(there.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    opacity = np.clip(np.asarray(inside) / width, 0, 1)[:, :, None].astype(np.float32)
    blended = photo + opacity * (painted.astype(np.float32) - photo)
    return np.asarray(np.rint(blended), np.uint8)


def _on_photo(
    pixels: NDArray[np.uint8], transform: Transform, frame: NDArray[np.uint8], what: str
) -> NDArray[np.uint8]:
    size = pixels.shape[1::-1]
    if size == transform.size:
        x0, y0, x1, y1 = transform.crop
        frame[y0:y1, x0:x1] = transform.back(pixels)
        return frame
    if size == transform.photo:
        return pixels
    (width, height), (across, down) = transform.size, transform.photo
    raise InvalidRequest(
        f"The {what} has {size[0]} x {size[1]} pixels: it must have {width} x {height}, "
        f"or the photo's {across} x {down}."
    )
