"""What all programs share: a parser of flags, the types of flags, and errors as one sentence.

    def main(argv=None):
        parser = cli.Parser("colorize.evaluate", __doc__)
        args = parser.parse_args(argv)
        ...
    if __name__ == "__main__":
        sys.exit(cli.status(main, "colorize.evaluate"))

The exit status is 0, 2 for anything wrong, 130 after Ctrl-C, and 143 after SIGTERM.
"""
import argparse
import math
import os
import sys

import minicnn as mc
from minicnn.device import current

__all__ = ["Parser", "aligned", "named_numbers", "number", "printable", "sentence", "share", "status", "switch",
           "use_device", "whole"]

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


def aligned(lines):
    """A table: lines of texts as one text. A column with a heading, but the first, stands to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(text.rjust(w) if i and lines[0][i] else text.ljust(w)
                               for i, (text, w) in enumerate(zip(line, widths))).rstrip() for line in lines)


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


def named_numbers(text, one, expected):
    """{name: number} of text such as a=0.25,b=2; `one` is the type of a number, `expected` describes both."""
    numbers = {}
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        try:
            numbers[name] = one(value)
        except argparse.ArgumentTypeError:
            name = ""
        if not name:
            raise argparse.ArgumentTypeError(f"expected {expected}; got {text!r}")
    return numbers


def switch(text):
    """A flag's type: true or false."""
    known = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return known[text.lower()]


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
