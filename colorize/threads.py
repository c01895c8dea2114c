"""The one map over threads."""
import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor

__all__ = ["ahead"]


def ahead(f, items, workers):
    """f(item) for each item, in order. So many threads compute a little ahead; with 0, this thread computes.

    Only a few results wait at once, however many items there are.

    >>> list(ahead(abs, [-1, 2, -3], 2))
    [1, 2, 3]
    """
    if not workers:
        yield from map(f, items)
        return
    items, waiting = iter(items), deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="colorize")
    try:
        waiting.extend(pool.submit(f, item) for item in itertools.islice(items, 2 * workers))
        while waiting:
            made = waiting.popleft().result()
            waiting.extend(pool.submit(f, item) for item in itertools.islice(items, 1))
            yield made
    finally:                                # at the end, after an error, or if nobody wants the rest
        for future in waiting:
            future.cancel()
        pool.shutdown()
