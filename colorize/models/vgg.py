"""VGG16 without its top, on which Colour This and CS838 build: 13 convolutions that end at 1/32 of the size."""
import numpy as np

import minicnn as mc
from minicnn.device import xp

from .base import scaled

__all__ = ["PREPROCESS", "vgg16", "vgg_input"]

LEVELS = (64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)
PREPROCESS = {                              # name: (mean, standard deviation) of grey levels 0..255 in each channel
    "caffe": ((103.939, 116.779, 123.68), (1, 1, 1)),               # B, G, R: Keras's weights
    "torch": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # R, G, B: torchvision's weights
}


def vgg16(width):
    """The convolutions of VGG16 as a Chain of five levels, each with its pooling.

    The initial weights keep the scale of activations at 1; the first layer divides its input, of about 100, by 100.
    """
    levels, cin = [], 3
    for level in LEVELS:
        layers = []
        for cout in scaled(width, *level):
            gain = 2 ** 0.5 / (100 if cin == 3 else 1)
            layers += [mc.Conv(cin, cout, 3, padding=1, init=mc.kaiming(gain)), mc.relu]
            cin = cout
        levels.append(mc.Chain(*layers, mc.Pool(2)))
    return mc.Chain(*levels)


def vgg_input(grey, how):
    """Grey levels (N, H, W, 1) in 0..255 as the three channels that "caffe" or "torch" weights expect."""
    mean, deviation = (xp(grey).asarray(np.array(v, "float32")) for v in PREPROCESS[how])
    return (grey - mean) / deviation
