"""The tests' own tools: what compares must be able to say no."""
import numpy as np
import pytest

from . import oracles
from .tools import CUDA_ON_CPU, FLOAT32, FLOAT64, check, close, distinct, need, positive


def test_need_skips_and_says_why(monkeypatch):
    monkeypatch.delenv("REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no_such_module cannot be imported"):
        need("no_such_module")
    assert need("math").pi > 3


def test_need_fails_where_the_variable_lists_it(monkeypatch):
    monkeypatch.setenv("REQUIRE", "torch,no_such_module")
    with pytest.raises(pytest.fail.Exception, match="REQUIRE lists no_such_module"):
        need("no_such_module")
    monkeypatch.setenv("REQUIRE", "torch")
    with pytest.raises(pytest.skip.Exception):
        need("no_such_module")


@pytest.mark.parametrize("got", [[1.0, 2.001], [1.0, np.nan], [1.0, np.inf], [1.0], [[1.0, 2.0]]])
def test_close_says_no(got):
    for backend in (FLOAT32, FLOAT64, CUDA_ON_CPU):
        close(backend, np.array([1, 2], backend.dtype), [1.0, 2.0])
        with pytest.raises(AssertionError):
            close(backend, np.array(got, backend.dtype), [1.0, 2.0])
    with pytest.raises(AssertionError, match="is float32"):
        close(FLOAT64, np.ones(2, "float32"), [1.0, 1.0])


def test_check_says_no_to_a_wrong_value_and_to_an_overwritten_argument():
    x = positive(3)

    def overwrites(x):
        x *= 2
        return x
    with pytest.raises(AssertionError, match="output is off"):
        check(FLOAT64, lambda x: x * 1.001, lambda x: x * 1.0, x)
    with pytest.raises(AssertionError, match="overwritten"):
        check(FLOAT64._replace(put=np.copy), overwrites, lambda x: x * 2, x)


def test_numbers_for_kinks_are_apart():
    for n in (1, 2, 7, 20, 75):
        x = np.sort(np.append(distinct(n), 0))
        assert np.diff(x).min() > 1e-2 and x[0] < 0 and np.array_equal(distinct(n), distinct(n).astype("float32"))


def test_the_oracles_sides_of_same():
    """TensorFlow: 5 pixels, window 3, stride 2: one before, one after; 6 pixels: none before, one after."""
    assert oracles.four_sides("same", (5, 6), (3, 3), (2, 2), (1, 1)) == ((1, 1), (0, 1))
    assert oracles.four_sides("same", (5, 6), (2, 5), (1, 1), (1, 2)) == ((0, 1), (4, 4))
