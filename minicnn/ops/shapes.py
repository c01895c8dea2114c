"""Shape rules that convolution, pooling and upsampling share, and the checks of their arguments."""
import numbers
from collections import namedtuple

import numpy as np

from ..autograd import value
from ..device import xp

Window = namedtuple("Window", "kh kw sh sw dh dw top bottom left right oh ow")
Window.__doc__ = "A window sliding over images: size, stride, dilation, padding on four sides, the output's size."


def floating(name, **arrays):
    """Refuse what is no float32 or float64 array."""
    for key, a in arrays.items():
        dtype = getattr(a, "dtype", None)
        if dtype is None or not hasattr(a, "ndim"):
            raise TypeError(f"{name} needs arrays, got {type(value(a)).__name__} as {key}")
        if dtype not in ("float32", "float64"):
            raise TypeError(f"{name} needs float32 or float64 arrays, got {dtype} {a.shape} as {key}: "
                            "use x.astype('float32')")


def images(name, x, key="x"):
    """Refuse what is no batch of images (N, H, W, C)."""
    floating(name, **{key: x})
    if x.ndim != 4:
        raise ValueError(f"{name} needs {key} of shape (N, H, W, C), got {x.shape}")


def number(name, key, v):
    """An option as a float; None, text, arrays and the like are refused."""
    if isinstance(v, numbers.Real) or (getattr(v, "ndim", None) == 0 and v.dtype.kind in "fiu"):
        return float(v)
    raise TypeError(f"{name} needs {key} as a number, got {getattr(v, 'shape', v)!r}")


def pair(name, key, v, least=1):
    """An int, or a pair of ints, as a pair; each at least `least`."""
    both = tuple(v) if isinstance(v, (tuple, list)) else (v, v)
    if len(both) != 2 or not all(is_int(i) for i in both):
        raise TypeError(f"{name} needs {key} as an int or a pair of ints, got {v!r}")
    if min(both) < least:
        raise ValueError(f"{name} needs {key} of at least {least}, got {v!r}")
    return int(both[0]), int(both[1])


def count(name, key, v):
    """An int of at least 1."""
    if not is_int(v):
        raise TypeError(f"{name} needs {key} as an int, got {v!r}")
    return pair(name, key, v)[0]


def sizes(name, key, shape):
    """The shape of an array, or a shape given as ints, as a tuple."""
    shape = getattr(shape, "shape", shape)
    if not isinstance(shape, (tuple, list)) or not all(is_int(n) and n >= 0 for n in shape):
        raise TypeError(f"{name} needs {key} as an array or a shape, got {shape!r}")
    return tuple(int(n) for n in shape)


def is_int(v):
    """Is v an int of Python or NumPy, of 32 bits? (True and False are not.)"""
    return isinstance(v, (int, np.integer)) and not isinstance(v, bool) and abs(int(v)) < 2 ** 31


def window(name, shape, size, stride, padding, dilation=1):
    """The Window of this size over images of this shape, or a ValueError that names both."""
    (kh, kw), (sh, sw) = pair(name, "window", size), pair(name, "stride", stride)
    dh, dw = pair(name, "dilation", dilation)
    rows, cols = (kh - 1) * dh + 1, (kw - 1) * dw + 1           # what the window covers
    if isinstance(padding, str) and padding == "same":
        (top, bottom), (left, right) = _same(shape[1], rows, sh), _same(shape[2], cols, sw)
    else:
        (top, bottom), (left, right) = sides(name, padding)
    oh, ow = (shape[1] + top + bottom - rows) // sh + 1, (shape[2] + left + right - cols) // sw + 1
    if oh < 1 or ow < 1 or min(shape[1:3]) < 1:
        raise ValueError(f"{name}: a window of {rows} x {cols} pixels does not fit into images of shape "
                         f"{tuple(shape)} with padding {padding}")
    return Window(kh, kw, sh, sw, dh, dw, top, bottom, left, right, oh, ow)


def _same(n, covered, stride):
    """TensorFlow's rule: ceil(n / stride) outputs, the odd pixel of padding at the end."""
    total = max((-(-n // stride) - 1) * stride + covered - n, 0)
    return total // 2, total - total // 2


def sides(name, padding):
    """padding (an int, a pair, or ((top, bottom), (left, right))) as ((top, bottom), (left, right))."""
    if isinstance(padding, str):
        raise ValueError(f"{name} got padding={padding!r}: use an int, a pair, four sides ((1, 1), (0, 2)) or 'same'")
    several = isinstance(padding, (tuple, list)) and len(padding) == 2
    if several and all(isinstance(p, (tuple, list)) for p in padding):
        return tuple(pair(name, "padding", p, 0) for p in padding)
    return tuple((p, p) for p in pair(name, "padding", padding, 0))


def deconv_size(name, x, size, stride, padding, dilation, output_padding):
    """Height and width of the transposed convolution of images of shape x."""
    size, stride = pair(name, "window", size), pair(name, "stride", stride)
    dilation, extra = pair(name, "dilation", dilation), pair(name, "output_padding", output_padding, 0)
    if any(e >= s for e, s in zip(extra, stride)):
        raise ValueError(f"{name} needs output_padding below the stride {stride}, got {output_padding}")
    if isinstance(padding, str) and padding == "same":
        if any(extra):
            raise ValueError(f"{name}: padding='same' fixes the size, so output_padding must be 0, got {extra}")
        return tuple(n * s for n, s in zip(x[1:3], stride))
    pads = sides(name, padding)
    out = tuple((n - 1) * s + (k - 1) * d + 1 - sum(p) + e
                for n, s, k, d, p, e in zip(x[1:3], stride, size, dilation, pads, extra))
    if min(out) < 1 or min(x[1:3]) < 1:
        raise ValueError(f"{name}: images of shape {tuple(x)}, window {size} and padding {padding} give size {out}")
    return out


def taps(g):
    """For each pixel (i, j) of the window: where it looks in the padded image, as (i, j, rows, columns)."""
    for i in range(g.kh):
        for j in range(g.kw):
            yield (i, j, slice(i * g.dh, i * g.dh + (g.oh - 1) * g.sh + 1, g.sh),
                   slice(j * g.dw, j * g.dw + (g.ow - 1) * g.sw + 1, g.sw))


def padded(x, g, fill=0):
    """x with the window's padding around it."""
    if not (g.top or g.bottom or g.left or g.right):
        return x
    whole, inside = padded_zeros(xp(x), g, x.shape, x.dtype)
    if fill:
        whole[...] = fill
    inside[...] = x
    return whole


def padded_zeros(xp, g, shape, dtype):
    """Zeros of the padded shape of images of this shape, and the view of them inside the padding."""
    n, h, w, c = shape
    whole = xp.zeros((n, h + g.top + g.bottom, w + g.left + g.right, c), dtype)
    return whole, whole[:, g.top:g.top + h, g.left:g.left + w]
