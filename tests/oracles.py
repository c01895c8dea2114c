"""What each operator should give, as loops in float64 that share nothing with the code under test.

Loops run over pixels; what happens to the channels of one pixel is one line of NumPy, to keep the tests short.
"""
import itertools
import math

import numpy as np

# ------------------------------------------------------------------ convolution


def two(v):
    return tuple(v) if isinstance(v, (tuple, list)) else (v, v)


def four_sides(padding, shape, kernel, stride, dilation):
    """((top, bottom), (left, right)) of any padding; TensorFlow's rule for "same" is written out."""
    if padding != "same":
        return tuple(two(p) for p in two(padding))
    both = []
    for n, k, s, d in zip(shape, kernel, stride, dilation):
        out = math.ceil(n / s)
        needed = max(0, (out - 1) * s + (k - 1) * d + 1 - n)
        before = needed // 2                        # the odd pixel goes to the end
        both.append((before, needed - before))
    return tuple(both)


def visits(shape, kernel, stride, padding, dilation=1):
    """Every (image, output row, output column, window row, window column, row, column) inside the image."""
    stride, dilation = two(stride), two(dilation)
    n, h, w = shape[:3]
    (top, bottom), (left, right) = four_sides(padding, (h, w), kernel, stride, dilation)
    oh = (h + top + bottom - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
    ow = (w + left + right - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
    inside = []
    for m, i, j, a, b in itertools.product(range(n), range(oh), range(ow), range(kernel[0]), range(kernel[1])):
        r, c = i * stride[0] + a * dilation[0] - top, j * stride[1] + b * dilation[1] - left
        if 0 <= r < h and 0 <= c < w:
            inside.append((m, i, j, a, b, r, c))
    return (n, oh, ow), inside


def split(cin, cout, groups):
    """The channels of each group: (of the images, of the outputs)."""
    a, b = cin // groups, cout // groups
    return [(slice(g * a, g * a + a), slice(g * b, g * b + b)) for g in range(groups)]


def turned(w, flip):
    return w[::-1, ::-1] if flip else w


def conv4(w, x, bias=None, *, stride=1, padding=0, dilation=1, groups=1, flip=False):
    w = turned(w, flip)
    out, inside = visits(x.shape, w.shape[:2], stride, padding, dilation)
    y = np.zeros(out + (w.shape[3],))
    for m, i, j, a, b, r, c in inside:
        for xs, ys in split(x.shape[3], w.shape[3], groups):
            y[m, i, j, ys] += x[m, r, c, xs] @ w[a, b][:, ys]
    return y if bias is None else y + bias


def conv4w(w, x, dy, *, stride=1, padding=0, dilation=1, groups=1, flip=False):
    shape = getattr(w, "shape", w)
    dw = np.zeros(shape)
    for m, i, j, a, b, r, c in visits(x.shape, shape[:2], stride, padding, dilation)[1]:
        for xs, ys in split(x.shape[3], shape[3], groups):
            dw[a, b][:, ys] += np.outer(x[m, r, c, xs], dy[m, i, j, ys])
    return turned(dw, flip)


def conv4x(w, x, dy, *, stride=1, padding=0, dilation=1, groups=1, flip=False):
    w, shape = turned(w, flip), getattr(x, "shape", x)
    dx = np.zeros(shape)
    for m, i, j, a, b, r, c in visits(shape, w.shape[:2], stride, padding, dilation)[1]:
        for xs, ys in split(shape[3], w.shape[3], groups):
            dx[m, r, c, xs] += w[a, b][:, ys] @ dy[m, i, j, ys]
    return dx


def deconv4(w, x, bias=None, *, stride=1, padding=0, dilation=1, groups=1, output_padding=0, flip=False):
    """Every pixel of x stamps the weights onto the output, `stride` apart; the padding is cut off."""
    w, s, d = turned(w, flip), two(stride), two(dilation)
    n, h, wd, cin = x.shape
    kh, kw, cout = w.shape[0], w.shape[1], w.shape[2] * groups
    if padding == "same":
        size = (h * s[0], wd * s[1])
    else:
        pads = [sum(two(p)) for p in two(padding)]
        size = ((h - 1) * s[0] + (kh - 1) * d[0] + 1 - pads[0] + two(output_padding)[0],
                (wd - 1) * s[1] + (kw - 1) * d[1] + 1 - pads[1] + two(output_padding)[1])
    (top, _), (left, _) = four_sides(padding, size, (kh, kw), s, d)
    y = np.zeros((n,) + size + (cout,))
    for m, i, j, a, b in itertools.product(range(n), range(h), range(wd), range(kh), range(kw)):
        r, c = i * s[0] + a * d[0] - top, j * s[1] + b * d[1] - left
        if 0 <= r < size[0] and 0 <= c < size[1]:
            for ys, xs in split(cout, cin, groups):
                y[m, r, c, ys] += w[a, b][:, xs] @ x[m, i, j, xs]
    return y if bias is None else y + bias


# ------------------------------------------------------------------ pooling


def pool(x, *, window=2, stride=None, padding=0, mode="max"):
    window = two(window)
    out, inside = visits(x.shape, window, window if stride is None else stride, padding)
    y = np.full(out + (x.shape[3],), -np.inf if mode == "max" else 0.0)
    count = np.zeros(out + (1,))
    for m, i, j, _, _, r, c in inside:
        y[m, i, j] = np.maximum(y[m, i, j], x[m, r, c]) if mode == "max" else y[m, i, j] + x[m, r, c]
        count[m, i, j] += 1
    return {"max": y, "avg": y / (window[0] * window[1]), "avg_valid": y / np.maximum(count, 1)}[mode]


def unpool(x, *, window=2, stride=None, padding=0, mode="max"):
    """Each pixel onto its window, overlaps added; "avg" makes up for the zeros that pool would count."""
    window = two(window)
    stride = window if stride is None else two(stride)
    n, h, w, c = x.shape
    pads = four_sides(padding, None, None, None, None)
    shape = (n, (h - 1) * stride[0] + window[0] - sum(pads[0]), (w - 1) * stride[1] + window[1] - sum(pads[1]), c)
    inside = visits(shape, window, stride, padding)[1]
    count = np.zeros((n, h, w, 1))
    for m, i, j, _, _, _, _ in inside:
        count[m, i, j] += 1
    y = np.zeros(shape)
    for m, i, j, _, _, r, q in inside:
        y[m, r, q] += x[m, i, j] * (window[0] * window[1] / count[m, i, j] if mode == "avg" else 1)
    return y


def upsample(x, *, scale=2, mode="nearest"):
    (sh, sw), (n, h, w, c) = two(scale), x.shape
    y = np.zeros((n, h * sh, w * sw, c))
    for i, j in itertools.product(range(h * sh), range(w * sw)):
        if mode == "nearest":
            y[:, i, j] = x[:, i // sh, j // sw]
            continue
        u, v = (i + 0.5) / sh - 0.5, (j + 0.5) / sw - 0.5           # pixels are areas
        for r, c in itertools.product(range(-1, h + 1), range(-1, w + 1)):
            share = max(0, 1 - abs(u - r)) * max(0, 1 - abs(v - c))
            if share:
                y[:, i, j] += share * x[:, min(max(r, 0), h - 1), min(max(c, 0), w - 1)]    # the border repeats
    return y


# ------------------------------------------------------------------ batchnorm


def batchnorm(x, mean, var, params, eps=1e-5):
    """With given moments, or the batch's own where mean is None."""
    y, c = np.zeros(x.shape), x.shape[-1]
    for k in range(c):
        v = x[..., k]
        m = v.sum() / v.size if mean is None else mean[k]
        s = ((v - m) ** 2).sum() / v.size if mean is None else var[k]
        y[..., k] = (v - m) / math.sqrt(s + eps)
        if params is not None:
            y[..., k] = y[..., k] * params[k] + params[c + k]
    return y


# ------------------------------------------------------------------ element by element


def each(f):
    """f of a Python float, for every element; inf where it overflows, NaN where it is not defined."""
    def g(v, **o):
        try:
            return f(float(v), **o)
        except (OverflowError, ValueError) as e:
            return math.inf if isinstance(e, OverflowError) else math.nan
    return lambda x, **o: np.array([g(v, **o) for v in np.ravel(x)]).reshape(np.shape(x))


relu = each(lambda v: v if v > 0 else 0.0)
relu6 = each(lambda v: v if 0 < v < 6 else 6.0 if v > 0 else 0.0)
tanh = each(math.tanh)
sigm = each(lambda v: 0.0 if v < -700 else 1 / (1 + math.exp(-v)))
leaky_relu = each(lambda v, slope=0.01: v if v > 0 else v * slope)
elu = each(lambda v, alpha=1.0: v if v > 0 else alpha * math.expm1(v))
selu = each(lambda v: 1.0507009873554804934 * (v if v > 0 else 1.6732632423543772848 * math.expm1(v)))
softplus = each(lambda v: v if v > 40 else math.log1p(math.exp(v)))
log = each(lambda v: math.log(v) if v else -math.inf)
exp, sqrt, abs_, neg = each(math.exp), each(math.sqrt), each(math.fabs), each(lambda v: -v)


def clip(x, low, high):
    return each(lambda v: low if v < low else high if v > high else v)(x)


def power(x, n):
    return each(lambda v: math.pow(v, n) if v or n >= 0 else math.inf)(x)


# ------------------------------------------------------------------ rows: softmax, losses


def _logsumexp(v):
    top = max(v)
    return top + math.log(math.fsum(math.exp(a - top) for a in v))


def logsumexp(x, *, axis=-1, keepdims=False):
    """Of each list of numbers along an axis, several, or all (None)."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else [axis]
    axes = {a % x.ndim for a in axes}
    lists = {}
    for i in np.ndindex(*x.shape):
        lists.setdefault(tuple(0 if k in axes else n for k, n in enumerate(i)), []).append(float(x[i]))
    y = np.zeros([1 if k in axes else n for k, n in enumerate(x.shape)])
    for i, values in lists.items():
        y[i] = _logsumexp(values)
    return y if keepdims else y.reshape([n for k, n in enumerate(x.shape) if k not in axes])


def softmax(x, *, axis=-1):
    y = logsumexp(x, axis=axis, keepdims=True) + np.zeros(x.shape)
    return np.array([math.exp(a - b) for a, b in zip(np.ravel(x), np.ravel(y))]).reshape(x.shape)


def logsoftmax(x, *, axis=-1):
    return x - logsumexp(x, axis=axis, keepdims=True)


def nll(scores, labels, weights=None, *, average=True):
    """Label by label. Soft targets are (indices, values); weights are per class (C,) or per position."""
    scores2 = scores.reshape(-1, scores.shape[-1])
    indices = labels[0] if isinstance(labels, tuple) else labels
    k = indices.shape[-1] if isinstance(labels, tuple) else 1
    indices = indices.reshape(-1, k)
    values = labels[1].reshape(-1, k) if isinstance(labels, tuple) else np.ones(indices.shape)
    per_class = weights is not None and weights.shape == (scores.shape[-1],)
    total, count = 0.0, 0
    for p, row in enumerate(scores2.tolist()):
        counts = False
        for label, v in zip(indices[p].tolist(), values[p].tolist()):
            if label >= 0 and v != 0:
                weight = 1.0 if weights is None else weights[label] if per_class else weights.ravel()[p]
                total -= weight * v * (row[label] - _logsumexp(row))
                counts = True
        count += counts
    return total / max(count, 1) if average else (total, count)


def accuracy(scores, labels):
    rows = zip(scores.reshape(-1, scores.shape[-1]).tolist(), labels.ravel().tolist())
    right = [max(range(len(row)), key=row.__getitem__) == label for row, label in rows if label >= 0]
    return sum(right) / len(right)


def _average(terms, average):
    return sum(terms) / len(terms) if average else (sum(terms), len(terms))


def bce(scores, labels, *, average=True):
    """-(label * log p + (1 - label) * log(1 - p)), by the logarithms of p and 1 - p."""
    return _average([float(label * np.logaddexp(0, -s) + (1 - label) * np.logaddexp(0, s))
                     for s, label in zip(scores.ravel(), labels.ravel())], average)


def logistic(scores, labels, *, average=True):
    return _average([float(np.logaddexp(0, -s * label)) for s, label in zip(scores.ravel(), labels.ravel())], average)


def mse(y, target, *, average=True):
    return _average([(a - b) ** 2 for a, b in zip(y.ravel().tolist(), target.ravel().tolist())], average)


def huber(y, target, delta=1.0, *, average=True):
    d = [abs(a - b) for a, b in zip(y.ravel().tolist(), target.ravel().tolist())]
    return _average([v * v / 2 if v < delta else delta * (v - delta / 2) for v in d], average)
