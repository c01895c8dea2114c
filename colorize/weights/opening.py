"""A model with its weights, of any kind of file that there is: ours, or a published one that importers.py reads."""
from minicnn.files import metadata

from .. import models
from . import importers
from .own import options_of

__all__ = ["opened"]

USUAL = {"torch": "zhang", "keras": "colornet", "tensorflow": "jetson"}     # the colorizer of such a file


def opened(file, name=None, fallback=None, options=None):
    """(model, what was read) of a file of weights. `name` is the model's, if the file does not say another;
    `fallback`, if there is no other word. `options` {option: text or value} replace those that the file knows."""
    kind = importers.kind_of(file)
    notes = metadata(file) if kind == "minicnn" else {}
    if name and notes.get("model", name) != name:
        raise ValueError(f"{file} holds weights of {notes['model']}, not of {name}: leave the model's name out")
    name = name or notes.get("model") or fallback or USUAL.get(kind)
    if name is None:
        raise ValueError(f"{file} does not say which model its weights belong to: add --model, one of "
                         f"{', '.join(models.names())}")
    kept = options_of(notes, file) if notes.get("model") == name else {}
    asked = models.model_options(name, models.options(name), options or {})
    model = models.build(name, **{**kept, **asked})
    return model, importers.load(file, model, keep=asked)
