"""Softmax and the losses. Scores and classes are along the last axis; a label of -1 is skipped."""
import builtins

import numpy as np

from ..autograd import nograd, primitive, value
from ..device import xp
from ..dispatch import kernels
from .activation import softplus
from .basic import abs, clip, div, exp, max, mean, mul, neg, reshape, sub, sum
from .shapes import floating, number

__all__ = ["accuracy", "bce", "huber", "logistic", "logsoftmax", "logsumexp", "mse", "nll", "softmax"]

# ------------------------------------------------------------------ softmax


@primitive(keep="y")
def softmax(x, *, axis=-1):
    """exp(x) / sum(exp(x)) along an axis, several, or all (None).

    >>> softmax(np.zeros(4))
    array([0.25, 0.25, 0.25, 0.25])
    """
    floating("softmax", x=x)
    return _softmax(x, axis)


@primitive(keep="y")
def logsoftmax(x, *, axis=-1):
    """log(softmax(x)), without overflow."""
    floating("logsoftmax", x=x)
    return _logsoftmax(x, axis)


@primitive(keep="x")
def logsumexp(x, *, axis=-1, keepdims=False):
    """log(sum(exp(x))) along an axis, several, or all (None), without overflow."""
    floating("logsumexp", x=x)
    y = _logsumexp(x, axis)
    return y if keepdims else sum(y, axis=axis)             # over axes of length 1: they go


@kernels(cpu="minicnn.cpu.loss.softmax", cuda="minicnn.cuda.loss.softmax")
def _softmax(x, axis):
    return np.exp(_logsoftmax(x, axis))


@kernels(cpu="minicnn.cpu.loss.logsoftmax", cuda="minicnn.cuda.loss.logsoftmax")
def _logsoftmax(x, axis):
    return x - _logsumexp(x, axis)


@kernels(cpu="minicnn.cpu.loss.logsumexp", cuda="minicnn.cuda.loss.logsumexp")
def _logsumexp(x, axis):
    """With the axes that are summed over kept, of length 1."""
    top = max(x, axis=axis, keepdims=True)
    top = xp(x).where(np.isfinite(top), top, 0)             # all -inf gives -inf, not NaN
    with np.errstate(divide="ignore", over="ignore"):
        return np.log(sum(np.exp(x - top), axis=axis, keepdims=True)) + top


softmax.back = (lambda dy, y, x, axis=-1: mul(y, sub(dy, sum(mul(dy, y), axis=axis, keepdims=True))),)
logsoftmax.back = (lambda dy, y, x, axis=-1: sub(dy, mul(exp(y), sum(dy, axis=axis, keepdims=True))),)
logsumexp.back = (lambda dy, y, x, axis=-1, keepdims=False:
                  mul(softmax(x, axis=axis), reshape(dy, max(value(x), axis=axis, keepdims=True).shape)),)


# ------------------------------------------------------------------ classification


def nll(scores, labels, weights=None, *, average=True):
    """The negative log likelihood of the labels under softmax(scores).

    `scores` (..., C) are raw. `labels` (...) are integers 0 .. C - 1, -1 to skip; or soft targets (indices, values),
    both (..., K): each position spreads its `values` over the classes `indices` (index -1: none). `weights` has one
    number for each class (C,), multiplied into each term, or one for each position (...). The sum is divided by the
    number of labels that are not skipped, unless average=False, which gives (sum, count) as Knet does.

    >>> round(float(nll(np.zeros((2, 4)), np.array([1, 3]))), 4)
    1.3863
    """
    floating("nll", scores=scores)
    indices, values, count = _targets(value(scores), labels)
    values = _weighted(value(scores), indices, values, value(weights) if weights is not None else None)
    total = nllsum(reshape(scores, (len(values), scores.shape[-1])), indices, values)
    return div(total, builtins.max(count, 1)) if average else (total, count)


def _targets(scores, labels):
    """labels as (indices, values), both (positions, K), and how many positions count.

    Skipped labels have index 0 and value 0.
    """
    if scores.ndim < 1 or scores.shape[-1] == 0:
        raise ValueError(f"nll needs scores of shape (..., C), got {scores.shape}")
    soft = isinstance(labels, tuple)
    if soft and len(labels) != 2:
        raise ValueError(f"nll needs soft targets as (indices, values), got a tuple of {len(labels)}")
    indices = _plain("nll", "integer labels", labels[0] if soft else labels, scores, "iu")
    expected = scores.shape[:-1]
    if (indices.shape[:-1] if soft else indices.shape) != expected or (soft and indices.ndim != scores.ndim):
        raise ValueError(f"nll: scores of shape {scores.shape} need labels of shape {expected}"
                         f"{' + (K,)' if soft else ''}, got {indices.shape}")
    given = _plain("nll", "values", labels[1], scores, "fiub") if soft else None
    if soft and given.shape != indices.shape:
        raise ValueError(f"nll got soft targets with indices {indices.shape} and values {given.shape}")
    values = (indices >= 0).astype(scores.dtype)
    if soft:
        values = xp(scores).where(indices < 0, values, given.astype(scores.dtype))
    flat = int(np.prod(expected)), indices.shape[-1] if soft else 1
    _, count = _checked("nll", indices, scores, (values.reshape(flat) != 0).any(axis=1).sum())
    return np.maximum(indices, 0).reshape(flat), values.reshape(flat), count


def _plain(name, what, x, scores, kinds):
    """x, perhaps a list, as an array beside the scores; its dtype must be of these kinds."""
    try:
        x = xp(scores).asarray(value(x))
        if x.dtype.kind in kinds:
            return x
        got = x.dtype
    except ValueError:
        got = "a ragged list"
    raise TypeError(f"{name} needs {what}, got {got}: use np.array(x).astype(...)")


def _checked(name, labels, scores, *more):
    """The largest label and some more numbers, with one wait for the GPU; labels out of range are an error."""
    if not labels.size:
        return -1, *(0 for _ in more)
    low, high, *more = map(int, xp(labels).stack([labels.min(), labels.max(), *more]).tolist())
    if not -1 <= low <= high < scores.shape[-1]:
        raise ValueError(f"{name}: labels {labels.shape} must lie between -1 and {scores.shape[-1] - 1} for scores "
                         f"{scores.shape}, got {low} to {high}")
    return high, *more


@np.errstate(all="ignore")
def _weighted(scores, indices, values, weights):
    """values times the weights."""
    if weights is None:
        return values
    weights = _plain("nll", "weights that are numbers", weights, scores, "fiub")
    positions, classes = scores.shape[:-1], scores.shape[-1]
    if weights.shape == (classes,) == positions:
        raise ValueError(f"nll: weights of shape {weights.shape} could be per class or per position of scores "
                         f"{scores.shape}: give those per position as shape {positions + (1,)}")
    if weights.shape == (classes,):
        return values * weights.astype(scores.dtype)[indices]
    if weights.shape not in (positions, positions + (1,)):
        raise ValueError(f"nll: scores of shape {scores.shape} need weights of shape {(classes,)} or {positions}, "
                         f"got {weights.shape}")
    return values * weights.reshape(-1, 1).astype(scores.dtype)


@primitive(keep="scores indices values")
def nllsum(scores, indices, values):
    """-sum(values * logsoftmax(scores)[indices]), with scores (positions, C), indices and values (positions, K)."""
    return _nllsum(scores, indices, values)


def _nllsum_back(dy, y, scores, indices, values):
    return _nll_gradient(dy, scores, indices, values)


nllsum.back = (_nllsum_back, nograd, nograd)


@kernels(cpu="minicnn.cpu.loss.nllsum", cuda="minicnn.cuda.loss.nllsum")
def _nllsum(scores, indices, values):
    logp = xp(scores).take_along_axis(_logsoftmax(scores, -1), indices.astype("int64"), 1)
    return -_total(values * xp(scores).where(values == 0, 0, logp))


def _total(x):
    return x.sum(dtype="float64").astype(x.dtype)


@kernels(cpu="minicnn.cpu.loss.nll_gradient", cuda="minicnn.cuda.loss.nll_gradient")
def _nll_gradient(dy, scores, indices, values):
    """softmax(scores) * (total value of the position) - values at their indices; made of operators."""
    onehot = xp(values).zeros(scores.shape, values.dtype)
    rows = xp(values).arange(len(values))
    for k in range(values.shape[1]):                        # one position may name a class twice
        onehot[rows, indices[:, k]] += values[:, k]
    return mul(sub(mul(softmax(scores), values.sum(axis=1, keepdims=True)), onehot), dy)


def accuracy(scores, labels, *, average=True):
    """The share of labels (not -1) that have the highest score; average=False gives (correct, count).

    >>> float(accuracy(np.eye(3), np.array([0, 1, 1])).round(3))
    0.667
    """
    scores = value(scores)
    floating("accuracy", scores=scores)
    labels = _plain("accuracy", "integer labels", labels, scores, "iu")
    if not scores.ndim or not scores.shape[-1] or labels.shape != scores.shape[:-1]:
        raise ValueError(f"accuracy: scores of shape {scores.shape} need integer labels of shape "
                         f"{scores.shape[:-1]}, got {labels.shape}")
    largest, = _checked("accuracy", labels, scores)
    count = (labels >= 0).sum()
    correct = ((scores.argmax(axis=-1) == labels) & (labels >= 0)).sum()
    if not average:
        return correct, count
    if largest < 0:
        raise ValueError(f"accuracy of no labels: shape {labels.shape}")
    return correct / count


def _signed(name, scores, labels, allowed):
    """Labels in the scores' dtype; they must be 0 and 1, or -1 and 1."""
    floating(name, scores=scores)
    labels = _plain(name, "labels that are numbers", labels, value(scores), "fiub")
    _same_shape(name, scores, labels)
    labels = labels.astype(scores.dtype)
    if not (((labels >= allowed[0]) & (labels <= 1)) | np.isnan(labels)).all():
        raise ValueError(f"{name} needs labels between {allowed[0]} and {allowed[1]}, "
                         f"got {labels.min()} to {labels.max()}")
    return labels


def bce(scores, labels, *, average=True):
    """Binary cross-entropy of raw scores against labels 0 or 1 (or probabilities between)."""
    return _reduced(sub(softplus(scores), mul(scores, _signed("bce", scores, labels, (0, 1)))), average)


def logistic(scores, labels, *, average=True):
    """The logistic loss log(1 + exp(-label * score)) of raw scores against labels -1 or 1."""
    return _reduced(softplus(neg(mul(scores, _signed("logistic", scores, labels, (-1, 1))))), average)


# ------------------------------------------------------------------ regression


def _same_shape(name, a, b):
    if a.shape != b.shape:
        raise ValueError(f"{name} got shapes {a.shape} and {b.shape}: they must be equal")
    if a.size == 0:
        raise ValueError(f"{name} of no elements: shape {a.shape}")


def _reduced(loss, average):
    return mean(loss) if average else (sum(loss), loss.size)


def mse(y, target, *, average=True):
    """The mean of (y - target) ** 2; average=False gives (sum, count)."""
    floating("mse", y=y, target=target)
    _same_shape("mse", y, target)
    total = square_error(y, target)
    return mul(total, 1 / y.size) if average else (total, y.size)


@primitive(keep="a b")
def square_error(a, b):
    """sum((a - b) ** 2)"""
    return _square_error(a, b)


@kernels(cpu="minicnn.cpu.loss.square_error", cuda="minicnn.cuda.loss.square_error")
def _square_error(a, b):
    return _total(np.square(a - b))


@kernels(cpu="minicnn.cpu.loss.scaled_difference", cuda="minicnn.cuda.loss.scaled_difference")
def _scaled_difference(a, b, scale):
    return mul(sub(a, b), scale)


square_error.back = (lambda dy, y, a, b: _scaled_difference(a, b, mul(dy, 2)),
                     lambda dy, y, a, b: _scaled_difference(b, a, mul(dy, 2)))


def huber(y, target, delta=1.0, *, average=True):
    """d * d / 2 where |d| = |y - target| is below delta, delta * (|d| - delta / 2) beyond; the mean of it."""
    floating("huber", y=y, target=target)
    _same_shape("huber", y, target)
    if not number("huber", "delta", delta) > 0:
        raise ValueError(f"huber needs delta above 0, got {delta}")
    size = abs(sub(y, target))
    near = clip(size, 0, delta)                             # near * (size - near / 2) is both cases
    return _reduced(mul(near, sub(size, mul(near, 0.5))), average)
