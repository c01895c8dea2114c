"""The experiments of docs/papers.md, scaled down to what two CPU cores do in minutes.

    python -m benchmarks.papers seen --data photos/ --out runs/papers
    python -m benchmarks.papers --data photos/ --list           # the commands, and what is done already

`photos/` has train.txt and val.txt, lists of paths in it, and for the UF report the folders faces/ and ncd/. Every
experiment is a run of colorize.train or colorize.evaluate in a folder of its own: what has ended is not done again,
what was interrupted goes on. Rates and lengths are ours; each run prints how it differs from the published one.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
from collections import namedtuple

from colorize.data.photos import find
from minicnn.files import metadata

Step = namedtuple("Step", "name program flags")
SMALL = "--size", "64", "--batch", "32", "--schedule", "cosine"     # 128 pixels and 500 epochs are not for two cores
FIFTH = 5                   # of the faces in order, every fifth validates: the same people in both

# ------------------------------------------------------------------ lists of photos


def lists(data, out):
    """Write lists of the photos of faces and ncd, as train.txt and val.txt split them, and another split of faces."""
    for folder in ("faces", "ncd"):
        for part in ("train", "val"):
            names = [path for path in find(os.path.join(data, f"{part}.txt"))
                     if os.path.basename(os.path.dirname(path)) == folder]
            listed(out, f"{folder}-{part}", names)
    faces = find(os.path.join(data, "faces"))
    listed(out, "mixed-val", faces[FIFTH - 1::FIFTH])
    listed(out, "mixed-train", [path for i, path in enumerate(faces) if i % FIFTH != FIFTH - 1])


def listed(out, name, paths):
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, f"{name}.txt"), "w", encoding="utf-8") as file:
        file.writelines(os.path.abspath(path) + "\n" for path in paths)


# ------------------------------------------------------------------ the documents


class Experiments:
    """The steps of each document, in order; `data` is the folder of photos, `out` the one of the runs."""

    def __init__(self, data, out):
        self.data, self.out = data, out

    def photos(self, name=None):
        """--data and --val: a split of lists(), or all photos."""
        if name is None:
            return ["--data", os.path.join(self.data, "train.txt"), "--val", os.path.join(self.data, "val.txt")]
        return ["--data", self.run(f"{name}-train.txt"), "--val", self.run(f"{name}-val.txt")]

    def train(self, name, recipe, *flags, photos=None):
        return Step(name, "colorize.train", ["--recipe", recipe, *self.photos(photos), *flags])

    def evaluate(self, name, runs, *flags, photos=None, size=128, others=()):
        what = [f"{self.run(run)},label={os.path.basename(run)}" for run in runs]
        return Step(name, "colorize.evaluate", [*what, *others, "--photos", self.photos(photos)[3], "--size",
                                                str(size), "--as-published", "--oracle", *flags])

    def run(self, name):
        return os.path.join(self.out, name)

    # -------------------------------------------------------------- seed by seed

    def seen(self):
        """The UF report: mean colours and colorizers of faces, the same people in training and validation."""
        means = [("mean-cnn1", 1500), ("mean-cnn2", 2000), ("mean-cnn3", 1000)]
        yield from self.faces("mixed", means, ("relu", "tanh"), ("relu", "sigmoid", "tanh"))

    def unseen(self):
        """The same on people whom no training saw."""
        means = [("mean-cnn1", 1000), ("mean-cnn2", 1000)]
        yield from self.faces("faces", means, ("tanh",), ("sigmoid", "tanh"))

    def faces(self, split, means, lasts, colours):
        """Without the L2 of the report, which keeps these networks from learning, and with it."""
        runs = []
        for last in lasts:
            for model, steps in means:
                runs.append(f"{split}-{model}-{last}")
                yield self.train(runs[-1], "uf-faces", "--model", model, "--last", last, *SMALL, "--l2", "0",
                                 "--steps", str(steps), photos=split)
        runs.append(f"{split}-mean-cnn2-tanh-l2")
        yield self.train(runs[-1], "uf-faces", "--model", "mean-cnn2", "--last", "tanh", *SMALL, "--steps", "600",
                         photos=split)
        runs.append(f"{split}-mean-fc-relu")
        yield self.train(runs[-1], "uf-faces", "--model", "mean-fc", "--last", "relu", "--width", "0.125", *SMALL,
                         "--l2", "0", "--steps", "400", "--lr", "1e-4", photos=split)
        yield self.evaluate(f"{split}-means", runs, "--ssim", "none", *self.mean(runs[0]), photos=split)
        runs = [f"{split}-{last}" for last in colours]
        for run, last in zip(runs, colours):
            yield self.train(run, "uf-faces", "--last", last, *SMALL, "--steps", "1000", photos=split)
        runs.append(f"{split}-as-written")
        yield self.train(runs[-1], "uf-faces", "--model", "faces-text", "--last", "tanh", *SMALL, "--steps", "800",
                         photos=split)
        yield self.evaluate(f"{split}-colours", runs, *self.mean(runs[0]), photos=split)

    def ncd(self):
        """The UF report: fruit and vegetables, from scratch and after faces."""
        for kind, model, lasts, steps in (("means", "mean-cnn2", ("relu", "tanh"), 600),
                                          ("colours", "faces", ("sigmoid", "tanh"), 800)):
            runs, flags = [], ["--l2", "0"] if kind == "means" else []
            for last in lasts:
                before = self.run(f"mixed-mean-cnn2-{last}" if kind == "means" else f"mixed-{last}")
                for name, init in (("scratch", []), ("transfer", ["--init", before])):
                    runs.append(f"ncd-{kind}-{last}-{name}")
                    yield self.train(runs[-1], "uf-faces", "--model", model, "--last", last, *SMALL, *flags,
                                     "--steps", str(steps), *init, photos="ncd")
            yield self.evaluate(f"ncd-{kind}", runs, *self.mean(runs[0]), photos="ncd")

    def jetson(self):
        """The Jetson Nano paper: from scratch beside the published checkpoint; Lab or RGB, skips or none."""
        small = ["--size", "64", "--lr", "1e-2", "--schedule", "cosine", "--steps"]
        yield self.train("jetson", "jetson", *small, "800")
        sides = {"lab": [], "rgb": ["--space", "rgb"], "skips": ["--skips", "true"]}
        for name, flags in sides.items():
            yield self.train(f"jetson-{name}", "jetson", *small, "2000", "--width", "0.5", *flags)
        published = os.path.join(self.data, "..", "published", "jetson")
        others = [f"{published},label=published"] if os.path.isdir(published) else []
        runs = ["jetson", *(f"jetson-{name}" for name in sides)]
        yield self.evaluate("jetson-sides", runs, "--limit", "100", "--ssim", "none", *self.mean("jetson-lab"),
                            others=others, size=256)

    def knet(self):
        """The Knet slides: rare colours count more, or not; by the slides' weights, or by Zhang's."""
        small = ["--width", "0.25", "--size", "64", "--schedule", "cosine", "--steps", "600", "--reduce", "mean",
                 "--batchnorm", "true", "--lr", "2e-3"]
        sides = {"rebalanced": [], "plain": ["--rebalance", "none"], "zhang": ["--rebalance", "zhang"]}
        for name, flags in sides.items():
            yield self.train(f"knet-{name}", "knet", *small, *flags)
        runs = [f"knet-{name}" for name in sides]
        others = [f"{self.run(run)},label={run[5:]} mean,decode=annealed,temperature=1" for run in runs]
        yield self.evaluate("knet-three", runs, "--ssim", "none", *self.mean(runs[0]), others=others)

    def colour_this(self):
        """Colour This: a frozen encoder, random or trained for it, and one that learns along."""
        small = ["--width", "0.25", "--size", "96", "--batch", "32", "--schedule", "cosine"]
        yield self.train("vgg-learning", "colour-this", *small, "--frozen", "false", "--cache-features", "false",
                         "--steps", "500")
        yield self.train("vgg-random", "colour-this", *small, "--steps", "1200", photos="ncd")
        yield self.train("vgg-trained", "colour-this", *small, "--steps", "1200", "--init", self.run("vgg-learning"),
                         "--init-part", "net.layers.0", photos="ncd")
        runs = ["vgg-random", "vgg-trained"]
        yield self.evaluate("vgg-sides", runs, *self.mean(runs[0]), photos="ncd")

    def cs838(self):
        """CS838: from scratch and from an encoder that has learned before."""
        small = ["--width", "0.25", "--size", "96", "--resize-to", "96", "--batch", "32", "--lr", "0.01", "--steps",
                 "400", "--dropout", "0"]
        encoder = ["--init", self.run("vgg-learning"), "--init-part", "net.layers.0"]
        for name, flags in (("scratch", []), ("trained", encoder)):
            yield self.train(f"uv-{name}", "cs838", *small, *flags)
        runs = ["uv-scratch", "uv-trained"]
        yield self.evaluate("uv-sides", runs, "--limit", "200", "--ssim", "none", *self.mean(runs[0]))

    def zhang(self):
        """Zhang et al., narrowed."""
        yield self.train("zhang", "zhang", "--width", "0.25", "--size", "64", "--resize-to", "80", "--batch", "32",
                         "--lr", "1e-3", "--steps", "600")
        yield self.evaluate("zhang-alone", ["zhang"], "--limit", "200", "--ssim", "none", *self.mean("zhang"))

    def mean(self, run):
        """--mean-ab: the mean colour of the photos that a run was trained on, once it is known."""
        path = os.path.join(self.run(run), "last.safetensors")
        if not os.path.exists(path):
            return []
        return ["--mean-ab", *(f"{x:.4f}" for x in json.loads(metadata(path)["state"])["facts"]["mean"])]


DOCUMENTS = ("seen", "unseen", "ncd", "jetson", "knet", "colour_this", "cs838", "zhang")

# ------------------------------------------------------------------ running them


def done(path):
    return os.path.exists(os.path.join(path, "result.json"))


def command(step, path):
    """The arguments that begin a step, or go on with it."""
    begun = step.program == "colorize.train" and os.path.exists(os.path.join(path, "config.json"))
    return ["-m", step.program, *(["--resume", path] if begun else [*step.flags, "--out", path])]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", nargs="*", metavar="DOCUMENT", help=f"of {', '.join(DOCUMENTS)} (all)")
    parser.add_argument("--data", required=True, metavar="DIR", help="photos, with train.txt and val.txt")
    parser.add_argument("--out", default="runs/papers", metavar="DIR", help="where the runs are (runs/papers)")
    parser.add_argument("--list", action="store_true", help="print the commands, run nothing")
    args = parser.parse_args()
    wrong = sorted(set(args.document) - set(DOCUMENTS))
    if wrong:
        parser.error(f"there are no experiments of {', '.join(wrong)}: choose of {', '.join(DOCUMENTS)}")
    lists(args.data, args.out)
    experiments = Experiments(args.data, args.out)
    for document in args.document or DOCUMENTS:
        for step in getattr(experiments, document)():
            path = experiments.run(step.name)
            words = command(step, path)
            print("done" if done(path) else "    ", shlex.join(["python", *words]), flush=True)
            if not args.list and not done(path):
                subprocess.run([sys.executable, *words], check=True)
    return 0
