"""The tape: record what a function does with its Params, then walk back through it.

    w = Param(np.ones(3))
    tape = diff(lambda x: mc.sum((w * x) ** 2), x)     # run, record, go back
    value(tape), grad(tape, w)

`tracked.py` has what can be recorded. Here, from the top: the tape, primitives, `diff`, and how to ask for gradients.
This file knows arrays only by `shape`, `dtype` and `+`: it runs on NumPy and CuPy alike.
"""
import functools
import itertools
from contextlib import contextmanager
from time import perf_counter

import numpy as np

from .tracked import Boxed, Param, Result, Shape, Tracked, force_training, local, training, value  # noqa: F401
from .walk import walk

# ------------------------------------------------------------------ the tape


class Node:
    """One call of a primitive on a tape (`call` is None: a Param), and what going back will need."""

    __slots__ = ("call", "kept", "kw", "y", "parents", "param", "grad", "owned", "shape", "dtype", "took", "back")

    def __init__(self, y, call=None, parents=(), param=None, took=0.0):
        self.call, self.parents, self.param = call, parents, param
        self.shape, self.dtype, self.took, self.back = y.shape, y.dtype, took, 0.0
        self.kept = self.kw = self.y = self.grad = None
        self.owned = False

    def go_back(self):
        """Add this node's gradient to its parents'."""
        start, back = perf_counter(), self.call.back
        given = (self.grad, self.y, *self.kept)
        all_at_once = back(*given, **self.kw) if callable(back) else None
        for i, parent in enumerate(self.parents):
            if parent is not None:
                g = all_at_once[i] if all_at_once is not None else back[i](*given, **self.kw)
                if g is not None:
                    parent.accumulate(g, self.call.__name__, i)
        self.back = perf_counter() - start

    def accumulate(self, g, name, i):
        if g.shape != self.shape or g.dtype != self.dtype:
            raise ValueError(f"the gradient of {name} for argument {i} is {g.dtype} {g.shape}, "
                             f"but the argument is {self.dtype} {self.shape}")
        if self.grad is None:
            self.grad = g                       # may be shared with another node: not ours to change
        elif self.owned and not local.tapes:
            self.grad += g
        else:
            self.grad, self.owned = add(self.grad, g), True

    def free(self):
        self.kept = self.kw = self.y = self.grad = None
        self.parents = ()


class Tape(Boxed):
    """A record of one `diff`: `value` is the loss, `grad(tape, param)` its gradients, `print(tape)` the story."""

    numbers = itertools.count()

    def __init__(self):
        self.number, self.nodes, self.params, self.value = next(self.numbers), [], {}, None

    def node(self, x):
        """The node of x on this tape, or None if x is a constant here."""
        if isinstance(x, Result):
            return x.nodes.get(self.number)
        if not isinstance(x, Param) or x.frozen:
            return None
        node = self.params.get(id(x))           # the node holds the Param, so its id stays its own
        if node is None:
            node = self.params[id(x)] = Node(x.value, param=x)
            self.nodes.append(node)
        return node

    def leaf(self, x):
        """A new variable of this tape with the value of x, which outer tapes still know as x."""
        leaf = Result(value(x), {})
        for tape in local.tapes[:-1]:
            node = tape.node(x)
            if node is not None:
                leaf.nodes[tape.number] = node
        leaf.nodes[self.number] = node = Node(leaf.value, param=leaf)
        self.nodes.append(node)
        return leaf

    def __repr__(self):
        lines = [f"Tape of {len(self.nodes)} nodes, value {self.value}"]
        for i, n in enumerate(self.nodes):
            what = "param" if n.call is None else n.call.__name__
            times = "" if n.call is None else f"{n.took * 1e3:9.3f} ms{n.back * 1e3:9.3f} ms back"
            lines.append(f"{i:4}  {what:14}{str(n.dtype):9}{str(n.shape):22}{times}")
        return "\n".join(lines)


# ------------------------------------------------------------------ primitives


def primitive(f=None, *, keep=None):
    """Make `f(*arrays, **options)` an operator that tapes record. Differentiable arguments are positional.

    Give the gradients afterwards, one for each argument: `f.back = (g0, g1)`, where `g(dy, y, *args, **options)`
    returns the gradient of that argument (None: zero); or one function that returns all of them. `keep` names what
    the gradients read, as in `keep="x y"` with y the output; of the rest they see shape and dtype only, and the tape
    lets the arrays go. Without `keep` all stay.

    >>> @primitive(keep="x")
    ... def square(x): return x * x
    >>> square.back = (lambda dy, y, x: 2 * x * dy,)
    >>> float(grad(square)(np.float64(3)))
    6.0
    """
    if f is None:
        return functools.partial(primitive, keep=keep)
    code = f.__code__
    names = code.co_varnames[:code.co_argcount]

    @functools.wraps(f)
    def call(*args, **kw):
        values, dtype = _values(call.__name__, args)
        start = perf_counter() if local.tapes else 0
        with _quiet():
            y = f(*values, **kw)
            if dtype is not None and y.dtype != dtype and y.dtype.kind == "f":
                y = y.astype(dtype)         # NumPy 1 and 2 promote scalars in opposite directions
        return _record(call, args, kw, y, perf_counter() - start) if local.tapes else y

    call.back, call.names = (), names
    call.keep = None if keep is None else frozenset(keep.split())
    if keep is not None and not call.keep <= set(names) | {"y"}:
        raise ValueError(f"{f.__name__}: keep={keep!r} names something that is neither an argument nor y")
    return call


def _quiet():
    """Overflow and 0 / 0 show as inf and NaN in the result, the same on every device, not as warnings."""
    return np.errstate(all="ignore")


def zerograd(f):
    """Make `f` accept tracked arguments as plain arrays and return a constant: `argmax`, `isnan` and the like."""
    @functools.wraps(f)
    def call(*args, **kw):
        return f(*(value(a) for a in args), **kw)
    return call


def nograd(dy, y, *args, **kw):
    """The gradient of an argument whose small changes change nothing, for `f.back`."""
    return None


def _values(name, args):
    """The plain arguments, and the floating dtype that the output must have (None: whatever comes)."""
    strong, weak, values = set(), set(), []
    for a in args:
        tracked = isinstance(a, Tracked)
        if tracked:
            a = a.value
        values.append(a)
        dtype = getattr(a, "dtype", None)
        if dtype is not None and dtype.kind == "f":     # a NumPy scalar is as weak as a Python one
            if dtype.char not in "fd" or not dtype.isnative:
                raise TypeError(f"{name} got {dtype} {a.shape}: use x.astype('float32')")
            (strong if tracked or a.ndim else weak).add(dtype)
    if len(strong) > 1:
        got = " and ".join(f"{a.dtype} {a.shape}" for a in values if hasattr(a, "dtype"))
        raise TypeError(f"{name} got {got}: give it one dtype, for instance with x.astype('float32')")
    dtypes = strong or weak
    return values, dtypes.pop() if len(dtypes) == 1 else None


def _record(call, args, kw, y, took):
    """Put the call on every active tape that tracks one of its arguments."""
    tapes, nodes = local.tapes, {}
    for a in args:
        if isinstance(a, Result) and a.born != tapes[0].number:
            raise RuntimeError(f"{call.__name__} got a Result of a diff that has ended, so no gradient can flow "
                               "through it: keep mc.value(x) instead")
    for tape in tapes:
        parents = tuple([tape.node(a) for a in args])
        if not any(parents):
            continue
        for i, parent in enumerate(parents):
            if parent is not None and not callable(call.back) and not (i < len(call.back) and call.back[i]):
                arg = call.names[i] if i < len(call.names) else i
                raise TypeError(f"{call.__name__} has no gradient for its argument {arg!r}: pass mc.value(x)")
        node = Node(y, call, parents, took=took)
        node.kw = kw
        if len(tapes) > 1:                      # an outer tape must see the gradient's own operations
            node.kept, node.y = args, Result(y, dict(nodes))
        else:
            keep = call.keep
            node.y = y if keep is None or "y" in keep else None
            node.kept = [value(a) if keep is None or n in keep or not hasattr(a, "dtype") else Shape(a)
                         for n, a in itertools.zip_longest(call.names, args)][:len(args)]
        nodes[tape.number] = node
        tape.nodes.append(node)
    return Result(y, nodes) if nodes else y


@primitive(keep="")
def add(a, b):
    """a + b. Lives here because gradients that meet are added."""
    return one_sided("add", a, b, np.add)


def one_sided(name, a, b, f):
    """f(a, b), refusing to broadcast both: (N, 1) with (N,) would silently make (N, N)."""
    if not all(hasattr(x, "dtype") or isinstance(x, (int, float)) for x in (a, b)):
        raise TypeError(f"{name} needs arrays or numbers, got {type(a).__name__} and {type(b).__name__}")
    try:
        y = f(a, b)
    except ValueError:
        raise ValueError(f"{name} got shapes {np.shape(a)} and {np.shape(b)}, which do not fit") from None
    dtype = getattr(y, "dtype", np.dtype(object))
    if dtype.char not in "fd":
        raise TypeError(f"{name} gives {dtype} here, and works in float32 or float64: use x.astype('float32')")
    if y.shape != np.shape(a) and y.shape != np.shape(b):
        raise ValueError(f"{name} got shapes {np.shape(a)} and {np.shape(b)}: both would be broadcast, to {y.shape}; "
                         "reshape one if that is meant")
    return y


# ------------------------------------------------------------------ running and asking


def diff(f, *args, **kw):
    """Run `f(*args, **kw)`, which must give a scalar, record it, walk back; returns the Tape.

    >>> w = Param(2.0)
    >>> tape = diff(lambda x: w * w * x, 5.0)
    >>> float(value(tape)), float(grad(tape, w))
    (20.0, 20.0)
    """
    return _run(lambda tape: f(*args, **kw))[0]


@contextmanager
def recording():
    """`with recording() as tape:` puts what follows on a tape, without going back."""
    tape = Tape()
    local.tapes.append(tape)
    try:
        yield tape
    finally:
        local.tapes.remove(tape)


def _run(f):
    """Record f(tape) and walk back; (tape, f's result as outer tapes see it)."""
    with recording() as tape:
        y = f(tape)
    tape.value, last = value(y), tape.node(y) if isinstance(y, Result) else None
    if not hasattr(tape.value, "dtype") and not isinstance(tape.value, (int, float)):
        raise TypeError(f"diff needs a function that returns a scalar loss, got {type(tape.value).__name__}")
    if getattr(tape.value, "size", 1) != 1:
        raise ValueError(f"diff needs a function that returns a scalar loss, got shape {tape.value.shape}: "
                         "sum it or take the mean")
    if last is not None:
        last.grad = np.ones_like(tape.value)
    with _quiet():
        for node in reversed(tape.nodes):
            if node.call is not None:
                if node.grad is not None:
                    node.go_back()
                node.free()
    return tape, y


def grad(x, param=0):
    """`grad(tape, param)`: the gradient, or None where the loss does not depend on it.

    `grad(f, i=0)`: the function that gives the gradient of f for its i-th argument; it nests.

    >>> float(grad(grad(lambda x: x * x * x))(2.0))
    12.0
    """
    if isinstance(x, Tape):
        if not isinstance(param, Param):
            raise TypeError(f"grad(tape, x) needs a Param, got {type(param).__name__}: "
                            "tapes keep gradients of Params only")
        node = x.params.get(id(param))
        return None if node is None else node.grad
    both = gradloss(x, param)
    return lambda *args, **kw: both(*args, **kw)[0]


def gradloss(f, argnum=0):
    """The function that gives (gradient, loss) of f for its argument number `argnum`."""
    if not callable(f) or not isinstance(argnum, int):
        raise TypeError(f"grad takes (tape, param) or (function, number), got ({type(f).__name__}, "
                        f"{type(argnum).__name__})")

    def both(*args, **kw):
        if not 0 <= argnum < len(args):
            raise TypeError(f"the gradient for argument {argnum} was asked for, got {len(args)} arguments")
        x = args[argnum] if isinstance(args[argnum], Tracked) else Param(args[argnum])
        leaves = []                             # a new variable for each call: nested calls stay apart

        def run(tape):
            leaves.append(tape.leaf(x))
            return f(*args[:argnum], leaves[0], *args[argnum + 1:], **kw)

        tape, y = _run(run)
        g = leaves[0].nodes.pop(tape.number).grad
        return np.zeros_like(value(x)) if g is None else g, y if local.tapes else value(y)
    return both


def params(x):
    """Every Param inside a model (any object, list, dict) or on a Tape, once, in the order of attributes."""
    if isinstance(x, Tape):
        return [node.param for node in x.params.values()]
    return [p for _, p in walk(x, Param)]


def freeze(x, frozen=True):
    """Make all Params inside x stay as they are: `diff` gives them no gradient. `frozen=False` undoes it.

    A BatchNorm whose params are frozen keeps its running moments, too, and uses them while training.
    """
    for p in params(x):
        p.frozen = frozen
