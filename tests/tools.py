"""What the tests share: optional tools, backends, and the one body that tests an operator."""
import importlib
import os
import pkgutil
import threading
from collections import namedtuple

import numpy as np
import pytest

import minicnn as mc
from minicnn.device import to

from . import fake_cupy


def need(name):
    """The module of that name. Where it is missing the tests skip, unless the variable REQUIRE lists it."""
    try:
        return importlib.import_module(name)
    except ImportError as e:
        missing(name, f"{name} cannot be imported: {e}")


def missing(name, why):
    """Skip, unless the variable REQUIRE lists that name."""
    if name in os.environ.get("REQUIRE", "").split(","):
        pytest.fail(f"REQUIRE lists {name}, but {why}")
    pytest.skip(why, allow_module_level=True)


# ------------------------------------------------------------------ backends

Backend = namedtuple("Backend", "name dtype put get")
Backend.__doc__ = "Where tests run: put makes its array (in `dtype` if floating) of NumPy's, get NumPy's of its."


def numpy_backend(dtype):
    return Backend(dtype, dtype, lambda a: a.astype(dtype if a.dtype.kind == "f" else a.dtype), np.asarray)


FLOAT32, FLOAT64 = numpy_backend("float32"), numpy_backend("float64")
FORMULA = FLOAT32._replace(name="float32-formula")  # as on a machine without Numba
CUDA_ON_CPU = Backend("cuda-on-cpu", "float32", lambda a: fake_cupy.asarray(FLOAT32.put(a)),
                      lambda a: fake_cupy.asnumpy(a))       # the CUDA kernels, compiled by g++
CUDA = Backend("cuda", "float32", lambda a: to("cuda:0", FLOAT32.put(a)), lambda a: to("cpu", a))
BACKENDS = [FLOAT32, FORMULA, FLOAT64, pytest.param(CUDA_ON_CPU, marks=pytest.mark.slow),
            pytest.param(CUDA, marks=pytest.mark.gpu)]
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}     # relative to the largest value of the output


def put(backend, a):
    """Arrays go to the backend, tuples element by element; anything else is an option."""
    if isinstance(a, tuple):
        return tuple(put(backend, b) for b in a)
    return backend.put(a) if isinstance(a, np.ndarray) else a


def close(backend, got, expected, what="output"):
    """got is an array of the backend's dtype, near enough to expected."""
    got = mc.value(got)
    assert got.dtype == backend.dtype, f"{what} is {got.dtype}"
    got, expected = backend.get(got).astype("float64"), np.asarray(expected, "float64")
    assert got.shape == expected.shape, f"{what} has shape {got.shape}, expected {expected.shape}"
    assert np.array_equal(np.isnan(got), np.isnan(expected)), f"{what} has NaN in other places"
    finite = np.isfinite(expected)
    assert np.array_equal(got[~finite], expected[~finite], equal_nan=True), f"{what} has infinities in other places"
    if finite.any():
        error, size = np.abs(got[finite] - expected[finite]).max(), np.abs(expected[finite]).max()
        assert error <= TOLERANCE[backend.dtype] * max(size, 1e-3), f"{what} is off by {error} of {size}"


def single(x):
    """x in float64, rounded to numbers that float32 holds exactly."""
    return np.asarray(x, "float32").astype("float64")


def randn(*shape, seed=0):
    """Normal numbers."""
    return single(np.random.default_rng(seed).standard_normal(shape))


def distinct(*shape, seed=0):
    """Numbers from -2 to 2, none equal and none near 0 or another: safe beside kinks and for maxima."""
    n = int(np.prod(shape))
    x = (np.random.default_rng(seed).permutation(n) + 0.3) / max(n, 1) * 4 - 2
    return single(x).reshape(shape)


def positive(*shape, seed=0):
    """Numbers from 0.5 to 4.5, none equal."""
    return single(distinct(*shape, seed=seed) + 2.5)


def weighted(y, put=lambda a: a):
    """A scalar that every element of y takes part in differently."""
    weights = np.random.default_rng(9).uniform(0.5, 1.5, y.shape).astype("float32")
    return mc.sum(y * put(weights).astype(y.dtype)) if y.ndim else y


def gradients(backend, f, *args, **options):
    """The gradients of weighted(f(...)) for each floating array of args."""
    given = [mc.Param(put(backend, a)) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else put(backend, a)
             for a in args]
    tape = mc.diff(lambda: weighted(f(*given, **options), backend.put))
    return [mc.grad(tape, p) for p in given if isinstance(p, mc.Param)]


def check(backend, f, oracle, *args, **options):
    """The body of operator tests: f(*args) against the oracle, and its gradients.

    In float64 gradcheck proves the gradients; other backends must then agree with NumPy's float64.
    """
    given = [put(backend, a) for a in args]
    close(backend, f(*given, **options), oracle(*args, **options))
    for a, b in zip(given, args):
        if isinstance(b, np.ndarray):
            assert np.array_equal(backend.get(a), b, equal_nan=b.dtype.kind == "f"), "an argument was overwritten"
    if backend.dtype == "float64":
        assert mc.gradcheck(f, *given, **options)
        return
    expected = gradients(FLOAT64, f, *args, **options)
    for i, (g, e) in enumerate(zip(gradients(backend, f, *args, **options), expected)):
        assert (g is None) == (e is None)
        if g is not None:
            close(backend, g, e, f"gradient {i}")


def in_threads(n, f):
    """f(0), ..., f(n - 1), each in a thread of its own; their results, or the first exception."""
    answers = [None] * n

    def work(i):
        try:
            answers[i] = f(i)
        except BaseException as e:
            answers[i] = e
    threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
        assert not t.is_alive(), "a thread waits for ever"
    for a in answers:
        if isinstance(a, BaseException):
            raise a
    return answers


# ------------------------------------------------------------------ formulas and kernels


def formulas(package):
    """All formulas of minicnn or colorize that name a kernel."""
    found = []
    for _, name, is_package in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        kernels = ".cpu." in name or ".cuda." in name or name.endswith("_cpu")
        if not is_package and not kernels and not name.endswith("__main__"):
            module = importlib.import_module(name)
            found += [f for f in vars(module).values() if hasattr(f, "kernels") and f.__module__ == name]
    return found
