"""The one map over threads."""
import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor

__all__ = ["ahead"]


def ahead(f, items, workers):
    """f(item) for each item, in order, computed by so many threads a little ahead; 0: by this thread.

    Few results wait at once, however many items there are.

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
    finally:                                # the end, an error, or nobody wants the rest
        for future in waiting:
            future.cancel()
        pool.shutdown()
