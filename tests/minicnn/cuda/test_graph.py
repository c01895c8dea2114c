"""fuse on the GPU: recorded once a shape, replayed with new images, plain launches where nothing can be recorded."""
import copy
import importlib

import numpy as np
import pytest

import minicnn as mc

from ... import fake_cupy
from ...tools import close, missing, need, numpy_backend, randn

gpu = fake_cupy.gpu


class Graph:
    """The launches between begin_capture and end_capture, as CuPy's graph: launch() does them again."""

    def __init__(self):
        self.launches = []

    def launch(self, code, options, kernel, grid, block, args):
        self.launches.append((code, options, kernel, grid, block, args))

    def prepare(self, code, options, kernel):
        raise AssertionError(f"{kernel} is compiled while a graph is recorded")

    def __reduce_ex__(self, protocol):
        raise AssertionError("a copy of CuPy's graph frees what belongs to the first")


class Stream(fake_cupy.Stream):
    def begin_capture(self, mode=None):
        self.graph, self.before = Graph(), gpu.backend
        gpu.backend = self.graph

    def end_capture(self):
        gpu.backend, backend = self.before, self.before
        graph, recorded = self.graph, list(self.graph.launches)
        graph.launch = lambda stream=None: [backend.launch(*one) for one in recorded]
        return graph


class Pool:
    __slots__ = ()                          # no weak references, as CuPy's

    def malloc(self, size):
        raise AssertionError("the fake's arrays are NumPy's")

    def used_bytes(self):
        return 3

    def total_bytes(self):
        return 4


@pytest.fixture
def recording(cuda_on_cpu, monkeypatch):
    """The fake cupy, whose streams can record kernel launches."""
    cuda = cuda_on_cpu.cuda
    monkeypatch.setattr(cuda, "Stream", Stream)
    monkeypatch.setattr(cuda, "MemoryPool", Pool, raising=False)
    monkeypatch.setattr(cuda, "get_current_stream", Stream, raising=False)
    monkeypatch.setattr(cuda, "using_allocator", lambda allocate: Stream(), raising=False)
    return cuda_on_cpu


def trained(*tail):
    """A small model with moments that are not those of its beginning."""
    mc.seed(1)
    model = mc.Chain(mc.Conv(1, 5, 3, stride=2, padding="same"), mc.BatchNorm(5), mc.tanh,
                     mc.Deconv(5, 2, 3, stride=2, padding="same"), mc.tanh, *tail)
    mc.diff(lambda x: mc.sum(model(x)), randn(2, 8, 8, 1).astype("float32"))
    return model


def launches(fused):
    return [len(g.graph.launches) if g else None for g in fused.replayed.graphs.values()]


def test_a_fused_model_is_recorded_once_a_shape_and_replayed(recording):
    model = trained()
    fused = mc.fuse(mc.gpucopy(model))
    for shape in ((1, 8, 8, 1), (1, 8, 8, 1), (2, 6, 4, 1), (1, 8, 8, 1)):
        x = randn(*shape, seed=sum(shape)).astype("float32")
        close(numpy_backend("float32"), fused(recording.asarray(x)).get(), model(x))
    assert launches(fused) == [2, 2]


def test_results_are_new_arrays_or_out(recording):
    fused = mc.fuse(mc.gpucopy(trained()))
    a = recording.asarray(randn(1, 4, 4, 1).astype("float32"))
    first = fused(a)
    kept = first.get()
    out = recording.empty(first.shape, "float32")
    assert fused(a * 2, out=out) is out and np.array_equal(first.get(), kept)
    assert not np.array_equal(out.get(), kept)


def test_old_shapes_go(recording):
    fused = mc.fuse(mc.gpucopy(trained()))
    for n in range(1, 7):
        fused(recording.asarray(randn(n, 4, 4, 1).astype("float32")))
    assert [key[1][0][0] for key in fused.replayed.graphs] == [3, 4, 5, 6]


def test_what_cannot_be_recorded_is_launched_each_time(recording):
    def waits(y):
        if isinstance(gpu.backend, Graph):
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        return y
    model = trained(waits)
    fused = mc.fuse(mc.gpucopy(model))
    x = randn(1, 4, 4, 1).astype("float32")
    for _ in range(2):
        close(numpy_backend("float32"), fused(recording.asarray(x)).get(), model(x))
    assert launches(fused) == [None]


def test_a_graph_that_cannot_be_finished_is_given_up(recording, monkeypatch):
    end = Stream.end_capture

    def fails(self):
        end(self)
        raise RuntimeError("cudaErrorNotSupported: cudaGraphInstantiate")
    monkeypatch.setattr(Stream, "end_capture", fails)
    model = trained()
    fused, x = mc.fuse(mc.gpucopy(model)), randn(1, 4, 4, 1).astype("float32")
    close(numpy_backend("float32"), fused(recording.asarray(x)).get(), model(x))
    assert launches(fused) == [None]


@pytest.mark.parametrize("copied", [copy.deepcopy, mc.gpucopy, mc.cpucopy])
def test_copies_record_graphs_of_their_own(recording, copied):
    fused, x = mc.fuse(mc.gpucopy(trained())), recording.asarray(randn(1, 4, 4, 1).astype("float32"))
    y = fused(x)
    again = copied(fused)
    assert launches(again) == [] and launches(fused) == [2]
    given, expected = (x.get(), y.get()) if copied is mc.cpucopy else (x, y)
    assert abs(again(given) - expected).max() < 1e-6


def test_in_training_nothing_is_recorded(recording):
    """A layer that fuse does not know may draw random numbers there."""
    fused = mc.fuse(mc.gpucopy(trained(lambda y: mc.dropout(y, 0.5))))
    x = recording.asarray(randn(1, 4, 4, 1).astype("float32"))
    with mc.force_training(True):
        first, second = fused(x).get(), fused(x).get()
    assert launches(fused) == [] and not np.array_equal(first, second)


def test_without_graphs_kernels_are_launched(cuda_on_cpu, monkeypatch):
    monkeypatch.setattr(cuda_on_cpu.cuda, "Stream", type("Stream", (), {}))         # as CuPy for an old CUDA
    model = trained()
    fused, x = mc.fuse(mc.gpucopy(model)), randn(1, 4, 4, 1).astype("float32")
    close(numpy_backend("float32"), fused(cuda_on_cpu.asarray(x)).get(), model(x))
    assert launches(fused) == [None]


def test_memory_counts_the_graphs_pools(recording):
    fused = mc.fuse(mc.gpucopy(trained()))
    with mc.device("cuda"):
        before = mc.memory()["held"]
        fused(recording.asarray(randn(1, 4, 4, 1).astype("float32")))
        assert mc.memory()["held"] == before + 4


@pytest.mark.gpu
def test_a_real_graph_repeats_bit_for_bit_and_holds_its_memory():
    why = importlib.import_module("minicnn.device")._cupy()[1]
    if why:
        missing("gpu", why)
    cupy, model = need("cupy"), trained()
    fused = mc.fuse(mc.gpucopy(model))
    with mc.device("cuda"):
        for shape in ((1, 64, 64, 1), (3, 37, 51, 1)):
            x = randn(*shape).astype("float32")
            first = fused(cupy.asarray(x))
            assert next(reversed(fused.replayed.graphs.values())) is not None, "nothing was recorded"
            close(numpy_backend("float32"), first.get(), model(x))
            held = mc.memory()["held"]
            for _ in range(20):
                assert np.array_equal(fused(cupy.asarray(x)).get(), first.get())
            assert mc.memory()["held"] <= held + x.nbytes + first.nbytes
