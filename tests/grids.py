"""The shapes and options that operators are tested with: every backend and kernel runs the same lists."""
from collections import namedtuple

import numpy as np

from .tools import distinct, randn

Case = namedtuple("Case", "x w options")        # shapes of the images and weights (or window), keyword arguments
Case.__str__ = lambda c: f"{'x'.join(map(str, c.x))}-{c.w}-{c.options}".replace(" ", "").replace("'", "")


def _case(n, h, w, c, *kernel, **options):
    return Case((n, h, w, c), kernel, options)


SIDES = ((0, 1), (2, 1))

# images N H W C, then weights kh kw C/groups K
CONV = [
    _case(2, 5, 7, 3, 3, 3, 3, 4),
    _case(1, 5, 6, 2, 3, 3, 2, 3, padding=1),
    _case(1, 5, 6, 2, 3, 3, 2, 3, padding="same"),
    _case(1, 6, 7, 1, 3, 3, 1, 2, padding="same", stride=2),
    _case(2, 7, 6, 3, 3, 3, 3, 2, padding="same", stride=2),
    _case(1, 7, 9, 2, 4, 2, 2, 2, padding="same", stride=3),
    _case(1, 9, 8, 2, 5, 5, 2, 3, padding="same", stride=2),
    _case(1, 8, 8, 2, 2, 2, 2, 3, stride=2),
    _case(1, 8, 7, 2, 2, 3, 2, 3, stride=(2, 1), padding=(0, 1)),
    _case(1, 6, 5, 3, 3, 3, 3, 2, padding=SIDES),
    _case(1, 6, 5, 3, 3, 3, 3, 2, padding=SIDES, stride=2, flip=True),
    _case(1, 6, 5, 1, 3, 2, 1, 1, stride=3, padding=2),
    _case(1, 9, 9, 2, 3, 3, 2, 2, dilation=2),
    _case(1, 9, 8, 2, 3, 3, 2, 2, dilation=2, padding="same"),
    _case(1, 9, 10, 2, 3, 3, 2, 2, dilation=(2, 3), padding=2, stride=2),
    _case(1, 7, 7, 2, 2, 2, 2, 3, dilation=3, padding="same", stride=2, flip=True),
    _case(1, 5, 5, 4, 3, 3, 2, 6, groups=2, padding=1),
    _case(2, 5, 4, 3, 3, 3, 1, 6, groups=3, padding="same", stride=2),
    _case(1, 6, 6, 4, 2, 3, 1, 4, groups=4, dilation=2, flip=True),
    _case(1, 4, 5, 3, 1, 1, 3, 5),
    _case(2, 4, 5, 3, 1, 1, 3, 2, stride=2),
    _case(1, 1, 1, 3, 1, 1, 3, 2),
    _case(1, 1, 1, 2, 3, 3, 2, 2, padding="same"),
    _case(1, 1, 1, 2, 3, 3, 2, 2, padding="same", stride=2, dilation=2),
    _case(1, 1, 4, 1, 1, 4, 1, 3),
    _case(1, 2, 3, 2, 3, 3, 2, 2, padding=3, stride=4),
    _case(0, 5, 5, 2, 3, 3, 2, 3, padding=1),
    _case(1, 5, 5, 75, 3, 3, 75, 3, padding="same"),
    _case(1, 5, 6, 1, 3, 3, 1, 75, padding="same", stride=2),
    _case(1, 4, 4, 75, 3, 3, 75, 90, padding="same", stride=2),
    _case(1, 5, 3, 6, 3, 3, 6, 5, padding=(1, 2), flip=True),
    _case(3, 11, 5, 3, 7, 3, 3, 2, padding=(3, 1), stride=(2, 1)),
]

# the same for depthwise convolution: sizes from 1x1 up, channels around the 16 that the CPU's kernels take at once
DEPTHWISE = [
    *(_case(1, n, n + 1, 3, k, k, 1, 3, groups=3, padding="same", stride=s)
      for n in range(1, 6) for k in (3, 5) for s in (1, 2)),
    _case(2, 7, 8, 16, 3, 3, 1, 16, groups=16, padding=1),
    _case(2, 8, 7, 17, 3, 3, 1, 17, groups=17, padding="same", stride=2),
    _case(1, 13, 12, 35, 5, 5, 1, 35, groups=35, padding=2),
    _case(1, 12, 13, 32, 5, 5, 1, 32, groups=32, padding="same", stride=2),
    _case(1, 9, 8, 18, 3, 3, 1, 18, groups=18),
    _case(1, 9, 8, 4, 5, 5, 1, 4, groups=4, stride=2),
    _case(1, 6, 7, 20, 3, 3, 1, 20, groups=20, padding=SIDES, stride=2, flip=True),
    _case(1, 7, 9, 4, 5, 3, 1, 4, groups=4, padding=(3, 0), stride=(1, 2)),
    _case(1, 5, 6, 2, 3, 3, 1, 2, groups=2, padding=4),
    _case(1, 7, 6, 33, 2, 2, 1, 33, groups=33, padding="same"),
    _case(1, 7, 9, 5, 4, 4, 1, 5, groups=5, padding=1, stride=2),
    _case(1, 8, 7, 3, 3, 3, 1, 3, groups=3, stride=3, padding="same"),
    _case(1, 4, 5, 16, 1, 1, 1, 16, groups=16),
    _case(2, 4, 5, 6, 1, 1, 1, 6, groups=6, stride=2),
    _case(1, 9, 8, 4, 3, 3, 1, 4, groups=4, dilation=2, padding="same"),
    _case(1, 5, 6, 3, 3, 3, 1, 6, groups=3, padding="same"),
    _case(0, 5, 5, 4, 3, 3, 1, 4, groups=4, padding=1),
]

# images N H W C, then weights kh kw K/groups C
DECONV = [
    _case(1, 3, 4, 3, 3, 3, 2, 3),
    _case(2, 3, 4, 2, 3, 3, 3, 2, padding=1),
    _case(1, 3, 4, 2, 3, 3, 3, 2, padding="same", stride=2),
    _case(1, 3, 4, 2, 2, 2, 3, 2, padding="same", stride=2),
    _case(1, 4, 3, 2, 5, 4, 2, 2, padding="same", stride=2),
    _case(1, 4, 3, 2, 4, 4, 2, 2, padding=1, stride=2),
    _case(1, 4, 3, 2, 2, 3, 2, 2, padding="same", stride=3),
    _case(1, 3, 4, 2, 3, 3, 2, 2, padding=1, stride=2, output_padding=1),
    _case(1, 3, 2, 2, 3, 2, 2, 2, padding=(1, 0), stride=(3, 2), output_padding=(2, 1)),
    _case(1, 4, 5, 2, 3, 3, 2, 2, padding=SIDES, stride=2),
    _case(1, 4, 5, 2, 3, 3, 2, 2, padding=SIDES, flip=True),
    _case(1, 4, 5, 2, 3, 3, 2, 2, dilation=2, padding=1),
    _case(1, 4, 5, 2, 3, 3, 2, 2, dilation=2, padding="same", stride=2),
    _case(1, 3, 4, 4, 3, 3, 3, 4, groups=2, padding=1, stride=2),
    _case(1, 3, 3, 3, 3, 3, 2, 3, groups=3, padding="same", stride=2, flip=True),
    _case(1, 3, 5, 17, 3, 3, 1, 17, groups=17, padding="same", stride=2),
    _case(1, 4, 3, 4, 5, 5, 1, 4, groups=4, padding=2, stride=2, output_padding=1),
    _case(1, 4, 5, 4, 3, 3, 1, 4, groups=4, padding=1),
    _case(1, 4, 3, 3, 1, 1, 2, 3),
    _case(1, 3, 3, 2, 1, 1, 2, 2, stride=2),
    _case(1, 1, 1, 2, 3, 3, 3, 2, padding="same", stride=2),
    _case(1, 1, 1, 1, 1, 1, 1, 1),
    _case(0, 3, 3, 2, 3, 3, 2, 2, padding="same", stride=2),
    _case(1, 3, 3, 75, 3, 3, 2, 75, padding="same", stride=2),
    _case(1, 2, 3, 105, 3, 3, 75, 105, padding="same", stride=2),
]

# images N H W C, then the window
POOL = [
    _case(2, 4, 6, 3, 2),
    _case(1, 5, 7, 2, 2),
    _case(1, 5, 7, 2, 3, stride=2, padding=1),
    _case(1, 5, 6, 2, (3, 2), stride=(1, 2)),
    _case(1, 7, 5, 2, 3, stride=2, padding="same"),
    _case(1, 6, 6, 1, 2, stride=1, padding="same"),
    _case(1, 6, 5, 2, 3, stride=3, padding=((0, 1), (2, 1))),
    _case(1, 7, 8, 2, 2, stride=3),
    _case(1, 1, 1, 3, 1),
    _case(1, 1, 1, 2, 3, padding=1, stride=1),
    _case(1, 3, 4, 1, (3, 4)),
    _case(0, 4, 4, 2, 2),
    _case(1, 4, 5, 75, 2, padding=1),
]

# images N H W C, then the window, small enough for unpool to enlarge
UNPOOL = [
    _case(2, 2, 3, 3, 2),
    _case(1, 3, 2, 2, (2, 3)),
    _case(1, 2, 3, 2, 3, padding=1),
    _case(1, 3, 3, 1, 3, padding=((1, 0), (0, 2))),
    _case(1, 1, 1, 2, 2),
    _case(1, 2, 2, 75, 2),
    _case(0, 2, 2, 2, 2),
    _case(1, 2, 3, 2, 2, stride=3),
]
UNPOOL_OVERLAP = [_case(1, 3, 4, 2, 3, stride=2), _case(1, 3, 4, 2, 3, stride=2, padding=1)]

UPSAMPLE = [((1, 3, 4, 2), 2), ((2, 1, 1, 3), 3), ((1, 5, 2, 1), (1, 2)), ((1, 2, 3, 75), (3, 2)), ((0, 2, 2, 2), 2),
            ((1, 4, 1, 2), 4), ((1, 3, 3, 2), 1)]

BATCHNORM = [(2, 3, 4, 3), (5, 2), (1, 1, 3, 1), (1, 4, 5, 75), (3, 7), (2, 2, 2, 2, 2)]

# any shape: for what works element by element
ELEMENTS = [(), (1,), (7,), (2, 3), (2, 5, 7, 3), (0, 3), (1, 1, 1, 75), (3, 4097)]

# (shape of scores, axis)
ROWS = [((4, 5), -1), ((3,), -1), ((2, 3, 4, 5), -1), ((2, 3, 4), 0), ((2, 3, 4), None), ((1, 1), -1), ((2, 75), -1),
        ((0, 4), -1)]


def conv_arrays(case):
    """(w, x, bias) of a CONV case."""
    return randn(*case.w, seed=1) * 0.5, randn(*case.x, seed=2), randn(case.w[3], seed=3)


def deconv_arrays(case):
    """(w, x, bias) of a DECONV case."""
    outputs = case.w[2] * case.options.get("groups", 1)
    return randn(*case.w, seed=1) * 0.5, randn(*case.x, seed=2), randn(outputs, seed=3)


def pool_arguments(case):
    """(x, options) of a POOL or UNPOOL case."""
    return distinct(*case.x), {"window": case.w[0], **case.options}


def labels(shape, classes, seed=0, skip=True):
    """Random labels, some of them -1."""
    return np.random.default_rng(seed).integers(-1 if skip else 0, classes, shape)
