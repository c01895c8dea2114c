"""minicnn beside other libraries on this machine's CPU: python -m benchmarks.peers (README.md says how to read it).

Each library runs in a process of its own, and all but the one being timed are stopped (SIGSTOP): neither thread
settings nor spinning threads of one can slow another down.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from .. import report
from .worker import PEERS
from .works import WORKS, data

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = {"training": 2e-3}                      # relative; batchnorm's float32 sums differ between libraries
VISIT = 0.4                                         # seconds a library is timed before its neighbour's turn


class PeerError(Exception):
    """What a worker answered instead of a result."""


class Process:
    """A worker (see worker.py) that runs only while it is asked something."""

    def __init__(self, name, python, folder, threads):
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        with open(Path(folder, name + ".log"), "w") as log:
            command = [python, "-m", "benchmarks.peers.worker", name, str(folder), str(threads)]
            self.popen = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=log, universal_newlines=True)
        self.name, self.log = name, Path(folder, name + ".log")
        try:
            self.can = self.answer()
        except PeerError:
            self.close()
            raise

    def ask(self, *words):
        self.popen.send_signal(signal.SIGCONT)
        self.popen.stdin.write(" ".join(map(str, words)) + "\n")
        self.popen.stdin.flush()
        return self.answer()

    def answer(self):
        line = self.popen.stdout.readline()
        if not line:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise PeerError(f"{self.name} has ended: {last[0]}")
        self.popen.send_signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer["answer"]

    def close(self):
        self.popen.kill()
        self.popen.communicate()


def start(names, pythons, folder, threads):
    """{name: Process} of the libraries that are here, {name: what to do} of the others."""
    running, missing = {}, {}
    for name in names:
        try:
            running[name] = Process(name, pythons.get(name, sys.executable), folder, threads)
        except PeerError as e:
            missing[name] = f"{e} (pip install {PEERS[name].install})"
            print(f"missing: {name}: {missing[name]}", flush=True)
    return running, missing


# ------------------------------------------------------------------ one work


def difference(ours, theirs):
    """(largest absolute difference, the same relative to each array's largest number) of two npz files."""
    with np.load(ours) as a, np.load(theirs) as b:
        if a.files != b.files or any(a[k].shape != b[k].shape for k in a.files):
            return float("inf"), float("inf")
        off = [(float(np.abs(a[k] - b[k]).max()), float(np.abs(a[k]).max())) for k in a.files]
    largest, relative = max(d for d, _ in off), max(d / max(size, 1e-30) for d, size in off)
    return (largest, relative) if np.isfinite(relative) else (float("inf"), float("inf"))


def agreement(running, folder, name):
    """{peer: its largest differences from minicnn, or the error that it met}, without peers that lack this work."""
    try:
        running["minicnn"].ask("check", name, Path(folder, "minicnn.npz"))
    except PeerError as e:
        raise SystemExit(f"minicnn cannot do {name}: {e}")
    found = {}
    for peer, process in running.items():
        if peer == "minicnn" or WORKS[name].kind not in process.can["kinds"]:
            continue
        file = Path(folder, f"{peer}.npz")
        try:
            process.ask("check", name, file)
            absolute, relative = difference(Path(folder, "minicnn.npz"), file)
            found[peer] = {"max_abs_difference": absolute, "relative_difference": relative}
            if not relative <= TOLERANCE.get(WORKS[name].kind, 1e-4):
                found[peer]["error"] = f"computes something else: off by {relative:.1e}, relative"
        except PeerError as e:
            found[peer] = {"error": str(e)}
    return found


def race(running, peers, name, rounds, seconds):
    """{peer: [(minicnn's median, the peer's) in each round]}: neighbours in time, each first in every other round."""
    times = {peer: [] for peer in peers}
    for r in range(rounds):
        for peer in peers:
            pair = {}
            for who in ("minicnn", peer)[::1 if r % 2 else -1]:
                pair[who] = median(running[who].ask("run", name, seconds))
            times[peer].append((pair["minicnn"], pair[peer]))
    return times


def measure(running, folder, name, rounds, seconds):
    """Everything about one work, as it goes into the JSON file."""
    np.savez(Path(folder, name + ".npz"), **data(WORKS[name]))
    result = {"title": WORKS[name].title, "date": report.now(), "rounds": rounds}
    before = report.busy()
    if (before or 0) > 0.1:
        print(f"other programs keep {before} cores busy: the next times are not worth keeping", flush=True)
    peers = agreement(running, folder, name)
    able = [peer for peer, found in peers.items() if "error" not in found]
    times = race(running, able or ["minicnn"], name, rounds, seconds)
    for peer in able:
        peers[peer].update(report.summary(times[peer]), version=running[peer].can["version"])
    ours = [ours for pairs in times.values() for ours, _ in pairs]
    Path(folder, name + ".npz").unlink()
    return {**result, "minicnn_s": median(ours), "peers": peers,
            "busy": [before, report.busy()]}


def memory(names, pythons, folder, threads, steps=3):
    """{peer: MB that a fresh process held at most in a few training steps of jetson, batch 8}."""
    np.savez(Path(folder, "jetson-training.npz"), **data(WORKS["jetson-training"]))
    found = {}
    for name in names:
        process = Process(name, pythons.get(name, sys.executable), folder, threads)
        try:
            found[name] = process.ask("peak", steps)
        except PeerError as e:
            print(f"{name}: {e}", flush=True)
        finally:
            process.close()
    return found


# ------------------------------------------------------------------ the program


def chosen(asked, known, what):
    """The known names that `asked` (comma-separated, each whole or the part before a dash) means, in their order."""
    if asked is None:
        return list(known)
    for word in asked.split(","):
        if not any(name == word or name.startswith(word + "-") for name in known):
            raise SystemExit(f"there is no {what} {word!r}: choose from {', '.join(known)}")
    return [n for n in known if any(n == word or n.startswith(word + "-") for word in asked.split(","))]


def arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true",
                        help="one short round, to see that everything runs and agrees; keeps no results")
    parser.add_argument("--only", metavar="WORKS", help="such as jetson-forward,conv-64 or memory")
    parser.add_argument("--peers", metavar="NAMES", help="such as torch,openvino (torch means all its variants)")
    parser.add_argument("--python", metavar="PEER=PATH", action="append", default=[],
                        help="the Python in whose environment a peer is installed; may be given several times")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args(argv)
    given.works = chosen(given.only, [*WORKS, "memory"], "work")
    given.names = chosen(given.peers, [n for n in PEERS if n != "minicnn"], "peer")
    given.pythons = {}
    for word in given.python:
        peer, _, path = word.partition("=")
        given.pythons.update((name, path) for name in chosen(peer, PEERS, "peer"))
    return given


def main(argv=None):
    given = arguments(argv)
    result, failed = report.new(given.threads), []
    with tempfile.TemporaryDirectory() as folder:
        running, result["missing"] = start(["minicnn", *given.names], given.pythons, folder, given.threads)
        if "minicnn" in result["missing"]:
            return f"minicnn itself does not run: {result['missing']['minicnn']}"
        try:
            for name in given.works:
                if name == "memory":
                    names = [n for n in running if "training" in running[n].can["kinds"]]
                    result["memory_mb"] = memory(names, given.pythons, folder, given.threads)
                    print("memory:", ", ".join(f"{k} {v:.0f} MB" for k, v in result["memory_mb"].items()), flush=True)
                    continue
                rounds, seconds = (1, 0) if given.quick else (given.rounds, VISIT)
                found = result["works"][name] = measure(running, folder, name, rounds, seconds)
                print("\n".join(report.lines(name, found)), flush=True)
                failed += [f"{peer} in {name}: {p['error']}" for peer, p in found["peers"].items() if "error" in p]
        finally:
            for process in running.values():
                process.close()
    result["load"].append(os.getloadavg()[0])
    if not given.quick:
        print("written:", *report.write(given.out, result))
    return "; ".join(failed) or None
