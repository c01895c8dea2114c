"""batchnorm, bnmoments, bnparams."""
import numpy as np
import pytest

import minicnn as mc
from minicnn.device import xp

from ... import oracles
from ...grids import BATCHNORM
from ...tools import check, close, put, randn, single

each_shape = pytest.mark.parametrize("shape", BATCHNORM, ids=str)


def arrays(shape):
    x = single(randn(*shape, seed=1) * 2 + 3)
    params = single(np.concatenate([randn(shape[-1], seed=2) + 1, randn(shape[-1], seed=3)]))
    return x, params


def moments(backend, channels):
    m = mc.bnmoments(channels, dtype=backend.dtype)
    m.mean, m.var = put(backend, (randn(channels, seed=4), single(np.abs(randn(channels, seed=5)) + 0.5)))
    return m


@each_shape
def test_training(backend, shape):
    x, params = arrays(shape)
    check(backend, lambda x: mc.batchnorm(x, training=True), lambda x: oracles.batchnorm(x, None, None, None), x)
    check(backend, lambda x, p: mc.batchnorm(x, None, p, training=True),
          lambda x, p: oracles.batchnorm(x, None, None, p), x, params)


@each_shape
def test_inference(backend, shape):
    """With the running moments, with and without params; its gradients too."""
    x, params = arrays(shape)
    m = moments(backend, shape[-1])
    mean, var = (backend.get(a).astype("float64") for a in (m.mean, m.var))
    for p in ((), (params,)):
        check(backend, lambda x, *p: mc.batchnorm(x, like(x, mean, var), *p, training=False),
              lambda x, *p: oracles.batchnorm(x, mean, var, *(p or (None,))), x, *p)


def like(x, mean, var):
    """Moments beside x, in its dtype: gradients in float64 need the digits."""
    new = mc.bnmoments(len(mean))
    new.mean, new.var = (xp(mc.value(x)).asarray(a, x.dtype) for a in (mean, var))
    return new


@each_shape
def test_second_derivatives(shape):
    x, params = arrays(shape)
    if x.size // shape[-1] < 3:
        shape = (3,) + shape
        x, params = arrays(shape)
    for i in (0, 1):
        gradient = mc.grad(lambda x, p: mc.sum(mc.pow(mc.batchnorm(x, None, p, eps=0.1), 3)), i)
        assert mc.gradcheck(lambda x, p, g=gradient: g(x, p), x, params, atol=1e-7)


@pytest.mark.parametrize("eps", [1e-5, 1e-3, 0.5])
def test_eps(backend, eps):
    x, _ = arrays((4, 5, 3))
    check(backend, lambda x: mc.batchnorm(x, eps=eps, training=True),
          lambda x: oracles.batchnorm(x, None, None, None, eps), x)


def test_one_pixel_gives_the_shift(backend):
    x, params = arrays((1, 1, 1, 75))
    y = mc.batchnorm(put(backend, x), None, put(backend, params), training=True)
    close(backend, y, params[75:].reshape(1, 1, 1, 75))


def test_a_mean_far_from_zero_costs_no_digits(backend):
    """The variance of a bright image: E[x * x] - E[x] ** 2 would lose it in float32."""
    x = single(1000 + randn(4, 8, 8, 2))
    y = backend.get(mc.batchnorm(put(backend, x), training=True)).astype("float64")
    expected = oracles.batchnorm(x, None, None, None)
    assert np.abs(y - expected).max() < 2e-4


def test_the_running_moments_follow_the_batch(backend):
    x, _ = arrays((3, 4, 5, 2))
    m, mean, var = mc.bnmoments(2, momentum=0.25, dtype=backend.dtype), np.zeros(2), np.ones(2)
    for k in range(3):
        batch = x * (k + 1)
        mc.batchnorm(put(backend, batch), m, training=True)
        pixels = batch.reshape(-1, 2)
        mean = 0.75 * mean + 0.25 * pixels.sum(0) / 60
        var = 0.75 * var + 0.25 * ((pixels - pixels.sum(0) / 60) ** 2).sum(0) / 60
    close(backend, m.mean, mean)
    close(backend, m.var, var)


def test_training_follows_the_tape():
    x, m = randn(4, 2), mc.bnmoments(2, dtype="float64")
    p = mc.Param(mc.bnparams(2, "float64"))
    mc.batchnorm(x, m, p)
    assert (m.mean == 0).all()                          # outside diff: nothing learned
    mc.diff(lambda: mc.sum(mc.batchnorm(x, m, p)))
    assert (m.mean != 0).all()
    before = m.mean
    with mc.force_training(False):
        mc.diff(lambda: mc.sum(mc.batchnorm(x, m, p)))
    assert m.mean is before


def test_bnparams_and_bnmoments():
    assert mc.bnparams(2).tolist() == [1, 1, 0, 0] and mc.bnparams(2).dtype == "float32"
    m = mc.bnmoments(3)
    assert m.mean.tolist() == [0, 0, 0] and m.var.tolist() == [1, 1, 1] and m.momentum == 0.1
    assert repr(m) == "bnmoments(3, momentum=0.1)"


@pytest.mark.parametrize("wrong, error, words", [
    (lambda x: mc.batchnorm(x[0, 0, 0], training=True), ValueError, r"shape \(N, ..., C\), got \(3,\)"),
    (lambda x: mc.batchnorm(x, None, np.ones(5), training=True), ValueError, r"\(2, 4, 5, 3\) .*\(6,\), got \(5,\)"),
    (lambda x: mc.batchnorm(x, mc.bnmoments(4), training=True), ValueError, r"\(2, 4, 5, 3\) needs moments of 3 .*4"),
    (lambda x: mc.batchnorm(x), ValueError, "needs moments=bnmoments"),
    (lambda x: mc.batchnorm(x[:0], training=True), ValueError, r"empty batch of shape \(0, 4, 5, 3\)"),
    (lambda x: mc.batchnorm(x, None, mc.bnparams(3), training=True), TypeError, "float64 and params of float32"),
    (lambda x: mc.batchnorm(x, None, [1] * 6, training=True), TypeError, "got list as params"),
    (lambda x: mc.batchnorm(x, np.ones(3), training=True), TypeError, "moments=bnmoments"),
    (lambda x: mc.batchnorm(x, eps=-1, training=True), ValueError, "eps of at least 0, got -1"),
    (lambda x: mc.batchnorm(x, eps="small", training=True), TypeError, "eps as a number, got 'small'"),
])
def test_errors_name_what_was_wrong(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong(randn(2, 4, 5, 3))


def test_an_empty_batch_passes_through_inference(backend):
    y = mc.batchnorm(put(backend, np.zeros((0, 4, 5, 3))), moments(backend, 3), put(backend, np.ones(6)))
    assert y.shape == (0, 4, 5, 3) and y.dtype == backend.dtype
