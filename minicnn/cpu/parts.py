"""What the Numba kernels are made of: how they are compiled, and the functions that they share."""
import functools

import numba
import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  (np.dot inside a kernel calls the sgemm found there)
from llvmlite import ir
from numba.extending import intrinsic

# never nnan or ninf: NaN must stay visible; the default error model would keep divisions from being vectorised
FLAGS = {"reassoc", "contract", "arcp", "nsz", "afn"}


def kernel(f, inline="never"):
    """Compile f when it is first called, and keep the code in Numba's cache."""
    compiled = numba.njit(nogil=True, error_model="numpy", fastmath=FLAGS, inline=inline)(f)
    try:
        compiled.enable_caching()
    except RuntimeError:                    # no folder can be written to, neither this one nor the user's
        pass
    return compiled


inlined = functools.partial(kernel, inline="always")        # for short functions: a call costs 60 ns, as they do

# ------------------------------------------------------------------ matrix products, for kernels


@kernel
def product(a, b, out):
    """out = a @ b, some rows at a time.

    OpenBLAS multiplies up to a million multiply-adds without packing first: measured 105 against 80 GFLOP/s on one
    core, where two thirds of the time of larger products of these shapes went into copying.
    """
    rows = 1000000 // (b.shape[0] * b.shape[1] + 1)
    rows = len(a) if rows < 4 else rows - rows % 4
    for p in range(0, len(a), rows):
        np.dot(a[p:p + rows], b, out[p:p + rows])


@kernel
def sheet(memory, at, a, b):
    """A matrix (a, b) in scratch memory, from float number `at`. (Reshaping takes long to compile: once, here.)"""
    return memory[at:at + a * b].reshape(a, b)


@kernel
def cube(memory, at, a, b, c):
    """An array (a, b, c) in scratch memory, from float number `at`."""
    return memory[at:at + a * b * c].reshape(a, b, c)


@inlined
def copy(x, y):
    """y[:] = x, which compiles faster so."""
    for k in range(len(y)):
        y[k] = x[k]


@inlined
def clear(y):
    """y[:] = 0"""
    for k in range(len(y)):
        y[k] = np.float32(0)


@inlined
def span(row, at, step, edge):
    """(pixels, distance) where pixels[i * distance] is row[at + i * step], or zero outside of the row
    (width, channels), for as many pixels as `edge` has room for."""
    last = at + (len(edge) - 1) * step
    if 0 <= at and last < len(row):
        return row[at:], step
    for i in range(len(edge)):
        p, to = at + i * step, edge[i]
        source = row[p if 0 <= p < len(row) else 0]
        for k in range(len(to)):
            to[k] = source[k] if 0 <= p < len(row) else np.float32(0)
    return edge, 1


# ------------------------------------------------------------------ functions of one number, for kernels


@intrinsic
def _bits_as_float(typingctx, i):
    def build(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())
    return numba.types.float32(numba.types.int32), build


@inlined
def exp(x):
    """e to the x: x = n log 2 + r, 2 ** n by its bits, a polynomial for r. Relative error below 4e-7 from -87.3 to
    88.3; 0 below -88, infinity above 88.4."""
    f = np.float32
    x = f(88.7) if x > f(88.7) else (f(-88) if x < f(-88) else x)
    n = np.floor(x * f(1.44269504) + f(0.5))
    r = x - n * f(0.693359375) + n * f(2.12194440e-4)
    p = f(1 / 5040)
    for c in (f(1 / 720), f(1 / 120), f(1 / 24), f(1 / 6), f(0.5), f(1), f(1)):
        p = p * r + c
    return p * _bits_as_float((np.int32(n) + np.int32(127)) << np.int32(23))


@inlined
def tanh(x):
    """A rational function fitted on -9 .. 9. Relative error below 5e-7."""
    f = np.float32
    x = f(9) if x > f(9) else (f(-9) if x < f(-9) else x)
    t = x * x
    p = f(-1.278034648744582e-08) + t * f(1.8255047112654407e-11)
    p = f(0.0029207572546590477) + t * (f(9.26738363043723e-06) + t * p)
    p = f(0.9999999412088586) + t * (f(0.1291922401289559) + t * p)
    q = f(0.02376314936581114) + t * f(0.00022809959633816702)
    q = f(1) + t * (f(0.46252507877555193) + t * q)
    y = x * p / q
    return f(1) if y > f(1) else (f(-1) if y < f(-1) else y)
