"""Two thousand damaged and hostile files, in a process with little memory: an answer or one sentence for each."""
import json
import os
import subprocess
import sys

import pytest

from colorize.photo.read import Unreadable, read

from ..runner import ROOT
from . import hostile, samples


@pytest.mark.slow
def test_two_thousand_files_end_in_a_photo_or_a_sentence(tmp_path):
    command = [sys.executable, "-m", "tests.colorize.photo.hostile", str(tmp_path), "1", "2000"]
    run = subprocess.run(command, cwd=str(ROOT), env={**os.environ, "PYTHONPATH": str(ROOT)},
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300,
                         universal_newlines=True)
    where = (tmp_path / "now").read_text(encoding="utf-8")
    assert run.returncode == 0, f"{where}: {run.stderr[-2000:]}"
    assert run.stderr == "", "libraries wrote to the terminal"
    said = json.loads(run.stdout)
    assert said["wrong"] == []
    assert said["peak"] < 1e9
    assert said["photos"] + said["refused"] == 2000 and said["photos"] > 200 and said["refused"] > 1000


@pytest.mark.parametrize("name, message", [
    ("png of 3.6 gigapixels", "60000 x 60000 pixels are too many"), ("png of 2^31", "too many"), ("nothing", "empty"),
    ("jpeg of 4 gigapixels", "65500 x 65500 pixels are too many"), ("jpeg of many scans", "more than 100 scans"),
    ("jpeg of segments", "too many segments"), ("webp of 16383 a side", "too many"), ("bmp of one row", "too long"),
    ("tiff of 10^9", "too many"), ("tiff with many tags", "more than 32 MB"), ("tiff with huge tiles", "tiles"),
    ("tiff with a huge count", "more than 32 MB"), ("tiff of nested tags", "more than 32 MB"), ("text", "no photo"),
    ("gif", "a GIF"), ("heic", "HEIC")])
def test_bombs_are_named(name, message):
    with pytest.raises(Unreadable, match=message):
        read(hostile.bombs()[name])


@pytest.mark.parametrize("name", ["with zTXt", "with iTXt", "with iCCP", "with more pixels than it says"])
def test_bombs_beside_the_pixels_do_not_matter(name):
    name = f"png {name}"
    photo = read(hostile.bombs()[name])
    assert photo.pixels.shape == (4, 4, 1) and "icc" not in photo.info


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(samples.made()))
def test_every_truncation_is_an_answer(name):
    data = samples.made()[name]
    for n in range(0, len(data), max(1, len(data) // 40)):
        try:
            read(data[:n])
        except Unreadable as e:
            assert "\n" not in str(e) and 5 < len(str(e)) < 300


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(str(tmp_path / "pipe.jpg"))
    for path, message in ((tmp_path / "pipe.jpg", "not a file"), ("/dev/zero", "not a file"), (tmp_path, "a folder"),
                          (tmp_path / "none.png", "No such file")):
        with pytest.raises(Unreadable, match=message) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ")
