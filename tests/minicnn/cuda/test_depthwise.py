"""The CUDA kernels of depthwise convolution at shapes of real layers; what check mode sees when they are wrong."""
import numpy as np
import pytest

import minicnn as mc
from minicnn.cuda import launcher as cuda

from ...cuda_on_cpu import Running, installed, loader
from ...tools import CUDA_ON_CPU, FLOAT64, close, gradients, missing, put, randn
from .test_conv import Counting

pytestmark = pytest.mark.slow            # left out of the fast tests: see CONTRIBUTING.md

# kernel, images, options
LAYERS = [
    (3, (2, 20, 18, 32), {"padding": "same"}), (3, (1, 33, 31, 96), {"padding": "same", "stride": 2}),
    (5, (1, 14, 14, 240), {"padding": "same"}), (5, (2, 15, 17, 144), {"padding": "same", "stride": 2}),
    (3, (1, 7, 7, 1152), {"padding": 1}), (5, (3, 12, 40, 7), {"padding": 2}),
    (3, (1, 9, 40, 33), {"stride": 2}), (3, (1, 10, 13, 8), {"stride": 3, "padding": 1}),
    (4, (1, 10, 13, 8), {"padding": "same"}), (1, (1, 10, 13, 36), {}),
]
GPUS = {"nano": (53, 1), "large": (90, 132)}


@pytest.fixture(params=GPUS)
def counting(request):
    """Counts launches on a pretended GPU."""
    if loader.missing():
        missing("g++", loader.missing())
    backend, (arch, multiprocessors) = Counting(), GPUS[request.param]
    with installed(backend, arch=arch, multiprocessors=multiprocessors):
        yield backend


def arrays(k, x):
    return randn(k, k, 1, x[3], seed=1) / k, randn(*x, seed=2), randn(x[3], seed=3)


@pytest.mark.parametrize("k, x, options", LAYERS, ids=lambda v: str(v).replace(" ", ""))
def test_layers(counting, k, x, options):
    given, options = arrays(k, x), {"groups": x[3], **options}
    close(CUDA_ON_CPU, mc.conv4(*put(CUDA_ON_CPU, given), **options), mc.conv4(*given, **options))
    assert counting.launched == {"filter": 1}
    expected = gradients(FLOAT64, mc.conv4, *given, **options)
    for got, e in zip(gradients(CUDA_ON_CPU, mc.conv4, *given, **options), expected):
        close(CUDA_ON_CPU, got, e, "gradient")
    back = "filter" if options.get("stride", 1) == 1 else "collect"
    assert counting.launched[back] == (3 if back == "filter" else 1) and counting.launched["filter_weights"] == 1
    assert counting.launched["gather"] == counting.launched["weights"] == 0


def test_the_gradient_of_many_pixels_is_shared_and_repeats(counting):
    """Several blocks a channel, whose sums are added in their order."""
    w, x, _ = (CUDA_ON_CPU.put(a) for a in arrays(3, (8, 40, 30, 5)))
    dy = CUDA_ON_CPU.put(randn(8, 40, 30, 5, seed=4))
    o = {"padding": "same", "groups": 5}
    first = mc.conv4w(w, x, dy, **o)
    close(CUDA_ON_CPU, first, mc.conv4w(w.shape, *(CUDA_ON_CPU.get(a).astype("float64") for a in (x, dy)), **o))
    assert counting.launched["add_parts"] == (counting.launched["filter_weights"] if cuda.limits().arch == 90 else 1)
    for schedule in (1, 3, 4, 7):
        counting.schedule = schedule
        assert np.array_equal(CUDA_ON_CPU.get(mc.conv4w(w, x, dy, **o)), CUDA_ON_CPU.get(first))


@pytest.mark.parametrize("start", [1, 2, 3, 4])
@pytest.mark.parametrize("which", ["w", "x", "b"])
def test_arrays_that_begin_anywhere(cuda_on_cpu, which, start):
    given = dict(zip("wxb", arrays(3, (1, 6, 7, 8))))
    there = put(CUDA_ON_CPU, tuple(given.values()))
    moved = dict(zip("wxb", there))
    moved[which] = CUDA_ON_CPU.put(np.concatenate([np.zeros(start), given[which].ravel()]))[start:].reshape(
        given[which].shape)
    for options in ({"padding": 1}, {"padding": 1, "stride": 2}):
        close(CUDA_ON_CPU, mc.conv4(*moved.values(), groups=8, **options),
              mc.conv4(*given.values(), groups=8, **options))
    close(CUDA_ON_CPU, mc.deconv4(*moved.values(), groups=8, stride=2),
          mc.deconv4(*given.values(), groups=8, stride=2))


def test_what_is_too_rare_takes_the_formula(counting):
    for k, options in ((3, {"dilation": 2}), (6, {})):
        given = arrays(k, (1, 12, 11, 4))
        close(CUDA_ON_CPU, mc.conv4(*put(CUDA_ON_CPU, given), groups=4, **options),
              mc.conv4(*given, groups=4, **options))
    assert not counting.launched


# ------------------------------------------------------------------ one fault each, which check mode must see

FAULTS = {
    "rows are not compared with the image": ("            if (iy < 0 || iy >= h) continue;\n", "", "OUT OF BOUNDS"),
    "columns beyond the image are read": ("nearest(left + q, w)", "left + q", "OUT OF BOUNDS"),
    "columns beyond the output are written": ("            if (first + p < ow)\n", "", "OUT OF BOUNDS|RACE"),
    "rows of dy beyond the last": ("down < 0 || oy >= oh", "down < 0", "OUT OF BOUNDS"),
    "channels beyond the last": ("c < MC_C ? blockIdx.y", "c < 999 ? blockIdx.y", "OUT OF BOUNDS"),
    "their sums are written": ("if (channel < MC_C) parts", "parts", "OUT OF BOUNDS|RACE"),
    "no barrier before the sums": ("    __syncthreads();\n    for (int i = threadIdx.x; i < TAPS * 32",
                                   "    for (int i = threadIdx.x; i < TAPS * 32", "RACE|UNINITIALISED"),
    "half of the lines": ("    for (int t = 0; t < TAPS; t++) all[line][t][lane]",
                          "    for (int t = 0; t < TAPS; t++) if (line < 4) all[line][t][lane]", "UNINITIALISED"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_check_mode_sees(monkeypatch, name):
    if loader.missing():
        missing("g++", loader.missing())
    right, wrong, report = FAULTS[name]
    read = cuda.read

    def spoiled(path):
        text = read(path)
        if not str(path).endswith("depthwise.cu"):
            return text
        assert text.count(right) == 1
        return text.replace(right, wrong)

    def step():
        w, x, _ = (mc.Param(CUDA_ON_CPU.put(a)) for a in arrays(3, (4, 14, 25, 5)))
        for stride in (1, 2):
            mc.diff(lambda s=stride: mc.sum(mc.conv4(w, x, groups=5, stride=s, padding=1)))
    with installed(Running(schedule=3, check=True), arch=90, multiprocessors=1):
        step()
    monkeypatch.setattr(cuda, "read", spoiled)
    with installed(Running(schedule=3, check=True), arch=90, multiprocessors=1):
        with pytest.raises(loader.KernelError, match=report):
            step()
