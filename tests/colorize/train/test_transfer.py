"""Weights from elsewhere: --init, parts of it, what is frozen, and what a frozen encoder gives, kept on disk."""
import json

import numpy as np
import pytest

import minicnn as mc
from colorize.models import build
from colorize.train import features
from colorize.weights import layouts
from colorize.weights.own import model_of
from minicnn.walk import walk

from ...tools import need
from ..runner import SHORT, TINY, lines, photos, refused, status


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    assert status(*SHORT, "--width", "0.3", "--out", path) == 0
    return path



def test_init_and_freeze(run, tmp_path):
    out = tmp_path / "run"
    assert status(*TINY, "--width", "0.3", "--steps", "3", "--init", run, "--freeze", "net.down", "--out", out) == 0
    (before, _), (after, _) = model_of(run), model_of(out / "last.safetensors")
    same = [np.array_equal(mc.value(p), mc.value(q)) for p, q in zip(mc.params(before.net.down),
                                                                     mc.params(after.net.down))]
    assert all(same) and len(same) == 10
    moments = [[bn.moments for _, bn in walk(model.net.down, mc.BatchNorm)] for model in (before, after)]
    assert all(np.array_equal(a.mean, b.mean) and np.array_equal(a.var, b.var) for a, b in zip(*moments))
    assert len(moments[0]) == 5
    assert not np.array_equal(mc.value(before.net.scores.w), mc.value(after.net.scores.w))


def test_a_part_of_another_models_weights(run, tmp_path, capfd):
    out, other = tmp_path / "run", ["--width", "0.3", "--bins", "30"]
    flags = [*TINY, *other, "--steps", "1", "--lr", "1e-9", "--init", run]
    assert "does not fit" in refused(capfd, *flags, "--out", out)
    assert status(*flags, "--init-part", "net.down", "--init-part", "net.up", "--out", out) == 0
    (before, _), (after, _) = model_of(run), model_of(out / "last.safetensors")
    for name in ("down", "up"):
        for p, q in zip(mc.params(getattr(before.net, name)), mc.params(getattr(after.net, name))):
            assert np.allclose(mc.value(p), mc.value(q), atol=1e-6)
    capfd.readouterr()
    for part in ("net.scores", "net.nothing"):
        assert f"the part '{part}' of" in refused(capfd, *flags, "--init-part", part, "--out", tmp_path / "other")
    assert "give --init" in refused(capfd, *SHORT, "--init-part", "net.down", "--out", tmp_path / "other")


def test_weights_that_do_not_fit_say_what_would(run, tmp_path, capfd):
    out = tmp_path / "run"
    flags = ["--size", "32", "--device", "cpu", "--out", out, "--init", run]
    said = refused(capfd, *flags)
    assert f"{run / 'best.safetensors'} does not fit nano" in said and "give --width 0.3" in said
    said = refused(capfd, *flags, "--model", "jetson")
    assert "holds weights of nano" in said and "jetson: give --model nano" in said and "--init-part" in said
    assert not out.exists()


def test_a_warmup_can_be_all_of_a_run(tmp_path):
    assert status(*TINY, "--steps", "4", "--warmup", "1", "--out", tmp_path / "run") == 0


def test_a_temperature_that_was_asked_for_stays(tmp_path):
    """The release of Zhang et al. has none; what the user says counts more."""
    torch = need("torch")
    state = {name: torch.full(shape, 0.01) for place in layouts.torch_zhang(build("zhang", width=0.05))
             for name, shape in zip(place.names, place.shapes)}
    torch.save(state, str(tmp_path / "zhang.pth"))
    flags = [*TINY, "--model", "zhang", "--init", tmp_path / "zhang.pth", "--width", "0.05", "--steps", "1"]
    for given, expected in (([], 1.0), (["--temperature", "0.5"], 0.5)):
        out = tmp_path / f"t{expected}"
        assert status(*flags, *given, "--out", out) == 0
        assert model_of(out)[0].temperature == expected
        assert json.loads((out / "config.json").read_text())["options"]["temperature"] == expected


DECODER = ["--model", "vgg-decoder", "--width", "0.04", "--size", "32", "--crop", "centre", "--augment", "none",
           "--batch", "4", "--device", "cpu", "--validate", "10", "--lr", "0.001"]


def test_features_of_a_frozen_encoder_are_computed_once(tmp_path, monkeypatch):
    """The decoder learns what it learns with the encoder in front, and a resumed run finds the features again."""
    data = ["--data", photos(tmp_path / "photos", 10), "--val", photos(tmp_path / "val", 2, seed=5)]
    asked, row = [], features.Features.row
    monkeypatch.setattr(features.Features, "row",
                        lambda self, photo: asked.append(len(self.rows)) or row(self, photo))
    assert status(*DECODER, *data, "--steps", "10", "--out", tmp_path / "whole") == 0
    assert not asked
    cached = [*DECODER, *data, "--cache-features", "--schedule", "constant", "--workers", "0"]
    assert status(*cached, "--steps", "5", "--out", tmp_path / "run") == 0
    assert max(asked) == 10 and len(asked) > 20, "photos come again, and no more than 10 rows are written"
    size = (tmp_path / "run" / "features.numbers").stat().st_size
    asked.clear()
    assert status("--resume", tmp_path / "run", "--steps", "10") == 0
    assert min(asked) == 10 and (tmp_path / "run" / "features.numbers").stat().st_size == size == 10 * 4 * 20
    assert status(*DECODER, *data, "--schedule", "constant", "--steps", "10", "--out", tmp_path / "plain") == 0
    (a, _), (b, _) = (model_of(tmp_path / name / "last.safetensors") for name in ("run", "plain"))
    for p, q in zip(mc.params(a), mc.params(b)):
        assert np.allclose(mc.value(p), mc.value(q), atol=1e-4)
    assert [line["loss"] for line in lines(tmp_path / "run") if "loss" in line] == pytest.approx(
        [line["loss"] for line in lines(tmp_path / "plain") if "loss" in line], rel=1e-4)


def test_features_of_a_frozen_encoder_with_batchnorm(tmp_path):
    """What is kept is what the encoder gives while the decoder trains behind it."""
    flags = ["--model", "zhang", "--width", "0.03", "--size", "32", "--crop", "centre", "--augment", "none",
             "--batch", "4", "--device", "cpu", "--validate", "10", "--steps", "6", "--freeze", "net.layers.0",
             "--lr", "0.001", "--data", photos(tmp_path / "photos", 8), "--val", photos(tmp_path / "val", 2, seed=5)]
    assert status(*flags, "--out", tmp_path / "plain") == 0
    assert status(*flags, "--cache-features", "--out", tmp_path / "kept") == 0
    (a, _), (b, _) = (model_of(tmp_path / name / "last.safetensors") for name in ("plain", "kept"))
    mc.seed(1)
    fresh = build("zhang", width=0.03, size=32)
    head = list(zip(mc.params(a.net[1]), mc.params(b.net[1])))
    assert len(head) == 8 and all(np.allclose(mc.value(p), mc.value(q), atol=1e-4) for p, q in head)
    assert np.array_equal(mc.value(a.net[0][0][0].w), mc.value(fresh.net[0][0][0].w))
    assert not np.allclose(mc.value(a.net[1][0].w), mc.value(fresh.net[1][0].w), atol=1e-3)
    for _, bn in walk(a.net[0], mc.BatchNorm):
        assert not bn.moments.mean.any() and (bn.moments.var == 1).all()


def test_features_that_cannot_be_kept(capfd, tmp_path):
    said = refused(capfd, *SHORT, "--cache-features", "--out", tmp_path / "run")
    assert "nano does not" in said and "vgg-decoder" in said
    assert "the same in each pass" in refused(capfd, *DECODER, "--cache-features", "--out", tmp_path / "run")
