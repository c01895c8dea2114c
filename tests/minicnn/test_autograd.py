"""The tape: first and higher derivatives, what it refuses, what it prints. Memory and threads: test_tape_life.py."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn as mc
from minicnn.autograd import recording

from ..tools import randn

# ------------------------------------------------------------------ first and higher order


def test_a_gradient_by_hand():
    w, b = mc.Param(np.array([[1.0, 2.0], [3.0, 4.0]])), mc.Param(np.array([0.5, -0.5]))
    x = np.array([[1.0, -1.0]])
    tape = mc.diff(lambda x: mc.sum((x @ w + b) ** 2), x)
    assert float(mc.value(tape)) == (1 - 3 + 0.5) ** 2 + (2 - 4 - 0.5) ** 2
    assert np.allclose(mc.grad(tape, b), [-3, -5])
    assert np.allclose(mc.grad(tape, w), [[-3, -5], [3, 5]])
    assert mc.grad(tape, mc.Param(np.ones(2))) is None
    assert mc.params(tape) == [w, b]


def test_arguments_and_keywords_reach_the_function():
    w = mc.Param(2.0)
    tape = mc.diff(lambda x, *, scale: w * x * scale, 3.0, scale=5.0)
    assert float(mc.value(tape)) == 30 and float(mc.grad(tape, w)) == 15


def test_a_param_used_many_times_adds_up():
    w = mc.Param(3.0)
    tape = mc.diff(lambda: w * w * w + w + w)
    assert float(mc.grad(tape, w)) == 27 + 2
    assert float(mc.grad(mc.diff(lambda: sum([w] * 10, 0.0)), w)) == 10


def test_gradients_that_meet_are_not_changed_in_place():
    """One array may be the gradient of several nodes: adding to it in place would be wrong."""
    a, b = mc.Param(np.ones(3)), mc.Param(np.ones(3))

    def loss():
        s = a + b                                       # a and b receive the same array
        return mc.sum(s) + mc.sum(a) + mc.sum(a) + mc.sum(mc.reshape(a, (3, 1)))
    tape = mc.diff(loss)
    assert mc.grad(tape, a).tolist() == [4, 4, 4] and mc.grad(tape, b).tolist() == [1, 1, 1]


def test_a_loss_without_params_has_no_gradients():
    tape = mc.diff(lambda: 3.0)
    assert mc.value(tape) == 3.0 and mc.params(tape) == []


def test_six_derivatives():
    f, x = lambda x: mc.exp(x * 2), 0.3
    for order in range(7):
        assert float(f(x)) == pytest.approx(2 ** order * math.exp(0.6), rel=1e-12)
        f = mc.grad(f)


@pytest.mark.parametrize("f, derivatives", [
    (lambda x: mc.sigm(x), lambda s: [s * (1 - s), s * (1 - s) * (1 - 2 * s), s * (1 - s) * (1 - 6 * s + 6 * s * s)]),
    (lambda x: 1 / (1 + mc.exp(-x)), lambda s: [s * (1 - s), s * (1 - s) * (1 - 2 * s),
                                                 s * (1 - s) * (1 - 6 * s + 6 * s * s)])])
def test_three_derivatives_of_the_logistic_function(f, derivatives):
    for expected in derivatives(float(f(np.float64(0.7)))):
        f = mc.grad(f)
        assert float(f(0.7)) == pytest.approx(expected, rel=1e-12)


def test_a_hessian():
    a, x = randn(4, 4), randn(4, seed=1)

    def f(x):
        return mc.sum(mc.pow(x @ a @ x, 2))
    hessian = np.array([mc.grad(lambda x, i=i: mc.grad(f)(x)[i])(x) for i in range(4)])
    s, q = a + a.T, x @ a @ x
    assert np.allclose(hessian, 2 * q * s + 2 * np.outer(s @ x, s @ x), rtol=1e-12)


def test_nested_gradients_know_their_own_variable():
    """AutoGrad.jl's known gap: d/dx of x * d/dy(x + y) is 1, not 2."""
    assert float(mc.grad(lambda x: x * mc.grad(lambda y: x + y)(x))(5.0)) == 1
    assert float(mc.grad(lambda x: x * mc.grad(lambda y: x * y)(2.0))(5.0)) == 10
    assert float(mc.grad(lambda x: mc.grad(lambda y: mc.grad(lambda z: x * y * z * z)(y))(x))(3.0)) == 4 * 3 * 2
    p = mc.Param(3.0)
    tape = mc.diff(lambda: mc.grad(lambda q: q * q * p)(p) * 1.0)
    assert float(mc.grad(tape, p)) == 12                # d(2 p p) / dp


def test_the_gradient_of_a_gradient_penalty_reaches_the_params():
    """What a critic is trained with."""
    w, x = mc.Param(randn(3, 3)), randn(3, seed=1)

    def penalty():
        g = mc.grad(lambda x: mc.sum(mc.tanh(x @ w)))(x)
        return mc.sum(g * g)
    assert mc.gcheck(penalty)


def test_gradloss_gives_both():
    g, y = mc.gradloss(lambda x: x * x)(3.0)
    assert float(g) == 6 and float(y) == 9 and not isinstance(y, mc.Result)
    g, y = mc.gradloss(lambda a, b: a * b, 1)(2.0, 5.0)
    assert float(g) == 2 and float(y) == 10


def test_an_unused_argument_has_gradient_0():
    assert mc.grad(lambda a, b: mc.sum(a), 1)(np.ones(2), np.ones(3)).tolist() == [0, 0, 0]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(0, 1000))
def test_random_chains_of_operators(steps, seed):
    """Whatever is built of smooth operators has the right gradient, in one and two uses of x."""
    choices = [mc.tanh, mc.sigm, lambda x: x * x * 0.5, mc.softplus, lambda x: x - mc.mean(x),
               lambda x: mc.exp(x * 0.1)]

    def f(x):
        y = x
        for i in steps:
            y = choices[i](y) + 0.1 * x
        return y
    assert mc.gradcheck(f, randn(3, 2, seed=seed), nsample=3)


# ------------------------------------------------------------------ training, freeze, print


def test_training_is_on_inside_diff():
    seen = []
    mc.diff(lambda: seen.append(mc.training()) or 0.0)
    assert seen == [True] and not mc.training()
    with mc.force_training(False):
        mc.diff(lambda: seen.append(mc.training()) or 0.0)
    with mc.force_training(True):
        assert mc.training()
        with mc.force_training(False):
            assert not mc.training()
        assert mc.training()
    assert seen == [True, False] and not mc.training()


def test_after_an_error_nothing_is_recorded_any_more():
    with pytest.raises(ZeroDivisionError):
        mc.diff(lambda: 1 / 0)
    with pytest.raises(KeyError), mc.force_training(True):
        raise KeyError
    assert not mc.training()
    assert not isinstance(mc.Param(1.0) * 2, mc.Result)


def test_freeze():
    a, b = mc.Param(2.0), mc.Param(3.0)
    model = {"first": [a], "second": b}
    mc.freeze(model["first"])
    tape = mc.diff(lambda: a * b)
    assert mc.grad(tape, a) is None and float(mc.grad(tape, b)) == 2 and mc.params(tape) == [b]
    mc.freeze(model, frozen=False)
    assert float(mc.grad(mc.diff(lambda: a * b), a)) == 3
    assert mc.params(model) == [a, b]


def test_print_tells_the_story_even_after_the_values_are_gone():
    w = mc.Param(np.ones((3, 2), "float32"))
    tape = mc.diff(lambda x: mc.mean(mc.tanh(x @ w)), np.ones((4, 3), "float32"))
    lines = str(tape).splitlines()
    assert lines[0].startswith("Tape of 5 nodes, value 0.995")
    for line, words in zip(lines[1:], (["param", "float32", "(3, 2)"], ["_matmul", "(4, 2)", "ms back"],
                                       ["tanh", "(4, 2)", " ms"], ["sum", "()"], ["mul", "()"])):
        assert all(word in line for word in words)


def test_short_reprs():
    p = mc.Param(np.ones((2, 3), "float32"))
    assert repr(p) == "Param(float32, (2, 3))"
    texts = []
    mc.diff(lambda: texts.append(repr(p * 2)) or 0.0)
    assert texts == ["Result(float32, (2, 3))"]
    assert (p.shape, p.dtype, p.ndim, p.size, len(p)) == ((2, 3), "float32", 2, 6, 2)
    assert float(mc.Param(2.5)) == 2.5


def test_loops_over_a_param_are_recorded():
    p = mc.Param(np.array([[1.0, 2.0], [3.0, 4.0]]))
    tape = mc.diff(lambda: sum((mc.sum(row) * (i + 1) for i, row in enumerate(p)), 0.0))
    assert mc.grad(tape, p).tolist() == [[1, 1], [2, 2]]


# ------------------------------------------------------------------ what is refused

W = mc.Param(np.ones((3, 2)))


@pytest.mark.parametrize("call, error, words", [
    (lambda: mc.diff(lambda: W * 2), ValueError, r"scalar loss, got shape \(3, 2\): sum it or take the mean"),
    (lambda: mc.diff(lambda: (mc.sum(W), 6)), TypeError, "scalar loss, got tuple"),
    (lambda: mc.diff(lambda: None), TypeError, "scalar loss, got NoneType"),
    (lambda: mc.diff(lambda: mc.mse(W, np.ones((3, 2)), average=False)), TypeError, "scalar loss, got tuple"),
    (lambda: mc.diff(lambda: W.__setitem__(0, 1)), TypeError, "Param was overwritten inside diff"),
    (lambda: mc.diff(lambda: W.__iadd__(1)), TypeError, "Param was overwritten inside diff"),
    (lambda: mc.diff(lambda: (W * 2).__setitem__(0, 1)), TypeError, "overwritten inside diff.*mc.cat"),
    (lambda: mc.diff(lambda: np.ones((3, 2)).__iadd__(W)), TypeError, "not recorded"),
    (lambda: mc.diff(lambda: mc.sum(W * np.ones((3, 1)) * np.ones(3))), ValueError, r"\(3, 2\) and \(3,\)"),
    (lambda: mc.diff(lambda: mc.sum(W[:, 0] * np.ones((3, 1)))), ValueError, "both would be broadcast, to"),
    (lambda: mc.diff(lambda: mc.sum(W @ np.ones((2, 2), "float32"))), TypeError, r"float64 \(3, 2\) and float32"),
    (lambda: W + np.ones((3, 2), "float32"), TypeError, "give it one dtype, for instance with x.astype"),
    (lambda: mc.Param(np.ones(3, int)), TypeError, "floating-point array, got int64"),
    (lambda: mc.grad(mc.diff(lambda: mc.sum(W)), np.ones(2)), TypeError, "needs a Param, got ndarray"),
    (lambda: mc.grad(3.0), TypeError, r"grad takes \(tape, param\) or \(function, number\), got \(float, int\)"),
    (lambda: mc.grad(lambda x: x, 1)(2.0), TypeError, "argument 1 was asked for, got 1 arguments"),
    (lambda: mc.grad(lambda x: x, -1)(2.0), TypeError, "argument -1 was asked for"),
    (lambda: mc.diff(lambda: mc.clip(1.0, W[0, 0], 2)), TypeError, "clip has no gradient for its argument 'low'"),
    (lambda: mc.primitive(lambda x: x, keep="z"), ValueError, "keep='z' names something that is neither"),
])
def test_errors_name_what_was_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()
    assert not mc.training()


@pytest.mark.parametrize("back, words", [
    (lambda dy, y, x: dy[:1], r"gradient of f for argument 0 is float64 \(1,\), but the argument is float64 \(3,\)"),
    (lambda dy, y, x: dy.astype("float32"), r"is float32 \(3,\), but the argument is float64 \(3,\)")])
def test_a_primitives_gradient_must_have_shape_and_dtype_of_its_argument(back, words):
    @mc.primitive
    def f(x):
        return x + 0
    f.back = (back,)
    with pytest.raises(ValueError, match=words):
        mc.grad(lambda x: mc.sum(f(x)))(np.ones(3))


def test_a_result_of_a_diff_that_has_ended_is_refused():
    saved = []
    mc.diff(lambda: saved.append(W * 2) or 0.0)
    with pytest.raises(RuntimeError, match="mul got a Result of a diff that has ended.*mc.value"):
        mc.diff(lambda: mc.sum(saved[0] * W))
    tape = mc.diff(lambda: mc.sum(mc.value(saved[0]) * W))
    assert mc.grad(tape, W).tolist() == [[2, 2]] * 3
    assert (saved[0] * 3).tolist() == [[6, 6]] * 3      # outside diff it is its array


# ------------------------------------------------------------------ small things


def test_recording_without_going_back():
    w = mc.Param(2.0)
    with recording() as tape:
        assert mc.training() and isinstance(w * 3, mc.Result)
    assert len(tape.nodes) == 2 and not mc.training()


def test_zerograd_gives_constants():
    argmax = mc.zerograd(np.argmax)
    p = mc.Param(np.array([1.0, 3.0, 2.0]))
    tape = mc.diff(lambda: mc.sum(p[int(argmax(p))]))
    assert mc.grad(tape, p).tolist() == [0, 1, 0]


def test_params_of_a_model_come_once_and_in_order():
    a, b, c = (mc.Param(float(i)) for i in range(3))

    class Model:
        def __init__(self):
            self.layers, self.other, self.again = [a, {"b": b}], (c,), a
    assert mc.params(Model()) == [a, b, c]


def test_params_update_in_place_outside_diff():
    p = mc.Param(np.ones(3, "float32"))
    array = p.value
    p -= 0.5
    p *= np.float64(2)
    p += np.ones(3)
    p /= 2
    p[0] = 7
    assert p.value is array and p.dtype == "float32" and array.tolist() == [7, 1, 1]
