"""The kernels that are timed: each Work has its FLOPs, its fewest bytes, and a PyTorch counterpart.

A Work's arrays live as long as the Work: the functions below are generators, and nobody keeps what they gave.
"""
from collections import namedtuple

import minicnn as mc
from minicnn.ops.basic import channel_sums
from minicnn.ops.batchnorm import affine, normalise, normalise_then
from minicnn.ops.loss import nllsum, square_error

from .. import models

Work = namedtuple("Work", "title flops bytes ours theirs")
Work.__doc__ = """ours() gives an array, theirs(peer, format) what a method of kernel_torch.Peer gives for the same.
flops: of the multiply-adds, 0 where they do not matter. bytes: what must be read and written at least."""
Layer = namedtuple("Layer", "net deconv w x y options")
Layer.__doc__ = "A convolution: whose, transposed?, and the shapes of weights, of one input image and of the output."


def layers(net, size=256):
    """The different convolutions of a Chain, for images of this size."""
    found, (height, width, channels) = {}, (size, size, 1)
    for layer in getattr(models, net)().layers:
        if isinstance(layer, mc.Upsample):
            height, width = height * layer.scale, width * layer.scale
        if not isinstance(layer, (mc.Conv, mc.Deconv)):
            continue
        deconv, (a, b), s = isinstance(layer, mc.Deconv), layer.w.shape[2:], layer.stride
        before, channels = (height, width, channels), a if deconv else b
        height, width = (height * s, width * s) if deconv else (height // s, width // s)
        options = {"stride": s, "padding": layer.padding, "dilation": layer.dilation}
        made = Layer(net, deconv, layer.w.shape, before, (height, width, channels), options)
        found[str(made)] = made
    return list(found.values())


def macs(layer):
    """Multiply-adds for one image; those with padding count, as everywhere."""
    kh, kw, a, b = layer.w
    height, width, _ = layer.x if layer.deconv else layer.y
    return height * width * kh * kw * a * b


def convolutions(net, batch, clock):
    """Forward and both gradients of each layer; images need no gradient, so a first layer has one."""
    for layer in layers(net):
        yield from _convolution(layer, batch, clock)


def _convolution(layer, batch, clock):
    x, dy = clock.numbers(batch, *layer.x), clock.numbers(batch, *layer.y, seed=1)
    w, b = clock.numbers(*layer.w, seed=2, low=-0.1, high=0.1), clock.numbers(layer.y[2], seed=3)
    o, flops, bytes_ = layer.options, 2 * macs(layer) * batch, 4 * (x.size + w.size + dy.size)
    kh, kw = layer.w[:2]
    title = f"{layer.net} {'deconv' if layer.deconv else 'conv'} {kh}x{kw} {layer.x[2]}-{layer.y[2]}"
    title += f", {layer.x[0]} px" + (f", stride {o['stride']}" if o["stride"] > 1 else "")
    title += ", dilated" if o["dilation"] > 1 else ""
    forward, gw, gx = ((lambda: mc.deconv4(w, x, b, **o), lambda: mc.conv4w(w.shape, dy, x, **o),
                        lambda: mc.conv4(w, dy, **o)) if layer.deconv else
                       (lambda: mc.conv4(w, x, b, **o), lambda: mc.conv4w(w.shape, x, dy, **o),
                        lambda: mc.conv4x(w, x.shape, dy, **o)))
    for what, ours in (("forward", forward), ("weights' gradient", gw), ("input's gradient", gx)):
        if what != "input's gradient" or layer.x[2] > 1:
            yield Work(f"{title}: {what}", flops, bytes_, ours,
                       lambda peer, form, what=what: peer.convolution(layer, what, x, w, b, dy, form))


# ------------------------------------------------------------------ what memory decides


def passes(batch, clock):
    """Batchnorm, activations, losses, pooling, Adam: their speed is that of memory."""
    for height, channels in ((256, 75), (128, 90), (64, 256)):          # of jetson, jetson and colornet
        yield from _batchnorms(clock.numbers(batch, height, height, channels), clock)
    yield from _activations(clock.numbers(batch, 128, 128, 90), clock)
    yield from _square_error(clock.numbers(batch, 256, 256, 75), clock)
    yield from _classification(batch * 64 * 64, 313, clock)
    yield from _images(clock.numbers(batch, 64, 64, 128), clock)
    yield from _adam(24_788_345, clock)


def _shape(x):
    return "x".join(map(str, x.shape))


def _batchnorms(x, clock):
    """While training: the moments need one pass over x, and what follows from them a second."""
    c, n, shape = x.shape[-1], 4 * x.size, _shape(x)
    params, eps, dy = clock.numbers(2 * c, low=0.5, high=1.5), 1e-3, clock.numbers(*x.shape, seed=1)
    for name in (None, "tanh"):
        def ours(name=name):
            return mc.batchnorm(x, None, params, eps=eps, training=True, activation=name)

        y, mean, var, then = ours(), x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2)), f" + {name}" if name else ""

        def back(name=name, y=y, mean=mean, var=var):
            given = dy, y, x, mean, var, params
            if name is None:
                return normalise.back(*given, eps=eps)[0]
            return normalise_then.back(*given, eps=eps, activation=name)[0]

        yield Work(f"batchnorm{then} {shape}: forward", 0, 3 * n, ours,
                   lambda peer, form, name=name: peer.batchnorm(x, params, eps, name, None, form))
        yield Work(f"batchnorm{then} {shape}: gradient", 0, (7 if name else 5) * n, back,
                   lambda peer, form, name=name: peer.batchnorm(x, params, eps, name, dy, form))
    scale, shift = params[:c].copy(), params[c:].copy()
    yield Work(f"batchnorm {shape}: inference", 0, 2 * n, lambda: affine(x, scale, shift),
               lambda peer, form: peer.inference_batchnorm(x, scale, shift, form))


def _activations(x, clock):
    n, shape, dy = 4 * x.size, _shape(x), clock.numbers(*x.shape, seed=1)
    y = mc.tanh(x)
    yield Work(f"tanh {shape}: forward", 0, 2 * n, lambda: mc.tanh(x), lambda peer, form: peer.tanh(x, None, form))
    yield Work(f"tanh {shape}: gradient", 0, 3 * n, lambda: mc.tanh.back[0](dy, y, x),
               lambda peer, form: peer.tanh(x, dy, form))
    yield Work(f"sum of each channel {shape}", 0, n, lambda: channel_sums(x), lambda peer, form: peer.sums(x, form))


def _square_error(y, clock):
    n, shape, one, target = 4 * y.size, _shape(y), clock.numbers(1)[0], clock.numbers(*y.shape, seed=1)
    yield Work(f"square error {shape}: forward", 0, 2 * n, lambda: square_error(y, target),
               lambda peer, form: peer.square_error(y, target, None))
    yield Work(f"square error {shape}: gradient", 0, 3 * n, lambda: square_error.back[0](one, None, y, target),
               lambda peer, form: peer.square_error(y, target, one))


def _classification(pixels, bins, clock):
    scores, weights = clock.numbers(pixels, bins, low=-5, high=5), clock.numbers(pixels, 1, low=0.1, high=5, seed=3)
    labels = (clock.numbers(pixels, 1, low=0, high=bins - 0.1, seed=2)).astype("int32")
    n, shape, one = 4 * scores.size, _shape(scores), clock.numbers(1)[0]
    yield Work(f"rebalanced loss {shape}: forward", 0, n, lambda: nllsum(scores, labels, weights),
               lambda peer, form: peer.nll(scores, labels, weights, None))
    yield Work(f"rebalanced loss {shape}: gradient", 0, 2 * n,
               lambda: nllsum.back[0](one, None, scores, labels, weights),
               lambda peer, form: peer.nll(scores, labels, weights, one))
    yield Work(f"softmax {shape}: forward", 0, 2 * n, lambda: mc.softmax(scores),
               lambda peer, form: peer.softmax(scores))


def _images(x, clock):
    n, shape = 4 * x.size, _shape(x)
    yield Work(f"max pool 2x2 {shape}: forward", 0, n * 5 // 4, lambda: mc.pool(x),
               lambda peer, form: peer.pool(x, form))
    for mode in ("nearest", "bilinear"):
        yield Work(f"upsample x2 {mode} {shape}: forward", 0, 5 * n, lambda mode=mode: mc.upsample(x, mode=mode),
                   lambda peer, form, mode=mode: peer.upsample(x, mode, form))


def _adam(size, clock):
    w, g = clock.numbers(size), clock.numbers(size, seed=1, low=-0.01, high=0.01)
    adam = mc.Adam(lr=1e-4)
    yield Work(f"Adam, {size:,} parameters", 0, 28 * size, lambda: mc.update_(w, g, adam),
               lambda peer, form: peer.adam(w, g))
