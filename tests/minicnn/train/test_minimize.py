"""minimize and converge: the right steps, the right stops, the same numbers in every run."""
import gc
import math
import weakref

import numpy as np
import pytest

import minicnn as mc

NAMES = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam"]


def regression(n=64, seed=0):
    """A small net, its loss, and data that a linear map made."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 5)).astype("float32")
    y = x @ rng.standard_normal((5, 2)).astype("float32")
    net = [mc.param(5, 8), mc.param0(8), mc.param(8, 2)]

    def loss(x, y):
        return mc.mse(mc.tanh(x @ net[0] + net[1]) @ net[2], y)
    return net, loss, mc.minibatch(x, y, 16, shuffle=True)


@pytest.mark.parametrize("name", NAMES)
def test_training_reduces_the_loss_and_repeats_bit_for_bit(name):
    runs = []
    for _ in range(2):
        mc.seed(7)
        net, loss, data = regression()
        options = {"lr": .02} if name == "adam" else {}
        it = getattr(mc, name)(loss, mc.ncycle(data, 25), gclip=5, **options)
        assert len(it) == 100
        losses = [float(x) for x in it]
        assert len(losses) == 100 and np.mean(losses[-4:]) < .5 * np.mean(losses[:4])
        runs.append((losses, [p.value.copy() for p in net]))
    assert runs[0][0] == runs[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(runs[0][1], runs[1][1]))


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_minimize_with_that_optimizer(name):
    Opt = getattr(mc, {"sgd": "SGD"}.get(name, name.capitalize()))
    results = []
    for make in (lambda f, d: list(mc.minimize(f, d, Opt(lr=.02, l2=.1, decay=.1, gclip=2))),
                 lambda f, d: list(getattr(mc, name)(f, d, lr=.02, l2=.1, decay=.1, gclip=2)),
                 lambda f, d: getattr(mc, name + "_")(f, d, lr=.02, l2=.1, decay=.1, gclip=2)):
        mc.seed(3)
        net, loss, data = regression()
        losses = make(loss, mc.ncycle(data, 2))
        assert losses is None or len(losses) == 8
        results.append(net)
    for net in results[1:]:
        assert all(np.array_equal(p.value, q.value) for p, q in zip(net, results[0]))
    for form in (name, name + "_"):
        with pytest.raises(TypeError, match="learning_rate"):
            getattr(mc, form)(loss, data, learning_rate=.1)


def test_it_is_lazy():
    calls = []
    w = mc.Param(1.0)
    it = mc.minimize(lambda x: calls.append(x) or w * x, [1.0, 2.0, 3.0])
    assert calls == [] and len(it) == 3
    steps = iter(it)
    assert next(steps) == 1 and calls == [1]
    assert len(list(it)) == 3 and len(list(it)) == 3


@pytest.mark.parametrize("item, args", [((1.0, 2.0), (1.0, 2.0)), ([1.0, 2.0], (1.0, 2.0)), (3.0, (3.0,)), ((), ())])
def test_items_become_arguments(item, args):
    w, got = mc.Param(1.0), []
    mc.minimize_(lambda *a: got.append(a) or w * 1.0, [item])
    assert got == [args]


def test_it_gives_plain_losses_and_keeps_no_tape():
    net, loss, data = regression()
    value = next(iter(mc.adam(loss, data)))
    assert type(value) in (np.float32, np.ndarray) and np.shape(value) == ()
    big = []

    def watched(x, y):
        y = mc.mse(x @ net[0] @ net[2], y)
        big.append(weakref.ref(y))
        return y

    gc.disable()
    try:
        for _ in mc.adam(watched, data):
            assert big[-1]() is None
    finally:
        gc.enable()


def test_each_param_gets_a_clone_once_and_keeps_its_own():
    a, b, c = mc.Param(1.0), mc.Param(1.0, mc.SGD(lr=.5)), mc.Param(1.0)
    opt, own = mc.Adam(), b.opt
    mc.minimize_(lambda: a * b, [(), ()], opt)
    assert opt.t == 0 and a.opt is not opt and isinstance(a.opt, mc.Adam) and a.opt.t == 2
    assert b.opt is own and own.t == 2 and c.opt is None
    kept = a.opt
    mc.minimize_(lambda: a * b, [()], mc.SGD())
    assert a.opt is kept and kept.t == 3


def test_params_limits_what_is_trained():
    a, b = mc.Param(1.0), mc.Param(1.0)
    mc.sgd_(lambda: a * b, [()], params=[a])
    assert a.value != 1 and b.value == 1
    mc.sgd_(lambda: a * a, [()], params={"x": a, "unused": b})
    assert b.value == 1
    mc.freeze(a)
    before = float(a.value)
    mc.sgd_(lambda: a * b, [()])
    assert a.value == before and b.value != 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_update(bad):
    w = mc.Param(np.ones(2, "float32"))
    it = mc.sgd(lambda x: mc.sum(w * x), [1.0, 1.0, bad, 1.0], lr=.1)
    seen = []
    with pytest.raises(FloatingPointError, match=f"the loss is {bad} at step 2"):
        for loss in it:
            seen.append(float(loss))
            before = w.value.copy()
    assert len(seen) == 2 and np.array_equal(w.value, before) and w.opt.t == 2


@pytest.mark.parametrize("call, error, text", [
    (lambda f, d: mc.minimize(d, f), TypeError, "needs a function and data"),
    (lambda f, d: mc.minimize(f, 3), TypeError, "needs a function and data.*int"),
    (lambda f, d: mc.minimize(f, d, mc.Adam), TypeError, "needs an optimizer like Adam"),
    (lambda f, d: mc.adam(f, d, params=[]), ValueError, "found no Param in params="),
    (lambda f, d: mc.adam_(lambda x: 1.0, d), ValueError, "the loss depends on no Param"),
    (lambda f, d: mc.adam_(lambda x: mc.Param(np.ones(2)) * x, d), ValueError, r"scalar loss, got shape \(2,\)"),
    (lambda f, d: mc.converge(d, alpha=0), ValueError, "0 < alpha <= 1, got 0"),
])
def test_wrong_calls(call, error, text):
    with pytest.raises(error, match=text):
        call(lambda x: mc.Param(1.0) * x, [1.0, 2.0])


# ------------------------------------------------------------------ converge


def knets_rule(xs, alpha):
    """Knet's iterate(c::Converge), line by line."""
    avgx, avgp, out = math.inf, 0.0, []
    for x in xs:
        if avgx == math.inf:
            avgx = x
        p = x - avgx
        avgx = alpha * x + (1 - alpha) * avgx
        avgp = alpha * p + (1 - alpha) * avgp
        if avgp > 0.0:
            return out
        out.append(x)
    return out


@pytest.mark.parametrize("alpha", [.01, .1, .5, 1])
def test_converge_follows_knets_rule(alpha):
    rng, lengths = np.random.default_rng(0), set()
    for _ in range(50):
        xs = list(np.exp(-np.arange(200) / rng.uniform(1, 60)) + rng.uniform(0, .05) * rng.standard_normal(200))
        got = list(mc.converge(xs, alpha))
        assert got == knets_rule(xs, alpha)
        lengths.add(len(got))
    assert len(lengths) > 1
    assert list(mc.converge([])) == [] and list(mc.converge([1.0, 1.0, 1.0], alpha)) == [1.0] * 3


def test_converge_ends_training_on_endless_data():
    mc.seed(0)
    net, loss, data = regression()
    it = mc.converge(mc.sgd(loss, mc.cycle(data), lr=.05))
    losses = [float(x) for x in mc.take(it, 5000)]
    assert 5 < len(losses) < 5000 and not hasattr(it, "__len__")
    assert mc.converge_([3.0, 2.0]) is None
