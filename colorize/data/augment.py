"""Random changes to photos: flips, scales, shifts. Each only chooses a window of the photo and whether to mirror it,
so that a photo is resized once, however it is changed.

Random numbers are a function of (seed, pass, place in the pass): no thread and no batch size can change them.
"""
import numpy as np

__all__ = ["Augment", "TENFOLD", "draws"]

DRAWS = 6                   # random numbers that a change may use: flip, scale (3), shifts (2)
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
    """Changes to a photo.

    flip: how often it is mirrored. scale: a window of `scale` to 1 times its sides, anywhere in it, fills the
    picture. vshift, hshift: up to this share is cut off one end, and the rest stretched over the picture.

    >>> Augment(scale=0.5).window(0, [0.1, 0.5, 0, 1, 0, 0])
    ((0.0, 0.25, 0.75, 1.0), True)
    """

    copies = 1              # how many of each photo a pass has

    def __init__(self, *, flip=0.5, scale=1.0, vshift=0.0, hshift=0.0):
        if not (0 <= flip <= 1 and 0 < scale <= 1 and 0 <= vshift < 1 and 0 <= hshift < 1):
            raise ValueError(f"Augment got flip={flip}, scale={scale}, vshift={vshift}, hshift={hshift}: they are "
                             "shares from 0 to 1; scale may not be 0, nor the shifts 1")
        self.flip, self.scale, self.vshift, self.hshift = flip, scale, vshift, hshift

    def window(self, copy, u):
        """The window, and whether it is mirrored, for random numbers u (DRAWS)."""
        side = self.scale + (1 - self.scale) * u[1]
        left, top = (1 - side) * u[2], (1 - side) * u[3]
        y, height = _cut(self.vshift, u[4])
        x, width = _cut(self.hshift, u[5])
        return (x + left * width, y + top * height, x + (left + side) * width, y + (top + side) * height), \
            bool(u[0] < self.flip)


def _cut(most, u):
    """(start, length) of what is left when up to `most` is cut off at one end."""
    share = most * (2 * u - 1)
    return (0.0, 1 - share) if share > 0 else (-share, 1 + share)


class _Several:
    """Several copies of each photo, each with its own changes."""

    def __init__(self, *changes):
        self.changes, self.copies = changes, len(changes)

    def window(self, copy, u):
        return self.changes[copy].window(copy, u)


def _tenfold():
    """The ten copies of the faces report, as its program made them: three are the same flip, two shifts cut up to
    60% off."""
    same, flip, scale = Augment(flip=0), Augment(flip=1), Augment(flip=0, scale=0.6)
    down, across = Augment(flip=0, scale=0.6, vshift=0.6), Augment(flip=0, scale=0.6, hshift=0.6)
    down_flip, across_flip = Augment(flip=1, scale=0.6, vshift=0.6), Augment(flip=1, scale=0.6, hshift=0.6)
    return _Several(same, flip, scale, down, across, down_flip, across_flip, flip, flip, scale)


TENFOLD = _tenfold()
