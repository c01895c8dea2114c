"""TensorFlow checkpoints (TensorBundle): `NAME.index`, a LevelDB table of where each tensor lies, and `NAME.data-*`.

Both are read without TensorFlow. Nothing in them can run. Offsets and sizes are checked against the files, contents
against their checksums.
"""
import os
import struct

import numpy as np

from .stored import Stored, check_size

__all__ = ["prefix_of", "read"]

MAGIC = 0xdb4775248b80fb57
MOST = 1 << 24                              # bytes of an index; large networks have a few hundred thousand
MOST_ENTRIES, LONGEST_NAME = 100_000, 1024  # names share prefixes, so a small index could hold much text
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}        # TensorFlow's numbers; the others are no weights
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def prefix_of(path):
    """The path of a checkpoint without .index, for its .index file, a data file, that path itself, or a folder with
    one checkpoint; None if there is none."""
    path = os.fspath(path)
    if os.path.isdir(path):
        found = sorted(name for name in os.listdir(path) if name.endswith(".index"))
        if len(found) > 1:
            raise ValueError(f"{path} has several checkpoints, {', '.join(found)}: name one of them")
        return os.path.join(path, found[0][:-len(".index")]) if found else None
    for prefix in (path, path[:-len(".index")] if path.endswith(".index") else path.rpartition(".data-")[0]):
        if prefix and os.path.isfile(prefix + ".index"):
            return prefix
    return None


def read(prefix):
    """{name: Stored} of the tensors of a checkpoint; names end before "/.ATTRIBUTES"."""
    size = os.path.getsize(prefix + ".index")
    if size > MOST:
        raise ValueError(f"{prefix}.index has {size} bytes, and a checkpoint that fits here has at most {MOST}")
    with open(prefix + ".index", "rb") as file:
        entries = table(file.read())
    header = Message(entries.pop(b"", b""))
    shards = header.number(1)
    if header.number(2) != 0:
        raise ValueError(f"a big-endian machine wrote {prefix}.index, whose numbers this reader does not know")
    stored = {}
    for key, value in entries.items():
        name = key.decode("utf-8", "replace")
        name = name[:-len(SUFFIX)] if name.endswith(SUFFIX) else name
        stored[name] = tensor(prefix, shards, name, Message(value))
    return stored


def tensor(prefix, shards, name, entry):
    """The Stored of one BundleEntryProto."""
    shape = tuple(Message(dim).number(1) for dim in Message(entry.bytes(2)).all(2))
    shard, offset, size, checksum = (entry.number(n) for n in (3, 4, 5, 6))
    dtype = DTYPES.get(entry.number(1))
    if dtype is None or entry.all(7):
        return Stored(shape, None, None)                            # text, or in slices: it is listed, but not read
    check_size(name, shape, np.dtype(dtype).itemsize, size)
    path = f"{prefix}.data-{shard:05d}-of-{shards:05d}"

    def get():
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            if offset + size > end:
                raise ValueError(f"{name} ends at byte {offset + size} of {path}, which has only {end} bytes")
            file.seek(offset)
            data = file.read(size)
        if masked_crc(data) != checksum:
            raise ValueError(f"{name} in {path} is damaged: its checksum does not fit")
        return np.frombuffer(data, dtype).reshape(shape)
    return Stored(shape, np.dtype(dtype), get)


# ------------------------------------------------------------------ LevelDB's table


def table(data):
    """{key: value} of the whole table."""
    if len(data) < 48 or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise ValueError("this is no checkpoint index: its last bytes are not those of a table")
    _, at = handle(data, len(data) - 48)
    (offset, size), _ = handle(data, at)
    found, left, room = {}, MOST_ENTRIES, len(data)
    for _, value in block(data, offset, size, left):
        (offset, size), _ = handle(value, 0)
        room -= size
        if room < 0:
            raise ValueError("the checkpoint index is damaged: its blocks overlap")
        pairs = block(data, offset, size, left)
        left -= len(pairs)
        found.update(pairs)
    return found


def handle(data, at):
    """((offset, size), where it ends) of a pointer to a block."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def block(data, offset, size, most):
    """The (key, value) pairs of the block there. A key shares its first bytes with the key before."""
    end = offset + size
    if end + 5 > len(data) or size < 4:
        raise ValueError(f"the checkpoint index is cut short: a block ends at byte {end} of {len(data)}")
    if data[end] != 0:
        raise ValueError("the checkpoint index is compressed, which this reader does not know: save it again with "
                         "TensorFlow, which does not compress it")
    if masked_crc(data[offset:end + 1]) != struct.unpack("<I", data[end + 1:end + 5])[0]:
        raise ValueError("the checkpoint index is damaged: a checksum does not fit")
    restarts = struct.unpack("<I", data[end - 4:end])[0]
    stop = end - 4 - 4 * restarts
    if stop < offset:
        raise ValueError("the checkpoint index is damaged: a block is too short for its restarts")
    at, key, pairs = offset, b"", []
    while at < stop:
        shared, at = varint(data, at)
        own, at = varint(data, at)
        length, at = varint(data, at)
        if shared > len(key) or at + own + length > stop:
            raise ValueError("the checkpoint index is damaged: an entry does not fit into its block")
        if shared + own > LONGEST_NAME or len(pairs) == most:
            raise ValueError(f"the checkpoint index has more than {MOST_ENTRIES} names, or names of more than "
                             f"{LONGEST_NAME} bytes: no model here has such weights")
        key = key[:shared] + data[at:at + own]
        pairs.append((key, data[at + own:at + own + length]))
        at += own + length
    return pairs


# ------------------------------------------------------------------ protocol buffers, checksums


def varint(data, at):
    """(an unsigned number, in 7 bits of each byte; where it ends)."""
    result = 0
    for i in range(10):
        if at + i >= len(data):
            break
        result |= (data[at + i] & 127) << 7 * i
        if data[at + i] < 128:
            return result, at + i + 1
    raise ValueError("the checkpoint index is damaged: a number does not end")


class Message:
    """A protocol buffer: its fields by number. Texts and nested messages are bytes."""

    def __init__(self, data):
        self.fields, at = [], 0
        while at < len(data):
            tag, at = varint(data, at)
            kind = tag & 7
            size = {1: 8, 5: 4}.get(kind)
            if kind == 0:
                value, at = varint(data, at)
            else:
                if kind == 2:
                    size, at = varint(data, at)
                if size is None or at + size > len(data):
                    raise ValueError("the checkpoint index is damaged: a field does not fit into its message")
                value, at = data[at:at + size], at + size
                value = value if kind == 2 else int.from_bytes(value, "little")
            self.fields.append((tag >> 3, value))

    def number(self, n):
        """The number in field n; 0 if there is none."""
        return next((v for k, v in self.fields if k == n and isinstance(v, int)), 0)

    def all(self, n):
        """The bytes of each field n."""
        return [v for k, v in self.fields if k == n and isinstance(v, bytes)]

    def bytes(self, n):
        return (self.all(n) or [b""])[0]


def _crc_table():
    values = np.arange(256, dtype="uint32")
    for _ in range(8):
        values = np.where(values & 1, (values >> 1) ^ np.uint32(0x82f63b78), values >> 1)
    return values.tolist()


def masked_crc(data):
    """CRC-32C as LevelDB stores it."""
    crc, steps = 0xffffffff, _crc_table()
    for byte in data:
        crc = steps[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xffffffff
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff
