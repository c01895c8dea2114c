"""The UF report: regression of the mean a*, b* of a face, and two readings of its face colorizer.

`MeanFC`, `MeanCNN` and `Faces` are what the author's code runs, and `FacesText` is what the report says. Scales are
those of 8-bit Lab over 255: L / 100 and (ab + 128) / 255, or twice that minus 1 for tanh. The initial weights are
PyTorch's.
"""
import math

import minicnn as mc
from minicnn.device import xp

from ..color.norms import denormalise, normalise
from ..color.spaces import rgb_to_lab8, uint8_to_lab
from .base import Colorizer, Reshape, choice, scaled
from .losses import mse

__all__ = ["Faces", "FacesText", "MeanCNN", "MeanFC"]

LAST = {"relu": [mc.relu], "sigmoid": [mc.sigm], "tanh": [mc.tanh]}


class Report(Colorizer):
    """What all models of the UF report share. `last` is the last activation, which decides how ab is scaled."""

    fixed, down, up = True, "bilinear", "bilinear"

    def ending(self, last, known):
        """The last activation as layers."""
        self.last = choice("last", last, known)
        return LAST[last]

    @property
    def norm(self):
        return "faces-tanh" if self.last == "tanh" else "faces"

    def grey(self):
        """The first value of the last bias. It makes grey, so that a relu there does not begin at 0."""
        return 0.5 if self.last == "relu" else 0.0

    def loss(self, x, y):
        return mse(self(x), y)


# ------------------------------------------------------------------ the mean colour


class MeanColour(Report):
    """It takes L, stretched to 0..1 in each photo, and gives the photo's mean ab."""

    def inputs(self, rgb):
        return self.prepare(uint8_to_lab(rgb_to_lab8(self.photos(rgb)))[..., :1])

    def prepare(self, L):
        low, high = L.min(axis=(1, 2), keepdims=True), L.max(axis=(1, 2), keepdims=True)
        return (L - low) / xp(L).maximum(high - low, 1e-6)

    def targets(self, rgb):
        ab = rgb_to_lab8(self.photos(rgb))[..., 1:].astype("float32").mean(axis=(1, 2)) - 128
        return normalise(self.norm, ab=ab)[1]

    def ab(self, y, L):
        return denormalise(self.norm, ab=y)[1][:, None, None, :] + L * 0


class MeanFC(MeanColour):
    """Five dense layers with an activation behind each of them."""

    def __init__(self, *, size=128, width=1.0, last="relu"):
        self.sizes(size, width)
        end, units = self.ending(last, ("relu", "tanh")), [size * size] + scaled(width, 8192, 4096, 1024, 256)
        layers = [layer for i, o in zip(units, units[1:]) for layer in (dense(i, o), mc.relu)]
        self.net = mc.Chain(*layers, dense(units[-1], 2, self.grey()), *end)


class MeanCNN(MeanColour):
    """Seven strided convolutions down to one pixel, then dense layers without activations between them."""

    KINDS = {1: ((3, 3, 3, 3, 3, 3, 2), ()), 2: ((16, 32, 64, 128, 256, 256, 256), (64,)),
             3: ((32, 64, 128, 256, 256, 512, 512), (128,))}

    def __init__(self, kind, *, size=128, width=1.0, last="relu"):
        self.sizes(size, width)
        channels, hidden = self.KINDS[kind]
        end, channels, hidden = self.ending(last, ("relu", "tanh")), scaled(width, *channels), scaled(width, *hidden)
        convs = [layer for i, o in zip([1] + channels, channels)
                 for layer in (conv(i, o, 3, stride=2, padding=1), mc.relu)]
        units = [channels[-1] * math.ceil(size / 128) ** 2] + hidden
        self.net = mc.Chain(*convs, *map(dense, units, units[1:]), dense(units[-1], 2, self.grey()), *end)


# ------------------------------------------------------------------ the colorizer


class Colours(Report):
    """It takes L / 100, and gives ab for every pixel."""

    def inputs(self, rgb):
        return self.prepare(uint8_to_lab(rgb_to_lab8(self.photos(rgb)))[..., :1])

    def prepare(self, L):
        return normalise(self.norm, L=L)[0]

    def targets(self, rgb):
        return normalise(self.norm, ab=uint8_to_lab(rgb_to_lab8(self.photos(rgb)))[..., 1:])[1]

    def ab(self, y, L):
        return denormalise(self.norm, ab=y)[1]


class Faces(Colours):
    """The network as it was run: five 4x4 convolutions, each with a batchnorm, two dense layers around 512 units, and
    five transposed convolutions."""

    multiple = 16

    def __init__(self, *, size=128, width=1.0, last="sigmoid", batchnorm=True):
        if size < 64:
            raise ValueError(f"size must be at least 64 pixels, which the encoder brings down to one, got {size!r}")
        self.sizes(size, width)
        end = self.ending(last, tuple(LAST))
        c8, c16, c32, c64, units = scaled(width, 8, 16, 32, 64, 512)
        side = size // 16 - 3
        layers = []
        for i, o in ((1, c8), (c8, c16), (c16, c32), (c32, c32)):
            layers += [conv(i, o, 4, stride=2, padding=1)] + [mc.BatchNorm(o)] * batchnorm + [mc.relu]
        down = [*layers, conv(c32, c64, 4)] + [mc.BatchNorm(c64)] * batchnorm
        middle = [dense(side * side * c64, units)] + [mc.BatchNorm(units)] * batchnorm + \
            [dense(units, side * side * c64), Reshape(side, side, c64)]
        up = [deconv(c64, c32, 4), mc.relu]
        for i, o in ((c32, c32), (c32, c16), (c16, c8)):
            up += [deconv(i, o, 4, stride=2, padding=1), mc.relu]
        last_up = deconv(c8, 2, 4, stride=2, padding=1, grey=self.grey())
        self.net = mc.Chain(mc.Chain(*down), mc.Chain(*middle), mc.Chain(*up, last_up, *end))


class FacesText(Colours):
    """The network as the report describes it: five strided convolutions and five transposed ones, with a batchnorm
    before and an activation behind each."""

    fixed, multiple = False, 32

    def __init__(self, *, size=128, width=1.0, fit="stretch", activation="relu", last="sigmoid", batchnorm=True):
        self.sizes(size, width, fit)
        end, inner = self.ending(last, tuple(LAST)), LAST[choice("activation", activation, tuple(LAST))]
        channels = [1] + scaled(width, 16, 32, 64, 128, 256)
        layers = []
        for i, o in zip(channels, channels[1:]):
            layers += [mc.BatchNorm(i)] * batchnorm + [conv(i, o, 3, stride=2, padding=1)] + inner
        channels = channels[:0:-1]
        for i, o in zip(channels, channels[1:]):
            layers += [mc.BatchNorm(i)] * batchnorm + [deconv(i, o, 4, stride=2, padding=1)] + inner
        i = channels[-1]
        layers += [mc.BatchNorm(i)] * batchnorm + [deconv(i, 2, 4, stride=2, padding=1, grey=self.grey())] + end
        self.net = mc.Chain(*layers)


# ------------------------------------------------------------------ layers with PyTorch's initial weights


def uniform(fan_in):
    """An init: uniform numbers between -1 and 1, divided by the root of the number of inputs."""
    return lambda shape, rng: rng.uniform(-1, 1, shape) / math.sqrt(fan_in)


def conv(cin, cout, kernel, **options):
    return started(mc.Conv(cin, cout, kernel, init=uniform(cin * kernel ** 2), **options), cin * kernel ** 2)


def deconv(cin, cout, kernel, grey=None, **options):
    fan_in = cout * kernel ** 2                                     # as PyTorch counts it
    return started(mc.Deconv(cin, cout, kernel, init=uniform(fan_in), **options), fan_in, grey)


def dense(i, o, grey=None):
    return started(mc.Dense(i, o, init=uniform(i)), i, grey)


def started(layer, fan_in, grey=None):
    """The layer with a random bias, or with the bias `grey`."""
    layer.b = mc.param(*layer.b.shape, init=uniform(fan_in) if grey is None else mc.gaussian(grey, 0))
    return layer
