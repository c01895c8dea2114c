"""fuse(model): a copy for inference, in which each convolution does its neighbours' work on the way out.

In every Chain, conv -> batchnorm becomes one conv with other weights, a following activation is computed on its
output while that is at hand, and a batchnorm behind the activation becomes a scale and a shift there. What fuse
does not know stays as it is.
"""
import numpy as np

from .autograd import value
from .cuda.graph import Replayed
from .device import on_gpu
from .layers import BatchNorm, Chain, Conv, Deconv, Dense, Dropout
from .ops.activation import ACTIVATIONS, then
from .ops.basic import mat, matmul
from .ops.batchnorm import affine
from .ops.conv import conv4_then, deconv4_then
from .walk import rebuilt, walk

__all__ = ["fuse"]


class Fused:
    """A model for inference: a fresh output, or `out=` filled; one thread and one stream at a time. On the GPU the
    whole forward pass is one CUDA graph, recorded at the first call with images of a new shape."""

    def __init__(self, model):
        self.model, self.replayed = model, Replayed(model)

    def __call__(self, *args, out=None):
        y = self.replayed(*args)
        if out is None:
            return y.copy() if on_gpu(y) else y
        if out.shape != y.shape or out.dtype != y.dtype:
            raise ValueError(f"the model gives {y.dtype} {y.shape}, but out is {out.dtype} {out.shape}")
        out[...] = y
        return out

    def __repr__(self):
        return f"Fused({self.model!r})"


def fuse(model):
    """A snapshot of the model for inference; later training of the model does not reach it.

    >>> from minicnn import Chain, Conv, BatchNorm, relu
    >>> model = Chain(Conv(1, 4, 3), BatchNorm(4), relu)
    >>> fuse(model).model.layers
    [conv4(3, 3, 1, 4) -> relu]
    """
    chains = [(chain, Chain(*fused(flat(chain)))) for _, chain in walk(model, Chain)]
    for _, new in chains:                       # their layers may hold Chains of their own, or be unknown: copies
        new.layers = [layer.frozen() if isinstance(layer, Then) else layer if isinstance(layer, Affine)
                      else fuse(layer).model for layer in new.layers]
    return Fused(rebuilt(model, chains))


def flat(chain):
    """The layers of a Chain and of the Chains directly inside it; Dropout does nothing at inference."""
    for layer in chain.layers:
        if isinstance(layer, Chain):
            yield from flat(layer)
        elif not isinstance(layer, Dropout):
            yield layer


def fused(layers):
    """The layers with everything folded that can be."""
    steps = []
    for layer in layers:
        last = steps[-1] if steps else None
        if type(layer) in (Conv, Deconv, Dense):
            steps.append(Then(layer))
        elif type(layer) is BatchNorm:
            scale, shift = constants(layer)
            if isinstance(last, Then) and last.takes(scale):
                last.add_affine(scale, shift)
            else:
                dtype = value(layer.params).dtype
                steps.append(Affine(scale.astype(dtype), shift.astype(dtype)))
        elif ACTIVATIONS.get(getattr(layer, "__name__", None)) is layer and isinstance(last, Then) and last.bare():
            last.activation = layer.__name__
        else:
            steps.append(layer)
    return steps


def constants(bn):
    """A batchnorm outside training as (scale, shift), float64 so that folding rounds once."""
    gamma, beta = np.split(value(bn.params), 2)
    scale = gamma.astype("float64") / np.sqrt(bn.moments.var.astype("float64") + bn.eps)
    return scale, beta - bn.moments.mean.astype("float64") * scale


class Affine:
    """A batchnorm that no convolution could take in."""

    def __init__(self, scale, shift):
        self.scale, self.shift = scale, shift

    def __call__(self, x):
        return affine(x, self.scale.astype(x.dtype, copy=False), self.shift.astype(x.dtype, copy=False))

    def __repr__(self):
        return f"affine({len(self.scale)})"


class Then:
    """A Conv, Deconv or Dense with plain arrays, then an activation, then a scale and a shift of each channel."""

    def __init__(self, layer):
        self.kind = type(layer)
        self.w = value(layer.w).copy()
        self.b = None if layer.b is None else value(layer.b).copy()
        self.activation, self.scale, self.shift = None, None, None
        self.options = {k: v for k, v in vars(layer).items() if k not in ("w", "b")}

    def bare(self):
        """May an activation still come?"""
        return self.activation is None and self.scale is None

    def takes(self, scale):
        """Can a batchnorm of this many channels follow here? Once only behind the activation."""
        channels = self.w.shape[2] * self.options["groups"] if self.kind is Deconv else self.w.shape[-1]
        return len(scale) == channels and self.scale is None

    def add_affine(self, scale, shift):
        dtype = self.w.dtype
        if self.activation is not None:
            self.scale, self.shift = scale.astype(dtype), shift.astype(dtype)
            return
        b = 0 if self.b is None else self.b
        self.b = (b * scale + shift).astype(dtype)
        if self.kind is Deconv:                 # (kh, kw, cout / groups, cin): the channels of a group share a row
            groups = self.options["groups"]
            kh, kw, cout, cin = self.w.shape
            per_group = scale.reshape(groups, cout).T[:, :, None]
            split = self.w.reshape(kh, kw, cout, groups, cin // groups)
            self.w = (split * per_group).reshape(self.w.shape).astype(dtype)
        else:
            self.w = (self.w * scale).astype(dtype)

    def frozen(self):
        """With read-only weights: kernels remember what they compute from constants."""
        if isinstance(self.w, np.ndarray):
            self.w.flags.writeable = False
        return self

    def __call__(self, x):
        if self.kind is Dense:
            y = matmul(mat(x), self.w)
            return then(y if self.b is None else y + self.b, self.activation, self.scale, self.shift)
        run = deconv4_then if self.kind is Deconv else conv4_then
        return run(self.w, x, self.b, self.activation, self.scale, self.shift, **self.options)

    def __repr__(self):
        name = {Conv: "conv4", Deconv: "deconv4", Dense: "dense"}[self.kind]
        parts = [f"{name}{self.w.shape}", self.activation, None if self.scale is None else "affine"]
        return " -> ".join(p for p in parts if p)
