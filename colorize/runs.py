"""The directory of a training run: which program holds it, what is in it, and how it survives a crash.

    config.json          what was asked for, and where and with which versions it ran
    last.safetensors     the newest checkpoint: weights, optimizers and the trainer's state in one file
    best.safetensors     the weights with the best validation loss so far
    metrics.jsonl        a line for each measurement; resuming cuts off lines after the checkpoint
    lock                 held while a program works in the directory
    prior.safetensors samples/ layers/ loss.png result.json report.html tensorboard/

A checkpoint gets its name only when it is complete, so after a crash the one before is still there.
"""
import datetime
import fcntl
import glob
import json
import math
import os
import platform
import subprocess
from importlib import metadata as installed

import minicnn as mc
from minicnn.files import metadata, write

from .weights.own import save_model

__all__ = ["Run", "as_json", "check_new", "git_state", "new_folder", "read_config", "read_metrics", "versions"]


class Run:
    """A run's directory, which this process locks until the `with` ends. `config` is what config.json holds."""

    def __init__(self, path):
        self.path, self.config = os.fspath(path), None
        os.makedirs(self.path, exist_ok=True)
        self.lock()
        self.metrics = os.open(self.file("metrics.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for unfinished in glob.glob(os.path.join(glob.escape(self.path), ".*.tmp")):    # left by a killed program
            os.remove(unfinished)

    def file(self, *names):
        """The path of a file in the directory. Folders above the file are made."""
        path = os.path.join(self.path, *names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def lock(self):
        self.held = open(self.file("lock"), "a+")
        try:
            fcntl.flock(self.held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.held.seek(0)
            by = self.held.read().strip() or "unknown"
            self.held.close()
            raise ValueError(f"{self.path} is in use by another program (process {by}): wait for its end, or choose "
                             "another --out") from None
        self.held.truncate(0)
        self.held.write(f"{os.getpid()}\n")
        self.held.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.metrics)
        self.held.close()                   # this frees the lock

    # -------------------------------------------------------------- beginning

    @classmethod
    def create(cls, path, config):
        """A new run. Its directory must be empty or missing."""
        check_new(path)
        run = cls(path)
        run.config = config
        try:
            check_new(path)                 # another program may have been quicker
            run.keep("config.json", config)
        except BaseException:
            run.__exit__()
            raise
        return run

    @classmethod
    def open(cls, path):
        """A run that exists already."""
        config = read_config(path)
        run = cls(path)
        run.config = config
        return run

    # -------------------------------------------------------------- checkpoints

    @property
    def begun(self):
        """Is there a checkpoint?"""
        return os.path.exists(self.file("last.safetensors"))

    def checkpoint(self, model, state):
        """Save the model, its optimizers and the trainer's state, any JSON object, as one file."""
        end = os.fstat(self.metrics).st_size
        os.fsync(self.metrics)
        save_model(self.file("last.safetensors"), model, opt=True, state=state, metrics=end)

    def restore(self, model, opt, own=()):
        """Load the newest checkpoint into the model and return its state. Later lines of metrics.jsonl are cut off.

        opt: the optimizer of all Params that `own` [(Param, its optimizer)] does not have.
        """
        state, end = self.noted()
        for p in mc.params(model):
            p.opt = None
        for p, optimizer in own:
            p.opt = optimizer
        mc.load(self.file("last.safetensors"), model, opt=opt if state["step"] else None)
        for p in mc.params(model):
            if p.frozen:                    # the next file should not have its optimizer
                p.opt = None
        os.ftruncate(self.metrics, min(end, os.fstat(self.metrics).st_size))
        return state

    def state(self):
        """The trainer's state in the newest checkpoint."""
        return self.noted()[0]

    def noted(self):
        """(the trainer's state, the length of metrics.jsonl) at the newest checkpoint."""
        path = self.file("last.safetensors")
        notes = metadata(path)
        try:
            state, end = json.loads(notes["state"]), int(notes["metrics"])
            if not isinstance(state["step"], int):
                raise ValueError(state["step"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path} holds weights and no checkpoint of the trainer: begin a new run with --init "
                             f"{path}") from None
        return state, end

    # -------------------------------------------------------------- files

    def log(self, **numbers):
        """Add a line to metrics.jsonl."""
        line = as_json(numbers).encode() + b"\n"
        while line:                         # a full disk first takes a part of it, and only then raises
            line = line[os.write(self.metrics, line):]

    def keep(self, name, content):
        """Write a JSON object to the file of that name."""
        write(self.file(name), as_json(content, indent=2).encode())


def check_new(path):
    """Raise ValueError if the directory has anything in it that a run could overwrite."""
    if os.path.isfile(os.path.join(path, "config.json")):
        raise ValueError(f"{path} holds a run already: go on with --resume {path}, or choose another --out")
    if os.path.lexists(path) and not os.path.isdir(path):
        raise ValueError(f"{path} is not a folder: choose another --out")
    there = [name for name in (os.listdir(path) if os.path.isdir(path) else [])
             if name not in ("lock", "metrics.jsonl") and name[0] != "."]
    if there:
        raise ValueError(f"{path} is not empty, since it has {there[0]}: choose another --out")


def read_config(path, kind="run"):
    """What config.json holds in the directory of a run or of a search."""
    file = os.path.join(path, "config.json")
    if not os.path.isfile(file):
        raise ValueError(f"{path} holds no {kind}, since config.json is missing: begin one with --out {path}")
    try:
        with open(file, encoding="utf-8") as text:
            config = json.load(text)
    except ValueError:                      # it is no JSON or no text
        config = None
    if not isinstance(config, dict):
        raise ValueError(f"{file} is no config.json of a {kind}, since it holds no JSON object: restore it, or begin "
                         "again with another --out")
    return config


def read_metrics(path):
    """The lines of a run's metrics.jsonl as a list of dicts."""
    try:
        with open(os.path.join(path, "metrics.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def as_json(x, indent=None):
    """An object as JSON. Numbers that are not finite become null, since JSON has none.

    >>> as_json({"loss": float("nan"), "steps": [1, 2.5]})
    '{"loss": null, "steps": [1, 2.5]}'
    """
    return json.dumps(_finite(x), indent=indent, allow_nan=False)


def _finite(x):
    if isinstance(x, dict):
        return {key: _finite(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [_finite(value) for value in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x


# ------------------------------------------------------------------ where and with what it ran


def versions():
    """{name: version} of everything that a result may depend on."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}",
             "cores": str(os.cpu_count()), "minicnn": mc.__version__}
    for name in ("numpy", "numba", "scipy", "Pillow", "imageio"):
        try:
            found[name] = installed.version(name)
        except installed.PackageNotFoundError:
            found[name] = "missing"
    return found


def git_state():
    """The commit of the checkout that has this file, with "+" if files were changed. None without a checkout."""
    try:
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        if not os.path.exists(os.path.join(here, ".git")):
            return None
        asked = ["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]
        said = [subprocess.run(["git", "-C", here, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, timeout=10, check=True).stdout.decode().strip()
                for words in asked]
        return said[0] + "+" * bool(said[1])
    except (OSError, subprocess.SubprocessError):
        return None


def new_folder(parent, name):
    """A path parent/date-name that does not exist yet. The folder is not made."""
    stem = os.path.join(parent, f"{datetime.date.today():%Y-%m-%d}-{name}")
    tried = (stem if i == 1 else f"{stem}-{i}" for i in range(1, 10 ** 6))
    return next(path for path in tried if not os.path.lexists(path))
