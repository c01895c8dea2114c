"""Quantised colour: sets of ab bins, the way from colours to bins and from scores to colours, and each bin's share.

    bins = gamut(10)                        # the 313 bins of Zhang et al.
    labels = bins.encode(ab)                # or bins.soft(ab)
    prior = Prior(bins); prior.add(ab)      # for every photo
    ab = bins.decode(scores, "annealed")
"""
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

import minicnn as mc
from minicnn.device import on_gpu, to, xp
from minicnn.dispatch import kernels
from minicnn.ops.shapes import count, floating, number

from . import grids
from .nearest import nearest, soft

__all__ = ["Bins", "Prior", "gamut", "grid18"]


def gamut(step=10):
    """The in-gamut grid points as bins, sorted by a, then b. Step 10 gives the 313 published bins, step 20 gives 101.

    >>> len(gamut(10)), len(gamut(30))
    (313, 54)
    """
    if not number("gamut", "step", step) >= 2:
        raise ValueError(f"gamut needs a step of at least 2 ab units, got {step}")
    return Bins(grids.in_gamut(float(step)))


def grid18():
    """The 18 x 18 grid over -110 .. 110: 324 bins, of which sRGB reaches 181.

    Neutral grey lies on a corner of four bins, so decoding to their centres tints it; `Bins.means` avoid that.

    >>> grid18().encode(np.array([[0., 0.], [-500., -500.], [500., 500.]]))
    array([171,   0, 323], dtype=int32)
    """
    return _Square(grids.square(18))


class Bins:
    """A set of ab bins, with `centres` (q, 2), float32, and `means`, the colours that decoding to "bin mean" gives.

    `means` are the centres until you set them, for instance to the `means` of a Prior.
    """

    def __init__(self, centres):
        centres = np.array(centres, "float32")
        if centres.ndim != 2 or centres.shape[1] != 2 or not len(centres) or not np.isfinite(centres).all():
            raise ValueError(f"Bins needs centres of shape (q, 2), q > 0, finite, got shape {centres.shape}")
        self.centres, self.means = centres, centres

    @property
    def q(self):
        return len(self.centres)

    def __len__(self):
        return self.q

    def __repr__(self):
        return f"{type(self).__name__}(q={self.q})"

    def subset(self, mask):
        """The bins where mask (q,) is true. `bins.subset(prior.counts > 0)` are those that occur."""
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != (self.q,) or not mask.any():
            raise ValueError(f"subset needs a mask of {self.q} booleans, not all False, "
                             f"got {mask.dtype} {mask.shape}")
        chosen = Bins(_main(self.centres)[mask])
        chosen.means = _main(self.means)[mask]
        return chosen

    def reachable(self):
        """Which bins (q,) are nearest to some sRGB colour. The faces of the RGB cube have every ab, so they suffice.

        >>> int(gamut(10).reachable().sum()), int(grid18().reachable().sum())
        (261, 181)
        """
        mask = np.zeros(self.q, bool)
        mask[self.encode(grids.faces())] = True
        return mask

    # -------------------------------------------------------------- colours to bins

    def encode(self, ab):
        """The index (...), int32, of the bin nearest to each of ab (..., 2). NaN gives -1, which losses skip.

        >>> gamut(10).encode(np.array([[[0., 0.], [1., 6.]]]))
        array([[120, 121]], dtype=int32)
        """
        return nearest(_flat("encode", ab), _main(self.centres)).reshape(ab.shape[:-1])

    def soft(self, ab, k=5, sigma=5):
        """Soft targets for mc.nll: (indices, values), both (..., k), of the k nearest bins with Gaussian weights.

        sigma is in ab units. The paper of Zhang et al. has k = 5, their release 10. NaN gives index -1 and value 0.

        >>> gamut(10).soft(np.zeros((1, 2)))[1].round(3)
        array([[0.649, 0.088, 0.088, 0.088, 0.088]])
        """
        if count("soft", "k", k) > self.q:
            raise ValueError(f"soft needs k of at most {self.q}, the number of bins, got {k}")
        if not number("soft", "sigma", sigma) > 0:
            raise ValueError(f"soft needs sigma above 0, got {sigma}")
        found = soft(_flat("soft", ab), _main(self.centres), int(k), float(sigma))
        return tuple(x.reshape(ab.shape[:-1] + (int(k),)) for x in found)

    # -------------------------------------------------------------- scores to colours

    def decode(self, scores, how="mean", T=0.38, weights=None):
        """ab (..., 2) of raw scores (..., q), which softmax would turn into probabilities.

        how: "mean"; "mode", the centre of the best bin; "bin mean", its entry in `means`; or "annealed", the mean
        after probabilities ** (1 / T), which lies between the mode (T near 0) and the mean (T = 1). weights (q,): the
        class weights of the training loss, which are divided out of the probabilities.

        >>> gamut(10).decode(np.eye(313)[[0]] * 99, "mode")
        array([[-90.,  50.]])
        """
        scores = mc.value(scores)
        floating("decode", scores=scores)
        if not scores.ndim or scores.shape[-1] != self.q:
            raise ValueError(f"decode needs scores of shape (..., {self.q}), got {scores.shape}")
        if how not in ("mean", "mode", "bin mean", "annealed"):
            raise ValueError(f"decode got how={how!r}: expected 'mean', 'mode', 'bin mean' or 'annealed'")
        if not number("decode", "T", T) > 0:
            raise ValueError(f"decode needs T above 0, got {T}: how='mode' is the limit at 0")
        bias = np.zeros(self.q) if weights is None else -np.log(self._positive(weights))
        flat, bias = scores.reshape(-1, self.q), _beside(scores, bias)
        if how in ("mode", "bin mean"):
            ab = _beside(scores, self.centres if how == "mode" else self.means)[(flat + bias).argmax(axis=-1)]
        else:
            ab = _expected(flat, bias, 1.0 if how == "mean" else 1 / T, _beside(scores, self.centres))
        return ab.reshape(scores.shape[:-1] + (2,))

    def _positive(self, weights):
        weights = np.asarray(_main(mc.value(weights)), "float64")
        if weights.shape != (self.q,) or not (weights > 0).all():
            raise ValueError(f"decode needs {self.q} weights above 0, got shape {weights.shape}")
        return weights


@kernels(cpu="colorize.color.bins_cpu.expected")
def _expected(scores, bias, scale, centres):
    """softmax((scores + bias) * scale) @ centres"""
    return mc.softmax((scores + bias) * scores.dtype.type(scale)) @ centres


class _Square(Bins):
    """An n x n grid over -110 .. 110. Colours outside of it belong to the bins at its edge."""

    def encode(self, ab):
        n = int(self.q ** 0.5)
        flat = _flat("encode", ab)
        bad = ~np.isfinite(flat).all(axis=1)
        place = np.floor((flat + grids.EDGE) * (n / (2 * grids.EDGE))).clip(0, n - 1)
        index = xp(flat).where(bad, -1, place[:, 0] * n + place[:, 1])
        return index.astype("int32").reshape(ab.shape[:-1])


def _flat(name, ab):
    """ab as (P, 2)."""
    floating(name, ab=ab)
    if not ab.ndim or ab.shape[-1] != 2:
        raise ValueError(f"{name} needs ab of shape (..., 2), got {ab.shape}")
    return mc.value(ab).reshape(-1, 2)


def _main(x):
    """x in main memory. The bins may be on a GPU, since they are copied with their model."""
    return to("cpu", x)


def _beside(scores, x):
    """x on the device and with the dtype of the scores."""
    return (xp(scores).asarray(x) if on_gpu(scores) else _main(x)).astype(scores.dtype)


# ------------------------------------------------------------------ how common each bin is


class Prior:
    """How often each bin occurs. It gathers `counts` (q,) of pixels and `sums` (q, 2) of their ab, batch by batch."""

    def __init__(self, bins):
        self.bins, self.counts, self.sums = bins, np.zeros(bins.q, "int64"), np.zeros((bins.q, 2))

    def add(self, ab):
        """Count the pixels of ab (..., 2), but for NaN."""
        labels, ab = _main(self.bins.encode(ab)).reshape(-1), _main(ab).reshape(-1, 2)
        if (labels < 0).any():
            labels, ab = labels[labels >= 0], ab[labels >= 0]
        self.counts += np.bincount(labels, minlength=self.bins.q)
        for axis in (0, 1):
            self.sums[:, axis] += np.bincount(labels, ab[:, axis], self.bins.q)

    @property
    def p(self):
        """The share of each bin (q,), float64."""
        if not self.counts.any():
            raise ValueError("this Prior has counted no pixels: call add(ab) first")
        return self.counts / self.counts.sum()

    @property
    def means(self):
        """The mean ab (q, 2) of each bin's pixels, float32. A bin without pixels gives its centre."""
        means = self.sums / np.maximum(self.counts, 1)[:, None]
        return np.where(self.counts[:, None] > 0, means, _main(self.bins.centres)).astype("float32")

    def smoothed(self, sigma=5):
        """p (q,), of which each bin's share is spread over the bins around it by a Gaussian. The sum stays 1."""
        if not number("smoothed", "sigma", sigma) >= 0:
            raise ValueError(f"smoothed needs sigma of at least 0, got {sigma}")
        if sigma == 0:
            return self.p
        centres = _main(self.bins.centres).astype("float64")
        squares = np.square(centres[:, None] - centres).sum(axis=2)
        kernel = np.exp(-squares / (2 * sigma ** 2))
        return self.p @ (kernel / kernel.sum(axis=1, keepdims=True))

    def zhang(self, lambda_=0.5, sigma=5):
        """Class weights w (q,), float32: 1 / ((1 - lambda) p~ + lambda / Q), scaled so that the sum of p~ w is 1.

        p~ is `smoothed`, and Q the number of bins that occur. The other bins get the largest weight of these, since
        the formula would give them weights without a bound.
        """
        if not 0 <= number("zhang", "lambda_", lambda_) <= 1:
            raise ValueError(f"zhang needs lambda_ from 0 to 1, got {lambda_}")
        p, occurs = self.smoothed(sigma), self.counts > 0
        w = 1 / ((1 - lambda_) * p[occurs] + lambda_ / occurs.sum())
        weights = np.full(self.bins.q, w.max())
        weights[occurs] = w
        return (weights / (p @ weights)).astype("float32")

    def minus_log(self):
        """Class weights -log p (q,), float32, as on the Knet slides. Bins without pixels count as if they had one."""
        return -np.log(np.maximum(self.p, 1 / self.counts.sum())).astype("float32")

    def save(self, path):
        """Write centres, counts and sums to a safetensors file."""
        save_file({"centres": _main(self.bins.centres), "counts": self.counts, "sums": self.sums}, str(path))

    @staticmethod
    def load(path, bins):
        """Read the Prior that `save` wrote for the same bins."""
        try:
            with safe_open(str(path), framework="numpy") as file:
                if sorted(file.keys()) != ["centres", "counts", "sums"]:
                    raise ValueError(f"{path} holds {', '.join(sorted(file.keys()))}, expected centres, counts, sums")
                centres, counts, sums = map(file.get_tensor, ("centres", "counts", "sums"))
        except SafetensorError as e:
            raise ValueError(f"{path} is not a safetensors file, or is cut short ({e})") from None
        if not np.array_equal(centres, _main(bins.centres)):
            raise ValueError(f"{path} has counts of {len(centres)} bins, which are not these {bins.q} bins")
        prior = Prior(bins)
        prior.counts, prior.sums = counts, sums
        return prior
