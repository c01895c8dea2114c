"""The CUDA kernels of ops/loss.py. Those of scores go over rows (positions) of classes, each row once."""
from .launcher import THREADS, Source, blocks, empty, ready

kernels = Source(__file__, "loss.cu")
PARTS = 1024                                # blocks of a sum, at most: the same on every GPU, and so is the sum
CLASSES = 32 * THREADS                      # a thread holds 32 of them


def square_error(a, b):
    if a.shape != b.shape or not a.size:
        return NotImplemented
    return _summed("square_error", -(-a.size // (4 * THREADS)), [ready(a), ready(b)], [a.size], {})


def scaled_difference(a, b, scale):
    if a.shape != b.shape or not a.size:
        return NotImplemented
    y = empty(a.shape)
    kernels.launch("scaled_difference", blocks(y.size), (ready(a), ready(b), ready(scale), y, y.size), {})
    return y


def softmax(x, axis):
    return _of_rows("softmax", x, axis)


def logsoftmax(x, axis):
    return _of_rows("logsoftmax", x, axis)


def logsumexp(x, axis):
    return _of_rows("logsumexp", x, axis)


def _of_rows(kernel, x, axis):
    if type(axis) is not int or not x.ndim or axis not in (-1, x.ndim - 1) or _rare(x):
        return NotImplemented
    n, grid, constants = _rows(x)
    y = empty(x.shape[:-1] + (1,) if kernel == "logsumexp" else x.shape)
    kernels.launch(kernel, grid, (ready(x), y, n), constants)
    return y


def nllsum(scores, indices, values):
    if _rare(scores) or not indices.size:
        return NotImplemented
    n, grid, constants = _rows(scores)
    arrays = [ready(scores), _integers(indices), ready(values)]
    return _summed("nllsum", grid, arrays, [n, indices.shape[1]], constants)


def nll_gradient(dy, scores, indices, values):
    if _rare(scores) or not indices.size:
        return NotImplemented
    (n, grid, constants), dx = _rows(scores), empty(scores.shape)
    kernels.launch("nll_gradient", grid, (ready(dy), ready(scores), _integers(indices), ready(values), dx, n,
                                          indices.shape[1]), constants)
    return dx


def _summed(kernel, grid, arrays, numbers, constants):
    """The sum of what the blocks of a kernel leave, as an array of no dimensions."""
    parts, total = empty(min(grid, PARTS)), empty(())
    kernels.launch(kernel, parts.size, (*arrays, parts, *numbers), constants)
    kernels.launch("add_parts", 1, (parts, total, parts.size), constants)
    return total


def _rare(scores):
    return not (scores.size and scores.shape[-1] <= CLASSES)


def _rows(scores):
    """(rows, blocks, constants): a block for each row above 1024 classes, a warp or less below."""
    n, c = scores.size // scores.shape[-1], scores.shape[-1]
    threads = THREADS if c > 1024 else min(32, 1 << (-(-c // 4) - 1).bit_length())
    return n, -(-n * threads // THREADS), {"C": c, "T": threads}


def _integers(indices):
    return ready(indices if indices.dtype == "int32" else indices.astype("int32"))
