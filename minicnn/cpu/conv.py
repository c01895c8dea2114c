"""The Numba kernels of ops/conv.py: gather a tile's pixels, multiply by BLAS, finish the tile while it is cached.

conv4 and conv4w gather what each output pixel sees into a matrix, tile by tile. conv4x (and so deconv4) works on
output rows: a row receives from few input rows, each through one matrix product, so no zeros are ever multiplied.
Stride-1 3x3 convolutions go to winograd. Slices come first in the loops below: an index that might be negative
would make LLVM gather instead of load.
"""
import numpy as np

from . import depthwise, stride2, winograd
from .activation import CODES, finish
from .parts import kernel, product
from .runtime import SCRATCH, empty, ready, run

TILE = 1 << 17                              # floats of gathered pixels a tile: half of a 1 MB L2 cache
LARGE = 1 << 30                             # multiply-adds from which a tenth of the time is worth compiling for
NONE = np.zeros(0, "float32")


def conv4(w, x, b, g, groups):
    return conv4_then(w, x, b, None, None, None, g, groups)


def conv4_then(w, x, b, activation, scale, shift, g, groups):
    by_channel = depthwise.suits(w.shape, groups, g)
    if groups != 1 and not by_channel or activation not in CODES or not (x.size and w.size):
        return NotImplemented
    after = _after(b, activation, scale, shift)
    if by_channel:
        return depthwise.conv4(w, ready(x), g, after)
    if winograd.suits(w.shape, g):
        return winograd.conv4(w, ready(x), g, after)
    if stride2.suits(w.shape, g) and len(x) * g.oh * g.ow * w.size > LARGE:
        return stride2.conv4(w, ready(x), g, after)
    w, x = ready(w), ready(x)
    kh, kw, c, k = w.shape
    y = empty((x.shape[0], g.oh, g.ow, k))
    n = x.shape[0] * g.oh * g.ow
    if _pointwise(g):
        _pointwise_conv(x.reshape(n, c), w.reshape(c, k), y.reshape(n, k), after)
    else:
        inner = kh * kw * c
        run(_gathered_rows, n, _grain(n, inner, k), x, w.reshape(-1, k), y, g, *after, floats=_floats(inner))
    return y


def conv4w(shape, x, dy, g, groups):
    by_channel = depthwise.suits(shape, groups, g)
    if groups != 1 and not by_channel or not (x.size and dy.size):
        return NotImplemented
    x, dy = ready(x), ready(dy)
    if by_channel:
        return depthwise.conv4w(shape, x, dy, g)
    if winograd.suits(shape, g):
        return winograd.conv4w(shape, x, dy, g)
    if stride2.suits(shape, g):
        return stride2.conv4w(shape, x, dy, g)
    kh, kw, c, k = shape
    n = dy.size // k
    pieces = 8 if kh * kw * c * k < 1 << 18 else 4          # a fixed number: the order of adding must not vary
    grain = -(-n // pieces)
    parts = empty((pieces, kh * kw * c, k))
    parts[-(-n // grain):] = 0
    if _pointwise(g):
        run(_pointwise_weights, n, grain, x.reshape(n, c), dy.reshape(n, k), parts, grain)
        return parts.sum(axis=0).reshape(shape)
    run(_weight_parts, n, grain, x, dy.reshape(n, k), parts, g, grain, floats=_floats(kh * kw * c))
    return parts.sum(axis=0).reshape(shape)


def conv4x(w, shape, dy, b, g, groups):
    return conv4x_then(w, shape, dy, b, None, None, None, g, groups)


def conv4x_then(w, shape, dy, b, activation, scale, shift, g, groups):
    by_channel = depthwise.suits(w.shape, groups, g)
    if groups != 1 and not by_channel or activation not in CODES or not (dy.size and w.size and shape[0]):
        return NotImplemented
    after = _after(b, activation, scale, shift)
    if by_channel:
        return depthwise.conv4x(w, shape, ready(dy), g, after)
    if winograd.suits(w.shape, g):
        return winograd.conv4x(w, shape, ready(dy), g, after)
    if stride2.suits(w.shape, g, transposed=True):
        return stride2.conv4x(w, shape, ready(dy), g, after)
    w, dy = ready(w), ready(dy)
    kh, kw, c, k = w.shape
    y = empty(shape)
    n = shape[0] * shape[1] * shape[2]
    if _pointwise(g):
        _pointwise_conv(dy.reshape(n, k), w.reshape(c, k).T, y.reshape(n, c), after)
        return y
    rows = max(1, min(256 // g.ow, SCRATCH // (2 * g.ow * kw * c)))     # output rows a tile, of one phase
    if g.ow * kw * c * rows > SCRATCH:
        return NotImplemented
    tiles = shape[0] * g.sh * -(-(-(-shape[1] // g.sh)) // rows)
    run(_transposed_rows, tiles, max(1, min(16, tiles // 16)), dy, w.reshape(kh, kw * c, k), y, g, rows, *after)
    return y


def _after(b, activation, scale, shift):
    """What happens to a finished tile: (bias, activation's code, scale, shift); empty arrays mean none."""
    return (NONE if b is None else ready(b), CODES[activation], NONE if scale is None else ready(scale),
            NONE if shift is None else ready(shift))


def _pointwise(g):
    return g.kh == g.kw == g.sh == g.sw == 1 and not (g.top or g.bottom or g.left or g.right)


def _pointwise_conv(x, w, y, after):
    kernel, w = (_pointwise_rows, w) if w.shape[1] > 4 else (_few_outputs, w.T)
    run(kernel, len(x), _grain(len(x), *w.shape), x, np.ascontiguousarray(w), y, *after)


def _grain(n, inner, k):
    """Output pixels a piece: whole tiles, a million multiply-adds or more, some 16 pieces of large work."""
    tile = tile_rows.py_func(inner)
    enough = -(-(1 << 20) // (inner * k * tile)) * tile
    return max(enough, -(-n // (16 * tile)) * tile if n > 64 * tile else tile)


def _floats(inner):
    """The scratch memory that such a tile needs: 32 rows at least."""
    return max(SCRATCH, 32 * inner)


# ------------------------------------------------------------------ kernels


@kernel
def tile_rows(inner):
    """Rows of a tile whose rows hold `inner` floats."""
    return max(32, min(512, TILE // inner))


@kernel
def _pointwise_rows(start, stop, scratch, x, w, y, b, code, scale, shift):
    """y = x @ w for 1x1 convolutions: nothing to gather."""
    tile = tile_rows(x.shape[1])
    for p in range(start, stop, tile):
        q = min(p + tile, stop)
        out = y[p:q]
        product(x[p:q], w, out)
        finish(out, b, code, scale, shift)


@kernel
def _few_outputs(start, stop, scratch, x, w, y, b, code, scale, shift):
    """The same for a few outputs, w being (outputs, inputs): packing for BLAS would cost more than the products."""
    for r in range(start, stop):
        row, out = x[r], y[r]
        for k in range(len(w)):
            column = w[k]
            total = np.float32(0)
            for c in range(len(row)):
                total += row[c] * column[c]
            out[k] = total
    finish(y[start:stop], b, code, scale, shift)


@kernel
def _gathered_rows(start, stop, scratch, x, w, y, g, b, code, scale, shift):
    """Output pixels start .. stop: gather, multiply, finish, a tile at a time."""
    inner, k = w.shape
    flat = y.reshape(-1, k)
    tile = tile_rows(inner)
    for p in range(start, stop, tile):
        q = min(p + tile, stop)
        seen = scratch[:(q - p) * inner].reshape(q - p, inner)
        gather(x, g, p, q, seen)
        out = flat[p:q]
        product(seen, w, out)
        finish(out, b, code, scale, shift)


@kernel
def gather(x, g, start, stop, seen):
    """Row r of `seen` = what output pixel start + r sees of x, zero where it looks outside."""
    height, width, c = x.shape[1], x.shape[2], x.shape[3]
    for r in range(stop - start):
        p = start + r
        ox, rest = p % g.ow, p // g.ow
        image, oy = x[rest // g.oh], rest % g.oh
        row = seen[r]
        first = ox * g.sw - g.left
        whole = g.dw == 1 and 0 <= first and first + g.kw <= width      # then a row of the window is one slice
        for i in range(g.kh):
            iy = oy * g.sh - g.top + i * g.dh
            if whole and 0 <= iy < height:
                source, to = image[iy].reshape(-1)[first * c:(first + g.kw) * c], row[i * g.kw * c:(i + 1) * g.kw * c]
                for k in range(len(to)):
                    to[k] = source[k]
                continue
            for j in range(g.kw):
                ix = ox * g.sw - g.left + j * g.dw
                to = row[(i * g.kw + j) * c:(i * g.kw + j + 1) * c]
                if 0 <= iy < height and 0 <= ix < width:
                    source = image[iy, ix]
                    for k in range(c):
                        to[k] = source[k]
                else:
                    to[:] = 0


@kernel
def _weight_parts(start, stop, scratch, x, dy, parts, g, grain):
    """parts[piece] = the sum over output pixels start .. stop of (what it sees)^T (its gradient)."""
    inner, k = parts.shape[1], parts.shape[2]
    part = parts[start // grain]
    part[:] = 0
    tile = max(32, min(512, (scratch.size - inner * k) // inner)) if inner * k < scratch.size // 2 else 32
    here = np.empty((inner, k), np.float32)
    for p in range(start, stop, tile):
        q = min(p + tile, stop)
        seen = scratch[:(q - p) * inner].reshape(q - p, inner)
        gather(x, g, p, q, seen)
        np.dot(seen.T, dy[p:q], here)
        part += here


@kernel
def _pointwise_weights(start, stop, scratch, x, dy, parts, grain):
    """The same for 1x1 convolutions: nothing to gather."""
    part = parts[start // grain]
    part[:] = 0
    here = np.empty(part.shape, np.float32)
    for p in range(start, stop, 1024):
        q = min(p + 1024, stop)
        np.dot(x[p:q].T, dy[p:q], here)
        part += here


@kernel
def _transposed_rows(start, stop, scratch, dy, w, y, g, rows, b, code, scale, shift):
    """Tiles start .. stop of the images y: `rows` output rows of one phase, that is, at distance of the stride."""
    sh, ow = g.sh, g.ow
    height, c = y.shape[1], y.shape[3]
    k = dy.shape[3]
    groups = -(-(-(-height // sh)) // rows)
    for tile in range(start, stop):
        image, rest = tile // (sh * groups), tile % (sh * groups)
        phase, first = rest % sh, (rest // sh) * rows * sh
        first += phase
        count = min(rows, -(-(height - first) // sh))
        for t in range(count):
            y[image, first + t * sh] = 0
        for i in range(g.kh):
            if (first + g.top - i * g.dh) % sh:
                continue
            r0 = (first + g.top - i * g.dh) // sh               # the input row that output row `first` sees through i
            low, high = max(0, -r0), min(count, g.oh - r0)
            if low >= high:
                continue
            m = (high - low) * ow
            seen = dy[image, r0 + low:r0 + high].reshape(m, k)
            columns = scratch[:m * g.kw * c].reshape(m, g.kw * c)
            np.dot(seen, w[i].T, columns)
            for t in range(low, high):
                row = columns[(t - low) * ow:(t - low + 1) * ow]
                _add_columns(row, y[image, first + t * sh], g.kw, g.sw, g.dw, g.left)
        for t in range(count):
            finish(y[image, first + t * sh], b, code, scale, shift)


@kernel
def _add_columns(product, out, kw, sw, dw, left):
    """out[s * sw - left + j * dw] += product[s, j] for every input column s and tap j."""
    width, c = out.shape
    for j in range(kw):
        for s in range(len(product)):
            at = s * sw - left + j * dw
            if 0 <= at < width:
                to, add = out[at], product[s, j * c:(j + 1) * c]
                for k in range(c):
                    to[k] += add[k]
