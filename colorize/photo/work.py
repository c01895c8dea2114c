"""Many photos on all cores: each one is read, painted and written by one thread, and a bad one stops no other."""
import os
import sys
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor, as_completed

from PIL import Image

from minicnn.device import current, stay_on

from .. import program
from .coloring import colourful
from .jobs import STREAM
from .reading import read
from .writing import encode, write

__all__ = ["Done", "cores", "run"]

Done = namedtuple("Done", "job error notes mean")
Done.__doc__ = "What became of a Job: error, a sentence or None; notes, sentences; mean, the predicted mean (a, b)."

AT_ONCE = 50_000_000                        # pixels that are in memory at the same time, but for one photo alone
MOST = 1 << 30                              # bytes that are taken from standard input


def cores():
    """How many cores this process may use; the variable MINICNN_THREADS may ask for fewer or more."""
    asked = os.environ.get("MINICNN_THREADS", "")
    return max(1, int(asked)) if asked.isdigit() else len(os.sched_getaffinity(0)) if hasattr(
        os, "sched_getaffinity") else os.cpu_count() or 1


class run:
    """Iterates over the Done of every job as it ends. Leaving it early (Ctrl-C) lets photos that are begun be ended.

    painter: a Painter; compare: write before and after side by side; mean: write nothing, only tell the mean colour.
    """

    def __init__(self, jobs, painter, threads, compare=False, mean=False):
        self.jobs, self.painter, self.compare, self.mean = jobs, painter, compare, mean
        self.threads, self.room, self.stopped = max(1, min(threads, len(jobs))), Room(AT_ONCE), threading.Event()

    def __len__(self):
        return len(self.jobs)

    def __iter__(self):
        with ThreadPoolExecutor(self.threads, initializer=stay_on, initargs=(current(),)) as pool:
            try:
                for done in as_completed([pool.submit(self.one, job) for job in self.jobs]):
                    yield done.result()
            finally:
                self.stopped.set()

    def one(self, job):
        if self.stopped.is_set():
            return None
        try:
            with self.room(pixels(job.source)):
                photo = read(standard_input() if job.source == STREAM else job.source)
                notes = list(photo.notes) + [IN_COLOUR] * colourful(photo.pixels)
                if self.mean:
                    return Done(job, None, notes, self.painter.guess(photo.pixels).mean((0, 1)))
                painted = self.painter(photo, self.compare)
                del photo
                put(painted, job)
            return Done(job, None, notes, None)
        except Exception as e:              # whatever it is: the other photos go on
            if os.environ.get("COLORIZE_TRACEBACK"):
                raise
            return Done(job, sentence(e, job), (), None)


IN_COLOUR = "in colour already, and coloured anew"


def sentence(error, job):
    """Why this photo failed, without its name."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    said = program.sentence(error)
    return said[len(job.source) + 2:] if said.startswith(job.source + ": ") else said


def standard_input():
    data = sys.stdin.buffer.read(MOST + 1)
    if not data:
        raise ValueError("nothing came from standard input: send a photo with < photo.jpg")
    if len(data) > MOST:
        raise ValueError(f"more than {MOST} bytes came from standard input: name a file instead")
    return data


def put(photo, job):
    """Write the photo where the job wants it."""
    if job.target == STREAM:
        sys.stdout.buffer.write(encode(photo))
        sys.stdout.buffer.flush()
        return
    os.makedirs(os.path.dirname(job.target) or os.curdir, exist_ok=True)
    write(photo, job.target)


def pixels(path):
    """How many pixels the file says that it has; 0 where it does not say."""
    try:
        with Image.open(path) as image:
            return image.size[0] * image.size[1]
    except Exception:                       # reading it will tell why
        return 0


class Room:
    """`with room(n):` waits until at most `most` are inside, or nobody is."""

    def __init__(self, most):
        self.most, self.inside, self.users, self.changed = most, 0, 0, threading.Condition()

    def __call__(self, n):
        return _Place(self, n)


class _Place:
    def __init__(self, room, n):
        self.room, self.n = room, n

    def __enter__(self):
        with self.room.changed:
            self.room.changed.wait_for(lambda: not self.room.users or self.room.inside + self.n <= self.room.most)
            self.room.inside, self.room.users = self.room.inside + self.n, self.room.users + 1

    def __exit__(self, *_):
        with self.room.changed:
            self.room.inside, self.room.users = self.room.inside - self.n, self.room.users - 1
            self.room.changed.notify_all()
