"""The Numba kernels of optimizers.py: one pass over the weights, their gradient and the optimizer's state."""
import numpy as np

from ..cpu import kernel, run

GRAIN = 1 << 15


def adam(w, g, m, v, lr, beta1, beta2, eps, t, scale, l2, decay):
    if not all(a.flags.c_contiguous for a in (w, g, m, v)):
        return NotImplemented
    one = np.float32
    run(_adam, w.size, GRAIN, *(a.reshape(-1) for a in (w, np.require(g, requirements="W"), m, v)),
        one(lr / (1 - beta1 ** t)), one(beta1), one(1 - beta1), one(beta2), one(1 - beta2), one(eps),
        one(1 / (1 - beta2 ** t)), one(scale), one(l2), one(1 - lr * decay))
    return w


@kernel
def _adam(start, stop, scratch, w, g, m, v, rate, beta1, rest1, beta2, rest2, eps, correct, scale, l2, shrink):
    w, g, m, v = w[start:stop], g[start:stop], m[start:stop], v[start:stop]
    for i in range(len(w)):
        d = g[i] * scale + w[i] * l2
        m[i] = beta1 * m[i] + rest1 * d
        v[i] = beta2 * v[i] + rest2 * d * d
        w[i] = w[i] * shrink - rate * m[i] / (np.sqrt(v[i] * correct) + eps)
