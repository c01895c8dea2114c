"""The networks that benchmarks run, as minicnn Chains; the peers (`peer_*.py`) translate them layer by layer."""
import numpy as np

import minicnn as mc
from colorize.models import build
from minicnn.fuse import flat
from minicnn.ops.batchnorm import bnmoments
from minicnn.walk import walk


class Scale:
    """x * factor + shift, with two numbers."""

    def __init__(self, factor, shift):
        self.factor, self.shift = factor, shift

    def __call__(self, x):
        return x * np.float32(self.factor) + np.float32(self.shift)


def jetson():
    """The convolutional autoencoder for the Jetson Nano: L (N, H, W, 1) to ab (N, H, W, 2); 298,300 parameters."""
    layers = []
    for cin, cout in ((1, 75), (75, 90), (90, 105)):
        layers += _normalised(mc.Conv(cin, cout, 3, stride=2, padding="same"), cout)
    layers += _normalised(mc.Conv(105, 3, 1), 3)
    for cin, cout in ((3, 105), (105, 90), (90, 75)):
        layers += _normalised(mc.Deconv(cin, cout, 3, stride=2, padding="same"), cout)
    layers += _normalised(mc.Deconv(75, 2, 1), 2)
    return mc.Chain(*layers)


def _normalised(layer, channels):
    return [layer, mc.BatchNorm(channels, eps=1e-3, momentum=0.01), mc.tanh]


def zhang():
    """Colorful Image Colorization's release net eccv16: L (N, H, W, 1) in 0 .. 100 to ab (N, H, W, 2); 313 bins."""
    layers = [Scale(0.01, -0.5)]
    for last_stride, dilation, *channels in ((2, 1, 1, 64, 64), (2, 1, 64, 128, 128), (2, 1, 128, 256, 256, 256),
                                             (1, 1, 256, 512, 512, 512), (1, 2, 512, 512, 512, 512),
                                             (1, 2, 512, 512, 512, 512), (1, 1, 512, 512, 512, 512)):
        for i in range(1, len(channels)):
            stride = last_stride if i == len(channels) - 1 else 1
            layers += [mc.Conv(channels[i - 1], channels[i], 3, stride=stride, padding=dilation, dilation=dilation,
                               init=mc.kaiming()), mc.relu]
        layers += [mc.BatchNorm(channels[-1])]
    layers += [mc.Deconv(512, 256, 4, stride=2, padding=1), mc.relu]
    for _ in range(2):
        layers += [mc.Conv(256, 256, 3, padding=1, init=mc.kaiming()), mc.relu]
    layers += [mc.Conv(256, 313, 1), mc.softmax, mc.Conv(313, 2, 1, bias=False),
               mc.Upsample(4, mode="bilinear"), Scale(110, 0)]
    return mc.Chain(*layers)


def colornet():
    """The network of colorize's `colornet`: grey (N, H, W, 1) to scores (N, H / 4, W / 4, 313), as one Chain."""
    return mc.Chain(*flat(build("colornet").net))


def nano():
    """The network of colorize's `nano`: L (N, H, W, 1) to scores (N, H / 4, W / 4, bins)."""
    return build("nano").net


# ------------------------------------------------------------------ the same weights everywhere


def randomise(model, seed=0):
    """Biases, and each batchnorm's parameters and moments, as if after training: at first they hide mistakes."""
    rng = np.random.default_rng(seed)
    for _, layer in walk(model, (mc.Conv, mc.Deconv)):
        if layer.b is not None:
            layer.b.value = rng.normal(0, 0.1, layer.b.shape).astype("float32")
    for _, bn in walk(model, mc.BatchNorm):
        n = len(bn.moments.mean)
        bn.params.value = np.concatenate([rng.uniform(0.5, 1.5, n), rng.normal(0, 0.2, n)]).astype("float32")
        bn.moments.mean = rng.normal(0, 0.1, n).astype("float32")
        bn.moments.var = rng.uniform(0.5, 1.5, n).astype("float32")
    return model


def arrays(model):
    """Every array of the model by a short name, for np.savez."""
    found = {f"p{i}": mc.value(p) for i, p in enumerate(mc.params(model))}
    for i, (_, moments) in enumerate(walk(model, bnmoments)):
        found[f"mean{i}"], found[f"var{i}"] = moments.mean, moments.var
    return found


def filled(model, found):
    """The model with the arrays that `arrays` gave."""
    for i, p in enumerate(mc.params(model)):
        p.value = np.array(found[f"p{i}"])
    for i, (_, moments) in enumerate(walk(model, bnmoments)):
        moments.mean, moments.var = np.array(found[f"mean{i}"]), np.array(found[f"var{i}"])
    return model
