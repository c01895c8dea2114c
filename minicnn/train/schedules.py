"""Learning rates that change: each gives a function from the step (0, 1, 2 ...) to a number, for `lr=`.

    for loss in mc.adam(f, data, lr=cosine(1e-3, steps=10_000, warmup=500)): ...
"""
import math

__all__ = ["cosine", "exponential", "steps"]


def cosine(lr, steps, warmup=0):
    """Up to lr in a straight line over `warmup` steps, then down to 0 at step `steps` along half a cosine.

    >>> rate = cosine(1.0, steps=10, warmup=2)
    >>> [round(rate(t), 3) for t in (0, 1, 2, 6, 10, 99)]
    [0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    if not 0 <= warmup < steps:
        raise ValueError(f"cosine needs 0 <= warmup < steps, got warmup={warmup} and steps={steps}")

    def rate(t):
        if t < warmup:
            return lr * (t + 1) / warmup
        return lr * (1 + math.cos(math.pi * min(1, (t - warmup) / (steps - warmup)))) / 2
    return rate


def steps(lr, boundaries, factor=0.1):
    """lr, multiplied by `factor` at each of the steps in `boundaries`.

    >>> rate = steps(1.0, [10, 20], factor=0.5)
    >>> rate(9), rate(10), rate(25)
    (1.0, 0.5, 0.25)
    """
    boundaries = sorted(boundaries)
    return lambda t: lr * factor ** sum(t >= b for b in boundaries)


def exponential(lr, factor, every=1):
    """lr, multiplied by `factor` once in `every` steps, smoothly.

    >>> rate = exponential(1.0, 0.5, every=10)
    >>> rate(0), rate(20)
    (1.0, 0.25)
    """
    return lambda t: lr * factor ** (t / every)
