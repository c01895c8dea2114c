"""Check gradients against central differences, in float64, where an error of one part in a million shows.

    mc.gradcheck(mc.tanh, x)            # an operator: its gradients for every floating array it is given
    mc.gcheck(loss, x, y)               # a model: the gradients of the Params that it uses
"""
from contextlib import contextmanager

import numpy as np

from .autograd import Param, diff, force_training, grad, params, value
from .device import rng, xp
from .ops.basic import mul, sum

STEP = 1e-5             # errors of 1e-10 from the third derivative and 1e-11 from rounding, where all is near 1


def gradcheck(f, *args, nsample=10, rtol=1e-6, atol=1e-8, verbose=True, **kw):
    """Are the gradients of `f(*args, **kw)` right, for each argument that is a floating array?

    The arrays are taken as float64. An output that is no scalar is summed with random weights. Up to `nsample`
    entries of each array are tried; a wrong one is printed unless verbose=False, and makes the answer False.

    >>> gradcheck(np.square, np.ones(3, "float32"))
    True
    >>> from minicnn import primitive
    >>> @primitive
    ... def cube(x): return x ** 3
    >>> cube.back = (lambda dy, y, x: dy * x * x,)
    >>> gradcheck(cube, np.array(1.0))
    gradcheck: argument 0 at (): the gradient is 1, numerically 3
    False
    """
    boxed = [Param(_double(a)) if _is_floating(a) else a for a in args]
    named = [(f"argument {i}", p) for i, p in enumerate(boxed) if isinstance(p, Param)]
    if not named:
        raise TypeError(f"gradcheck needs a floating-point array among the arguments, got "
                        f"{', '.join(type(a).__name__ for a in args) or 'none'}")
    return _check("gradcheck", lambda: f(*boxed, **kw), lambda: f(*map(value, boxed), **kw), named,
                  nsample, rtol, atol, verbose)


def gcheck(f, *args, nsample=10, rtol=1e-6, atol=1e-8, verbose=True, **kw):
    """Are the gradients of `f(*args, **kw)` right for the Params that f uses? See gradcheck.

    Params and arguments are float64 meanwhile; the Params get their own values back. The running moments of
    batchnorm move, as in training.

    >>> w = Param(np.ones((3, 2), "float32"))
    >>> gcheck(lambda x: np.exp(x @ w), np.ones((4, 3), "float32"))
    True
    >>> w.dtype
    dtype('float32')
    """
    used = params(diff(lambda: _scalar("gcheck", f(*args, **kw))))
    if not used:
        raise TypeError("gcheck found no Param that the function uses")
    before = [p.value for p in used]
    args = [_double(a) if _is_floating(a) else a for a in args]
    try:
        for p in used:
            p.value = _double(p)
        return _check("gcheck", *[lambda: f(*args, **kw)] * 2, [(f"Param {i}", p) for i, p in enumerate(used)],
                      nsample, rtol, atol, verbose)
    finally:
        for p, old in zip(used, before):
            p.value = old


def _check(name, tracked, plain, named, nsample, rtol, atol, verbose):
    """Compare the tape's gradients with numeric ones, for each (name, Param)."""
    with _same_noise():
        tape = diff(lambda: _scalar(name, tracked()))
    good = True
    for what, p in named:
        g, x = grad(tape, p), p.value
        g = np.zeros_like(x) if g is None else g
        picked = np.random.default_rng(0).permutation(x.size)[:nsample]
        for i in sorted(picked.tolist()):
            at = tuple(int(k) for k in np.unravel_index(i, x.shape))
            got, expected = float(g[at]), _numeric(lambda: _scalar(name, plain()), x, at)
            if not np.abs(got - expected) <= atol + rtol * np.abs(expected):
                good = False
                if verbose:
                    print(f"{name}: {what} at {at}: the gradient is {got:.9g}, numerically {expected:.9g}")
    return good


def _numeric(f, x, at):
    """The central difference of f() for x[at]."""
    old, ends = float(x[at]), []
    step = STEP * max(1.0, abs(old))
    for new in (old + step, old - step):
        x[at] = new
        with _same_noise(), force_training(True):
            ends.append(float(value(f())))
    x[at] = old
    return (ends[0] - ends[1]) / (2 * step)


def _scalar(name, y):
    """y, summed with random weights: a plain sum would miss errors that cancel, as in softmax."""
    if not hasattr(y, "dtype"):
        raise TypeError(f"{name} needs a function that returns one array, got {type(y).__name__}")
    if not y.ndim:
        return y
    weights = np.random.default_rng(0).standard_normal(y.shape).astype(y.dtype)
    return sum(mul(y, xp(value(y)).asarray(weights)))


@contextmanager
def _same_noise():
    """Every run draws the same random numbers (dropout), and the user's generator does not notice."""
    state = rng().bit_generator.state
    try:
        yield
    finally:
        rng().bit_generator.state = state


def _is_floating(x):
    return getattr(getattr(x, "dtype", None), "kind", "") == "f"


def _double(x):
    """A float64 copy of a floating array, tracked or not."""
    x = value(x)
    return xp(x).array(x, dtype="float64", order="C")
