"""How good are these colours? Compare models, runs and folders of coloured pictures on the same photos.

    python -m colorize.evaluate runs/nano --photos photos/val.txt
    python -m colorize.evaluate runs/a runs/b,decode=mode zhang.pth theirs/,label=DeOldify --photos photos/

WHAT is a run, a file of weights (ours, or a published one that colorize can read), or a folder of pictures with the
same names as the photos. After a comma you can write label=, model=, or an option of the model. The table shows grey
and one mean colour beside every answer. Photos keep their shape. A picture of another size is resized to its photo,
and only its colours count: the lightness always comes from the photo.
"""
import os
import sys
import time

import numpy as np

import minicnn as mc
from minicnn.device import current, to
from minicnn.files import write

from .. import cli, runs
from ..color.spaces import rgb_to_lab, rgb_to_luminance
from ..data.folder import rooted, shape_after
from ..data.photos import RESAMPLINGS, decoded, resized
from ..metrics import published
from ..metrics.table import Metrics, table
from ..models.memory import available
from ..photo.photo import Unreadable
from ..threads import ahead
from . import answers
from .comparing import Comparison

__all__ = ["main"]

NAME = "colorize.evaluate"
LOOK = 64                                   # the short side in pixels, for the mean colour of all photos
REPORTED = 5                                # so many photos that are left out are named, and the rest are counted
BYTES = 260                                 # of memory for each pixel of a photo, as measured
LEAST = 7                                   # how many photos a window of the UF report's SSIM reaches over
MEASURES = ("ciede2000", "ab mse", "psnr", "psnr a", "psnr b", "colourfulness", "colourfulness error", "chroma")


def flags():
    parser = cli.Parser(NAME, __doc__)
    add = parser.add_argument
    add("what", nargs="+", metavar="WHAT", help="PATH[,label=NAME][,model=NAME][,option=value...]")
    add("--photos", required=True, metavar="PATH", help="the true colours: a folder of photos, or a list of paths")
    add("--model", metavar="NAME", help="the model of weights that do not name it themselves")
    add("--option", action="append", default=[], metavar="KEY=VALUE",
        help="an option of the models. Can be given several times")
    add("--out", metavar="DIR", help="a new folder for the results (runs/DATE-evaluate)")
    add("--size", type=cli.whole(16), default=256, metavar="PX", help="make the short side so long (256)")
    add("--resize", choices=["short-side", "squash"], default="short-side",
        help="squash gives both sides the same length and changes the photo's shape")
    add("--resample", choices=RESAMPLINGS, default="bicubic", help="how photos are resized (bicubic)")
    add("--limit", type=cli.whole(1), metavar="N", help="take N photos, spread evenly over the list")
    add("--mean-ab", nargs=2, type=cli.number(), metavar=("A", "B"),
        help="the colour of the row 'mean ab'; without it the mean of these photos, which makes the row look better")
    add("--oracle", action="store_true", help="add a row that knows the mean colour of each photo")
    add("--ssim", choices=["uniform", "gaussian", "none"], default="uniform",
        help="the window of SSIM; none leaves SSIM out and is faster")
    add("--as-published", action="store_true",
        help="add the measures as the source documents computed them, sound or not; squashes the photos")
    add("--by", choices=MEASURES, default="ciede2000", help="the measure that says which photos are worst")
    add("--extremes", type=cli.whole(), default=12, metavar="N", help="show so many of the worst and best (12)")
    add("--side-by-side", type=cli.whole(), default=12, metavar="N", help="show so many photos side by side (12)")
    add("--device", default="auto", metavar="cpu|cuda|auto", help="where the models run (auto)")
    add("--workers", type=cli.whole(), default=2, metavar="N", help="how many threads read photos (2)")
    return parser


def main(argv=None):
    args = flags().parse_args(argv)
    args.resize = "squash" if args.as_published else args.resize
    cli.use_device(args.device)
    given = answers.opened(args.what, args.model, dict(pair(text) for text in args.option))
    photos = Truths(args)
    mean = photos.look([answer for answer in given if answer.name is None])
    mean = np.array(args.mean_ab) if args.mean_ab else mean
    out = folder(args.out)
    plan(args, given, photos, mean, out)
    comparison = Comparison([a.label for a in given], mean, out, by=args.by, extremes=args.extremes,
                            oracle=args.oracle, window=window(args),
                            as_published=args.as_published)
    try:
        compare(comparison, given, photos, args.side_by_side)
    except BaseException:
        comparison.abandon()
        raise
    report(comparison, given, args, photos)


# ------------------------------------------------------------------ what was asked for


def pair(text):
    if "=" not in text:
        raise ValueError(f"--option needs KEY=VALUE, got {text!r}")
    return text.split("=", 1)


def window(args):
    return None if args.ssim == "none" else args.ssim


def folder(path):
    """The folder to write to, which must be new or empty."""
    path = path or runs.new_folder("runs", "evaluate")
    if os.path.lexists(path) and not os.path.isdir(path):
        raise ValueError(f"{path} is not a folder: choose another --out")
    if os.path.isdir(path) and os.listdir(path):
        raise ValueError(f"{path} is not empty: choose another --out")
    return path


def plan(args, given, photos, mean, out):
    """Print what will happen. One photo is measured twice to tell how long all of them will take."""
    for answer in given:
        model = f"{answer.name}, {answer.parameters:,} parameters; " if answer.name else ""
        print(f"{answer.label}: {model}{answer.about}")
    shape = f"{args.size} x {args.size}" if args.resize == "squash" else f"{args.size} pixels the short side"
    count = len(photos.usable())
    print(f"photos: {count} of {args.photos}, {shape}, on {current()}"
          + (f"; {len(photos.damaged)} are left out" if photos.damaged else ""))
    print(f"mean ab: {mean[0]:.2f}, {mean[1]:.2f}" + ("" if args.mean_ab else " (these photos' own)"))
    print(f"writing to {out}")
    if args.as_published:
        if count < LEAST:
            raise ValueError(f"--as-published needs {LEAST} photos or more, over which the windows of its SSIM "
                             f"reach, got {count}")
        need, free = count * args.size ** 2 * 8 * (len(given) + 3 + args.oracle) * 3, available()
        if free is not None and need > free:
            raise MemoryError(f"--as-published keeps all photos, which needs about {need / 1e9:.1f} GB, and "
                              f"{free / 1e9:.1f} GB are free: use a smaller --size or --limit")
    need, free = photos.largest * args.size ** 2 * BYTES, available()
    if free is not None and need > free:
        raise MemoryError(f"a photo of {args.size} pixels needs about {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB "
                          "are free: use a smaller --size")
    name, rgb, found = next(photos.each(args.size, [a for a in given if a.name is None]))
    for _ in range(2):                      # the first one compiles
        start = time.perf_counter()
        metrics = Metrics(mean, models=[a.label for a in given], window=window(args))
        lab = rgb_to_lab(to(current(), rgb[None]))
        said = {label: ab[None] for label, ab in asked(given, rgb, found).items()}
        metrics.add(lab[..., :1], said, lab[..., 1:])
        seconds = time.perf_counter() - start
    print(f"time: {seconds:.2f} s a photo, {seconds * count / 60:.1f} minutes in all", flush=True)


# ------------------------------------------------------------------ the photos


class Truths:
    """The true photos, one after the other. Threads decode them ahead. Damaged photos are reported and left out."""

    def __init__(self, args):
        self.args = args
        self.root, self.names = rooted(args.photos)
        if args.limit and args.limit < len(self.names):
            self.names = [self.names[i * len(self.names) // args.limit] for i in range(args.limit)]
        self.damaged = {}

    def look(self, coloured):
        """The mean ab (2,) of the mean colours of all photos, at a small size. This finds the damaged photos."""
        means, pixels = [], 0
        for _, rgb, _ in self.each(LOOK, coloured):
            means.append(rgb_to_lab(rgb)[..., 1:].mean((0, 1), dtype="float64"))
            pixels = max(pixels, rgb[..., 0].size)
        self.largest = pixels / LOOK ** 2   # pixels of the largest photo, in squares of the short side
        return np.mean(means, 0)

    def usable(self):
        """The names of the photos that are not known to be damaged."""
        return [name for name in self.names if name not in self.damaged]

    def each(self, size, coloured=()):
        """Give (name, photo, {label: picture}) with the pictures of the answers `coloured`, resized to the photo. A
        photo is left out, too, if one of them has no picture of it."""
        found = 0
        for name, read in zip(self.names, ahead(lambda n: self.read(n, size, coloured), self.names,
                                                self.args.workers)):
            if isinstance(read, Unreadable):
                if name not in self.damaged and len(self.damaged) < REPORTED:
                    print(f"{read}: the photo is left out", file=sys.stderr)
                self.damaged[name] = str(read)
                continue
            found += 1
            yield (name, *read)
        if not found:
            raise ValueError(f"none of the {len(self.names)} photos of {self.args.photos} can be used: give others")

    def read(self, name, size, coloured):
        """(photo, {label: picture}), or the Unreadable that says why not."""
        try:
            image, whole = decoded(os.path.join(self.root, name), size, self.args.resample)
            shape = shape_after(self.args.resize.replace("-", " "), size, whole)
            rgb = resized(image, shape, self.args.resample)
            return rgb, {answer.label: self.picture(answer, name, shape) for answer in coloured}
        except Unreadable as e:
            return e

    def picture(self, answer, name, shape):
        path = answer.picture(name)
        if path is None:
            raise Unreadable(f"{answer.label} has no picture of {name}")
        return resized(decoded(path)[0], shape, self.args.resample)


# ------------------------------------------------------------------ comparing


def compare(comparison, given, photos, shown):
    """Add every photo and its answers to the comparison."""
    coloured = [a for a in given if a.name is None]
    usable = photos.usable()
    kept = {usable[i * len(usable) // shown] for i in range(shown)}
    stream = mc.progress(Counted(photos.each(photos.args.size, coloured), len(usable)), lambda item: item[0])
    for name, rgb, found in stream:
        comparison.add(name, rgb, asked(given, rgb, found), keep=name in kept)


def asked(given, rgb, found):
    """{label: ab (H, W, 2)} for a photo. `found` {label: picture} are the answers that are no models."""
    L = rgb_to_luminance(to(current(), rgb))[..., 0]
    return {a.label: a.ab(L) if a.name else rgb_to_lab(to(current(), found[a.label]))[..., 1:] for a in given}


class Counted:
    """An iterable of n items, with a length."""

    def __init__(self, items, n):
        self.items, self.n = items, n

    def __len__(self):
        return self.n

    def __iter__(self):
        return iter(self.items)


# ------------------------------------------------------------------ the end


def report(comparison, given, args, photos):
    """Write the files, and print the table, the published numbers and the paths."""
    rows, paths = comparison.result(), comparison.finish()
    lines = [table(rows), "", f"{comparison.photos} photos"]
    if photos.damaged:
        lines[-1] += f"; {len(photos.damaged)} were left out"
    known = [(a.label, n) for a in given if a.name for n in published.numbers(a.name, a.options)]
    known += [("grey", n) for n in published.numbers("grey", {})]
    lines += ["", "published, on other photos:"]
    for label, n in known:
        here = rows[label].get(n.measure)
        here = f"{here:.4g} here" if here is not None else "see --as-published"
        lines.append(f"  {label}: {n.measure} {n.value:.4g}, {here} ({n.source})")
    text = "\n".join(lines)
    result = {"rows": rows, "photos": comparison.photos, "left out": photos.damaged, "flags": vars(args),
              "answers": [{"label": a.label, "model": a.name, "from": a.about} for a in given],
              "published": [{"answer": label, **n._asdict()} for label, n in known], "time": time.time(),
              "versions": runs.versions(), "git": runs.git_state(), "device": current()}
    for name, data in (("result.json", runs.as_json(result, indent=2)), ("table.txt", text + "\n")):
        write(os.path.join(comparison.out, name), data.encode())
        paths.append(os.path.join(comparison.out, name))
    print(text, "", *paths, sep="\n")

