"""A progress bar around any iterator: how far, how fast, how long still, and the loss."""
import sys
from time import monotonic

from tqdm import tqdm

from .minimize import to_the_end

__all__ = ["progress", "progress_"]


class progress:
    """The items of `it`, with a progress bar on stderr that shows the latest one if it is a number.

    `msg` is a title, or a function of the current item that gives the text to show. The bar is drawn every
    `seconds`, and only then is the item looked at: on a GPU that waits for it. Where stderr is no terminal, whole
    lines are written instead, a tenth as often.

    >>> list(progress([0.5, 0.25]))
    [0.5, 0.25]
    """

    def __init__(self, it, msg=None, *, seconds=1):
        if not hasattr(it, "__iter__"):
            raise TypeError(f"progress needs something to iterate over, got {type(it).__name__}")
        if not (msg is None or isinstance(msg, str) or callable(msg)):
            raise TypeError(f"progress needs msg as a title or a function of the item, got {type(msg).__name__}")
        self.it, self.msg, self.seconds = it, msg, seconds

    def __len__(self):
        return len(self.it)

    def __iter__(self):
        bar, n, shown, text, due = self.bar(), 0, 0, "", -1.0
        try:
            for n, item in enumerate(self.it, 1):
                if monotonic() >= due:
                    shown, text = n, self.text(item)
                    bar.show(n, text)
                    due = monotonic() + self.seconds * bar.rarely
                yield item
            text = self.text(item) if n else ""
        finally:                            # the end, an error, or a break: the last number is the true one
            if n > shown:
                bar.show(n, text)
            bar.close()

    def text(self, item):
        if callable(self.msg):
            return str(self.msg(item))
        return f"{float(item):.4g}" if hasattr(item, "__float__") and getattr(item, "ndim", 0) == 0 else ""

    def bar(self):
        try:
            total = len(self.it)
        except TypeError:
            total = None
        title = self.msg if isinstance(self.msg, str) else ""
        terminal = hasattr(sys.stderr, "isatty") and sys.stderr.isatty()
        if not terminal:
            return _Lines(total, title)
        return _Bar(total=total, desc=title, file=sys.stderr, mininterval=0, miniters=1)


class _Bar(tqdm):
    """On a terminal."""

    monitor_interval, rarely = 0, 1         # no monitor thread: progress has its own clock

    def show(self, n, text):
        self.set_postfix_str(text, refresh=False)
        self.update(n - self.n)


class _Lines:
    """In a file: whole lines, no control codes."""

    rarely = 10

    def __init__(self, total, title):
        self.total, self.title, self.start = total, title, monotonic()

    def show(self, n, text):
        prefix = self.title + ": " if self.title else ""
        line = tqdm.format_meter(n, self.total, monotonic() - self.start, ascii=True, prefix=prefix, postfix=text)
        print(line, file=sys.stderr, flush=True)

    def close(self):
        pass


progress_ = to_the_end(progress)
