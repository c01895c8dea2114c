"""What all programs share: a parser of flags, the types of flags, and errors in one sentence.

    def main(argv=None):
        parser = cli.Parser("colorize.evaluate", __doc__)
        args = parser.parse_args(argv)
        ...
    if __name__ == "__main__":
        sys.exit(cli.status(main, "colorize.evaluate"))

The exit status is 0 if all went well, 2 after an error, 130 after Ctrl-C, and 143 after SIGTERM.
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
    """argparse without abbreviated flags. Its errors are ValueErrors, which `status` prints.

    defaults: {flag: value}, which the help shows. With them the result has only what was given.
    """

    def __init__(self, name, about, defaults=None):
        super().__init__(prog=f"python -m {name}", description=about, allow_abbrev=False,
                         usage=None if defaults is None else f"python -m {name} [flags]",
                         argument_default=None if defaults is None else argparse.SUPPRESS,
                         formatter_class=lambda prog: Help(prog, defaults or {}))

    def error(self, message):
        raise ValueError(f"{message}; --help lists the flags")


class Help(argparse.RawDescriptionHelpFormatter):
    """Shows the default of each flag behind what the flag does."""

    def __init__(self, prog, defaults):
        super().__init__(prog)
        self.defaults = defaults

    def _get_help_string(self, action):
        default = self.defaults.get(action.dest)
        shown = {True: "true", False: "false"}.get(default, default) if isinstance(default, bool) else default
        return action.help if default in (None, {}, []) else f"{action.help} ({shown})"


def status(main, name, argv=None):
    """Run main(argv) and return the exit status. An error is printed on stderr as one sentence; if the variable
    COLORIZE_TRACEBACK is set, as a traceback."""
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
    """The message of an exception, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror + (f": {error.filename}" if error.filename else ""))
    return printable(" ".join(str(error).split())) or type(error).__name__


def printable(text):
    """The text with its control characters written as in Python, since a terminal would obey them.

    >>> print(printable("a" + chr(27) + "[2J" + chr(10) + ".jpg"))
    a\\x1b[2J\\n.jpg
    """
    return text.translate({i: repr(chr(i))[1:-1] for i in (*range(32), *range(127, 160))})


def aligned(lines):
    """Lines of texts as one text, a table. Columns with a heading are flush right, but not the first."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(text.rjust(w) if i and lines[0][i] else text.ljust(w)
                               for i, (text, w) in enumerate(zip(line, widths))).rstrip() for line in lines)


# ------------------------------------------------------------------ types of flags


def whole(least=0):
    """The type of a flag: a whole number of at least that."""
    def parse(text):
        if not text.lstrip("+-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return int(text)
    return parse


def number(least=None, above=None, most=None):
    """The type of a flag: a finite number in that range."""
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
    """The type of a flag: a number from 0 to 1."""
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
    """The type of a flag: true or false."""
    known = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return known[text.lower()]


# ------------------------------------------------------------------ where and with what


def use_device(name):
    """Make it the device of the process; "auto" takes the GPU if there is one. Returns its name."""
    if name != "auto":
        mc.device(name)
        return current()
    try:
        mc.device("cuda")
    except RuntimeError:
        mc.device("cpu")
    return current()
