"""PNG: the chunks around the picture, and a writer of 8 and 16 bits that compresses on all cores.

Pillow decodes PNG, but it writes 16 bits only in grey, and only on one core.
"""
import struct
import zlib

import numpy as np
from PIL.PngImagePlugin import PngImageFile

from minicnn.cpu.runtime import threads

from ...threads import ahead
from ..photo import Unreadable
from . import exif
from .found import METADATA, Deep, Found, checked
from .parts import Parts

__all__ = ["look", "write"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED = b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"
COLOUR = b"gAMA", b"cHRM", b"sRGB", b"cICP"             # what the numbers mean; a profile counts more
TEXT = b"tEXt", b"zTXt", b"iTXt"
KNOWN = (*COLOUR, *TEXT, b"iCCP", b"pHYs", b"eXIf")
XMP = b"XML:com.adobe.xmp\0"
CHUNKS = 1 << 20
LONGEST = 768                       # bytes of a palette; no other needed chunk but IDAT is longer
METRE = 0.0254                      # an inch
STRIP = 1 << 20                     # bytes that one task compresses
LEVEL = 4

# ------------------------------------------------------------------ reading


def look(file, size, limit):
    kept, needed, head, key, frames = _chunks(file, size)
    width, height, bits, kind = struct.unpack(">IIBB", head[:10])
    count = checked(width, height, limit)
    info, turned = _info(kept)

    def opened():
        return PngImageFile(Parts(file, needed))
    deep = None
    if bits == 16 and kind in (2, 6):
        name = "RGB" if kind == 2 else "RGBA"
        deep = Deep(3, kind == 6, Deep.high_and_low(opened, name + ";16B", name + ";16L"))
    elif bits == 16 and kind == 4:                      # four bytes a pixel, which Pillow can leave as they are
        bytewise, _ = Deep.high_and_low(opened, "RGBA", "")
        deep = Deep(1, True, [(bytewise[0], lambda x: x[..., ::2].astype(np.uint16) << 8 | x[..., 1::2], 0)])
    notes = [f"only the still picture of an animation of {frames} frames was read"] if frames > 1 else []
    return Found(opened, count, info, turned, _key(key, bits, kind), deep, notes=notes)


def _chunks(file, size):
    """([(name, data)] to keep, [(offset, length)] that a decoder needs, IHDR, tRNS, frames)."""
    kept, needed, head, key, at, budget, frames = [], [(0, 8)], b"", b"", 8, METADATA, 1
    for _ in range(CHUNKS):
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        if not at + 12 + length <= size:
            needed.append((at, max(0, size - at)))      # cut short: Pillow will say where
            break
        if name in NEEDED and (name == b"IDAT" or length <= LONGEST):
            needed.append((at, 12 + length))
        if name in (b"IHDR", b"tRNS") and length <= LONGEST:
            head, key = (file.read(length), key) if name == b"IHDR" else (head, file.read(length))
        elif name == b"acTL" and length == 8:
            frames, = struct.unpack(">I", file.read(4))
        elif name in KNOWN and length <= budget:
            budget -= length
            data = file.read(length)
            if struct.unpack(">I", file.read(4))[0] == zlib.crc32(data, zlib.crc32(name)):
                kept.append((name, data))
        at += 12 + length
        if name == b"IEND":
            break
    else:
        raise Unreadable(f"it has more than {CHUNKS} chunks")
    if len(head) < 13:
        raise Unreadable("it has no header")
    return kept, needed, head, key, frames


def _key(data, bits, kind):
    """The grey value or the three values that are transparent, as Pillow gives them; it applies those of palettes."""
    if kind == 0 and len(data) >= 2:
        return struct.unpack(">H", data[:2])[0] * (255 // ((1 << bits) - 1) if bits < 8 else 1)
    return struct.unpack(">HHH", data[:6]) if kind == 2 and len(data) >= 6 else None


def _info(kept):
    info, turned = {"chunks": []}, 1
    for name, data in kept:
        if name == b"iCCP":
            info.setdefault("icc", _inflated(data.partition(b"\0")[2][1:]))
        elif name == b"pHYs" and len(data) == 9:
            x, y, unit = struct.unpack(">IIB", data)
            info.update({"dpi": (x * METRE, y * METRE)} if unit == 1 and x and y else {})
        elif name == b"eXIf":
            info["exif"], turned = exif.upright(data)
        elif name == b"iTXt" and data[:len(XMP) + 2] == XMP + b"\0\0":       # not compressed
            info["xmp"] = data[len(XMP) + 2:].split(b"\0", 2)[-1]
        elif name in TEXT or name in COLOUR:
            info["chunks"].append((name, data))
    if info.get("icc"):
        info["chunks"] = [(name, data) for name, data in info["chunks"] if name in TEXT]
    if "xmp" in info:
        info["xmp"] = exif.upright_xmp(info["xmp"], turned)
    return {key: value for key, value in info.items() if value}, turned


def _inflated(data):
    """The bytes of a profile; None if they are damaged or too many."""
    try:
        unpacking = zlib.decompressobj()
        profile = unpacking.decompress(data, METADATA >> 2)
        return profile if unpacking.eof else None
    except zlib.error:
        return None


# ------------------------------------------------------------------ writing


def write(file, strips, height, width, channels, dtype, info):
    """strips: a function from (first, stop) to these rows, (rows, width, channels).

    1 to 4 channels: grey, grey and alpha, RGB, RGB and alpha.
    """
    bits, kind = 8 * dtype.itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    file.write(SIGNATURE)
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    for name, data in _metadata(info):
        _chunk(file, name, data)
    rows = max(1, STRIP // (width * channels * dtype.itemsize))
    starts = range(0, height, rows)

    def task(start):
        stop = min(start + rows, height)
        x = strips(max(start - 1, 0), stop)
        return _compressed(_filtered(x, start > 0), stop == height)
    head, total = b"\x78\x5e", 1                        # zlib's header; what Adler-32 begins with
    for data, check, length in ahead(task, starts, threads()):
        _chunk(file, b"IDAT", head + data)
        head, total = b"", _adler(total, check, length)
    _chunk(file, b"IDAT", struct.pack(">I", total))
    _chunk(file, b"IEND", b"")


def _chunk(file, name, data):
    file.write(struct.pack(">I", len(data)) + name)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def _metadata(info):
    for name, data in info.get("chunks", ()):
        if name in COLOUR:
            yield name, data
    if info.get("icc"):
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(info["icc"])
    if info.get("dpi"):
        yield b"pHYs", struct.pack(">IIB", *(min(round(v / METRE), 1 << 31) for v in info["dpi"]), 1)
    if info.get("exif"):
        yield b"eXIf", info["exif"]
    if info.get("xmp"):
        yield b"iTXt", XMP + b"\0\0\0\0" + info["xmp"]
    for name, data in info.get("chunks", ()):
        if name in TEXT:
            yield name, data


def _filtered(x, above):
    """The bytes of rows, each minus the pixel before or minus the pixel above, whichever leaves less.

    above: the first row is only there to be subtracted from the second.
    """
    rows = np.ascontiguousarray(x.astype(x.dtype.newbyteorder(">"), copy=False)).view(np.uint8)
    rows = rows.reshape(len(x), -1)
    step = x.shape[2] * x.dtype.itemsize
    before = rows.copy()
    before[:, step:] -= rows[:, :-step]
    up = rows.copy()
    up[1:] -= rows[:-1]
    cost = [np.minimum(y, 0 - y).sum(1, dtype=np.int64) for y in (before, up)]
    best = cost[1] < cost[0]
    out = np.empty((len(x), 1 + rows.shape[1]), np.uint8)
    out[:, 0] = 1 + best
    out[:, 1:] = np.where(best[:, None], up, before)
    return out[1:] if above else out


def _compressed(rows, last):
    """(data, Adler-32, length): a piece of a deflate stream. Any other piece may follow, unless it is the last."""
    packing = zlib.compressobj(LEVEL, zlib.DEFLATED, -15, 9)
    data = packing.compress(rows) + packing.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
    return data, zlib.adler32(rows), rows.size


def _adler(first, second, length):
    """The Adler-32 of two pieces together, from that of each; the second has `length` bytes."""
    base = 65521
    a, b, c, d = first & 0xFFFF, first >> 16, second & 0xFFFF, second >> 16
    return (b + d + length % base * (a - 1)) % base << 16 | (a + c - 1) % base
