"""python -m minicnn.warmup: compile every CPU kernel once and keep it in Numba's cache, so that no later start waits.

Everything below is small and runs through the public operators, forward and backward, as models use them.
"""
import importlib.util
import os
import sys
from time import perf_counter

import numpy as np

import minicnn as mc


def main():
    """Run all steps, and print a line for each."""
    if importlib.util.find_spec("numba") is None:
        print("Numba is not installed, so there are no kernels to compile: minicnn runs its slower NumPy formulas "
              "(pip install numba scipy threadpoolctl).")
        return
    if os.environ.get("MINICNN_NUMBA") == "0":
        print("MINICNN_NUMBA=0 switches the kernels off, so there is nothing to compile: unset it and run again.")
        return
    start = perf_counter()
    for title, step in STEPS:
        before, compiled = perf_counter(), counts()[0]
        step()
        print(f"{title:34} {perf_counter() - before:6.1f} s {counts()[0] - compiled:4} compiled", flush=True)
    compiled, cached, folders = counts()
    print(f"{compiled} kernels compiled, {cached} found in the cache, in {perf_counter() - start:.1f} s; the cache: "
          f"{', '.join(sorted(folders)) or 'none, since no folder can be written to (see NUMBA_CACHE_DIR)'}")


def counts():
    """(compiled now, found in the cache, the cache's folders) over all kernels of this process."""
    compiled, cached, folders = 0, 0, set()
    for kernel in kernels().values():
        stats = kernel.stats
        cached += sum(stats.cache_hits.values())
        compiled += len(kernel.signatures) - sum(stats.cache_hits.values())
        folders.update([stats.cache_path] if stats.cache_path else [])
    return compiled, cached, folders


def kernels():
    """{name: kernel} of the kernel files that were used so far."""
    return {f"{module.__name__}.{name}": f for module in list(sys.modules.values())
            if module is not None and module.__name__.startswith("minicnn.cpu.")
            for name, f in vars(module).items()
            if hasattr(f, "signatures") and f.py_func.__module__ == module.__name__}


# ------------------------------------------------------------------ what the steps are made of


def images(*shape):
    return np.linspace(-1, 1, int(np.prod(shape)), dtype="float32").reshape(shape)


def learn(f, x, opt=None):
    """f(x) outside of training; inside, with the gradients for x and all Params, and one step of an optimizer."""
    x = mc.Param(x.copy())
    mc.value(f(x))
    tape = mc.diff(lambda: mc.sum(f(x)))
    for p in mc.params(tape):
        mc.update_(p, mc.grad(tape, p), mc.clone(opt or mc.SGD()))


def layers(*models):
    """A step in which each model learns, and is fused."""
    def step():
        for channels, model in models:
            x = images(2, 8, 8, channels)
            learn(model, x)
            mc.fuse(model)(x)
    return step


def convolutions():
    """Every kernel for convolutions takes its own path: few, many and very many channels, strides, dilation, 1x1."""
    for c, k in ((1, 20), (20, 20)):
        for size, options in ((3, {"padding": "same"}), (3, {"padding": "same", "stride": 2}), (1, {}),
                              (3, {"padding": 2, "dilation": 2}), (4, {"padding": 1, "stride": 2}), (4, {})):
            yield c, mc.Chain(mc.Conv(c, k, size, **options), mc.tanh)
            if options.get("dilation") is None:
                yield c, mc.Chain(mc.Deconv(c, k, size, **options), mc.BatchNorm(k), mc.tanh)
                yield c, mc.Chain(mc.Deconv(c, k, size, **options), mc.tanh, mc.BatchNorm(k))
                yield c, mc.Chain(mc.Deconv(c, 2, size, **options), mc.tanh)
    yield 160, mc.Conv(160, 160, 3, padding="same")
    for stride in (1, 2):                   # one filter for each channel
        yield 20, mc.Chain(mc.Conv(20, 20, 3, padding="same", stride=stride, groups=20), mc.tanh)


def depthwise():
    """Both kernel sizes with whole and broken groups of channels, with both strides."""
    for k, stride in ((3, 1), (3, 2), (5, 1), (5, 2)):
        yield 20, mc.Chain(mc.Conv(20, 20, k, stride=stride, padding="same", groups=20, bias=False),
                           mc.BatchNorm(20), mc.relu6)


def losses():
    x, labels = images(2, 4, 4, 5), np.arange(32).reshape(2, 4, 4) % 5
    soft = np.stack([labels, (labels + 1) % 5], axis=-1), np.full((2, 4, 4, 2), 0.5, "float32")
    weights = np.full(5, 2, "float32")
    for f in (mc.softmax, mc.logsoftmax, mc.logsumexp, lambda y: mc.mse(y, x), lambda y: mc.huber(y, x),
              lambda y: mc.bce(y, abs(x)), lambda y: mc.logistic(y, np.sign(x)),
              lambda y: mc.nll(y, labels), lambda y: mc.nll(y, labels, weights), lambda y: mc.nll(y, soft),
              lambda y: mc.nll(y, soft, weights), lambda y: mc.nll(y, labels, np.ones((2, 4, 4), "float32"))):
        learn(f, x)
    mc.accuracy(x, labels)


def optimizers():
    for make in (mc.SGD, mc.Momentum, mc.Nesterov, mc.Adagrad, mc.Rmsprop, mc.Adadelta, mc.Adam):
        learn(mc.tanh, images(2, 8), make(gclip=1, l2=0.1, decay=0.1))


def activations():
    for f in (mc.relu, mc.relu6, mc.tanh, mc.sigm, mc.leaky_relu, mc.elu, mc.selu, mc.softplus):
        learn(f, images(2, 8, 8, 4))
        mc.fuse(mc.Chain(mc.Conv(4, 4, 1), f))(images(2, 8, 8, 4))


STEPS = [
    ("conv4, deconv4, and fused", lambda: layers(*convolutions())()),
    ("conv4 of stride 2, large", lambda: mc.conv4(images(3, 3, 64, 64), images(2, 256, 256, 64), stride=2)),
    ("depthwise convolution", lambda: layers(*depthwise())()),
    ("batchnorm", layers((4, mc.BatchNorm(4)), (20, mc.Chain(mc.BatchNorm(20), mc.relu)))),
    ("activations", activations),
    ("pool and upsample", layers(*[(4, mc.Chain(mc.Pool(mode=mode))) for mode in ("max", "avg", "avg_valid")],
                                 *[(4, mc.Chain(mc.Upsample(2, mode=mode))) for mode in ("nearest", "bilinear")])),
    ("dense", layers((3, mc.Chain(mc.Dense(192, 20), mc.relu)))),
    ("dropout", layers((4, mc.Chain(mc.Dropout(0.5))))),
    ("losses", losses),
    ("optimizers", optimizers),
]


if __name__ == "__main__":
    main()
