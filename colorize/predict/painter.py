"""A Painter shows the lightness of a photo to a model, and paints the photo with the colours that it predicts."""
import threading

import numpy as np

from minicnn.device import current, to

from ..photo.photo import Photo
from ..photo.rgb_space import SRGB
from .hints import spread
from .recolor import lightness, painted

__all__ = ["SATURATION", "Painter"]

SATURATION = 1.2                            # chosen by eye: models tend to predict too little colour


class Painter:
    """Painter(model)(photo) is the photo in colour. Several threads may call it at once.

    saturation: the model's colours are multiplied by it; hints: see hints.py.
    """

    def __init__(self, model, saturation=SATURATION, hints=()):
        self.model, self.saturation, self.hints = model.fused(), saturation, tuple(hints)
        self.lock = threading.Lock()        # a fused network works for one thread at a time

    def guess(self, pixels, threads=1, space=SRGB):
        """The model's colours for a photo, with the hints: ab (h, w, 2) in Lab units, at the model's own size."""
        L = lightness(pixels, self.model.working_size(*pixels.shape[:2]), threads, space)
        with self.lock:
            ab = to("cpu", self.model.small(to(current(), L[None])))[0]
        if not np.isfinite(ab).all():
            raise ValueError("the model predicts numbers that are not finite: its weights are damaged")
        ab = ab * np.float32(self.saturation)
        return spread(ab, L, self.hints, pixels.shape[:2]) if self.hints else ab

    def __call__(self, photo, compare=False, threads=1):
        """The photo in colour; the pixels given may be overwritten. compare: before and after side by side."""
        pixels, ab = photo.pixels, self.guess(photo.pixels, threads, photo.space)
        height, width, channels = pixels.shape
        if not compare:
            own = pixels if channels == 3 and pixels.flags.writeable else None
            return photo.with_pixels(painted(pixels, ab, threads, own, photo.space))
        both = np.empty((height, 2 * width, 3), pixels.dtype)
        both[:, :width] = pixels
        painted(pixels, ab, threads, both[:, width:], photo.space)
        alpha = None if photo.alpha is None else np.tile(photo.alpha, 2)
        return Photo(both, alpha, photo.kind, photo.info, photo.notes, photo.space)
