"""Draw the pictures of the documents with the product: ``python -m docs.pictures``.

Run it in the repository's root with the models built, whenever a rule or a model changes. The photo
is NASA's portrait of Eileen Collins, in the public domain, as scikit-image carries it. The figure
is painted, the tests' own. The real models make all masks.
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
from tryon_masks.domain.parts import Part
from tryon_masks.domain.profiles import Profile
from tryon_masks.service import MaskOptions

FOLDER = Path(__file__).parent / "img"
PORTRAIT = FOLDER / "astronaut.jpg"
SIDE = 224
"""Pixels of the portrait in a picture."""
ENLARGED = 2
"""Photo pixels per pixel of the painted figure."""
FIGURE = (140, 16, 460, 792)
"""Left, top, right, bottom of what a picture shows of the enlarged figure."""
FIGURE_SIZE = (160, 388)
OTHERS = {
    MaskKind.UPPER: (MaskKind.FULL, MaskKind.FACE, MaskKind.HAIR, MaskKind.ARMS),
    MaskKind.LOWER: (MaskKind.PROTECT, MaskKind.HANDS, MaskKind.LEGS, MaskKind.FEET),
}
"""What stands beside the profiles of each garment's mask."""
OWN_COLOURS = {
    **dict.fromkeys((Part.LEFT_LEG, Part.RIGHT_LEG), (222, 178, 148)),
    Part.HAIR: (25, 20, 20),
}
"""Colours of this figure that differ from the tests': flat brown hair is none to the parser."""
CAPTION = 20
GAP = 8

Grey = NDArray[np.uint8]
Cell = tuple[str, Image.Image]


def main() -> None:
    """Draw all of them."""
    portrait = Image.open(PORTRAIT).convert("RGB")
    with TemporaryDirectory() as scratch:
        product = _Product(Path(scratch))
        _save("result.jpg", [_result(product, portrait)])
        _save("failures.jpg", [[_failure(product, photo) for photo in _hard(portrait)]])
        _save("masks.png", _masks(product))


class _Product:
    """The real service, asked for one mask after the other."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._service = open_service(scratch, threads=2)

    def mask(
        self, photo: Image.Image, kind: MaskKind, profile: Profile = Profile.BODY
    ) -> Grey | str:
        """The mask as it is stored, uint8 (H, W), or the code of its refusal."""
        path = self._scratch / "photo.png"
        photo.save(path)
        options = MaskOptions(masks=(kind,), profile=profile)
        refused = make_one(self._service, "photo", path, self._scratch, options)
        if refused:
            return refused[kind]
        return read_mask(mask_file(self._scratch, "photo", kind))


def _result(product: _Product, photo: Image.Image) -> list[Cell]:
    """The photo, its mask, and the mask laid over it."""
    mask = product.mask(photo, MaskKind.UPPER)
    if isinstance(mask, str):
        sys.exit(f"The portrait's mask was refused: {mask}")
    cells = {"photo": photo, "upper mask": Image.fromarray(mask), "overlay": _overlay(photo, mask)}
    return [(name, _square(image.convert("RGB"))) for name, image in cells.items()]


def _failure(product: _Product, photo: Image.Image) -> Cell:
    """The photo with its mask, or in grey under the refusal's code."""
    mask = product.mask(photo, MaskKind.UPPER)
    if isinstance(mask, str):
        return mask, _square(photo.convert("L").convert("RGB"))
    return "flaws", _square(_overlay(photo, mask))


def _hard(portrait: Image.Image) -> list[Image.Image]:
    """The portrait, and what it becomes where photos are hard."""
    two = Image.new("RGB", (2 * portrait.width, portrait.height))
    two.paste(portrait, (0, 0))
    two.paste(ImageOps.mirror(portrait), (portrait.width, 0))
    face, headless = (100, 0, 350, 200), (0, 160, 512, 512)
    return [portrait, two, portrait.resize((90, 90)), portrait.crop(face), portrait.crop(headless)]


def _masks(product: _Product) -> list[list[Cell]]:
    """Both garments' masks in every profile, and beside them the other kinds."""
    photo = _painted()

    def cell(kind: MaskKind, profile: Profile, name: str) -> Cell:
        mask = product.mask(photo, kind, profile)
        if isinstance(mask, str):
            sys.exit(f"The figure's mask {name} was refused: {mask}")
        shown = _overlay(photo, mask).crop(FIGURE)
        return name, shown.resize(FIGURE_SIZE, Image.Resampling.LANCZOS)

    return [
        [cell(kind, profile, f"{kind}, {profile}") for profile in Profile]
        + [cell(other, Profile.BODY, other.value) for other in others]
        for kind, others in OTHERS.items()
    ]


def _painted() -> Image.Image:
    """The figure in shorts, enlarged."""
    table = np.zeros((256, 3), np.uint8)
    for part, colour in {**fakes.COLOURS, **OWN_COLOURS}.items():
        table[part] = colour
    photo = Image.fromarray(table[figures.bare_legged()])
    return photo.resize((ENLARGED * photo.width, ENLARGED * photo.height), Image.Resampling.NEAREST)


def _overlay(photo: Image.Image, mask: Grey) -> Image.Image:
    return Image.open(BytesIO(images.overlay(np.array(photo), {"mask": mask > 0}).data))


def _square(image: Image.Image) -> Image.Image:
    return ImageOps.pad(image, (SIDE, SIDE), Image.Resampling.LANCZOS, "white")


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
