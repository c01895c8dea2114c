"""Convolution and its transpose: conv4, its gradients conv4w and conv4x, and deconv4.

Images are (N, H, W, C), weights (kh, kw, cin, cout), deconv weights (kh, kw, cout, cin): the same array as the
conv that is transposed. The three operators are each other's gradients, which gives every higher order.
"""
import numpy as np  # noqa: F401 (the examples use it)

from ..autograd import nograd, primitive
from ..device import xp
from ..dispatch import kernels
from .activation import then
from .basic import channel_sums
from .shapes import count, deconv_size, floating, padded, padded_zeros, sizes, taps, window

__all__ = ["conv4", "conv4w", "conv4x", "deconv4"]


@primitive(keep="w x")
def conv4(w, x, b=None, *, stride=1, padding=0, dilation=1, groups=1, flip=False):
    """Correlate images x (N, H, W, C) with weights w (kh, kw, C / groups, K), add b (K,); gives (N, OH, OW, K).

    `padding` is an int, a pair (rows, columns), ((top, bottom), (left, right)), or "same": OH = ceil(H / stride),
    the odd pixel at the bottom and right, as TensorFlow. Otherwise OH = (H + padding - covered) // stride + 1,
    where the window covers (kh - 1) * dilation + 1 rows. `flip=True` turns the weights around (mathematics'
    convolution, Knet's mode 0).

    >>> conv4(np.ones((3, 3, 1, 1)), np.ones((1, 4, 4, 1)), padding=1)[0, :, :, 0]
    array([[4., 6., 6., 4.],
           [6., 9., 9., 6.],
           [6., 9., 9., 6.],
           [4., 6., 6., 4.]])
    """
    floating("conv4", w=w, x=x)
    g = _geometry("conv4", w.shape, x.shape, stride, padding, dilation, groups)
    _check_bias("conv4", b, w.shape, w.shape[3])
    return _conv4(_turn(w, flip), x, b, g, groups)


@primitive(keep="x dy")
def conv4w(w, x, dy, *, stride=1, padding=0, dilation=1, groups=1, flip=False):
    """The gradient of conv4 for its weights; of w (an array, or the shape itself) only the shape matters."""
    floating("conv4w", x=x, dy=dy)
    shape = sizes("conv4w", "w", w)
    g = _geometry("conv4w", shape, x.shape, stride, padding, dilation, groups)
    _check_dy("conv4w", shape, x.shape, dy, g)
    return _turn(_conv4w(shape, x, dy, g, groups), flip)


@primitive(keep="w dy")
def conv4x(w, x, dy, *, stride=1, padding=0, dilation=1, groups=1, flip=False):
    """The gradient of conv4 for its images; of x (an array, or the shape itself) only the shape matters."""
    floating("conv4x", w=w, dy=dy)
    shape = sizes("conv4x", "x", x)
    g = _geometry("conv4x", w.shape, shape, stride, padding, dilation, groups)
    _check_dy("conv4x", w.shape, shape, dy, g)
    return _conv4x(_turn(w, flip), shape, dy, None, g, groups)


@primitive(keep="w x")
def deconv4(w, x, b=None, *, stride=1, padding=0, dilation=1, groups=1, output_padding=0, flip=False):
    """The transposed convolution of x (N, H, W, C) with w (kh, kw, K / groups, C), plus b (K,); gives (N, OH, OW, K).

    OH = (H - 1) * stride + covered - padding + output_padding, or H * stride with padding="same": the sizes from
    which conv4 with the same arguments comes back to H. Without b it is conv4x, under the name decoders use.

    >>> deconv4(np.ones((2, 2, 1, 1)), np.ones((1, 1, 2, 1)), stride=2)[0, :, :, 0]
    array([[1., 1., 1., 1.],
           [1., 1., 1., 1.]])
    """
    floating("deconv4", w=w, x=x)
    shape = deconv_shape(w, x, stride, padding, dilation, groups, output_padding)
    g = _geometry("deconv4", w.shape, shape, stride, padding, dilation, groups)
    _check_bias("deconv4", b, w.shape, shape[3])
    return _conv4x(_turn(w, flip), shape, x, b, g, groups)


def deconv_shape(w, x, stride, padding, dilation, groups, output_padding):
    """The shape that deconv4 gives."""
    if w.ndim != 4 or x.ndim != 4 or w.shape[3] != x.shape[3] or 0 in w.shape:
        raise ValueError("deconv4 needs weights (kh, kw, cout, cin) for images (N, H, W, cin), "
                         f"got {w.shape} and {x.shape}")
    height, width = deconv_size("deconv4", x.shape, w.shape[:2], stride, padding, dilation, output_padding)
    return x.shape[0], height, width, w.shape[2] * count("deconv4", "groups", groups)


conv4.back = (lambda dy, y, w, x, b=None, **o: conv4w(w.shape, x, dy, **o),
              lambda dy, y, w, x, b=None, **o: conv4x(w, x.shape, dy, **o),
              lambda dy, y, w, x, b, **o: channel_sums(dy))
conv4w.back = (nograd,
               lambda ddw, y, w, x, dy, **o: conv4x(ddw, x.shape, dy, **o),
               lambda ddw, y, w, x, dy, **o: conv4(ddw, x, **o))
conv4x.back = (lambda ddx, y, w, x, dy, **o: conv4w(w.shape, ddx, dy, **o),
               nograd,
               lambda ddx, y, w, x, dy, **o: conv4(w, ddx, **o))
deconv4.back = (lambda dy, y, w, x, b=None, output_padding=0, **o: conv4w(w.shape, dy, x, **o),
                lambda dy, y, w, x, b=None, output_padding=0, **o: conv4(w, dy, **o),
                lambda dy, y, w, x, b, **o: channel_sums(dy))

# ------------------------------------------------------------------ for inference (see fuse.py)


def conv4_then(w, x, b, activation, scale, shift, *, stride, padding, dilation, groups):
    """activation(conv4(w, x, b)) * scale + shift; activation is a name or None, scale and shift (K,) or None."""
    floating("conv4", w=w, x=x)
    g = _geometry("conv4", w.shape, x.shape, stride, padding, dilation, groups)
    return _conv4_then(w, x, b, activation, scale, shift, g, groups)


def deconv4_then(w, x, b, activation, scale, shift, *, stride, padding, dilation, groups, output_padding):
    """activation(deconv4(w, x, b)) * scale + shift, as conv4_then."""
    floating("deconv4", w=w, x=x)
    shape = deconv_shape(w, x, stride, padding, dilation, groups, output_padding)
    g = _geometry("deconv4", w.shape, shape, stride, padding, dilation, groups)
    return _conv4x_then(w, shape, x, b, activation, scale, shift, g, groups)


# ------------------------------------------------------------------ shape rules


def _geometry(name, w, x, stride, padding, dilation, groups):
    """The Window of weights of shape w over images of shape x."""
    if len(w) != 4 or len(x) != 4:
        raise ValueError(f"{name} needs weights (kh, kw, cin, cout) and images (N, H, W, C), got {w} and {x}")
    groups = count(name, "groups", groups)
    if w[2] * groups != x[3] or w[3] % groups or 0 in w:
        raise ValueError(f"{name}: weights {w} with groups={groups} do not fit images of shape {x}: "
                         f"they take {w[2] * groups} channels and must give a multiple of {groups}")
    return window(name, x, w[:2], stride, padding, dilation)


def _check_dy(name, w, x, dy, g):
    expected = (x[0], g.oh, g.ow, w[3])
    if dy.shape != expected:
        raise ValueError(f"{name}: weights {w} over images {x} give {expected}, but dy has shape {dy.shape}")


def _check_bias(name, b, w, channels):
    if b is not None and (floating(name, b=b) or b.shape != (channels,)):
        raise ValueError(f"{name}: weights {w} need a bias of shape ({channels},), got {b.shape}")


def _turn(w, flip):
    return w[::-1, ::-1] if flip else w


# ------------------------------------------------------------------ formulas: a sum over the window's pixels


@kernels(cpu="minicnn.cpu.conv.conv4", cuda="minicnn.cuda.conv.conv4")
def _conv4(w, x, b, g, groups):
    x, y = padded(x, g), 0
    for i, j, rows, cols in taps(g):
        y = y + _split(x[:, rows, cols], groups) @ _split_w(w[i, j], groups)
    y = _join(y, (x.shape[0], g.oh, g.ow, w.shape[3]))
    return y if b is None else y + b


@kernels(cpu="minicnn.cpu.conv.conv4w", cuda="minicnn.cuda.conv.conv4w")
def _conv4w(shape, x, dy, g, groups):
    x, dy = padded(x, g), _split(dy, groups)
    dw = xp(x).empty(shape, x.dtype)
    for i, j, rows, cols in taps(g):
        dw[i, j] = _join(_split(x[:, rows, cols], groups).swapaxes(1, 2) @ dy, shape[2:])
    return dw


@kernels(cpu="minicnn.cpu.conv.conv4x", cuda="minicnn.cuda.conv.conv4x")
def _conv4x(w, shape, dy, b, g, groups):
    whole, dx = padded_zeros(xp(dy), g, shape, dy.dtype)
    parts = _split(dy, groups)
    for i, j, rows, cols in taps(g):
        part = parts @ _split_w(w[i, j], groups).swapaxes(1, 2)
        whole[:, rows, cols] += _join(part, dy.shape[:3] + (shape[3],))
    return dx.copy() if b is None else dx + b


@kernels(cpu="minicnn.cpu.conv.conv4_then", cuda="minicnn.cuda.conv.conv4_then")
def _conv4_then(w, x, b, activation, scale, shift, g, groups):
    return then(_conv4(w, x, b, g, groups), activation, scale, shift)


@kernels(cpu="minicnn.cpu.conv.conv4x_then", cuda="minicnn.cuda.conv.conv4x_then")
def _conv4x_then(w, shape, dy, b, activation, scale, shift, g, groups):
    return then(_conv4x(w, shape, dy, b, g, groups), activation, scale, shift)


def _split(x, groups):
    """(N, H, W, C) as one matrix of pixels a group: (groups, N * H * W, C / groups)."""
    return x.reshape(x.shape[0] * x.shape[1] * x.shape[2], groups, x.shape[3] // groups).transpose(1, 0, 2)


def _split_w(w, groups):
    """One pixel of the weights (C / groups, K) as one matrix a group: (groups, C / groups, K / groups)."""
    return w.reshape(w.shape[0], groups, w.shape[1] // groups).transpose(1, 0, 2)


def _join(y, shape):
    """The inverse of _split and _split_w."""
    return y.transpose(1, 0, 2).reshape(shape)
