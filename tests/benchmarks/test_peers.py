"""The benchmarks' models are those of the papers, and what they report is computed right."""
import os
import sys

import numpy as np
import pytest

import minicnn as mc
from benchmarks import models, report
from benchmarks.peers import program as peers
from benchmarks.peers import works
from benchmarks.peers.worker import PEERS


@pytest.mark.parametrize("model, trainable, moments", [(models.jetson, 297_210, 1_090),
                                                       (models.zhang, 32_236_011, 4_992),
                                                       (models.colornet, 24_788_345, 4_736)])
def test_parameters(model, trainable, moments):
    model = model()
    assert sum(p.size for p in mc.params(model)) == trainable
    assert sum(a.size for name, a in models.arrays(model).items() if name[0] in "mv") == moments


@pytest.mark.slow
@pytest.mark.parametrize("name, size", [("jetson", 32), ("zhang", 16)])
def test_models_keep_the_size_of_the_image(name, size):
    model = models.randomise(getattr(models, name)())
    x = np.linspace(0, 100, size * size, dtype="float32").reshape(1, size, size, 1)
    y = model(x)
    assert y.shape == (1, size, size, 2) and y.dtype == np.float32 and np.isfinite(y).all() and y.std() > 0


def test_weights_travel_through_files():
    given, other = models.randomise(models.jetson(), seed=1), models.randomise(models.jetson(), seed=2)
    x = np.ones((1, 16, 16, 1), "float32")
    assert not np.array_equal(given(x), other(x))
    assert np.array_equal(given(x), models.filled(other, models.arrays(given))(x))


def test_summary_has_ratios_of_neighbours_in_time():
    found = report.summary([(1.0, 2.0), (2.0, 3.0), (1.0, 4.0)])
    assert found["seconds"] == 3.0 and found["ratio"] == {"min": 1.5, "median": 2.0, "max": 4.0}


def test_busy_counts_cores():
    cores = report.busy(seconds=0.2)
    assert cores is None or 0 <= cores <= os.cpu_count()


def test_race_alternates():
    asked = []

    class Fake:
        def __init__(self, name):
            self.name = name

        def ask(self, command, work, seconds):
            asked.append(self.name)
            return [1.0, 3.0, 2.0] if self.name == "minicnn" else [5.0]

    times = peers.race({n: Fake(n) for n in ("minicnn", "a", "b")}, ["a", "b"], "work", 2, 0)
    assert times == {"a": [(2.0, 5.0)] * 2, "b": [(2.0, 5.0)] * 2}
    assert asked == ["a", "minicnn", "b", "minicnn", "minicnn", "a", "minicnn", "b"]


def test_difference_is_relative_to_each_array(tmp_path):
    np.savez(tmp_path / "a.npz", np.array([100.0, 1.0]), np.array([1.0]))
    np.savez(tmp_path / "b.npz", np.array([101.0, 1.0]), np.array([1.5]))
    np.savez(tmp_path / "c.npz", np.array([100.0, np.nan]), np.array([1.0]))
    np.savez(tmp_path / "d.npz", np.array([100.0]), np.array([1.0]))
    assert peers.difference(tmp_path / "a.npz", tmp_path / "b.npz") == (1.0, 0.5)
    for wrong in "cd":
        assert not peers.difference(tmp_path / "a.npz", tmp_path / f"{wrong}.npz")[1] < 1e30


def test_works_and_peers_are_chosen_by_their_first_words():
    given = peers.arguments(["--only", "conv-64,memory", "--peers", "torch", "--python", "openvino=python3"])
    assert given.works[:2] == ["conv-64-128-forward", "conv-64-128-gradients"] and given.works[-1] == "memory"
    assert given.names == ["torch", "torch-channels-last", "torch-compile"]
    assert given.pythons == {"openvino": "python3"}
    assert peers.arguments([]).names == [n for n in PEERS if n != "minicnn"]
    with pytest.raises(SystemExit, match="there is no peer 'caffe'"):
        peers.arguments(["--peers", "caffe"])


def result(work, peer):
    made = report.new(threads=2)
    found = {peer: {"version": "1", "max_abs_difference": 0.0, **report.summary([(1.0, 2.0)])},
             "broken": {"error": "off by a lot"}}
    made["works"][work] = {"title": work, "date": report.now(), "minicnn_s": 1.0, "busy": [0, None], "peers": found}
    return made


def test_results_add_up_over_runs(tmp_path):
    report.write(tmp_path, result("first", "torch"))
    kept, table = report.write(tmp_path, result("second", "openvino"))
    text = table.read_text()
    assert "| first | 1000.0 ms | failed: off by a lot | - | 2000.0 ms, 2.00x (2.00 to 2.00) |" in text
    assert "| second | 1000.0 ms | failed: off by a lot | 2000.0 ms, 2.00x (2.00 to 2.00) | - |" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([kept.name, table.name])


def test_every_kind_of_work_has_its_arguments():
    for work in {w.kind: w for w in works.WORKS.values() if w.kind not in ("forward", "training")}.values():
        found = works.data(work._replace(sizes=(4, 8, 2)))
        *arrays, dilation = works.arguments(work._replace(sizes=(4, 8, 2)), found)
        assert dilation == 2 and {a.dtype for a in arrays} == {np.dtype("float32")}


def test_minicnn_as_a_worker(tmp_path):
    """Through the real process, its pipes and signals: a small work and a wrong one."""
    name = "conv-256-32-forward"
    np.savez(tmp_path / f"{name}.npz", **works.data(works.WORKS[name]))
    process = peers.Process("minicnn", sys.executable, tmp_path, 2)
    try:
        assert "training" in process.can["kinds"]
        process.ask("check", name, tmp_path / "out.npz")
        assert np.load(tmp_path / "out.npz")["arr_0"].shape == (1, 32, 32, 256)
        assert all(t > 0 for t in process.ask("run", name, 0))
        with pytest.raises(peers.PeerError, match="KeyError"):
            process.ask("check", "nothing", tmp_path / "out.npz")
    finally:
        process.close()
