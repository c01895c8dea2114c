"""What a photo's RGB numbers mean: sRGB, or the space that its profile gives by three curves and a matrix."""
import numpy as np

from ..color.spaces import BACKWARD, FORWARD, companded, linear_light

__all__ = ["SRGB", "STEPS", "Space"]

STEPS = 4097                                # points of a curve
NEAR, NEAR_MATRIX = 0.5 / 255, 2e-3         # of levels (0..1) and of a matrix: up to here it is rounding
# From D50, the white of profiles, to D65, the white of our Lab, by Bradford: one Lab for all profiles.
TO_D65 = np.array([[0.9555766, -0.0230393, 0.0631636],
                   [-0.0282895, 1.0099416, 0.0210077],
                   [0.0122982, -0.0204830, 1.3299098]])


class Space:
    """curves: (1 or 3, STEPS), for all channels or each: linear light at even steps of the level, from 0 to 1, never
    falling; matrix: (3, 3), from linear RGB to XYZ as in profiles. Spaces with the same curves and matrix are equal.

    forward, backward: the matrices from linear RGB to X, Y, Z as shares of the white's, and back.
    """

    def __init__(self, curves, matrix):
        self.curves = curves[:1] if (curves == curves[:1]).all() else curves
        forward = TO_D65 @ matrix
        self.forward = forward / forward.sum(1, keepdims=True)              # (1, 1, 1) is white
        self.backward = np.linalg.inv(self.forward)
        self.key = self.curves.tobytes() + matrix.tobytes()

    def __eq__(self, other):
        return isinstance(other, Space) and self.key == other.key

    def __hash__(self):
        return hash(self.key)

    def light(self, levels):
        """Linear light (1 or 3, n) of levels (n,) in 0..1."""
        return np.stack([np.interp(levels, np.linspace(0, 1, STEPS), curve) for curve in self.curves])

    def levels(self, light):
        """Levels (1 or 3, n) in 0..1 of linear light (n,)."""
        found = []
        for curve in self.curves:
            rising = np.flatnonzero(np.diff(curve, prepend=-1) > 0)
            found.append(np.interp(light, curve[rising], rising / (STEPS - 1)))
        return np.stack(found)

    def is_srgb(self):
        """Is it sRGB, apart from rounding?"""
        even = np.linspace(0, 1, STEPS)
        return bool(abs(self.forward - FORWARD).max() < NEAR_MATRIX
                    and abs(companded(self.curves) - even).max() < NEAR)


class _Srgb(Space):
    """sRGB, by its formulas."""

    def __init__(self):
        self.key, self.forward, self.backward = b"sRGB", FORWARD, BACKWARD

    def light(self, levels):
        return linear_light(levels)[None]

    def levels(self, light):
        return companded(light)[None]

    def is_srgb(self):
        return True


SRGB = _Srgb()
