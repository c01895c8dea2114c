"""Every model of the source documents, and our own. `python -m colorize.models` prints them.

    model = build("jetson", width=0.5)
    x, y = model.inputs(rgb), model.targets(rgb)        # rgb: uint8 photos (N, H, W, 3)
    tape = mc.diff(model.loss, x, y)
    ab = model.colorize(L)                              # L in 0..100, (H, W) or (N, H, W); ab in Lab units

base.py has the contract; classifier.py what models with bins share; each other file is one source document.
"""
import inspect

from .base import Colorizer
from .colornet import Colornet
from .colour_this import ColourThis
from .cs838 import VggUV, VggUVSmall
from .jetson import Jetson
from .knet import Knet
from .nano import Nano
from .uf_faces import Faces, FacesText, MeanCNN, MeanFC
from .zhang import Zhang

__all__ = ["Colorizer", "build", "names", "options"]

MODELS = {                                  # name: (class, arguments that make it this model)
    "jetson": (Jetson, ()), "colornet": (Colornet, ()), "zhang": (Zhang, ()), "knet": (Knet, ()),
    "vgg-decoder": (ColourThis, ()), "vgg-uv": (VggUV, ()), "vgg-uv-small": (VggUVSmall, ()),
    "mean-fc": (MeanFC, ()), "mean-cnn1": (MeanCNN, (1,)), "mean-cnn2": (MeanCNN, (2,)), "mean-cnn3": (MeanCNN, (3,)),
    "faces": (Faces, ()), "faces-text": (FacesText, ()), "nano": (Nano, ()),
}


def names():
    """The names that build takes.

    >>> names()[:3]
    ['jetson', 'colornet', 'zhang']
    """
    return list(MODELS)


def options(name):
    """The options of the model of this name, with their defaults.

    >>> options("mean-fc")
    {'size': 128, 'width': 1.0, 'last': 'relu'}
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}: choose one of {', '.join(MODELS)}")
    known = inspect.signature(MODELS[name][0]).parameters.values()
    return {p.name: p.default for p in known if p.kind is p.KEYWORD_ONLY}


def build(name, **given):
    """A new model of this name, untrained, on the device in force; `options(name)` lists what may be given.

    >>> import numpy as np
    >>> build("jetson", width=0.1, size=64).colorize(np.full((5, 7), 50.0)).shape
    (5, 7, 2)
    """
    known = options(name)
    for key, v in given.items():
        if key not in known:
            raise TypeError(f"{name} has no option {key!r}: it has {', '.join(known)}")
        if isinstance(known[key], bool) and not isinstance(v, bool):
            raise TypeError(f"{name} needs {key} as True or False, got {v!r}")
    cls, arguments = MODELS[name]
    model = cls(*arguments, **given)
    model.name, model.options = name, {**known, **given}
    return model
