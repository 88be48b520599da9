"""Every photo file becomes upright sRGB or is refused by name; masks become files.

The test photo has a colour of its own in each corner, so that no turn or flip goes unseen.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from tryon_masks.domain.errors import (
    BrokenPhoto,
    InvalidRequest,
    PhotoTooLarge,
    UnsupportedPhoto,
)
from tryon_masks.images import (
    MIN_SIDE,
    Limits,
    Photo,
    decode,
    encode_mask,
    overlay,
    to_grid,
)

WIDTH, HEIGHT = 120, 80
CORNERS = {
    "top left": (220, 30, 30),
    "top right": (30, 180, 30),
    "bottom left": (30, 30, 200),
    "bottom right": (210, 200, 40),
}
LIMITS = Limits()

Rgb = NDArray[np.uint8]


def corners_photo(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Four quarters, each in its corner's colour."""
    image = Image.new("RGB", (width, height))
    half = (width + 1) // 2, (height + 1) // 2
    places = ((0, 0), (half[0], 0), (0, half[1]), half)
    for colour, (x, y) in zip(CORNERS.values(), places, strict=True):
        image.paste(colour, (x, y, x + half[0], y + half[1]))
    return image


def corners_of(rgb: Rgb) -> dict[str, tuple[int, ...]]:
    """What stands in the four corners, well inside the quarters."""
    height, width = rgb.shape[:2]
    x0, x1, y0, y1 = width // 8, width - 1 - width // 8, height // 8, height - 1 - height // 8
    points = zip(CORNERS, ((y0, x0), (y0, x1), (y1, x0), (y1, x1)), strict=True)
    return {name: tuple(int(v) for v in rgb[y, x]) for name, (y, x) in points}


def assert_upright(rgb: Rgb, tolerance: int = 6) -> None:
    for name, colour in corners_of(rgb).items():
        difference = np.abs(np.subtract(colour, CORNERS[name]))
        assert difference.max() <= tolerance, (name, colour)


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(file, quality=95, chroma=444, **options)
    else:
        image.save(file, kind, **options)
    return file.getvalue()


ENCODERS: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg": lambda image: save(image, "JPEG", quality=95, subsampling=0),
    "progressive jpeg": lambda image: save(image, "JPEG", quality=95, progressive=True),
    "png": lambda image: save(image, "PNG"),
    "webp": lambda image: save(image, "WEBP", quality=95),
    "lossless webp": lambda image: save(image, "WEBP", lossless=True),
    "avif": lambda image: save(image, "AVIF", quality=95, subsampling="4:4:4"),
    "heic": lambda image: save(image, "HEIF"),
}

formats = pytest.mark.parametrize("kind", list(ENCODERS))


def noise(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """A photo that no codec can make short, so that a cut loses pixels."""
    grain = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(grain)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """As a camera held in that orientation stores an upright scene."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    return image if undo is None else image.transpose(undo)


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in chunks:
        parts += [struct.pack(">I", len(data)), name, data]
        parts += [struct.pack(">I", zlib.crc32(name + data))]
    return b"".join(parts)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


class TestFormats:
    @formats
    def test_every_format_keeps_its_colours_and_corners(self, kind: str) -> None:
        photo = decode(ENCODERS[kind](corners_photo()), LIMITS)
        assert (photo.width, photo.height) == (WIDTH, HEIGHT)
        assert photo.rgb.shape == (HEIGHT, WIDTH, 3)
        assert photo.rgb.dtype == np.uint8
        assert photo.scale == 1
        assert_upright(photo.rgb)

    def test_lossless_pixels_are_not_touched(self) -> None:
        image = noise()
        assert np.array_equal(decode(save(image, "PNG"), LIMITS).rgb, np.asarray(image))

    def test_the_result_can_be_written_to(self) -> None:
        rgb = decode(save(corners_photo(), "PNG"), LIMITS).rgb
        rgb[0, 0] = 9
        assert rgb.flags.c_contiguous

    @pytest.mark.parametrize("size", [(97, 101), (101, 97), (64, 64), (65, 1009), (127, 64)])
    @formats
    def test_odd_and_prime_sizes(self, kind: str, size: tuple[int, int]) -> None:
        photo = decode(ENCODERS[kind](corners_photo(*size)), LIMITS)
        assert (photo.width, photo.height) == size
        assert photo.rgb.shape == (size[1], size[0], 3)
        assert_upright(photo.rgb)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff\xd8",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"<!DOCTYPE html><html></html>",
            b"%!PS-Adobe-3.0 EPSF-3.0",
            b"%PDF-1.7",
            b"\x00\x00\x00\x20ftypmp42\x00\x00\x00\x00",
            b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01",
            b"RIFF\x24\x00\x00\x00WAVEfmt ",
            b"no photo at all",
        ],
    )
    def test_other_content_is_unsupported(self, data: bytes) -> None:
        with pytest.raises(UnsupportedPhoto):
            decode(data, LIMITS)

    @pytest.mark.parametrize(
        "kind", ["GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "JPEG2000", "QOI", "DDS", "PCX"]
    )
    def test_other_picture_formats_are_unsupported(self, kind: str) -> None:
        with pytest.raises(UnsupportedPhoto):
            decode(save(corners_photo(), kind), LIMITS)

    def test_an_animated_gif_is_unsupported(self) -> None:
        frames = [corners_photo(), noise()]
        data = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
        with pytest.raises(UnsupportedPhoto):
            decode(data, LIMITS)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "MPO", "HEIF"])
    def test_of_several_pictures_the_first_is_taken(self, kind: str) -> None:
        first, second = corners_photo(), noise()
        if kind == "HEIF":
            several = pillow_heif.from_pillow(first)
            several.add_from_pillow(second)
            file = BytesIO()
            several.save(file, quality=95, chroma=444, primary_index=0)
            data = file.getvalue()
        else:
            data = save(first, kind, save_all=True, append_images=[second], quality=95)
        photo = decode(data, LIMITS)
        assert (photo.width, photo.height) == (WIDTH, HEIGHT)
        assert_upright(photo.rgb)

    def test_a_thumbnail_inside_is_not_the_photo(self) -> None:
        image, limits = noise(400, 300), Limits(working_side=100)
        with_thumbnail = save(image, "HEIF", thumbnails=[200])
        without = save(image, "HEIF")
        assert len(with_thumbnail) > len(without)
        photo = decode(with_thumbnail, limits)
        assert (photo.width, photo.height) == (400, 300)
        assert np.array_equal(photo.rgb, decode(without, limits).rgb)


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
    def test_is_applied_once(self, kind: str, orientation: int) -> None:
        stored = turned(corners_photo(), orientation)
        tags = exif(orientation).tobytes()
        photo = decode(save(stored, kind, exif=tags, **quality(kind)), LIMITS)
        assert (photo.width, photo.height) == (WIDTH, HEIGHT)
        assert photo.rgb.shape == (HEIGHT, WIDTH, 3)
        assert_upright(photo.rgb)

    @pytest.mark.parametrize("orientation", [3, 6, 7])
    def test_is_applied_to_a_photo_that_shrinks(self, orientation: int) -> None:
        stored = turned(corners_photo(999, 601), orientation)
        photo = decode(
            save(stored, "JPEG", exif=exif(orientation), quality=95), Limits(working_side=150)
        )
        assert (photo.width, photo.height) == (999, 601)
        assert photo.rgb.shape == (90, 150, 3)
        assert photo.scale == pytest.approx(999 / 150)
        assert_upright(photo.rgb)

    @pytest.mark.parametrize("value", [0, 9, 65535])
    def test_a_meaningless_value_leaves_the_photo_as_it_is(self, value: int) -> None:
        data = save(corners_photo(), "JPEG", exif=exif(value), **quality("JPEG"))
        photo = decode(data, LIMITS)
        assert (photo.width, photo.height) == (WIDTH, HEIGHT)
        assert_upright(photo.rgb)

    @pytest.mark.parametrize("tag", ['tiff:Orientation="6"', "<tiff:Orientation>8<"])
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
    def test_of_xmp_is_left_over_and_does_not_count(self, kind: str, tag: str) -> None:
        # Not the tag itself at first, for the encoder of HEIC would turn it into a property.
        xmp = f"<rdf:Description {tag}/>".replace("tiff", "tifx")
        given: dict[str, Any] = {"xmp": xmp.encode()}
        if kind == "PNG":
            given = {"pnginfo": PngInfo()}
            given["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)
        data = save(corners_photo(), kind, **given, **quality(kind))
        if kind == "PNG":
            data = png([(name, body.replace(b"tifx", b"tiff")) for name, body in png_chunks(data)])
        data = data.replace(b"tifx", b"tiff")
        assert tag.encode() in data
        photo = decode(data, LIMITS)
        assert (photo.width, photo.height) == (WIDTH, HEIGHT)
        assert_upright(photo.rgb)

    def test_of_exif_counts_whatever_xmp_says(self) -> None:
        xmp = b'<rdf:Description tiff:Orientation="3"/>'
        stored = turned(corners_photo(), 6)
        photo = decode(save(stored, "JPEG", exif=exif(6), xmp=xmp, **quality("JPEG")), LIMITS)
        assert_upright(photo.rgb)

    @pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
    def test_of_exif_does_not_count_where_the_picture_has_properties_for_it(
        self, kind: str
    ) -> None:
        tags = Image.Exif()
        tags[ExifTags.Base.Compression] = 6
        data = save(corners_photo(), kind, exif=tags.tobytes(), **quality(kind))
        # Written as another tag, for the encoder would turn it into the property.
        left_over = tags.tobytes()[6:].replace(b"\x03\x01", b"\x12\x01", 1)
        left_over = left_over.replace(b"\x01\x03\x00\x03", b"\x01\x12\x00\x03", 1)
        assert data.count(tags.tobytes()[6:]) == 1
        photo = decode(data.replace(tags.tobytes()[6:], left_over), LIMITS)
        assert (photo.width, photo.height) == (WIDTH, HEIGHT)
        assert_upright(photo.rgb)

    @pytest.mark.parametrize(
        "tags",
        [
            b"Exif\x00\x00",
            b"Exif\x00\x00garbage that is no TIFF",
            b"Exif\x00\x00" + exif(6).tobytes()[6:20],
            b"Exif\x00\x00II*\x00\xff\xff\xff\xff",
        ],
        ids=["empty", "garbage", "cut", "points outside"],
    )
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
    def test_unreadable_exif_counts_as_none(self, kind: str, tags: bytes) -> None:
        photo = decode(save(corners_photo(), kind, exif=tags, **quality(kind)), LIMITS)
        assert_upright(photo.rgb)


def quality(kind: str) -> dict[str, Any]:
    """Options that keep flat colours, where a format has any."""
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    }
    return options.get(kind, {})


def assert_grey(rgb: Rgb, tolerance: int = 3) -> None:
    for name, colour in corners_of(rgb).items():
        red, green, blue = CORNERS[name]
        assert len(set(colour)) == 1
        assert abs(colour[0] - (red * 0.299 + green * 0.587 + blue * 0.114)) <= tolerance + 0.5


class TestColour:
    @pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif", "heic"])
    def test_grey(self, kind: str) -> None:
        assert_grey(decode(ENCODERS[kind](corners_photo().convert("L")), LIMITS).rgb)

    def test_grey_of_sixteen_bits_is_scaled_and_not_clipped(self) -> None:
        grey = np.asarray(corners_photo().convert("L")).astype(np.uint16) * 257
        data = save(Image.fromarray(grey), "PNG")
        assert Image.open(BytesIO(data)).mode == "I;16"
        assert_grey(decode(data, LIMITS).rgb, 0)

    def test_grey_of_ten_bits_in_heic(self) -> None:
        grey = np.asarray(corners_photo().convert("L")).astype(np.uint16) * 257
        file = BytesIO()
        pillow_heif.encode("L;16", (WIDTH, HEIGHT), grey.tobytes(), file, quality=-1)
        assert_grey(decode(file.getvalue(), LIMITS).rgb)

    def test_colour_of_sixteen_bits(self) -> None:
        deep = np.asarray(corners_photo()).astype(np.uint16) * 257
        data = cv2.imencode(".png", deep[:, :, ::-1])[1].tobytes()
        assert data[24] == 16  # IHDR's bit depth
        assert_upright(decode(data, LIMITS).rgb, 0)

    def test_colour_of_ten_bits_in_heic(self) -> None:
        deep = np.asarray(corners_photo()).astype(np.uint16) * 257
        file = BytesIO()
        pillow_heif.encode("RGB;16", (WIDTH, HEIGHT), deep.tobytes(), file, quality=95, chroma=444)
        assert_upright(decode(file.getvalue(), LIMITS).rgb)

    @pytest.mark.parametrize("depth", [1, 2, 4])
    def test_grey_of_few_bits(self, depth: int) -> None:
        half = 32 * depth // 8
        row = b"\x00" + bytes(half) + b"\xff" * half
        data = png([png_header(64, 64, depth, 0), (b"IDAT", zlib.compress(row * 64))])
        rgb = decode(data, LIMITS).rgb
        assert (rgb[:, :32] == 0).all()
        assert (rgb[:, 32:] == 255).all()

    def test_bilevel_photos_shrink_to_greys(self) -> None:
        checks = Image.fromarray((np.indices((256, 256)).sum(0) % 2).astype(bool))
        assert checks.mode == "1"
        rgb = decode(save(checks, "PNG"), Limits(working_side=64)).rgb
        assert abs(rgb[8:-8, 8:-8].astype(int) - 127).max() < 8

    def test_palette(self) -> None:
        assert_upright(decode(save(corners_photo().quantize(8), "PNG"), LIMITS).rgb, 2)

    def test_cmyk(self) -> None:
        data = save(corners_photo().convert("CMYK"), "JPEG", quality=95, subsampling=0)
        assert_upright(decode(data, LIMITS).rgb, 10)

    def test_cmyk_at_a_fraction(self) -> None:
        data = save(corners_photo(480, 320).convert("CMYK"), "JPEG", quality=95)
        photo = decode(data, Limits(working_side=100))
        assert photo.rgb.shape == (67, 100, 3)
        assert_upright(photo.rgb, 10)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "HEIF"])
    def test_alpha_lies_over_white(self, kind: str) -> None:
        image = corners_photo().convert("RGBA")
        alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
        alpha[:, : WIDTH // 4] = 0
        alpha[:, WIDTH // 4 : WIDTH // 2] = 128
        image.putalpha(Image.fromarray(alpha))
        rgb = decode(save(image, kind, **quality(kind)), LIMITS).rgb.astype(int)
        assert rgb[:, 4 : WIDTH // 4 - 4].min() >= 250
        half = (np.array(CORNERS["top left"]) + 255) / 2
        assert np.abs(rgb[20, WIDTH * 3 // 8] - half).max() <= 8
        assert np.abs(rgb[20, -20] - CORNERS["top right"]).max() <= 6

    def test_colour_under_full_transparency_does_not_bleed(self) -> None:
        pixels = np.zeros((256, 256, 4), np.uint8)
        pixels[:, 128:] = (255, 255, 255, 255)
        rgb = decode(save(Image.fromarray(pixels), "PNG"), Limits(working_side=100)).rgb
        assert rgb.min() >= 254

    def test_grey_with_alpha(self) -> None:
        image = Image.new("LA", (64, 64), (100, 255))
        image.paste((100, 0), (0, 0, 32, 64))
        rgb = decode(save(image, "PNG"), LIMITS).rgb
        assert (rgb[:, :30] == 255).all()
        assert (rgb[:, 34:] == 100).all()

    @pytest.mark.parametrize("transparency", [1, b"\xff\x00\xff"])
    def test_palette_with_a_transparent_entry(self, transparency: int | bytes) -> None:
        image = Image.new("P", (64, 64), 0)
        image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
        image.paste(1, (0, 0, 32, 64))
        rgb = decode(save(image, "PNG", transparency=transparency), LIMITS).rgb
        assert (rgb[:, :32] == 255).all()
        assert (rgb[:, 32:] == (10, 20, 30)).all()

    @pytest.mark.parametrize(("mode", "key"), [("L", 77), ("RGB", (1, 2, 3))])
    def test_a_transparent_colour(self, mode: str, key: Any) -> None:
        image = Image.new(mode, (64, 64), key)
        image.paste(0, (32, 0, 64, 64))
        rgb = decode(save(image, "PNG", transparency=key), LIMITS).rgb
        assert (rgb[:, :32] == 255).all()
        assert (rgb[:, 32:] == 0).all()


def matrix_profile(
    primaries: tuple[tuple[float, float, float], ...], gamma: float, space: bytes = b"RGB "
) -> bytes:
    """A minimal ICC v2 profile: the primaries' XYZ under D50 and one power curve."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    xyz = [b"XYZ " + bytes(4) + fixed(*primary) for primary in primaries]
    white = b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)
    text = b"text" + bytes(4) + b"none\x00" + bytes(3)
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\x00" + bytes(12 + 67)
    name += bytes(-len(name) % 4)
    tags = {b"desc": name, b"cprt": text, b"wtpt": white}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), xyz, strict=True))
        tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = struct.pack(">I", offset + len(body))
    header = size + bytes(4) + b"\x02\x20\x00\x00mntr" + space + b"XYZ " + bytes(12) + b"acsp"
    header += bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\x00") + table + body


DISPLAY_P3 = matrix_profile(
    ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)), 2.2
)
ADOBE_PRIMARIES = (
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
)
ADOBE_RGB = matrix_profile(ADOBE_PRIMARIES, 2.2)
LINEAR_RGB = matrix_profile(ADOBE_PRIMARIES, 1.0)
GREY_GAMMA_1 = matrix_profile((), 1.0, b"GRAY")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class TestColourProfiles:
    @pytest.mark.parametrize(
        ("profile", "stored", "expected"),
        [
            # A sRGB red is (234, 51, 35) in Display P3 and (219, 0, 0) in Adobe RGB.
            (DISPLAY_P3, (234, 51, 35), (255, 0, 0)),
            (ADOBE_RGB, (219, 0, 0), (255, 0, 0)),
            (ADOBE_RGB, (144, 255, 60), (0, 255, 0)),
            (SRGB, (234, 51, 35), (234, 51, 35)),
            (DISPLAY_P3, (128, 128, 128), (128, 128, 128)),
            (ADOBE_RGB, (255, 255, 255), (255, 255, 255)),
        ],
    )
    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "JPEG", "HEIF"])
    def test_colours_become_srgb(
        self, kind: str, profile: bytes, stored: tuple[int, ...], expected: tuple[int, ...]
    ) -> None:
        image = Image.new("RGB", (64, 64), stored)
        data = save(image, kind, icc_profile=profile, **quality(kind))
        rgb = decode(data, LIMITS).rgb.astype(int)
        # Dark channels are steep between gamma 2.2 and sRGB's own curve.
        assert np.abs(rgb[32, 32] - expected).max() <= 12

    def test_grey_with_its_own_curve(self) -> None:
        data = save(Image.new("L", (64, 64), 55), "PNG", icc_profile=GREY_GAMMA_1)
        # Linear 55/255 is 0.216, which sRGB writes as 128.
        assert np.abs(decode(data, LIMITS).rgb.astype(int) - 128).max() <= 1

    def test_grey_with_a_colour_profile(self) -> None:
        data = save(Image.new("L", (64, 64), 55), "PNG", icc_profile=LINEAR_RGB)
        assert np.abs(decode(data, LIMITS).rgb.astype(int) - 128).max() <= 1

    def test_a_profile_under_alpha(self) -> None:
        image = Image.new("RGBA", (64, 64), (219, 0, 0, 255))
        image.paste((0, 0, 0, 0), (0, 0, 32, 64))
        rgb = decode(save(image, "PNG", icc_profile=ADOBE_RGB), LIMITS).rgb.astype(int)
        assert (rgb[32, 8] == 255).all()
        assert np.abs(rgb[32, 56] - (255, 0, 0)).max() <= 2

    @pytest.mark.parametrize(
        "profile",
        [
            b"no profile",
            bytes(200),
            SRGB[:100],
            SRGB[:300],
            b"\xff" * len(SRGB),
            SRGB[:16] + b"\xff\xfe\xfd\xfc" + SRGB[20:],
            GREY_GAMMA_1,
        ],
        ids=["text", "zeros", "half a header", "cut", "ones", "no such space", "of another space"],
    )
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
    def test_one_that_cannot_be_used_counts_as_none(self, kind: str, profile: bytes) -> None:
        data = save(corners_photo(), kind, icc_profile=profile, **quality(kind))
        assert_upright(decode(data, LIMITS).rgb)

    def test_cmyk_with_a_profile_of_another_space(self) -> None:
        image = corners_photo().convert("CMYK")
        data = save(image, "JPEG", icc_profile=SRGB, quality=95, subsampling=0)
        assert_upright(decode(data, LIMITS).rgb, 10)


class TestWorkingCopy:
    @formats
    def test_is_shrunk_to_the_working_side(self, kind: str) -> None:
        photo = decode(ENCODERS[kind](corners_photo(613, 401)), Limits(working_side=200))
        assert photo.rgb.shape == (131, 200, 3)
        assert (photo.width, photo.height) == (613, 401)
        assert photo.scale == pytest.approx(613 / 200)
        assert_upright(photo.rgb)

    @formats
    def test_is_never_enlarged(self, kind: str) -> None:
        photo = decode(ENCODERS[kind](corners_photo(101, 67)), Limits(working_side=1024))
        assert photo.rgb.shape == (67, 101, 3)

    @pytest.mark.parametrize("width", [799, 800, 801, 803, 1601, 1607])
    def test_an_edge_stays_where_it_is(self, width: int) -> None:
        """A JPEG decoded at a fraction is rounded up; the copy must not drift by that."""
        pixels = np.zeros((200, width), np.uint8)
        edge = width * 2 // 3
        pixels[:, edge:] = 255
        limits = Limits(working_side=100)
        photo = decode(save(Image.fromarray(pixels), "JPEG", quality=95), limits)
        row = photo.rgb[photo.rgb.shape[0] // 2, :, 0].astype(float) / 255
        assert (photo.rgb.shape[1] - row.sum()) * photo.scale == pytest.approx(edge, abs=1)

    def test_fine_detail_is_averaged_and_not_sampled(self) -> None:
        stripes = np.zeros((400, 400), np.uint8)
        stripes[:, ::2] = 255
        for kind in ("PNG", "JPEG"):
            rgb = decode(save(Image.fromarray(stripes), kind), Limits(working_side=100)).rgb
            assert np.abs(rgb[8:-8, 8:-8].astype(int) - 127).max() <= 8

    @pytest.mark.parametrize(
        "size",
        [(640, 480), (480, 640), (641, 479), (600, 300), (301, 600), (900, 602), (230, 210)],
    )
    @pytest.mark.parametrize("mode", ["RGB", "L"])
    def test_two_halves_are_resampled_as_one(self, size: tuple[int, int], mode: str) -> None:
        grain = np.random.default_rng(3).integers(0, 256, (*size[::-1], 3), np.uint8)
        image = Image.fromarray(grain).convert(mode)
        photo = decode(save(image, "PNG"), Limits(working_side=200))
        whole = image.resize(photo.rgb.shape[1::-1], Image.Resampling.LANCZOS, reducing_gap=2)
        assert np.array_equal(photo.rgb, np.asarray(whole.convert("RGB")))

    def test_a_long_strip_keeps_a_pixel(self) -> None:
        photo = decode(save(Image.new("RGB", (20_000, 64)), "PNG"), Limits(working_side=100))
        assert photo.rgb.shape == (1, 100, 3)

    @pytest.mark.parametrize(
        ("size", "max_side", "expected"),
        [
            ((3001, 2003), None, (3001, 2003)),
            ((3001, 2003), 4000, (3001, 2003)),
            ((3001, 2003), 3001, (3001, 2003)),
            ((3001, 2003), 1000, (1000, 667)),
            ((2003, 3001), 1000, (667, 1000)),
            ((5000, 64), 64, (64, 1)),
        ],
    )
    def test_output_size(
        self, size: tuple[int, int], max_side: int | None, expected: tuple[int, int]
    ) -> None:
        photo = Photo(np.zeros((1, 1, 3), np.uint8), *size)
        assert photo.output_size(max_side) == expected


JPEGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "own tables": {"optimize": True},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 7},
}


def photo_like() -> Image.Image:
    """Smooth and grainy by turns, as photos are."""
    grain = np.random.default_rng(5).normal(0, 12, (240, 320, 3))
    y, x = np.indices((240, 320))
    waves = 128 + 90 * np.sin(x / 23)[:, :, None] * np.cos(y / 31)[:, :, None]
    return Image.fromarray(np.clip(waves + grain * (x > 150)[:, :, None], 0, 255).astype(np.uint8))


class TestDamage:
    @formats
    def test_a_cut_file_is_broken_wherever_it_is_cut(self, kind: str) -> None:
        data = ENCODERS[kind](noise())
        for length in range(12, len(data) - 24, len(data) // 60):
            with pytest.raises(BrokenPhoto):
                decode(data[:length], LIMITS)

    @formats
    def test_a_file_without_its_last_bytes_is_broken_or_whole(self, kind: str) -> None:
        """PNG ends with a checksum and an empty chunk, JPEG with a marker: no pixels in there."""
        data = ENCODERS[kind](noise())
        whole = decode(data, LIMITS).rgb
        for length in range(len(data) - 24, len(data)):
            try:
                rgb = decode(data[:length], LIMITS).rgb
            except BrokenPhoto:
                continue
            assert kind in ("jpeg", "progressive jpeg", "png")
            assert np.array_equal(rgb, whole)

    @pytest.mark.parametrize("kind", ["jpeg", "progressive jpeg"])
    def test_decoding_at_a_fraction_hides_no_cut(self, kind: str) -> None:
        data = ENCODERS[kind](noise(640, 480))
        limits = Limits(working_side=64)
        assert decode(data, limits).rgb.shape == (48, 64, 3)
        for length in [*range(12, len(data) - 3, len(data) // 40), len(data) - 3]:
            with pytest.raises(BrokenPhoto):
                decode(data[:length], limits)

    @pytest.mark.parametrize("tail", [b"", b"\xff"])
    @pytest.mark.parametrize("options", JPEGS.values(), ids=list(JPEGS))
    def test_a_jpeg_that_lacks_its_end_marker_is_whole(
        self, options: dict[str, Any], tail: bytes
    ) -> None:
        data = save(photo_like(), "JPEG", **options)
        photo = decode(data[:-2] + tail, LIMITS)
        assert np.array_equal(photo.rgb, decode(data, LIMITS).rgb)

    @pytest.mark.parametrize("options", JPEGS.values(), ids=list(JPEGS))
    def test_a_jpeg_that_lacks_more_is_broken(self, options: dict[str, Any]) -> None:
        data = save(photo_like(), "JPEG", **options)
        for lost in (8, 100, len(data) // 5, len(data) // 2):
            for tail in (b"", b"\xff\xd9"):
                with pytest.raises(BrokenPhoto):
                    decode(data[:-lost] + tail, LIMITS)

    def test_a_jpeg_cut_between_two_scans_is_broken(self) -> None:
        data = save(photo_like(), "JPEG", progressive=True)
        starts = [place for place in range(len(data)) if data.startswith(b"\xff\xda", place)]
        assert len(starts) > 5
        for start in starts:
            with pytest.raises(BrokenPhoto):
                decode(data[:start], LIMITS)

    @pytest.mark.parametrize("fill", [b"\x00", b"\x55", b"\xff", b"\xff\x00", b"\xff\xd0"])
    @pytest.mark.parametrize("share", [0.05, 0.2])
    @pytest.mark.parametrize("options", JPEGS.values(), ids=list(JPEGS))
    def test_a_jpeg_with_a_dead_band_is_broken(
        self, options: dict[str, Any], share: float, fill: bytes
    ) -> None:
        data = save(photo_like(), "JPEG", **options)
        scans = data.index(b"\xff\xda")
        size = int((len(data) - scans) * share) // len(fill) * len(fill)
        for place in range(scans + 14, len(data) - 2 - size, len(data) // 7):
            dead = data[:place] + fill * (size // len(fill)) + data[place + size :]
            with pytest.raises((BrokenPhoto, UnsupportedPhoto)):
                decode(dead, LIMITS)

    @pytest.mark.parametrize("options", JPEGS.values(), ids=list(JPEGS))
    def test_a_jpeg_with_a_hole_is_broken(self, options: dict[str, Any]) -> None:
        data = save(photo_like(), "JPEG", **options)
        middle = len(data) // 2
        with pytest.raises(BrokenPhoto):
            decode(data[:middle] + data[middle + 400 :], LIMITS)

    @pytest.mark.parametrize("options", JPEGS.values(), ids=list(JPEGS))
    def test_what_cameras_leave_in_a_jpeg_is_no_damage(self, options: dict[str, Any]) -> None:
        data = save(photo_like(), "JPEG", **options)
        tables = data.index(b"\xff\xdb")
        revision = data.replace(b"JFIF\x00\x01", b"JFIF\x00\x03", 1)
        assert revision != data
        adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x09"
        for whole in (
            data[:tables] + bytes(40) + data[tables:],
            data[:-2] + b"\x00\x10\x20" + data[-2:],
            data[:-2] + b"\xff" * 9 + data[-2:],
            data + bytes(5000),
            revision,
            data[:tables] + adobe + data[tables:],
        ):
            assert np.array_equal(decode(whole, LIMITS).rgb, decode(data, LIMITS).rgb)

    @pytest.mark.parametrize(
        "head",
        [
            b"\xff\xd8\xff",
            b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
            b"\x89PNG\r\n\x1a\n",
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR",
            b"RIFF\x24\x00\x00\x00WEBPVP8 ",
            b"RIFF\xff\xff\xff\xffWEBP",
            b"\x00\x00\x00\x20ftypavif\x00\x00\x00\x00avifmif1",
            b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
            b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic",
            b"\x00\x00\x00\x18ftypmsf1\x00\x00\x00\x00",
        ],
    )
    def test_a_promise_without_a_picture_is_broken(self, head: bytes) -> None:
        for tail in (b"", bytes(300), b"\xff" * 300, b"plain text " * 30):
            with pytest.raises(BrokenPhoto):
                decode(head + tail, LIMITS)

    def test_a_picture_of_no_size_is_broken(self) -> None:
        with pytest.raises(BrokenPhoto):
            decode(png([png_header(0, 64), (b"IDAT", zlib.compress(b""))]), LIMITS)

    @pytest.mark.parametrize("chunk", [b"iTXt", b"zTXt", b"iCCP"])
    def test_a_bomb_in_a_text_or_profile_chunk_is_broken(self, chunk: bytes) -> None:
        bomb = zlib.compress(bytes(5_000_000), 9)
        packed = b"k\x00\x01\x00\x00\x00" + bomb if chunk == b"iTXt" else b"k\x00\x00" + bomb
        rows = zlib.compress((b"\x00" + bytes(64 * 3)) * 64)
        with pytest.raises(BrokenPhoto):
            decode(png([png_header(64, 64), (chunk, packed), (b"IDAT", rows)]), LIMITS)

    def test_bytes_after_the_picture_do_no_harm(self) -> None:
        data = ENCODERS["jpeg"](corners_photo()) + b"\x00\x00\x00\x18ftypmp42" + bytes(5000)
        assert_upright(decode(data, LIMITS).rgb)

    @formats
    def test_random_damage_is_never_more_than_a_refusal(self, kind: str) -> None:
        rng = np.random.default_rng(3)
        data = ENCODERS[kind](noise(96, 64))
        limits = Limits(max_pixels=1_000_000)
        refused = 0
        for _ in range(60):
            damaged = bytearray(data)
            for place in rng.integers(12, min(len(damaged), 900), 4):
                damaged[place] = rng.integers(0, 256)
            try:
                photo = decode(bytes(damaged), limits)
            except (BrokenPhoto, UnsupportedPhoto, PhotoTooLarge):
                refused += 1
            else:
                assert photo.rgb.ndim == 3
        assert refused

    def test_a_heic_item_type_that_is_not_text(self) -> None:
        """Once brought the decoder, and with it the process, down."""
        data = save(corners_photo(), "HEIF", exif=exif(1).tobytes())
        place = data.index(b"Exif", data.index(b"iinf"))
        damaged = data[:place] + b"Ex\xfff" + data[place + 4 :]
        assert_upright(decode(damaged, LIMITS).rgb)


class TestLimits:
    def test_bytes(self) -> None:
        data = save(corners_photo(), "PNG")
        assert decode(data, Limits(max_bytes=len(data)))
        with pytest.raises(PhotoTooLarge, match=str(len(data) - 1)):
            decode(data, Limits(max_bytes=len(data) - 1))

    @formats
    def test_pixels(self, kind: str) -> None:
        data = ENCODERS[kind](corners_photo())
        assert decode(data, Limits(max_pixels=WIDTH * HEIGHT))
        with pytest.raises(PhotoTooLarge, match=f"{WIDTH} x {HEIGHT}"):
            decode(data, Limits(max_pixels=WIDTH * HEIGHT - 1))

    @pytest.mark.parametrize(
        "size", [(8000, 7501), (12_000, 9000), (14_000, 14_000), (2**31 - 1, 2**31 - 1)]
    )
    def test_pixels_are_counted_before_any_is_decoded(self, size: tuple[int, int]) -> None:
        # There are no rows behind this header: to decode would be to find it broken.
        data = png([png_header(*size), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")])
        with pytest.raises(PhotoTooLarge):
            decode(data, LIMITS)

    def test_a_jpeg_header_that_lies(self) -> None:
        data = bytearray(ENCODERS["jpeg"](corners_photo()))
        frame = data.index(b"\xff\xc0") + 5
        data[frame : frame + 4] = struct.pack(">HH", 60_000, 60_000)
        with pytest.raises(PhotoTooLarge):
            decode(bytes(data), LIMITS)

    @pytest.mark.parametrize("side", [9000, 16383])
    def test_a_webp_canvas_that_lies(self, side: int) -> None:
        canvas = struct.pack("<I", 0) + (side - 1).to_bytes(3, "little") * 2
        inner = save(corners_photo(), "WEBP")[12:]
        body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + inner
        with pytest.raises((PhotoTooLarge, BrokenPhoto)):
            decode(b"RIFF" + struct.pack("<I", len(body)) + body, LIMITS)

    @pytest.mark.parametrize("kind", ["avif", "heic"])
    def test_an_image_box_that_lies(self, kind: str) -> None:
        data = bytearray(ENCODERS[kind](corners_photo()))
        place = data.index(b"ispe") + 8
        data[place : place + 8] = struct.pack(">II", 16_000, 16_000)
        with pytest.raises(PhotoTooLarge):
            decode(bytes(data), LIMITS)

    @pytest.mark.parametrize("size", [(63, 200), (200, 63), (1, 1)])
    def test_a_photo_can_be_too_small(self, size: tuple[int, int]) -> None:
        with pytest.raises(UnsupportedPhoto, match=str(MIN_SIDE)):
            decode(save(Image.new("RGB", size), "PNG"), LIMITS)


def blob(width: int, height: int) -> NDArray[np.bool_]:
    """A smooth shape that leaves the frame at the bottom, sampled at pixel centres."""
    y, x = (np.indices((height, width)) + 0.5) / np.array([height, width])[:, None, None]
    angle = np.arctan2(y - 0.6, x - 0.5)
    shape = ((x - 0.5) / 0.3) ** 2 + ((y - 0.6) / 0.35) ** 2 < 1 + 0.2 * np.sin(5 * angle)
    return np.asarray(shape | ((np.abs(x - 0.4) < 0.1) & (y > 0.7)))


def contour_length(grey: NDArray[Any]) -> float:
    contours, _ = cv2.findContours(grey, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return sum(cv2.arcLength(contour, True) for contour in contours)


class TestToGrid:
    @pytest.mark.parametrize("size", [(97, 101), (64, 64), (1, 7), (768, 1024)])
    def test_the_same_size_gives_the_same_pixels(self, size: tuple[int, int]) -> None:
        pixels = np.random.default_rng(1).random(size[::-1]) > 0.5
        grey = to_grid(pixels, size, "hard")
        assert grey.dtype == np.uint8
        assert np.array_equal(grey, pixels * np.uint8(255))

    @pytest.mark.parametrize("size", [(97, 101), (1009, 1511), (331, 499), (41, 61), (3, 5)])
    @pytest.mark.parametrize("edge", ["hard", "soft"])
    def test_any_size_comes_out(self, size: tuple[int, int], edge: Any) -> None:
        grey = to_grid(blob(165, 249), size, edge)
        assert grey.shape == size[::-1]
        assert grey.dtype == np.uint8
        assert {0, 255} >= set(np.unique(grey)) or edge == "soft"

    @pytest.mark.parametrize("size", [(97, 101), (300, 311), (50, 52)])
    @pytest.mark.parametrize("edge", ["hard", "soft"])
    @pytest.mark.parametrize("value", [True, False])
    def test_all_and_nothing_stay_so(self, size: tuple[int, int], edge: Any, value: bool) -> None:
        grey = to_grid(np.full((101, 97), value), size, edge)
        assert (grey == (255 if value else 0)).all()

    @pytest.mark.parametrize("factor", [1.1, 2, 3.7, 5.86])
    @pytest.mark.parametrize("edge", ["hard", "soft"])
    def test_an_enlarged_shape_stays_where_it_is(self, factor: float, edge: Any) -> None:
        size = round(165 * factor), round(249 * factor)
        truth = blob(*size)
        grey = to_grid(blob(165, 249), size, edge) > 127
        wrong = np.count_nonzero(grey != truth)
        # Mean distance between the contours, in pixels of the small grid.
        assert wrong / contour_length(truth.astype(np.uint8)) / factor < 0.25
        assert grey.sum() / truth.sum() == pytest.approx(1, abs=0.003)

    def test_an_enlarged_contour_has_no_stairs(self) -> None:
        size = 165 * 6, 249 * 6
        truth = contour_length(blob(*size).astype(np.uint8))
        stairs = cv2.resize(blob(165, 249).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        assert contour_length(stairs) / truth > 1.05
        smooth = to_grid(blob(165, 249), size, "hard")
        assert contour_length(smooth) / truth == pytest.approx(1, abs=0.01)

    @pytest.mark.parametrize("edge", ["hard", "soft"])
    def test_a_mask_at_the_frame_stays_at_the_frame(self, edge: Any) -> None:
        pixels = np.zeros((100, 80), bool)
        pixels[50:] = True
        grey = to_grid(pixels, (240, 300), edge)
        assert (grey[-1] == 255).all()
        assert (grey[200] == 255).all()
        assert (grey[140] == 0).all()

    @pytest.mark.parametrize("factor", [1, 2, 4, 6])
    def test_a_soft_edge_is_a_narrow_ramp_on_the_hard_one(self, factor: int) -> None:
        pixels = np.zeros((60, 60), bool)
        pixels[:, 30:] = True
        size = 60 * factor, 60 * factor
        row = to_grid(pixels, size, "soft")[30 * factor].astype(int)
        assert all(a <= b for a, b in pairwise(row))
        between = np.flatnonzero((row > 12) & (row < 243))
        assert 2 <= len(between) <= 4
        assert abs(between.mean() + 0.5 - 30 * factor) <= 0.5
        hard = to_grid(pixels, size, "hard")[30 * factor]
        assert np.array_equal(hard == 255, row > 127)

    def test_shrinking_weighs_areas(self) -> None:
        pixels = np.zeros((90, 90), bool)
        pixels[:, :40] = True
        row = to_grid(pixels, (9, 9), "soft")[4]
        assert row.tolist() == [255] * 4 + [0] * 5
        half = to_grid(pixels, (6, 6), "soft")[3]
        assert half.tolist() == [255, 255, 170, 0, 0, 0]
        assert to_grid(pixels, (6, 6), "hard")[3].tolist() == [255, 255, 255, 0, 0, 0]

    def test_the_mask_itself_is_left_alone(self) -> None:
        pixels = blob(64, 64)
        before = pixels.copy()
        for size in ((64, 64), (200, 200), (20, 20)):
            to_grid(pixels, size, "hard")[:] = 7
        assert np.array_equal(pixels, before)


class TestEncodeMask:
    @pytest.mark.parametrize("edge", ["hard", "soft"])
    @pytest.mark.parametrize("size", [(97, 101), (1, 1), (165, 249), (1320, 1992)])
    @pytest.mark.parametrize(
        ("kind", "type_", "mode"), [("png", "image/png", "L"), ("webp", "image/webp", "RGB")]
    )
    def test_comes_back_pixel_for_pixel(
        self, kind: Any, type_: str, mode: str, size: tuple[int, int], edge: Any
    ) -> None:
        grey = to_grid(blob(165, 249), size, edge)
        file = encode_mask(grey, kind)
        assert (file.content_type, file.extension) == (type_, kind)
        with Image.open(BytesIO(file.data)) as image:
            assert image.format == kind.upper()
            assert image.mode == mode
            assert np.array_equal(np.asarray(image.convert("L")), grey)

    def test_png_holds_eight_bit_grey_and_nothing_else(self) -> None:
        data = encode_mask(to_grid(blob(97, 101), (97, 101), "hard"), "png").data
        assert data[24:26] == bytes([8, 0])
        names, place = [], 8
        while place < len(data):
            (length,) = struct.unpack_from(">I", data, place)
            names.append(data[place + 4 : place + 8])
            place += 12 + length
        assert set(names) == {b"IHDR", b"IDAT", b"IEND"}

    def test_webp_holds_nothing_else(self) -> None:
        data = encode_mask(to_grid(blob(97, 101), (97, 101), "hard"), "webp").data
        assert data[12:16] == b"VP8L"
        (length,) = struct.unpack_from("<I", data, 16)
        assert len(data) == 20 + length + length % 2

    def test_the_same_mask_gives_the_same_file(self) -> None:
        grey = to_grid(blob(97, 101), (97, 101), "soft")
        for kind in ("png", "webp"):
            assert encode_mask(grey, kind).data == encode_mask(grey.copy(), kind).data

    @pytest.mark.parametrize("shape", [(1, 16384), (16384, 1)])
    def test_webp_has_a_longest_side(self, shape: tuple[int, int]) -> None:
        with pytest.raises(InvalidRequest, match="16383"):
            encode_mask(np.zeros(shape, np.uint8), "webp")
        assert encode_mask(np.zeros(shape, np.uint8), "png").data
        assert encode_mask(np.zeros((1, 16383), np.uint8), "webp").data


class TestOverlay:
    def test_colours_the_masks_and_leaves_the_rest(self) -> None:
        rgb = np.full((200, 160, 3), 128, np.uint8)
        before = rgb.copy()
        upper = np.zeros((200, 160), bool)
        upper[20:80, 20:140] = True
        lower = np.zeros((200, 160), bool)
        lower[120:180, 20:140] = True

        file = overlay(rgb, {"upper": upper, "lower": lower})

        assert (file.content_type, file.extension) == ("image/jpeg", "jpg")
        with Image.open(BytesIO(file.data)) as image:
            assert image.format == "JPEG"
            assert image.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
            seen = np.asarray(image).astype(int)
        assert seen.shape == (200, 160, 3)
        outside, first, second = seen[100, 80], seen[50, 80], seen[150, 80]
        assert np.abs(outside - 128).max() <= 3
        assert first[0] > first[2] + 40
        assert second[2] > second[0] + 40
        # The contour is stronger than the tint.
        assert seen[20, 80, 0] > first[0] + 15
        assert np.array_equal(rgb, before)

    def test_more_masks_than_colours_and_empty_ones(self) -> None:
        rgb = np.zeros((64, 64, 3), np.uint8)
        masks = {str(index): np.full((64, 64), index % 2 == 0) for index in range(9)}
        with Image.open(BytesIO(overlay(rgb, masks).data)) as image:
            assert image.size == (64, 64)
