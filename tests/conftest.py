"""Fixtures of all tests: `backend` runs a test once for each dtype (and, later, device)."""
import pytest

from .tools import BACKENDS


@pytest.fixture(params=BACKENDS, ids=lambda b: b.name)
def backend(request):
    return request.param
