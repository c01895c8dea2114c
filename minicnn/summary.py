"""The table of a model's layers: output shapes, parameters, multiply-adds."""
from types import FunctionType

import numpy as np

from .autograd import Param, force_training, params, recording, value
from .device import current, to
from .layers import Chain
from .ops.batchnorm import bnmoments
from .walk import rebuilt, walk

__all__ = ["summary"]


def summary(model, shape):
    """Print a table of the model's layers for one input of this shape (without the batch), and return its totals.

    It runs the model once on zeros. A layer is any callable that holds Params itself, or stands in a Chain.

    >>> from minicnn import Chain, Conv, relu
    >>> totals = summary(Chain(Conv(1, 2, 3), relu), (4, 4, 1))
    Layer (type)                 Output shape                  Params   Multiply-adds
    =================================================================================
    layers.0 (Conv)              (1, 2, 2, 2)                      20              72
    relu                         (1, 2, 2, 2)                       0               0
    =================================================================================
    Trainable: 20    Non-trainable: 0    Total: 20    Multiply-adds: 72
    """
    rows = probe(model, shape)
    lines = [f"{'Layer (type)':28} {'Output shape':24}{'Params':>12}{'Multiply-adds':>16}", "=" * 81]
    for name, kind, out, count, macs in rows:
        lines.append(f"{f'{name} ({kind})' if name else kind:28} {str(out):24}{count:>12,}{macs:>16,}")
    trainable = sum(p.size for p in params(model) if not p.frozen)
    other = sum(p.size for p in params(model) if p.frozen) + sum(moments(model))
    totals = {"trainable": trainable, "non_trainable": other, "total": trainable + other,
              "macs": sum(r[4] for r in rows)}
    lines += ["=" * 81, f"Trainable: {trainable:,}    Non-trainable: {other:,}    Total: {trainable + other:,}    "
                        f"Multiply-adds: {totals['macs']:,}"]
    print("\n".join(lines))
    return totals


def moments(x):
    """The number of running means and variances of each batchnorm inside x."""
    return [2 * m.mean.size for _, m in walk(x, bnmoments)]


def probe(model, shape):
    """Run the model on zeros; rows (path, kind, output shape, parameters, multiply-adds) in the order of calls."""
    rows, seen = [], set()
    dtype = params(model)[0].dtype if params(model) else "float32"
    with force_training(False), recording() as tape:
        x = tape.leaf(to(current(), np.zeros((1,) + tuple(shape), dtype)))
        found = list(walk(model, is_layer))
        probes = [(layer, Probe(path, layer, tape, rows, seen)) for path, layer in found]
        y = rebuilt(model, probes + [(p, p) for p in params(model)])(x)
        if not rows:
            rows.append(("", type(model).__name__, y.shape, sum(p.size for p in params(model)), macs(tape.nodes)))
    return rows


def is_layer(x):
    """Is x a row of the table: a function, or a callable that is no Chain and holds Params or no other layer?"""
    if isinstance(x, FunctionType):
        return True
    if not callable(x) or isinstance(x, (Chain, type)):
        return False
    inside = getattr(x, "__dict__", {}).values()
    return any(isinstance(v, Param) for v in inside) or not any(True for v in inside for _ in walk(v, is_layer))


class Probe:
    """Stands in for a layer: calls it and adds a row."""

    def __init__(self, path, layer, tape, rows, seen):
        self.path, self.layer, self.tape, self.rows, self.seen = path, layer, tape, rows, seen

    def __call__(self, *args, **kw):
        start = len(self.tape.nodes)
        y = self.layer(*args, **kw)
        count = sum(p.size for p in params(self.layer)) + sum(moments(self.layer))
        if id(self.layer) in self.seen:
            count = 0                           # used again: its parameters were counted
        self.seen.add(id(self.layer))
        kind = getattr(self.layer, "__name__", type(self.layer).__name__)
        path = "" if isinstance(self.layer, FunctionType) else self.path    # one function, many places
        self.rows.append((path, kind, value(y).shape, count, macs(self.tape.nodes[start:])))
        return y


def macs(nodes):
    """The multiply-adds of the convolutions and matrix products among a tape's nodes."""
    total = 0
    for node in nodes:
        if node.call is None:
            continue
        name, kept = node.call.__name__, node.kept
        if name == "conv4":
            total += int(np.prod(node.shape[:3])) * kept[0].size
        elif name in ("conv4x", "deconv4"):
            total += int(np.prod(kept[-1 if name == "conv4x" else 1].shape[:3])) * kept[0].size
        elif name == "_matmul":
            total += int(np.prod(node.shape)) * kept[0].shape[-1]
    return total
