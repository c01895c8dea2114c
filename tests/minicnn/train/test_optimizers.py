"""Each optimizer against PyTorch's, or against its formula in float64 where PyTorch's differs."""
import inspect
import math

import numpy as np
import pytest

import minicnn as mc

from ...tools import FLOAT64, need

OPTIMIZERS = [mc.SGD, mc.Momentum, mc.Nesterov, mc.Adagrad, mc.Rmsprop, mc.Adadelta, mc.Adam]
DEFAULTS = {"SGD": {"lr": .1}, "Momentum": {"lr": .05, "gamma": .95}, "Nesterov": {"lr": .05, "gamma": .95},
            "Adagrad": {"lr": .05, "eps": 1e-6}, "Rmsprop": {"lr": .01, "rho": .9, "eps": 1e-6},
            "Adadelta": {"lr": 1.0, "rho": .9, "eps": 1e-6},
            "Adam": {"lr": .001, "beta1": .9, "beta2": .999, "eps": 1e-8}}

every = pytest.mark.parametrize("Opt", OPTIMIZERS, ids=lambda o: o.__name__)


def steps(n=12, shape=(3, 5), seed=0):
    """(first weights, n gradients)"""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape), rng.standard_normal((n,) + shape)


def run(opt, w, gradients, backend=FLOAT64):
    """w after an update for each gradient, computed by a backend; NumPy's."""
    w = backend.put(w)
    for g in gradients:
        assert mc.update_(w, backend.put(g), opt) is w
    assert w.dtype == backend.dtype
    return backend.get(w)


def near(backend, got, expected):
    tolerance = {"rtol": 1e-11, "atol": 1e-13} if backend is FLOAT64 else {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(got, expected, **tolerance)


def torch_run(make, w, gradients):
    torch = need("torch")
    p = torch.nn.Parameter(torch.tensor(w))
    opt = make(torch.optim, [p])
    for g in gradients:
        p.grad = torch.tensor(g)
        opt.step()
    return p.detach().numpy()


PAIRS = [
    (mc.SGD(), lambda t, p: t.SGD(p, lr=.1)),
    (mc.SGD(lr=.02, l2=.1), lambda t, p: t.SGD(p, lr=.02, weight_decay=.1)),
    (mc.Momentum(), lambda t, p: t.SGD(p, lr=.05, momentum=.95)),
    (mc.Momentum(gamma=.5, l2=.1), lambda t, p: t.SGD(p, lr=.05, momentum=.5, weight_decay=.1)),
    (mc.Nesterov(), lambda t, p: t.SGD(p, lr=.05, momentum=.95, nesterov=True)),
    (mc.Adadelta(), lambda t, p: t.Adadelta(p, lr=1.0, rho=.9, eps=1e-6)),
    (mc.Adadelta(l2=.3, lr=.5), lambda t, p: t.Adadelta(p, lr=.5, weight_decay=.3)),
    (mc.Adam(), lambda t, p: t.Adam(p, lr=.001)),
    (mc.Adam(lr=.1, beta1=.8, beta2=.9, eps=1e-3, l2=.1),
     lambda t, p: t.Adam(p, lr=.1, betas=(.8, .9), eps=1e-3, weight_decay=.1)),
    (mc.Adam(lr=.1, decay=.2), lambda t, p: t.AdamW(p, lr=.1, weight_decay=.2)),
]


@pytest.mark.parametrize("opt, make", PAIRS, ids=lambda x: repr(x) if not inspect.isfunction(x) else "torch")
def test_like_pytorch(backend, opt, make):
    w, gradients = steps()
    near(backend, run(mc.clone(opt), w, gradients, backend), torch_run(make, w, gradients))


@pytest.mark.parametrize("opt", [mc.Adagrad(lr=.2, eps=1e-2), mc.Rmsprop(lr=.2, rho=.7, eps=1e-2)], ids=repr)
def test_adagrad_and_rmsprop_have_eps_under_the_root(backend, opt):
    w, gradients = steps()
    expected = w.copy()
    for i in np.ndindex(w.shape):
        G = 0.0
        for g in gradients[(slice(None),) + i]:
            G = G + g * g if isinstance(opt, mc.Adagrad) else .7 * G + .3 * g * g
            expected[i] -= .2 * g / math.sqrt(G + 1e-2)
    near(backend, run(mc.clone(opt), w, gradients, backend), expected)


@every
def test_defaults_are_knets(Opt):
    given = inspect.signature(Opt).parameters
    assert {k: p.default for k, p in given.items()} == {**DEFAULTS[Opt.__name__], "gclip": 0, "l2": 0, "decay": 0}
    function = inspect.signature(getattr(mc, Opt.__name__.lower())).parameters
    assert {k: p.default for k, p in function.items() if k not in ("f", "data", "params")} == \
        {k: p.default for k, p in given.items()}


@every
@pytest.mark.parametrize("shape", [(), (1,), (4, 3), (0, 2)])
def test_the_dtype_stays_and_the_gradient_is_left_alone(backend, Opt, shape):
    w, gradients = steps(3, shape)
    options = {"gclip": np.float64(1.0), "l2": np.float64(.1), "decay": .1, "lr": lambda t: np.float64(.1)}
    opt, p = Opt(**options), mc.Param(backend.put(w))
    array = p.value
    for g in gradients:
        g = backend.put(np.asarray(g))
        before = backend.get(g).copy()
        assert mc.update_(p, g, opt) is p
        assert np.array_equal(backend.get(g), before)
    assert p.value is array and array.dtype == backend.dtype
    near(backend, backend.get(array), run(Opt(**options), w, gradients))
    state = opt.state()
    assert state.pop("t") == 3 and len(state) == len(Opt.arrays)
    assert all(s.dtype == backend.dtype and s.shape == shape for s in state.values())


@every
def test_a_numpy_scalar_can_be_trained(Opt):
    p = mc.Param(np.float32(1))
    mc.update_(p, np.float32(1), Opt())
    assert p.dtype == "float32" and p.value != 1


@every
def test_views_are_updated_in_place(backend, Opt):
    w, gradients = steps(2, (6, 4))
    base = np.zeros((6, 8))
    base[:, ::2] = w
    whole, opt = backend.put(base), Opt()
    for g in gradients:
        mc.update_(whole[:, ::2], backend.put(g), opt)
    whole = backend.get(whole)
    near(backend, whole[:, ::2], run(Opt(), w, gradients))
    assert not whole[:, 1::2].any()


def test_gclip_is_the_norm_of_one_gradient():
    g = np.array([3.0, 4.0])
    assert mc.update_(np.zeros(2), g, mc.SGD(lr=1, gclip=10)).tolist() == [-3, -4]
    np.testing.assert_allclose(mc.update_(np.zeros(2), g, mc.SGD(lr=1, gclip=1)), [-.6, -.8])
    np.testing.assert_allclose(mc.update_(np.zeros(2), g.astype("f8"), mc.SGD(lr=1, gclip=1, l2=5)), [-.6, -.8])
    big = np.full(4, 1e30, "float32")                   # its square overflows in float32
    np.testing.assert_allclose(mc.update_(np.zeros(4, "f4"), big, mc.SGD(lr=1, gclip=2)), [-1] * 4, rtol=1e-6)
    assert np.isnan(mc.update_(np.zeros(2), np.array([np.nan, 1]), mc.SGD(gclip=1)))[0]


@every
def test_decay_shrinks_w_apart_from_the_gradient(Opt):
    w = np.array([2.0, -1.0])
    plain, decayed = (mc.update_(w.copy(), np.ones(2), Opt(lr=.5, decay=d)) for d in (0, .1))
    np.testing.assert_allclose(plain - decayed, .5 * .1 * w, rtol=1e-12)


def test_lr_may_be_a_function_of_the_step():
    seen = []
    opt = mc.SGD(lr=lambda t: seen.append(t) or 1 / (t + 1))
    w = run(opt, np.zeros(1), np.ones((3, 1)))
    assert seen == [0, 1, 2] and w == pytest.approx(-(1 + 1 / 2 + 1 / 3))
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="the function lr of SGD gave .* for step 0"):
            mc.update_(np.zeros(1), np.ones(1), mc.SGD(lr=lambda t, bad=bad: bad))


@every
def test_state_goes_out_and_in(Opt):
    w, gradients = steps(6)
    first = Opt()
    assert first.state() == {"t": 0}
    whole, half = run(Opt(), w, gradients), run(first, w, gradients[:3])
    second = mc.clone(first)
    assert second.state() == {"t": 0} and repr(second) == repr(first)
    second.restore(first.state())
    assert np.array_equal(run(second, half, gradients[3:]), whole)
    with pytest.raises(ValueError, match="needs a state of"):
        second.restore({"t": 1, "other": np.zeros(2)})


@pytest.mark.parametrize("make, text", [
    (lambda: mc.SGD(lr=0), "SGD got lr=0: expected a finite number > 0 or a function of the step"),
    (lambda: mc.SGD(lr="fast"), "SGD got lr='fast'"),
    (lambda: mc.SGD(lr=float("nan")), "SGD got lr=nan"),
    (lambda: mc.SGD(lr=True), "SGD got lr=True"),
    (lambda: mc.Adam(beta1=1), "Adam got beta1=1: expected a finite number >= 0 and < 1"),
    (lambda: mc.Adam(eps=0), "Adam got eps=0"),
    (lambda: mc.Momentum(gamma=-.1), "Momentum got gamma=-0.1"),
    (lambda: mc.Rmsprop(rho=2), "Rmsprop got rho=2"),
    (lambda: mc.Adagrad(gclip=-1), "Adagrad got gclip=-1"),
    (lambda: mc.Adadelta(decay=float("inf")), "Adadelta got decay=inf"),
    (lambda: mc.update_(np.zeros(2), np.zeros(3), mc.SGD()), r"float64 \(2,\) .* float64 \(3,\).*must be equal"),
    (lambda: mc.update_(np.zeros(2), np.zeros(2, "f4"), mc.SGD()), "float64 .* float32"),
    (lambda: mc.update_(np.broadcast_to(1.0, (2,)), np.zeros(2)), "read-only"),
])
def test_wrong_values(make, text):
    with pytest.raises(ValueError, match=text) as e:
        make()
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("make, text", [
    (lambda: mc.Adam(1e-3), "positional"),
    (lambda: mc.Adam(momentum=.9), "momentum"),
    (lambda: mc.update_(np.zeros(2), np.zeros(2), mc.Adam), "needs an optimizer like Adam"),
    (lambda: mc.update_([0.0], np.zeros(1)), "needs a Param or a floating-point array"),
    (lambda: mc.update_(np.zeros(1), 1.0), "needs a Param or a floating-point array"),
    (lambda: mc.update_(np.zeros(1, int), np.zeros(1, int)), "needs a Param or a floating-point array"),
    (lambda: mc.clone("adam"), "clone needs an optimizer"),
])
def test_wrong_types(make, text):
    with pytest.raises(TypeError, match=text):
        make()


def test_one_optimizer_for_two_arrays_is_noticed():
    opt = mc.Adam()
    mc.update_(np.zeros(2), np.ones(2), opt)
    with pytest.raises(ValueError, match="give each array an optimizer of its own"):
        mc.update_(np.zeros(3), np.ones(3), opt)


def test_which_optimizer_update_takes():
    p = mc.Param(np.zeros(1))
    mc.update_(p, np.ones(1))                           # Knet's default
    assert p.value.tolist() == [-.1] and p.opt is None
    p.opt = mc.SGD(lr=1)
    mc.update_(p, np.ones(1))
    assert p.value.tolist() == [-1.1] and p.opt.t == 1
    mc.update_(p, None)
    assert p.value.tolist() == [-1.1] and p.opt.t == 1
    with pytest.raises(TypeError, match="overwritten inside diff"):
        mc.diff(lambda: mc.sum(mc.update_(p, np.ones(1))))


def test_a_copy_of_a_model_copies_its_optimizers():
    p = mc.Param(np.zeros(2), mc.Adam())
    mc.update_(p, np.ones(2))
    q = mc.cpucopy([p])[0]
    mc.update_(q, np.ones(2))
    assert p.opt.t == 1 and q.opt.t == 2 and not np.shares_memory(p.opt.m, q.opt.m)
    mc.update_(p, np.ones(2))
    assert np.array_equal(p.value, q.value)


def test_schedules():
    rate = mc.schedules.cosine(2.0, steps=110, warmup=10)
    assert [rate(t) for t in range(10)] == pytest.approx([.2 * (t + 1) for t in range(10)])
    assert [rate(t) for t in (10, 60, 110, 500)] == pytest.approx([2, 1, 0, 0])
    rate = mc.schedules.steps(1.0, (4, 2), factor=.1)
    assert [rate(t) for t in range(6)] == pytest.approx([1, 1, .1, .1, .01, .01])
    assert mc.schedules.exponential(3.0, .5)(2) == .75
    with pytest.raises(ValueError, match="warmup < steps"):
        mc.schedules.cosine(1.0, steps=5, warmup=5)
    run(mc.Adam(lr=mc.schedules.cosine(1.0, 2)), np.zeros(1), np.ones((5, 1)))      # goes on at lr 0
