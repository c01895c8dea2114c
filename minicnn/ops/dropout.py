"""Dropout, with noise that is a function of (seed, position): nothing is stored, every device draws the same."""
import numpy as np

from ..autograd import primitive, training
from ..device import rng, xp
from ..dispatch import kernels
from .shapes import floating, is_int, number

__all__ = ["dropout"]


def dropout(x, p, *, drop=None, seed=None):
    """Set a share p of the elements of x to 0 and divide the others by 1 - p.

    It works while training (inside diff) unless `drop` says otherwise; `seed` makes the choice repeat.

    >>> dropout(np.ones(4), 0.5) is dropout(np.ones(4), 0, drop=True)
    False
    >>> dropout(np.ones(6), 0.5, drop=True, seed=0)
    array([0., 0., 2., 0., 0., 0.])
    """
    floating("dropout", x=x)
    if not 0 <= number("dropout", "p", p) < 1:
        raise ValueError(f"dropout needs a share 0 <= p < 1, got {p}")
    if seed is not None and not is_int(seed):
        raise TypeError(f"dropout needs seed as an int, got {seed!r}")
    if p == 0 or not (training() if drop is None else drop):
        return x
    return masked(x, float(p), seed=int(rng().integers(2 ** 32)) if seed is None else int(seed) % 2 ** 32)


@primitive(keep="")
def masked(x, p, *, seed):
    """x with the elements that (p, seed) chooses set to 0, the rest divided by 1 - p."""
    return _masked(x, p, seed)


masked.back = (lambda dy, y, x, p, seed: masked(dy, p, seed=seed),)


@kernels(cpu="minicnn.cpu.dropout.masked", cuda="minicnn.cuda.dropout.masked")
def _masked(x, p, seed):
    keep = noise(xp(x), x.size, seed).reshape(x.shape) >= min(int(p * 2 ** 32), 2 ** 32 - 1)
    return xp(x).where(keep, x * (1 / (1 - p)), 0)


def noise(xp, n, seed):
    """n well-mixed uint32 numbers: a multiply-xorshift hash of position and seed."""
    h = xp.arange(n, dtype="uint32") * np.uint32(0x9E3779B9) + np.uint32(seed)
    for multiplier in (0x21F0AAAD, 0x735A2D97):
        h = (h ^ (h >> np.uint32(16))) * np.uint32(multiplier)
    return h ^ (h >> np.uint32(15))
