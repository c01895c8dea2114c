"""The Numba kernel of bins.py."""
import numpy as np

from minicnn.cpu import parts
from minicnn.cpu.parts import kernel
from minicnn.cpu.runtime import ready, run

GRAIN = 1 << 16                             # scores in a piece of work
LANES = 16                                  # maxima taken side by side, so that the loop is vectorised


def expected(scores, bias, scale, centres):
    n, q = scores.shape
    ab = np.empty((n, 2), "float32")
    run(_expected, n, max(1, GRAIN // q), ready(scores), ready(bias), np.float32(scale), ready(centres.T), ab,
        floats=LANES + q)
    return ab


@kernel
def _expected(start, stop, scratch, scores, bias, scale, centres, ab):
    """The mean of the centres (2, q) for each row, weighted by the softmax of its scores."""
    lanes, e, ca, cb = scratch[:LANES], scratch[LANES:], centres[0], centres[1]
    for r in range(start, stop):
        row = scores[r]
        lanes[:] = -np.inf
        for low in range(0, len(row), LANES):
            part, biases, out = row[low:low + LANES], bias[low:low + LANES], e[low:low + LANES]
            for i in range(len(part)):
                out[i] = (part[i] + biases[i]) * scale
                lanes[i] = out[i] if out[i] > lanes[i] else lanes[i]    # skips NaN, which the sum then shows
        top = lanes.max()
        total, a, b = np.float32(0), np.float32(0), np.float32(0)
        for i in range(len(row)):
            share = parts.exp(e[i] - top)
            total += share
            a += share * ca[i]
            b += share * cb[i]
        ab[r, 0], ab[r, 1] = a / total, b / total
