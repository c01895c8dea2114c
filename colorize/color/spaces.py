"""Colour spaces: sRGB and CIE Lab (D65), and YUV and 8-bit Lab as OpenCV computes them.

Arrays are NumPy's or CuPy's with channels last, (..., 3), and keep their shape. sRGB is uint8 in 0..255 or floating
in 0..1. Lab is floating, with L in 0..100, and a and b roughly in -110..110. uint8 and float32 give float32, and
float64 gives float64.
"""
import functools

import numpy as np

from minicnn.device import xp
from minicnn.dispatch import kernels

__all__ = ["keep_gamut", "lab_to_rgb", "lab_to_uint8", "rgb_to_lab", "rgb_to_lab8", "rgb_to_luminance", "rgb_to_yuv",
           "to_uint8", "uint8_to_lab", "yuv_to_rgb"]

# ------------------------------------------------------------------ sRGB and Lab

RGB_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423],
                       [0.212671, 0.715160, 0.072169],
                       [0.019334, 0.119193, 0.950227]])
WHITE = np.array([0.95047, 1.0, 1.08883])               # D65, 2 degrees
FORWARD = RGB_TO_XYZ / WHITE[:, None]                   # linear RGB to X, Y, Z, as shares of white's
BACKWARD = np.linalg.inv(FORWARD)


def rgb_to_lab(rgb):
    """CIE Lab of sRGB.

    >>> rgb_to_lab(np.array([255, 0, 0], "uint8")).round(1)
    array([53.2, 80.1, 67.2], dtype=float32)
    """
    _colours("rgb_to_lab", rgb, "uint8", "float32", "float64")
    return _rgb_to_lab(rgb)


@kernels(cpu="colorize.color.spaces_cpu.rgb_to_lab")
def _rgb_to_lab(rgb):
    linear = linear_light(rgb)
    f = cie_root(linear @ xp(rgb).asarray(FORWARD.T.astype(linear.dtype)))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return xp(rgb).stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def rgb_to_luminance(rgb):
    """L of Lab alone, (..., 1), at a third of the cost.

    >>> rgb_to_luminance(np.array([[0., 0, 0], [1, 1, 1]])).round(3)
    array([[  0.],
           [100.]])
    """
    _colours("rgb_to_luminance", rgb, "uint8", "float32", "float64")
    return _rgb_to_luminance(rgb)


@kernels(cpu="colorize.color.spaces_cpu.rgb_to_luminance")
def _rgb_to_luminance(rgb):
    linear = linear_light(rgb)
    return 116 * cie_root(linear @ xp(rgb).asarray(FORWARD[1][:, None].astype(linear.dtype))) - 16


def lab_to_rgb(lab, *, clip=True, gamut=False, uint8=False):
    """sRGB of Lab, in 0..1, or with uint8=True in 0..255, rounded as by to_uint8.

    Colours that sRGB does not have are clipped channel by channel, which changes their hue. With gamut=True they lose
    chroma instead, as by keep_gamut. clip=False leaves them outside of 0..1.

    >>> lab_to_rgb(np.array([53.2408, 80.0923, 67.2028]), uint8=True)
    array([255,   0,   0], dtype=uint8)
    """
    _colours("lab_to_rgb", lab, "float32", "float64")
    if uint8 and not clip:
        raise ValueError("lab_to_rgb got clip=False and uint8=True, but uint8 needs clipping: drop one of them")
    return _lab_to_rgb(lab, bool(clip), bool(gamut), bool(uint8))


@kernels(cpu="colorize.color.spaces_cpu.lab_to_rgb")
def _lab_to_rgb(lab, clip, gamut, uint8):
    rgb = companded(_lab_to_linear(_keep_gamut(lab) if gamut else lab))
    rgb = rgb.clip(0, 1) if clip else rgb
    return _to_uint8(rgb) if uint8 else rgb


def keep_gamut(lab):
    """Lab with all colours inside of sRGB. Colours that sRGB does not have lose chroma, and keep their L and hue.

    >>> keep_gamut(np.array([50., 0, 0]))
    array([50.,  0.,  0.])
    """
    _colours("keep_gamut", lab, "float32", "float64")
    return _keep_gamut(lab)


SLACK = 2e-5                    # how far outside of 0..1 linear RGB may be: float32 is no more exact
HALVINGS = 14                   # how many bits of the share of chroma are found


@kernels(cpu="colorize.color.spaces_cpu.keep_gamut")
def _keep_gamut(lab):
    L, ab = lab[..., :1].clip(0, 100), lab[..., 1:]
    whole = _in_gamut(xp(lab).concatenate([L, ab], -1))
    share = largest_share(lambda s: _in_gamut(xp(lab).concatenate([L, ab * s], -1)), xp(lab).zeros_like(L), HALVINGS)
    return xp(lab).concatenate([L, ab * xp(lab).where(whole, 1, share).astype(lab.dtype)], -1)


def largest_share(fits, zeros, halvings):
    """The largest shares of the chroma, below 1, that fit, by bisection, in an array like `zeros`. fits(shares) says
    which shares fit."""
    share, step = zeros, 1.0
    for _ in range(halvings):
        step /= 2
        more = share + zeros.dtype.type(step)
        share = xp(zeros).where(fits(more), more, share)
    return share


def _in_gamut(lab):
    linear = _lab_to_linear(lab)
    return ((linear >= -SLACK) & (linear <= 1 + SLACK)).all(-1, keepdims=True)


def _lab_to_linear(lab):
    y = (lab[..., 0] + 16) / 116
    f = xp(lab).stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    t = xp(lab).where(f > 0.2068966, f * f * f, (f - 16 / 116) / 7.787)
    return t @ xp(lab).asarray(BACKWARD.T.astype(lab.dtype))


def cie_root(t):
    """The cube root, with CIE's straight line near 0."""
    return xp(t).where(t > 0.008856, xp(t).cbrt(t), 7.787 * t + 16 / 116)


def linear_light(rgb):
    """Linear light, in 0..1, of sRGB."""
    if rgb.dtype == np.uint8:
        return xp(rgb).asarray(linear_table())[rgb]
    return xp(rgb).where(rgb > 0.04045, ((xp(rgb).maximum(rgb, 0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)


@functools.lru_cache(maxsize=None)
def linear_table():
    """Linear light of the 256 levels of sRGB."""
    return linear_light(np.arange(256) / 255).astype("float32")


def companded(linear):
    """sRGB, in 0..1, of linear light."""
    bright = 1.055 * xp(linear).maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return xp(linear).where(linear > 0.0031308, bright, linear * 12.92)


def to_uint8(rgb):
    """Numbers of any shape as uint8 in 0..255: clipped to 0..1, scaled and rounded.

    >>> to_uint8(np.array([0, 0.5, 2]))
    array([  0, 128, 255], dtype=uint8)
    """
    _dtype("to_uint8", rgb, "float32", "float64")
    return _to_uint8(rgb)


@kernels(cpu="colorize.color.spaces_cpu.to_uint8")
def _to_uint8(rgb):
    return (rgb.clip(0, 1) * 255 + 0.5).astype("uint8")


# ------------------------------------------------------------------ as OpenCV computes


SHIFT = 14                                              # bits of the fraction in OpenCV's fixed-point YUV
TO_YUV = {"Y": (4899, 9617, 1868), "U": 8061, "V": 14369}                       # 0.299 0.587 0.114, 0.492, 0.877
FROM_YUV = {"RV": 18678, "GU": -6472, "GV": -9519, "BU": 33292}                 # 1.14, -0.395, -0.581, 2.032


def rgb_to_yuv(rgb):
    """YUV as by cv2.COLOR_RGB2YUV. No colour is 128 in uint8, which equals OpenCV's to the bit, and 0.5 in floating
    0..1.

    >>> rgb_to_yuv(np.array([255, 0, 0], "uint8"))
    array([ 76,  91, 255], dtype=uint8)
    """
    _colours("rgb_to_yuv", rgb, "uint8", "float32", "float64")
    exact = rgb.dtype == np.uint8
    r, g, b = (rgb[..., k].astype("int32") if exact else rgb[..., k] for k in range(3))
    red, green, blue = TO_YUV["Y"]
    if exact:
        y = _descale(red * r + green * g + blue * b, SHIFT)
        yuv = y, 128 + _descale((b - y) * TO_YUV["U"], SHIFT), 128 + _descale((r - y) * TO_YUV["V"], SHIFT)
        return xp(rgb).stack(yuv, -1).clip(0, 255).astype("uint8")
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return xp(rgb).stack([y, 0.492 * (b - y) + 0.5, 0.877 * (r - y) + 0.5], -1)


def yuv_to_rgb(yuv):
    """RGB of YUV, as by cv2.COLOR_YUV2RGB. uint8 is clipped, floating numbers are not.

    >>> yuv_to_rgb(np.array([76, 91, 255], "uint8"))
    array([221,  17,   1], dtype=uint8)
    """
    _colours("yuv_to_rgb", yuv, "uint8", "float32", "float64")
    k = FROM_YUV
    if yuv.dtype == np.uint8:
        y, u, v = (yuv[..., i].astype("int32") for i in range(3))
        u, v = u - 128, v - 128
        rgb = (y + _descale(k["RV"] * v, SHIFT), y + _descale(k["GU"] * u + k["GV"] * v, SHIFT),
               y + _descale(k["BU"] * u, SHIFT))
        return xp(yuv).stack(rgb, -1).clip(0, 255).astype("uint8")
    y, u, v = yuv[..., 0], yuv[..., 1] - 0.5, yuv[..., 2] - 0.5
    return xp(yuv).stack([y + 1.14 * v, y - 0.395 * u - 0.581 * v, y + 2.032 * u], -1)


def _descale(x, bits):
    """x / 2 ** bits, rounded half up."""
    return (x + (1 << bits - 1)) >> bits


def rgb_to_lab8(rgb):
    """8-bit Lab, (L * 2.55, a + 128, b + 128), of uint8 sRGB. It equals cv2.COLOR_RGB2LAB to the bit.

    >>> rgb_to_lab8(np.array([255, 0, 0], "uint8"))
    array([136, 208, 195], dtype=uint8)
    """
    _colours("rgb_to_lab8", rgb, "uint8")
    linear, root, coefficients = (xp(rgb).asarray(table) for table in _lab8_tables())
    light = linear[rgb]
    x, y, z = (root[_descale((light * row).sum(-1), 12)] for row in coefficients)
    L = _descale(296 * y - 1336934, 15)                 # 116 * 2.55 and 16 * 2.55, in OpenCV's rounding
    lab = L, _descale(500 * (x - y) + (128 << 15), 15), _descale(200 * (y - z) + (128 << 15), 15)
    return xp(rgb).stack(lab, -1).clip(0, 255).astype("uint8")


@functools.lru_cache(maxsize=None)
def _lab8_tables():
    """OpenCV's integer tables, computed in float32 as it does: linear light of the 256 levels, times 2040; f(t) for t
    in those units, times 2 ** 15; and the matrix, times 2 ** 12."""
    f = np.float32
    t = np.arange(3072, dtype="float32") / f(2040)
    root = np.where(t < f(216 / 24389), t * f(841 / 108) + f(16 / 116), np.cbrt(t))
    white = np.array([0.950456, 1, 1.088754])           # OpenCV's; WHITE is scikit-image's
    levels = np.rint(linear_light(np.arange(256) / 255) * 2040).astype("int32")
    return (levels, np.rint(root * f(2 ** 15)).astype("int32"),
            np.rint(RGB_TO_XYZ / white[:, None] * 4096).astype("int32"))


def lab_to_uint8(lab):
    """8-bit Lab, (L * 2.55, a + 128, b + 128), of floating Lab, rounded and clipped."""
    _colours("lab_to_uint8", lab, "float32", "float64")
    x = lab * xp(lab).asarray([2.55, 1, 1], lab.dtype) + xp(lab).asarray([0.5, 128.5, 128.5], lab.dtype)
    return x.clip(0, 255).astype("uint8")


def uint8_to_lab(lab8):
    """Floating Lab (float32) of 8-bit Lab."""
    _colours("uint8_to_lab", lab8, "uint8")
    lab = lab8.astype("float32") - xp(lab8).asarray([0, 128, 128], "float32")
    return lab * xp(lab8).asarray([1 / 2.55, 1, 1], "float32")


# ------------------------------------------------------------------ what a call may be given


def _dtype(name, x, *dtypes):
    if str(getattr(x, "dtype", type(x).__name__)) not in dtypes:
        raise TypeError(f"{name} needs a {' or '.join(dtypes)} array, got {getattr(x, 'dtype', type(x).__name__)}: "
                        "convert it (uint8 is 0..255, floating sRGB 0..1)")


def _colours(name, x, *dtypes):
    _dtype(name, x, *dtypes)
    if x.ndim < 1 or x.shape[-1] != 3:
        raise ValueError(f"{name} needs channels last, (..., 3), got shape {x.shape}")
