"""Activations."""
import numpy as np
import pytest

import minicnn as mc

from ... import oracles
from ...grids import ELEMENTS
from ...tools import FLOAT64, check, close, distinct, gradients, put, single

ACTIVATIONS = [(mc.relu, oracles.relu), (mc.relu6, oracles.relu6), (mc.tanh, oracles.tanh), (mc.sigm, oracles.sigm),
               (mc.selu, oracles.selu), (mc.leaky_relu, oracles.leaky_relu), (mc.elu, oracles.elu),
               (mc.softplus, oracles.softplus)]
each_activation = pytest.mark.parametrize("f, oracle", ACTIVATIONS, ids=[f.__name__ for f, _ in ACTIVATIONS])


@pytest.mark.parametrize("shape", ELEMENTS, ids=str)
@each_activation
def test_activations(backend, f, oracle, shape):
    check(backend, f, oracle, distinct(*shape))


@each_activation
def test_far_from_zero(backend, f, oracle):
    """No overflow, no warning, and the tails keep their digits."""
    x = np.array([-2000.0, -100.0, -80.0, -20.0, -0.0625, 0.0625, 20.0, 80.0, 100.0, 2000.0])
    close(backend, f(put(backend, x)), oracle(x))
    g, = gradients(backend, f, x)
    assert np.isfinite(backend.get(g)).all()
    close(backend, g, gradients(FLOAT64, f, x)[0])


def test_tails(backend):
    """exp(-80) is small, but not nothing: relative to itself, not to the largest output."""
    x = put(backend, np.array([-80.0, -20.0]))
    for f in (mc.sigm, mc.softplus):
        assert np.allclose(backend.get(f(x)).astype("float64"), np.exp([-80.0, -20.0]), rtol=1e-5, atol=0)
    tiny = put(backend, np.array([-1e-6, 1e-6]))
    assert np.allclose(backend.get(mc.elu(tiny)), [-1e-6, 1e-6], rtol=1e-5, atol=0)


@each_activation
def test_higher_derivatives(f, oracle):
    x = distinct(6)
    second = mc.grad(lambda x: mc.sum(mc.mul(f(x), f(x))))
    assert mc.gradcheck(lambda x: second(x), x)
    third = mc.grad(lambda x: mc.sum(mc.pow(second(x), 2)))
    assert mc.gradcheck(lambda x: third(x), x)


@pytest.mark.parametrize("slope", [0, 0.2, 1, -0.5])
def test_leaky_relu_of_other_slopes(backend, slope):
    check(backend, lambda x: mc.leaky_relu(x, slope), lambda x: oracles.leaky_relu(x, slope=slope), distinct(4, 5))


@pytest.mark.parametrize("alpha", [0.5, 2, 1.0])
def test_elu_of_other_alphas(backend, alpha):
    check(backend, lambda x: mc.elu(x, alpha), lambda x: oracles.elu(x, alpha=alpha), distinct(4, 5))


@pytest.mark.parametrize("shape", ELEMENTS, ids=str)
def test_relu6_at_both_ends(backend, shape):
    check(backend, mc.relu6, oracles.relu6, single(4 * distinct(*shape)))


@pytest.mark.parametrize("f, kinks", [(mc.relu, [0, -0.0]), (mc.relu6, [0, -0.0, 6])])
def test_relu_has_gradient_0_at_its_kinks(backend, f, kinks):
    close(backend, gradients(backend, f, np.array(kinks, "float64"))[0], np.zeros(len(kinks)))


def test_nan_stays_visible(backend):
    x = np.array([np.nan, 1.0, -np.inf, np.inf])
    for f in (mc.relu, mc.relu6):
        close(backend, f(put(backend, x)), np.array([np.nan, 1, 0, 6 if f is mc.relu6 else np.inf]))
        assert np.isnan(backend.get(gradients(backend, f, x)[0])).tolist() == [True, False, False, False]


@each_activation
def test_integers_are_refused(f, oracle):
    with pytest.raises(TypeError, match=r"needs float32 or float64 arrays, got int64 \(3,\) as x: use x.astype"):
        f(np.arange(3))


@pytest.mark.parametrize("wrong, error, words", [
    (lambda x: mc.leaky_relu(x, "a"), TypeError, "slope as a number, got 'a'"),
    (lambda x: mc.elu(x, None), TypeError, "alpha as a number, got None"),
    (lambda x: mc.elu(x, -1), ValueError, "alpha of at least 0, got -1"),
    (lambda x: mc.relu([1.0]), TypeError, "needs arrays, got list as x"),
])
def test_errors_name_what_was_wrong(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong(np.ones(3))
