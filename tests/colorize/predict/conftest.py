"""Weights and photos for the tests of the command."""
import numpy as np
import pytest
from PIL import Image

from colorize import models
from colorize.weights.own import save_model

from .runner import ONE


@pytest.fixture(scope="package")
def weights(tmp_path_factory):
    """A file with a tiny nano that answers ONE whatever it sees; two other bins get a share of 0.1 each."""
    model = models.build("nano", width=0.1, size=32)
    model.net.scores.w.value[...] = 0
    model.net.scores.b.value[...] = np.log(1e-9)
    for centre, share in ((ONE, 0.8), ((20, 20), 0.1), ((20, 60), 0.1)):
        model.net.scores.b.value[(model.bins.centres == centre).all(1)] = np.log(share)
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_model(path, model, dtype="float16")
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """photos/ with a grey JPEG, a 16-bit PNG and, below, a sepia one; it lies in the folder in force."""
    (tmp_path / "photos/below").mkdir(parents=True)
    y, x = np.mgrid[:90, :120]
    grey = (128 + 60 * np.sin(x / 17) * np.cos(y / 11)).astype("uint8")
    Image.fromarray(grey).save(str(tmp_path / "photos/grey.jpg"), quality=95)
    Image.fromarray(grey.astype("uint16") * 257).save(str(tmp_path / "photos/deep.png"))
    sepia = np.stack([grey * 0.95, grey * 0.8, grey * 0.6], -1).astype("uint8")
    Image.fromarray(sepia).save(str(tmp_path / "photos/below/sepia.png"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
