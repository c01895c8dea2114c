"""On a real GPU (`python -m pytest -m gpu`): layers at their real sizes against float64 on the CPU, bits that repeat,
memory that stays flat, large images, running out of memory. The operators' own tests run there too (backend "cuda").
"""
import importlib

import numpy as np
import pytest

import minicnn as mc

from ...tools import missing, need, randn

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def cupy():
    """The GPU in force, as arrays are made; skipped with the reason where there is none."""
    why = importlib.import_module("minicnn.device")._cupy()[1]
    if why:
        missing("gpu", why)
    with mc.device("cuda"):
        yield need("cupy")


# name, conv4 or deconv4, weights, images: layers of jetson, colornet and zhang
LAYERS = [
    ("conv4", (3, 3, 1, 75), (4, 256, 256, 1), {"stride": 2, "padding": "same"}),
    ("conv4", (3, 3, 75, 90), (4, 128, 128, 75), {"stride": 2, "padding": "same"}),
    ("conv4", (3, 3, 90, 105), (4, 64, 64, 90), {"stride": 2, "padding": "same"}),
    ("conv4", (1, 1, 105, 3), (4, 32, 32, 105), {}),
    ("deconv4", (3, 3, 105, 3), (4, 32, 32, 3), {"stride": 2, "padding": "same"}),
    ("deconv4", (3, 3, 75, 90), (2, 128, 128, 90), {"stride": 2, "padding": "same"}),
    ("conv4", (1, 1, 75, 2), (4, 256, 256, 75), {}),
    ("conv4", (3, 3, 512, 512), (1, 32, 32, 512), {"padding": 2, "dilation": 2}),
    ("deconv4", (4, 4, 256, 512), (1, 32, 32, 512), {"stride": 2, "padding": 1}),
    ("conv4", (1, 1, 256, 313), (1, 64, 64, 256), {}),
]


def gradients(f, arrays, options, put):
    """f's output and the gradient of each array, for a gradient dy that is the same everywhere."""
    params = [mc.Param(put(a)) for a in arrays]
    y = f(*params, **options)
    dy = put(randn(*y.shape, seed=5))
    tape = mc.diff(lambda: mc.sum(f(*params, **options) * dy))
    return [y, *(mc.grad(tape, p) for p in params)]


@pytest.mark.parametrize("name, w, x, options", LAYERS, ids=lambda v: str(v).replace(" ", ""))
def test_layers_at_their_real_sizes(cupy, name, w, x, options):
    k = w[3] if name == "conv4" else w[2]
    arrays = [randn(*w, seed=1) / np.sqrt(np.prod(w[:3])), randn(*x, seed=2), randn(k, seed=3)]
    got = gradients(getattr(mc, name), arrays, options, lambda a: cupy.asarray(a.astype("float32")))
    expected = gradients(getattr(mc, name), arrays, options, lambda a: a)
    for g, e in zip(got, expected):
        assert np.abs(g.get() - e).max() <= 3e-5 * np.abs(e).max()


def network():
    mc.seed(3)
    return mc.Chain(mc.Conv(1, 75, 3, stride=2, padding="same"), mc.BatchNorm(75), mc.tanh, mc.Dropout(0.2),
                    mc.Conv(75, 90, 3, stride=2, padding="same"), mc.BatchNorm(90), mc.relu, mc.Pool(2),
                    mc.Upsample(2), mc.Deconv(90, 75, 3, stride=2, padding="same"), mc.BatchNorm(75), mc.tanh,
                    mc.Deconv(75, 20, 3, stride=2, padding="same"))


def steps(cupy, n):
    """The losses of n training steps, as bits, the final weights, and the memory held after each step."""
    with mc.device("cuda"):
        model = network()
        x = cupy.asarray(randn(8, 64, 64, 1).astype("float32"))
        labels = cupy.asarray(np.random.default_rng(1).integers(-1, 20, (8, 64, 64)))
        losses, held = [], []
        for value in mc.adam(lambda x, labels: mc.nll(model(x), labels), mc.ncycle([(x, labels)], n), lr=1e-3):
            losses.append(float(value))
            held.append(mc.memory()["held"])
    return losses, [mc.cpucopy(p).value for p in mc.params(model)], held


def test_training_repeats_bit_for_bit_and_learns(cupy):
    (losses, weights, _), (again, weights_again, _) = steps(cupy, 10), steps(cupy, 10)
    assert losses == again and losses[-1] < losses[0]
    assert all(np.array_equal(a, b) for a, b in zip(weights, weights_again))


def test_memory_of_training_is_flat(cupy):
    held = steps(cupy, 40)[2]
    assert held[-1] == held[5]


def test_more_than_two_to_the_31_bytes_are_indexed(cupy):
    free = mc.memory()["free"]
    if free < 28 << 30:
        pytest.skip(f"needs 28 GB on the GPU, {free >> 20} MB are free")
    x = cupy.zeros((1, 32768, 32768, 1), "float32")         # 2 ** 30 elements
    x[0, -1, -1, 0] = 1
    y = mc.conv4(cupy.ones((3, 3, 1, 1), "float32"), x, padding=1)
    assert float(y[0, -1, -1, 0]) == 1 and float(y[0, -2, -2, 0]) == 1 and float(mc.sum(y)) == 4
    with pytest.raises(ValueError, match="use a smaller batch"):
        mc.relu(cupy.zeros(2 ** 31, "float32"))


def test_running_out_of_memory_says_how_much_was_asked_for(cupy):
    total = mc.memory()["total"]
    with pytest.raises(MemoryError, match=r"no room for \d+ bytes more: \d+ of \d+ are free"):
        cupy.zeros(total, "uint8") + cupy.zeros(total, "uint8")


def test_a_kernel_that_does_not_compile_is_explained(cupy, tmp_path):
    from minicnn.cuda.launcher import Source
    (tmp_path / "bad.cu").write_text('extern "C" __global__ void __launch_bounds__(32)\nbad(float* x) { x = y; }\n')
    with pytest.raises(RuntimeError, match=r"bad\.cu does not compile .* bad\.cu\(2\): error"):
        Source(str(tmp_path / "bad.py"), "bad.cu").launch("bad", 1, (cupy.zeros(1, "float32"),), {})
