"""How much memory a large photo takes: nowhere are there two copies of it beside Pillow's own."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorize import models
from colorize.photo.photo import Photo
from colorize.photo.write import write
from colorize.weights.own import save_model

from ..runner import ROOT

PROGRAM = """
import json, sys
import numpy as np
from colorize.photo.photo import Photo
from colorize.photo.read import read
from colorize.photo.write import write
from tests.colorize.photo.hostile import peak

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


# ------------------------------------------------------------------ the whole command


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A function from arguments to the bytes that `python -m colorize` has at its peak, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    save_model("nano.safetensors", models.build("nano", width=0.1))
    code = ("import resource, subprocess, sys\n"
            "done = subprocess.run([sys.executable, '-m', 'colorize', *sys.argv[1:]], stdout=subprocess.DEVNULL)\n"
            "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")

    def peak(*argv):
        status, kilobytes = subprocess.run(
            [sys.executable, "-c", code, *filter(None, argv), "--weights", "nano.safetensors"], check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE).stdout.split()
        assert status == b"0"
        return int(kilobytes) * 1024
    return peak


@pytest.mark.long
@pytest.mark.parametrize("flag, dtype, channels, most", [
    ("", "uint8", 1, 0.6), ("", "uint16", 1, 1.0), ("", "uint8", 3, 0.9), ("", "uint16", 3, 1.15),
    ("--compare", "uint8", 1, 0.9), ("--compare", "uint8", 3, 1.1)])
def test_a_hundred_megapixels_need_about_a_gigabyte(command, flag, dtype, channels, most):
    """The table in colorize/README.md, a little above."""
    rows = (np.arange(10000) // 40).astype(dtype) * (257 if dtype == "uint16" else 1)
    write(Photo(np.broadcast_to(rows[:, None, None], (10000, 10000, channels))), "huge.png")
    assert command("huge.png", flag) < most * 1e9
    with open("huge.compare.png" if flag else "huge.color.png", "rb") as file:
        assert file.read(24)[16:] == (b"\0\0\x4e\x20" if flag else b"\0\0\x27\x10") + b"\0\0\x27\x10"


@pytest.mark.long
@pytest.mark.parametrize("progressive, most", [(False, 0.9), (True, 1.15)])
def test_a_hundred_megapixels_of_jpeg(command, progressive, most):
    Image.linear_gradient("L").resize((10000, 10000)).convert("RGB").save("huge.jpg", subsampling=0,
                                                                         progressive=progressive)
    assert command("huge.jpg") < most * 1e9 and Path("huge.color.jpg").stat().st_size > 1000
