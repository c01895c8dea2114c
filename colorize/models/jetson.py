"""The Jetson paper: its convolutional autoencoder, and the two variants that it argues against.

Every block is conv -> batchnorm -> tanh, even the bottleneck of 3 channels and the output, as in the authors' code.
"""
import minicnn as mc

from ..color.norms import denormalise, normalise
from ..color.spaces import lab_to_rgb, rgb_to_lab, rgb_to_luminance
from .base import Colorizer, choice, scaled
from .losses import chroma_weights, huber, mse

__all__ = ["Jetson"]


class Jetson(Colorizer):
    """It takes L / 50 - 1, and gives (2 ab - 1) / 255 at the photo's own resolution.

    space="rgb" predicts RGB, as the authors tried first. skips=True adds each encoder level to the decoder level of
    the same size, which the authors left out to save memory. loss: "mse", "huber", or "chroma", which weighs pixels
    by their chroma.
    """

    multiple, down = 8, "bilinear"
    of_lightness = True

    def __init__(self, *, size=256, width=1.0, fit="stretch", space="lab", skips=False, batchnorm=True, loss="mse"):
        self.sizes(size, width, fit)
        self.space = choice("space", space, ("lab", "rgb"))
        self.kind = choice("loss", loss, ("mse", "huber", "chroma"))
        self.net = Autoencoder(scaled(width, 75, 90, 105), 2 if space == "lab" else 3, skips, batchnorm)

    def inputs(self, rgb):
        return self.prepare(rgb_to_luminance(self.photos(rgb)))

    def prepare(self, L):
        return normalise("jetson", L=L)[0]

    def targets(self, rgb):
        if self.space == "rgb":
            return self.photos(rgb).astype("float32") / 127.5 - 1
        return normalise("jetson", ab=rgb_to_lab(self.photos(rgb))[..., 1:])[1]

    def loss(self, x, y):
        if self.kind == "chroma":
            return mse(self(x), y, chroma_weights(self.ab(y, None)))
        return {"mse": mse, "huber": huber}[self.kind](self(x), y)

    def ab(self, y, L):
        if self.space == "rgb":
            return rgb_to_lab((y.clip(-1, 1) + 1) / 2)[..., 1:]
        return denormalise("jetson", ab=y)[1]

    def rgb(self, y, L):
        """The network's answer y as sRGB in 0..1. With space="rgb" the lightness is the network's, too."""
        if self.space == "rgb":
            return (y.clip(-1, 1) + 1) / 2
        return lab_to_rgb(mc.cat(L, self.ab(y, L)))


class Autoencoder:
    """Three levels down, a bottleneck, three levels up, and a last one to the outputs."""

    def __init__(self, channels, outputs, skips, batchnorm):
        first, second, third = channels
        half = {"stride": 2, "padding": "same"}
        self.encoder = [block(batchnorm, mc.Conv(1, first, 3, **half), first),
                        block(batchnorm, mc.Conv(first, second, 3, **half), second),
                        block(batchnorm, mc.Conv(second, third, 3, **half), third),
                        block(batchnorm, mc.Conv(third, 3, 1), 3)]
        self.decoder = [block(batchnorm, mc.Deconv(3, third, 3, **half), third),
                        block(batchnorm, mc.Deconv(third, second, 3, **half), second),
                        block(batchnorm, mc.Deconv(second, first, 3, **half), first),
                        block(batchnorm, mc.Deconv(first, outputs, 1), outputs)]
        self.skips = [mc.Conv(second, third, 1), mc.Conv(first, second, 1)] if skips else []

    def __call__(self, x):
        levels = []
        for level in self.encoder:
            x = level(x)
            levels.append(x)
        for i, level in enumerate(self.decoder):
            x = level(x)
            if i < len(self.skips):
                x = x + self.skips[i](levels[1 - i])
        return x


def block(batchnorm, layer, channels):
    """The layer, a batchnorm with Keras's settings, and tanh."""
    norm = [mc.BatchNorm(channels, momentum=0.01, eps=1e-3)] if batchnorm else []
    return mc.Chain(layer, *norm, mc.tanh)
