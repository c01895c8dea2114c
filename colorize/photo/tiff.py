"""TIFF: its tags, read and written; a writer of 8 and 16 bits, which Pillow has not."""
import struct
import sys
import zlib

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from ..data.photos import Unreadable
from . import exif, ifd
from .exif import upright_xmp
from .found import Deep, Found, checked
from .png import each

__all__ = ["look", "write"]

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES, ROWS, COUNTS = \
    254, 256, 257, 258, 259, 262, 273, 277, 278, 279
X_DOTS, Y_DOTS, PLANAR, UNIT, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, BELOW, EXTRA, FORMAT = \
    282, 283, 284, 296, 317, 322, 323, 330, 338, 339
XMP, IPTC, ICC, RAW = 700, 33723, 34675, 50706
STRUCTURE = {SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, X_DOTS, Y_DOTS, PLANAR, UNIT,
             TILE_WIDTH, TILE_HEIGHT, BELOW, EXTRA, FORMAT, XMP, IPTC, ICC, RAW}
NONE, DEFLATE = 1, 8
PAGES = 10_000
STRIP = 1 << 18                     # bytes of a strip, as the specification wants it rather small
LEVEL = 4

# ------------------------------------------------------------------ reading


def look(file, size, limit):
    def fetch(offset, n):
        file.seek(min(offset, size))
        return file.read(min(n, max(0, size - offset)))
    order, big, at = ifd.header(fetch(0, 16)) or ("<", False, size)
    tags, following = ifd.tree(fetch, order, at, big, STRUCTURE | ifd.DESCRIPTIVE)
    first = {tag: ifd.values(tags, tag, order, (default,))[0] for tag, default in (
        (WIDTH, 0), (HEIGHT, 0), (PHOTOMETRIC, 0), (PLANAR, 1), (TILE_WIDTH, 0), (TILE_HEIGHT, 0), (SUBFILE, 0))}
    if RAW in tags or (first[SUBFILE] & 1 and BELOW in tags) or fetch(8, 2) == b"CR":
        raise Unreadable("it is the raw file of a camera: develop it into a TIFF or JPEG first")
    checked(first[WIDTH], first[HEIGHT], limit)
    if first[TILE_WIDTH] * first[TILE_HEIGHT] > max(limit, 1 << 16):
        raise Unreadable(f"it declares tiles of {first[TILE_WIDTH]} x {first[TILE_HEIGHT]} pixels")

    def opened():
        file.seek(0)
        try:
            return TiffImageFile(file)
        except SyntaxError:
            raise Unreadable(_unknown(tags, order, first)) from None
    bits = ifd.values(tags, BITS, order, (1,))
    image = opened()
    deep = _deep(image, tags, order, first) if max(bits) == 16 and image.mode in ("RGB", "RGBA") else None
    inverted = first[PHOTOMETRIC] == 0 and image.mode.startswith("I;16")
    pages = 1 + _pages(fetch, order, big, following)
    notes = [f"the first of {pages} pages was taken"] if pages > 1 else []
    return Found(opened, _info(tags, order, image), 1, None, deep, inverted,
                 (1 << bits[0]) - 1 if bits[0] == 12 else 65535, notes)


def _deep(image, tags, order, first):
    if first[PLANAR] == 2:
        raise Unreadable("its 16-bit colours lie in planes of their own, which are not read: save it interleaved")
    extra = ifd.values(tags, EXTRA, order)
    name = "RGBX" if image.mode == "RGB" and extra else image.mode
    by_us = image.tile[0][0] == "raw" and order == ">"                      # libtiff turns bytes by itself
    last_is_high = (sys.byteorder == "little" if image.tile[0][0] == "libtiff" else not by_us)
    high, low = (";16L", ";16B") if last_is_high else (";16B", ";16L")
    return Deep(3, image.mode == "RGBA", name + high, name + low, premultiplied=extra[:1] == (1,))


def _unknown(tags, order, first):
    """What is said of pixels that Pillow does not know."""
    bits = ifd.values(tags, BITS, order, (1,))
    return (f"its pixels of {' + '.join(map(str, bits[:8]))} bits (photometric {first[PHOTOMETRIC]}) are not read: "
            f"save it as grey or RGB with 8 or 16 bits")


def _pages(fetch, order, big, at):
    """How many more photos there are: previews and masks do not count."""
    seen, pages = set(), 0
    while at and at not in seen and len(seen) < PAGES:
        seen.add(at)
        try:
            tags, following = ifd.tree(fetch, order, at, big, {SUBFILE, WIDTH})
        except Unreadable:
            break
        pages += WIDTH in tags and not ifd.values(tags, SUBFILE, order, (0,))[0] & 5
        at = following
    return pages


def _info(tags, order, image):
    info = {"exif": exif.made({tag: tags[tag] for tag in ifd.DESCRIPTIVE & set(tags)}, order)}
    for key, tag in (("icc", ICC), ("xmp", XMP), ("iptc", IPTC)):
        info[key] = tags[tag][2] if tag in tags else None
    if info["xmp"]:
        info["xmp"] = upright_xmp(info["xmp"])
    dpi = [_ratio(tags.get(tag), order) for tag in (X_DOTS, Y_DOTS)]
    unit = ifd.values(tags, UNIT, order, (2,))[0]
    if all(dpi) and unit in (2, 3):
        info["dpi"] = tuple(v * (2.54 if unit == 3 else 1) for v in dpi)
    info["compression"] = NONE if image.info.get("compression") == "raw" else DEFLATE
    return {key: value for key, value in info.items() if value}


def _ratio(entry, order):
    if entry is None or entry[0] != 5:
        return 0
    above, below = struct.unpack(order + "II", entry[2][:8])
    return above / below if below else 0


# ------------------------------------------------------------------ writing


def write(file, strips, height, width, channels, dtype, info):
    """strips: a function from (first, stop) to these rows, (rows, width, channels), as png.write has it.

    The tags stand behind the pixels, in the byte order of the EXIF that is kept.
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
    for data in each(task, range(0, height, rows)):
        data += b"\0" * (len(data) % 2)
        file.write(data)
        offsets.append(at)
        counts.append(len(data))
        at += len(data)
    if at >= 1 << 32:
        raise ValueError("a TIFF has at most 4 GB, and this photo needs more: write it as PNG")
    kept.update(_structure(height, width, channels, dtype, rows, packed, offsets, counts, order))
    kept.update(_extras(info, order))
    file.write(ifd.pack(kept, order, at))
    file.seek(4)
    file.write(struct.pack(order + "I", at))
    file.seek(0, 2)


def _ordered(x, order):
    return np.ascontiguousarray(x.astype(x.dtype.newbyteorder(order), copy=False))


def _structure(height, width, channels, dtype, rows, packed, offsets, counts, order):
    def short(*values):
        return 3, len(values), struct.pack(f"{order}{len(values)}H", *values)

    def long(*values):
        return 4, len(values), struct.pack(f"{order}{len(values)}I", *values)
    tags = {WIDTH: long(width), HEIGHT: long(height), BITS: short(*[8 * dtype.itemsize] * channels),
            COMPRESSION: short(DEFLATE if packed else NONE), PHOTOMETRIC: short(2 if channels > 2 else 1),
            OFFSETS: long(*offsets), SAMPLES: short(channels), ROWS: long(rows), COUNTS: long(*counts),
            PLANAR: short(1)}
    if packed:
        tags[PREDICTOR] = short(2)
    if channels in (2, 4):
        tags[EXTRA] = short(2)              # straight alpha
    return tags


def _extras(info, order):
    tags = {tag: (kind, len(info[key]), info[key]) for key, tag, kind in
            (("icc", ICC, 7), ("xmp", XMP, 1), ("iptc", IPTC, 7)) if info.get(key)}
    for tag, dots in zip((X_DOTS, Y_DOTS), info.get("dpi", ())):
        tags[tag] = 5, 1, struct.pack(order + "II", min(round(dots * 1000), (1 << 32) - 1), 1000)
        tags[UNIT] = 3, 1, struct.pack(order + "H", 2)
    return tags
