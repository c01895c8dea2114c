"""The CUDA kernels of ops/conv.py: tiles, blocks and constants for conv.cu and conv_weights.cu, which compute."""
from . import depthwise
from .launcher import Source, blocks, empty, limits, ready

CODES = {None: 0, "relu": 1, "tanh": 2, "sigm": 3, "leaky_relu": 4, "relu6": 5}
TAPS = 64                                   # of a window at most: which of them lie inside the image is a bit mask
THREADS = 256
PIXELS_A_SUM = 1 << 14                      # that one block adds to a gradient in float32, one after the other
PIECE = 1 << 10                             # pixels that are worth a block of their own

forward, backward = Source(__file__, "conv.cu"), Source(__file__, "conv_weights.cu")


def conv4(w, x, b, g, groups):
    return conv4_then(w, x, b, None, None, None, g, groups)


def conv4_then(w, x, b, activation, scale, shift, g, groups):
    if activation not in CODES or not (x.size and w.size):
        return NotImplemented
    if depthwise.suits(w.shape, groups, g):
        return depthwise.conv4(w, x, _after(b, activation, scale, shift), g)
    if groups != 1 or g.kh * g.kw > TAPS:
        return NotImplemented
    y = empty((x.shape[0], g.oh, g.ow, w.shape[3]))
    return _gather(w, x, b, activation, scale, shift, g, y, transposed=False)


def conv4x(w, shape, dy, b, g, groups):
    return conv4x_then(w, shape, dy, b, None, None, None, g, groups)


def conv4x_then(w, shape, dy, b, activation, scale, shift, g, groups):
    if activation not in CODES or not (dy.size and w.size and shape[0]):
        return NotImplemented
    if depthwise.suits(w.shape, groups, g):
        return depthwise.conv4x(w, shape, dy, _after(b, activation, scale, shift), g)
    if groups != 1 or g.kh * g.kw > TAPS:
        return NotImplemented
    return _gather(w, dy, b, activation, scale, shift, g, empty(shape), transposed=True)


def _gather(w, x, b, activation, scale, shift, g, y, transposed):
    """Launch the kernel that both directions share: y from x (N, H, W, C)."""
    n, oh, ow, k = y.shape
    down, across = (g.sh, g.sw) if transposed else (1, 1)
    phases, pixels = down * across, n * -(-oh // down) * -(-ow // across)
    tx, tn = _columns(k)
    few = 2 * limits().multiprocessors // (phases * -(-k // (tx * tn)))     # blocks that would leave the GPU idle
    tm = _rows(tx, lambda half: -(-pixels // (2 * half)) < few)
    constants = {"C": x.shape[3], "K": k, **_window(g), "TRANSPOSED": int(transposed), "TX": tx, "TN": tn, "TM": tm,
                 "BIAS": int(b is not None), "ACTIVATION": CODES[activation], "AFFINE": int(scale is not None)}
    grid = (-(-pixels // (THREADS // tx * tm)), -(-k // (tx * tn)), phases)
    forward.launch("gather", grid, (ready(x), ready(w), b, scale, shift, y, n, *x.shape[1:3], oh, ow), constants)
    return y


def conv4w(shape, x, dy, g, groups):
    if not (x.size and dy.size):
        return NotImplemented
    if depthwise.suits(shape, groups, g):
        return depthwise.conv4w(shape, x, dy, g)
    if groups != 1 or g.kh * g.kw > TAPS:
        return NotImplemented
    kh, kw, c, k = shape
    pairs, pixels = kh * kw * c, dy.size // k
    tx, tn = _columns(k)
    tm = _rows(tx, lambda half: half >= pairs)
    grid = -(-pairs // (THREADS // tx * tm)), -(-k // (tx * tn))
    splits = _splits(pixels, grid[0] * grid[1])
    share = -(-pixels // splits)
    parts = empty((splits, pairs * k))
    constants = {"C": c, "K": k, **_window(g), "TX": tx, "TN": tn, "TM": tm}
    sizes = (*x.shape[1:3], g.oh, g.ow, pixels, share)
    backward.launch("weights", (*grid, splits), (ready(x), ready(dy), parts, *sizes), constants)
    if splits == 1:
        return parts.reshape(shape)
    dw = empty(shape)
    backward.launch("add_parts", blocks(dw.size, each=1), (parts, dw, dw.size, splits), constants)
    return dw


def _after(b, activation, scale, shift):
    """What happens to a finished value: (bias, activation's code, scale, shift); None: nothing."""
    b, scale, shift = (None if a is None else ready(a) for a in (b, scale, shift))
    return b, CODES[activation], scale, shift


def _window(g):
    return {"KH": g.kh, "KW": g.kw, "SH": g.sh, "SW": g.sw, "DH": g.dh, "DW": g.dw, "TOP": g.top, "LEFT": g.left}


def _splits(pixels, tiles):
    """How many blocks share the pixels of one tile of the weights: enough to fill the GPU and to keep sums short."""
    fill = 4 * limits().multiprocessors // tiles
    return max(1, min(fill, pixels // PIECE), -(-pixels // PIXELS_A_SUM))


# ------------------------------------------------------------------ tiles

ROWS = {16: 8, 8: 4, 4: 4, 2: 2, 1: 1}      # pixels of a thread, by the number of threads along the channels


def _columns(channels):
    """(threads along the channels, channels of a thread): 80, 96 and 112 fit 75, 90 and 105 nearly without waste."""
    return min(((tx, tn) for tx in ROWS for tn in range(1, 9)), key=lambda t: _cost(channels, *t))


def _cost(channels, tx, tn):
    """Instructions for each useful multiply-add: the multiply-adds themselves, and reading what they multiply."""
    tm = ROWS[tx]
    executed = -(-channels // (tx * tn)) * tx * tn / channels
    return executed * (1 + (tm / 4 + tn / 2 + 2) / (tm * tn))


def _rows(tx, enough):
    """Pixels of a thread: fewer than usual while `enough(pixels)` says that blocks of half as many would do."""
    tm = ROWS[tx]
    while tm > 1 and THREADS // tx * tm > 32 and enough(THREADS // tx * tm // 2):
        tm //= 2
    return tm
