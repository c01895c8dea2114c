"""Layers: plain callables that hold Params. Write your own the same way; nothing here is special.

A model is any Python object; `params`, `save`, `summary` and `fuse` find the Params in its attributes.
"""
from .autograd import Param
from .init import param, param0
from .ops.activation import relu, relu6, tanh
from .ops.basic import mat, matmul
from .ops.batchnorm import batchnorm, bnmoments, bnparams
from .ops.conv import conv4, deconv4
from .ops.dropout import dropout
from .ops.pool import pool, upsample
from .ops.shapes import pair

__all__ = ["BatchNorm", "Chain", "Conv", "Deconv", "Dense", "Dropout", "Pool", "Upsample"]


class Conv:
    """conv4 with its weights w (kh, kw, cin / groups, cout) and bias b (cout,), on images (N, H, W, cin)."""

    def __init__(self, cin, cout, kernel=3, *, stride=1, padding=0, dilation=1, groups=1, bias=True, init=None):
        if cin % groups:
            raise ValueError(f"Conv cannot split {cin} channels into {groups} groups")
        self.w = param(*pair("Conv", "kernel", kernel), cin // groups, cout, init=init)
        self.b = param0(cout) if bias else None
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def __call__(self, x):
        b = () if self.b is None else (self.b,)
        return conv4(self.w, x, *b, stride=self.stride, padding=self.padding, dilation=self.dilation,
                     groups=self.groups)


class Deconv:
    """deconv4 with its weights w (kh, kw, cout / groups, cin) and bias b (cout,), on images (N, H, W, cin)."""

    def __init__(self, cin, cout, kernel=3, *, stride=1, padding=0, dilation=1, groups=1, output_padding=0, bias=True,
                 init=None):
        if cout % groups:
            raise ValueError(f"Deconv cannot split {cout} channels into {groups} groups")
        self.w = param(*pair("Deconv", "kernel", kernel), cout // groups, cin, init=init)
        self.b = param0(cout) if bias else None
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.output_padding = output_padding

    def __call__(self, x):
        b = () if self.b is None else (self.b,)
        return deconv4(self.w, x, *b, stride=self.stride, padding=self.padding, dilation=self.dilation,
                       groups=self.groups, output_padding=self.output_padding)


class Dense:
    """x @ w + b, with w (i, o); x is flattened to (N, i) first."""

    def __init__(self, i, o, *, bias=True, init=None):
        self.w, self.b = param(i, o, init=init), param0(o) if bias else None

    def __call__(self, x):
        y = matmul(mat(x), self.w)
        return y if self.b is None else y + self.b


class BatchNorm:
    """batchnorm over C channels: `params` holds C scales, then C shifts; `moments` the running mean and variance.

    Frozen, it is as outside of training: it uses its moments, and they stay as they are.
    """

    def __init__(self, channels, *, momentum=0.1, eps=1e-5):
        self.params, self.moments, self.eps = Param(bnparams(channels)), bnmoments(channels, momentum=momentum), eps

    def __call__(self, x, activation=None):
        training = False if getattr(self.params, "frozen", False) else None
        return batchnorm(x, self.moments, self.params, eps=self.eps, training=training, activation=activation)


class Dropout:
    """dropout of a share p, while training."""

    def __init__(self, p):
        self.p = p

    def __call__(self, x):
        return dropout(x, self.p)


class Pool:
    """pool with these arguments."""

    def __init__(self, window=2, *, stride=None, padding=0, mode="max"):
        self.window, self.stride, self.padding, self.mode = window, stride, padding, mode

    def __call__(self, x):
        return pool(x, window=self.window, stride=self.stride, padding=self.padding, mode=self.mode)


class Upsample:
    """upsample with these arguments."""

    def __init__(self, scale=2, *, mode="nearest"):
        self.scale, self.mode = scale, mode

    def __call__(self, x):
        return upsample(x, scale=self.scale, mode=self.mode)


class Chain:
    """Layers, and functions such as mc.tanh, one after the other; `chain[i]` is one, `chain[i:j]` a Chain of some.

    A relu, relu6 or tanh behind a BatchNorm is computed by it, in the same pass over memory.
    """

    def __init__(self, *layers):
        for layer in layers:
            if not callable(layer):
                raise TypeError(f"Chain takes layers and functions, got {type(layer).__name__}: pass Chain(*layers)")
        self.layers = list(layers)

    def __call__(self, x):
        layers = iter(self.layers + [None])
        layer = next(layers)
        while layer is not None:
            after = next(layers)
            if type(layer) is BatchNorm and after in (relu, relu6, tanh):
                x, after = layer(x, after.__name__), next(layers)
            else:
                x = layer(x)
            layer = after
        return x

    def __len__(self):
        return len(self.layers)

    def __getitem__(self, i):
        return Chain(*self.layers[i]) if isinstance(i, slice) else self.layers[i]
