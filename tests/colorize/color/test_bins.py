"""Where the bins lie, encoding, decoding, priors. The oracles are float64 code over all bins, pixel by pixel."""
import hashlib
import math
import os
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from colorize.color import bins as bins_
from colorize.color.bins import Bins, Prior, gamut, grid18
from minicnn.device import on_gpu, to

from ...tools import close, put, randn, single

# ------------------------------------------------------------------ where the bins lie

PUBLISHED = "b7da40225fec68ce"


def test_the_313_bins_are_the_published_ones_in_order():
    centres = gamut(10).centres
    assert centres.shape == (313, 2) and centres.dtype == np.float32
    assert centres[:3].tolist() == [[-90, 50], [-90, 60], [-90, 70]] and centres[-1].tolist() == [100, 0]
    assert hashlib.sha256(centres.astype("<i4").tobytes()).hexdigest()[:16] == PUBLISHED


def test_the_313_bins_are_those_of_the_published_file():
    folder = os.environ.get("COLORIZE_DATA")
    if not folder:
        pytest.skip("COLORIZE_DATA is not set: it names the folder with published/zhang/pts_in_hull.npy")
    published = np.load(Path(folder, "published", "zhang", "pts_in_hull.npy"))
    assert np.array_equal(gamut(10).centres, published)


@pytest.mark.parametrize("step, q", [(5, 1083), (8, 460), (12, 228), (15, 159), (20, 101), (25, 72), (30, 54),
                                     (40, 40)])
def test_other_steps(step, q):
    bins = gamut(step)
    assert len(bins) == bins.q == q and (bins.centres % step == 0).all()
    assert sorted(map(tuple, bins.centres)) == list(map(tuple, bins.centres))


def test_grid18():
    centres = grid18().centres.astype("float64").reshape(18, 18, 2)
    assert centres[0, 0] == pytest.approx([-103.889, -103.889], abs=1e-3)
    assert np.allclose(np.diff(centres[:, 0, 0]), 220 / 18, atol=1e-4) and (centres[:, :, 0].std(axis=1) == 0).all()


def test_bins_that_srgb_reaches():
    """Counted by whoever derived the 313 bins; the colours of a lattice through the whole cube add none."""
    ramp = np.linspace(0, 255, 18).round().astype("uint8")
    lattice = np.stack(np.meshgrid(ramp, ramp, ramp), -1).reshape(-1, 3)
    ab = bins_.grids.rgb_to_lab(lattice)[:, 1:]
    for bins, reached in ((gamut(10), 261), (grid18(), 181)):
        mask = bins.reachable()
        assert mask.sum() == reached and mask[bins.encode(np.ascontiguousarray(ab))].all()
        assert bins.subset(mask).q == reached


# ------------------------------------------------------------------ encoding

SETS = {"313": gamut(10), "54": gamut(30), "5": gamut(5), "some": gamut(20).subset(np.arange(101) % 3 == 0),
        "one": Bins([[3.0, 4.0]]), "324": grid18(), "reached": grid18().subset(grid18().reachable())}
each_set = pytest.mark.parametrize("name", SETS)


def places(n=400):
    """ab everywhere, also far outside of the gamut, and none as far from one bin as from another."""
    rng = np.random.default_rng(0)
    return single(np.concatenate([rng.normal(0, 30, (n, 2)), rng.uniform(-150, 150, (n, 2)), [[1e4, -1e4]]]))


def distances(bins, ab):
    return np.sqrt(np.square(ab[..., None, :] - bins.centres.astype("float64")).sum(axis=-1))


@each_set
def test_encode_finds_the_nearest(backend, name):
    bins, ab = SETS[name], places()
    index = backend.get(bins.encode(put(backend, ab)))
    assert index.dtype == np.int32 and index.shape == (len(ab),)
    assert np.array_equal(index, distances(bins, ab).argmin(axis=1))


def test_encode_takes_any_shape(backend):
    ab, bins = places()[:24], gamut(10)
    flat = backend.get(bins.encode(put(backend, ab)))
    assert np.array_equal(backend.get(bins.encode(put(backend, ab.reshape(2, 3, 4, 2)))), flat.reshape(2, 3, 4))
    assert bins.encode(put(backend, ab[0])).shape == ()
    assert bins.encode(put(backend, ab[:0])).shape == (0,) and bins.soft(put(backend, ab[:0]))[0].shape == (0, 5)
    turned = put(backend, ab.reshape(2, 3, 4, 2)).transpose(2, 1, 0, 3)         # not contiguous
    assert np.array_equal(backend.get(bins.encode(turned)), flat.reshape(2, 3, 4).transpose(2, 1, 0))


def test_between_two_bins_the_first_is_taken(backend):
    """The multiples of 5 are what tables and kernels could get wrong."""
    ab = np.stack(np.meshgrid(np.arange(-150, 151, 5.0), np.arange(-150, 151, 5.0)), -1)
    for bins in (gamut(10), gamut(30)):
        assert np.array_equal(backend.get(bins.encode(put(backend, ab))), distances(bins, ab).argmin(axis=-1))
        nearest_four = backend.get(bins.soft(put(backend, ab), k=4)[0])
        assert np.array_equal(nearest_four, distances(bins, ab).argsort(axis=-1, kind="stable")[..., :4])


def test_grid18_has_closed_lower_edges(backend):
    ab = np.array([[0.0, 0], [-110, -110], [110, 110], [-0.01, 0], [0, -0.01], [12.23, 0]])
    assert backend.get(grid18().encode(put(backend, ab))).tolist() == [171, 0, 323, 153, 170, 189]


def test_nan_has_no_bin(backend):
    ab = put(backend, np.array([[math.nan, 0], [0, math.nan], [math.inf, 0], [0, 0]]))
    assert backend.get(gamut(10).encode(ab)).tolist() == [-1, -1, -1, 120]
    assert backend.get(grid18().encode(ab)).tolist() == [-1, -1, -1, 171]
    indices, values = map(backend.get, gamut(10).soft(ab))
    assert (indices[:3] == -1).all() and (values[:3] == 0).all() and indices[3, 0] == 120


def soft_oracle(bins, ab, k, sigma):
    d = distances(bins, ab)
    indices = d.argsort(axis=-1, kind="stable")[..., :k]
    values = np.zeros(indices.shape)
    for p in range(len(ab)):
        e = [math.exp((d[p, indices[p, 0]] ** 2 - d[p, i] ** 2) / (2 * sigma * sigma)) for i in indices[p]]
        values[p] = [v / sum(e) for v in e]
    return indices, values


@each_set
@pytest.mark.parametrize("k, sigma", [(1, 5), (5, 5), (10, 5), (4, 12.5)])
def test_soft_against_all_distances(backend, name, k, sigma):
    bins, ab = SETS[name], places()
    k = min(k, bins.q)
    indices, values = bins.soft(put(backend, ab), k=k, sigma=sigma)
    expected = soft_oracle(bins, ab, k, sigma)
    assert backend.get(indices).dtype == np.int32
    assert np.array_equal(backend.get(indices)[:-1], expected[0][:-1])          # at 1e4 float32 has ties
    close(backend, values[:-1], expected[1][:-1])
    assert np.allclose(backend.get(values).sum(axis=-1), 1, atol=1e-6)


def test_soft_grey_as_computed_by_hand():
    """Zhang's paper has 5 neighbours, the release 10."""
    grey = np.zeros((1, 1, 2), "float32")
    assert gamut(10).soft(grey, k=5)[1][0, 0].round(3).tolist() == pytest.approx([0.649] + [0.088] * 4)
    ten = gamut(10).soft(grey, k=10)[1][0, 0]
    assert ten[[0, 1, 5]] == pytest.approx([0.619, 0.084, 0.011], abs=6e-4)


# ------------------------------------------------------------------ decoding


def decode_oracle(bins, scores, T, weights=None):
    """Pixel by pixel: probabilities ** (1 / T), without the weights, times the centres."""
    centres = bins.centres.astype("float64")
    y = np.zeros((len(scores), 2))
    for p, row in enumerate(scores):
        e = [math.exp(s - row.max()) / (1 if weights is None else weights[i]) for i, s in enumerate(row)]
        q = [(v / sum(e)) ** (1 / T) for v in e]
        y[p] = sum(v / sum(q) * c for v, c in zip(q, centres))
    return y


@pytest.mark.parametrize("weights", [None, single(np.linspace(0.2, 5, 54))], ids=["", "weights"])
def test_decode(backend, weights):
    bins, scores = gamut(30), randn(6, 54) * 3
    given, w = put(backend, scores), weights
    close(backend, bins.decode(given, "mean", weights=w), decode_oracle(bins, scores, 1, w))
    close(backend, bins.decode(given, "annealed", weights=w), decode_oracle(bins, scores, 0.38, w))
    close(backend, bins.decode(given, "annealed", T=0.7, weights=w), decode_oracle(bins, scores, 0.7, w))
    best = (scores if w is None else scores - np.log(w)).argmax(axis=1)
    close(backend, bins.decode(given, "mode", weights=w), bins.centres[best])
    close(backend, bins.decode(given, "annealed", T=1e-4, weights=w), bins.centres[best])
    bins.means = bins.centres + np.float32(2)
    close(backend, bins.decode(given, "bin mean", weights=w), bins.centres[best] + 2)
    assert bins.decode(put(backend, scores.reshape(1, 2, 3, 54))).shape == (1, 2, 3, 2)


def test_weights_of_the_loss_are_divided_out():
    """A model that minimises the weighted loss predicts p w / sum(p w); its mean colour is that of p."""
    bins, p = gamut(30), np.random.default_rng(0).dirichlet(np.ones(54))
    w = np.linspace(0.2, 5, 54)
    assert bins.decode(np.log(p * w)[None], weights=w)[0] == pytest.approx(p @ bins.centres.astype("float64"))


def test_encoding_and_decoding_give_the_colour_back():
    ab = np.random.default_rng(0).uniform(-20, 20, (50, 2))
    bins = gamut(10)
    indices, values = bins.soft(ab)
    scores = np.full((50, bins.q), -1e3)
    np.put_along_axis(scores, indices, np.log(values), axis=1)
    assert np.abs(bins.decode(scores) - ab).max() < 1 < np.abs(bins.decode(scores, "mode") - ab).max() <= 5


def test_bins_travel_with_a_model_to_a_gpu(cuda_on_cpu):
    """gpucopy moves every array that it finds; bins still take arrays from anywhere."""
    bins, ab, scores = gamut(30), places().astype("float32"), randn(5, 54).astype("float32")
    moved = mc.gpucopy([bins])[0]
    assert on_gpu(moved.centres) and not on_gpu(bins.centres)
    for put_ in (np.asarray, cuda_on_cpu.asarray):
        for mine in (bins, moved):
            assert np.array_equal(to("cpu", mine.encode(put_(ab))), bins.encode(ab))
            assert np.allclose(to("cpu", mine.decode(put_(scores))), bins.decode(scores), atol=1e-4)
            assert np.array_equal(to("cpu", mine.decode(put_(scores), "bin mean")), bins.decode(scores, "mode"))
    prior = Prior(moved)
    prior.add(cuda_on_cpu.asarray(ab))
    assert prior.zhang().shape == (54,) and prior.means.shape == (54, 2)
    assert np.array_equal(moved.subset(prior.counts > 0).centres, bins.centres[prior.counts > 0])


def test_tables_stay_on_the_gpu(cuda_on_cpu, monkeypatch):
    """Only the first batch brings them there."""
    bins, ab, asarray, copied = gamut(25), cuda_on_cpu.asarray(places().astype("float32")), cuda_on_cpu.asarray, []

    def counting(x, *args, **kw):
        copied.append(type(x) is np.ndarray)
        return asarray(x, *args, **kw)
    monkeypatch.setattr(cuda_on_cpu, "asarray", counting)
    for f in (bins.encode, bins.soft):
        f(ab)
        assert any(copied)
        copied.clear()
        f(ab)
        assert not any(copied)


# ------------------------------------------------------------------ priors


def counted(bins, n=500, seed=1):
    prior, ab = Prior(bins), single(np.random.default_rng(seed).normal(0, 20, (n, 2)))
    prior.add(ab)
    return prior, ab


def test_prior_counts_batch_by_batch(backend):
    bins, ab = gamut(20), np.random.default_rng(1).normal(0, 20, (300, 2)).astype("float32")
    prior = Prior(bins)
    for part in (ab[:96].reshape(2, 6, 8, 2), ab[96:], np.full((1, 2), math.nan)):
        prior.add(put(backend, part))
    which = distances(bins, ab.astype("float64")).argmin(axis=1)
    for i in range(bins.q):
        mine = ab[which == i].astype("float64")
        assert prior.counts[i] == len(mine) and prior.p[i] == pytest.approx(len(mine) / 300)
        assert prior.means[i] == pytest.approx(mine.mean(axis=0) if len(mine) else bins.centres[i], abs=1e-4)


def smoothed_oracle(prior, sigma):
    """Every bin hands its share out by a Gaussian of the distance."""
    p, d = np.zeros(prior.bins.q), distances(prior.bins, prior.bins.centres.astype("float64"))
    for i, share in enumerate(prior.counts / prior.counts.sum()):
        g = np.array([math.exp(-x * x / (2 * sigma * sigma)) for x in d[i]])
        p += share * g / sum(g)
    return p


@pytest.mark.parametrize("bins", [gamut(10), grid18()], ids=repr)
@pytest.mark.parametrize("sigma", [2, 5, 20])
def test_smoothing_is_in_the_ab_plane(bins, sigma):
    prior, _ = counted(bins)
    assert np.allclose(prior.smoothed(sigma), smoothed_oracle(prior, sigma), atol=1e-14)
    assert prior.smoothed(sigma).sum() == pytest.approx(1)
    assert np.array_equal(prior.smoothed(0), prior.p)


@pytest.mark.parametrize("lambda_", [0, 0.5, 1])
def test_zhang_weights(lambda_):
    prior, _ = counted(gamut(10))
    w, p, occurs = prior.zhang(lambda_), smoothed_oracle(prior, 5), prior.counts > 0
    assert w.dtype == np.float32 and 0 < occurs.sum() < 313
    assert np.sum(p * w) == pytest.approx(1)
    for i in np.flatnonzero(occurs):
        assert w[i] / w[120] == pytest.approx(((1 - lambda_) * p[120] + lambda_ / occurs.sum())
                                              / ((1 - lambda_) * p[i] + lambda_ / occurs.sum()), rel=1e-5)
    assert w[~occurs] == pytest.approx(w[occurs].max())


def test_weights_by_minus_log():
    prior, _ = counted(grid18())
    w = prior.minus_log()
    for i in range(324):
        assert w[i] == pytest.approx(-math.log(prior.counts[i] / 500) if prior.counts[i] else math.log(500), rel=1e-6)
    assert w.argmin() == prior.counts.argmax() and (prior.counts == 0).any()


def test_bins_that_occur():
    prior, ab = counted(gamut(20))
    some = prior.bins.subset(prior.counts > 0)
    assert some.q == (prior.counts > 0).sum() < 101
    again = Prior(some)
    again.add(ab)
    assert np.array_equal(again.counts, prior.counts[prior.counts > 0])


def test_prior_on_disk(tmp_path):
    prior, _ = counted(gamut(20))
    prior.save(tmp_path / "prior.safetensors")
    loaded = Prior.load(tmp_path / "prior.safetensors", gamut(20))
    assert np.array_equal(loaded.counts, prior.counts) and np.array_equal(loaded.sums, prior.sums)
    loaded.add(np.zeros((1, 2), "float32"))
    assert loaded.counts.sum() == 501
    with pytest.raises(ValueError, match="counts of 101 bins, which are not these 54"):
        Prior.load(tmp_path / "prior.safetensors", gamut(30))
    (tmp_path / "broken").write_bytes((tmp_path / "prior.safetensors").read_bytes()[:50])
    with pytest.raises(ValueError, match="not a safetensors file, or is cut short"):
        Prior.load(tmp_path / "broken", gamut(20))


@pytest.mark.parametrize("wrong, error, words", [
    (lambda b: b.encode(np.zeros((3, 3))), ValueError, r"ab of shape \(\.\.\., 2\), got \(3, 3\)"),
    (lambda b: b.encode(np.zeros((3, 2), "uint8")), TypeError, "float32 or float64 arrays, got uint8"),
    (lambda b: b.soft(np.zeros((3, 2)), k=55), ValueError, "k of at most 54, the number of bins, got 55"),
    (lambda b: b.soft(np.zeros((3, 2)), k=2.5), TypeError, "k as an int, got 2.5"),
    (lambda b: b.soft(np.zeros((3, 2)), sigma=0), ValueError, "sigma above 0, got 0"),
    (lambda b: b.decode(np.zeros((3, 53))), ValueError, r"scores of shape \(\.\.\., 54\), got \(3, 53\)"),
    (lambda b: b.decode(np.zeros((3, 54)), "median"), ValueError, "how='median': expected 'mean'"),
    (lambda b: b.decode(np.zeros((3, 54)), "annealed", T=0), ValueError, "T above 0, got 0: how='mode'"),
    (lambda b: b.decode(np.zeros((3, 54)), weights=np.zeros(54)), ValueError, "54 weights above 0"),
    (lambda b: b.subset(np.ones(3, bool)), ValueError, r"mask of 54 booleans, not all False, got bool \(3,\)"),
    (lambda b: b.subset(np.arange(54)), ValueError, "mask of 54 booleans"),
    (lambda b: gamut(1), ValueError, "step of at least 2 ab units, got 1"),
    (lambda b: gamut("10"), TypeError, "step as a number, got '10'"),
    (lambda b: Bins(np.zeros((0, 2))), ValueError, r"centres of shape \(q, 2\)"),
    (lambda b: Prior(b).p, ValueError, "no pixels: call add"),
    (lambda b: counted(b)[0].zhang(1.5), ValueError, "lambda_ from 0 to 1, got 1.5"),
    (lambda b: counted(b)[0].smoothed(-1), ValueError, "sigma of at least 0, got -1"),
])
def test_errors_name_what_was_wrong(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong(gamut(30))
