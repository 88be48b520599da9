"""Draw the pictures of the documents with the product: ``python -m docs.pictures``.

Run it in the repository's root with the models built, whenever a rule or a model changes. The photo
is NASA's portrait of Eileen Collins, in the public domain, as scikit-image carries it. The figure
is the tests' own: its part map is painted, and the masks are shaped as those of photos are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from benchmarks.making import make_one, mask_file, open_service, read_mask
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from tests import fakes, figures

from tryon_masks import images
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.masks import make_mask
from tryon_masks.domain.parts import Part, PartMap
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.service import MaskOptions

FOLDER = Path(__file__).parent / "img"
PORTRAIT = FOLDER / "astronaut.jpg"
SIDE = 224
"""Pixels of the portrait in a picture."""
FIGURE = (slice(8, 396), slice(70, 230))
"""Rows and columns of the painted photo that the figure needs with its margins."""
OTHERS = {
    MaskKind.UPPER: (MaskKind.FULL, MaskKind.FACE, MaskKind.HAIR, MaskKind.ARMS),
    MaskKind.LOWER: (MaskKind.PROTECT, MaskKind.HANDS, MaskKind.LEGS, MaskKind.FEET),
}
"""What stands beside the profiles of each garment's mask."""
SKIN = dict.fromkeys((Part.LEFT_LEG, Part.RIGHT_LEG), (222, 178, 148))
CAPTION = 20
GAP = 8

Rgb = NDArray[np.uint8]
Cell = tuple[str, Image.Image]


def main() -> None:
    """Draw all of them."""
    portrait = Image.open(PORTRAIT).convert("RGB")
    with TemporaryDirectory() as scratch:
        look = _Look(Path(scratch))
        _save("result.jpg", [look.result(portrait)])
        _save("failures.jpg", [[look.failure(photo) for photo in _hard(portrait)]])
    _save("masks.png", _masks())


class _Look:
    """The real service, asked for the upper mask of one picture after the other."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._service = open_service(scratch, threads=2)

    def result(self, photo: Image.Image) -> list[Cell]:
        """The photo, its mask as it is stored, and the mask laid over it."""
        mask, code = self._upper(photo)
        if mask is None:
            sys.exit(f"The portrait's mask was refused: {code}")
        overlay = _overlay(np.array(photo), {"upper": mask > 0})
        cells = {"photo": photo, "upper mask": Image.fromarray(mask), "overlay": overlay}
        return [(name, _square(image.convert("RGB"))) for name, image in cells.items()]

    def failure(self, photo: Image.Image) -> Cell:
        """The photo with its mask, or in grey under the refusal's code."""
        mask, code = self._upper(photo)
        if mask is None:
            return code, _square(photo.convert("L").convert("RGB"))
        return "flaws", _square(_overlay(np.array(photo), {"upper": mask > 0}))

    def _upper(self, photo: Image.Image) -> tuple[NDArray[np.uint8] | None, str]:
        path = self._scratch / "photo.png"
        photo.save(path)
        options = MaskOptions(masks=(MaskKind.UPPER,))
        refused = make_one(self._service, "photo", path, self._scratch, options)
        if refused:
            return None, refused["upper"]
        return read_mask(mask_file(self._scratch, "photo", "upper")), ""


def _hard(portrait: Image.Image) -> list[Image.Image]:
    """The portrait, and what it becomes where photos are hard."""
    two = Image.new("RGB", (2 * portrait.width, portrait.height))
    two.paste(portrait, (0, 0))
    two.paste(ImageOps.mirror(portrait), (portrait.width, 0))
    face, headless = (100, 0, 350, 200), (0, 160, 512, 512)
    return [portrait, two, portrait.resize((90, 90)), portrait.crop(face), portrait.crop(headless)]


def _square(image: Image.Image) -> Image.Image:
    return ImageOps.pad(image, (SIDE, SIDE), Image.Resampling.LANCZOS, "white")


def _masks() -> list[list[Cell]]:
    """Both garments' masks in every profile, and beside them the other kinds."""
    parts = figures.bare_legged()
    person = figures.person(parts)
    rgb = _painted(parts)

    def cell(kind: MaskKind, profile: Profile = Profile.BODY, name: str = "") -> Cell:
        mask = make_mask(person, kind, profile, Expand())
        return name or kind.value, _overlay(rgb[FIGURE], {kind.value: mask.pixels[FIGURE]})

    rows = []
    for kind, others in OTHERS.items():
        shapes = [cell(kind, profile, f"{kind}, {profile}") for profile in Profile]
        rows.append(shapes + [cell(other) for other in others])
    return rows


def _painted(parts: PartMap) -> Rgb:
    table = np.zeros((256, 3), np.uint8)
    for part, colour in {**fakes.COLOURS, **SKIN}.items():
        table[part] = colour
    return np.asarray(table[parts])


def _overlay(rgb: Rgb, masks: dict[str, NDArray[np.bool_]]) -> Image.Image:
    return Image.open(BytesIO(images.overlay(np.ascontiguousarray(rgb), masks).data))


def _save(name: str, rows: Sequence[Sequence[Cell]]) -> None:
    font = ImageFont.load_default(14)
    width, height = rows[0][0][1].size
    columns = max(len(row) for row in rows)
    across, down = width + GAP, height + CAPTION + GAP
    page = Image.new("RGB", (columns * across - GAP, len(rows) * down - GAP), "white")
    pen = ImageDraw.Draw(page)
    for y, row in enumerate(rows):
        for x, (caption, image) in enumerate(row):
            pen.text((x * across + 2, y * down + 1), caption, "black", font)
            page.paste(image, (x * across, y * down + CAPTION))
    (page if name.endswith(".jpg") else page.quantize(64)).save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
