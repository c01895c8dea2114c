"""What vectorising the rebalanced loss bought: python -m benchmarks.losses

The same loss and gradient three ways, at 313 bins, 64 x 64 pixels and batch 32, each in a process of its own: pixel
by pixel with a one-hot target; whole one-hot arrays; and `colorize.losses.rebalanced`, which goes over the scores
once forward and once back. Peak memory is what a step needs beside scores, targets and weights; 157 MB of it is the
gradient.
"""
import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

import minicnn as mc
from colorize.color.bins import gamut
from colorize.models import losses

from . import report

ROOT = Path(__file__).resolve().parent.parent
BATCH, SIZE = 32, 64


def looped(scores, targets, weights):
    """The Knet slides' formula as one would write it down first."""
    total, gradient = 0.0, np.empty_like(scores)
    for at in np.ndindex(scores.shape[:-1]):
        onehot = np.zeros(scores.shape[-1], "float32")
        onehot[targets[at]] = 1
        e = np.exp(scores[at] - scores[at].max())
        p = e / e.sum()
        weight = weights[targets[at]]
        total -= weight * (onehot * np.log(p)).sum()
        gradient[at] = weight * (p - onehot) / targets.size
    return total / targets.size, gradient


def onehot(scores, targets, weights):
    """Whole arrays, with a one-hot array as large as the scores."""
    def loss(s):
        each = np.eye(s.shape[-1], dtype="float32")[targets] * weights
        return mc.div(mc.neg(mc.sum(mc.mul(mc.logsoftmax(s), each))), targets.size)
    return differentiated(loss, scores)


def fused(scores, targets, weights):
    return differentiated(lambda s: losses.rebalanced(s, targets, weights), scores)


def differentiated(loss, scores):
    scores = mc.Param(scores)
    tape = mc.diff(loss, scores)
    return mc.value(tape), mc.grad(tape, scores)


VARIANTS = {"looped": looped, "one-hot": onehot, "fused": fused, "fused, soft targets": fused}


def data(variant, batch, size):
    """Scores, targets and weights of a batch; soft targets have five bins a pixel."""
    bins, rng = gamut(10), np.random.default_rng(0)
    ab = rng.normal(0, 25, (batch, size, size, 2)).astype("float32")
    scores = rng.standard_normal((batch, size, size, bins.q), "float32")
    targets = bins.soft(ab) if "soft" in variant else bins.encode(ab)
    return scores, targets, np.linspace(0.2, 5, bins.q, dtype="float32")


def measure(variant, batch, size, rounds):
    """In the variant's own process: seconds of each step, peak MB of the first, and what it computed."""
    step = VARIANTS[variant]
    step(*data(variant, 1, 8))                          # compiles
    given = data(variant, batch, size)
    times, before = [], peak()
    for _ in range(rounds):
        start = perf_counter()
        loss, gradient = step(*given)
        times.append(perf_counter() - start)
        del gradient
    mb = peak() - before
    return {"seconds": median(times), "mb": mb, "loss": float(loss), "norm": norm(step(*data(variant, 1, 16))[1])}


def norm(gradient):
    return float(np.sqrt(np.square(gradient, dtype="float64").sum()))


def peak():
    """MB of memory that this process ever held."""
    with open("/proc/self/status") as f:                # unlike ru_maxrss, this does not begin with the parent's
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM"))


def in_its_own_process(variant, batch, size, rounds, threads):
    env = {**os.environ, "MINICNN_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    words = [sys.executable, "-m", "benchmarks.losses", "--measure", variant, "--batch", str(batch),
             "--size", str(size), "--rounds", str(1 if variant == "looped" else rounds)]
    done = subprocess.run(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, universal_newlines=True)
    if done.returncode:
        raise SystemExit(f"{variant} has ended with status {done.returncode}")
    return json.loads(done.stdout)


def check(found):
    """All variants with hard targets must compute the same."""
    for variant in ("one-hot", "fused"):
        for key in ("loss", "norm"):
            if not np.isclose(found[variant][key], found["looped"][key], rtol=1e-4):
                raise SystemExit(f"{variant} computes another {key}: {found[variant][key]}, looped "
                                 f"{found['looped'][key]}")


def table(found, title):
    yield f"# The rebalanced loss, forward and backward, on {report.cpu_name()}\n"
    yield title + "\n"
    yield "| | time | against fused | peak memory |\n|---|---|---|---|"
    for variant, r in found.items():
        ratio = r["seconds"] / found["fused"]["seconds"]
        yield f"| {variant} | {r['seconds'] * 1e3:,.0f} ms | {ratio:,.1f}x | {r['mb']:,.0f} MB |"


def arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.losses", description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="keep the table there, as losses-<cpu>.md")
    parser.add_argument("--measure", choices=VARIANTS, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv=None):
    given = arguments(argv)
    if given.measure:
        print(json.dumps(measure(given.measure, given.batch, given.size, given.rounds)))
        return
    before = report.busy()
    found = {v: in_its_own_process(v, given.batch, given.size, given.rounds, given.threads) for v in VARIANTS}
    check(found)
    title = (f"313 bins, {given.size} x {given.size} pixels, batch {given.batch}, {given.threads} threads, float32, "
             f"{report.now()}; cores that other programs kept busy before and after: {before}, {report.busy()}.")
    text = "\n".join(table(found, title))
    print(text)
    if given.out:
        name = "losses-" + re.sub(r"[^a-z0-9]+", "-", report.cpu_name().lower()).strip("-") + ".md"
        report.atomically(given.out / name, text + "\n")


if __name__ == "__main__":
    main()
