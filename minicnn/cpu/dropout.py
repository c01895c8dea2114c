"""The Numba kernel of ops/dropout.py."""
import numpy as np

from .parts import kernel
from .runtime import empty, ready, run

GRAIN = 1 << 16


def masked(x, p, seed):
    y = empty(x.shape)
    run(_masked, x.size, GRAIN, ready(x).reshape(-1), y.reshape(-1), np.uint32(min(int(p * 2 ** 32), 2 ** 32 - 1)),
        np.float32(1 / (1 - p)), np.uint32(seed))
    return y


@kernel
def _masked(start, stop, scratch, x, y, least, scale, seed):
    """y = x * scale where the noise of dropout.py is at least `least`, else 0."""
    x, y, first, u = x[start:stop], y[start:stop], np.uint32(start), np.uint32
    for i in range(len(x)):
        h = u(u(first + u(i)) * u(0x9E3779B9) + seed)           # every step again 32 bits wide: Numba widens to 64
        h = u(u(h ^ (h >> u(16))) * u(0x21F0AAAD))
        h = u(u(h ^ (h >> u(16))) * u(0x735A2D97))
        h = u(h ^ (h >> u(15)))
        y[i] = x[i] * scale if h >= least else np.float32(0)
