"""The weights in the package: small, and better than the published checkpoint on photos that no training saw."""
import os

import numpy as np
import pytest

from colorize.color.spaces import rgb_to_lab
from colorize.data.folder import Photos
from colorize.metrics.table import Metrics
from colorize.models import build
from colorize.models.memory import counts, multiply_adds
from colorize.photo.photo import Photo
from colorize.predict.painter import Painter
from colorize.weights import importers, shipped


def test_size():
    model = shipped.shipped()
    assert os.path.getsize(shipped.FILE) < 2_000_000 and model.name == "nano"
    assert counts(model)["total"] <= 300_000
    assert multiply_adds(model) < multiply_adds(build("jetson", size=256)) / 3


@pytest.mark.slow
def test_against_the_published_checkpoint():
    """More colour, more rare colours right, and no lower PSNR than jetson's; on every 20th validation photo."""
    data = os.environ.get("COLORIZE_DATA")
    if not data:
        pytest.skip("COLORIZE_DATA is not set: photos and the published checkpoint are there")
    jetson = build("jetson")
    importers.load(os.path.join(data, "published", "jetson"), jetson)
    painter, jetson = Painter(shipped.shipped()), jetson.fused()
    metrics = Metrics(np.zeros(2), models=("ours", "published"), window=None)
    photos = Photos(os.path.join(data, "photos", "val.txt"), 256, crop="centre", batch=1, shuffle=False)
    for i, rgb in enumerate(photos):
        if i % 20 == 0:
            lab = rgb_to_lab(rgb)
            ours = rgb_to_lab(painter(Photo(rgb[0].copy())).pixels)[None, ..., 1:]
            metrics.add(lab[..., :1], {"ours": ours, "published": jetson.colorize(lab[..., 0])}, lab[..., 1:])
    rows = metrics.result()
    for measure, margin in (("psnr", 0), ("auc", 0), ("auc rebalanced", 2.5), ("colourfulness", 5)):
        assert rows["ours"][measure] > rows["published"][measure] + margin, (measure, rows)
    assert rows["ours"]["colourfulness"] < rows["truth"]["colourfulness"]
