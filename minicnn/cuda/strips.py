"""How blocks share (rows, C), for every kernel that goes through channels (see strips.cuh)."""
import functools
from collections import namedtuple

from .launcher import blocks

WIDEST = 1024                               # floats that a block takes at a time: 256 threads, four each

Strips = namedtuple("Strips", "constants grid")
Strips.__doc__ = "The constants C, ROWS, WIDTH (see strips.cuh) and the grid (blocks, parts of a long row)."


def strips(x):
    """How blocks go through x (..., C). It groups the sums of a channel, so it depends on shape and GPU only."""
    c = x.shape[-1]
    rows, width = _strip(c)
    parts = 1 if width >= c else -(-c // width)
    most = max(1, blocks(x.size) // parts)
    return Strips({"C": c, "ROWS": rows, "WIDTH": width}, (min(-(-x.size // (rows * c)), most), parts))


@functools.lru_cache(maxsize=None)
def _strip(c):
    """(rows, floats that a block takes of them) for c channels: as many floats as 256 threads can share evenly."""
    if c > WIDEST:
        return 1, -(-c // -(-c // WIDEST))
    rows = max(range(1, WIDEST // c + 1), key=lambda rows: (rows * c / (-(-rows * c // 256) * 256), rows))
    return rows, rows * c
