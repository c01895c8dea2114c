"""Where the Numba kernels run: threads, one BLAS thread for each of them, scratch memory, recycled memory.

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

import numpy as np
from threadpoolctl import ThreadpoolController

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
