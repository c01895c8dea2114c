"""Arithmetic, functions of one array, reductions, shapes, matrix products."""
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes

import minicnn as mc

from ... import oracles
from ...grids import ELEMENTS
from ...tools import FLOAT64, check, close, distinct, gradients, positive, put, randn

PAIRS = [((2, 3), (2, 3)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 3), (1, 3)), ((2, 3), (2, 1)), ((2, 3), ()),
         ((), (2, 3)), ((), ()), ((0, 3), (3,)), ((0, 3), (1, 3)), ((2, 1, 4, 3), (4, 3)),
         ((2, 5, 7, 75), (75,)), ((1,), (4,))]
ARITHMETIC = [(mc.add, operator.add), (mc.sub, operator.sub), (mc.mul, operator.mul), (mc.div, operator.truediv)]


def loop_of_pairs(f):
    """f of Python floats for each pair of elements, the smaller array repeated by its index."""
    def oracle(a, b):
        shape = np.broadcast(a, b).shape
        a, b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
        return np.array([f(float(a[i]), float(b[i])) for i in np.ndindex(*shape)]).reshape(shape)
    return oracle


@pytest.mark.parametrize("shapes", PAIRS, ids=str)
@pytest.mark.parametrize("f, plain", ARITHMETIC, ids=lambda f: f.__name__)
def test_arithmetic(backend, f, plain, shapes):
    check(backend, f, loop_of_pairs(plain), randn(*shapes[0], seed=1), distinct(*shapes[1], seed=2))


@pytest.mark.parametrize("f, plain", ARITHMETIC, ids=lambda f: f.__name__)
def test_numbers_take_the_arrays_dtype(backend, f, plain):
    x = distinct(2, 3)
    for number in (2, 0.1, np.float64(0.1), np.float32(0.5), True):
        check(backend, lambda x, n=number: f(x, n), lambda x, n=number: plain(x, float(n)), x)
        check(backend, lambda x, n=number: f(n, x), lambda x, n=number: plain(float(n), x), x)


@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((2, 3), (3, 1)), ((4, 1), (1, 4)), ((2, 3), (4,))])
@pytest.mark.parametrize("f, plain", ARITHMETIC, ids=lambda f: f.__name__)
def test_two_sided_broadcasting_is_refused(f, plain, shapes):
    a, b = (np.ones(s) for s in shapes)
    for call in (lambda: f(a, b), lambda: f(mc.Param(a), b), lambda: plain(a, mc.Param(b))):
        with pytest.raises(ValueError) as e:
            call()
        assert all(str(s) in str(e.value) for s in shapes)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0))
def test_broadcasting_of_any_shapes(shapes):
    a, b = (randn(*s) for s in shapes.input_shapes)
    if shapes.result_shape in shapes.input_shapes:
        assert mc.mul(a, b).shape == shapes.result_shape
        assert [g.shape for g in gradients(FLOAT64, mc.mul, a, b)] == [a.shape, b.shape]
    else:
        with pytest.raises(ValueError, match="both would be broadcast"):
            mc.mul(a, b)


@pytest.mark.parametrize("n", [2, 3, 1, 0, -1, 0.5, -2, 2.5])
def test_pow(backend, n):
    check(backend, lambda x: mc.pow(x, n), lambda x: oracles.power(x, n), positive(3, 5))


def test_pow_of_negative_numbers_and_zero(backend):
    check(backend, lambda x: mc.pow(x, 3), lambda x: oracles.power(x, 3), distinct(3, 5))
    for n, g in ((0, 0.0), (1, 1.0), (2, 0.0)):
        got, = gradients(backend, lambda x, n=n: mc.sum(mc.pow(x, n)), np.zeros(2))
        close(backend, got, np.full(2, g))


@pytest.mark.parametrize("shape", ELEMENTS, ids=str)
@pytest.mark.parametrize("f, oracle, numbers", [
    (mc.exp, oracles.exp, distinct), (mc.log, oracles.log, positive), (mc.sqrt, oracles.sqrt, positive),
    (mc.abs, oracles.abs_, distinct), (mc.neg, oracles.neg, distinct)], ids=lambda f: getattr(f, "__name__", ""))
def test_functions_of_one_array(backend, f, oracle, numbers, shape):
    check(backend, f, oracle, numbers(*shape))


@pytest.mark.parametrize("low, high", [(-1, 1), (0, 0.5), (-3, 3), (-np.inf, 0.25)])
def test_clip(backend, low, high):
    check(backend, lambda x: mc.clip(x, low, high), lambda x: oracles.clip(x, low, high), distinct(4, 5))


def test_the_edges_of_log_sqrt_div(backend):
    """Infinities and NaN come without a warning."""
    x = put(backend, np.array([0.0, -1.0]))
    close(backend, mc.log(x), [-np.inf, np.nan])
    close(backend, mc.sqrt(x), [0, np.nan])
    close(backend, mc.div(x, x * 0), [np.nan, np.inf])
    close(backend, mc.exp(put(backend, np.array([1000.0, -1000.0]))), [np.inf, 0])


# ------------------------------------------------------------------ reductions

AXES = [((2, 3, 4), None), ((2, 3, 4), 0), ((2, 3, 4), -1), ((2, 3, 4), (0, 2)), ((2, 3, 4), (-1, 0, 1)),
        ((2, 3, 4), ()), ((), None), ((75,), 0), ((1, 1), 1), ((2, 5, 7, 3), (0, 1, 2))]


def reduced(f):
    """f of a list of numbers, over axes, by visiting each element."""
    def oracle(x, axis=None, keepdims=False):
        axes = range(x.ndim) if axis is None else [i % x.ndim for i in ((axis,) if isinstance(axis, int) else axis)]
        lists = {}
        for i in np.ndindex(*x.shape):
            lists.setdefault(tuple(0 if k in axes else v for k, v in enumerate(i)), []).append(float(x[i]))
        y = np.zeros([1 if k in axes else n for k, n in enumerate(x.shape)])
        for i, values in lists.items():
            y[i] = f(values)
        return y if keepdims else y.reshape([n for k, n in enumerate(x.shape) if k not in axes])
    return oracle


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("shape, axis", AXES, ids=str)
@pytest.mark.parametrize("f, plain", [(mc.sum, sum), (mc.mean, lambda v: sum(v) / len(v)), (mc.max, max)],
                         ids=["sum", "mean", "max"])
def test_reductions(backend, f, plain, shape, axis, keepdims):
    check(backend, f, reduced(plain), distinct(*shape), axis=axis, keepdims=keepdims)


def test_reductions_of_nothing(backend):
    x = put(backend, np.zeros((0, 3)))
    close(backend, mc.sum(x), 0.0)
    close(backend, mc.sum(x, axis=0), np.zeros(3))
    close(backend, mc.max(x, axis=1), np.zeros(0))
    for f in (mc.mean, mc.max):
        with pytest.raises(ValueError, match=r"of no elements: shape \(0, 3\), axis None"):
            f(x)


def test_equal_maxima_share_the_gradient(backend):
    g, = gradients(backend, lambda x: mc.max(x), np.array([1.0, 3.0, 3.0, 2.0]))
    close(backend, g, [0, 0.5, 0.5, 0])


def test_sums_do_not_lose_digits():
    """A million pixels of 0.1 in float32: adding one by one would be off in the third digit."""
    x = np.full((1000, 1001), 0.1, "float32")
    assert abs(float(mc.sum(x)) / (1001000 * float(np.float32(0.1))) - 1) < 1e-6
    assert abs(float(mc.mean(x, axis=0)[0]) / float(np.float32(0.1)) - 1) < 1e-6


# ------------------------------------------------------------------ shapes


def test_reshape_and_mat(backend):
    def refilled(shape):
        return lambda x: np.array([float(x[i]) for i in np.ndindex(*x.shape)]).reshape(shape)

    for old, new in (((2, 6), (3, 4)), ((2, 6), -1), ((2, 6), (3, -1)), ((0, 3), (3, 0)), ((1,), ())):
        check(backend, lambda x, new=new: mc.reshape(x, new), refilled(new), randn(*old))
    for dims, new in ((None, (2, 60)), (1, (2, 60)), (2, (6, 20)), (3, (24, 5))):
        check(backend, lambda x, dims=dims: mc.mat(x, dims), refilled(new), randn(2, 3, 4, 5))


@pytest.mark.parametrize("axes", [None, (0, 1, 2), (2, 0, 1), (2, 1, 0)])
def test_transpose(backend, axes):
    def oracle(x):
        order = (2, 1, 0) if axes is None else axes
        y = np.zeros([x.shape[a] for a in order])
        for i in np.ndindex(*x.shape):
            y[tuple(i[a] for a in order)] = x[i]
        return y
    check(backend, lambda x: mc.transpose(x, axes), oracle, randn(2, 3, 4))


@pytest.mark.parametrize("index", [
    0, -1, slice(1, None), (slice(None), slice(None, None, -1)), (Ellipsis, 0), (0, 1), None,
    (None, 1, Ellipsis, None), [0, 0, 1], (slice(None), np.array([2, 0, 2])), (np.array([0, 1]), np.array([2, 2])),
    np.array([True, False]),
    slice(5, 9), (1, 2)], ids=str)
def test_getitem(backend, index):
    check(backend, lambda x: mc.getitem(x, index), lambda x: np.array(x[index]), randn(2, 3))


@pytest.mark.parametrize("shapes, axis", [([(2, 3), (2, 1)], -1), ([(2, 3), (1, 3), (0, 3)], 0), ([(4,)], 0),
                                          ([(1, 2, 2, 75), (1, 2, 2, 2)], 3), ([(2, 3), (2, 3), (2, 3)], -2)])
def test_cat(backend, shapes, axis):
    def oracle(*xs):
        first = np.moveaxis(np.zeros(shapes[0]), axis, 0)
        rows = [row for x in xs for row in np.moveaxis(x, axis, 0)]
        return np.moveaxis(np.array(rows).reshape((len(rows),) + first.shape[1:]), 0, axis)
    check(backend, lambda *xs: mc.cat(*xs, axis=axis), oracle, *(randn(*s, seed=i) for i, s in enumerate(shapes)))


@pytest.mark.parametrize("width", [((1, 2), (0, 0)), ((0, 1), (3, 2)), ((-1, 0), (0, -2)), ((2, -1), (-1, 1)),
                                   ((0, 0), (0, 0))])
@pytest.mark.parametrize("fill", [0, -1.5])
def test_pad(backend, width, fill):
    def oracle(x):
        y = np.full([n + a + b for n, (a, b) in zip(x.shape, width)], float(fill))
        for i in np.ndindex(*x.shape):
            at = tuple(k + a for k, (a, _) in zip(i, width))
            if all(0 <= k < n for k, n in zip(at, y.shape)):
                y[at] = x[i]
        return y
    check(backend, lambda x: mc.pad(x, width, fill=fill), oracle, randn(3, 4))


# ------------------------------------------------------------------ matrix products


def product(a, b):
    """Sums of products, number by number."""
    a2, b2 = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    stack = np.broadcast(np.zeros(a2.shape[:-2]), np.zeros(b2.shape[:-2])).shape
    a2, b2 = np.broadcast_to(a2, stack + a2.shape[-2:]), np.broadcast_to(b2, stack + b2.shape[-2:])
    y = np.zeros(stack + (a2.shape[-2], b2.shape[-1]))
    for i in np.ndindex(*y.shape):
        y[i] = sum(float(a2[i[:-1] + (k,)]) * float(b2[i[:-2] + (k, i[-1])]) for k in range(a2.shape[-1]))
    return y[..., 0, :] if a.ndim == 1 and b.ndim > 1 else y[..., 0] if b.ndim == 1 and a.ndim > 1 else \
        y[..., 0, 0] if b.ndim == 1 else y


@pytest.mark.parametrize("shapes", [((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)),
                                    ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 1)), ((1, 2, 3), (5, 3, 2)),
                                    ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((1, 1), (1, 1)), ((2, 75), (75, 75)),
                                    ((4, 3), (5, 3, 2)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2))], ids=str)
def test_matmul(backend, shapes):
    check(backend, mc.matmul, product, randn(*shapes[0], seed=1), randn(*shapes[1], seed=2))


@pytest.mark.parametrize("shapes", [((2, 3), (4, 2)), ((3,), (2,)), ((), (2, 2)), ((2, 2), ()),
                                    ((2, 3, 3), (5, 3, 3))], ids=str)
def test_matmul_names_the_shapes_that_do_not_fit(shapes):
    with pytest.raises(ValueError) as e:
        mc.matmul(np.ones(shapes[0]), np.ones(shapes[1]))
    assert all(str(s) in str(e.value) for s in shapes)


# ------------------------------------------------------------------ operators of Param and Result


def test_python_operators_and_methods(backend):
    """The same numbers as NumPy, on both sides, and float32 stays float32."""
    a, b = randn(2, 3, seed=1), distinct(2, 3, seed=2)
    p, q = mc.Param(put(backend, a)), put(backend, b)
    for f in (lambda p, q: p + q, lambda p, q: q + p, lambda p, q: p - q, lambda p, q: q - p, lambda p, q: p * q,
              lambda p, q: q * p, lambda p, q: p / q, lambda p, q: q / p, lambda p, q: p @ q.T, lambda p, q: q @ p.T,
              lambda p, q: -p, lambda p, q: abs(p), lambda p, q: p ** 2, lambda p, q: p[1:], lambda p, q: p.sum(0),
              lambda p, q: p.mean(axis=1), lambda p, q: p.max(), lambda p, q: p.reshape(3, 2),
              lambda p, q: p.reshape((6,)), lambda p, q: p.reshape(-1), lambda p, q: p.transpose(1, 0),
              lambda p, q: p.transpose(), lambda p, q: p.T, lambda p, q: 2 - p, lambda p, q: p / 2,
              lambda p, q: 1 / (p * p + 1), lambda p, q: np.float64(2) * p):
        close(backend, f(p, q), f(a, b))
        tape = mc.diff(lambda f=f: mc.sum(f(p, q)))
        assert mc.grad(tape, p).dtype == backend.dtype


def test_comparisons_give_plain_arrays(backend):
    p = mc.Param(put(backend, np.array([1.0, 2.0])))
    for y in (p > 1, p >= 2, p < 2, p <= 1, p == 2, p != 1, 1 < p):
        assert type(y) is type(p.value) and y.dtype == bool
    assert list(backend.get(p > 1)) == [False, True]
    assert {p: 1}[p] == 1                               # still usable as a key


UFUNCS = [np.exp, np.log, np.sqrt, np.absolute, np.negative, np.square]


@pytest.mark.parametrize("f", UFUNCS, ids=lambda f: f.__name__)
def test_numpy_functions_of_tracked_arrays_are_recorded(backend, f):
    x = positive(2, 3)
    p = mc.Param(put(backend, x))
    close(backend, f(p), f(x))
    tape = mc.diff(lambda: mc.sum(f(p)))
    numeric = (f(x + 1e-6) - f(x - 1e-6)) / 2e-6
    assert np.allclose(backend.get(mc.grad(tape, p)), numeric, rtol=1e-5)


@pytest.mark.parametrize("f", [np.add, np.subtract, np.multiply, np.true_divide, np.matmul], ids=lambda f: f.__name__)
def test_numpy_functions_of_two_arrays_are_recorded(f):
    a, b = randn(3, 3, seed=1), distinct(3, 3, seed=2)
    assert mc.gradcheck(f, a, b)
    p = mc.Param(a)
    assert mc.grad(mc.diff(lambda: mc.sum(f(b, p))), p) is not None


def test_numpy_functions_that_the_tape_cannot_record_say_so():
    p = mc.Param(np.ones(3))
    for call in (lambda: np.sin(p), lambda: np.add.reduce(p), lambda: np.exp(p, out=np.ones(3))):
        with pytest.raises(TypeError, match="not recorded by the tape"):
            call()
    with pytest.raises(TypeError, match="lose its gradient"):
        mc.diff(lambda: mc.sum(np.asarray(p)))
    assert np.asarray(p).tolist() == [1, 1, 1]          # outside diff a Param is its array


@settings(max_examples=40, deadline=None, derandomize=True)
@given(array_shapes(min_dims=1, max_dims=4, max_side=4), st.data())
def test_reductions_of_any_shape(shape, data):
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1)
                     | st.sets(st.integers(0, len(shape) - 1)).map(tuple))
    x = distinct(*shape)
    for f, plain in ((mc.sum, sum), (mc.max, max)):
        close(FLOAT64, f(x, axis=axis), reduced(plain)(x, axis=axis))
        assert gradients(FLOAT64, f, x, axis=axis)[0].shape == shape
