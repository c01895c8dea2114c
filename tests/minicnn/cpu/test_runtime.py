"""What carries the kernels: threads, memory, functions of one number."""
import gc
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import minicnn as mc

from ...tools import in_threads, need, randn

if os.environ.get("MINICNN_NUMBA") == "0":
    pytest.skip("MINICNN_NUMBA=0 asks for no kernels", allow_module_level=True)
numba = need("numba")
threadpoolctl = need("threadpoolctl")
from minicnn.cpu import parts, runtime as cpu  # noqa: E402

# ------------------------------------------------------------------ a whole training step


def trained(steps=2):
    """The weights and moments of a small autoencoder after some steps, as bytes."""
    mc.seed(1)
    model = mc.Chain(mc.Conv(1, 24, 3, stride=2, padding="same"), mc.BatchNorm(24), mc.tanh,
                     mc.Conv(24, 32, 3, padding="same"), mc.BatchNorm(32), mc.relu, mc.pool, mc.Dropout(0.3),
                     mc.upsample, mc.Deconv(32, 2, 3, stride=2, padding="same"), mc.tanh)
    x, y = (randn(4, 48, 40, c).astype("float32") for c in (1, 2))
    mc.progress_(mc.adam(lambda x, y: mc.mse(model(x), y), [(x, y)] * steps))
    arrays = [p.value for p in mc.params(model)] + [a for m in (1, 4) for a in vars(model[m].moments).values()]
    return b"".join(np.asarray(a).tobytes() for a in arrays)


def test_training_gives_the_same_bits_for_1_2_and_4_threads(monkeypatch):
    bits = set()
    for n in "124":
        monkeypatch.setenv("MINICNN_THREADS", n)
        bits.add(trained())
    assert len(bits) == 1


# ------------------------------------------------------------------ threads


@pytest.mark.parametrize("n, grain", [(0, 3), (1, 3), (3, 3), (4, 3), (100, 7)])
@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_run_visits_every_row_once(monkeypatch, threads, n, grain):
    monkeypatch.setenv("MINICNN_THREADS", threads)
    visits = []
    cpu.run(lambda start, stop, scratch, add: visits.extend(range(start, stop + 0 * add)), n, grain, 1)
    assert sorted(visits) == list(range(n))


def test_run_uses_as_many_threads_as_asked(monkeypatch):
    """Four pieces wait for each other: only four threads at once, each with scratch of its own, get past."""
    monkeypatch.setenv("MINICNN_THREADS", "4")
    together, scratches = threading.Barrier(4, timeout=30), set()

    def kernel(start, stop, scratch):
        together.wait()
        assert scratch.size == 5000000
        scratches.add(scratch.ctypes.data)
    cpu.run(kernel, 4, 1, floats=5000000)
    assert len(scratches) == 4
    cpu.run(lambda start, stop, scratch: scratches.add(scratch.size), 1, 1)
    assert cpu.SCRATCH in scratches, "tiles must not depend on what ran before"


@pytest.mark.parametrize("threads", ["1", "3"])
def test_exceptions_reach_the_caller(monkeypatch, threads):
    monkeypatch.setenv("MINICNN_THREADS", threads)

    def kernel(start, stop, scratch):
        if start == 6:
            raise ZeroDivisionError("piece 6")
    before = blas_threads()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="piece 6"):
            cpu.run(kernel, 10, 1)
    assert blas_threads() == before
    assert np.array_equal(mc.relu(np.full(200000, -1, "float32")), np.zeros(200000))


def child(connection, bits):
    connection.send(trained() == bits)
    connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_after_use(monkeypatch):
    """The child has none of the pool's threads, and locks that another thread held would stay locked in it."""
    monkeypatch.setenv("MINICNN_THREADS", "2")
    bits, held, end = trained(), threading.Event(), threading.Event()

    def hold():
        with cpu._idle_lock, cpu._pool.lock, cpu._blas.lock:
            held.set()
            end.wait(60)
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(there, bits))
    process.start()
    end.set()
    holder.join()
    try:
        assert here.poll(60), "the child hangs"
        assert here.recv()
    finally:
        process.kill()
        process.join()
    assert trained() == bits


def blas_threads():
    """The number of threads of every BLAS and OpenMP in the process, by file."""
    return {c["filepath"]: c["num_threads"] for c in threadpoolctl.threadpool_info()}


def test_only_the_kernels_own_blas_is_limited():
    """Seen from inside a kernel, while another thread is in one too, and afterwards."""
    own = {c.filepath for c in cpu._blas.libraries()}
    if any("numpy.libs" in path for path in blas_threads()):
        assert not any("numpy.libs" in path for path in own), "NumPy brings its own BLAS, which is the user's"
    inside, leave, seen = threading.Event(), threading.Event(), []

    def waits(start, stop, scratch):
        seen.append(blas_threads())
        inside.set()
        leave.wait(60)
    with threadpoolctl.threadpool_limits(2):            # also where the machine has one core
        before = blas_threads()
        assert {before[path] for path in own} == {2}
        other = threading.Thread(target=cpu.run, args=(waits, 1, 1))
        other.start()
        inside.wait(60)
        cpu.run(lambda start, stop, scratch: seen.append(blas_threads()), 1, 1)
        seen.append(blas_threads())                     # this thread is out, the other still in
        leave.set()
        other.join()
        after = blas_threads()
    assert len(seen) == 3
    assert seen == [{**before, **dict.fromkeys(own, 1)}] * 3
    assert after == before


def test_pytorch_keeps_its_threads():
    torch = need("torch")
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        cpu.run(lambda start, stop, scratch: seen.append(torch.get_num_threads()), 1, 1)
        in_threads(2, lambda i: trained(1))
        assert seen == [2] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# ------------------------------------------------------------------ memory

LARGE = cpu.RECYCLED // 4                               # floats of the smallest array that is recycled


@pytest.fixture
def clean():
    """No idle memory before and after."""
    gc.collect()
    cpu.release()
    yield
    gc.collect()
    cpu.release()


def test_memory_is_recycled_when_the_last_view_is_gone(clean):
    a = cpu.empty((LARGE, 2))
    at, view = a.ctypes.data, a[5:, 1]
    del a
    b = cpu.empty((2, LARGE))
    at_b = b.ctypes.data
    assert not np.shares_memory(view, b)
    view[:] = 1
    b[:] = 2
    assert (view == 1).all()
    del view
    c = cpu.empty((LARGE * 2 - 10,))                    # a little smaller fits too
    assert c.ctypes.data == at and c.shape == (LARGE * 2 - 10,) and c.flags.c_contiguous and c.flags.writeable
    del b, c
    assert cpu.empty((LARGE,)).ctypes.data in (at, at_b)        # better than new memory
    large = cpu.empty((LARGE * 40,))
    cpu.release()
    at = large.ctypes.data
    del large
    assert cpu.empty((LARGE,)).ctypes.data != at        # but this would waste too much


def test_the_smallest_memory_that_fits_is_taken(clean):
    small, large = cpu.empty((LARGE,)), cpu.empty((LARGE * 4,))
    at = small.ctypes.data
    del large, small
    assert cpu.empty((LARGE,)).ctypes.data == at


def test_live_arrays_never_share_memory(clean):
    """Threads that make, keep, pass on and drop arrays find in each what they wrote."""
    def work(i):
        rng, kept = np.random.default_rng(i), []
        for step in range(400):
            n = LARGE + int(rng.integers(0, 4)) * LARGE // 16
            a, mark = cpu.empty((n,)), i * 1000 + step
            a[:] = mark
            kept.append((a[n // 3:], mark))
            if len(kept) > 5:
                view, mark = kept.pop(int(rng.integers(len(kept))))
                assert (view == mark).all()
        for view, mark in kept:
            assert (view == mark).all()
    in_threads(4, work)


def test_the_garbage_collector_may_free_arrays_while_one_is_made(clean):
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for i in range(300):
            ring = [cpu.empty((LARGE + 1000 * (i % 50),))]
            ring.append(ring)
            del ring
            cpu.empty((LARGE * 2 + 1000 * (i % 50),))
    finally:
        gc.set_threshold(*thresholds)


def resident():
    """Bytes of this process in main memory."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="this system has no /proc/self/statm")
def test_release_gives_memory_back(clean):
    a = cpu.empty((1 << 26,))
    a[:] = 1
    del a
    before = resident()
    cpu.release()
    assert before - resident() > 0.9 * (1 << 28)


def test_memory_that_stays_idle_goes_back(clean):
    """Even if all later arrays find recycled memory."""
    cpu.empty((LARGE * 64,))
    for _ in range(2 * cpu.PATIENCE + 10):
        cpu.empty((LARGE,))
    assert set(cpu._idle) == {LARGE}


def test_read_only_and_strided_arrays_compile_nothing_new():
    from minicnn.cpu.activation import _activated
    x = randn(300, 300).astype("float32")
    expected, compiled = mc.tanh(x), len(_activated.signatures)
    turned, constant = x.T.copy().T, x.copy()
    shifted = np.frombuffer(b"-" + x.tobytes(), "float32", offset=1).reshape(x.shape)
    constant.flags.writeable = False
    for same in (turned, constant, shifted, np.broadcast_to(x, (2, 300, 300))[1]):
        assert np.array_equal(mc.tanh(same), expected)
    assert not constant.flags.writeable
    assert len(_activated.signatures) == compiled


def test_without_kernels_numba_is_not_imported():
    code = ("import sys, numpy, minicnn as mc; mc.tanh(numpy.ones(3, 'float32')); "
            "sys.exit('numba' in sys.modules or 'scipy' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "MINICNN_NUMBA": "0"}).returncode == 0


# ------------------------------------------------------------------ functions of one number


def every_float():
    """Float32 numbers of all sizes and signs, with infinities and NaN."""
    return np.concatenate([np.arange(0, 1 << 32, 1013, dtype="uint64").astype("uint32").view("float32"),
                           np.linspace(-100, 100, 1000003, dtype="float32"),
                           np.array([0, -0.0, np.inf, -np.inf, np.nan], "float32")])


def elementwise(f):
    """f of every element, compiled as inside a kernel."""
    @numba.njit(error_model="numpy", fastmath=parts.FLAGS)
    def loop(x, y):
        for i in range(len(x)):
            y[i] = f(x[i])

    def call(x):
        y = np.empty_like(x)
        loop(x, y)
        return y
    return call


def relative(got, expected):
    return np.abs(got.astype("float64") / expected - 1).max()


@np.errstate(all="ignore")
def test_exp():
    x = every_float()
    y, expected = elementwise(parts.exp)(x), np.exp(x.astype("float64"))
    assert np.array_equal(np.isnan(y), np.isnan(x))
    accurate = (x >= -87.3) & (x <= 88.3)
    assert relative(y[accurate], expected[accurate]) < 4e-7
    assert (y[x < -88] == 0).all() and (y[x < -87.3] < 1.3e-38).all()
    assert (y[x > 88.4] == np.inf).all() and (y[x > 88.3] > 2.2e38).all()


@np.errstate(all="ignore")
def test_tanh():
    x = every_float()
    y, expected = elementwise(parts.tanh)(x), np.tanh(x.astype("float64"))
    assert np.array_equal(np.isnan(y), np.isnan(x))
    normal = np.abs(x) > 1.2e-38
    assert relative(y[normal], expected[normal]) < 5e-7
    assert (np.abs(y[np.abs(x) < 1.2e-38]) < 1.2e-38).all()
    assert (np.abs(y[~np.isnan(y)]) <= 1).all()


@np.errstate(all="ignore")
@pytest.mark.parametrize("f, least", [(mc.sigm, -87), (mc.softplus, -87), (mc.elu, -np.inf),
                                      (mc.leaky_relu, -np.inf)])
def test_activations_keep_their_digits(f, least):
    """Relative to the value itself, however small."""
    x = every_float()
    x = x[np.abs(x) > 1.2e-36]
    y, expected = f(x), f(x.astype("float64"))
    assert np.isnan(f(np.float32([np.nan]))).all()
    x, y, expected = (a[(x >= least) & np.isfinite(x)] for a in (x, y, expected))
    assert relative(y, expected) < 1e-6
