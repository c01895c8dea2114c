"""An endless stream of drawn pictures, for first runs and tests: nothing has to be downloaded.

The colour of each thing follows from its texture, its lightness and what is around it, as in photos; where things
stand does not say much about it. What is where, the layout, comes from a catalogue, of which an eighth is kept for
validation: no picture of the training stream has one of those.
"""
import numpy as np

from .batches import Batches
from .drawing import Canvas
from .subjects import SUBJECTS

__all__ = ["LAYOUTS", "Scenes", "scene"]

LAYOUTS = 8192              # in the catalogue
SPLITS = {"train": 0, "val": 1}


class Scenes(Batches):
    """Batches (batch, size, size, 3) of uint8 RGB. A pass has `scenes` of them.

    With split="train" no pass repeats the scenes of another; with "val" all passes show the same ones, whose layouts
    the training stream does not have. The rest is described in Batches.

    >>> next(iter(Scenes(size=64, batch=8, seed=1))).shape
    (8, 64, 64, 3)
    """

    def __init__(self, split="train", size=64, *, scenes=2048, batch=32, shuffle=False, partial=False, seed=None,
                 workers=2, then=None):
        if split not in SPLITS:
            raise ValueError(f"split is 'train' or 'val', got {split!r}")
        if size < 16:
            raise ValueError(f"scenes have at least 16 x 16 pixels, got size={size}")
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
    """The number of a layout; those of validation are the multiples of 8."""
    eighth = int(look.integers(LAYOUTS // 8))
    return 8 * eighth if split == "val" else 8 * eighth + int(look.integers(1, 8))


def drawn(number, look, size):
    """Layout number `number` with looks drawn from the generator `look`."""
    plan = np.random.default_rng([7, number])
    shares = np.array(list(SUBJECTS.values()))
    subject = list(SUBJECTS)[plan.choice(len(shares), p=shares / shares.sum())]
    canvas = Canvas(size, plan, look)
    subject(canvas)
    picture = canvas.finished()
    return np.ascontiguousarray(picture[:, ::-1]) if plan.random() < 0.5 else picture
