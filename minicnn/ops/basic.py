"""Arithmetic, reductions, shapes and matrix products, and the operators of Param and Result.

Each operator is its formula, followed by its gradients `(dy, y, *arguments) -> d argument`. The gradients are
made of operators themselves, so that higher derivatives come for free.
"""
import builtins
import operator

import numpy as np

from ..autograd import Param, Tracked, add, one_sided, primitive, value, zerograd
from ..device import xp
from ..dispatch import kernels
from .shapes import count, floating, is_int, number

__all__ = ["abs", "add", "cat", "clip", "div", "exp", "getitem", "log", "mat", "matmul", "max", "mean", "mul", "neg",
           "pad", "pow", "reshape", "sqrt", "sub", "sum", "transpose"]

# ------------------------------------------------------------------ arithmetic


def unbroadcast(x, dy):
    """dy summed to the shape of x, the argument that was broadcast."""
    return dy if dy.shape == x.shape else sum_to(dy, shape=x.shape)


@primitive(keep="")
def sum_to(x, *, shape):
    """Sum x over the axes along which an array of this shape would be broadcast to it."""
    extra = x.ndim - len(shape)
    axes = tuple(i for i in range(x.ndim) if i < extra or (shape[i - extra] == 1 and x.shape[i] != 1))
    return _sum(x, axes, True).reshape(shape)


@primitive(keep="")
def expand(x, *, shape):
    """x broadcast to this shape."""
    return xp(x).broadcast_to(x, shape).copy()


sum_to.back = (lambda dy, y, x, shape: expand(dy, shape=x.shape),)
expand.back = (lambda dy, y, x, shape: sum_to(dy, shape=x.shape),)
add.back = (lambda dy, y, a, b: unbroadcast(a, dy), lambda dy, y, a, b: unbroadcast(b, dy))


@primitive(keep="")
def sub(a, b):
    """a - b"""
    return one_sided("sub", a, b, np.subtract)


@primitive(keep="a b")
def mul(a, b):
    """a * b, element by element. One of them may be broadcast.

    >>> mul(np.ones((2, 3)), np.ones(2))
    Traceback (most recent call last):
    ValueError: mul got shapes (2, 3) and (2,), which do not fit
    """
    return one_sided("mul", a, b, np.multiply)


@primitive(keep="a b")
def div(a, b):
    """a / b, element by element."""
    return one_sided("div", a, b, np.true_divide)


@primitive(keep="")
def neg(x):
    """-x"""
    return np.negative(_floats("neg", x))


@primitive(keep="x")
def pow(x, n):
    """x ** n for a number n."""
    if np.ndim(n):
        raise TypeError(f"pow takes a number as exponent, got shape {np.shape(n)}: use mc.exp(n * mc.log(x))")
    return np.power(_floats("pow", x), number("pow", "n", n))


sub.back = (lambda dy, y, a, b: unbroadcast(a, dy), lambda dy, y, a, b: unbroadcast(b, neg(dy)))
mul.back = (lambda dy, y, a, b: unbroadcast(a, mul(dy, b)), lambda dy, y, a, b: unbroadcast(b, mul(dy, a)))
div.back = (lambda dy, y, a, b: unbroadcast(a, div(dy, b)),
            lambda dy, y, a, b: unbroadcast(b, neg(div(mul(dy, div(a, b)), b))))
neg.back = (lambda dy, y, x: neg(dy),)
pow.back = (lambda dy, y, x, n: mul(mul(dy, float(n)), pow(x, n - 1)) if n != 0 else mul(dy, 0),)

# ------------------------------------------------------------------ functions of one array


def _floats(name, x):
    """x, which must be a floating-point array, or a number."""
    if isinstance(x, (int, float)):
        return np.float64(x)
    floating(name, x=x)
    return x


@primitive(keep="y")
def exp(x):
    """e to the x."""
    return np.exp(_floats("exp", x))


@primitive(keep="x")
def log(x):
    """The natural logarithm: -inf at 0, NaN below."""
    return np.log(_floats("log", x))


@primitive(keep="y")
def sqrt(x):
    """The square root; NaN below 0."""
    return np.sqrt(_floats("sqrt", x))


@primitive(keep="x")
def abs(x):
    """|x|, with gradient 0 at 0."""
    return np.abs(_floats("abs", x))


@primitive(keep="x")
def clip(x, low, high):
    """x, but at least low and at most high (numbers); the gradient passes where x lies between them.

    >>> clip(np.array([-2., .5, 2.]), 0, 1)
    array([0. , 0.5, 1. ])
    """
    low, high = number("clip", "low", low), number("clip", "high", high)
    if not low <= high:
        raise ValueError(f"clip needs low <= high, got {low} and {high}")
    return np.clip(_floats("clip", x), low, high)


def _inside(x, low, high):
    """1 where x lies between the bounds, 0 elsewhere, NaN where it is NaN."""
    return xp(x).where(np.isnan(x), x, (x >= low) & (x <= high))


def _sign(x):
    """-1, 0 or 1; NaN where x is NaN, for which CuPy's sign may give 0."""
    return xp(x).where(np.isnan(x), x, np.sign(x))


exp.back = (lambda dy, y, x: mul(dy, y),)
log.back = (lambda dy, y, x: div(dy, x),)
sqrt.back = (lambda dy, y, x: div(dy, mul(y, 2)),)
abs.back = (lambda dy, y, x: mul(dy, _sign(value(x))),)
clip.back = (lambda dy, y, x, low, high: mul(dy, _inside(value(x), float(low), float(high))),)

# ------------------------------------------------------------------ reductions


def _axes(x, axis):
    """axis (None, a number, several) as a sorted tuple of numbers >= 0."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    for i in axes:
        if isinstance(i, bool) or not hasattr(i, "__index__") or not -x.ndim <= i < x.ndim:
            raise ValueError(f"axis {i!r} does not exist in shape {x.shape}")
    found = sorted({int(i) % x.ndim for i in axes})
    if len(found) < len(axes):
        raise ValueError(f"axis {axis} names one axis of shape {x.shape} twice")
    return tuple(found)


def _sum(x, axes, keepdims=False):
    """Sums run in float64: those of a million pixels would lose digits in float32."""
    if x.dtype.kind != "f":
        return x.sum(axis=axes, keepdims=keepdims)
    return x.sum(axis=axes, keepdims=keepdims, dtype="float64").astype(x.dtype, copy=False)


@primitive(keep="")
def sum(x, *, axis=None, keepdims=False):
    """The sum over an axis, several, or all.

    >>> sum(np.ones((2, 3)), axis=0)
    array([2., 2., 2.])
    """
    x = _array("sum", x)
    return _sum(x, _axes(x, axis), bool(keepdims))


def mean(x, *, axis=None, keepdims=False):
    """The mean over an axis, several, or all."""
    x = _array("mean", x)
    n = int(np.prod([x.shape[i] for i in _axes(x, axis)]))
    if n == 0:
        raise ValueError(f"mean of no elements: shape {x.shape}, axis {axis}")
    return mul(sum(x, axis=axis, keepdims=keepdims), 1 / n)


@primitive(keep="x y")
def max(x, *, axis=None, keepdims=False):
    """The maximum over an axis, several, or all; equal maxima share the gradient."""
    x = _array("max", x)
    axes = _axes(x, axis)
    if 0 in [x.shape[i] for i in axes]:
        raise ValueError(f"max of no elements: shape {x.shape}, axis {axis}")
    return x.max(axis=axes, keepdims=bool(keepdims))


def _array(name, x):
    """x, which must be an array of numbers (float32, float64, integers, booleans), or a number."""
    if isinstance(x, (int, float)):
        x = np.asarray(x)
    if not hasattr(x, "ndim") or not hasattr(x, "dtype"):
        raise TypeError(f"{name} needs an array, got {type(x).__name__}: use np.array(x)")
    if x.dtype.kind not in "fiub" or x.dtype.char in "eg":
        raise TypeError(f"{name} got {x.dtype} {x.shape}: use x.astype('float32')")
    return x


def channel_sums(x):
    """The sum over all axes but the last: what a bias or a scale of each channel receives."""
    return _channel_sums(x)


@kernels(cpu="minicnn.cpu.basic.channel_sums", cuda="minicnn.cuda.basic.channel_sums")
def _channel_sums(x):
    return sum(x, axis=tuple(range(x.ndim - 1)))


def _spread(dy, x, axis):
    """dy, the gradient of a reduction of x, back at the shape of x."""
    axes = _axes(x, axis)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return expand(reshape(dy, kept), shape=x.shape)


def _max_back(dy, y, x, axis, keepdims):
    axes = _axes(x, axis)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    hit = value(x) == value(y).reshape(kept)
    share = (hit / hit.sum(axis=axes, keepdims=True)).astype(x.dtype)       # a NaN maximum equals nothing: 0 / 0
    return mul(_spread(dy, x, axis), share)


sum.back = (lambda dy, y, x, axis=None, keepdims=False: _spread(dy, x, axis),)
max.back = (lambda dy, y, x, axis=None, keepdims=False: _max_back(dy, y, x, axis, keepdims),)

# ------------------------------------------------------------------ shapes


@primitive(keep="")
def reshape(x, shape):
    """x with another shape, which may hold one -1."""
    x = _array("reshape", x)
    try:
        return x.reshape(shape)
    except (TypeError, ValueError):
        raise ValueError(f"reshape cannot turn shape {x.shape} into {shape}") from None


@primitive(keep="")
def transpose(x, axes=None):
    """x with its axes in this order, by default reversed."""
    x = _array("transpose", x)
    every = isinstance(axes, (tuple, list)) and len(axes) == x.ndim and set(axes) == set(range(x.ndim))
    if axes is not None and not every:
        raise ValueError(f"transpose of shape {x.shape} needs each axis once, got {axes}")
    return x.transpose(axes)


@primitive(keep="index")
def getitem(x, index):
    """x[index], with NumPy's rules for slices, integers and masks."""
    x = _array("getitem", x)
    try:
        return x[index]
    except IndexError as e:
        raise IndexError(f"getitem of shape {x.shape}: {e}") from None      # not a ValueError: it ends Python's loops


@primitive(keep="")
def ungetitem(dy, *, index, shape):
    """Zeros of this shape with dy added at x[index]: the gradient of getitem."""
    x = xp(dy).zeros(shape, dy.dtype)
    simple = index if isinstance(index, tuple) else (index,)
    if all(i is None or i is Ellipsis or isinstance(i, (slice, int, np.integer)) for i in simple):
        x[index] = dy
    else:
        xp(dy).add.at(x, index, dy)             # an element may be picked more than once
    return x


@primitive(keep="")
def cat(*xs, axis=-1):
    """Arrays one after the other along an axis, by default the last (channels).

    >>> cat(np.ones((1, 2)), np.zeros((1, 1)))
    array([[1., 1., 0.]])
    """
    shapes = [_array("cat", x).shape for x in xs]
    if not xs or not shapes[0]:
        raise ValueError(f"cat needs arrays of at least one dimension, got shapes {shapes}")
    if not is_int(axis):
        raise TypeError(f"cat needs axis as an int, got {axis!r}")
    axis, = _axes(xs[0], axis)
    if len({(len(s), s[:axis], s[axis + 1:]) for s in shapes}) > 1:
        raise ValueError(f"cat along axis {axis} got shapes {', '.join(map(str, shapes))}: they differ elsewhere too")
    return xp(xs[0]).concatenate(xs, axis=axis)


@primitive(keep="")
def pad(x, width, *, fill=0):
    """x with `width` = ((before, after), ...) new elements along each axis; a negative width crops.

    >>> pad(np.ones(2), ((1, -1),))
    array([0., 1.])
    """
    x = _array("pad", x)
    number("pad", "fill", fill)
    try:
        width = tuple((operator.index(a), operator.index(b)) for a, b in width)
    except (TypeError, ValueError):
        raise TypeError(f"pad needs the width as ((before, after), ...), got {width}") from None
    if len(width) != x.ndim or any(a + n + b < 0 or n + builtins.min(a, b) < 0 for n, (a, b) in zip(x.shape, width)):
        raise ValueError(f"pad of shape {x.shape} cannot take the widths {width}")
    inner = tuple(slice(builtins.max(-a, 0), n - builtins.max(-b, 0)) for n, (a, b) in zip(x.shape, width))
    if all(a <= 0 and b <= 0 for a, b in width):
        return x[inner]
    y = xp(x).full([n + a + b for n, (a, b) in zip(x.shape, width)], fill, x.dtype)
    y[tuple(slice(builtins.max(a, 0), n - builtins.max(b, 0)) for n, (a, b) in zip(y.shape, width))] = x[inner]
    return y


def mat(x, dims=None):
    """x as a matrix: the first `dims` axes become rows (default: one, the batch), the rest columns."""
    x, dims = _array("mat", x), count("mat", "dims", 1 if dims is None else dims)
    if not x.ndim or dims > builtins.max(x.ndim - 1, 1):
        raise ValueError(f"mat of shape {x.shape} cannot keep {dims} axes as rows")
    return reshape(x, (int(np.prod(x.shape[:dims])), int(np.prod(x.shape[dims:]))))


def _cat_back(dy, y, *xs, axis=-1):
    axis, = _axes(dy, axis)
    ends = [builtins.sum(x.shape[axis] for x in xs[:i]) for i in range(len(xs) + 1)]
    return [getitem(dy, (slice(None),) * axis + (slice(a, b),)) for a, b in zip(ends, ends[1:])]


reshape.back = (lambda dy, y, x, shape: reshape(dy, x.shape),)
transpose.back = (lambda dy, y, x, axes=None: transpose(dy, axes and tuple(np.argsort(axes).tolist())),)
getitem.back = (lambda dy, y, x, index: ungetitem(dy, index=index, shape=x.shape),)
ungetitem.back = (lambda ddx, y, dy, index, shape: getitem(ddx, index),)
cat.back = _cat_back
pad.back = (lambda dy, y, x, width, fill=0: pad(dy, tuple((-a, -b) for a, b in width)),)

# ------------------------------------------------------------------ matrix products


@primitive(keep="a b")
def _matmul(a, b):
    try:
        return xp(a).matmul(a, b)
    except ValueError:
        raise ValueError(f"matmul got stacks of matrices {a.shape} and {b.shape}, which do not fit") from None


def matmul(a, b):
    """The matrix product a @ b, with NumPy's rules for vectors and stacks of matrices."""
    floating("matmul", a=a, b=b)
    if not (a.ndim and b.ndim) or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"matmul got shapes {a.shape} and {b.shape}: the inner sizes must agree")
    row, column = a.ndim == 1, b.ndim == 1
    a2 = reshape(a, (1, a.shape[0])) if row else a
    b2 = reshape(b, (b.shape[0], 1)) if column else b
    y = _matmul(a2, b2)
    if row or column:
        y = reshape(y, y.shape[:-2] + (() if row else y.shape[-2:-1]) + (() if column else y.shape[-1:]))
    return y


def _swap(x):
    return transpose(x, tuple(range(x.ndim - 2)) + (x.ndim - 1, x.ndim - 2))


_matmul.back = (lambda dy, y, a, b: unbroadcast(a, _matmul(dy, _swap(b))),
                lambda dy, y, a, b: unbroadcast(b, _matmul(_swap(a), dy)))

# ------------------------------------------------------------------ the operators of Param and Result

Tracked.__add__, Tracked.__radd__ = add, lambda a, b: add(b, a)
Tracked.__sub__, Tracked.__rsub__ = sub, lambda a, b: sub(b, a)
Tracked.__mul__, Tracked.__rmul__ = mul, lambda a, b: mul(b, a)
Tracked.__truediv__, Tracked.__rtruediv__ = div, lambda a, b: div(b, a)
Tracked.__matmul__, Tracked.__rmatmul__ = matmul, lambda a, b: matmul(b, a)
Tracked.__neg__, Tracked.__abs__, Tracked.__pow__, Tracked.__getitem__ = neg, abs, pow, getitem
Tracked.sum = lambda x, axis=None, keepdims=False: sum(x, axis=axis, keepdims=keepdims)
Tracked.mean = lambda x, axis=None, keepdims=False: mean(x, axis=axis, keepdims=keepdims)
Tracked.max = lambda x, axis=None, keepdims=False: max(x, axis=axis, keepdims=keepdims)
Tracked.reshape = lambda x, *shape: reshape(x, shape[0] if len(shape) == 1 else shape)
Tracked.transpose = lambda x, *axes: transpose(x, None if not axes else axes[0] if len(axes) == 1 else axes)
Tracked.T = property(lambda x: transpose(x))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):              # comparisons give plain arrays
    setattr(Tracked, f"__{_name}__", zerograd(getattr(operator, _name)))
Tracked.__hash__ = object.__hash__


def _inplace(change):
    def method(p, other):
        p.value = change(p.writable(), value(other))
        return p
    return method


Param.__iadd__, Param.__isub__ = _inplace(operator.iadd), _inplace(operator.isub)
Param.__imul__, Param.__itruediv__ = _inplace(operator.imul), _inplace(operator.itruediv)
Tracked.ufuncs.update(add=add, subtract=sub, multiply=mul, divide=div, true_divide=div, negative=neg, matmul=matmul,
                      exp=exp, log=log, sqrt=sqrt, absolute=abs, square=lambda x: mul(x, x),
                      **{n: zerograd(getattr(np, n)) for n in ("less", "less_equal", "greater", "greater_equal",
                                                               "equal", "not_equal", "isnan", "isfinite", "sign")})
