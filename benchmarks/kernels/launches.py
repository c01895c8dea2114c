"""What a GPU would be told to do, found out without one: the kernels that minicnn launches, with all their numbers.

    with recorded(arch=53) as launches:
        mc.gpucopy(models.jetson())(on_gpu(x))

minicnn's own host code runs, on arrays that have a shape and a dtype but never any numbers, so that the largest
models take no time and no memory. Launch.file, .constants and .kernel are what gets compiled; grid and block say how
often; `arrays` holds what the kernel reads and writes.
"""
import contextlib
import importlib
import types
from collections import namedtuple
from pathlib import Path

import numpy as np

import minicnn as mc
from minicnn.cuda import launcher as cuda

device = importlib.import_module("minicnn.device")      # mc.device is the class
ROOT = Path(__file__).resolve().parents[2]
CORES = {53: 1, 75: 40, 86: 48, 89: 128, 90: 132}       # Jetson Nano, T4, RTX 3070 Ti, RTX 4090, H100 and H200

Launch = namedtuple("Launch", "file kernel constants grid block arrays numbers")
Launch.__doc__ = """file: from the repository's root. constants, numbers: {name: value}. grid: three numbers.
arrays: {name: Array}, without null pointers."""
Array = namedtuple("Array", "address shape nbytes")


class ndarray(np.ndarray):
    """Zeros that nobody looks at: arithmetic gives the right shape and dtype, and more zeros."""

    __module__ = "cupy"                     # by which minicnn knows the arrays of the GPU
    device = types.SimpleNamespace(id=0)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if method == "at":
            return None
        if not all(isinstance(x, (np.ndarray, np.generic, int, float)) for x in inputs):
            return NotImplemented           # a Param or a Result knows better
        if out is not None:
            return out[0] if isinstance(out, tuple) else out
        small = [np.zeros((1,) * x.ndim, x.dtype) if isinstance(x, np.ndarray) else x for x in inputs]
        with np.errstate(all="ignore"):
            dtype = getattr(ufunc, method)(*small, **options).dtype
        shapes = [np.shape(x) for x in inputs]
        if ufunc is np.matmul:
            return zeros(np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2]) + (shapes[0][-2], shapes[1][-1]), dtype)
        shape = _reduced(*shapes, **options) if method == "reduce" else np.broadcast_shapes(*shapes)
        if ufunc is np.logical_and:                         # all(): checks of values pass
            return np.ones(shape, dtype).view(ndarray)
        return zeros(shape, dtype)

def _reduced(shape, axis=0, keepdims=False, **_):
    axes = range(len(shape)) if axis is None else [a % len(shape) for a in np.atleast_1d(axis)]
    return tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes)


def zeros(shape, dtype="float32"):
    return np.zeros(shape, dtype).view(ndarray)


class Gpu:
    """A cupy.cuda.Device."""

    def __init__(self, arch):
        self.id, self.compute_capability, self.attributes = 0, str(arch), {"MultiProcessorCount": CORES[arch]}

    def use(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Module:
    """As much of the module cupy as minicnn uses: NumPy's functions, whose answers are arrays of the GPU."""

    ndarray = ndarray

    def __init__(self, arch):
        runtime = types.SimpleNamespace(getDevice=lambda: 0, getDeviceCount=lambda: 1)
        self.cuda = types.SimpleNamespace(Device=lambda number=0: Gpu(arch), runtime=runtime, Stream=object)

    def empty(self, shape, dtype="float32"):
        return zeros(shape, dtype)

    def asnumpy(self, x):
        return x.view(np.ndarray)

    def __getattr__(self, name):
        found = getattr(np, name)
        return _moved(found) if callable(found) and not isinstance(found, (type, np.ufunc)) else found


def _moved(function):
    def on_gpu(*args, **options):
        y = function(*args, **options)
        return y.view(ndarray) if isinstance(y, np.ndarray) else y
    return on_gpu


@contextlib.contextmanager
def recorded(arch):
    """A list that fills with each Launch, while minicnn believes to be on a GPU of this compute capability."""
    launches = []

    def launch(source, kernel, grid, args, constants):
        signature = cuda.signatures(source.path)[kernel]
        given = source._converted(kernel, signature, args)
        named = [(name, a) for a, (_, _, name) in zip(given, signature.parameters)]
        arrays = {name: Array(a.ctypes.data, a.shape, a.nbytes) for name, a in named if isinstance(a, ndarray)}
        numbers = {name: a for name, a in named if not isinstance(a, ndarray)}
        grid = (grid,) if isinstance(grid, int) else tuple(grid)
        launches.append(Launch(str(Path(source.path).resolve().relative_to(ROOT)), kernel, dict(constants),
                               grid + (1,) * (3 - len(grid)), signature.block, arrays, numbers))

    before = device._cupy, cuda.Source.launch
    device._cupy, cuda.Source.launch = lambda: (module, ""), launch
    module = Module(arch)
    cuda._limits.cache_clear()
    try:
        with mc.device("cuda"):
            yield launches
    finally:
        device._cupy, cuda.Source.launch = before
        cuda._limits.cache_clear()
