"""The Jetson paper's checkpoint against what its own framework computed with it; and checkpoints that lie."""
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from colorize import models
from colorize.weights import importers, tensorbundle


def published():
    folder = os.environ.get("COLORIZE_DATA")
    if not folder:
        pytest.skip("COLORIZE_DATA is not set: it names the folder with published/jetson")
    return Path(folder, "published", "jetson")


@pytest.mark.parametrize("given", ["", "trainied_weights_epoch_12", "trainied_weights_epoch_12.index"])
def test_the_published_checkpoint_computes_what_it_did(given):
    model = models.build("jetson")
    said = importers.load(published() / given, model)
    assert "40 arrays of jetson" in said
    reference = np.load(published() / "reference.npz")
    for L, ab in (("L", "ab"), ("L_odd", "ab_odd")):                # the odd one is 37 x 51, and comes out as 40 x 56
        assert model(reference[L]).shape == reference[ab].shape
        assert np.abs(model(reference[L]) - reference[ab]).max() < 1e-5
        assert np.abs(model.fused()(reference[L]) - reference[ab]).max() < 1e-5


def test_a_model_that_does_not_fit_stays_as_it_was():
    for options, message in (
            ({"width": 0.5}, r"kernel has shape \(3, 3, 1, 75\) in the file, expected \(3, 3, 1, 38\)"),
            ({"batchnorm": False}, "extra decoder/layer_list/1/beta")):
        model = models.build("jetson", **options)
        before = [p.value.copy() for p in mc.params(model)]
        with pytest.raises(ValueError, match=message):
            importers.load(published(), model)
        assert all(np.array_equal(a, p.value) for a, p in zip(before, mc.params(model)))
    with pytest.raises(ValueError, match="tensorflow file, .* jetson, .* nano"):
        importers.load(published(), models.build("nano"))


# ------------------------------------------------------------------ checkpoints made here


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def slow_crc(data):
    """CRC-32C bit by bit."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    crc ^= 0xffffffff
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def block(entries):
    data = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
    return data + struct.pack("<II", 0, 1)


def write(folder, arrays, mangle=lambda name, entry: entry, compressed=0):
    """A checkpoint of these arrays, as TensorFlow writes it; `mangle` may change the fields of an entry."""
    data, entries = b"", [(b"", field(1, 1) + field(2, 0))]
    for name, x in sorted(arrays.items()):
        raw = x.astype("<f4").tobytes()
        shape = b"".join(field(2, field(1, n)) for n in x.shape)
        entry = mangle(name, {1: 1, 2: shape, 4: len(data), 5: len(raw), 6: slow_crc(raw)})
        coded = b"".join(varint(6 << 3 | 5) + struct.pack("<I", v) if k == 6 else field(k, v)
                         for k, v in entry.items())
        entries.append((name.encode() + tensorbundle.SUFFIX.encode(), coded))
        data += raw
    out = b""

    def add(b):
        nonlocal out
        at = varint(len(out)) + varint(len(b))
        out += b + bytes([compressed]) + struct.pack("<I", slow_crc(b + bytes([compressed])))
        return at
    middle = len(entries) // 2
    handles = [(part[-1][0], add(block(part))) for part in (entries[:middle], entries[middle:]) if part]
    meta, index = add(block([])), add(block(handles))
    out += (meta + index).ljust(40, b"\0") + struct.pack("<Q", tensorbundle.MAGIC)
    (folder / "model.index").write_bytes(out)
    (folder / "model.data-00000-of-00001").write_bytes(data)
    return folder / "model"


ARRAYS = {"a/kernel": np.arange(24.0).reshape(2, 3, 4), "a/bias": np.array(5.0), "b/" + "n" * 200: np.ones(7)}


def test_checkpoints_made_here(tmp_path):
    stored = tensorbundle.read(str(write(tmp_path, ARRAYS)))
    assert set(stored) == set(ARRAYS)
    for name, x in ARRAYS.items():
        assert stored[name].shape == x.shape and np.array_equal(stored[name].read(), x)


@pytest.mark.parametrize("entry, message", [
    ({5: 92}, r"shape \(2, 3, 4\) and needs 96 bytes, got 92"), ({4: 1 << 40}, "ends at byte"), ({6: 1}, "checksum"),
    ({2: field(2, field(1, 1 << 62))}, "got 96"), ({2: 5}, "got 96"),
])
def test_entries_that_lie(tmp_path, entry, message):
    def mangle(name, fields):
        return {**fields, **entry} if name == "a/kernel" else fields
    prefix = str(write(tmp_path, ARRAYS, mangle))
    with pytest.raises(ValueError, match=message):
        tensorbundle.read(prefix)["a/kernel"].read()


def test_a_compressed_index_and_shards_that_are_missing(tmp_path):
    with pytest.raises(ValueError, match="compressed"):
        tensorbundle.read(str(write(tmp_path, ARRAYS, compressed=1)))
    prefix = write(tmp_path, ARRAYS, lambda name, fields: {**fields, 3: 7})
    with pytest.raises(FileNotFoundError, match="model.data-00007-of-00001"):
        tensorbundle.read(str(prefix))["a/kernel"].read()


def test_names_that_would_fill_the_memory(tmp_path):
    """Keys share their beginning with the one before: a few bytes could stand for a long name, again and again."""
    long = b"x" * 2000
    data = varint(0) + varint(2000) + varint(0) + long + (varint(2000) + varint(0) + varint(0)) * 1000
    data += struct.pack("<II", 0, 1)
    with pytest.raises(ValueError, match="1024 bytes"):
        tensorbundle.block(data + b"\0" + struct.pack("<I", slow_crc(data + b"\0")), 0, len(data), 10)


def test_damage_anywhere_is_one_sentence(tmp_path):
    """Each byte of the index changed, and the file cut short anywhere: an error that says so, or the same arrays."""
    prefix = write(tmp_path, {"a": np.ones(3), "b": np.zeros((2, 2))})
    whole = (tmp_path / "model.index").read_bytes()
    rng = np.random.default_rng(0)
    for i in range(len(whole)):
        changed = bytearray(whole)
        changed[i] ^= int(rng.integers(1, 256))
        for data in (bytes(changed), whole[:i]):
            (tmp_path / "model.index").write_bytes(data)
            try:
                stored = tensorbundle.read(str(prefix))
            except ValueError as e:
                assert "index" in str(e)
            else:
                assert set(stored) <= {"a", "b"}


def test_which_checkpoint_of_a_folder(tmp_path):
    prefix = write(tmp_path, ARRAYS)
    assert tensorbundle.prefix_of(tmp_path) == str(prefix) == tensorbundle.prefix_of(f"{prefix}.index")
    assert tensorbundle.prefix_of(f"{prefix}.data-00000-of-00001") == str(prefix)
    assert tensorbundle.prefix_of(tmp_path / "other") is None
    shutil.copy(tmp_path / "model.index", tmp_path / "other.index")
    with pytest.raises(ValueError, match="several checkpoints, model.index, other.index: name one"):
        tensorbundle.prefix_of(tmp_path)
