"""Pooling, its inverse unpool, and upsampling of images (N, H, W, C)."""
import numpy as np

from ..autograd import nograd, primitive, value
from ..device import xp
from ..dispatch import kernels
from .basic import mul
from .shapes import images, padded, padded_zeros, pair, sides, taps, window

__all__ = ["pool", "unpool", "upsample"]

MODES = ("max", "avg", "avg_valid")


def pool(x, *, window=2, stride=None, padding=0, mode="max"):
    """Reduce each window of x to its maximum or average; stride is the window's size unless given.

    mode "avg" counts the padding's zeros, "avg_valid" does not; "max" never chooses padding, and of equal maxima
    the first (row by row) takes the gradient.

    >>> pool(np.arange(16.).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    o = _options("pool", x, window, stride, padding, mode)
    if mode == "max":
        return poolmax(x, **o)
    return mul(poolsum(x, **o), _per_window(value(x), x.shape, o, valid=mode == "avg_valid"))


def unpool(x, *, window=2, stride=None, padding=0, mode="max"):
    """Spread each pixel of x over a window, so that pool(unpool(x)) with the same arguments gives x back.

    With windows that do not overlap this is upsampling by repetition, whatever the mode; where mode "avg" would
    count padding, the pixels beside it are raised to make up for that.
    """
    o = _options("unpool", x, window, stride, padding, mode)
    (kh, kw), (sh, sw), pads = o["size"], o["stride"], sides("unpool", padding)
    shape = (x.shape[0], (x.shape[1] - 1) * sh + kh - sum(pads[0]), (x.shape[2] - 1) * sw + kw - sum(pads[1]),
             x.shape[3])
    if min(shape[1:3]) < 1:
        raise ValueError(f"unpool: images of shape {x.shape} with window {window} and padding {padding} give {shape}")
    scale = _per_window(value(x), shape, o, valid=mode == "avg") * (kh * kw)
    if mode != "avg":
        scale = scale * 0 + 1
    return poolspread(mul(x, scale), shape=shape, **o)


@primitive(keep="x")
def poolmax(x, *, size, stride, padding):
    """The maximum of each window."""
    return _poolmax(x, window("pool", x.shape, size, stride, padding))


@primitive(keep="x")
def poolmax_back(x, dy, *, size, stride, padding):
    """The gradient of poolmax: dy where each window of x has its maximum."""
    return _poolmax_back(x, dy, window("pool", x.shape, size, stride, padding))


@primitive(keep="x")
def pick(x, v, *, size, stride, padding):
    """The elements of v where each window of x has its maximum: the transpose of poolmax_back."""
    g = window("pool", x.shape, size, stride, padding)
    return xp(v).take_along_axis(_stack(v, g), _argmax(x, g)[None], 0)[0]


@primitive(keep="")
def poolsum(x, *, size, stride, padding):
    """The sum of each window, padding being zero."""
    return _poolsum(x, window("pool", x.shape, size, stride, padding))


@primitive(keep="")
def poolspread(y, *, shape, size, stride, padding):
    """Images of this shape in which each pixel of y was added to all of its window: the transpose of poolsum."""
    return _poolspread(y, shape, window("unpool", shape, size, stride, padding))


poolmax.back = (lambda dy, y, x, **o: poolmax_back(x, dy, **o),)
poolmax_back.back = (nograd, lambda ddx, y, x, dy, **o: pick(x, ddx, **o))
pick.back = (nograd, lambda dy, y, x, v, **o: poolmax_back(x, dy, **o))
poolsum.back = (lambda dy, y, x, **o: poolspread(dy, shape=x.shape, **o),)
poolspread.back = (lambda dx, x, y, shape, **o: poolsum(dx, **o),)


def _options(name, x, size, stride, padding, mode):
    images(name, x)
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"{name} got mode={mode!r}, expected one of {', '.join(MODES)}")
    size = pair(name, "window", size)
    return {"size": size, "stride": size if stride is None else pair(name, "stride", stride), "padding": padding}


def _per_window(x, shape, o, valid):
    """1 / the number of pixels of each window, (OH, OW, 1); `valid` leaves out padding. Padding alone gives 0."""
    kh, kw = o["size"]
    if not valid:
        g = window("pool", shape, **o)
        return xp(x).full((g.oh, g.ow, 1), 1 / (kh * kw), x.dtype)
    count = poolsum(xp(x).ones((1,) + tuple(shape[1:3]) + (1,), x.dtype), **o)[0]
    return (count > 0) / np.maximum(count, 1)


def _stack(x, g, fill=0):
    """Every window's pixels along a new first axis: (kh * kw, N, OH, OW, C)."""
    x = padded(x, g, fill)
    return xp(x).stack([x[:, rows, cols] for _, _, rows, cols in taps(g)])


def _argmax(x, g):
    return _stack(x, g, -np.inf).argmax(axis=0)             # NaN counts as the largest


@kernels(cpu="minicnn.cpu.pool.poolmax", cuda="minicnn.cuda.pool.poolmax")
def _poolmax(x, g):
    return _stack(x, g, -np.inf).max(axis=0)


@kernels(cpu="minicnn.cpu.pool.poolmax_back", cuda="minicnn.cuda.pool.poolmax_back")
def _poolmax_back(x, dy, g):
    where = _argmax(x, g)
    whole, dx = padded_zeros(xp(x), g, x.shape, dy.dtype)
    for k, (_, _, rows, cols) in enumerate(taps(g)):
        whole[:, rows, cols] += dy * (where == k)
    return dx.copy()


@kernels(cpu="minicnn.cpu.pool.poolsum", cuda="minicnn.cuda.pool.poolsum")
def _poolsum(x, g):
    x, y = padded(x, g), 0
    for _, _, rows, cols in taps(g):
        y = y + x[:, rows, cols]
    return y


@kernels(cpu="minicnn.cpu.pool.poolspread", cuda="minicnn.cuda.pool.poolspread")
def _poolspread(y, shape, g):
    whole, x = padded_zeros(xp(y), g, shape, y.dtype)
    for _, _, rows, cols in taps(g):
        whole[:, rows, cols] += y
    return x.copy()


# ------------------------------------------------------------------ upsampling


@primitive(keep="")
def upsample(x, *, scale=2, mode="nearest"):
    """Images enlarged `scale` times (an int or a pair), by repetition or bilinearly.

    "bilinear" takes pixels as areas and repeats the border, as TensorFlow 2 and PyTorch's align_corners=False.

    >>> upsample(np.array([0., 1.]).reshape(1, 1, 2, 1), scale=(1, 2), mode="bilinear").ravel()
    array([0.  , 0.25, 0.75, 1.  ])
    """
    images("upsample", x)
    if not isinstance(mode, str) or mode not in ("nearest", "bilinear"):
        raise ValueError(f"upsample got mode={mode!r}, expected nearest or bilinear")
    return _upsample(x, pair("upsample", "scale", scale), mode)


@primitive(keep="")
def upsample_back(dy, *, scale, mode):
    """The transpose of upsample."""
    return _upsample_back(dy, pair("upsample", "scale", scale), mode)


upsample.back = (lambda dy, y, x, scale=2, mode="nearest": upsample_back(dy, scale=scale, mode=mode),)
upsample_back.back = (lambda dx, x, dy, scale, mode: upsample(dx, scale=scale, mode=mode),)


@kernels(cpu="minicnn.cpu.pool.upsample", cuda="minicnn.cuda.pool.upsample")
def _upsample(x, scale, mode):
    for axis, s in zip((1, 2), scale):
        if mode == "nearest":
            x = xp(x).repeat(x, s, axis=axis)
        else:
            low, high, f = _neighbours(xp(x), x.shape[axis], s, axis, x.dtype)
            x = x.take(low, axis=axis) * (1 - f) + x.take(high, axis=axis) * f
    return x


@kernels(cpu="minicnn.cpu.pool.upsample_back", cuda="minicnn.cuda.pool.upsample_back")
def _upsample_back(dy, scale, mode):
    for axis, s in zip((1, 2), scale):
        n = dy.shape[axis] // s
        blocks = dy.reshape(dy.shape[:axis] + (n, s) + dy.shape[axis + 1:])
        if mode == "nearest":
            dy = blocks.sum(axis=axis + 1)
            continue
        low, high, f = _neighbours(xp(dy), n, s, axis, dy.dtype)
        shape = dy.shape[:axis] + (n,) + dy.shape[axis + 1:]
        dx = xp(dy).zeros(shape, dy.dtype)
        at = (slice(None),) * axis
        xp(dy).add.at(dx, at + (low,), dy * (1 - f))
        xp(dy).add.at(dx, at + (high,), dy * f)
        dy = dx
    return dy


def _neighbours(xp, n, scale, axis, dtype):
    """For n * scale output pixels: the two input pixels between which each lies, and how far it is from the first."""
    at = np.clip((xp.arange(n * scale) + 0.5) / scale - 0.5, 0, n - 1)
    low = np.floor(at).astype("int64")
    f = (at - low).astype(dtype).reshape((-1,) + (1,) * (3 - axis))
    return low, np.minimum(low + 1, n - 1), f
