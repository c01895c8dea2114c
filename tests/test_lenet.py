"""The example that the README quotes: it prints its progress and more than 97 %."""
import os
import re
import subprocess
import sys

from .tools import need

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_lenet():
    need("sklearn")
    done = subprocess.run([sys.executable, os.path.join("examples", "lenet.py")], cwd=ROOT, timeout=300, text=True,
                          env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"test accuracy: ([\d.]+)%", done.stdout).group(1)) > 97
    assert "560/560" in done.stderr
