"""Layers, initial values, the summary table and fuse."""
import functools

import numpy as np
import pytest

import minicnn as mc


@pytest.fixture(autouse=True)
def fixed_seed():
    mc.seed(1)


def randomised(model):
    """The model with moments, scales and shifts that a folded batchnorm must get right."""
    rng = np.random.default_rng(0)
    for p in mc.params(model):
        p.value = (rng.standard_normal(p.shape) * 0.5).astype("float32")
    from minicnn.walk import walk
    for _, m in walk(model, mc.bnmoments):
        m.mean = rng.standard_normal(m.mean.shape).astype("float32")
        m.var = rng.uniform(0.5, 2, m.var.shape).astype("float32")
    return model


def autoencoder():
    return mc.Chain(mc.Conv(1, 7, 3, stride=2, padding="same"), mc.BatchNorm(7), mc.tanh,
                    mc.Conv(7, 5, 3, stride=2, padding="same"), mc.BatchNorm(5), mc.tanh,
                    mc.Deconv(5, 6, 3, stride=2, padding="same"), mc.BatchNorm(6), mc.tanh,
                    mc.Deconv(6, 2, 3, stride=2, padding="same"), mc.tanh)


MODELS = {
    "autoencoder": autoencoder,
    "zhang order": lambda: mc.Chain(mc.Conv(1, 4, 3, padding=1), mc.relu, mc.BatchNorm(4), mc.Conv(4, 3, 1), mc.relu),
    "both sides": lambda: mc.Chain(mc.Conv(1, 4, 3), mc.BatchNorm(4), mc.relu, mc.BatchNorm(4), mc.BatchNorm(4),
                                   mc.relu),
    "no conv before": lambda: mc.Chain(mc.BatchNorm(1), mc.Conv(1, 4, 3), mc.leaky_relu, mc.elu, mc.Dropout(0.5)),
    "groups": lambda: mc.Chain(mc.Conv(1, 8, 3), mc.Deconv(8, 6, 4, stride=2, padding=1, groups=2, bias=False),
                               mc.BatchNorm(6), mc.sigm, mc.Conv(6, 4, 3, groups=2), mc.BatchNorm(4)),
    "depthwise": lambda: mc.Chain(mc.Conv(1, 24, 1, bias=False), mc.BatchNorm(24), mc.relu6,
                                  mc.Conv(24, 24, 5, stride=2, padding="same", groups=24, bias=False),
                                  mc.BatchNorm(24, eps=1e-3), mc.relu6, mc.BatchNorm(24), mc.Conv(24, 3, 1)),
    "nested": lambda: mc.Chain(mc.Chain(mc.Conv(1, 4, 3), mc.Chain(mc.BatchNorm(4), mc.selu)), mc.Pool(2),
                               mc.softplus),
    "dense": lambda: mc.Chain(mc.Pool(4, mode="avg"), mc.Dense(16, 8), mc.BatchNorm(8), mc.relu, mc.BatchNorm(8),
                              mc.Dense(8, 3, bias=False)),
    "unknown": lambda: mc.Chain(mc.Conv(1, 4, 3), lambda x: x * 2, mc.BatchNorm(4), np.tanh, mc.Upsample(2)),
}


@pytest.mark.parametrize("name", MODELS)
def test_fuse_equals_the_model(name):
    model = randomised(MODELS[name]())
    x = np.random.default_rng(1).standard_normal((2, 16, 16, 1)).astype("float32")
    expected = model(x)
    fast = mc.fuse(model)
    y = fast(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    for p in mc.params(model):
        p.value = p.value * 0
    np.testing.assert_array_equal(fast(x), y)               # a snapshot


def test_fuse_folds_what_it_should():
    assert repr(mc.fuse(autoencoder()).model.layers[0]) == "conv4(3, 3, 1, 7) -> tanh"
    assert len(mc.fuse(autoencoder()).model) == 4
    assert repr(mc.fuse(MODELS["zhang order"]()).model.layers[0]) == "conv4(3, 3, 1, 4) -> relu -> affine"
    depthwise = mc.fuse(MODELS["depthwise"]()).model.layers
    assert [repr(layer) for layer in depthwise] == [
        "conv4(1, 1, 1, 24) -> relu6", "conv4(5, 5, 1, 24) -> relu6 -> affine", "conv4(1, 1, 24, 3)"]
    assert len(mc.fuse(MODELS["both sides"]()).model) == 3  # the second affine and the second relu stay


def test_fuse_reaches_chains_inside_other_objects():
    class Skip:
        def __init__(self):
            self.down = mc.Chain(mc.Conv(1, 3, 3, stride=2, padding="same"), mc.BatchNorm(3), mc.relu)
            self.up = [mc.Chain(mc.Deconv(3, 1, 3, stride=2, padding="same"), mc.BatchNorm(1))]
            self.scale = mc.param(1, init=mc.gaussian(1))

        def __call__(self, x):
            return x + self.up[0](self.down(x)) * self.scale

    model = randomised(Skip())
    x = np.random.default_rng(1).standard_normal((1, 8, 8, 1)).astype("float32")
    fast = mc.fuse(model)
    assert len(fast.model.down) == 1 and len(fast.model.up[0]) == 1
    np.testing.assert_allclose(fast(x), model(x), atol=1e-5)
    assert len(model.down) == 3


def test_fused_output_and_shapes():
    fast = mc.fuse(randomised(autoencoder()))
    x = np.random.default_rng(1).standard_normal((1, 16, 16, 1)).astype("float32")
    first = fast(x)
    kept = first.copy()
    assert fast(-x) is not first
    np.testing.assert_array_equal(first, kept)              # a fresh output every time
    out = np.empty_like(first)
    assert fast(x, out=out) is out
    np.testing.assert_array_equal(out, kept)
    assert fast(x[:, :12, :8]).shape == (1, 12, 8, 2)
    with pytest.raises(ValueError, match="out is float32"):
        fast(x, out=out[:, 1:])


def test_a_frozen_batchnorm_uses_its_moments_and_leaves_them_alone():
    model = randomised(autoencoder())
    bn, other = model[1], model[4]
    mc.freeze(bn)
    before = [x.copy() for x in (bn.moments.mean, bn.moments.var, other.moments.mean)]
    x = np.random.default_rng(1).standard_normal((2, 4, 4, 7)).astype("float32")
    scale, shift = np.split(mc.value(bn.params), 2)
    expected = (x - before[0]) / np.sqrt(before[1] + bn.eps) * scale + shift
    w = mc.Param(np.ones(1, "float32"))
    for activation, f in ((None, lambda y: y), ("tanh", np.tanh), ("relu", lambda y: np.maximum(y, 0))):
        with mc.force_training(True):
            np.testing.assert_allclose(bn(x, activation), f(expected), rtol=1e-4, atol=1e-5)
    tape = mc.diff(lambda: mc.sum(bn(x * w)))
    slope = (x * scale / np.sqrt(before[1] + bn.eps)).sum()
    np.testing.assert_allclose(mc.grad(tape, w), [slope], rtol=1e-3)
    assert mc.grad(tape, bn.params) is None
    mc.diff(lambda: mc.sum(model(np.ones((2, 8, 8, 1), "float32"))))
    assert np.array_equal(bn.moments.mean, before[0]) and np.array_equal(bn.moments.var, before[1])
    assert not np.array_equal(other.moments.mean, before[2])
    mc.freeze(bn, frozen=False)
    mc.diff(lambda: mc.sum(bn(x)))
    assert not np.array_equal(bn.moments.mean, before[0])


def test_summary_counts(capsys):
    model = autoencoder()
    totals = mc.summary(model, (16, 16, 1))
    printed = capsys.readouterr().out
    assert totals["trainable"] == sum(p.size for p in mc.params(model))
    assert totals["non_trainable"] == 2 * (7 + 5 + 6)
    conv = 8 * 8 * 9 * 7 + 4 * 4 * 9 * 7 * 5 + 4 * 4 * 9 * 5 * 6 + 8 * 8 * 9 * 6 * 2
    assert totals["macs"] == conv
    assert "layers.0 (Conv)" in printed and "(1, 8, 8, 7)" in printed and printed.count("tanh") == 4
    mc.freeze(model[0])
    assert mc.summary(model, (16, 16, 1))["non_trainable"] == 2 * 18 + 70
    assert totals["macs"] == mc.summary(model, (16, 16, 1))["macs"]


def test_summary_of_plain_classes(capsys):
    class Net:
        def __init__(self):
            self.w, self.v = mc.param(5, 5, 1, 4), mc.param(36, 3)

        def __call__(self, x):
            return mc.mat(mc.pool(mc.relu(mc.conv4(self.w, x)), window=2)) @ self.v

    depthwise = mc.summary(mc.Chain(mc.Conv(4, 4, 3, groups=4, padding="same")), (5, 6, 4))
    assert depthwise["macs"] == 5 * 6 * 4 * 9 and depthwise["total"] == 40
    assert mc.summary(Net(), (10, 10, 1)) == {"trainable": 208, "non_trainable": 0, "total": 208,
                                              "macs": 36 * 100 + 36 * 3}
    moments = mc.BatchNorm(3)
    mc.summary(mc.Chain(moments), (4, 4, 3))
    np.testing.assert_array_equal(moments.moments.mean, 0)  # looking changes nothing


def test_initial_values():
    mc.seed(3)
    w = mc.param(3, 3, 50, 70)
    limit = np.sqrt(6 / (9 * 120))
    assert w.dtype == np.float32 and np.abs(w.value).max() <= limit and np.abs(w.value).max() > 0.99 * limit
    mc.seed(3)
    np.testing.assert_array_equal(w.value, mc.param(3, 3, 50, 70).value)
    assert abs(mc.param(400, 300, init=mc.kaiming()).value.std() - np.sqrt(2 / 400)) < 1e-3
    assert abs(mc.param(400, 300, init=mc.xavier_normal()).value.std() - np.sqrt(2 / 700)) < 1e-3
    assert abs(mc.param(400, 300, init=mc.gaussian(2, 0.1)).value.mean() - 2) < 1e-2
    assert not mc.param0(4).value.any()
    with pytest.raises(ValueError, match="param0 or gaussian"):
        mc.param(4)


def test_bilinear_deconv_enlarges():
    x = np.random.default_rng(0).standard_normal((1, 6, 5, 2)).astype("float32")
    w = mc.param(4, 4, 2, 2, init=mc.bilinear())
    y = mc.deconv4(w, x, stride=2, padding=1)
    np.testing.assert_allclose(y[:, 1:-1, 1:-1], mc.upsample(x, mode="bilinear")[:, 1:-1, 1:-1], atol=1e-5)


@pytest.mark.parametrize("name", ["relu", "relu6", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_chain_computes_batchnorm_and_activation_as_one(name, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 7, 3, 20)).astype(dtype)
    weight = rng.standard_normal(x.shape).astype(dtype)
    params = rng.standard_normal(40).astype(dtype) * 3          # past 6
    together, apart = mc.BatchNorm(20), mc.BatchNorm(20)
    together.params.value, apart.params.value = params, params.copy()
    f, w = getattr(mc, name), mc.Param(x)
    one = mc.diff(lambda: mc.sum(mc.Chain(together, f)(w) * weight))
    two = mc.diff(lambda: mc.sum(f(apart(w)) * weight))
    assert "normalise_then" in str(one) and "normalise_then" not in str(two)
    rtol = 2e-5 if dtype == "float32" else 1e-10
    for a, b in ((mc.value(one), mc.value(two)), (mc.grad(one, w), mc.grad(two, w)),
                 (mc.grad(one, together.params), mc.grad(two, apart.params)),
                 (together.moments.mean, apart.moments.mean), (together.moments.var, apart.moments.var)):
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max())
    np.testing.assert_array_equal(mc.Chain(together, f)(x), f(together(x)))         # and outside of training


def test_gradients_of_batchnorm_with_activation():
    rng = np.random.default_rng(0)
    x, params = rng.standard_normal((6, 3)), rng.standard_normal(6)
    f = functools.partial(mc.batchnorm, training=True, activation="tanh")
    assert mc.gradcheck(lambda x, p: f(x, None, p), x, params)
    assert mc.gradcheck(mc.grad(lambda x: mc.sum(f(x) ** 3)), x)                    # the second derivative
    with pytest.raises(ValueError, match="takes activation='relu', 'relu6', 'tanh' or None, got 'selu'"):
        mc.batchnorm(x, training=True, activation="selu")
    for name in ("relu", "relu6", "tanh"):
        y = mc.batchnorm(np.array([[np.nan, 1], [1, 2]], "float32"), training=True, activation=name)
        assert np.isnan(y[:, 0]).all() and not np.isnan(y[:, 1]).any()


def test_layers_learn_and_check_their_arguments():
    model = autoencoder()
    x = np.random.default_rng(1).standard_normal((2, 8, 8, 1)).astype("float32")
    tape = mc.diff(lambda x: mc.mean(model(x) ** 2), x)
    assert all(mc.grad(tape, p).shape == p.shape for p in mc.params(model)) and len(mc.params(model)) == 4 * 2 + 3
    with pytest.raises(TypeError, match="Chain takes layers"):
        mc.Chain(mc.relu, 3)
    with pytest.raises(ValueError, match="groups"):
        mc.Conv(3, 4, groups=2)
    assert len(model[:2]) == 2 and model[0] is model[:2][0]
