"""Every CUDA kernel, watched: no race, nothing out of bounds, no divergent barrier, the same bits in any order."""
import itertools
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn.cuda.launcher import signatures
from minicnn.ops.basic import channel_sums

from ...cuda_on_cpu import Checking, installed, loader
from ...grids import BATCHNORM, CONV, DECONV, DEPTHWISE, ELEMENTS, POOL, UNPOOL, UNPOOL_OVERLAP, UPSAMPLE
from ...grids import conv_arrays, deconv_arrays, labels, pool_arguments
from ...tools import CUDA_ON_CPU, distinct, gradients, missing, put, randn

pytestmark = pytest.mark.slow            # left out of the fast tests: see CONTRIBUTING.md

SOURCES = {p.name: p for p in (Path(__file__).parents[3] / "minicnn").rglob("*.cu")}
GPUS = {"nano": (53, 1), "large": (90, 132)}
ACTIVATIONS = (mc.relu, mc.relu6, mc.tanh, mc.sigm, mc.leaky_relu, mc.elu, mc.softplus)
OPTIMIZERS = (mc.SGD, mc.Momentum, mc.Nesterov, mc.Adagrad, mc.Rmsprop, mc.Adadelta, mc.Adam)


def run(f, *args, **options):
    """f and its gradients on the GPU; outside of a tape too, since there f may take other kernels."""
    f(*(put(CUDA_ON_CPU, a) for a in args), **options)
    gradients(CUDA_ON_CPU, f, *args, **options)


def activations():
    for f, shape in itertools.product(ACTIVATIONS, ELEMENTS):
        run(f, 4 * distinct(*shape, seed=1))


def basic():
    for shape in ((2, 3, 4, 3), (5, 75), (3, 64, 64, 8), (1, 1), (3, 1500)):
        channel_sums(put(CUDA_ON_CPU, randn(*shape)))


def batchnorm():
    for shape, activation in itertools.product(BATCHNORM + [(2, 33, 31, 6)], (None, "relu", "relu6", "tanh")):
        c, m = shape[-1], mc.bnmoments(shape[-1])
        run(lambda x, p, a=activation: mc.batchnorm(x, None, p, training=True, activation=a), randn(*shape),
            randn(2 * c))
        m.mean, m.var = put(CUDA_ON_CPU, (randn(c, seed=4), np.abs(randn(c, seed=5)) + 0.5))
        run(lambda x, p, m=m: mc.batchnorm(x, m, p, training=False), randn(*shape), randn(2 * c))


def convolutions(cases, f, arrays):
    for case in cases:
        run(f, *arrays(case), **case.options)


def conv():
    convolutions(CONV[::3], mc.conv4, conv_arrays)
    convolutions(DECONV[::3], mc.deconv4, deconv_arrays)


def conv_weights():
    convolutions([CONV[26]._replace(x=(1, 60, 50, 6), w=(3, 3, 6, 5), options={})], mc.conv4, conv_arrays)


def depthwise():
    convolutions(DEPTHWISE[::2], mc.conv4, conv_arrays)
    convolutions([case for case in DECONV if case.w[2] == 1], mc.deconv4, deconv_arrays)
    whole = randn(2 * 24 * 20 * 40 + 1, seed=2)[1:].reshape(2, 24, 20, 40)         # begins beside 16 bytes
    for stride in (1, 2):
        run(lambda w, x, s=stride: mc.conv4(w, x, groups=40, stride=s), randn(3, 3, 1, 40), whole)


def dropout():
    for shape in ELEMENTS:
        run(mc.dropout, distinct(*shape), 0.5, drop=True, seed=3)


def losses():
    for shape in ((4, 5), (3,), (2, 3, 4, 5), (1, 1), (2, 75), (3, 313), (2, 1000)):
        for f in (mc.softmax, mc.logsoftmax, mc.logsumexp):
            run(f, distinct(*shape))
        if len(shape) > 1:
            run(mc.nll, distinct(*shape), labels(shape[:-1], shape[-1]))
            run(mc.nll, distinct(*shape), labels(shape[:-1], shape[-1]), np.abs(randn(*shape[:-1], 1)))
            soft = labels(shape[:-1] + (5,), shape[-1]), np.abs(randn(*shape[:-1], 5)).astype("float32")
            run(mc.nll, distinct(*shape), soft)
    for shape in ((5,), (4, 3), (3, 4097)):
        run(mc.mse, randn(*shape), randn(*shape, seed=1))


def pool():
    for case, mode in itertools.product(POOL, ("max", "avg")):
        x, options = pool_arguments(case)
        run(mc.pool, x, mode=mode, **options)
    for case in UNPOOL + UNPOOL_OVERLAP:
        x, options = pool_arguments(case)
        run(mc.unpool, x, **options)
    for (shape, scale), mode in itertools.product(UPSAMPLE, ("nearest", "bilinear")):
        run(mc.upsample, randn(*shape), scale=scale, mode=mode)


def optimizers():
    for opt, shape in itertools.product(OPTIMIZERS, ((1,), (3, 5), (3, 4097))):
        rule = opt(l2=0.1, decay=0.1, gclip=0.5)
        w = put(CUDA_ON_CPU, randn(*shape))
        for seed in (1, 2):
            mc.update_(w, put(CUDA_ON_CPU, randn(*shape, seed=seed)), rule)


WORKS = {"activation.cu": activations, "basic.cu": basic, "batchnorm.cu": batchnorm, "conv.cu": conv,
         "conv_weights.cu": conv_weights, "depthwise.cu": depthwise, "dropout.cu": dropout, "loss.cu": losses,
         "optimizers.cu": optimizers, "pool.cu": pool}


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("name", SOURCES)
def test_kernels_are_clean(name, gpu):
    """Each kernel of each .cu file, in four schedules, among them one warp at a time."""
    if loader.missing():
        missing("g++", loader.missing())
    checking, (arch, multiprocessors) = Checking(), GPUS[gpu]
    with installed(checking, arch=arch, multiprocessors=multiprocessors), mc.device("cuda"):
        WORKS[name]()
    assert set(signatures(str(SOURCES[name]))) <= checking.ran
