"""Our own weights: files that know which model, with which options, they belong to."""
import json
import os

import minicnn as mc
from minicnn.files import metadata

from .. import models

__all__ = ["model_of", "options_of", "save_model"]


def save_model(path, model, opt=False, **notes):
    """mc.save, with what `model_of` needs to build the model again; notes are objects of JSON."""
    mc.save(path, model, opt=opt, notes={"model": model.name, "options": json.dumps(model.options),
                                         **{key: json.dumps(note) for key, note in notes.items()}})


def options_of(notes, path):
    """The options of the model that notes of `save_model` name."""
    options = json.loads(notes.get("options", "null"))
    if not isinstance(options, dict):
        raise ValueError(f"{path} does not say which options its model was built with: save it with save_model")
    return options


def model_of(path):
    """(model, notes): the model that a run (its best weights), or a file of `save_model`, holds; notes as texts."""
    if os.path.isdir(path):
        found = [os.path.join(path, name) for name in ("best.safetensors", "last.safetensors")]
        path = next((file for file in found if os.path.isfile(file)), found[0])
    notes = metadata(path)
    if "model" not in notes:
        raise ValueError(f"{path} does not say which model its weights belong to: name it with --model")
    model = models.build(notes["model"], **options_of(notes, path))
    mc.load(path, model)
    return model, notes
