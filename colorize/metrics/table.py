"""How good colours are. The numbers of grey and of one mean colour everywhere stand beside those of the models.

    metrics = Metrics(mean_ab=mean_of(ab for _, ab in training))
    for L, ab in photos:
        metrics.add(L, model.colorize(L), ab)
    print(metrics)                          # or metrics.result(), a dict of rows

Grey beats trained models on PSNR and CIEDE2000, since most photos are nearly grey, so always look at its row, too.
Arrays are NumPy's or CuPy's: L (N, H, W, 1) in 0..100, ab (N, H, W, 2) in Lab units, RGB (N, H, W, 3) in 0..1.
"""
import math

import numpy as np

from minicnn.device import to, xp

from ..cli import aligned
from ..color.bins import gamut
from ..color.norms import normalise
from ..color.spaces import lab_to_rgb
from .difference import ciede2000
from .ssim import ssim, ssim_of_stack

__all__ = ["Metrics", "auc", "bin_accuracy", "colourfulness", "grey", "mean_ab", "mean_of", "measures", "pooled_psnr",
           "psnr", "rebalanced_auc", "rising", "table"]

# ------------------------------------------------------------------ what a model has to beat


def grey(ab):
    """The answer "no colour", which is zeros like ab."""
    return xp(ab).zeros_like(ab)


def mean_ab(ab, mean):
    """The answer "always this colour", which is mean (2,) at each pixel of ab (..., 2)."""
    return grey(ab) + xp(ab).asarray(mean, ab.dtype)


def mean_of(batches):
    """The mean colour (2,) of all pixels of many arrays ab (..., 2), taken one at a time.

    >>> mean_of([np.array([[1., 2.]]), np.array([[3., 4.], [5., 0.]])])
    array([3., 2.])
    """
    total, n = np.zeros(2), 0
    for ab in batches:
        total, n = total + to("cpu", ab.reshape(-1, 2).sum(0, dtype="float64")), n + ab.size // 2
    if not n:
        raise ValueError("mean_of got no pixels: give it at least one array ab")
    return total / n


# ------------------------------------------------------------------ PSNR


def psnr(x, y, *, data_range=1.0):
    """The PSNR (N,), in dB, of each image of x and y (N, ...). It is infinite for equal images.

    >>> psnr(np.zeros((1, 4, 4, 3)), np.full((1, 4, 4, 3), 0.1)).round(6)
    array([20.])
    """
    _alike("psnr", x, y)
    with np.errstate(divide="ignore"):
        return -10 * xp(x).log10(_mse(x, y) / data_range ** 2)


def pooled_psnr(x, y, *, data_range=1.0):
    """One PSNR, in dB, of the mean squared error of all images. The UF report gives this for ab / 255.

    It is at most the mean of `psnr`, since a bad image weighs more than a good one.
    """
    _alike("pooled_psnr", x, y)
    return _decibel(float(_mse(x, y).mean()) / data_range ** 2)


def _mse(x, y):
    """The mean squared error (N,) of each image."""
    return ((x - y) ** 2).reshape(len(x), -1).mean(1, dtype="float64")


def _decibel(mse):
    return math.inf if mse == 0 else -10 * math.log10(mse)


# ------------------------------------------------------------------ colours


def colourfulness(rgb):
    """How colourful (N,) images (N, H, W, 3) look, by M3 of Hasler and Suesstrunk (2003): 0 is grey, 80 vivid."""
    if rgb.ndim != 4 or rgb.shape[-1] != 3 or rgb.dtype.kind != "f":
        raise ValueError(f"colourfulness needs floating RGB in 0..1, (N, H, W, 3), got {rgb.dtype} {rgb.shape}")
    r, g, b = (rgb[..., k].reshape(len(rgb), -1).astype("float64") * 255 for k in range(3))
    rg, yb = r - g, (r + g) / 2 - b
    return xp(rgb).sqrt(rg.var(1) + yb.var(1)) + 0.3 * xp(rgb).sqrt(rg.mean(1) ** 2 + yb.mean(1) ** 2)


REACH = 150                     # ab units; AuC counts larger errors as this


def auc(predicted, true):
    """The area under the cumulative curve: the share of pixels with an ab error up to t, in percent, averaged over
    t = 0 .. 150. This equals 100 minus the mean error in percent of 150, where larger errors count as 150.

    >>> auc(np.array([[[[3., 4.]]]]), np.zeros((1, 1, 1, 2)))
    96.66666666666667
    """
    return _area(*_summed(predicted, true, None))


def rebalanced_auc(predicted, true, bins=None, prior=None):
    """`auc` with pixels weighted by how rare their true colour is, which is 1 / prior (Q,) of its bin.

    The bins are the 313 if you give none, and the prior is that of these images, so that all colours that occur weigh
    the same.
    """
    return _area(*_summed(predicted, true, bins or gamut()), prior)


def _summed(predicted, true, bins):
    """(errors, pixels), both (Q,): the sum of the errors and the number of pixels for each bin of true colours."""
    _alike("AuC", predicted, true)
    m = xp(true)
    error = m.minimum(m.sqrt(((predicted - true) ** 2).sum(-1)), REACH).reshape(-1)
    if bins is None:
        return np.array([float(error.sum(dtype="float64"))]), np.array([error.size])
    label = bins.encode(true).reshape(-1)
    sums = m.bincount(label, error, minlength=len(bins)), m.bincount(label, minlength=len(bins))
    return tuple(to("cpu", s) for s in sums)


def _area(errors, pixels, prior=None):
    seen = pixels > 0
    p = (pixels if prior is None else np.asarray(prior, "float64"))[seen]
    if not (p > 0).all():
        raise ValueError(f"the prior is 0 for {int((p <= 0).sum())} bins that occur: smooth it, or give none")
    return float(100 - 100 / REACH * (errors[seen] / p).sum() / (pixels[seen] / p).sum())


def bin_accuracy(predicted, true):
    """The share of pixels whose predicted bin (...) is the true bin (...). predicted (..., k) has k guesses for each.

    Pixels with a true bin below 0 do not count.

    >>> bin_accuracy(np.array([[1, 2], [3, 4], [5, 6]]), np.array([2, 9, -1]))
    0.5
    """
    if predicted.ndim == true.ndim:
        predicted = predicted[..., None]
    if predicted.shape[:-1] != true.shape or predicted.dtype.kind not in "iu" or true.dtype.kind not in "iu":
        raise ValueError("bin_accuracy needs integer arrays, predicted (...) or (..., k) and true (...), got "
                         f"{predicted.dtype} {predicted.shape} and {true.dtype} {true.shape}")
    known = true >= 0
    if not known.any():
        raise ValueError("bin_accuracy got no pixel with a true bin of at least 0: all are skipped")
    return float((predicted == true[..., None]).any(-1)[known].mean())


def _alike(name, x, y):
    if x.shape != y.shape or x.dtype.kind != "f" or y.dtype.kind != "f":
        raise ValueError(f"{name} needs two floating arrays of one shape, got {x.dtype} {x.shape} and {y.dtype} "
                         f"{y.shape}")
    if not x.size:
        raise ValueError(f"{name} needs at least one pixel, got shape {x.shape}")


# ------------------------------------------------------------------ all of them over a stream


class Metrics:
    """Every measure over a stream of batches, in rows: the models, grey, the mean colour, and the truth.

    mean_ab    the colour (2,) of the row "mean ab", which mean_of gives for the training photos or for these
    bins       the bins for "auc rebalanced" and "bin accuracy"; by default the 313
    prior      the prior of those bins for "auc rebalanced"; by default that of all pixels seen
    window     the window of SSIM, "uniform" or "gaussian"; None leaves SSIM out, which takes half of the time
    as_published   adds the UF report's SSIM across images; this keeps ab of all images, which must be of one size
    models     the names of the models' rows if there are several

    "ab mse", "ciede2000", "chroma", AuC and accuracy are means over pixels, the others over images. A PSNR above
    100 dB counts as 100. PSNR and SSIM of a and b are those of 8-bit Lab over 255, where grey is about 0.5.
    """

    def __init__(self, mean_ab, *, bins=None, prior=None, window="uniform", as_published=False,
                 models=("model",)):
        if np.shape(mean_ab) != (2,):
            raise ValueError(f"Metrics needs mean_ab as two numbers, got shape {np.shape(mean_ab)}: see mean_of")
        self.mean, self.prior, self.window = np.asarray(mean_ab, "float64"), prior, window
        self.bins = bins or gamut()
        self.published = [] if as_published else None
        self.models = tuple(models)
        names = (*self.models, "grey", "mean ab", "truth")
        if len(set(names)) < len(names):
            raise ValueError(f"Metrics got models={self.models}: names must differ from each other and from grey, "
                             "mean ab and truth")
        self.rows = {name: _Row(self) for name in names}

    def add(self, L, predicted, true):
        """Add a batch: L (N, H, W, 1), the predicted ab (N, H, W, 2), or {model: ab} for several, and the true ab."""
        predicted = predicted if isinstance(predicted, dict) else {"model": predicted}
        if set(predicted) != set(self.models):
            raise ValueError(f"Metrics.add got ab of {', '.join(predicted)}, expected {', '.join(self.models)}")
        for ab in predicted.values():
            _alike("Metrics.add", ab, true)
        if true.ndim != 4 or true.shape[-1] != 2 or L.shape != (*true.shape[:-1], 1):
            raise ValueError(f"Metrics.add needs L (N, H, W, 1) and ab (N, H, W, 2), got {L.shape} and {true.shape}")
        answers = {**predicted, "grey": grey(true), "mean ab": mean_ab(true, self.mean), "truth": true}
        if self.published is not None:
            self.published.append([to("cpu", answers[name]) for name in self.rows])
        for i in range(len(true)):
            target = _Image(L[i:i + 1], true[i:i + 1], self.bins)
            for name, ab in answers.items():
                self.rows[name].add(target, _Image(L[i:i + 1], ab[i:i + 1], self.bins))

    def result(self):
        """{row: {measure: number}}, in the order of the table."""
        rows = {name: row.result(self.prior) for name, row in self.rows.items()}
        if self.published is not None:
            everything = [normalise("faces", ab=np.concatenate(stacks))[1] for stacks in zip(*self.published)]
            for row, stack in zip(rows.values(), everything):
                for k, channel in enumerate("ab"):
                    row[f"ssim {channel} as published"] = ssim_of_stack(stack[..., k], everything[-1][..., k])
        return rows

    def latest(self):
        """{row: {measure: number}} for the last image alone, without AuC."""
        return {name: row.numbers(*row.last) for name, row in self.rows.items()}

    def __str__(self):
        return table(self.result())


def measures():
    """The names of the measures in a row of Metrics with a window, in their order."""
    return [*_Row.numbers(np.ones(7), np.ones(8)), "auc", "auc rebalanced"]


def table(rows):
    """{row: {measure: number}} as text, with a line for each measure and a column for each row.

    >>> print(table({"ours": {"psnr": 22.5, "ssim": 0.25}, "grey": {"psnr": 24}}))
           ours   grey
    psnr  22.50  24.00
    ssim   0.25      -
    """
    keys = dict.fromkeys(key for row in rows.values() for key in row)
    lines = [("", *rows)] + [(key, *(_short(row[key]) if key in row else "-" for row in rows.values()))
                             for key in keys]
    return aligned(lines)


def rising(measure):
    """Is a larger value of the measure better?

    >>> rising("psnr b pooled"), rising("ab mse")
    (True, False)
    """
    return measure.startswith(("psnr", "ssim", "auc", "bin accuracy", "mean colour r2", "colour-this accuracy"))


def _short(x):
    return f"{x:.4g}" if abs(x) < 1 else f"{x:.2f}"


class _Image:
    """What several measures need of one image."""

    def __init__(self, L, ab, bins):
        self.ab, self.lab, self.labels = ab, xp(ab).concatenate([L.astype(ab.dtype), ab], -1), bins.encode(ab)
        self.rgb = lab_to_rgb(self.lab)
        self.colourfulness = float(colourfulness(self.rgb)[0])


class _Row:
    """The running sums of one row."""

    def __init__(self, of):
        self.bins, self.window = of.bins, of.window
        self.pixels, self.images, self.n = 0, 0, 0      # sums over pixels, sums over images, images
        self.last = None                                # both sums for the last image alone
        self.errors, self.counts = np.zeros(len(of.bins)), np.zeros(len(of.bins))

    def add(self, true, image):
        mse_a, mse_b = (float(_mse(image.ab[..., k], true.ab[..., k])[0]) for k in range(2))
        mse_rgb = float(_mse(image.rgb, true.rgb)[0])
        n = image.labels.size
        sums = [n, n * mse_a, n * mse_b, n * mse_rgb, _total(ciede2000(image.lab, true.lab)),
                _total(xp(image.ab).sqrt((image.ab ** 2).sum(-1))), _total(image.labels == true.labels)]
        numbers = [min(_decibel(mse), 100) for mse in (mse_rgb, mse_a / 255 ** 2, mse_b / 255 ** 2)]
        numbers += [image.colourfulness, abs(image.colourfulness - true.colourfulness)]
        if self.window:
            numbers.append(float(ssim(image.rgb, true.rgb, window=self.window)[0]))
            mine, theirs = (normalise("faces", ab=x.ab)[1] for x in (image, true))
            numbers += [float(ssim(mine[..., k:k + 1], theirs[..., k:k + 1], window=self.window)[0])
                        for k in range(2)]
        self.last = np.array(sums), np.array(numbers)
        self.pixels, self.images, self.n = self.pixels + self.last[0], self.images + self.last[1], self.n + 1
        errors, counts = _summed(image.ab, true.ab, self.bins)
        self.errors, self.counts = self.errors + errors, self.counts + counts

    def result(self, prior):
        if not self.n:
            raise ValueError("Metrics has seen no image: call add first")
        return {**self.numbers(self.pixels, self.images / self.n),
                "auc": _area(np.array([self.errors.sum()]), np.array([self.counts.sum()])),
                "auc rebalanced": _area(self.errors, self.counts, prior)}

    @staticmethod
    def numbers(sums, means):
        """{measure: number} from sums over pixels and means over images."""
        mse_a, mse_b, mse_rgb, difference, chroma, accuracy = (float(s) for s in sums[1:] / sums[0])
        numbers = {
            "ab mse": (mse_a + mse_b) / 2, "ab rmse": math.sqrt((mse_a + mse_b) / 2),
            "psnr": means[0], "psnr pooled": min(_decibel(mse_rgb), 100),
            "psnr a": means[1], "psnr a pooled": min(_decibel(mse_a / 255 ** 2), 100),
            "psnr b": means[2], "psnr b pooled": min(_decibel(mse_b / 255 ** 2), 100),
            **(dict(zip(("ssim", "ssim a", "ssim b"), means[5:]))),
            "ciede2000": difference, "chroma": chroma, "colourfulness": means[3],
            "colourfulness error": means[4], "bin accuracy": accuracy,
        }
        return {key: float(number) for key, number in numbers.items()}


def _total(x):
    return float(x.sum(dtype="float64"))
