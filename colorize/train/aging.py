"""Training for old photos: the network sees an aged copy of a share of the photos."""
import zlib

import numpy as np

from minicnn.device import current, to

from ..color.spaces import rgb_to_luminance
from ..data.aging import aged

__all__ = ["Aging"]


class Aging:
    """A learner with a model's batch(rgb) and loss(x, y). The photos' pixels alone decide what is aged, and how."""

    def __init__(self, model, share):
        if not model.of_lightness:
            raise ValueError(f"--age needs a model that sees only lightness, and {model.name} does not: leave --age "
                             "out, or choose nano, studio or zhang")
        self.model, self.share, self.loss = model, share, model.loss

    def batch(self, rgb):
        rgb = to("cpu", self.model.photos(rgb))
        rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(rgb)))
        L = aged(rgb_to_luminance(rgb), self.share, rng)
        here = current()
        return self.model.prepare(to(here, L)), self.model.targets(to(here, rgb))
