"""Colour This: a frozen VGG16, and a decoder that upsamples by repetition.

The document trains the decoder on features computed beforehand, so the encoder is frozen. What it leaves open follows
the article that it cites: the input is L (0..100) three times, without the means that VGG16's weights expect; targets
are ab / 128; activations are relu, and tanh at the end.
"""
import minicnn as mc
from minicnn.device import xp

from ..color.norms import denormalise, normalise
from ..color.spaces import rgb_to_lab, rgb_to_luminance
from .base import Colorizer, choice, grey_level, scaled
from .losses import mse
from .vgg import PREPROCESS, vgg16, vgg_input

__all__ = ["ColourThis"]


class ColourThis(Colorizer):
    """net[0] is the encoder and net[1] the decoder, so `model.net[0](x)` gives features that can be kept.

    preprocess: "none" is the document's; Keras's weights expect "caffe", and torchvision's "torch".
    """

    multiple = 32
    of_lightness = True

    def __init__(self, *, size=224, width=1.0, fit="stretch", preprocess="none", frozen=True, activation="tanh"):
        self.sizes(size, width, fit)
        self.preprocess = choice("preprocess", preprocess, ("none", *PREPROCESS))
        last = {"tanh": [mc.tanh], "none": []}[choice("activation", activation, ("tanh", "none"))]
        self.net = mc.Chain(vgg16(width), decoder(width, last))
        mc.freeze(self.net[0], bool(frozen))

    def inputs(self, rgb):
        return self.prepare(rgb_to_luminance(self.photos(rgb)))

    def prepare(self, L):
        if self.preprocess == "none":
            return xp(L).repeat(L, 3, axis=-1)
        return vgg_input(grey_level(L) * 255, self.preprocess)

    def targets(self, rgb):
        return normalise("vgg", ab=rgb_to_lab(self.photos(rgb))[..., 1:])[1]

    def loss(self, x, y):
        return mse(self(x), y)

    def ab(self, y, L):
        return denormalise("vgg", ab=y)[1]


def decoder(width, last):
    """Six convolutions. From the second on, pixels are repeated behind each of them."""
    cin, *channels = scaled(width, 512, 256, 128, 64, 32, 16)
    layers = []
    for cout in channels:
        layers += [mc.Conv(cin, cout, 3, padding="same"), mc.relu] + [mc.Upsample(2)] * bool(layers)
        cin = cout
    return mc.Chain(*layers, mc.Conv(cin, 2, 3, padding="same"), *last, mc.Upsample(2))
