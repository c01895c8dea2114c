"""Initial values. An initialiser is a function (shape, rng) -> array; weights are (..., inputs, outputs).

    w = param(3, 3, 16, 32)                         # a Param, xavier by default
    w = param(100, 10, init=gaussian(std=0.1))
    b = param0(10)                                  # zeros
"""
import math

import numpy as np

from .autograd import Param
from .device import current, rng, to

__all__ = ["bilinear", "gaussian", "kaiming", "param", "param0", "xavier", "xavier_normal"]


def fans(shape):
    """The numbers of inputs and outputs of one unit: pixels of the window times channels."""
    if len(shape) < 2:
        raise ValueError(f"this initialiser needs weights (..., inputs, outputs), got shape {shape}: "
                         "use param0 or gaussian")
    window = int(np.prod(shape[:-2]))
    return window * shape[-2], window * shape[-1]


def xavier(gain=1.0):
    """Uniform with variance gain ** 2 * 2 / (inputs + outputs)."""
    def init(shape, rng):
        limit = gain * math.sqrt(6 / sum(fans(shape)))
        return rng.uniform(-limit, limit, shape)
    return init


def xavier_normal(gain=1.0):
    """Normal with variance gain ** 2 * 2 / (inputs + outputs)."""
    return lambda shape, rng: rng.normal(0, gain * math.sqrt(2 / sum(fans(shape))), shape)


def kaiming(gain=math.sqrt(2)):
    """Normal with variance gain ** 2 / inputs: keeps the scale through relu layers."""
    return lambda shape, rng: rng.normal(0, gain / math.sqrt(fans(shape)[0]), shape)


def gaussian(mean=0.0, std=0.01):
    """Normal with this mean and standard deviation."""
    return lambda shape, rng: rng.normal(mean, std, shape)


def bilinear():
    """Weights with which a deconv (stride about half the window) enlarges each channel bilinearly."""
    def init(shape, rng):
        if len(shape) != 4:
            raise ValueError(f"bilinear needs deconv weights (kh, kw, cout, cin), got shape {shape}")
        rows, cols = (1 - np.abs(np.arange(n) - (n - 1) / 2) / ((n + 1) // 2) for n in shape[:2])
        w = np.zeros(shape)
        for c in range(min(shape[2:])):
            w[:, :, c, c] = np.outer(rows, cols)
        return w
    return init


def param(*shape, init=None, dtype="float32"):
    """A Param of this shape on the device in force, or of this array: `param(3, 3, 1, 8)`, `param(array)`.

    >>> param(2, 3)
    Param(float32, (2, 3))
    """
    if len(shape) == 1 and hasattr(shape[0], "dtype"):
        return Param(to(current(), shape[0].astype(dtype)))
    if not shape or not all(hasattr(n, "__index__") and n >= 0 for n in shape):
        raise ValueError(f"param needs sizes, as in param(3, 3, 16, 32), or one array; got {shape}")
    init = xavier() if init is None else init
    return Param(to(current(), np.asarray(init(shape, rng()), dtype)))


def param0(*shape, dtype="float32"):
    """A Param of zeros."""
    return param(*shape, init=lambda shape, rng: np.zeros(shape), dtype=dtype)
