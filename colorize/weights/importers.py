"""Published weights for our models, read without the framework that wrote them: `load(path, model)`.

Before the model changes, all names and shapes are compared: an error lists what does not fit, and no model is left
half-loaded. Files are untrusted: nothing in them runs, and the sizes that they state are checked.
"""
import importlib
import os
from collections import namedtuple

import minicnn as mc
from minicnn.device import on_gpu, to

from . import layouts, tensorbundle

__all__ = ["load"]

Source = namedtuple("Source", "what layout ignore preprocess")
Source.__doc__ = """Weights that a format can hold for a model. what: their name; layout: a function of layouts.py;
ignore: prefixes of names that file or model may lack; preprocess: what the model must be built with, or None."""

VGG_TOP, KERAS_TOP = ("classifier.",), ("fc1/", "fc2/", "predictions/")
VGGS = ("vgg-decoder", "vgg-uv", "vgg-uv-small")
SOURCES = {                                 # (format, model): Source
    ("torch", "zhang"): Source("the release of Zhang et al.", layouts.torch_zhang, (), None),
    ("torch", "studio"): Source("EfficientNet-Lite0", layouts.torch_efficientnet, ("_conv_head.", "_bn1.", "_fc."),
                                None),
    ("tensorflow", "jetson"): Source("the Jetson paper's checkpoint", layouts.jetson_tensorflow,
                                     ("_CHECKPOINTABLE", "optimizer/", "metric", "save_counter"), None),
    ("keras", "colornet"): Source("the Keras port of Zhang et al.", layouts.keras_colornet, (), None),
    **{("torch", name): Source("torchvision's VGG16", layouts.torch_vgg, VGG_TOP, ("torch",)) for name in VGGS},
    **{("keras", name): Source("Keras's VGG16", layouts.keras_vgg, KERAS_TOP, ("caffe", "none")) for name in VGGS},
}
IGNORED = (".num_batches_tracked", "/.OPTIMIZER_SLOT/")             # anywhere in a name


def load(path, model, keep=()):
    """Load weights into a model that `models.build` made, and return a sentence that says what was read.

    The release of Zhang et al. has no temperature, so the model's becomes 1, unless `keep` names that option.

    Our own safetensors fit every model. PyTorch's .pth: zhang (the release), the models on VGG16 (torchvision, built
    with preprocess="torch"). Keras's .h5: the models on VGG16, colornet. TensorFlow checkpoints (the .index file, its
    name without .index, or the folder): jetson.
    """
    kind = kind_of(path)
    if kind == "minicnn":
        mc.load(path, model)
        return f"{path}: all arrays of {model.name}"
    source = SOURCES.get((kind, model.name))
    if source is None:
        known = ", ".join(sorted(name for k, name in SOURCES if k == kind))
        raise ValueError(f"{path} is a {kind} file, which can hold weights for {known}, but not for {model.name}")
    if source.preprocess and model.preprocess not in source.preprocess:
        raise ValueError(f"{source.what} does not fit a model built with preprocess={model.preprocess!r}: "
                         f"build {model.name} with preprocess={' or '.join(map(repr, source.preprocess))}")
    stored = stored_in(path, kind)
    places = [place for place in source.layout(model)
              if set(place.names) & set(stored) or not place.names[0].startswith(source.ignore)]
    left = compare(path, stored, places, source.ignore)
    new = [place.convert(*(stored[name].read() for name in place.names)) for place in places]
    for place, array in zip(places, new):
        setattr(place.owner, place.key, like(getattr(place.owner, place.key), array))
    if (kind, model.name) == ("torch", "zhang") and "temperature" not in keep:
        model.temperature = 1.0
        model.options = {**model.options, "temperature": 1.0}
    spare = f"; {len(left)} arrays of the file were not needed" if left else ""
    return f"{path}: {source.what}, {len(places)} arrays of {model.name}{spare}"


def kind_of(path):
    """What wrote this file: minicnn, torch, keras or tensorflow."""
    if tensorbundle.prefix_of(path):
        return "tensorflow"
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder without a run's best.safetensors or TensorFlow checkpoint: name a file")
    with open(path, "rb") as file:
        start = file.read(9)
    if start[:4] == b"PK\x03\x04" or start[:2] == b"\x80\x02":
        return "torch"
    if start[:8] == b"\x89HDF\r\n\x1a\n":
        return "keras"
    if start[8:] == b"{":
        return "minicnn"
    raise ValueError(f"{path} is not a file of weights: expected safetensors, PyTorch's .pth, Keras's .h5, or a "
                     "TensorFlow checkpoint (name its .index file)")


def stored_in(path, kind):
    """{name: Stored} of the file. Only the reader of its kind is loaded."""
    if kind == "tensorflow":
        return tensorbundle.read(tensorbundle.prefix_of(path))
    return importlib.import_module({"torch": ".torch_pickle", "keras": ".keras_h5"}[kind], __package__).read(path)


def compare(path, stored, places, ignore):
    """Refuse a file that lacks arrays, or has other arrays or shapes. Returns the names that are left out."""
    wanted = {name: shape for place in places for name, shape in zip(place.names, place.shapes)}
    missing = sorted(set(wanted) - set(stored))
    extra = sorted(set(stored) - set(wanted))
    left = [name for name in extra if name.startswith(ignore) or any(part in name for part in IGNORED)]
    extra = [name for name in extra if name not in left]
    problems = [f"missing {', '.join(missing)}"] * bool(missing) + [f"extra {', '.join(extra)}"] * bool(extra)
    for name in sorted(set(wanted) & set(stored)):
        if stored[name].shape != tuple(wanted[name]):
            problems.append(f"{name} has shape {stored[name].shape} in the file, expected {tuple(wanted[name])}")
        elif not stored[name].floating:
            problems.append(f"{name} has type {stored[name].dtype}, expected floating point")
    if problems:
        raise ValueError(f"{path} does not fit the model: {'; '.join(problems)}")
    return left


def like(old, x):
    """A new array with the numbers of x, in the dtype and on the device of old."""
    x = x.astype(old.dtype, order="C")
    return to(f"cuda:{old.device.id}" if on_gpu(old) else "cpu", x)
