"""Where arrays live: NumPy on the CPU, CuPy on the GPU. The only file that imports cupy, and only when asked to.

    mc.device("cuda")                  # new Params land there from now on, in the whole process
    with mc.device("cpu"): ...         # in this thread, for a while
    fast = mc.gpucopy(model)
"""
import functools
import threading
import weakref

import numpy as np

from .autograd import Tracked
from .walk import rebuilt, walk


@functools.lru_cache(maxsize=None)
def _cupy():
    """(cupy, "") where a GPU answers, else (None, why). Each CuPy version fails in its own way."""
    try:
        import cupy
        count = cupy.cuda.runtime.getDeviceCount()
    except ImportError as e:
        return None, f"CuPy cannot be imported ({e})"
    except Exception as e:                      # CUDARuntimeError exists only where cupy does
        return None, f"CuPy found no usable GPU ({e})"
    if not count:
        return None, "CuPy found no GPU"
    cupy.cuda.set_allocator(_explaining(cupy, cupy.cuda.get_allocator()))
    return cupy, ""


def _explaining(cupy, allocate):
    """CuPy's allocator, with a message that says what was asked for and what there was."""
    def allocator(size):
        try:
            return allocate(size)
        except MemoryError:
            free, total = cupy.cuda.runtime.memGetInfo()
            raise MemoryError(f"the GPU has no room for {size} bytes more: {free} of {total} are free "
                              "(use a smaller batch or smaller images)") from None
    return allocator


def cupy():
    """The module cupy; there is a GPU. For what the array modules do not share: streams, raw kernels."""
    return _cupy()[0]


def on_gpu(x):
    """Is x a CuPy array?"""
    return type(x).__module__.startswith("cupy")


def xp(x):
    """The array module of x: numpy or cupy."""
    return cupy() if on_gpu(x) else np


# ------------------------------------------------------------------ the current device


class _Thread(threading.local):
    name = None


_thread = _Thread()
_process = "cpu"


class device:
    """`device("cuda")`, `device("cuda:1")`, `device("cpu")` choose where new arrays go, as a call or in a `with`.

    >>> with device("cpu") as d: print(d.name)
    cpu
    """

    def __init__(self, name):
        global _process
        self.name, self.before = _checked(name), _process
        _process = self.name
        _use(self.name)

    def __enter__(self):
        global _process
        _process = self.before                  # in a `with`, only this thread changes
        self.before, _thread.name = _thread.name, self.name
        return self

    def __exit__(self, *_):
        _thread.name = self.before
        _use("cuda:0" if current() == "cpu" != self.name else current())    # beside the CPU, the first GPU


def _checked(name):
    kind, _, number = str(name).partition(":")
    if kind == "cpu" and not number:
        return "cpu"
    if kind != "cuda" or (number and not number.isdigit()):
        raise ValueError(f"device got {name!r}: expected 'cpu', 'cuda' or 'cuda:1'")
    _, why = _cupy()
    if why:
        raise RuntimeError(f"device {name!r} was asked for, but {why}: "
                           "install a cupy wheel for this GPU, or use 'cpu'")
    if int(number or 0) >= cupy().cuda.runtime.getDeviceCount():
        raise ValueError(f"device got {name!r}, but there are {cupy().cuda.runtime.getDeviceCount()} GPUs")
    return f"cuda:{int(number or 0)}"


def _use(name):
    """Tell CuPy, which has a current GPU of its own in each thread."""
    if name != "cpu":
        cupy().cuda.Device(int(name[5:])).use()


def current():
    """The name of the device in force in this thread: "cpu", "cuda:0" ..."""
    return _thread.name or _process


def stay_on(name):
    """Make the device of that name (given by `current`) the one in force in this thread, which has just begun."""
    _thread.name = name
    _use(name)


def to(name, x):
    """The array x on the device of that name (x itself where it is there already)."""
    if name == "cpu":
        return cupy().asnumpy(x) if on_gpu(x) else np.asarray(x)
    with cupy().cuda.Device(int(name[5:])):
        return cupy().asarray(x)


def _moved(x, name):
    """A deep copy of any object, its arrays on that device: deepcopy takes them from its memo."""
    arrays = [array for _, array in _arrays(x)]
    return rebuilt(x, [(a, _copied(name, a)) for a in arrays])


def _copied(name, a):
    """A new array on the device of that name, also where a is there already."""
    if name == "cpu":
        return to(name, a) if on_gpu(a) else a.copy()
    with cupy().cuda.Device(int(name[5:])):
        return cupy().array(a)


def _arrays(x):
    kinds = (np.ndarray,) if cupy() is None else (np.ndarray, cupy().ndarray)
    for path, found in walk(x, kinds + (Tracked,)):
        if isinstance(found, Tracked):
            yield path, found.value
            yield from walk(getattr(found, "opt", None), kinds, path + ".opt")
        else:
            yield path, found


def gpucopy(x):
    """A deep copy of a model (any object) with every array on the GPU in force, or the first."""
    name = current()
    return _moved(x, name if name != "cpu" else _checked("cuda"))


def cpucopy(x):
    """A deep copy of a model (any object) with every array in main memory."""
    return _moved(x, "cpu")


_pools = weakref.WeakSet()


class Pool:
    """GPU memory for one owner, beside CuPy's default pool; `memory` counts it."""

    def __init__(self):
        self.pool = cupy().cuda.MemoryPool()            # which takes no weak reference itself
        self.malloc = _explaining(cupy(), self.pool.malloc)
        _pools.add(self)


def memory():
    """Bytes held on the device in force: {"used", "held", "free", "total"}; the CPU knows its peak only.

    >>> sorted(memory())
    ['peak']
    """
    if current() == "cpu":
        import resource
        return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    with cupy().cuda.Device(int(current()[5:])):
        pools = [cupy().get_default_memory_pool(), *(p.pool for p in _pools)]
        free, total = cupy().cuda.runtime.memGetInfo()
        return {"used": sum(p.used_bytes() for p in pools), "held": sum(p.total_bytes() for p in pools),
                "free": free, "total": total}


# ------------------------------------------------------------------ random numbers

_rng = None


def rng():
    """The engine's generator; always on the CPU, so that a seed means the same on every device."""
    global _rng
    if _rng is None:
        _rng = np.random.default_rng()
    return _rng


def seed(n):
    """Make what follows (initial weights, shuffling, dropout) the same in every run."""
    global _rng
    _rng = np.random.default_rng(n)
