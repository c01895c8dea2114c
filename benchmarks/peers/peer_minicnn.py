"""minicnn as a peer. Each method gives (step, outputs): what is timed, and how its result becomes NumPy arrays."""
import os

import numpy as np

import minicnn as mc


class Minicnn:
    def __init__(self, threads):
        os.environ["MINICNN_THREADS"] = str(threads)
        self.version = mc.__version__

    def forward(self, model, x):
        fast = mc.fuse(model)
        return (lambda: fast(x)), (lambda y: [y])

    def training(self, model, x, target):
        adam = mc.Adam(lr=1e-4)
        params = mc.params(model)

        def step():
            tape = mc.diff(lambda: mc.mse(model(x), target))
            for p in params:
                p.opt = p.opt or mc.clone(adam)
                mc.update_(p, mc.grad(tape, p))
            return tape

        weights = [layer.w for layer in model.layers if hasattr(layer, "w")]
        return step, lambda tape: [np.asarray(mc.value(tape))] + [np.array(mc.grad(tape, w)) for w in weights]

    def conv(self, w, x, dilation):
        return (lambda: mc.conv4(w, x, padding=dilation, dilation=dilation)), (lambda y: [y])

    def constant_conv(self, w, x, dilation):
        conv = mc.Conv(*w.shape[2:], padding=dilation, dilation=dilation, bias=False)
        conv.w.value = w
        return self.forward(mc.Chain(conv), x)

    def gradients(self, w, x, dy, dilation):
        o = {"padding": dilation, "dilation": dilation}
        return (lambda: (mc.conv4w(w, x, dy, **o), mc.conv4x(w, x, dy, **o))), list
