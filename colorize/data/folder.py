"""Batches of photos from disk. Memory does not grow with the number of photos.

    for rgb in Photos("photos/", 128, batch=32):            # uint8 (32, 128, 128, 3)
        ...
    Photos("photos/val.txt", 256, resize="squash", crop=None, shuffle=False, partial=True)
"""
import os

import numpy as np
from PIL import Image

from ..color.spaces import rgb_to_lab
from .batches import Batches, NearGrey
from .photos import RESAMPLINGS, decoded, find, resized

__all__ = ["Photos", "shape_after"]

GREY = 4.0                  # mean chroma, in Lab units, below which a photo counts as grey
SAMPLE = 32, 32             # the size at which the chroma is measured


class Photos(Batches):
    """Batches (batch, size, size, 3) of uint8 RGB.

    path: a folder, which is searched to the bottom; a list file with one path a line, relative to its own folder; or
    a sequence of paths. resize: "short side" makes the short side `resize_to` pixels long, and "squash" both sides,
    whatever the photo's shape. resize_to: `size` if you leave it out. resample: one of RESAMPLINGS, which are
    Pillow's names and OpenCV's "cv-linear" and "cv-cubic". crop: which size x size pixels are then taken: "random",
    "centre" or "top-left"; None takes all. augment: an Augment or TENFOLD. drop_grey: leave out photos whose mean
    chroma is below 4, or below the number given.

    Batches describes the other options.
    """

    def __init__(self, path, size=128, *, resize="short side", resize_to=None, resample="bicubic", crop="random",
                 augment=None, drop_grey=False, batch=32, shuffle=True, partial=False, seed=None, workers=2,
                 weights=None, widen=None, then=None, report=None):
        check_resize(size, resize, resize_to or size, resample, crop)
        self.resize, self.resize_to, self.resample = resize, resize_to or size, resample
        self.least_chroma = GREY if drop_grey is True else float(drop_grey)
        self.root, names = rooted(path)
        super().__init__(names, size, batch=batch, shuffle=shuffle, partial=partial, seed=seed, workers=workers,
                         crop=crop, augment=augment, weights=weights, widen=widen, then=then, report=report)

    def picture(self, photo, copy, u, epoch):
        image, size = decoded(os.path.join(self.root, self.names[photo]), self.resize_to, self.resample)
        if self.least_chroma:
            check_colour(image, self.names[photo], self.least_chroma)
        window, mirrored = self.window(photo, *shape_after(self.resize, self.resize_to, size), copy, u)
        picture = resized(image, (self.size, self.size), self.resample, window)
        return picture[:, ::-1] if mirrored else picture


def rooted(path):
    """(root, names) of the photos at a path or in a sequence of paths. Names have / between folders."""
    listed = isinstance(path, (list, tuple))
    if listed and not path:
        raise ValueError("Photos got an empty list of paths: give at least one")
    paths = [os.fspath(p) for p in path] if listed else find(path)
    path = os.path.commonpath([os.path.dirname(os.path.abspath(p)) for p in paths]) if listed else os.fspath(path)
    root = path if os.path.isdir(path) else os.path.dirname(path)
    return root, [os.path.relpath(p, root or ".").replace(os.sep, "/") for p in paths]


def check_resize(size, resize, resize_to, resample, crop):
    if resize not in ("short side", "squash"):
        raise ValueError(f"resize must be 'short side' or 'squash', got {resize!r}")
    if resample not in RESAMPLINGS:
        raise ValueError(f"resample must be one of {', '.join(RESAMPLINGS)}, got {resample!r}")
    if crop is None and (resize != "squash" or resize_to != size):
        raise ValueError(f"crop=None takes whole photos, which must then be {size} x {size} pixels: give "
                         "resize='squash' without resize_to, or give a crop")
    if size < 1 or resize_to < size:
        raise ValueError(f"resize_to={resize_to} leaves no room for {size} x {size} pixels: make it {size} or more")


def check_colour(image, name, least):
    """Raise NearGrey if the mean chroma of the image is below `least`."""
    lab = rgb_to_lab(np.array(image.resize(SAMPLE, Image.NEAREST)))
    chroma = float(np.hypot(lab[..., 1], lab[..., 2]).mean())
    if chroma < least:
        raise NearGrey(f"{name}: mean chroma {chroma:.1f} is below {least:g}")


def shape_after(resize, side, size):
    """(width, height) of a photo of `size` after resizing."""
    if resize == "squash":
        return side, side
    scale = side / min(size)
    return max(side, round(size[0] * scale)), max(side, round(size[1] * scale))
