"""Keras's .h5 files, written here as Keras 2 lays them out, against float64 code and against each other."""
import sys

import numpy as np
import pytest

import minicnn as mc
from colorize import models
from colorize.weights import importers, keras_h5
from minicnn.layers import BatchNorm, Conv
from minicnn.walk import walk

from ...tools import need

BN = ("gamma", "beta", "moving_mean", "moving_variance")


def write(path, layers, root=None):
    """layers: [(name, [(weight's name, array)])]"""
    h5py = need("h5py")
    with h5py.File(path, "w") as file:
        top = file if root is None else file.create_group(root)
        top.attrs["layer_names"] = [name.encode() for name, _ in layers]
        for name, weights in layers:
            group = top.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{w}:0".encode() for w, _ in weights]
            for w, x in weights:
                group[f"{name}/{w}:0"] = x
    return path


def of(layer, rng):
    """(name, array) of a layer's weights as Keras has them, random."""
    if isinstance(layer, BatchNorm):
        return [(key, rng.uniform(0.5, 1.5, layer.moments.mean.shape).astype("float32")) for key in BN]
    return [("kernel", rng.normal(0, 0.1, layer.w.shape).astype("float32")),
            ("bias", rng.normal(0, 0.1, layer.b.shape).astype("float32"))]


VGG_NAMES = [f"block{i}_conv{j}" for i, n in enumerate((2, 2, 3, 3, 3), 1) for j in range(1, n + 1)]


def vgg_file(path, model, top=(), root=None):
    rng, layers = np.random.default_rng(0), [("input_1", [])]
    for name, (_, layer) in zip(VGG_NAMES, walk(model.net[0], Conv)):
        layers += [(name, of(layer, rng))] + [("block1_pool", [])] * (name == "block1_conv2")
    return write(path, layers + list(top), root), dict(layers)


@pytest.mark.parametrize("root", [None, "model_weights"])
def test_vgg16(tmp_path, root):
    model = models.build("vgg-decoder", width=0.125)
    top = [("fc1", [("kernel", np.zeros((4, 2))), ("bias", np.zeros(2))]),
           ("predictions", [("kernel", np.zeros((2, 2)))])]
    path, layers = vgg_file(tmp_path / "vgg16.h5", model, top, root)
    said = importers.load(path, model)
    assert "Keras's VGG16, 26 arrays of vgg-decoder; 3 arrays of the file" in said
    for name, (_, layer) in zip(VGG_NAMES, walk(model.net[0], Conv)):
        assert np.array_equal(layer.w.value, layers[name][0][1]) and np.array_equal(layer.b.value, layers[name][1][1])


def test_vgg16_without_its_top_goes_into_cs838_too(tmp_path):
    model = models.build("vgg-uv", width=0.125)
    path, layers = vgg_file(tmp_path / "vgg16.h5", model)
    dense = [p.value.copy() for p in mc.params(model.net[1])]
    importers.load(path, model)
    assert np.array_equal(model.net[0][0].layers[0].w.value, layers["block1_conv1"][0][1])
    assert all(np.array_equal(a, p.value) for a, p in zip(dense, mc.params(model.net[1])))
    with pytest.raises(ValueError, match="build vgg-uv with preprocess='caffe' or 'none'"):
        importers.load(path, models.build("vgg-uv", width=0.125, preprocess="torch"))


def test_colornet(tmp_path):
    """The port's file into the port's network: the output is that of naive float64 code with the file's arrays."""
    rng = np.random.default_rng(1)
    model = models.build("colornet", width=0.05, bins=40)
    layers, norms = [], 10                                          # a session's count, wherever it stands
    for i, block in enumerate([b for b in model.net.layers if hasattr(b, "layers")], 1):
        convs = [layer for layer in block.layers if isinstance(layer, Conv)]
        layers += [(f"conv{i}_{j}", of(layer, rng)) for j, layer in enumerate(convs, 1)]
        layers += [(f"batch_normalization_{norms + i}", of(block.layers[-1], rng))]
    layers += [("up_sampling2d_1", []), ("pred", of(model.net.layers[-1], rng))]
    said = importers.load(write(tmp_path / "colornet.h5", layers), model)
    assert "the Keras port of Zhang et al." in said
    x = rng.uniform(0, 1, (1, 16, 24, 1)).astype("float32")
    expected = naive(x.astype("float64"), dict(layers), norms)
    assert np.abs(model(x) - expected).max() < 1e-4 * np.abs(expected).max()


def naive(x, layers, norms):
    """The port's network in float64, from its description."""
    blocks = [(2, 2, 1), (2, 2, 1), (3, 2, 1), (3, 1, 1), (3, 1, 2), (3, 1, 2), (3, 1, 1), (3, 1, 1)]
    for i, (n, stride, dilation) in enumerate(blocks, 1):
        if i == 8:
            x = x.repeat(2, axis=1).repeat(2, axis=2)
        for j in range(1, n + 1):
            (_, w), (_, b) = layers[f"conv{i}_{j}"]
            x = np.maximum(same(x, w, stride if j == n else 1, dilation) + b, 0)
        scale, shift, mean, var = (v for _, v in layers[f"batch_normalization_{norms + i}"])
        x = (x - mean) / np.sqrt(var + 1e-3) * scale + shift
    (_, w), (_, b) = layers["pred"]
    return x @ w[0, 0] + b


def same(x, w, stride, dilation):
    """A 3x3 convolution with TensorFlow's padding."""
    _, h, width, _ = x.shape
    out = [-(-n // stride) for n in (h, width)]
    total = [max((o - 1) * stride + 2 * dilation + 1 - n, 0) for o, n in zip(out, (h, width))]
    x = np.pad(x, [(0, 0)] + [(t // 2, t - t // 2) for t in total] + [(0, 0)])
    y = 0
    for i in range(3):
        for j in range(3):
            part = x[:, i * dilation:i * dilation + (out[0] - 1) * stride + 1:stride,
                     j * dilation:j * dilation + (out[1] - 1) * stride + 1:stride]
            y = y + part @ w[i, j].astype("float64")
    return y


def test_what_does_not_fit_is_listed(tmp_path):
    model = models.build("vgg-decoder", width=0.125)
    path, layers = vgg_file(tmp_path / "vgg16.h5", model, [("extra", [("kernel", np.zeros((4, 2)))])])
    with pytest.raises(ValueError, match="extra extra/kernel"):
        importers.load(path, model)
    with pytest.raises(ValueError, match=r"kernel has shape \(3, 3, 3, 8\) in the file, expected \(3, 3, 3, 16\)"):
        importers.load(vgg_file(path, model)[0], models.build("vgg-decoder", width=0.25))


def test_without_h5py_one_sentence(tmp_path, monkeypatch):
    path, _ = vgg_file(tmp_path / "vgg16.h5", models.build("vgg-decoder", width=0.125))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match="needs h5py: pip install h5py, or install the extra 'train'"):
        importers.load(path, models.build("vgg-decoder", width=0.125))


# ------------------------------------------------------------------ harm


def test_links_out_of_the_file_are_refused(tmp_path):
    h5py = need("h5py")
    secret = write(tmp_path / "secret.h5", [("block1_conv1", [("kernel", np.ones(3))])])
    for name, link in (("external", h5py.ExternalLink(str(secret), "/block1_conv1")), ("soft", h5py.SoftLink("/x"))):
        path = write(tmp_path / f"{name}.h5", [("a", [("kernel", np.ones(3))])])
        with h5py.File(path, "a") as file:
            del file["a"]
            file["a"] = link
        with pytest.raises(ValueError, match="a in .* is a link"):
            keras_h5.read(path)
    raw = tmp_path / "raw.bin"
    raw.write_bytes(b"secret" * 2)
    path = write(tmp_path / "raw.h5", [("a", [("kernel", np.ones(3))])])
    with h5py.File(path, "a") as file:
        del file["a/a/kernel:0"]
        file["a"].create_dataset("a/kernel:0", (3,), "f4", external=[(str(raw), 0, 12)])
    with pytest.raises(ValueError, match="lies in another file"):
        keras_h5.read(path)


def test_sizes_that_lie_cost_nothing(tmp_path):
    """A dataset that states a terabyte is listed by its shape, not read; one in huge pieces is refused."""
    h5py = need("h5py")
    model = models.build("vgg-decoder", width=0.125)
    path, _ = vgg_file(tmp_path / "vgg16.h5", model)
    with h5py.File(path, "a") as file:
        del file["block1_conv1/block1_conv1/bias:0"]
        file["block1_conv1"].create_dataset("block1_conv1/bias:0", (1 << 38,), "f4", chunks=(1 << 16,))
    with pytest.raises(ValueError, match=r"bias has shape \(274877906944,\) in the file, expected \(8,\)"):
        importers.load(path, model)
    with h5py.File(path, "a") as file:
        del file["block1_conv1/block1_conv1/bias:0"]
        file["block1_conv1"].create_dataset("block1_conv1/bias:0", (8,), "f4", maxshape=(None,), chunks=(1 << 29,))
    with pytest.raises(ValueError, match="stored in a way that Keras does not use"):
        importers.load(path, model)


def test_circles_end(tmp_path):
    h5py = need("h5py")
    path = write(tmp_path / "x.h5", [("a", [("kernel", np.ones(3))])])
    with h5py.File(path, "a") as file:
        for i in range(20):
            file[f"a/again{i}"] = file["a"]
    with pytest.raises(ValueError, match="more than 10000 groups and arrays, or a circle"):
        keras_h5.read(path)


def test_the_names_of_keras_1_and_the_format_of_keras_3(tmp_path):
    h5py = need("h5py")
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["block1_conv1/block1_conv1_W_1:0"], file["block1_conv1/block1_conv1_b_1:0"] = np.ones((2, 3)), np.ones(4)
    assert set(keras_h5.read(tmp_path / "one.h5")) == {"block1_conv1/kernel", "block1_conv1/bias"}
    with h5py.File(tmp_path / "three.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.ones(3)
    with pytest.raises(ValueError, match="written by Keras 3"):
        keras_h5.read(tmp_path / "three.h5")


def test_damage_anywhere_is_one_sentence(tmp_path):
    need("h5py")
    path = write(tmp_path / "x.h5", [("a", [("kernel", np.ones((2, 2))), ("bias", np.ones(2))])])
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for i in rng.integers(0, len(whole), 400):
        changed = bytearray(whole)
        changed[i] ^= int(rng.integers(1, 256))
        for data in (bytes(changed), whole[:i]):
            path.write_bytes(data)
            try:
                assert len(keras_h5.read(path)) <= 2
            except (ValueError, FileNotFoundError) as e:
                assert len(str(e)) < 600
