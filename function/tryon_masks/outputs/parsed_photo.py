"""A photo with its parsed person, and what of it a picture of another size shows."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tryon_masks import images
from tryon_masks.domain.parts import BoolMask
from tryon_masks.domain.person import Person
from tryon_masks.domain.skeleton import Skeleton
from tryon_masks.outputs.parse_maps import LabelSet, ParseMap, parse_map
from tryon_masks.outputs.transform import Transform
from tryon_masks.ports import EncodedImage

WHITE = 255
"""Grey value of the borders of a target's picture."""
JPEG_QUALITY = 95
"""Quality of pictures that training data is made of, 0 to 100."""


@dataclass(frozen=True)
class ParsedPhoto:
    """``rgb``: the photo, shape (height, width, 3). ``person``: whom the models saw in it.

    The person lies on the working grid, which has the photo's aspect.
    """

    rgb: NDArray[np.uint8]
    person: Person

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) of the photo in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]

    @property
    def skeleton(self) -> Skeleton:
        """Return the skeleton in pixels of the photo."""
        return self.person.skeleton.scaled(max(self.size) / max(self.person.part_map.shape))

    def mask(self, pixels: BoolMask) -> NDArray[np.uint8]:
        """Bring a mask of the working grid to the photo's: (height, width), uint8, 0 and 255."""
        return images.to_grid(pixels, self.size, "hard")

    def transformed(self, transform: Transform, mask: NDArray[np.uint8]) -> TransformedPhoto:
        """Bring photo and ``mask``, which lies on the photo's grid, to a target's grid."""
        return TransformedPhoto(
            self, transform, transform.picture(self.rgb, WHITE), transform.mask(mask)
        )


@dataclass(frozen=True)
class TransformedPhoto:
    """The photo on a target's grid; ``mask``: (H, W), 0 and 255, 255 = repaint."""

    parsed: ParsedPhoto
    transform: Transform
    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        return self.transform.size

    @property
    def skeleton(self) -> Skeleton:
        """Return the skeleton in pixels of this grid."""
        return self.transform.skeleton(self.parsed.skeleton)

    def parse(self, label_set: LabelSet) -> ParseMap:
        """Return the parse map on this grid."""
        parse = parse_map(self.parsed.person.part_map, label_set)
        return ParseMap(self.transform.labels(parse.labels), label_set)


def png(pixels: NDArray[np.uint8]) -> EncodedImage:
    """Encode grey, RGB or RGBA pixels as a PNG: (H, W), (H, W, 3) or (H, W, 4), uint8."""
    if pixels.ndim == 2:
        return images.encode_mask(pixels, "png")
    flip = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    data = cv2.imencode(".png", cv2.cvtColor(pixels, flip))[1].tobytes()
    return EncodedImage(data, "image/png", "png")


def jpeg(rgb: NDArray[np.uint8]) -> EncodedImage:
    """Encode RGB pixels (H, W, 3), uint8, as a JPEG with its colours at full resolution."""
    file = BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return EncodedImage(file.getvalue(), "image/jpeg", "jpg")
