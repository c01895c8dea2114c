"""Golden section and hyperband: known optima, what they ask for and how often, NaN, going on."""
import math

import numpy as np
import pytest

import minicnn as mc


@pytest.mark.parametrize("optimum", [[0.0], [3.7], [-40.0], [2.5, -1.2], [0.3, 10.0, -4.0]])
def test_goldensection_finds_the_optimum(optimum):
    calls = []

    def f(x):
        calls.append(x)
        return float((np.arange(1, len(x) + 1) * (x - optimum) ** 2).sum()) + 5
    least, x = mc.goldensection(f, len(optimum), dxmin=0.01)
    assert np.abs(x - optimum).max() < 0.02 and least == f(x) and least < 5.002
    assert (calls[0] == 0).all() and np.abs(calls[1]).tolist().count(1) == 1
    assert len(calls) < 60 * len(optimum)


def test_goldensection_with_dimensions_that_depend_on_each_other():
    least, x = mc.goldensection(lambda x: (x[0] - x[1]) ** 2 + 0.3 * (x[0] + x[1] - 4) ** 2, 2, dxmin=0.001)
    assert least < 1e-3 and np.abs(x - 2).max() < 0.05


def test_nan_is_out_of_range():
    least, x = mc.goldensection(lambda x: math.nan if x[0] > 1.5 else (x[0] - 1.4) ** 2, 1, dxmin=0.01)
    assert abs(x[0] - 1.4) < 0.02
    with pytest.raises(ValueError, match="begin at zeros"):
        mc.goldensection(lambda x: math.nan, 1)


def test_with_a_history_goldensection_goes_on():
    calls, history = [], []

    def f(x):
        calls.append(x)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return (x[0] - 3) ** 2 + (x[1] - 1) ** 2
    with pytest.raises(KeyboardInterrupt):
        mc.goldensection(f, 2, history=history)
    assert len(history) == 6
    least, x = mc.goldensection(f, 2, history=history)
    assert (least, x.tolist()) == (lambda a: (a[0], a[1].tolist()))(mc.goldensection(
        lambda x: (x[0] - 3) ** 2 + (x[1] - 1) ** 2, 2))
    assert len(calls) == len(history) + 1 and len({tuple(x) for x, _ in history}) == len(history)


def test_hyperband_spends_as_the_paper_s_table_says():
    """Li et al., table 1: R = 81, reduction 3; (configurations, resource) of each round of each bracket."""
    spent, made = [], []

    def getconfig():
        made.append(len(made))
        return made[-1]

    def getloss(config, resource):
        spent.append((config, resource))
        return config / resource
    mc.hyperband(getconfig, getloss, 81, 3)
    rounds, seen = [], 0
    for s, n in zip((4, 3, 2, 1, 0), (81, 34, 15, 8, 5)):   # the paper prints 27, 9, 6 where ceil gives 34, 15, 8
        for i in range(s + 1):
            size = n // 3 ** i
            rounds.append((size, 81 / 3 ** (s - i)))
            assert {r for _, r in spent[seen:seen + size]} == {81 / 3 ** (s - i)}
            seen += size
    assert seen == len(spent) and rounds[:5] == [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]


def test_hyperband_keeps_the_best_of_each_round():
    rng, asked = np.random.default_rng(3), {}

    def getloss(config, resource):
        asked.setdefault(resource, []).append(config)
        return abs(config - 0.5) + 1 / resource
    loss, resource, config = mc.hyperband(lambda: float(rng.uniform()), getloss, 27, 3)
    assert resource == 27 and loss == abs(config - 0.5) + 1 / 27
    assert abs(config - 0.5) == min(abs(c - 0.5) for c in asked[27.0])
    first = sorted(asked[1.0], key=lambda c: abs(c - 0.5))
    assert sorted(asked[3.0][:9], key=lambda c: abs(c - 0.5)) == first[:9]


@pytest.mark.parametrize("most, rounds", [(1, 1), (2, 1), (3, 2), (243, 6), (244, 6), (242, 5)])
def test_hyperband_counts_its_rounds_exactly(most, rounds):
    resources = set()
    mc.hyperband(lambda: 0, lambda c, r: resources.add(r) or 1.0, most, 3)
    assert len(resources) == rounds and max(resources) == most


def test_in_hyperband_nan_is_the_worst():
    rng = np.random.default_rng(0)
    loss, resource, config = mc.hyperband(lambda: int(rng.integers(10)), lambda c, r: math.nan if c < 8 else c, 9)
    assert loss == config and config >= 8
    assert mc.hyperband(lambda: 1, lambda c, r: math.nan, 9) == (math.inf, None, None)


@pytest.mark.parametrize("call, words", [
    (lambda: mc.goldensection(lambda x: 0.0, 0), "n of at least 1"),
    (lambda: mc.goldensection(lambda x: 0.0, 1, dxmin=0), "dxmin above 0"),
    (lambda: mc.goldensection(lambda x: 0.0, 1, accel=1), "accel above 1"),
    (lambda: mc.hyperband(int, lambda c, r: 0.0, 0.5), "maxresource of at least 1"),
    (lambda: mc.hyperband(int, lambda c, r: 0.0, 9, 1), "reduction above 1"),
])
def test_wrong_calls_say_so(call, words):
    with pytest.raises(ValueError, match=words):
        call()
