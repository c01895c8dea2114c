"""Find the nearest of some points in the ab plane without computing the distance to each.

The plane from -130 to 130 is cut into tiles of 5 x 5. For each tile a table lists the points that are among the k
nearest to any place in it. Of 313 points these are one or two for k = 1 and about eight for k = 5.
"""
import functools

import numpy as np

from minicnn.device import on_gpu, to, xp
from minicnn.dispatch import kernels

__all__ = ["nearest", "soft"]

LOW, TILE, SIDE = -130, 5, 52               # the tiles begin at LOW, and there are SIDE x SIDE of them
CHUNK = 1 << 16                             # places that the formulas take at a time


def nearest(ab, points):
    """The indices (P,), int32, of the `points` (Q, 2) nearest to ab (P, 2), the first of equals; -1 for NaN."""
    return _nearest(ab, *_tables(ab, points, 1))


def soft(ab, points, k, sigma):
    """(indices, values), both (P, k): the k nearest points, nearest first, and their Gaussian weights with sum 1.

    NaN gives index -1 and value 0.
    """
    return _soft(ab, *_tables(ab, points, k), k, sigma)


def _tables(ab, points, k):
    """(points, candidates, counts) on the device of ab, and the points in its dtype."""
    return _placed(points.tobytes(), k, ab.dtype, xp(ab), ab.device.id if on_gpu(ab) else None)


@functools.lru_cache(maxsize=64)
def _placed(points, k, dtype, module, gpu):
    arrays = np.frombuffer(points, "float32").reshape(-1, 2).astype(dtype), *table(points, k)
    return arrays if gpu is None else tuple(to(f"cuda:{gpu}", x) for x in arrays)


# ------------------------------------------------------------------ the table


@functools.lru_cache(maxsize=64)
def table(points, k):
    """(candidates, counts), int32: for each tile the indices of the points that may be among the k nearest, ascending
    and padded with zeros, and how many there are. `points` are the bytes of a float32 array (Q, 2)."""
    points = np.frombuffer(points, "float32").reshape(-1, 2).astype("float64")
    rows = [_row(points, k, LOW + TILE * i) for i in range(SIDE)]
    width = max(keep.sum(axis=1).max() for keep in rows)
    keep = np.concatenate(rows)
    counts = keep.sum(axis=1).astype("int32")
    candidates = np.argsort(~keep, axis=1, kind="stable")[:, :width]
    return np.where(np.arange(width) < counts[:, None], candidates, 0).astype("int32"), counts


def _row(points, k, a):
    """Which points (SIDE, Q) may be among the k nearest in the tiles whose a begins at `a`.

    A point that is nearer than another at all four corners of a tile is nearer everywhere in it, since the difference
    of two squared distances is linear. A point is left out if k others are nearer than it in this way. To save time,
    points farther than the k-th nearest can ever be are left out first.
    """
    b = LOW + TILE * np.arange(SIDE + 1)
    da, db = np.square([[a], [a + TILE]] - points[:, 0]), np.square(b[:, None] - points[:, 1])
    corners = np.stack([da[i] + db[j:SIDE + j] for i in (0, 1) for j in (0, 1)], -1)        # (SIDE, Q, 4)
    at_most = np.partition(corners.max(axis=2), k - 1, axis=1)[:, k - 1:k]
    near_a = np.square(points[:, 0] - points[:, 0].clip(a, a + TILE))
    near_b = np.square(points[:, 1] - np.clip(points[:, 1], b[:-1, None], b[1:, None]))
    keep = near_a + near_b <= at_most
    for tile, some in zip(corners, keep):
        among = np.flatnonzero(some)
        apart = tile[among, None] - tile[None, among]                   # [i, j] < 0: i is nearer than j
        first = (apart <= 0).all(axis=2) & np.triu(np.ones((len(among),) * 2, bool), 1)
        some[among] = ((apart < 0).all(axis=2) | first).sum(axis=0) < k
    return keep


# ------------------------------------------------------------------ formulas


@kernels(cpu="colorize.color.nearest_cpu.nearest")
def _nearest(ab, points, candidates, counts):
    found = [part[0][:, 0] for part in _parts(ab, points, candidates, counts, 1)]
    return xp(ab).concatenate(found) if found else xp(ab).zeros(0, "int32")


@kernels(cpu="colorize.color.nearest_cpu.soft")
def _soft(ab, points, candidates, counts, k, sigma):
    parts = list(_parts(ab, points, candidates, counts, k))
    if not parts:
        return xp(ab).zeros((0, k), "int32"), xp(ab).zeros((0, k), ab.dtype)
    indices, squares = (xp(ab).concatenate(x) for x in zip(*parts))
    values = np.exp((squares[:, :1] - squares) / (2 * sigma * sigma))
    values = xp(ab).where(indices < 0, 0, values / values.sum(axis=1, keepdims=True))
    return indices, values.astype(ab.dtype)


def _parts(ab, points, candidates, counts, k):
    """Give (indices, squared distances), both (part, k) and nearest first, for one part of the places at a time."""
    m = xp(ab)
    for low in range(0, len(ab), CHUNK):
        part = ab[low:low + CHUNK]
        inside = ((part >= LOW) & (part < LOW + TILE * SIDE)).all(axis=1)
        tiles = m.where(inside[:, None], (part - LOW) / TILE, 0).astype("int32")
        tile = tiles[:, 0] * SIDE + tiles[:, 1]
        some = candidates[tile]
        squares = m.where(m.arange(some.shape[1]) < counts[tile][:, None],
                          m.square(part[:, None] - points[some]).sum(axis=2), np.inf)
        order = m.argsort(squares, axis=1, kind="stable")[:, :k] if k > 1 else squares.argmin(axis=1)[:, None]
        indices, squares = (m.take_along_axis(x, order, axis=1) for x in (some, squares))
        far = m.flatnonzero(~inside)
        if len(far):
            indices[far], squares[far] = _far(part[far], points, k)
        yield indices, squares


def _far(ab, points, k):
    """The same as _parts, for places without a tile."""
    m = xp(ab)
    squares = m.square(ab[:, None] - points).sum(axis=2)
    order = m.argsort(squares, axis=1, kind="stable")[:, :k]
    squares = m.take_along_axis(squares, order, axis=1)
    known = np.isfinite(squares)
    return m.where(known, order, -1).astype("int32"), m.where(known, squares, 0)
