"""The Numba kernels of ops/batchnorm.py, over rows (pixels) of channels."""
import numpy as np

from .activation import CODES, activate
from .parts import kernel
from .runtime import empty, ready, run

BLOCK = 128                                 # rows whose mean is taken before their squares: they stay in the cache
GRAIN = 2048                                # rows a piece; also how partial sums are grouped, so it is fixed


def moments(x):
    x = _rows(x)
    n, c = x.shape
    parts = np.empty((-(-n // BLOCK), 2, c), "float32")
    run(_block_moments, len(parts), GRAIN // BLOCK, x, parts)
    counts = np.full(len(parts), BLOCK, "float64")
    counts[-1] = n - BLOCK * (len(parts) - 1)
    means = parts[:, 0].astype("float64")
    mean = counts @ means / n
    var = (parts[:, 1].sum(axis=0, dtype="float64") + counts @ np.square(means - mean)) / n
    return mean.astype("float32"), var.astype("float32")


def affine(x, scale, shift):
    return _scaled(x, np.zeros_like(scale), scale, shift, None)


def normalise(x, mean, var, params, eps):
    return normalise_then(x, mean, var, params, eps, None)


def normalise_then(x, mean, var, params, eps, activation):
    scale, shift = 1 / np.sqrt(var + np.float32(eps)), np.zeros_like(mean)
    if params is not None:
        scale, shift = scale * params[:len(mean)], params[len(mean):]
    return _scaled(x, mean, scale, shift, activation)


def _scaled(x, mean, scale, shift, activation):
    """activation((x - mean) * scale + shift); the mean apart: x * scale may be large beside the result."""
    y = empty(x.shape)
    run(_scale_shift, x.size // x.shape[-1], GRAIN, _rows(x), ready(mean), ready(scale), ready(shift),
        CODES[activation], _rows(y))
    return y


def normalise_back(dy, x, mean, var, params, eps):
    return normalise_then_back(dy, dy, x, mean, var, params, eps, None)


def normalise_then_back(dy, y, x, mean, var, params, eps, activation):
    if dy.shape != x.shape:
        return NotImplemented
    shape, code, (dy, y, x) = x.shape, CODES[activation], (_rows(dy), _rows(y), _rows(x))
    n, c = x.shape
    inv = 1 / np.sqrt(var + np.float32(eps))
    mean, inv = ready(mean), ready(inv)
    parts = np.empty((-(-n // GRAIN), 2, c), "float32")
    run(_sums, n, GRAIN, dy, y, x, mean, inv, parts, code, floats=(BLOCK + 2) * c)
    dshift, dscale = parts.sum(axis=0, dtype="float64")
    # dx = scale * (dy - dshift / n - xhat * dscale / n), written as a * dy + b * (x - mean) + c
    a = inv if params is None else inv * params[:c]
    b = -a * inv * dscale / n
    dx = empty(shape)
    run(_combine, n, GRAIN, dy, y, x, mean, ready(a), ready(b), ready(-a * dshift / n), _rows(dx), code,
        floats=BLOCK * c)
    return dx, None if params is None else np.concatenate([dscale, dshift]).astype("float32")


def _rows(x):
    return ready(x).reshape(-1, x.shape[-1])


@kernel
def _block_moments(start, stop, scratch, x, parts):
    """Mean and summed squared distance from it, for each block of BLOCK rows."""
    for block in range(start, stop):
        rows = x[block * BLOCK:(block + 1) * BLOCK]
        mean, squares = parts[block, 0], parts[block, 1]
        mean[:] = 0
        squares[:] = 0
        for r in range(len(rows)):
            row = rows[r]
            for c in range(len(row)):
                mean[c] += row[c]
        for c in range(len(mean)):
            mean[c] /= np.float32(len(rows))
        for r in range(len(rows)):
            row = rows[r]
            for c in range(len(row)):
                d = row[c] - mean[c]
                squares[c] += d * d


@kernel
def _scale_shift(start, stop, scratch, x, mean, scale, shift, code, y):
    for low in range(start, stop, 8):
        some = y[low:min(low + 8, stop)]
        for r in range(len(some)):
            row, out = x[low + r], some[r]
            for c in range(len(row)):
                out[c] = (row[c] - mean[c]) * scale[c] + shift[c]
        if code:
            activate(some.reshape(some.size), code)


@kernel
def _through(dy, y, code, scratch):
    """dy through the activation that gave y, in scratch memory; dy itself where there is none."""
    if code == 0:
        return dy
    dx = scratch[:dy.size].reshape(dy.shape)
    a, b, out = dy.reshape(dy.size), y.reshape(y.size), dx.reshape(dy.size)
    if code == 1:
        for i in range(len(a)):
            out[i] = a[i] if b[i] > 0 else (np.float32(0) if b[i] == 0 else b[i])
    elif code == 5:
        for i in range(len(a)):
            out[i] = a[i] if 0 < b[i] < 6 else (np.float32(0) if b[i] == b[i] else b[i])
    else:
        for i in range(len(a)):
            out[i] = a[i] * (np.float32(1) - b[i] * b[i])
    return dx


@kernel
def _sums(start, stop, scratch, dy, y, x, mean, inv, parts, code):
    """For GRAIN rows: the sums of dy and of dy * (x - mean) * inv; blocks keep float32 sums short."""
    c = x.shape[1]
    part = parts[start // GRAIN]
    part[:] = 0
    a, b, rest = scratch[:c], scratch[c:2 * c], scratch[2 * c:]
    for low in range(start, stop, BLOCK):
        a[:] = 0
        b[:] = 0
        high = min(low + BLOCK, stop)
        dz = _through(dy[low:high], y[low:high], code, rest)
        for r in range(len(dz)):
            drow, row = dz[r], x[low + r]
            for k in range(len(drow)):
                a[k] += drow[k]
                b[k] += drow[k] * (row[k] - mean[k])
        for k in range(c):
            part[0, k] += a[k]
            part[1, k] += b[k] * inv[k]


@kernel
def _combine(start, stop, scratch, dy, y, x, mean, a, b, c, dx, code):
    for low in range(start, stop, BLOCK):
        high = min(low + BLOCK, stop)
        dz = _through(dy[low:high], y[low:high], code, scratch)
        for r in range(len(dz)):
            drow, row, out = dz[r], x[low + r], dx[low + r]
            for k in range(len(drow)):
                out[k] = a[k] * drow[k] + b[k] * (row[k] - mean[k]) + c[k]
