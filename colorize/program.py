"""What the programs share: flags and their types, the device, pictures by --data, and errors as one sentence.

    def main(argv=None):
        parser = program.Parser("colorize.evaluate", __doc__)
        program.data_flags(parser)
        args = parser.parse_args(argv)
        ...
    if __name__ == "__main__":
        sys.exit(program.status(main, "colorize.evaluate"))

Exit status: 0, 2 for anything wrong, 130 after Ctrl-C, 143 after SIGTERM.
"""
import argparse
import datetime
import json
import math
import os
import platform
import subprocess
import sys
from importlib import metadata

import minicnn as mc
from minicnn.device import current

from .data.augment import TENFOLD, Augment
from .data.batches import split
from .data.folder import Photos
from .data.pack import Packed
from .data.photos import RESAMPLINGS, find
from .data.scenes import Scenes

__all__ = ["Parser", "as_json", "augment", "data_flags", "git_state", "held_out", "kind_of", "model_options",
           "new_folder", "number", "pictures", "printable", "share", "status", "switch", "use_device",
           "versions", "weigh", "whole"]

WRONG = (ValueError, TypeError, OSError, MemoryError, ArithmeticError, RuntimeError, ImportError)

# ------------------------------------------------------------------ errors


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ValueErrors for `status`, and which takes no abbreviated flags. given_only: what is
    not given is not in the result, instead of None."""

    def __init__(self, name, about, given_only=False):
        super().__init__(prog=f"python -m {name}", description=about, allow_abbrev=False,
                         argument_default=argparse.SUPPRESS if given_only else None,
                         formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message):
        raise ValueError(f"{message}; --help lists the flags")


def status(main, name, argv=None):
    """The exit status of main(argv). What goes wrong is one sentence on stderr, or all of it where the variable
    COLORIZE_TRACEBACK is set."""
    try:
        return main(argv) or 0
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 130
    except WRONG as e:
        if os.environ.get("COLORIZE_TRACEBACK"):
            raise
        print(f"{name}: {sentence(e)}", file=sys.stderr)
        return 2


def sentence(error):
    """What an exception says, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror + (f": {error.filename}" if error.filename else ""))
    return printable(" ".join(str(error).split())) or type(error).__name__


def printable(text):
    """The text with its control characters, which a terminal would obey, as Python writes them.

    >>> print(printable("a" + chr(27) + "[2J" + chr(10) + ".jpg"))
    a\\x1b[2J\\n.jpg
    """
    return text.translate({i: repr(chr(i))[1:-1] for i in (*range(32), *range(127, 160))})


def as_json(x, indent=None):
    """An object as JSON, where there is null for numbers that are not finite: JSON has no others.

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


# ------------------------------------------------------------------ types of flags


def whole(least=0):
    """A flag's type: a whole number of at least that."""
    def parse(text):
        if not text.lstrip("+-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return int(text)
    return parse


def number(least=None, above=None, most=None):
    """A flag's type: a finite number in that range."""
    def parse(text):
        try:
            x = float(text)
        except ValueError:
            x = math.nan
        if not math.isfinite(x) or (least is not None and x < least) or (above is not None and x <= above) or \
                (most is not None and x > most):
            limit = f" of at least {least}" if least is not None else f" above {above}" if above is not None else ""
            limit += f" and at most {most}" if most is not None else ""
            raise argparse.ArgumentTypeError(f"expected a number{limit}, got {text!r}")
        return x
    return parse


def share(text):
    """A flag's type: a number from 0 to 1."""
    x = number(0)(text)
    if x > 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return x


def switch(text):
    """A flag's type: true or false."""
    known = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return known[text.lower()]


def augment(text):
    """A flag's type: none, flip, tenfold, or shares as flip=0.5,scale=0.8,vshift=0.1,hshift=0.1."""
    if text in ("none", "flip", "tenfold"):
        return {"none": None, "flip": Augment(), "tenfold": TENFOLD}[text]
    try:
        given = dict(part.split("=") for part in text.split(","))
        return Augment(**{"flip": 0.0, **{key: float(value) for key, value in given.items()}})
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"expected none, flip, tenfold, or shares such as flip=0.5,scale=0.8,"
                                         f"vshift=0.1,hshift=0.1; got {text!r}") from None


def weigh(text):
    """A flag's type: how often photos of a folder come, as flowers=0.25,portraits=2; {folder: times}."""
    weights = {}
    for part in text.split(","):
        folder, _, times = part.rpartition("=")
        try:
            weights[folder] = number(0)(times)
        except argparse.ArgumentTypeError:
            folder = ""
        if not folder:
            raise argparse.ArgumentTypeError(f"expected folders and how often each of their photos comes in a pass, "
                                             f"such as flowers=0.25,portraits=2; got {text!r}")
    return weights


def model_options(name, known, given):
    """{option: value} for models.build: `given` are texts or values, `known` is models.options(name).

    >>> model_options("jetson", {"size": 256, "width": 1.0, "skips": False}, {"size": "64", "skips": "yes"})
    {'size': 64, 'skips': True}
    """
    options = {}
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"{name} has no option {key}: it has {', '.join(known)}")
        try:
            text = isinstance(value, str) and key != "bins"         # those are a name or a number
            options[key] = _like(known[key], value) if text else value
        except (ValueError, argparse.ArgumentTypeError):
            raise ValueError(f"{name} needs {key} like {known[key]!r}, got {value!r}") from None
    return options


def _like(default, text):
    """The text as a value of the default's type."""
    if isinstance(default, bool):
        return switch(text)
    if isinstance(default, str) or not default:
        return text
    x = float(text)
    return int(x) if isinstance(default, int) and x == int(x) else x


# ------------------------------------------------------------------ pictures


def data_flags(parser):
    """--resize and the like: how photos become squares. A program adds --data and its own."""
    group = parser.add_argument_group("photos")
    group.add_argument("--batch", type=whole(1), metavar="N", help="photos a step")
    group.add_argument("--workers", type=whole(), metavar="N", help="threads that read photos (2); 0: none")
    group.add_argument("--seed", type=whole(), metavar="N", help="what all random draws follow from (1)")
    group.add_argument("--resize", choices=["short-side", "squash"], help="the short side, or both, get --resize-to")
    group.add_argument("--resize-to", type=whole(1), metavar="PX", help="before cropping; the size, unless given")
    group.add_argument("--resample", choices=RESAMPLINGS, help="how they are resized; cv-*: as OpenCV does it")
    group.add_argument("--crop", choices=["random", "centre", "top-left", "none"], help="where pixels are taken")
    group.add_argument("--keep-grey", type=switch, metavar="BOOL", help="keep photos with next to no colour (false)")


def kind_of(data):
    """"scenes", "pack" or "photos": what a --data is (a path, or a sequence of paths)."""
    if isinstance(data, (list, tuple)):
        return "photos"
    if data == "scenes":
        return "scenes"
    return "pack" if os.path.isfile(os.path.join(data, "index.json")) else "photos"


def pictures(data, size, *, held=False, scenes=2048, resize="short-side", resize_to=None, resample="bicubic",
             crop="random", keep_grey=False, augment=None, weights=None, batch=32, shuffle=True, partial=False,
             seed=1, workers=2, then=None, report=None):
    """The batches of a --data: "scenes", a pack, a folder, a list file, or a sequence of paths.

    held: scenes are those of validation. A crop of "none" takes whole photos, which needs resize="squash".
    """
    common = {"batch": batch, "shuffle": shuffle, "partial": partial, "seed": seed, "workers": workers, "then": then}
    kind, crop = kind_of(data), None if crop == "none" else crop
    if kind == "scenes":
        if weights:
            raise ValueError("scenes have no folders to weigh: give --data, or leave out --weigh")
        return Scenes("val" if held else "train", size, scenes=scenes, **{**common, "shuffle": False})
    if kind == "pack":
        return Packed(data, size, crop=crop, augment=augment, weights=weights, report=report, **common)
    return Photos(data, size, resize=resize.replace("-", " "), resize_to=resize_to, resample=resample, crop=crop,
                  augment=augment, weights=weights, drop_grey=not keep_grey, report=report, **common)


def held_out(data, most=500, seed=1):
    """(training, validation): the paths of a folder or list, a tenth or `most` of them held out by the seed."""
    if kind_of(data) == "scenes":
        return data, data
    if kind_of(data) == "pack":
        raise ValueError(f"{data} is a pack, from which nothing can be held out: name validation photos with --val")
    paths = find(data)
    if len(paths) < 2:
        raise ValueError(f"{data} has one photo, so none can be held out: name validation photos with --val")
    n = max(1, min(most, len(paths) // 10))
    held, training = split(paths, n, len(paths) - n, seed=seed)
    return sorted(training), sorted(held)


# ------------------------------------------------------------------ where and with what


def use_device(name):
    """Make it the device of the process; "auto" is the GPU where there is one. Gives its name."""
    if name != "auto":
        mc.device(name)
        return current()
    try:
        mc.device("cuda")
    except RuntimeError:
        mc.device("cpu")
    return current()


def versions():
    """What a result may depend on: {name: version}."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}",
             "cores": str(os.cpu_count()), "minicnn": mc.__version__}
    for name in ("numpy", "numba", "scipy", "Pillow", "imageio"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def git_state():
    """The commit of the checkout that this file is in, "+" behind it where files differ; None without one."""
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
    """A path parent/date-name that does not exist yet; nothing is made."""
    stem = os.path.join(parent, f"{datetime.date.today():%Y-%m-%d}-{name}")
    tried = (stem if i == 1 else f"{stem}-{i}" for i in range(1, 10 ** 6))
    return next(path for path in tried if not os.path.lexists(path))
