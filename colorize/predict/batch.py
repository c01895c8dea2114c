"""Many photos on all cores: each is read, painted and written by one thread, and a bad one stops no other.

Pixels in memory have a budget. A photo waits until its own fit, and may use its share of the threads.
"""
import errno
import math
import os
import sys
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor, as_completed

from minicnn.device import current, stay_on

from .. import cli
from ..photo.read import read
from ..photo.write import encode, write
from .plan import STREAM
from .recolor import colourful

__all__ = ["Done", "run"]

Done = namedtuple("Done", "job error notes mean")
Done.__doc__ = "What became of a Job: error, a sentence or None; notes, sentences; mean, the predicted mean (a, b)."

BUDGET = 100_000_000                        # pixels that are in memory at once; a larger photo is there alone
MOST = 1 << 30                              # bytes that are taken from standard input
FULL = errno.ENOSPC, errno.EDQUOT           # the disk has no room, or this user may have no more of it


class run:
    """Iterates over the Done of every job as it ends. After stop(), and when the disk is full, photos that are begun
    are ended, and no other one is begun.

    painter: a Painter; compare: write before and after side by side; mean: write nothing, only tell the mean colour;
    force: overwrite what is there.
    """

    def __init__(self, jobs, painter, threads, compare=False, mean=False, force=False):
        self.jobs, self.painter, self.compare, self.mean, self.force = jobs, painter, compare, mean, force
        self.threads, self.budget, self.stopped = threads, Budget(BUDGET), threading.Event()
        self.full = threading.Lock()        # taken by the first photo for which the disk has no room

    def __len__(self):
        return len(self.jobs)

    def __iter__(self):
        # In this thread, which Ctrl-C reaches while standard input is waited for, until one photo went well: whoever
        # asks which libraries are loaded (threadpoolctl does) and whoever loads another one can wait for each other
        alone = 0
        for job in self.jobs:
            alone += 1
            done = self.one(job, self.threads)
            if done is not None:
                yield done
            if done is None or done.error is None:
                break
        with ThreadPoolExecutor(self.threads, initializer=stay_on, initargs=(current(),)) as pool:
            try:
                for future in as_completed([pool.submit(self.one, job) for job in self.jobs[alone:]]):
                    if future.result() is not None:
                        yield future.result()
            finally:
                self.stop()

    def stop(self):
        """Begin no other photo."""
        self.stopped.set()

    def one(self, job, threads=None):
        """Done of a job; None where it was not begun, or was not the first to find the disk full. threads: by default
        its share."""
        taken = []
        try:
            return None if self.stopped.is_set() else self.done(job, taken, threads)
        except Exception as e:              # whatever it is: the other photos go on
            if os.environ.get("COLORIZE_TRACEBACK"):
                raise
            if getattr(e, "errno", None) in FULL:
                self.stop()
                if not self.full.acquire(blocking=False):
                    return None
            return Done(job, sentence(e, job), (), None)
        finally:
            self.budget.give(sum(taken))

    def done(self, job, taken, threads):
        """The same; how many pixels it takes of the budget is added to `taken`."""
        def announced(pixels):
            taken.append(self.budget.take(pixels * (2 if self.compare else 1)))
            return not self.stopped.is_set()
        photo = read(standard_input() if job.source == STREAM else job.source, announce=announced)
        if photo is None:
            return None
        threads = threads or math.ceil(self.threads * taken[0] / self.budget.most)
        notes = [*photo.notes, IN_COLOUR] if colourful(photo.pixels) else photo.notes
        if self.mean:
            return Done(job, None, notes, self.painter.guess(photo.pixels, threads, photo.space).mean((0, 1)))
        photo = self.painter(photo, self.compare, threads)      # the grey one's memory is free again
        put(photo, job, self.force)
        return Done(job, None, notes, None)


class Budget:
    """So many pixels may be in memory at once; who takes some waits until they fit, one after the other."""

    def __init__(self, most):
        self.most = self.left = most
        self.turn, self.freed = threading.Lock(), threading.Condition()

    def take(self, pixels):
        """How many were taken: what is larger than the budget takes all of it."""
        pixels = min(pixels, self.most)
        with self.turn, self.freed:         # its turn keeps small ones from passing a large one for ever
            self.freed.wait_for(lambda: pixels <= self.left)
            self.left -= pixels
        return pixels

    def give(self, pixels):
        """They are free again."""
        with self.freed:
            self.left += pixels
            self.freed.notify_all()


IN_COLOUR = "in colour already, and coloured anew"


def sentence(error, job):
    """Why this photo failed, without its name."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    said = str(error)
    if said.startswith(f"{job.source}: "):
        return cli.sentence(ValueError(said[len(job.source) + 2:]))
    return cli.sentence(error)


def standard_input():
    data = sys.stdin.buffer.read(MOST + 1) if sys.stdin else b""
    if not data:
        raise ValueError("nothing came from standard input: send a photo with < photo.jpg")
    if len(data) > MOST:
        raise ValueError(f"more than {MOST} bytes came from standard input: name a file instead")
    return data


def put(photo, job, force):
    """Write the photo where the job wants it, over what is there only by force."""
    if job.target == STREAM:
        sys.stdout.buffer.write(encode(photo))
        sys.stdout.buffer.flush()
        return
    if os.path.lexists(job.target) and not force:       # another run's, or a.jpg's where A.jpg is the same name
        raise ValueError(f"{job.target} is there by now: --force overwrites it")
    os.makedirs(os.path.dirname(job.target) or os.curdir, exist_ok=True)
    write(photo, job.target)
