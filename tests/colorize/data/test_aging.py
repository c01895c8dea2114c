"""Photos made old: what is promised of all of them, and what each kind of damage does."""
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from colorize.data import aging
from colorize.data.aging import aged

DAMAGES = [f for name, f in sorted(vars(aging).items()) if name.startswith("_") and callable(f) and name != "_old"
           and getattr(f, "__module__", "") == aging.__name__]


def photos(n=40, size=(24, 30)):
    """Smooth photos that use the whole range."""
    L = gaussian_filter(np.random.default_rng(0).uniform(0, 100, (n, *size)), (0, 2, 2))
    L -= L.min(axis=(1, 2), keepdims=True)
    return (100 * L / L.max(axis=(1, 2), keepdims=True)).astype("float32")[..., None]


def test_some_photos_age_and_the_rest_stay():
    L = photos()
    before = L.copy()
    old = aged(L, 0.5, np.random.default_rng(1))
    changed = np.array([not np.array_equal(a, b) for a, b in zip(old, L)])
    assert 8 < changed.sum() < 32 and np.array_equal(L, before) and old is not L
    assert old.shape == L.shape and old.dtype == "float32" and old.min() >= 0 and old.max() <= 100
    assert np.array_equal(aged(L, 0.0, np.random.default_rng(1)), L)
    assert sum(np.array_equal(a, b) for a, b in zip(aged(L, 1.0, np.random.default_rng(1)), L)) <= 2


def test_the_same_numbers_age_alike():
    L = photos(6)
    assert np.array_equal(aged(L, 0.7, np.random.default_rng(5)), aged(L, 0.7, np.random.default_rng(5)))
    assert not np.array_equal(aged(L, 0.7, np.random.default_rng(5)), aged(L, 0.7, np.random.default_rng(6)))


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (9, 1), (65, 33)], ids=str)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_any_size(damage, size):
    for seed in range(6):
        L = photos(1, (16, 16))[0, :1, :1, 0] if size == (1, 1) else np.resize(photos(1)[0, ..., 0], size)
        old = np.asarray(damage(L.copy(), np.random.default_rng(seed)))
        assert old.shape == size and np.isfinite(old).all()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_a_damaged_photo_is_still_that_photo(damage):
    L = photos(1, (64, 64))[0, ..., 0]
    for seed in range(10):
        old = np.asarray(damage(L.copy(), np.random.default_rng(seed))).clip(0, 100)
        assert not np.array_equal(old, L)
        assert np.corrcoef(old.ravel(), L.ravel())[0, 1] > 0.75


def test_fading_is_a_straight_line_and_blur_makes_smoother():
    L = photos(1)[0, ..., 0]
    for seed in range(20):
        faded = aging._faded(L, np.random.default_rng(seed))
        slope, lift = np.polyfit(L.ravel(), faded.ravel(), 1)
        assert 0.35 <= slope <= 1 and np.abs(slope * L + lift - faded).max() < 1e-3
        assert faded.min() >= 0 and faded.max() <= 100 + 1e-4
        assert aging._blurred(L, np.random.default_rng(seed)).std() < L.std()
