"""Training: `minimize` turns data into loss values and, as it goes, improves every Param it meets.

    for loss in progress(adam(f, ncycle(data, 10), lr=1e-3)): ...
    adam_(f, data)                                  # Julia's adam!: run to the end
"""
import functools
import math

from ..autograd import diff, grad, value
from ..autograd import params as params_of
from .optimizers import SGD, Adadelta, Adagrad, Adam, Momentum, Nesterov, Optimizer, Rmsprop, clone, update_

__all__ = ["adadelta", "adadelta_", "adagrad", "adagrad_", "adam", "adam_", "converge", "converge_", "minimize",
           "minimize_", "momentum", "momentum_", "nesterov", "nesterov_", "rmsprop", "rmsprop_", "sgd", "sgd_"]


class minimize:
    """An iterator of loss values f(*args), one for each args in data; after each, the Params take a step.

    `opt` (default Adam()) is cloned into every Param that has no optimizer yet, so training can stop and go on;
    to begin anew, set `p.opt = None` first. `params` (any object with Params inside) limits what is trained;
    otherwise it is every Param that took part in the loss. A loss that is NaN or infinite stops the training with
    FloatingPointError before it can spoil the Params; steps are counted from 0.

    >>> from minicnn import Param
    >>> w = Param(4.0)
    >>> [float(loss) for loss in minimize(lambda x: (w - x) ** 2, [3.0, 3.0], SGD(lr=0.25))]
    [1.0, 0.25]
    """

    def __init__(self, f, data, opt=None, params=None):
        if not callable(f) or not hasattr(data, "__iter__"):
            raise TypeError(f"minimize needs a function and data to iterate over, got {type(f).__name__} and "
                            f"{type(data).__name__}")
        self.f, self.data, self.opt = f, data, Adam() if opt is None else opt
        if not isinstance(self.opt, Optimizer):
            raise TypeError(f"minimize needs an optimizer like Adam(lr=0.001), got {opt!r}")
        self.params = None if params is None else params_of(params)
        if self.params is not None and not self.params:
            raise ValueError(f"minimize found no Param in params={params!r}")

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        for step, args in enumerate(self.data):
            yield self.step(step, args if isinstance(args, (tuple, list)) else (args,))

    def step(self, number, args):
        """One step; the tape and its arrays are gone when it returns, before the next begins."""
        tape = diff(self.f, *args)
        if not tape.params:
            raise ValueError("minimize: the loss depends on no Param (or on frozen ones only): "
                             "there is nothing to train")
        loss = value(tape)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {float(loss)} at step {number}: no Param was changed by this "
                                     "step; try a smaller lr, or gclip, and look for inf and NaN in the data")
        for p in params_of(tape) if self.params is None else self.params:
            if p.opt is None:
                p.opt = clone(self.opt)
            update_(p, grad(tape, p))
        return loss


# ------------------------------------------------------------------ minimize by the name of the optimizer


def sgd(f, data, *, lr=0.1, gclip=0, l2=0, decay=0, params=None):
    """minimize with SGD."""
    return minimize(f, data, SGD(lr=lr, gclip=gclip, l2=l2, decay=decay), params)


def momentum(f, data, *, lr=0.05, gamma=0.95, gclip=0, l2=0, decay=0, params=None):
    """minimize with Momentum."""
    return minimize(f, data, Momentum(lr=lr, gamma=gamma, gclip=gclip, l2=l2, decay=decay), params)


def nesterov(f, data, *, lr=0.05, gamma=0.95, gclip=0, l2=0, decay=0, params=None):
    """minimize with Nesterov."""
    return minimize(f, data, Nesterov(lr=lr, gamma=gamma, gclip=gclip, l2=l2, decay=decay), params)


def adagrad(f, data, *, lr=0.05, eps=1e-6, gclip=0, l2=0, decay=0, params=None):
    """minimize with Adagrad."""
    return minimize(f, data, Adagrad(lr=lr, eps=eps, gclip=gclip, l2=l2, decay=decay), params)


def rmsprop(f, data, *, lr=0.01, rho=0.9, eps=1e-6, gclip=0, l2=0, decay=0, params=None):
    """minimize with Rmsprop."""
    return minimize(f, data, Rmsprop(lr=lr, rho=rho, eps=eps, gclip=gclip, l2=l2, decay=decay), params)


def adadelta(f, data, *, lr=1.0, rho=0.9, eps=1e-6, gclip=0, l2=0, decay=0, params=None):
    """minimize with Adadelta."""
    return minimize(f, data, Adadelta(lr=lr, rho=rho, eps=eps, gclip=gclip, l2=l2, decay=decay), params)


def adam(f, data, *, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, gclip=0, l2=0, decay=0, params=None):
    """minimize with Adam."""
    return minimize(f, data, Adam(lr=lr, beta1=beta1, beta2=beta2, eps=eps, gclip=gclip, l2=l2, decay=decay), params)


# ------------------------------------------------------------------ until it no longer helps


class converge:
    """The items of `it`, numbers like losses, until their smoothed change turns positive: Knet's rule.

    `alpha` is the weight of the newest item in both averages. `progress_(converge(adam(f, cycle(data))))`.

    >>> list(converge([3.0, 2.0, 1.0, 9.0, 0.0]))
    [3.0, 2.0, 1.0]
    """

    def __init__(self, it, alpha=0.1):
        if not 0 < alpha <= 1:
            raise ValueError(f"converge needs 0 < alpha <= 1, got {alpha}")
        self.it, self.alpha = it, alpha

    def __iter__(self):
        a, average, change = self.alpha, None, 0.0
        for item in self.it:
            x = float(item)
            average = x if average is None else average
            p = x - average
            average, change = a * x + (1 - a) * average, a * p + (1 - a) * change
            if change > 0:
                return
            yield item


# ------------------------------------------------------------------ Julia's f!: run an iterator to its end


def to_the_end(make):
    """The function `name_` for an iterator `name`: same arguments, runs it, gives nothing."""
    def run(*args, **options):
        for _ in make(*args, **options):
            pass

    functools.update_wrapper(run, make, updated=())
    run.__name__, run.__qualname__ = make.__name__ + "_", make.__name__ + "_"
    run.__doc__ = f"Run `{make.__name__}` of the same arguments to its end."
    return run


minimize_, converge_ = map(to_the_end, (minimize, converge))
sgd_, momentum_, nesterov_ = map(to_the_end, (sgd, momentum, nesterov))
adagrad_, rmsprop_, adadelta_, adam_ = map(to_the_end, (adagrad, rmsprop, adadelta, adam))
