"""Colour for old photos:   python -m colorize PHOTO... [-o OUT]

    python -m colorize grandma.jpg                      writes grandma.color.jpg beside the photo
    python -m colorize album/ -o coloured/              colours all photos in album/ and below, into coloured/
    python -m colorize "scans/*.tif" --saturation 0.8   colours all photos that match, with paler colours
    python -m colorize dress.png --hint 310,420,#7a2030 makes the place at 310,420 (in pixels) dark red
    python -m colorize - < grey.jpg > coloured.jpg      reads standard input and writes standard output

Only the colours of a photo change: it keeps its size, sharpness, brightness and format, and the date and all other
notes in its file. The colours are a guess, learned from many colour photos: often likely, never certain. You can
give JPEG, PNG, TIFF, WebP and BMP, also brown and yellowed photos. Without --force no file is overwritten, and photos
that are done are skipped. Your photos do not leave this computer.
"""
import contextlib
import os
import signal
import sys
import threading
import time

from threadpoolctl import threadpool_limits

import minicnn as mc
from minicnn import files
from minicnn.cpu.runtime import threads
from minicnn.device import current
from minicnn.dispatch import formulas

from .. import cli, models
from ..weights.own import file_of
from ..weights.shipped import SHIPPED, shipped
from .batch import run
from .hints import hint
from .painter import SATURATION, Painter
from .plan import MARKS, STREAM, plan

__all__ = ["command", "main"]

NAME = "colorize"
FORCE = "--force to replace it, -o to write elsewhere"
STRONGEST = 100                             # saturation
FEW = 16                                    # up to so many photos, compiling kernels takes longer than it saves


def flags():
    parser = cli.Parser(NAME, __doc__)
    parser.add_argument("photos", nargs="+", metavar="PHOTO",
                        help="a photo, a folder, a pattern in quotes, or - for standard input")
    parser.add_argument("-o", "--out", metavar="OUT",
                        help="where the results go: a folder; for one photo also a file, whose ending chooses the "
                             "format; - is standard output (without -o: beside each photo)")
    parser.add_argument("--force", action="store_true", help="colour again what is done, and overwrite the results")
    taste = parser.add_argument_group("your taste")
    taste.add_argument("--saturation", type=cli.number(0, most=STRONGEST), metavar="X",
                       help=f"how strong the colours are: 0 is grey, 1 as learned (without it: {SATURATION})")
    taste.add_argument("--temperature", type=cli.number(above=0), metavar="T",
                       help="1 mixes all colours that are possible; near 0 the likeliest wins, which is often paler, "
                            "with blotches where two are close (without it: 0.7)")
    taste.add_argument("--hint", type=hint, action="append", default=[], metavar="X,Y,#RRGGBB",
                       help="a colour that you know, X pixels from the left and Y from the top; it spreads over the "
                            "region around that place; give --hint once for each colour")
    taste.add_argument("--compare", action="store_true",
                       help="write before and after side by side (name.compare.jpg), not "
                            "the coloured photo alone")
    taste.add_argument("--mean", action="store_true", help="only print the mean colour of each result (at saturation "
                                                           "1); write no file")
    other = parser.add_argument_group("other models (for people who train or download them)")
    other.add_argument("--weights", metavar="FILE", help="colour with these weights, at their own temperature: a "
                                                         "run of colorize.train, or a file such as Zhang's .pth")
    other.add_argument("--model", choices=models.names(), metavar="NAME", help="the model that --weights belong to, "
                       f"if the file does not say so: {', '.join(models.names())}")
    other.add_argument("--device", default="auto", metavar="cpu|cuda|auto",
                       help="where the model runs; auto takes a GPU if there is one (without it: auto)")
    return parser


def main(argv=None):
    args = flags().parse_intermixed_args(argv)
    if args.mean and (args.compare or args.out is not None or args.force):
        raise ValueError("--mean writes nothing: leave out --compare, --out and --force")
    planned = plan(args.photos, args.out, MARKS[args.compare])
    to_do = [job for job in planned.jobs if args.mean or args.force or not there(job)]
    if args.hint and len(planned.jobs) > 1:
        raise ValueError(f"--hint is for one photo, and there are {len(planned.jobs)}: colour that photo alone")
    if any(job.target == STREAM for job in to_do) and not args.mean:
        if sys.__stdout__ is None:
            raise ValueError("standard output is closed: open it, or name a file with -o")
        if sys.stdout.isatty():
            raise ValueError("a picture cannot be shown as text in a terminal: add > FILE, or -o FILE")
    cli.use_device(args.device)
    quick = current() == "cpu" and len(to_do) <= FEW
    with threadpool_limits(1, "blas"), formulas() if quick else contextlib.nullcontext():
        return coloured(args, planned, to_do)


def coloured(args, planned, to_do):
    """Colour the photos and print how it went. Returns the exit status."""
    show = sys.stderr if any(job.target == STREAM for job in planned.jobs) else sys.stdout
    start = time.perf_counter()
    if to_do:
        model = asked_for(args)
        parameters = sum(p.size for p in mc.params(model.parts()))
        cores = threads()
        usual = 1 if args.mean else SATURATION
        painter = Painter(model, usual if args.saturation is None else args.saturation, args.hint)
        work = run(to_do, painter, cores, args.compare, args.mean, args.force)
        if not args.mean:
            print(f"{plural(len(to_do), 'photo')} with {model.name} ({parameters:,} parameters) on {current()}, "
                  f"{plural(cores, 'thread')}", file=show, flush=True)
        done = watched(work, args.mean)
    else:
        done = []
    if planned.unread:
        endings = sorted({os.path.splitext(path)[1].lower() for path in planned.unread})
        print(f"{plural(len(planned.unread), 'photo')} left out, because colorize does not read {' '.join(endings)}",
              file=sys.stderr if args.mean else show)
    return summary(done, planned, to_do, time.perf_counter() - start, args, show)


def asked_for(args):
    """The model with its weights."""
    if args.weights is None:
        if args.model not in (None, SHIPPED):
            raise ValueError(f"weights of {args.model} do not come with colorize: name a file with --weights")
        model = shipped()
    else:
        from ..weights.opening import opened            # the readers of other people's files, too
        model = opened(file_of(args.weights), args.model)[0]
    if args.temperature is not None:
        if not hasattr(model, "decoding"):
            raise ValueError(f"{model.name} predicts one colour, not likelihoods, so it has no temperature: leave "
                             "out --temperature")
        model.temperature, model.decoding = args.temperature, "annealed"
    return model


def watched(work, mean):
    """[Done] of all jobs, with a progress bar if there are several. Ctrl-C and SIGTERM print how many are done."""
    done, failed = [], 0
    bar = mc.progress(work, lambda _: f"{failed} failed" if failed else "") if len(work) > 1 and not mean else work
    with stoppable(work) as signals:
        for one in bar:
            done.append(one)
            failed += one.error is not None
            if mean and one.error is None:
                print(f"{name_of(one.job)}: mean a* {one.mean[0]:.2f}, b* {one.mean[1]:.2f}", flush=True)
    if signals:
        print(f"{NAME}: {len(done) - failed} of {len(work)} photos are done; run it again to finish the rest",
              file=sys.stderr)
        if signals[0] == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + signals[0])
    return done


@contextlib.contextmanager
def stoppable(work):
    """The first Ctrl-C or SIGTERM lets the photos that are begun finish; the second one ends the process at once.

    Gives the list of the signals that came. For a single photo nothing changes, since this thread colours it.
    """
    came, former = [], {}

    def heard(number, _):
        came.append(number)
        if len(came) > 1:
            files.abandon()
            os._exit(128 + number)
        work.stop()
        os.write(2, f"\n{NAME}: finishing the photos that are begun; Ctrl-C again stops at once\n".encode())

    if len(work) > 1 and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                former[number] = signal.signal(number, heard)
    try:
        yield came
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def summary(done, planned, to_do, seconds, args, show):
    """Print what was written and what was not. The exit status is 1 if a photo failed or an argument named none."""
    failed = [one for one in done if one.error is not None]
    for sentence in planned.wrong:
        print(f"{NAME}: {cli.printable(sentence)}", file=sys.stderr)
    for one in failed:
        print(f"{NAME}: {name_of(one.job)}: {one.error}", file=sys.stderr)
    for note in dict.fromkeys(note for one in done for note in one.notes):
        names = [name_of(one.job) for one in done if note in one.notes]
        more = f" and {plural(len(names) - 3, 'other')}" if len(names) > 3 else ""
        print(f"{', '.join(names[:3])}{more}: {note}", file=sys.stderr if args.mean else show)
    if args.mean:
        return int(bool(failed or planned.wrong))
    good, left = len(done) - len(failed), len(to_do) - len(done)
    skipped = len(planned.jobs) - len(to_do)
    parts = [f"{plural(good, 'photo')} coloured in {seconds:.1f} s"] * bool(to_do)
    parts += [f"{len(failed)} failed"] * bool(failed)
    parts += [f"{plural(left, 'photo')} not done because the disk is full"] * bool(left)
    if skipped and len(planned.jobs) == 1:
        parts += [f"{cli.printable(planned.jobs[0].target)} already exists ({FORCE}); nothing was done"]
    elif skipped:
        parts += [f"{plural(skipped, 'photo')} done before (--force to do them again)"]
    print("; ".join(parts), file=show)
    written = [one.job.target for one in done if one.error is None and one.job.target != STREAM]
    if written:
        where = args.out if args.out and len(written) > 1 else ", ".join(written) if len(written) < 4 else \
            f"{written[0]} and {plural(len(written) - 1, 'other')}"
        print(cli.printable(where), file=show)
    return int(bool(failed or planned.wrong))


def there(job):
    """Does the result exist already?"""
    return job.target != STREAM and os.path.lexists(job.target) and not os.path.isdir(job.target)


def name_of(job):
    return "standard input" if job.source == STREAM else cli.printable(job.source)


def plural(n, noun):
    return f"{n:,} {noun}{'s' * (n != 1)}"


def command():
    """What `colorize` and `python -m colorize` run."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:      # the caller closed it
            setattr(sys, name, open(os.devnull, "w"))
    sys.stdout.reconfigure(errors="backslashreplace")       # file names may hold bytes that are not text
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))             # as after Ctrl-C, no half-written file stays
    sys.exit(cli.status(main, NAME))

