"""The Jetson paper's comparison model: the Keras port of Zhang et al. with the 24,793,081 parameters of Listing 2.

It has the release's body, but a narrower seventh block, upsampling by repetition and not by a transposed convolution,
and a batchnorm in every block. Its input is the sRGB grey level, not L.
"""
import minicnn as mc

from ..color.resize import resize
from ..color.spaces import rgb_to_lab8, rgb_to_yuv
from .base import choice, grey_level, scaled
from .classifier import Classifier
from .losses import rebalanced

__all__ = ["Colornet"]


class Colornet(Classifier):
    """It takes grey in 0..1, and gives scores of 313 bins at a quarter of the resolution. Soft targets have 5 bins.

    It was trained with plain cross-entropy (rebalance="none") and an L2 of 1e-3.
    """

    multiple, down, up = 8, "opencv", "opencv"

    def __init__(self, *, size=256, width=1.0, fit="stretch", bins="313", decode="annealed", temperature=0.38,
                 neighbours=5, batchnorm=True, rebalance="none", where="loss"):
        self.sizes(size, width, fit)
        self.classes(bins, decode, temperature, rebalance)
        self.soft_targets(neighbours)
        self.where = choice("where", where, ("loss", "gradient"))
        c64, c128, c256, c512 = scaled(width, 64, 128, 256, 512)
        self.net = mc.Chain(
            block(batchnorm, 1, c64, c64, stride=2), block(batchnorm, c64, c128, c128, stride=2),
            block(batchnorm, c128, c256, c256, c256, stride=2), block(batchnorm, c256, c512, c512, c512),
            block(batchnorm, c512, c512, c512, c512, dilation=2),
            block(batchnorm, c512, c512, c512, c512, dilation=2), block(batchnorm, c512, c256, c256, c256),
            mc.Upsample(2), block(batchnorm, c256, c128, c128, c128), mc.Conv(c128, self.bins.q, 1))

    def inputs(self, rgb):
        return rgb_to_yuv(self.photos(rgb))[..., :1].astype("float32") / 255

    def prepare(self, L):
        return grey_level(L)

    def targets(self, rgb):
        """(indices, values) for 8-bit ab, resized as OpenCV resizes uint8."""
        ab = rgb_to_lab8(self.photos(rgb))[..., 1:].astype("float32")
        small = resize(ab, (rgb.shape[1] // 4, rgb.shape[2] // 4), "opencv")
        return self.bins.soft(small.round().clip(0, 255) - 128, k=self.neighbours, sigma=self.sigma)

    def loss(self, x, y):
        return rebalanced(self(x), tuple(y), mc.value(self.class_weights), where=self.where)


def block(batchnorm, *sizes, stride=1, dilation=1):
    """Convolutions with relu, of which the last has this stride, and a batchnorm with Keras's settings."""
    layers = []
    for i, (cin, cout) in enumerate(zip(sizes, sizes[1:])):
        last = i == len(sizes) - 2
        layers += [mc.Conv(cin, cout, 3, stride=stride if last else 1, padding="same", dilation=dilation,
                           init=mc.kaiming()), mc.relu]
    return mc.Chain(*layers, *[mc.BatchNorm(cout, momentum=0.01, eps=1e-3)] * batchnorm)
