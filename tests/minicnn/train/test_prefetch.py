"""prefetch: same items in the same order, errors arrive, no thread stays, nothing hangs."""
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import minicnn as mc

from ...cuda_on_cpu import Recorder, installed


def workers():
    return [t for t in threading.enumerate() if t.name == "minicnn-prefetch"]


def gone(seconds=5):
    """Wait until no worker is left."""
    end = time.monotonic() + seconds
    while workers() and time.monotonic() < end:
        time.sleep(0.01)
    return not workers()


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_same_items_again_and_again(depth):
    data, same = (mc.minibatch(np.arange(100), 3, shuffle=True, seed=1, xtype=None) for _ in range(2))
    it = mc.prefetch(data, depth)
    assert len(it) == 33
    for _ in range(3):
        assert np.array_equal(np.stack(list(it)), np.stack(list(same)))
    assert gone()


def test_stress_of_speeds_and_breaks():
    rng = np.random.default_rng(0)

    class Slow:
        def __iter__(self):
            for i in range(20):
                if rng.random() < .3:
                    time.sleep(rng.random() * .003)
                yield i

    for trial in range(60):
        stop, got = int(rng.integers(0, 25)), []
        for i in mc.prefetch(Slow(), depth=1 + trial % 3):
            if len(got) == stop:
                break
            got.append(i)
            if trial % 4 == 0:
                time.sleep(.001)
        assert got == list(range(min(stop, 20)))
    assert gone()


def test_stays_ahead_by_depth_only():
    made = []

    class Counting:
        def __iter__(self):
            for i in range(50):
                made.append(i)
                yield i

    it = iter(mc.prefetch(Counting(), depth=3))
    next(it)
    end = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < end:
        time.sleep(.01)
    time.sleep(.1)
    assert len(made) == 1 + 3 + 1                       # taken, waiting, in the thread's hand
    it.close()
    assert gone()


def test_an_error_arrives_in_its_place():
    def broken():
        yield 1
        yield 2
        raise KeyError("photo 3")

    class Broken:
        def __iter__(self):
            return broken()

    it, got = mc.prefetch(Broken()), []
    for _ in range(2):
        with pytest.raises(KeyError, match="photo 3"):
            for i in it:
                got.append(i)
    assert got == [1, 2, 1, 2] and gone()


def test_an_abandoned_iterator_stops_its_thread():
    for _ in range(5):
        it = iter(mc.prefetch(mc.cycle([1, 2])))
        assert next(it) == 1
    del it
    assert gone()


def test_inside_other_iterators():
    data = mc.prefetch(mc.prefetch(mc.minibatch(np.arange(8.0), 2)))
    it = mc.take(mc.cycle(data), 10)
    assert [int(x[0]) for x in it] == [0, 2, 4, 6] * 2 + [0, 2] and gone()


def test_the_thread_has_the_device_of_its_consumer():
    from minicnn.device import current

    class Where:
        def __iter__(self):
            yield current(), threading.current_thread() is threading.main_thread()

    with mc.device("cpu"):
        assert list(mc.prefetch(Where())) == [("cpu", False)]


def test_the_thread_takes_any_device():
    device, names = sys.modules["minicnn.device"], []

    class Where:
        def __iter__(self):
            names.append((device.current(), device.cupy().cuda.runtime.getDevice()))
            yield 1

    with installed(Recorder(), count=4), mc.device("cuda:3"):
        assert list(mc.prefetch(Where())) == [1] and names == [("cuda:3", 3)]
    assert device.current() == "cpu"


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise ValueError('stop')"])
def test_python_ends_while_a_thread_waits(ending):
    code = f"import sys, minicnn as mc\nit = iter(mc.prefetch(mc.cycle([1])))\nnext(it)\n{ending}"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert done.returncode == {"": 0, "s": 3, "r": 1}[ending[:1]] and time.monotonic() - start < 30
    assert ("stop" in done.stderr) if ending.startswith("raise") else done.stderr == ""


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork():
    it = iter(mc.prefetch(mc.cycle([1])))
    next(it)
    child = os.fork()
    if child == 0:
        try:                                            # a new pass works, the old one says what happened
            ok = list(mc.take(mc.prefetch(mc.cycle([5])), 3)) == [5, 5, 5]
            try:
                for _ in range(10):
                    next(it)
                ok = False
            except RuntimeError as e:
                ok = ok and "after a fork" in str(e)
            os._exit(0 if ok else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    it.close()
    assert gone()


def test_wrong_depth():
    with pytest.raises(ValueError, match="whole number >= 1, got 0"):
        mc.prefetch([1], 0)
