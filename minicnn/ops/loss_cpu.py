"""The Numba kernels of loss.py."""
import numpy as np

from .. import cpu
from ..cpu import kernel, ready, run

GRAIN, BLOCK = 1 << 16, 1 << 10


def square_error(a, b):
    a, b = ready(a).reshape(-1), ready(b).reshape(-1)
    parts = np.empty(-(-a.size // GRAIN), "float64")
    run(_square_error, a.size, GRAIN, a, b, parts)
    return np.float32(parts.sum())


def scaled_difference(a, b, scale):
    y = cpu.empty(a.shape)
    run(_scaled_difference, a.size, GRAIN, ready(a).reshape(-1), ready(b).reshape(-1), np.float32(scale), y.reshape(-1))
    return y


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
