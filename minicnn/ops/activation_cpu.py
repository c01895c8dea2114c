"""The Numba kernels of activation.py, and what convolution kernels apply to a finished row."""
import numpy as np

from .. import cpu
from ..cpu import kernel, ready, run

CODES = {None: 0, "relu": 1, "tanh": 2, "sigm": 3, "leaky_relu": 4}
GRAIN = 1 << 16


@kernel
def activate(row, code):
    """row = activation(row), in place."""
    if code == 1:
        for k in range(len(row)):
            row[k] = np.float32(0) if row[k] < 0 else row[k]
    elif code == 2:
        for k in range(len(row)):
            row[k] = cpu.tanh(row[k])
    elif code == 3:
        for k in range(len(row)):
            row[k] = np.float32(1) / (np.float32(1) + cpu.exp(-row[k]))
    elif code == 4:
        for k in range(len(row)):
            row[k] = row[k] * np.float32(0.01) if row[k] < 0 else row[k]


@kernel
def _forward(start, stop, scratch, x, y, code):
    x, y = x[start:stop], y[start:stop]
    for i in range(len(x)):
        y[i] = x[i]
    activate(y, code)


@kernel
def _tanhback(start, stop, scratch, dy, y, dx):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    for i in range(len(dy)):
        dx[i] = dy[i] * (np.float32(1) - y[i] * y[i])


@kernel
def _reluback(start, stop, scratch, dy, y, dx):
    dy, y, dx = dy[start:stop], y[start:stop], dx[start:stop]
    for i in range(len(dy)):
        dx[i] = dy[i] if y[i] > 0 else (np.float32(0) if y[i] == 0 else y[i])


def relu(x):
    return _apply(x, 1)


def tanh(x):
    return _apply(x, 2)


def _apply(x, code):
    x = ready(x)
    y = cpu.empty(x.shape)
    run(_forward, x.size, GRAIN, x.reshape(-1), y.reshape(-1), code)
    return y


def reluback(dy, y):
    return _back(_reluback, dy, y)


def tanhback(dy, y):
    return _back(_tanhback, dy, y)


def _back(kernel, dy, y):
    if dy.shape != y.shape:
        return NotImplemented
    dy, y = ready(dy), ready(y)
    dx = cpu.empty(y.shape)
    run(kernel, y.size, GRAIN, dy.reshape(-1), y.reshape(-1), dx.reshape(-1))
    return dx
