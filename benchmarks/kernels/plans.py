"""The kernels that are launched for the models, and for a fixed grid of other shapes (launches.py records them)."""
import itertools

import numpy as np

import minicnn as mc

from .. import models
from .launches import recorded, zeros

MODELS = ("jetson", "colornet", "zhang", "nano")
BATCH, PIXELS = 32, 256                     # of a training step; inference is of one image


def of_model(name, arch):
    """{"forward": [Launch ...], "fused": ..., "training": ...} of a model on a GPU of this compute capability."""
    model = getattr(models, name)()
    with recorded(arch) as launches:
        model = mc.gpucopy(model)
        x, found = zeros((1, PIXELS, PIXELS, 1)), {}
        for kind, run in (("forward", lambda: model(x)), ("fused", lambda: mc.fuse(model)(x)),
                          ("training", lambda: training_step(name, model))):
            run()
            found[kind] = launches[:]
            launches.clear()
    return found


def training_step(name, model):
    """One step with Adam, on whatever zeros there are."""
    x = zeros((BATCH, PIXELS, PIXELS, 1))
    if name == "jetson":
        target = zeros((BATCH, PIXELS, PIXELS, 2))
        tape = mc.diff(lambda: mc.mse(model(x), target))
    else:
        net = model[:model.layers.index(mc.softmax)] if name == "zhang" else model      # scores, not colours
        labels = zeros((BATCH, PIXELS // 4, PIXELS // 4), "int32")

        def loss():
            scores = net(x)
            return mc.nll(scores, labels, zeros(scores.shape[-1]))
        tape = mc.diff(loss)
    for p in mc.params(tape):
        mc.update_(p, mc.grad(tape, p), mc.Adam())


def everything(arch):
    """All launches of all models, and of the grid below."""
    return [launch for name in MODELS for plan in of_model(name, arch).values() for launch in plan] + of_others(arch)


# ------------------------------------------------------------------ a fixed grid of others

# w (kh, kw, cin, cout), image (N, H, W), options
CONVS = [((1, 1, 16, 16), (1, 33, 47), {}), ((3, 3, 3, 32), (2, 64, 64), {"padding": 1}),
         ((5, 5, 32, 48), (1, 57, 31), {"padding": 2}), ((7, 7, 3, 64), (1, 224, 224), {"stride": 2, "padding": 3}),
         ((4, 4, 8, 16), (4, 64, 64), {"stride": 2, "padding": 1}), ((2, 2, 24, 100), (1, 20, 20), {"stride": 2}),
         ((3, 1, 20, 40), (1, 31, 17), {"padding": (1, 0)}), ((8, 8, 4, 5), (1, 40, 40), {"stride": 4}),
         ((3, 3, 128, 512), (1, 7, 7), {"padding": 1}), ((3, 3, 6, 11), (1, 30, 30), {"padding": 4, "dilation": 4}),
         ((3, 3, 130, 2), (1, 19, 19), {"padding": "same", "stride": 2}), ((11, 3, 1, 1), (3, 21, 21), {})]
# depthwise: kernel, image (N, H, W, C), options
DEPTHWISE = [(3, (1, 112, 112, 32), {}), (3, (32, 64, 64, 96), {"stride": 2}), (5, (1, 28, 28, 240), {}),
             (5, (32, 16, 16, 144), {"stride": 2}), (5, (4, 7, 7, 1152), {}), (3, (1, 9, 11, 7), {"stride": 3}),
             (4, (1, 20, 20, 10), {}), (1, (2, 20, 20, 12), {})]
ACTIVATIONS = [mc.relu, mc.relu6, mc.tanh, mc.sigm, mc.leaky_relu]  # those that a convolution computes on its way out
IMAGES = [(1, 33, 47, 3), (4, 64, 64, 32), (2, 7, 9, 130)]
POOLS = [{"window": 2}, {"window": 3, "stride": 2, "padding": 1}, {"window": (2, 3)}, {"window": 5, "stride": 1}]
CLASSES = [2, 10, 54, 313, 1000, 3000]
OPTIMIZERS = [mc.SGD, mc.Momentum, mc.Nesterov, mc.Adagrad, mc.Rmsprop, mc.Adadelta, mc.Adam]


def of_others(arch):
    """The launches of every operator and optimizer, forward and backward, at shapes that no model here has."""
    with recorded(arch) as launches:
        for (w, (n, h, wide), options), activation in zip(CONVS, itertools.cycle(ACTIVATIONS)):
            _both(lambda w, x, options=options: mc.conv4(w, x, **options), w, (n, h, wide, w[2]))
            _both(lambda w, x, b, options=options: mc.conv4(w, x, b, **options), w, (n, h, wide, w[2]), (w[3],))
            _both(lambda w, x, options=options: mc.deconv4(w, x, **options), w, (n, h, wide, w[3]))
            conv = mc.Chain(mc.Conv(w[2], w[3], w[:2], **options), activation, mc.BatchNorm(w[3]))
            mc.fuse(conv)(zeros((n, h, wide, w[2])))
        for (k, shape, options), activation in zip(DEPTHWISE, itertools.cycle(ACTIVATIONS)):
            _depthwise(k, shape, {"padding": "same", "groups": shape[3], **options}, activation)
        for shape in IMAGES:
            _of_images(shape)
        for classes in CLASSES:
            _of_scores(classes)
        for optimizer in OPTIMIZERS:
            for size in (1, 1000, 1 << 20):
                mc.update_(zeros(size), zeros(size), optimizer(l2=1e-4, decay=1e-4, gclip=1))
    return launches


def _depthwise(k, shape, options, activation):
    channels = shape[3]
    _both(lambda w, x: mc.conv4(w, x, **options), (k, k, 1, channels), shape)
    _both(lambda w, x, b: mc.deconv4(w, x, b, **options), (k, k, 1, channels), shape, (channels,))
    mc.fuse(mc.Chain(mc.Conv(channels, channels, k, **options), activation, mc.BatchNorm(channels)))(zeros(shape))


def _both(f, *shapes):
    """f forward and backward, on Params of these shapes."""
    given = [mc.Param(zeros(shape)) for shape in shapes]
    with np.errstate(all="ignore"):
        mc.diff(lambda: mc.sum(f(*given)))


def _of_images(shape):
    channels = shape[-1]
    for activation in (*ACTIVATIONS, mc.elu, mc.selu, mc.softplus):
        _both(activation, shape)
    for activation in (None, "relu", "relu6", "tanh"):
        moments = mc.bnmoments(channels)
        for training in (True, False):
            _both(lambda x, p, m=moments, t=training, a=activation: mc.batchnorm(x, m, p, training=t, activation=a),
                  shape, (2 * channels,))
            _both(lambda x, m=moments, t=training, a=activation: mc.batchnorm(x, m, training=t, activation=a), shape)
    for mode in ("max", "avg", "avg_valid"):
        for options in POOLS:
            _both(lambda x, mode=mode, options=options: mc.pool(x, mode=mode, **options), shape)
    for mode in ("nearest", "bilinear"):
        for scale in (2, 3, 4):
            _both(lambda x, scale=scale, mode=mode: mc.upsample(x, scale=scale, mode=mode), shape)
    _both(lambda x: mc.unpool(x), shape)
    _both(lambda x: mc.dropout(x, 0.5), shape)
    for loss in (mc.mse, mc.huber, mc.bce, mc.logistic):
        _both(lambda x, loss=loss: loss(x, zeros(shape)), shape)
    _both(lambda x, b: mc.mean(x + b, axis=(1, 2)), shape, (channels,))
    _both(lambda x: mc.sum(mc.abs(x) * x, axis=-1), shape)


def _of_scores(classes):
    shape = (4, 16, 16, classes)
    labels, weights = zeros(shape[:-1], "int32"), zeros(classes)
    _both(lambda s: mc.nll(s, labels), shape)
    _both(lambda s: mc.nll(s, labels, weights), shape)
    _both(lambda s: mc.nll(s, labels, zeros(shape[:-1] + (1,))), shape)
    soft = zeros(shape[:-1] + (5,), "int32"), zeros(shape[:-1] + (5,))
    _both(lambda s: mc.nll(s, soft, weights), shape)
    for f in (mc.softmax, mc.logsoftmax, mc.logsumexp):
        _both(f, shape)
        _both(lambda s, f=f: f(s, axis=1), shape)
    mc.accuracy(zeros(shape), labels, average=False)
