"""What models that choose among bins of ab share: the bins, their weights, and the way from scores to colours."""
import numpy as np

import minicnn as mc
from minicnn.device import xp
from minicnn.ops.shapes import count, number

from ..color.bins import Bins, gamut, grid18
from ..color.grids import EDGE
from ..color.spaces import rgb_to_lab, rgb_to_luminance
from .base import Colorizer, choice
from .losses import grey_mask, rebalanced

__all__ = ["Classifier", "Quarter", "as_bins"]

DECODINGS = ("mode", "mean", "annealed", "bin mean")


class Classifier(Colorizer):
    """A Colorizer whose network gives scores (N, h, w, Q), and whose targets are bins.

    `rebalance(prior)` sets `class_weights` (Q,) and `bin_means` (Q, 2), which are frozen Params, so that they are
    saved with the model. Before decoding, probabilities are divided by the weights to the power of `undo`. With 1
    they become what they would be without weights; with 0 rare colours stay favoured.
    """

    def classes(self, bins, decode, temperature, rebalance, undo=0.0):
        """Check and keep the options for bins, decoding and rebalancing."""
        if not isinstance(temperature, (int, float)) or not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature!r}")
        self.bins, self.decoding, self.temperature = as_bins(bins), choice("decode", decode, DECODINGS), temperature
        if not isinstance(undo, (int, float)) or not 0 <= undo <= 1:
            raise ValueError("undo, the power of the weights that probabilities are divided by, must be in 0..1, "
                             f"got {undo!r}")
        self.scheme, self.undo = choice("rebalance", rebalance, ("zhang", "minus log", "none")), float(undo)
        self.class_weights = mc.param(np.ones(self.bins.q))
        self.bin_means = mc.param(np.array(self.bins.means))
        mc.freeze([self.class_weights, self.bin_means])

    def soft_targets(self, neighbours, sigma=5):
        """Check and keep the options for soft targets: how many bins, and the width of their Gaussian in ab units."""
        if count("targets", "neighbours", neighbours) > self.bins.q:
            raise ValueError(f"neighbours must be at most {self.bins.q}, the number of bins, got {neighbours}")
        if not number("targets", "sigma", sigma) > 0:
            raise ValueError(f"sigma must be above 0 ab units, got {sigma}")
        self.neighbours, self.sigma = int(neighbours), float(sigma)

    def rebalance(self, prior, lambda_=0.5, sigma=5):
        """Weigh the bins by how rare they are in the photos that the Prior has counted."""
        if prior.bins.q != self.bins.q:
            raise ValueError(f"the Prior counts {prior.bins.q} bins, and the model has {self.bins.q}: "
                             "make it with Prior(model.bins)")
        weights = {"zhang": lambda: prior.zhang(lambda_, sigma), "minus log": prior.minus_log,
                   "none": lambda: np.ones(self.bins.q)}[self.scheme]()
        for p, new in ((self.class_weights, weights), (self.bin_means, prior.means)):
            p.value = xp(p.value).asarray(np.asarray(new, "float32"))

    def ab(self, y, L):
        self.bins.means = mc.value(self.bin_means)
        weights = mc.value(self.class_weights) ** np.float32(self.undo) if self.undo else None
        return self.bins.decode(y, self.decoding, self.temperature, weights)


class Quarter(Classifier):
    """A Classifier that sees only lightness, and gives scores at a quarter of the photo's resolution."""

    of_lightness = True

    def quarters(self, neighbours, sigma, where):
        """Check and keep the options for soft targets, and `where` rare colours count more: "loss" or "gradient"."""
        self.soft_targets(neighbours, sigma)
        self.where = choice("where", where, ("loss", "gradient"))

    def inputs(self, rgb):
        return self.prepare(rgb_to_luminance(self.photos(rgb)))

    def targets(self, rgb):
        """(indices, values, whether the photo has any colour) for the mean ab of each 4x4 pixels."""
        ab = rgb_to_lab(self.photos(rgb))[..., 1:]
        n, h, w, _ = ab.shape
        ab = ab.reshape(n, h // 4, 4, w // 4, 4, 2).mean(axis=(2, 4))
        return self.bins.soft(ab, k=self.neighbours, sigma=self.sigma) + (grey_mask(ab),)

    def loss(self, x, y):
        indices, values, colourful = y
        return rebalanced(self(x), (indices, values), mc.value(self.class_weights), mask=colourful, where=self.where)


def as_bins(bins):
    """The bins for "313", "18x18", the step of a grid in the gamut such as 20 or "20", or Bins themselves."""
    if isinstance(bins, Bins):
        return bins
    if isinstance(bins, str) and bins == "18x18":
        return grid18()
    try:
        step = float(bins)
        step = 10.0 if step == 313 else step
    except (TypeError, ValueError):
        step = 0.0
    if isinstance(bins, bool) or not 2 <= step <= EDGE:
        raise ValueError(f"bins must be '313', '18x18', the step of a grid such as 20 (from 2 to {EDGE}), or Bins; "
                         f"got {bins!r}")
    return gamut(step)
