"""One library in a process of its own: python -m benchmarks.peers.worker PEER FOLDER THREADS

It reads lines and answers each with a line of JSON: `check WORK FILE` writes the outputs to FILE (npz), `run WORK
SECONDS` times steps for about so long and gives the list of seconds. FOLDER holds WORK.npz with each work's arrays.
"""
import importlib
import json
import os
import sys
from collections import namedtuple
from time import perf_counter

import numpy as np

from .works import WORKS, arguments

Peer = namedtuple("Peer", "module, name, options, install")
Peer.__doc__ = "The class benchmarks.peers.<module>.<name>, made with options; `install` is how pip gets the library."

PEERS = {
    "minicnn": Peer("peer_minicnn", "Minicnn", {}, "numba scipy threadpoolctl"),
    "torch": Peer("peer_torch", "Torch", {}, "torch"),
    "torch-channels-last": Peer("peer_torch", "Torch", {"channels_last": True}, "torch"),
    "torch-compile": Peer("peer_torch", "Torch", {"channels_last": True, "compiled": True}, "torch"),
    "tensorflow": Peer("peer_tensorflow", "TensorFlow", {}, "tensorflow"),
    "onnxruntime": Peer("peer_onnx", "OnnxRuntime", {}, "onnx onnxruntime"),
    "openvino": Peer("peer_onnx", "OpenVino", {}, "onnx openvino"),
}
LOSSES = 3                                          # training steps whose losses are compared


class Worker:
    def __init__(self, name, folder, threads):
        peer = PEERS[name]
        module = importlib.import_module("benchmarks.peers." + peer.module)
        self.peer = getattr(module, peer.name)(threads, **peer.options)
        self.folder, self.work, self.made = folder, None, None

    def prepared(self, name):
        """(step, outputs) of that work; one work at a time is in memory."""
        if self.work != name:
            self.made = None
            work = WORKS[name]
            with np.load(os.path.join(self.folder, name + ".npz")) as found:
                self.made = getattr(self.peer, work.kind)(*arguments(work, {k: found[k] for k in found.files}))
            self.work = name
        return self.made

    def can(self):
        return {"version": self.peer.version, "kinds": [k for k in {w.kind for w in WORKS.values()}
                                                        if hasattr(self.peer, k)]}

    def check(self, name, file):
        self.work = None                            # training must start from the given weights
        step, outputs = self.prepared(name)
        found = outputs(step())
        if WORKS[name].kind == "training":
            found[0] = np.array([found[0]] + [outputs(step())[0] for _ in range(LOSSES - 1)])
        np.savez(file, *found)

    def run(self, name, seconds):
        """The first step of a visit warms the caches up and is not counted."""
        step, _ = self.prepared(name)
        step()
        times, until = [], perf_counter() + float(seconds)
        while not times or perf_counter() < until:
            start = perf_counter()
            step()
            times.append(perf_counter() - start)
        return times

    def peak(self, steps):
        """MB of memory that this process ever held, after so many training steps."""
        step, _ = self.prepared("jetson-training")
        for _ in range(int(steps)):
            step()
        with open("/proc/self/status") as f:        # unlike ru_maxrss, this does not begin with the parent's memory
            return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM"))


def main(name, folder, threads):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)                                   # what libraries print must not look like an answer
    try:
        worker = Worker(name, folder, int(threads))
        print(json.dumps({"answer": worker.can()}), file=answers, flush=True)
    except Exception as e:
        print(json.dumps({"error": f"{type(e).__name__}: {e}"}), file=answers, flush=True)
        return
    for line in sys.stdin:
        command, *args = line.split()
        try:
            answer = {"answer": getattr(worker, command)(*args)}
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
