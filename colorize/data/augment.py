"""Random changes to photos: flips, scales and shifts.

A change only chooses a window of the photo and whether to mirror it, so each photo is resized once. The random
numbers depend only on the seed, the pass and the place in the pass, and never on threads or the batch size.
"""
import numpy as np

__all__ = ["Augment", "TENFOLD", "draws"]

DRAWS = 6                   # how many random numbers a change uses: flip, scale (3), shifts (2)
_GOLDEN, _MIX = np.uint64(0x9E3779B97F4A7C15), (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def draws(seed, epoch, places, n):
    """Random numbers in 0..1, float64 (len(places), n), by the splitmix64 hash.

    >>> np.array_equal(draws(1, 2, np.array([7, 8]), 3)[1:], draws(1, 2, np.array([8]), 3))
    True
    """
    key = _hashed(_hashed(_hashed(np.array([seed], "uint64")) + np.uint64(epoch)) + np.asarray(places, "uint64"))
    with np.errstate(over="ignore"):
        x = _hashed(key[:, None] + _GOLDEN * np.arange(1, n + 1, dtype="uint64"))
    return (x >> np.uint64(11)) * 2.0 ** -53


def _hashed(x):
    with np.errstate(over="ignore"):
        x = x + _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * _MIX[0]
        x = (x ^ (x >> np.uint64(27))) * _MIX[1]
        return x ^ (x >> np.uint64(31))


class Augment:
    """Random changes to a photo.

    flip: the chance that it is mirrored. scale: a window somewhere in it, with `scale` to 1 times its sides, fills
    the picture. vshift, hshift: up to this share is cut off at one end, and the rest is stretched over the picture.

    >>> Augment(scale=0.5).window(0, [0.1, 0.5, 0, 1, 0, 0])
    ((0.0, 0.25, 0.75, 1.0), True)
    """

    copies = 1              # how many of each photo a pass has

    def __init__(self, *, flip=0.5, scale=1.0, vshift=0.0, hshift=0.0):
        if not (0 <= flip <= 1 and 0 < scale <= 1 and 0 <= vshift < 1 and 0 <= hshift < 1):
            raise ValueError(f"Augment got flip={flip}, scale={scale}, vshift={vshift}, hshift={hshift}: give "
                             "shares from 0 to 1, scale above 0 and the shifts below 1")
        self.flip, self.scale, self.vshift, self.hshift = flip, scale, vshift, hshift

    def window(self, copy, u):
        """(window, mirrored) for copy number `copy` of a photo and the random numbers u (DRAWS,)."""
        side = self.scale + (1 - self.scale) * u[1]
        left, top = (1 - side) * u[2], (1 - side) * u[3]
        y, height = _cut(self.vshift, u[4])
        x, width = _cut(self.hshift, u[5])
        return (x + left * width, y + top * height, x + (left + side) * width, y + (top + side) * height), \
            bool(u[0] < self.flip)


def _cut(most, u):
    """(start, length) of what is left after up to `most` is cut off at one end, for u in 0..1."""
    share = most * (2 * u - 1)
    return (0.0, 1 - share) if share > 0 else (-share, 1 + share)


class _Several:
    """Several copies of each photo, each with its own changes."""

    def __init__(self, *changes):
        self.changes, self.copies = changes, len(changes)

    def window(self, copy, u):
        return self.changes[copy].window(copy, u)


def _tenfold():
    """The ten copies that the faces report's program makes: three are the same flip, and shifts cut off up to 60%."""
    same, flip, scale = Augment(flip=0), Augment(flip=1), Augment(flip=0, scale=0.6)
    down, across = Augment(flip=0, scale=0.6, vshift=0.6), Augment(flip=0, scale=0.6, hshift=0.6)
    down_flip, across_flip = Augment(flip=1, scale=0.6, vshift=0.6), Augment(flip=1, scale=0.6, hshift=0.6)
    return _Several(same, flip, scale, down, across, down_flip, across_flip, flip, flip, scale)


TENFOLD = _tenfold()
