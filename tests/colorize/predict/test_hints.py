"""Hints: a colour fills its region, fades where nothing stops it, and touches nothing beyond an edge or far away."""
import argparse

import numpy as np
import pytest

from colorize.predict.hints import Hint, hint, spread

from ...tools import need

SIZE = 96, 128                                      # (h, w) that the model sees, of a photo ten times as large
PHOTO = 960, 1280
RED = np.array([60.0, 40.0])
BEFORE = np.array([-5.0, 7.0])


def coloured(L, *hints, before=BEFORE):
    return spread(np.broadcast_to(before, (24, 32, 2)).astype("float32"), L.astype("float32"), hints, PHOTO)


def moved(ab):
    """How far on the way from BEFORE to RED, (h, w)."""
    return (ab - BEFORE) @ (RED - BEFORE) / ((RED - BEFORE) ** 2).sum()


def disc(centre=(48, 64), radius=20, inside=60.0, outside=35.0):
    y, x = np.indices(SIZE)
    return np.where(np.hypot(y - centre[0], x - centre[1]) < radius, inside, outside)


def test_the_flag():
    x, y, ab = hint("12,34,#ff0000")
    red = need("skimage.color").rgb2lab(np.array([[[1.0, 0, 0]]]))[0, 0, 1:]
    assert (x, y) == (12, 34) and np.abs(ab - red).max() < 0.01
    assert np.array_equal(hint(" 12, 34, FF0000 ").ab, ab)


@pytest.mark.parametrize("text", ["", "1,2", "1,2,red", "-1,2,#ff0000", "1,2,#ff000", "1.5,2,#ff0000", "1,#ff0000"])
def test_flags_that_are_no_hints(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected x,y,#rrggbb"):
        hint(text)


def test_a_colour_fills_its_region_up_to_the_edge():
    found = moved(coloured(disc(), Hint(640, 480, RED)))
    region = np.hypot(*(np.indices(SIZE) - np.array([48, 64])[:, None, None]))
    assert found[region < 15].min() > 0.95
    assert np.abs(found[region > 24]).max() < 0.02


def test_a_place_beside_the_region_leaves_the_region_alone():
    found = moved(coloured(disc(), Hint(200, 480, RED)))
    region = np.hypot(*(np.indices(SIZE) - np.array([48, 64])[:, None, None]))
    assert found[48, 20] > 0.95 and np.abs(found[region < 16]).max() < 0.02


def test_what_is_far_away_stays():
    found = moved(coloured(np.full(SIZE, 50.0), Hint(100, 480, RED)))
    y, x = np.indices(SIZE)
    away = np.hypot(y - 48, x - 10)
    assert found[away < 24].min() > 0.95 and np.abs(found[away > 55]).max() < 1e-6
    assert 0.2 < found[48, 10 + 38] < 0.8                                       # between them it fades
    assert (np.diff(found[48, 10:]) <= 1e-6).all()


def test_shading_and_grain_are_no_edges():
    y, x = np.indices(SIZE)
    shaded = 40 + 0.3 * x + np.random.default_rng(0).normal(0, 1, SIZE)
    found = moved(coloured(shaded, Hint(640, 480, RED)))
    assert found[48, 52:76].min() > 0.9


def test_two_hints_share_a_region():
    blue = Hint(1000, 480, np.array([10.0, -50.0]))
    found = coloured(np.full(SIZE, 50.0), Hint(300, 480, RED), blue)
    assert np.abs(found[48, 30] - RED).max() < 1 and np.abs(found[48, 100] - blue.ab).max() < 1
    other = coloured(np.full(SIZE, 50.0), blue, Hint(300, 480, RED))
    assert np.allclose(found, other, atol=1e-4)


def test_corners_and_tiny_photos():
    assert np.isfinite(coloured(disc(), Hint(0, 0, RED), Hint(1279, 959, RED))).all()
    one = spread(np.zeros((1, 1, 2), "float32"), np.full((8, 8), 50, "float32"), [Hint(0, 0, RED)], (1, 1))
    assert one.shape == (8, 8, 2) and np.isfinite(one).all() and np.abs(one[0, 0] - RED).max() < 1


def test_a_hint_outside_of_the_photo():
    with pytest.raises(ValueError, match="1280,3 .* 1280 x 960 pixels: x .* 0 to 1279"):
        coloured(disc(), Hint(1280, 3, RED))
