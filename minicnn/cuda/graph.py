"""A function of GPU arrays as a CUDA graph: all its kernels are launched at once, as they were when it was recorded.

A small network takes the GPU less time than Python needs to launch its kernels. A graph is recorded once for each
shape of the arguments; it owns the memory of everything inside it.
"""
from collections import OrderedDict

from ..device import Pool, cupy, on_gpu
from ..tracked import training

__all__ = []
MOST = 4                                    # graphs that are kept; each holds the memory of a forward pass


class Replayed:
    """f(*arrays) -> array, replayed: what it computes in Python is as it was when it was recorded. In training, and
    where no graph can be recorded (CUDA before 11, cuBLAS, a wait for the GPU inside f), f is called each time."""

    def __init__(self, f):
        self.f, self.graphs = f, OrderedDict()

    def __getstate__(self):                 # a copy records its own: one of CuPy's would free the same graph again
        return {"f": self.f, "graphs": OrderedDict()}

    def __call__(self, *args):
        """The result, in an array that the next call with these shapes overwrites, or a new one where f ran."""
        if training() or not args or not all(map(on_gpu, args)):
            return self.f(*args)
        key = (cupy().cuda.runtime.getDevice(), *((a.shape, a.dtype.char) for a in args))
        if key not in self.graphs:
            self.graphs[key] = record(self.f, args)
            if len(self.graphs) > MOST:
                self.graphs.popitem(last=False)
        self.graphs.move_to_end(key)
        graph = self.graphs[key]
        return self.f(*args) if graph is None else graph(args)


class Graph:
    """A recorded f: its own arguments, the result, and the memory pool in which they and all between them lie."""

    def __init__(self, graph, inputs, y, pool):
        self.graph, self.inputs, self.y, self.pool = graph, inputs, y, pool

    def __call__(self, args):
        for mine, a in zip(self.inputs, args):
            mine[...] = a
        self.graph.launch()
        return self.y


def record(f, args):
    """The Graph of f(*args), or None where it cannot be recorded."""
    cuda = cupy().cuda
    if not hasattr(cuda.Stream, "begin_capture"):
        return None
    pool, stream = Pool(), cuda.Stream(non_blocking=True)
    cuda.get_current_stream().synchronize()             # the arguments are ready
    with stream, cuda.using_allocator(pool.malloc):
        inputs = [a.copy() for a in args]
        f(*inputs)                                      # compiles the kernels and takes the memory
        stream.synchronize()
        try:
            stream.begin_capture()
        except Exception:                               # this CUDA has no graphs; its errors exist only in cupy
            return None
        try:
            y = f(*inputs)
            graph = stream.end_capture()
        except Exception:
            _abandon(stream)
            return None
    return Graph(graph, inputs, y, pool) if on_gpu(y) else None


def _abandon(stream):
    """End a recording that failed; CUDA reports the failure once more."""
    try:
        stream.end_capture()
    except Exception:
        pass
