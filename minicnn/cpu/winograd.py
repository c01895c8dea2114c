"""3x3 convolutions of stride 1 with 4 times fewer multiplications: Winograd's F(4x4, 3x3).

Each tile of 4x4 outputs sees 6x6 inputs. Both the inputs and the weights are transformed (B, G below), 36 small
matrix products over the channels replace 144 multiplications a channel pair by 36, and a last transform (A) gives
the tile.
Dilated convolutions are as many plain ones, over every dilation-th pixel. The gradient for the weights is the same
algorithm read backwards. Relative error about 1e-5.
"""
import numpy as np

from .activation import finish
from .parts import clear, copy, inlined, kernel, product, span
from .runtime import SCRATCH, empty, ready, remembered, run

BLOCK = 32                                  # tiles a block: enough rows for BLAS, few enough for the L2 cache


def suits(shape, g):
    """Is this convolution worth it? With few channels the transforms cost more than they save."""
    kh, kw, c, k = shape
    return kh == kw == 3 and g.sh == g.sw == 1 and g.dh == g.dw and min(c, k) >= 16 and 54 * max(c, k) < SCRATCH // 8


def conv4(w, x, g, after):
    """activation(conv4(w, x) + b) * scale + shift, with after = (b, activation's code, scale, shift)."""
    c, k = w.shape[2:]
    y = empty((len(x), g.oh, g.ow, k))
    n, block = _tiles(len(x), g, c, k)
    run(_convolve, n, block, x, remembered(_transformed, w), y, g, *after, floats=_floats(block, c, k))
    return y


def _transformed(w):
    """G w G^T as (parts, 36, c, k / parts), see _parts."""
    c, k = w.shape[2:]
    parts = _parts(c, k)
    u = empty((parts, 36, c, k // parts))
    run(_transform_weights, c, _rows(k), ready(w), u)
    return u


def _parts(c, k):
    """Into how many parts to cut the output channels, so that a dozen rows make a product for which BLAS is fast."""
    most = max(1, 1000000 // (12 * c))                      # see parts.product
    return next((p for p in range(-(-k // most), k // 16 + 1) if k % p == 0), 1)


def _rows(k):
    """Input channels a piece, for passes over the weights."""
    return max(1, (1 << 14) // k)


def conv4w(shape, x, dy, g):
    c, k = shape[2:]
    n, block = _tiles(len(x), g, c, k)
    dw = empty(shape)
    if c * k > 1 << 14 and n * (c + k) < 1 << 19:           # many channels, few tiles: one product for all tiles
        v, z, part = empty((36, n, c)), empty((36, n, k)), empty((1, 36, c, k))
        run(_see_both, n, block, x, dy, g, v, z, floats=_floats(block, c, k))
        run(_weight_products, 36, 1, v, z, part[0])
        run(_gather_weights, c, _rows(k), part, dw)
        return dw
    pieces = 4 if c * k <= 1 << 14 else 2                   # a fixed number: the order of adding must not vary
    grain = -(-n // (pieces * block)) * block
    parts = empty((-(-n // grain), 36, c, k))
    run(_weight_parts, n, grain, x, dy, parts, g, grain, block, floats=_floats(block, c, k))
    run(_gather_weights, c, _rows(k), parts, dw)
    return dw


def conv4x(w, shape, dy, g, after):
    """The transpose of conv4: a convolution of dy with the weights turned around."""
    turned = empty((3, 3, w.shape[3], w.shape[2]))
    run(_turn, w.shape[3], 16, ready(w), turned)
    reach = 2 * g.dh
    g = g._replace(top=reach - g.top, left=reach - g.left, bottom=reach - g.bottom, right=reach - g.right,
                   oh=shape[1], ow=shape[2])
    return conv4(turned, dy, g, after)


def _tiles(images, g, c, k):
    """The number of tiles, and how many make a block: enough for BLAS, few enough for the L2 cache."""
    n = images * _across(g.oh, g.dh) * _across(g.ow, g.dw)
    return n, max(1, min(BLOCK, -(-n // 2)))


def _floats(block, c, k):
    """The scratch memory that a block needs (see _regions)."""
    return 36 * block * (c + k + max(c, k))


def _across(size, dilation):
    """Tiles along one side: each of the `dilation` plain images has its own."""
    return dilation * -(-(-(-size // dilation)) // 4)


# ------------------------------------------------------------------ kernels


@inlined
def _place(tile, g):
    """(image, first output row, first output column) of a tile."""
    d = g.dh
    down, across = -(-(-(-g.oh // d)) // 4), -(-(-(-g.ow // d)) // 4)
    tx, rest = tile % across, tile // across
    phase_x, rest = rest % d, rest // d
    ty, rest = rest % down, rest // down
    phase_y, image = rest % d, rest // d
    return image, phase_y + 4 * d * ty, phase_x + 4 * d * tx


@kernel
def _transform_weights(start, stop, scratch, w, u):
    """u = G w G^T for the input channels start .. stop, in parts of the output channels."""
    wide = u.shape[3]
    rows = scratch[:18 * wide].reshape(6, 3, wide)
    for part in range(len(u)):
        to, low = u[part], part * wide
        for c in range(start, stop):
            for j in range(3):
                _g(w[0, j, c, low:low + wide], w[1, j, c, low:low + wide], w[2, j, c, low:low + wide],
                   rows[0, j], rows[1, j], rows[2, j], rows[3, j], rows[4, j], rows[5, j])
            for r in range(6):
                i = 6 * r
                _g(rows[r, 0], rows[r, 1], rows[r, 2],
                   to[i, c], to[i + 1, c], to[i + 2, c], to[i + 3, c], to[i + 4, c], to[i + 5, c])


@inlined
def _g(d0, d1, d2, e0, e1, e2, e3, e4, e5):
    """e = G d, for vectors over the channels."""
    f = np.float32
    for k in range(len(d0)):
        s, t = (d0[k] + d2[k]) * f(1 / 6), d1[k] * f(1 / 6)
        p, q = d0[k] * f(1 / 24) + d2[k] * f(1 / 6), d1[k] * f(1 / 12)
        e0[k] = d0[k] * f(1 / 4)
        e1[k] = -s - t
        e2[k] = t - s
        e3[k] = p + q
        e4[k] = p - q
        e5[k] = d2[k]


@kernel
def _gather_weights(start, stop, scratch, parts, dw):
    """dw = G^T (the sum of the parts) G for the input channels start .. stop."""
    k = dw.shape[3]
    total, rows = scratch[:36 * k].reshape(36, k), scratch[36 * k:54 * k].reshape(18, k)
    for c in range(start, stop):
        for i in range(36):
            copy(parts[0, i, c], total[i])
            for p in range(1, len(parts)):
                for j in range(k):
                    total[i, j] += parts[p, i, c, j]
        for s in range(6):
            _gt(total[s], total[6 + s], total[12 + s], total[18 + s], total[24 + s], total[30 + s],
                rows[s], rows[6 + s], rows[12 + s])
        for r in range(3):
            i = 6 * r
            _gt(rows[i], rows[i + 1], rows[i + 2], rows[i + 3], rows[i + 4], rows[i + 5],
                dw[r, 0, c], dw[r, 1, c], dw[r, 2, c])


@inlined
def _gt(d0, d1, d2, d3, d4, d5, e0, e1, e2):
    """e = G^T d, for vectors over the channels."""
    f = np.float32
    for k in range(len(d0)):
        s, t = (d1[k] + d2[k]) * f(1 / 6), (d3[k] + d4[k]) * f(1 / 24)
        e0[k] = d0[k] * f(1 / 4) - s + t
        e1[k] = (d2[k] - d1[k]) * f(1 / 6) + (d3[k] - d4[k]) * f(1 / 12)
        e2[k] = f(4) * t - s + d5[k]


@kernel
def _convolve(start, stop, scratch, x, u, y, g, b, code, scale, shift):
    """Tiles start .. stop of y, as one block."""
    c, k, n = u.shape[2], u.shape[3], stop - start
    v, m, rest = _regions(scratch, n, c, k)
    _see(start, x, g, v, rest[:36 * n * c].reshape(36, n, c))
    rows, out = rest[:24 * n * k].reshape(4, 6, n * k), m[:16].reshape(4, 4, n * k)
    flat, pixels = m.reshape(36, n * k), m[:16].reshape(16 * n, k)
    for part in range(len(u)):
        for i in range(36):
            product(v[i], u[part, i], m[i])
        for s in range(6):
            _a(flat[s], flat[6 + s], flat[12 + s], flat[18 + s], flat[24 + s], flat[30 + s],
               rows[0, s], rows[1, s], rows[2, s], rows[3, s])
        for r in range(4):
            _a(rows[r, 0], rows[r, 1], rows[r, 2], rows[r, 3], rows[r, 4], rows[r, 5],
               out[r, 0], out[r, 1], out[r, 2], out[r, 3])
        low, high = part * k, (part + 1) * k
        finish(pixels, b[low:high], code, scale[low:high], shift[low:high])
        _give(start, n, pixels, y[:, :, :, low:high], g)


@kernel
def _regions(scratch, n, c, k):
    """Room for 36 matrices (n, c), 36 matrices (n, k), and what either needs on the way."""
    a, b = 36 * n * c, 36 * n * (c + k)
    return scratch[:a].reshape(36, n, c), scratch[a:b].reshape(36, n, k), scratch[b:]


@kernel
def _see(start, x, g, v, rows):
    """v[:, t] = B^T d B for the 6x6 inputs d of each tile: along rows tile by tile, then down for all at once."""
    n, c, d = v.shape[1], v.shape[2], g.dh
    edge = np.empty((6, c), np.float32)
    for t in range(n):
        image, oy, ox = _place(start + t, g)
        y0, x0 = oy - g.top, ox - g.left
        for r in range(6):
            iy, i = y0 + r * d, 6 * r
            if not 0 <= iy < x.shape[1]:
                for s in range(6):
                    clear(rows[i + s, t])
                continue
            seen, step = span(x[image, iy], x0, d, edge)
            _b(seen[0], seen[step], seen[2 * step], seen[3 * step], seen[4 * step], seen[5 * step],
               rows[i, t], rows[i + 1, t], rows[i + 2, t], rows[i + 3, t], rows[i + 4, t], rows[i + 5, t])
    flat, out = rows.reshape(36, n * c), v.reshape(36, n * c)
    for s in range(6):
        _b(flat[s], flat[6 + s], flat[12 + s], flat[18 + s], flat[24 + s], flat[30 + s],
           out[s], out[6 + s], out[12 + s], out[18 + s], out[24 + s], out[30 + s])


@inlined
def _b(d0, d1, d2, d3, d4, d5, e0, e1, e2, e3, e4, e5):
    """e = B^T d, for vectors over the channels."""
    f = np.float32
    for c in range(len(d0)):
        p, q = d4[c] - f(4) * d2[c], d3[c] - f(4) * d1[c]
        r, s = d4[c] - d2[c], f(2) * (d3[c] - d1[c])
        e0[c] = f(4) * d0[c] - f(5) * d2[c] + d4[c]
        e1[c] = p + q
        e2[c] = p - q
        e3[c] = r + s
        e4[c] = r - s
        e5[c] = f(4) * d1[c] - f(5) * d3[c] + d5[c]


@kernel
def _give(start, n, pixels, y, g):
    """Each tile's 4x4 pixels, which are (4, 4, tiles, k), to their places in y."""
    for t in range(n):
        image, oy, ox = _place(start + t, g)
        for r in range(min(4, -(-(g.oh - oy) // g.dh))):
            for s in range(min(4, -(-(g.ow - ox) // g.dw))):
                copy(pixels[(4 * r + s) * n + t], y[image, oy + r * g.dh, ox + s * g.dw])


@inlined
def _a(m0, m1, m2, m3, m4, m5, y0, y1, y2, y3):
    """y = A^T m, for vectors over the channels."""
    f = np.float32
    for k in range(len(m0)):
        p, q = m1[k] + m2[k], m1[k] - m2[k]
        r, s = m3[k] + m4[k], m3[k] - m4[k]
        y0[k] = m0[k] + p + r
        y1[k] = q + f(2) * s
        y2[k] = p + f(4) * r
        y3[k] = q + f(8) * s + m5[k]


@kernel
def _weight_parts(start, stop, scratch, x, dy, parts, g, grain, block):
    """parts[piece] = the sum over tiles of (B^T d B)^T (A dy A^T), for each of the 36 products."""
    c, k = parts.shape[2], parts.shape[3]
    part = parts[start // grain]
    part[:] = 0
    here = np.empty((c, k), np.float32)
    for low in range(start, stop, block):
        n = min(block, stop - low)
        v, z, rest = _regions(scratch, n, c, k)
        _see_pair(low, x, dy, g, v, z, rest)
        for i in range(36):
            np.dot(v[i].T, z[i], here)
            part[i] += here


@kernel
def _see_both(start, stop, scratch, x, dy, g, v, z):
    """What _weight_parts computes for its tiles before it multiplies, for all tiles."""
    here_v, here_z, rest = _regions(scratch, stop - start, x.shape[3], dy.shape[3])
    _see_pair(start, x, dy, g, here_v, here_z, rest)
    for i in range(36):
        for t in range(stop - start):
            copy(here_v[i, t], v[i, start + t])
            copy(here_z[i, t], z[i, start + t])


@kernel
def _see_pair(start, x, dy, g, v, z, rest):
    n, c, k = v.shape[1], v.shape[2], z.shape[2]
    _see(start, x, g, v, rest[:36 * n * c].reshape(36, n, c))
    _see_outputs(start, dy, g, z, rest[:24 * n * k].reshape(4, 6, n, k))


@kernel
def _weight_products(start, stop, scratch, v, z, part):
    for i in range(start, stop):
        np.dot(v[i].T, z[i], part[i])


@kernel
def _turn(start, stop, scratch, w, turned):
    """turned[i, j, k, c] = w[2 - i, 2 - j, c, k] for the channels k from start to stop."""
    for i in range(3):
        for j in range(3):
            source, to = w[2 - i, 2 - j], turned[i, j]
            for c in range(len(source)):
                row = source[c]
                for k in range(start, stop):
                    to[k, c] = row[k]


@kernel
def _see_outputs(start, dy, g, z, rows):
    """z[:, t] = A d A^T for the 4x4 output gradients d of each tile."""
    n, k, d = z.shape[1], z.shape[2], g.dh
    edge = np.empty((4, k), np.float32)
    for t in range(n):
        image, oy, ox = _place(start + t, g)
        for r in range(4):
            to = rows[r]
            if oy + r * d >= g.oh:
                for s in range(6):
                    clear(to[s, t])
                continue
            seen, step = span(dy[image, oy + r * d], ox, d, edge)
            _at(seen[0], seen[step], seen[2 * step], seen[3 * step],
                to[0, t], to[1, t], to[2, t], to[3, t], to[4, t], to[5, t])
    flat, out = rows.reshape(24, n * k), z.reshape(36, n * k)
    for s in range(6):
        _at(flat[s], flat[6 + s], flat[12 + s], flat[18 + s],
            out[s], out[6 + s], out[12 + s], out[18 + s], out[24 + s], out[30 + s])


@inlined
def _at(d0, d1, d2, d3, e0, e1, e2, e3, e4, e5):
    """e = A d, for vectors over the channels."""
    f = np.float32
    for k in range(len(d0)):
        p, q = d0[k] + d2[k], d1[k] + d3[k]
        r, s = d0[k] + f(4) * d2[k], f(2) * d1[k] + f(8) * d3[k]
        e0[k] = d0[k]
        e1[k] = p + q
        e2[k] = p - q
        e3[k] = r + s
        e4[k] = r - s
        e5[k] = d3[k]
