"""Random draws that depend on nothing but their key; windows of the changes."""
import numpy as np
import pytest

from colorize.data.augment import DRAWS, TENFOLD, Augment, draws


def splitmix64(x):
    x = (x + 0x9E3779B97F4A7C15) % 2 ** 64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2 ** 64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2 ** 64
    return x ^ (x >> 31)


def test_the_hash_is_splitmix64():
    assert splitmix64(0) == 0xE220A8397B1DCDAF              # the published generator's first number for seed 0
    seed, epoch, place = 3, 5, 1000
    key = splitmix64((splitmix64((splitmix64(seed) + epoch) % 2 ** 64) + place) % 2 ** 64)
    expected = [(splitmix64((key + 0x9E3779B97F4A7C15 * i) % 2 ** 64) >> 11) / 2 ** 53 for i in (1, 2, 3)]
    assert draws(seed, epoch, [place], 3)[0].tolist() == expected


def test_draws_are_uniform_and_independent():
    u = draws(1, 0, np.arange(20000), 4)
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean(axis=0) - 0.5).max() < 0.01 and abs(u.var(axis=0) - 1 / 12).max() < 0.003
    others = [draws(2, 0, np.arange(20000), 4), draws(1, 1, np.arange(20000), 4), u[::-1], np.roll(u, 1, axis=1)]
    assert all(abs(np.corrcoef(u[:, 0], v[:, 0])[0, 1]) < 0.03 for v in others)


def test_draws_do_not_depend_on_what_else_is_drawn():
    u = draws(7, 3, np.arange(10), 6)
    assert np.array_equal(draws(7, 3, [4, 9], 6), u[[4, 9]]) and np.array_equal(draws(7, 3, [4], 2), u[4:5, :2])


def test_windows_stay_inside_and_have_the_asked_sides():
    u = draws(0, 0, np.arange(500), DRAWS)
    change = Augment(flip=0.3, scale=0.6, vshift=0.25, hshift=0.1)
    windows, mirrored = zip(*(change.window(0, row) for row in u))
    left, top, right, bottom = np.array(windows).T
    assert min(left.min(), top.min()) >= 0 and max(right.max(), bottom.max()) <= 1 + 1e-12
    assert 0.24 < np.mean(mirrored) < 0.36
    assert 0.6 * 0.9 <= (right - left).min() < 0.62 and 0.97 < (right - left).max() <= 1
    assert 0.6 * 0.75 <= (bottom - top).min() < 0.6 and np.corrcoef(left, top)[0, 1] < 0.9
    assert left.max() > 0.25 and (1 - right).max() > 0.25           # anywhere, not only in the middle


def test_tenfold_is_the_programs_list():
    assert TENFOLD.copies == 10
    u = np.array([0.9, 0.0, 0.5, 0.5, 0.75, 0.25])          # mirrored by none but flip=1; sides 0.6, in the middle
    got = [TENFOLD.window(copy, u) for copy in range(10)]
    whole, scaled = (0, 0, 1, 1), (0.2, 0.2, 0.8, 0.8)
    down, across = (0.2, 0.14, 0.8, 0.56), (0.44, 0.2, 0.86, 0.8)       # 30% cut off below, and at the left
    expected = [(whole, 0), (whole, 1), (scaled, 0), (down, 0), (across, 0), (down, 1), (across, 1), (whole, 1),
                (whole, 1), (scaled, 0)]
    for (window, mirrored), (other, flip) in zip(got, expected):
        assert np.allclose(window, other) and mirrored == bool(flip)


@pytest.mark.parametrize("options", [{"flip": 2}, {"scale": 0}, {"scale": 1.5}, {"vshift": 1}, {"hshift": -0.1}])
def test_shares_are_checked(options):
    with pytest.raises(ValueError, match="shares from 0 to 1"):
        Augment(**options)
