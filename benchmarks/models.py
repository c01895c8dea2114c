"""The networks of colorize that benchmarks run, each as one Chain; the peers (`peer_*.py`) translate its layers."""
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
    net = build("jetson").net
    return mc.Chain(*flat(mc.Chain(*net.encoder, *net.decoder)))


def zhang():
    """Colorful Image Colorization's release net eccv16: L (N, H, W, 1) in 0 .. 100 to ab (N, H, W, 2); 313 bins."""
    model = build("zhang")
    return mc.Chain(Scale(0.01, -0.5), *flat(model.net), mc.softmax, model.out, mc.Upsample(4, mode="bilinear"),
                    Scale(110, 0))


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
