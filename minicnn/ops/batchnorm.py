"""Batch normalisation over the last axis (channels), with running moments for use after training."""
import numpy as np

from ..autograd import Tracked, primitive, value
from ..autograd import training as now_training
from ..device import current, to
from ..dispatch import kernels
from .activation import ACTIVATIONS, BACK
from .basic import add, cat, channel_sums, div, getitem, mul, neg, pow, sqrt, sub
from .shapes import floating, number

__all__ = ["batchnorm", "bnmoments", "bnparams"]


class bnmoments:
    """The running mean and variance of C channels: `running = (1 - momentum) * running + momentum * batch`.

    The variance is the biased one (divided by the number of pixels).
    """

    def __init__(self, channels, *, momentum=0.1, dtype="float32"):
        self.momentum = momentum
        self.mean, self.var = to(current(), np.zeros(channels, dtype)), to(current(), np.ones(channels, dtype))

    def update(self, mean, var):
        """Move towards a batch's moments; new arrays, since a running tape may hold the old ones."""
        m = self.momentum
        self.mean = (self.mean * (1 - m) + mean * m).astype(self.mean.dtype)
        self.var = (self.var * (1 - m) + var * m).astype(self.var.dtype)

    def __repr__(self):
        return f"bnmoments({len(self.mean)}, momentum={self.momentum})"


def bnparams(channels, dtype="float32"):
    """The vector of a batchnorm's parameters: C scales (1), then C shifts (0)."""
    return to(current(), np.repeat(np.array([1, 0], dtype), channels))


def batchnorm(x, moments=None, params=None, *, eps=1e-5, training=None, activation=None):
    """(x - mean) / sqrt(var + eps) * scale + shift, channel by channel; x is (..., C).

    While training (inside diff, unless `training` says otherwise) mean and variance are the batch's, and
    `moments` follow them; otherwise they are those of `moments`. `params` is a vector of C scales and C shifts
    (see bnparams), or None for none. `activation` ("relu", "relu6" or "tanh") follows in the same pass, which spares
    the memory of what lies between.

    >>> batchnorm(np.array([[1.], [3.]]), training=True, eps=0)
    array([[-1.],
           [ 1.]])
    """
    _check(x, moments, params, eps)
    if activation is not None and activation not in BACK:
        raise ValueError(f"batchnorm takes activation={', '.join(map(repr, BACK))} or None, got {activation!r}")
    channels = x.shape[-1]
    if now_training() if training is None else training:
        if x.size == 0:
            raise ValueError(f"batchnorm cannot take the mean of an empty batch of shape {x.shape}")
        with np.errstate(all="ignore"):             # as in operators: an infinite pixel shows as NaN only
            mean, var = _moments(value(x))
            if moments is not None:
                moments.update(mean, var)
        given = (x, mean, var) if params is None else (x, mean, var, params)
        if activation is None:
            return normalise(*given, eps=eps)
        return normalise_then(*given, eps=eps, activation=activation)
    if moments is None:
        raise ValueError("batchnorm outside training needs moments=bnmoments(C), or training=True")
    mean, var = moments.mean.astype(x.dtype), moments.var.astype(x.dtype)
    scale = div(1, sqrt(add(var, eps)))
    if params is not None:
        scale = mul(getitem(params, slice(0, channels)), scale)
        y = affine(x, scale, sub(getitem(params, slice(channels, None)), mul(scale, mean)))
    else:
        y = affine(x, scale, neg(mul(mean, scale)))
    return y if activation is None else ACTIVATIONS[activation](y)


def _check(x, moments, params, eps):
    floating("batchnorm", x=x)
    if x.ndim < 2 or x.shape[-1] == 0:
        raise ValueError(f"batchnorm needs x of shape (N, ..., C), got {x.shape}")
    channels = x.shape[-1]
    if params is not None and (floating("batchnorm", params=params) or params.shape != (2 * channels,)):
        raise ValueError(f"batchnorm of shape {x.shape} needs params of shape ({2 * channels},), got {params.shape}")
    if params is not None and params.dtype != x.dtype:
        raise TypeError(f"batchnorm got x of {x.dtype} and params of {params.dtype}: give it one dtype")
    if moments is not None and not isinstance(moments, bnmoments):
        raise TypeError(f"batchnorm needs moments=bnmoments(C), got {type(moments).__name__}")
    if moments is not None and moments.mean.shape != (channels,):
        raise ValueError(f"batchnorm of shape {x.shape} needs moments of {channels} channels, "
                         f"got {moments.mean.shape[0]}")
    if number("batchnorm", "eps", eps) < 0:
        raise ValueError(f"batchnorm needs eps of at least 0, got {eps}")


@primitive(keep="x scale")
def affine(x, scale, shift):
    """x * scale + shift, one of each for every channel (the last axis)."""
    return _affine(x, scale, shift)


@primitive(keep="x mean var params")
def normalise(x, mean, var, params=None, *, eps):
    """batchnorm with x's own mean and var, which are given to save computing them twice."""
    return _normalise(x, mean, var, params, eps)


@primitive(keep="x mean var params y")
def normalise_then(x, mean, var, params=None, *, eps, activation):
    """activation(normalise(x)), without keeping what lies between."""
    return _normalise_then(x, mean, var, params, eps, activation)


affine.back = (lambda dy, y, x, scale, shift: mul(dy, scale),
               lambda dy, y, x, scale, shift: channel_sums(mul(dy, x)),
               lambda dy, y, x, scale, shift: channel_sums(dy))


def _back(dy, y, x, mean, var, params=None, *, eps):
    dx, dparams = _normalise_back(dy, x, mean, var, params, eps)
    return dx, None, None, dparams


def _back_then(dy, y, x, mean, var, params=None, *, eps, activation):
    dx, dparams = _normalise_then_back(dy, y, x, mean, var, params, eps, activation)
    return dx, None, None, dparams


normalise.back = _back
normalise_then.back = _back_then


# ------------------------------------------------------------------ formulas


@kernels(cpu="minicnn.cpu.batchnorm.moments", cuda="minicnn.cuda.batchnorm.moments")
def _moments(x):
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes, dtype="float64")
    var = np.square(x - mean).mean(axis=axes, dtype="float64")
    return mean.astype(x.dtype), var.astype(x.dtype)


@kernels(cpu="minicnn.cpu.batchnorm.affine", cuda="minicnn.cuda.batchnorm.affine")
def _affine(x, scale, shift):
    return x * scale + shift


@kernels(cpu="minicnn.cpu.batchnorm.normalise", cuda="minicnn.cuda.batchnorm.normalise")
def _normalise(x, mean, var, params, eps):
    y = (x - mean) / np.sqrt(var + eps)
    return y if params is None else y * params[:len(mean)] + params[len(mean):]


@kernels(cpu="minicnn.cpu.batchnorm.normalise_then", cuda="minicnn.cuda.batchnorm.normalise_then")
def _normalise_then(x, mean, var, params, eps, activation):
    return ACTIVATIONS[activation](_normalise(x, mean, var, params, eps))


@kernels(cpu="minicnn.cpu.batchnorm.normalise_then_back", cuda="minicnn.cuda.batchnorm.normalise_then_back")
def _normalise_then_back(dy, y, x, mean, var, params, eps, activation):
    return _normalise_back(BACK[activation](dy, y), x, mean, var, params, eps)


@kernels(cpu="minicnn.cpu.batchnorm.normalise_back", cuda="minicnn.cuda.batchnorm.normalise_back")
def _normalise_back(dy, x, mean, var, params, eps):
    """(dx, dparams), made of operators: where x is tracked, its moments depend on it too."""
    n, channels = x.size // x.shape[-1], x.shape[-1]
    if isinstance(x, Tracked):
        mean = div(channel_sums(x), n)
        var = div(channel_sums(pow(sub(x, mean), 2)), n)
    scale = div(1, sqrt(add(var, eps)))
    xhat = mul(sub(x, mean), scale)
    dshift, dscale = channel_sums(dy), channel_sums(mul(dy, xhat))
    dx = sub(sub(dy, div(dshift, n)), mul(xhat, div(dscale, n)))
    if params is None:
        return mul(dx, scale), None
    return mul(dx, mul(scale, getitem(params, slice(0, channels)))), cat(dscale, dshift)
