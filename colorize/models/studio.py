"""Our best model: an encoder that has seen ImageNet, and a small decoder that gives colours at a quarter of the size.

On the way up each level is enlarged twofold, and a 1x1 convolution of the encoder's level of the same size is added.
At the bottom a vector from the mean over the whole photo is added, which tells what kind of picture this is.
"""
import minicnn as mc

from ..color.norms import stretched
from .base import grey_level, scaled
from .classifier import Quarter
from .efficientnet import CHANNELS, GREY, WHITE, Encoder

__all__ = ["Studio"]


class Studio(Quarter):
    """It takes grey levels as EfficientNet-Lite0 does, and gives scores of the 101 bins of the step-20 grid at a
    quarter of the resolution.

    The lightness is stretched to the whole range first, so that a faded photo looks like any other. Soft targets are
    the 4 bins nearest to the mean ab of each 4x4 pixels.
    """

    multiple = 32

    def __init__(self, *, size=192, width=1.0, fit="short", bins=20, decode="mean", temperature=1.0, neighbours=4,
                 sigma=10.0, rebalance="none", undo=1.0, where="loss"):
        self.sizes(size, width, fit)
        self.classes(bins, decode, temperature, rebalance, undo)
        self.quarters(neighbours, sigma, where)
        self.net = Net(scaled(width, 160, 128, 96, 64), self.bins.q)

    def prepare(self, L):
        return (grey_level(stretched(L)) * 255 - GREY) / WHITE


class Net:
    """The encoder, levels with `channels` at 1/32, 1/16, 1/8 and 1/4 of the photo's size, and q scores."""

    def __init__(self, channels, q):
        self.encoder = Encoder()
        self.top = block(CHANNELS[3], channels[0], 1)
        self.context = mc.Dense(CHANNELS[3], channels[0], init=mc.kaiming())
        self.skips = [mc.Conv(i, o, 1) for i, o in zip(CHANNELS[2::-1], channels)]
        self.up = [block(i, o, 3) for i, o in zip(channels, channels[1:])]
        self.scores = mc.Conv(channels[3], q, 1)

    def __call__(self, x):
        *levels, deepest = self.encoder(x)
        vector = self.context(mc.mean(deepest, axis=(1, 2)))
        x = self.top(deepest) + mc.reshape(vector, (vector.shape[0], 1, 1, vector.shape[1]))
        for skip, up, level in zip(self.skips, self.up, levels[::-1]):
            x = up(mc.upsample(x, mode="bilinear") + skip(level))
        return self.scores(x)


def block(cin, cout, kernel):
    return mc.Chain(mc.Conv(cin, cout, kernel, padding="same", bias=False, init=mc.kaiming()), mc.BatchNorm(cout),
                    mc.relu)
