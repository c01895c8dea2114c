"""What all sources of pictures share. Threads make the batches ahead. Order and random numbers can be repeated, and a
pass can begin at any batch."""
import copy
import os
import sys
import threading

import numpy as np

from minicnn.train.data import Data, here

from ..photo.photo import Unreadable
from ..threads import ahead
from .augment import DRAWS, Augment, draws

__all__ = ["Batches", "split"]

CROPS = ("random", "centre", "top-left")
TRIES = 1000                # after so many unusable photos in a row it is an error
SUBSTITUTE = 1 << 40        # places from here on are those of substitutes


def split(items, *shares, seed=None):
    """Split the items into several lists. Shares are numbers of items or fractions of all; a seed shuffles first.

    >>> split("abcdefgh", 0.5, 0.25, 2)
    [['a', 'b', 'c', 'd'], ['e', 'f'], ['g', 'h']]
    """
    items = list(items)
    if seed is not None:
        items = [items[i] for i in np.random.default_rng(seed).permutation(len(items))]
    sizes = [int(s * len(items) + 1e-9) if isinstance(s, float) else s for s in shares]
    if sum(sizes) > len(items) or min(sizes) < 0:
        raise ValueError(f"split got shares {shares}, that is {sum(sizes)} of {len(items)} items: make them smaller")
    ends = np.cumsum(sizes)
    return [items[end - size:end] for end, size in zip(ends, sizes)]


class Batches(Data):
    """Batches (batch, size, size, 3) of uint8 RGB, or what `then` makes of them.

    Iterating makes one pass; `resume(step)` goes on at any step without making the batches before it. A batch depends
    only on the seed, the pass and its number, not on `workers`, the number of threads (0: none). A photo that cannot
    be used is reported once. With shuffle another photo replaces it, so that batches keep their size; without, it is
    left out.

    names: the photos' paths, with / between folders. weights: {folder: how often a pass takes each of its photos, on
    average}. widen: {folder: up to how many times its photos are stretched sideways}. shuffle="once" repeats the
    first pass. then(batch) runs on the threads, too, as in then=model.batch. report(sentence) tells of a damaged
    photo.
    """

    def __init__(self, names, size, *, batch=32, shuffle=True, partial=False, seed=0, workers=2, crop="centre",
                 augment=None, weights=None, widen=None, then=None, report=None):
        if shuffle not in (True, False, "once"):
            raise ValueError(f"shuffle must be True, False or 'once', got {shuffle!r}")
        if crop not in CROPS + (None,):
            raise ValueError(f"crop must be one of {', '.join(CROPS)} or None, got {crop!r}")
        if augment is not None and not hasattr(augment, "window"):
            raise TypeError(f"augment must be an Augment, TENFOLD or None, got {type(augment).__name__}")
        self.names, self.size, self.crop, self.workers, self.then = names, size, crop, workers, then
        self.augment, self.report = augment or Augment(flip=0), report or _to_stderr
        self.groups = _groups(names, weights or {})
        self.widen = {i: most for most, members in _groups(names, widen or {}) for i in members.tolist() if most != 1}
        if any(most < 1 for most in self.widen.values()):
            raise ValueError(f"widen needs factors of 1 or more, got {widen}")
        if weights and shuffle is False:
            raise ValueError("weights draw photos at random: pass shuffle=True as well")
        self.unusable, self.first, self.lock = {}, 0, threading.Lock()
        photos = sum(round(weight * len(members)) for weight, members in self.groups)
        super().__init__(photos * self.augment.copies, batch, shuffle=shuffle, partial=partial, seed=seed)

    def picture(self, photo, copy, u, epoch):
        """Photo number `photo` as uint8 (size, size, 3) for the random numbers u; raises Unreadable."""
        raise NotImplementedError

    def window(self, photo, width, height, copy, u):
        """(window, mirrored) after crop and changes, for a photo of width x height pixels after resizing."""
        width = round(width * (1 + (self.widen.get(photo, 1) - 1) * u[2 + DRAWS]))
        left, top, right, bottom = 0.0, 0.0, 1.0, 1.0
        if self.crop is not None:
            free = width - self.size, height - self.size
            x, y = {"random": [int(u[i] * (free[i] + 1)) for i in (0, 1)],
                    "centre": [n // 2 for n in free], "top-left": (0, 0)}[self.crop]
            left, top, right, bottom = x / width, y / height, (x + self.size) / width, (y + self.size) / height
        (x0, y0, x1, y1), mirrored = self.augment.window(copy, u[2:])
        across, down = right - left, bottom - top
        return (left + x0 * across, top + y0 * down, left + x1 * across, top + y1 * down), mirrored

    def making(self, then):
        """The same batches with another `then`. Both share the list of damaged photos."""
        others = copy.copy(self)
        others.then = then
        return others

    def batch(self, indices):
        """The pictures of these photos, with the random numbers of the first pass. Photos that cannot be used are
        left out; the answer is None if no photo is left."""
        indices = np.asarray(indices)
        return self._made(indices * self.augment.copies, indices, 0, None)

    # -------------------------------------------------------------- passes

    def resume(self, step):
        """Go on with batch number `step`, counted from the start of the first pass. Returns self."""
        self.passes, self.first = divmod(step, len(self))
        return self

    def order(self, epoch):
        """The entry at each place of a pass: photo number * copies + number of the copy."""
        rng, photos = np.random.default_rng([self.seed, epoch]), []
        for weight, members in self.groups:
            times, more = divmod(round(weight * len(members)), len(members))
            photos += [members] * times + ([rng.permutation(members)[:more]] if more else [])
        copies = self.augment.copies
        entries = (np.concatenate(photos)[:, None] * copies + np.arange(copies)).reshape(-1)
        if self.shuffle:
            rng.shuffle(entries)
        return entries

    def __iter__(self):
        epoch, first = 0 if self.shuffle == "once" else self.passes, self.first
        self.passes, self.first = self.passes + 1, 0
        return self._pass(epoch, first)

    def _pass(self, epoch, first):
        order, nothing = self.order(epoch), True

        def numbered(i):
            places = np.arange(i * self.batchsize, min((i + 1) * self.batchsize, len(order)))
            return self._made(order[places], places, epoch, order)
        for made in ahead(numbered, range(first, len(self)), self.workers):
            if made is not None:
                nothing = False
                yield here(made)
        if nothing:
            raise ValueError(self.useless())

    # -------------------------------------------------------------- one batch

    def _made(self, entries, places, epoch, order):
        """The batch, or None if none of its photos can be used."""
        pictures, n = np.empty((len(entries), self.size, self.size, 3), "uint8"), 0
        for entry, place, u in zip(entries, places, draws(self.seed, epoch, places, 3 + DRAWS).tolist()):
            picture = self._tried(entry, u, epoch)
            if picture is None and self.shuffle and order is not None:
                picture = self._stand_in(place, u, epoch, order)
            if picture is not None:
                pictures[n], n = picture, n + 1
        if n == 0:
            return None
        return pictures[:n] if self.then is None else self.then(pictures[:n])

    def _tried(self, entry, u, epoch):
        photo, copy = divmod(int(entry), self.augment.copies)
        if photo not in self.unusable:
            try:
                return self.picture(photo, copy, u, epoch)
            except Unreadable as e:
                self._mark(photo, e)
        return None

    def _stand_in(self, place, u, epoch, order):
        """Another photo in place of one that cannot be used."""
        for share in draws(self.seed, epoch, [SUBSTITUTE + place], TRIES)[0]:
            picture = self._tried(order[int(share * len(order))], u, epoch)
            if picture is not None:
                return picture
            if len(self.unusable) == len(self.names):
                break
        raise ValueError(self.useless())

    def _mark(self, photo, error):
        with self.lock:
            if photo not in self.unusable:
                self.unusable[photo] = error
                if not isinstance(error, NearGrey):
                    self.report(f"{error}: the photo is skipped")

    def useless(self):
        """The sentence that says that no photo can be used."""
        return (f"no usable photo was found, since of {len(self.names)} photos {len(self.damaged)} cannot be read "
                f"and {len(self.grey)} are near-grey: give a folder of colour photos")

    @property
    def damaged(self):
        """The names of the photos that were tried and cannot be read."""
        return [self.names[i] for i, e in sorted(self.unusable.items()) if not isinstance(e, NearGrey)]

    @property
    def grey(self):
        """The names of the photos that were tried and left out because they have next to no colour."""
        return [self.names[i] for i, e in sorted(self.unusable.items()) if isinstance(e, NearGrey)]

    def scan(self):
        """Try every photo, so that `damaged` and `grey` are complete; returns how many can be used.

        The batches stay the same.
        """
        for _ in ahead(self._scan_one, range(len(self.names)), self.workers):
            pass
        return len(self.names) - len(self.unusable)

    def _scan_one(self, photo):
        self._tried(photo * self.augment.copies, [0.0] * (3 + DRAWS), 0)

    def __repr__(self):
        return (f"{type(self).__name__}({len(self.names)} photos, {len(self)} batches of {self.batchsize}, "
                f"{self.size} px)")


class NearGrey(Unreadable):
    """A photo that is left out because it has next to no colour."""


def _groups(names, weights):
    """[(weight, the numbers of its photos)]. If several folders hold a photo, the longest path decides."""
    wrong = {folder: w for folder, w in weights.items() if not (np.isscalar(w) and 0 <= w < 1e6)}
    if wrong:
        raise ValueError(f"folders need numbers from 0 to 1e6, got {wrong}")
    members = {folder: [] for folder in [None, *weights]}
    folders = sorted(weights, key=len, reverse=True)
    for i, name in enumerate(names):
        members[next((f for f in folders if name.startswith(f.rstrip("/") + "/")), None)].append(i)
    empty = [folder for folder in weights if not members[folder]]
    if empty:
        known = sorted({os.path.dirname(name) for name in names})
        raise ValueError(f"no photos are in the folders {', '.join(empty)}: "
                         f"choose from {', '.join(known)[:300]}")
    return [(weights.get(folder, 1), np.array(m)) for folder, m in members.items() if m]


def _to_stderr(sentence):
    print(sentence, file=sys.stderr)
