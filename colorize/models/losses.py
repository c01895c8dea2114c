"""The losses of the source documents. Positions are pixels (N, H, W), which have scores (..., Q) or colours (..., 2).

The rebalanced loss is minicnn's nll with the weights made here. nll reads the scores once forward and once backward,
and needs no one-hot array.
"""
import numpy as np

import minicnn as mc
from minicnn.autograd import nograd, primitive
from minicnn.device import on_gpu, to, xp
from minicnn.ops.shapes import floating, number

__all__ = ["chroma_weights", "euclidean", "grey_mask", "huber", "mse", "pixel_weights", "rebalanced", "shown_as"]

# ------------------------------------------------------------------ classification


def rebalanced(scores, targets, weights=None, *, mask=None, where="loss", form="log", reduce="mean"):
    """Cross-entropy of scores (N, ..., Q) in which each pixel is weighted by how rare its colour is.

    targets: bins (N, ...), with -1 for pixels to skip, from Bins.encode; or soft targets (indices, values), both
    (N, ..., K), from Bins.soft. weights (Q,): the bins' weights, from Prior.zhang or Prior.minus_log; a pixel gets
    the weight of its nearest bin. mask (N,) or (N, ...): multiplies the weights, see grey_mask.

    where="gradient" applies weights and mask to the gradient only, as Zhang's release does, and returns the plain
    loss. form="linear" is the Knet slide's formula taken literally, -sum(weight * probability) without a logarithm.
    reduce="mean" divides by the number of pixels that are not skipped, and "sum" adds up all images.
    """
    _one_of("rebalanced", "where", where, ("loss", "gradient"))
    _one_of("rebalanced", "reduce", reduce, ("mean", "sum"))
    loss = {"log": _log, "linear": _linear}[_one_of("rebalanced", "form", form, ("log", "linear"))]
    each = _weights(scores, targets, weights, mask)
    if each is None or where == "loss":
        return loss(scores, targets, each, reduce)
    return shown_as(loss(scores, targets, each, reduce), loss(mc.value(scores), targets, None, reduce))


def _one_of(name, key, got, known):
    if got not in known:
        raise ValueError(f"{name} got {key}={got!r}: expected {' or '.join(map(repr, known))}")
    return got


def _log(scores, targets, weights, reduce):
    loss, count = mc.nll(scores, targets, weights, average=False)
    return mc.div(loss, max(count, 1)) if reduce == "mean" else loss


def _linear(scores, targets, weights, reduce):
    _, count = mc.nll(mc.value(scores), targets, average=False)         # raises an error if shapes do not fit
    indices, values = targets if isinstance(targets, tuple) else (targets[..., None], targets[..., None] >= 0)
    indices, values = _beside(scores, indices), _beside(scores, values)
    values = values.astype(scores.dtype) * (indices >= 0)
    if weights is not None:
        values = values * weights
    n, q = indices.size // indices.shape[-1], scores.shape[-1]
    places = xp(indices).arange(n)[:, None], indices.reshape(n, -1).clip(0, None)
    p = mc.getitem(mc.reshape(mc.softmax(scores), (n, q)), places)
    total = mc.neg(mc.sum(mc.mul(p, values.reshape(n, -1))))
    return mc.div(total, max(count, 1)) if reduce == "mean" else total


@primitive(keep="")
def shown_as(loss, shown):
    """The value of `shown` with the gradient of `loss`."""
    return shown


shown_as.back = (lambda dy, y, loss, shown: dy, nograd)


def _weights(scores, targets, weights, mask):
    """One weight for each position (..., 1), on the device of the scores; None if all are 1."""
    if weights is not None and weights.shape != scores.shape[-1:]:
        raise ValueError(f"rebalanced: scores of shape {scores.shape} need weights of shape {scores.shape[-1:]}, "
                         f"got {weights.shape}")
    positions = scores.shape[:-1]
    each = None if weights is None else _beside(scores, pixel_weights(targets, weights))
    if mask is not None:
        mask = _beside(scores, mc.value(mask))
        if mask.shape not in (positions[:1], positions):
            raise ValueError(f"rebalanced: scores of shape {scores.shape} need a mask of shape {positions[:1]} or "
                             f"{positions}, got {mask.shape}")
        mask = mask.reshape(mask.shape + (1,) * (len(positions) - mask.ndim))
        each = (xp(mask).ones(positions, "float32") if each is None else each) * mask
    return None if each is None else each.astype(scores.dtype)[..., None]


def _beside(x, a):
    """The array a on the device of x."""
    return xp(mc.value(x)).asarray(a) if on_gpu(mc.value(x)) else to("cpu", a)


def pixel_weights(targets, weights):
    """The weight (...) of each pixel, which is the class weight of its bin or of the nearest bin of its soft target.

    >>> pixel_weights(np.array([2, 0, -1]), np.array([1., 2., 4.]))
    array([4., 1., 0.])
    """
    bins = targets[0][..., 0] if isinstance(targets, tuple) else targets
    weights = _beside(bins, mc.value(weights))
    if bins.dtype.kind not in "iu" or weights.ndim != 1 or (bins.size and int(bins.max()) >= len(weights)):
        raise ValueError(f"pixel_weights needs a weight for each bin that occurs, got weights of shape "
                         f"{weights.shape} for bins up to {bins.max() if bins.size else None} ({bins.dtype})")
    return xp(bins).where(bins < 0, 0, weights[bins.clip(0, None)])


def grey_mask(ab, threshold=5):
    """Which images (N,) have any colour, that is, an |a| or |b| of ab (N, ..., 2) above the threshold.

    >>> grey_mask(np.array([[[4., -4.]], [[0., -6.]]]))
    array([False,  True])
    """
    ab = mc.value(ab)
    floating("grey_mask", ab=ab)
    return (np.abs(ab.reshape(len(ab), -1)) > threshold).any(axis=1)


# ------------------------------------------------------------------ regression


def mse(y, target, weights=None):
    """The mean of (y - target) ** 2 over positions and channels, each position times its weight (...) if given."""
    if weights is None:
        return mc.mse(y, target)
    _same("mse", y, target)
    return _mean(mc.pow(mc.sub(y, target), 2), weights)


def huber(y, target, weights=None, *, delta=1.0):
    """Like mse, but quadratic only where |y - target| is below delta, and linear beyond (smooth L1)."""
    if weights is None:
        return mc.huber(y, target, delta)
    _same("huber", y, target)
    if not number("huber", "delta", delta) > 0:
        raise ValueError(f"huber needs delta above 0, got {delta}")
    size = mc.abs(mc.sub(y, target))
    near = mc.clip(size, 0, delta)
    return _mean(mc.mul(near, mc.sub(size, mc.mul(near, 0.5))), weights)


def euclidean(y, target, weights=None, *, epsilon=1e-6):
    """The mean over positions of the distance between y and target (..., 2), as CS838 proposes.

    `epsilon`, in the units of y, keeps the gradient finite where the distance is 0.
    """
    _same("euclidean", y, target)
    square = mc.sum(mc.pow(mc.sub(y, target), 2), axis=-1, keepdims=True)
    return _mean(mc.sqrt(mc.add(square, epsilon ** 2)), weights)


def chroma_weights(ab, strength=1.0, scale=20.0):
    """Weights (...) of pixels that grow with their chroma: 1 + strength * chroma / scale, divided by their mean.

    They keep a regression from predicting grey. `pixel_weights(bins.encode(ab), prior.zhang())` are weights by rarity
    instead. ab (..., 2) is in Lab units.
    """
    floating("chroma_weights", ab=ab)
    weights = 1 + np.sqrt(np.square(mc.value(ab)).sum(axis=-1)) * (strength / scale)
    return weights / weights.mean()


def _same(name, y, target):
    floating(name, y=y, target=target)
    if y.shape != target.shape or not y.size:
        raise ValueError(f"{name} got shapes {y.shape} and {target.shape}: they must be equal and not empty")


def _mean(errors, weights):
    """The mean of errors (..., C), each position times its weight (...)."""
    if weights is None:
        return mc.mean(errors)
    if weights.shape != errors.shape[:-1]:
        raise ValueError(f"errors of shape {errors.shape} need weights of shape {errors.shape[:-1]}, "
                         f"got {weights.shape}")
    return mc.mean(mc.mul(errors, _beside(errors, mc.value(weights)).astype(errors.dtype)[..., None]))
