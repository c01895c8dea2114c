"""What each model costs beside what its document says, `python -m colorize.models`; what a training step needs."""
import numpy as np

import minicnn as mc
from minicnn.autograd import recording
from minicnn.device import current, to
from minicnn.layers import Conv, Deconv, Dense
from minicnn.ops.batchnorm import bnmoments
from minicnn.summary import macs
from minicnn.walk import walk

__all__ = ["PUBLISHED", "available", "counts", "fits", "layers", "memory", "multiply_adds"]

PUBLISHED = {               # name: (parameters, which of ours they are, multiply-adds in billions or None, remark)
    "jetson": (298_302, "total", 1.70, "298,300 in layers: the printed 298,302 has 2 counters of a Keras metric"),
    "colornet": (24_793_081, "total", 32.2, "24,788,345 trainable and 4,736 not, as printed"),
    "zhang": (32_236_011, "trainable", 41.8, "the release's file; 4,992 running moments besides"),
    "knet": (None, "total", None, "the slides print no counts; ours is Zhang et al. without batchnorm, 324 scores"),
    "vgg-decoder": (16_286_802, "total", None, "14,714,688 + 1,572,114; the document's block3_conv2 and block3_conv3 "
                                               "must be 590,080, it prints 590,880"),
    "vgg-uv": (143_183_810, "total", None, "as printed"),
    "vgg-uv-small": (58_962_882, "trainable", None, "printed as the total, which has 3,072 running moments more"),
    "mean-fc": (172_242_690, "total", None, "from the author's code; the report prints no counts"),
    "mean-cnn1": (512, "total", None, "from the author's code"),
    "mean-cnn2": (1_589_058, "total", None, "from the author's code"),
    "mean-cnn3": (4_583_810, "total", None, "from the author's code"),
    "faces": (1_761_250, "trainable", None, "from the author's code, which is not what the report says"),
    "faces-text": (1_090_868, "trainable", None, "what the report says, which is not what was run"),
    "nano": (None, "total", None, "ours: at most 300,000 parameters and 0.55 billion multiply-adds"),
}


def layers(model):
    """How many convolutions and dense layers the model has."""
    return sum(1 for _ in walk(model.parts(), (Conv, Deconv, Dense)))


def counts(model):
    """Its parameters: {"trainable", "total"}. A frozen encoder counts as trainable, as in the documents."""
    trainable = sum(p.size for p in mc.params(model.parts()))
    running = sum(2 * m.mean.size for _, m in walk(model.parts(), bnmoments))
    return {"trainable": trainable, "total": trainable + running}


def trace(model, frozen=True):
    """Run the network forward on one photo of the model's size; the tape, without what is frozen if frozen=False."""
    x = model.prepare(to(current(), np.full((1, model.size, model.size, 1), 50, "float32")))
    with recording() as tape, mc.force_training(False):     # running moments stay as they are
        model.net(tape.leaf(x) if frozen else x)
    return tape


def multiply_adds(model):
    """Those of one photo at the model's size, counted while the network runs."""
    return macs(trace(model).nodes)


# ------------------------------------------------------------------ memory


def memory(model, batch):
    """About how many bytes a step of Adam with this batch takes: parameters, gradients, moments, and activations."""
    trained = sum(p.size for p in mc.params(model) if not p.frozen)
    frozen = sum(p.size for p in mc.params(model) if p.frozen)
    nodes = [n for n in trace(model, frozen=False).nodes if n.call is not None]
    kept = {id(a): a.nbytes for n in nodes for a in [n.y, *n.kept] if hasattr(a, "nbytes")}
    for p in mc.params(model):
        kept.pop(id(p.value), None)
    encoder = any(p.frozen for p in mc.params(model.net))           # a frozen one keeps nothing, but runs
    passed = trace(model).nodes if encoder else nodes
    largest = max(4 * int(np.prod(n.shape)) for n in passed)        # a few arrays of that size come and go
    return 4 * (4 * trained + frozen) + batch * (sum(kept.values()) + 3 * largest)


def available():
    """Bytes of memory that are free on the device in force; None where the system does not say."""
    if current() != "cpu":
        return mc.memory()["free"]
    try:
        with open("/proc/meminfo") as file:
            kib = {key: int(rest.split()[0]) for key, rest in (line.split(":") for line in file)}
        return kib["MemAvailable"] * 1024
    except (OSError, KeyError, ValueError):
        return None


def fits(model, batch):
    """Stop, before anything is computed, where a training step would not fit into memory."""
    need, free = memory(model, batch), available()
    if free is not None and need > free:
        raise MemoryError(f"training {model.name} with a batch of {batch} at {model.size} pixels needs about "
                          f"{need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: use a smaller batch or width")


# ------------------------------------------------------------------ the table


def row(model):
    """One line of the table, and the remark below it."""
    published, which, published_macs, remark = PUBLISHED[model.name]
    ours = counts(model)
    if published is None:
        verdict = "-"
    elif published == ours[which]:
        verdict = f"= {which}"
    else:
        verdict = f"{published - ours[which]:+,}"
    giga = multiply_adds(model) / 1e9
    stated = f"{published:,}" if published else "-"
    stated_macs = f"{published_macs:g}" if published_macs else "-"
    return (f"{model.name:13}{model.size:>5}{layers(model):>7}{ours['trainable']:>13,}{ours['total']:>13,}"
            f"{stated:>13}  {verdict:13}{giga:>9.4f}{stated_macs:>10}\n{'':13}{remark}")


HEADER = (f"{'model':13}{'size':>5}{'layers':>7}{'trainable':>13}{'total':>13}"
          f"{'published':>13}  {'it is our':13}{'10^9 MAC':>9}{'published':>10}")
