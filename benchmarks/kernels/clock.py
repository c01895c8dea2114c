"""How long something takes on the CPU or on a GPU, and what that device can do at best."""
import math
from statistics import median
from time import perf_counter

import numpy as np

from minicnn.device import cupy

from .. import report

LEAST, MOST = 7, 100                        # how often something is timed
AHEAD = 0.005                               # seconds of other work that let Python run ahead of the GPU
CHUNK = 20                                  # calls that Python makes in that time


class Cpu:
    """Wall clock: on the CPU a call has done its work when it returns."""

    kind, copied, square = "cpu", 1 << 28, 2048         # bytes, and rows and columns, that measure the limits

    def __init__(self):
        self.name, self.xp = report.cpu_name(), np

    def wait(self):
        pass

    def free(self):
        pass

    def versions(self):
        return {"numpy": np.__version__}

    def put(self, a):
        return a

    def kernel(self, f, budget):
        """The median of many calls of f, in seconds of the device, in about `budget` seconds."""
        return self.program(f, budget)

    def program(self, f, budget, calls=1):
        """The median of many rounds of `calls` calls and a wait for the device, in seconds a call: a user's time."""
        f()
        self.wait()
        times, until = [], perf_counter() + budget
        while len(times) < LEAST or (perf_counter() < until and len(times) < MOST):
            start = perf_counter()
            for _ in range(calls):
                f()
            self.wait()
            times.append((perf_counter() - start) / calls)
        return median(times)

    def numbers(self, *shape, low=-1.0, high=1.0, seed=0):
        """An array of uniform numbers; they repeat after a million, which no kernel minds."""
        some = np.random.default_rng(seed).uniform(low, high, 1_000_003).astype("float32")
        n = math.prod(shape)
        return self.xp.tile(self.put(some), -(-n // some.size))[:n].reshape(shape)

    def limits(self, budget):
        """{"copy": bytes a second, read and written, of a large copy, "sgemm": FLOP a second of a large product}."""
        a = self.xp.zeros(self.copied // 4, "float32")
        b = self.xp.zeros(self.copied // 4, "float32")
        copy = 2 * self.copied / self.kernel(lambda: self.xp.copyto(b, a), budget)
        del a, b
        n = self.square
        a, b = self.numbers(n, n), self.numbers(n, n, seed=1)
        out = self.xp.zeros((n, n), "float32")
        return {"copy": copy, "sgemm": 2 * n ** 3 / self.kernel(lambda: self.xp.matmul(a, b, out=out), budget)}


class Cuda(Cpu):
    """Events on the GPU; the GPU has other work first, so that no gap between two launches is counted."""

    kind, copied, square = "cuda", 1 << 30, 8192

    def __init__(self):
        self.xp, self.cuda = cupy(), cupy().cuda
        number = self.cuda.runtime.getDevice()
        self.name = self.cuda.runtime.getDeviceProperties(number)["name"].decode()
        self.capability = self.cuda.Device(number).compute_capability
        if self.cuda.runtime.memGetInfo()[0] < 6 * self.copied:         # a Jetson Nano
            self.copied, self.square = 1 << 27, 2048
        self.plug = [self.xp.zeros(self.copied // 16, "float32") for _ in range(2)]
        self.plugs = 1
        self.plugs = math.ceil(AHEAD / self.kernel(self._one_plug, 0))

    def wait(self):
        self.cuda.Stream.null.synchronize()

    def free(self):
        self.xp.get_default_memory_pool().free_all_blocks()

    def versions(self):
        runtime = self.cuda.runtime
        return {"numpy": np.__version__, "cupy": self.xp.__version__, "cuda runtime": runtime.runtimeGetVersion(),
                "driver": runtime.driverGetVersion(), "compute capability": self.capability}

    def put(self, a):
        return self.xp.asarray(a)

    def kernel(self, f, budget):
        f()
        self.wait()
        start = perf_counter()
        f()
        self.wait()
        repeats = max(LEAST, min(MOST, int(budget / (perf_counter() - start))))
        times = []
        while len(times) < repeats:
            events = [(self.cuda.Event(), self.cuda.Event()) for _ in range(min(CHUNK, repeats - len(times)))]
            for _ in range(self.plugs):
                self._one_plug()
            for before, after in events:
                before.record()
                f()
                after.record()
            self.wait()
            times += [self.cuda.get_elapsed_time(before, after) / 1e3 for before, after in events]
        return median(times)

    def _one_plug(self):
        self.xp.copyto(*self.plug)
