"""The example that the README quotes: it prints its progress and more than 97 %."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..tools import need

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_lenet():
    need("sklearn")
    done = subprocess.run([sys.executable, "examples/lenet.py"], cwd=ROOT, timeout=300, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"test accuracy: ([\d.]+)%", done.stdout).group(1)) > 97
    assert "560/560" in done.stderr
