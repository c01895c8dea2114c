"""What a tape can see: Param and Result, boxes around plain arrays; and whether one is recording in this thread."""
import threading
from contextlib import contextmanager

import numpy as np


class _Local(threading.local):
    """Each thread has its own stack of tapes (outermost first) and its own forced training flag."""

    def __init__(self):
        self.tapes, self.forced = [], None


local = _Local()


def training():
    """True inside `diff`, False outside: dropout and batchnorm ask this. See `force_training`."""
    return bool(local.tapes) if local.forced is None else local.forced


@contextmanager
def force_training(flag):
    """`with force_training(True):` makes `training()` answer True (or False) in this thread."""
    before, local.forced = local.forced, flag
    try:
        yield
    finally:
        local.forced = before


class Boxed:
    """Anything with a plain `value` inside."""

    __slots__ = ()


class Tracked(Boxed):
    """An array that a tape can see. Its operators (`+`, `@`, `.sum()` ...) are set by `ops.basic`."""

    __slots__ = ()
    ufuncs = {}                             # name of a NumPy ufunc -> our primitive
    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)

    def __array_ufunc__(self, ufunc, method, *inputs, **kw):
        primitive = self.ufuncs.get(ufunc.__name__)
        if primitive is None or method != "__call__" or kw:
            raise TypeError(f"np.{ufunc.__name__} is not recorded by the tape: use minicnn's operators, "
                            "or mc.value(x) for a constant")
        return primitive(*inputs)

    def __array__(self, dtype=None, copy=None):
        if local.tapes:
            raise TypeError("NumPy would take the array out of the tape and lose its gradient: "
                            "use minicnn's operators, or mc.value(x) for a constant")
        return np.array(self.value, dtype=dtype)

    def __float__(self):
        return float(self.value)

    def __len__(self):
        return len(self.value)

    def __repr__(self):
        return f"{type(self).__name__}({self.dtype}, {self.shape})"


class Param(Tracked):
    """A box for an array that is to be learned; outside `diff` it acts like the array itself.

    `opt` is its own optimizer (None: `minimize` gives it one); `frozen` Params get no gradient.
    """

    __slots__ = ("value", "opt", "frozen", "__weakref__")

    def __init__(self, value, opt=None):
        if not hasattr(value, "dtype"):
            value = np.asarray(value, dtype="float64")
        if isinstance(value, np.generic):
            value = np.asarray(value)               # a NumPy scalar could not be updated in place
        if value.dtype.kind != "f":
            raise TypeError(f"a Param needs a floating-point array, got {value.dtype}: use x.astype('float32')")
        self.value, self.opt, self.frozen = value, opt, False

    def __setitem__(self, index, new):
        self.writable()[index] = value(new)

    def writable(self):
        """The array, to be changed in place (`p -= g`, `p[i] = v`): not while a tape records."""
        if local.tapes:
            raise TypeError("a Param was overwritten inside diff, which would make its gradient wrong: "
                            "update it after diff has returned")
        return self.value


class Result(Tracked):
    """What a primitive returns while a tape records: the array, and its node on each tape.

    `nodes` maps a tape's number to a Node, never to the Tape: a reference back would close a cycle,
    and memory would then wait for the garbage collector.
    """

    __slots__ = ("value", "nodes", "born", "__weakref__")

    def __init__(self, value, nodes):
        self.value, self.nodes, self.born = value, nodes, local.tapes[0].number

    def __setitem__(self, index, new):
        raise TypeError("an array was overwritten inside diff, which would make its gradient wrong: "
                        "build a new one with mc.cat, mc.pad or arithmetic")


class Shape:
    """Stands in for an argument that a gradient formula needs nothing of but shape and dtype."""

    __slots__ = ("shape", "dtype", "ndim", "size")

    def __init__(self, x):
        self.shape, self.dtype, self.ndim, self.size = x.shape, x.dtype, x.ndim, x.size


def value(x):
    """The plain array inside a Param or Result, the loss inside a Tape; anything else as it is."""
    return x.value if isinstance(x, Boxed) else x
