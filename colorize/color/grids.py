"""Where the ab bins lie: on the corners of grid cells that overlap the sRGB gamut, or on the Knet slides' grid."""
import functools

import numpy as np

from .spaces import rgb_to_lab

__all__ = ["EDGE", "faces", "in_gamut", "square"]

EDGE = 110                                  # the 18x18 grid spans -110 .. 110 on both axes


@functools.lru_cache(maxsize=None)
def in_gamut(step):
    """The in-gamut grid points (Q, 2), multiples of `step`, sorted by a, then b. Step 10 gives 313 of them.

    They are the corners of all grid cells that overlap the convex hull of the sRGB gamut as seen along L. For step 10
    this rule gives exactly the file that Zhang et al. published, order included.
    """
    hull = gamut_hull()
    low, high = np.floor(hull.min(axis=0) / step).astype(int), np.ceil(hull.max(axis=0) / step).astype(int)
    cells = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), -1).reshape(-1, 1, 2)
    corners = cells + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    points = np.unique(corners[_overlap(corners * step, hull)].reshape(-1, 2), axis=0)
    return (points * step).astype("float32")


def gamut_hull():
    """The corners (n, 2) of the convex hull of all ab that sRGB has, anticlockwise. The cube's 12 edges span it."""
    ramp = np.linspace(0, 1, 256)
    edges = [np.insert(np.repeat([[p, q]], 256, axis=0), axis, ramp, axis=1)
             for axis in range(3) for p in (0.0, 1.0) for q in (0.0, 1.0)]
    ab = np.unique(rgb_to_lab(np.concatenate(edges))[:, 1:].round(9), axis=0)
    return np.array(_chain(ab) + _chain(ab[::-1]))


def faces():
    """The ab (n, 2) of all 8-bit colours on the six faces of the sRGB cube, float32."""
    levels = np.arange(256, dtype="uint8")
    pairs = np.stack(np.meshgrid(levels, levels), -1).reshape(-1, 2)
    rgb = [np.insert(pairs, axis, end, axis=1) for axis in range(3) for end in (0, 255)]
    return np.ascontiguousarray(rgb_to_lab(np.concatenate(rgb))[:, 1:])


def _chain(points):
    """One side of the convex hull of sorted points, without its last corner (Andrew's monotone chain)."""
    chain = []
    for p in points:
        while len(chain) > 1 and _cross(chain[-1] - chain[-2], p - chain[-2]) <= 0:
            chain.pop()
        chain.append(p)
    return chain[:-1]


def _cross(u, v):
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _overlap(cells, hull):
    """Which cells (n, 4 corners, 2) share some area with the hull. They do if no edge of either separates the two."""
    edges = np.roll(hull, -1, axis=0) - hull
    inside = _cross(edges, cells[:, :, None] - hull) > 0                # (cells, corners, edges)
    boxes = (cells.max(axis=1) > hull.min(axis=0)) & (cells.min(axis=1) < hull.max(axis=0))
    return inside.any(axis=1).all(axis=1) & boxes.all(axis=1)


def square(n):
    """The centres (n * n, 2) of an n x n grid over -110 .. 110, sorted by a, then b."""
    axis = (np.arange(n) + 0.5) * (2 * EDGE / n) - EDGE
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2).astype("float32")
