"""How large a model is: its layers, parameters and multiply-adds, and the memory that a training step needs."""
import numpy as np

import minicnn as mc
from minicnn.autograd import recording
from minicnn.device import current, to
from minicnn.layers import Conv, Deconv, Dense
from minicnn.ops.batchnorm import bnmoments
from minicnn.summary import macs
from minicnn.walk import walk

__all__ = ["available", "counts", "fits", "layers", "memory", "multiply_adds"]


def layers(model):
    """How many convolutions and dense layers the model has."""
    return sum(1 for _ in walk(model.parts(), (Conv, Deconv, Dense)))


def counts(model):
    """The model's parameters as {"trainable", "total"}. A frozen encoder counts as trainable, as in the documents."""
    trainable = sum(p.size for p in mc.params(model.parts()))
    running = sum(2 * m.mean.size for _, m in walk(model.parts(), bnmoments))
    return {"trainable": trainable, "total": trainable + running}


def trace(model, frozen=True):
    """The tape of a forward run on one photo of the model's size. frozen=False leaves out the frozen part."""
    x = model.prepare(to(current(), np.full((1, model.size, model.size, 1), 50, "float32")))
    with recording() as tape, mc.force_training(False):     # running moments stay as they are
        model.net(tape.leaf(x) if frozen else x)
    return tape


def multiply_adds(model):
    """The multiply-adds for one photo of the model's size, counted while the network runs."""
    return macs(trace(model).nodes)


# ------------------------------------------------------------------ memory


def memory(model, batch):
    """About how many bytes a step of Adam takes: parameters, gradients, moments, and the batch's activations."""
    trained = sum(p.size for p in mc.params(model) if not p.frozen)
    frozen = sum(p.size for p in mc.params(model) if p.frozen)
    nodes = [n for n in trace(model, frozen=False).nodes if n.call is not None]
    kept = {id(a): a.nbytes for n in nodes for a in [n.y, *n.kept] if hasattr(a, "nbytes")}
    for p in mc.params(model):
        kept.pop(id(p.value), None)
    encoder = any(p.frozen for p in mc.params(model.net))           # a frozen encoder keeps nothing, but runs
    passed = trace(model).nodes if encoder else nodes
    largest = max(4 * int(np.prod(n.shape)) for n in passed)        # a few arrays of that size come and go
    return 4 * (4 * trained + frozen) + batch * (sum(kept.values()) + 3 * largest)


def available():
    """How many bytes of memory are free on the current device. None if the system does not say."""
    if current() != "cpu":
        return mc.memory()["free"]
    try:
        with open("/proc/meminfo") as file:
            kib = {key: int(rest.split()[0]) for key, rest in (line.split(":") for line in file)}
        return kib["MemAvailable"] * 1024
    except (OSError, KeyError, ValueError):
        return None


def fits(model, batch):
    """Raise MemoryError if a training step would not fit into memory."""
    need, free = memory(model, batch), available()
    if free is not None and need > free:
        raise MemoryError(f"training {model.name} with a batch of {batch} at {model.size} pixels needs about "
                          f"{need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: use a smaller batch or width")
