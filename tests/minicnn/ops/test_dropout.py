"""dropout."""
import numpy as np
import pytest

import minicnn as mc

from ...tools import check, close, gradients, randn


def kept(shape, p, seed):
    """Which elements stay, read off an array of ones."""
    return mc.dropout(np.ones(shape), p, drop=True, seed=seed) > 0


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4, 5), (1, 1), (0, 3), ()], ids=str)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout(backend, shape, p):
    """The same elements in every dtype, the rest divided by 1 - p, and the gradient by the same choice."""
    keep = kept(shape, p, 3)
    check(backend, lambda x: mc.dropout(x, p, drop=True, seed=3), lambda x: x * keep / (1 - p), randn(*shape))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_the_share_is_p(p):
    n = 100000
    for seed in range(5):
        dropped = 1 - kept((n,), p, seed).mean()
        assert abs(dropped - p) < 5 * np.sqrt(p * (1 - p) / n)


def test_neighbours_rows_and_seeds_are_independent():
    a = [kept((256, 256), 0.5, seed) * 2.0 - 1 for seed in range(3)]
    limit = 5 / 256
    for x, y in ((a[0][:, 1:], a[0][:, :-1]), (a[0][1:], a[0][:-1]), (a[0], a[1]), (a[1], a[2])):
        assert abs((x * y).mean()) < limit


def test_a_zero_that_is_kept_has_a_gradient(backend):
    """Where Knet goes wrong: it asks whether the output is 0."""
    keep = kept((50,), 0.5, 1)
    g, = gradients(backend, lambda x: mc.sum(mc.dropout(x, 0.5, drop=True, seed=1)), np.zeros(50))
    close(backend, g, keep * 2.0)


def test_it_works_inside_diff_only():
    x = np.ones((100,))
    assert mc.dropout(x, 0.5) is x
    p = mc.Param(x)
    assert mc.grad(mc.diff(lambda: mc.sum(mc.dropout(p, 0.5))), p).max() == 2
    assert mc.grad(mc.diff(lambda: mc.sum(mc.dropout(p, 0.5, drop=False))), p).max() == 1
    with mc.force_training(True):
        assert mc.dropout(x, 0.5).max() == 2
    assert mc.dropout(x, 0, drop=True) is x


def test_the_engines_seed_repeats_it():
    draws = []
    for _ in range(2):
        mc.seed(5)
        draws.append([mc.dropout(np.ones(64), 0.5, drop=True) for _ in range(3)])
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0][0], draws[0][1])


def test_second_derivatives():
    gradient = mc.grad(lambda x: mc.sum(mc.pow(mc.dropout(x, 0.3, drop=True, seed=1), 3)))
    assert mc.gradcheck(lambda x: gradient(x), randn(3, 4))


@pytest.mark.parametrize("wrong, error, words", [
    (lambda x: mc.dropout(x, 1), ValueError, "0 <= p < 1, got 1"),
    (lambda x: mc.dropout(x, -0.1), ValueError, "got -0.1"),
    (lambda x: mc.dropout(x, float("nan")), ValueError, "got nan"),
    (lambda x: mc.dropout(x, "half"), TypeError, "p as a number, got 'half'"),
    (lambda x: mc.dropout(x, None), TypeError, "p as a number, got None"),
    (lambda x: mc.dropout(x, 0.5, drop=True, seed="x"), TypeError, "seed as an int, got 'x'"),
    (lambda x: mc.dropout([1.0], 0.5), TypeError, "needs arrays, got list"),
])
def test_errors_name_what_was_wrong(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong(randn(4, 3))
