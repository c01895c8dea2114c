"""How good a model is on photos that it is not trained on: loss and measures, beside grey and one mean colour."""
import copy

import numpy as np

import minicnn as mc
from minicnn.device import current, to

from ..color.spaces import lab_to_rgb, rgb_to_lab
from ..metrics.published import AsPublished
from ..metrics.table import Metrics, grey, mean_ab
from ..models.classifier import Classifier

__all__ = ["Validation", "survey"]

SPREADS = 5, 8, 12, 18, 27, 40, 60, 90      # ab units; baselines try these widths for the scores of a constant colour


def survey(batches, most, prior=None):
    """(mean ab, number of photos) of about the first `most` photos in uint8 batches. The Prior counts them, too. Only
    a sixteenth of the pixels are read."""
    total, pixels, photos = np.zeros(2), 0, 0
    for rgb in batches:
        ab = rgb_to_lab(to("cpu", rgb)[:, ::4, ::4])[..., 1:].reshape(-1, 2)
        total, pixels, photos = total + ab.sum(0, dtype="float64"), pixels + len(ab), photos + len(rgb)
        if prior is not None:
            prior.add(ab)
        if photos >= most:
            break
    return total / pixels, photos


class Validation:
    """Fixed photos, as a list of uint8 batches, and `mean`, the training photos' mean ab."""

    def __init__(self, batches, mean):
        self.batches, self.mean = [to("cpu", rgb) for rgb in batches], np.asarray(mean)

    def __len__(self):
        return sum(map(len, self.batches))

    def first(self, n):
        """The first n photos, or all if there are fewer."""
        return np.concatenate(self.batches)[:n]

    def loss(self, model):
        """The mean loss over the photos."""
        total = 0.0
        for rgb in self.batches:
            photos = to(current(), rgb)
            total += _number(model.loss(model.inputs(photos), model.targets(photos))) * self.weight(model, rgb)
        return total / len(self)

    def weight(self, model, rgb):
        """How many photos a batch's loss counts for. A loss that is a sum grows with the batch itself."""
        return len(self.batches[0]) if getattr(model, "reduce", "mean") == "sum" else len(rgb)

    def measures(self, model, most=None, window=None, published=False):
        """{row: {measure: number}} of Metrics for the first `most` photos. `window` is SSIM's. published=True adds
        the documents' own measures."""
        metrics, own = Metrics(self.mean, window=window), {row: AsPublished() for row in ("model", "grey", "mean ab")}
        for rgb in self.batches:
            lab = rgb_to_lab(to(current(), rgb[:most]))
            L, true = lab[..., :1], lab[..., 1:]
            predicted = model.colorize(L[..., 0])
            metrics.add(L, predicted, true)
            for row, ab in (("model", predicted), ("grey", grey(true)), ("mean ab", mean_ab(true, self.mean))):
                for photo in zip(L[..., 0], ab, true) if published else ():
                    own[row].add(*photo)
            most = None if most is None else most - len(true)
            if most == 0:
                break
        return {row: {**numbers, **(own[row].result() if published and row in own else {})}
                for row, numbers in metrics.result().items()}

    def baselines(self, model):
        """{"grey": loss, "mean ab": loss}: the model's own loss for always answering that colour."""
        answer = _probabilities if isinstance(model, Classifier) else _colours
        return {name: min(self.loss(_Constant(model, answer, np.asarray(ab), spread))
                          for spread in (SPREADS if isinstance(model, Classifier) else (None,)))
                for name, ab in (("grey", (0.0, 0.0)), ("mean ab", self.mean))}


class _Constant:
    """A model with the loss of the given one that always answers the same ab."""

    def __init__(self, model, answer, ab, spread):
        self.model, self.answer, self.constant, self.spread = copy.copy(model), answer, ab, spread

    def inputs(self, rgb):
        self.rgb = rgb
        return self.model.inputs(rgb)

    def targets(self, rgb):
        return self.model.targets(rgb)

    @property
    def reduce(self):
        return getattr(self.model, "reduce", "mean")

    def loss(self, x, y):
        self.model.net = lambda _: self.answer(self.model, self.rgb, y, self.constant, self.spread)
        return self.model.loss(x, y)


def _colours(model, rgb, y, ab, spread):
    """The answer of a regression that gives ab everywhere: its targets for the photos in that colour."""
    lab = rgb_to_lab(rgb)
    lab[..., 1:] = to(current(), ab.astype(lab.dtype))
    return model.targets(lab_to_rgb(lab, uint8=True))


def _probabilities(model, rgb, y, ab, spread):
    """The scores of a Gaussian around ab, since the loss of wrong certainty would have no bound."""
    indices = y[0] if isinstance(y, tuple) else y
    positions = indices.shape[:-1] if isinstance(y, tuple) else indices.shape
    scores = -np.square(to("cpu", model.bins.centres) - ab).sum(1) / (2 * spread ** 2)
    return to(current(), np.ascontiguousarray(np.broadcast_to(scores.astype("float32"), positions + scores.shape)))


def _number(loss):
    return float(mc.value(loss))
