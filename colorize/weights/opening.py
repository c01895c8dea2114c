"""A model with its weights, from any kind of file: ours, or a published one that importers.py reads."""
from minicnn.files import metadata

from .. import models
from . import importers
from .own import options_of

__all__ = ["opened"]

USUAL = {"torch": "zhang", "keras": "colornet", "tensorflow": "jetson"}     # the model that such a file usually holds


def opened(file, name=None, fallback=None, options=None):
    """(model, a sentence that says what was read) of a file of weights.

    name: the model's name, which must not contradict the file. fallback: its name if neither `name` nor the file says
    it. options: {option: text or value}, instead of the file's own.
    """
    kind = importers.kind_of(file)
    notes = metadata(file) if kind == "minicnn" else {}
    if name and notes.get("model", name) != name:
        raise ValueError(f"{file} holds weights of {notes['model']}, not of {name}: leave out the name of the model")
    name = name or notes.get("model") or fallback or USUAL.get(kind)
    if name is None:
        raise ValueError(f"{file} does not say which model its weights belong to: add --model, one of "
                         f"{', '.join(models.names())}")
    kept = options_of(notes, file) if notes.get("model") == name else {}
    asked = models.model_options(name, models.options(name), options or {})
    model = models.build(name, **{**kept, **asked})
    return model, importers.load(file, model, keep=asked)
