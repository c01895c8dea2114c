"""Painting: the photo's own lightness, the colours that were asked for, bounded memory; scikit-image is the judge."""
import io
import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageOps

from colorize.color import spaces
from colorize.color.resize import resize
from colorize.predict import recolor
from colorize.predict.recolor import colourful, lightness, painted

from ...tools import missing, need

TOP = {"uint8": 255, "uint16": 65535}


def grey(height, width, dtype="uint8", channels=1, seed=0):
    """A smooth picture from black to white, with all levels in it."""
    rng = np.random.default_rng(seed)
    wave = Image.fromarray(rng.uniform(0, 1, (6, 8)).astype("float32")).resize((width, height), Image.BICUBIC)
    x = np.asarray(wave)
    x = (x - x.min()) / max(float(np.ptp(x)), 1e-9)
    return np.repeat((x * TOP[dtype] + 0.5).astype(dtype)[..., None], channels, 2)


def lab(pixels):
    rgb = np.repeat(pixels, 3 // pixels.shape[2], 2) / np.float64(TOP[str(pixels.dtype)])
    return need("skimage.color").rgb2lab(rgb)


@pytest.mark.parametrize("dtype", TOP)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_lightness_stays(dtype, channels):
    pixels = grey(150, 230, dtype, channels)
    ab = np.random.default_rng(1).normal(0, 40, (16, 24, 2)).astype("float32")      # much is outside of the gamut
    rgb = painted(pixels, ab)
    assert rgb.dtype == dtype and rgb.shape == (150, 230, 3)
    off = np.abs(lab(rgb)[..., 0] - lab(pixels)[..., 0])
    assert off.mean() < (0.15 if dtype == "uint8" else 0.001) and off.max() < (0.7 if dtype == "uint8" else 0.05)


@pytest.mark.parametrize("dtype", TOP)
def test_a_toned_photo_keeps_its_lightness_and_loses_its_tone(dtype):
    pixels = (grey(90, 120, dtype, 3) * np.array([0.95, 0.8, 0.6])).astype(dtype)
    rgb = painted(pixels, np.zeros((4, 4, 2)))
    assert np.abs(lab(rgb)[..., 0] - lab(pixels)[..., 0]).max() < 0.4
    assert np.ptp(rgb.astype(int), axis=2).max() <= (1 if dtype == "uint8" else 40)


def test_colours_inside_the_gamut_are_those_that_were_asked_for():
    pixels = np.full((40, 50, 1), 140, "uint8")
    found = lab(painted(pixels, np.broadcast_to([12.0, -20.0], (4, 5, 2))))
    assert np.abs(found[..., 1:] - [12, -20]).max() < 1


def test_colours_outside_of_the_gamut_lose_chroma_only():
    rng = np.random.default_rng(2)
    L, ab = rng.uniform(2, 98, 300), rng.uniform(-100, 100, (300, 2))
    level = need("skimage.color").lab2rgb(np.stack([L, L * 0, L * 0], -1)[None])[0, :, :1]
    pixels = (level * 65535 + 0.5).astype("uint16")
    found = np.concatenate([lab(painted(p[None, None], c[None, None]))[0] for p, c in zip(pixels, ab)])
    best = spaces.keep_gamut(np.concatenate([L[:, None], ab], 1))                    # by bisection in float64
    assert np.abs(found[:, 0] - L).max() < 0.1
    asked, got, most = (np.hypot(*x.T) for x in (ab, found[:, 1:], best[:, 1:]))
    turned = np.abs(ab[:, 0] * found[:, 2] - ab[:, 1] * found[:, 1]) / asked        # how far off the line of its hue
    assert turned.max() < 0.3
    assert (got < most + 0.3).all() and (got > most - asked / 2 ** recolor.HALVINGS - 0.3).all()
    assert (most < asked - 1).sum() > 100                                           # the test means something


@pytest.mark.parametrize("times", [3, 100, 1e28])
@pytest.mark.parametrize("channels", [1, 3])
def test_far_more_colour_than_there_is(times, channels):
    """No warning, which would be an error here; L and hue as ever, and as much chroma as with less of it."""
    pixels, ab = grey(40, 60, "uint16", channels), np.random.default_rng(3).normal(0, 1, (6, 9, 2))
    ab *= 130 / np.hypot(ab[..., :1], ab[..., 1:])
    usual, much = (lab(painted(pixels, (ab * factor).astype("float32"))) for factor in (2.5, times))
    assert np.abs(much - lab(pixels))[..., 0].max() < 0.1
    assert np.abs(much - usual)[..., 1:].max() < 2


@pytest.mark.parametrize("height, width", [(97, 131), (20, 3000), (3000, 20), (7, 5), (1, 1), (1, 2000), (2000, 1)])
@pytest.mark.parametrize("small", [(16, 24), (1, 1), (64, 64)])
def test_colours_are_enlarged_bicubically(height, width, small, monkeypatch):
    monkeypatch.setattr(recolor, "BLOCK", 512)
    monkeypatch.setattr(recolor, "WIDE", 64)
    seen = {}

    def note(pixels, ab, out, tables):
        y, x = pixels[0, 0].astype(int)[:2] if pixels.shape[2] == 3 else (0, 0)
        seen[y, x] = ab * np.array([500, 200])[:, None, None]
    monkeypatch.setattr(recolor, "_paint", note)
    ab = np.random.default_rng(0).normal(0, 30, (*small, 2)).astype("float32")
    place = np.stack([*np.indices((height, width)), np.zeros((height, width))], -1).astype("uint16")
    painted(place, ab)
    whole = np.full((2, height, width), np.nan)
    for (y, x), part in seen.items():
        whole[:, y:y + part.shape[1], x:x + part.shape[2]] = part
    assert len(seen) >= height * width // 1024
    expected = resize(ab[None].astype("float64"), (height, width), "pillow")[0]
    assert np.abs(whole.transpose(1, 2, 0) - expected).max() < 1e-2


@pytest.mark.parametrize("dtype", TOP)
@pytest.mark.parametrize("channels", [1, 3])
def test_threads_and_painting_in_place_change_nothing(dtype, channels):
    pixels = grey(400, 300, dtype, channels)
    ab = np.random.default_rng(1).normal(0, 20, (8, 8, 2)).astype("float32")
    once = painted(pixels, ab)
    assert np.array_equal(once, painted(pixels, ab, threads=3))
    assert np.array_equal(lightness(pixels, (32, 32)), lightness(pixels, (32, 32), threads=3))
    if channels == 3:
        assert painted(pixels, ab, out=pixels) is pixels and np.array_equal(once, pixels)


def test_memory_is_the_results_and_little_more():
    pixels, ab = grey(2400, 2500), np.zeros((64, 64, 2), "float32")
    painted(pixels[:9, :9], ab)                     # tables are made
    tracemalloc.start()
    lightness(pixels, (256, 266))
    first = tracemalloc.get_traced_memory()[1]
    painted(pixels, ab)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert first < 4e6 and peak < 2400 * 2500 * 3 + 8e6


# ------------------------------------------------------------------ what the model sees


@pytest.mark.parametrize("dtype", TOP)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_models_lightness(dtype, channels):
    pixels = grey(250, 330, dtype, channels)
    whole = Image.fromarray(lab(pixels)[..., 0].astype("float32"))
    seen = lightness(pixels, (32, 64))
    assert seen.shape == (32, 64) and seen.dtype == np.float32
    assert np.abs(seen - np.asarray(whole.resize((64, 32), Image.BICUBIC))).max() < 0.5
    grown = lightness(pixels[:20, :20], (64, 64))
    expected = np.asarray(whole.crop((0, 0, 20, 20)).resize((64, 64), Image.BICUBIC))
    assert np.abs(grown - expected.clip(0, 100)).max() < 0.1


def test_every_pixel_counts():
    stripes = np.zeros((1500, 2100, 1), "uint8")
    stripes[:, ::2] = 255
    assert np.abs(lightness(stripes, (32, 64))[:, 1:-1] - 50).max() < 0.5           # one alone is 0 or 100


@pytest.mark.parametrize("height, width", [(1, 1), (1, 5000), (5000, 1), (3, 70000)])
def test_lightness_of_any_shape(height, width):
    seen = lightness(np.full((height, width, 1), 119, "uint8"), (64, 256))
    assert np.abs(seen - 50).max() < 0.5


@pytest.mark.parametrize("height, width", [(1, 1), (1, 200), (500, 1), (14, 3000), (3000, 1), (2, 70000)])
@pytest.mark.parametrize("dtype", TOP)
def test_thin_photos_are_colourful_or_not(height, width, dtype):
    assert not colourful(grey(height, width, dtype, 3))
    colours = np.random.default_rng(0).integers(0, TOP[dtype], (height, width, 3)).astype(dtype)
    assert colourful(colours) == (height * width > 1)


def test_which_photos_are_colourful():
    toned = (grey(200, 200, "uint8", 3) * np.array([1, 0.85, 0.6])).astype("uint8")
    noisy = np.random.default_rng(0).normal(grey(200, 200, "uint8", 3), 3).clip(0, 255).astype("uint8")
    both = np.where(np.arange(200)[:, None, None] < 100, [200, 60, 40], [40, 90, 200]).repeat(200, 1).astype("uint8")
    assert not colourful(grey(200, 200)) and not colourful(grey(200, 200, "uint16", 3))
    assert not colourful(toned) and not colourful(noisy)
    blue = np.asarray(ImageOps.colorize(Image.fromarray(grey(200, 200)[..., 0]), "#001030", "#f0ffff", mid="#4080a0"))
    assert not colourful(blue)
    assert colourful(both) and colourful(both.astype("uint16") * 257) and not colourful(both[:1, :1])


TONES = {"sepia": ("#140a05", "#8c643c", "#fff0cd"), "cyanotype": ("#001030", "#4080a0", "#f0ffff"),
         "split": ("#0a1432", "#78736e", "#ffebbe"), "yellowed": ("#322d14", "#a09664", "#faf0b4"),
         "faded": ("#5a463c", "#a08c78", "#e1d2be"), "grey": ("#000000", "#808080", "#ffffff")}


def aged(image, tone, rng):
    """A photo of Pillow's as a toned one: with stains, noise in its colours and the blocks of a JPEG."""
    dark, mid, light = TONES[tone]
    x = np.asarray(ImageOps.colorize(image.convert("L"), dark, light, mid=mid)).astype(float)
    stains = Image.fromarray(rng.normal(0, 6, (4, 5)).astype("float32")).resize(image.size, Image.BICUBIC)
    x += np.asarray(stains)[..., None] * [0.3, 0.5, 1] + rng.normal(0, 5, x.shape)
    file = io.BytesIO()
    Image.fromarray((x.clip(0, 255) + 0.5).astype("uint8")).save(file, "JPEG", quality=int(rng.integers(30, 76)))
    return np.asarray(Image.open(file))


@pytest.mark.slow
def test_colour_photos_are_told_from_toned_ones():
    data = os.environ.get("COLORIZE_DATA")
    if not data:
        missing("COLORIZE_DATA", "COLORIZE_DATA is not set: colour photos are there")
    rng, seen, wrong = np.random.default_rng(0), [], []
    with open(os.path.join(data, "photos/val.txt"), encoding="utf-8") as names:
        for name in names.read().split("\n")[::10]:
            with Image.open(os.path.join(data, "photos", name)) as image:
                seen.append(colourful(np.asarray(image.convert("RGB"))))
                wrong += [colourful(aged(image, tone, rng)) for tone in TONES]
    assert len(seen) > 60 and np.mean(seen) > 0.8 and np.mean(wrong) < 0.01
