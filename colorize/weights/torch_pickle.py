"""PyTorch's state dicts, without PyTorch: the zip format (1.6 and later) and the older one of several pickles.

A pickle can call any function. This reader knows the few opcodes that a state dict needs and three functions, all of
them its own; at anything else it stops. Tensors stay in the file until they are asked for.
"""
import io
import math
import pickle
import struct
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
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, pickle.UnpicklingError, EOFError, IndexError, KeyError,
          AttributeError, TypeError, OSError, OverflowError, NotImplementedError, UnicodeError, RuntimeError,
          MemoryError)
OPCODES = [pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.REDUCE, pickle.BUILD, pickle.BINPERSID,
           pickle.EMPTY_DICT, pickle.EMPTY_LIST, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2,
           pickle.TUPLE3, pickle.SETITEM, pickle.SETITEMS, pickle.APPEND, pickle.APPENDS, pickle.BINUNICODE,
           pickle.SHORT_BINSTRING, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT,
           pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET,
           pickle.LONG_BINGET]


def read(path):
    """{name: Stored} of the state dict in this file."""
    with open(path, "rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    try:
        tensors, where = (_zip if zipped else _legacy)(path)
    except DAMAGE as e:
        raise ValueError(f"{path} is not a state dict of PyTorch, or is damaged ({type(e).__name__}: {e})") from None
    return {name: _stored(path, name, tensor, where) for name, tensor in tensors.items()}


# ------------------------------------------------------------------ the pickle


class Refused(ValueError):
    """The pickle wants what no state dict needs."""


class Unpickler(pickle._Unpickler):
    """Python's own unpickler, with fewer opcodes: it makes containers, numbers, text and Tensors."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    dispatch = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in OPCODES}

    def load(self):
        try:
            return super().load()
        except KeyError as e:
            if e.args and e.args[0] in pickle._Unpickler.dispatch:
                raise Refused(f"the pickle has an operation ({bytes(e.args)!r}) that no state dict needs") from None
            raise

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return _empty
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _parameter
        if module == "torch" and name in DTYPES:
            return Kind(name)
        raise Refused(f"the pickle asks for {module}.{name}, which no state dict needs: it is not loaded")

    def persistent_load(self, pid):
        what, kind, key, _, count = pid[:5]
        view = pid[5] if len(pid) > 5 else None                     # of the older format, into another storage
        if (what, type(kind), type(key), view) != ("storage", Kind, str, None) or not _natural(count):
            raise Refused("the pickle names something that is no storage of numbers")
        return self.storages.setdefault(key, Storage(key, kind.name, count))

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        _set(self.stack[-1], key, value)
    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self):
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2]):
            _set(self.stack[-1], key, value)
    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_reduce(self):
        arguments, f = self.stack.pop(), self.stack.pop()
        if f not in (_empty, _tensor, _parameter) or type(arguments) is not tuple:
            raise Refused("the pickle calls something that is no function")
        self.stack.append(f(*arguments))
    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_build(self):
        self.stack.pop()                                            # attributes, such as _metadata: not needed
    dispatch[pickle.BUILD[0]] = load_build

    def load_append(self):
        value = self.stack.pop()
        _list(self.stack[-1]).append(value)
    dispatch[pickle.APPEND[0]] = load_append

    def load_appends(self):
        items = self.pop_mark()
        _list(self.stack[-1]).extend(items)
    dispatch[pickle.APPENDS[0]] = load_appends


def _set(target, key, value):
    """Keys are text or numbers: hashing nested tuples could exhaust the stack."""
    if not isinstance(target, dict) or not isinstance(key, (str, int)):
        raise Refused("the pickle fills something that is no dict of names")
    target[key] = value


def _list(x):
    if type(x) is not list:
        raise Refused("the pickle appends to something that is no list")
    return x


def _empty():
    return OrderedDict()


def _tensor(storage, offset, shape, strides, *_):
    numbers = [offset, *shape, *strides]
    if type(storage) is not Storage or not len(shape) == len(strides) <= 8 or not all(map(_natural, numbers)):
        raise Refused("the pickle describes a tensor that cannot be")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor, *_):
    return tensor


def _natural(n):
    return type(n) is int and 0 <= n < 1 << 48


def _state_dict(x):
    """The {name: Tensor} in what a pickle held: itself, or its "state_dict" (or "model") entry."""
    for key in ("state_dict", "model"):
        if isinstance(x, dict) and isinstance(x.get(key), dict):
            x = x[key]
    if not isinstance(x, dict):
        raise ValueError(f"the file holds a {type(x).__name__}, not a state dict: save model.state_dict()")
    tensors = {name: t for name, t in x.items() if isinstance(name, str) and isinstance(t, Tensor)}
    prefix = "module."                                              # of DataParallel
    whole = tensors and all(name.startswith(prefix) for name in tensors)
    return {name[len(prefix):] if whole else name: t for name, t in tensors.items()}


# ------------------------------------------------------------------ the two kinds of files


def _zip(path):
    """({name: Tensor}, where): where(storage) is (offset in the file, bytes, CRC or 0) of its numbers."""
    with zipfile.ZipFile(path) as z:
        entries = {e.filename: e for e in z.infolist()}
        found = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(found) != 1:
            raise ValueError(f"{path} is a zip file, but not one of PyTorch: it has no data.pkl")
        folder = found[0].partition("/")[0]
        if f"{folder}/byteorder" in entries and _small(path, z, entries[f"{folder}/byteorder"], 64) != b"little":
            raise ValueError(f"{path} was written by a big-endian machine, which this reader does not know")
        tensors = _state_dict(Unpickler(io.BytesIO(_small(path, z, entries[found[0]], MOST))).load())

    def where(storage):
        entry = entries.get(f"{folder}/data/{storage.key}")
        if entry is None or entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError(f"{path} has no plain entry for the storage {storage.key!r}")
        with open(path, "rb") as file:                              # the name there may differ in length
            file.seek(entry.header_offset)
            head = struct.unpack("<4s22xHH", file.read(30))
        if head[0] != b"PK\x03\x04":
            raise ValueError(f"{path} is damaged: the storage {storage.key!r} is not where it should be")
        return entry.header_offset + 30 + head[1] + head[2], entry.file_size, entry.CRC
    return tensors, where


def _small(path, z, entry, most):
    """The contents of a zip entry of at most that many bytes."""
    if entry.file_size > most:
        raise ValueError(f"{path} has {entry.file_size} bytes in {entry.filename}, where {most} are plenty")
    return z.read(entry)


def _legacy(path):
    """As _zip, for the older format: five pickles, then each storage as its count and its numbers."""
    with open(path, "rb") as file:
        start = io.BytesIO(file.read(MOST))
    if Unpickler(start).load() != MAGIC or Unpickler(start).load() != PROTOCOL:
        raise ValueError(f"{path} is not a state dict of PyTorch")
    if Unpickler(start).load().get("little_endian") is not True:
        raise ValueError(f"{path} was written by a big-endian machine, which this reader does not know")
    main = Unpickler(start)
    tensors, keys = _state_dict(main.load()), Unpickler(start).load()
    places, at = {}, start.tell()
    for key in _list(keys):
        storage = main.storages[key]
        size = storage.count * np.dtype(DTYPES[storage.kind] or "<u2").itemsize
        places[key] = at + 8, size, 0                               # this format has no checksums
        at += 8 + size

    def where(storage):
        return places[storage.key]
    return tensors, where


def _stored(path, name, tensor, where):
    """The Stored of a Tensor, whose place is checked when it is read."""
    storage, dtype = tensor.storage, DTYPES[tensor.storage.kind]
    if dtype is None:
        return Stored(tensor.shape, None, None)
    dtype = np.dtype(dtype)

    def get():
        at, size, crc = where(storage)
        check_size(f"the storage of {name}", (storage.count,), dtype.itemsize, size)
        last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides))
        if math.prod(tensor.shape) and last >= storage.count:
            raise ValueError(f"{name} in {path} reaches beyond its storage of {storage.count} numbers")
        with open(path, "rb") as file:
            if at + size > file.seek(0, io.SEEK_END):
                raise ValueError(f"{path} is cut short: {name} is not all there")
            file.seek(at)
            data = file.read(size)
        if crc and zlib.crc32(data) != crc:
            raise ValueError(f"{name} in {path} is damaged: its checksum does not fit")
        numbers = np.frombuffer(data, dtype)[tensor.offset:]
        strides = [s * dtype.itemsize for s in tensor.strides]
        return np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides).copy()
    return Stored(tensor.shape, dtype, get)
