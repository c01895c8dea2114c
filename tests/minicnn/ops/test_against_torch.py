"""conv4, deconv4, pool, upsample, batchnorm and the losses against PyTorch, with first and second derivatives."""
import numpy as np
import pytest

import minicnn as mc

from ...grids import BATCHNORM, CONV, DECONV, DEPTHWISE, POOL, conv_arrays, deconv_arrays, labels, pool_arguments
from ...tools import distinct, need, randn

torch = need("torch")
F = torch.nn.functional


def tensor(a):
    return torch.tensor(a, requires_grad=True)


def first(t):
    """(N, H, W, C) as (N, C, H, W)."""
    return t.permute(0, 3, 1, 2)


def last(t):
    return t.permute(0, 2, 3, 1)


def near(got, expected, what):
    expected = expected.detach().numpy()
    assert got.shape == expected.shape, what
    assert np.abs(got - expected).max(initial=0) <= 1e-9 * max(1, np.abs(expected).max(initial=0)), what


def agree(ours, theirs, *arrays):
    """Value, gradients and the gradient of a function of the gradients are PyTorch's."""
    tensors = [tensor(a) for a in arrays]
    y = theirs(*tensors)
    near(np.asarray(ours(*arrays)), y, "value")
    weights = np.random.default_rng(7).standard_normal(tuple(y.shape))
    scalar = (y ** 2 * torch.tensor(weights)).sum()
    grads = torch.autograd.grad(scalar, tensors, create_graph=True)
    penalty = sum((g ** 2).sum() for g in grads)
    seconds = torch.autograd.grad(penalty, tensors)

    def loss(*xs):
        y = ours(*xs)
        return mc.sum(y * y * weights)

    def sum_of_squares(*xs):
        total = 0.0
        for i in range(len(xs)):
            g = mc.grad(loss, i)(*xs)
            total = mc.sum(g * g) + total
        return total
    for i in range(len(arrays)):
        near(mc.grad(loss, i)(*arrays), grads[i], f"gradient {i}")
        near(mc.grad(sum_of_squares, i)(*arrays), seconds[i], f"second derivative {i}")


def explicit(options, x, w):
    """(top, bottom), (left, right) of a CONV case's padding; PyTorch has no "same" for strides."""
    from ...oracles import four_sides, two
    return four_sides(options.get("padding", 0), x[1:3], w[:2], two(options.get("stride", 1)),
                      two(options.get("dilation", 1)))


def surrounded(t, pads, value=0.0):
    (top, bottom), (left, right) = pads
    return F.pad(t, (left, right, top, bottom), value=value)


@pytest.mark.parametrize("case", [c for c in CONV + DEPTHWISE if c.x[0]], ids=str)
def test_conv4(case):
    o = case.options

    def theirs(w, x, b):
        w = torch.flip(w, (0, 1)) if o.get("flip") else w
        x = surrounded(first(x), explicit(o, case.x, case.w))
        y = F.conv2d(x, w.permute(3, 2, 0, 1), b, o.get("stride", 1), 0, o.get("dilation", 1), o.get("groups", 1))
        return last(y)
    agree(lambda w, x, b: mc.conv4(w, x, b, **o), theirs, *conv_arrays(case))


@pytest.mark.parametrize("case", [c for c in DECONV if c.x[0] and not isinstance(c.options.get("padding", 0), str)
                                  and c.options.get("padding") != ((0, 1), (2, 1))], ids=str)
def test_deconv4(case):
    o = case.options

    def theirs(w, x, b):
        w = torch.flip(w, (0, 1)) if o.get("flip") else w
        y = F.conv_transpose2d(first(x), w.permute(3, 2, 0, 1), b, o.get("stride", 1), o.get("padding", 0),
                               o.get("output_padding", 0), o.get("groups", 1), o.get("dilation", 1))
        return last(y)
    agree(lambda w, x, b: mc.deconv4(w, x, b, **o), theirs, *deconv_arrays(case))


@pytest.mark.parametrize("mode", ["max", "avg", "avg_valid"])
@pytest.mark.parametrize("case", [c for c in POOL if c.x[0]], ids=str)
def test_pool(case, mode):
    x, o = pool_arguments(case)
    window = o["window"]
    size = window if isinstance(window, tuple) else (window, window)
    pads = explicit(o, case.x, size) if o.get("padding", 0) != "same" else explicit(
        {**o, "stride": o.get("stride", window)}, case.x, size)

    def theirs(x):
        stride = o.get("stride", window)
        if mode == "max":
            return last(F.max_pool2d(surrounded(first(x), pads, -np.inf), size, stride))
        y = F.avg_pool2d(surrounded(first(x), pads), size, stride)
        if mode == "avg_valid":
            y = y / F.avg_pool2d(surrounded(first(torch.ones_like(x)), pads), size, stride)
        return last(y)
    agree(lambda x: mc.pool(x, mode=mode, **o), theirs, x)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_upsample(mode):
    more = {} if mode == "nearest" else {"align_corners": False}
    for scale in (2, 3, (1, 2)):
        agree(lambda x, s=scale: mc.upsample(x, scale=s, mode=mode),
              lambda x, s=scale: last(F.interpolate(first(x), scale_factor=s, mode=mode, **more)), randn(2, 3, 4, 2))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [s for s in BATCHNORM if np.prod(s[:-1]) > 2], ids=str)
def test_batchnorm(shape, training):
    """PyTorch stores the variance times n / (n - 1)."""
    c, n = shape[-1], int(np.prod(shape[:-1]))
    x, scale, shift = randn(*shape, seed=1) * 2 + 1, randn(c, seed=2) + 1, randn(c, seed=3)
    mean, var = randn(c, seed=4), np.abs(randn(c, seed=5)) + 0.5

    def theirs(x, scale, shift):
        y = F.batch_norm(x.reshape(n, c), torch.tensor(mean), torch.tensor(var), scale, shift, training, 0.1, 1e-5)
        return y.reshape(shape)

    def ours(x, scale, shift):
        m = mc.bnmoments(c, dtype="float64")
        m.mean, m.var = mean, var
        return mc.batchnorm(x, m, mc.cat(scale, shift), training=training)
    agree(ours, theirs, x, scale, shift)
    stored_mean, stored_var = torch.tensor(mean), torch.tensor(var)
    F.batch_norm(torch.tensor(x).reshape(n, c), stored_mean, stored_var, training=True, momentum=0.1)
    m = mc.bnmoments(c, dtype="float64")
    m.mean, m.var = mean, var
    mc.batchnorm(x, m, training=True)
    near(m.mean, stored_mean, "running mean")
    near(m.var, 0.9 * torch.tensor(var) + (stored_var - 0.9 * torch.tensor(var)) * (n - 1) / n, "running variance")


@pytest.mark.parametrize("name, theirs", [
    ("relu", F.relu), ("relu6", F.relu6), ("tanh", torch.tanh), ("sigm", torch.sigmoid),
    ("selu", F.selu), ("elu", F.elu), ("leaky_relu", F.leaky_relu), ("softplus", F.softplus),
    ("softmax", lambda x: F.softmax(x, -1)), ("logsoftmax", lambda x: F.log_softmax(x, -1)),
    ("logsumexp", lambda x: torch.logsumexp(x, -1))])
def test_activations_and_softmax(name, theirs):
    agree(getattr(mc, name), theirs, distinct(3, 5))


def test_relu6():
    x = 4 * distinct(3, 5)
    assert (x > 6).any() and (x < 0).any()
    agree(mc.relu6, F.relu6, x)


def test_nll():
    x, y, w = randn(2, 3, 4, 5), labels((2, 3, 4), 5), np.abs(randn(5, seed=1))

    def cross_entropy(x, **more):
        return F.cross_entropy(x.reshape(-1, 5), torch.tensor(y.ravel()), ignore_index=-1, **more)
    agree(lambda x: mc.nll(x, y), cross_entropy, x)
    agree(lambda x: mc.nll(x, y, w, average=False)[0],
          lambda x: cross_entropy(x, weight=torch.tensor(w), reduction="sum"), x)
    soft = np.random.default_rng(2).dirichlet(np.ones(5), (2, 3, 4))
    classes = np.broadcast_to(np.arange(5), soft.shape)
    agree(lambda x: mc.nll(x, (classes, soft)),
          lambda x: F.cross_entropy(x.reshape(-1, 5), torch.tensor(soft.reshape(-1, 5))), x)


@pytest.mark.parametrize("average", [True, False])
def test_losses(average):
    a, b, y = randn(4, 5, seed=1), randn(4, 5, seed=2), np.random.default_rng(3).integers(0, 2, (4, 5)) * 1.0
    more = {"reduction": "mean" if average else "sum"}
    pick = (lambda z: z) if average else (lambda z: z[0])
    agree(lambda a, b: pick(mc.mse(a, b, average=average)), lambda a, b: F.mse_loss(a, b, **more), a, b)
    for delta in (0.3, 1.0, 5.0):
        agree(lambda a, b, d=delta: pick(mc.huber(a, b, d, average=average)),
              lambda a, b, d=delta: F.huber_loss(a, b, delta=d, **more), a, b)
    agree(lambda a: pick(mc.bce(a, y, average=average)),
          lambda a: F.binary_cross_entropy_with_logits(a, torch.tensor(y), **more), a)
    agree(lambda a: pick(mc.logistic(a, 2 * y - 1, average=average)),
          lambda a: F.soft_margin_loss(a, torch.tensor(2 * y - 1), **more), a)


def test_padding_same_with_stride_1_is_pytorchs():
    w, x = randn(5, 3, 2, 3), randn(1, 6, 5, 2)
    theirs = F.conv2d(first(torch.tensor(x)), torch.tensor(w).permute(3, 2, 0, 1), padding="same")
    near(mc.conv4(w, x, padding="same"), last(theirs), "value")
