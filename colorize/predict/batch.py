"""Many photos on all cores: one thread reads, paints and writes each photo, and a bad photo stops no other.

The pixels in memory have a budget: a photo waits until its own fit, and may use its share of the threads.
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
Done.__doc__ = "The result of a Job. error: a sentence or None; notes: sentences; mean: the predicted (a, b) or None."

BUDGET = 100_000_000                        # pixels in memory at once; a larger photo gets all of them
MOST = 1 << 30                              # bytes that standard input may have
FULL = errno.ENOSPC, errno.EDQUOT           # the disk is full, or the user has reached the quota


class run:
    """Iterates over the jobs and gives the Done of each as it ends. After stop(), and when the disk is full, it
    finishes the photos that are begun and begins no other.

    painter: a Painter; compare: write before and after side by side; mean: only find the mean colour, write nothing;
    force: overwrite existing files.
    """

    def __init__(self, jobs, painter, threads, compare=False, mean=False, force=False):
        self.jobs, self.painter, self.compare, self.mean, self.force = jobs, painter, compare, mean, force
        self.threads, self.budget, self.stopped = threads, Budget(BUDGET), threading.Event()
        self.full = threading.Lock()        # the first photo that finds the disk full takes it

    def __len__(self):
        return len(self.jobs)

    def __iter__(self):
        # Until one photo went well, this thread works alone. Ctrl-C reaches it while it waits for standard input, and
        # threadpoolctl, which asks for the loaded libraries, can hang if another thread loads one meanwhile.
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
        """Let no other photo begin."""
        self.stopped.set()

    def one(self, job, threads=None):
        """The Done of a job; None if it was not begun, or if another photo had found the disk full before.

        threads: how many it may use; its share if not given.
        """
        taken = []
        try:
            return None if self.stopped.is_set() else self.done(job, taken, threads)
        except Exception as e:              # whatever happens, the other photos go on
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
        """As one(); appends to `taken` how many pixels of the budget the photo took."""
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
        photo = self.painter(photo, self.compare, threads)      # this frees the memory of the grey one
        put(photo, job, self.force)
        return Done(job, None, notes, None)


class Budget:
    """How many pixels may be in memory at once. Photos take their pixels one after the other, and wait for room."""

    def __init__(self, most):
        self.most = self.left = most
        self.turn, self.freed = threading.Lock(), threading.Condition()

    def take(self, pixels):
        """Wait until they fit, and take them. Returns how many: at most the whole budget."""
        pixels = min(pixels, self.most)
        with self.turn, self.freed:         # in turn, so that small photos do not pass a large one for ever
            self.freed.wait_for(lambda: pixels <= self.left)
            self.left -= pixels
        return pixels

    def give(self, pixels):
        """Give pixels back to the budget."""
        with self.freed:
            self.left += pixels
            self.freed.notify_all()


IN_COLOUR = "already in colour, and coloured again"


def sentence(error, job):
    """Why this photo failed, without the photo's name."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for this photo"
    said = str(error)
    if said.startswith(f"{job.source}: "):
        return cli.sentence(ValueError(said[len(job.source) + 2:]))
    return cli.sentence(error)


def standard_input():
    data = sys.stdin.buffer.read(MOST + 1) if sys.stdin else b""
    if not data:
        raise ValueError("it is empty: send a photo with < photo.jpg")
    if len(data) > MOST:
        raise ValueError(f"it has more than {MOST} bytes: name a file instead")
    return data


def put(photo, job, force):
    """Write the photo to the job's target; overwrite a file only with force."""
    if job.target == STREAM:
        sys.stdout.buffer.write(encode(photo))
        sys.stdout.buffer.flush()
        return
    if os.path.lexists(job.target) and not force:       # made by another run, or by a.jpg if A.jpg is the same file
        raise ValueError(f"{job.target} exists by now: add --force to overwrite it")
    os.makedirs(os.path.dirname(job.target) or os.curdir, exist_ok=True)
    write(photo, job.target)
