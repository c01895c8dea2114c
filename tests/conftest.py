"""Fixtures of all tests: `backend` runs a test once for each place where arrays live and each dtype."""
import importlib

import pytest

import minicnn as mc
from minicnn.dispatch import kernel

from .cuda_on_cpu import installed, loader
from .tools import BACKENDS, CUDA, CUDA_ON_CPU, FORMULA, missing


@pytest.fixture(params=BACKENDS, ids=lambda b: b.name)
def backend(request, monkeypatch):
    """Each of BACKENDS: NumPy arrays with and without Numba's kernels, the CUDA kernels on the CPU, a real GPU."""
    if request.param is FORMULA:
        with monkeypatch.context() as m:
            m.setenv("MINICNN_NUMBA", "0")
            kernel.cache_clear()
            yield request.param
        kernel.cache_clear()
    elif request.param in (CUDA_ON_CPU, CUDA):
        request.getfixturevalue("cuda_on_cpu" if request.param is CUDA_ON_CPU else "real_gpu")
        with mc.device("cuda"):
            yield request.param
    else:
        yield request.param


@pytest.fixture
def real_gpu():
    """Skips where there is none."""
    why = importlib.import_module("minicnn.device")._cupy()[1]
    if why:
        missing("gpu", why)


@pytest.fixture
def cuda_on_cpu():
    """minicnn finds a GPU, which is the fake one; gives the module cupy."""
    if loader.missing():
        missing("g++", loader.missing())
    with installed() as cupy:
        yield cupy
