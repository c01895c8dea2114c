"""The Numba kernels of spaces.py. They take tiles of pixels apart into planes, on which loops can be vectorised."""
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.cpu import parts
from minicnn.cpu.parts import inlined, kernel
from minicnn.cpu.runtime import empty, ready, run

from .spaces import BACKWARD, FORWARD, HALVINGS, SLACK, linear_table

GRAIN = 1 << 15                 # pixels in a piece of work
TILE = 1 << 9                   # pixels in a tile, so that its three planes fit into the L1 cache
f32 = np.float32


def rgb_to_lab(rgb):
    lab = empty(rgb.shape)
    _forward(_lab_of_bytes, _lab_of_floats, rgb, lab)
    return lab


def rgb_to_luminance(rgb):
    L = empty((*rgb.shape[:-1], 1))
    _forward(_luminance_of_bytes, _luminance_of_floats, rgb, L)
    return L


def _forward(of_bytes, of_floats, rgb, out):
    exact = rgb.dtype == np.uint8
    rgb, out = ready(rgb, rgb.dtype).reshape(-1, 3), out.reshape(-1, out.shape[-1])
    run(of_bytes if exact else of_floats, len(rgb), GRAIN, rgb, out, FORWARD.astype("float32"), linear_table(),
        floats=3 * TILE)


def lab_to_rgb(lab, clip, gamut, uint8):
    rgb = np.empty(lab.shape, "uint8") if uint8 else empty(lab.shape)
    scale, offset = (f32(255), f32(0.5)) if uint8 else (f32(1), f32(0))
    run(_rgb, lab.size // 3, GRAIN, ready(lab).reshape(-1, 3), rgb.reshape(-1, 3), BACKWARD.astype("float32"),
        clip, HALVINGS if gamut else 0, f32(SLACK), scale, offset, floats=3 * TILE)
    return rgb


def keep_gamut(lab):
    kept = empty(lab.shape)
    run(_kept, lab.size // 3, GRAIN, ready(lab).reshape(-1, 3), kept.reshape(-1, 3), BACKWARD.astype("float32"),
        HALVINGS, f32(SLACK), floats=3 * TILE)
    return kept


def to_uint8(rgb):
    y = np.empty(rgb.shape, "uint8")
    run(_bytes, rgb.size, 3 * GRAIN, ready(rgb).reshape(-1), y.reshape(-1), floats=0)
    return y


# ------------------------------------------------------------------ functions of one number


@intrinsic
def _float_as_bits(typingctx, x):
    def build(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))
    return types.int32(types.float32), build


@intrinsic
def _bits_as_float(typingctx, i):
    def build(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())
    return types.float32(types.int32), build


@inlined
def _near_root(t, share, bits):
    """t ** share within 4 %, for t > 0. The bits of t are roughly its logarithm, which is multiplied by share."""
    return _bits_as_float(np.int32(f32(_float_as_bits(t)) * share + bits))


@inlined
def cbrt(t):
    """The cube root of t > 0, by two of Halley's steps. The relative error is below 2e-7."""
    y = _near_root(t, f32(1 / 3), f32(709921077))
    y3 = y * y * y
    y = y * (y3 + t + t) / (y3 + y3 + t)
    y3 = y * y * y
    return y * (y3 + t + t) / (y3 + y3 + t)


@inlined
def _fifth_root(t):
    y = _near_root(t, f32(1 / 5), f32(852000000))
    y5 = y * y * y * y * y
    y = y * (y5 + y5 + f32(3) * t) / (f32(3) * y5 + t + t)
    y5 = y * y * y * y * y
    return y * (y5 + y5 + f32(3) * t) / (f32(3) * y5 + t + t)


@inlined
def _root(t):
    """f of CIE Lab: the cube root, with a straight line near 0."""
    return cbrt(t) if t > f32(0.008856) else f32(7.787) * t + f32(16 / 116)


@inlined
def _cube(f):
    """The inverse of _root."""
    return f * f * f if f > f32(0.2068966) else (f - f32(16 / 116)) * f32(1 / 7.787)


@inlined
def _linear(v):
    """Linear light of sRGB. t ** 2.4 is t * t times the fifth root of t * t."""
    t = (v + f32(0.055)) * f32(1 / 1.055)
    t = t * t
    return t * _fifth_root(t) if v > f32(0.04045) else v * f32(1 / 12.92)


@inlined
def _companded(v):
    """sRGB of linear light. v ** (1 / 2.4) is the cube root c of v, times the fourth root of c."""
    c = cbrt(v if v > f32(0.003) else f32(0.003))
    return f32(1.055) * c * np.sqrt(np.sqrt(c)) - f32(0.055) if v > f32(0.0031308) else f32(12.92) * v


# ------------------------------------------------------------------ sRGB to Lab


@inlined
def _light_of_bytes(rgb, light, table):
    for i in range(len(rgb)):
        for c in range(3):
            light[c, i] = table[rgb[i, c]]


@inlined
def _light_of_floats(rgb, light):
    for c in range(3):
        plane = light[c]
        for i in range(len(rgb)):
            plane[i] = rgb[i, c]
        for i in range(len(rgb)):
            plane[i] = _linear(plane[i])


@kernel
def _lab(light, lab, m):
    """Write the Lab of the first len(lab) pixels of light (3, TILE) to lab. It overwrites light."""
    r, g, b = light[0], light[1], light[2]
    for i in range(len(lab)):
        x = _root(m[0, 0] * r[i] + m[0, 1] * g[i] + m[0, 2] * b[i])
        y = _root(m[1, 0] * r[i] + m[1, 1] * g[i] + m[1, 2] * b[i])
        z = _root(m[2, 0] * r[i] + m[2, 1] * g[i] + m[2, 2] * b[i])
        r[i], g[i], b[i] = f32(116) * y - f32(16), f32(500) * (x - y), f32(200) * (y - z)
    for i in range(len(lab)):
        lab[i, 0], lab[i, 1], lab[i, 2] = r[i], g[i], b[i]


@kernel
def _luminance(light, L, m):
    r, g, b = light[0], light[1], light[2]
    for i in range(len(L)):
        L[i, 0] = f32(116) * _root(m[1, 0] * r[i] + m[1, 1] * g[i] + m[1, 2] * b[i]) - f32(16)


@kernel
def _lab_of_bytes(start, stop, scratch, rgb, lab, m, table):
    light = parts.sheet(scratch, 0, 3, TILE)
    for p in range(start, stop, TILE):
        end = min(stop, p + TILE)
        _light_of_bytes(rgb[p:end], light, table)
        _lab(light, lab[p:end], m)


@kernel
def _lab_of_floats(start, stop, scratch, rgb, lab, m, table):
    light = parts.sheet(scratch, 0, 3, TILE)
    for p in range(start, stop, TILE):
        end = min(stop, p + TILE)
        _light_of_floats(rgb[p:end], light)
        _lab(light, lab[p:end], m)


@kernel
def _luminance_of_bytes(start, stop, scratch, rgb, L, m, table):
    light = parts.sheet(scratch, 0, 3, TILE)
    for p in range(start, stop, TILE):
        end = min(stop, p + TILE)
        _light_of_bytes(rgb[p:end], light, table)
        _luminance(light, L[p:end], m)


@kernel
def _luminance_of_floats(start, stop, scratch, rgb, L, m, table):
    light = parts.sheet(scratch, 0, 3, TILE)
    for p in range(start, stop, TILE):
        end = min(stop, p + TILE)
        _light_of_floats(rgb[p:end], light)
        _luminance(light, L[p:end], m)


# ------------------------------------------------------------------ Lab to sRGB


@inlined
def _fits(y, a, b, m, slack):
    """Does sRGB have the colour with these a and b, and f(Y) = y?"""
    x, y, z = _cube(y + a * f32(1 / 500)), _cube(y), _cube(y - b * f32(1 / 200))
    fit = True
    for c in range(3):
        v = m[c, 0] * x + m[c, 1] * y + m[c, 2] * z
        fit = fit and -slack <= v <= f32(1) + slack
    return fit


@kernel
def _keep(lab, m, halvings, slack):
    """Move the pixels of lab (3, pixels) into the gamut, in place."""
    for i in range(lab.shape[1]):
        L, a, b = lab[0, i], lab[1, i], lab[2, i]
        L = f32(0) if L < 0 else (f32(100) if L > 100 else L)
        y = (L + f32(16)) * f32(1 / 116)
        if not _fits(y, a, b, m, slack):
            low, step = f32(0), f32(1)
            for _ in range(halvings):
                step *= f32(0.5)
                if _fits(y, (low + step) * a, (low + step) * b, m, slack):
                    low += step
            a, b = low * a, low * b
        lab[0, i], lab[1, i], lab[2, i] = L, a, b


@kernel
def _apart(pixels, planes):
    for i in range(len(pixels)):
        for c in range(3):
            planes[c, i] = pixels[i, c]


@kernel
def _kept(start, stop, scratch, lab, out, m, halvings, slack):
    planes = parts.sheet(scratch, 0, 3, TILE)
    for p in range(start, stop, TILE):
        n = min(stop, p + TILE) - p
        _apart(lab[p:p + n], planes)
        _keep(planes[:, :n], m, halvings, slack)
        for i in range(n):
            for c in range(3):
                out[p + i, c] = planes[c, i]


@kernel
def _rgb(start, stop, scratch, lab, out, m, clip, halvings, slack, scale, offset):
    planes = parts.sheet(scratch, 0, 3, TILE)
    for p in range(start, stop, TILE):
        n = min(stop, p + TILE) - p
        _apart(lab[p:p + n], planes)
        if halvings:
            _keep(planes[:, :n], m, halvings, slack)
        _light(planes[:, :n], m)
        for c in range(3):
            plane = planes[c]
            for i in range(n):
                v = _companded(plane[i])
                v = f32(0) if clip and v < 0 else (f32(1) if clip and v > 1 else v)
                plane[i] = v * scale + offset
        for i in range(n):
            for c in range(3):
                out[p + i, c] = planes[c, i]            # if out is uint8, this cuts off the fraction


@kernel
def _light(planes, m):
    """Turn planes (3, pixels) from Lab into linear RGB, in place."""
    r, g, b = planes[0], planes[1], planes[2]
    for i in range(len(r)):
        y = (r[i] + f32(16)) * f32(1 / 116)
        x, y, z = _cube(y + g[i] * f32(1 / 500)), _cube(y), _cube(y - b[i] * f32(1 / 200))
        r[i] = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z
        g[i] = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z
        b[i] = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z


@kernel
def _bytes(start, stop, scratch, x, y):
    x, y = x[start:stop], y[start:stop]
    for i in range(len(x)):
        v = f32(0) if x[i] < 0 else (f32(1) if x[i] > 1 else x[i])
        y[i] = np.uint8(v * f32(255) + f32(0.5))
