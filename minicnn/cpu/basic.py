"""The Numba kernels of ops/basic.py."""
import numpy as np

from .parts import kernel
from .runtime import ready, run

GRAIN, BLOCK = 2048, 128


def channel_sums(x):
    if x.ndim < 2 or not x.size:
        return NotImplemented
    x = ready(x).reshape(-1, x.shape[-1])
    parts = np.empty((-(-len(x) // GRAIN), x.shape[1]), "float32")
    run(_sums, len(x), GRAIN, x, parts)
    return parts.sum(axis=0, dtype="float64").astype("float32")


@kernel
def _sums(start, stop, scratch, x, parts):
    """parts[piece] = the sum of rows start .. stop, block by block so that float32 sums stay short."""
    part = parts[start // GRAIN]
    part[:] = 0
    block = scratch[:len(part)]
    for low in range(start, stop, BLOCK):
        block[:] = 0
        for r in range(low, min(low + BLOCK, stop)):
            row = x[r]
            for k in range(len(row)):
                block[k] += row[k]
        for k in range(len(part)):
            part[k] += block[k]
