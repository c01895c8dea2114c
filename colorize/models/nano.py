"""Our own small model, with at most 300,000 parameters and scores at a quarter of the resolution.

Five strided levels lead down to 1/32 of the size, where a vector from the mean over the whole photo is added. Levels
that repeat pixels lead up to a quarter, and a 1x1 skip adds the level of the same size to each of them.
"""
import minicnn as mc

from ..color.norms import normalise
from .base import scaled
from .classifier import Quarter

__all__ = ["Nano"]


class Nano(Quarter):
    """It takes (L - 50) / 100, and gives scores of the 101 bins of the step-20 grid at a quarter of the resolution.

    Soft targets are the 4 bins nearest to the mean ab of each 4x4 pixels. Colours are the mean over the probabilities
    after the weights of the loss are divided out; undo=0.5 divides by their square roots. skips=False and
    context=False leave these parts out.
    """

    multiple = 32

    def __init__(self, *, size=256, width=1.0, fit="short", bins=20, decode="mean", temperature=1.0, neighbours=4,
                 sigma=10.0, skips=True, context=True, batchnorm=True, rebalance="zhang", undo=1.0, where="loss"):
        self.sizes(size, width, fit)
        self.classes(bins, decode, temperature, rebalance, undo)
        self.quarters(neighbours, sigma, where)
        self.net = Pyramid(scaled(width, 20, 40, 64, 72, 72), scaled(width, 72, 64, 64), self.bins.q, skips, context,
                           batchnorm)

    def prepare(self, L):
        return normalise("zhang", L=L)[0]


class Pyramid:
    """Levels down with `down` channels, levels up to a quarter with `up` channels, and q scores."""

    def __init__(self, down, up, q, skips, context, batchnorm):
        self.down = [block(i, o, batchnorm, stride=2) for i, o in zip([1] + down, down)]
        self.context = mc.Chain(mc.Dense(down[-1], down[-1], init=mc.kaiming()), mc.relu) if context else None
        inside = [down[-1]] + up[:-1]                               # channels before each block on the way up
        self.skips = [mc.Conv(i, o, 1) for i, o in zip(down[-2:0:-1], inside)] if skips else None
        self.up = [block(i, o, batchnorm) for i, o in zip(inside, up)]
        self.scores = mc.Conv(up[-1], q, 1)

    def __call__(self, x):
        levels = []
        for level in self.down:
            x = level(x)
            levels.append(x)
        if self.context is not None:
            vector = self.context(mc.mean(x, axis=(1, 2)))
            x = x + mc.reshape(vector, (x.shape[0], 1, 1, x.shape[3]))
        for i, level in enumerate(self.up):
            x = mc.upsample(x)
            if self.skips is not None:
                x = x + self.skips[i](levels[-2 - i])
            x = level(x)
        return self.scores(x)


def block(cin, cout, batchnorm, stride=1):
    layers = [mc.Conv(cin, cout, 3, stride=stride, padding="same", bias=not batchnorm, init=mc.kaiming())]
    return mc.Chain(*layers, *[mc.BatchNorm(cout)] * batchnorm, mc.relu)
