"""JPEG: the segments before the picture, and its quality."""
import functools
import io
import struct

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from ..photo import Unreadable
from . import exif
from .found import METADATA, Found, checked
from .parts import Parts

__all__ = ["QUALITY", "look", "write"]

QUALITY = 92                        # if the photo's file does not give one
LEAST_COLOUR = 75                   # the quality of colour, if that of the grey photo was lower
SOS, SOF2, APP0, APP1, APP2, APP13, APP14, COM = 0xDA, 0xC2, 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
XMP = b"http://ns.adobe.com/xap/1.0/\0"
MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
ICC = b"ICC_PROFILE\0"
PHOTOSHOP = b"Photoshop 3.0\0"
IPTC = 0x0404                       # Photoshop's number for the resource with IPTC
HEAD = 20                           # bytes before the metadata: the first marker, and JFIF's segment
LONGEST = 65533                     # bytes that fit into a segment
LARGEST_ICC = 255 * (LONGEST - 14)  # bytes of a profile that fit into its 255 segments
SEGMENTS = 1 << 16
SCANS = 100                         # in a progressive file; each may need a pass over all pixels

# ------------------------------------------------------------------ reading


def look(file, size, limit):
    kept, needed, progressive = _segments(file, size)
    if progressive and _scans(file) > SCANS:
        raise Unreadable(f"it has more than {SCANS} scans, which would take very long")
    info, turned = _info(kept)

    def opened():
        return JpegImageFile(Parts(file, needed))
    image = opened()
    count = checked(*image.size, limit)
    if image.quantization:
        first = image.layer[0][3] if image.layer and image.layer[0][3] in image.quantization else 0
        tables = [image.quantization[first]] if first in image.quantization else []
        info["tables"] = tables + [table for key, table in sorted(image.quantization.items()) if key != first][:1]
    return Found(opened, count, info, turned)


def _segments(file, size):
    """([(marker, data)] to keep, [(offset, length)] that a decoder needs, is it progressive?)."""
    kept, needed, progressive, at, budget = [], [(0, 2)], False, 2, METADATA
    for _ in range(SEGMENTS):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        marker = head[1]
        if marker == 0xFF or marker == 1 or 0xD0 <= marker <= 0xD9:         # a filler, or a marker without data
            at += 1 if marker == 0xFF else 2
            continue
        length = 2 + struct.unpack(">H", head[2:])[0]
        progressive |= marker == SOF2
        if marker == SOS:
            break
        if marker in (APP0, APP1, APP2, APP13, COM):
            budget -= length
            if budget >= 0:
                kept.append((marker, file.read(length - 4)))
        elif marker == APP14 or not APP0 <= marker <= 0xEF:
            needed.append((at, length))
        at += length
    else:
        raise Unreadable(f"it has too many segments before its picture: at most {SEGMENTS} are read")
    return kept, needed + [(at, max(0, size - at))], progressive


def _scans(file):
    """How many scans there are at most. Inside of a scan, FF DA cannot occur."""
    file.seek(0)
    count, last = 0, b""
    for block in iter(lambda: file.read(1 << 20), b""):
        count += (last + block).count(b"\xff\xda")
        last = block[-1:]
    return count


def _info(kept):
    info, turned, parts = {}, 1, []
    for marker, data in kept:
        if marker == APP0 and data[:5] == b"JFIF\0" and len(data) >= 12:
            unit, x, y = struct.unpack(">BHH", data[7:12])
            if unit in (1, 2) and x and y:
                info["dpi"] = (x, y) if unit == 1 else (x * 2.54, y * 2.54)
        elif marker == APP1 and data[:6] == exif.PREFIX and "exif" not in info:
            info["exif"], turned = exif.upright(data)
        elif marker == APP1 and data[:len(XMP)] == XMP:
            info.setdefault("xmp", data[len(XMP):])
        elif marker == APP1 and data[:len(MORE_XMP)] == MORE_XMP or marker == COM:
            info.setdefault("segments", []).append((marker, data))
        elif marker == APP2 and data[:len(ICC)] == ICC and len(data) > len(ICC) + 2:
            parts.append((data[len(ICC)], data[len(ICC) + 2:]))
        elif marker == APP13 and data[:len(PHOTOSHOP)] == PHOTOSHOP:
            info.setdefault("iptc", _iptc(data[len(PHOTOSHOP):]))
    if parts:
        info["icc"] = b"".join(data for _, data in sorted(parts, key=lambda part: part[0]))
    if "xmp" in info:
        info["xmp"] = exif.upright_xmp(info["xmp"], turned)
    return {key: value for key, value in info.items() if value}, turned


def _iptc(data):
    """The IPTC among Photoshop's resources. Each has a number, a name and data, the last two of even length."""
    at = 0
    while data[at:at + 4] == b"8BIM" and at + 12 <= len(data):
        number, name = struct.unpack_from(">HB", data, at + 4)
        begin = at + 6 + (name + 2) // 2 * 2
        if begin + 4 > len(data):
            break
        length, = struct.unpack_from(">I", data, begin)
        if number == IPTC:
            return bytes(data[begin + 4:begin + 4 + length])
        at = begin + 4 + (length + 1) // 2 * 2
    return None


# ------------------------------------------------------------------ writing


def write(file, image, info):
    """image: a Pillow image, RGB or L. The luminance keeps the tables that it had; the new colour gets good ones.

    Pillow writes dots per inch, EXIF and the profile. What it has no place for follows its EXIF.
    """
    made, tags, icc = io.BytesIO(), exif.PREFIX + info["exif"] if "exif" in info else b"", info.get("icc", b"")
    tags = tags if len(tags) <= LONGEST else b""
    image.save(made, "JPEG", subsampling=0, dpi=[min(max(round(v), 1), 65535) for v in info.get("dpi", ())] or (0, 0),
               exif=tags, icc_profile=icc if len(icc) <= LARGEST_ICC else None, **_quality(info, image.mode))
    view, behind = made.getbuffer(), HEAD + (4 + len(tags) if tags else 0)
    file.write(view[:behind])
    for marker, data in _other(info):
        if len(data) <= LONGEST:
            file.write(struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data)
    file.write(view[behind:])


def _other(info):
    """(marker, data) of what Pillow cannot write, or not in all versions from 10.4 on."""
    if info.get("xmp"):
        yield APP1, XMP + info["xmp"]
    if info.get("iptc"):
        data = info["iptc"] + b"\0" * (len(info["iptc"]) % 2)
        yield APP13, PHOTOSHOP + b"8BIM" + struct.pack(">HHI", IPTC, 0, len(info["iptc"])) + data
    yield from info.get("segments", ())


def _quality(info, mode):
    tables = info.get("tables")
    if not tables or any(not 1 <= x <= 255 for x in tables[0]):
        return {"quality": QUALITY}
    luminance = list(tables[0])
    if mode == "L":
        return {"qtables": [luminance]}
    standard, colour = _standard()
    scale = min(sum(luminance) / sum(standard), 2 - LEAST_COLOUR / 50)      # for quality 50 it is 1, for 75 it is 1/2
    return {"qtables": [luminance, [min(max(round(x * scale), 1), 255) for x in colour]]}


@functools.lru_cache(None)
def _standard():
    """(luminance, colour): the tables of quality 50, from which libjpeg makes all others."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=50)
    file.seek(0)
    tables = JpegImageFile(file).quantization
    return tuple(tables[0]), tuple(tables[1])
