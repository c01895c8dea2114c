"""What the benchmark programs keep: a JSON file with everything, and a Markdown table of it."""
import datetime
import json
import os
import platform
import re
import time
from pathlib import Path
from statistics import median

import numpy as np


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text()
        return re.search(r"^(?:model name|Model)\s*:\s*(.*)", lines, re.M).group(1).strip()
    except (OSError, AttributeError):
        return platform.processor() or platform.machine()


def busy(seconds=1.0):
    """How many cores the machine's other programs keep busy, while ours sleep; None where the system does not say."""
    def jiffies():
        user, nice, system, idle, iowait, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
        return idle + iowait, user + nice + system + idle + iowait + sum(rest[:3])
    try:
        idle, total = jiffies()
        time.sleep(seconds)
        idle, total = jiffies()[0] - idle, jiffies()[1] - total
        return round((1 - idle / total) * os.cpu_count(), 2)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def new(threads):
    """A result without any work in it yet."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = {"cpu": cpu_name(), "cores": cores, "system": f"{platform.system()} {platform.machine()}",
               "python": platform.python_version(), "numpy": np.__version__}
    return {"machine": machine, "threads": threads, "load": [os.getloadavg()[0]], "works": {}, "memory_mb": {},
            "missing": {}}


def summary(pairs):
    """Of [(minicnn's seconds, the peer's) in each round]: the peer's median, and how much faster minicnn was."""
    ratios = [theirs / ours for ours, theirs in pairs]
    return {"seconds": median(theirs for _, theirs in pairs), "times": pairs,
            "ratio": {"min": min(ratios), "median": median(ratios), "max": max(ratios)}}


def lines(name, work):
    """A work's results for the terminal."""
    yield f"{name}: minicnn {work['minicnn_s'] * 1e3:.1f} ms"
    for peer, found in work["peers"].items():
        off = f", largest difference {found['max_abs_difference']:.1e}" if "max_abs_difference" in found else ""
        yield f"  {peer:20} {cell(found)}{off}"


def cell(found):
    if "error" in found:
        return "failed: " + found["error"].replace("|", "/").splitlines()[0]
    r = found["ratio"]
    return f"{found['seconds'] * 1e3:.1f} ms, {r['median']:.2f}x ({r['min']:.2f} to {r['max']:.2f})"


def markdown(result):
    """The table of all works."""
    m = result["machine"]
    peers = sorted({p for work in result["works"].values() for p in work["peers"]})
    versions = {p: found["version"] for work in result["works"].values() for p, found in work["peers"].items()
                if "version" in found}
    versions.update(Python=m["python"], NumPy=m["numpy"])
    out = [f"# minicnn and its peers on {m['cpu']}", "",
           f"{m['cores']} cores, {result['threads']} threads each, {m['system']}, float32, "
           + ", ".join(f"{p} {v}" for p, v in sorted(versions.items())) + ". "
           f"Load average before and after the last run: {result['load'][0]:.1f}, {result['load'][-1]:.1f}.", "",
           "Medians; `1.50x (1.45 to 1.60)`: minicnn was 1.5 times faster, over all rounds 1.45 to 1.6.", "",
           "| work | minicnn | " + " | ".join(peers) + " | cores busy elsewhere, before and after | date |",
           "|---" * (len(peers) + 4) + "|"]
    for work in result["works"].values():
        cells = [cell(work["peers"][p]) if p in work["peers"] else "-" for p in peers]
        out.append(f"| {work['title']} | {work['minicnn_s'] * 1e3:.1f} ms | " + " | ".join(cells)
                   + f" | {work['busy'][0]}, {work['busy'][1]} | {work['date']} |")
    if result["memory_mb"]:
        out += ["", "Peak memory of a process that does three `jetson` training steps, batch 8: "
                + ", ".join(f"{k} {v:.0f} MB" for k, v in result["memory_mb"].items()) + "."]
    out += [f"\nMissing here: {peer}: {why}." for peer, why in result["missing"].items()]
    return "\n".join(out) + "\n"


def write(folder, result):
    """Add the result's works to those that the machine's files hold already; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("peers-" + re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-"))
    kept = path.with_suffix(".json")
    if kept.exists():
        before = json.loads(kept.read_text())
        result = {**result, "works": {**before["works"], **result["works"]},
                  "memory_mb": {**before["memory_mb"], **result["memory_mb"]}}
    atomically(kept, json.dumps(result, indent=1) + "\n")
    atomically(path.with_suffix(".md"), markdown(result))
    return kept, path.with_suffix(".md")


def atomically(path, text):
    """A reader finds the old file or the new one, never half of it."""
    half = path.with_name(path.name + ".part")
    half.write_text(text, encoding="utf-8")
    os.replace(half, path)
