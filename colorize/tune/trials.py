"""The trials of `python -m colorize.tune`, which are runs of the trainer in one directory. Each is made only once.

    DIR/config.json, lock    what was asked for
    DIR/trials/NAME/         the run of a trial, whose name says what it varies
    DIR/logs/NAME.txt        what the trainer printed
    DIR/trials.jsonl         a line for each trial that has ended
"""
import contextlib
import hashlib
import json
import math
import os
import re

from minicnn.files import write

from ..cli import sentence
from ..metrics.table import rising
from ..runs import Run, read_config

__all__ = ["Stopped", "Trials", "arguments", "opened"]

LONGEST = 120                               # how many letters a trial's name may have


class Stopped(Exception):
    """A signal stopped the trainer. The argument is the exit status."""


class Trials:
    """The trials of a search. `value(flags)` runs train(argv) with these flags {name: text}, goes on with a trial
    that was interrupted, or knows the answer already. Less is better.

    fixed: the arguments of all trials. by: a measure of the row "model" in result.json. resource: the flag of which a
    trial may get more later, or None. say(sentence) tells of a trial that has ended.
    """

    def __init__(self, run, fixed, by, train, resource=None, say=print):
        self.run, self.fixed, self.by, self.train, self.resource, self.say = run, fixed, by, train, resource, say
        self.path, self.done = run.file("trials.jsonl"), {}
        for line in self.lines():
            self.done[line["name"], line["resource"]] = line
        write(self.path, "".join(json.dumps(line) + "\n" for line in self.done.values()).encode())
        self.trials = []                    # the trials asked for so far, each once

    def lines(self):
        """The lines of trials.jsonl, without a line that a crash cut short."""
        if not os.path.exists(self.path):
            return []
        with open(self.path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def value(self, flags, resource=None):
        key = name_of(flags), resource
        if key not in self.done:
            self.done[key] = self.ended(flags, *key)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(self.done[key]) + "\n")
                file.flush()
                os.fsync(file.fileno())
        trial = self.done[key]
        if trial not in self.trials:
            self.trials.append(trial)
            self.say(self.told(trial))
        return self.worth(trial)

    def ended(self, flags, name, resource):
        """Run a trial to its end. Returns its line for trials.jsonl."""
        line, path = {"name": name, "flags": flags, "resource": resource}, self.folder(name)
        given = arguments({self.resource: f"{resource:g}"}) if resource is not None else []
        if os.path.isfile(os.path.join(path, "config.json")):
            argv = ["--resume", path, *given]
        else:
            argv = [*self.fixed, *arguments(flags), *given, "--out", path]
        try:
            with open(self.run.file("logs", f"{name}.txt"), "a", encoding="utf-8") as log:
                with contextlib.redirect_stdout(log):
                    status = self.train(argv)
        except (ArithmeticError, MemoryError) as e:         # the loss is NaN, for instance, which is an answer, too
            return {**line, "failed": sentence(e)}
        if status:
            raise Stopped(status)
        with open(os.path.join(path, "result.json"), encoding="utf-8") as file:
            result = json.load(file)
        return {**line, "rows": result["rows"], "seconds": result.get("seconds"), "step": result.get("step")}

    def folder(self, name):
        """The folder of a trial's run."""
        return self.run.file("trials", name)

    def number(self, trial, row="model"):
        """The trial's measure. NaN if the trial failed or the measure is no number."""
        if "failed" in trial:
            return math.nan
        found = trial["rows"][row].get(self.by)
        return math.nan if found is None else found

    def worth(self, trial):
        """The trial's measure, with a sign so that less is better."""
        return -self.number(trial) if rising(self.by) else self.number(trial)

    def ranked(self):
        """The trials asked for, from the best to the worst."""
        return sorted(self.trials, key=lambda t: math.inf if math.isnan(self.worth(t)) else self.worth(t))

    def told(self, trial):
        flags = " ".join(f"{key}={text}" for key, text in trial["flags"].items())
        if trial["resource"] is not None:
            flags += f" {self.resource}={trial['resource']:g}"
        if "failed" in trial:
            return f"{len(self.trials)}: {flags}: failed: {trial['failed'].split(': ')[0]}"
        return f"{len(self.trials)}: {flags}: {self.by} {self.number(trial):.5g}"


def arguments(flags):
    """Flags {name: text} as arguments of a command line."""
    return [f"--{key.replace('_', '-')}={text}" for key, text in flags.items()]


def name_of(flags):
    """A folder's name for these flags. Other flags give another name."""
    exact = ",".join(f"{key}={text}" for key, text in flags.items())
    plain = re.sub(r"[^\w.,=+-]", "_", exact)[:LONGEST]
    return plain if plain == exact else f"{plain}-{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def opened(path):
    """The Run of a search that has begun."""
    config = read_config(path, "search")
    if not isinstance(config.get("tune"), dict):
        raise ValueError(f"{path} holds a training run and no search: go on with python -m colorize.train "
                         f"--resume {path}")
    return Run.open(path)
