"""A photo's pixels in colour: their lightness, made small for the model; then the photo, painted with the model's ab.

Both work in blocks that fit into the cache, several at a time, so that memory stays bounded for any photo. Pixels are
uint8 or uint16 of shape (H, W, 1) or (H, W, 3), and keep their L; a Space says what their numbers mean.
"""
import functools
import itertools
from collections import namedtuple

import numpy as np
from PIL import Image

from ..color.resize import METHODS
from ..color.spaces import SLACK, cie_root, largest_share, rgb_to_lab
from ..photo.rgb_space import SRGB
from ..threads import ahead

__all__ = ["colourful", "lightness", "painted"]

BLOCK = 1 << 16                             # pixels of a block: each of its planes takes a quarter of a megabyte
WIDE = 1 << 10                              # columns of a block
MOST = 300                                  # chroma: no space has more, and more would cost precision
UNITS = np.array([500, 200], "float32")     # a = 500 (f(X) - f(Y)), b = 200 (f(Y) - f(Z))
HALVINGS = 8                                # bits: how finely chroma is lowered until a colour fits the gamut
CELLS = 48                                  # a side: their mean colours say whether a photo is in colour
FINEST = 3                                  # boxes are averaged down to at least so many times the size
CUBIC, REACH = METHODS["pillow"][:2]

# ------------------------------------------------------------------ tables


Tables = namedtuple("Tables", "grey shares root levels backward")
Tables.__doc__ = """For uint8 or uint16 in a Space. grey: f(Y) of grey levels, (levels,); shares: the luminance of
each channel's levels, (3, levels); root: f(Y) for Y in equal steps; levels: the levels for linear light in equal
steps, for all channels or each, (1 or 3, steps), in that dtype; backward: the matrix from X, Y, Z to linear RGB."""


@functools.lru_cache(maxsize=6)             # those of 16 bits have 8 megabytes
def _tables(space, dtype):
    top = np.iinfo(dtype).max
    shares = space.forward[1][:, None] * space.light(np.arange(top + 1) / top)
    root, steps = _root(1 << 16 if dtype == "uint8" else 1 << 20)
    levels = (space.levels(steps) * top + 0.5).astype(dtype)
    return Tables(cie_root(shares.sum(0)).astype("float32"), shares.astype("float32"), root, levels,
                  space.backward.astype("float32"))


@functools.lru_cache(maxsize=2)
def _root(n):
    """(f of luminance in n equal steps, float32; these steps)."""
    steps = np.linspace(0, 1, n)
    return cie_root(steps).astype("float32"), steps


def _luminance(pixels, tables):
    """f(Y) = (L + 16) / 116 of pixels (..., 1 or 3), shape (...), float32."""
    if pixels.shape[-1] == 1:
        return np.take(tables.grey, pixels[..., 0], mode="clip")
    light = sum(np.take(share, pixels[..., c], mode="clip") for c, share in enumerate(tables.shares))
    return np.take(tables.root, _steps(light, len(tables.root)), mode="clip")


def _steps(light, n):
    """Numbers in 0..1 as places in a table of n steps."""
    return (light.clip(0, 1) * (n - 1) + 0.5).astype("uint16" if n <= 1 << 16 else "int32")


# ------------------------------------------------------------------ the lightness that a model sees


def lightness(pixels, size, threads=1, space=SRGB):
    """L (h, w) float32 in 0..100 at size = (h, w): a mean in which every pixel of the photo counts."""
    (H, W), (h, w), tables = pixels.shape[:2], size, _tables(space, pixels.dtype.name)
    ky, kx = max(1, H // (FINEST * h)), max(1, W // (FINEST * w))
    coarse = np.empty((-(-H // ky), -(-W // kx)), "float32")
    cols = kx * max(1, WIDE // kx)
    rows = ky * max(1, BLOCK // (cols * ky))

    def one(corner):
        y, x = corner
        box = Image.fromarray(_luminance(pixels[y:y + rows, x:x + cols], tables)).reduce((kx, ky))
        coarse[y // ky:-(-(y + rows) // ky), x // kx:-(-(x + cols) // kx)] = np.asarray(box)

    _all(one, [(y, x) for y in range(0, H, rows) for x in range(0, W, cols)], threads)
    small = Image.fromarray(coarse).resize((w, h), Image.BICUBIC, (0, 0, W / kx, H / ky))
    return (np.asarray(small) * 116 - 16).clip(0, 100)


def colourful(pixels):
    """Is this photo in colour? Not if it is grey, or toned: then its colour is a curve over L, apart from noise.

    The mean colours of cells decide. Of 746 photos in colour, 86 in 100 are found; of the same photos toned, with
    noise, stains, faded edges and the blocks of JPEG, 1 in 200.
    """
    if pixels.shape[2] == 1:
        return False
    lab = rgb_to_lab(_cells(pixels)).reshape(-1, 3)
    L, ab = (lab[:, 0] / 50 - 1)[:, None] ** np.arange(4), lab[:, 1:]
    hue = ab.mean(0) / max(np.hypot(*ab.mean(0)), 1e-6)
    other = ab - (ab @ hue).clip(0)[:, None] * hue                  # the part that is not of the mean hue
    beside = ab - L @ np.linalg.lstsq(L, ab, rcond=None)[0]         # the part that no curve over L explains
    return bool(np.percentile(np.hypot(*beside.T), 98) > 15 or np.percentile(np.hypot(*other.T), 90) > 30)


def _cells(pixels):
    """Mean colours, float64 in 0..1, of some pixels in each of CELLS x CELLS parts of a photo (fewer if small)."""
    counts = [min(n, CELLS) for n in pixels.shape[:2]]
    each = [min(n // count, 4) for n, count in zip(pixels.shape, counts)]
    y, x = (np.linspace(0, n - 1, count * k).astype(int) for n, count, k in zip(pixels.shape, counts, each))
    some = pixels[y[:, None], x].reshape(counts[0], each[0], counts[1], each[1], 3)
    return some.mean((1, 3)) / np.iinfo(pixels.dtype).max


# ------------------------------------------------------------------ painting


def painted(pixels, ab, threads=1, out=None, space=SRGB):
    """RGB (H, W, 3) in the pixels' dtype: the L of the pixels with ab (h, w, 2) in Lab units, enlarged bicubically.

    A colour outside of the space loses chroma, at the same L and hue, until it fits. `out` may be `pixels`.
    With several threads, limit NumPy's BLAS to one: its own threads would wait for each other.
    """
    (H, W), tables = pixels.shape[:2], _tables(space, pixels.dtype.name)
    out = np.empty((H, W, 3), pixels.dtype) if out is None else out
    ab = ab * (MOST / np.maximum(np.hypot(ab[..., :1], ab[..., 1:]), MOST))
    planes = np.ascontiguousarray(ab.astype("float32").transpose(2, 0, 1)) / UNITS[:, None, None]
    columns = [(x, *_band(ab.shape[1], W, x, min(W, x + WIDE))) for x in range(0, W, WIDE)]
    rows = max(1, BLOCK // min(W, WIDE))

    def one(y):
        top, down = _band(ab.shape[0], H, y, min(H, y + rows))
        part = down @ planes[:, top:top + down.shape[1]]
        for x, left, across in columns:
            block = slice(y, y + rows), slice(x, x + WIDE)
            colour = part[..., left:left + across.shape[1]] @ across.T
            _paint(pixels[block], colour, out[block], tables)

    _all(one, range(0, H, rows), threads)
    return out


def _band(old, new, start, stop):
    """(first, weights (stop - start, k)): new pixels start .. stop of a row are means of k old ones from `first`."""
    scale = old / new
    wide = max(scale, 1)
    centres = (np.arange(start, stop) + 0.5) * scale - 0.5
    first, last = max(0, int(centres[0] - REACH * wide)), min(old, int(centres[-1] + REACH * wide) + 2)
    m = CUBIC((np.arange(first, last) - centres[:, None]) / wide)
    return first, (m / m.sum(1, keepdims=True)).astype("float32")


def _paint(pixels, ab, out, tables):
    """One block: pixels (h, w, channels), ab (2, h, w) in UNITS, out (h, w, 3)."""
    y = _luminance(pixels, tables).ravel()
    a, b = ab.reshape(2, -1)
    rgb = _light(y, a, b, tables)
    bad = np.flatnonzero(_outside(rgb))
    if bad.size:
        rgb[:, bad] = _kept(y[bad], a[bad], b[bad], tables)
    for c, (plane, levels) in enumerate(zip(rgb, itertools.cycle(tables.levels))):
        out[..., c] = np.take(levels, _steps(plane, len(levels)), mode="clip").reshape(out.shape[:2])


def _light(y, a, b, tables):
    """Linear RGB (3, n) of f(Y), a / 500 and b / 200."""
    return tables.backward @ _cube(np.stack([y + a, y, y - b]))


_EDGE = 0.2068966                           # from here on f is the cube root; below it is a straight line


def _cube(f):
    """The inverse of CIE's f."""
    curve = np.maximum(f, np.float32(_EDGE))
    f -= curve                              # the part on the straight line: 0 or less
    f *= np.float32(1 / 7.787)
    f += curve * curve * curve
    return f


def _outside(rgb):
    return (rgb.min(0) < -SLACK) | (rgb.max(0) > 1 + SLACK)


def _kept(y, a, b, tables):
    """Linear RGB of colours outside of the gamut, with as much of their chroma as fits into it."""
    def fits(share):
        return ~_outside(_light(y, a * share, b * share, tables))
    share = largest_share(fits, np.zeros(len(y), "float32"), HALVINGS)
    return _light(y, a * share, b * share, tables)


def _all(f, items, threads):
    """Call f with each item, on so many threads."""
    for _ in ahead(f, items, 0 if threads == 1 or len(items) == 1 else threads):
        pass
