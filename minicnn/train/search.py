"""Searching for hyperparameters: Knet's `goldensection` for a few numbers, `hyperband` for any kind of choice."""
import math

import numpy as np

__all__ = ["goldensection", "hyperband"]

GOLDEN = (1 + 5 ** 0.5) / 2


def goldensection(f, n, *, dxmin=0.1, accel=GOLDEN, history=None):
    """(least f, its x), where f takes an array x (n,): a golden section search in each dimension, all at once.

    It begins at zeros with steps of 1, always moves in the dimension that promises most, and ends once all steps are
    at most `dxmin`: f scales x to what it means, a learning rate as lr0 * exp(x[0]) say. A step that helped is
    followed by one `accel` times as long, one that did not by a shorter one back. f may give NaN where x is out of
    range. history: a list [(x, f(x))] that is looked up before f is called, and that grows: with it a search goes on.

    >>> least, x = goldensection(lambda x: (x[0] - 3) ** 2 + 2 * (x[1] + 1) ** 2, 2, dxmin=0.01)
    >>> bool(np.abs(x - [3, -1]).max() < 0.01)
    True
    """
    if n < 1 or not dxmin > 0 or not accel > 1:
        raise ValueError("goldensection needs n of at least 1, dxmin above 0 and accel above 1, got "
                         f"{n}, {dxmin} and {accel}")
    history = [] if history is None else history
    x, step, gain = np.zeros(n), np.ones(n), np.full(n, np.inf)
    least = _known(f, x, history)
    if not math.isfinite(least):
        raise ValueError(f"goldensection got f(0) = {least}: scale x so that the search can begin at zeros")
    while np.abs(step).max() > dxmin:
        i = gain.argmax()
        tried = x.copy()
        tried[i] += step[i]
        value = _known(f, tried, history)
        if value < least:
            step[i], gain[i] = step[i] * accel, accel * (least - value)
            x, least = tried, value
            short = np.abs(step) < dxmin * accel            # from here the other dimensions deserve another look
            step[short], gain[short] = np.sign(step[short]) * dxmin * accel, np.maximum(gain[short], 0)
        else:
            step[i] = -step[i] / accel
            gain[i] = gain[i] / accel if math.isnan(value) else (value - least) / accel
            if abs(step[i]) < dxmin:
                gain[i] = -1.0                              # done with this dimension
    return least, x


def _known(f, x, history):
    """f(x), from the history where it is there."""
    for known, value in history:
        if np.allclose(known, x, rtol=1e-9, atol=1e-9):
            return value
    value = float(f(x.copy()))
    history.append((x, value))
    return value


def hyperband(getconfig, getloss, maxresource=27, reduction=3):
    """(least loss, its resource, its configuration): many configurations get little, the best of them more (Li et al.
    2016).

    getconfig() gives a random configuration, getloss(configuration, resource) its loss with so much of a resource, at
    most `maxresource` (epochs, say); NaN counts as the worst. Of several, one in `reduction` goes on with that many
    times the resource. The first bracket tries the most configurations with the least; the last gives a few all.

    >>> rng = np.random.default_rng(1)
    >>> hyperband(lambda: rng.integers(100), lambda c, r: abs(c - 50) + 27 / r)[1]
    27.0
    """
    if maxresource < 1 or reduction <= 1:
        raise ValueError(f"hyperband needs maxresource of at least 1 and reduction above 1, got {maxresource} and "
                         f"{reduction}")
    rounds, best = 0, (math.inf, None, None)
    while reduction ** (rounds + 1) <= maxresource:         # a logarithm would round 243 = 3 ** 5 down
        rounds += 1
    for s in range(rounds, -1, -1):
        n = math.ceil((rounds + 1) * reduction ** s / (s + 1))
        configs = [getconfig() for _ in range(n)]
        for i in range(s + 1):
            resource = maxresource * float(reduction) ** (i - s)
            losses = [float(getloss(config, resource)) for config in configs]
            order = sorted(range(len(configs)), key=lambda k: math.inf if math.isnan(losses[k]) else losses[k])
            if losses[order[0]] < best[0]:
                best = losses[order[0]], resource, configs[order[0]]
            configs = [configs[k] for k in order[:int(n / reduction ** (i + 1))]]
    return best
