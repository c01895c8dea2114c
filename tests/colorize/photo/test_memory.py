"""How much memory a large photo takes: nowhere are there two copies of it beside Pillow's own."""
import json
import os
import subprocess
import sys

import pytest

from ..runner import ROOT

PROGRAM = """
import json, resource, sys
import numpy as np
from colorize.photo.photo import Photo
from colorize.photo.reading import read
from colorize.photo.writing import write

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

height, width, channels, kind, path = *map(int, sys.argv[1:4]), *sys.argv[4:]
write(Photo(np.zeros((8, 8, channels), "uint8")), path, kind)
read(path)
before = peak()
pixels = np.empty((height, width, channels), "uint8")
pixels[...] = (np.arange(height) // 16)[:, None, None].astype("uint8")
write(Photo(pixels), path, kind)
written = peak() - before
del pixels
read(path)
print(json.dumps([written, peak() - before]))
"""


@pytest.mark.parametrize("kind, writing, reading", [("JPEG", 7, 7), ("PNG", 3, 7), ("TIFF", 3, 7), ("BMP", 3, 7)])
def test_bytes_for_each_pixel(tmp_path, kind, writing, reading):
    """Of RGB: 3 are the photo's own, and 4 Pillow's where it decodes or encodes. 30 MB go to strips and threads."""
    height, width = 4000, 6000
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(height), str(width), "3", kind, str(tmp_path / "photo")],
                         cwd=str(ROOT), env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, check=True)
    for bytes_taken, share in zip(json.loads(run.stdout.decode()), (writing, max(writing, reading))):
        assert bytes_taken < share * height * width + 30e6
