"""The CUDA kernel of ops/dropout.py: the noise is computed where it is used."""
from .launcher import Source, blocks, empty, ready

kernels = Source(__file__, "dropout.cu")


def masked(x, p, seed):
    if not x.size:
        return NotImplemented
    y = empty(x.shape)
    least = min(int(p * 2 ** 32), 2 ** 32 - 1)
    kernels.launch("masked", blocks(x.size), (ready(x), y, x.size, least, 1 / (1 - p), seed), {})
    return y
