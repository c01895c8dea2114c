"""The CUDA kernels of ops/pool.py: one thread for each pixel and channel (or four channels) that is written."""
from ..ops.shapes import Window
from .strips import pixel_grid, too_wide
from .launcher import Source, empty, ready

kernels = Source(__file__, "pool.cu")
MARKS = 256                                 # pixels of a window that a byte tells apart


def poolmax(x, g):
    return _pooled("poolmax", x, g)


def poolsum(x, g):
    return _pooled("poolsum", x, g)


def poolmax_back(x, dy, g):
    """First which pixel of each window is its maximum, then what each pixel gets."""
    if g.kh * g.kw > MARKS or too_wide(x.shape, dy.shape):
        return NotImplemented
    where, dx = empty(dy.shape, "uint8"), empty(x.shape)
    _launch("first_maximum", [ready(x), where], where.shape, x.shape, g)
    _launch("poolmax_back", [ready(dy), where, dx], x.shape, x.shape, g)
    return dx


def poolspread(y, shape, g):
    if too_wide(y.shape, shape):
        return NotImplemented
    x = empty(shape)
    _launch("poolspread", [ready(y), x], shape, shape, g)
    return x


def upsample(x, scale, mode):
    n, h, w, c = x.shape
    shape = (n, h * scale[0], w * scale[1], c)
    if too_wide(shape):
        return NotImplemented
    y = empty(shape)
    rows = h if mode == "nearest" else shape[1]             # the nearest: a thread fills a column of its pixel
    _enlarge(f"upsample_{mode}", [ready(x), y], (n, rows, shape[2], c), x.shape, scale)
    return y


def upsample_back(dy, scale, mode):
    if too_wide(dy.shape):
        return NotImplemented
    n, h, w, c = dy.shape
    shape = (n, h // scale[0], w // scale[1], c)
    if mode == "nearest":
        return poolsum(dy, _steps(scale, *shape[1:3]))
    dx = empty(shape)
    _enlarge("upsample_bilinear_back", [ready(dy), dx], shape, shape, scale)
    return dx


def _pooled(kernel, x, g):
    shape = (x.shape[0], g.oh, g.ow, x.shape[3])
    if too_wide(x.shape, shape):
        return NotImplemented
    y = empty(shape)
    _launch(kernel, [ready(x), y], shape, x.shape, g)
    return y


def _steps(scale, oh, ow):
    """Windows of this size side by side."""
    return Window(*scale, *scale, 1, 1, 0, 0, 0, 0, oh, ow)


def _enlarge(kernel, arrays, written, small, scale):
    grid, shift = pixel_grid(written)
    kernels.launch(kernel, grid, (*arrays, *small[:3], shift), _constants(small[3], _steps(scale, *small[1:3])))


def _launch(kernel, arrays, written, images, g):
    """For windows g over images of that shape, with a thread for each element of the shape `written`."""
    grid, shift = pixel_grid(written)
    kernels.launch(kernel, grid, (*arrays, *images[:3], g.oh, g.ow, shift), _constants(images[3], g))


def _constants(c, g):
    return {"C": c, "KH": g.kh, "KW": g.kw, "SH": g.sh, "SW": g.sw, "TOP": g.top, "LEFT": g.left}
