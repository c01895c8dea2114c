"""TIFF: its tags, and a writer of 8 and 16 bits, since Pillow has none for 16 bits of RGB."""
import ctypes
import functools
import struct
import zlib

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import OPEN_INFO, TiffImageFile

from minicnn.cpu.runtime import threads

from ...threads import ahead
from ..photo import Unreadable
from . import exif, ifd, tiff16
from .found import METADATA, Found, checked, with_mode
from .ifd import (BELOW, BITS, COMPRESSION, COUNTS, EXTRA, FORMAT, HEIGHT, ICC, IPTC, OFFSETS, ORIENTATION,
                  PHOTOMETRIC, PLANAR, PREDICTOR, RAW, ROWS, SAMPLES, SUBFILE, SUBSAMPLING, TILE_HEIGHT, TILE_WIDTH,
                  UNIT, WIDTH, X_DOTS, XMP, Y_DOTS, long, short)

__all__ = ["look", "write"]

STRUCTURE = {SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, X_DOTS, Y_DOTS, PLANAR,
             UNIT, TILE_WIDTH, TILE_HEIGHT, BELOW, EXTRA, FORMAT, SUBSAMPLING, XMP, IPTC, ICC, RAW}
NONE, DEFLATE = 1, 8
YCBCR = 6
PAGES = 10_000
STRIP = 1 << 18                     # bytes of a strip; the specification wants small ones
LEVEL = 4

# ------------------------------------------------------------------ reading


def look(file, size, limit):
    _quiet()
    _taught()

    def fetch(offset, n):
        file.seek(min(offset, size))
        return file.read(min(n, max(0, size - offset)))
    order, big, at = ifd.header(fetch(0, 16)) or ("<", False, size)
    tags, following = ifd.tree(fetch, order, at, big, STRUCTURE | ifd.DESCRIPTIVE)
    first = {tag: ifd.values(tags, tag, order, (default,))[0] for tag, default in (
        (WIDTH, 0), (HEIGHT, 0), (PHOTOMETRIC, 0), (PLANAR, 1), (TILE_WIDTH, 0), (TILE_HEIGHT, 0), (SUBFILE, 0),
        (ORIENTATION, 1))}
    if RAW in tags or (first[SUBFILE] & 1 and BELOW in tags) or fetch(8, 2) == b"CR":
        raise Unreadable("it is the raw file of a camera: develop it into a TIFF or JPEG first")
    count = checked(first[WIDTH], first[HEIGHT], limit)
    if first[TILE_WIDTH] * first[TILE_HEIGHT] > max(limit, 1 << 16):
        raise Unreadable(f"its tiles of {first[TILE_WIDTH]} x {first[TILE_HEIGHT]} pixels are too large")

    def opened():
        file.seek(0)
        try:
            image = TiffImageFile(file)
        except SyntaxError:
            raise Unreadable(_unknown(tags, order, first)) from None
        return _plain_ycbcr(image, tags, order) if first[PHOTOMETRIC] == YCBCR else image
    bits = ifd.values(tags, BITS, order, (1,))
    turned, deep, inverted = 1, None, False             # Pillow itself turns a TIFF upright
    if tiff16.strange(tags, order):
        deep, turned = tiff16.in_bytes(file, size, fetch, order, big, at), first[ORIENTATION]
        inverted = first[PHOTOMETRIC] == 0
    else:
        image = opened()
        if max(bits) == 16 and image.mode in ("RGB", "RGBA"):
            deep = tiff16.twice(opened, image, order, ifd.values(tags, EXTRA, order))
        inverted = first[PHOTOMETRIC] == 0 and image.mode.startswith("I;16")
    pages = 1 + _pages(fetch, order, big, following)
    notes = [f"only the first of {pages} pages was read"] if pages > 1 else []
    return Found(opened, count, _info(tags, order), turned if 1 <= turned <= 8 else 1, None, deep, inverted,
                 (1 << bits[0]) - 1 if bits[0] == 12 else 65535, notes)


def _plain_ycbcr(image, tags, order):
    """The image in mode YCbCr, for which some Pillows write RGB. If it is compressed, libtiff has converted it."""
    if ifd.values(tags, COMPRESSION, order, (NONE,))[0] == NONE:
        if ifd.values(tags, SUBSAMPLING, order, (2, 2)) != (1, 1):
            raise Unreadable("its colours are coarser than its luminance, and it is not compressed: save it as "
                             "RGB")
        image._mode, image.tile = "YCbCr", [with_mode(tile, "YCbCr") for tile in image.tile]
    return image


@functools.lru_cache(None)
def _quiet():
    """Tell libtiff to print no errors, since Pillow raises them."""
    try:
        library = ctypes.CDLL(Image.core.__file__)          # it has the names of libtiff, too
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)
    except (AttributeError, OSError):                       # linked in another way: then it prints
        pass


@functools.lru_cache(None)
def _taught():
    """Teach Pillow to find grey with premultiplied alpha in a TIFF, which it can decode."""
    for order in (b"II", b"MM"):
        OPEN_INFO.setdefault((order, 1, (1,), 1, (8, 8), (1,)), ("La", "La"))


def _unknown(tags, order, first):
    """The message for pixels that Pillow cannot decode."""
    bits = ifd.values(tags, BITS, order, (1,))
    return (f"its pixels of {' + '.join(map(str, bits[:8]))} bits (photometric {first[PHOTOMETRIC]}) cannot be "
            f"read: save it as grey or RGB with 8 or 16 bits")


def _pages(fetch, order, big, at):
    """How many more photos there are, without previews and masks."""
    seen, pages, budget = set(), 0, [METADATA]          # of all together, since they may overlap
    while at and at not in seen and len(seen) < PAGES:
        seen.add(at)
        try:
            tags, following = ifd.tree(fetch, order, at, big, {SUBFILE, WIDTH}, budget)
        except Unreadable:
            break
        pages += WIDTH in tags and not ifd.values(tags, SUBFILE, order, (0,))[0] & 5
        at = following
    return pages


def _info(tags, order):
    info = {"exif": exif.made({tag: tags[tag] for tag in ifd.DESCRIPTIVE & set(tags)}, order)}
    for key, tag in (("icc", ICC), ("xmp", XMP), ("iptc", IPTC)):
        info[key] = tags[tag][2] if tag in tags else None
    if info["xmp"]:
        info["xmp"] = exif.upright_xmp(info["xmp"], ifd.values(tags, ORIENTATION, order, (1,))[0])
    dpi = [_ratio(tags.get(tag), order) for tag in (X_DOTS, Y_DOTS)]
    unit = ifd.values(tags, UNIT, order, (2,))[0]
    if all(dpi) and unit in (2, 3):
        info["dpi"] = tuple(v * (2.54 if unit == 3 else 1) for v in dpi)
    info["compression"] = NONE if ifd.values(tags, COMPRESSION, order, (NONE,))[0] == NONE else DEFLATE
    return {key: value for key, value in info.items() if value}


def _ratio(entry, order):
    if entry is None or entry[0] != 5:
        return 0
    above, below = struct.unpack(order + "II", entry[2][:8])
    return above / below if below else 0


# ------------------------------------------------------------------ writing


def write(file, strips, height, width, channels, dtype, info):
    """strips: a function from (first, stop) to these rows, (rows, width, channels), as in png.write.

    The tags stand behind the pixels, in the byte order of the EXIF.
    """
    kept, order = ifd.of_bytes(info.get("exif") or b"", ifd.DESCRIPTIVE)
    packed = info.get("compression", DEFLATE) != NONE
    rows = max(1, STRIP // (width * channels * dtype.itemsize))

    def task(start):
        x = strips(start, min(start + rows, height))
        if not packed:
            return _ordered(x, order).tobytes()
        less = x.copy()
        less[:, 1:] -= x[:, :-1]
        return zlib.compress(_ordered(less, order).tobytes(), LEVEL)
    file.write((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))
    at, offsets, counts = 8, [], []
    for data in ahead(task, range(0, height, rows), threads()):
        data += b"\0" * (len(data) % 2)
        file.write(data)
        offsets.append(at)
        counts.append(len(data))
        at += len(data)
    if at >= 1 << 32:
        raise ValueError("a TIFF can have at most 4 GB, and this photo needs more: write it as PNG")
    kept.update(_structure(height, width, channels, dtype, rows, packed, offsets, counts, order))
    kept.update(_extras(info, order))
    file.write(ifd.pack(kept, order, at))
    file.seek(4)
    file.write(struct.pack(order + "I", at))
    file.seek(0, 2)


def _ordered(x, order):
    return np.ascontiguousarray(x.astype(x.dtype.newbyteorder(order), copy=False))


def _structure(height, width, channels, dtype, rows, packed, offsets, counts, order):
    tags = {WIDTH: long(order, width), HEIGHT: long(order, height),
            BITS: short(order, *[8 * dtype.itemsize] * channels),
            COMPRESSION: short(order, DEFLATE if packed else NONE),
            PHOTOMETRIC: short(order, 2 if channels > 2 else 1), OFFSETS: long(order, *offsets),
            SAMPLES: short(order, channels), ROWS: long(order, rows), COUNTS: long(order, *counts),
            PLANAR: short(order, 1)}
    if packed:
        tags[PREDICTOR] = short(order, 2)
    if channels in (2, 4):
        tags[EXTRA] = short(order, 2)       # straight alpha
    return tags


def _extras(info, order):
    tags = {tag: (kind, len(info[key]), info[key]) for key, tag, kind in
            (("icc", ICC, 7), ("xmp", XMP, 1), ("iptc", IPTC, 7)) if info.get(key)}
    for tag, dots in zip((X_DOTS, Y_DOTS), info.get("dpi", ())):
        tags[tag] = 5, 1, struct.pack(order + "II", min(round(dots * 1000), (1 << 32) - 1), 1000)
        tags[UNIT] = short(order, 2)
    return tags
