"""The CUDA kernels of ops/basic.py."""
from .launcher import Source, empty, ready
from .strips import strips

kernels = Source(__file__, "basic.cu")

def channel_sums(x):
    if x.ndim < 2 or not x.size or x.dtype != "float32":
        return NotImplemented
    constants, grid = strips(x)
    parts, sums = empty((x.shape[-1], grid[0])), empty(x.shape[-1:])
    kernels.launch("sum_parts", grid, (ready(x), parts, x.size), constants)
    kernels.launch("sum_whole", x.shape[-1], (parts, sums, grid[0]), constants)
    return sums
