"""ncycle cycle take takenth: passes are new ones, lengths are true, nothing is read too early."""
import numpy as np
import pytest

import minicnn as mc


class Source:
    """Counts its passes, and the items it was asked for."""

    def __init__(self, n):
        self.n, self.passes, self.asked = n, 0, 0

    def __len__(self):
        return self.n

    def __iter__(self):
        self.passes += 1
        for i in range(self.n):
            self.asked += 1
            yield self.passes, i


def test_ncycle():
    source = Source(3)
    it = mc.ncycle(source, 2)
    assert len(it) == 6
    assert list(it) == [(p, i) for p in (1, 2) for i in range(3)]
    assert list(it) == [(p, i) for p in (3, 4) for i in range(3)]
    assert list(mc.ncycle(source, 0)) == [] == list(mc.ncycle([], 5))


def test_cycle_asks_the_source_again():
    source = Source(3)
    it = mc.cycle(source)
    assert not hasattr(it, "__len__")
    assert list(mc.take(it, 7)) == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0)]
    assert list(mc.cycle([])) == []


def test_cycle_reshuffles():
    data = mc.minibatch(np.arange(32.0), 32, shuffle=True, seed=0)
    first, second = mc.take(mc.cycle(data), 2)
    assert sorted(first) == sorted(second) and not np.array_equal(first, second)


def test_take_asks_for_no_more():
    source = Source(5)
    it = mc.take(source, 2)
    assert len(it) == 2 and list(it) == [(1, 0), (1, 1)] and source.asked == 2
    assert list(it) == [(2, 0), (2, 1)]
    assert len(mc.take(source, 9)) == 5 == len(list(mc.take(source, 9)))
    assert len(mc.take(mc.cycle(source), 9)) == 9 == len(list(mc.take(mc.cycle(source), 9)))
    assert list(mc.take(source, 0)) == []


@pytest.mark.parametrize("n, length", [(1, 7), (2, 7), (3, 7), (7, 7), (8, 7), (3, 0)])
def test_takenth(n, length):
    source = Source(length)
    it = mc.takenth(source, n)
    assert [i for _, i in it] == [i for i in range(length) if (i + 1) % n == 0]
    assert len(it) == len(list(it)) and source.asked == 2 * length


def test_items_are_passed_on_unchanged():
    items = [np.zeros(2), (1, 2), None]
    for it in (mc.ncycle(items, 1), mc.take(items, 3), mc.takenth(items, 1), mc.take(mc.cycle(items), 3),
               mc.prefetch(items), mc.progress(items)):
        assert all(a is b for a, b in zip(it, items)) and len(list(it)) == 3


@pytest.mark.parametrize("make", [mc.ncycle, mc.take, mc.takenth])
@pytest.mark.parametrize("n", [-1, 1.5, "3", None, True])
def test_wrong_counts(make, n):
    with pytest.raises(ValueError, match=f"{make.__name__} needs a whole number"):
        make([1], n)


def test_a_generator_cannot_be_cycled():
    for make in (mc.cycle, lambda it: mc.ncycle(it, 2)):
        with pytest.raises(TypeError, match="got a generator, which can be iterated once only"):
            make(i for i in range(3))
        with pytest.raises(TypeError, match="something to iterate over, got int"):
            make(3)


def test_making_an_iterator_begins_no_pass():
    """So that data can go on in the middle of a training, whatever is around them."""
    data = mc.minibatch(np.arange(6.0), 2, shuffle=True, seed=1)
    data.passes = 3
    around = [mc.cycle(data), mc.ncycle(data, 2), mc.take(mc.cycle(data), 2)]
    assert data.passes == 3 and len(around) == 3
    assert len(list(mc.ncycle(data, 2))) == 6 and data.passes == 5
