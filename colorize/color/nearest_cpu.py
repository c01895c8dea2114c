"""The Numba kernels of nearest.py."""
import numpy as np

from minicnn.cpu import parts
from minicnn.cpu.parts import kernel
from minicnn.cpu.runtime import ready, run

from .nearest import LOW, SIDE, TILE

GRAIN = 1 << 12                             # places in a piece of work


def nearest(ab, points, candidates, counts):
    indices = np.empty(len(ab), "int32")
    run(_nearest, len(ab), GRAIN, ready(ab), points, candidates, counts, indices)
    return indices


def soft(ab, points, candidates, counts, k, sigma):
    indices, values = np.empty((len(ab), k), "int32"), np.empty((len(ab), k), "float32")
    run(_soft, len(ab), GRAIN, ready(ab), points, candidates, counts, np.float32(0.5 / sigma ** 2), indices, values)
    return indices, values


@kernel
def _tile(a, b):
    """The number of the tile that (a, b) is in, or -1."""
    low, high = np.float32(LOW), np.float32(LOW + TILE * SIDE)
    if not (low <= a < high and low <= b < high):
        return -1
    return int((a - low) / np.float32(TILE)) * SIDE + int((b - low) / np.float32(TILE))


@kernel
def _nearest(start, stop, scratch, ab, points, candidates, counts, indices):
    for p in range(start, stop):
        a, b = ab[p, 0], ab[p, 1]
        tile, best, least = _tile(a, b), -1, np.float32(np.inf)
        if tile >= 0 and counts[tile] == 1:
            indices[p] = candidates[tile, 0]
            continue
        for c in range(counts[tile] if tile >= 0 else len(points)):
            i = candidates[tile, c] if tile >= 0 else c
            square = (a - points[i, 0]) ** 2 + (b - points[i, 1]) ** 2
            if square < least:
                best, least = i, square
        indices[p] = best


@kernel
def _soft(start, stop, scratch, ab, points, candidates, counts, scale, indices, values):
    """scale is 1 / (2 sigma^2). The k nearest so far are kept sorted, with squared distances in `values`."""
    k = indices.shape[1]
    for p in range(start, stop):
        a, b, index, value = ab[p, 0], ab[p, 1], indices[p], values[p]
        tile = _tile(a, b)
        index[:], value[:] = -1, np.inf
        for c in range(counts[tile] if tile >= 0 else len(points)):
            i = candidates[tile, c] if tile >= 0 else c
            square = (a - points[i, 0]) ** 2 + (b - points[i, 1]) ** 2
            if square < value[k - 1]:
                at = k - 1
                while at > 0 and square < value[at - 1]:
                    index[at], value[at] = index[at - 1], value[at - 1]
                    at -= 1
                index[at], value[at] = i, square
        _normalise(value, scale)


@kernel
def _normalise(value, scale):
    """Turn squared distances into weights with sum 1. Infinite distances get the weight 0."""
    least, total = value[0], np.float32(0)
    for j in range(len(value)):
        value[j] = parts.exp((least - value[j]) * scale) if value[j] < np.inf else np.float32(0)
        total += value[j]
    for j in range(len(value)):
        value[j] = value[j] / total if total > 0 else np.float32(0)
