"""The Numba kernel of ssim.py."""
import numpy as np

from minicnn.cpu.parts import kernel
from minicnn.cpu.runtime import ready, run

GRAIN = 16                      # rows in a piece of work; smaller pieces filter the same rows too often


def ssim_of_image(x, y, taps, c1, c2, unbiased):
    height, width, channels = x.shape
    sums = np.zeros(height - len(taps) + 1)
    x, y = (ready(v).reshape(height, width * channels) for v in (x, y))
    run(_rows, len(sums), GRAIN, x, y, np.array(taps), channels, c1, c2, unbiased, sums, floats=0)
    return sums.sum() / (len(sums) * (width - len(taps) + 1) * channels)


@kernel
def _rows(start, stop, scratch, x, y, taps, channels, c1, c2, unbiased, sums):
    """Fill sums[i] with the sum over the windows whose first row is i, in float64. Columns are filtered first."""
    columns = np.empty((4, x.shape[1]))
    means = np.empty((4, x.shape[1] - (len(taps) - 1) * channels))
    for i in range(start, stop):
        columns[:] = 0
        for t in range(len(taps)):
            _gather(x[i + t], y[i + t], taps[t], columns)
        means[:] = 0
        for q in range(4):
            for t in range(len(taps)):
                _add(columns[q, t * channels:], taps[t], means[q])
        sums[i] = _similarity(means, c1, c2, unbiased)


@kernel
def _gather(x, y, tap, columns):
    mx, my, squares, products = columns[0], columns[1], columns[2], columns[3]
    for k in range(len(x)):
        p, q = np.float64(x[k]), np.float64(y[k])
        mx[k] += tap * p
        my[k] += tap * q
        squares[k] += tap * (p * p + q * q)
        products[k] += tap * (p * q)


@kernel
def _add(x, tap, y):
    for k in range(len(y)):
        y[k] += tap * x[k]


@kernel
def _similarity(means, c1, c2, unbiased):
    total = 0.0
    mx, my, squares, products = means[0], means[1], means[2], means[3]
    for k in range(len(mx)):
        product, both = mx[k] * my[k], mx[k] * mx[k] + my[k] * my[k]
        spread, common = unbiased * (squares[k] - both), unbiased * (products[k] - product)
        total += (2 * product + c1) * (2 * common + c2) / ((both + c1) * (spread + c2))
    return total
