"""What minicnn uses of the module cupy, on NumPy arrays, and as strict: nothing is converted silently.

Arrays wrap NumPy's; functions that are not written here are NumPy's, their results wrapped. Kernels go
to `gpu.backend`.
"""
import types

import numpy as np

from .cuda_on_cpu import loader

METHODS = set("""all any argmax argmin argpartition argsort astype choose clip conj copy cumprod cumsum diagonal dot
fill flatten item max mean min nonzero partition prod ravel repeat reshape round searchsorted sort squeeze std sum
swapaxes take tobytes tolist trace transpose var view""".split())
ATTRIBUTES = set("T dtype imag itemsize nbytes ndim real shape size strides".split())
SCALARS = (bool, int, float, complex, np.number, np.bool_)


class Gpu:
    """The pretended machine; `installed` in cuda_on_cpu sets it up."""
    arch, multiprocessors, count, current = 53, 1, 1, 0
    free, total = 3 << 30, 4 << 30
    backend, allocate = None, None
    poison = True                       # fill new arrays with NaN


gpu = Gpu()


def _to_numpy(x):
    """Arguments of a NumPy function: fake arrays without their wrapper; NumPy's arrays are refused, as CuPy does."""
    if isinstance(x, ndarray):
        return x._a
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    if isinstance(x, (tuple, list)):
        return type(x)(map(_to_numpy, x))
    if isinstance(x, dict):
        return {k: _to_numpy(v) for k, v in x.items()}
    return x


def _wrapped(x):
    """Results of a NumPy function: arrays and scalars as fake arrays."""
    if isinstance(x, (np.ndarray, np.generic)):
        return ndarray._of(np.asarray(x))
    if isinstance(x, (tuple, list)):
        return type(x)(map(_wrapped, x))
    return x


def _index(index):
    """CuPy takes NumPy's arrays as indices, also inside a tuple."""
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    return index._a if isinstance(index, ndarray) else index


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    __module__ = "cupy"

    def __init__(self, shape, dtype=float):
        self._a, self._device = np.empty(shape, dtype), gpu.current
        if gpu.allocate:
            gpu.allocate(self._a.nbytes)
        if gpu.poison:
            self._a.reshape(-1).view("uint8")[:] = 0xff

    @classmethod
    def _of(cls, a):
        self = object.__new__(cls)
        self._a, self._device = a, gpu.current
        return self

    def __getattr__(self, name):
        if name in ATTRIBUTES:
            found = getattr(self._a, name)
            return _wrapped(found) if isinstance(found, np.ndarray) else found
        if name not in METHODS:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        method = getattr(self._a, name)

        def call(*args, **kw):
            y = method(*_to_numpy(args), **_to_numpy(kw))
            return y if name in ("item", "tolist", "tobytes") else self if y is self._a else _wrapped(y)
        return call

    def __array__(self, *args, **kw):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. "
                        "Please use `.get()` to construct a NumPy array explicitly.")

    def __array_ufunc__(self, ufunc, method, *inputs, **kw):
        outs = kw.pop("out", ())
        if any(not isinstance(x, (ndarray, np.ndarray) + SCALARS) for x in inputs + outs):
            return NotImplemented                   # among them np.add.at(x, (rows, columns), y)
        if outs and not all(isinstance(out, ndarray) for out in outs):
            raise TypeError("return arrays must be of type cupy.ndarray")
        if ufunc.__name__ in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal"):
            inputs = tuple(x.item() if isinstance(x, np.ndarray) and x.ndim == 0 else x for x in inputs)
        if outs:
            kw["out"] = outs
        y = getattr(ufunc, method)(*_to_numpy(inputs), **_to_numpy(kw))
        if ufunc is np.sign:                        # these two are CuPy's before 14
            y = np.where(np.isnan(y), 0, y).astype(y.dtype)
        if y.dtype == "float32" and any(type(x) is int and not -32769 < x < 65536 for x in inputs):
            y = y.astype("float64")
        return outs[0] if outs else _wrapped(y)

    def __array_function__(self, func, kinds, args, kw):
        if func.__module__ != "numpy" or not all(issubclass(k, (ndarray, np.ndarray)) for k in kinds):
            return NotImplemented
        return _wrapped(func(*_to_numpy(args), **_to_numpy(kw)))

    def __getitem__(self, index):
        return _wrapped(self._a[_index(index)])

    def __setitem__(self, index, x):
        if not isinstance(x, (ndarray,) + SCALARS):
            raise TypeError(f"Unsupported type {type(x)}")
        self._a[_index(index)] = _to_numpy(x)

    def __len__(self):
        return len(self._a)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self._a)

    def __int__(self):
        return int(self._a)

    def __float__(self):
        return float(self._a)

    def __repr__(self):
        return repr(self._a)

    def __format__(self, how):
        return format(self._a[()] if self._a.ndim == 0 else self._a, how)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def get(self):
        return self._a.copy()

    def set(self, a):
        if not isinstance(a, np.ndarray) or a.dtype != self.dtype or a.shape != self.shape:
            raise TypeError(f"{self.dtype} {self.shape} cannot be set to {a!r}")
        self._a[...] = a

    @property
    def flags(self):
        flags = self._a.flags
        return types.SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous,
                                     owndata=flags.owndata)

    @property
    def device(self):
        return cuda.Device(self._device)

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self._a.ctypes.data, device=self.device)


# ------------------------------------------------------------------ functions of the module


def array(x, dtype=None, copy=True, order="K"):
    return ndarray._of(np.array(x._a if isinstance(x, ndarray) else x, dtype=dtype, order=order))


def asarray(x, dtype=None, order=None):
    """x on the GPU in force; itself if it is there."""
    if isinstance(x, ndarray) and x._device == gpu.current and dtype in (None, x.dtype):
        return x
    return array(x, dtype, order=order or "K")


def asnumpy(x):
    return x.get() if isinstance(x, ndarray) else np.asarray(x)


def ascontiguousarray(x):
    return x if x.flags.c_contiguous else ndarray._of(np.ascontiguousarray(_to_numpy(x)))


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype)


def empty_like(x, dtype=None):
    return ndarray(x.shape, dtype or x.dtype)


def get_default_memory_pool():
    return types.SimpleNamespace(used_bytes=lambda: 0, total_bytes=lambda: 0, free_all_blocks=lambda: None)


class _Function:
    """A NumPy function, perhaps a ufunc with its `at`."""

    def __init__(self, f):
        self.f, self.__name__ = f, f.__name__

    def __call__(self, *args, **kw):
        y = _wrapped(self.f(*_to_numpy(args), **_to_numpy(kw)))
        return kw["out"] if kw.get("out") is not None else y

    def at(self, x, index, y=None):
        if self.f not in (np.add, np.subtract, np.maximum, np.minimum):
            raise NotImplementedError(f"`{self.__name__}.at` is not supported yet")
        self.f.at(_to_numpy(x), _index(index), _to_numpy(y))


def __getattr__(name):
    found = getattr(np, name)
    if isinstance(found, types.ModuleType) or name.startswith("_"):
        raise AttributeError(f"the fake cupy has no {name}")
    return found if isinstance(found, type) or not callable(found) else _Function(found)


# ------------------------------------------------------------------ devices and kernels


class CUDARuntimeError(RuntimeError):
    pass


class Device:
    """Also a context manager, as CuPy's."""

    def __init__(self, id=None):
        self.id = gpu.current if id is None else int(id)

    def use(self):
        if not 0 <= self.id < gpu.count:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        gpu.current = self.id

    def __enter__(self):
        self.before = gpu.current
        self.use()
        return self

    def __exit__(self, *_):
        gpu.current = self.before

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return self.id

    def synchronize(self):
        pass

    compute_capability = property(lambda self: str(gpu.arch))
    attributes = property(lambda self: {"MultiProcessorCount": gpu.multiprocessors})


class Stream:
    """Here everything is done at once; nothing can be captured."""

    def __init__(self, null=False, non_blocking=False):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def synchronize(self):
        pass

    def begin_capture(self, mode=None):
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")


class RawModule:
    """Kernels of a text; compiled when one is asked for, as CuPy does."""

    def __init__(self, *, code=None, options=(), backend="nvrtc"):
        if not isinstance(code, str) or not isinstance(options, tuple) or backend != "nvrtc":
            raise TypeError("RawModule takes code=str, options=tuple, backend='nvrtc'")
        self.code, self.options = code, options

    def get_function(self, name):
        gpu.backend.prepare(self.code, self.options, name)
        return RawKernel(self.code, self.options, name)


class RawKernel:
    def __init__(self, code, options, name):
        self.code, self.options, self.name = code, options, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        if not all(isinstance(x, tuple) for x in (grid, block, args)) or shared_mem:
            raise TypeError("kernels are called with tuples (grid, block, args), here without dynamic shared memory")
        for a in args:
            if isinstance(a, np.ndarray):
                raise TypeError(f"Unsupported type {type(a)}")
            if isinstance(a, ndarray) and a._device != gpu.current:
                raise CUDARuntimeError(f"{self.name}: an array of GPU {a._device}, but GPU {gpu.current} is in force")
        gpu.backend.launch(self.code, self.options, self.name, grid, block,
                           tuple(a._a if isinstance(a, ndarray) else a for a in args))


def _allocator():
    return gpu.allocate


def _set_allocator(allocate):
    gpu.allocate = allocate


cuda = types.SimpleNamespace(
    Device=Device, Stream=Stream, get_allocator=_allocator, set_allocator=_set_allocator,
    compiler=types.SimpleNamespace(CompileException=loader.CompileException),
    runtime=types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError, getDevice=lambda: gpu.current, getDeviceCount=lambda: gpu.count,
        memGetInfo=lambda: (gpu.free, gpu.total)))
