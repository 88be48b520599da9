"""A batch's photos: real ones, cut and mirrored until there are enough, and some that must fail."""

from __future__ import annotations

import io

from PIL import Image, ImageOps
from tests.demo_photos import STANDING, demo_photo

SIDE = 900
"""Longest side in pixels: quick to decode."""
CUT = 4
"""Pixels more that each next photo lacks."""


def good(count: int) -> list[bytes]:
    """As many photos of one standing person, no two alike."""
    with Image.open(io.BytesIO(demo_photo(STANDING))) as photo:
        small = ImageOps.exif_transpose(photo).convert("RGB")
        small.thumbnail((SIDE, SIDE))
        mirrored = ImageOps.mirror(small)
        return [
            _jpeg(_without(mirrored if number % 2 else small, CUT * (number // 2)))
            for number in range(count)
        ]


def bad() -> dict[str, bytes | None]:
    """The code that it is answered with -> the photo. None: there is no such photo."""
    (photo,) = good(1)
    return {
        "BROKEN_PHOTO": photo[: len(photo) // 2],
        "UNSUPPORTED_PHOTO": b"not an image",
        "NO_PERSON": _jpeg(Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")),
        "PHOTO_NOT_FOUND": None,
    }


def _without(photo: Image.Image, pixels: int) -> Image.Image:
    """The photo without so many pixels of its sides."""
    return photo.crop((pixels // 2, 0, photo.width - pixels // 2, photo.height))


def _jpeg(photo: Image.Image) -> bytes:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=90)
    return file.getvalue()
