"""Hints: the user gives the colour of one place, and it spreads over the region around that place.

The distance to a pixel is measured along the way there: a step costs its length, and more where the lightness jumps.
So a colour fills a dress up to its edge, and fades where no edge stops it.
"""
import argparse
import re
from collections import namedtuple

import numpy as np

from ..color.resize import resize
from ..color.spaces import rgb_to_lab

__all__ = ["Hint", "hint", "spread"]

Hint = namedtuple("Hint", "x y ab")
Hint.__doc__ = "x, y: pixels from the left and the top of the upright photo; ab: (2,) in Lab units."

REACH = 0.5                                 # of the photo's short side: how far a colour reaches without edges
FULL = 0.6                                  # of that reach: up to here a colour keeps its full strength
GRAIN = 1.5                                 # pixels: lightness is smoothed, since grass and film grain are no edges
EVEN = 1.0                                  # L: smaller steps between two pixels are shading, not an edge
EDGE = 10.0                                 # L: when the larger steps on the way sum up to this, the colour ends


def hint(text):
    """The type of a flag: text x,y,#rrggbb to a Hint."""
    found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*#?([0-9a-fA-F]{6})\s*", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected x,y,#rrggbb such as 120,80,#3060c0 (pixels from the left, pixels "
                                         f"from the top, colour), got {text!r}")
    rgb = np.frombuffer(bytes.fromhex(found.group(3)), "uint8") / 255
    return Hint(int(found.group(1)), int(found.group(2)), rgb_to_lab(rgb)[1:])


def spread(ab, L, hints, photo):
    """ab (h, w, 2) at the size of L (h, w), with the colours of the hints; photo: its (height, width) in pixels."""
    for known in hints:
        if known.x >= photo[1] or known.y >= photo[0]:
            raise ValueError(f"the hint {known.x},{known.y} is outside of the photo of {photo[1]} x {photo[0]} "
                             f"pixels: x goes from 0 to {photo[1] - 1}, y from 0 to {photo[0] - 1}")
    ab = resize(ab[None], L.shape, "pillow")[0]
    if not hints:
        return ab
    away = _away(L, [(k.y * L.shape[0] // photo[0], k.x * L.shape[1] // photo[1]) for k in hints], photo)
    fade = np.clip((1 - away) / (1 - FULL), 0, 1)
    fade = fade * fade * (3 - 2 * fade)
    share = fade / (away.clip(0, 1) + 0.05) ** 2                # a nearer hint counts more
    colours = np.tensordot(share, np.array([k.ab for k in hints]), (0, 0)) / np.maximum(share.sum(0), 1e-9)[..., None]
    strength = fade.max(0)[..., None]
    return (ab + strength * (colours - ab)).astype("float32")


def _away(L, places, photo):
    """The distance of every pixel from each place, (hints, h, w): a colour ends at 1; beyond it is infinite."""
    from scipy.ndimage import gaussian_filter
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra
    h, w = L.shape
    smooth = gaussian_filter(L.astype("float64"), GRAIN, mode="nearest")
    pixel, reach = np.arange(h * w).reshape(h, w), REACH * min(photo)
    edges = []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = np.s_[:h - dy, max(0, -dx):w - max(0, dx)]
        there = np.s_[dy:, max(0, dx):w + min(0, dx)]
        jump = np.abs(smooth[there] - smooth[here])
        length = np.hypot(dy * photo[0] / h, dx * photo[1] / w)
        cost = length / reach + np.maximum(jump - EVEN, 0) / EDGE
        edges.append((pixel[here].ravel(), pixel[there].ravel(), cost.ravel()))
    start, stop, cost = (np.concatenate(part) for part in zip(*edges))
    graph = coo_matrix((cost, (start, stop)), (h * w, h * w)).tocsr()
    found = dijkstra(graph, directed=False, indices=[y * w + x for y, x in places], limit=1.0)
    return found.reshape(len(places), h, w)
