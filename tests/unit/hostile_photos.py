"""Photo files as an attacker or a bad disk makes them: what :mod:`tests.unit.decoding` decodes."""

from __future__ import annotations

import random
import struct
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO

import cv2
import numpy as np
import pillow_heif
from PIL import Image
from tests.unit.test_images import (
    ENCODERS,
    SRGB,
    corners_photo,
    exif,
    noise,
    png,
    png_header,
    quality,
    save,
    turned,
)

SIDE = 7700
"""A square photo just under the limit of pixels."""

_EMPTY_CHUNK = png([(b"abCd", b"")])[8:]


def corpus() -> Iterator[tuple[str, bytes]]:
    """Every file, with a name that says what is wrong with it."""
    for kind, encode in ENCODERS.items():
        whole, grainy = encode(corners_photo()), encode(noise())
        yield f"{kind}, whole", whole
        for tenth in range(10):
            yield f"{kind}, {tenth} tenths", grainy[: len(grainy) * tenth // 10]
        for other, encode_other in ENCODERS.items():
            if other != kind:
                yield f"{kind} head, {other} body", whole[:12] + encode_other(corners_photo())[12:]
        yield f"{kind}, a program behind", whole + b"<script>alert(1)</script>" * 100
        yield f"{kind}, an archive behind", whole + b"PK\x03\x04" + bytes(5000) + b"PK\x05\x06"
        yield f"{kind}, twice", whole + whole
        yield f"{kind}, zeros behind the head", whole[:40] + bytes(100_000)
        yield f"{kind}, ones behind the head", whole[:40] + b"\xff" * 100_000
        for seed in range(30):
            yield f"{kind}, flipped bits {seed}", flipped(grainy, seed)
    yield from _not_photos()
    yield from _shapes_and_modes()
    yield from _giant_headers()
    yield from _bombs()
    yield from _metadata()
    yield from _frames()


def large() -> Iterator[tuple[str, bytes]]:
    """Flat photos of as many pixels as are taken: small files, and the most memory."""
    rgb = Image.new("RGB", (SIDE, SIDE), (90, 120, 150))
    yield "large jpeg", save(rgb, "JPEG")
    yield "large progressive jpeg", save(rgb, "JPEG", progressive=True, subsampling=0)
    yield "large cmyk jpeg", save(rgb.convert("CMYK"), "JPEG")
    yield "large png", _flat_png(8, 2)
    yield "large png with alpha", _flat_png(8, 6)
    yield "large png of 16 bits with alpha", _flat_png(16, 6)
    yield "large grey png of 16 bits", _flat_png(16, 0)
    yield "large palette png with alpha", _flat_png(8, 3, (b"PLTE", bytes(768)), (b"tRNS", b"\x00"))
    yield "large interlaced png", _flat_png(8, 6, interlaced=True)
    yield "large webp", save(rgb, "WEBP", quality=1, method=0)
    yield (
        "large lossless webp with alpha",
        save(rgb.convert("RGBA"), "WEBP", lossless=True, quality=0, method=0),
    )
    yield "large avif", save(rgb, "AVIF", quality=30, speed=10)


def flipped(data: bytes, seed: int) -> bytes:
    """``data`` with one to thirty of its bits the other way round."""
    dice = random.Random(seed)
    damaged = bytearray(data)
    for _ in range(dice.randint(1, 30)):
        damaged[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def scans(count: int, side: int) -> bytes:
    """A progressive JPEG of one byte a pixel whose scans say nothing, in 65 bytes each."""
    blocks = ((side + 7) // 8) ** 2
    # One code, a single 0: no difference for DC, and for AC "the next 32767 blocks end here".
    tables = _segment(0xC4, b"\x00\x01" + bytes(16)) + _segment(
        0xC4, b"\x10\x01" + bytes(15) + b"\xe0"
    )
    frame = struct.pack(">BHHB", 8, side, side, 1) + b"\x01\x11\x00"
    runs = ("0" + "1" * 14) * -(-blocks // 32767)
    runs += "1" * (-len(runs) % 8)
    body = int(runs, 2).to_bytes(len(runs) // 8, "big").replace(b"\xff", b"\xff\x00")
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xDB, b"\x00" + b"\x01" * 64),
            _segment(0xC2, frame),
            tables,
            _segment(0xDA, b"\x01\x01\x00\x00\x00\x00"),
            bytes((blocks + 7) // 8),
            (_segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + body) * (count - 1),
            b"\xff\xd9",
        ]
    )


def segments(count: int) -> bytes:
    """A JPEG with so many empty comments."""
    photo = save(corners_photo(), "JPEG")
    return photo[:2] + _segment(0xFE, b"") * count + photo[2:]


def chunks(count: int) -> bytes:
    """A PNG with so many empty chunks."""
    photo = save(corners_photo(), "PNG")
    return photo[:33] + _EMPTY_CHUNK * count + photo[33:]


def _segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def _flat_png(
    depth: int, colour: int, *more: tuple[bytes, bytes], interlaced: bool = False, side: int = SIDE
) -> bytes:
    name, header = png_header(side, side, depth, colour)
    row = 1 + -(-side * depth * {0: 1, 2: 3, 3: 1, 6: 4}[colour] // 8)
    packer = zlib.compressobj(1)
    pixels = b"".join(packer.compress(bytes(row)) for _ in range(side + side * interlaced))
    body = (b"IDAT", pixels + packer.flush())
    head = (name, header[:-1] + bytes([interlaced]))
    return png([head, *more, body, (b"IEND", b"")])


def _not_photos() -> Iterator[tuple[str, bytes]]:
    for head in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x10\x00\x00WEBP"):
        yield f"nothing after {head!r}", head
        yield f"noise after {head!r}", head + random.Random(7).randbytes(50_000)
    for brand in (b"avif", b"heic", b"mif1", b"msf1", b"avis", b"hevc"):
        head = b"\x00\x00\x00\x18ftyp" + brand + bytes(4) + brand + b"mif1"
        yield f"nothing after ftyp {brand!r}", head
        yield f"noise after ftyp {brand!r}", head + random.Random(7).randbytes(50_000)
        box = struct.pack(">I4sQ", 1, b"meta", 1 << 62)
        yield f"an endless box after ftyp {brand!r}", head + box + bytes(1000)
        nested = b"".join(struct.pack(">I4s", 8 * (1000 - n), b"moov") for n in range(1000))
        yield f"a thousand boxes after ftyp {brand!r}", head + nested
    yield "empty", b""
    yield "one byte", b"\xff"
    yield "svg", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    yield "gif and script", b"GIF89a/*" + bytes(100) + b"*/=1;alert(1)"
    yield "pdf and jpeg", b"%PDF-1.7\n" + save(corners_photo(), "JPEG")
    yield "tiff", save(corners_photo(), "TIFF")
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) run"
    yield "zeros", bytes(1_000_000)
    yield "ones", b"\xff" * 1_000_000


def _shapes_and_modes() -> Iterator[tuple[str, bytes]]:
    for size in ((1, 30_000), (30_000, 1), (64, 30_000), (30_000, 64), (1, 1), (63, 64)):
        strip = Image.new("RGB", size, (1, 2, 3))
        yield f"png of {size}", save(strip, "PNG")
        yield f"jpeg of {size}", save(strip, "JPEG")
    grey = np.asarray(corners_photo().convert("L")).astype(np.uint16) * 257
    yield "png of 16 bits", save(Image.fromarray(grey), "PNG")
    deep = np.asarray(corners_photo()).astype(np.uint16) * 257
    yield "colour png of 16 bits", cv2.imencode(".png", deep)[1].tobytes()
    yield "cmyk", save(corners_photo().convert("CMYK"), "JPEG")
    alpha = corners_photo().quantize(8)
    yield "palette with alpha", save(alpha, "PNG", transparency=b"\x00\x40\x80")
    yield "grey with alpha", save(corners_photo().convert("LA"), "PNG")
    short = png([png_header(64, 64, 8, 3), (b"IDAT", zlib.compress(bytes(65 * 64)))])
    yield "palette png without a palette", short
    for orientation in range(10):
        for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF"):
            stored = turned(corners_photo(), orientation) if 1 <= orientation <= 8 else noise()
            tags = exif(orientation).tobytes()
            name = f"{kind} of orientation {orientation}"
            yield name, save(stored, kind, exif=tags, **quality(kind))


def _giant_headers() -> Iterator[tuple[str, bytes]]:
    for width, height in ((2**31 - 1, 2**31 - 1), (65_535, 65_535), (2**31 - 1, 64), (0, 0)):
        pixels = (b"IDAT", zlib.compress(bytes(1000)))
        yield f"png header {width} x {height}", png([png_header(width, height), pixels])
    yield "png of just too many pixels", png([png_header(60_001, 1000), (b"IDAT", b"")])
    jpeg = save(corners_photo(), "JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    yield "jpeg header", jpeg[:frame] + b"\xff\xff\xff\xff" + jpeg[frame + 4 :]
    yield "jpeg of no size", jpeg[:frame] + bytes(4) + jpeg[frame + 4 :]
    webp = save(corners_photo().convert("RGBA"), "WEBP", exif=exif(1).tobytes())
    canvas = webp.index(b"VP8X") + 12
    yield "webp canvas", webp[:canvas] + b"\xff" * 6 + webp[canvas + 6 :]
    for kind in ("AVIF", "HEIF"):
        photo = save(corners_photo(), kind)
        extents = photo.index(b"ispe") + 8
        for side in (2**31 - 1, 2**32 - 1, 30_000, 0):
            told = struct.pack(">II", side, side)
            yield f"{kind} extents {side}", photo[:extents] + told + photo[extents + 8 :]


def _bombs() -> Iterator[tuple[str, bytes]]:
    yield "jpeg of 101 scans", scans(101, 800)
    yield "jpeg of 50,000 scans", scans(50_000, SIDE)
    yield "jpeg of 100 scans", scans(100, SIDE)
    yield "jpeg of two million segments", segments(2_000_000)
    yield "jpeg of 2,000 segments", segments(1900)
    photo = save(corners_photo(), "JPEG")
    yield "jpeg with filling", photo[:2] + b"\xff" * 20_000_000 + photo[2:]
    yield "jpeg with zeros between segments", photo[:20] + bytes(20_000_000) + photo[20:]
    yield "png of a million chunks", chunks(1_000_000)
    yield "png of 2,000 chunks", chunks(1900)
    nothing = png([(b"IDAT", b"")])[8:]
    yield "png of a million pixel chunks", png([png_header(64, 64)]) + nothing * 1_000_000
    packed = zlib.compress(bytes(200_000_000), 1)
    pixels = (b"IDAT", zlib.compress(bytes(193 * 64)))
    for name, told in (
        (b"iCCP", b"profile\x00\x00" + packed),
        (b"zTXt", b"Comment\x00\x00" + packed),
        (b"iTXt", b"Comment\x00\x01\x00\x00\x00" + packed),
    ):
        header = png_header(64, 64)
        yield f"png with 200 MB in {name.decode()}", png([header, (name, told), pixels])
    yield "png with 200 MB of pixels in 64 x 64", png([png_header(64, 64), (b"IDAT", packed)])


def _metadata() -> Iterator[tuple[str, bytes]]:
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF"):
        for name, tags in (("loop", _exif_loop()), ("reuse", _exif_reuse())):
            yield f"{kind} with exif {name}", _with_exif(kind, tags)
        profile = SRGB + bytes(5_000_000)
        yield f"{kind} with 5 MB of profile", save(corners_photo(), kind, icc_profile=profile)
        long = struct.pack(">I", 1 << 31) + SRGB[4:]
        yield f"{kind} with a boastful profile", save(corners_photo(), kind, icc_profile=long)


def _with_exif(kind: str, tags: bytes) -> bytes:
    if kind != "JPEG":
        with warnings.catch_warnings():
            # Pillow reads them on the way out as well, for AVIF.
            warnings.simplefilter("ignore")
            return save(corners_photo(), kind, exif=b"Exif\x00\x00" + tags)
    photo = save(corners_photo(), "JPEG")
    parts = [tags[start : start + 65_000] for start in range(0, len(tags), 65_000)]
    told = b"".join(_segment(0xE1, b"Exif\x00\x00" + part) for part in parts)
    return photo[:2] + told + photo[20:]


def _exif_loop() -> bytes:
    """A directory that names itself as its next, and as its own sub-directory."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    return b"II*\x00" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8)


def _exif_reuse() -> bytes:
    """Four thousand tags that all are the same four megabytes."""
    entries = b"".join(struct.pack("<HHII", tag, 7, 4_000_000, 8) for tag in range(1000, 5000))
    return b"II*\x00" + struct.pack("<IH", 8, 4000) + entries + bytes(4_000_100)


def _frames() -> Iterator[tuple[str, bytes]]:
    first = corners_photo(64, 64)
    rest = [Image.new("RGB", (64, 64), (n % 256, 0, 0)) for n in range(60)]
    for kind in ("PNG", "WEBP", "AVIF", "MPO", "GIF"):
        file = BytesIO()
        first.save(file, kind, save_all=True, append_images=rest)
        yield f"{kind} of 61 frames", file.getvalue()
    several = pillow_heif.from_pillow(first)
    for frame in rest:
        several.add_from_pillow(frame)
    file = BytesIO()
    several.save(file)
    yield "HEIF of 61 pictures", file.getvalue()
