"""Each kernel's time, its share of what the device can do, and PyTorch's time.

`python -m benchmarks.kernels --device cuda` writes results/kernels-<device>.json and .md; README.md says how it is
measured and how to read it.
"""
import argparse
import gc
import json
import re
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

import minicnn as mc

from .. import models, report
from . import clock
from . import works as kernel_works
from .launches import ROOT

FORMS = "channels first", "channels last"           # PyTorch's memory formats
TOLERANCE = 2e-3                                    # relative; sums over millions of pixels differ in their order
COMPILED = {"torch.compile": "default", "torch.compile, CUDA graph": "reduce-overhead"}
GROUPS = ("models", "jetson", "passes", "colornet")             # in the order in which they are measured


# ------------------------------------------------------------------ one kernel


def measured(work, device, peer, limits, budget):
    """Everything about one Work, as it goes into the JSON file."""
    seconds = device.kernel(work.ours, budget)
    best = max(work.flops / limits["sgemm"], work.bytes / limits["copy"])
    found = {"seconds": seconds, "flops": work.flops, "bytes": work.bytes, "roofline": best / seconds, "peers": {}}
    if peer is not None:
        for form in FORMS:
            found["peers"][form] = beside(work.ours, lambda form=form: work.theirs(peer, form), peer,
                                          lambda step: device.kernel(step, budget))
    return found


def beside(ours, theirs, peer, time):
    """{"seconds", "difference"} of PyTorch, or {"error": why}."""
    try:
        step, kind = theirs()
        found = {"seconds": time(step)}
        if kind is not None:
            found["difference"] = peer.difference(ours(), step(), kind)
            if not found["difference"] <= TOLERANCE:
                found["error"] = f"computes something else: off by {found['difference']:.1e}, relative"
        return found
    except Exception as e:                          # no room, no compiler, not supported: the next may work
        return {"error": f"{type(e).__name__}: {e}".splitlines()[0][:200]}
    finally:
        gc.collect()
        peer.free()


# ------------------------------------------------------------------ whole models


def of_models(device, peer, batch, budget):
    """(title, result) of jetson's inference and training step, in seconds of the user: launches included."""
    with mc.device("cpu"):
        mc.seed(0)
        model = models.randomise(models.jetson())
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (1, 256, 256, 1)).astype("float32")
    fast, given = mc.fuse(placed(model, device)), device.put(x)
    found = {"seconds": device.program(lambda: fast(given), budget, calls=1), "peers": {}}
    if peer is not None:
        variants = [(f"eager, {form}", form, None) for form in FORMS]
        if device.kind == "cuda":
            variants += [(name, FORMS[0], mode) for name, mode in COMPILED.items()]     # it lays memory out itself
        for name, form, mode in variants:
            found["peers"][name] = beside(lambda: fast(given), lambda form=form, mode=mode: peer.forward(
                model, given, form, mode), peer, lambda step: device.program(step, budget))
    yield "jetson, fused, one image: forward", found

    x = rng.uniform(-1, 1, (batch, 256, 256, 1)).astype("float32")
    target = rng.uniform(-0.3, 0.3, (batch, 256, 256, 2)).astype("float32")
    x, target = device.put(x), device.put(target)
    step = training(placed(model, device), x, target)
    first = step()                                  # the losses of the first steps are compared
    found = {"seconds": device.program(step, budget, calls=2), "peers": {}}
    if peer is not None:
        for form in FORMS:
            found["peers"][f"eager, {form}"] = trained(peer, model, x, target, form, first, device, budget)
    yield f"jetson, batch {batch}: training step", found


def placed(model, device):
    """A copy of the model on the device."""
    return mc.gpucopy(model) if device.kind == "cuda" else mc.cpucopy(model)


def training(model, x, target):
    adam, params = mc.Adam(lr=1e-4), mc.params(model)
    for p in params:
        p.opt = mc.clone(adam)

    def step():
        tape = mc.diff(lambda: mc.mse(model(x), target))
        for p in params:
            mc.update_(p, mc.grad(tape, p))
        return mc.value(tape)
    return step


def trained(peer, model, x, target, form, first, device, budget):
    try:
        step, kind = peer.training(model, x, target, form)
        off = peer.difference(first, step(), kind)
        found = {"seconds": device.program(step, budget, calls=2), "difference": off}
        return found if off <= TOLERANCE else {**found, "error": f"another loss: off by {off:.1e}, relative"}
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}".splitlines()[0][:200]}
    finally:
        gc.collect()
        peer.free()


# ------------------------------------------------------------------ what is kept


def rate(found):
    if found.get("flops"):
        return f"{found['flops'] / found['seconds'] / 1e12:.3g} TFLOP/s"
    return f"{found['bytes'] / found['seconds'] / 1e9:.0f} GB/s" if found.get("bytes") else "-"


def fastest(peers):
    """(name, seconds) of the fastest peer that computes the same, or None."""
    able = [(found["seconds"], name) for name, found in peers.items() if "error" not in found]
    return min(able)[::-1] if able else None


def row(title, found):
    if "error" in found:
        return f"| {title} | failed: {found['error'].replace('|', '/')} | - | - | - |"
    best = fastest(found["peers"])
    share = f"{100 * found['roofline']:.0f} %" if "roofline" in found else "-"
    peer = f"{best[1] * 1e3:.3f} ms ({best[0]}), {best[1] / found['seconds']:.2f}x" if best else "-"
    return f"| {title} | {found['seconds'] * 1e3:.3f} ms | {rate(found)} | {share} | {peer} |"


def markdown(result):
    out = [f"# Kernels on {result['device']}", "",
           f"Measured {result['date']} with batch {result['batch']}, float32 without TF32; "
           + ", ".join(f"{k} {v}" for k, v in result["versions"].items()) + ".", "",
           f"Limits, measured in the same run: a large copy {result['limits']['copy'] / 1e9:.0f} GB/s, a large sgemm "
           f"{result['limits']['sgemm'] / 1e12:.3g} TFLOP/s. The share of the roofline is the time that these limits "
           "allow at best, by the time that was taken. `1.20x`: minicnn was 1.2 times faster than PyTorch in the "
           "memory format that suits PyTorch.", "",
           "| kernel | time | rate | share of the roofline | PyTorch |", "|---|---|---|---|---|"]
    out += [row(title, found) for title, found in result["works"].items()]
    wrong = [f"{title}: PyTorch, {name}: {found['error']}." for title, work in result["works"].items()
             for name, found in work.get("peers", {}).items() if "error" in found]
    out += ["", *wrong] if wrong else []
    return "\n".join(out + [f"\n{line}" for line in result["notes"]]) + "\n"


def keep(folder, result):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("kernels-" + re.sub(r"[^a-z0-9]+", "-", result["device"].lower()).strip("-"))
    report.atomically(path.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
    report.atomically(path.with_suffix(".md"), markdown(result))
    return path.with_suffix(".md")


# ------------------------------------------------------------------ the program


def arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--batch", type=int, help="images of a training step (32; 1 on the CPU)")
    parser.add_argument("--only", metavar="GROUPS", default=",".join(GROUPS), help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--match", metavar="TEXT", default="",
                        help="only kernels with this regular expression in the title")
    parser.add_argument("--seconds", type=float, default=0.15, help="about how long each kernel is timed")
    parser.add_argument("--minutes", type=float, default=7.0, help="after this time the rest is left out, and named")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args(argv)
    given.batch = given.batch or (32 if given.device == "cuda" else 1)
    given.groups = [g for g in GROUPS if g in given.only.split(",")]
    unknown = set(given.only.split(",")) - set(GROUPS)
    if unknown:
        parser.error(f"there is no group {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    return given


def found_peer(kind):
    """(PyTorch as a Peer, "") or (None, why not)."""
    try:
        from .torch import Peer
        return Peer(kind), ""
    except ImportError as e:
        return None, f"PyTorch was not measured: {e}."


def works(group, given, device):
    make = kernel_works.passes if group == "passes" else \
        lambda batch, device: kernel_works.convolutions(group, batch, device)
    for work in make(given.batch, device):
        if re.search(given.match, work.title):
            yield work


def main(argv=None):
    given = arguments(argv)
    try:
        where = mc.device(given.device)
    except RuntimeError as e:
        print(f"benchmarks.kernels: {e}", file=sys.stderr)
        return 2
    with where:
        print(run(given, perf_counter() + 60 * given.minutes))
    return None


def run(given, until):
    """Measure, print and keep everything; the path of the table."""
    device, (peer, why) = {"cpu": clock.Cpu, "cuda": clock.Cuda}[given.device](), found_peer(given.device)
    versions = {"minicnn": mc.__version__, **device.versions(), **({"torch": peer.version} if peer else {})}
    result = {"device": device.name, "date": report.now(), "batch": given.batch, "works": {}, "versions": versions,
              "limits": device.limits(given.seconds), "notes": [why] if why else []}
    print(f"{device.name}: copy {result['limits']['copy'] / 1e9:.0f} GB/s, "
          f"sgemm {result['limits']['sgemm'] / 1e12:.3g} TFLOP/s", flush=True)
    for group in given.groups:
        device.free()
        if group == "models":
            todo = of_models(device, peer, given.batch, given.seconds)
        else:
            todo = ((work.title, measured(work, device, peer, result["limits"], given.seconds))
                    for work in works(group, given, device))
        for title, found in todo:
            result["works"][title] = found
            print(row(title, found), flush=True)
            keep(given.out, result)
            device.free()
            if perf_counter() > until:
                result["notes"].append(f"Out of time after {given.minutes:g} minutes, in the group {group}.")
                return keep(given.out, result)
    return keep(given.out, result)
