"""pool, unpool and upsample."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn as mc

from ... import oracles
from ...grids import POOL, UNPOOL, UNPOOL_OVERLAP, UPSAMPLE, pool_arguments
from ...tools import FLOAT64, check, close, distinct, gradients, put, randn

MODES = ("max", "avg", "avg_valid")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", POOL, ids=str)
def test_pool(backend, case, mode):
    x, options = pool_arguments(case)
    check(backend, mc.pool, oracles.pool, x, mode=mode, **options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", UNPOOL + UNPOOL_OVERLAP, ids=str)
def test_unpool(backend, case, mode):
    x, options = pool_arguments(case)
    check(backend, mc.unpool, oracles.unpool, x, mode=mode, **options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", UNPOOL, ids=str)
def test_pool_of_unpool_is_x(backend, case, mode):
    x, options = pool_arguments(case)
    y = mc.unpool(put(backend, x), mode=mode, **options)
    close(backend, mc.pool(y, mode=mode, **options), x)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.data())
def test_pool_of_unpool_is_x_for_any_shape(data):
    """With windows that do not overlap and padding that leaves each of them a pixel."""
    draw = lambda low, high: data.draw(st.integers(low, high))
    window = (draw(1, 4), draw(1, 4))
    before, after = zip(*[(draw(0, (k - 1) // 2), draw(0, (k - 1) // 2)) for k in window])
    options = {"window": window, "padding": tuple(zip(before, after)), "mode": data.draw(st.sampled_from(MODES)),
               "stride": tuple(k + draw(0, 1) for k in window)}
    x = distinct(draw(0, 2), draw(1, 4), draw(1, 4), draw(1, 3))
    if options["mode"] == "max":
        x = np.abs(x)
    y = mc.unpool(x, **options)
    close(FLOAT64, mc.pool(y, **options), x)
    close(FLOAT64, mc.pool(y, **options), oracles.pool(y, **options))


def test_the_first_of_equal_maxima_takes_the_gradient(backend):
    g, = gradients(backend, lambda x: mc.sum(mc.pool(x)), np.zeros((1, 2, 4, 1)))
    close(backend, g, np.reshape([1, 0, 1, 0, 0, 0, 0, 0], (1, 2, 4, 1)))


def test_max_never_chooses_padding(backend):
    x = put(backend, np.full((1, 3, 3, 1), -5.0))
    close(backend, mc.pool(x, window=3, padding=1, stride=1), np.full((1, 3, 3, 1), -5.0))


@pytest.mark.parametrize("mode", MODES)
def test_second_derivatives(mode):
    x = distinct(1, 4, 5, 2)
    for f in (mc.pool, mc.unpool):
        gradient = mc.grad(lambda x, f=f: mc.sum(mc.pow(f(x, window=3, stride=2, padding=1, mode=mode), 3)))
        assert mc.gradcheck(lambda x, g=gradient: g(x), x)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("shape, scale", UPSAMPLE)
def test_upsample(backend, shape, scale, mode):
    check(backend, mc.upsample, oracles.upsample, randn(*shape), scale=scale, mode=mode)


def test_upsample_back_is_the_transpose():
    for mode in ("nearest", "bilinear"):
        gradient = mc.grad(lambda x, mode=mode: mc.sum(mc.pow(mc.upsample(x, scale=(3, 2), mode=mode), 3)))
        assert mc.gradcheck(lambda x, g=gradient: g(x), randn(1, 3, 4, 2))


@pytest.mark.parametrize("wrong, words", [
    (lambda x: mc.pool(x[0]), r"shape \(N, H, W, C\), got \(4, 5, 2\)"),
    (lambda x: mc.pool(x, window=6), r"6 x 6 pixels does not fit .*\(1, 4, 5, 2\)"),
    (lambda x: mc.pool(x, window=0), "window of at least 1"),
    (lambda x: mc.pool(x, stride=-1), "stride of at least 1"),
    (lambda x: mc.pool(x, mode="min"), "mode='min', expected one of max, avg, avg_valid"),
    (lambda x: mc.unpool(x, window=1, padding=3), r"\(1, 4, 5, 2\) .* give \(1, -2, -1, 2\)"),
    (lambda x: mc.unpool(x, padding="same"), "padding='same': use an int"),
    (lambda x: mc.upsample(x, scale=0), "scale of at least 1"),
    (lambda x: mc.upsample(x, mode="cubic"), "mode='cubic', expected nearest or bilinear"),
])
def test_errors_name_what_was_wrong(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong(randn(1, 4, 5, 2))
