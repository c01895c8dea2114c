"""What every model must do, small: batches, losses, gradients, colours at any size, saving, fusing, wrong calls."""
import numpy as np
import pytest

import minicnn as mc
from colorize import models
from colorize.color.bins import Prior, gamut
from colorize.color.spaces import rgb_to_lab
from colorize.data.scenes import scene

SMALL = {"mean-cnn1": 1.0, "mean-fc": 0.02}                        # widths; of the others an eighth
EVERY = pytest.mark.parametrize("name", models.names())


def small(name, **options):
    mc.seed(1)
    return models.build(name, size=64, width=SMALL.get(name, 0.125), **options)


def photos(n=2):
    return np.stack([scene(i, 64) for i in range(n)])


def leaves(y):
    return y if isinstance(y, tuple) else (y,)


@EVERY
def test_a_batch_has_a_loss_and_every_param_a_gradient(name):
    model, rgb = small(name), photos()
    x, y = model.inputs(rgb), model.targets(rgb)
    assert x.dtype == "float32" and len(x) == 2 and all(len(a) == 2 for a in leaves(y))
    tape = mc.diff(model.loss, x, y)
    assert np.isfinite(tape.value) and tape.value > 0
    without = [p.shape for p in mc.params(model) if not p.frozen and mc.grad(tape, p) is None]
    assert without == ([model.out.w.shape] if name == "zhang" else [])      # its loss is on the scores
    before = [mc.value(p).copy() for p in mc.params(model)]
    list(mc.adam(model.loss, [(x, y)]))
    changed = [p for a, p in zip(before, mc.params(model)) if not np.array_equal(a, mc.value(p))]
    assert changed and not any(p.frozen for p in changed)


@EVERY
def test_colorize_any_size(name):
    model = small(name)
    L = np.random.default_rng(0).uniform(0, 100, (2, 37, 51)).astype("float32")
    ab = model.colorize(L)
    assert ab.shape == (2, 37, 51, 2) and ab.dtype == "float32" and np.isfinite(ab).all()
    assert np.abs(model.colorize(L[1]) - ab[1]).max() < 1e-3 and ab.flags.writeable
    for shape in ((1, 1), (300, 2), (64, 64)):
        ab = model.colorize(np.full(shape, 50.0))
        assert ab.shape == shape + (2,) and np.isfinite(ab).all() and np.abs(ab).max() < 300
    assert np.abs(model.fused().colorize(L) - model.colorize(L)).max() < 1e-2


@EVERY
def test_saved_and_loaded(name, tmp_path):
    model, other = small(name), small(name)
    for p in mc.params(other):
        p.value = p.value + 1
    mc.save(tmp_path / "model.safetensors", model)
    mc.load(tmp_path / "model.safetensors", other)
    L = np.random.default_rng(0).uniform(0, 100, (40, 30)).astype("float32")
    assert np.array_equal(model.colorize(L), other.colorize(L))


@EVERY
def test_what_targets_say_is_the_photo(name):
    """ab(targets) is the photo's own colour: exactly, to a bin's size, at a third of the resolution, or its mean."""
    model, rgb = small(name), photos(4)
    ab, y = rgb_to_lab(rgb)[..., 1:], model.targets(rgb)
    L = rgb_to_lab(rgb)[..., :1]
    if isinstance(model, models.classifier.Classifier):
        y = scores(model, y)
    got = model.ab(y, L)
    ab = ab[:, ::ab.shape[1] // got.shape[1], ::ab.shape[2] // got.shape[2]]
    if name.startswith("mean"):
        ab = np.broadcast_to(ab.mean(axis=(1, 2), keepdims=True), got.shape)
    error = np.sqrt(np.square(got - ab).mean())
    limit = {"jetson": 1e-4, "vgg-decoder": 1e-4, "faces": 0.5, "faces-text": 0.5, "knet": 6}
    assert error < limit.get(name, 1 if name.startswith("mean") else 14)
    assert error < 0.6 * np.sqrt(np.square(ab).mean())


def scores(model, y):
    """Scores that say what soft or hard targets say."""
    indices, values = y[:2] if isinstance(y, tuple) else (y[..., None], np.ones(y.shape + (1,), "float32"))
    p = np.full(indices.shape[:-1] + (model.bins.q,), 1e-12, "float32")
    np.put_along_axis(p, indices.astype("int64"), values, axis=-1)
    return np.log(np.maximum(p, 1e-12))


# ------------------------------------------------------------------ options


def test_names_and_options():
    assert models.names() == ["jetson", "colornet", "zhang", "knet", "vgg-decoder", "vgg-uv", "vgg-uv-small",
                              "mean-fc", "mean-cnn1", "mean-cnn2", "mean-cnn3", "faces", "faces-text", "nano",
                              "studio"]
    model = models.build("jetson", width=0.1)
    assert model.name == "jetson" and model.options["width"] == 0.1 and model.options["size"] == 256
    for name in models.names():
        assert {"size", "width"} <= set(models.options(name))


@pytest.mark.parametrize("name, options, message", [
    ("jetsn", {}, "there is no model 'jetsn': choose one of jetson, colornet"),
    ("jetson", {"witdh": 1}, "jetson has no option 'witdh': it has size, width, fit"),
    ("jetson", {"size": 100}, "size must be a multiple of 8.* got 100"),
    ("jetson", {"size": 0}, "size must be a multiple of 8"),
    ("jetson", {"width": 0}, "width.* above 0, got 0"),
    ("jetson", {"width": float("inf")}, "width.* above 0, got inf"),
    ("nano", {"neighbours": 4.5}, "needs neighbours as an int, got 4.5"),
    ("zhang", {"neighbours": 314}, "neighbours must be at most 313, the number of bins, got 314"),
    ("nano", {"sigma": 0}, "sigma must be above 0 ab units, got 0"),
    ("jetson", {"skips": 1}, "jetson needs skips as True or False, got 1"),
    ("jetson", {"space": "yuv"}, "space must be one of lab, rgb; got 'yuv'"),
    ("zhang", {"bins": "314"}, "bins must be '313', '18x18', the step"),
    ("zhang", {"temperature": 0}, "temperature must be above 0"),
    ("knet", {"decode": "best"}, "decode must be one of mode, mean"),
    ("vgg-uv", {"compression": 0}, "compression.*got 0"),
    ("vgg-uv", {"preprocess": "none"}, "preprocess must be one of caffe, torch"),
    ("mean-fc", {"last": "sigmoid"}, "last must be one of relu, tanh"),
    ("faces", {"size": 32}, "size must be at least 64"),
    ("nano", {"size": 48}, "multiple of 32"),
    ("studio", {"size": 100}, "size must be a multiple of 32.* got 100"),
    ("studio", {"where": "both"}, "where must be one of loss, gradient; got 'both'"),
])
def test_wrong_options(name, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        models.build(name, **options)


OPTIONS = [("jetson", {"skips": True}), ("jetson", {"space": "rgb"}), ("jetson", {"batchnorm": False}),
           ("jetson", {"loss": "chroma"}), ("jetson", {"loss": "huber"}), ("jetson", {"fit": "short"}),
           ("colornet", {"batchnorm": False, "rebalance": "zhang"}), ("zhang", {"bins": 30, "batchnorm": False}),
           ("zhang", {"neighbours": 10, "where": "loss"}), ("knet", {"batchnorm": True, "upsample": "ab"}),
           ("knet", {"decode": "bin mean", "form": "linear", "reduce": "mean"}), ("knet", {"bins": "313"}),
           ("vgg-decoder", {"frozen": False, "preprocess": "caffe"}), ("vgg-decoder", {"preprocess": "torch"}),
           ("vgg-decoder", {"activation": "none"}), ("vgg-uv", {"loss": "euclidean", "frozen": True}),
           ("vgg-uv", {"loss": "mae", "compression": 0.5, "preprocess": "torch"}), ("vgg-uv", {"activation": "none"}),
           ("mean-cnn2", {"last": "tanh"}), ("mean-fc", {"last": "tanh"}), ("faces", {"last": "relu"}),
           ("faces", {"last": "tanh", "batchnorm": False}), ("faces-text", {"last": "tanh", "activation": "sigmoid"}),
           ("faces-text", {"batchnorm": False}), ("nano", {"skips": False, "context": False, "bins": "313"}),
           ("nano", {"batchnorm": False, "undo": 0.0, "rebalance": "none"}),
           ("studio", {"rebalance": "zhang", "undo": 0.5, "bins": "313", "where": "gradient"})]


@pytest.mark.parametrize("name, options", OPTIONS, ids=lambda v: v if isinstance(v, str) else ",".join(v))
def test_options_train_and_colour(name, options):
    model, rgb = small(name, **options), photos()
    x, y = model.inputs(rgb), model.targets(rgb)
    losses = [float(v) for v in mc.adam(model.loss, [(x, y)] * 12, lr=3e-4)]
    assert np.isfinite(losses).all() and min(losses[6:]) < losses[0]
    assert model.colorize(np.full((70, 130), 50.0)).shape == (70, 130, 2)
    assert model.options == {**models.options(name), **options, "size": 64, "width": model.width}


def test_a_frozen_encoder_stays():
    model, rgb = small("vgg-decoder"), photos()
    before = [p.value.copy() for p in mc.params(model.net[0])]
    list(mc.adam(model.loss, [(model.inputs(rgb), model.targets(rgb))]))
    assert all(np.array_equal(a, p.value) for a, p in zip(before, mc.params(model.net[0])))
    features = model.net[0](model.inputs(rgb))                      # Colour This computes them once
    assert features.shape == (2, 2, 2, 64)
    assert np.allclose(model.net[1](features), model(model.inputs(rgb)), atol=1e-5)


def test_the_working_size():
    stretch, short = models.build("jetson", width=0.1), models.build("nano", width=0.1)
    assert stretch.working_size(300, 900) == (256, 256)
    assert short.working_size(300, 450) == (256, 384) and short.working_size(10, 10) == (256, 256)
    assert short.working_size(1, 100_000) == (256, 1024)            # bounded, however long the photo


# ------------------------------------------------------------------ classifiers


def test_rebalancing_is_part_of_the_model(tmp_path):
    rgb = photos(8)
    model = small("nano")
    prior = Prior(model.bins)
    prior.add(rgb_to_lab(rgb)[..., 1:])
    x, y = model.inputs(rgb), model.targets(rgb)
    plain = float(model.loss(x, y))
    model.rebalance(prior, lambda_=0.25, sigma=10)
    weights = prior.zhang(0.25, 10)
    assert np.allclose(mc.value(model.class_weights), weights) and abs(model.loss(x, y) - plain) > 1e-3
    mc.save(tmp_path / "nano.safetensors", model)
    other = small("nano")
    mc.load(tmp_path / "nano.safetensors", other)
    L = np.full((64, 64), 60.0)
    assert np.array_equal(other.colorize(L), model.colorize(L))
    scores_ = np.random.default_rng(0).normal(0, 2, (1, 4, 4, model.bins.q)).astype("float32")
    p = np.exp(scores_.astype("float64")) / weights                 # the weights are divided out again
    expected = (p / p.sum(axis=-1, keepdims=True)) @ model.bins.centres
    assert np.abs(other.ab(scores_, None) - expected).max() < 1e-3
    with pytest.raises(ValueError, match="counts 313 bins, and the model has 101"):
        model.rebalance(Prior(gamut(10)))


def test_weights_are_divided_out_as_far_as_asked():
    """Against a float64 softmax over scores minus a share of the weights' logarithm."""
    scores = np.random.default_rng(0).normal(size=(1, 3, 3, 101)).astype("float32")
    for undo in (0.0, 0.3, 1.0):
        model = models.build("nano", width=0.1, size=32, undo=undo)
        model.class_weights.value = np.linspace(0.2, 5, 101).astype("float32")
        z = scores.astype("float64") - undo * np.log(np.linspace(0.2, 5, 101))
        p = np.exp(z - z.max(-1, keepdims=True))
        expected = p / p.sum(-1, keepdims=True) @ model.bins.centres
        assert np.allclose(model.ab(scores, None), expected, atol=1e-3)
    with pytest.raises(ValueError, match="must be in 0..1"):
        models.build("nano", undo=1.5)


def test_knet_can_decode_to_the_mean_of_a_bucket():
    model = small("knet", decode="bin mean")
    grey = np.zeros((1, 8, 8, 2), "float32")
    prior = Prior(model.bins)
    prior.add(grey)
    model.rebalance(prior)
    best = scores(model, model.bins.encode(grey))
    assert np.abs(model.ab(best, None)).max() < 1e-6
    tinted = small("knet")
    assert np.allclose(np.abs(tinted.ab(best, None)), 110 / 18, atol=1e-4)      # grey lies on a corner of four


def test_grey_photos_do_not_train_zhang():
    model = small("zhang")
    grey = np.repeat(photos()[..., :1], 3, axis=-1)
    tape = mc.diff(model.loss, model.inputs(grey), model.targets(grey))
    assert all(not np.any(mc.grad(tape, p)) for p in mc.params(model.net))


# ------------------------------------------------------------------ wrong calls


@pytest.mark.parametrize("L, message", [
    (np.zeros((8, 8), "uint8"), "floating array .* got uint8"), (np.zeros(8), r"\(H, W\) or \(N, H, W\)"),
    (np.zeros((1, 8, 8, 1)), r"\(1, 8, 8, 1\)"), (np.zeros((0, 8)), "no pixels"), ([[1.0]], "got list"),
    (np.full((8, 8), 255.0), "L in 0..100, got 255 to 255"), (np.full((8, 8), np.nan), "L in 0..100"),
])
def test_what_colorize_refuses(L, message):
    with pytest.raises((TypeError, ValueError), match=message):
        small("jetson").colorize(L)


@pytest.mark.parametrize("name, rgb, message", [
    ("jetson", np.zeros((2, 64, 64, 3)), "jetson needs photos as uint8"),
    ("jetson", np.zeros((64, 64, 3), "uint8"), r"\(N, H, W, 3\), got uint8 \(64, 64, 3\)"),
    ("jetson", np.zeros((2, 60, 64, 3), "uint8"), "sides are multiples of 8 pixels, got 60x64"),
    ("vgg-uv", np.zeros((2, 96, 96, 3), "uint8"), "vgg-uv takes photos of 64x64 pixels, got 96x96"),
    ("nano", None, "got NoneType"),
])
def test_what_inputs_and_targets_refuse(name, rgb, message):
    model = small(name)
    for f in (model.inputs, model.targets):
        with pytest.raises((TypeError, ValueError), match=message):
            f(rgb)


# ------------------------------------------------------------------ on the GPU


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jetson", "colornet", "zhang", "knet", "vgg-uv", "mean-cnn2", "faces", "nano",
                                  "studio"])
def test_the_same_on_the_gpu(cuda_on_cpu, name):
    mc.seed(1)
    model, rgb = models.build(name, size=64, width=0.05), photos()
    there = mc.gpucopy(model)
    L = np.random.default_rng(0).uniform(0, 100, (1, 40, 50)).astype("float32")
    ab = there.colorize(cuda_on_cpu.asarray(L))
    assert np.abs(cuda_on_cpu.asnumpy(ab) - model.colorize(L)).max() < 1e-2
    batch = cuda_on_cpu.asarray(rgb)
    loss = float(there.loss(there.inputs(batch), there.targets(batch)))
    assert loss == pytest.approx(float(model.loss(model.inputs(rgb), model.targets(rgb))), rel=1e-4)
