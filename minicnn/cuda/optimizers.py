"""The CUDA kernel of train/optimizers.py: one pass over the weights, their gradient and the optimizer's state."""
from .launcher import Source, blocks, ready

kernels = Source(__file__, "optimizers.cu")


def sgd(w, g, lr, scale, l2, decay):
    return _update("sgd", w, g, (), lr, scale, l2, decay)


def momentum(w, g, velocity, lr, gamma, scale, l2, decay):
    return _update("momentum", w, g, (velocity,), lr, scale, l2, decay, rho=gamma)


def nesterov(w, g, velocity, lr, gamma, scale, l2, decay):
    return _update("nesterov", w, g, (velocity,), lr, scale, l2, decay, rho=gamma)


def adagrad(w, g, G, lr, eps, scale, l2, decay):
    return _update("adagrad", w, g, (G,), lr, scale, l2, decay, eps=eps)


def rmsprop(w, g, G, lr, rho, eps, scale, l2, decay):
    return _update("rmsprop", w, g, (G,), lr, scale, l2, decay, rho=rho, eps=eps)


def adadelta(w, g, G, delta, lr, rho, eps, scale, l2, decay):
    return _update("adadelta", w, g, (G, delta), lr, scale, l2, decay, rho=rho, eps=eps)


def adam(w, g, m, v, lr, beta1, beta2, eps, t, scale, l2, decay):
    return _update("adam", w, g, (m, v), lr, scale, l2, decay, rho=beta1, rho2=beta2, eps=eps,
                   rate=1 / (1 - beta1 ** t), correct=1 / (1 - beta2 ** t))


def _update(rule, w, g, states, lr, scale, l2, decay, rho=0, rho2=0, eps=0, rate=1, correct=1):
    """Change w and the states in place; what is empty or not contiguous is left to the formula."""
    if not w.size or not all(a.flags.c_contiguous for a in (w, *states)):
        return NotImplemented
    a, b = (*states, None, None)[:2]
    numbers = scale, l2, 1 - lr * decay, lr * rate, rho, 1 - rho, rho2, 1 - rho2, eps, correct
    kernels.launch("update", blocks(w.size), (w, ready(g), a, b, w.size, *numbers),
                   {"RULE": rule, "STATES": len(states)})
    return w
