"""Which file is whose, and our own."""
import numpy as np
import pytest

import minicnn as mc
from colorize import models
from colorize.weights import importers


def test_our_own_files(tmp_path):
    mc.seed(1)
    model, other = models.build("nano", width=0.25), models.build("nano", width=0.25)
    path = tmp_path / "nano.safetensors"
    mc.save(path, model)
    assert importers.load(path, other).endswith("all arrays of nano")
    L = np.full((33, 65), 40.0)
    assert np.array_equal(model.colorize(L), other.colorize(L))
    with pytest.raises(ValueError, match="does not fit the model"):
        importers.load(path, models.build("nano", width=0.5))


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x80", b"x" * 100, b"PK\x05\x06"])
def test_files_of_nobody(tmp_path, data):
    path = tmp_path / "weights.bin"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is not a file of weights"):
        importers.load(path, models.build("jetson", width=0.1))


def test_files_that_are_not_there(tmp_path):
    model = models.build("jetson", width=0.1)
    with pytest.raises(FileNotFoundError):
        importers.load(tmp_path / "nothing.pth", model)
    with pytest.raises(ValueError, match="a folder without .* best.safetensors or TensorFlow"):
        importers.load(tmp_path, model)
