"""ICC profiles: those of RGB stay with the photo; grey, CMYK and Lab become sRGB.

A grey profile is one curve, which is read here: Pillow would only give 8 bits of it.
"""
import io
import struct

import numpy as np
from PIL import ImageCms

from ..color import companded

__all__ = ["grey_table", "space", "to_srgb"]

RELATIVE, BLACK_POINT = 1, 0x2000           # lcms's intent and flag


def space(icc):
    """What a profile's pixels are: "RGB", "GRAY", "CMYK" ...; "" where it is no profile."""
    if not icc or len(icc) < 132 or icc[36:40] != b"acsp":
        return ""
    return icc[16:20].decode("latin-1").strip()


def to_srgb(mode, icc=None):
    """A function from images of Pillow's in that mode, CMYK or LAB, to RGB; without a profile as Pillow does it."""
    srgb = ImageCms.createProfile("sRGB")
    try:
        if mode == "LAB":
            given = ImageCms.createProfile("LAB")
        else:
            given = ImageCms.ImageCmsProfile(io.BytesIO(icc)) if space(icc) == mode else None
        if given is not None:
            change = ImageCms.buildTransform(given, srgb, mode, "RGB", RELATIVE, BLACK_POINT)
            return lambda image: ImageCms.applyTransform(image, change)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        if mode == "LAB":
            raise
    return lambda image: image.convert("RGB")


def grey_table(icc, size):
    """What sRGB has for each of `size` values of a grey profile (its length: size), or None where it has no curve.

    The table's dtype is uint8 for 256 values and uint16 for 65536.
    """
    try:
        data = _tag(icc, b"kTRC")
        y = None if data is None else _curve(data, np.linspace(0, 1, size))
    except (struct.error, IndexError, ValueError):
        return None
    if y is None or not np.isfinite(y).all():
        return None
    if icc[20:24] == b"Lab ":
        y = np.where(y > 0.08, ((100 * y + 16) / 116) ** 3, 100 * y / 903.2963)
    return (companded(y.clip(0, 1)) * (size - 1) + 0.5).astype(np.uint8 if size == 256 else np.uint16)


def _tag(icc, name):
    count, = struct.unpack_from(">I", icc, 128)
    for i in range(min(count, 100)):
        found, offset, length = struct.unpack_from(">4sII", icc, 132 + 12 * i)
        if found == name:
            return icc[offset:offset + length]
    return None


def _curve(data, x):
    """A curve of type curv (a power, or a table) or para (its five formulas) at x in 0..1."""
    if data[:4] == b"curv":
        count, = struct.unpack_from(">I", data, 8)
        if count < 2:
            return x ** (struct.unpack_from(">H", data, 12)[0] / 256 if count else 1)
        table = np.frombuffer(data, ">u2", count, 12) / 65535
        return np.interp(x, np.linspace(0, 1, count), table)
    if data[:4] != b"para":
        return None
    kind, = struct.unpack_from(">H", data, 8)
    g, *rest = (v / 65536 for v in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", data, 12))
    a, b, c, d, e, f = (*rest, *(1, 0, 0, 0, 0, 0)[len(rest):])
    if kind in (1, 2):                      # below -b/a there is only the constant, which kind 1 does not have
        d, e, f, c = -b / a, c, c, 0
    high, low = np.maximum(a * x + b, 0) ** g + e, c * x + f
    return np.where(x >= d, high, low)
