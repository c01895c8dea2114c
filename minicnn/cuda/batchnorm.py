"""The CUDA kernels of ops/batchnorm.py. Lanes of a warp are channels, so blocks sum in shared memory."""
from .strips import strips
from .launcher import Source, empty, ready

kernels = Source(__file__, "batchnorm.cu")

CODES = {None: 0, "relu": 1, "tanh": 2, "relu6": 5}           # as in activated.cuh


def moments(x):
    constants, grid = _strips(x, None)
    c = x.shape[-1]
    x, parts, mean, var = ready(x), empty((3, c, grid[0])), empty((c,)), empty((c,))
    kernels.launch("moments_parts", grid, (x, parts, x.size), constants)
    kernels.launch("moments_whole", c, (x, parts, mean, var, grid[0]), constants)
    return mean, var


def affine(x, scale, shift):
    if not x.size:
        return NotImplemented
    constants, grid = _strips(x, None)
    y = empty(x.shape)
    kernels.launch("affine", grid, (ready(x), ready(scale), ready(shift), y, x.size), constants)
    return y


def normalise(x, mean, var, params, eps):
    return normalise_then(x, mean, var, params, eps, None)


def normalise_then(x, mean, var, params, eps, activation):
    constants, grid = _strips(x, activation)
    y, params = empty(x.shape), None if params is None else ready(params)
    kernels.launch("normalise", grid, (ready(x), ready(mean), ready(var), params, y, x.size, eps), constants)
    return y


def normalise_back(dy, x, mean, var, params, eps):
    return normalise_then_back(dy, dy, x, mean, var, params, eps, None)


def normalise_then_back(dy, y, x, mean, var, params, eps, activation):
    """(dx, dparams): the sums of each channel, what follows from them, and a second pass."""
    if dy.shape != x.shape:
        return NotImplemented
    constants, grid = _strips(x, activation)
    c, rows = x.shape[-1], x.size // x.shape[-1]
    dy, y, x, mean = ready(dy), ready(y), ready(x), ready(mean)
    given = None if params is None else ready(params)
    parts, factors, dparams, dx = empty((2, c, grid[0])), empty((3, c)), empty((2 * c,)), empty(x.shape)
    kernels.launch("back_parts", grid, (dy, y, x, mean, parts, x.size), constants)
    kernels.launch("back_whole", c, (parts, ready(var), given, dparams, factors, grid[0], rows, eps), constants)
    kernels.launch("back_combine", grid, (dy, y, x, mean, factors, dx, x.size), constants)
    return dx, None if params is None else dparams


def _strips(x, activation):
    constants, grid = strips(x)
    return {**constants, "ACTIVATION": CODES[activation]}, grid
