"""Models on disk: named arrays in the safetensors format, which can hold nothing that runs.

A Param at model.layers[0].w is called "layers.0.w"; running moments of batchnorm at `bn` are "bn.mean", "bn.var";
with opt=True, what Adam knows of that Param is "opt.layers.0.w.m", "opt.layers.0.w.v" and "opt.layers.0.w.t".
"""
import contextlib
import os

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

from .autograd import Param
from .device import on_gpu, to
from .ops.batchnorm import bnmoments
from .train.optimizers import Optimizer, clone
from .walk import walk

__all__ = ["abandon", "load", "metadata", "save", "write", "writing"]

VERSION = 1
FLOATS = "F16", "F32", "F64"
_begun = set()                              # temporary files of this process


def save(path, model, opt=False, notes=None, dtype=None):
    """Write every Param and bnmoments of the model (any object) to a safetensors file; opt=True: optimizers too.

    notes: {name: text} to keep in the same file, which `metadata` reads. dtype="float16" halves the file; `load`
    gives the model its own dtype again.

    The file appears under its name only once it is complete: a crash leaves the old one as it was.
    """
    if dtype not in (None, "float16", "float32", "float64"):
        raise ValueError(f"save got dtype {dtype!r}: expected 'float16', 'float32' or 'float64'")
    if dtype is not None and opt:
        raise ValueError("save got dtype= with opt=True, but what optimizers know keeps its dtype: drop one of them")
    arrays = {name: getattr(owner, key) for name, (owner, key) in _places(model).items()}
    if opt:
        for name, p in _params(model):
            for key, x in ({} if p.opt is None else p.opt.state()).items():
                arrays[f"opt.{name}.{key}"] = x
    arrays = {name: _stored(name, to("cpu", x), dtype) for name, x in arrays.items()}
    write(path, serialise(arrays, {**(notes or {}), "format": "minicnn", "version": str(VERSION)}))


def _stored(name, x, dtype):
    """A copy of x, of that dtype if one is given, whose range must do."""
    if dtype is None:
        return np.array(x, order="C")
    with np.errstate(over="ignore"):        # it is found right below
        y = np.array(x, dtype, order="C")
    if np.isinf(y).any() and not np.isinf(x).any():
        raise ValueError(f"{name} has numbers up to {np.abs(x).max():g}, too large for {dtype}: save without dtype=")
    return y


def metadata(path):
    """{name: text}: the notes that `save` wrote, with the format and its version; {} in files of others."""
    with open(path, "rb"):                  # a missing file says so in Python's own words
        pass
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as e:
        raise ValueError(f"{path} is not a safetensors file, or is cut short ({e})") from None


def load(path, model, opt=None):
    """Read what `save` wrote into a model of the same structure; opt=Adam(): its optimizers' state too.

    All names and shapes are compared before anything is changed. Numbers take the dtype of the model's arrays, and
    stay on their device. `opt` is the prototype for Params that have no optimizer of their own.
    """
    places = _places(model)
    if opt is not None and not isinstance(opt, Optimizer):
        raise TypeError(f"load needs opt as an optimizer like Adam(), got {opt!r}")
    with open(path, "rb"):                  # a missing file says so in Python's own words
        pass
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            _check_version(path, file.metadata() or {})
            problems = _differences(file, places, opt is not None)
            optimizers, more = _read_optimizers(file, model, opt) if opt is not None else ([], [])
            if problems + more:
                raise ValueError(f"{path} does not fit the model: {'; '.join(problems + more)}")
            new = {name: _like(getattr(*place), file.get_tensor(name)) for name, place in places.items()}
    except SafetensorError as e:
        raise ValueError(f"{path} is not a safetensors file, or is cut short ({e})") from None
    for name, (owner, key) in places.items():
        setattr(owner, key, new[name])
    for p, optimizer in optimizers:
        p.opt = optimizer


# ------------------------------------------------------------------ names


def _places(model):
    """{name: (object, attribute)} of every array that belongs into the file."""
    places = {}
    for path, x in walk(model, (Param, bnmoments)):
        for key in ("value",) if isinstance(x, Param) else ("mean", "var"):
            name = path if isinstance(x, Param) else f"{path}.{key}"
            if not name or name in places:
                raise ValueError(f"the model has no usable name for {x!r} at {path!r}: put it into a list or an "
                                 "object, and use no dots in the keys of a dict")
            places[name] = x, key
    if not places:
        raise ValueError(f"found no Param in this {type(model).__name__}: give the model itself")
    return places


def _params(model):
    return walk(model, Param)


# ------------------------------------------------------------------ comparing, reading


def _check_version(path, metadata):
    if metadata.get("format") == "minicnn" and int(metadata.get("version", VERSION)) > VERSION:
        raise ValueError(f"{path} has version {metadata['version']} of the format, this minicnn reads up to "
                         f"{VERSION}: use a newer minicnn")


def _differences(file, places, with_optimizers):
    """What is wrong with the names, shapes and dtypes of the model's own arrays."""
    there = set(file.keys())
    missing = [name for name in places if name not in there]
    extra = sorted(name for name in there if name not in places and not name.startswith("opt."))
    problems = [f"missing {', '.join(missing)}"] * bool(missing) + [f"extra {', '.join(extra)}"] * bool(extra)
    for name, place in places.items():
        if name in there:
            problems += _misfit(file, name, getattr(*place).shape)
    return problems


def _misfit(file, name, shape):
    """[what is wrong with this array of the file], or []."""
    array = file.get_slice(name)
    if tuple(array.get_shape()) != tuple(shape):
        return [f"{name} has shape {tuple(array.get_shape())} in the file and {tuple(shape)} in the model"]
    if array.get_dtype() not in FLOATS:
        return [f"{name} is of type {array.get_dtype()}, expected one of {', '.join(FLOATS)}"]
    return []


def _read_optimizers(file, model, prototype):
    """([(Param, its optimizer)], problems). A Param that had no step before it was saved gets a fresh optimizer."""
    names, found, problems = list(file.keys()), [], []
    if not any(name.startswith("opt.") for name in names):
        return found, ["it holds no state of optimizers: save it with opt=True, or load it without opt="]
    for path, p in _params(model):
        optimizer = clone(p.opt or prototype)
        found.append((p, optimizer))
        prefix = f"opt.{path}."
        keys = {name[len(prefix):] for name in names if name.startswith(prefix)}
        wanted = ({"t", *optimizer.arrays} if len(keys) > 1 else {"t"}) if keys else set()
        if keys != wanted:
            problems.append(f"{prefix}* has {', '.join(sorted(keys))}, but {type(optimizer).__name__} "
                            f"needs {', '.join(sorted({'t', *optimizer.arrays}))}")
            continue
        wrong = [text for key in keys - {"t"} for text in _misfit(file, prefix + key, p.shape)]
        problems += wrong
        if keys and not wrong:
            state = {key: file.get_tensor(prefix + key) for key in keys}
            optimizer.restore({key: x if key == "t" else _like(p.value, x) for key, x in state.items()})
    return found, problems


def _like(old, x):
    """A new array with the numbers of x, and the dtype and the device of old."""
    return to(f"cuda:{old.device.id}" if on_gpu(old) else "cpu", x.astype(old.dtype))


# ------------------------------------------------------------------ writing


def write(path, data):
    """Put the bytes into a file beside `path`, down to the disk, and only then give it that name."""
    with writing(path) as file:
        file.write(data)


@contextlib.contextmanager
def writing(path):
    """A file to write bytes to, beside `path`, which gets that name once all is on the disk; else nothing stays."""
    path = os.path.realpath(path)           # a link stays a link
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"cannot save {path}: there is no folder {folder}")
    temporary = os.path.join(folder, f".{os.path.basename(path)[:50]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    _begun.add(temporary)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as e:
        if os.path.exists(temporary):
            os.remove(temporary)
        if getattr(e, "filename", None) == temporary:           # a name that tells nobody anything
            e.filename = path
        raise
    finally:
        _begun.discard(temporary)


def abandon():
    """Remove what other threads have begun to write: for a process that ends at once, without them."""
    for temporary in list(_begun):
        with contextlib.suppress(OSError):
            os.remove(temporary)
