"""Ten thousand wrong or strange calls: each gives a right answer, or one sentence in a ValueError or TypeError."""
import re
import warnings

import numpy as np
import pytest

import minicnn as mc

from .. import oracles
from ..tools import TOLERANCE, put, weighted

CALLS = 10000

# ------------------------------------------------------------------ good calls, to be spoiled


def images(rng, c=None):
    return rng.standard_normal((rng.integers(1, 3), rng.integers(2, 6), rng.integers(2, 6), c or rng.integers(1, 4)))


def kernel(rng, cin, cout):
    return rng.standard_normal((rng.integers(1, 3), rng.integers(1, 3), cin, cout))


def windows(rng):
    padding = [0, 1, (1, 0), ((0, 1), (1, 0)), "same"]
    return {"stride": int(rng.integers(1, 3)), "padding": padding[rng.integers(5)], "dilation": 1, "groups": 1,
            "flip": bool(rng.integers(2))}


def conv(rng):
    x, cout = images(rng), int(rng.integers(1, 4))
    return [kernel(rng, x.shape[3], cout), x, rng.standard_normal(cout)], windows(rng)


def conv_w(rng):
    (w, x, b), o = conv(rng)
    return [w, x, rng.standard_normal(oracles.conv4(w, x, b, **o).shape)], o


def deconv(rng):
    (w, x, _), o = conv(rng)
    w = kernel(rng, int(rng.integers(1, 4)), x.shape[3])
    o["padding"] = "same" if o["padding"] == "same" else 0
    return [w, x, rng.standard_normal(w.shape[2])], {**o, "output_padding": 0}


def pooled(rng):
    return [images(rng)], {"window": 2, "stride": int(rng.integers(1, 3)), "padding": int(rng.integers(2)),
                           "mode": ["max", "avg", "avg_valid"][rng.integers(3)]}


def unpooled(rng):
    return [images(rng)], {**pooled(rng)[1], "stride": 2, "padding": 0}


def upsampled(rng):
    return [images(rng)], {"scale": int(rng.integers(1, 4)), "mode": ["nearest", "bilinear"][rng.integers(2)]}


def array(rng):
    return np.asarray(rng.standard_normal(rng.integers(1, 5, rng.integers(0, 4))))


def one(rng):
    return [array(rng)], {}


def above_zero(rng):
    return [np.asarray(np.abs(array(rng)) + 0.1)], {}


def two(rng):
    a = array(rng)
    b = np.asarray(rng.standard_normal(a.shape[rng.integers(a.ndim + 1):]) + 3.0)
    return [a, b] if rng.integers(2) or a.ndim == b.ndim else [b, a], {}


def axes(rng):
    x = rng.standard_normal(rng.integers(1, 5, rng.integers(1, 4)))
    return [x], {"axis": [None, -1, 0][rng.integers(3)], "keepdims": bool(rng.integers(2))}


def reduced(f):
    def oracle(x, axis, keepdims):
        return f(x, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=bool(keepdims))
    return oracle


def one_axis(rng):
    (x,), o = axes(rng)
    return [x], {"axis": o["axis"]}


def norm(rng):
    x = rng.standard_normal((rng.integers(2, 5), rng.integers(2, 4), rng.integers(1, 4)))
    return [x, None, rng.standard_normal(2 * x.shape[-1])], {"training": True, "eps": 0.01}


def scored(rng):
    x = rng.standard_normal((rng.integers(1, 4), rng.integers(2, 4), rng.integers(4, 7)))
    return [x, rng.integers(-1, x.shape[-1], x.shape[:-1])], {}


def scored_with_weights(rng):
    (x, y), _ = scored(rng)
    return [x, y, np.abs(rng.standard_normal(x.shape[-1]))], {}


def scored_softly(rng):
    (x, _), _ = scored(rng)
    shape = x.shape[:-1] + (2,)
    return [x, (rng.integers(-1, x.shape[-1], shape), np.abs(rng.standard_normal(shape)))], {}


def some_label(rng):
    (x, y), _ = scored(rng)
    y[0, 0] = 1
    return [x, y], {}


def pair_of_arrays(rng):
    a = rng.standard_normal(rng.integers(1, 5, rng.integers(1, 4)))
    return [a, rng.standard_normal(a.shape)], {}


def signed(low):
    def make(rng):
        (a, _), _ = pair_of_arrays(rng)
        return [a, rng.integers(0, 2, a.shape) * (1 - low) + low], {}
    return make


def dropped(rng):
    return [array(rng)], {"p": 0.5, "drop": True, "seed": int(rng.integers(100))}


def dropout_oracle(x, *, p, drop, seed):
    keep = mc.dropout(np.ones(x.shape), p, drop=drop, seed=seed) > 0
    return np.where(keep, x / (1 - p), 0) if p and drop else x


def matrices(rng):
    n, k, m = rng.integers(1, 5, 3)
    return [rng.standard_normal((n, k)), rng.standard_normal((k, m))], {}


def reshaped(rng):
    x = rng.standard_normal(rng.integers(1, 5, rng.integers(1, 4)))
    return [x, [(x.size,), (x.size, 1), -1, (-1, 1)][rng.integers(4)]], {}


def permuted(rng):
    x = rng.standard_normal(rng.integers(1, 5, rng.integers(1, 4)))
    return [x, tuple(rng.permutation(x.ndim).tolist())], {}


def indexed(rng):
    x = rng.standard_normal(rng.integers(1, 5, rng.integers(1, 4)))
    return [x, [0, -1, slice(1, None), (Ellipsis, 0), None, np.array([0, 0])][rng.integers(6)]], {}


def several(rng):
    a = rng.standard_normal(rng.integers(1, 5, 3))
    return [a, rng.standard_normal(a.shape[:-1] + (2,)), a], {"axis": -1}


def framed(rng):
    x = rng.standard_normal(rng.integers(1, 5, rng.integers(1, 4)))
    return [x, tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (x.ndim, 2)))], {"fill": 0.5}


OPERATORS = {
    "conv4": (mc.conv4, oracles.conv4, conv), "conv4w": (mc.conv4w, oracles.conv4w, conv_w),
    "conv4x": (mc.conv4x, oracles.conv4x, conv_w), "deconv4": (mc.deconv4, oracles.deconv4, deconv),
    "pool": (mc.pool, oracles.pool, pooled), "unpool": (mc.unpool, oracles.unpool, unpooled),
    "upsample": (mc.upsample, oracles.upsample, upsampled),
    "batchnorm": (mc.batchnorm, lambda x, m, p, training, eps: oracles.batchnorm(x, m, None, p, eps), norm),
    "relu": (mc.relu, oracles.relu, one), "tanh": (mc.tanh, oracles.tanh, one), "sigm": (mc.sigm, oracles.sigm, one),
    "leaky_relu": (mc.leaky_relu, lambda x, slope: oracles.leaky_relu(x, slope=slope),
                   lambda r: ([array(r), 0.1], {})),
    "elu": (mc.elu, lambda x, alpha: oracles.elu(x, alpha=alpha), lambda r: ([array(r), 1.5], {})),
    "selu": (mc.selu, oracles.selu, one), "softplus": (mc.softplus, oracles.softplus, one),
    "softmax": (mc.softmax, oracles.softmax, one_axis), "logsoftmax": (mc.logsoftmax, oracles.logsoftmax, one_axis),
    "logsumexp": (mc.logsumexp, oracles.logsumexp, axes), "dropout": (mc.dropout, dropout_oracle, dropped),
    "nll": (mc.nll, oracles.nll, scored), "nll weights": (mc.nll, oracles.nll, scored_with_weights),
    "nll soft": (mc.nll, oracles.nll, scored_softly), "accuracy": (mc.accuracy, oracles.accuracy, some_label),
    "mse": (mc.mse, oracles.mse, pair_of_arrays), "bce": (mc.bce, oracles.bce, signed(0)),
    "huber": (mc.huber, oracles.huber, lambda r: (pair_of_arrays(r)[0] + [0.7], {})),
    "logistic": (mc.logistic, oracles.logistic, signed(-1)),
    "add": (mc.add, np.add, two), "sub": (mc.sub, np.subtract, two), "mul": (mc.mul, np.multiply, two),
    "div": (mc.div, np.true_divide, two), "neg": (mc.neg, oracles.neg, one), "abs": (mc.abs, oracles.abs_, one),
    "pow": (mc.pow, oracles.power, lambda r: (above_zero(r)[0] + [2.5], {})),
    "exp": (mc.exp, oracles.exp, one), "log": (mc.log, oracles.log, above_zero),
    "sqrt": (mc.sqrt, oracles.sqrt, above_zero),
    "clip": (mc.clip, oracles.clip, lambda r: ([array(r), -0.5, 0.5], {})),
    "sum": (mc.sum, reduced(np.sum), axes), "mean": (mc.mean, reduced(np.mean), axes),
    "max": (mc.max, reduced(np.max), axes),
    "reshape": (mc.reshape, np.reshape, reshaped), "transpose": (mc.transpose, np.transpose, permuted),
    "getitem": (mc.getitem, lambda x, index: x[index], indexed),
    "mat": (mc.mat, lambda x: x.reshape(x.shape[0], int(np.prod(x.shape[1:]))),
            lambda r: (pair_of_arrays(r)[0][:1], {})),
    "cat": (mc.cat, lambda *xs, axis: np.concatenate(xs, axis), several),
    "pad": (mc.pad, lambda x, width, fill: np.pad(x, width, constant_values=fill), framed),
    "matmul": (mc.matmul, np.matmul, matrices),
}

# ------------------------------------------------------------------ how to spoil one

NO_ARRAYS = [None, "text", [1.0, 2.0], [[1.0], [2.0, 3.0]], {}, 1j, (), object(), b"x", lambda: 0, [None], np]
BAD_OPTIONS = [-1, 0, None, "x", 1.5, (1,), (1, 2, 3), [], [2, 1], True, {}, (1, -1), ((1, 1), 2), 10 ** 30,
               np.int64(2), np.float32(0.5), np.array([1, 2]), float("nan"), ("a", "b"), 2, (1, 2), -2.5,
               np.array(1), object()]
WAYS = ["rank", "channels", "length", "dtype", "option", "option", "memory", "empty", "value", "no array"]
STRANGE_MEMORY = [lambda a: np.asfortranarray(a), lambda a: np.repeat(a, 2, -1)[..., ::2] if a.ndim else a,
                  lambda a: np.ascontiguousarray(a[::-1])[::-1] if a.ndim else a,
                  lambda a: np.broadcast_to(a[..., :1], a.shape) if a.ndim else a,
                  lambda a: np.frombuffer(b"\0" + a.tobytes(), "u1")[1:].view(a.dtype).reshape(a.shape)
                  if a.size and a.dtype.kind == "f" else a]
BAD_DTYPES = ["int8", "uint8", "int64", "bool", "float16", "complex64", "object", "U3", ">f4", ">f8", "longdouble",
              "M8[s]"]


def spoil(rng, args, kw):
    """Change one thing of a call; returns what was done and which argument or option it was."""
    arrays = [i for i, a in enumerate(args) if isinstance(a, np.ndarray)]
    if not arrays:
        return "nothing", None
    i = arrays[rng.integers(len(arrays))]
    a = args[i]
    what = WAYS[rng.integers(len(WAYS))]
    if what == "rank":
        args[i] = a[0] if a.size and a.ndim and rng.integers(2) else a[None] if rng.integers(2) else a[..., None]
    elif what == "channels":
        args[i] = np.stack([a, a]) if not a.ndim else np.repeat(a, 2, -1) if rng.integers(2) else a[..., 1:]
    elif what == "length":
        args[i] = np.repeat(a, 2, 0) if a.ndim else np.stack([a, a])
    elif what == "dtype":
        args[i] = a.astype(BAD_DTYPES[rng.integers(len(BAD_DTYPES))] if a.dtype.kind == "f" else "float32")
    elif what == "option":
        plain = list(kw) + [k for k, b in enumerate(args) if k not in arrays]
        if not plain:
            return spoil(rng, args, kw)
        i = plain[rng.integers(len(plain))]
        (kw if isinstance(i, str) else args)[i] = BAD_OPTIONS[rng.integers(len(BAD_OPTIONS))]
    elif what == "memory":
        args[i] = STRANGE_MEMORY[rng.integers(len(STRANGE_MEMORY))](a)
        args[i].flags.writeable = False
    elif what == "empty":
        args[i] = a[:0] if a.ndim and rng.integers(2) else a[..., :0] if a.ndim else np.zeros(0)
    elif what == "value" and a.dtype.kind == "f" and a.size:
        args[i] = np.array(a, order="C")
        args[i].reshape(-1)[rng.integers(a.size)] = [np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-40][rng.integers(6)]
    elif what == "no array":
        args[i] = NO_ARRAYS[rng.integers(len(NO_ARRAYS))]
    return what, i


def bad_call(name, seed):
    """(f, oracle, args, options, what was spoiled, where, does a tape listen) of one call."""
    rng = np.random.default_rng([seed, *name.encode()])
    f, oracle, make = OPERATORS[name]
    args, kw = make(rng)
    dtype = ["float32", "float64"][rng.integers(2)]
    args = [cast(a, dtype) for a in args]
    with warnings.catch_warnings():                 # of casts
        warnings.simplefilter("ignore")
        what, where = spoil(rng, args, kw)
        if rng.integers(4) == 0:
            what, where = ("two things", (where, spoil(rng, args, kw)))
    return f, oracle, args, kw, what, where, rng.integers(2)


def cast(a, dtype):
    if isinstance(a, tuple):
        return tuple(cast(b, dtype) for b in a)
    return a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a


# ------------------------------------------------------------------ what must come out


def run(f, args, kw, taped):
    """The value, as f gives it to the user; with a tape its gradients are taken too."""
    if not taped:
        return f(*args, **kw)
    args = [mc.Param(a) if isinstance(a, np.ndarray) and a.dtype in ("float32", "float64") else a for a in args]
    out = []

    def loss():
        y = f(*args, **kw)
        out.append(mc.value(y))
        return weighted(y) if getattr(y, "dtype", np.dtype(int)).kind == "f" else 0.0
    tape = mc.diff(loss)
    for p in mc.params(tape):
        g = mc.grad(tape, p)
        assert g is None or (g.shape, g.dtype) == (p.shape, p.dtype)
    return out[0]


def judge(name, seed):
    """None if the call ended well, else what is wrong with it."""
    f, oracle, args, kw, what, where, taped = bad_call(name, seed)
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    try:
        y = run(f, args, kw, taped)
    except (ValueError, TypeError) as e:
        return bad_message(str(e), args, what, where)
    except Exception as e:                  # of these only one is right: Python's loops end with IndexError
        return None if name == "getitem" and isinstance(e, IndexError) else f"{type(e).__name__}: {e}"
    if any(isinstance(a, np.ndarray) and a.tobytes() != b.tobytes() for a, b in zip(args, before)):
        return "an argument was overwritten"
    return wrong_value(y, oracle, args, kw)


def bad_message(text, args, what, where):
    if "\n" in text or not 10 < len(text) < 400:
        return f"not one sentence: {text!r}"
    if what in ("rank", "channels", "length", "empty") and isinstance(where, int):
        arrays = [a for a in args if isinstance(a, np.ndarray)]
        if str(args[where].shape) not in text and "pixels does not fit" not in text:
            return f"the shape {args[where].shape} is not named: {text!r}"
        if len(arrays) > 1 and args[where].size and len(re.findall(r"\(\d[\d, ]*\)|\(\)|\d x \d", text)) < 2:
            return f"only one shape is named: {text!r}"
    return None


def wrong_value(y, oracle, args, kw):
    if None in (kw.get("seed", 0), kw.get("drop", 0)):      # dropout as it likes
        return None
    doubles = [a.astype("float64") if isinstance(a, np.ndarray) and a.dtype.kind == "f" else
               np.float64(a) if isinstance(a, np.floating) else a for a in args]
    given = [a for a in doubles if isinstance(a, (np.ndarray, np.generic)) and a.dtype.kind == "f"]
    if not all(((np.abs(a) < 1e20) & ((a == 0) | (np.abs(a) > 1e-20))).all() for a in given):
        lost = any(np.isnan(a).any() for a in given) and np.size(y) and not np.isnan(y).any()
        return "NaN was lost" if lost and not hides_nan(oracle) else None
    try:
        with np.errstate(all="ignore"):
            expected = np.asarray(oracle(*doubles, **kw)).astype(y.dtype).astype("float64")
    except Exception as e:                  # whatever the loops do not take should have been refused
        return f"accepted, but the oracle says {type(e).__name__}: {e}"
    y = np.asarray(y)
    if y.shape != expected.shape:
        return f"shape {y.shape}, expected {expected.shape}"
    tolerance = TOLERANCE.get(str(y.dtype), 1e-9)
    size = max([1.0, *np.abs(expected[np.isfinite(expected)])])
    with np.errstate(invalid="ignore"):
        right = (y == expected) | (np.isnan(y) & np.isnan(expected)) | (np.abs(y - expected) <= tolerance * size)
    if not right.all():
        return f"got {y.ravel()[:5]}, expected {expected.ravel()[:5]}"
    return None


def hides_nan(oracle):
    """These leave elements out: NaN among them is not lost, it was not asked for."""
    return oracle in (dropout_oracle, oracles.nll, oracles.accuracy) + tuple(
        OPERATORS[name][1] for name in ("getitem", "pad", "conv4", "conv4w", "conv4x", "pool"))


@pytest.mark.parametrize("name", OPERATORS)
def test_bad_calls(name):
    count = -(-CALLS // len(OPERATORS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrong = [(seed, w) for seed, w in ((seed, judge(name, seed)) for seed in range(count)) if w]
    for seed, w in wrong[:10]:
        _, _, args, kw, what, where, _ = bad_call(name, seed)
        shown = [f"{a.dtype}{a.shape}" if isinstance(a, np.ndarray) else repr(a) for a in args]
        print(f"{name}({', '.join(shown)}, {kw}) [{what} of {where}, seed {seed}]: {w}")
    assert not wrong, f"{len(wrong)} of {count} calls"


# ------------------------------------------------------------------ NaN in, NaN out

LINEAR = [                      # in their first argument
    "conv4", "conv4w", "conv4x", "deconv4", "add", "sub", "neg", "sum", "mean", "reshape", "transpose", "getitem",
    "mat", "cat", "pad", "matmul", "upsample", "unpool", "pool", "dropout", "mul", "div"]


def good_call(name, backend):
    """(f, arguments of the backend, options) that leave no pixel out."""
    f, _, make = OPERATORS[name]
    args, kw = make(np.random.default_rng(5))
    kw.update({k: v for k, v in (("stride", 1), ("padding", 0)) if k in kw and name != "unpool"})
    if name in ("conv4w", "conv4x"):
        args[2] = np.ones(oracles.conv4(args[0], args[1], **kw).shape)
    if name.startswith("nll"):
        args[1] = tuple(np.abs(a) for a in args[1]) if name == "nll soft" else np.abs(args[1])
    if name == "getitem":
        args[1] = Ellipsis
    return f, [put(backend, a) for a in args], kw


def with_nan(backend, a, everywhere=False):
    a = np.array(backend.get(a), "float64")
    a.reshape(-1)[slice(None) if everywhere else 0] = np.nan
    return put(backend, a)


def floats(args):
    return [i for i, a in enumerate(args) if getattr(getattr(a, "dtype", None), "kind", "") == "f"]


@pytest.mark.parametrize("name", [n for n in OPERATORS if n != "accuracy"])     # a share of hits is never NaN
def test_nan_in_nan_out(backend, name):
    """One NaN in any array shows in the output, and NaN coming back shows in every gradient."""
    f, args, kw = good_call(name, backend)
    needed = [i for i in floats(args) if (name, i) not in (("conv4w", 0), ("conv4x", 1))]      # these give a shape
    for i in needed:
        spoiled = [with_nan(backend, a, everywhere=name == "dropout") if i == k else a for k, a in enumerate(args)]
        assert np.isnan(backend.get(mc.value(f(*spoiled, **kw)))).any(), f"argument {i}"
    if name.startswith("nll"):                              # weights are constants
        needed = [0]
    boxed = [mc.Param(a) if i in needed else a for i, a in enumerate(args)]
    tape = mc.diff(lambda: mc.sum(f(*boxed, **kw) * float("nan")))
    for p in (a for a in boxed if isinstance(a, mc.Param)):
        assert np.isnan(backend.get(mc.grad(tape, p))).any()


@pytest.mark.parametrize("name", [n for n in OPERATORS if n not in LINEAR + ["accuracy"]])
def test_nan_stays_in_the_gradient(backend, name):
    """Where the gradient depends on x, it is NaN where x is: no operator turns NaN into a harmless 0."""
    f, args, kw = good_call(name, backend)
    p = mc.Param(with_nan(backend, args[0]))
    tape = mc.diff(lambda: mc.sum(f(p, *args[1:], **kw)))
    assert np.isnan(backend.get(mc.grad(tape, p)).reshape(-1)[0])


def test_most_calls_are_bad_and_some_are_good():
    """The fuzzer is worth something only if it reaches both ends."""
    refused = 0
    for seed in range(200):
        f, _, args, kw, _, _, taped = bad_call("conv4", seed)
        try:
            run(f, args, kw, taped)
        except (ValueError, TypeError):
            refused += 1
    assert 40 < refused < 180
