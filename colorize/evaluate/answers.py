"""Open what is evaluated by its path: a run, weights of any known kind, or a folder of coloured pictures.

    opened(["runs/nano", "zhang.pth,temperature=0.38", "theirs/,label=DeOldify"])

After the path and a comma you can write label=, model=, or an option of the model.
"""
import os

import minicnn as mc

from ..data.photos import find
from ..weights import opening, tensorbundle
from ..weights.own import file_of

__all__ = ["Coloured", "Model", "opened"]


class Model:
    """Answers that a model gives."""

    def __init__(self, label, model, about):
        self.label, self.name, self.options, self.about = label, model.name, model.options, about
        self.parameters = sum(p.size for p in mc.params(model.parts()))
        self.fast = model.fused()

    def ab(self, L):
        """ab (H, W, 2) for L (H, W)."""
        return self.fast.colorize(L)


class Coloured:
    """Answers that are coloured pictures in a folder. A picture is found by its photo's path below the folder without
    its ending, or by the file's name alone if that is unique."""

    def __init__(self, label, folder):
        self.label, self.name, paths = label, None, find(folder)
        self.about = f"{len(paths)} pictures"
        self.by_path = {_stem(os.path.relpath(path, folder)): path for path in paths}
        self.by_name = {}
        for path in paths:
            self.by_name.setdefault(os.path.basename(_stem(path)), []).append(path)

    def picture(self, name):
        """The path of the picture for a photo of that name, or None."""
        same = self.by_name.get(os.path.basename(_stem(name)), [])
        return self.by_path.get(_stem(name)) or (same[0] if len(same) == 1 else None)


def opened(whats, model=None, given=()):
    """The answers for the arguments of a command line. `model` is for weights that do not name their model, and
    `given` {option: text} is for arguments that do not set the option themselves."""
    answers, labels = [], {}
    for what in whats:
        path, own = _parts(what)
        answer = _opened(path, {"model": model, **dict(given)}, own)
        n = labels[answer.label] = labels.get(answer.label, 0) + 1
        answer.label += f" {n}" * (n > 1)
        answers.append(answer)
    return answers


def _parts(what):
    """(path, {key: text}) of PATH,key=text,..."""
    if os.path.exists(what):
        return what, {}
    path, *pairs = what.split(",")
    for pair in pairs:
        if "=" not in pair:
            raise ValueError(f"{what} does not exist, and {pair!r} is no key=value: write PATH,key=value,...")
    return path, dict(pair.split("=", 1) for pair in pairs)


def _opened(path, given, own):
    file = file_of(path)
    label = own.pop("label", None) or " ".join([_short(path), *(f"{k}={v}" for k, v in own.items())])
    if not os.path.exists(path) and not tensorbundle.prefix_of(path):
        raise ValueError(f"there is no {path}: name a run, a file of weights, or a folder of coloured pictures")
    if os.path.isdir(file) and not tensorbundle.prefix_of(file):
        if os.path.exists(os.path.join(path, "config.json")):
            raise ValueError(f"the run {path} has no weights yet: let it train until its first checkpoint")
        if own:
            raise ValueError(f"{path} is a folder of pictures, which has no option {', '.join(own)}: leave it out")
        return Coloured(label, path)
    named, own = own.pop("model", None), {**{k: v for k, v in given.items() if k != "model"}, **own}
    model, said = opening.opened(file, named, given["model"], own)
    return Model(label, model, said)


def _short(path):
    """The label for a path: the name of a run's folder, or of a file without its ending."""
    path = os.path.abspath(path)
    stem, ending = os.path.splitext(os.path.basename(path))
    if stem in ("best", "last") and ending:
        return os.path.basename(os.path.dirname(path)) + f" {stem}" * (stem == "last")
    return stem if os.path.isfile(path) else os.path.basename(path)


def _stem(name):
    return os.path.splitext(name)[0].replace(os.sep, "/")
