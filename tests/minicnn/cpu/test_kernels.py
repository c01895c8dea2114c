"""The Numba kernels at realistic sizes: near float64, the same bits for any number of threads, NaN visible."""
import importlib
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn import dispatch
from minicnn.ops.conv import conv4_then, deconv4_then

from ...tools import FLOAT32, FLOAT64, distinct, formulas, gradients, in_threads, need, put, randn

need("numba")
if os.environ.get("MINICNN_NUMBA") == "0":
    pytest.skip("MINICNN_NUMBA=0 asks for no kernels", allow_module_level=True)
WINOGRAD = 1e-4

Case = namedtuple("Case", "name f arrays kernels tolerance operator")
Case.__doc__ = "f(*arrays), differentiable if an operator; kernels it must take; relative tolerance in float32."


def case(name, f, arrays, kernels, tolerance=2e-5, operator=True):
    return pytest.param(Case(name, f, arrays, set(kernels.split()), tolerance, operator), id=name)


def conv(name, images, weights, tolerance=2e-5, **options):
    """conv4 with a bias, and its gradients."""
    w = randn(*weights, seed=1) / np.sqrt(np.prod(weights[:3]))
    return case(name, lambda w, x, b: mc.conv4(w, x, b, **options), (w, randn(*images), randn(weights[3], seed=3)),
                "conv4 conv4w conv4x channel_sums", tolerance)


def deconv(name, images, weights, tolerance=2e-5, **options):
    """deconv4 with a bias, and its gradients."""
    w = randn(*weights, seed=1) / np.sqrt(weights[3])
    return case(name, lambda w, x, b: mc.deconv4(w, x, b, **options), (w, randn(*images), randn(weights[2], seed=3)),
                "conv4 conv4w conv4x channel_sums", tolerance)


def fused(f, activation, groups=1):
    """A convolution as fuse calls it: activation(conv + b) * scale + shift."""
    options = {"stride": 2, "padding": "same", "dilation": 1, "groups": groups}
    if f is deconv4_then:
        options["output_padding"] = 0
    return lambda w, x, b, scale, shift: f(w, x, b, activation, scale, shift, **options)


FIVE = (randn(3, 3, 24, 40, seed=1) / 15, randn(2, 33, 31, 24), *(randn(40, seed=i) for i in (2, 3, 4)))
DEPTHWISE = (randn(3, 3, 1, 40, seed=1) * 2, randn(2, 33, 31, 40), *FIVE[2:])
FIVE_BACK = (FIVE[0], randn(2, 17, 15, 40), *(a[:24] for a in FIVE[2:]))


def nll(labels, weights):
    return lambda x: mc.nll(x, labels, weights.astype(x.dtype))


def soft_nll(indices, values):
    return lambda x: mc.nll(x, (indices, values.astype(x.dtype)))


def normalised(activation):
    return lambda x, p: mc.batchnorm(x, None, p, training=True, activation=activation)


def updated(opt):
    """The weights after three updates."""
    def f(w, g):
        w, own = w.copy(), mc.clone(opt)
        for _ in range(3):
            mc.update_(w, g, own)
        return w
    return f


LABELS = np.random.default_rng(0).integers(-1, 313, (2, 41, 43))
SOFT = np.random.default_rng(1).integers(-1, 313, (2, 41, 43, 5)), np.abs(randn(2, 41, 43, 5))
IMAGES, SCORES = randn(2, 41, 43, 64), 3 * randn(2, 41, 43, 313)
BATCH = randn(2, 61, 63, 75) * 2 + 3, np.concatenate([randn(75, seed=1) + 1, randn(75, seed=2)])
WEIGHTS = randn(3, 3, 90, 105), randn(3, 3, 90, 105, seed=1)

CASES = [
    conv("conv 64-64", (2, 33, 31, 64), (3, 3, 64, 64), WINOGRAD, padding=1),
    conv("conv 256-128 dilated", (2, 19, 17, 256), (3, 3, 256, 128), WINOGRAD, padding=2, dilation=2),
    conv("conv 512-512", (2, 9, 7, 512), (3, 3, 512, 512), WINOGRAD, padding="same"),
    conv("conv 75-90 stride 2", (2, 37, 35, 75), (3, 3, 75, 90), padding="same", stride=2),
    conv("conv 1-75 stride 2", (2, 65, 63, 1), (3, 3, 1, 75), padding="same", stride=2),
    conv("conv 64-128 4x4 stride 2", (2, 33, 31, 64), (4, 4, 64, 128), padding=1, stride=2),
    conv("conv 128-313 1x1", (2, 33, 31, 128), (1, 1, 128, 313)),
    conv("conv 75 depthwise", (2, 33, 31, 75), (3, 3, 1, 75), padding=1, groups=75),
    conv("conv 40 depthwise 5x5 stride 2", (2, 33, 31, 40), (5, 5, 1, 40), padding="same", stride=2, groups=40),
    conv("conv 64-2", (2, 33, 31, 64), (3, 3, 64, 2), padding=1),
    conv("conv 20-50 5x5 dilated", (2, 33, 31, 20), (5, 5, 20, 50), padding=2, dilation=2),
    conv("conv 1500-8 5x5", (1, 7, 6, 1500), (5, 5, 1500, 8), padding=2),
    *(conv(f"depthwise {k}x{k} of {c}, stride {s}", (2, 21, 19, c), (k, k, 1, c), groups=c, padding="same", stride=s)
      for k in (3, 5) for s in (1, 2) for c in (8, 96, 100)),
    deconv("deconv 105-90 stride 2", (2, 17, 15, 105), (3, 3, 90, 105), padding="same", stride=2),
    deconv("deconv 256-128 4x4 stride 2", (2, 17, 15, 256), (4, 4, 128, 256), padding=1, stride=2),
    deconv("deconv 75-2 stride 2", (2, 33, 31, 75), (3, 3, 2, 75), padding="same", stride=2),
    deconv("deconv 90-75", (2, 17, 15, 90), (3, 3, 75, 90), WINOGRAD, padding=1),
    case("conv, tanh, affine", fused(conv4_then, "tanh"), FIVE, "conv4_then", operator=False),
    case("depthwise, relu6, affine", fused(conv4_then, "relu6", groups=40), DEPTHWISE, "conv4_then", operator=False),
    case("depthwise deconv, relu6, affine", fused(deconv4_then, "relu6", groups=40), DEPTHWISE, "conv4x_then",
         operator=False),
    case("deconv, sigm, affine", fused(deconv4_then, "sigm"), FIVE_BACK, "conv4x_then", operator=False),
    case("batchnorm", lambda x, p: mc.batchnorm(x, None, p, training=True), BATCH,
         "moments normalise normalise_back"),
    *(case(f"batchnorm, {name}", normalised(name), BATCH,
           "moments normalise_then normalise_then_back") for name in ("relu", "relu6", "tanh")),
    case("batchnorm at inference", lambda x, p: mc.batchnorm(x, mc.bnmoments(75, dtype=x.dtype), p, training=False),
         BATCH, "affine channel_sums"),
    *(case(f.__name__, f, (IMAGES * 2,), kernels) for f, kernels in (
        (mc.relu, "relu reluback"), (mc.relu6, "relu6 relu6back"), (mc.tanh, "tanh tanhback"),
        (mc.sigm, "sigm sigmback"), (mc.elu, "elu eluback"), (mc.leaky_relu, "leaky_relu leakyback"),
        (mc.softplus, "softplus sigm"))),
    case("pool max", lambda x: mc.pool(x, window=3, stride=2, padding=1), (distinct(2, 65, 67, 64),),
         "poolmax poolmax_back"),
    case("pool avg", lambda x: mc.pool(x, mode="avg", padding="same"), (IMAGES,), "poolsum poolspread"),
    case("unpool", mc.unpool, (IMAGES,), "poolsum poolspread"),
    case("upsample", mc.upsample, (IMAGES,), "upsample upsample_back"),
    case("upsample bilinear", lambda x: mc.upsample(x, scale=(3, 2), mode="bilinear"), (IMAGES,),
         "upsample upsample_back"),
    case("softmax", mc.softmax, (SCORES,), "softmax"),
    case("logsoftmax", mc.logsoftmax, (SCORES,), "logsoftmax"),
    case("logsumexp", mc.logsumexp, (SCORES,), "logsumexp softmax"),
    case("nll", nll(LABELS, np.abs(randn(313))), (SCORES,), "nllsum nll_gradient"),
    case("nll of soft targets", soft_nll(*SOFT), (SCORES,), "nllsum nll_gradient"),
    case("mse", mc.mse, (IMAGES, randn(*IMAGES.shape, seed=1)), "square_error scaled_difference"),
    case("dropout", lambda x: mc.dropout(x, 0.4, drop=True, seed=1), (IMAGES,), "masked"),
    *(case(type(opt).__name__, updated(opt), WEIGHTS, type(opt).__name__.lower(), operator=False) for opt in (
        mc.SGD(l2=0.1, decay=0.1), mc.Momentum(l2=0.1), mc.Nesterov(gclip=1), mc.Adagrad(decay=0.1),
        mc.Rmsprop(l2=0.1), mc.Adadelta(), mc.Adam(l2=0.1, decay=0.1))),
]

@pytest.mark.parametrize("x, w, padding", [
    ((2, 37, 35, 75), (3, 3, 75, 90), "same"), ((1, 16, 18, 33), (3, 3, 33, 16), 1),
    ((3, 1, 1, 20), (3, 3, 20, 17), 1), ((2, 9, 12, 16), (3, 3, 16, 20), ((2, 0), (0, 3))),
    ((1, 8, 7, 130), (3, 3, 130, 120), 0)])
def test_large_stride_2_convolutions(monkeypatch, x, w, padding):
    """They have a kernel of their own, which these small ones take when told to."""
    monkeypatch.setattr(importlib.import_module("minicnn.cpu.conv"), "LARGE", 0)
    x, w, b = randn(*x), randn(*w), randn(w[3])
    expected = mc.conv4(w, x, b, padding=padding, stride=2)                 # float64: the formula
    x, w, b = (a.astype("float32") for a in (x, w, b))
    got = []
    for n in (1, 2, 4):
        monkeypatch.setenv("MINICNN_THREADS", str(n))
        got.append(mc.conv4(w, x, b, padding=padding, stride=2))
    assert np.abs(got[0] - expected).max() <= 2e-5 * np.abs(expected).max()
    assert all(np.array_equal(got[0], y) for y in got)
    x[0, 0, 0, 0] = np.nan
    y = mc.conv4(w, x, b, padding=padding, stride=2)
    assert np.isnan(y).any() and not np.isnan(y[1:]).any()


each_case = pytest.mark.parametrize("case", CASES)


def results(case, backend, arrays=None):
    """What f gives, and its gradients where it is an operator."""
    arrays = case.arrays if arrays is None else arrays
    with np.errstate(all="ignore"):
        y = case.f(*put(backend, arrays))
    return [y, *gradients(backend, case.f, *arrays)] if case.operator else [y]


@pytest.fixture
def taken(monkeypatch):
    """The names of the kernels that were used."""
    find, names = dispatch.kernel, set()

    def recording(kernel):
        fast, name = find(kernel), kernel.rpartition(".")[2]

        def call(*args):
            y = fast(*args)
            if y is not NotImplemented:
                names.add(name)
            return y
        return fast and call
    monkeypatch.setattr(dispatch, "kernel", recording)
    return names


@each_case
def test_near_float64(case, taken):
    got = results(case, FLOAT32)
    assert taken >= case.kernels
    taken.clear()
    for a, b in zip(got, results(case, FLOAT64)):
        assert a.dtype == "float32" and a.shape == b.shape
        assert np.abs(a - b).max() <= case.tolerance * np.abs(b).max()
    assert not taken, "float64 takes the formula"


@pytest.mark.slow
@each_case
def test_the_same_bits_for_1_2_and_4_threads(case, monkeypatch):
    bits = set()
    for n in "124":
        monkeypatch.setenv("MINICNN_THREADS", n)
        bits.add(tuple(np.asarray(a).tobytes() for a in results(case, FLOAT32)))
    assert len(bits) == 1


@pytest.mark.slow
@each_case
def test_nan_stays_visible(case, monkeypatch):
    """Wherever the formula gives NaN the kernel does (Winograd's tiles may give more)."""
    for i, a in enumerate(case.arrays):
        arrays = list(case.arrays)
        arrays[i] = a.copy()
        arrays[i].flat[a.size // 2] = np.nan
        got = results(case, FLOAT32, arrays)
        expected = results(case, FLOAT64, arrays)
        assert any(np.isnan(b).any() for b in expected)
        for a, b in zip(got, expected):
            assert np.isnan(a)[np.isnan(b)].all()


def test_every_kernel_is_in_a_case():
    """What a formula names as its kernel for the CPU must be tested above."""
    names = {f.kernels["cpu"].rpartition(".")[2] for f in formulas("minicnn") if f.kernels["cpu"]}
    assert names == set().union(*(c.values[0].kernels for c in CASES))


def test_user_threads_may_enter_at_once(monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", "2")
    cases = [c.values[0] for c in CASES[::3]]
    expected = [[np.asarray(a).tobytes() for a in results(c, FLOAT32)] for c in cases]

    def work(i):
        for c, bits in zip(cases[i:] + cases[:i], expected[i:] + expected[:i]):
            assert [np.asarray(a).tobytes() for a in results(c, FLOAT32)] == bits, c.name
    in_threads(3, work)


def test_formulas_load_no_kernel():
    code = ("import sys, numpy as np, minicnn as mc; from minicnn.dispatch import formulas\n"
            "x, w = np.ones((1, 8, 8, 2), 'float32'), np.ones((3, 3, 2, 4), 'float32')\n"
            "with formulas(): y = mc.conv4(w, x)\n"
            "print('numba' in sys.modules, abs(y - mc.conv4(w, x)).max() < 1e-5, 'numba' in sys.modules)")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    found = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, universal_newlines=True)
    assert found.stdout.split() == ["False", "True", "True"]
