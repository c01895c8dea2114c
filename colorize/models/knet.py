"""The Knet slides: 22 convolutions in 8 groups, 18 x 18 buckets of ab, weights -log p, and the best bucket's colour.

The slides name no layer sizes. The network of Zhang et al. has 22 convolutions in 8 groups (2+2+3+3+3+3+3+3), so we
take it without batchnorm, with 324 scores, at 128 pixels. The slides predict a distribution for each pixel, so the
upsampling at the end enlarges the scores.
"""
import minicnn as mc

from ..color.norms import normalise
from ..color.spaces import rgb_to_lab, rgb_to_luminance
from .base import choice
from .classifier import Classifier
from .losses import rebalanced
from .zhang import body, head

__all__ = ["Knet"]


class Knet(Classifier):
    """It takes (L - 50) / 100, and gives scores of 324 buckets for each pixel.

    upsample="ab" leaves the scores at a quarter of the resolution and enlarges only the colours, which takes a
    sixteenth of the memory. decode="bin mean" avoids the tint that "mode" gives to greys, which lie on a corner of
    four buckets. form="linear" takes the slide's formula literally. reduce="sum" adds up all pixels and images, as on
    the slide, and "mean" takes their mean.
    """

    multiple = 8
    of_lightness = True

    def __init__(self, *, size=128, width=1.0, fit="stretch", bins="18x18", decode="mode", temperature=0.38,
                 batchnorm=False, upsample="scores", rebalance="minus log", form="log", reduce="sum"):
        self.sizes(size, width, fit)
        self.classes(bins, decode, temperature, rebalance)
        self.upsample = choice("upsample", upsample, ("scores", "ab"))
        self.form, self.reduce = choice("form", form, ("log", "linear")), choice("reduce", reduce, ("sum", "mean"))
        large = [mc.Upsample(4, mode="bilinear")] if upsample == "scores" else []
        self.net = mc.Chain(body(width, batchnorm), head(width, self.bins.q), *large)

    def inputs(self, rgb):
        return self.prepare(rgb_to_luminance(self.photos(rgb)))

    def prepare(self, L):
        return normalise("zhang", L=L)[0]

    def targets(self, rgb):
        """The bucket of each pixel, or of every fourth pixel with upsample="ab"."""
        step = 1 if self.upsample == "scores" else 4
        return self.bins.encode(rgb_to_lab(self.photos(rgb)[:, ::step, ::step])[..., 1:])

    def loss(self, x, y):
        return rebalanced(self(x), y, mc.value(self.class_weights), form=self.form, reduce=self.reduce)
