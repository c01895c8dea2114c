"""How blocks share (rows, C), for every kernel that goes through channels (see strips.cuh), and images."""
import functools
from collections import namedtuple

from .launcher import blocks

DEEP = 65535                                # blocks in a grid's second and third dimension
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


def too_wide(*shapes):
    """Is one of these images (N, H, W, C) empty, or its rows longer than the grid of pixel_grid?"""
    return any(0 in shape or shape[2] * shape[3] > DEEP * 256 for shape in shapes)


def pixel_grid(shape):
    """(blocks, shift) for the kernels of channels.cuh that write images of this shape: a block's 256 threads are
    256 >> shift rows of 1 << shift, so that few of them idle."""
    n, rows, columns, c = shape
    wanted = columns * (c // 4 if c % 4 == 0 else c)
    shift = 8 if wanted > 4096 else min(range(8, 2, -1), key=lambda s: -(-wanted >> s) << s)
    return (-(-rows >> (8 - shift)), -(-wanted >> shift), min(n, DEEP)), shift
