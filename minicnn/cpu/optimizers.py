"""The Numba kernels of train/optimizers.py: one pass over the weights, their gradient and the optimizer's state."""
import numpy as np

from .parts import kernel
from .runtime import ready, run

GRAIN = 1 << 15


def sgd(w, g, lr, scale, l2, decay):
    return _update(_sgd, w, g, (), lr, scale, l2, 1 - lr * decay)


def momentum(w, g, velocity, lr, gamma, scale, l2, decay):
    return _update(_momentum, w, g, (velocity,), lr, gamma, scale, l2, 1 - lr * decay)


def nesterov(w, g, velocity, lr, gamma, scale, l2, decay):
    return _update(_nesterov, w, g, (velocity,), lr, gamma, scale, l2, 1 - lr * decay)


def adagrad(w, g, G, lr, eps, scale, l2, decay):
    return _update(_adagrad, w, g, (G,), lr, eps, scale, l2, 1 - lr * decay)


def rmsprop(w, g, G, lr, rho, eps, scale, l2, decay):
    return _update(_rmsprop, w, g, (G,), lr, rho, 1 - rho, eps, scale, l2, 1 - lr * decay)


def adadelta(w, g, G, delta, lr, rho, eps, scale, l2, decay):
    return _update(_adadelta, w, g, (G, delta), lr, rho, 1 - rho, eps, scale, l2, 1 - lr * decay)


def adam(w, g, m, v, lr, beta1, beta2, eps, t, scale, l2, decay):
    return _update(_adam, w, g, (m, v), lr / (1 - beta1 ** t), beta1, 1 - beta1, beta2, 1 - beta2, eps,
                   1 / (1 - beta2 ** t), scale, l2, 1 - lr * decay)


def _update(kernel, w, g, states, *numbers):
    """Change w and the states in place; what is not contiguous is left to the formula."""
    if not all(a.flags.carray for a in (w, *states)):
        return NotImplemented
    run(kernel, w.size, GRAIN, *(a.reshape(-1) for a in (w, ready(g), *states)), *map(np.float32, numbers))
    return w


# ------------------------------------------------------------------ kernels


@kernel
def _sgd(start, stop, scratch, w, g, lr, scale, l2, shrink):
    w, g = w[start:stop], g[start:stop]
    for i in range(len(w)):
        w[i] = w[i] * shrink - lr * (g[i] * scale + w[i] * l2)


@kernel
def _momentum(start, stop, scratch, w, g, v, lr, gamma, scale, l2, shrink):
    w, g, v = w[start:stop], g[start:stop], v[start:stop]
    for i in range(len(w)):
        v[i] = gamma * v[i] - lr * (g[i] * scale + w[i] * l2)
        w[i] = w[i] * shrink + v[i]


@kernel
def _nesterov(start, stop, scratch, w, g, v, lr, gamma, scale, l2, shrink):
    w, g, v = w[start:stop], g[start:stop], v[start:stop]
    for i in range(len(w)):
        before = gamma * v[i]
        v[i] = before - lr * (g[i] * scale + w[i] * l2)
        w[i] = w[i] * shrink - before + (np.float32(1) + gamma) * v[i]


@kernel
def _adagrad(start, stop, scratch, w, g, G, lr, eps, scale, l2, shrink):
    w, g, G = w[start:stop], g[start:stop], G[start:stop]
    for i in range(len(w)):
        d = g[i] * scale + w[i] * l2
        G[i] += d * d
        w[i] = w[i] * shrink - lr * d / np.sqrt(G[i] + eps)


@kernel
def _rmsprop(start, stop, scratch, w, g, G, lr, rho, rest, eps, scale, l2, shrink):
    w, g, G = w[start:stop], g[start:stop], G[start:stop]
    for i in range(len(w)):
        d = g[i] * scale + w[i] * l2
        G[i] = rho * G[i] + rest * d * d
        w[i] = w[i] * shrink - lr * d / np.sqrt(G[i] + eps)


@kernel
def _adadelta(start, stop, scratch, w, g, G, delta, lr, rho, rest, eps, scale, l2, shrink):
    w, g, G, delta = w[start:stop], g[start:stop], G[start:stop], delta[start:stop]
    for i in range(len(w)):
        d = g[i] * scale + w[i] * l2
        G[i] = rho * G[i] + rest * d * d
        d = d * np.sqrt(delta[i] + eps) / np.sqrt(G[i] + eps)
        delta[i] = rho * delta[i] + rest * d * d
        w[i] = w[i] * shrink - lr * d


@kernel
def _adam(start, stop, scratch, w, g, m, v, rate, beta1, rest1, beta2, rest2, eps, correct, scale, l2, shrink):
    w, g, m, v = w[start:stop], g[start:stop], m[start:stop], v[start:stop]
    for i in range(len(w)):
        d = g[i] * scale + w[i] * l2
        m[i] = beta1 * m[i] + rest1 * d
        v[i] = beta2 * v[i] + rest2 * d * d
        w[i] = w[i] * shrink - rate * m[i] / (np.sqrt(v[i] * correct) + eps)
