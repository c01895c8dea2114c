"""Our own weights: files that say to which model, with which options, they belong."""
import json
import os

import minicnn as mc
from minicnn.autograd import Param
from minicnn.device import current, to
from minicnn.files import metadata
from minicnn.ops.batchnorm import bnmoments
from minicnn.walk import walk

from .. import models

__all__ = ["file_of", "load_part", "model_of", "options_of", "save_model"]

RUN_WEIGHTS = "best.safetensors", "last.safetensors"                        # of a run; the first that exists counts


def save_model(path, model, opt=False, dtype=None, **notes):
    """mc.save, with the name and options from which `model_of` builds the model again; notes: for JSON."""
    mc.save(path, model, opt=opt, dtype=dtype, notes={"model": model.name, "options": json.dumps(model.options),
                                         **{key: json.dumps(note) for key, note in notes.items()}})


def options_of(notes, path):
    """The options of the model, from the notes of `save_model`."""
    options = json.loads(notes.get("options", "null"))
    if not isinstance(options, dict):
        raise ValueError(f"{path} does not say which options its model was built with: save it with save_model")
    return options


def file_of(path):
    """The file of weights of a run; any other path stays as it is."""
    return next((f for f in (os.path.join(path, name) for name in RUN_WEIGHTS) if os.path.isfile(f)), path)


def model_of(path):
    """(model, notes) of a run (its best weights) or of a file that `save_model` wrote; notes are texts."""
    path = file_of(path)
    if os.path.isdir(path):
        raise FileNotFoundError(f"{path} has no weights: expected {' or '.join(RUN_WEIGHTS)} in this folder")
    notes = metadata(path)
    if "model" not in notes:
        raise ValueError(f"{path} does not say which model its weights belong to: name the model with --model")
    model = models.build(notes["model"], **options_of(notes, path))
    mc.load(path, model)
    return model, notes


def load_part(path, model, prefixes):
    """Load only the arrays whose names begin with one of these prefixes. Returns how many there were.

    path: a run or a file of `save_model`, also of another model: a VGG16 that learned in one can go on in another.
    """
    old, new = (dict(walk(m, (Param, bnmoments))) for m in (model_of(path)[0], model))
    for prefix in prefixes:
        wanted = {name for name in (*old, *new) if name.startswith(prefix)}
        misfits = sorted(name for name in wanted if name not in old or name not in new or
                         _shapes(old[name]) != _shapes(new[name]))
        if misfits or not wanted:
            what = f"{misfits[0]} is missing or has another shape" if misfits else "no name begins so"
            raise ValueError(f"the part {prefix!r} of {path} does not fit {model.name}: {what}")
        for name in wanted:
            for key in _arrays(new[name]):
                setattr(new[name], key, to(current(), getattr(old[name], key)).copy())
    return sum(len(_arrays(x)) for name, x in new.items() if name.startswith(tuple(prefixes)))


def _arrays(x):
    return ("value",) if isinstance(x, Param) else ("mean", "var")


def _shapes(x):
    return [getattr(x, key).shape for key in _arrays(x)]
