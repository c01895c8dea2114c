"""The CUDA convolutions at the channels and windows of real layers, with the tiles of small and large GPUs."""
from collections import Counter

import numpy as np
import pytest

import minicnn as mc
from minicnn.cuda.conv import _columns
from minicnn.ops.conv import conv4_then, deconv4_then

from ...cuda_on_cpu import Running, installed, loader
from ...tools import CUDA_ON_CPU, FLOAT64, check, close, gradients, missing, put, randn

pytestmark = pytest.mark.slow            # left out of the fast tests: see CONTRIBUTING.md

# conv4 or deconv4, weights, images
LAYERS = [
    (mc.conv4, (3, 3, 75, 90), (2, 17, 22, 75), {"stride": 2, "padding": "same"}),
    (mc.deconv4, (3, 3, 75, 90), (2, 9, 10, 90), {"stride": 2, "padding": "same"}),
    (mc.deconv4, (3, 3, 105, 3), (1, 9, 10, 3), {"stride": 2, "padding": "same"}),
    (mc.conv4, (3, 3, 1, 75), (1, 32, 32, 1), {"stride": 2, "padding": "same"}),
    (mc.conv4, (1, 1, 75, 2), (1, 20, 20, 75), {}),
    (mc.conv4, (1, 1, 105, 3), (1, 20, 20, 105), {}),
    (mc.conv4, (1, 1, 64, 313), (1, 8, 9, 64), {}),
    (mc.conv4, (3, 3, 20, 40), (1, 20, 17, 20), {"stride": 2, "padding": 1}),
    (mc.conv4, (3, 3, 16, 24), (1, 20, 12, 16), {"padding": 2, "dilation": 2}),
    (mc.deconv4, (4, 4, 24, 16), (1, 7, 12, 16), {"padding": 1, "stride": 2}),
    (mc.conv4, (7, 7, 3, 8), (1, 20, 12, 3), {"padding": 3, "stride": 2}),
    (mc.deconv4, (3, 3, 8, 3), (1, 7, 12, 3), {"padding": "same", "stride": 3}),
]


class Counting(Running):
    """Runs kernels and counts how often each was launched."""

    def __init__(self):
        super().__init__()
        self.launched = Counter()

    def launch(self, code, options, kernel, *rest):
        self.launched[kernel] += 1
        super().launch(code, options, kernel, *rest)


def arrays(f, w, x):
    """(w, x, bias)"""
    bias = randn(w[3] if f is mc.conv4 else w[2], seed=3)
    return randn(*w, seed=1) / np.sqrt(np.prod(w[:3])), randn(*x, seed=2), bias


@pytest.fixture(params=[(53, 1), (90, 132)], ids=["nano", "large"])
def counting(request):
    """Counts launches on a pretended GPU: (compute capability, multiprocessors)."""
    if loader.missing():
        missing("g++", loader.missing())
    backend = Counting()
    with installed(backend, arch=request.param[0], multiprocessors=request.param[1]):
        yield backend


@pytest.mark.parametrize("f, w, x, options", LAYERS, ids=lambda v: getattr(v, "__name__", str(v)).replace(" ", ""))
def test_layers(counting, f, w, x, options):
    given = arrays(f, w, x)
    close(CUDA_ON_CPU, f(*(put(CUDA_ON_CPU, a) for a in given), **options), f(*given, **options))
    assert counting.launched == {"gather": 1}
    got, expected = gradients(CUDA_ON_CPU, f, *given, **options), gradients(FLOAT64, f, *given, **options)
    for g, e in zip(got, expected):
        close(CUDA_ON_CPU, g, e, "gradient")
    assert counting.launched["gather"] == 3 and counting.launched["weights"] == 1


@pytest.mark.parametrize("activation", [None, "relu", "relu6", "tanh", "sigm", "leaky_relu", "elu"])
@pytest.mark.parametrize("affine", [False, True], ids=["", "affine"])
@pytest.mark.parametrize("groups, stride", [(1, 2), (6, 1), (6, 2)])
@pytest.mark.parametrize("f", [conv4_then, deconv4_then], ids=lambda f: f.__name__)
def test_what_follows_a_convolution(cuda_on_cpu, f, groups, stride, activation, affine):
    w, x, b = arrays(mc.conv4, (3, 3, 6 // groups, 6), (2, 9, 7, 6))
    scale, shift = (randn(6, seed=4), randn(6, seed=5)) if affine else (None, None)
    options = {"stride": stride, "padding": 1, "dilation": 1, "groups": groups}
    if f is deconv4_then:
        options["output_padding"] = 0

    def run(put):
        return f(*(None if a is None else put(a) for a in (w * 9, x, b)), activation,
                 *(None if a is None else put(a) for a in (scale, shift)), **options)
    close(CUDA_ON_CPU, run(CUDA_ON_CPU.put), run(FLOAT64.put))


@pytest.mark.parametrize("activation", ["relu", "relu6", "tanh", "sigm", "leaky_relu"])
def test_special_values_pass_through_the_epilogue(cuda_on_cpu, activation):
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-30, 3e-4, 0.5499, 0.5501, 20, -90, 1e30, -1e30])
    x = special.astype("float32").reshape(1, 1, -1, 1)
    one = np.ones((1, 1, 1, 1), "float32")
    options = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    got = conv4_then(cuda_on_cpu.asarray(one), cuda_on_cpu.asarray(x), None, activation, None, None, **options).get()
    with np.errstate(all="ignore"):
        expected = conv4_then(one.astype("float64"), x.astype("float64"), None, activation, None, None, **options)
    assert np.allclose(got, expected, rtol=1e-6, atol=1e-37, equal_nan=True)


def test_a_window_of_more_than_64_taps_takes_the_formula(counting):
    w, x, b = arrays(mc.conv4, (9, 9, 2, 3), (1, 12, 11, 2))
    close(CUDA_ON_CPU, mc.conv4(*(put(CUDA_ON_CPU, a) for a in (w, x, b))), mc.conv4(w, x, b))
    assert not counting.launched


def test_weights_that_are_not_contiguous_are_copied(cuda_on_cpu):
    def turned(w, x, b):
        return mc.conv4(mc.transpose(w, (1, 0, 3, 2)), x, b, flip=True)
    w, x, b = randn(3, 2, 4, 5, seed=1), randn(1, 6, 7, 5), randn(4, seed=3)
    check(CUDA_ON_CPU, turned, lambda w, x, b: mc.conv4(w.transpose(1, 0, 3, 2), x, b, flip=True), w, x, b)


def test_tiles_waste_little():
    for channels in (75, 90, 105):
        tx, tn = _columns(channels)
        assert -(-channels // (tx * tn)) * tx * tn <= 1.07 * channels
    for channels in range(1, 600):
        tx, tn = _columns(channels)
        assert 256 % tx == 0 and -(-channels // (tx * tn)) * tx * tn <= max(1.5 * channels, channels + 3)
