"""The Numba kernels of ops/loss.py. Those of scores go over rows (positions) of classes, each row once."""
import numpy as np

from . import parts
from .parts import inlined, kernel
from .runtime import empty, ready, run

GRAIN, BLOCK = 1 << 16, 1 << 10             # floats a piece, and floats of which float32 keeps the sum
LANES = 16                                  # maxima taken side by side: one alone would not be vectorised


def square_error(a, b):
    a, b = ready(a).reshape(-1), ready(b).reshape(-1)
    parts = np.empty(-(-a.size // GRAIN), "float64")
    run(_square_error, a.size, GRAIN, a, b, parts)
    return np.float32(parts.sum())


def scaled_difference(a, b, scale):
    shape, a, b = a.shape, ready(a).reshape(-1), ready(b).reshape(-1)
    y = empty(shape)
    run(_scaled_difference, a.size, GRAIN, a, b, np.float32(scale), y.reshape(-1))
    return y


def softmax(x, axis):
    return _of_rows(_softmax, x, axis)


def logsoftmax(x, axis):
    return _of_rows(_logsoftmax, x, axis)


def logsumexp(x, axis):
    return _of_rows(_logsumexp, x, axis)


def _of_rows(kernel, x, axis):
    if type(axis) is not int or axis not in (-1, x.ndim - 1) or not (x.ndim and x.size):
        return NotImplemented
    n, c = x.size // x.shape[-1], x.shape[-1]
    y = empty(x.shape[:-1] + (1,) if kernel is _logsumexp else x.shape)
    run(kernel, n, _rows(c), ready(x).reshape(n, c), y.reshape(n, -1), floats=LANES + c)
    return y


def nllsum(scores, indices, values):
    n, c = scores.shape
    parts = np.empty(-(-n // _rows(c)), "float64")
    run(_nllsum, n, _rows(c), ready(scores), _integers(indices), ready(values), parts, _rows(c), floats=LANES + c)
    return np.float32(parts.sum())


def nll_gradient(dy, scores, indices, values):
    n, c = scores.shape
    dx = empty(scores.shape)
    run(_nll_gradient, n, _rows(c), np.float32(dy), ready(scores), _integers(indices), ready(values), dx,
        floats=LANES + c)
    return dx


def _integers(x):
    return np.require(x, "int64", ["C", "A", "W"])


def _rows(c):
    """Rows a piece; also how partial sums are grouped, so it is fixed."""
    return max(1, GRAIN // c)


# ------------------------------------------------------------------ kernels of two arrays


@kernel
def _square_error(start, stop, scratch, a, b, parts):
    total = 0.0
    for low in range(start, stop, BLOCK):
        part = np.float32(0)
        x, y = a[low:min(low + BLOCK, stop)], b[low:min(low + BLOCK, stop)]
        for i in range(len(x)):
            d = x[i] - y[i]
            part += d * d
        total += part
    parts[start // GRAIN] = total


@kernel
def _scaled_difference(start, stop, scratch, a, b, scale, y):
    a, b, y = a[start:stop], b[start:stop], y[start:stop]
    for i in range(len(a)):
        y[i] = (a[i] - b[i]) * scale


# ------------------------------------------------------------------ kernels of rows


@inlined
def _exponentials(row, lanes, e):
    """e = exp(row - top); returns top, the row's maximum (0 where that is infinite), and the sum of e."""
    lanes[:] = -np.inf
    for low in range(0, len(row), len(lanes)):
        part = row[low:low + len(lanes)]
        for i in range(len(part)):
            lanes[i] = part[i] if part[i] > lanes[i] else lanes[i]      # passes over NaN, which the sum then shows
    top = lanes.max()
    if np.isinf(top):
        top = np.float32(0)
    total = 0.0
    for low in range(0, len(row), BLOCK):
        a, b, part = row[low:low + BLOCK], e[low:low + BLOCK], np.float32(0)
        for i in range(len(a)):
            b[i] = parts.exp(a[i] - top)
            part += b[i]
        total += part
    return top, total


@kernel
def _softmax(start, stop, scratch, x, y):
    for r in range(start, stop):
        out = y[r]
        _, total = _exponentials(x[r], scratch[:LANES], out)
        scale = np.float32(1 / total)
        for i in range(len(out)):
            out[i] *= scale


@kernel
def _logsoftmax(start, stop, scratch, x, y):
    for r in range(start, stop):
        row, out = x[r], y[r]
        top, total = _exponentials(row, scratch[:LANES], out)
        log = np.float32(np.log(total))
        for i in range(len(out)):
            out[i] = row[i] - top - log


@kernel
def _logsumexp(start, stop, scratch, x, y):
    for r in range(start, stop):
        top, total = _exponentials(x[r], scratch[:LANES], scratch[LANES:LANES + x.shape[1]])
        y[r, 0] = top + np.log(total)


@kernel
def _nllsum(start, stop, scratch, scores, indices, values, parts, grain):
    """parts[piece] = -sum(values * logsoftmax(scores)[indices]) over its positions."""
    part = 0.0
    for r in range(start, stop):
        row = scores[r]
        top, total = _exponentials(row, scratch[:LANES], scratch[LANES:LANES + len(row)])
        log = top + np.log(total)
        for k in range(indices.shape[1]):
            if values[r, k] != 0:
                part -= values[r, k] * (row[indices[r, k]] - log)
    parts[start // grain] = part


@kernel
def _nll_gradient(start, stop, scratch, dy, scores, indices, values, dx):
    """dx = dy * (softmax(scores) * (total value of the position) - values at their indices)."""
    target = scratch[LANES:LANES + dx.shape[1]]
    target[:] = 0
    for r in range(start, stop):
        out, weight = dx[r], np.float32(0)
        for k in range(indices.shape[1]):
            target[indices[r, k]] += values[r, k]
            weight += values[r, k]
        _, total = _exponentials(scores[r], scratch[:LANES], out)
        scale = np.float32(weight / total)
        for i in range(len(out)):
            out[i] = dy * (out[i] * scale - target[i])
        for k in range(indices.shape[1]):
            target[indices[r, k]] = 0
