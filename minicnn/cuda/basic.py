"""The CUDA kernels of ops/basic.py, and how those of channels share (rows, C) among blocks."""
import functools
from collections import namedtuple

from .launcher import Source, blocks, empty, ready

kernels = Source(__file__, "basic.cu")

WIDEST = 1024                               # floats that a block takes at a time: 256 threads, four each

Strips = namedtuple("Strips", "constants grid")
Strips.__doc__ = "The constants C, ROWS, WIDTH (see basic.cu) and the grid (blocks, parts of a long row)."


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


def channel_sums(x):
    if x.ndim < 2 or not x.size or x.dtype != "float32":
        return NotImplemented
    constants, grid = strips(x)
    parts, sums = empty((x.shape[-1], grid[0])), empty(x.shape[-1:])
    kernels.launch("sum_parts", grid, (ready(x), parts, x.size), constants)
    kernels.launch("sum_whole", x.shape[-1], (parts, sums, grid[0]), constants)
    return sums
