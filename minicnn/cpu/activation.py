"""The Numba kernels of ops/activation.py, and what convolution kernels apply to a finished row."""
import numpy as np

from . import parts
from .parts import kernel
from .runtime import empty, ready, run

CODES = {None: 0, "relu": 1, "tanh": 2, "sigm": 3, "leaky_relu": 4, "relu6": 5}
GRAIN = 1 << 16


@kernel
def activate(row, code):
    """row = activation(row), in place."""
    if code == 1:
        for k in range(len(row)):
            row[k] = np.float32(0) if row[k] < 0 else row[k]
    elif code == 2:
        for k in range(len(row)):
            row[k] = parts.tanh(row[k])
    elif code == 3:
        for k in range(len(row)):
            row[k] = np.float32(1) / (np.float32(1) + parts.exp(-row[k]))
    elif code == 4:
        for k in range(len(row)):
            row[k] = row[k] * np.float32(0.01) if row[k] < 0 else row[k]
    elif code == 5:
        for k in range(len(row)):
            row[k] = np.float32(0) if row[k] < 0 else (np.float32(6) if row[k] > 6 else row[k])


@kernel
def finish(y, b, code, scale, shift):
    """y (pixels, channels) = activation(y + b) * scale + shift, in place; empty b or scale: none. A few pixels at a
    time, which stay in the L1 cache."""
    if not (len(b) or code or len(scale)):
        return
    for p in range(0, len(y), 8):
        some = y[p:p + 8]
        if len(b):
            for r in range(len(some)):
                row = some[r]
                for k in range(len(row)):
                    row[k] += b[k]
        if code:
            activate(some.reshape(some.size), code)
        if len(scale):
            for r in range(len(some)):
                row = some[r]
                for k in range(len(row)):
                    row[k] = row[k] * scale[k] + shift[k]


@kernel
def _activated(start, stop, scratch, x, y, code):
    x, y = x[start:stop], y[start:stop]
    for i in range(len(x)):
        y[i] = x[i]
    activate(y, code)


@kernel
def _leaky_relu(start, stop, scratch, x, y, slope):
    x, y = x[start:stop], y[start:stop]
    for i in range(len(x)):
        y[i] = x[i] if x[i] > 0 else x[i] * slope


@kernel
def _elu(start, stop, scratch, x, y, alpha):
    """alpha * (exp(x) - 1) below 0, as tanh(x / 2) * (exp(x) + 1), which keeps its digits near 0."""
    x, y = x[start:stop], y[start:stop]
    half, one = np.float32(0.5), np.float32(1)
    for i in range(len(x)):
        y[i] = x[i] if x[i] > 0 else alpha * parts.tanh(half * x[i]) * (parts.exp(x[i]) + one)


@kernel
def _softplus(start, stop, scratch, x, y):
    """max(x, 0) + log(1 + e) with e = exp(-|x|), as 2 artanh(s) with s = e / (e + 2), at most 1/3: a short series."""
    x, y = x[start:stop], y[start:stop]
    f = np.float32
    for i in range(len(x)):
        e = parts.exp(-abs(x[i]))
        s = e / (e + f(2))
        t = s * s
        p = f(1 / 9) + t * (f(1 / 11) + t * (f(1 / 13) + t * f(1 / 15)))
        p = f(1) + t * (f(1 / 3) + t * (f(1 / 5) + t * (f(1 / 7) + t * p)))
        y[i] = (f(0) if x[i] < 0 else x[i]) + f(2) * s * p


@kernel
def _reluback(start, stop, scratch, dy, y, dx):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    for i in range(len(dy)):
        dx[i] = dy[i] if y[i] > 0 else (np.float32(0) if y[i] == 0 else y[i])


@kernel
def _relu6back(start, stop, scratch, dy, y, dx):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    for i in range(len(dy)):
        dx[i] = dy[i] if 0 < y[i] < 6 else (np.float32(0) if y[i] == y[i] else y[i])


@kernel
def _tanhback(start, stop, scratch, dy, y, dx):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    for i in range(len(dy)):
        dx[i] = dy[i] * (np.float32(1) - y[i] * y[i])


@kernel
def _sigmback(start, stop, scratch, dy, y, dx):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    for i in range(len(dy)):
        dx[i] = dy[i] * (y[i] * (np.float32(1) - y[i]))


@kernel
def _leakyback(start, stop, scratch, dy, x, dx, slope):
    dy, x, dx = dy[start:stop], x[start:stop], dx[start:stop]
    for i in range(len(dy)):
        dx[i] = dy[i] if x[i] > 0 else (dy[i] * slope if x[i] <= 0 else x[i])


@kernel
def _eluback(start, stop, scratch, dy, y, dx, alpha):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    for i in range(len(dy)):
        dx[i] = dy[i] if y[i] > 0 else dy[i] * (y[i] + alpha)


# ------------------------------------------------------------------ what formulas name


def _of(kernel, arrays=1, *numbers):
    """A function of so many arrays of one shape, and of numbers: what the kernel makes of them, by element."""
    def call(*args):
        given, shape = args[:arrays], args[0].shape
        if given[-1].shape != shape:
            return NotImplemented
        y = empty(shape)
        run(kernel, y.size, GRAIN, *(ready(a).reshape(-1) for a in given), y.reshape(-1), *numbers,
            *map(np.float32, args[arrays:]))
        return y
    return call


relu, relu6, tanh, sigm = (_of(_activated, 1, CODES[name]) for name in ("relu", "relu6", "tanh", "sigm"))
leaky_relu, elu, softplus = _of(_leaky_relu), _of(_elu), _of(_softplus)
reluback, relu6back, tanhback, sigmback = (_of(f, 2) for f in (_reluback, _relu6back, _tanhback, _sigmback))
leakyback, eluback = _of(_leakyback, 2), _of(_eluback, 2)
