"""Pictures: where each one lies in a grid, texts, what a model makes of photos, the first layer, whole files only."""
import os

import numpy as np
import pytest
from PIL import Image

import minicnn as mc
from colorize import models, pictures
from colorize.color.spaces import rgb_to_lab
from colorize.pictures import GAP, LINE

RANDOM = np.random.default_rng(0)


def plain(r, g, b, height=20, width=30):
    return np.zeros((height, width, 3), "uint8") + np.array([r, g, b], "uint8")


RED, GREEN, BLUE = plain(255, 0, 0), plain(0, 255, 0), plain(0, 0, 255)


def ink(picture):
    """The number of dark pixels."""
    return int((picture.max(-1) < 128).sum())


def test_pictures_lie_in_rows_and_columns():
    both = pictures.grid([[RED, GREEN], [None, BLUE]])
    assert both.shape == (GAP + 2 * (20 + GAP), GAP + 2 * (30 + GAP), 3)
    expected = np.full_like(both, 255)
    for i, j, picture in ((0, 0, RED), (0, 1, GREEN), (1, 1, BLUE)):
        y, x = GAP + i * (20 + GAP), GAP + j * (30 + GAP)
        expected[y:y + 20, x:x + 30] = picture
    assert np.array_equal(both, expected)
    assert np.array_equal(pictures.grid([[RED], [None, BLUE]])[:, GAP + 30 + GAP:], both[:, GAP + 30 + GAP:] * 0 +
                          pictures.grid([[None, None], [None, BLUE]], cell=(20, 30))[:, GAP + 30 + GAP:])


def test_texts_stand_below_their_picture_and_above_their_column():
    wide = plain(255, 255, 255, 20, 120)
    both = pictures.grid([[wide, wide], [wide, wide]], [["one", ""], ["", "x\ny"]], header=["first", "second"])
    assert both.shape[0] == GAP + LINE + 2 * (20 + 2 * LINE + GAP)
    half, header, row = both.shape[1] // 2, GAP + LINE, 20 + 2 * LINE + GAP
    assert ink(both[:header, :half]) and ink(both[:header, half:])
    body = both[header:]
    assert ink(body[20:20 + LINE, :half]) and not ink(body[20 + LINE:row]) and not ink(body[:row, half:])
    second = body[row:]
    assert not ink(second[:, :half]) and ink(second[20:20 + LINE, half:]) and ink(second[20 + LINE:, half:])


def test_a_text_that_is_too_long_is_cut_and_any_letter_may_stand_in_it():
    text = "a very long caption " * 3 + "\u732b"
    both = pictures.grid([[RED, RED]], [[text, ""]])
    assert not ink(both[GAP + 20:, GAP + 30 + 2:])
    assert ink(pictures.grid([[plain(255, 255, 255, 20, 100)]], [["\u732b"]]))          # a question mark


def test_other_sizes_are_scaled_to_fit():
    shown = pictures.fitted(plain(200, 10, 10, 10, 40), 20, 20)
    assert shown.shape == (20, 20, 3)
    assert (shown[8:12] == [200, 10, 10]).all(-1).mean() > 0.9
    assert (shown[:6] == 255).all() and (shown[14:] == 255).all()
    assert pictures.grid([[RED, plain(0, 0, 0, 50, 8)]]).shape == (50 + 2 * GAP, 2 * 30 + 3 * GAP, 3)


def test_a_sheet_has_its_sections_below_each_other():
    both = pictures.sheet([("worst", [(RED, "1"), (GREEN, "2"), (BLUE, "3")]), ("best", [(RED, "4")])], columns=2)
    rows = 2 * (LINE + GAP) + 2 * GAP + 3 * (20 + LINE + GAP)
    assert both.shape == (rows, 200, 3)
    counts = [int((both == color).all(-1).sum()) for color in ([255, 0, 0], [0, 255, 0], [0, 0, 255])]
    assert counts == [1200, 600, 600]


@pytest.mark.parametrize("call, words", [
    (lambda: pictures.grid([[None]]), "got no picture"),
    (lambda: pictures.grid([[RED.astype("float32")]]), "float32"),
    (lambda: pictures.grid([[RED[..., 0]]]), r"\(20, 30\)"),
    (lambda: pictures.grid([["red"]]), "got str"),
    (lambda: pictures.grid([[RED]], [["a", "b"]]), r"captions .*\[2\] .*\[1\]"),
])
def test_wrong_calls_say_so(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


# ------------------------------------------------------------------ files


def test_a_picture_comes_back_from_its_file(tmp_path):
    x = RANDOM.integers(0, 256, (13, 17, 3)).astype("uint8")
    pictures.save(tmp_path / "x.png", x)
    assert np.array_equal(np.asarray(Image.open(str(tmp_path / "x.png"))), x)
    assert os.listdir(str(tmp_path)) == ["x.png"]


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    pictures.save(tmp_path / "x.png", RED)
    monkeypatch.setattr(os, "replace", lambda a, b: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        pictures.save(tmp_path / "x.png", GREEN)
    assert os.listdir(str(tmp_path)) == ["x.png"]
    assert np.array_equal(np.asarray(Image.open(str(tmp_path / "x.png"))), RED)


# ------------------------------------------------------------------ models


class Sepia:
    """A model that gives the same ab everywhere."""

    def colorize(self, L):
        return np.zeros((*L.shape, 2), "float32") + np.array([10, 30], "float32")


def test_strips_show_input_output_and_truth():
    rgb = RANDOM.integers(60, 200, (2, 9, 11, 3)).astype("uint8")
    rows = pictures.strips(Sepia(), rgb)
    assert [len(row) for row in rows] == [3, 3]
    for (grey, output, truth), photo in zip(rows, rgb):
        assert np.array_equal(truth, photo)
        L = rgb_to_lab(photo)[..., 0]
        assert np.abs(rgb_to_lab(grey) - np.stack([L, 0 * L, 0 * L], -1)).max() < 0.6
        assert np.abs(rgb_to_lab(output)[..., 1:] - [10, 30]).max() < 1.5


def test_the_filters_are_the_first_convolution_s_weights():
    model = models.build("nano", width=0.2)
    w = mc.params(model.net)[0].value
    picture = pictures.filters(model)
    assert w.shape == (3, 3, 1, 4)
    side = 30                                                   # 3 pixels, ten times as large
    for k in range(4):
        y, x = GAP + k // 2 * (side + GAP), GAP + k % 2 * (side + GAP)
        tile = picture[y:y + side, x:x + side][::10, ::10].astype(float)
        filter_ = w[..., 0, k]
        assert np.abs(tile[..., 0] - (filter_ / np.abs(filter_).max() + 1) * 127.5).max() <= 0.6


def test_the_activations_are_those_of_the_first_convolution_and_the_model_stays_as_it_is():
    model = models.build("jetson", width=0.04, batchnorm=False)
    before = [(p, p.value.copy()) for p in mc.params(model)]
    rgb = RANDOM.integers(0, 256, (256, 256, 3)).astype("uint8")
    picture = pictures.activations(model, rgb)
    conv = model.net.encoder[0][0]
    answer = mc.value(conv(model.inputs(rgb[None])))[0]
    for k in range(3):
        y, x = GAP + k // 2 * (128 + GAP), GAP + k % 2 * (128 + GAP)
        low, high = answer[..., k].min(), answer[..., k].max()
        tile = picture[y:y + 128, x:x + 128, 0].astype(float)
        assert np.abs(tile - (answer[..., k] - low) / (high - low) * 255).max() <= 0.6
    assert all(p is q and np.array_equal(v, q.value) for (p, v), q in zip(before, mc.params(model)))


@pytest.mark.parametrize("name", models.names())
def test_every_model_has_a_first_layer_to_show(name):
    width = 0.02 if name == "mean-fc" else 0.1
    model = models.build(name, width=width)
    photo = RANDOM.integers(0, 256, (40, 56, 3)).astype("uint8")
    for picture in (pictures.filters(model), pictures.activations(model, photo)):
        assert picture.dtype == "uint8" and min(picture.shape[:2]) > 20 and picture[..., 0].std() > 5
