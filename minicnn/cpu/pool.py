"""The Numba kernels of ops/pool.py, over rows of pixels.

What goes from outputs back to inputs is split by input rows: each piece visits the windows that reach its rows and
adds only there, so no two threads meet, and every pixel receives in the order of the windows.
"""
import numpy as np

from ..ops.shapes import Window
from .parts import inlined, kernel
from .runtime import empty, ready, run

GRAIN = 1 << 15                             # floats a piece, about


def poolmax(x, g):
    return _pooled(_maxima, x, g)


def poolsum(x, g):
    return _pooled(_window_sums, x, g)


def poolmax_back(x, dy, g):
    return _spread(_to_maxima, x.shape, g, dy, x)


def poolspread(y, shape, g):
    return _spread(_to_windows, shape, g, y)


def upsample(x, scale, mode):
    if not x.size:
        return NotImplemented
    n, h, w, c = x.shape
    y = empty((n, h * scale[0], w * scale[1], c))
    enlarged = _repeated if mode == "nearest" else _blended
    run(enlarged, n * y.shape[1], _rows(y.shape), ready(x), y, *scale, floats=w * c)
    return y


def upsample_back(dy, scale, mode):
    if not dy.size:
        return NotImplemented
    n, h, w, c = dy.shape
    shape = (n, h // scale[0], w // scale[1], c)
    if mode == "nearest":
        return poolsum(dy, Window(*scale, *scale, 1, 1, 0, 0, 0, 0, *shape[1:3]))
    dx = empty(shape)
    run(_unblended, n * shape[1], _rows(shape), ready(dy), dx, *scale, floats=w * c)
    return dx


def _pooled(kernel, x, g):
    y = empty((x.shape[0], g.oh, g.ow, x.shape[3]))
    run(kernel, x.shape[0] * g.oh, _rows(y.shape), ready(x), y, g)
    return y


def _spread(kernel, shape, g, *arrays):
    dx = empty(shape)
    run(kernel, shape[0] * shape[1], max(_rows(shape), 2 * g.kh), *(ready(a) for a in arrays), dx, g)
    return dx


def _rows(shape):
    """Rows of pixels a piece."""
    return max(1, GRAIN // max(1, shape[2] * shape[3]))


# ------------------------------------------------------------------ kernels


@kernel
def _maxima(start, stop, scratch, x, y, g):
    """The maximum of each window, for output rows start .. stop of all images; NaN counts as the largest."""
    for r in range(start, stop):
        image, oy = r // g.oh, r % g.oh
        for ox in range(g.ow):
            out = y[image, oy, ox]
            out[:] = -np.inf
            for i in range(g.kh):
                iy = oy * g.sh - g.top + i
                for j in range(g.kw):
                    ix = ox * g.sw - g.left + j
                    if 0 <= iy < x.shape[1] and 0 <= ix < x.shape[2]:
                        pixel = x[image, iy, ix]
                        for c in range(len(out)):
                            out[c] = out[c] if pixel[c] <= out[c] or out[c] != out[c] else pixel[c]


@kernel
def _window_sums(start, stop, scratch, x, y, g):
    """The sum of each window, for output rows start .. stop of all images."""
    for r in range(start, stop):
        image, oy = r // g.oh, r % g.oh
        for ox in range(g.ow):
            out = y[image, oy, ox]
            out[:] = 0
            for i in range(g.kh):
                iy = oy * g.sh - g.top + i
                for j in range(g.kw):
                    ix = ox * g.sw - g.left + j
                    if 0 <= iy < x.shape[1] and 0 <= ix < x.shape[2]:
                        pixel = x[image, iy, ix]
                        for c in range(len(out)):
                            out[c] += pixel[c]


@kernel
def _to_maxima(start, stop, scratch, dy, x, dx, g):
    """dx = the sum of dy over the windows whose first maximum a pixel is, for rows start .. stop of all images x."""
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    best, where = scratch[:channels], scratch[channels:2 * channels]
    for image in range(start // height, (stop - 1) // height + 1):
        low, high = max(0, start - image * height), min(height, stop - image * height)
        dx[image, low:high] = 0
        for oy in range(*_reaching(low, high, g)):
            for ox in range(g.ow):
                best[:] = -np.inf
                where[:] = 0
                for i in range(g.kh):
                    iy = oy * g.sh - g.top + i
                    for j in range(g.kw):
                        ix = ox * g.sw - g.left + j
                        if 0 <= iy < height and 0 <= ix < width:
                            _compare(x[image, iy, ix], np.float32(i * g.kw + j), best, where)
                for i in range(g.kh):
                    iy = oy * g.sh - g.top + i
                    for j in range(g.kw):
                        ix = ox * g.sw - g.left + j
                        if low <= iy < high and 0 <= ix < width:
                            _add_where(dy[image, oy, ox], where, np.float32(i * g.kw + j), dx[image, iy, ix])


@kernel
def _compare(pixel, tap, best, where):
    """Where the pixel is larger than the best so far, it takes its place."""
    for c in range(len(pixel)):
        better = not (pixel[c] <= best[c] or best[c] != best[c])
        where[c] = tap if better else where[c]
        best[c] = pixel[c] if better else best[c]


@kernel
def _add_where(given, where, tap, out):
    """out += given where `where` says tap."""
    for c in range(len(out)):
        out[c] += given[c] if where[c] == tap else np.float32(0)


@kernel
def _to_windows(start, stop, scratch, y, x, g):
    """x = the sum of y over the windows that a pixel is in, for rows start .. stop of all images x."""
    height, width = x.shape[1], x.shape[2]
    for image in range(start // height, (stop - 1) // height + 1):
        low, high = max(0, start - image * height), min(height, stop - image * height)
        x[image, low:high] = 0
        for oy in range(*_reaching(low, high, g)):
            for i in range(g.kh):
                iy = oy * g.sh - g.top + i
                if not low <= iy < high:
                    continue
                for ox in range(g.ow):
                    given = y[image, oy, ox]
                    for j in range(g.kw):
                        ix = ox * g.sw - g.left + j
                        if 0 <= ix < width:
                            out = x[image, iy, ix]
                            for c in range(len(out)):
                                out[c] += given[c]


@inlined
def _reaching(low, high, g):
    """The range of output rows whose windows reach the input rows low .. high."""
    return max(0, -((g.kh - 1 - g.top - low) // g.sh)), min(g.oh, (high - 1 + g.top) // g.sh + 1)


@kernel
def _repeated(start, stop, scratch, x, y, down, across):
    """Enlargement by repetition, for output rows start .. stop of all images."""
    for r in range(start, stop):
        image, oy = r // y.shape[1], r % y.shape[1]
        for ix in range(x.shape[2]):
            pixel = x[image, oy // down, ix]
            for j in range(across):
                out = y[image, oy, ix * across + j]
                for c in range(len(out)):
                    out[c] = pixel[c]


@inlined
def _between(o, scale, n):
    """The two of n pixels between which the enlarged pixel o lies, and how far it is from the first."""
    at = min(max((o + 0.5) / scale - 0.5, 0.0), n - 1.0)
    low = int(at)
    return low, min(low + 1, n - 1), np.float32(at - low)


@kernel
def _blended(start, stop, scratch, x, y, down, across):
    """Bilinear enlargement, for output rows start .. stop of all images: first down a whole row, then across."""
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    line = scratch[:width * channels]
    pixels = line.reshape(width, channels)
    for r in range(start, stop):
        image, oy = r // y.shape[1], r % y.shape[1]
        low, high, f = _between(oy, down, height)
        _blend(x[image, low].reshape(-1), x[image, high].reshape(-1), f, line)
        for ox in range(y.shape[2]):
            low, high, f = _between(ox, across, width)
            _blend(pixels[low], pixels[high], f, y[image, oy, ox])


@inlined
def _blend(a, b, f, out):
    """out = a * (1 - f) + b * f"""
    for k in range(len(out)):
        out[k] = a[k] * (np.float32(1) - f) + b[k] * f


@kernel
def _unblended(start, stop, scratch, dy, dx, down, across):
    """The transpose of _blended, for input rows start .. stop of all images."""
    height, width = dx.shape[1], dx.shape[2]
    line = scratch[:dy.shape[2] * dy.shape[3]]
    pixels = line.reshape(dy.shape[2], dy.shape[3])
    for r in range(start, stop):
        image, iy = r // height, r % height
        line[:] = 0
        for oy in range(max(0, (iy - 1) * down), min(dy.shape[1], (iy + 2) * down)):
            low, high, f = _between(oy, down, height)
            if low == iy:
                _add_times(dy[image, oy].reshape(-1), np.float32(1) - f, line)
            if high == iy:
                _add_times(dy[image, oy].reshape(-1), f, line)
        dx[image, iy] = 0
        for ox in range(len(pixels)):
            low, high, f = _between(ox, across, width)
            _add_times(pixels[ox], np.float32(1) - f, dx[image, iy, low])
            _add_times(pixels[ox], f, dx[image, iy, high])


@inlined
def _add_times(given, f, out):
    """out += given * f"""
    for k in range(len(out)):
        out[k] += given[k] * f
