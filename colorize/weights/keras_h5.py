"""Weights that Keras (before version 3) wrote as .h5, read with h5py."""
import math

import numpy as np

from .stored import Stored

__all__ = ["read"]

MOST = 100_000                              # names of layers or weights in one list


def read(path):
    """[(layer, [Stored of each of its weights])] in the order of the model's layers; those without weights left out.

    The file stays open as long as a Stored of it lives.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError(f"reading {path} needs h5py: pip install h5py, or install the extra 'train'") from None
    try:
        return _layers(h5py, path, h5py.File(path, "r"))
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError, UnicodeDecodeError) as e:
        raise ValueError(f"{path} is not a weight file of Keras, or is damaged ({type(e).__name__}: {e})") from None


def _layers(h5py, path, file):
    root = _inside(h5py, file, "model_weights") if "model_weights" in file else file
    if "layer_names" not in root.attrs and "layer_names0" not in root.attrs:
        raise ValueError(f"{path} has no list of layers: it must come from Keras 2's save or save_weights, as .h5 "
                         "(Keras 3's .weights.h5 is another format)")
    layers = []
    for layer in _names(root, "layer_names"):
        group = _inside(h5py, root, layer)
        weights = [_stored(h5py, path, group, name) for name in _names(group, "weight_names")]
        if weights:
            layers.append((layer, weights))
    return layers


def _names(group, key):
    """A list of names, which Keras splits into key0, key1 ... where it is long."""
    names = []
    for part in [key] + [f"{key}{i}" for i in range(len(group.attrs))]:
        if part not in group.attrs:
            continue
        if math.prod(group.attrs.get_id(part).shape or (0,)) > MOST:
            raise ValueError(f"{group.name} lists more than {MOST} names")
        names += [n.decode("utf-8") if isinstance(n, bytes) else str(n) for n in np.ravel(group.attrs[part])]
    return names


def _inside(h5py, group, name):
    """What lies there, if it lies in this file: links to other files are refused."""
    for part in name.split("/"):
        if part:
            if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
                raise ValueError(f"{name} in {group.name} is a link, or is not there")
            group = group[part]
    return group


def _stored(h5py, path, group, name):
    data = _inside(h5py, group, name)
    if not isinstance(data, h5py.Dataset):
        raise ValueError(f"{name} in {path} is no array")
    chunk = math.prod(data.chunks or (0,))
    if data.external or data.is_virtual or chunk > max(2 * data.size, 1 << 20):
        raise ValueError(f"{name} in {path} lies in another file, or is stored in a way that Keras does not use")
    return Stored(data.shape, data.dtype, lambda: data[()])
