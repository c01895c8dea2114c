"""The benchmark of streaming runs and counts right; the examples in the docstrings of colorize.data hold."""
import doctest
import importlib
import time

import numpy as np
import pytest
from PIL import Image

from benchmarks import streaming


def test_the_benchmark_runs(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for i in range(24):
        Image.fromarray(np.full((50, 60, 3), i * 9, "uint8")).save(str(tmp_path / "in" / f"{i}.jpg"))
    streaming.main(["--photos", str(tmp_path / "in"), "--size", "32", "--batch", "4", "--scenes", "12", "--out",
                    str(tmp_path)])
    kept, = tmp_path.glob("streaming-*.md")
    rows = [line.split("|")[1:-1] for line in kept.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert [r[0].split(":")[0].strip() for r in rows[1:]] == ["JPEGs", "pack", "scenes, 64 px", "scenes, 32 px"]
    assert int(rows[1][1]) == int(rows[2][1]) == 20 and "Packing 24 photos" in capsys.readouterr().out


def test_rates_are_pictures_by_time():
    class Slow(list):
        def __iter__(self):
            for x in super().__iter__():
                time.sleep(0.02)
                yield x
    found = streaming.measure(Slow([np.zeros(10)] * 20))
    assert found["pictures"] == 150 and 100 < found["rate"] <= 500 and found["cpu"] < 0.002


@pytest.mark.parametrize("name", ["augment", "batches", "photos", "scenes"])
def test_examples(name):
    failed, tried = doctest.testmod(importlib.import_module(f"colorize.data.{name}"))
    assert tried and not failed
