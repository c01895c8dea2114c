"""Colour spaces and metrics: how long a 12-megapixel photo, and an evaluated image, take here.

    python -m benchmarks.color              # prints a table; "best" of some rounds, since other programs disturb

The aim: a photo to Lab and back in under a second on two cores. scikit-image is timed beside it where installed.
"""
import importlib.util
import time

import numpy as np

from colorize.color import spaces as color
from colorize.metrics.difference import ciede2000
from colorize.metrics.ssim import ssim
from colorize.metrics.table import Metrics
from minicnn.cpu import runtime as cpu

ROUNDS = 5


def best(f, rounds=ROUNDS):
    """The shortest of some runs, in seconds; the first, which compiles, does not count."""
    f()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


def photo(height=3000, width=4000):
    """Smooth colours with some noise, as uint8: about as many of its colours are vivid as in a photo."""
    y, x = np.mgrid[:height, :width].astype("float32") / 500
    rgb = np.stack([np.sin(x + 2 * y), np.sin(1.3 * x - y), np.cos(x * y / 3)], -1) * 60 + 120
    return (rgb + np.random.default_rng(0).normal(0, 4, rgb.shape)).clip(0, 255).astype("uint8")


def conversions(rgb):
    """(what, function) of each conversion of a photo."""
    lab = color.rgb_to_lab(rgb)
    vivid = lab * np.array([1, 1.5, 1.5], "float32")
    as_float = rgb.astype("float32") / 255
    return [
        ("sRGB uint8 -> Lab", lambda: color.rgb_to_lab(rgb)),
        ("Lab -> sRGB uint8", lambda: color.lab_to_rgb(lab, uint8=True)),
        ("there and back", lambda: color.lab_to_rgb(color.rgb_to_lab(rgb), uint8=True)),
        ("the same, ab x 1.5 kept in gamut", lambda: color.lab_to_rgb(vivid, uint8=True, gamut=True)),
        ("sRGB uint8 -> L", lambda: color.rgb_to_luminance(rgb)),
        ("sRGB float -> Lab", lambda: color.rgb_to_lab(as_float)),
        ("Lab -> sRGB float", lambda: color.lab_to_rgb(lab)),
    ]


def measures(size=256):
    """(what, function) of the measures of one image."""
    lab = color.rgb_to_lab(photo(size, size))[None]
    L, ab = lab[..., :1], lab[..., 1:]
    other = np.concatenate([L, ab * np.float32(0.5)], -1)
    a, b = color.lab_to_rgb(lab), color.lab_to_rgb(other)
    metrics = Metrics([0, 0])
    return [("SSIM, RGB", lambda: ssim(a, b)), ("CIEDE2000", lambda: ciede2000(lab, other)),
            ("a row of Metrics, with its baselines", lambda: metrics.add(L, other[..., 1:], ab))]


def main():
    rgb = photo()
    print(f"{rgb.shape[1]} x {rgb.shape[0]} pixels, {cpu.threads()} threads, best of {ROUNDS}")
    for what, f in conversions(rgb):
        print(f"{what:40} {best(f) * 1000:8.0f} ms")
    if importlib.util.find_spec("skimage"):
        from skimage.color import lab2rgb, rgb2lab
        print(f"{'there and back, scikit-image':40} {best(lambda: lab2rgb(rgb2lab(rgb)), 1) * 1000:8.0f} ms")
    print("256 x 256 pixels")
    for what, f in measures():
        print(f"{what:40} {best(f) * 1000:8.1f} ms")


if __name__ == "__main__":
    main()
