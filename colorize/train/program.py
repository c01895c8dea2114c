"""Train a model to colorize photos: python -m colorize.train [flags]

Without flags a small model learns on drawn scenes for a minute, and you see grey scenes become coloured.

    python -m colorize.train --data photos/ --epochs 20            trains our model on your photos
    python -m colorize.train --recipe jetson --data photos/        trains a paper's model as the paper did
    python -m colorize.train --resume runs/2025-01-31-nano         goes on after Ctrl-C or a crash

A run writes everything into one folder: runs/DATE-MODEL, unless --out names another. The exit status is 0, or 2 after
an error, which is told in one sentence. After Ctrl-C it is 130 and after SIGTERM 143; the run is saved first.
"""
import datetime
import math
import os
import sys
from contextlib import closing, nullcontext

import minicnn as mc
from minicnn.device import current

from .. import cli, models, runs
from ..cli import named_numbers, number, share, switch, whole
from ..color.bins import Prior
from ..data import opening
from ..data.opening import weigh, widen
from ..metrics.published import numbers
from ..models.classifier import Classifier
from ..models.memory import available, counts, fits, memory
from ..runs import Run, check_new, read_config
from . import preparing
from .aging import Aging
from .curves import MISSING, missing
from .features import Features, encoder_of
from .loop import SAMPLES, START, Training, cell, clock
from .preparing import Photos
from .recipes import LENGTHS, RECIPES, differences
from .report import beside, table, write_pictures, write_report

__all__ = ["main"]

NAME = "colorize.train"
DEFAULTS = {
    "model": "nano", "data": "scenes", "val": None, "epochs": None, "steps": None, "minutes": None, "batch": 32,
    "lr": None, "schedule": "cosine", "warmup": 0.02, "optimizer": "adam", "l2": 0.0, "decay": 0.0, "gclip": 0.0,
    "augment": "flip", "age": 0.0, "weigh": {}, "widen": {}, "slow": {}, "shuffle": "each", "workers": 2,
    "seed": 1, "resize": "short-side", "resize_to": None, "resample": "bicubic", "crop": "random", "keep_grey": False,
    "val_photos": 256, "validate": None, "checkpoint": 30.0, "device": "auto", "init": None, "init_part": [],
    "freeze": [], "cache_features": False, "tensorboard": False,
}
CHANGEABLE = ("epochs", "steps", "minutes", "workers", "device", "checkpoint", "tensorboard")     # with --resume
SCENE = 64                  # the size of scenes in pixels
RATE = 3e-3                 # the learning rate of nano with Adam
FACTS = {"mean", "looked", "damaged", "grey", "names"}     # what a checkpoint must say about the photos
MARGIN = 1.125              # the short side before a random crop is so many times the model's size

# ------------------------------------------------------------------ flags


def flags():
    parser = cli.Parser(NAME, __doc__, DEFAULTS)
    add = parser.add_argument
    add("--model", choices=models.names(), help="which model learns")
    add("--recipe", choices=list(RECIPES), help="the model, options and training of a source document")
    add("--data", metavar="PATH", help="a folder of photos, a file with a list of paths, a pack, or 'scenes', which "
                                       "are drawn")
    add("--val", metavar="PATH", help="photos to validate on; without it a tenth of --data is held out, but no more "
                                      "than --val-photos")
    add("--out", metavar="DIR", help="the folder of the run")
    add("--resume", metavar="DIR", help=f"go on with the run in this folder; only {_listed(CHANGEABLE)} can change "
                                        "then, and lengths count from the beginning of the run")
    add("--epochs", type=whole(1), metavar="N", help="end after so many passes over the photos (10)")
    add("--steps", type=whole(1), metavar="N", help="end after so many steps")
    add("--minutes", type=number(above=0), metavar="M", help="end after so many minutes of training (scenes: 1)")
    add("--lr", type=number(above=0), metavar="X", help="the learning rate; without it the optimizer's own")
    add("--schedule", metavar="S", help="how the rate falls: constant, cosine, steps=0.5,0.9, exponential=0.01 or "
                                        "inverse=4e-5")
    add("--warmup", type=share, metavar="SHARE", help="the share of the run in which cosine's rate first grows")
    add("--optimizer", metavar="NAME", help="sgd, momentum, nesterov, adagrad, rmsprop, adadelta or adam; options "
                                            "follow, as in adam,beta2=0.99")
    add("--l2", type=number(0), metavar="X", help="add this times the weights to the gradients")
    add("--decay", type=number(0), metavar="X", help="shrink the weights by this times the rate in each step")
    add("--gclip", type=number(0), metavar="X", help="shorten gradients that are longer than this; 0 shortens none")
    add("--augment", type=_augment, metavar="HOW", help="change photos at random: none, flip, tenfold, or shares "
                                                        "such as flip=0.5,scale=0.8")
    add("--age", type=share, metavar="SHARE", help="make this share of the photos look old to the network: faded, "
                                                   "grainy, blurred, scratched")
    add("--weigh", type=weigh, metavar="HOW", help="how often a pass takes the photos of a folder, as in "
                                                   "flowers=0.25,portraits=2; the others come once")
    add("--widen", type=widen, metavar="HOW", help="stretch the photos of a folder sideways, up to so many times, as "
                                                   "in coco=1.33; for photos that were squeezed to squares")
    add("--slow", type=_slow, metavar="HOW", help="let weights with such names learn at a part of the rate, as in "
                                                  "net.encoder=0.3")
    add("--shuffle", choices=["each", "once"], help="shuffle the photos anew for each pass, or once")
    add("--init", metavar="WEIGHTS", help="begin with these weights: a run, .safetensors, .pth, .h5 or TensorFlow's")
    add("--init-part", action="append", metavar="PREFIX",
        help="take from --init (a run or file of ours) only the weights with such names; the models may differ. "
             "net.layers.0 is VGG16. Can be given several times")
    add("--freeze", action="append", metavar="PREFIX",
        help="leave weights with such names, and the moments of BatchNorms, as they are. Can be given several times")
    add("--cache-features", type=switch, nargs="?", const=True, metavar="BOOL",
        help="compute what a frozen encoder gives for each photo only once, and keep it on disk")
    add("--val-photos", type=whole(1), metavar="N", help="validate on so many photos")
    add("--validate", type=whole(1), metavar="STEPS", help="validate every so many steps; without it validation "
                                                           "takes 4%% of the time")
    add("--checkpoint", type=number(0), metavar="SECONDS", help="save last.safetensors every so many seconds")
    add("--device", metavar="NAME", help="auto (the GPU if there is one), cpu, cuda or cuda:1")
    add("--tensorboard", type=switch, nargs="?", const=True, metavar="BOOL", help="also write files for TensorBoard")
    opening.data_flags(parser)
    own = parser.add_argument_group("options of models; each model takes those that it has")
    for key, names in model_flags().items():
        own.add_argument("--" + key.replace("_", "-"), dest=key, metavar="X", help=", ".join(names))
    return parser


def model_flags():
    """{option: names of the models that have it}."""
    found = {}
    for name in models.names():
        for key in models.options(name):
            found.setdefault(key, []).append(name)
    return found


def _augment(text):
    """Check the text of --augment, and keep it as a text."""
    opening.augment(text)
    return text


def _slow(text):
    return named_numbers(text, share, "names of weights and the part of the rate, from 0 to 1, at which they learn, "
                                      "such as net.encoder=0.3")


def _listed(names):
    return ", ".join(f"--{name}" for name in names)


# ------------------------------------------------------------------ what was asked for


def fresh(given):
    """The configuration of a new run. Flags override the recipe's settings, and these override DEFAULTS."""
    recipe = RECIPES[given["recipe"]] if "recipe" in given else None
    settings = {**DEFAULTS, **(recipe.settings if recipe else {})}
    if any(given.get(key) is not None for key in LENGTHS):
        settings.update(dict.fromkeys(LENGTHS))
    settings.update({key: value for key, value in given.items() if key in settings})
    known = models.options(settings["model"])
    options = {key: value for key, value in (recipe.options if recipe else {}).items() if key in known}
    if settings["data"] == "scenes" and settings["model"] == "nano":
        options.setdefault("size", SCENE)
    asked = {key: given[key] for key in model_flags() if key in given}
    if "activation" in asked and "activation" not in known and "last" in known:
        asked["last"] = asked.pop("activation")         # the faces report calls its last activation so
    options = {**known, **models.model_options(settings["model"], known, {**options, **asked})}
    if settings["lr"] is None and settings["model"] == "nano" and settings["optimizer"] == "adam":
        settings["lr"] = RATE
    if all(settings[key] is None for key in LENGTHS):
        settings.update({"minutes": 1.0} if settings["data"] == "scenes" else {"epochs": 10})
    if settings["resize_to"] is None and settings["crop"] == "random" and settings["resize"] == "short-side":
        settings["resize_to"] = math.ceil(options["size"] * MARGIN)
    for key in ("data", "val", "init"):
        if settings[key] not in (None, "scenes"):
            settings[key] = os.path.abspath(settings[key])
    return {"settings": settings, "options": options, "recipe": given.get("recipe"),
            "out": given.get("out") or runs.new_folder("runs", settings["model"])}


def resumed(given):
    """The run that --resume names, with the changed flags in its configuration."""
    path = given.pop("resume")
    wrong = sorted(set(given) - set(CHANGEABLE))
    if wrong:
        raise ValueError(f"--resume goes on with what the run began with: leave out "
                         f"{_listed(key.replace('_', '-') for key in wrong)} (only {_listed(CHANGEABLE)} can change)")
    config = read_config(path)
    if "tune" in config:
        raise ValueError(f"{path} holds a search and no training run: go on with python -m colorize.tune --resume "
                         f"{path}")
    if not all(isinstance(config.get(key), dict) for key in ("settings", "options")):
        raise ValueError(f"{path} holds no training run, since its config.json has no settings or options: begin a "
                         "run with another --out")
    run = Run.open(path)
    run.config = {"recipe": None, **config, "settings": {**DEFAULTS, **config["settings"]}}
    settings = run.config["settings"]
    if any(key in given for key in LENGTHS):
        settings.update(dict.fromkeys(LENGTHS))
    settings.update(given)
    return run


# ------------------------------------------------------------------ the program


def main(argv=None):
    given = vars(flags().parse_args(argv))
    if "resume" in given:
        with resumed(given) as run:
            settings = run.config["settings"]
            options = run.config["options"]         # these include what the weights of --init set
            model = prepared({**settings, "init": None} if run.begun else settings, options, asked=options)
            run.keep("config.json", run.config)             # the changed flags have been checked now
            return session(run, model, None if run.begun else Photos(settings, model))
    config = fresh(given)
    check_new(config["out"])                # nothing is written until all else has been checked
    model = prepared(config["settings"], config["options"], asked=[key for key in model_flags() if key in given])
    config["options"] = model.options       # the weights of --init may have set some
    photos = Photos(config["settings"], model)
    preparing.optimizer(config["settings"])
    with Run.create(config["out"], {
            **config, "command": sys.argv[1:], "began": datetime.datetime.now().isoformat(timespec="seconds"),
            "device": current(), "versions": runs.versions(), "git": runs.git_state()}) as run:
        return session(run, model, photos)


def prepared(settings, options, asked):
    """The model on its device. Prints the first lines of the plan. asked: options that weights may not change."""
    if settings["tensorboard"] and missing("tensorboardX"):
        raise ImportError(MISSING["tensorboardX"])
    preparing.rate(settings, 1, None)
    device = cli.use_device(settings["device"])
    model = preparing.build(settings, options, asked)
    if settings["cache_features"]:
        encoder_of(settings, model)
    if settings["age"]:
        Aging(model, settings["age"])
    fits(model, settings["batch"])
    say("model", f"{model.name}, {_parameters(model)}, {model.size} px")
    say("device", device + (f", {os.cpu_count()} cores" if device == "cpu" else ""))
    say("", "looking at photos and timing some steps (on the first run kernels are compiled: about 20 s more)")
    return model


def session(run, model, photos):
    """Train to the end and return the exit status. A new run needs photos; one that goes on has none."""
    settings = run.config["settings"]
    if photos is None:
        photos = photos_of(run, model)
    else:
        begin(run, model, photos)
    with learner_of(run, model) as learner:
        training = Training(run, settings, model, photos, learner)
        training.begin()
        if training.state["every"] is None or training.state["step time"] is None:
            step, validation = training.measure()
            training.state.update({"every": training.interval(step, validation), "step time": step})
            run.checkpoint(model, training.state)
        plan(training, run.config)
        stopped = training.train()
    if stopped is not None:
        print(f"stopped at step {training.state['step']}, which is saved; go on with\n"
              f"    python -m {NAME} --resume {run.path}")
        return 128 + stopped
    finish(training, run.config)
    return 0


def learner_of(run, model):
    """The learner for a `with`: the model, its Aging, or the Features of its frozen encoder."""
    settings = run.config["settings"]
    if settings["cache_features"]:
        return closing(Features(settings, model, run.file("features")))
    return nullcontext(Aging(model, settings["age"]) if settings["age"] else model)


def begin(run, model, photos):
    """Write the first checkpoint."""
    if photos.prior is not None:
        model.rebalance(photos.prior)
        photos.prior.save(run.file("prior.safetensors"))
    run.checkpoint(model, {**START, "facts": photos.facts})


def photos_of(run, model):
    """The photos of a run that has a checkpoint."""
    settings, facts = run.config["settings"], run.state().get("facts")
    if not isinstance(facts, dict) or not FACTS <= set(facts):
        raise ValueError(f"the checkpoint of {run.path} lacks facts about its photos: begin a new run with --init "
                         f"{run.path}")
    prior = Prior.load(run.file("prior.safetensors"), model.bins) if isinstance(model, Classifier) else None
    photos = Photos(settings, model, facts, prior)
    if photos.names() != facts["names"]:
        say("note", f"the photos of {settings['data']} are not those that the run began with")
    return photos


# ------------------------------------------------------------------ what is printed


def say(name, text):
    print(f"{name:9}{text}", flush=True)


def _parameters(model):
    frozen = sum(p.size for p in mc.params(model.parts()) if p.frozen)
    return f"{counts(model)['total']:,} parameters" + (f", {frozen:,} of them frozen" if frozen else "")


def plan(training, config):
    """Print what the run will do."""
    settings, photos, state, model = config["settings"], training.photos, training.state, training.model
    data, facts = photos.data, photos.facts
    if settings["data"] == "scenes":
        say("photos", f"scenes, drawn on the way, {data.instances:,} an epoch; {len(photos.validation)} validate")
    else:
        weighed = f", {data.instances // data.augment.copies:,} a pass" if settings["weigh"] else ""
        say("photos", f"{len(data.names):,} in {settings['data']}{weighed}, {len(photos.validation)} validate; of "
                      f"{facts['looked']:,} looked at, {facts['damaged']} cannot be read and {facts['grey']} are "
                      "near grey: those are left out")
    free = available()
    say("memory", f"{memory(model, data.batchsize) / 1e9:.2f} GB for a step with {data.batchsize} photos"
                  + (f", {free / 1e9:.1f} GB are free" if free else ""))
    step = state["step time"]
    say("time", f"{step:.3f} s a step, {clock(step * len(data))} an epoch of {len(data)} steps, "
                f"{clock(training.expected(step))} in all; validation every {state['every']} steps")
    say("writes", training.run.path)
    if state["step"]:
        say("goes on", f"at step {state['step']}, after {clock(state['seconds'])}")
    if missing("matplotlib"):
        say("note", MISSING["matplotlib"])
    if config["recipe"] in RECIPES:
        say("recipe", config["recipe"] + ", which differs from the published training in")
        for line in differences(config["recipe"], settings, config["options"], len(data.names)):
            say("", line)
    print(flush=True)


def finish(training, config):
    """Measure the best weights, and write and print their tables, pictures and report."""
    run, model, state, validation = training.run, training.model, training.state, training.photos.validation
    training.draw()
    if state["best"] is None:
        raise ArithmeticError("the loss of the validation photos was never a number, so there are no best weights; "
                              f"the last ones are in {run.file('last.safetensors')}")
    mc.load(run.file("best.safetensors"), model)
    measured = validation.measures(model, window="uniform", published=True)
    losses = {"model": state["best"]["loss"], **state["baselines"]["loss"]}
    rows = {name: {"loss": losses[name], **measured[name]} for name in ("model", "grey", "mean ab")}
    tables = [table(rows)]
    known = numbers(model.name, config["options"])
    if known:
        tables.append(beside(known, rows))
    waiting = training.waiting()
    facts = {"steps": f"{state['step']:,}, best at {state['best']['step']:,}", "time": clock(training.seconds()),
             "waited for data": f"{100 * waiting:.1f}% of the training"}
    if config["settings"]["data"] != "scenes":
        data = training.photos.data
        facts["photos skipped"] = f"{len(data.damaged)} damaged, {len(data.grey)} near grey"
    run.keep("result.json", {"step": state["step"], "seconds": training.seconds(), "waiting": waiting,
                             "best": state["best"], "rows": rows, "truth": measured["truth"]})
    made = write_pictures(run, model, validation.first(SAMPLES), cell(model))
    report = write_report(run, tables, facts)
    print(f"\nThe best weights (step {state['best']['step']}) on {len(validation)} validation photos:\n")
    for lines in tables:
        print(cli.aligned(lines), end="\n\n")
    for name, text in facts.items():
        print(f"{name}: {text}")
    curves = [run.file("loss.png")] if os.path.exists(run.file("loss.png")) else []
    print("\n" + "\n".join([*made, *curves, report, run.file("best.safetensors")]))

