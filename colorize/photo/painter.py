"""A Painter colours photos: it looks at their lightness with a model, and paints them with what the model said."""
import threading

import numpy as np

from minicnn.device import current, to

from .coloring import lightness, painted
from .hints import spread
from .photo import Photo

__all__ = ["SATURATION", "SHORT_SIDE", "Painter", "side_by_side"]

SATURATION = 1.2                            # by eye: models guess too little colour rather than too much
SHORT_SIDE = 256                            # pixels at which models look that take any size


class Painter:
    """Painter(model)(photo) is the photo in colour. Several threads may call it.

    saturation: times how much colour than the model says; hints: see hints.py; threads: for each photo.
    """

    def __init__(self, model, saturation=SATURATION, hints=(), threads=1):
        self.model, self.saturation, self.hints, self.threads = model.fused(), saturation, tuple(hints), threads
        if self.model.fit == "short" and not self.model.fixed:
            self.model.size = SHORT_SIDE
        self.lock = threading.Lock()        # a fused network works for one thread at a time

    def guess(self, pixels):
        """The colours of a photo's pixels as the model sees them, hints included: ab (h, w, 2) in Lab units."""
        L = lightness(pixels, self.model.working_size(*pixels.shape[:2]), self.threads)
        with self.lock:
            ab = to("cpu", self.model.small(to(current(), L[None])))[0]
        if not np.isfinite(ab).all():
            raise ValueError("the model's answer has numbers that are not finite: its weights are damaged")
        ab = ab * np.float32(self.saturation)
        return spread(ab, L, self.hints, pixels.shape[:2]) if self.hints else ab

    def __call__(self, photo, compare=False):
        """The photo in colour; its own pixels may be overwritten. compare: before and after, side by side."""
        pixels, ab = photo.pixels, self.guess(photo.pixels)
        own = pixels if pixels.shape[2] == 3 and pixels.flags.writeable and not compare else None
        after = photo.with_pixels(painted(pixels, ab, self.threads, out=own))
        return side_by_side(photo, after) if compare else after


def side_by_side(before, after):
    """One Photo of two, which are of the same size."""
    first = np.broadcast_to(before.pixels, after.pixels.shape)
    alpha = None if after.alpha is None else np.concatenate([before.alpha, after.alpha], 1)
    return Photo(np.concatenate([first, after.pixels], 1), alpha, after.kind, after.info, after.notes)
