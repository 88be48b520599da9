"""How a photo becomes a target's picture: a crop, a scale and a pad, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tryon_masks.domain.errors import CropCutsMask, InvalidRequest
from tryon_masks.domain.skeleton import Keypoint, Skeleton

VERSION = 1
"""Version of the JSON form; another one is refused."""
Corners = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom lie outside."""


class Fit(StrEnum):
    """``crop`` cuts to the target's aspect, ``stretch`` ignores it, ``pad`` adds borders."""

    CROP = "crop"
    STRETCH = "stretch"
    PAD = "pad"


@dataclass(frozen=True)
class Transform:
    """The photo's pixels in ``crop`` fill ``content`` of a picture of ``size``.

    ``photo`` and ``size`` are (width, height) in pixels.
    """

    photo: tuple[int, int]
    crop: Corners
    size: tuple[int, int]
    content: Corners

    @classmethod
    def identity(cls, photo: tuple[int, int]) -> Transform:
        """Return the transform that keeps the photo's own grid."""
        return cls.stretched(photo, photo)

    @classmethod
    def stretched(cls, photo: tuple[int, int], size: tuple[int, int]) -> Transform:
        """Fill the picture with the whole photo, whatever its aspect."""
        return cls(photo, (0, 0, *photo), size, (0, 0, *size))

    @classmethod
    def padded(cls, photo: tuple[int, int], size: tuple[int, int]) -> Transform:
        """Put the whole photo into the picture's middle, its aspect kept."""
        scale = min(size[0] / photo[0], size[1] / photo[1])
        width, height = (max(1, round(side * scale)) for side in photo)
        x, y = (size[0] - width) // 2, (size[1] - height) // 2
        return cls(photo, (0, 0, *photo), size, (x, y, x + width, y + height))

    @classmethod
    def cropped(cls, photo: tuple[int, int], size: tuple[int, int], hold: Corners) -> Transform:
        """Cut the largest crop of the picture's aspect, as near the middle as ``hold`` lets it.

        Parameters
        ----------
        photo, size
            (width, height) of the photo and of the picture in pixels.
        hold
            What must lie in the crop.

        Raises
        ------
        CropCutsMask
            No such crop holds all of ``hold``.
        """
        (width, height), (across, down) = photo, size
        if width * down < height * across:
            height = max(1, width * down // across)
        else:
            width = max(1, height * across // down)
        x, y = (photo[0] - width) // 2, (photo[1] - height) // 2
        if hold[2] - hold[0] > width or hold[3] - hold[1] > height:
            raise CropCutsMask
        x = min(max(x, hold[2] - width), hold[0])
        y = min(max(y, hold[3] - height), hold[1])
        return cls(photo, (x, y, x + width, y + height), size, (0, 0, *size))

    @property
    def scale(self) -> tuple[float, float]:
        """Return picture pixels per photo pixel, across and down."""
        (x0, y0, x1, y1), (u0, v0, u1, v1) = self.crop, self.content
        return (u1 - u0) / (x1 - x0), (v1 - v0) / (y1 - y0)

    def picture(self, rgb: NDArray[np.uint8], pad: int) -> NDArray[np.uint8]:
        """Resample the photo (height, width, 3), uint8; ``pad`` is the grey value of borders."""
        return self._placed(_resized(self._cut(rgb), self._inner, smooth=True), pad)

    def mask(self, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resample a mask (height, width), uint8, 0 and 255, to 0 and 255; borders are 0."""
        small = _resized(self._cut(grey), self._inner)
        return self._placed(np.where(small >= 128, np.uint8(255), np.uint8(0)), 0)

    def labels(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resample a label map: every label is one of those given.

        Each pixel takes the label that covers most of it, so that an enlarged border is smooth.

        Parameters
        ----------
        labels
            Shape (h, w), uint8: the whole photo on a grid of any size.

        Returns
        -------
        Shape (H, W) of the picture, uint8; borders are 0.
        """
        across, down = labels.shape[1] / self.photo[0], labels.shape[0] / self.photo[1]
        x, y = self.scale[0] / across, self.scale[1] / down
        if (x, y) == (1.0, 1.0) and labels.shape[::-1] == self._inner:
            return self._placed(labels, 0)
        shift_x = (x - 1) / 2 - self.crop[0] * self.scale[0]
        shift_y = (y - 1) / 2 - self.crop[1] * self.scale[1]
        matrix = np.array([[x, 0, shift_x], [0, y, shift_y]])
        sigmas = max(1.0, 0.5 / x), max(1.0, 0.5 / y)
        best = np.zeros(self._inner[::-1], np.float32)
        found = np.zeros(self._inner[::-1], np.uint8)
        for label in np.unique(labels).tolist():
            coverage = cv2.GaussianBlur((labels == label).astype(np.float32), (0, 0), *sigmas)
            coverage = cv2.warpAffine(
                coverage, matrix, self._inner, borderMode=cv2.BORDER_REPLICATE
            )
            more = np.asarray(coverage) > best
            best[more], found[more] = np.asarray(coverage)[more], label
        return self._placed(found, 0)

    def skeleton(self, skeleton: Skeleton) -> Skeleton:
        """Move the keypoints, in photo pixels, to the picture's grid."""
        (sx, sy), (x0, y0), (u0, v0) = self.scale, self.crop[:2], self.content[:2]
        points = {
            name: Keypoint((k.x - x0) * sx + u0, (k.y - y0) * sy + v0, k.score)
            for name, k in skeleton.keypoints.items()
        }
        return Skeleton(points, skeleton.threshold)

    def back(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what of ``picture`` (H, W[, 3]), uint8, is the photo, on the grid of ``crop``."""
        u0, v0, u1, v1 = self.content
        x0, y0, x1, y1 = self.crop
        return _resized(picture[v0:v1, u0:u1], (x1 - x0, y1 - y0), smooth=picture.ndim == 3)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; :meth:`from_json` reads them."""
        return {
            "version": VERSION,
            "photo": list(self.photo),
            "crop": list(self.crop),
            "size": list(self.size),
            "content": list(self.content),
            "scale": [round(factor, 6) for factor in self.scale],
        }

    @classmethod
    def from_json(cls, given: object) -> Transform:
        """Read what :meth:`as_json` made.

        Raises
        ------
        InvalidRequest
            It is something else.
        """
        if not isinstance(given, Mapping) or given.get("version") != VERSION:
            raise InvalidRequest("The transform is not one that tryon-masks has written.")
        photo, size = _numbers(given, "photo", 2), _numbers(given, "size", 2)
        crop, content = _numbers(given, "crop", 4), _numbers(given, "content", 4)
        for inner, outer in ((crop, photo), (content, size)):
            if not (0 <= inner[0] < inner[2] <= outer[0] and 0 <= inner[1] < inner[3] <= outer[1]):
                raise InvalidRequest("The transform's crop or content lies outside its picture.")
        return cls(
            (photo[0], photo[1]),
            (crop[0], crop[1], crop[2], crop[3]),
            (size[0], size[1]),
            (content[0], content[1], content[2], content[3]),
        )

    @property
    def _inner(self) -> tuple[int, int]:
        return self.content[2] - self.content[0], self.content[3] - self.content[1]

    def _cut(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        x0, y0, x1, y1 = self.crop
        return pixels[y0:y1, x0:x1]

    def _placed(self, pixels: NDArray[np.uint8], pad: int) -> NDArray[np.uint8]:
        u0, v0, u1, v1 = self.content
        placed = np.full((self.size[1], self.size[0], *pixels.shape[2:]), pad, np.uint8)
        placed[v0:v1, u0:u1] = pixels
        return placed


def fitted(
    fit: Fit, photo: tuple[int, int], size: tuple[int, int], mask: NDArray[np.uint8]
) -> Transform:
    """Return the transform to a picture that shows the photo in this way.

    Parameters
    ----------
    fit
        How the photo is brought to the picture's aspect.
    photo, size
        (width, height) of the photo and of the picture in pixels.
    mask
        Shape (height, width), uint8: a crop holds all of it.

    Raises
    ------
    CropCutsMask
        No crop holds all of the mask.
    """
    match fit:
        case Fit.STRETCH:
            return Transform.stretched(photo, size)
        case Fit.PAD:
            return Transform.padded(photo, size)
        case Fit.CROP:
            x, y, width, height = cv2.boundingRect(mask)
            return Transform.cropped(photo, size, (x, y, x + width, y + height))


def _resized(
    pixels: NDArray[np.uint8], size: tuple[int, int], *, smooth: bool = False
) -> NDArray[np.uint8]:
    if pixels.shape[1::-1] == size:
        return pixels
    how = Image.Resampling.LANCZOS if smooth else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, how))


def _numbers(given: Mapping[str, Any], name: str, count: int) -> list[int]:
    numbers = given.get(name)
    good = isinstance(numbers, list) and len(numbers) == count
    if not good or not all(type(number) is int and number >= 0 for number in numbers or ()):
        raise InvalidRequest(f"The transform's {name} must be {count} whole numbers.")
    return list(numbers or ())
