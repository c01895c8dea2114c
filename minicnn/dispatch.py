"""Formula or kernel: each formula names its kernels where it stands, and a call of it runs the one that fits.

    @kernels(cpu="minicnn.cpu.conv.conv4", cuda="minicnn.cuda.conv.conv4")
    def _conv4(w, x, b, g, groups): ...

A kernel's function takes what its formula takes. It computes in float32, and answers NotImplemented to arguments that
are too rare for it; then the formula runs. So it does for float64, and where a tape listens: a formula is made of
operators.
"""
import functools
import importlib
import importlib.util
import os
import re

import numpy as np

from .device import on_gpu
from .tracked import Tracked

__all__ = ["formulas", "kernels"]


def kernels(cpu=None, cuda=None):
    """Names a formula's kernels, for arrays in main memory (Numba) and on a GPU (CUDA). They are loaded when they are
    needed, but a wrong name is an error now."""
    names = {"cpu": cpu, "cuda": cuda}

    def decorate(formula):
        for name in filter(None, names.values()):
            _check(name, formula)

        @functools.wraps(formula)
        def call(*args):
            name = names["cuda" if any(map(on_gpu, args)) else "cpu"]
            fast = None if formulas.inside or name is None else kernel(name)
            if fast is not None and all(map(_takes, args)):
                y = fast(*args)
                if y is not NotImplemented:
                    return y
            return formula(*args)
        call.kernels = names
        return call
    return decorate


def _check(name, formula):
    module, _, function = name.rpartition(".")
    if function not in _functions(module):
        raise ImportError(f"{formula.__module__}.{formula.__name__} names the kernel {name}, and there is no such "
                          f"function: write it, or mend the name")


@functools.lru_cache(maxsize=None)
def _functions(module):
    """The names that a module's file defines, by `def f(` or `f, g = `; it is read and not run."""
    spec = importlib.util.find_spec(module)
    if spec is None:
        return ()
    with open(spec.origin, encoding="utf-8") as file:
        return {name for names in re.findall(r"^(?:def |(?!def ))([\w, ]+?)(?:\(| = )", file.read(), re.M)
                for name in names.split(", ")}


@functools.lru_cache(maxsize=None)
def kernel(name):
    """The function of that name, which is loaded now; None for Numba's without Numba, or with MINICNN_NUMBA=0."""
    module, _, function = name.rpartition(".")
    if ".cuda." not in name and (os.environ.get("MINICNN_NUMBA") == "0" or importlib.util.find_spec("numba") is None):
        return None
    return getattr(importlib.import_module(module), function)


def _takes(a):
    dtype = getattr(a, "dtype", None)
    return dtype is None or not (isinstance(a, Tracked) or dtype == np.float64)


class formulas:
    """`with formulas():` every operator runs by its formula, in all threads: slower, but no kernel is loaded or
    compiled. For a program that has little to compute.

    >>> import minicnn as mc
    >>> with formulas(): mc.relu(np.array([-1, 2], "float32"))
    array([0., 2.], dtype=float32)
    """

    inside = 0

    def __enter__(self):
        formulas.inside += 1

    def __exit__(self, *_):
        formulas.inside -= 1
