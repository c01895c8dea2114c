"""ICC profiles: RGB profiles of curves and a matrix stay with the photo; for all others the pixels become sRGB.

Curves are read here, since Pillow applies them in 8 bits only. Profiles are untrusted.
"""
import io
import struct

import numpy as np
from PIL import Image, ImageCms

from ..color.spaces import companded
from .rgb_space import SRGB, STEPS, Space

__all__ = ["grey_table", "rgb_space", "rgb_to_srgb", "space", "to_srgb"]

RELATIVE, BLACK_POINT = 1, 0x2000           # lcms's intent and flag
REFUSED = ImageCms.PyCMSError, OSError, ValueError, TypeError           # by Pillow, for damaged profiles
TAGS = 100
LONGEST = 1 << 16                           # points that a curve may have
TABLES = b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2"           # they take precedence over a matrix
ENDS = 0.02                                 # linear light: how far black and white may be from 0 and 1
UNEVEN = 1e3                                # condition number: a matrix above it cannot be inverted


def space(icc):
    """What kind of pixels a profile is for: "RGB", "GRAY", "CMYK" ...; "" if it is no profile."""
    if not icc or len(icc) < 132 or icc[36:40] != b"acsp":
        return ""
    return icc[16:20].decode("latin-1").strip()


# ------------------------------------------------------------------ by lcms


def to_srgb(mode, icc=None):
    """A function from Pillow images in mode CMYK or LAB to RGB. CMYK without a profile is left to Pillow."""
    if mode == "LAB":
        return _change(ImageCms.createProfile("LAB"), mode)
    try:
        if space(icc) == mode:
            return _change(ImageCms.ImageCmsProfile(io.BytesIO(icc)), mode)
    except REFUSED:
        pass
    return lambda image: image.convert("RGB")


def rgb_to_srgb(icc):
    """A function from uint8 (H, W, 3) under an RGB profile to sRGB; None if lcms fails, or merges greys."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    try:
        change = _change(ImageCms.ImageCmsProfile(io.BytesIO(icc)), "RGB")
        green = np.asarray(change(Image.fromarray(ramp)))[0, :, 1].astype(int)
    except REFUSED:
        return None
    if green[-1] - green[0] < 128 or np.diff(green).min() < -2:
        return None
    return lambda x: np.asarray(change(Image.fromarray(x)))


def _change(given, mode):
    change = ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), mode, "RGB", RELATIVE, BLACK_POINT)
    return lambda image: ImageCms.applyTransform(image, change)


# ------------------------------------------------------------------ by curves and a matrix


def rgb_space(icc):
    """The Space of an RGB profile (SRGB if it equals that); None if it has tables, no sound curves, or no matrix."""
    if any(_tag(icc, name) for name in TABLES):
        return None
    curves = [_curve(_tag(icc, name), STEPS) for name in (b"rTRC", b"gTRC", b"bTRC")]
    colours = [_tag(icc, name)[:20] for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    if any(curve is None for curve in curves) or any(len(c) < 20 or c[:4] != b"XYZ " for c in colours):
        return None
    curves, matrix = np.array(curves), np.array([struct.unpack(">8x3i", c) for c in colours]).T / 65536
    white = matrix.sum(1)
    falls = np.diff(curves).min() < 0 or curves[:, 0].max() > ENDS or abs(curves[:, -1] - 1).max() > ENDS
    if falls or white.min() < 0.5 or white.max() > 2 or np.linalg.cond(matrix) > UNEVEN:
        return None
    found = Space(curves.clip(0, 1), matrix)
    return SRGB if found.is_srgb() else found


def grey_table(icc, size):
    """A table (size,) from the levels of a grey profile to those of sRGB; None if the profile has no sound curve.

    Its dtype is uint8 for size 256 and uint16 for size 65536.
    """
    y = _curve(_tag(icc, b"kTRC"), size)
    if y is None:
        return None
    if icc[20:24] == b"Lab ":
        y = np.where(y > 0.08, ((100 * y + 16) / 116) ** 3, 100 * y / 903.2963)
    return (companded(y.clip(0, 1)) * (size - 1) + 0.5).astype(np.uint8 if size == 256 else np.uint16)


def _tag(icc, name):
    """The bytes of a tag; b"" if there is none."""
    count, = struct.unpack_from(">I", icc, 128)
    for i in range(min(count, TAGS, (len(icc) - 132) // 12)):
        found, offset, length = struct.unpack_from(">4sII", icc, 132 + 12 * i)
        if found == name:
            return icc[offset:offset + length]
    return b""


def _curve(data, n):
    """A curve at n even steps, (n,); None if it is damaged."""
    try:
        with np.errstate(all="ignore"):
            y = _values(data, np.linspace(0, 1, n))
    except (struct.error, IndexError, ValueError, ArithmeticError):
        return None
    return y if np.isfinite(y).all() else None


def _values(data, x):
    """A curve of type curv (a power or a table) or para (five formulas) at x in 0..1."""
    if data[:4] == b"curv":
        count, = struct.unpack_from(">I", data, 8)
        if count < 2:
            return x ** (struct.unpack_from(">H", data, 12)[0] / 256 if count else 1)
        if count > LONGEST:
            raise ValueError(f"a curve has at most {LONGEST} points, got {count}")
        table = np.frombuffer(data, ">u2", count, 12) / 65535
        return np.interp(x, np.linspace(0, 1, count), table)
    if data[:4] != b"para":
        raise ValueError(f"a curve is curv or para, got {data[:4]}")
    kind, = struct.unpack_from(">H", data, 8)
    g, *rest = (v / 65536 for v in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", data, 12))
    a, b, c, d, e, f = (*rest, *(1, 0, 0, 0, 0, 0)[len(rest):])
    if kind in (1, 2):                      # below -b/a it is constant: c for kind 2, 0 for kind 1
        d, e, f, c = -b / a, c, c, 0
    high, low = np.maximum(a * x + b, 0) ** g + e, c * x + f
    return np.where(x >= d, high, low)
