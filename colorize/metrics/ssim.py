"""SSIM, the structural similarity of Wang et al. (2004), in each image, or as the UF report computed it."""
import numpy as np

from minicnn.device import xp
from minicnn.dispatch import kernels

__all__ = ["ssim", "ssim_of_stack"]

K1, K2 = 0.01, 0.03


def ssim(x, y, *, data_range=1.0, window="uniform"):
    """The SSIM (N,) of images x and y (N, H, W, C), averaged over the channels and the windows that lie inside.

    `data_range` is the range of the numbers: 1 for 0..1, 255 for bytes. window="uniform" is 7 x 7 with the variances
    of a sample, as by scikit-image's default. "gaussian" is 11 x 11 with sigma 1.5, as in the paper.

    >>> ssim(np.ones((1, 8, 8, 3)), np.ones((1, 8, 8, 3)))
    array([1.])
    """
    if window not in ("uniform", "gaussian"):
        raise ValueError(f"ssim got window={window!r}: expected 'uniform' or 'gaussian'")
    taps = np.full(7, 1 / 7) if window == "uniform" else _gaussian(5, 1.5)
    _checked("ssim", x, y, "(N, H, W, C)", len(taps), (1, 2))
    numbers = _numbers(taps, 2, data_range, window == "uniform")
    return xp(x).asarray([float(_ssim_of_image(a, b, tuple(taps), *numbers)) for a, b in zip(x, y)])


@kernels(cpu="colorize.metrics.ssim_cpu.ssim_of_image")
def _ssim_of_image(x, y, taps, c1, c2, unbiased):
    return _similarity(x, y, taps, (0, 1), c1, c2, unbiased)


def ssim_of_stack(x, y, *, data_range=2.0):
    """One SSIM for a whole stack (N, H, W) of one channel, with windows 7 x 7 x 7, which reach over seven images.

    This is no sound measure, but the UF report's table uses it. The report gave the stack to scikit-image without
    saying which axis is which, and scikit-image took data_range 2 from the dtype. Both make the number larger.
    """
    _checked("ssim_of_stack", x, y, "(N, H, W)", 7, (0, 1, 2))
    taps = np.full(7, 1 / 7)
    return float(_similarity(x, y, taps, (0, 1, 2), *_numbers(taps, 3, data_range, True)))


def _checked(name, x, y, dims, window, axes):
    if x.shape != y.shape or x.ndim != dims.count(",") + 1:
        raise ValueError(f"{name} needs two arrays {dims} of one shape, got {x.shape} and {y.shape}")
    if min(x.shape[a] for a in axes) < window:
        raise ValueError(f"{name} needs at least {window} along each axis of its window, got shape {x.shape}")
    if x.dtype.kind != "f" or y.dtype.kind != "f":
        raise TypeError(f"{name} needs floating arrays, got {x.dtype} and {y.dtype}: convert them")


def _gaussian(radius, sigma):
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return taps / taps.sum()


def _numbers(taps, dimensions, data_range, sample):
    """(c1, c2, the factor that makes variances those of a sample)."""
    n = len(taps) ** dimensions
    return (K1 * data_range) ** 2, (K2 * data_range) ** 2, n / (n - 1) if sample else 1.0


def _similarity(x, y, taps, axes, c1, c2, unbiased):
    """The mean SSIM over all windows inside x and y, in float64, since variances are small differences."""
    x, y = x.astype("float64"), y.astype("float64")
    mx, my = _filtered(x, taps, axes), _filtered(y, taps, axes)
    spread = unbiased * (_filtered(x * x + y * y, taps, axes) - mx * mx - my * my)
    common = unbiased * (_filtered(x * y, taps, axes) - mx * my)
    return ((2 * mx * my + c1) * (2 * common + c2) / ((mx * mx + my * my + c1) * (spread + c2))).mean()


def _filtered(x, taps, axes):
    """x filtered along these axes, at all places where the filter lies inside."""
    for axis in axes:
        n = x.shape[axis] - len(taps) + 1
        parts = [x[(slice(None),) * axis + (slice(i, i + n),)] for i in range(len(taps))]
        x = parts[0] * float(taps[0])
        for part, tap in zip(parts[1:], taps[1:]):
            x += part * float(tap)
    return x
