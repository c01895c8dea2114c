"""Search for the flags that train best: python -m colorize.tune SEARCH --vary FLAG=VALUES ... -- FLAGS OF THE TRAINER

    python -m colorize.tune grid --vary lr=1e-3,1e-4,1e-5 --vary epochs=100,300,500 --vary last=sigmoid,tanh \\
        -- --recipe uf-faces --data faces/
    python -m colorize.tune random --vary lr=1e-5..1e-2 --vary width=0.5..2 --trials 20 -- --data photos/ --minutes 5
    python -m colorize.tune golden --vary lr=1e-3 --dxmin 0.3 -- --steps 500
    python -m colorize.tune hyperband --vary lr=1e-5..1e-2 --resource steps --most 900 -- --schedule constant

VALUES are a list, or a range LOW..HIGH. Ranges above 0 are searched on a logarithmic scale, and a range that you
write in whole numbers only in whole numbers. The searches:

    grid        tries all combinations of the lists
    random      draws --trials combinations
    golden      starts from one number, or the middle of a range, for each flag, and multiplies it by steps of e
    hyperband   gives many trials a little of --resource, and goes on with the best

golden and hyperband are Knet's. Every trial is a run of its own, and a trial that has ended is not done again: after
Ctrl-C or a crash, --resume DIR goes on.
"""
import argparse
import itertools
import math
import os
import shlex
import sys
from collections import namedtuple

import numpy as np

import minicnn as mc
from minicnn.files import write

from .. import cli, runs
from ..metrics.published import MEASURES
from ..metrics.table import measures, rising
from ..runs import Run
from ..train import preparing
from ..train import program as train
from ..train.recipes import LENGTHS
from .heat import draw
from .trials import Stopped, Trials, arguments, opened

__all__ = ["main"]

NAME = "colorize.tune"
SHOWN = ("loss", "ab mse", "psnr", "ciede2000", "colourfulness", "auc rebalanced")     # columns of the table

PATHS = "--data", "--val", "--init"         # flags of the trainer that name files

# ------------------------------------------------------------------ what is varied

Choice = namedtuple("Choice", "texts")
Range = namedtuple("Range", "low high whole")


def space(pairs):
    """{flag: Choice or Range} for the texts of --vary."""
    found = {}
    for pair in pairs:
        flag, _, values = pair.partition("=")
        flag = flag.lstrip("-").replace("_", "-")
        if not flag or not values:
            raise ValueError(f"--vary needs FLAG=VALUES such as lr=1e-3,1e-4 or lr=1e-5..1e-2, got {pair!r}")
        if flag in found or flag in ("out", "resume"):
            raise ValueError(f"--vary {flag} " + ("was given twice: give all its values at once" if flag in found
                                                  else "is not possible: every trial has a folder of its own"))
        found[flag] = _range(values) if ".." in values else Choice(values.split(","))
    return found


def _range(text):
    low, _, high = text.partition("..")
    try:
        found = Range(float(low), float(high), low.lstrip("+-").isdigit() and high.lstrip("+-").isdigit())
    except ValueError:
        raise ValueError(f"--vary needs a range as LOW..HIGH, got {text!r}") from None
    if not found.low < found.high or not math.isfinite(found.high - found.low):
        raise ValueError(f"--vary needs a range LOW..HIGH with LOW below HIGH, got {text!r}")
    return found


def at(values, u):
    """The text at place u, in 0..1, of a Choice or Range."""
    if isinstance(values, Choice):
        return values.texts[min(int(u * len(values.texts)), len(values.texts) - 1)]
    if values.low > 0:
        return _text(values.low * (values.high / values.low) ** u, values.whole)
    return _text(values.low + (values.high - values.low) * u, values.whole)


def _text(x, whole):
    return str(round(x)) if whole else f"{x:.4g}"


def drawn(varied, seed, n):
    """Trial number n of a random search, {flag: text}. It does not depend on other trials."""
    rng = np.random.default_rng([seed, n])
    return {flag: at(values, rng.uniform()) for flag, values in varied.items()}


# ------------------------------------------------------------------ the searches


def grid(args, varied, trials):
    for texts in itertools.product(*(values.texts for values in varied.values())):
        trials.value(dict(zip(varied, texts)))


def random(args, varied, trials):
    for n in range(args.trials):
        trials.value(drawn(varied, args.seed, n))


def golden(args, varied, trials):
    starts = [start_of(flag, values) for flag, values in varied.items()]

    def f(x):
        flags = {}
        for flag, values, start, step in zip(varied, varied.values(), starts, x):
            number = start * math.exp(step)
            if isinstance(values, Range) and not values.low <= number <= values.high:
                return math.nan
            whole = values.whole if isinstance(values, Range) else values.texts[0].isdigit()
            flags[flag] = _text(max(number, 1) if whole else number, whole)
        try:
            return trials.value(flags)
        except ValueError as e:             # the flag takes no such number
            if not trials.trials:
                raise
            say(f"out of reach: {' '.join(arguments(flags))}: {e}")
            return math.nan
    if math.isnan(f([0] * len(starts))):
        raise ValueError("golden got no number from its first trial: give --vary other numbers to begin with")
    mc.goldensection(f, len(starts), dxmin=args.dxmin)


def start_of(flag, values):
    """The number at which golden begins."""
    if isinstance(values, Range) and values.low > 0:
        return math.sqrt(values.low * values.high)
    try:
        start = float(values.texts[0]) if isinstance(values, Choice) and len(values.texts) == 1 else -1
    except ValueError:
        start = -1
    if start <= 0:
        raise ValueError(f"golden multiplies numbers above 0: give --vary {flag} one such number, or a range above 0")
    return start


def hyperband(args, varied, trials):
    numbers = itertools.count()
    mc.hyperband(lambda: drawn(varied, args.seed, next(numbers)),
                 lambda flags, resource: trials.value(flags, amount(args, resource)), args.most, args.reduction)


def amount(args, resource):
    """An amount of the resource as a number for its flag. Steps and epochs are rounded."""
    return resource if args.resource == "minutes" else max(1, round(resource))


def expected(args, varied):
    """How many trials the search makes. None if that depends on what it finds."""
    if args.search == "grid":
        return math.prod(len(values.texts) for values in varied.values() if isinstance(values, Choice))
    if args.search == "hyperband":
        count = itertools.count()
        mc.hyperband(lambda: None, lambda _, r: next(count), args.most, args.reduction)
        return next(count)
    return args.trials if args.search == "random" else None


SEARCHES = {"grid": grid, "random": random, "golden": golden, "hyperband": hyperband}

# ------------------------------------------------------------------ the program


def flags():
    parser = cli.Parser(NAME, __doc__)
    parser.epilog = "Write the flags of colorize.train that all trials share behind --."
    add = parser.add_argument
    add("search", nargs="?", choices=list(SEARCHES), help="how to search")
    add("--vary", action="append", default=[], metavar="FLAG=VALUES",
        help="a flag of the trainer, and what it may be. Can be given several times")
    add("--by", default="loss", metavar="MEASURE",
        help="the measure of the validation photos that decides: ab mse, psnr, auc rebalanced and so on, or loss, "
             "which only compares trials of the same model (loss)")
    add("--out", metavar="DIR", help="a new folder for the trials (runs/DATE-tune)")
    add("--seed", type=cli.whole(), default=1, metavar="N", help="the same seed draws the same trials (1)")
    add("--trials", type=cli.whole(1), default=20, metavar="N", help="how many trials random makes (20)")
    add("--dxmin", type=cli.number(above=0), default=0.3, metavar="X",
        help="the smallest step of golden; 0.3 multiplies by 1.35 (0.3)")
    add("--resource", choices=["epochs", "steps", "minutes"], default="epochs",
        help="what hyperband gives the trials more or less of (epochs)")
    add("--most", type=cli.number(1), default=27, metavar="N", help="how much of it hyperband gives one trial (27)")
    add("--reduction", type=cli.number(above=1), default=3, metavar="N",
        help="hyperband goes on with one trial in so many (3)")
    add("--resume", metavar="DIR", help="go on with the search in this folder; leave out everything else")
    return parser


def main(argv=None, trainer=train.main):
    argv = list(sys.argv[1:] if argv is None else argv)
    cut = argv.index("--") if "--" in argv else len(argv)
    args, unknown = flags().parse_known_args(argv[:cut])
    if unknown:
        raise ValueError(f"the search has no flag {unknown[0]}: write flags of the trainer behind --, as in ... -- "
                         f"{' '.join(unknown)}")
    fixed = absolute(argv[cut + 1:])
    if args.resume:
        if len(argv) > 2:
            raise ValueError("--resume goes on with what the search began with: leave out everything else")
        run = opened(args.resume)
        args = argparse.Namespace(**{**vars(flags().parse_args([])), **run.config["tune"]})
        fixed, varied = run.config.get("fixed", []), space(args.vary)
    else:
        varied = asked(args, fixed)
        run = Run.create(args.out or runs.new_folder("runs", "tune"), {"tune": vars(args), "fixed": fixed})
    with run:
        return searched(args, varied, run, fixed, trainer)


def searched(args, varied, run, fixed, trainer):
    """Make the search. Returns the exit status."""
    trials = Trials(run, fixed, args.by, trainer, args.resource if args.search == "hyperband" else None, say)
    count = expected(args, varied)
    say(f"{args.search}: {f'{count} trials' if count else 'as many trials as it takes'}, by {args.by}, the "
        f"{'largest' if rising(args.by) else 'smallest'} being the best; writing to {run.path}")
    try:
        SEARCHES[args.search](args, varied, trials)
    except (KeyboardInterrupt, Stopped) as e:
        say(f"stopped; go on with\n    python -m {NAME} --resume {shlex.quote(run.path)}")
        return e.args[0] if isinstance(e, Stopped) else 130
    report(trials, args, varied, fixed)
    return 0


def asked(args, fixed):
    """{flag: Choice or Range} to vary, after checking that all flags fit together. Nothing has been written yet."""
    if args.search is None or not args.vary:
        raise ValueError(f"name a search ({', '.join(SEARCHES)}) and what to vary, as in grid --vary lr=1e-3,1e-4 -- "
                         "--data photos/")
    varied = space(args.vary)
    for flag in ("out", "resume", *varied):
        if any(arg == f"--{flag}" or arg.startswith(f"--{flag}=") for arg in fixed):
            raise ValueError(f"--{flag} cannot stand behind --: " + ("it is varied" if flag in varied else
                                                                     "every trial has a folder of its own"))
    if args.search == "grid" and any(isinstance(values, Range) for values in varied.values()):
        raise ValueError("grid needs lists, and got a range: list the numbers, or use random")
    if args.search == "golden":
        for flag, values in varied.items():
            start_of(flag, values)
    given = {*(f"--{flag}" for flag in varied), *(arg.partition("=")[0] for arg in fixed)}
    for flag in LENGTHS if args.search == "hyperband" else ():
        if f"--{flag}" in given:
            raise ValueError(f"hyperband decides how long trials are: leave out --{flag}")
    known = ["loss", *measures(), *MEASURES]
    if args.by not in known:
        raise ValueError(f"--by got {args.by!r}, which is no measure: choose one of {', '.join(known)}")
    parser = train.flags()
    for setting in settings(args, varied):
        preparing.rate(train.fresh(vars(parser.parse_args([*fixed, *arguments(setting)])))["settings"], 1, None)
    return varied


def settings(args, varied):
    """[{flag: text}] to check that the trainer takes what is varied: all trials of a grid, or else every text and
    both ends of every range."""
    if args.search == "grid":
        return [dict(zip(varied, texts)) for texts in itertools.product(*(v.texts for v in varied.values()))]
    first = {flag: at(values, 0) for flag, values in varied.items()}
    return [{**first, flag: text} for flag, values in varied.items()
            for text in (values.texts if isinstance(values, Choice) else (at(values, 0), at(values, 1)))]


def absolute(fixed):
    """The trainer's arguments with absolute paths, so that a search can go on from any folder."""
    found = []
    for arg in fixed:
        flag, equals, text = arg.partition("=")
        if flag in PATHS and text and text != "scenes":
            arg = f"{flag}={os.path.abspath(text)}"
        elif found and found[-1] in PATHS and arg != "scenes":
            arg = os.path.abspath(arg)
        found.append(arg)
    return found


def say(text):
    print(text, flush=True)


def _digits(x):
    return "-" if x is None else f"{x:.4g}"


def report(trials, args, varied, fixed):
    """Write and print the table, the picture and the best trial's command."""
    ranked, by = trials.ranked(), args.by
    columns = dict.fromkeys([by, *SHOWN])
    lines = [["trial", *varied, *([args.resource] if trials.resource else []), *columns, "seconds"]]
    for trial in ranked:
        numbers = trial.get("rows", {}).get("model", {})
        lines.append([str(trials.trials.index(trial) + 1), *trial["flags"].values(),
                      *([f"{trial['resource']:g}"] if trials.resource else []),
                      *(_digits(numbers.get(key)) for key in columns),
                      f"{trial['seconds']:.0f}" if trial.get("seconds") is not None else "failed"])
    best = ranked[0]
    if "failed" in best:
        raise ValueError(f"all {len(ranked)} trials failed, the first with: {best['failed']}")
    empty = [""] * (len(varied) + bool(trials.resource))
    for row in ("grey", "mean ab"):
        numbers = best["rows"].get(row, {})
        lines.append([row, *empty, *(_digits(numbers.get(key)) for key in columns), ""])
    table = cli.aligned(lines)
    files = [("table.txt", (table + "\n").encode())]
    pictured = draw(trials, varied, by)
    files += [("tune.png", pictured)] if pictured else []
    for name, data in files:
        write(trials.run.file(name), data)
    more = {trials.resource: f"{best['resource']:g}"} if trials.resource else {}
    command = ["python", "-m", "colorize.train", *fixed, *arguments({**best["flags"], **more})]
    say(f"\n{table}\n\nThe best, trained already in {trials.folder(best['name'])}:\n    "
        + " ".join(map(shlex.quote, command)))
    if not pictured:
        say("without matplotlib there is no tune.png (pip install matplotlib)")
    say("\n" + "\n".join(trials.run.file(name) for name, _ in files))

