"""What peers are timed on: each Work names a kind, which is a method of every peer that can do it."""
from collections import namedtuple

import numpy as np

from .. import models

Work = namedtuple("Work", "kind, title, sizes")
Work.__doc__ = """kind: the peers' method. sizes: what the arrays are made from.

    forward(model, x)               inference, weights are constants
    training(model, x, target)      forward, backward, Adam; mean squared error
    conv(w, x, dilation)            a 3x3 convolution, weights are arguments
    constant_conv(w, x, dilation)   the same, weights are constants
    gradients(w, x, dy, dilation)   of that convolution, for w and x
"""

# channels, pixels, dilation
CONVS = [(64, 128, 1), (64, 256, 1), (128, 64, 1), (256, 32, 1), (512, 32, 1), (512, 32, 2)]


def _works():
    yield "jetson-forward", Work("forward", "jetson forward, 1 x 256 x 256", ("jetson", 1))
    yield "jetson-training", Work("training", "jetson training step, batch 8", ("jetson", 8))
    yield "zhang-forward", Work("forward", "zhang forward, 1 x 256 x 256", ("zhang", 1))
    for channels, pixels, dilation in CONVS:
        name = f"conv-{channels}-{pixels}" + f"-dilated{dilation}" * (dilation > 1)
        title = f"conv 3x3 {channels}->{channels}, {pixels} px" + f", dilation {dilation}" * (dilation > 1)
        for kind, suffix, what in (("conv", "forward", "forward"), ("gradients", "gradients", "gradients"),
                                   ("constant_conv", "constant", "forward, constant weights")):
            yield f"{name}-{suffix}", Work(kind, f"{title}: {what}", (channels, pixels, dilation))


WORKS = dict(_works())


def data(work, seed=0):
    """The arrays that a Work needs, by name, for np.savez."""
    rng = np.random.default_rng(seed)
    if work.kind in ("forward", "training"):
        name, batch = work.sizes
        models.mc.seed(seed)
        found = models.arrays(models.randomise(getattr(models, name)()))
        low, high = (0, 100) if name == "zhang" else (-1, 1)
        found["x"] = rng.uniform(low, high, (batch, 256, 256, 1)).astype("float32")
        if work.kind == "training":
            found["target"] = rng.uniform(-0.3, 0.3, (batch, 256, 256, 2)).astype("float32")
        return found
    channels, pixels, _ = work.sizes
    shape = (1, pixels, pixels, channels)
    w = rng.normal(0, (2 / (9 * channels)) ** 0.5, (3, 3, channels, channels))
    found = {"w": w, "x": rng.normal(size=shape), "dy": rng.normal(size=shape)}
    return {k: v.astype("float32") for k, v in found.items() if k != "dy" or work.kind == "gradients"}


def arguments(work, found):
    """What the peers' method of that kind takes."""
    if work.kind in ("forward", "training"):
        model = models.filled(getattr(models, work.sizes[0])(), found)
        return (model, found["x"]) + ((found["target"],) if work.kind == "training" else ())
    if work.kind == "gradients":
        return found["w"], found["x"], found["dy"], work.sizes[2]
    return found["w"], found["x"], work.sizes[2]
