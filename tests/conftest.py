"""Fixtures of all tests: `backend` runs a test once for each dtype, in float32 with and without the Numba kernels."""
import pytest

from minicnn.device import _kernel

from .tools import BACKENDS, FORMULA


@pytest.fixture(params=BACKENDS, ids=lambda b: b.name)
def backend(request, monkeypatch):
    if request.param is not FORMULA:
        yield request.param
        return
    with monkeypatch.context() as m:
        m.setenv("MINICNN_NUMBA", "0")
        _kernel.cache_clear()
        yield request.param
    _kernel.cache_clear()
