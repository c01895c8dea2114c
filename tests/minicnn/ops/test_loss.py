"""Softmax and the losses."""
import numpy as np
import pytest

import minicnn as mc

from ... import oracles
from ...grids import ROWS, labels
from ...tools import check, close, distinct, gradients, put, randn, single

each_rows = pytest.mark.parametrize("shape, axis", ROWS, ids=str)


@each_rows
def test_softmax(backend, shape, axis):
    x = randn(*shape) * 4
    check(backend, mc.softmax, oracles.softmax, x, axis=axis)
    check(backend, mc.logsoftmax, oracles.logsoftmax, x, axis=axis)
    check(backend, mc.logsumexp, oracles.logsumexp, x, axis=axis)
    check(backend, mc.logsumexp, oracles.logsumexp, x, axis=axis, keepdims=True)


@pytest.mark.parametrize("f", [mc.softmax, mc.logsoftmax, mc.logsumexp], ids=lambda f: f.__name__)
def test_second_derivatives_of_softmax(f):
    for axis in (-1, 0, None):
        gradient = mc.grad(lambda x, axis=axis: mc.sum(mc.pow(f(x, axis=axis), 3)))
        assert mc.gradcheck(lambda x, g=gradient: g(x), randn(3, 4))


def test_softmax_over_several_axes(backend):
    x = randn(2, 3, 4)
    y = mc.softmax(put(backend, x), axis=(0, 2))
    for k in range(3):
        close(backend, y[:, k], oracles.softmax(x[:, k], axis=None))


def test_softmax_of_huge_scores(backend):
    x = put(backend, np.array([[1000.0, 0.0, -1000.0], [-1000.0, -1000.0, -1000.0]]))
    close(backend, mc.softmax(x), [[1, 0, 0], [1 / 3] * 3])
    close(backend, mc.logsoftmax(x), [[0, -1000, -2000], [-np.log(3)] * 3])
    close(backend, mc.logsumexp(x), [1000, np.log(3) - 1000])
    inf = put(backend, np.array([-np.inf, 0.0, -np.inf]))
    close(backend, mc.softmax(inf), [0, 1, 0])
    close(backend, mc.logsumexp(put(backend, np.array([-np.inf, -np.inf]))), -np.inf)


# ------------------------------------------------------------------ nll

SCORES = [(4, 3), (2, 3, 4, 5), (7,), (3, 75), (1, 1), (2, 5, 313)]


def nll(y, weights=None):
    """Scores to loss, with the labels fixed: what check can differentiate."""
    return lambda x: mc.nll(x, y, *weights_like(x, weights))


def weights_like(x, weights):
    return () if weights is None else (weights.astype(x.dtype),)


@pytest.mark.parametrize("shape", SCORES, ids=str)
def test_nll_of_hard_labels(backend, shape):
    x, y = randn(*shape) * 2, labels(shape[:-1], shape[-1])
    check(backend, nll(y), lambda x: oracles.nll(x, y), x)
    check(backend, lambda x: mc.nll(x, y, average=False)[0], lambda x: oracles.nll(x, y, average=False)[0], x)
    assert mc.nll(put(backend, x), y, average=False)[1] == (y >= 0).sum()


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_nll_takes_labels_of_any_integer_type(backend, dtype):
    x, y = randn(6, 4), labels((6,), 4, skip=False).astype(dtype)
    close(backend, mc.nll(put(backend, x), y), oracles.nll(x, y))
    close(backend, mc.nll(put(backend, x), y.tolist()), oracles.nll(x, y))


@pytest.mark.parametrize("shape", [s for s in SCORES if s != (1, 1)], ids=str)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_nll_of_soft_targets(backend, shape, k):
    x, indices = randn(*shape) * 2, labels(shape[:-1] + (k,), shape[-1])
    values = single(np.abs(randn(*indices.shape, seed=3)))
    check(backend, lambda x: mc.nll(x, (indices, values.astype(x.dtype))),
          lambda x: oracles.nll(x, (indices, values)), x)


@pytest.mark.parametrize("shape", [s for s in SCORES if s != (1, 1)], ids=str)
def test_nll_with_weights(backend, shape):
    x, y = randn(*shape) * 2, labels(shape[:-1], shape[-1])
    soft = (labels(shape[:-1] + (3,), shape[-1], seed=4), single(np.abs(randn(*shape[:-1], 3, seed=3))))
    per_class = single(np.abs(randn(shape[-1], seed=5)))
    per_position = single(np.abs(randn(*shape[:-1], seed=6)))
    for w in (per_class, per_position, per_position[..., None]):
        check(backend, nll(y, w), lambda x, w=w: oracles.nll(x, y, w), x)
        check(backend, lambda x, w=w: mc.nll(x, (soft[0], soft[1].astype(x.dtype)), w.astype(x.dtype)),
              lambda x, w=w: oracles.nll(x, soft, w), x)


def test_nll_second_derivatives():
    y = labels((4,), 3)
    gradient = mc.grad(lambda x: mc.pow(mc.nll(x, y), 2))
    assert mc.gradcheck(lambda x: gradient(x), randn(4, 3))


def test_nll_where_all_labels_are_skipped_is_0(backend):
    x, y = randn(3, 4), np.full(3, -1)
    close(backend, mc.nll(put(backend, x), y), 0.0)
    close(backend, gradients(backend, nll(y), x)[0], np.zeros((3, 4)))


def test_skipped_labels_get_no_gradient(backend):
    g, = gradients(backend, nll(np.array([1, -1])), randn(2, 3))
    assert (backend.get(g)[1] == 0).all() and (backend.get(g)[0] != 0).all()


def test_weights_of_ambiguous_shape_are_refused():
    with pytest.raises(ValueError, match=r"per class or per position .* as shape \(3, 1\)"):
        mc.nll(randn(3, 3), np.arange(3), np.ones(3))


def test_nll_of_many_pixels_keeps_its_digits():
    """A million pixels in float32 against float64."""
    x, y = randn(1 << 18, 4), labels((1 << 18,), 4)
    assert float(mc.nll(x.astype("float32"), y)) == pytest.approx(float(mc.nll(x, y)), rel=1e-6)


# ------------------------------------------------------------------ the other losses


@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4, 5), (1,), ()], ids=str)
@pytest.mark.parametrize("average", [True, False])
def test_losses_of_two_arrays(backend, shape, average):
    a, b = randn(*shape, seed=1), randn(*shape, seed=2)
    for f, oracle in ((mc.mse, oracles.mse), (mc.huber, oracles.huber)):
        if average:
            check(backend, f, oracle, a, b)
        else:
            check(backend, lambda a, b, f=f: f(a, b, average=False)[0],
                  lambda a, b, o=oracle: o(a, b, average=False)[0], a, b)
            assert f(*put(backend, (a, b)), average=False)[1] == a.size
    zero_one, sign = (np.random.default_rng(3).integers(0, 2, shape) for _ in range(2))
    for f, oracle, y in ((mc.bce, oracles.bce, zero_one), (mc.logistic, oracles.logistic, 2 * sign - 1)):
        if average:
            check(backend, lambda a, f=f, y=y: f(a, y), lambda a, o=oracle, y=y: o(a, y), a)
        else:
            total, count = f(put(backend, a), y, average=False)
            assert count == a.size
            close(backend, total, oracle(a, y, average=False)[0])


@pytest.mark.parametrize("delta", [0.3, 1, 10.0])
def test_huber_of_other_deltas(backend, delta):
    check(backend, lambda a, b: mc.huber(a, b, delta), lambda a, b: oracles.huber(a, b, delta),
          randn(4, 5, seed=1), randn(4, 5, seed=2))


def test_bce_between_0_and_1(backend):
    y = single(np.random.default_rng(0).random((3, 4)))
    check(backend, lambda a: mc.bce(a, y.astype(a.dtype)), lambda a: oracles.bce(a, y), randn(3, 4) * 4)


def test_bce_and_logistic_of_huge_scores(backend):
    x = put(backend, np.array([1000.0, -1000.0]))
    close(backend, mc.bce(x, np.array([1, 0])), 0.0)
    close(backend, mc.bce(x, np.array([0, 1])), 1000.0)
    close(backend, mc.logistic(x, np.array([-1, 1])), 1000.0)


def test_second_derivatives_of_the_losses():
    a, b = distinct(5, seed=1), distinct(5, seed=2)
    y = np.array([0, 1, 1, 0, 1])
    for f in (lambda a: mc.mse(a, b), lambda a: mc.huber(a, b, 0.5), lambda a: mc.bce(a, y),
              lambda a: mc.logistic(a, 2 * y - 1)):
        gradient = mc.grad(lambda a, f=f: mc.pow(f(a), 2))
        assert mc.gradcheck(lambda a, g=gradient: g(a), a)


@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4, 5), (3, 75)], ids=str)
def test_accuracy(backend, shape):
    x, y = distinct(*shape), labels(shape[:-1], shape[-1])
    given = put(backend, x)
    assert float(mc.accuracy(given, y)) == pytest.approx(oracles.accuracy(x, y))
    correct, count = mc.accuracy(given, y, average=False)
    assert count == (y >= 0).sum() and float(correct / count) == pytest.approx(oracles.accuracy(x, y))


@pytest.mark.parametrize("wrong, error, words", [
    (lambda x: mc.nll(x, np.zeros(5, int)), ValueError, r"\(4, 3\) need labels of shape \(4,\), got \(5,\)"),
    (lambda x: mc.nll(x, np.full(4, 3)), ValueError, r"between -1 and 2 .*got 3 to 3"),
    (lambda x: mc.nll(x, np.full(4, -2)), ValueError, r"between -1 and 2"),
    (lambda x: mc.nll(x, np.zeros(4)), TypeError, "integer labels, got float64"),
    (lambda x: mc.nll(x, np.zeros(4, int), np.ones(7)), ValueError, r"weights of shape \(3,\) or \(4,\), got \(7,\)"),
    (lambda x: mc.nll(x, (np.zeros((4, 2), int), np.ones((4, 3)))), ValueError, r"\(4, 2\) and values \(4, 3\)"),
    (lambda x: mc.nll(x, (np.zeros((4, 2), int),)), ValueError, "tuple of 1"),
    (lambda x: mc.nll(x, None), TypeError, "integer labels"),
    (lambda x: mc.nll(x, np.zeros(4, int), ["a"] * 3), TypeError, "weights"),
    (lambda x: mc.mse(x, x[0]), ValueError, r"\(4, 3\) and \(3,\): they must be equal"),
    (lambda x: mc.mse(x[:0], x[:0]), ValueError, r"no elements: shape \(0, 3\)"),
    (lambda x: mc.huber(x, x, 0), ValueError, "delta above 0, got 0"),
    (lambda x: mc.huber(x, x, "a"), TypeError, "delta as a number, got 'a'"),
    (lambda x: mc.bce(x, np.full((4, 3), 2)), ValueError, "labels between 0 and 1, got 2.0 to 2.0"),
    (lambda x: mc.logistic(x, np.full((4, 3), -2)), ValueError, "labels between -1 and 1"),
    (lambda x: mc.bce(x, np.zeros(4)), ValueError, r"\(4, 3\) and \(4,\)"),
    (lambda x: mc.bce(x, "yes"), TypeError, "bce needs labels"),
    (lambda x: mc.accuracy(x, np.zeros(5, int)), ValueError, r"\(4, 3\) need integer labels of shape \(4,\)"),
    (lambda x: mc.accuracy(x, np.full(4, -1)), ValueError, "no labels"),
    (lambda x: mc.accuracy(x, np.full(4, 3)), ValueError, "between -1 and 2"),
    (lambda x: mc.softmax(x, axis=2), ValueError, r"axis 2 does not exist in shape \(4, 3\)"),
])
def test_errors_name_what_was_wrong(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong(randn(4, 3))
