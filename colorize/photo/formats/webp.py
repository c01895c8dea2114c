"""WebP: the RIFF chunks around the picture. Pillow decodes and encodes the picture, with the whole file in memory."""
import struct

from PIL.WebPImagePlugin import WebPImageFile

from ..photo import Unreadable
from . import exif
from .found import METADATA, Found, checked

__all__ = ["LARGEST", "QUALITY", "look", "write"]

QUALITY = 92
SIDE = 16383                        # pixels: the longest side that a WebP can have
LARGEST = 30_000_000                # pixels, for which Pillow takes up to 30 bytes each,
TIMES = 3                           # about so many times as many as in other formats
CHUNKS = 1 << 16
FILE = 256 << 20                    # bytes that a file may have


def look(file, size, limit):
    found, frames = _chunks(file, size)
    width, height = _size(found)
    count = checked(width, height, limit)
    if count > LARGEST:
        raise Unreadable(f"its {width} x {height} pixels are too many for a WebP, which needs more memory than other "
                         f"formats: at most {LARGEST / 1e6:g} million are read")
    if size > FILE:
        raise Unreadable(f"it has more than {FILE >> 20} MB, which is too much for a WebP")
    info = {"icc": found.get(b"ICCP"), "xmp": found.get(b"XMP "), "lossless": b"VP8L" in found}
    info["exif"], turned = exif.upright(found[b"EXIF"]) if b"EXIF" in found else (None, 1)
    if info["xmp"]:
        info["xmp"] = exif.upright_xmp(info["xmp"], turned)
    notes = [f"only the first of {frames} frames was read"] if frames > 1 else []
    info = {key: value for key, value in info.items() if value}

    def opened():
        file.seek(0)
        return WebPImageFile(file)
    return Found(opened, TIMES * count, info, turned, notes=notes)


def _chunks(file, size):
    """({name: data or its first bytes}, frames)."""
    found, at, budget, frames = {}, 12, METADATA, 0
    for _ in range(CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            break
        name, length = struct.unpack("<4sI", head)
        if name in (b"ICCP", b"EXIF", b"XMP "):
            budget -= length
            if budget >= 0 and at + 8 + length <= size:
                found.setdefault(name, file.read(length))
        elif name in (b"VP8X", b"VP8 ", b"VP8L"):
            found.setdefault(name, file.read(min(length, 16)))
        frames += name == b"ANMF"
        at += 8 + length + length % 2
    else:
        raise Unreadable(f"it has more than {CHUNKS} chunks")
    return found, frames


def _size(found):
    if len(found.get(b"VP8X", b"")) >= 10:
        return tuple(1 + int.from_bytes(found[b"VP8X"][i:i + 3], "little") for i in (4, 7))
    if len(found.get(b"VP8 ", b"")) >= 10:
        return tuple(x & 0x3FFF for x in struct.unpack("<HH", found[b"VP8 "][6:10]))
    if len(found.get(b"VP8L", b"")) >= 5:
        x = int.from_bytes(found[b"VP8L"][1:5], "little")
        return 1 + (x & 0x3FFF), 1 + (x >> 14 & 0x3FFF)
    raise Unreadable("it has no picture")


def write(file, image, info):
    """image: a Pillow image, RGB or RGBA, with at most LARGEST pixels."""
    names = {"icc_profile": "icc", "exif": "exif", "xmp": "xmp"}
    kept = {name: info[key] for name, key in names.items() if key in info}
    image.save(file, "WEBP", quality=QUALITY, lossless=info.get("lossless", False), exact=True, **kept)
