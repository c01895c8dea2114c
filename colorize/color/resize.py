"""Resize images as the libraries of the source documents do, on the CPU or GPU."""
import functools

import numpy as np

from minicnn.device import xp
from minicnn.ops.shapes import images, pair

__all__ = ["METHODS", "OPENCV_SLOPE", "cubic", "resize"]


PILLOW_SLOPE, OPENCV_SLOPE = -0.5, -0.75    # slopes of the cubic kernel at distance 1


def cubic(d, a):
    """The weight of a pixel at distance d, by the cubic convolution kernel with slope a at 1; in d's dtype."""
    d = np.abs(d)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d < 1, near, np.where(d < 2, far, 0))


def _triangle(d):
    return np.maximum(1 - np.abs(d), 0)


METHODS = {                         # kernel, its reach, and whether it widens when images shrink
    "pillow": (functools.partial(cubic, a=PILLOW_SLOPE), 2, True),          # Pillow's BICUBIC
    "opencv": (functools.partial(cubic, a=OPENCV_SLOPE), 2, False),         # OpenCV's INTER_CUBIC
    "bilinear": (_triangle, 1, False),          # TensorFlow 2, OpenCV's INTER_LINEAR, PyTorch's align_corners=False
}


def resize(x, size, method):
    """Resize images x (N, H, W, C) to size (height, width), or an int for both. `method` is one of METHODS.

    All methods take pixels as areas. "pillow" averages when images shrink, and the others skip pixels.

    >>> resize(np.array([0., 1.]).reshape(1, 1, 2, 1), (1, 4), "bilinear").ravel()
    array([0.  , 0.25, 0.75, 1.  ])
    """
    images("resize", x)
    height, width = pair("resize", "size", size)
    if method not in METHODS:
        raise ValueError(f"resize got method={method!r}, expected one of {', '.join(METHODS)}")
    if x.shape[1:3] == (height, width):
        return x
    if 0 in x.shape:
        raise ValueError(f"resize needs images with pixels, got shape {x.shape}")
    rows, cols = (xp(x).asarray(matrix(old, new, method).astype(x.dtype))
                  for old, new in zip(x.shape[1:3], (height, width)))
    planes = xp(x).ascontiguousarray(x.transpose(0, 3, 1, 2))
    y = (rows @ planes) @ cols.T
    return xp(x).ascontiguousarray(y.transpose(0, 2, 3, 1))


@functools.lru_cache(maxsize=16)
def matrix(old, new, method):
    """The weights (new, old), float32, that give each new pixel of a row as a mean of old ones."""
    kernel, reach, widens = METHODS[method]
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale - 0.5                  # in old pixels
    if widens:                                                      # pixels outside do not count
        wide = max(scale, 1)
        m = kernel((np.arange(old) - centres[:, None]) / wide)
        return (m / m.sum(axis=1, keepdims=True)).astype("float32")
    m = np.zeros((new, old))                                        # the border's pixel repeats outside
    first = np.floor(centres).astype(int) - reach + 1
    for tap in range(2 * reach):
        j = first + tap
        np.add.at(m, (np.arange(new), j.clip(0, old - 1)), kernel(j - centres))
    return m.astype("float32")
