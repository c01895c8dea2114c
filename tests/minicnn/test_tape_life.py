"""How long things live on a tape, and tapes in threads and forked processes."""
import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import minicnn as mc
from minicnn.autograd import Node

from ..tools import randn

# ------------------------------------------------------------------ what is kept


def survives(f):
    """Is the array inside the Result that f makes last alive after what came of it, while the tape runs?"""
    alive = []

    def run():
        before, after = f()
        ref = weakref.ref(before.value)
        del before
        alive.append(ref() is not None)
        return mc.sum(after)
    mc.diff(run)
    return alive[0]


def test_the_tape_lets_go_of_what_no_gradient_needs():
    w, x = mc.Param(randn(3, 3, 2, 2)), randn(1, 5, 5, 2)

    def after(f):
        def run():
            y = mc.conv4(w, x)
            return y, f(y)
        return run
    assert not survives(after(mc.relu))                 # relu's gradient reads its output only
    assert not survives(after(lambda y: y + 1.0))
    assert not survives(after(lambda y: mc.pool(y, mode="avg")))
    assert survives(after(lambda y: y * w[0, 0, 0]))    # the other factor's gradient reads it
    assert survives(after(mc.pool))


def test_going_back_frees_as_it_goes():
    w, refs = mc.Param(np.ones(100)), []

    def loss():
        y = w
        for _ in range(5):
            y = y * y
            refs.append(weakref.ref(y.value))
        return mc.sum(y)
    tape = mc.diff(loss)
    assert mc.grad(tape, w) is not None and [r() for r in refs] == [None] * 5


def tape_objects():
    return [x for x in gc.get_objects() if type(x) in (mc.Tape, mc.Result, Node)]


def test_no_reference_cycles():
    """With the collector off, reference counts free a tape at once: simple, nested, and after an error."""
    w = mc.Param(randn(3, 3))
    gc.collect()
    gc.disable()
    try:
        before = len(tape_objects())
        tape = mc.diff(lambda: mc.sum(mc.tanh(w @ w)))
        ref = weakref.ref(tape)
        assert len(tape_objects()) > before
        del tape
        assert ref() is None and len(tape_objects()) == before
        mc.grad(lambda x: mc.sum(mc.grad(lambda x: mc.sum(mc.tanh(x @ w)))(x)))(randn(3, 3))
        assert len(tape_objects()) == before
        with pytest.raises(ValueError):
            mc.diff(lambda: mc.tanh(w @ w))
        assert len(tape_objects()) == before
    finally:
        gc.enable()


FLAT = """
import gc, resource
import numpy as np
import minicnn as mc
from minicnn.autograd import Node

mc.seed(0)
model = mc.Chain(mc.Conv(1, 8, 3, stride=2, padding="same"), mc.BatchNorm(8), mc.tanh, mc.Dropout(0.3),
                 mc.Deconv(8, 2, 3, stride=2, padding="same"), mc.relu)
x, y = np.ones((2, 32, 32, 1), "float32"), np.ones((2, 32, 32, 2), "float32")

def step():
    tape = mc.diff(lambda: mc.mse(model(x), y))
    for p in mc.params(model):
        p -= 0.01 * mc.grad(tape, p)
    penalty = mc.diff(lambda: mc.sum(mc.grad(lambda x: mc.sum(mc.tanh(x @ model[0].w[0, 0])))(x[0, 0])))

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for _ in range(100):
    step()
gc.collect()
gc.disable()
before = peak()
for _ in range(500):
    step()
grown = peak() - before
alive = [x for x in gc.get_objects() if type(x) in (mc.Tape, mc.Result, Node)]
assert grown < max(0.02 * before, 4), f"peak memory grew from {before} by {grown} MB"
assert not alive, f"{len(alive)} objects of tapes are alive"
print("flat")
"""


def test_memory_is_flat_over_500_steps_without_the_collector():
    assert run_python(FLAT) == "flat\n"


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------ threads and forks


def model_and_data(dtype="float32"):
    mc.seed(1)
    model = mc.Chain(mc.Conv(2, 5, 3, padding="same", stride=2), mc.BatchNorm(5), mc.tanh,
                     mc.Deconv(5, 1, 3, padding="same", stride=2), mc.relu)
    for p in mc.params(model):
        p.value = p.value.astype(dtype)
    return model, randn(4, 12, 10, 2).astype(dtype), randn(4, 12, 10, 1, seed=1).astype(dtype)


def gradients_of(model, x, y):
    tape = mc.diff(lambda: mc.mse(model(x), y))
    return [mc.value(tape)] + [mc.grad(tape, p) for p in mc.params(model)]


def test_threads_have_tapes_of_their_own():
    """Several threads at once, sharing the Params, get what one alone gets; a tape is seen by its thread only."""
    models = [model_and_data() for _ in range(4)]
    for (model, _, _) in models[1:]:                    # the same Params; running moments of their own
        for ours, shared in zip((model[0], model[3]), (models[0][0][0], models[0][0][3])):
            ours.w, ours.b = shared.w, shared.b
        model[1].params = models[0][0][1].params
    expected, wrong, start = gradients_of(*models[0]), [], threading.Barrier(5)

    def work(i):
        start.wait()
        for _ in range(25):
            got = gradients_of(*models[i])
            if not all(np.array_equal(a, b) for a, b in zip(got, expected)):
                wrong.append(i)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    start.wait()
    while any(t.is_alive() for t in threads):
        if mc.training():
            wrong.append("training")
    for t in threads:
        t.join()
    assert not wrong and len(expected) > 5 and all(g is not None for g in expected)


def test_forced_training_is_the_threads_own():
    seen = []
    with mc.force_training(True):
        t = threading.Thread(target=lambda: seen.append(mc.training()))
        t.start()
        t.join()
    assert seen == [False]


FORK = """
import os, sys, warnings
import numpy as np
import minicnn as mc
warnings.simplefilter("ignore", DeprecationWarning)     # Python 3.12 warns of what is tested here

def work():
    w = mc.Param(np.ones((3, 3, 16, 16), "float32") / 100)
    x = np.ones((2, 64, 64, 16), "float32")
    tape = mc.diff(lambda: mc.mean(mc.tanh(mc.conv4(w, x, stride=2, padding="same"))))
    return mc.grad(tape, w).tobytes()

before = work()
child = os.fork()
if child == 0:
    os._exit(0 if work() == before else 7)
_, status = os.waitpid(child, 0)
print(os.WEXITSTATUS(status) if os.WIFEXITED(status) else "killed", work() == before)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_process_forked_after_first_use_works():
    assert run_python(FORK) == "0 True\n"
