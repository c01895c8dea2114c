"""minibatch and Data: what is in a batch, and in which order."""
import numpy as np
import pytest

import minicnn as mc


def arrays(n=10, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, 4, 3))
    return x, np.arange(n)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("batchsize", [1, 3, 5, 10])
def test_each_instance_once_with_its_label(batchsize, partial, shuffle):
    x, y = arrays()
    data = mc.minibatch(x, y, batchsize, shuffle=shuffle, partial=partial)
    for _ in range(2):
        batches = list(data)
        sizes = [batchsize] * (10 // batchsize) + [10 % batchsize] * (partial and 10 % batchsize > 0)
        assert len(data) == len(batches) and [len(b) for _, b in batches] == sizes
        seen = np.concatenate([b for _, b in batches])
        assert len(set(seen)) == len(seen) and (shuffle or list(seen) == list(range(len(seen))))
        for bx, by in batches:
            assert np.array_equal(bx, x[by].astype("float32"))


def test_types():
    x, y = arrays()
    (bx, by), = mc.minibatch(x, y, 10)
    assert bx.dtype == "float32" and by.dtype == y.dtype
    (bx, by), = mc.minibatch(x, x, 10)
    assert bx.dtype == by.dtype == "float32"
    (bx, by), = mc.minibatch(x, x, 10, xtype="float64")
    assert bx.dtype == by.dtype == "float64"
    (bx, by), = mc.minibatch(x, y, 10, xtype=None, ytype="float32")
    assert bx.dtype == "float64" and by.dtype == "float32"
    bx, = mc.minibatch(np.full((2, 3), 200, "uint8"), 2)
    assert bx.dtype == "float32" and bx.max() == 200
    bx, = mc.minibatch([[1.0, 2.0], [3.0, 4.0]], batchsize=2)
    assert bx.tolist() == [[1, 2], [3, 4]]


def test_batches_are_copies():
    x = np.zeros((4, 2), "float32")
    for batch in mc.minibatch(x, 2):
        batch += 1
    assert not x.any()


def test_shapes():
    x, y = arrays()
    for bx, by in mc.minibatch(x, y, 4, partial=True, xsize=(-1, 2, 2, 3), ysize=(-1, 1)):
        assert bx.shape == (len(by), 2, 2, 3) and by.shape == (len(by), 1)
        assert np.array_equal(bx.reshape(-1, 4, 3), x[by[:, 0]].astype("float32"))


def test_mapped_from_a_file(tmp_path):
    x, y = arrays()
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for bx, by in mc.minibatch(mapped, y, 3, shuffle=True):
        assert type(bx) is np.ndarray and np.array_equal(bx, x[by].astype("float32"))


def orders(data, passes):
    return [np.concatenate(list(data)).tolist() for _ in range(passes)]


def test_order_is_a_function_of_seed_and_pass():
    y = np.arange(50)
    make = lambda seed=None: mc.minibatch(y, 10, shuffle=True, seed=seed, xtype=None)
    a = orders(make(3), 3)
    assert a == orders(make(3), 3) and a != orders(make(4), 3)
    assert len({tuple(order) for order in a}) == 3 and all(sorted(order) == list(y) for order in a)
    late = make(3)
    late.passes = 2
    assert orders(late, 1) == a[2:]
    mc.seed(1)
    first = orders(make(), 2) + orders(make(), 2)
    mc.seed(1)
    assert first == orders(make(), 2) + orders(make(), 2)
    assert first[0] != first[2]                         # two data sets do not share an order


def test_two_passes_at_once():
    data = mc.minibatch(np.arange(12), 3, shuffle=True, seed=0, xtype=None)
    pairs = list(zip(data, data))
    again = orders(mc.minibatch(np.arange(12), 3, shuffle=True, seed=0, xtype=None), 2)
    assert [np.concatenate(side).tolist() for side in zip(*pairs)] == again


class Images(mc.Data):
    """As one would read photos: an array and a name for each, and a pair of arrays as target."""

    def batch(self, indices):
        noise = np.random.default_rng([self.seed, self.passes, indices[0]]).standard_normal(len(indices))
        return indices.astype("float32") + noise, (indices, indices * 2), "names"


def test_a_subclass_makes_its_own_batches():
    data = Images(7, 2, shuffle=True, partial=True, seed=5)
    batches = list(data)
    assert len(batches) == len(data) == 4 and repr(data) == "Images(4 batches of 2, 7 instances)"
    assert sorted(np.concatenate([y[0] for _, y, _ in batches])) == list(range(7))
    assert all(np.array_equal(y[0] * 2, y[1]) and name == "names" for _, y, name in batches)
    again = list(mc.prefetch(Images(7, 2, shuffle=True, partial=True, seed=5)))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(batches, again))
    with pytest.raises(TypeError, match="give it a method batch"):
        next(iter(mc.Data(3, 1)))


def test_batches_go_to_the_device_in_force(monkeypatch):
    moved = []
    monkeypatch.setattr("minicnn.train.data.to", lambda name, x: moved.append(name) or x)
    list(mc.minibatch(np.zeros((4, 1)), np.arange(4), 2))
    assert moved == ["cpu"] * 4


@pytest.mark.parametrize("call, error, text", [
    (lambda x, y: mc.minibatch(x, y), TypeError, "needs a batchsize"),
    (lambda x, y: mc.minibatch(x, y[:9], 2), ValueError, r"x of shape \(10, 4, 3\) and y of shape \(9,\)"),
    (lambda x, y: mc.minibatch(x, y, 11), ValueError, "10 instances give no batch of 11.*partial=True"),
    (lambda x, y: mc.minibatch(x[:0], 1, partial=True), ValueError, "0 instances give no batch"),
    (lambda x, y: mc.minibatch(x, 0), ValueError, "whole number >= 1, got 0"),
    (lambda x, y: mc.minibatch(x, 2.5), TypeError, "batchsize"),
    (lambda x, y: mc.minibatch(x, y, 2, seed=-1), ValueError, "whole number >= 0, got -1"),
    (lambda x, y: mc.minibatch(3.0, 2), TypeError, "instances along axis 0"),
    (lambda x, y: mc.minibatch(np.array(["a", "b"]), 2), TypeError, "array of numbers"),
    (lambda x, y: mc.minibatch(x, 2, xsize=(-1, 5)), ValueError, r"xsize=\(-1, 5\) for x of shape \(10, 4, 3\)"),
    (lambda x, y: mc.minibatch(x, 2, shufle=True), TypeError, "shufle"),
])
def test_wrong_calls(call, error, text):
    with pytest.raises(error, match=text):
        call(*arrays())
