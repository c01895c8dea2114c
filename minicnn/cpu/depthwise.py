"""The Numba kernels of depthwise convolution: each channel has a filter of its own, 3x3 and 5x5 above all.

There is no matrix product in it. One row of taps is added to a few neighbouring pixels at a time, 16 channels of them
side by side in vector registers: `_add_taps` says so to LLVM itself, whose vectoriser finds too many arrays here.
"""
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .activation import finish
from .parts import kernel
from .runtime import empty, ready, run

PIECES = 16                                 # partial sums of the weights' gradient: fixed, so that runs repeat
ROWS = 1 << 15                              # floats of output rows that are worth a piece of their own
LANES = 16                                  # channels that are computed side by side
PIXELS = 4                                  # neighbouring pixels that share a load of the weights


def suits(w, groups, g):
    """Is this window (kh, kw, 1, C) over C groups one that the kernels take?"""
    return groups == w[3] and w[2] == 1 and g.dh == g.dw == 1


def conv4(w, x, g, after):
    n, c = len(x), x.shape[3]
    y = empty((n, g.oh, g.ow, c))
    run(_rows, n * g.oh, _grain(g.ow * c), x, _filters(w), y, g.sh, g.sw, g.top, g.left, *after, floats=0)
    return y


def conv4x(w, shape, dy, g, after):
    dx = empty(shape)
    turned = np.ascontiguousarray(_filters(w)[::-1, ::-1])
    if g.sh == g.sw == 1:                   # a convolution again, with the filters turned around
        run(_rows, shape[0] * shape[1], _grain(shape[2] * shape[3]), dy, turned, dx, 1, 1, g.kh - 1 - g.top,
            g.kw - 1 - g.left, *after, floats=0)
    else:
        run(_transposed_rows, shape[0] * shape[1], _grain(shape[2] * shape[3]), dy, turned, dx, g.sh, g.sw, g.top,
            g.left, *after, floats=0)
    return dx


def conv4w(shape, x, dy, g):
    rows = len(x) * g.oh
    grain = -(-rows // PIECES)
    parts = empty((-(-rows // grain), g.kh, g.kw, shape[3]))
    run(_weight_parts, rows, grain, x, dy, parts, g.sh, g.sw, g.top, g.left, grain, floats=0)
    return parts.sum(axis=0).reshape(shape)


def _filters(w):
    return ready(w).reshape(w.shape[0], w.shape[1], w.shape[3])


def _grain(floats):
    """Output rows of so many floats that make a piece."""
    return max(1, ROWS // floats)


# ------------------------------------------------------------------ 16 channels side by side

VECTOR = ir.VectorType(ir.FloatType(), LANES)


def _pointer(context, builder, array_type, array):
    return cgutils.create_struct_proxy(array_type)(context, builder, value=array).data


def _place(builder, data, *offsets):
    """The vector at data[sum of offsets], as a pointer."""
    at = offsets[0]
    for more in offsets[1:]:
        at = builder.add(at, more)
    return builder.bitcast(builder.gep(data, [at]), VECTOR.as_pointer())


def _load(builder, data, *offsets):
    return builder.load(_place(builder, data, *offsets), align=4)


def _times(builder, n, step):
    return builder.mul(ir.Constant(step.type, n), step)


def _added(builder, a, b, total):
    return builder.fadd(builder.fmul(a, b, flags=("fast",)), total, flags=("contract",))


def _adder(taps, pixels):
    """An intrinsic f(out, o, os, x, a, as_, ts, w, b, ws) over flat float32 arrays, LANES floats at each place:

    out[o + p * os] += sum over j < taps of x[a + p * as_ + j * ts] * w[b + j * ws], for each p < pixels.
    """
    @intrinsic
    def add_taps(typingctx, out, o, os, x, a, as_, ts, w, b, ws):
        def build(context, builder, signature, args):
            arrays = [_pointer(context, builder, signature.args[i], args[i]) for i in (0, 3, 7)]
            o, os, a, as_, ts, b, ws = (args[i] for i in (1, 2, 4, 5, 6, 8, 9))
            to, given, weights = arrays
            loaded = [_load(builder, weights, b, _times(builder, j, ws)) for j in range(taps)]
            for p in range(pixels):
                place = _place(builder, to, o, _times(builder, p, os))
                total = builder.load(place, align=4)
                for j in range(taps):
                    seen = _load(builder, given, a, _times(builder, p, as_), _times(builder, j, ts))
                    total = _added(builder, seen, loaded[j], total)
                builder.store(total, place, align=4)
            return context.get_dummy_value()
        i = types.intp
        return types.void(out, i, i, x, i, i, i, w, i, i), build
    return add_taps


def _summer(taps):
    """An intrinsic f(part, o, os, x, a, as_, ts, dy, d, ds, n) over flat float32 arrays, LANES floats at each place:

    part[o + j * os] += sum over p < n of x[a + p * as_ + j * ts] * dy[d + p * ds], for each j < taps.
    """
    @intrinsic
    def sum_taps(typingctx, part, o, os, x, a, as_, ts, dy, d, ds, n):
        def build(context, builder, signature, args):
            to, given, back = (_pointer(context, builder, signature.args[i], args[i]) for i in (0, 3, 7))
            o, os, a, as_, ts, d, ds, n = (args[i] for i in (1, 2, 4, 5, 6, 8, 9, 10))
            places = [_place(builder, to, o, _times(builder, j, os)) for j in range(taps)]
            sums = [cgutils.alloca_once_value(builder, builder.load(place, align=4)) for place in places]
            with cgutils.for_range(builder, n) as loop:
                dz = _load(builder, back, d, builder.mul(loop.index, ds))
                for j in range(taps):
                    seen = _load(builder, given, a, builder.mul(loop.index, as_), _times(builder, j, ts))
                    builder.store(_added(builder, seen, dz, builder.load(sums[j])), sums[j])
            for place, total in zip(places, sums):
                builder.store(builder.load(total), place, align=4)
            return context.get_dummy_value()
        i = types.intp
        return types.void(part, i, i, x, i, i, i, dy, i, i, i), build
    return sum_taps


_add1, _add2, _add3, _add5 = (_adder(n, PIXELS) for n in (1, 2, 3, 5))
_one1, _one2, _one3, _one5 = (_adder(n, 1) for n in (1, 2, 3, 5))
_sum1, _sum3, _sum5 = (_summer(n) for n in (1, 3, 5))


@kernel
def _add_row(out, o, os, x, a, as_, ts, w, b, ws, taps, pixels, channels):
    """out[o + p * os + k] += sum over j of x[a + p * as_ + j * ts + k] * w[b + j * ws + k], for all p < pixels and
    k < channels; the arrays are flat."""
    whole = channels - channels % LANES
    for k in range(0, whole, LANES):
        for p in range(0, pixels - pixels % PIXELS, PIXELS):
            to, at = o + p * os + k, a + p * as_ + k
            if taps == 3:
                _add3(out, to, os, x, at, as_, ts, w, b + k, ws)
            elif taps == 5:
                _add5(out, to, os, x, at, as_, ts, w, b + k, ws)
            elif taps == 2:
                _add2(out, to, os, x, at, as_, ts, w, b + k, ws)
            else:
                for j in range(taps):
                    _add1(out, to, os, x, at + j * ts, as_, ts, w, b + k + j * ws, ws)
        for p in range(pixels - pixels % PIXELS, pixels):
            to, at = o + p * os + k, a + p * as_ + k
            if taps == 3:
                _one3(out, to, os, x, at, as_, ts, w, b + k, ws)
            elif taps == 5:
                _one5(out, to, os, x, at, as_, ts, w, b + k, ws)
            elif taps == 2:
                _one2(out, to, os, x, at, as_, ts, w, b + k, ws)
            else:
                for j in range(taps):
                    _one1(out, to, os, x, at + j * ts, as_, ts, w, b + k + j * ws, ws)
    for p in range(pixels if whole < channels else 0):
        for k in range(whole, channels):
            total = out[o + p * os + k]
            for j in range(taps):
                total += x[a + p * as_ + j * ts + k] * w[b + j * ws + k]
            out[o + p * os + k] = total


# ------------------------------------------------------------------ kernels


@kernel
def _flat(x):
    return x.reshape(x.size)


@kernel
def _inside(n, taps, at, step, width):
    """(first, stop): the pixels p < n for which all of at + p * step + (0 .. taps) lie in 0 .. width."""
    first = 0 if at >= 0 else (-at + step - 1) // step
    stop = (width - taps - at) // step + 1 if width - taps - at >= 0 else 0
    return min(first, n), max(min(first, n), min(stop, n))


@kernel
def _rows(start, stop, scratch, x, w, y, sh, sw, top, left, b, code, scale, shift):
    """Rows start .. stop of the output y (N, OH, OW, C), counted through all images; w is (kh, kw, C)."""
    kh, kw, c = w.shape
    oh, ow, height, width = y.shape[1], y.shape[2], x.shape[1], x.shape[2]
    given, weights = _flat(x), _flat(w)
    low, high = _inside(ow, kw, -left, sw, width)
    for r in range(start, stop):
        line, first = y[r // oh, r % oh], (r % oh) * sh - top
        out = _flat(line)
        out[:] = 0
        for i in range(max(0, -first), min(kh, height - first)):
            row = ((r // oh) * height + first + i) * width
            _add_row(out, low * c, c, given, (row + low * sw - left) * c, sw * c, c, weights, i * kw * c, c, kw,
                     high - low, c)
            for ox in range(ow):
                at = ox * sw - left
                if not low <= ox < high:
                    begin, end = max(0, -at), min(kw, width - at)
                    if begin < end:
                        _add_row(out, ox * c, c, given, (row + at + begin) * c, c, c, weights, (i * kw + begin) * c,
                                 c, end - begin, 1, c)
        finish(line, b, code, scale, shift)


@kernel
def _transposed_rows(start, stop, scratch, dy, w, dx, sh, sw, top, left, b, code, scale, shift):
    """Rows start .. stop of dx (N, H, W, C); w (kh, kw, C) is turned around. Pixels at a distance of the stride see
    the same taps, which lie at that distance, too."""
    kh, kw, c = w.shape
    height, width, oh, ow = dx.shape[1], dx.shape[2], dy.shape[1], dy.shape[2]
    given, weights = _flat(dy), _flat(w)
    for r in range(start, stop):
        line = dx[r // height, r % height]
        out = _flat(line)
        out[:] = 0
        for i in range(kh):                                 # tap i of the turned window is tap kh - 1 - i
            y = r % height + top - (kh - 1 - i)
            if y % sh or not 0 <= y // sh < oh:
                continue
            row = ((r // height) * oh + y // sh) * ow
            for phase in range(min(sw, width)):
                j0 = (kw - 1 - phase - left) % sw           # the first tap that pixels of this phase see
                taps, pixels = (kw - 1 - j0) // sw + 1 if j0 < kw else 0, (width - 1 - phase) // sw + 1
                if taps < 1:
                    continue
                at = (phase + left - (kw - 1 - j0)) // sw       # the pixel of dy that the first pixel sees there
                low, high = _inside(pixels, taps, at, 1, ow)
                _add_row(out, (phase + low * sw) * c, sw * c, given, (row + at + low) * c, c, c, weights,
                         (i * kw + j0) * c, sw * c, taps, high - low, c)
                for p in range(pixels):
                    begin, end = max(0, -at - p), min(taps, ow - at - p)
                    if not low <= p < high and begin < end:
                        _add_row(out, (phase + p * sw) * c, c, given, (row + at + p + begin) * c, c, c, weights,
                                 (i * kw + j0 + begin * sw) * c, sw * c, end - begin, 1, c)
        finish(line, b, code, scale, shift)


@kernel
def _sum_row(part, o, x, a, as_, dy, d, taps, pixels, c):
    """part[o + j * c + k] += sum over p of x[a + p * as_ + j * c + k] * dy[d + p * c + k]; the arrays are flat."""
    whole = c - c % LANES
    for k in range(0, whole, LANES):
        if taps == 3:
            _sum3(part, o + k, c, x, a + k, as_, c, dy, d + k, c, pixels)
        elif taps == 5:
            _sum5(part, o + k, c, x, a + k, as_, c, dy, d + k, c, pixels)
        else:
            for j in range(taps):
                _sum1(part, o + j * c + k, c, x, a + j * c + k, as_, c, dy, d + k, c, pixels)
    for j in range(taps):
        for k in range(whole, c):
            total = np.float32(0)
            for p in range(pixels):
                total += x[a + p * as_ + j * c + k] * dy[d + p * c + k]
            part[o + j * c + k] += total


@kernel
def _weight_parts(start, stop, scratch, x, dy, parts, sh, sw, top, left, grain):
    """parts[piece] (kh, kw, C) = the sums over output rows start .. stop of what each tap sees, times dy."""
    kh, kw, c = parts.shape[1], parts.shape[2], parts.shape[3]
    oh, ow, height, width = dy.shape[1], dy.shape[2], x.shape[1], x.shape[2]
    given, back, part = _flat(x), _flat(dy), _flat(parts[start // grain])
    part[:] = 0
    low, high = _inside(ow, kw, -left, sw, width)
    for r in range(start, stop):
        first = (r % oh) * sh - top
        for i in range(max(0, -first), min(kh, height - first)):
            row = ((r // oh) * height + first + i) * width
            _sum_row(part, i * kw * c, given, (row + low * sw - left) * c, sw * c, back, (r * ow + low) * c, kw,
                     high - low, c)
            for ox in range(ow):
                at = ox * sw - left
                begin, end = max(0, -at), min(kw, width - at)
                if not low <= ox < high and begin < end:
                    _sum_row(part, (i * kw + begin) * c, given, (row + at + begin) * c, c, back, (r * ow + ox) * c,
                             end - begin, 1, c)
