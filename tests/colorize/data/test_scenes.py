"""Scenes repeat, do not end, hold out layouts, and have colours that follow from texture and not from place."""
import numpy as np
import pytest

from colorize.color.spaces import rgb_to_lab
from colorize.data.drawing import SPECTRA, Canvas, texture
from colorize.data.scenes import LAYOUTS, Scenes, layout, scene
from colorize.data.subjects import SUBJECTS


def test_streams_repeat_and_do_not_end():
    def stream(split="train", seed=1, workers=2):
        return Scenes(split, 32, scenes=24, batch=8, seed=seed, workers=workers)
    train, again = stream(), stream(workers=0)
    passes = [np.concatenate(list(train)) for _ in range(3)]
    assert np.array_equal(passes, [np.concatenate(list(again)) for _ in range(3)])
    assert len(np.unique(np.concatenate(passes).reshape(72, -1), axis=0)) == 72
    assert np.array_equal(list(stream().resume(4)), passes[1].reshape(3, 8, 32, 32, 3)[1:])
    val = stream("val")
    first = list(val)
    assert np.array_equal(first, list(val)) and not np.array_equal(first[0], passes[0][:8])
    assert not np.array_equal(next(iter(stream(seed=2))), passes[0][:8])


@pytest.mark.parametrize("size", [16, 33, 64, 150])
def test_any_size_and_all_subjects(size):
    for subject in SUBJECTS:
        for number in range(3):
            c = Canvas(size, np.random.default_rng(number), np.random.default_rng([1, number]))
            subject(c)
            rgb = c.finished()
            assert rgb.shape == (size, size, 3) and rgb.dtype == np.uint8 and rgb.flags.c_contiguous
            assert np.isfinite(c.rgb).all() and rgb.std() > 2, subject.__name__


def test_a_scene_looks_the_same_at_any_size():
    for number in range(12):
        large, small = (scene(number, size, seed=4).astype(float) for size in (128, 32))
        assert abs(large.reshape(32, 4, 32, 4, 3).mean((1, 3)) - small).mean() < 22, number


def test_validation_layouts_are_held_out():
    looks = [np.random.default_rng(i) for i in range(3000)]
    train, val = ({layout(look, split) for look in looks} for split in ("train", "val"))
    assert not train & val and len(train) > 2000 and len(val) > 700 and max(train | val) < LAYOUTS


def test_textures_repeat_and_differ():
    for name in SPECTRA:
        t = texture(name)
        assert abs(t.mean()) < 1e-3 and abs(t.std() - 1) < 1e-3
        seam, step = abs(t[:, 0] - t[:, -1]).mean(), abs(np.diff(t, axis=1)).mean()
        assert seam < 1.5 * step, name
    across, down = ([abs(np.diff(texture(n), axis=a)).mean() for n in ("grass", "water", "wood")] for a in (1, 0))
    assert across[0] > 1.5 * down[0] and down[1] > 1.5 * across[1] and down[2] > 3 * across[2]


@pytest.mark.parametrize("options, message", [({"split": "test"}, "split .* 'train' or 'val', got 'test'"),
                                              ({"size": 8}, "at least 16 .* size=8")])
def test_wrong_calls(options, message):
    with pytest.raises(ValueError, match=message):
        Scenes(**options)


# ------------------------------------------------------------------ what predicts colour


def patches(lab, radii=(1, 2, 4, 8)):
    """Statistics of L around each pixel, (n, size, size, features): means, deviations, changes across and down."""
    L = lab[..., 0] / 100 - 0.5
    across, down = (np.abs(np.diff(L, axis=a, append=np.take(L, [-1], axis=a))) for a in (2, 1))
    features = [L]
    for r in radii:
        mean = blurred(L, r)
        deviation = np.sqrt((blurred(L * L, r) - mean ** 2).clip(0))
        features += [mean, 4 * deviation, 8 * blurred(across, r), 8 * blurred(down, r)]
    return np.stack(features, -1)


def blurred(x, r):
    """The mean of a (2r + 1) square around each pixel."""
    for axis in (1, 2):
        pad = [(r + 1, r) if a == axis else (0, 0) for a in range(3)]
        sums = np.pad(x, pad, mode="edge").cumsum(axis)
        n = x.shape[axis]
        x = (np.take(sums, range(2 * r + 1, 2 * r + 1 + n), axis) - np.take(sums, range(n), axis)) / (2 * r + 1)
    return x


def hidden(features, seed=0, units=300):
    """Random features of those: with least squares on top, a small network of which the last layer is trained."""
    rng = np.random.default_rng(seed)
    flat = features.reshape(-1, features.shape[-1])
    w = rng.standard_normal((flat.shape[1], units)) * 1.5
    return np.concatenate([np.maximum(flat @ w + rng.standard_normal(units), 0), flat, np.ones((len(flat), 1))], 1)


def some_pixels(lab, n):
    """Features and ab of n pixels."""
    some = np.random.default_rng(0).permutation(lab[..., 0].size)[:n]
    return patches(lab).reshape(-1, 17)[some], lab[..., 1:].reshape(-1, 2)[some]


def test_texture_predicts_colour_and_place_does_not():
    train, val = (rgb_to_lab(np.concatenate(list(Scenes(split, 32, scenes=n, batch=16, seed=5))))
                  for split, n in (("train", 768), ("val", 192)))
    grey = (val[..., 1:] ** 2).mean()
    place = ((train[..., 1:].mean(0) - val[..., 1:]) ** 2).mean()
    (x, y), (x_val, y_val) = (some_pixels(lab, 20000) for lab in (train, val))
    h = hidden(x)
    solution = np.linalg.solve(h.T @ h + 1e-1 * np.eye(h.shape[1]), h.T @ y)
    texture_only = ((hidden(x_val) @ solution - y_val) ** 2).mean()
    print(f"ab MSE: grey {grey:.0f}, place {place:.0f}, texture {texture_only:.0f}")
    assert place > 0.6 * grey, "place alone says too much"
    assert texture_only < 0.7 * place, "texture says too little"
