"""The models of the source documents, and our own. `python -m colorize.models` lists them.

    model = build("jetson", width=0.5)
    x, y = model.inputs(rgb), model.targets(rgb)        # rgb: uint8 photos (N, H, W, 3)
    tape = mc.diff(model.loss, x, y)
    ab = model.colorize(L)                              # L in 0..100, (H, W) or (N, H, W); ab in Lab units

base.py has the contract, and classifier.py has what models with bins share. Each source document has its own file.
"""
import argparse
import importlib
import inspect

from ..cli import switch

__all__ = ["build", "model_options", "names", "options"]

MODELS = {                                  # name: (file and class, arguments of the class)
    "jetson": ("jetson.Jetson", ()), "colornet": ("colornet.Colornet", ()), "zhang": ("zhang.Zhang", ()),
    "knet": ("knet.Knet", ()), "vgg-decoder": ("colour_this.ColourThis", ()), "vgg-uv": ("cs838.VggUV", ()),
    "vgg-uv-small": ("cs838.VggUVSmall", ()), "mean-fc": ("uf_faces.MeanFC", ()),
    "mean-cnn1": ("uf_faces.MeanCNN", (1,)), "mean-cnn2": ("uf_faces.MeanCNN", (2,)),
    "mean-cnn3": ("uf_faces.MeanCNN", (3,)), "faces": ("uf_faces.Faces", ()),
    "faces-text": ("uf_faces.FacesText", ()), "nano": ("nano.Nano", ()), "studio": ("studio.Studio", ()),
}


def _class(name):
    """The class of the model of that name. No other model's file is imported."""
    file, _, found = MODELS[name][0].partition(".")
    return getattr(importlib.import_module(f"{__name__}.{file}"), found)


def names():
    """The names that build takes.

    >>> names()[:3]
    ['jetson', 'colornet', 'zhang']
    """
    return list(MODELS)


def options(name):
    """The options of the model of that name, with their defaults.

    >>> options("mean-fc")
    {'size': 128, 'width': 1.0, 'last': 'relu'}
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}: choose one of {', '.join(MODELS)}")
    known = inspect.signature(_class(name)).parameters.values()
    return {p.name: p.default for p in known if p.kind is p.KEYWORD_ONLY}


def build(name, **given):
    """A new, untrained model of that name, on the current device. `options(name)` lists the options.

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
    model = _class(name)(*MODELS[name][1], **given)
    model.name, model.options = name, {**known, **given}
    return model


def model_options(name, known, given):
    """{option: value} for models.build. `given` has texts or values, and `known` is models.options(name).

    >>> model_options("jetson", {"size": 256, "width": 1.0, "skips": False}, {"size": "64", "skips": "yes"})
    {'size': 64, 'skips': True}
    """
    options = {}
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"{name} has no option {key}: it has {', '.join(known)}")
        try:
            text = isinstance(value, str) and key != "bins"         # bins can be a name or a number
            options[key] = _like(known[key], value) if text else value
        except (ValueError, argparse.ArgumentTypeError):
            raise ValueError(f"{name} needs {key} like {known[key]!r}, got {value!r}") from None
    return options


def _like(default, text):
    """The text as a value of the default's type."""
    if isinstance(default, bool):
        return switch(text)
    if isinstance(default, str) or not default:
        return text
    x = float(text)
    return int(x) if isinstance(default, int) and x == int(x) else x
