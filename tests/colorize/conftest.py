"""Tests marked slow run on request: SLOW=1 python -m pytest -m slow."""
import os

import pytest


def pytest_runtest_setup(item):
    if item.get_closest_marker("slow") and os.environ.get("SLOW") != "1":
        pytest.skip("slow: SLOW=1 python -m pytest -m slow runs it")
