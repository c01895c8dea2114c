"""Unmodified .cu files run, and are checked, without a GPU: the launcher's own grids, blocks and arguments.

    with installed() as cupy:                   # minicnn now finds a GPU
        y = mc.pool(cupy.asarray(x))            # runs pool.cu, compiled by g++

`cuda_cpu.h` gives C++ the words of CUDA, `runtime.cpp` runs a block's threads as fibers that switch at
`__syncthreads()` and warp shuffles, `loader.py` compiles and calls, `../fake_cupy.py` is the module cupy.
"""
import importlib
import os
import sys
from collections import namedtuple
from contextlib import contextmanager

import numpy as np

from minicnn.cuda import launcher as cuda

from .. import fake_cupy
from . import loader

Launch = namedtuple("Launch", "code options kernel grid block shapes")
Launch.__doc__ = "One launch: the .cu text, the compiler's options, the kernel, and the shapes (None: a number)."


class Running:
    """Runs kernels in a schedule (see runtime.cpp), perhaps watching every access to memory."""

    def __init__(self, schedule=0, check=False):
        self.schedule, self.check = schedule, check

    def prepare(self, code, options, kernel):
        loader.compiled(code, options, kernel, self.check)

    def launch(self, code, options, kernel, grid, block, args):
        loader.launch(code, options, kernel, grid, block, args, self.schedule, self.check)


class Checking(Running):
    """Runs each launch in several schedules, watched; all must give the same bits. Keeps which kernels it ran."""

    def __init__(self, schedules=(0, 3, 4, 7)):
        super().__init__(check=True)
        self.schedules, self.ran = schedules, set()

    def launch(self, code, options, kernel, grid, block, args):
        arrays = [a for a in args if isinstance(a, np.ndarray)]
        before, first = [a.copy() for a in arrays], None
        for schedule in self.schedules:
            for a, b in zip(arrays, before):
                a[...] = b
            loader.launch(code, options, kernel, grid, block, args, schedule, check=True)
            after = [a.tobytes() for a in arrays]
            if after != (first or after):
                raise loader.KernelError(f"{kernel}: schedule {schedule} gives other bits than {self.schedules[0]}")
            first = after
        self.ran.add(kernel)


class Recorder:
    """Runs nothing, keeps a list of launches; new arrays are neither filled nor touched."""

    def __init__(self):
        self.launches = []

    def prepare(self, code, options, kernel):
        pass

    def launch(self, code, options, kernel, grid, block, args):
        shapes = tuple(getattr(a, "shape", None) or None for a in args)
        self.launches.append(Launch(code, options, kernel, grid, block, shapes))


def from_environment():
    """Running in the schedule CUDA_ON_CPU_SCHEDULE (default 4, random), checked where CUDA_ON_CPU_CHECK is 1."""
    return Running(int(os.environ.get("CUDA_ON_CPU_SCHEDULE", "4")), os.environ.get("CUDA_ON_CPU_CHECK") == "1")


@contextmanager
def installed(backend=None, *, arch=53, multiprocessors=1, count=1):
    """minicnn finds the fake cupy, with `count` GPUs of this compute capability; gives the module."""
    device, gpu = importlib.import_module("minicnn.device"), fake_cupy.gpu
    before, original = dict(vars(gpu)), device._cupy
    _forget()
    vars(gpu).update(backend=backend or from_environment(), arch=arch, multiprocessors=multiprocessors, count=count,
                     poison=not isinstance(backend, Recorder), current=0)
    device._cupy = lambda: (fake_cupy, "")
    try:
        yield fake_cupy
    finally:
        device._cupy = original
        vars(gpu).clear()
        vars(gpu).update(before)
        _forget()


def _forget():
    """Let minicnn forget compiled modules and the GPU's limits."""
    cuda._limits.cache_clear()
    for name, module in list(sys.modules.items()):
        for found in list(vars(module).values()) if name.startswith("minicnn.cuda.") else ():
            if isinstance(found, cuda.Source):
                found.modules.clear()
                found.functions.clear()
