"""Make photos look like old prints and their scans. Only the lightness changes.

A network that saw aged photos beside their true colours colours an old scan like a new one.
"""
import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

__all__ = ["aged"]


def aged(L, share, rng):
    """A float32 copy of L (N, H, W, 1), in 0..100, in which about this share of the photos looks old.

    All random numbers come from the generator rng.
    """
    L = np.array(L, "float32")
    for photo in L:
        if rng.random() < share:
            photo[..., 0] = _old(photo[..., 0], rng)
    return L


def _old(L, rng):
    """Age one photo (H, W). Each kind of damage comes by chance, in the order in which it happens to a print."""
    L = L.clip(0, 100)
    for chance, damage in ((0.5, _developed), (0.4, _blurred), (0.5, _vignetted), (0.6, _grainy), (0.25, _scratched),
                           (0.15, _spotted), (0.8, _faded), (0.1, _printed), (0.4, _compressed)):
        if rng.random() < chance:
            L = damage(L, rng).clip(0, 100)
    return L


def _developed(L, rng):
    """Bend the lightness as another film, paper or exposure does."""
    return 100 * (L / 100) ** np.exp(rng.uniform(-0.6, 0.6))


def _blurred(L, rng):
    return gaussian_filter(L, rng.uniform(0.4, 2.0))


def _vignetted(L, rng):
    """Make the photo darker or paler towards the corners, from a centre that need not be the middle."""
    y, x = np.ogrid[:L.shape[0], :L.shape[1]]
    cy, cx = rng.uniform(0.3, 0.7, 2)
    far = np.square(y / L.shape[0] - cy) + np.square(x / L.shape[1] - cx)
    return L + (far * rng.uniform(-60, 40)).astype("float32")


def _grainy(L, rng):
    """Add the grain of film or paper, fine or coarse."""
    noise = rng.standard_normal(L.shape, "float32")
    size = rng.choice([0.0, 0.6, 1.2])
    if size:
        noise = gaussian_filter(noise, size)
        noise /= noise.std() + 1e-6
    return L + noise * rng.uniform(1, 7)


def _scratched(L, rng):
    """Draw lines from the top to the bottom, bright or dark."""
    h, w = L.shape
    for _ in range(rng.integers(1, 6)):
        start, stop = rng.uniform(0, w, 2) if rng.random() < 0.3 else np.repeat(rng.uniform(0, w), 2)
        column = np.linspace(start, stop, h).astype(int).clip(0, w - 1)
        L[np.arange(h), column] += rng.choice([-1, 1]) * rng.uniform(15, 60)
    return L


def _spotted(L, rng):
    """Add dust, stains and mould."""
    y, x = np.ogrid[:L.shape[0], :L.shape[1]]
    for _ in range(rng.integers(1, 12)):
        cy, cx, radius = rng.uniform(0, L.shape[0]), rng.uniform(0, L.shape[1]), rng.uniform(0.5, 5)
        L = L + rng.uniform(-50, 50) * (np.square(y - cy) + np.square(x - cx) < radius ** 2)
    return L


def _faded(L, rng):
    """Make blacks grey, and whites darker, since paper turns yellow."""
    gain = rng.uniform(0.35, 1)
    return rng.uniform(0, 100 - 100 * gain) + gain * L


def _printed(L, rng):
    """Add the dots of a printed page, at an angle."""
    y, x = np.mgrid[:L.shape[0], :L.shape[1]]
    angle, period = rng.uniform(0, np.pi / 2), rng.uniform(2.2, 4)
    u, v = (x * np.cos(angle) + y * np.sin(angle)), (y * np.cos(angle) - x * np.sin(angle))
    dots = np.cos(2 * np.pi * u / period) * np.cos(2 * np.pi * v / period)
    return L + (dots * rng.uniform(5, 20)).astype("float32")


def _compressed(L, rng):
    """Save the photo as a JPEG of low quality."""
    file = io.BytesIO()
    Image.fromarray((L * 2.55).astype("uint8")).save(file, "JPEG", quality=int(rng.integers(12, 70)))
    return np.asarray(Image.open(file), "float32") / 2.55
