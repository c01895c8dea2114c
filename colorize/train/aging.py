"""A model that learns to colour old photos: of a share of them the network sees an aged copy."""
import zlib

import numpy as np

from minicnn.device import current, to

from ..color.spaces import rgb_to_luminance
from ..data.aging import aged

__all__ = ["Aging"]


class Aging:
    """batch(rgb) and loss(x, y) as a model has them; what is aged how follows from the photos' pixels alone."""

    def __init__(self, model, share):
        if not model.of_lightness:
            raise ValueError(f"--age needs a model that sees nothing but lightness, and {model.name} does not: leave "
                             "--age out, or choose nano, studio or zhang")
        self.model, self.share, self.loss = model, share, model.loss

    def batch(self, rgb):
        rgb = to("cpu", self.model.photos(rgb))
        rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(rgb)))
        L = aged(rgb_to_luminance(rgb), self.share, rng)
        here = current()
        return self.model.prepare(to(here, L)), self.model.targets(to(here, rgb))
