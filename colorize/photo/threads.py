"""How many threads, and the pieces of one photo on all of them."""
import os
from concurrent.futures import ThreadPoolExecutor

__all__ = ["cores", "each"]


def cores():
    """How many cores this process may use; the variable MINICNN_THREADS may ask for fewer or more."""
    asked = os.environ.get("MINICNN_THREADS", "")
    return max(1, int(asked)) if asked.isdigit() else len(os.sched_getaffinity(0)) if hasattr(
        os, "sched_getaffinity") else os.cpu_count() or 1


def each(task, starts):
    """task(start) of every start, in their order, on all cores, with few results waiting at once."""
    if len(starts) == 1:
        yield task(starts[0])
        return
    with ThreadPoolExecutor(cores()) as pool:
        waiting = []
        for start in starts:
            waiting.append(pool.submit(task, start))
            if len(waiting) > 2 * cores():
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
