"""3x3 convolutions of stride 2, and their transposes, with 25 instead of 36 multiplications for 2x2 pixels.

Along one side, y[t] = x[2t] w0 + x[2t+1] w1 + x[2t+2] w2. The even pixels go through a filter of two taps, for which
Winograd's F(2, 2) needs three products for two outputs:

    y[0] = (x0 - x2) w0 + x1 w1 + x2 (w0 + w2),    y[1] = (x4 - x2) w2 + x3 w1 + x2 (w0 + w2)

so five weights (w0, w1, w0 + w2, w2, w1) meet five inputs (x0 - x2, x1, x2, x4 - x2, x3), and in two dimensions 25
weights meet 25 inputs. The transpose reads y[2t] = d[t] w0 + d[t-1] w2 and y[2t+1] = d[t] w1 in the same way.
"""
import numpy as np

from .. import cpu
from ..cpu import copy, inlined, kernel, product, remembered, run, span
from .activation_cpu import finish

BLOCK = 32                                  # tiles a block: enough rows for BLAS, few enough for the L2 cache


def suits(shape, g, transposed=False):
    """Is this a convolution for this file? With few channels the transforms cost more than they save."""
    kh, kw, c, k = shape
    return kh == kw == 3 and g.sh == g.sw == 2 and g.dh == g.dw == 1 and c >= 16 and (k >= 16 or transposed)


def conv4(w, x, g, after):
    """activation(conv4(w, x) + b) * scale + shift, with after = (b, activation's code, scale, shift)."""
    c, k = w.shape[2:]
    y = cpu.empty((len(x), g.oh, g.ow, k))
    n = len(x) * _half(g.oh) * _half(g.ow)
    run(_convolve, n, BLOCK, x, remembered(_fives, w), y, g, *after, floats=BLOCK * 25 * (c + max(c, k)))
    return y


def conv4w(shape, x, dy, g):
    c, k = shape[2:]
    n = len(x) * _half(g.oh) * _half(g.ow)
    pieces = 8 if c * k < 1 << 14 else 4                    # a fixed number: the order of adding must not vary
    block = 1000000 // (c * k)                              # see cpu.product; each block is followed by an addition
    block = min(128, block) if block > 32 else 128
    grain = -(-n // (pieces * block)) * block
    parts = cpu.empty((-(-n // grain), 25, c, k))
    run(_weight_parts, n, grain, x, dy, parts, g, grain, block, floats=block * (50 * c + 9 * k) + c * k)
    d = parts.sum(axis=0).reshape(5, 5, c, k)               # for (x0 - x2, x1, x2, x4 - x2, x3), see _differences
    d = np.stack([d[0] + d[2], d[1] + d[4], d[3] + d[2]])
    return np.stack([d[:, 0] + d[:, 2], d[:, 1] + d[:, 4], d[:, 3] + d[:, 2]], axis=1)


def conv4x(w, shape, dy, g, after):
    """activation(the transpose of conv4, of this shape, + b) * scale + shift."""
    c, k = w.shape[2:]
    y = cpu.empty(shape)
    n = shape[0] * -(-(shape[1] + g.top) // 4) * -(-(shape[2] + g.left) // 4)
    floats = BLOCK * (16 * k + max(12 * k, 25 * c))
    run(_transpose, n, BLOCK, dy, remembered(_fives_turned, w), y, g, *after, floats=floats)
    return y


def _half(n):
    return -(-n // 2)


def _fives(w):
    """The weights (w0, w1, w0 + w2, w2, w1) along both sides: (5, 5, c, k)."""
    w = np.stack([w[0], w[1], w[0] + w[2], w[2], w[1]])
    return np.stack([w[:, 0], w[:, 1], w[:, 0] + w[:, 2], w[:, 2], w[:, 1]], axis=1)


def _fives_turned(w):
    """The same as (5, 5, k, c)."""
    return np.ascontiguousarray(_fives(w).swapaxes(2, 3))


# ------------------------------------------------------------------ kernels


@kernel
def _convolve(start, stop, scratch, x, w, y, g, b, code, scale, shift):
    """Tiles start .. stop of 2x2 outputs, as one block."""
    n, c, k = stop - start, x.shape[3], y.shape[3]
    v, rest = scratch[:25 * n * c].reshape(25, n, c), scratch[25 * n * c:]
    _see(start, n, x, g, v, rest[:25 * n * c].reshape(5, 5, n, c))
    m = rest[:25 * n * k].reshape(25, n, k)
    for i in range(25):
        product(v[i], w[i // 5, i % 5], m[i])
    flat, rows = m.reshape(5, 5, n * k), scratch[:10 * n * k].reshape(2, 5, n * k)      # v is done with
    for s in range(5):
        _meet(flat[0, s], flat[1, s], flat[2, s], flat[3, s], flat[4, s], rows[0, s], rows[1, s])
    out = rest[:4 * n * k].reshape(2, 2, n * k)
    for i in range(2):
        _meet(rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3], rows[i, 4], out[i, 0], out[i, 1])
    pixels = rest[:4 * n * k].reshape(4 * n, k)
    finish(pixels, b, code, scale, shift)
    down, across = (g.oh + 1) // 2, (g.ow + 1) // 2
    for t in range(n):
        tx, more = (start + t) % across, (start + t) // across
        ty, image = more % down, more // down
        for i in range(min(2, g.oh - 2 * ty)):
            for j in range(min(2, g.ow - 2 * tx)):
                copy(pixels[(2 * i + j) * n + t], y[image, 2 * ty + i, 2 * tx + j])


@inlined
def _meet(m0, m1, m2, m3, m4, y0, y1):
    """The two outputs along one side, from the five products."""
    for k in range(len(m0)):
        y0[k] = m0[k] + m1[k] + m2[k]
        y1[k] = m3[k] + m4[k] + m2[k]


@kernel
def _see(start, n, x, g, v, rows):
    """v[5 i + j] = (x0 - x2, x1, x2, x4 - x2, x3) down (i) and along the row (j), for each tile."""
    c = x.shape[3]
    edge = np.empty((5, c), np.float32)
    for t in range(n):
        _along(start + t, x, g, rows[:, :, t], edge)
    flat, out = rows.reshape(5, 5, n * c), v.reshape(5, 5, n * c)
    for s in range(5):
        _differences(flat[0, s], flat[1, s], flat[2, s], flat[3, s], flat[4, s],
                     out[0, s], out[1, s], out[2, s], out[3, s], out[4, s])


@kernel
def _along(tile, x, g, rows, edge):
    """rows[i] = (x0 - x2, x1, x2, x4 - x2, x3) of row i of the five-by-five inputs of a tile."""
    down, across = (g.oh + 1) // 2, (g.ow + 1) // 2
    tx, rest = tile % across, tile // across
    ty, image = rest % down, rest // down
    y0, x0 = 4 * ty - g.top, 4 * tx - g.left
    for i in range(5):
        if not 0 <= y0 + i < x.shape[1]:
            rows[i] = 0
            continue
        seen, _ = span(x[image, y0 + i], x0, 1, edge)
        to = rows[i]
        _differences(seen[0], seen[1], seen[2], seen[3], seen[4], to[0], to[1], to[2], to[3], to[4])


@inlined
def _differences(x0, x1, x2, x3, x4, e0, e1, e2, e3, e4):
    """e = (x0 - x2, x1, x2, x4 - x2, x3), for vectors over the channels."""
    for c in range(len(x0)):
        e0[c] = x0[c] - x2[c]
        e1[c] = x1[c]
        e2[c] = x2[c]
        e3[c] = x4[c] - x2[c]
        e4[c] = x3[c]


@kernel
def _weight_parts(start, stop, scratch, x, dy, parts, g, grain, block):
    """parts[piece] = the sum over tiles of (inputs)^T (gradients of p, q, r), for each of the 25 pairs."""
    c, k = x.shape[3], dy.shape[3]
    part = parts[start // grain]
    part[:] = 0
    down, across = (g.oh + 1) // 2, (g.ow + 1) // 2
    here, scratch = scratch[:c * k].reshape(c, k), scratch[c * k:]
    zero = np.zeros(k, np.float32)
    for low in range(start, stop, block):
        n = min(block, stop - low)
        v, rest = scratch[:25 * n * c].reshape(25, n, c), scratch[25 * n * c:]
        z, rows = rest[:9 * n * k].reshape(9, n, k), rest[9 * n * k:9 * n * k + 25 * n * c].reshape(5, 5, n, c)
        _see(low, n, x, g, v, rows)
        for t in range(n):
            tx, more = (low + t) % across, (low + t) // across
            ty, image = more % down, more // down
            oy, ox = 2 * ty, 2 * tx
            a, right, under = dy[image, oy, ox], ox + 1 < g.ow, oy + 1 < g.oh
            _spread4(a, dy[image, oy, ox + 1] if right else zero, dy[image, oy + 1, ox] if under else zero,
                     dy[image, oy + 1, ox + 1] if right and under else zero,
                     z[0, t], z[1, t], z[2, t], z[3, t], z[4, t], z[5, t], z[6, t], z[7, t], z[8, t])
        for i in range(25):
            np.dot(v[i].T, z[3 * _product(i // 5) + _product(i % 5)], here)
            part[i] += here


@inlined
def _product(i):
    """Which of p, q, r takes input i of (x0 - x2, x1, x2, x4 - x2, x3)."""
    return 0 if i < 2 else 1 if i == 2 else 2


@inlined
def _spread4(a, b, c, d, z0, z1, z2, z3, z4, z5, z6, z7, z8):
    """z0 .. z8 = the gradients of the 9 products, for the gradients ((a, b), (c, d)) of 2x2 outputs."""
    for k in range(len(a)):
        z0[k] = a[k]
        z1[k] = a[k] + b[k]
        z2[k] = b[k]
        z3[k] = a[k] + c[k]
        z4[k] = a[k] + b[k] + c[k] + d[k]
        z5[k] = b[k] + d[k]
        z6[k] = c[k]
        z7[k] = c[k] + d[k]
        z8[k] = d[k]


@kernel
def _transpose(start, stop, scratch, d, w, y, g, b, code, scale, shift):
    """Tiles start .. stop of 4x4 pixels of y, each from 3x3 of d; w is (5, 5, k, c)."""
    n, k, c = stop - start, d.shape[3], y.shape[3]
    v = scratch[:16 * n * k].reshape(16, n, k)
    rest = scratch[16 * n * k:]
    _see_transposed(start, n, d, y, g, v, rest[:12 * n * k].reshape(12, n, k))
    m = rest[:25 * n * c].reshape(25, n, c)
    for i in range(25):
        product(v[_meets(i // 5) * 4 + _meets(i % 5)], w[i // 5, i % 5], m[i])
    flat = m.reshape(5, 5, n * c)
    for s in range(5):                                      # e0 = w2 a + (w0 + w2) x, e1 = w0 b + (w0 + w2) x down
        _add(flat[2, s], flat[3, s])
        _add(flat[2, s], flat[0, s])
    for u in range(5):                                      # and along the row
        if u != 2:
            _add(flat[u, 2], flat[u, 3])
            _add(flat[u, 2], flat[u, 0])
            finish(m[5 * u:5 * u + 2].reshape(2 * n, c), b, code, scale, shift)
            finish(m[5 * u + 3:5 * u + 5].reshape(2 * n, c), b, code, scale, shift)
    down, across = (y.shape[1] + g.top + 3) // 4, (y.shape[2] + g.left + 3) // 4
    for t in range(n):
        tx, more = (start + t) % across, (start + t) // across
        ty, image = more % down, more // down
        for i in range(4):
            oy = 4 * ty + i - g.top
            for j in range(4):
                ox = 4 * tx + j - g.left
                if 0 <= oy < y.shape[1] and 0 <= ox < y.shape[2]:
                    copy(m[5 * _holds(i) + _holds(j), t], y[image, oy, ox])


@inlined
def _holds(i):
    """Which product holds pixel i of four: e0, o0, e1, o1."""
    return 3 if i == 0 else 1 if i == 1 else 0 if i == 2 else 4


@inlined
def _add(x, y):
    for k in range(len(y)):
        y[k] += x[k]


@inlined
def _meets(i):
    """Which of (d1 - d0, d0's ..., see _see_transposed) the weight number i of (w0, w1, w0 + w2, w2, w1) meets."""
    return 2 if i == 0 else 1 if i == 1 or i == 2 else 0 if i == 3 else 3


@kernel
def _see_transposed(start, n, d, y, g, v, rows):
    """v[4 i + j] = (d[-1] - d[0], d[0], d[1] - d[0], d[1]) down (i) and along the row (j), for each tile."""
    k = d.shape[3]
    down, across = (y.shape[1] + g.top + 3) // 4, (y.shape[2] + g.left + 3) // 4
    edge = np.empty((3, k), np.float32)
    for t in range(n):
        tx, more = (start + t) % across, (start + t) // across
        ty, image = more % down, more // down
        for r in range(3):
            iy = 2 * ty - 1 + r
            if not 0 <= iy < g.oh:
                for s in range(4):
                    rows[4 * r + s, t] = 0
                continue
            seen, _ = span(d[image, iy], 2 * tx - 1, 1, edge)
            _neighbours(seen[0], seen[1], seen[2],
                        rows[4 * r, t], rows[4 * r + 1, t], rows[4 * r + 2, t], rows[4 * r + 3, t])
    flat, out = rows.reshape(12, n * k), v.reshape(16, n * k)
    for s in range(4):
        _neighbours(flat[s], flat[4 + s], flat[8 + s], out[s], out[4 + s], out[8 + s], out[12 + s])


@inlined
def _neighbours(before, here, after, a, x0, b, x1):
    for k in range(len(here)):
        a[k] = before[k] - here[k]
        x0[k] = here[k]
        b[k] = after[k] - here[k]
        x1[k] = after[k]
