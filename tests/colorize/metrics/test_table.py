"""Metrics against scikit-image, Sharma's table, plain loops, and values worked out by hand."""
import math

import numpy as np
import pytest

from colorize.color import bins
from colorize.color import spaces
from colorize.metrics import table as metrics
from colorize.metrics.difference import ciede2000, de76
from colorize.metrics.ssim import ssim, ssim_of_stack

from ...tools import FLOAT32, need

RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(0, 1, (3, 23, 19, 3)).astype("float32")
Y = (X + RANDOM.normal(0, 0.1, X.shape)).clip(0, 1).astype("float32")
L = RANDOM.uniform(10, 90, (3, 23, 19, 1)).astype("float32")
TRUE = RANDOM.normal([3, 8], 20, (3, 23, 19, 2)).astype("float32")
GUESS = (TRUE * 0.6 + RANDOM.normal(0, 5, TRUE.shape)).astype("float32")

# Sharma, Wu, Dalal: The CIEDE2000 color-difference formula, table 1: L a b, L a b, the difference
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1.0000
50 -1.1848 -84.8006 50 0 -82.7485 1.0000
50 -0.9009 -85.5211 50 0 -82.7485 1.0000
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0010 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0010 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1.0000
50 2.5 0 50 3.2972 0 1.0000
50 2.5 0 50 1.8634 0.5757 1.0000
50 2.5 0 50 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def get(backend, x):
    return np.asarray(backend.get(x), "float64")


# ------------------------------------------------------------------ differences of colours


def test_ciede2000_of_sharmas_pairs(backend):
    table = np.array([line.split() for line in SHARMA.split("\n") if line], "float64")
    assert len(table) == 34
    x, y = backend.put(table[:, :3]), backend.put(table[:, 3:6])
    for d in (ciede2000(x, y), ciede2000(y, x)):
        assert d.dtype == backend.dtype
        exact = backend.dtype == "float64"
        same = np.abs(get(backend, d) - table[:, 6]) <= (5.1e-5 if exact else 2e-4)
        assert same.all(), table[~same]


@pytest.mark.parametrize("spread", [0.01, 2, 60])
def test_ciede2000_against_skimage(spread, backend):
    x = np.random.default_rng(1).uniform([0, -90, -90], [100, 90, 90], (30, 40, 3))
    y = x + np.random.default_rng(2).normal(0, spread, x.shape)
    x[0], y[1] = x[0] * [1, 0, 0], y[1] * [1, 0, 0]                     # greys
    x, y = x.astype("float32"), y.astype("float32")
    expected = need("skimage.color").deltaE_ciede2000(x.astype("float64"), y.astype("float64"))
    assert np.allclose(get(backend, ciede2000(backend.put(x), backend.put(y))), expected, rtol=2e-4, atol=2e-4)
    assert np.allclose(get(backend, de76(backend.put(x), backend.put(y))), np.linalg.norm(x - y, axis=-1), rtol=1e-5)
    assert not get(backend, ciede2000(backend.put(x), backend.put(x))).any()


# ------------------------------------------------------------------ PSNR and SSIM


def test_psnr(backend):
    skimage = need("skimage.metrics")
    x, y = backend.put(X), backend.put(Y)
    expected = [skimage.peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(X, Y)]
    assert np.allclose(get(backend, metrics.psnr(x, y)), expected, rtol=1e-5)
    pooled = skimage.peak_signal_noise_ratio(X, Y, data_range=1)
    assert math.isclose(metrics.pooled_psnr(x, y), pooled, rel_tol=1e-5) and pooled < np.mean(expected)
    assert np.allclose(get(backend, metrics.psnr(x * 255, y * 255, data_range=255)), expected, rtol=1e-5)
    assert np.isinf(get(backend, metrics.psnr(x, x))).all() and metrics.pooled_psnr(x, x) == math.inf


@pytest.mark.parametrize("scale", [1, 255])
@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_ssim(window, scale, backend):
    skimage = need("skimage.metrics")
    how = {} if window == "uniform" else {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [skimage.structural_similarity(a, b, channel_axis=2, data_range=1, **how)
                for a, b in zip(X.astype("float64"), Y.astype("float64"))]
    x, y = backend.put(X) * np.float32(scale), backend.put(Y) * np.float32(scale)
    assert np.allclose(get(backend, ssim(x, y, data_range=scale, window=window)), expected, atol=1e-5)
    assert np.allclose(get(backend, ssim(x[:, :11, :11, :1], x[:, :11, :11, :1], window=window)), 1)


def test_ssim_of_bright_flat_images_keeps_its_digits(backend):
    """Variances of 1e-6 beside means of 1."""
    x = 1 - 1e-3 * X[..., :1]
    y = 1 - 1e-3 * Y[..., :1]
    expected = need("skimage.metrics").structural_similarity(x[0].astype("float64"), y[0].astype("float64"),
                                                             channel_axis=2, data_range=0.003)
    assert expected < 0.98
    assert abs(get(backend, ssim(backend.put(x), backend.put(y), data_range=0.003))[0] - expected) < 1e-5


def test_ssim_of_a_stack_as_the_uf_report(backend):
    x, y = (np.concatenate([v] * 3)[..., 0] for v in (X, Y))
    expected = need("skimage.metrics").structural_similarity(x.astype("float64"), y.astype("float64"), data_range=2)
    got = ssim_of_stack(backend.put(x), backend.put(y))
    assert abs(got - expected) < 1e-6
    assert got > float(get(backend, ssim(backend.put(x[..., None]), backend.put(y[..., None]))).mean())


# ------------------------------------------------------------------ colours


def test_colourfulness(backend):
    values = []
    for image in X.astype("float64") * 255:
        rg, yb = (np.array([f(*p) for p in image.reshape(-1, 3)]) for f in
                  (lambda r, g, b: r - g, lambda r, g, b: (r + g) / 2 - b))
        values.append(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
    assert np.allclose(get(backend, metrics.colourfulness(backend.put(X))), values, rtol=1e-5)
    red = np.zeros((1, 4, 4, 3), "float32") + np.array([1, 0, 0], "float32")
    assert np.allclose(get(backend, metrics.colourfulness(backend.put(red))), 0.3 * 255 * math.sqrt(1.25))
    assert get(backend, metrics.colourfulness(backend.put(np.full((1, 4, 4, 3), 0.7, "float32")))).tolist() == [0]


def test_auc_is_the_area_under_the_curve(backend):
    error = np.linalg.norm(GUESS.astype("float64") - TRUE, axis=-1)
    steps = np.linspace(0, 150, 3001)
    curve = [(error <= t).mean() for t in steps]
    area = 100 / 150 * sum((p + q) / 2 * 0.05 for p, q in zip(curve, curve[1:]))
    assert abs(metrics.auc(backend.put(GUESS), backend.put(TRUE)) - area) < 0.02
    far = backend.put(np.full((1, 2, 2, 2), 1e4, "float32"))
    assert metrics.auc(far, far * 0) == 0 and metrics.auc(far, far) == 100


def test_rebalanced_auc(backend):
    """Pixels weighted one by one; without a prior all colours weigh the same."""
    few = bins.gamut(30)
    labels = few.encode(TRUE).ravel()
    error = np.linalg.norm(GUESS.astype("float64") - TRUE, axis=-1).ravel().clip(0, 150)
    prior = np.random.default_rng(5).uniform(0.1, 1, len(few))
    weights = 1 / prior[labels]
    guess, true = backend.put(GUESS), backend.put(TRUE)
    got = metrics.rebalanced_auc(guess, true, few, prior)
    assert abs(got - 100 * (1 - (error * weights).sum() / weights.sum() / 150)) < 1e-4
    means = [error[labels == k].mean() for k in np.unique(labels)]
    assert abs(metrics.rebalanced_auc(guess, true, few) - 100 * (1 - np.mean(means) / 150)) < 1e-4
    assert metrics.rebalanced_auc(true, true) == 100
    prior[labels[0]] = 0
    with pytest.raises(ValueError, match="the prior is 0 for 1 bins that occur: smooth it"):
        metrics.rebalanced_auc(guess, true, few, prior)


def test_bin_accuracy(backend):
    true = backend.put(np.array([[0, 1], [2, -1]]))
    assert metrics.bin_accuracy(backend.put(np.array([[0, 2], [2, 2]])), true) == pytest.approx(2 / 3)
    guesses = backend.put(np.array([[[9, 0], [1, 9]], [[9, 9], [9, 9]]]))
    assert metrics.bin_accuracy(guesses, true) == pytest.approx(2 / 3)


# ------------------------------------------------------------------ the table


def filled(backend, how=None, parts=(slice(0, 2), slice(2, 3)), **options):
    m = metrics.Metrics([3, 8], **options)
    for part in parts:
        m.add(*(backend.put(v[part]) for v in (L, GUESS if how is None else how(TRUE), TRUE)))
    return m


def test_the_rows_of_the_table(backend):
    """Each number is that of the function for it, whatever the batches."""
    rows = filled(backend).result()
    assert list(rows) == ["model", "grey", "mean ab", "truth"]
    answers = {"model": GUESS, "grey": TRUE * 0, "mean ab": TRUE * 0 + np.float32([3, 8])}
    rgb = spaces.lab_to_rgb(np.concatenate([L, TRUE], -1))
    for name, ab in answers.items():
        lab = np.concatenate([L, ab], -1)
        mine = spaces.lab_to_rgb(lab)
        vivid = metrics.colourfulness(mine)
        expected = {
            "ab mse": ((ab - TRUE).astype("float64") ** 2).mean(),
            "ab rmse": math.sqrt(((ab - TRUE).astype("float64") ** 2).mean()),
            "psnr": metrics.psnr(mine, rgb).mean(), "psnr pooled": metrics.pooled_psnr(mine, rgb),
            "psnr a": metrics.psnr(ab[..., 0] / 255, TRUE[..., 0] / 255).mean(),
            "psnr a pooled": metrics.pooled_psnr(ab[..., 0] / 255, TRUE[..., 0] / 255),
            "psnr b": metrics.psnr(ab[..., 1] / 255, TRUE[..., 1] / 255).mean(),
            "psnr b pooled": metrics.pooled_psnr(ab[..., 1] / 255, TRUE[..., 1] / 255),
            "ssim": ssim(mine, rgb).mean(),
            "ssim a": ssim((ab[..., :1] + 128) / 255, (TRUE[..., :1] + 128) / 255).mean(),
            "ssim b": ssim((ab[..., 1:] + 128) / 255, (TRUE[..., 1:] + 128) / 255).mean(),
            "ciede2000": ciede2000(lab, np.concatenate([L, TRUE], -1)).mean(),
            "chroma": np.hypot(ab[..., 0], ab[..., 1]).mean(), "colourfulness": vivid.mean(),
            "colourfulness error": np.abs(vivid - metrics.colourfulness(rgb)).mean(),
            "bin accuracy": metrics.bin_accuracy(bins.gamut().encode(ab), bins.gamut().encode(TRUE)),
            "auc": metrics.auc(ab, TRUE), "auc rebalanced": metrics.rebalanced_auc(ab, TRUE),
        }
        assert list(rows[name]) == list(expected)
        for key, value in expected.items():
            assert rows[name][key] == pytest.approx(value, rel=2e-4, abs=1e-4), (name, key)
    truth = rows["truth"]
    assert truth["psnr"] == truth["auc"] == truth["auc rebalanced"] == 100 and truth["bin accuracy"] == 1
    assert truth["ab mse"] == truth["ciede2000"] == truth["colourfulness error"] == 0
    assert truth["colourfulness"] == pytest.approx(metrics.colourfulness(rgb).mean(), rel=1e-5)


def test_the_parts_of_a_stream_do_not_matter():
    whole = filled(FLOAT32, parts=[slice(0, 3)]).result()
    assert filled(FLOAT32, parts=[slice(i, i + 1) for i in range(3)]).result() == whole


def test_a_model_that_says_grey_gets_the_row_of_grey():
    rows = filled(FLOAT32, metrics.grey).result()
    assert rows["model"] == rows["grey"]


def test_the_mean_colour_of_the_set_beats_grey_in_mse():
    mean = metrics.mean_of([TRUE[:1], TRUE[1:]])
    assert np.allclose(mean, TRUE.reshape(-1, 2).mean(0), atol=1e-4)
    m = metrics.Metrics(mean)
    m.add(L, GUESS, TRUE)
    rows = m.result()
    variance = TRUE.reshape(-1, 2).astype("float64").var(0).mean()
    assert rows["mean ab"]["ab mse"] == pytest.approx(variance, rel=1e-5) and variance < rows["grey"]["ab mse"]


def test_options_of_the_table():
    assert not any("ssim" in key for key in filled(FLOAT32, window=None).result()["model"])
    gaussian = filled(FLOAT32, window="gaussian").result()["model"]["ssim a"]
    levels = (GUESS + 128) / 255, (TRUE + 128) / 255                    # the UF report took them from 8-bit Lab
    assert gaussian == pytest.approx(ssim(*(x[..., :1] for x in levels), window="gaussian").mean())
    m = metrics.Metrics([3, 8], as_published=True, bins=bins.gamut(30), prior=np.ones(54))
    for _ in range(3):
        m.add(L, GUESS, TRUE)
    rows = m.result()
    stack, true = (np.concatenate([x] * 3)[..., 1] for x in levels)
    assert rows["model"]["ssim b as published"] == pytest.approx(ssim_of_stack(stack, true), abs=1e-6)
    assert rows["truth"]["ssim a as published"] == pytest.approx(1)
    assert rows["model"]["auc rebalanced"] == pytest.approx(rows["model"]["auc"])      # all bins as common


def test_several_models_share_the_other_rows():
    one, two = filled(FLOAT32).result(), metrics.Metrics([3, 8], models=("ours", "theirs"))
    for i in range(3):
        two.add(L[i:i + 1], {"theirs": TRUE[i:i + 1], "ours": GUESS[i:i + 1]}, TRUE[i:i + 1])
    rows = two.result()
    assert list(rows) == ["ours", "theirs", "grey", "mean ab", "truth"]
    assert rows["ours"] == one["model"] and rows["theirs"] == rows["truth"] == one["truth"]
    assert rows["grey"] == one["grey"] and rows["mean ab"] == one["mean ab"]


def test_the_latest_image_alone():
    m = filled(FLOAT32)
    alone = metrics.Metrics([3, 8])
    alone.add(L[2:], GUESS[2:], TRUE[2:])
    for name, row in alone.result().items():
        assert m.latest()[name] == {key: value for key, value in row.items() if "auc" not in key}
    assert m.latest()["model"] != {key: value for key, value in m.result()["model"].items() if "auc" not in key}


def test_nan_stays_visible(backend):
    guess = GUESS.copy()
    guess[1, 2, 3] = np.nan
    m = metrics.Metrics([3, 8])
    m.add(*map(backend.put, (L, guess, TRUE)))
    rows = m.result()
    hidden = {key for key, value in rows["model"].items() if not math.isnan(value)}
    assert hidden == {"bin accuracy"} and not any(map(math.isnan, rows["grey"].values()))


def test_the_table_prints():
    lines = str(filled(FLOAT32)).split("\n")
    assert lines[0].split() == ["model", "grey", "mean", "ab", "truth"] and len({len(line) for line in lines}) == 1
    assert [line.split("  ")[0] for line in lines[1:]] == list(filled(FLOAT32).result()["model"])


# ------------------------------------------------------------------ wrong calls


@pytest.mark.parametrize("call, error, message", [
    (lambda: metrics.psnr(X, Y[:2]), ValueError, r"psnr needs .* of one shape, got .* \(3, .* \(2, "),
    (lambda: ssim(X, Y, window="round"), ValueError, "expected 'uniform' or 'gaussian'"),
    (lambda: ssim(X[:, :6], Y[:, :6]), ValueError, "at least 7 along each axis"),
    (lambda: ssim(X[0], Y[0]), ValueError, r"two arrays \(N, H, W, C\)"),
    (lambda: ssim_of_stack(X[..., 0], Y[..., 0]), ValueError, "at least 7"),
    (lambda: ssim((X * 255).astype("uint8"), (Y * 255).astype("uint8")), TypeError, "floating arrays, got uint8"),
    (lambda: ciede2000(X, Y.astype("float64")), TypeError, "of one dtype, got float32 and float64"),
    (lambda: ciede2000(X[..., :2], Y[..., :2]), ValueError, "two Lab arrays"),
    (lambda: metrics.colourfulness(X[0]), ValueError, "needs floating RGB"),
    (lambda: metrics.mean_of([]), ValueError, "got no pixels"),
    (lambda: metrics.bin_accuracy(X, X), ValueError, "needs integer arrays"),
    (lambda: metrics.bin_accuracy(np.array([1]), np.array([-1])), ValueError, "no pixel with a true bin"),
    (lambda: metrics.Metrics(3), ValueError, "mean_ab as two numbers"),
    (lambda: metrics.Metrics([0, 0]).result(), ValueError, "has seen no image"),
    (lambda: metrics.Metrics([0, 0], models=("a", "a")), ValueError, "names must differ"),
    (lambda: metrics.Metrics([0, 0], models=("grey",)), ValueError, "names must differ"),
    (lambda: metrics.Metrics([0, 0], models=("a",)).add(L, GUESS, TRUE), ValueError, "got ab of model, expected a"),
    (lambda: metrics.Metrics([0, 0]).add(L[..., 0], GUESS, TRUE), ValueError, r"needs L \(N, H, W, 1\)"),
], ids=lambda x: "")
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()
