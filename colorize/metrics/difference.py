"""How different two colours look: CIEDE2000, and the plain distance in Lab from 1976."""
import numpy as np

from minicnn.device import xp

__all__ = ["ciede2000", "de76"]


def de76(x, y):
    """The Euclidean distance (...) of Lab colours x and y (..., 3)."""
    _checked("de76", x, y)
    return xp(x).sqrt(((x - y) ** 2).sum(-1))


def ciede2000(x, y):
    """CIEDE2000 (...) of Lab colours x and y (..., 3), with kL = kC = kH = 1. About 1 is just visible.

    >>> ciede2000(np.array([[50, 2.6772, -79.7751]]), np.array([[50, 0, -82.7485]])).round(4)
    array([2.0425])
    """
    _checked("ciede2000", x, y)
    return _ciede2000(x, y)


def _checked(name, x, y):
    if x.shape != y.shape or x.ndim < 1 or x.shape[-1] != 3:
        raise ValueError(f"{name} needs two Lab arrays (..., 3) of one shape, got {x.shape} and {y.shape}")
    if x.dtype.kind != "f" or x.dtype != y.dtype:
        raise TypeError(f"{name} needs floating arrays of one dtype, got {x.dtype} and {y.dtype}: convert them")


def _ciede2000(x, y):
    """The formula of Sharma, Wu and Dalal (2005), with angles in radians. A grey colour takes the other one's hue."""
    m = xp(x)
    L1, a1, b1, L2, a2, b2 = (v[..., k] for v in (x, y) for k in range(3))
    mean_c7 = ((m.hypot(a1, b1) + m.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * m.sqrt(mean_c7 / (mean_c7 + 25.0 ** 7))       # stretches a of nearly grey colours
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = m.hypot(a1, b1), m.hypot(a2, b2)
    h1, h2 = m.arctan2(b1, a1) % (2 * np.pi), m.arctan2(b2, a2) % (2 * np.pi)

    grey = c1 * c2 == 0
    dh = m.where(grey, 0, h2 - h1)
    half = np.pi + 1e-6                     # half a turn must stay half a turn, however it is rounded
    turn = m.where(dh > half, -2 * np.pi, m.where(dh < -half, 2 * np.pi, 0))
    dh = dh + turn
    h = (h1 + h2) / 2
    h = m.where(turn != 0, m.where(h1 + h2 < 2 * np.pi, h + np.pi, h - np.pi), h)
    h = m.where(grey, h1 + h2, h)                                       # the hue of grey is 0

    L, c = (L1 + L2) / 2, (c1 + c2) / 2
    t = (1 - 0.17 * m.cos(h - np.pi / 6) + 0.24 * m.cos(2 * h) + 0.32 * m.cos(3 * h + np.pi / 30)
         - 0.20 * m.cos(4 * h - np.radians(63)))
    s_l = 1 + 0.015 * (L - 50) ** 2 / m.sqrt(20 + (L - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c, 1 + 0.015 * c * t
    blue = m.exp(-(((m.degrees(h) - 275) / 25) ** 2))
    rotation = -2 * m.sqrt(c ** 7 / (c ** 7 + 25.0 ** 7)) * m.sin(np.pi / 3 * blue)
    l_term, c_term, h_term = (L2 - L1) / s_l, (c2 - c1) / s_c, 2 * m.sqrt(c1 * c2) * m.sin(dh / 2) / s_h
    square = l_term ** 2 + c_term ** 2 + h_term ** 2 + rotation * c_term * h_term
    return m.sqrt(m.maximum(square, 0)).astype(x.dtype)
