"""gradcheck and gcheck must say no to a wrong gradient, however small the error, and leave everything as it was."""
import numpy as np
import pytest

import minicnn as mc

from ..tools import randn


def scaled_tanh(error):
    """tanh with a gradient that is wrong by a factor of 1 + error."""
    @mc.primitive
    def f(x):
        return np.tanh(x)
    f.back = (lambda dy, y, x: dy * (1 - y * y) * (1 + error),)
    return f


@pytest.mark.parametrize("error, right", [(0, True), (1e-7, True), (1e-5, False), (-1e-5, False), (1, False),
                                          (np.nan, False)])
def test_the_tolerance_is_a_millionth(error, right, capsys):
    assert mc.gradcheck(scaled_tanh(error), randn(3)) is right
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (0 if right else 3)
    assert all(line.startswith("gradcheck: argument 0 at (") and "numerically" in line for line in lines)


def test_quiet(capsys):
    assert mc.gradcheck(scaled_tanh(1), randn(3), verbose=False) is False
    assert capsys.readouterr().out == ""


def test_errors_that_cancel_in_a_plain_sum_are_seen():
    """The gradient of sum(softmax) is 0: a plain sum would let any multiple of it pass."""
    @mc.primitive
    def softmax(x):
        e = np.exp(x)
        return e / e.sum()
    softmax.back = (lambda dy, y, x: 2 * y * (dy - (dy * y).sum()),)
    assert not mc.gradcheck(softmax, randn(4), verbose=False)


def test_one_wrong_entry_of_few_is_seen_and_of_many_sampled():
    @mc.primitive
    def f(x):
        return x * 2
    f.back = (lambda dy, y, x: 2 * dy * (np.arange(x.size) != 7),)
    assert not mc.gradcheck(f, randn(10), verbose=False)
    assert not mc.gradcheck(f, randn(1000), nsample=1000, verbose=False)


def test_each_floating_array_is_checked_and_nothing_else(capsys):
    @mc.primitive
    def f(a, n, b):
        return a * n * b
    f.back = (lambda dy, y, a, n, b: dy * n * b, None, lambda dy, y, a, n, b: dy * n * a * 2)
    assert not mc.gradcheck(f, randn(2, seed=1), 3, randn(2, seed=2))
    assert {line[:21] for line in capsys.readouterr().out.splitlines()} == {"gradcheck: argument 2"}


def test_a_missing_gradient_is_zero():
    assert mc.gradcheck(lambda x, y: mc.sum(x * 2), randn(3), randn(3))


def test_arguments_stay_as_they_are():
    x, w = np.ones(3, "float32"), mc.Param(np.full(3, 2, "float32"))
    before = w.value
    assert mc.gradcheck(lambda x: x * x, x) and x.dtype == "float32" and x.tolist() == [1, 1, 1]
    assert mc.gcheck(lambda x: mc.sum(w * w * x), x)
    assert w.value is before and w.value.tolist() == [2, 2, 2]


def test_params_come_back_when_the_function_fails():
    w, calls = mc.Param(np.ones(3, "float32")), []

    def f():
        calls.append(1)
        if len(calls) == 4:
            raise KeyError("x")
        return mc.sum(w * w)
    before = w.value
    with pytest.raises(KeyError):
        mc.gcheck(f)
    assert w.value is before


def test_gcheck_of_a_model():
    """Convolution, batchnorm in training, dropout with its noise held still, a loss."""
    mc.seed(0)
    model = mc.Chain(mc.Conv(2, 3, 3, padding="same", stride=2), mc.BatchNorm(3), mc.tanh, mc.Dropout(0.5),
                     mc.Deconv(3, 1, 3, padding="same", stride=2), mc.sigm)
    x, y = np.float32(randn(2, 4, 6, 2)), np.float32(randn(2, 4, 6, 1))
    assert mc.gcheck(lambda x, y: mc.mse(model(x), y), x, y)
    assert all(p.dtype == "float32" for p in mc.params(model))


def test_gcheck_finds_the_param_with_a_wrong_gradient(capsys):
    a, b, wrong = mc.Param(np.ones(2)), mc.Param(np.ones(2)), scaled_tanh(0.5)
    assert not mc.gcheck(lambda: mc.sum(mc.tanh(a) + wrong(b)))
    assert {line[:15] for line in capsys.readouterr().out.splitlines()} == {"gcheck: Param 1"}


def test_keywords_reach_the_function():
    assert mc.gradcheck(mc.huber, randn(4, seed=1), randn(4, seed=2), delta=0.5)
    w = mc.Param(randn(3))
    assert mc.gcheck(lambda *, scale: mc.sum(w * scale), scale=2.0)


def test_a_scalar_and_nothing_at_all():
    assert mc.gradcheck(lambda x: x * x, np.float64(3))
    assert mc.gradcheck(lambda x: x * x, np.zeros((0, 3)))


def test_the_users_random_numbers_go_on_undisturbed():
    mc.seed(3)
    mc.gradcheck(lambda x: mc.dropout(x, 0.5), np.ones(20))
    a = mc.dropout(np.ones(64), 0.5, drop=True)
    mc.seed(3)
    assert np.array_equal(a, mc.dropout(np.ones(64), 0.5, drop=True))


@pytest.mark.parametrize("call, words", [
    (lambda: mc.gradcheck(mc.tanh, [1.0]), "needs a floating-point array among the arguments, got list"),
    (lambda: mc.gradcheck(lambda: 1.0), "got none"),
    (lambda: mc.gradcheck(lambda x: (x, x), np.ones(2)), "returns one array, got tuple"),
    (lambda: mc.gcheck(lambda x: mc.sum(x), np.ones(2)), "found no Param"),
])
def test_errors_name_what_was_wrong(call, words):
    with pytest.raises(TypeError, match=words):
        call()
