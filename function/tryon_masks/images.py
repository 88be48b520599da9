"""Photo files in, mask files out: the only module that knows image formats."""

from __future__ import annotations

import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import cycle
from typing import Literal, NamedTuple

import cv2
import numpy as np
import pillow_heif
import simplejpeg
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from tryon_masks.domain.errors import BrokenPhoto, InvalidRequest, PhotoTooLarge, UnsupportedPhoto
from tryon_masks.domain.parts import BoolMask
from tryon_masks.ports import EncodedImage

# A thumbnail inside can show something else, and would be decoded in the photo's place.
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
# Or the first photo would wait for the other formats' decoders to be loaded.
Image.preinit()

FileFormat = Literal["png", "webp"]
Edge = Literal["hard", "soft"]

MIN_SIDE = 64
"""Pixels. A smaller photo holds no torso that a mask could rest on."""

WEBP_MAX_SIDE = 16383
"""Pixels: the format's own bound."""

MAX_SCANS = 100
"""Most scans of a JPEG. Encoders write a dozen; a scan of a few bytes makes a decoder go over every
pixel."""

MAX_PARTS = 2000
"""Segments before a JPEG's pixels, and chunks of a PNG beside those of its pixels. Pillow reads
them one by one, 25 MB of empty ones for half a minute."""

MAX_PIXEL_CHUNKS = 50_000
"""Most chunks of pixels in a PNG."""

REDUCING_GAP = 2.0
"""How much larger than wanted Pillow shrinks by whole factors first, before it resamples."""

PNG_BAND = 2**20
"""Bytes of a mask that are compressed at a time: they stay in the processor's cache."""

_MAX_JUNK = 64 * 1024
"""Bytes between a JPEG's segments."""

_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
"""Markers of a JPEG, ITU-T T.81, table B.1."""
_BARE_MARKERS = (0x01, 0xD8)
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_MAKES_PIXELS = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDD})
"""Frames, tables and restart intervals."""
_JFIF, _ADOBE = 0xE0, 0xEE
"""The two segments that say how colours are stored."""
_JFIF_SEGMENT = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_COEFFICIENTS = 64
"""Coefficients of a block of 8 x 8 pixels in a JPEG."""
_HARMLESS_WARNING = re.compile(
    r"Corrupt JPEG data: ([1-9]|1[0-6]) extraneous bytes before marker 0xd9"
)
"""Cameras leave a few bytes before the end marker; with many left, some of the scan was passed
over."""
_TOO_MANY_PARTS = "The photo's file is made of too many parts."

_DECODE_ERRORS = (
    OSError,  # cut short, or a codec gave up; UnidentifiedImageError: the header is damaged
    SyntaxError,  # Pillow's word for a malformed file
    ValueError,  # impossible sizes, oversized text or profile chunks, HEIF errors
    RuntimeError,  # AVIF and HEIF codecs
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AssertionError,  # Pillow's, of a palette that is missing
    struct.error,
    zlib.error,
)

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the photo upright."""

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

_OVERLAY_COLOURS = ((230, 60, 60), (50, 110, 240), (40, 170, 90), (240, 160, 30), (160, 70, 200))


@dataclass(frozen=True)
class Limits:
    """What a photo may cost.

    ``max_bytes`` bounds the file, ``max_pixels`` the decoded photo, ``working_side`` is the longer
    side of the copy that the models see, in pixels.
    """

    max_bytes: int = 25_000_000
    max_pixels: int = 60_000_000
    working_side: int = 1024

    @property
    def whole(self) -> Limits:
        """Return the same limits for a copy in the photo's own size."""
        return replace(self, working_side=self.max_pixels)


@dataclass(frozen=True)
class Photo:
    """One upright photo.

    Attributes
    ----------
    rgb
        The working copy: shape (h, w, 3), uint8, sRGB, upright, never enlarged.
    width, height
        The upright photo's full size in pixels.
    """

    rgb: NDArray[np.uint8]
    width: int
    height: int

    @property
    def scale(self) -> float:
        """Return the photo pixels per working pixel, at least 1."""
        return float(max(self.width, self.height) / max(self.rgb.shape[:2]))

    def output_size(self, max_side: int | None) -> tuple[int, int]:
        """Return the masks' (width, height) in pixels: the photo's, or shrunk to ``max_side``."""
        return _shrunk(self.width, self.height, max_side or max(self.width, self.height))


def decode(data: bytes, limits: Limits) -> Photo:
    """Decode the first picture of a JPEG, PNG, WebP, AVIF or HEIC file, told apart by content.

    Orientation is applied, transparency is laid over white, 16-bit, grey, palette and CMYK pixels
    and embedded colour profiles become sRGB. An orientation or a profile that cannot be read
    counts as absent, as it does in every viewer. So does the end marker of a JPEG that has all
    its scan lines.

    Raises
    ------
    PhotoTooLarge
        More bytes or pixels than ``limits``; the pixels are counted before any is decoded.
    UnsupportedPhoto
        Another format, a side under :data:`MIN_SIDE` pixels, or a file of more parts than any
        camera or program writes.
    BrokenPhoto
        The file is damaged, in the scans of a JPEG too, or cut so short that pixels are missing.
    """
    if len(data) > limits.max_bytes:
        raise PhotoTooLarge(f"The photo is larger than {limits.max_bytes} bytes.")
    formats = _formats(data[:12])
    jpeg = _bare_jpeg(data) if formats == ("JPEG",) else None
    if formats == ("PNG",):
        _check_png_parts(data)
    with _decoding(), Image.open(BytesIO(data), formats=formats) as image:
        width, height = image.size
        _check_size(width, height, limits)
        # Heeded by JPEG alone, which decodes at a fraction of its size but still reads the
        # whole file, so that a cut is found all the same.
        size = _shrunk(width, height, limits.working_side)
        drafted = image.draft(None, size)
        box = drafted[1] if drafted else (0, 0, width, height)
        pixels = _plain(image) if jpeg is None else _jpeg_pixels(jpeg, image)
        small = _small(image, pixels, box, size)
    return _photo(small, width, height)


def from_image(image: Image.Image, limits: Limits) -> Photo:
    """Convert a photo that is open in Pillow already, as :func:`decode` does.

    Raises
    ------
    PhotoTooLarge, UnsupportedPhoto, BrokenPhoto
        The pixels may have to be read from a file still.
    """
    width, height = image.size
    _check_size(width, height, limits)
    with _decoding():
        size = _shrunk(width, height, limits.working_side)
        small = _small(image, _plain(image), (0, 0, width, height), size)
    return _photo(small, width, height)


def from_rgb(rgb: NDArray[np.uint8], limits: Limits) -> Photo:
    """Convert a photo's pixels: shape (H, W, 3), uint8, sRGB, upright.

    Raises
    ------
    InvalidRequest
        The array has another shape or dtype.
    PhotoTooLarge, UnsupportedPhoto
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise InvalidRequest(
            f"An array must have shape (H, W, 3) and dtype uint8, not {rgb.shape} and {rgb.dtype}."
        )
    return from_image(Image.fromarray(rgb), limits)


class _Quiet:
    """Warnings are off while any thread is in here; Python's own way knows one thread only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


_quiet = _Quiet()


@contextmanager
def _decoding() -> Iterator[None]:
    """Raise what Pillow and its codecs raise as an error of ours."""
    try:
        # Pillow warns of what it can live with and raises on what it cannot.
        with _quiet:
            yield
    except (Image.DecompressionBombError, MemoryError) as error:
        raise PhotoTooLarge(detail=repr(error)) from error
    except _DECODE_ERRORS as error:
        raise BrokenPhoto(detail=repr(error)) from error


class _Small(NamedTuple):
    """A photo's working copy as its file has it: neither upright nor sRGB yet."""

    image: Image.Image
    orientation: int
    profile: bytes | None


def _small(
    image: Image.Image,
    pixels: Image.Image,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
) -> _Small:
    """Bundle ``image``, orientation and profile: ``box`` of ``pixels`` is the whole photo."""
    return _Small(_resized(pixels, box, size), _orientation(image), image.info.get("icc_profile"))


def _resized(
    pixels: Image.Image, box: tuple[float, float, float, float], size: tuple[int, int]
) -> Image.Image:
    """Return what lies in ``box`` of ``pixels``, in ``size`` (width, height).

    Two threads take half of the columns each, where that gives the same pixels.
    """
    left, top, right, bottom = box
    width, height = size
    shrink = max((right - left) / width, (bottom - top) / height)
    # Pillow begins with the columns of an image that loses twice as many rows as columns, and of
    # whatever is half as wide with the rows.
    rows_first = pixels.height - height <= 2 * (pixels.width - width)
    plain = pixels.mode != "RGBA" and shrink < 2 * REDUCING_GAP and pixels.size != size
    if not (rows_first and plain and width % 2 == 0):
        return pixels.resize(size, Image.Resampling.LANCZOS, box, reducing_gap=REDUCING_GAP)
    middle, half = (left + right) / 2, width // 2
    boxes = ((left, top, middle, bottom), (middle, top, right, bottom))
    with ThreadPoolExecutor(len(boxes)) as pool:
        halves = pool.map(
            lambda one: pixels.resize((half, height), Image.Resampling.LANCZOS, one), boxes
        )
    result = Image.new(pixels.mode, size)
    for place, one in zip((0, half), halves, strict=True):
        result.paste(one, (place, 0))
    return result


def _photo(small: _Small, width: int, height: int) -> Photo:
    upright = small.image
    if small.orientation in _TRANSPOSE:
        upright = upright.transpose(_TRANSPOSE[small.orientation])
    if small.orientation >= 5:
        width, height = height, width
    return Photo(np.array(_srgb(_opaque(upright), small.profile)), width, height)


def to_grid(pixels: BoolMask, size: tuple[int, int], edge: Edge) -> NDArray[np.uint8]:
    """Carry a mask to another grid.

    Parameters
    ----------
    pixels
        Shape (h, w).
    size
        (width, height) of the grid wanted, of the same aspect.
    edge
        ``hard``: every pixel is 0 or 255, and the same size gives the same pixels. ``soft``: a
        ramp about two pixels wide along the same contour.

    Returns
    -------
    Shape (height, width), uint8, 0 to 255. An enlarged contour is smooth, without stairs.
    """
    height, width = pixels.shape
    grey = pixels.astype(np.uint8) * np.uint8(255)
    if edge == "hard" and size == (width, height):
        return grey
    factor = max(size) / max(width, height)
    if factor < 1:
        grey = _u8(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    else:
        # One working pixel of blur turns stairs into a slope whose middle is the contour.
        grey = _u8(cv2.GaussianBlur(grey, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE))
        grey = _u8(cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR))
    if edge == "hard":
        return _u8(cv2.threshold(grey, 127, 255, cv2.THRESH_BINARY, dst=grey)[1])
    # Enlarging widens the slope by the factor; steepen it back to its width in pixels.
    levels = (np.arange(256) - 127.5) * max(factor, 1.0) + 127.5
    return _u8(cv2.LUT(grey, np.clip(levels, 0, 255).round().astype(np.uint8)))


def encode_mask(grey: NDArray[np.uint8], format: FileFormat) -> EncodedImage:  # noqa: A002
    """Write a mask of shape (H, W), uint8, losslessly and without metadata.

    PNG is 8-bit greyscale; WebP knows no greyscale and repeats the values in three channels.

    Raises
    ------
    InvalidRequest
        WebP with a side over 16383 pixels.
    """
    if format == "png":
        return EncodedImage(_png(grey), "image/png", "png")
    if max(grey.shape) > WEBP_MAX_SIDE:
        raise InvalidRequest(
            f"A WebP mask has at most {WEBP_MAX_SIDE} pixels a side: "
            "choose format png, or a smaller max_side."
        )
    file = BytesIO()
    # The fastest method and effort that still find the runs.
    Image.fromarray(grey).save(file, "WEBP", lossless=True, method=1, quality=0)
    return EncodedImage(file.getvalue(), "image/webp", "webp")


def _png(grey: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of 8-bit grey, its rows unfiltered: runs of equal pixels are all there is.

    OpenCV and Pillow bring a zlib that takes ten times as long.
    """
    height, width = grey.shape
    deflate = isal_zlib.compressobj(1)
    # A byte before each row says that it is unfiltered.
    band = np.zeros((max(1, PNG_BAND // (width + 1)), width + 1), np.uint8)
    pixels = []
    for top in range(0, height, len(band)):
        rows = grey[top : top + len(band)]
        band[: len(rows), 1:] = rows
        pixels.append(deflate.compress(band[: len(rows)]))
    pixels.append(deflate.flush())
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", b"".join(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def overlay(rgb: NDArray[np.uint8], masks: Mapping[str, BoolMask]) -> EncodedImage:
    """Encode :func:`draw_masks` as a JPEG."""
    file = BytesIO()
    draw_masks(rgb, masks).save(file, "JPEG", quality=88)
    return EncodedImage(file.getvalue(), "image/jpeg", "jpg")


def draw_masks(rgb: NDArray[np.uint8], masks: Mapping[str, BoolMask]) -> Image.Image:
    """Draw each mask (h, w) over ``rgb`` (h, w, 3) as a translucent colour with its contour."""
    picture = rgb.copy()
    line = max(2, round(max(rgb.shape[:2]) / 400))
    coloured = list(zip(masks.values(), cycle(_OVERLAY_COLOURS)))
    for pixels, colour in coloured:
        tinted = cv2.addWeighted(picture, 0.55, np.full_like(picture, colour), 0.45, 0)
        picture = np.where(pixels[:, :, None], _u8(tinted), picture)
    for pixels, colour in coloured:
        contours, _ = cv2.findContours(
            pixels.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, contours, -1, colour, line, cv2.LINE_AA)
    return Image.fromarray(picture)


def preview(rgb: NDArray[np.uint8], side: int) -> EncodedImage:
    """Write a small lossy WebP of ``rgb`` (h, w, 3), with at most ``side`` pixels a side."""
    height, width = rgb.shape[:2]
    small = Image.fromarray(rgb).resize(_shrunk(width, height, side), reducing_gap=2.0)
    file = BytesIO()
    small.save(file, "WEBP", quality=75, method=2)
    return EncodedImage(file.getvalue(), "image/webp", "webp")


def stencil(grey: NDArray[np.uint8], edge: Edge) -> EncodedImage:
    """Write a mask (h, w) as a black PNG whose alpha is the mask: a page lays it over a photo.

    ``hard``: it has one bit a pixel, and is opaque from 128 on.
    """
    hard = edge == "hard"
    alpha = bytes((0, 255)) if hard else bytes(range(256))
    image = Image.fromarray(grey >> 7 if hard else grey)
    image.putpalette(bytes(3 * len(alpha)))
    file = BytesIO()
    image.save(file, "PNG", bits=1 if hard else 8, transparency=alpha)
    return EncodedImage(file.getvalue(), "image/png", "png")


def _formats(head: bytes) -> tuple[str, ...]:
    """Return Pillow's names for the formats that the first twelve bytes announce."""
    if head.startswith(b"\xff\xd8\xff"):
        return ("JPEG",)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ("PNG",)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return ("WEBP",)
    if head[4:8] == b"ftyp":
        if head[8:] in (b"avif", b"avis"):
            return ("AVIF",)
        if head[8:] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"):
            return ("HEIF",)
        if head[8:] in (b"mif1", b"msf1"):
            return ("AVIF", "HEIF")
    raise UnsupportedPhoto(detail=f"starts with {head!r}")


def _bare_jpeg(data: bytes) -> bytes:
    """Return the segments that make a JPEG's pixels, closed by an end marker.

    What libjpeg warns of although it is no damage is left out: bytes between segments, and versions
    and codes of colours that it does not know.

    Raises
    ------
    UnsupportedPhoto
        Too many parts.
    BrokenPhoto
        The end marker is missing, and some of the scans with it.
    """
    position, segments, scans, junk = 2, 0, 0, 0
    kept, pixels_start, end = [b"\xff\xd8"], len(data), None
    exact: dict[int, set[int]] = {}
    while marker := _JPEG_MARKER.search(data, position):
        kind = marker[1][0]
        if kind == _END_OF_IMAGE:
            end = marker.start()
            break
        if scans == 0:
            junk += marker.start() - position
            segments += 1
        scans += kind == _START_OF_SCAN
        if scans > MAX_SCANS or segments > MAX_PARTS or junk > _MAX_JUNK:
            raise UnsupportedPhoto(_TOO_MANY_PARTS, detail=f"{segments} segments, {scans} scans")
        position = marker.end()
        if kind not in _BARE_MARKERS:
            position += int.from_bytes(data[position : position + 2], "big")
        body = data[marker.end() + 2 : position]
        if kind == _START_OF_SCAN:
            pixels_start = min(pixels_start, marker.start())
            _note_scan(body, exact)
        elif scans == 0 and kind in _MAKES_PIXELS:
            kept.append(data[marker.start() : position])
        elif scans == 0 and kind == _JFIF and body.startswith(b"JFIF\x00"):
            kept.append(_JFIF_SEGMENT)
        elif scans == 0 and kind == _ADOBE and body[11:] in (b"\x00", b"\x01", b"\x02"):
            kept.append(data[marker.start() : position])
        if kind in _FRAMES:
            exact |= {component: set() for component in body[6::3]}
    if end is None and any(len(known) < _COEFFICIENTS for known in exact.values()):
        raise BrokenPhoto(detail="no end marker, and scans are missing")
    return b"".join((*kept, data[pixels_start:end], b"\xff\xd9"))


def _note_scan(body: bytes, exact: dict[int, set[int]]) -> None:
    """Keep in ``exact`` which coefficients of each component are known to their last bit."""
    count = body[0] if body else 0
    parameters = body[1 + 2 * count :]
    if len(parameters) < 3:
        return
    first, last, precision = parameters[:3]
    for component in body[1 : 1 + 2 * count : 2]:
        if component in exact and precision & 15 == 0:
            exact[component].update(range(first, min(last, _COEFFICIENTS - 1) + 1))


def _jpeg_pixels(jpeg: bytes, image: Image.Image) -> Image.Image:
    """Decode the pixels in the size and mode that ``image`` was opened with.

    Pillow decodes past any damage in the scans; here libjpeg's warnings are heard.

    Raises
    ------
    ValueError
        Some of the scan data is damaged or missing.
    """
    width, height = image.size
    asked = {
        "colorspace": "GRAY" if image.mode == "L" else image.mode,
        "min_width": width,
        "min_height": height,
    }
    try:
        pixels = simplejpeg.decode_jpeg(jpeg, **asked)
    except ValueError as warning:
        if not _HARMLESS_WARNING.fullmatch(str(warning)):
            raise
        pixels = simplejpeg.decode_jpeg(jpeg, **asked, strict=False)
    if image.mode == "CMYK":
        # Stored inverted, as Adobe does.
        return Image.fromarray(255 - pixels, "CMYK")
    return Image.fromarray(pixels[:, :, 0] if image.mode == "L" else pixels)


def _check_png_parts(data: bytes) -> None:
    position, pixels, others = 8, 0, 0
    while position < len(data):
        if data[position + 4 : position + 8] == b"IDAT":
            pixels += 1
        else:
            others += 1
        if pixels > MAX_PIXEL_CHUNKS or others > MAX_PARTS:
            raise UnsupportedPhoto(_TOO_MANY_PARTS, detail=f"{pixels} and {others} chunks")
        position += 12 + int.from_bytes(data[position : position + 4], "big")


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise PhotoTooLarge(
            f"The photo has {width} x {height} pixels, more than {limits.max_pixels}."
        )
    if min(width, height) < MIN_SIDE:
        raise UnsupportedPhoto(
            f"The photo has {width} x {height} pixels; each side needs at least {MIN_SIDE}."
        )


def _shrunk(width: int, height: int, max_side: int) -> tuple[int, int]:
    factor = min(1.0, max_side / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _plain(image: Image.Image) -> Image.Image:
    """Convert the picture to one of the modes L, RGB, RGBA, CMYK, which resize and convert well."""
    image.load()
    if image.mode.startswith("I;16"):
        # Pillow would clip to 255; the high byte is what it keeps of 16-bit colour, too.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none that can be read.

    HEIC and AVIF say by properties of the picture how it is turned: of HEIC that is done by now, of
    AVIF it stands in place of what EXIF said. XMP is not asked, for programs that turn photos
    leave it as it was.
    """
    for name in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(name, None)
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except _DECODE_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert ``image`` (L, RGB or CMYK) to sRGB; a profile that is unreadable or unfit counts as
    none.
    """
    if not profile:
        return image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        if {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}.get(space) != image.mode:
            return image.convert("RGB")
        return ImageCms.buildTransform(source, _SRGB, image.mode, "RGB").apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")


def _u8(array: object) -> NDArray[np.uint8]:
    """Return the array as uint8: OpenCV's results carry no dtype for the type checker."""
    return np.asarray(array, dtype=np.uint8)
