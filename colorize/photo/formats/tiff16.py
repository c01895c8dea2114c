"""TIFFs of 16 bits a channel, which Pillow reads as 8 bits or not at all."""
import io
import struct
import sys

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from ..photo import Unreadable
from . import ifd
from .found import Deep

__all__ = ["in_bytes", "strange", "twice"]

STORED = {ifd.WIDTH, ifd.HEIGHT, ifd.COMPRESSION, ifd.FILL, ifd.OFFSETS, ifd.ROWS, ifd.COUNTS, ifd.TILE_WIDTH,
          ifd.TILE_HEIGHT, ifd.TILES, ifd.TILE_COUNTS}
USED = STORED | {ifd.PREDICTOR, ifd.PHOTOMETRIC, ifd.PLANAR, ifd.SAMPLES, ifd.EXTRA}
MOST = 256 << 20                    # bytes that a file may have if it must be read as a whole


def twice(opened, image, order, extra):
    """RGB or RGBA in one plane: Pillow decodes the upper bytes, then the lower ones."""
    name = "RGBX" if image.mode == "RGB" and extra else image.mode
    swapped = image.tile[0][0] == "libtiff"             # libtiff gives the byte order of this machine
    little = sys.byteorder == "little" if swapped else order == "<"
    high, low = (";16L", ";16B") if little else (";16B", ";16L")
    return Deep(3, image.mode == "RGBA", Deep.high_and_low(opened, name + high, name + low), extra[:1] == (1,))


def strange(tags, order):
    """Does it have 16 bits in separate planes, or grey with alpha? Pillow reads these wrong, or not at all."""
    first = {tag: ifd.values(tags, tag, order, (default,))[0] for tag, default in (
        (ifd.PLANAR, 1), (ifd.SAMPLES, 1), (ifd.PHOTOMETRIC, 0))}
    return (set(ifd.values(tags, ifd.BITS, order)) == {16} and ifd.values(tags, ifd.FORMAT, order, (1,))[0] == 1
            and (first[ifd.PHOTOMETRIC], first[ifd.SAMPLES]) in ((0, 2), (1, 2), (2, 3), (2, 4))
            and (first[ifd.PLANAR] == 2 or first[ifd.SAMPLES] == 2))


def in_bytes(file, size, fetch, order, big, at):
    """Such pixels, through TIFFs in memory that declare each byte to be a channel."""
    if size > MOST:
        raise Unreadable(f"its kind of 16-bit pixels is read up to {MOST >> 20} MB: save it as RGB in one plane")
    tags, _ = ifd.tree(fetch, order, at, big, USED)
    samples, planar = (ifd.values(tags, tag, order, (1,))[0] for tag in (ifd.SAMPLES, ifd.PLANAR))
    photometric, predictor = (ifd.values(tags, tag, order, (1,))[0] for tag in (ifd.PHOTOMETRIC, ifd.PREDICTOR))
    colours = 3 if photometric == 2 else 1
    if predictor not in (1, 2):
        raise Unreadable(f"its predictor {predictor} is unknown: 1 and 2 are read")
    tile, = ifd.values(tags, ifd.TILE_WIDTH, order, (0,))[:1]

    def take(x):
        high = 0 if order == ">" else 1
        y = x[..., high::2].astype(np.uint16) << 8 | x[..., 1 - high::2]
        if predictor == 2:                  # each is a difference to the pixel before, in its tile
            for left in range(0, y.shape[1], tile or y.shape[1]):
                part = y[:, left:left + (tile or y.shape[1])]
                np.add.accumulate(part, 1, np.uint16, part)
        return y
    planes = samples if planar == 2 else 1
    passes = [(_wrapped(file, size, tags, order, plane, planes, 2 * samples // planes), take, plane)
              for plane in range(planes)]
    return Deep(colours, samples > colours, passes, ifd.values(tags, ifd.EXTRA, order)[:1] == (1,))


def _wrapped(file, size, tags, order, plane, planes, channels):
    """A function that gives a Pillow image of one plane, as 2 or 4 channels of 8 bits."""
    kept = {tag: tags[tag] for tag in STORED & set(tags)}
    for tag in (ifd.OFFSETS, ifd.COUNTS, ifd.TILES, ifd.TILE_COUNTS):
        if tag in kept:
            numbers = ifd.values(kept, tag, order)
            n = len(numbers) // planes
            kept[tag] = ifd.long(order, *(min(x, (1 << 32) - 1) for x in numbers[plane * n:(plane + 1) * n]))
    kept[ifd.BITS], kept[ifd.SAMPLES] = ifd.short(order, *[8] * channels), ifd.short(order, channels)
    kept[ifd.PHOTOMETRIC], kept[ifd.EXTRA] = ifd.short(order, 2 if channels == 4 else 1), ifd.short(order, 2)

    def opened():
        file.seek(0)
        data = bytearray(file.read(size))
        data += b"\0" * (len(data) % 2)
        data[:8] = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, len(data))
        return TiffImageFile(io.BytesIO(data + ifd.pack(kept, order, len(data))))
    return opened
