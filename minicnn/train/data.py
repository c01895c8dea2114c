"""Minibatches: of arrays (`minibatch`), of anything on disk (a subclass of `Data`), made ahead (`prefetch`)."""
import atexit
import queue
import threading

import numpy as np

from ..device import current, on_gpu, rng, stay_on, to
from .iterators import _count

__all__ = ["Data", "minibatch", "prefetch"]


class Data:
    """Batches of instances number 0 .. instances - 1; a subclass says how to make one.

    Every pass has its own order (if shuffle), a function of `seed` and of the number of the pass; without a seed,
    one is drawn, so that everything repeats after `mc.seed(1)`. `passes` counts the passes begun: set it to go on
    in the middle of a training. The arrays of a batch are moved to the device in force. Unless `partial`, what
    remains at the end for less than a batch is left out.

    >>> class Squares(Data):
    ...     def batch(self, indices): return indices, indices ** 2
    >>> list(Squares(5, 2))
    [(array([0, 1]), array([0, 1])), (array([2, 3]), array([4, 9]))]
    """

    def __init__(self, instances, batchsize, *, shuffle=False, partial=False, seed=None):
        self.instances = _count("Data, for instances,", instances, 0)
        self.batchsize = _count("Data, for batchsize,", batchsize, 1)
        self.shuffle, self.partial, self.passes = shuffle, partial, 0
        self.seed = int(rng().integers(2 ** 32)) if seed is None else _count("Data, for seed,", seed, 0)
        if len(self) == 0:
            raise ValueError(f"{self.instances} instances give no batch of {self.batchsize}: "
                             "make batchsize smaller" + (" or pass partial=True" if self.instances else ""))

    def batch(self, indices):
        """The batch of these instances, an array or a tuple of arrays: each subclass has its own.

        It may run in a thread (see prefetch). Random changes to the images should come from
        `np.random.default_rng([self.seed, self.passes, indices[0]])`, so that a run can repeat.
        """
        raise TypeError(f"{type(self).__name__} does not say how to make a batch: "
                        "give it a method batch(self, indices)")

    def __len__(self):
        return -(-self.instances // self.batchsize) if self.partial else self.instances // self.batchsize

    def __iter__(self):
        order = np.arange(self.instances)
        if self.shuffle:
            np.random.default_rng([self.seed, self.passes]).shuffle(order)
        self.passes += 1
        return self._batches(order)

    def _batches(self, order):
        for i in range(len(self)):
            yield here(self.batch(order[i * self.batchsize:(i + 1) * self.batchsize]))

    def __repr__(self):
        return f"{type(self).__name__}({len(self)} batches of {self.batchsize}, {self.instances} instances)"


def here(x):
    """A batch, an array or a tuple of what batches have, on the device in force."""
    if isinstance(x, (tuple, list)):
        return tuple(here(y) for y in x)
    return to(current(), x) if hasattr(x, "dtype") else x


def minibatch(x, y=None, batchsize=None, *, shuffle=False, partial=False, seed=None, xtype="float32", ytype=None,
              xsize=None, ysize=None):
    """Batches (x, y) of arrays whose axis 0 counts the instances; `minibatch(x, 32)` gives batches of x alone.

    x is converted to `xtype` (None: as it is); y to `ytype`, by default floating-point targets to xtype and
    labels not at all. `xsize` and `ysize` reshape a batch: (-1, 28, 28, 1). See Data for the rest.

    >>> for x, y in minibatch(np.zeros((5, 3)), np.arange(5), 2, partial=True): print(x.shape, x.dtype, y)
    (2, 3) float32 [0 1]
    (2, 3) float32 [2 3]
    (1, 3) float32 [4]
    """
    if batchsize is None and hasattr(y, "__index__") and not np.ndim(y):
        y, batchsize = None, y
    if batchsize is None:
        raise TypeError("minibatch needs a batchsize: minibatch(x, 32) or minibatch(x, y, 32)")
    arrays = [_Array("x", x, xtype, xsize)]
    if y is not None:
        y = _Array("y", y, ytype, ysize)
        y.dtype = xtype if ytype is None and y.source.dtype.kind == "f" else ytype
        arrays.append(y)
        if len(y.source) != len(arrays[0].source):
            raise ValueError(f"minibatch got x of shape {arrays[0].source.shape} and y of shape {y.source.shape}: "
                             "axis 0 counts the instances and must be equal")
    return _Arrays(arrays, batchsize, shuffle=shuffle, partial=partial, seed=seed)


class _Arrays(Data):
    """What minibatch gives."""

    def __init__(self, arrays, batchsize, **options):
        super().__init__(len(arrays[0].source), batchsize, **options)
        self.arrays = arrays

    def batch(self, indices):
        batches = tuple(a.take(indices) for a in self.arrays)
        return batches if len(batches) > 1 else batches[0]


class _Array:
    """An array to take batches from (NumPy's, mapped from a file, or CuPy's), their dtype and shape."""

    def __init__(self, name, source, dtype, size):
        if not hasattr(source, "dtype"):
            source = np.asarray(source)
        if source.ndim == 0 or source.dtype.kind not in "fiub":
            raise TypeError(f"minibatch needs {name} as an array of numbers with the instances along axis 0, "
                            f"got {source.dtype} of shape {source.shape}")
        if size is not None and np.prod(size[1:], dtype=int) != np.prod(source.shape[1:], dtype=int):
            raise ValueError(f"minibatch got {name}size={size} for {name} of shape {source.shape}: "
                             "one instance must have as many elements as before")
        self.source, self.dtype, self.size = source, dtype, source.shape[1:] if size is None else size[1:]

    def take(self, indices):
        x = self.source[indices if not on_gpu(self.source) else to(f"cuda:{self.source.device.id}", indices)]
        x = x if self.dtype is None else x.astype(self.dtype, copy=False)
        return x.reshape((len(indices),) + tuple(self.size))


# ------------------------------------------------------------------ batches made ahead


class prefetch:
    """The items of `data`, made by a background thread while the last ones are in use; up to `depth` wait.

    >>> list(prefetch([1, 2, 3]))
    [1, 2, 3]
    """

    def __init__(self, data, depth=2):
        self.data, self.depth = data, _count("prefetch, for depth,", depth, 1)

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        worker = _Worker(iter(self.data), self.depth, current())
        try:
            yield from worker.items()
        finally:                            # the end, an error, or the consumer has gone
            worker.stop()


class _Worker:
    """A thread that puts items into a queue until it is told to stop."""

    def __init__(self, it, depth, device):
        self.queue, self.stopped = queue.Queue(depth), threading.Event()
        self.thread = threading.Thread(target=self.run, args=(it, device), name="minicnn-prefetch", daemon=True)
        atexit.register(self.stop)          # a daemon thread must not be inside native code when Python ends
        self.thread.start()

    def run(self, it, device):
        stay_on(device)
        try:
            for item in it:
                if not self.put((item, None)):
                    return
            self.put((None, StopIteration()))
        except BaseException as e:
            self.put((None, e))

    def put(self, entry):
        while not self.stopped.is_set():
            try:
                self.queue.put(entry, timeout=0.1)
                return True
            except queue.Full:
                pass
        return False

    def items(self):
        while True:
            alive = self.thread.is_alive()
            try:
                item, end = self.queue.get(timeout=1)
            except queue.Empty:
                if alive:
                    continue
                raise RuntimeError("the prefetching thread is gone, as after a fork: iterate again") from None
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield item

    def stop(self):
        self.stopped.set()
        atexit.unregister(self.stop)
        while not self.queue.empty():       # wakes a thread that waits for room
            try:
                self.queue.get_nowait()
            except queue.Empty:
                break
        if self.thread is not threading.current_thread():
            self.thread.join(timeout=10)
