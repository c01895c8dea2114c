"""The kernel benchmark counts right, runs on the CPU, and on a GPU as far as that can be seen without one."""
import json
import types
from itertools import count

import numpy as np
import pytest

import minicnn as mc
from benchmarks.kernels import clock, roofline
from benchmarks.kernels import program as kernels
from benchmarks.kernels import works as kernel_works

from .. import fake_cupy
from ..cuda_on_cpu import Recorder, installed
from ..tools import need

LIMITS = {"copy": 1e9, "sgemm": 1e12}


def test_layers_have_the_work_of_the_roofline():
    assert [kernel_works.macs(layer) for layer in kernel_works.layers("jetson")] == \
        [layer.macs for layer in roofline.layers()]


def test_layers_of_colornet_are_each_there_once():
    found = kernel_works.layers("colornet")
    assert len(found) == len(set(map(str, found))) == 15
    assert found[0].w == (3, 3, 1, 64) and found[-1].w == (1, 1, 128, 313) and found[-1].x == (64, 64, 128)


def test_a_work_has_its_rate_and_its_share():
    work = kernel_works.Work("w", flops=2e9, bytes=3e6, ours=lambda: None, theirs=None)
    device = types.SimpleNamespace(kernel=lambda f, budget: 0.004)
    found = kernels.measured(work, device, None, LIMITS, 0)
    assert found["roofline"] == pytest.approx(0.75)             # 3 MB at 1 GB/s are 3 ms, 2 GFLOP only 2 ms
    peers = {"a": {"seconds": 0.002}, "b": {"seconds": 0.001, "error": "wrong"}}
    assert kernels.row("w", {**found, "peers": peers}) == \
        "| w | 4.000 ms | 0.5 TFLOP/s | 75 % | 2.000 ms (a), 0.50x |"


def test_a_peer_that_computes_something_else_is_no_peer():
    class Peer:
        def difference(self, ours, theirs, kind):
            return abs(ours - theirs)

        def free(self):
            pass
    given = Peer(), lambda step: 1.0
    assert "error" not in kernels.beside(lambda: 1.0, lambda: (lambda: 1.0, "same"), *given)
    assert "something else" in kernels.beside(lambda: 1.0, lambda: (lambda: 1.1, "same"), *given)["error"]
    assert kernels.beside(lambda: 1.0, lambda: 1 / 0, *given) == {"error": "ZeroDivisionError: division by zero"}
    assert kernels.fastest({"a": {"error": "x", "seconds": 1.0}}) is None


def run(tmp_path, *words):
    """The result that the program writes."""
    assert kernels.main([*words, "--batch", "1", "--seconds", "0", "--out", str(tmp_path)]) is None
    table, = tmp_path.glob("kernels-*.md")
    return json.loads(table.with_suffix(".json").read_text()), table.read_text()


@pytest.mark.slow
def test_on_the_cpu(tmp_path, monkeypatch):
    need("torch")
    monkeypatch.setattr(clock, "LEAST", 1)
    monkeypatch.setattr(clock.Cpu, "copied", 1 << 20)
    monkeypatch.setattr(clock.Cpu, "square", 64)
    result, table = run(tmp_path, "--device", "cpu", "--only", "jetson,passes", "--match",
                        "1x1 105|3-105|90-105|64x64x256: |pool|rebalanced")
    assert len(result["works"]) == 17
    for title, work in result["works"].items():
        assert work["seconds"] > 0 and set(work["peers"]) == {"channels first", "channels last"}, title
        assert not any("error" in found for found in work["peers"].values()), (title, work["peers"])
        assert f"| {title} | " in table


def test_without_a_gpu_it_says_so(capsys, monkeypatch):
    monkeypatch.setattr("minicnn.device._cupy", lambda: (None, "CuPy found no GPU"), raising=False)
    with mc.device("cpu"):
        assert kernels.main(["--device", "cuda"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def timed(monkeypatch):
    """The fake cupy with events, and kernels that do nothing."""
    ticks = count()

    class Event:
        def record(self):
            self.at = next(ticks)

    cuda = fake_cupy.cuda
    monkeypatch.setattr(fake_cupy, "__version__", "14.2.0", raising=False)
    monkeypatch.delattr(cuda.Stream, "begin_capture")          # as on CUDA 10.2: no graphs
    monkeypatch.setattr(cuda, "Event", Event, raising=False)
    monkeypatch.setattr(cuda, "get_elapsed_time", lambda a, b: float(b.at - a.at), raising=False)
    monkeypatch.setattr(cuda.Stream, "null", cuda.Stream(), raising=False)
    monkeypatch.setattr(cuda.runtime, "getDeviceProperties", lambda i: {"name": b"A GPU"}, raising=False)
    monkeypatch.setattr(cuda.runtime, "runtimeGetVersion", lambda: 12090, raising=False)
    monkeypatch.setattr(cuda.runtime, "driverGetVersion", lambda: 13000, raising=False)
    monkeypatch.setattr(kernels, "found_peer", lambda kind: (None, "PyTorch was not measured: not here."))
    with mc.device("cpu"), installed(Recorder(), arch=90, multiprocessors=132), np.errstate(all="ignore"):
        yield


@pytest.mark.slow
def test_on_a_gpu(tmp_path, timed):
    result, table = run(tmp_path, "--device", "cuda", "--only", "models,jetson,passes", "--match", "^((?!Adam).)*$")
    assert result["device"] == "A GPU"
    assert {work["seconds"] for work in result["works"].values() if "bytes" in work} == {1e-3}
    assert "PyTorch was not measured: not here." in table and len(result["works"]) > 40


def test_out_of_time_is_said(tmp_path, timed):
    result, table = run(tmp_path, "--device", "cuda", "--only", "jetson", "--minutes", "0")
    assert len(result["works"]) == 1 and "Out of time after 0 minutes" in table
