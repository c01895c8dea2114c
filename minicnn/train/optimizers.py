"""The optimizers, with Knet's defaults: SGD Momentum Nesterov Adagrad Rmsprop Adadelta Adam.

Each Param has an optimizer of its own in `p.opt`, since most keep arrays of its shape. `minimize` clones one into
every Param that has none. At the end of the file each update is one formula that changes w and the state in place.
"""
import copy
import math
from numbers import Real

import numpy as np

from ..autograd import Param
from ..device import on_gpu
from ..dispatch import kernels

__all__ = ["Adadelta", "Adagrad", "Adam", "Momentum", "Nesterov", "Rmsprop", "SGD", "clone", "update_"]


class Optimizer:
    """What all optimizers share.

    `lr` is a number, or a function from the number of updates done so far (0, 1, 2 ...) to a number.
    `gclip` is the largest norm of this parameter's gradient, longer ones are scaled down to it (0: never);
    `l2` times w is then added to the gradient; `decay` shrinks w itself, by lr * decay * w (decoupled).
    """

    arrays = ()                             # the names of the state arrays, each of the shape of w

    def __init__(self, lr, gclip, l2, decay):
        self.lr = lr if callable(lr) else _number(self, "lr", lr, above=0)
        self.gclip, self.l2 = _number(self, "gclip", gclip, least=0), _number(self, "l2", l2, least=0)
        self.decay = _number(self, "decay", decay, least=0)
        self.reset()

    def reset(self):
        """Forget all updates done so far."""
        self.t = 0
        for name in self.arrays:
            setattr(self, name, None)

    def rate(self):
        """The learning rate of the next update."""
        if not callable(self.lr):
            return self.lr
        lr = float(self.lr(self.t))
        if not 0 <= lr < math.inf:
            raise ValueError(f"the function lr of {type(self).__name__} gave {lr} for step {self.t}: "
                             "it must give a number that is not negative")
        return lr

    def update(self, w, g):
        """Change the array w, given its gradient g."""
        for name in self.arrays:
            state = getattr(self, name)
            if state is None:
                setattr(self, name, np.zeros_like(w))
            elif state.shape != w.shape or state.dtype != w.dtype:
                raise ValueError(f"this {type(self).__name__} has updated an array of {state.dtype} {state.shape}, "
                                 f"got {w.dtype} {w.shape}: give each array an optimizer of its own, with clone(opt)")
        states = [getattr(self, name) for name in self.arrays]
        lr, scale = self.rate(), _clipping(g, self.gclip)
        self.t += 1
        formula, scalars = self.rule()
        formula(w, g, *states, lr, *scalars, scale, self.l2, self.decay)

    def state(self):
        """What an update changes beside w: {"t": number of updates, name: array ...}; before the first, t alone."""
        arrays = {name: getattr(self, name) for name in self.arrays if getattr(self, name) is not None}
        return {"t": self.t, **arrays}

    def restore(self, state):
        """Go on from what `state()` gave."""
        if set(state) not in ({"t"}, {"t", *self.arrays}):
            raise ValueError(f"{type(self).__name__} needs a state of {sorted(('t', *self.arrays))}, "
                             f"got {sorted(state)}")
        self.reset()
        for name, x in state.items():
            setattr(self, name, int(x) if name == "t" else x)

    def __repr__(self):
        given = (f"{k}={v}" for k, v in vars(self).items() if k != "t" and k not in self.arrays)
        return f"{type(self).__name__}({', '.join(given)})"


def _number(opt, name, x, *, least=-math.inf, above=-math.inf, below=math.inf):
    """x as a Python float, which leaves float32 arrays float32; outside of its range: an error."""
    if not isinstance(x, Real) or isinstance(x, bool) or not (x >= least and above < x < below):
        bounds = [f">= {least}"] * (least > -math.inf) + [f"> {above}"] * (above > -math.inf) + \
            [f"< {below}"] * (below < math.inf)
        raise ValueError(f"{type(opt).__name__} got {name}={x!r}: expected a finite number {' and '.join(bounds)}"
                         + (" or a function of the step" if name == "lr" else ""))
    return float(x)


def _clipping(g, gclip):
    """The factor that brings the norm of g down to gclip."""
    if not gclip:
        return 1.0
    norm = math.sqrt(float(np.square(g, dtype="float64").sum()))
    return gclip / norm if norm > gclip else 1.0


def clone(opt):
    """An optimizer with the same hyper-parameters that has updated nothing yet.

    >>> clone(SGD(lr=0.5))
    SGD(lr=0.5, gclip=0.0, l2=0.0, decay=0.0)
    """
    if not isinstance(opt, Optimizer):
        raise TypeError(f"clone needs an optimizer like Adam(), got {opt!r}")
    new = copy.copy(opt)
    new.reset()
    return new


def update_(w, g, opt=None):
    """Change w, a Param or an array, in place, given its gradient g (None: no change); returns w.

    `opt` is the Param's own optimizer unless given, and SGD() where there is none, as in Knet.

    >>> update_(np.ones(2), np.array([1., 2.]), SGD(lr=0.1))
    array([0.9, 0.8])
    """
    opt = opt or getattr(w, "opt", None) or SGD()
    if not isinstance(opt, Optimizer):
        raise TypeError(f"update_ needs an optimizer like Adam(), got {opt!r}")
    if g is None:
        return w
    x = w.writable() if isinstance(w, Param) else w
    if not hasattr(x, "flags") or not hasattr(g, "dtype") or x.dtype.kind != "f":
        raise TypeError(f"update_ needs a Param or a floating-point array and its gradient, got {type(w).__name__} "
                        f"and {type(g).__name__}")
    if x.shape != g.shape or x.dtype != g.dtype or on_gpu(x) != on_gpu(g):
        got = [f"{a.dtype} {a.shape} on the {'GPU' if on_gpu(a) else 'CPU'}" for a in (x, g)]
        raise ValueError(f"update_ got {got[0]} with a gradient of {got[1]}: they must be equal")
    if not getattr(x.flags, "writeable", True):
        raise ValueError(f"update_ got a read-only array of shape {x.shape}: make the Param from a copy, "
                         "Param(x.copy())")
    opt.update(x, g)
    return w


# ------------------------------------------------------------------ the optimizers


class SGD(Optimizer):
    """w -= lr * g"""

    def __init__(self, *, lr=0.1, gclip=0, l2=0, decay=0):
        super().__init__(lr, gclip, l2, decay)

    def rule(self):
        return _sgd, ()


class Momentum(Optimizer):
    """v = gamma * v - lr * g;  w += v"""

    arrays = ("velocity",)

    def __init__(self, *, lr=0.05, gamma=0.95, gclip=0, l2=0, decay=0):
        super().__init__(lr, gclip, l2, decay)
        self.gamma = _number(self, "gamma", gamma, least=0, below=1)

    def rule(self):
        return _momentum, (self.gamma,)


class Nesterov(Momentum):
    """w -= gamma * v;  v = gamma * v - lr * g;  w += (1 + gamma) * v"""

    def rule(self):
        return _nesterov, (self.gamma,)


class Adagrad(Optimizer):
    """G += g ** 2;  w -= lr * g / sqrt(G + eps)"""

    arrays = ("G",)

    def __init__(self, *, lr=0.05, eps=1e-6, gclip=0, l2=0, decay=0):
        super().__init__(lr, gclip, l2, decay)
        self.eps = _number(self, "eps", eps, above=0)

    def rule(self):
        return _adagrad, (self.eps,)


class Rmsprop(Optimizer):
    """G = rho * G + (1 - rho) * g ** 2;  w -= lr * g / sqrt(G + eps)"""

    arrays = ("G",)

    def __init__(self, *, lr=0.01, rho=0.9, eps=1e-6, gclip=0, l2=0, decay=0):
        super().__init__(lr, gclip, l2, decay)
        self.rho, self.eps = _number(self, "rho", rho, least=0, below=1), _number(self, "eps", eps, above=0)

    def rule(self):
        return _rmsprop, (self.rho, self.eps)


class Adadelta(Optimizer):
    """G = rho * G + (1 - rho) * g ** 2;  dw = g * sqrt(delta + eps) / sqrt(G + eps);
    delta = rho * delta + (1 - rho) * dw ** 2;  w -= lr * dw"""

    arrays = ("G", "delta")

    def __init__(self, *, lr=1.0, rho=0.9, eps=1e-6, gclip=0, l2=0, decay=0):
        super().__init__(lr, gclip, l2, decay)
        self.rho, self.eps = _number(self, "rho", rho, least=0, below=1), _number(self, "eps", eps, above=0)

    def rule(self):
        return _adadelta, (self.rho, self.eps)


class Adam(Optimizer):
    """m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g ** 2;
    w -= lr * (m / (1 - beta1 ** t)) / (sqrt(v / (1 - beta2 ** t)) + eps)"""

    arrays = ("m", "v")

    def __init__(self, *, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, gclip=0, l2=0, decay=0):
        super().__init__(lr, gclip, l2, decay)
        self.beta1 = _number(self, "beta1", beta1, least=0, below=1)
        self.beta2 = _number(self, "beta2", beta2, least=0, below=1)
        self.eps = _number(self, "eps", eps, above=0)

    def rule(self):
        return _adam, (self.beta1, self.beta2, self.eps, self.t)


# ------------------------------------------------------------------ formulas


def _prepared(w, g, lr, scale, l2, decay):
    """The gradient, clipped and with the l2 penalty's; then the decay of w. g itself belongs to the tape."""
    if scale != 1:
        g = g * scale
    if l2:
        g = g + w * l2
    if decay:
        w *= 1 - lr * decay
    return g


@kernels(cpu="minicnn.cpu.optimizers.sgd", cuda="minicnn.cuda.optimizers.sgd")
def _sgd(w, g, lr, scale, l2, decay):
    w -= lr * _prepared(w, g, lr, scale, l2, decay)
    return w


@kernels(cpu="minicnn.cpu.optimizers.momentum", cuda="minicnn.cuda.optimizers.momentum")
def _momentum(w, g, velocity, lr, gamma, scale, l2, decay):
    g = _prepared(w, g, lr, scale, l2, decay)
    velocity *= gamma
    velocity -= lr * g
    w += velocity
    return w


@kernels(cpu="minicnn.cpu.optimizers.nesterov", cuda="minicnn.cuda.optimizers.nesterov")
def _nesterov(w, g, velocity, lr, gamma, scale, l2, decay):
    g = _prepared(w, g, lr, scale, l2, decay)
    velocity *= gamma
    w -= velocity
    velocity -= lr * g
    w += (1 + gamma) * velocity
    return w


@kernels(cpu="minicnn.cpu.optimizers.adagrad", cuda="minicnn.cuda.optimizers.adagrad")
def _adagrad(w, g, G, lr, eps, scale, l2, decay):
    g = _prepared(w, g, lr, scale, l2, decay)
    G += np.square(g)
    w -= lr * g / np.sqrt(G + eps)
    return w


@kernels(cpu="minicnn.cpu.optimizers.rmsprop", cuda="minicnn.cuda.optimizers.rmsprop")
def _rmsprop(w, g, G, lr, rho, eps, scale, l2, decay):
    g = _prepared(w, g, lr, scale, l2, decay)
    G *= rho
    G += (1 - rho) * np.square(g)
    w -= lr * g / np.sqrt(G + eps)
    return w


@kernels(cpu="minicnn.cpu.optimizers.adadelta", cuda="minicnn.cuda.optimizers.adadelta")
def _adadelta(w, g, G, delta, lr, rho, eps, scale, l2, decay):
    g = _prepared(w, g, lr, scale, l2, decay)
    G *= rho
    G += (1 - rho) * np.square(g)
    dw = g * np.sqrt(delta + eps) / np.sqrt(G + eps)
    delta *= rho
    delta += (1 - rho) * np.square(dw)
    w -= lr * dw
    return w


@kernels(cpu="minicnn.cpu.optimizers.adam", cuda="minicnn.cuda.optimizers.adam")
def _adam(w, g, m, v, lr, beta1, beta2, eps, t, scale, l2, decay):
    g = _prepared(w, g, lr, scale, l2, decay)
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * np.square(g)
    w -= (lr / (1 - beta1 ** t)) * m / (np.sqrt(v / (1 - beta2 ** t)) + eps)
    return w
