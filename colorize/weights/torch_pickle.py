"""PyTorch's state dicts, without PyTorch: zip files (PyTorch 1.6 and later), and the older files of several pickles.

A pickle can call any function. Here it gets three, all of them ours, and only the operations that a state dict needs;
at anything else reading stops. Tensors stay in the file until they are asked for.
"""
import io
import math
import os
import pickle
import pickletools
import zipfile
import zlib
from collections import OrderedDict, namedtuple

import numpy as np

from .stored import Stored, check_size

__all__ = ["read"]

MAGIC, PROTOCOL = 0x1950a86a20f9469cfc6c, 1001
MOST = 1 << 24                              # bytes of pickles; those of large networks have some ten thousand
DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": None,
          "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1",
          "BoolStorage": "?"}
Kind = namedtuple("Kind", "name")           # torch.FloatStorage and its like
Storage = namedtuple("Storage", "key kind count")
Tensor = namedtuple("Tensor", "storage offset shape strides")
BIG = "a big-endian machine wrote it, whose numbers this reader does not know"
KEYS = set("BINUNICODE SHORT_BINSTRING BININT BININT1 BININT2 LONG1 NEWTRUE NEWFALSE".split())     # text and numbers
OPERATIONS = KEYS | set("""PROTO STOP MARK GLOBAL REDUCE BUILD BINPERSID NONE BINFLOAT EMPTY_DICT EMPTY_LIST
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 SETITEM SETITEMS APPEND APPENDS BINPUT LONG_BINPUT BINGET
    LONG_BINGET""".split())


class Refused(ValueError):
    """The file has what no state dict needs."""


def read(path):
    """{name: Stored} of the state dict in this file."""
    with open(path, "rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    try:
        tensors, numbers = (_zip if zipped else _legacy)(path)
    except Refused as e:
        raise ValueError(f"{path} is not read: {e}") from None
    except Exception as e:                  # a damaged pickle raises almost anything
        raise ValueError(f"{path} is damaged, or not a state dict of PyTorch ({type(e).__name__}: {e})") from None
    return {name: _stored(path, name, tensor, numbers) for name, tensor in tensors.items()}


# ------------------------------------------------------------------ the pickle


class Unpickler(pickle.Unpickler):
    """Makes containers, numbers, text and Tensors of a pickle that `_checked` has passed."""

    def __init__(self, file):
        super().__init__(_checked(file))
        self.storages = {}

    def find_class(self, module, name):
        if module == "torch" and name in DTYPES:
            return Kind(name)
        # New functions each time, since a pickle may set attributes of what it gets
        known = {("collections", "OrderedDict"): lambda: OrderedDict(),
                 ("torch._utils", "_rebuild_tensor_v2"): lambda *given: _tensor(*given),
                 ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor}
        if (module, name) not in known:
            raise Refused(f"its pickle asks for {module:.60}.{name:.60}, which no state dict needs")
        return known[module, name]

    def persistent_load(self, pid):
        what, kind, key, _, count = pid[:5]
        view = pid[5] if len(pid) > 5 else None                     # in the older format: a part of another storage
        if (what, type(kind), type(key), view) != ("storage", Kind, str, None) or not _natural(count):
            raise Refused("its pickle names something that is no storage of numbers")
        return self.storages.setdefault(key, Storage(key, kind.name, count))


def _checked(file):
    """The file, if `find_class` is guard enough for the pickle there.

    A high memo number would take gigabytes, and the hash of a nested tuple the whole stack. So memos must count up,
    and keys must be text or numbers.
    """
    start, stack, marks, memo = file.tell(), [], [], {}             # stack and memo: may this object be a key?
    for operation, argument, _ in pickletools.genops(file):
        name = operation.name
        if name not in OPERATIONS:
            raise Refused(f"its pickle has the operation {name}, which no state dict needs")
        if name == "MARK":
            marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT"):
            if argument > len(memo) + 1:                            # Python 2 counted from 1
                raise Refused(f"its pickle remembers object {argument} after {len(memo)} others")
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        else:
            marked = name in ("TUPLE", "APPENDS", "SETITEMS")
            first = marks.pop() - (name != "TUPLE") if marked else len(stack) - len(operation.stack_before)
            if name in ("SETITEM", "SETITEMS") and not all(stack[first + 1::2]):
                raise Refused("its pickle has a dict with keys that are neither text nor numbers")
            del stack[first:]
            stack.extend(name in KEYS for _ in operation.stack_after)
    file.seek(start)
    return file


def _tensor(storage, offset, shape, strides, *_):
    numbers = [offset, *shape, *strides]
    if type(storage) is not Storage or not len(shape) == len(strides) <= 8 or not all(map(_natural, numbers)):
        raise Refused("its pickle describes a tensor that cannot be")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _natural(n):
    return type(n) is int and 0 <= n < 1 << 48


def _state_dict(x):
    """The {name: Tensor} in what a pickle held: itself, or its "state_dict" (or "model") entry."""
    for key in ("state_dict", "model"):
        if isinstance(x, dict) and key in x and isinstance(x[key], dict):
            x = x[key]
    if not isinstance(x, dict):
        raise Refused(f"it holds a {type(x).__name__}, not a state dict: save model.state_dict()")
    tensors = {name: x[name] for name in x if isinstance(name, str) and isinstance(x[name], Tensor)}
    prefix = "module."                                              # of DataParallel
    whole = tensors and all(name.startswith(prefix) for name in tensors)
    return {name[len(prefix):] if whole else name: t for name, t in tensors.items()}


# ------------------------------------------------------------------ the two kinds of files


def _zip(path):
    """({name: Tensor}, numbers): numbers(storage, size) are the bytes of a Storage, which must be so many."""
    with zipfile.ZipFile(path) as z:
        found = [name for name in z.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(found) != 1:
            raise Refused("it is a zip file, but not one of PyTorch: it has no data.pkl")
        folder = found[0].partition("/")[0]
        if f"{folder}/byteorder" in z.namelist() and z.open(f"{folder}/byteorder").read(64) != b"little":
            raise Refused(BIG)
        size = z.getinfo(found[0]).file_size
        if size > MOST:
            raise Refused(f"it has {size} bytes in {found[0]}, where {MOST} are plenty")
        tensors = _state_dict(Unpickler(io.BytesIO(z.read(found[0]))).load())

    def numbers(storage, size):
        with zipfile.ZipFile(path) as z:
            entry = z.getinfo(f"{folder}/data/{storage.key}")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != size:
                raise ValueError(f"{path} has no plain entry of {size} bytes for the storage {storage.key!r}")
            return z.read(entry)                                    # which looks at the checksum, too
    return tensors, numbers


def _legacy(path):
    """As _zip, for the older format: five pickles, then each storage as its count and its numbers, no checksums."""
    with open(path, "rb") as file:
        start = io.BytesIO(file.read(MOST))
    if Unpickler(start).load() != MAGIC or Unpickler(start).load() != PROTOCOL:
        raise Refused("its first numbers are not those of PyTorch")
    if Unpickler(start).load()["little_endian"] is not True:
        raise Refused(BIG)
    main = Unpickler(start)
    tensors, keys = _state_dict(main.load()), Unpickler(start).load()
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise Refused("its list of storages has something that is no name")
    places, at = {}, start.tell()
    for key in keys:
        storage = main.storages[key]
        places[key] = at + 8
        at += 8 + storage.count * np.dtype(DTYPES[storage.kind] or "<u2").itemsize

    def numbers(storage, size):
        with open(path, "rb") as file:
            file.seek(places[storage.key])
            return file.read(size)
    return tensors, numbers


def _stored(path, name, tensor, numbers):
    """The Stored of a Tensor, whose place is checked when it is read."""
    storage, dtype = tensor.storage, DTYPES[tensor.storage.kind]
    if dtype is None:
        return Stored(tensor.shape, None, None)
    dtype = np.dtype(dtype)
    size = storage.count * dtype.itemsize

    def get():
        last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides))
        if math.prod(tensor.shape) and last >= storage.count:
            raise ValueError(f"{name} in {path} reaches beyond its storage of {storage.count} numbers")
        if size > os.path.getsize(path):
            raise ValueError(f"{path} is cut short: the storage of {name} has {size} bytes")
        try:
            data = numbers(storage, size)
        except (zipfile.BadZipFile, zlib.error, EOFError) as e:
            raise ValueError(f"{name} in {path} is damaged: {e}") from None
        check_size(f"the storage of {name} in {path}", (storage.count,), dtype.itemsize, len(data))
        strides = [s * dtype.itemsize for s in tensor.strides]
        return np.ndarray(tensor.shape, dtype, data, tensor.offset * dtype.itemsize, strides).copy()
    return Stored(tensor.shape, dtype, get)
