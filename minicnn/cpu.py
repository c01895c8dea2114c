"""What the Numba kernels (`*_cpu.py`) share: how they are compiled, the thread pool, scratch and recycled memory.

A kernel is a function `kernel(start, stop, scratch, *args)` over a range of rows. `run` cuts the range into pieces
whose size does not depend on the number of threads, so neither does the result. Numba's own parallel=True was
measured and not taken: its threads fight with OpenBLAS's, and it may not be entered from two Python threads.
"""
import functools
import itertools
import os
import re
import threading
import weakref
from queue import SimpleQueue

import numba
import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  (np.dot inside a kernel calls the sgemm found there)
from llvmlite import ir
from numba.extending import intrinsic
from threadpoolctl import ThreadpoolController

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

# ------------------------------------------------------------------ threads


def threads():
    """How many threads share the work: MINICNN_THREADS, or as many as this process may use."""
    asked = os.environ.get("MINICNN_THREADS", "")
    return max(1, int(asked)) if asked.isdigit() else len(os.sched_getaffinity(0)) if hasattr(
        os, "sched_getaffinity") else os.cpu_count() or 1


class _Job:
    """One call of run: pieces that any thread may take, and a bell for when all are done."""

    def __init__(self, work, pieces):
        self.work, self.pieces = work, pieces
        self.next, self.ended = itertools.count(), itertools.count(1)       # next() on a count is atomic
        self.done, self.error = threading.Event(), None

    def help(self):
        for i in iter(self.next.__next__, None):
            if i >= self.pieces:
                return
            try:
                self.work(i)
            except BaseException as e:
                self.error = e
            if next(self.ended) == self.pieces:
                self.done.set()


class _Pool:
    """Threads that wait for jobs. The caller of run works too, so a busy pool can delay but never block it."""

    def __init__(self):
        self.queue, self.size, self.lock = SimpleQueue(), 0, threading.Lock()

    def grow(self, size):
        with self.lock:
            while self.size < size:
                self.size += 1
                threading.Thread(target=self.serve, name="minicnn", daemon=True).start()

    def serve(self):
        while True:
            self.queue.get().help()


_pool = _Pool()


def _forget():
    """In a forked child: threads do not survive a fork, and locks may be held by those that are gone."""
    global _pool, _blas, _idle_lock
    _pool, _blas, _idle_lock = _Pool(), _OneThreadBlas(_blas.found), threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


SCRATCH = 1 << 20                           # floats a thread has at hand: 4 MB, what a tile and its products need


class _Scratch(threading.local):
    array = np.empty(0, "float32")


_scratch = _Scratch()


def scratch(floats):
    """This thread's scratch memory: exactly so many floats, or tiles might depend on what ran before."""
    if _scratch.array.size < floats:
        _scratch.array = np.empty(floats, "float32")
    return _scratch.array[:floats]


def run(kernel, n, grain, *args, floats=SCRATCH):
    """kernel(start, stop, scratch, *args) over 0 .. n in pieces of `grain`, on all threads.

    `scratch` is memory of the thread, `floats` float32 numbers.
    """
    pieces = -(-n // grain)

    def work(i):
        kernel(i * grain, min(n, (i + 1) * grain), scratch(floats), *args)

    with _blas:
        helpers = min(threads(), pieces) - 1
        if helpers < 1:
            for i in range(pieces):
                work(i)
            return
        job = _Job(work, pieces)
        _pool.grow(helpers)
        for _ in range(helpers):
            _pool.queue.put(job)
        job.help()
        job.done.wait()
    if job.error is not None:
        raise job.error


class _OneThreadBlas:
    """While a kernel runs, the BLAS that kernels call (SciPy's, not NumPy's or PyTorch's) uses one thread."""

    def __init__(self, found=None):
        self.lock, self.inside, self.before, self.found = threading.Lock(), 0, [], found

    def libraries(self):
        """SciPy's OpenBLAS, or whichever BLAS it shares with others where it has none of its own."""
        if self.found is None:
            blas = [c for c in ThreadpoolController().lib_controllers if c.user_api == "blas"]
            own = re.compile(r"scipy(\.libs|[/\\]\.dylibs)[/\\]")         # NumPy's file has scipy in its name, too
            self.found = [c for c in blas if own.search(c.filepath)] or blas
        return self.found

    def __enter__(self):
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.before = [(_setter(c), c.get_num_threads()) for c in self.libraries()]
                for set_threads, n in self.before:
                    if n != 1:
                        set_threads(1)

    def __exit__(self, *_):
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                for set_threads, n in self.before:
                    if n != 1:
                        set_threads(n)


@functools.lru_cache(maxsize=None)
def _setter(library):
    """What sets its number of threads: OpenBLAS's own function, since threadpoolctl obeys one Python thread only."""
    names = [f"{before}openblas_set_num_threads{after}" for before in ("scipy_", "") for after in ("", "64_", "_64")]
    found = [getattr(library.dynlib, name) for name in names if hasattr(library.dynlib, name)]
    return found[0] if found else library.set_num_threads


_blas = _OneThreadBlas()

# ------------------------------------------------------------------ memory


RECYCLED = 1 << 18                          # arrays of this many bytes and more are worth recycling
PATIENCE = 1000                             # memory that lies idle while so many arrays are made goes back
_idle, _idle_lock, _made = {}, threading.RLock(), 0     # size -> [(when it fell idle, memory)]; number of arrays made


class _Block:
    """Memory that becomes idle when the last array in it is gone."""

    def __init__(self, raw, shape):
        self.raw = raw
        self.__array_interface__ = {"shape": shape, "typestr": "<f4", "version": 3,
                                    "data": raw.__array_interface__["data"]}

    def __del__(self):
        if _idle is not None:               # None while Python shuts down; the garbage collector may call at any time
            with _idle_lock:
                _idle.setdefault(self.raw.size, []).append((_made, self.raw))


def empty(shape):
    """An uninitialised float32 array. Large ones are recycled: fresh memory costs a page fault each 4 KB."""
    global _made
    n = int(np.prod(shape, dtype="int64"))
    if n * 4 < RECYCLED:
        return np.empty(shape, "float32")
    size = 1 << (n - 1).bit_length()        # 2 ** k, or 3 * 2 ** k: few sizes, so that different shapes share memory;
    size = size * 3 // 4 if n <= size * 3 // 4 else size        # what is not touched at the end costs nothing
    with _idle_lock:
        _made += 1
        fits = [s for s in list(_idle) if size <= s <= 8 * size and _idle[s]]       # a list: see _Block.__del__
        raw = _idle[min(fits)].pop()[1] if fits else None
        if raw is None or _made % PATIENCE == 0:
            release(PATIENCE)
    raw = np.empty(size, "float32") if raw is None else raw
    return np.asarray(_Block(raw, tuple(shape)))


def release(patience=0):
    """Give memory back that has been idle for so many arrays made; by default all of it."""
    with _idle_lock:
        for size in list(_idle):
            _idle[size] = [(when, raw) for when, raw in _idle[size] if _made - when < patience]
            if not _idle[size]:
                del _idle[size]


class _Alias:
    """The memory of a read-only array, not marked as such."""

    def __init__(self, x):
        self.x = x
        self.__array_interface__ = {**x.__array_interface__, "data": (x.__array_interface__["data"][0], False)}


def ready(x, dtype="float32"):
    """x as kernels take it: of that dtype and contiguous. Kernels never write to what they are given to read, and
    marked as read-only it would have every kernel compiled once more."""
    x = np.require(x, dtype, ["C", "A"])
    return x if x.flags.writeable else np.asarray(_Alias(x))


_remembered = {}                            # (id of constant weights, function) -> (weak reference to them, result)


def remembered(f, w):
    """f(w), computed once where w is constant: read-only and nobody's view, as the weights of fuse are."""
    if w.flags.writeable or w.base is not None:
        return f(w)
    key = id(w), f
    known = _remembered.get(key)
    if known is None or known[0]() is not w:
        known = _remembered[key] = weakref.ref(w, lambda _: _remembered.pop(key, None)), f(w)
    return known[1]


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
