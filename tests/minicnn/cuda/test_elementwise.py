"""The CUDA kernels of activations, dropout, channel sums, batchnorm and optimizers: realistic sizes, special values,
slices that begin anywhere, against NumPy in float64."""
from contextlib import contextmanager

import numpy as np
import pytest

import minicnn as mc
from minicnn.ops.basic import channel_sums
from minicnn.ops.batchnorm import affine
from minicnn.ops.dropout import noise

from ... import oracles
from ...cuda_on_cpu import Running, installed, loader
from ...tools import CUDA_ON_CPU, FLOAT64, close, gradients, missing, randn, single

pytestmark = pytest.mark.slow            # left out of the fast tests: see CONTRIBUTING.md


class Noted(Running):
    """Runs kernels and keeps their names and their grids."""

    def __init__(self, schedule=4, check=False):
        super().__init__(schedule, check)
        self.kernels, self.grids = [], []

    def launch(self, code, options, kernel, grid, *rest):
        self.kernels.append(kernel)
        self.grids.append(grid)
        super().launch(code, options, kernel, grid, *rest)


@contextmanager
def pretended(noted, gpu):
    """Run on a pretended GPU: (compute capability, multiprocessors)."""
    if loader.missing():
        missing("g++", loader.missing())
    with installed(noted, arch=gpu[0], multiprocessors=gpu[1]):
        yield noted


@pytest.fixture(params=[(53, 1), (90, 5)], ids=["one core", "five cores"])
def gpu(request):
    """What ran, on one core or five: a few blocks go through everything, or more have parts."""
    with pretended(Noted(), request.param) as noted:
        yield noted


def put(a):
    return CUDA_ON_CPU.put(np.asarray(a))


def get(a):
    return CUDA_ON_CPU.get(a).astype("float64")


def near(got, expected, what="output"):
    close(CUDA_ON_CPU, got, expected, what)


OPTIMIZERS = [mc.SGD, mc.Momentum, mc.Nesterov, mc.Adagrad, mc.Rmsprop, mc.Adadelta, mc.Adam]
SIZES = [1, 4, 1023, 50003]
sizes = pytest.mark.parametrize("n", SIZES)
CHANNELS = [(1, 9), (1, 5001), (2, 1030), (3, 700), (75, 131), (90, 100), (105, 77), (129, 30), (313, 40), (512, 9),
            (1025, 5), (4096, 7), (75, 1)]
each_shape = pytest.mark.parametrize("channels, rows", CHANNELS)

# ------------------------------------------------------------------ activations

ACTIVATIONS = {mc.relu: oracles.relu, mc.relu6: oracles.relu6, mc.tanh: oracles.tanh,
               mc.sigm: oracles.sigm, mc.leaky_relu: oracles.leaky_relu, mc.elu: oracles.elu,
               mc.softplus: oracles.softplus}
each_activation = pytest.mark.parametrize("f", ACTIVATIONS, ids=lambda f: f.__name__)


@sizes
@each_activation
def test_activations(gpu, f, n):
    x = single(randn(n) * 3)
    near(f(put(x)), ACTIVATIONS[f](x))
    near(gradients(CUDA_ON_CPU, f, x)[0], gradients(FLOAT64, f, x)[0])
    assert set(gpu.kernels) == {"each"}


@pytest.mark.parametrize("start", [1, 2, 3, 4])
@each_activation
def test_slices_begin_anywhere(gpu, f, start):
    x = single(randn(5000))[start:4100]
    p = mc.Param(put(randn(5000))[start:4100])
    near(f(p.value), ACTIVATIONS[f](x))
    tape = mc.diff(lambda: mc.sum(f(p) * put(x)))
    q = mc.Param(x)
    near(mc.grad(tape, p), mc.grad(mc.diff(lambda: mc.sum(f(q) * x)), q))
    assert set(gpu.kernels) == {"each"}


def test_tanh_is_good_to_the_last_digits(gpu):
    x = np.concatenate([np.geomspace(1e-30, 1e30, 40000), np.linspace(0.0625, 12, 60000)])
    x = single(np.concatenate([x, -x]))
    y, expected = get(mc.tanh(put(x))), np.tanh(x)
    assert np.abs(y / expected - 1).max() < 4e-7 and np.abs(y).max() == 1
    assert np.array_equal(y[:100000], -y[100000:])


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, 1e38, -1e38]
LIMITS = {mc.relu: [np.nan, np.inf, 0, 0, 1e38, 0], mc.relu6: [np.nan, 6, 0, 0, 6, 0],
          mc.tanh: [np.nan, 1, -1, 0, 1, -1], mc.sigm: [np.nan, 1, 0, .5, 1, 0],
          mc.leaky_relu: [np.nan, np.inf, -np.inf, 0, 1e38, -1e36],
          mc.elu: [np.nan, np.inf, -1, 0, 1e38, -1], mc.softplus: [np.nan, np.inf, 0, np.log(2), 1e38, 0]}


@each_activation
def test_special_values(gpu, f):
    """Both in the groups of four and in the rest behind them."""
    x = single(SPECIAL * 3 + [0.5])
    near(f(put(x))[:18], single(LIMITS[f] * 3))
    p = mc.Param(put(x))
    g = get(mc.grad(mc.diff(lambda: mc.sum(f(p))), p))
    assert np.array_equal(np.isnan(g), np.isnan(x)) and np.isfinite(g[1:6]).all()


@each_activation
def test_empty_arrays_take_the_formula(gpu, f):
    assert f(put(np.zeros((0, 3)))).shape == (0, 3) and not gpu.kernels


# ------------------------------------------------------------------ dropout


@sizes
@pytest.mark.parametrize("p, seed", [(.25, 0), (.5, -1), (.999, 7)])
def test_dropout_draws_what_the_cpu_draws(gpu, n, p, seed):
    whole = randn(n + 1, seed=1)
    for x, a in ((whole[1:], put(whole)[1:]), (whole[:n], put(whole[:n]))):
        y = CUDA_ON_CPU.get(mc.dropout(a, p, drop=True, seed=seed))
        expected = mc.dropout(x, p, drop=True, seed=seed)
        assert np.array_equal(y != 0, expected != 0) and np.allclose(y, expected, rtol=3e-7, atol=0)
    assert gpu.kernels == ["masked"] * 2


def test_the_number_that_is_just_enough_stays(gpu):
    number = int(noise(np, 6, 9)[5])
    assert get(mc.dropout(put(np.ones(6)), number / 2 ** 32, drop=True, seed=9))[5] > 0
    assert get(mc.dropout(put(np.ones(6)), (number + 1) / 2 ** 32, drop=True, seed=9))[5] == 0


def test_dropout_hides_nan_only_where_it_drops(gpu):
    x = np.full(1000, np.nan)
    y = get(mc.dropout(put(x), 0.5, drop=True, seed=3))
    assert np.array_equal(np.isnan(y), mc.dropout(np.ones(1000), 0.5, drop=True, seed=3) > 0)


# ------------------------------------------------------------------ channels


@each_shape
def test_channel_sums(gpu, channels, rows):
    x = single(randn(rows, channels) + 1)
    near(channel_sums(put(x)), x.sum(axis=0))
    assert gpu.kernels == ["sum_parts", "sum_whole"]


def test_channel_sums_of_slices_and_of_what_has_no_kernel(gpu):
    x = randn(6, 50, 75)
    near(channel_sums(put(x)[1:, 1:, :7]), x[1:, 1:, :7].sum(axis=(0, 1)))
    near(channel_sums(put(x)[3]), x[3].sum(axis=0))
    del gpu.kernels[:]
    assert get(channel_sums(put(x)[:0])).tolist() == [0] * 75
    assert CUDA_ON_CPU.get(channel_sums(put(np.ones((3, 2), "int32")))).tolist() == [3, 3]
    assert not gpu.kernels


@each_shape
def test_moments(gpu, channels, rows):
    """Also where the mean is far larger than the deviation, or the first number is unlike the others."""
    x = randn(rows, channels) * (1 + np.arange(channels) % 3)
    x += np.array([0, 3000, -7, 0])[np.arange(channels) % 4]
    x[0, 3::4] = 1e4
    x = single(x)
    near_moments(x, np.abs(x).max(axis=0))
    assert gpu.kernels == ["moments_parts", "moments_whole", "normalise"]


def near_moments(x, size):
    """The mean to digits of the largest number of its channel, the variance to a share of itself."""
    found = mc.bnmoments(x.shape[1], momentum=1)
    found.mean, found.var = put(found.mean), put(found.var)         # momentum 1: what is there is forgotten
    mc.batchnorm(put(x), found, training=True)
    mean, var = get(found.mean), get(found.var)
    assert (np.abs(mean - x.mean(axis=0)) <= 3e-7 * size).all()
    assert (np.abs(var - x.var(axis=0)) <= 1e-5 * x.var(axis=0) + 1e-12 * size ** 2).all()


@pytest.mark.parametrize("channels, rows", [(1, 5001), (3, 700), (75, 131), (129, 30), (313, 40), (2050, 7), (75, 1)])
@pytest.mark.parametrize("activation", [None, "relu", "relu6", "tanh"])
def test_batchnorm(gpu, channels, rows, activation):
    x = single(randn(rows, channels, seed=1) * 2 + 3)
    params = single(np.concatenate([3 * randn(channels, seed=2) + 1, randn(channels, seed=3)]))
    after = {None: lambda v: v, "relu": lambda v: np.maximum(v, 0), "relu6": lambda v: np.clip(v, 0, 6),
             "tanh": np.tanh}[activation]
    near(mc.batchnorm(put(x), None, put(params), training=True, activation=activation),
         after(oracles.batchnorm(x, None, None, params)))
    near(mc.batchnorm(put(x), training=True, activation=activation), after(oracles.batchnorm(x, None, None, None)))
    if rows > 1:
        dy = randn(rows, channels, seed=4)
        for given in ((x, params), (x,)):
            for got, e in zip(batchnorm_gradients(given, dy, activation), backwards(*given, dy=dy, after=activation)):
                near(got, e, "gradient")
        assert {"back_parts", "back_whole", "back_combine"} < set(gpu.kernels)
    assert "normalise" in gpu.kernels and "each" not in gpu.kernels


def batchnorm_gradients(given, dy, activation):
    """Of sum(batchnorm * dy), for x and perhaps for params."""
    x, *params = [mc.Param(put(a)) for a in given]
    tape = mc.diff(lambda: mc.sum(mc.batchnorm(x, None, *params, activation=activation) * put(dy)))
    return [mc.grad(tape, p) for p in (x, *params)]


def backwards(x, params=None, *, dy, after):
    """(dx, dparams) by the textbook, in float64."""
    n, c = x.shape
    inv = 1 / np.sqrt(x.var(axis=0) + 1e-5)
    xhat = (x - x.mean(axis=0)) * inv
    scale, shift = (1, 0) if params is None else (params[:c], params[c:])
    z = xhat * scale + shift
    dz = dy * {None: 1, "relu": z > 0, "relu6": (z > 0) & (z < 6), "tanh": 1 - np.tanh(z) ** 2}[after]
    dxhat = dz * scale
    dx = inv * (dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0))
    return dx, np.concatenate([(dz * xhat).sum(axis=0), dz.sum(axis=0)])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_bad_pixel_spoils_its_channel_only(gpu, bad):
    x = randn(300, 75)
    x[123, 7] = bad
    p = mc.Param(put(x))
    tape = mc.diff(lambda: mc.sum(mc.batchnorm(p, activation="tanh") * put(randn(300, 75, seed=1))))
    for a in (mc.batchnorm(p.value, training=True), mc.grad(tape, p)):
        assert np.array_equal(np.isnan(get(a)).any(axis=0), np.arange(75) == 7)


def test_batchnorm_outside_training(gpu):
    x, params = randn(6, 50, 75), single(randn(150, seed=2))
    m = mc.bnmoments(75)
    m.mean, m.var = put(randn(75, seed=3)), put(single(np.abs(randn(75, seed=4)) + .5))
    near(mc.batchnorm(put(x)[1:, :, :], m, put(params), activation="tanh"),
         np.tanh(oracles.batchnorm(x[1:], get(m.mean), get(m.var), params)))
    assert gpu.kernels == ["affine", "each"]
    assert mc.batchnorm(put(x)[:0], m, put(params)).shape == (0, 50, 75)


def test_sums_repeat_bit_for_bit_whatever_runs_first():
    x, dy = randn(4000, 75), randn(4000, 75, seed=1)
    found = []
    for schedule in range(6):
        with pretended(Noted(schedule), (90, 5)):
            found.append([*batchnorm_gradients((x, randn(150)), dy, "tanh"), channel_sums(put(x))])
    for other in found[1:]:
        for a, b in zip(found[0], other):
            assert np.array_equal(CUDA_ON_CPU.get(a), CUDA_ON_CPU.get(b))


@pytest.mark.parametrize("schedule", [2, 5])
def test_check_mode_has_nothing_to_say(schedule):
    """No race, no access outside of an array or to one that begins elsewhere, no barrier missed."""
    with pretended(Noted(schedule, check=True), (90, 5)) as noted:
        w, g = put(randn(5001)), put(randn(5001, seed=1))
        for start in range(3):
            part = w[start:4700]
            for f in ACTIVATIONS:
                p = mc.Param(part)
                mc.diff(lambda f=f, p=p: mc.sum(f(p)))
            mc.dropout(part, 0.5, drop=True)
            for Opt in OPTIMIZERS:
                mc.update_(part, g[:4700 - start], Opt())
        for rows, channels in ((1100, 3), (131, 75), (5, 1025)):
            x = randn(rows, channels)
            batchnorm_gradients((x, randn(2 * channels)), x, "relu")
            channel_sums(put(x))
            affine(put(x), put(x[0]), put(x[1]))
    assert {"each", "masked", "update", "sum_whole", "moments_whole", "back_whole"} <= set(noted.kernels)


@each_shape
def test_grids_hold_no_idle_block(gpu, channels, rows):
    channel_sums(put(randn(rows, channels)))
    blocks, parts, _ = gpu.grids[0]
    assert 1 <= blocks <= rows and (parts == 1) == (channels <= 1024)
    assert gpu.grids[1] == (channels, 1, 1)


# ------------------------------------------------------------------ optimizers

each_optimizer = pytest.mark.parametrize("Opt", OPTIMIZERS, ids=lambda o: o.__name__)


def trained(Opt, w, gradients, **options):
    """w after updates by the formulas, in float64."""
    w, opt = w.copy(), Opt(**options)
    for g in gradients:
        mc.update_(w, g, opt)
    return w


@sizes
@each_optimizer
def test_optimizers(gpu, Opt, n):
    w, gradients = randn(n), [randn(n, seed=k) for k in range(1, 4)]
    for options in ({}, {"lr": .1, "l2": .1, "decay": .2, "gclip": 3}):
        a, opt = put(w), Opt(**options)
        for g in gradients:
            mc.update_(a, put(g), opt)
        near(a, trained(Opt, w, gradients, **options))
    assert gpu.kernels == ["update"] * 6


@each_optimizer
def test_optimizers_of_slices(gpu, Opt):
    """Contiguous ones by the kernel wherever they begin, others by the formula; nothing beside them changes."""
    w, gradients = randn(70, 50), [randn(70, 50, seed=k) for k in (1, 2)]
    for part, kernels in ((np.s_[3:60], 2), (np.s_[7, 1:], 2), (np.s_[:, 1:30:2], 0)):
        a, opt, expected = put(w), Opt(lr=.1), w.copy()
        expected[part] = trained(Opt, w[part], [g[part] for g in gradients], lr=.1)
        del gpu.kernels[:]
        for g in gradients:
            mc.update_(a[part], put(g)[part], opt)
        near(a, expected)
        assert gpu.kernels == ["update"] * kernels


@each_optimizer
def test_optimizers_show_nan_where_it_is(gpu, Opt):
    g = np.ones(1003)
    g[[5, 1001]] = np.nan
    w = mc.update_(put(np.ones(1003)), put(g), Opt())
    assert np.array_equal(np.isnan(get(w)), np.isnan(g)) and gpu.kernels == ["update"]


@each_optimizer
def test_nothing_to_update(gpu, Opt):
    assert mc.update_(put(np.zeros((0, 3))), put(np.zeros((0, 3))), Opt()).shape == (0, 3) and not gpu.kernels
