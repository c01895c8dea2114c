"""The losses. The oracle of the rebalanced one is its looped form with one-hot targets, pixel by pixel."""
import math

import numpy as np
import pytest

import minicnn as mc
from colorize.color.bins import Prior, gamut
from colorize.models import losses

from ...grids import labels
from ...tools import check, close, gradients, put, randn, single

SHAPE, Q = (3, 2, 4), 7
HARD = labels(SHAPE, Q)                                         # some are -1
SOFT = labels(SHAPE + (3,), Q, seed=4), single(np.abs(randn(*SHAPE, 3, seed=3)))
WEIGHTS = single(np.abs(randn(Q, seed=5)) + 0.1)
MASKS = {"": None, "images": np.array([True, False, True]), "pixels": np.random.default_rng(6).random(SHAPE) > 0.3}
SCORES = randn(*SHAPE, Q) * 2

each_target = pytest.mark.parametrize("targets", [HARD, SOFT], ids=["hard", "soft"])
each_weight = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weights"])
each_form = pytest.mark.parametrize("form", ["log", "linear"])


def looped(scores, targets, weights=None, mask=None, form="log", reduce="mean"):
    """One pixel after the other, each with its one-hot (or soft) target over all bins."""
    total, count = 0.0, 0
    for at in np.ndindex(scores.shape[:-1]):
        target, first = np.zeros(scores.shape[-1]), None
        pairs = zip(targets[0][at], targets[1][at]) if isinstance(targets, tuple) else [(targets[at], 1.0)]
        for i, (index, value) in enumerate(pairs):
            first = index if i == 0 else first
            if index >= 0:
                target[index] += value
        weight = 1.0 if weights is None else weights[first] if first >= 0 else 0.0
        if mask is not None:
            weight *= mask[at[0]] if mask.ndim == 1 else mask[at]
        e = [math.exp(s - scores[at].max()) for s in scores[at]]
        p = [v / sum(e) for v in e]
        total -= weight * sum(t * (math.log(v) if form == "log" else v) for t, v in zip(target, p))
        count += target.any()
    return total / count if reduce == "mean" else total


@each_target
@each_weight
@each_form
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_rebalanced_against_the_looped_form(backend, targets, weights, form, mask, reduce):
    options = {"mask": MASKS[mask], "form": form, "reduce": reduce}
    check(backend, lambda s: losses.rebalanced(s, targets, weights, **options),
          lambda s: looped(s, targets, weights, **options), SCORES)


@each_target
@each_form
def test_targets_weights_and_scores_may_live_anywhere(backend, targets, form):
    """Weights as a Param (as a model keeps them) or an array, targets from the CPU or beside the scores."""
    scores, expected = put(backend, SCORES), looped(SCORES, targets, WEIGHTS, MASKS["images"], form)
    for y in (targets, put(backend, targets)):
        for w in (WEIGHTS, put(backend, WEIGHTS), mc.Param(put(backend, WEIGHTS))):
            close(backend, losses.rebalanced(scores, y, w, mask=put(backend, MASKS["images"]), form=form), expected)


@each_target
@each_weight
@each_form
@pytest.mark.parametrize("mask", ["images", "pixels"])
def test_weights_on_the_gradient_only(backend, targets, weights, form, mask):
    """The number is the plain loss, the gradient that of the weighted one."""
    def loss(where):
        return lambda s: losses.rebalanced(s, targets, weights, mask=MASKS[mask], form=form, where=where)

    close(backend, loss("gradient")(put(backend, SCORES)), looped(SCORES, targets, form=form))
    got, expected = (gradients(backend, loss(where), SCORES)[0] for where in ("gradient", "loss"))
    assert np.array_equal(backend.get(got), backend.get(expected)) and backend.get(got).any()


def test_a_pixel_has_the_weight_of_its_nearest_bin():
    """As in Zhang's release, also where its soft target lies on several bins."""
    bins, ab = gamut(10), np.random.default_rng(0).normal(0, 30, (2, 5, 2))
    w = np.arange(313.0)
    assert np.array_equal(losses.pixel_weights(bins.soft(ab), w), bins.encode(ab))
    assert np.array_equal(losses.pixel_weights(bins.encode(ab), w), bins.encode(ab))


def test_targets_and_weights_from_bins_and_priors(backend):
    """Everything together, at 313 bins: the loss falls when the scores favour the true bins."""
    bins, ab = gamut(10), single(np.random.default_rng(0).normal(0, 20, (2, 3, 3, 2)))
    prior = Prior(bins)
    prior.add(put(backend, ab))
    given = put(backend, ab)
    for targets in (bins.encode(given), bins.soft(given)):
        plain = tuple(map(backend.get, targets)) if isinstance(targets, tuple) else backend.get(targets)
        for weights in (prior.zhang(), prior.minus_log()):
            for scale in (0.0, 5.0):
                scores = single(np.eye(313)[bins.encode(ab)] * scale)
                got = losses.rebalanced(put(backend, scores), targets, weights)
                close(backend, got, looped(scores, plain, weights.astype("float64")))
            assert float(got) < looped(np.zeros((2, 3, 3, 313)), plain, weights)


def test_grey_images_give_no_gradient(backend):
    ab = single(np.stack([np.full((4, 5, 2), 4.9), np.random.default_rng(0).normal(0, 20, (4, 5, 2))]))
    mask = losses.grey_mask(put(backend, ab))
    assert backend.get(mask).tolist() == [False, True]
    scores, targets = randn(2, 4, 5, 54), gamut(30).encode(ab)
    for where in ("loss", "gradient"):
        g, = gradients(backend, lambda s, w=where: losses.rebalanced(s, targets, mask=mask, where=w), scores)
        assert not backend.get(g)[0].any() and backend.get(g)[1].all()


@pytest.mark.parametrize("threshold, expected", [(5, [False, True, True]), (6, [False, False, True]),
                                                 (9, [False, False, False])])
def test_grey_mask_looks_at_each_channel(threshold, expected):
    ab = np.zeros((3, 2, 2, 2))
    ab[:, 1, 0] = [[5, -5], [-6, 0], [0, 8]]
    assert losses.grey_mask(ab, threshold).tolist() == expected


def test_no_square_arrays_of_scores_are_mistaken():
    """As many pixels as bins: nll alone could not tell what the weights belong to."""
    scores, targets = randn(Q, Q), labels((Q,), Q)
    assert losses.rebalanced(scores, targets, WEIGHTS) == pytest.approx(looped(scores, targets, WEIGHTS))


# ------------------------------------------------------------------ regression

Y, TARGET = randn(2, 3, 4, 2, seed=1), randn(2, 3, 4, 2, seed=2)
PIXELS = single(np.abs(randn(2, 3, 4, seed=3)))


def over_pixels(error):
    """The oracle: the mean of weight * error(y, target) over pixels, and over channels if error gives several."""
    def loss(y, target, weights=None):
        found = []
        for at in np.ndindex(y.shape[:-1]):
            w = 1.0 if weights is None else float(weights[at])
            found += [w * e for e in error(y[at].tolist(), target[at].tolist())]
        return sum(found) / len(found)
    return loss


def square(a, b):
    return [(p - q) ** 2 for p, q in zip(a, b)]


def distance(a, b):
    return [math.hypot(a[0] - b[0], a[1] - b[1])]


def smooth(a, b, delta=0.7):
    sizes = [abs(p - q) for p, q in zip(a, b)]
    return [d * d / 2 if d < delta else delta * (d - delta / 2) for d in sizes]


@pytest.mark.parametrize("f, error, options", [
    (losses.mse, square, {}), (losses.euclidean, distance, {"epsilon": 0.0}), (losses.huber, smooth, {"delta": 0.7}),
], ids=["mse", "euclidean", "huber"])
def test_regression_against_loops(backend, f, error, options):
    oracle = over_pixels(error)
    check(backend, lambda y, t: f(y, t, **options), lambda y, t: oracle(y, t), Y, TARGET)
    check(backend, lambda y, t: f(y, t, put(backend, PIXELS), **options), lambda y, t: oracle(y, t, PIXELS),
          Y, TARGET)


def test_euclidean_where_both_meet():
    g, = mc.grad(lambda y: losses.euclidean(y, np.ones((1, 1, 2))))(np.ones((1, 1, 2))).reshape(1, 2)
    assert g.tolist() == [0, 0]


def test_chroma_weights(backend):
    ab = single(np.array([[[0.0, 0], [12, 16]], [[0, 40], [30, 40]]]))
    expected = np.array([[1.0, 2], [3, 3.5]])
    close(backend, losses.chroma_weights(put(backend, ab)), expected / expected.mean())
    milder = 1 + np.array([[0.0, 20], [40, 50]]) / 10 * 0.5
    close(backend, losses.chroma_weights(put(backend, ab), 0.5, 10.0), milder / milder.mean())


@pytest.mark.parametrize("wrong, error, words", [
    (lambda s: losses.rebalanced(s, HARD, WEIGHTS[:5]), ValueError, r"need weights of shape \(7,\), got \(5,\)"),
    (lambda s: losses.rebalanced(s, HARD, mask=np.ones(4)), ValueError, r"a mask of shape \(3,\) or \(3, 2, 4\)"),
    (lambda s: losses.rebalanced(s, HARD[0], WEIGHTS), ValueError, r"need labels of shape \(3, 2, 4\)"),
    (lambda s: losses.rebalanced(s, HARD[0], form="linear"), ValueError, r"need labels of shape \(3, 2, 4\)"),
    (lambda s: losses.rebalanced(s, HARD + 9, WEIGHTS), ValueError, r"shape \(7,\) for bins up to 15 \(int"),
    (lambda s: losses.rebalanced(s, HARD, where="both"), ValueError, "where='both': expected 'loss' or 'gradient'"),
    (lambda s: losses.rebalanced(s, HARD, form="cubic"), ValueError, "form='cubic': expected 'log' or 'linear'"),
    (lambda s: losses.rebalanced(s, HARD, reduce="max"), ValueError, "reduce='max': expected 'mean' or 'sum'"),
    (lambda s: losses.pixel_weights(HARD * 1.0, WEIGHTS), ValueError, "float64"),
    (lambda s: losses.mse(Y, TARGET[:1], PIXELS), ValueError, r"\(2, 3, 4, 2\) and \(1, 3, 4, 2\)"),
    (lambda s: losses.huber(Y, TARGET, PIXELS, delta="a"), TypeError, "delta as a number"),
    (lambda s: losses.huber(Y, TARGET, PIXELS, delta=0), ValueError, "delta above 0, got 0"),
    (lambda s: losses.euclidean(Y, TARGET, PIXELS[0]), ValueError, r"weights of shape \(2, 3, 4\), got \(3, 4\)"),
    (lambda s: losses.grey_mask(HARD), TypeError, "grey_mask needs float32 or float64 arrays"),
])
def test_errors_name_what_was_wrong(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong(SCORES)
