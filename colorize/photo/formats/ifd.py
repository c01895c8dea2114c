"""Tags as in TIFF and EXIF: a directory (IFD) of entries, some of which are directories again.

A tree is {tag: (type, count, data)}; data are the bytes of the values as in the file, or a tree.
"""
import struct

from ..photo import Unreadable
from .found import METADATA

__all__ = ["DESCRIPTIVE", "EXIF", "header", "long", "of_bytes", "pack", "short", "tree", "values"]

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL = 254, 256, 257, 258, 259, 262, 266
OFFSETS, ORIENTATION, SAMPLES, ROWS, COUNTS, X_DOTS, Y_DOTS, PLANAR = 273, 274, 277, 278, 279, 282, 283, 284
UNIT, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_COUNTS = 296, 317, 322, 323, 324, 325
BELOW, EXTRA, FORMAT, SUBSAMPLING, XMP, IPTC, ICC, RAW = 330, 338, 339, 530, 700, 33723, 34675, 50706

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
EXIF = 0x8769
NESTED = EXIF, 0x8825, 0xA005                           # EXIF, GPS, interoperability
DEPTH = 3
# They describe a photo, not how its pixels are stored: texts, camera, dates, names; Windows' titles and ratings.
DESCRIPTIVE = {269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, EXIF, 0x8825, 0x4746, 0x4749,
               *range(0x9C9B, 0x9CA0)}


def header(data):
    """(order, big, first): "<" or ">", is it a BigTIFF?, where the first directory is. None if it is no TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None or len(data) < 8:
        return None
    version, = struct.unpack_from(order + "H", data, 2)
    if version == 43 and len(data) >= 16:
        return order, True, struct.unpack_from(order + "Q", data, 8)[0]
    return (order, False, struct.unpack_from(order + "I", data, 4)[0]) if version == 42 else None


def tree(fetch, order, at, big=False, wanted=None, budget=None, depth=0):
    """(tree, next): the directory at `at`, and the place of the next one (0 if there is none).

    fetch(offset, n) gives n bytes of the file, or fewer at its end. An entry that reaches beyond the end is left out.
    If all entries together, wanted or not, have more than METADATA bytes, the file is refused: Pillow would read them
    all, and thousands may name the same nested directory. `budget` is [the bytes that are left].
    """
    budget = [METADATA] if budget is None else budget
    count_as, entry_as, offset_as = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    counted = fetch(at, struct.calcsize(order + count_as))
    if len(counted) < struct.calcsize(order + count_as):
        raise Unreadable("its tags would lie beyond its end")
    n, step = struct.unpack(order + count_as, counted)[0], struct.calcsize(order + entry_as)
    if n > 65535:
        raise Unreadable(f"it declares {n} tags: at most 65535 are read")
    body = fetch(at + len(counted), n * step + struct.calcsize(order + offset_as))
    budget[0] -= len(body)
    found = {}
    for i in range(min(n, len(body) // step)):
        tag, kind, count, value = struct.unpack_from(order + entry_as, body, i * step)
        size = SIZES.get(kind, 0) * count
        budget[0] -= size
        if budget[0] < 0:
            raise Unreadable(f"its tags declare more than {METADATA >> 20} MB")
        where = struct.unpack(order + offset_as, value)[0]
        if tag in NESTED:
            if depth < DEPTH and kind in (4, 13, 16, 18):
                below = _below(fetch, order, where, big, budget, depth + 1)
                found.update({tag: (4, 1, below)} if below and (wanted is None or tag in wanted) else {})
        elif size and (wanted is None or tag in wanted):
            data = value[:size] if size <= len(value) else fetch(where, size)
            found.update({tag: (kind, count, data)} if len(data) == size else {})
    rest = body[n * step:]
    return found, struct.unpack(order + offset_as, rest)[0] if len(rest) == struct.calcsize(order + offset_as) else 0


def _below(fetch, order, at, big, budget, depth):
    """The tree of a nested directory; {} if it is damaged, so that only its own tags are lost."""
    try:
        return tree(fetch, order, at, big, None, budget, depth)[0]
    except Unreadable:
        if budget[0] < 0:
            raise
        return {}


def of_bytes(blob, wanted=None):
    """(tree, order) of an EXIF structure; ({}, "<") if it is none."""
    found = header(blob)
    if found is None:
        return {}, "<"
    order, big, at = found
    try:
        return tree(lambda offset, n: blob[offset:offset + n], order, at, big, wanted)[0], order
    except Unreadable:
        return {}, order


def values(found, tag, order, default=()):
    """The integers of a tag, as a tuple."""
    kind, count, data = found.get(tag, (0, 0, b""))
    if kind not in INTEGERS or not isinstance(data, bytes):
        return default
    return struct.unpack(f"{order}{count}{INTEGERS[kind]}", data)


def short(order, *numbers):
    """An entry of 16-bit numbers."""
    return 3, len(numbers), struct.pack(f"{order}{len(numbers)}H", *numbers)


def long(order, *numbers):
    """An entry of 32-bit numbers."""
    return 4, len(numbers), struct.pack(f"{order}{len(numbers)}I", *numbers)


def pack(found, order, at):
    """The bytes of a tree for the place `at` (even) of a file: its directory, then data and nested directories."""
    found = {tag: entry for tag, entry in found.items() if entry[0] < 16}         # BigTIFF's own types do not fit
    behind = at + 2 + 12 * len(found) + 4
    entries, rest = [], b""
    for tag, (kind, count, data) in sorted(found.items()):
        if isinstance(data, dict):
            data = pack(data, order, behind + len(rest))
            short = False
        else:
            short = len(data) <= 4
        value = data.ljust(4, b"\0") if short else struct.pack(order + "I", behind + len(rest))
        rest += b"" if short else data + b"\0" * (len(data) % 2)
        entries.append(struct.pack(order + "HHI", tag, kind, count) + value)
    return struct.pack(order + "H", len(entries)) + b"".join(entries) + struct.pack(order + "I", 0) + rest
