"""conv4, conv4w, conv4x and deconv4: values, gradients, TensorFlow's "same", adjoints, strange memory."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn as mc

from ... import oracles
from ...grids import CONV, DECONV, DEPTHWISE, conv_arrays, deconv_arrays
from ...tools import FLOAT64, check, close, put, randn


@pytest.mark.parametrize("case", CONV + DEPTHWISE, ids=str)
def test_conv4(backend, case):
    check(backend, mc.conv4, oracles.conv4, *conv_arrays(case), **case.options)


@pytest.mark.parametrize("case", DECONV, ids=str)
def test_deconv4(backend, case):
    check(backend, mc.deconv4, oracles.deconv4, *deconv_arrays(case), **case.options)


@pytest.mark.parametrize("case", CONV + DEPTHWISE, ids=str)
def test_conv4w_and_conv4x(backend, case):
    w, x, b = conv_arrays(case)
    dy = randn(*oracles.conv4(w, x, b, **case.options).shape, seed=4)
    check(backend, lambda x, dy, **o: mc.conv4w(w.shape, x, dy, **o),
          lambda x, dy, **o: oracles.conv4w(w.shape, x, dy, **o), x, dy, **case.options)
    check(backend, lambda w, dy, **o: mc.conv4x(w, x.shape, dy, **o),
          lambda w, dy, **o: oracles.conv4x(w, x.shape, dy, **o), w, dy, **case.options)
    given = put(backend, (w, x, dy))                    # an array may stand for its shape
    close(backend, mc.conv4w(*given, **case.options), oracles.conv4w(w, x, dy, **case.options))
    close(backend, mc.conv4x(*given, **case.options), oracles.conv4x(w, x, dy, **case.options))


def test_without_bias(backend):
    w, x, _ = conv_arrays(CONV[0])
    check(backend, mc.conv4, oracles.conv4, w, x)
    w, x, _ = deconv_arrays(DECONV[2])
    check(backend, mc.deconv4, oracles.deconv4, w, x, **DECONV[2].options)


@pytest.mark.parametrize("case", CONV[::4] + DEPTHWISE[16:24], ids=str)
def test_second_derivatives(case):
    """The gradient of a gradient, each of them conv4, conv4w or conv4x again."""
    w, x, _ = conv_arrays(case)

    def gradient_of(i):
        f = mc.grad(lambda *a: mc.sum(mc.pow(mc.conv4(*a, **case.options), 3)), i)
        return lambda w, x: f(w, x)
    assert mc.gradcheck(gradient_of(0), w, x, rtol=1e-5)
    assert mc.gradcheck(gradient_of(1), w, x, rtol=1e-5)


@pytest.mark.parametrize("case", DECONV[::4], ids=str)
def test_second_derivatives_of_deconv4(case):
    w, x, _ = deconv_arrays(case)
    gradient = mc.grad(lambda *a: mc.sum(mc.pow(mc.deconv4(*a, **case.options), 3)))
    assert mc.gradcheck(lambda w, x: gradient(w, x), w, x, rtol=1e-5)


@pytest.mark.parametrize("n", range(1, 9))
def test_same_is_tensorflows(backend, n):
    """A column of 1, 2, 4, ... tells where the window of 3 stood: with stride 2 the odd pixel is at the end."""
    x = 2.0 ** np.arange(n)
    y = mc.conv4(put(backend, np.ones((3, 3, 1, 1))), put(backend, x.reshape(1, n, 1, 1)), stride=2, padding="same")
    total = max((math.ceil(n / 2) - 1) * 2 + 3 - n, 0)
    zeros = np.concatenate([np.zeros(total // 2), x, np.zeros(total - total // 2)])
    assert n % 2 or total // 2 == 0                     # even sizes: nothing before, one after
    expected = [zeros[i:i + 3].sum() for i in range(0, 2 * math.ceil(n / 2), 2)]
    close(backend, y[:, :, 0, :], np.reshape(expected, (1, -1, 1)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_deconv4_is_the_adjoint_of_conv4(data):
    """<conv4(w, x), y> == <x, deconv4(w, y)> at multiples of the stride."""
    draw = lambda low, high: data.draw(st.integers(low, high))
    stride, dilation = (draw(1, 3), draw(1, 3)), (draw(1, 2), draw(1, 2))
    groups, flip = draw(1, 2), data.draw(st.booleans())
    x = randn(draw(0, 2), stride[0] * draw(1, 4), stride[1] * draw(1, 4), groups * draw(1, 2), seed=1)
    w = randn(draw(1, 5), draw(1, 5), x.shape[3] // groups, groups * draw(1, 2), seed=2)
    options = {"stride": stride, "dilation": dilation, "groups": groups, "flip": flip, "padding": "same"}
    conv = mc.conv4(w, x, **options)
    assert conv.shape == (x.shape[0], x.shape[1] // stride[0], x.shape[2] // stride[1], w.shape[3])
    y = randn(*conv.shape, seed=3)
    back = mc.deconv4(w, y, **options)
    assert back.shape == x.shape
    assert np.vdot(conv, y) == pytest.approx(np.vdot(x, back), rel=1e-10, abs=1e-10)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_any_shape(data):
    """Whatever fits: conv4 has the shape and the values of the loops."""
    draw = lambda low, high: data.draw(st.integers(low, high))
    options = {"stride": (draw(1, 3), draw(1, 3)), "dilation": (draw(1, 2), draw(1, 2)),
               "flip": data.draw(st.booleans()),
               "padding": data.draw(st.sampled_from(["same", 0, 1, (2, 0), ((0, 2), (1, 0))]))}
    x, w = randn(draw(0, 2), draw(1, 6), draw(1, 6), draw(1, 3)), (draw(1, 3), draw(1, 3))
    w = randn(*w, x.shape[3], draw(1, 3), seed=1)
    sides = oracles.four_sides(options["padding"], x.shape[1:3], w.shape[:2], options["stride"], options["dilation"])
    fits = all(n + sum(p) > (k - 1) * d for n, p, k, d in zip(x.shape[1:3], sides, w.shape, options["dilation"]))
    if fits:
        close(FLOAT64, mc.conv4(w, x, **options), oracles.conv4(w, x, **options))
    else:
        with pytest.raises(ValueError, match="does not fit"):
            mc.conv4(w, x, **options)


def test_deconv4_undoes_the_size_of_conv4():
    for n in range(1, 12):
        for stride, kernel, padding in ((2, 3, 1), (2, 4, 1), (3, 3, 0), (1, 5, 2)):
            x = np.ones((1, n, n, 1))
            if n + 2 * padding < kernel:
                continue
            w = np.ones((kernel, kernel, 1, 1))
            y = mc.conv4(w, x, stride=stride, padding=padding)
            lost = (n + 2 * padding - kernel) % stride
            z = mc.deconv4(w, y, stride=stride, padding=padding, output_padding=lost)
            assert z.shape == x.shape


def test_a_photo_of_odd_size_comes_back_larger():
    x = np.ones((1, 37, 51, 1), "float32")
    w = np.ones((3, 3, 1, 1), "float32")
    for _ in range(3):
        x = mc.conv4(w, x, stride=2, padding="same")
    for _ in range(3):
        x = mc.deconv4(w, x, stride=2, padding="same")
    assert x.shape == (1, 40, 56, 1)


def test_the_bias_of_each_channel_gets_its_own_gradient(backend):
    w, x, b = (mc.Param(put(backend, a)) for a in conv_arrays(CONV[0]))
    tape = mc.diff(lambda: mc.sum(mc.conv4(w, x, b)))
    close(backend, mc.grad(tape, b), np.full(4, 2 * 3 * 5.0))


@pytest.mark.parametrize("wrong, words", [
    (lambda w, x: mc.conv4(w, x[0]), r"\(3, 3, 2, 4\).*\(5, 6, 2\)"),
    (lambda w, x: mc.conv4(w[:, :, :1], x), r"\(3, 3, 1, 4\).*\(1, 5, 6, 2\)"),
    (lambda w, x: mc.conv4(w, x[:, :2]), r"3 x 3 pixels does not fit .*\(1, 2, 6, 2\)"),
    (lambda w, x: mc.conv4(w, x, groups=3), r"groups=3"),
    (lambda w, x: mc.conv4(w[:, :, :1, :3], x, groups=2), r"\(3, 3, 1, 3\) with groups=2 .* multiple of 2"),
    (lambda w, x: mc.conv4(w[:, :, :1], x, groups=4), r"\(3, 3, 1, 4\) with groups=4 .*\(1, 5, 6, 2\): they take 4"),
    (lambda w, x: mc.conv4(w[:, :, :1, :2], x, np.ones(1), groups=2), r"bias of shape \(2,\), got \(1,\)"),
    (lambda w, x: mc.conv4w(w[:, :, :1, :2], x, x, groups=2), r"give \(1, 3, 4, 2\), but dy has shape"),
    (lambda w, x: mc.conv4(w, x, stride=0), r"stride of at least 1, got 0"),
    (lambda w, x: mc.conv4(w, x, padding=-1), r"padding of at least 0, got -1"),
    (lambda w, x: mc.conv4(w, x, padding="valid"), r"padding='valid': use an int"),
    (lambda w, x: mc.conv4(w, x, np.ones(3)), r"bias of shape \(4,\), got \(3,\)"),
    (lambda w, x: mc.conv4w(w, x, x), r"give \(1, 3, 4, 4\), but dy has shape \(1, 5, 6, 2\)"),
    (lambda w, x: mc.conv4x(w, x, x), r"give \(1, 3, 4, 4\), but dy has shape \(1, 5, 6, 2\)"),
    (lambda w, x: mc.deconv4(w, x), r"\(3, 3, 2, 4\) and \(1, 5, 6, 2\)"),
    (lambda w, x: mc.deconv4(w.swapaxes(2, 3), x, stride=2, output_padding=2), r"below the stride"),
    (lambda w, x: mc.deconv4(w.swapaxes(2, 3), x, stride=2, padding="same", output_padding=1), r"fixes the size"),
])
def test_errors_name_what_was_wrong(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong(randn(3, 3, 2, 4), randn(1, 5, 6, 2))
