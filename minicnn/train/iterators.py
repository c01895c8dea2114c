"""Iterators that can be iterated again: every pass asks the source afresh, so that data reshuffle.

`itertools.cycle` would not do: it remembers the first pass, keeps it in memory and replays it.
"""
import itertools

__all__ = ["cycle", "ncycle", "take", "takenth"]


def _count(name, n, least):
    if isinstance(n, bool) or not hasattr(n, "__index__") or n < least:
        raise ValueError(f"{name} needs a whole number >= {least}, got {n!r}")
    return int(n)


def _again(name, it):
    if not hasattr(it, "__iter__"):
        raise TypeError(f"{name} needs something to iterate over, got {type(it).__name__}")
    if hasattr(it, "__next__"):             # iter(it) would begin a pass
        raise TypeError(f"{name} got a {type(it).__name__}, which can be iterated once only: "
                        "give it minibatches, a list, or an object whose __iter__ starts anew")
    return it


class ncycle:
    """n passes over `it`.

    >>> list(ncycle("ab", 2)), len(ncycle("ab", 2))
    (['a', 'b', 'a', 'b'], 4)
    """

    def __init__(self, it, n):
        self.it, self.n = _again("ncycle", it), _count("ncycle", n, 0)

    def __len__(self):
        return self.n * len(self.it)

    def __iter__(self):
        for _ in range(self.n):
            yield from self.it


class cycle:
    """Endless passes over `it`, for `take` or `converge`. It has no length.

    >>> list(take(cycle("ab"), 3))
    ['a', 'b', 'a']
    """

    def __init__(self, it):
        self.it = _again("cycle", it)

    def __iter__(self):
        empty = False
        while not empty:
            empty = True
            for x in self.it:
                empty = False
                yield x


class take:
    """The first n items of `it`. Where `it` has no length, len is n: as many as there can be.

    >>> list(take(range(10), 2))
    [0, 1]
    """

    def __init__(self, it, n):
        self.it, self.n = it, _count("take", n, 0)

    def __len__(self):
        try:
            return min(self.n, len(self.it))
        except TypeError:
            return self.n

    def __iter__(self):
        return itertools.islice(self.it, self.n)


class takenth:
    """Every nth item of `it`: the nth, the 2nth ... `takenth(adam(f, data), 100)` trains on all, reports some.

    >>> list(takenth([1, 2, 3, 4, 5], 2))
    [2, 4]
    """

    def __init__(self, it, n):
        self.it, self.n = it, _count("takenth", n, 1)

    def __len__(self):
        return len(self.it) // self.n

    def __iter__(self):
        for i, x in enumerate(self.it, 1):
            if i % self.n == 0:
                yield x
