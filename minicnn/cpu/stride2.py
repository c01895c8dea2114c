"""3x3 convolutions of stride 2, and their transposes, with 25 instead of 36 multiplications for 2x2 pixels.

Along one side, y[t] = x[2t] w0 + x[2t+1] w1 + x[2t+2] w2. The even pixels go through a filter of two taps, for which
Winograd's F(2, 2) needs three products for two outputs:

    y[0] = (x0 - x2) w0 + x1 w1 + x2 (w0 + w2),    y[1] = (x4 - x2) w2 + x3 w1 + x2 (w0 + w2)

so five weights (w0, w1, w0 + w2, w2, w1) meet five inputs (x0 - x2, x1, x2, x4 - x2, x3), and in two dimensions 25
weights meet 25 inputs. The transpose reads y[2t] = d[t] w0 + d[t-1] w2 and y[2t+1] = d[t] w1 in the same way.
"""
import numpy as np

from .activation import finish
from .parts import clear, copy, cube, inlined, kernel, product, sheet, span
from .runtime import empty, remembered, run

BLOCK = 32                                  # tiles a block: enough rows for BLAS, few enough for the L2 cache


def suits(shape, g, transposed=False):
    """Is this a convolution for this file? With few channels the transforms cost more than they save."""
    kh, kw, c, k = shape
    return kh == kw == 3 and g.sh == g.sw == 2 and g.dh == g.dw == 1 and c >= 16 and (k >= 16 or transposed)


def conv4(w, x, g, after):
    """activation(conv4(w, x) + b) * scale + shift, with after = (b, activation's code, scale, shift)."""
    c, k = w.shape[2:]
    y = empty((len(x), g.oh, g.ow, k))
    n = len(x) * _half(g.oh) * _half(g.ow)
    run(_convolve, n, BLOCK, x, remembered(_fives, w), y, g, *after, floats=BLOCK * 25 * (c + max(c, k)))
    return y


def conv4w(shape, x, dy, g):
    c, k = shape[2:]
    n = len(x) * _half(g.oh) * _half(g.ow)
    pieces = 8 if c * k < 1 << 14 else 4                    # a fixed number: the order of adding must not vary
    block = 1000000 // (c * k)                              # see parts.product; each block is followed by an addition
    block = min(128, block) if block > 32 else 128
    grain = -(-n // (pieces * block)) * block
    parts = empty((-(-n // grain), 25, c, k))
    run(_weight_parts, n, grain, x, dy, parts, g, grain, block, floats=block * (50 * c + 9 * k) + c * k)
    d = parts.sum(axis=0).reshape(5, 5, c, k)               # for (x0 - x2, x1, x2, x4 - x2, x3), see _differences
    d = np.stack([d[0] + d[2], d[1] + d[4], d[3] + d[2]])
    return np.stack([d[:, 0] + d[:, 2], d[:, 1] + d[:, 4], d[:, 3] + d[:, 2]], axis=1)


def conv4x(w, shape, dy, g, after):
    """activation(the transpose of conv4, of this shape, + b) * scale + shift."""
    c, k = w.shape[2:]
    y = empty(shape)
    n = shape[0] * -(-(shape[1] + g.top) // 4) * -(-(shape[2] + g.left) // 4)
    floats = BLOCK * (16 * k + max(12 * k, 25 * c))
    run(_transpose, n, BLOCK, dy, remembered(_fives_turned, w), y, g, *after, floats=floats)
    return y


def _half(n):
    return -(-n // 2)


def _fives(w):
    """The weights (w0, w1, w0 + w2, w2, w1) along both sides: (25, c, k)."""
    w = np.stack([w[0], w[1], w[0] + w[2], w[2], w[1]])
    w = np.stack([w[:, 0], w[:, 1], w[:, 0] + w[:, 2], w[:, 2], w[:, 1]], axis=1)
    return w.reshape(25, *w.shape[2:])


def _fives_turned(w):
    """The same as (25, k, c)."""
    return np.ascontiguousarray(_fives(w).swapaxes(1, 2))


# ------------------------------------------------------------------ kernels


@kernel
def _convolve(start, stop, scratch, x, w, y, g, b, code, scale, shift):
    """Tiles start .. stop of 2x2 outputs, as one block."""
    n, c, k = stop - start, x.shape[3], y.shape[3]
    after = 25 * n * c                                      # scratch memory: v, then rows, then m over the rows
    v, m = cube(scratch, 0, 25, n, c), cube(scratch, after, 25, n, k)
    _see(start, x, g, cube(scratch, after, 25, n, c), sheet(scratch, after, 25, n * c), sheet(scratch, 0, 25, n * c))
    for i in range(25):
        product(v[i], w[i], m[i])
    flat, rows, out = sheet(scratch, after, 25, n * k), sheet(scratch, 0, 10, n * k), sheet(scratch, after, 4, n * k)
    for s in range(5):
        _meet(flat[s], flat[5 + s], flat[10 + s], flat[15 + s], flat[20 + s], rows[s], rows[5 + s])
    for i in range(2):
        j = 5 * i
        _meet(rows[j], rows[j + 1], rows[j + 2], rows[j + 3], rows[j + 4], out[2 * i], out[2 * i + 1])
    pixels = sheet(scratch, after, 4 * n, k)
    finish(pixels, b, code, scale, shift)
    down, across = (g.oh + 1) // 2, (g.ow + 1) // 2
    for t in range(n):
        tx, more = (start + t) % across, (start + t) // across
        ty, image = more % down, more // down
        for i in range(min(2, g.oh - 2 * ty)):
            for j in range(min(2, g.ow - 2 * tx)):
                copy(pixels[(2 * i + j) * n + t], y[image, 2 * ty + i, 2 * tx + j])


@kernel
def _meet(m0, m1, m2, m3, m4, y0, y1):
    """The two outputs along one side, from the five products."""
    for k in range(len(m0)):
        y0[k] = m0[k] + m1[k] + m2[k]
        y1[k] = m3[k] + m4[k] + m2[k]


@kernel
def _see(start, x, g, rows, flat, out):
    """out[5 i + j] = (x0 - x2, x1, x2, x4 - x2, x3) down (i) and along the row (j), for each tile; rows
    (25, tiles, c) and flat (25, tiles * c) are one memory, for the way along the row."""
    edge = np.empty((5, x.shape[3]), np.float32)
    down, across = (g.oh + 1) // 2, (g.ow + 1) // 2
    for t in range(rows.shape[1]):
        tx, rest = (start + t) % across, (start + t) // across
        ty, image = rest % down, rest // down
        for i in range(5):
            iy, j = 4 * ty - g.top + i, 5 * i
            if not 0 <= iy < x.shape[1]:
                for s in range(5):
                    clear(rows[j + s, t])
                continue
            seen, _ = span(x[image, iy], 4 * tx - g.left, 1, edge)
            _differences(seen[0], seen[1], seen[2], seen[3], seen[4],
                         rows[j, t], rows[j + 1, t], rows[j + 2, t], rows[j + 3, t], rows[j + 4, t])
    for s in range(5):
        _differences(flat[s], flat[5 + s], flat[10 + s], flat[15 + s], flat[20 + s],
                     out[s], out[5 + s], out[10 + s], out[15 + s], out[20 + s])


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
    here, zero = sheet(scratch, 0, c, k), np.zeros(k, np.float32)
    for low in range(start, stop, block):
        n = min(block, stop - low)
        first = c * k                                       # scratch memory: here, v, rows, z
        second, third = first + 25 * n * c, first + 50 * n * c
        v, z = cube(scratch, first, 25, n, c), cube(scratch, third, 9, n, k)
        _see(low, x, g, cube(scratch, second, 25, n, c), sheet(scratch, second, 25, n * c),
             sheet(scratch, first, 25, n * c))
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
    """Tiles start .. stop of 4x4 pixels of y, each from 3x3 of d; w is (25, k, c)."""
    n, k, c = stop - start, d.shape[3], y.shape[3]
    after = 16 * n * k                                      # scratch memory: v, then rows, then m over the rows
    v, m = cube(scratch, 0, 16, n, k), cube(scratch, after, 25, n, c)
    _see_transposed(start, d, y, g, cube(scratch, after, 12, n, k), sheet(scratch, after, 12, n * k),
                    sheet(scratch, 0, 16, n * k))
    for i in range(25):
        product(v[_meets(i // 5) * 4 + _meets(i % 5)], w[i], m[i])
    flat = sheet(scratch, after, 25, n * c)
    for s in range(5):                                      # e0 = w2 a + (w0 + w2) x, e1 = w0 b + (w0 + w2) x down
        _add(flat[10 + s], flat[15 + s], flat[s])
    for u in range(5):                                      # and along the row
        if u != 2:
            i = 5 * u
            _add(flat[i + 2], flat[i + 3], flat[i])
            for j in (i, i + 3):
                finish(sheet(scratch, after + j * n * c, 2 * n, c), b, code, scale, shift)
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


@kernel
def _add(x, y, z):
    """y += x and z += x"""
    for k in range(len(x)):
        y[k] += x[k]
        z[k] += x[k]


@inlined
def _meets(i):
    """Which of (d1 - d0, d0's ..., see _see_transposed) the weight number i of (w0, w1, w0 + w2, w2, w1) meets."""
    return 2 if i == 0 else 1 if i == 1 or i == 2 else 0 if i == 3 else 3


@kernel
def _see_transposed(start, d, y, g, rows, flat, out):
    """out[4 i + j] = (d[-1] - d[0], d[0], d[1] - d[0], d[1]) down (i) and along the row (j), for each tile; rows
    (12, tiles, k) and flat (12, tiles * k) are one memory, for the way along the row."""
    edge = np.empty((3, d.shape[3]), np.float32)
    down, across = (y.shape[1] + g.top + 3) // 4, (y.shape[2] + g.left + 3) // 4
    for t in range(rows.shape[1]):
        tx, more = (start + t) % across, (start + t) // across
        ty, image = more % down, more // down
        for r in range(3):
            iy, i = 2 * ty - 1 + r, 4 * r
            if not 0 <= iy < g.oh:
                for s in range(4):
                    clear(rows[i + s, t])
                continue
            seen, _ = span(d[image, iy], 2 * tx - 1, 1, edge)
            _neighbours(seen[0], seen[1], seen[2], rows[i, t], rows[i + 1, t], rows[i + 2, t], rows[i + 3, t])
    for s in range(4):
        _neighbours(flat[s], flat[4 + s], flat[8 + s], out[s], out[4 + s], out[8 + s], out[12 + s])


@inlined
def _neighbours(before, here, after, a, x0, b, x1):
    for k in range(len(here)):
        a[k] = before[k] - here[k]
        x0[k] = here[k]
        b[k] = after[k] - here[k]
        x1[k] = after[k]
