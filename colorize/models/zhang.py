"""Zhang, Isola, Efros, "Colorful image colorization" (2016), as in their PyTorch release.

A block has convolutions, each with a relu, and one batchnorm behind the last relu.
"""
import minicnn as mc

from ..color.norms import normalise
from ..color.spaces import rgb_to_lab, rgb_to_luminance
from .base import choice, scaled
from .classifier import Classifier
from .losses import grey_mask, rebalanced

__all__ = ["Zhang", "body", "head"]


class Zhang(Classifier):
    """It takes (L - 50) / 100, and gives scores of 313 bins at a quarter of the resolution.

    `out` is the 1x1 convolution from probabilities to ab / 110. It begins as the bins' centres, and training does not
    change it. temperature: 0.38 in the paper; 1 in the release, which the importer of its weights sets. neighbours: 5
    in the paper, 10 in the release. where="gradient" weights only the gradient by rarity, as the release does; "loss"
    weights the loss as well.
    """

    multiple, up = 8, "bilinear"
    of_lightness = True

    def __init__(self, *, size=256, width=1.0, fit="stretch", bins="313", temperature=0.38, neighbours=5,
                 batchnorm=True, rebalance="zhang", where="gradient"):
        self.sizes(size, width, fit)
        self.classes(bins, "annealed", temperature, rebalance)
        self.soft_targets(neighbours)
        self.where = choice("where", where, ("loss", "gradient"))
        self.net = mc.Chain(body(width, batchnorm), head(width, self.bins.q))
        self.out = mc.Conv(self.bins.q, 2, 1, bias=False, init=lambda shape, rng: self.bins.centres[None, None] / 110)

    def parts(self):
        return [self.net, self.out]

    def inputs(self, rgb):
        return self.prepare(rgb_to_luminance(self.photos(rgb)))

    def prepare(self, L):
        return normalise("zhang", L=L)[0]

    def targets(self, rgb):
        """(indices, values, whether the photo has any colour) for the ab of every fourth pixel."""
        ab = rgb_to_lab(self.photos(rgb)[:, ::4, ::4])[..., 1:]
        return self.bins.soft(ab, k=self.neighbours, sigma=self.sigma) + (grey_mask(ab),)

    def loss(self, x, y):
        indices, values, colourful = y
        return rebalanced(self(x), (indices, values), mc.value(self.class_weights), mask=colourful, where=self.where)

    def ab(self, y, L):
        p = mc.softmax(y * y.dtype.type(1 / self.temperature))
        return mc.upsample(mc.value(self.out(p)), scale=4, mode="bilinear") * 110


def body(width, batchnorm):
    """model1 to model7 of the release, a Chain for each. They end at 1/8 of the photo's size, in 512 channels."""
    c64, c128, c256, c512 = scaled(width, 64, 128, 256, 512)

    def block(*sizes, stride=1, dilation=1):
        layers = []
        for i, (cin, cout) in enumerate(zip(sizes, sizes[1:])):
            last = i == len(sizes) - 2
            layers += [mc.Conv(cin, cout, 3, stride=stride if last else 1, padding=dilation, dilation=dilation,
                               init=mc.kaiming()), mc.relu]
        return mc.Chain(*layers, *[mc.BatchNorm(cout)] * batchnorm)

    return mc.Chain(block(1, c64, c64, stride=2), block(c64, c128, c128, stride=2),
                    block(c128, c256, c256, c256, stride=2), block(c256, c512, c512, c512),
                    block(c512, c512, c512, c512, dilation=2), block(c512, c512, c512, c512, dilation=2),
                    block(c512, c512, c512, c512))


def head(width, q):
    """model8 of the release, which doubles the size and gives scores of q bins."""
    c256, c512 = scaled(width, 256, 512)
    return mc.Chain(mc.Deconv(c512, c256, 4, stride=2, padding=1, init=mc.kaiming(2.0)), mc.relu,
                    mc.Conv(c256, c256, 3, padding=1, init=mc.kaiming()), mc.relu,
                    mc.Conv(c256, c256, 3, padding=1, init=mc.kaiming()), mc.relu, mc.Conv(c256, q, 1))
