"""The normalisations of L and ab in the source documents, by name, and the stretching of L to its whole range."""

from minicnn.device import xp

__all__ = ["NORMS", "denormalise", "normalise", "stretched"]

NORMS = {                                               # name: (offset, scale) of L and of ab: (x - offset) / scale
    "jetson": ((50, 50), (0.5, 127.5)),                 # (2 ab - 1) / 255
    "zhang": ((50, 100), (0, 110)),
    "vgg": ((0, 1), (0, 128)),                          # leaves L as it is
    "unit": ((0, 100), (0, 128)),
    "faces": ((0, 100), (-128, 255)),                   # 8-bit Lab over 255
    "faces-tanh": ((0, 100), (-0.5, 127.5)),            # the same, with ab in -1..1
}


def normalise(name, L=None, ab=None):
    """(L, ab) as the model family of that name has them. NORMS lists the names. None stays None.

    >>> import numpy as np
    >>> normalise("zhang", np.array([100.]), np.array([[55., -110]]))
    (array([0.5]), array([[ 0.5, -1. ]]))
    """
    return tuple(x if x is None else (x - offset) / scale for x, (offset, scale) in zip((L, ab), _norm(name)))


def denormalise(name, L=None, ab=None):
    """(L, ab) in Lab units. This undoes normalise."""
    return tuple(x if x is None else x * scale + offset for x, (offset, scale) in zip((L, ab), _norm(name)))


def _norm(name):
    if name not in NORMS:
        raise ValueError(f"the normalisation {name!r} is not known: choose one of {', '.join(sorted(NORMS))}")
    return NORMS[name]


# ------------------------------------------------------------------ contrast

ENDS = 0.5, 99.5                            # percentiles of a photo that become black and white
LEAST = 5.0                                 # a smaller range of L is an empty page, whose grain must stay weak


def stretched(L):
    """L (N, H, W, 1) in 0..100, float32, of which each photo is stretched so that it goes from black to white.

    >>> import numpy as np
    >>> stretched(np.linspace(40, 60, 101).reshape(1, 1, 101, 1)).ravel()[[0, 50, 100]].round()
    array([  0.,  50., 100.], dtype=float32)
    """
    m = xp(L)
    low, high = m.percentile(L, m.asarray(ENDS), axis=(1, 2, 3), keepdims=True)
    middle, half = (low + high) / 2, m.maximum(high - low, LEAST) / 2
    return ((L - middle + half) * (50 / half)).clip(0, 100).astype("float32")
