"""Weights that Keras (before version 3) wrote as .h5, read with h5py.

Keras also keeps lists of names in attributes. They are not read, since damage there can keep the HDF5 library busy
for ever, and the names of groups and arrays say the same.
"""
import math
import re

from .stored import Stored

__all__ = ["read"]

MOST = 10_000                               # groups and arrays; below DEEPEST levels nothing is read
DEEPEST = 5
DAMAGE = OSError, KeyError, RuntimeError, TypeError, AttributeError, UnicodeError, OverflowError, MemoryError
KINDS = [("kernel", r"kernel|.*_W(_\d+)?"), ("bias", r"bias|.*_b(_\d+)?"), ("gamma", "gamma|.*_gamma(_.*)?"),
         ("beta", "beta|.*_beta(_.*)?"), ("moving_mean", "moving_mean|.*_running_mean(_.*)?"),
         ("moving_variance", "moving_variance|.*_running_std(_.*)?")]       # Keras 2, and Keras 1


def read(path):
    """{"layer/kind": Stored}; kind is kernel, bias, gamma, beta, moving_mean or moving_variance.

    Keras numbers batchnorms through a whole session, so here they become "batchnorm 1" and so on, in their order. The
    file stays open as long as a Stored of it lives.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError(f"reading {path} needs h5py: pip install h5py, or install the extra 'train'") from None
    try:
        return _named(_layers(h5py, path, h5py.File(path, "r")))
    except DAMAGE as e:
        raise ValueError(f"{path} is not a weight file of Keras, or is damaged ({type(e).__name__}: {e})") from None


def _layers(h5py, path, file):
    """{layer: {kind: Stored}}"""
    if "layers" in file or "_layer_checkpoint_dependencies" in file:
        raise ValueError(f"{path} was written by Keras 3 in another format: save it as .h5 with Keras 2")
    root, left, layers = file["model_weights"] if "model_weights" in file else file, [MOST], {}
    for layer in root:
        found = {_kind(name): x for name, x in _arrays(h5py, path, root, layer, DEEPEST, left)}
        if found:
            layers[layer] = found
    return layers


def _arrays(h5py, path, group, name, depth, left):
    """(last part of the name, Stored) of the arrays at that place, if they lie in this file."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"{path} holds more than {MOST} groups and arrays, or a circle of them")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} in {path} is a link to another place, which Keras does not write")
    x = group[name]
    if isinstance(x, h5py.Group):
        for inner in x if depth else ():
            yield from _arrays(h5py, path, x, inner, depth - 1, left)
    elif isinstance(x, h5py.Dataset):
        chunk = math.prod(x.chunks or (0,))
        if x.external or x.is_virtual or chunk > max(2 * x.size, 1 << 20):
            raise ValueError(f"{name} in {path} lies in another file, or is stored in a way that Keras does not use")
        yield name, Stored(x.shape, x.dtype, lambda: x[()])


def _kind(name):
    """kernel for "kernel:0" or "block1_conv1_W_1:0"; a name that Keras does not use stays as it is."""
    stem = name.partition(":")[0]
    return next((kind for kind, pattern in KINDS if re.fullmatch(pattern, stem)), name)


def _named(layers):
    def number(name):
        return int(re.search(r"\d{0,9}$", name).group() or 0)

    norms = sorted((name for name in layers if "gamma" in layers[name]), key=number)
    called = {name: f"batchnorm {i}" for i, name in enumerate(norms, 1)}
    return {f"{called.get(layer, layer)}/{kind}": x for layer, kinds in layers.items() for kind, x in kinds.items()}
