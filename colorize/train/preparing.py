"""What training needs before its first step: the model, the photos and the optimizer, made from a run's settings."""
import hashlib
import inspect
import math
import os
import sys
from fnmatch import fnmatchcase

from tqdm import tqdm

import minicnn as mc
from minicnn.autograd import Param
from minicnn.files import metadata
from minicnn.walk import walk

from .. import models
from ..color.bins import Prior
from ..data import opening
from ..models.classifier import Classifier
from ..threads import ahead
from ..weights import importers
from ..weights.own import load_part, options_of
from .validation import Validation, survey

__all__ = ["Photos", "build", "optimizer", "rate", "slower"]

SURVEYED = {"scenes": 512, "pack": 2000, "photos": 2000}     # how many pictures give the mean colour and the prior
REPORTED = 5                # so many damaged photos are named, and the rest are counted
PARTS = 10_000              # schedules divide a run into so many parts if its number of steps is unknown

# ------------------------------------------------------------------ the model


def build(settings, options, asked=()):
    """The model with its first weights, and some frozen. asked: options that the weights' file may not change."""
    mc.seed(settings["seed"])
    model = models.build(settings["model"], **options)
    if settings["init"]:
        path = settings["init"]
        best = os.path.join(path, "best.safetensors")
        path = best if os.path.isfile(best) else path
        if settings["init_part"]:
            load_part(path, model, settings["init_part"])
        else:
            initialise(path, model, asked)
    elif settings["init_part"]:
        raise ValueError("--init-part names a part of --init, which is missing: give --init, too")
    for prefix in settings["freeze"]:
        mc.freeze(named(model, prefix))
    for prefix in settings["slow"]:
        named(model, prefix)                # raises an error if no weight has the name
    if all(p.frozen for p in mc.params(model.net)):
        raise ValueError(f"--freeze {' '.join(settings['freeze'])} leaves no weight of {model.name} to train")
    return model


def initialise(path, model, asked):
    """Load weights. If weights of ours do not fit, the error says which flags they need."""
    notes = metadata(path) if importers.kind_of(path) == "minicnn" else {}
    if notes.get("model", model.name) != model.name:
        raise ValueError(f"{path} holds weights of {notes['model']}, and the model is {model.name}: give --model "
                         f"{notes['model']}, or name the part that both have with --init-part")
    try:
        importers.load(path, model, keep=asked)
    except ValueError:
        options = options_of(notes, path) if "options" in notes else {}
        others = [f"--{key.replace('_', '-')} {options[key]}" for key, value in model.options.items()
                  if options.get(key, value) != value]
        if not others:
            raise
        raise ValueError(f"{path} does not fit {model.name} with these flags: give {' '.join(others)}, with which "
                         "its weights were made") from None


def named(model, prefix):
    """The Params whose names, as in a file of weights, begin with the prefix. In it * stands for anything."""
    names = dict(walk(model, Param))
    found = [p for name, p in names.items() if fnmatchcase(name, prefix + "*")]
    if not found:
        known = sorted({".".join(name.split(".")[:3]) for name in names})
        raise ValueError(f"no weight of {model.name} has a name that begins with {prefix!r}: choose from "
                         f"{', '.join(known)}")
    return found


# ------------------------------------------------------------------ the photos


class Photos:
    """The training photos `data`, the Validation, and `facts` about the training photos: their mean ab, and how many
    were looked at, damaged or grey. A run that goes on has its facts and its Prior already."""

    def __init__(self, settings, model, facts=None, prior=None):
        self.settings, self.size, self.named = settings, model.size, set()
        training, held = settings["data"], settings["val"]
        if held is None:
            training, held = opening.held_out(training, settings["val_photos"], settings["seed"])
        self.data = self.open(training, shuffle={"each": True, "once": "once"}[settings["shuffle"]],
                              augment=opening.augment(settings["augment"]), weights=settings["weigh"],
                              widen=settings["widen"])
        self.data.partial = self.data.instances < self.data.batchsize
        self.facts, self.prior = facts, prior
        if facts is None:
            self.look(training, model)
        crop = "centre" if settings["crop"] == "random" else settings["crop"]
        fixed = self.open(held, held=True, crop=crop, shuffle=True, scenes=settings["val_photos"])
        self.validation = Validation(self.some(fixed, settings["val_photos"]), self.facts["mean"])

    def names(self):
        """A digest of the photos' names. A run cannot be repeated if it changes."""
        return hashlib.sha256("\n".join(self.data.names).encode()).hexdigest()

    def open(self, data, **changes):
        """Batches of the photos at `data`, by the settings and by `changes`, which are for opening.pictures."""
        keys = "resize", "resize_to", "resample", "crop", "keep_grey", "batch", "seed", "workers"
        given = {**{key: self.settings[key] for key in keys}, "partial": True, "report": self.report, **changes}
        return opening.pictures(data, self.size, **given)

    def look(self, training, model):
        """Count the colours of some training photos."""
        batches = self.open(training, shuffle=True, weights=self.settings["weigh"])
        self.prior = Prior(model.bins) if isinstance(model, Classifier) else None
        mean, looked = survey(batches, SURVEYED[opening.kind_of(training)], self.prior)
        self.facts = {"mean": mean.tolist(), "looked": looked, "damaged": len(batches.damaged),
                      "grey": len(batches.grey), "names": self.names()}

    def some(self, batches, n):
        """The first n photos of a pass that can be used, each once, as uint8 batches."""
        order, taken = batches.order(0), []
        parts = [order[i:i + batches.batchsize] for i in range(0, len(order), batches.batchsize)]
        for rgb in ahead(batches.batch, parts, batches.workers):
            if rgb is not None:
                taken.append(rgb[:n])
                n -= len(taken[-1])
            if n <= 0:
                break
        if not taken:
            raise ValueError(batches.useless())
        return taken

    def report(self, sentence):
        """Print the first sentences about damaged photos, each once."""
        if sentence not in self.named:
            self.named.add(sentence)
            if len(self.named) <= REPORTED:
                tqdm.write(sentence, file=sys.stderr)
            elif len(self.named) == REPORTED + 1:
                tqdm.write("more photos are damaged, which are skipped and counted", file=sys.stderr)


# ------------------------------------------------------------------ the optimizer

OPTIMIZERS = {cls.__name__.lower(): cls for cls in
              (mc.SGD, mc.Momentum, mc.Nesterov, mc.Adagrad, mc.Rmsprop, mc.Adadelta, mc.Adam)}


def optimizer(settings, lr=None):
    """The optimizer that settings such as "adam,beta2=0.99" name. `lr` is a number or function, or the settings'."""
    name, *more = settings["optimizer"].split(",")
    if name not in OPTIMIZERS:
        raise ValueError(f"there is no optimizer {name!r}: choose one of {', '.join(OPTIMIZERS)}")
    cls = OPTIMIZERS[name]
    own = [key for key in inspect.signature(cls).parameters if key not in ("lr", "gclip", "l2", "decay")]
    options = {key: settings[key] for key in ("gclip", "l2", "decay")}
    for part in more:
        key, _, value = part.partition("=")
        if key not in own:
            raise ValueError(f"{name} has no option {key!r}: it has {', '.join(own) or 'none beside --lr'}")
        options[key] = _number("--optimizer", value)
    lr = settings["lr"] if lr is None else lr
    return cls(**options) if lr is None else cls(lr=lr, **options)


def rate(settings, total, share):
    """The learning rate as a function of the step. total: the steps of the run; if it is None, share() says which
    share of the time has passed."""
    lr = optimizer(settings).lr
    name, equals, value = settings["schedule"].partition("=")
    n = total or PARTS

    def steps():
        return mc.schedules.steps(lr, [_number("--schedule steps", part, 0, 1) * n for part in value.split(",")])

    known = {"constant": lambda: lambda t: lr, "steps": steps,
             "cosine": lambda: mc.schedules.cosine(lr, n, min(n - 1, int(settings["warmup"] * n))),
             "exponential": lambda: mc.schedules.exponential(lr, _number("--schedule exponential", value, 1e-9), n),
             "inverse": lambda: _inverse(lr, _number("--schedule inverse", value, 0))}
    if name not in known or (equals and name in ("constant", "cosine")):
        raise ValueError(f"there is no schedule {settings['schedule']!r}: choose constant, cosine, steps=0.5,0.9 "
                         "(shares of the run at which lr drops to a tenth), exponential=0.01 (of lr is left at the "
                         "end) or inverse=4e-5")
    f = known[name]()
    return f if total or name == "inverse" else lambda t: f(int(share() * PARTS))


def slower(settings, model, opt):
    """[(Param, its optimizer)] for the weights that learn at a part of the rate."""
    found = {}                              # the longest prefix decides
    for prefix, part in sorted(settings["slow"].items(), key=lambda item: len(item[0])):
        for p in named(model, prefix):
            found[id(p)] = p, slowed(opt, part)
    return list(found.values())


def slowed(opt, part):
    """A copy of the optimizer with this part of its rate."""
    own = mc.clone(opt)
    own.lr = lambda t: part * opt.lr(t)
    return own


def _inverse(lr, decay):
    """The schedule that Keras called decay."""
    return lambda t: lr / (1 + decay * t)


def _number(flag, text, least=-math.inf, most=math.inf):
    try:
        x = float(text)
    except ValueError:
        x = math.nan
    if not math.isfinite(x) or not least <= x <= most:
        limits = f" from {least:g}" * (least > -math.inf) + f" to {most:g}" * (most < math.inf)
        raise ValueError(f"{flag} needs numbers{limits}, got {text!r}")
    return x
