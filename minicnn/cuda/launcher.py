"""The launcher of the CUDA kernels: the only caller of CuPy's raw kernels.

    kernels = Source(__file__, "pool.cu")                   # in pool.py; nothing is read or compiled yet
    y = empty((n, oh, ow, c))
    kernels.launch("poolmax", blocks(y.size), (ready(x), y, h, w), {"C": c, "KH": 2, "KW": 2})

A `.cu` file is compiled by NVRTC at its first launch, once for each set of constants, which it sees as MC_C, MC_KH
and so on: what the compiler knows costs no instructions. Every kernel is `extern "C" __global__` with a
`__launch_bounds__` that holds its block size as a literal number. The launcher reads the kernel's parameters from the
source and converts the arguments by them, because CuPy would pass a Python int as 64 bits and a float as a double.
What two files share is in a `.cuh` file, which they include.
"""
import functools
import os
import re
from collections import namedtuple

import numpy as np

from ..device import cupy, on_gpu

LARGEST = 2 ** 31 - 1                       # elements of an array: kernels index with 32 bits
ARRAYS = {"float*": "float32", "int*": "int32", "unsigned*": "uint32", "unsigned char*": "uint8"}
NUMBERS = {"int": np.int32, "unsigned": np.uint32, "float": np.float32}
NULL = np.uint64(0)

Signature = namedtuple("Signature", "block parameters")
Signature.__doc__ = "Threads of a block, and (type, const?, name) of each parameter."
Limits = namedtuple("Limits", "arch multiprocessors")
Limits.__doc__ = "What tile sizes depend on: the compute capability, 53 for a Jetson Nano, and how many cores of it."


class Source:
    """A `.cu` file in the folder of the Python file `beside`."""

    def __init__(self, beside, name):
        self.name, self.path = name, os.path.join(os.path.dirname(beside), name)
        self.modules, self.functions = {}, {}

    def launch(self, kernel, grid, args, constants):
        """Run `kernel` with a grid of blocks (an int, or up to three), its arguments in order and the constants.

        Arrays must be on the GPU in force, C-contiguous and of the declared type (see `ready`); None is a null
        pointer. Nothing waits for the kernel to end.
        """
        key = (kernel, cupy().cuda.runtime.getDevice(), *constants.items())
        if key not in self.functions:
            self.functions[key] = self._function(*key[:2], constants), signatures(self.path)[kernel]
        function, signature = self.functions[key]
        grid = (grid,) if isinstance(grid, int) else grid
        function(grid + (1,) * (3 - len(grid)), (signature.block, 1, 1), self._converted(kernel, signature, args))

    def _converted(self, kernel, signature, args):
        """The arguments as the kernel's declaration wants them, or an error that names the one that does not fit."""
        where = f"{self.name}: {kernel}"
        if len(args) != len(signature.parameters):
            raise TypeError(f"{where} takes {len(signature.parameters)} arguments, got {len(args)}")
        return tuple(_array(where, a, *parameter) if parameter[0] in ARRAYS else _number(where, a, *parameter)
                     for a, parameter in zip(args, signature.parameters))

    def _function(self, kernel, device, constants):
        modules = (device, *constants.items())
        if modules not in self.modules:
            self.modules[modules] = cupy().RawModule(code=f'#line 1 "{self.name}"\n{read(self.path)}',
                                                     options=options(constants))
        try:
            return self.modules[modules].get_function(kernel)
        except Exception as e:
            raise RuntimeError(f"{self.name} does not compile for compute capability {limits().arch} with "
                               f"{', '.join(options(constants))}: {_first_error(e)}") from e


def options(constants):
    """The compiler's options; CuPy adds the architecture."""
    return ("--std=c++14", *(f"-DMC_{name}={value}" for name, value in constants.items()))


def _first_error(e):
    lines = str(e).splitlines()
    return next((line.strip() for line in lines if "error" in line), lines[0] if lines else type(e).__name__)


# ------------------------------------------------------------------ what a kernel's declaration says

KERNEL = re.compile(r'extern "C" __global__ void __launch_bounds__\((\d+)(?:, *\d+)?\)\s*(\w+)\(([^)]*)\)')


INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.M)


def read(path):
    """The text of a `.cu` file with that of the files beside it that it includes: NVRTC finds none by itself."""
    with open(path, encoding="utf-8") as f:
        text = f.read()

    def included(found):
        back = f'#line {text.count(chr(10), 0, found.end()) + 2} "{os.path.basename(path)}"'
        return f'#line 1 "{found[1]}"\n{read(os.path.join(os.path.dirname(path), found[1]))}{back}'
    return INCLUDE.sub(included, text)


@functools.lru_cache(maxsize=None)
def signatures(path):
    """The kernels of a `.cu` file: {name: Signature}."""
    text, found = read(path), {}
    for block, kernel, parameters in KERNEL.findall(text):
        found[kernel] = Signature(int(block), tuple(map(_parameter, parameters.split(","))))
    if len(found) != text.count("__global__"):
        raise ValueError(f'{path}: a kernel begins with extern "C" __global__ void __launch_bounds__(256) name(')
    return found


def _parameter(declaration):
    """`const float* __restrict__ x` as ("float*", True, "x")."""
    words = declaration.replace("__restrict__", " ").replace("*", "* ").split()
    const, kind, name = words[0] == "const", " ".join(words[1 if words[0] == "const" else 0:-1]), words[-1]
    kind = kind.replace(" *", "*")
    if kind not in ARRAYS and kind not in NUMBERS:
        raise ValueError(f"a kernel's parameter is {declaration.strip()!r}: use {', '.join((*ARRAYS, *NUMBERS))}")
    return kind, const, name


def _array(where, a, kind, const, name):
    if a is None:
        return NULL
    if not on_gpu(a):
        raise TypeError(f"{where} got {name} as {type(a).__name__} on the CPU, other arrays are on the GPU: "
                        "bring all to one place, with mc.gpucopy or mc.cpucopy")
    if a.dtype != ARRAYS[kind] or not a.flags.c_contiguous:
        raise TypeError(f"{where} needs {name} as {ARRAYS[kind]} in C order, got {a.dtype} {a.shape}")
    if a.size > LARGEST:
        raise ValueError(f"{where}: {name} of shape {a.shape} has {a.size} elements, but kernels index up to "
                         f"{LARGEST}: use a smaller batch or smaller images")
    if a.device.id != cupy().cuda.runtime.getDevice():
        raise ValueError(f"{where} got {name} on GPU {a.device.id}, but GPU {cupy().cuda.runtime.getDevice()} is in "
                         f"force: use mc.device('cuda:{a.device.id}')")
    return a


def _number(where, a, kind, const, name):
    if kind == "float":
        return np.float32(a)
    if int(a) != a or not np.iinfo(NUMBERS[kind]).min <= a <= np.iinfo(NUMBERS[kind]).max:
        raise ValueError(f"{where} needs {name} as {kind} of 32 bits, got {a!r}")
    return NUMBERS[kind](a)


# ------------------------------------------------------------------ for the files that launch


def ready(a):
    """The array as kernels take it: C-contiguous, itself if it already is."""
    return a if a.flags.c_contiguous else cupy().ascontiguousarray(a)


def empty(shape, dtype="float32"):
    """A new array on the GPU in force, not filled."""
    return cupy().empty(shape, dtype)


@functools.lru_cache(maxsize=None)
def _limits(device):
    gpu = cupy().cuda.Device(device)
    return Limits(int(gpu.compute_capability), gpu.attributes["MultiProcessorCount"])


def limits():
    """The Limits of the GPU in force."""
    return _limits(cupy().cuda.runtime.getDevice())


THREADS = 256                               # of a block of the kernels that go through an array
BLOCKS = {53: 8, 75: 4, 80: 8, 86: 6, 89: 6}            # such blocks that a core holds; a newer one as 80


def blocks(n, each=4):
    """How many blocks of THREADS to start for n elements that threads go through in steps of the whole grid.

    Each thread does `each` elements at least; there are no more blocks than the GPU runs at a time.
    """
    arch, cores = limits()
    return max(1, min(-(-n // (THREADS * each)), cores * BLOCKS.get(arch, 8)))
