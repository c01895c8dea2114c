"""The CUDA kernels of depthwise convolution, for conv.py: depthwise.cu computes."""
from .strips import pixel_grid, too_wide
from .launcher import Source, blocks, empty, limits, ready

kernels = Source(__file__, "depthwise.cu")

TAPS = 25                                   # of a window at most: a thread keeps their sums in registers
LANES, LINES = 32, 8                        # channels and rows of a block of filter_weights
PIXELS_A_SUM = 1 << 14                      # that one thread adds to a gradient in float32, one after the other
BUSY = 2                                    # blocks for each multiprocessor that leave none idle


def suits(w, groups, g):
    """Is this window (kh, kw, 1, C) over C groups one that the kernels take?"""
    return groups == w[3] and w[2] == 1 and g.dh == g.dw == 1 and g.kh * g.kw <= TAPS


def conv4(w, x, after, g):
    """after: (bias, activation's code, scale, shift)."""
    return _filtered(w, x, (x.shape[0], g.oh, g.ow, x.shape[3]), after, g, turned=False)


def conv4x(w, shape, dy, after, g):
    if g.sh == g.sw == 1:                   # a convolution again, with the filters turned around
        turned = g._replace(top=g.kh - 1 - g.top, left=g.kw - 1 - g.left, oh=shape[1], ow=shape[2])
        return _filtered(w, dy, tuple(shape), after, turned, turned=True)
    if too_wide(shape):
        return NotImplemented
    dx, (grid, places) = empty(shape), pixel_grid(shape)
    b, code, scale, shift = after
    kernels.launch("collect", grid, (ready(dy), ready(w), b, scale, shift, dx, *shape[:3], g.oh, g.ow, places),
                   _constants(g, shape[3], after))
    return dx


def _filtered(w, x, shape, after, g, turned):
    """y of this shape."""
    if too_wide(shape):
        return NotImplemented
    y, b, scale, shift = empty(shape), after[0], *after[2:]
    columns = next((k for k in (4, 2) if y.size // (4 * 256 * k) >= BUSY * limits().multiprocessors), 1)
    grid, places = pixel_grid((shape[0], shape[1], -(-shape[2] // columns), shape[3]))
    kernels.launch("filter", grid, (ready(x), ready(w), b, scale, shift, y, *x.shape[:3], *shape[1:3], places),
                   {**_constants(g, shape[3], after), "TURNED": int(turned), "COLUMNS": columns})
    return y


def conv4w(shape, x, dy, g):
    c, rows = shape[3], x.shape[0] * g.oh
    across = -(-c // LANES)
    splits = max(1, min(4 * limits().multiprocessors // across, rows // LINES),
                 -(-rows * g.ow // (LINES * PIXELS_A_SUM)))
    share = -(-rows // splits)
    splits = -(-rows // share)
    parts, constants = empty((splits, *shape)), _constants(g, c, (None, 0, None, None))
    kernels.launch("filter_weights", (across, splits), (ready(x), ready(dy), parts, *x.shape[:3], g.oh, g.ow, share),
                   constants)
    if splits == 1:
        return parts.reshape(shape)
    dw = empty(shape)
    kernels.launch("add_parts", blocks(dw.size, each=1), (parts, dw, dw.size, splits), constants)
    return dw


def _constants(g, c, after):
    b, code, scale, _ = after
    return {"C": c, "KH": g.kh, "KW": g.kw, "SH": g.sh, "SW": g.sw, "TOP": g.top, "LEFT": g.left, "TURNED": 0,
            "COLUMNS": 1, "BIAS": int(b is not None), "ACTIVATION": code, "AFFINE": int(scale is not None)}
