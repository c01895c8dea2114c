"""Parameters and multiply-adds of every model, against the numbers that the documents print, row by row."""
import subprocess
import sys

import numpy as np
import pytest

import minicnn as mc
from colorize import models
from colorize.models import memory, table
from minicnn.layers import BatchNorm, Conv, Deconv, Dense
from minicnn.walk import walk

COUNTS = {          # (trainable, total)
    "jetson": (297_210, 298_300), "colornet": (24_788_345, 24_793_081), "zhang": (32_236_011, 32_241_003),
    "knet": (32_233_220, 32_233_220), "vgg-decoder": (16_286_802, 16_286_802), "vgg-uv": (143_183_810, 143_183_810),
    "vgg-uv-small": (58_962_882, 58_965_954), "mean-fc": (172_242_690, 172_242_690), "mean-cnn1": (512, 512),
    "mean-cnn2": (1_589_058, 1_589_058), "mean-cnn3": (4_583_810, 4_583_810), "faces": (1_761_250, 1_762_578),
    "faces-text": (1_090_868, 1_092_342),
}
MACS = {"jetson": 1.70e9, "colornet": 32.2e9, "zhang": 41.8e9}


def size_of(layer):
    moments = 2 * layer.moments.mean.size if isinstance(layer, BatchNorm) else 0
    return sum(p.size for p in mc.params(layer)) + moments


def rows(part, kinds=(Conv, Deconv, Dense)):
    return [size_of(layer) for _, layer in walk(part, kinds)]


def test_every_model_has_its_counts():
    assert set(models.names()) == {*COUNTS, "nano", "studio"} == set(table.PUBLISHED)


@pytest.mark.parametrize("name", COUNTS)
def test_totals(name):
    model = models.build(name)
    assert memory.counts(model) == dict(zip(("trainable", "total"), COUNTS[name]))
    published, which, *_ = table.PUBLISHED[name]
    if published is not None:
        metric = 2 if name == "jetson" else 0           # the printed total has two counters that are no layer's
        assert published == memory.counts(model)[which] + metric
    if name in MACS:
        assert memory.multiply_adds(model) == pytest.approx(MACS[name], rel=3e-3)


def test_nano_is_small():
    model = models.build("nano")
    assert memory.counts(model)["total"] <= 300_000
    assert memory.multiply_adds(model) <= 0.55e9 and model.size == 256


def test_rows_of_the_jetson_paper():
    net = models.build("jetson").net
    kinds = (Conv, Deconv, BatchNorm)
    assert rows(net.encoder, kinds) == [750, 300, 60_840, 360, 85_155, 420, 318, 12]
    assert rows(net.decoder, kinds) == [2_940, 420, 85_140, 360, 60_825, 300, 152, 8]
    assert sum(rows(net.encoder, kinds)) == 148_155 and sum(rows(net.decoder, kinds)) == 150_145


VGG = [1_792, 36_928, 73_856, 147_584, 295_168, 590_080, 590_080, 1_180_160, 2_359_808, 2_359_808] + [2_359_808] * 3


def test_rows_of_colour_this():
    encoder, decoder = models.build("vgg-decoder").net.layers
    assert rows(encoder) == VGG and sum(VGG) == 14_714_688
    printed = [590_880 if n == 590_080 else n for n in VGG]
    assert sum(printed) == 14_716_288                   # so the two printed rows cannot be right
    assert rows(decoder) == [1_179_904, 295_040, 73_792, 18_464, 4_624, 290] and sum(rows(decoder)) == 1_572_114


def test_rows_of_cs838():
    assert rows(models.build("vgg-uv").net) == VGG + [102_764_544, 16_781_312, 8_923_266]


def test_parts_of_the_uf_report():
    encoder, middle, decoder = models.build("faces").net.layers
    trainable = [sum(p.size for p in mc.params(part)) for part in (encoder, middle, decoder)]
    assert trainable[0] + trainable[1] == 1_701_512 and trainable[2] == 59_738


def test_the_knet_slides_have_22_convolutions_in_8_groups():
    body, head = models.build("knet", width=0.05).net.layers[:2]
    groups = [len(rows(block)) for block in body.layers] + [len(rows(head)) - 1]
    assert groups == [2, 2, 3, 3, 3, 3, 3, 3]           # and one more to the scores


def test_counting_changes_nothing():
    model = models.build("jetson", width=0.1, size=64)
    before = [m.mean.copy() for _, m in walk(model, mc.bnmoments)]
    memory.multiply_adds(model)
    memory.memory(model, 2)
    assert all(np.array_equal(a, m.mean) for a, (_, m) in zip(before, walk(model, mc.bnmoments)))


def test_a_step_that_cannot_fit_is_refused_beforehand(monkeypatch):
    model = models.build("mean-cnn2")
    assert memory.memory(model, 1) > 4 * 4 * 1_589_058
    memory.fits(model, 2)
    monkeypatch.setattr(memory, "available", lambda: 10 ** 7)
    with pytest.raises(MemoryError, match="training mean-cnn2 with a batch of 64 at 128 pixels needs about .* GB"):
        memory.fits(model, 64)
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.fits(model, 64)


@pytest.mark.long
def test_the_table():
    out = subprocess.run([sys.executable, "-m", "colorize.models"], check=True, stdout=subprocess.PIPE,
                         universal_newlines=True).stdout
    assert all(f"\n{name} " in out for name in models.names())
    assert "298,300" in out and "298,302" in out and "+2" in out and "590,880" in out
