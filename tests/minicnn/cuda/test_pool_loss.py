"""The CUDA kernels of pooling, upsampling, softmax and the losses at realistic sizes, against NumPy in float64."""
import itertools

import numpy as np
import pytest

import minicnn as mc
from minicnn.cuda import loss as loss_cuda

from ... import oracles
from ...cuda_on_cpu import Running, fake_cupy, from_environment, installed, loader
from ...grids import labels
from ...tools import CUDA_ON_CPU, close, distinct, missing, randn, single

pytestmark = pytest.mark.slow            # left out of the fast tests: see CONTRIBUTING.md


class Noted:
    """Runs kernels and keeps their names."""

    def __init__(self):
        self.running, self.kernels = from_environment(), []

    def prepare(self, code, options, kernel):
        self.running.prepare(code, options, kernel)

    def launch(self, code, options, kernel, *rest):
        self.kernels.append(kernel)
        self.running.launch(code, options, kernel, *rest)


@pytest.fixture
def ran():
    """The names of the kernels that ran, on a GPU that is the fake one."""
    if loader.missing():
        missing("g++", loader.missing())
    noted = Noted()
    with installed(noted):
        yield noted.kernels


def on_gpu(a):
    return CUDA_ON_CPU.put(np.asarray(a))


def near(got, expected):
    close(CUDA_ON_CPU, got, expected)


def with_gradient(f, x, dy):
    """f(x) and the gradient of sum(f(x) * dy), on the GPU."""
    p = mc.Param(on_gpu(x))
    tape = mc.diff(lambda: mc.sum(f(p) * on_gpu(dy)))
    return f(p.value), mc.grad(tape, p)


# ------------------------------------------------------------------ pooling

POOLS = [
    ((1, 19, 21, 75), {}),
    ((2, 17, 15, 64), {}),
    ((1, 19, 21, 75), {"window": 3, "stride": 2, "padding": 1}),
    ((2, 17, 15, 64), {"window": 3, "stride": 2}),
    ((1, 16, 13, 64), {"window": 3, "stride": 2, "padding": "same"}),
    ((1, 9, 8, 12), {"window": 3, "stride": 1, "padding": 1}),
    ((1, 9, 11, 6), {"window": (2, 3), "stride": (3, 4), "padding": ((1, 0), (0, 2))}),
    ((1, 5, 301, 2), {"window": 2}),
    ((3, 7, 7, 20), {"window": 7}),
    ((1, 20, 19, 1), {"window": (17, 16), "stride": 1}),
]
each_pool = pytest.mark.parametrize("shape, options", POOLS, ids=str)


def spread(x, dy, options, mode):
    """The gradient of pool, window by window: to the first maximum (NaN is the largest), or to all pixels."""
    window = oracles.two(options.get("window", 2))
    inside = oracles.visits(x.shape, window, options.get("stride", window), options.get("padding", 0))[1]
    dx = np.zeros(x.shape)
    for (m, i, j), visits in itertools.groupby(inside, key=lambda v: v[:3]):
        pixels = [(m, *v[5:]) for v in visits]
        if mode == "max":
            first = np.argmax([x[p] for p in pixels], axis=0)
            for k, p in enumerate(pixels):
                dx[p] += np.where(first == k, dy[m, i, j], 0)
        else:
            for p in pixels:
                dx[p] += dy[m, i, j] / (len(pixels) if mode == "avg_valid" else window[0] * window[1])
    return dx


def check_pool(x, options, mode):
    expected = oracles.pool(x, mode=mode, **options)
    dy = randn(*expected.shape, seed=7)
    y, dx = with_gradient(lambda x: mc.pool(x, mode=mode, **options), x, dy)
    near(y, expected)
    near(dx, spread(x, dy, options, mode))


@pytest.mark.parametrize("mode", ["max", "avg", "avg_valid"])
@each_pool
def test_pool(ran, shape, options, mode):
    check_pool(distinct(*shape), options, mode)
    assert {"max": "poolmax", "avg": "poolsum", "avg_valid": "poolsum"}[mode] in ran
    large = mode == "max" and np.prod(options.get("window", 2)) > 256        # more pixels than a byte tells apart
    assert large != ({"max": "poolmax_back", "avg": "poolspread", "avg_valid": "poolspread"}[mode] in ran)


@each_pool
def test_equal_maxima(ran, shape, options):
    check_pool(np.random.default_rng(1).integers(0, 3, shape).astype("float64"), options, "max")


@each_pool
def test_nan_and_infinities_in_pools(ran, shape, options):
    x = distinct(*shape)
    draw = np.random.default_rng(2)
    for value, often in ((np.inf, 0.03), (-np.inf, 0.03), (np.nan, 0.05)):
        x[draw.random(shape) < often] = value
    x[:, :4, :4] = np.nan
    check_pool(x, options, "max")


def test_windows_without_any_number_but_minus_infinity(ran):
    x = np.full((1, 5, 5, 4), -np.inf)
    check_pool(x, {"window": 3, "stride": 2}, "max")


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_images_that_begin_between_16_bytes(ran, offset):
    """64 channels are read four at a time only where the array allows it."""
    x, n = distinct(2, 9, 8, 64), 2 * 9 * 8 * 64
    whole = np.concatenate([np.zeros(offset), x.ravel(), np.zeros(4)])
    given = on_gpu(whole)[offset:offset + n].reshape(x.shape)
    near(mc.pool(given), oracles.pool(x))
    near(mc.upsample(given, mode="bilinear"), oracles.upsample(x, mode="bilinear"))


@pytest.mark.parametrize("shape", [(65537, 1, 2, 3), (1, 65537, 2, 128)], ids=str)
def test_more_images_or_rows_than_a_grid_is_deep(ran, shape):
    x = single(np.random.default_rng(0).random(shape))
    near(mc.pool(on_gpu(x), window=(1, 2)), np.maximum(x[:, :, :1], x[:, :, 1:]))


def test_rows_too_wide_for_a_grid_take_the_formula(ran):
    x = np.zeros((1, 1, 65536 * 256, 1), "float32")
    x[0, 0, 1::2] = 3
    assert (mc.pool(on_gpu(x), window=(1, 2)) == 3).all() and not ran


# ------------------------------------------------------------------ upsampling

UPSAMPLES = [((2, 9, 11, 64), 2), ((1, 7, 5, 75), (2, 3)), ((1, 6, 5, 2), 4), ((1, 2, 3, 313), (1, 2)),
             ((1, 5, 1, 4), (5, 8)), ((1, 1, 7, 3), (3, 1)), ((1, 150, 1, 2), 2)]


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("shape, scale", UPSAMPLES, ids=str)
def test_upsample(ran, shape, scale, mode):
    x = randn(*shape)
    y, s = oracles.upsample(x, scale=scale, mode=mode), oracles.two(scale)
    dy = randn(*y.shape, seed=7)
    got, dx = with_gradient(lambda x: mc.upsample(x, scale=scale, mode=mode), x, dy)
    near(got, y)
    down, across = (oracles.upsample(np.eye(n).reshape(n, n, 1, 1), scale=(k, 1), mode=mode).reshape(n, n * k)
                    for n, k in zip(shape[1:3], s))            # what each pixel gives to each enlarged one
    near(dx, np.einsum("nijc,hi,wj->nhwc", dy, down, across))
    assert {f"upsample_{mode}", "poolsum" if mode == "nearest" else "upsample_bilinear_back"} <= set(ran)


# ------------------------------------------------------------------ softmax

CLASSES = [1, 2, 3, 5, 10, 33, 75, 128, 129, 313, 324, 1000, 1024, 1025, 2500, 8192]


def rows(n, c):
    """Scores, among them huge ones, infinite ones and NaN."""
    x = 4 * randn(n, c, seed=c)
    x[1] *= 1e4
    x[2] = -1e30 * np.abs(x[2])
    x[3, ::2] = -np.inf
    x[4] = -np.inf
    x[5, c // 2] = np.nan
    return single(x)


def log_sum(x):
    with np.errstate(all="ignore"):
        top = np.nanmax(x, axis=-1, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0)
        return np.log(np.exp(x - top).sum(axis=-1, keepdims=True)) + top


@pytest.mark.parametrize("classes", CLASSES)
def test_softmax(ran, classes):
    x = rows(19, classes)
    with np.errstate(all="ignore"):
        expected = x - log_sum(x)
    for row in range(len(x)):                                   # each row to its own precision
        near(mc.logsoftmax(on_gpu(x[row:row + 1])), expected[row:row + 1])
        near(mc.softmax(on_gpu(x[row:row + 1])), np.exp(expected[row:row + 1]))
    near(mc.softmax(on_gpu(x)), np.exp(expected))
    near(mc.logsumexp(on_gpu(x[:2])), log_sum(x[:2])[:, 0])
    near(mc.logsumexp(on_gpu(x[3:])), log_sum(x[3:])[:, 0])
    assert {"softmax", "logsoftmax", "logsumexp"} <= set(ran)


def test_images_of_scores(ran):
    x = randn(2, 7, 5, 313)
    near(mc.softmax(on_gpu(x)), np.exp(x - log_sum(x)))
    near(mc.logsumexp(on_gpu(x), keepdims=True), log_sum(x))
    assert len(ran) == 2 + ran.count("add")


def test_more_classes_than_a_block_holds_take_the_formula(ran):
    x = randn(2, 8193)
    near(mc.softmax(on_gpu(x)), np.exp(x - log_sum(x)))
    assert "softmax" not in ran


# ------------------------------------------------------------------ the likelihood of labels

NLL = [(700, 2), (61, 5), (150, 313), (90, 324), (9, 1000), (5, 1025), (4, 3000)]
each_scores = pytest.mark.parametrize("n, c", NLL)


def nll(x, indices, values):
    """The loss of (n, c) scores and its gradient; both of (n, k) soft targets; index -1 is none."""
    p, total, dx = np.exp(x - log_sum(x)), 0.0, np.zeros(x.shape)
    for r, (ks, vs) in enumerate(zip(indices, values)):
        for k, v in zip(ks, vs):
            if k >= 0:
                total += v * (log_sum(x[r])[0] - x[r, k])
                dx[r] += v * p[r]
                dx[r, k] -= v
    return total, dx


def check_nll(x, y, weights, indices, values):
    """mc.nll of scores, labels, weights against the sum over (indices, values)."""
    count = max(1, int(((indices >= 0) & (values != 0)).any(axis=1).sum()))
    total, dx = nll(x, indices, values)
    y = tuple(on_gpu(a) for a in y) if isinstance(y, tuple) else on_gpu(y)
    given = () if weights is None else (on_gpu(weights),)
    p = mc.Param(on_gpu(x))
    tape = mc.diff(lambda: mc.nll(p, y, *given) * 3.0)
    near(mc.value(tape), 3 * total / count)
    near(mc.grad(tape, p), 3 * dx / count)


@each_scores
def test_nll_of_labels(ran, n, c):
    x, y = 5 * randn(n, c), labels((n,), c)
    y[n // 2] = -1
    check_nll(x, y, None, y[:, None], np.ones((n, 1)))
    check_nll(x, y.astype("int32"), None, y[:, None], np.ones((n, 1)))
    assert ran.count("nllsum") == ran.count("add_parts") == ran.count("nll_gradient") == 2


@each_scores
def test_rebalanced_nll(ran, n, c):
    """Weights for each class, and for each position."""
    x, y, of_class = 5 * randn(n, c), labels((n,), c), single(np.abs(randn(c, seed=4)))
    check_nll(x, y, of_class, y[:, None], of_class[np.maximum(y, 0)][:, None])
    of_position = single(np.abs(randn(n, seed=5)))
    check_nll(x, y, of_position, y[:, None], of_position[:, None])


@each_scores
def test_nll_of_soft_targets(ran, n, c):
    """Five classes a position, some of them none, some named twice, some with value 0."""
    x, indices = 5 * randn(n, c), labels((n, 5), c)
    indices[::3, 1] = indices[::3, 0]
    values = single(np.abs(randn(n, 5, seed=3)))
    values[::4, 2] = 0
    check_nll(x, (indices, values), None, indices, values)


def test_nll_of_more_targets_than_classes(ran):
    x, indices, values = randn(6, 3), labels((6, 40), 3), single(np.abs(randn(6, 40)))
    check_nll(x, (indices, values), None, indices, values)


def test_nll_of_huge_scores(ran):
    x = single(1e4 * randn(40, 313))
    y = x.argmax(axis=1)
    y[::2] = labels((20,), 313, skip=False)
    check_nll(x, y, None, y[:, None], np.ones((40, 1)))


def test_an_impossible_label_costs_infinity(ran):
    x = np.zeros((600, 313))
    x[17, 5] = -np.inf
    assert float(mc.nll(on_gpu(x), on_gpu(np.full(600, 5)))) == np.inf
    x[17, 6] = np.nan
    assert np.isnan(float(mc.nll(on_gpu(x), on_gpu(np.full(600, 5)))))
    y = np.full(600, 5)
    y[17] = -1
    assert float(mc.nll(on_gpu(x), on_gpu(y))) == pytest.approx(np.log(313), rel=1e-6)


@pytest.mark.parametrize("wrong", [313, -1, 2 ** 31 - 1, -2 ** 31])
def test_kernels_never_follow_a_label_out_of_range(ran, wrong):
    x, indices, values = randn(20, 313), np.full((20, 1), 7, "int32"), np.ones((20, 1))
    indices[3] = wrong
    given = [on_gpu(a) for a in (x, indices, values)]
    assert np.isnan(float(loss_cuda.nllsum(*given)))
    dx = CUDA_ON_CPU.get(loss_cuda.nll_gradient(on_gpu(np.array(1.0)), *given))
    assert np.array_equal(np.isnan(dx).any(axis=1), np.arange(20) == 3)


def test_labels_out_of_range_are_refused(ran):
    for y in (np.array([0, 313]), np.array([-2, 0]), np.array([1, 2 ** 32])):
        with pytest.raises(ValueError, match=rf"labels \(2,\) must lie .* got {y.min()} to {y.max()}"):
            mc.nll(on_gpu(randn(2, 313)), on_gpu(y))
        with pytest.raises(ValueError, match="accuracy: labels"):
            mc.accuracy(on_gpu(randn(2, 313)), on_gpu(y))
    assert "nllsum" not in ran


def test_a_loss_waits_for_the_gpu_once(ran, monkeypatch):
    """Its labels are checked and counted together; nothing else leaves the GPU, backwards either."""
    fetched, attribute = [], fake_cupy.ndarray.__getattr__

    def noted(self, name):
        fetched.extend([name] * (name in ("tolist", "item")))
        return attribute(self, name)

    def refused(self, *_):
        raise AssertionError("a number left the GPU")
    x, y, values = on_gpu(randn(6, 313)), on_gpu(labels((6, 5), 313)), on_gpu(np.ones((6, 5)))
    monkeypatch.setattr(fake_cupy.ndarray, "__getattr__", noted)
    for name in ("__int__", "__float__", "__bool__", "get"):
        monkeypatch.setattr(fake_cupy.ndarray, name, refused)
    p = mc.Param(x)
    for once, loss in enumerate([lambda: mc.nll(p, y[:, 0]), lambda: mc.nll(p, (y, values)),
                                 lambda: mc.nll(p, y[:, 0], average=False)[0]], 1):
        tape = mc.diff(loss)
        assert mc.grad(tape, p).shape == x.shape and len(fetched) == once
    tape = mc.diff(lambda: mc.mse(p, x))
    assert mc.grad(tape, p).shape == x.shape and len(fetched) == 3


# ------------------------------------------------------------------ sums


def test_nll_of_a_million_pixels_keeps_its_digits(ran):
    n = 1 << 20
    x, y = single(2 * randn(n, 2)), labels((n,), 2, skip=False)
    expected = (np.logaddexp(x[:, 0], x[:, 1]) - x[np.arange(n), y]).mean()
    assert float(mc.nll(on_gpu(x), on_gpu(y))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [1, 3, 255, 1025, 4 * 256 * 1024 + 5, 1 << 23])
def test_mse(ran, n):
    a, b = single(randn(n) + 1), single(randn(n, seed=1) / 4)
    assert float(mc.mse(on_gpu(a), on_gpu(b))) == pytest.approx(((a - b) ** 2).mean(), rel=1e-6)
    assert {"square_error", "add_parts"} <= set(ran)


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_gradients_of_mse(ran, offset):
    """Also of arrays that begin between 16 bytes."""
    a, b = randn(2, 33, 31, 3), randn(2, 33, 31, 3, seed=1)
    p, q = (mc.Param(on_gpu(np.append(np.zeros(offset), c))[offset:].reshape(c.shape)) for c in (a, b))
    tape = mc.diff(lambda: mc.mse(p, q) * 0.5)
    near(mc.grad(tape, p), (a - b) / a.size)
    near(mc.grad(tape, q), (b - a) / a.size)
    assert ran.count("scaled_difference") == 2


def test_the_same_bits_on_every_gpu_and_in_any_order():
    if loader.missing():
        missing("g++", loader.missing())
    x, y, indices = randn(9000, 75), randn(9000, 75, seed=1), labels((9000,), 75)
    found = set()
    for schedule, arch, cores in ((0, 53, 1), (1, 90, 132), (2, 75, 40), (4, 86, 48), (5, 53, 1)):
        with installed(Running(schedule), arch=arch, multiprocessors=cores):
            p = mc.Param(on_gpu(x))
            tape = mc.diff(lambda p=p: mc.nll(p, on_gpu(indices)) + mc.mse(p, on_gpu(y)))
            found.add((float(mc.value(tape)), CUDA_ON_CPU.get(mc.grad(tape, p)).tobytes()))
    assert len(found) == 1
