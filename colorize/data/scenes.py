"""An endless stream of drawn pictures, so that first runs and tests need no download.

As in photos, the colour of a thing follows from its texture, its lightness and its surroundings, and little from its
place. A layout says what stands where. An eighth of all layouts are kept for validation, and no training picture has
one of them.
"""
import numpy as np

from .batches import Batches
from .drawing import Canvas
from .subjects import SUBJECTS

__all__ = ["LAYOUTS", "Scenes", "scene"]

LAYOUTS = 8192              # how many there are
SPLITS = {"train": 0, "val": 1}


class Scenes(Batches):
    """Batches (batch, size, size, 3) of uint8 RGB. A pass has so many `scenes`.

    With split="train" every pass shows new scenes. With split="val" all passes show the same scenes, whose layouts do
    not occur in training. Batches describes the other options.

    >>> next(iter(Scenes(size=64, batch=8, seed=1))).shape
    (8, 64, 64, 3)
    """

    def __init__(self, split="train", size=64, *, scenes=2048, batch=32, shuffle=False, partial=False, seed=None,
                 workers=2, then=None):
        if split not in SPLITS:
            raise ValueError(f"split must be 'train' or 'val', got {split!r}")
        if size < 16:
            raise ValueError(f"scenes need a size of at least 16 pixels, got size={size}")
        self.split = split
        names = [f"{split}/{i}" for i in range(scenes)]
        super().__init__(names, size, batch=batch, shuffle=shuffle, partial=partial, seed=seed, workers=workers,
                         crop=None, then=then)

    def picture(self, photo, copy, u, epoch):
        number = photo if self.split == "val" else epoch * len(self.names) + photo
        return scene(number, self.size, self.split, self.seed)


def scene(number, size=64, split="train", seed=0):
    """Scene number `number` of a stream: uint8 (size, size, 3)."""
    look = np.random.default_rng([seed, SPLITS[split], number])
    return drawn(layout(look, split), look, size)


def layout(look, split):
    """The number of a random layout. Layouts for validation are the multiples of 8."""
    eighth = int(look.integers(LAYOUTS // 8))
    return 8 * eighth if split == "val" else 8 * eighth + int(look.integers(1, 8))


def drawn(number, look, size):
    """A picture with layout number `number`, whose looks come from the generator `look`."""
    plan = np.random.default_rng([7, number])
    shares = np.array(list(SUBJECTS.values()))
    subject = list(SUBJECTS)[plan.choice(len(shares), p=shares / shares.sum())]
    canvas = Canvas(size, plan, look)
    subject(canvas)
    picture = canvas.finished()
    return np.ascontiguousarray(picture[:, ::-1]) if plan.random() < 0.5 else picture
