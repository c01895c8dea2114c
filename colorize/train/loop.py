"""The training loop, with its checkpoints, validations and pictures.

The batch of a step and its random numbers depend only on the seed and the step. So a run that is killed and goes on
from its checkpoint ends with the same weights, to the bit, as a run that is not.
"""
import errno
import itertools
import math
import os
import signal
from contextlib import contextmanager
from time import monotonic

import numpy as np
from tqdm import tqdm

import minicnn as mc
from minicnn.device import current
from minicnn.ops.batchnorm import bnmoments
from minicnn.walk import walk

from .. import pictures
from ..weights.own import save_model
from .curves import Board, draw
from .preparing import optimizer, rate, slower

__all__ = ["START", "Training"]

LOG = 10                    # so many steps' mean loss is one line of metrics.jsonl
SAMPLES = 8                 # photos in samples/*.png
RARER = 1.5                 # the next such picture comes at so many times the step of the last one
MEASURED = 32               # validation photos that a validation during the run measures
SHARE = 0.04                # the share of the time that validation may take
VALIDATIONS = 40            # about how many validations a run has
LONGEST = 300               # the most seconds between two validations, if SHARE allows it
DRAWN = 30                  # seconds between two drawings of loss.png
START = {"step": 0, "seconds": 0.0, "waited": 0.0, "busy": 0.0, "sum": 0.0, "count": 0, "best": None,
         "validated": None, "every": None, "step time": None, "baselines": None, "pictured": None, "facts": None}


class Steps:
    """The batches of a run from step `first` on, until ended(step). Each step sets its own random seed."""

    def __init__(self, data, seed, first, total, ended):
        self.data, self.seed, self.first, self.total, self.ended = data, seed, first, total, ended
        self.waited = 0.0                   # seconds spent waiting for data

    def __len__(self):
        if self.total is None:
            raise TypeError("the number of steps is unknown, since the time limits it")
        return max(0, self.total - self.first)

    def __iter__(self):
        batches = iter(mc.cycle(self.data.resume(self.first)))
        for step in itertools.count(self.first):
            if self.ended(step):
                return
            start = monotonic()
            batch = next(batches)
            self.waited += monotonic() - start
            mc.seed([self.seed, step])
            yield batch


class Interrupts:
    """Let Ctrl-C and SIGTERM wait for the end of a step, and keep the one that came. A second one stops at once."""

    def __enter__(self):
        self.signal = None
        self.before = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number, frame):
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        os.write(2, b"\nstopping after this step; once more stops at once\n")     # print may be running already


class Training:
    """The loop, with a run's model, photos and state. It ends after `total` steps or `limit` seconds.

    learner: the model, its Aging or its Features. batch(rgb) makes (x, y) of photos, and loss(x, y) a scalar.
    """

    def __init__(self, run, settings, model, photos, learner):
        self.run, self.settings, self.model, self.photos = run, settings, model, photos
        epochs = None if settings["epochs"] is None else settings["epochs"] * len(photos.data)
        self.total = min((n for n in (epochs, settings["steps"]) if n is not None), default=None)
        self.limit = math.inf if settings["minutes"] is None else 60 * settings["minutes"]
        self.state, self.began, self.interrupts, self.board = dict(START), monotonic(), None, None
        self.finished = None
        self.opt = optimizer(settings, rate(settings, self.total, lambda: min(1, self.seconds() / self.limit)))
        self.saved = self.drawn = monotonic()
        if current() == "cpu":
            self.data, self.loss = photos.data.making(learner.batch), learner.loss      # on the reading threads
        else:
            self.data, self.loss = photos.data, lambda rgb: learner.loss(*learner.batch(rgb))       # in the step

    def seconds(self):
        """The seconds spent in the loop, in this and earlier sessions."""
        return self.state["seconds"] + (self.finished or monotonic()) - self.began

    # -------------------------------------------------------------- before

    def begin(self):
        """Load the newest checkpoint. A new run has one, too."""
        own = slower(self.settings, self.model, self.opt)
        self.state = {**START, **self.run.restore(self.model, self.opt, own)}

    def measure(self):
        """The seconds that a step and a validation take. The model does not change."""
        minimize, times = mc.minimize(self.loss, (), optimizer(self.settings, 1e-12)), []
        batches = iter(Steps(self.data, self.settings["seed"], 0, None, lambda step: False))
        with unchanged(self.model):
            while len(times) < 2 or (len(times) < 5 and sum(times) < 3):
                batch = next(batches)
                start = monotonic()
                minimize.step(len(times), batch if isinstance(batch, tuple) else (batch,))
                times.append(monotonic() - start)
        batches.close()
        return min(times), self.measure_validation()

    def measure_validation(self):
        validation, start = self.photos.validation, 0
        for _ in range(2):                  # the first time includes compiling
            start = monotonic()
            validation.measures(self.model, min(8, len(validation)))
        measures = (monotonic() - start) * min(MEASURED, len(validation)) / min(8, len(validation))
        part = type(validation)(validation.batches[:1], validation.mean)
        part.loss(self.model)
        start = monotonic()
        part.loss(self.model)
        return measures + (monotonic() - start) * len(validation) / len(part)

    def expected(self, step):
        """The seconds that the whole run takes if a step takes `step` seconds."""
        return min(self.limit, math.inf if self.total is None else self.total * step)

    def interval(self, step, validation):
        """Steps between two validations."""
        if self.settings["validate"]:
            return self.settings["validate"]
        wanted = min(self.expected(step) / VALIDATIONS, LONGEST)
        return max(1, math.ceil(max(wanted, validation / SHARE) / step / LOG)) * LOG

    # -------------------------------------------------------------- the loop

    def train(self):
        """Train to the end. Returns the number of the signal that stopped it, or None."""
        with np.errstate(over="ignore", invalid="ignore"):      # each step checks the loss
            return self.trained()

    def trained(self):
        steps = Steps(self.data, self.settings["seed"], self.state["step"], self.total, self.ended)
        self.steps, self.began = steps, monotonic()
        self.board = Board(self.run, self.state["step"]) if self.settings["tensorboard"] else None
        try:
            with Interrupts() as self.interrupts:
                if self.state["step"] == 0 and self.state["validated"] is None:
                    self.validate()
                    self.picture()
                for loss in mc.progress(mc.minimize(self.loss, steps, self.opt), self.message):
                    self.after(float(loss))
                if self.interrupts.signal is None:
                    self.complete()
                self.save()
        except FloatingPointError:
            raise FloatingPointError(self.diverged()) from None
        except OSError as e:
            raise self.failed(e) from None
        finally:
            self.finished = monotonic()
            if self.board is not None:
                self.board.close()
        return self.interrupts.signal

    def ended(self, step):
        return (self.interrupts.signal is not None or self.seconds() >= self.limit or
                (self.total is not None and step >= self.total))

    def after(self, loss):
        """Count a step, and log, validate, draw and save if it is time."""
        state = self.state
        state["step"], state["sum"], state["count"] = state["step"] + 1, state["sum"] + loss, state["count"] + 1
        if state["step"] % LOG == 0:
            self.log(loss=state["sum"] / state["count"], lr=self.opt.lr(state["step"] - 1), waiting=self.waiting())
            state["sum"], state["count"] = 0.0, 0
        if state["step"] % state["every"] == 0 and state["step"] != self.total:
            self.validate()
        if state["step"] % LOG == 0 and state["step"] >= max(2 * LOG, RARER * (state["pictured"] or 0)):
            self.picture()
        if monotonic() - self.saved > self.settings["checkpoint"]:
            self.save()

    def complete(self):
        """Make the last validation and picture, if they are not there yet."""
        if self.state["validated"] != self.state["step"]:
            self.validate()
        if self.state["pictured"] != self.state["step"]:
            self.picture()

    def log(self, **numbers):
        step = self.state["step"]
        line = {"step": step, "epoch": round(step / len(self.photos.data), 4), "seconds": round(self.seconds(), 3),
                **numbers}
        self.run.log(**line)
        if self.board is not None:
            self.board.numbers(step, numbers)

    def waiting(self):
        """The share of the steps' time that was spent waiting for data."""
        spent = self.seconds() - self.state["busy"]
        return round((self.state["waited"] + self.steps.waited) / spent, 4) if spent > 0 else 0.0

    def message(self, loss):
        best = self.state["best"]
        time = clock(self.seconds()) + (f" of {clock(self.limit)}" if self.limit < math.inf else "")
        return f"loss {float(loss):.4g}" + (f", validation {best['loss']:.4g}" if best else "") + f", {time}"

    # -------------------------------------------------------------- on the way

    def validate(self):
        """Log the loss and measures on the validation photos, and save the weights if they are the best."""
        start, state, validation = monotonic(), self.state, self.photos.validation
        loss = validation.loss(self.model)
        rows = validation.measures(self.model, MEASURED)
        if state["baselines"] is None:
            state["baselines"] = {"loss": validation.baselines(self.model),
                                  "ab rmse": {name: rows[name]["ab rmse"] for name in ("grey", "mean ab")}}
        row = {key: rows["model"][key] for key in ("ab rmse", "psnr", "auc", "colourfulness")}
        self.log(**{"validation loss": loss, **row})
        self.tell(loss, rows)
        if math.isfinite(loss) and (state["best"] is None or loss < state["best"]["loss"]):
            state["best"] = {"step": state["step"], "loss": loss}
            save_model(self.run.file("best.safetensors"), self.model, step=state["step"], loss=loss)
        if monotonic() - self.drawn > DRAWN:
            self.draw()
        state["validated"] = state["step"]
        state["busy"] += monotonic() - start

    def tell(self, loss, rows):
        numbers = f"validation loss {loss:.4g} (grey {self.state['baselines']['loss']['grey']:.4g}), ab error " \
                  f"{rows['model']['ab rmse']:.1f} (grey {rows['grey']['ab rmse']:.1f})"
        tqdm.write(f"step {self.state['step']:>6}  {clock(self.seconds())}  {numbers}")

    def picture(self):
        """Write samples/step-*.png, which shows the first validation photos."""
        start = monotonic()
        rows = pictures.strips(self.model, self.photos.validation.first(SAMPLES))
        picture = pictures.grid(rows, header=pictures.STRIP, cell=cell(self.model))
        pictures.save(self.run.file("samples", f"step-{self.state['step']:06}.png"), picture)
        if self.board is not None:
            self.board.picture(self.state["step"], picture)
        self.state["pictured"] = self.state["step"]
        self.state["busy"] += monotonic() - start

    def draw(self):
        draw(self.run.path, self.state["baselines"])
        self.drawn = monotonic()

    # -------------------------------------------------------------- checkpoints

    def save(self):
        """Write a checkpoint of this step."""
        start = monotonic()
        now = {**self.state, "seconds": self.seconds(), "waited": self.state["waited"] + self.steps.waited}
        self.run.checkpoint(self.model, now)
        self.saved = monotonic()
        self.state["busy"] += self.saved - start

    def diverged(self):
        """The sentence that says what to do if the loss is not a number. --resume would only come here again."""
        best, lr = self.state["best"], self.settings["lr"] or optimizer(self.settings).lr
        begin = f"go on from the best weights, of step {best['step']}, with --init {self.run.path}" \
            if best and best["step"] else "begin again with"
        return f"the loss is not a number at step {self.state['step']}: {begin} --out ANOTHER, and --gclip 1 or a " \
               f"--lr below {lr:g} (--resume would fail again); {self.kept()}"

    def kept(self):
        """The words that say which checkpoint is there."""
        return f"the checkpoint of step {self.run.state()['step']} is kept in {self.run.path}"

    def failed(self, e):
        """The error for a disk error e. A checkpoint is saved if there is room."""
        try:
            self.save()
        except OSError:
            pass                            # the checkpoint before is still there
        what = "the disk is full" if e.errno in (errno.ENOSPC, errno.EDQUOT) else f"{e.strerror or e}"
        where = f" ({e.filename})" if e.filename else ""
        return OSError(f"{what}{where}, and {self.kept()}: make room and go on with --resume {self.run.path}")


@contextmanager
def unchanged(model):
    """Put the model's weights, moments and optimizers back at the end of the `with`."""
    params = [(p, p.value.copy(), p.opt) for p in mc.params(model)]
    moments = [(m, m.mean, m.var) for _, m in walk(model, bnmoments)]
    try:
        yield
    finally:
        for p, value, opt in params:
            p.value, p.opt = value, opt
        for m, mean, var in moments:
            m.mean, m.var = mean, var


def cell(model):
    """The (height, width) of a photo in the pictures of samples."""
    return (max(128, model.size),) * 2


def clock(seconds):
    """Seconds as 1:05 or 2:03:04."""
    minutes, s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{s:02}" if hours else f"{minutes}:{s:02}"
