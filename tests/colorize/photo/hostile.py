"""Damaged and hostile files by the thousand, and a process with little memory that reads them.

    python -m tests.colorize.photo.hostile FOLDER SEED COUNT

Every file is read from the folder and, where that works, written in another format. The process prints a JSON object
with what happened, or dies, which the last line in FOLDER/now explains.
"""
import collections
import faulthandler
import functools
import io
import json
import os
import random
import resource
import struct
import sys
import time
import zlib

from PIL import Image

from colorize.photo.formats import webp
from colorize.photo.read import Unreadable, read
from colorize.photo.write import encode

from . import samples

MEMORY = 2 << 30            # bytes of address space, of which Python, NumPy and its threads take the most
SLOW = 5.0                  # seconds that no file may take
KINDS = "PNG", "JPEG", "TIFF", "WEBP", "BMP"
EXTREME = 0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF

# ------------------------------------------------------------------ damage


def damaged(data, others, rng):
    """The bytes of a file, damaged in one to three ways."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        data = rng.choice([flipped, cut, numbered, numbered, numbered, doubled, zeroed, grafted])(data, others, rng)
    return mended(data) if data[:4] == b"\x89PNG" and rng.random() < 0.7 else bytes(data)


def flipped(data, others, rng):
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def cut(data, others, rng):
    return data[:rng.randint(1, len(data))]


def numbered(data, others, rng):
    """An extreme number where one may stand, mostly near the beginning."""
    form = rng.choice("<> ".strip()) + rng.choice("BHHII")
    size = struct.calcsize(form)
    if len(data) > size:
        at = rng.randrange(min(len(data) - size, rng.choice([40, 300, 1 << 20])))
        struct.pack_into(form, data, at, rng.choice(EXTREME) & ((1 << 8 * size) - 1))
    return data


def doubled(data, others, rng):
    first, stop = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:stop] + data[first:stop] * rng.randint(1, 3) + data[stop:]


def zeroed(data, others, rng):
    first = rng.randrange(len(data))
    n = min(rng.randint(1, 64), len(data) - first)
    data[first:first + n] = bytes([rng.choice([0, 255])]) * n
    return data


def grafted(data, others, rng):
    """The beginning of this file, the end of another."""
    other = rng.choice(others)
    return data[:rng.randint(1, len(data))] + other[rng.randrange(len(other)):]


def mended(data):
    """A PNG whose checksums are right again, so that its decoder looks at what else is wrong."""
    at = 8
    while at + 12 <= len(data):
        length, = struct.unpack_from(">I", data, at)
        if at + 12 + length > len(data):
            break
        struct.pack_into(">I", data, at + 8 + length, zlib.crc32(data[at + 4:at + 8 + length]))
        at += 12 + length
    return bytes(data)


# ------------------------------------------------------------------ hostility


def entries(order, *tags, at=8):
    """A TIFF of these entries: (tag, type, count, value)."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, at)
    return head + struct.pack(order + "H", len(tags)) + b"".join(struct.pack(order + "HHII", *t) for t in tags)


def plain_tiff(w, h, *more, bits=8, compression=1):
    return entries("<", (256, 4, 1, w), (257, 4, 1, h), (258, 3, 1, bits), (259, 3, 1, compression), (262, 3, 1, 1),
                   (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, h), (279, 4, 1, 100), *more) + bytes(200)


def nested_tiff():
    """Sixty thousand tags that name the same directory, of as many tags."""
    n = 60000
    tag = struct.pack("<HHII", 34665, 4, 1, 8 + 2 + 12 * n + 4)
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", n) + tag * n + bytes(4)
            + struct.pack("<H", n) + struct.pack("<HHII", 1, 0, 0, 0) * n + bytes(4))


def overlapping_tiff():
    """Ten thousand directories of 65535 tags, each four bytes behind the one before."""
    head, n = plain_tiff(4, 4)[:118], 10000
    first, long = 122, 2 + 12 * 65535               # where the first of them is, and its next one's place
    data = bytearray(head + struct.pack("<I", first) + b"\xff\xff\0\0" * (n + long // 4 + 2))
    for i in range(n):
        struct.pack_into("<I", data, first + 4 * i + long, first + 4 * i + 4)
    return bytes(data)


@functools.lru_cache(None)
def bombs():
    """{name: bytes}: files that declare much more than they are."""
    big, bomb = (60000, 60000), zlib.compress(bytes(100 << 20), 9)
    jpeg = bytearray(samples.saved(samples.image(), "JPEG", progressive=True))
    size = jpeg.index(b"\xff\xc2") + 5
    huge = bytes(jpeg[:size]) + struct.pack(">HH", 65500, 65500) + bytes(jpeg[size + 4:])
    wide = bytes(jpeg[:size]) + struct.pack(">HH", 9000, 11000) + bytes(jpeg[size + 4:])
    first = wide.index(b"\xff\xda")
    scan = wide[first:wide.index(b"\xff", first + 20)]
    webp = bytearray(samples.saved(samples.image(), "WEBP", lossless=True))
    webp[21:25] = struct.pack("<I", 0x0FFFFFFF)
    bmp = bytearray(samples.rle_bmp())
    bmp[18:26] = struct.pack("<ii", 100_000_000, 1)
    many = b"".join(struct.pack("<HHII", 40000 + i, 1, 1 << 20, 8) for i in range(4000))
    empty = io.BytesIO()
    Image.new("L", (10000, 10000)).save(empty, "PNG")
    return {
        "png of 3.6 gigapixels": samples.png((*big, 8, 2, 0, 0, 0), (b"IDAT", bomb)),
        "png of 100 megapixels, empty": samples.png((10000, 10000, 8, 6, 0, 0, 0), (b"IDAT", zlib.compress(b""))),
        "png of 2^31": samples.png(((1 << 31) - 1, 1, 1, 0, 0, 0, 0), (b"IDAT", b"")),
        "png with zTXt": samples.png_of(samples.picture(4, 4), *[(b"zTXt", b"a\0\0" + bomb)] * 2),
        "png with iTXt": samples.png_of(samples.picture(4, 4), (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)),
        "png with iCCP": samples.png_of(samples.picture(4, 4), (b"iCCP", b"a\0\0" + bomb)),
        "png with more pixels than it says": samples.png((4, 4, 8, 0, 0, 0, 0), (b"IDAT", bomb)),
        "png of empty chunks": samples.png((4, 4, 8, 0, 0, 0, 0), *[(b"IDAT", b"")] * 50000),
        "jpeg of 4 gigapixels": huge, "jpeg of 99 megapixels": wide, "jpeg of many scans": wide[:first] + scan * 5000,
        "jpeg of fillers": b"\xff\xd8\xff\xe0" + b"\xff" * (1 << 20), "jpeg of segments": b"\xff\xd8" +
        b"\xff\xe1\x00\x02" * 300000, "webp of 16383 a side": bytes(webp), "bmp of one row": bytes(bmp),
        "bmp of runs": bytes(bmp[:1078]) + b"\0\2\xff\xff\xff\xff" * 1000,
        "tiff of 10^9": plain_tiff(1 << 30, 1 << 30),
        "tiff with a huge count": plain_tiff(4, 4, (320, 3, 0xFFFFFFFF, 8)),
        "tiff with many tags": b"II*\0\x08\0\0\0" + struct.pack("<H", 4000) + many + bytes(1 << 20),
        "tiff with huge tiles": plain_tiff(4, 4, (322, 4, 1, 1 << 30), (323, 4, 1, 1 << 30), (324, 4, 1, 8)),
        "tiff in a circle": plain_tiff(4, 4)[:118] + struct.pack("<I", 8) + bytes(100),
        "tiff of nested tags": nested_tiff(), "tiff of overlapping pages": overlapping_tiff(),
        "tiff with many samples": plain_tiff(4, 4, (277, 4, 1, 0xFFFFFF)),
        "tiff of 100 megapixels, lzw": plain_tiff(10000, 10000, compression=5),
        "tiff of 100 megapixels, fax": plain_tiff(10000, 10000, bits=1, compression=4),
        "exif in itself": samples.saved(samples.image(), "TIFF")[:8] + entries("<", (34665, 4, 1, 8))[8:] + bytes(64),
        "nothing": b"", "one byte": b"\xff", "text": b"no photo at all\n" * 100, "zeros": bytes(1 << 20),
        "gif": samples.saved(samples.image(), "GIF"), "heic": b"\0\0\0\x18ftypheic" + bytes(100),
        "png of 100 megapixels": empty.getvalue(),
    }


# ------------------------------------------------------------------ the process


def main(folder, seed, count):
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    rng = random.Random(seed)
    whole = list(samples.made().values())
    files = list(bombs().items())
    files += [(f"{i}", damaged(rng.choice(whole), whole, rng)) for i in range(count - len(files))]
    said, wrong, path = collections.Counter(), [], os.path.join(folder, "file")
    for i, (name, data) in enumerate(files):
        with open(os.path.join(folder, "now"), "w", encoding="utf-8") as f:
            f.write(f"file {name} of seed {seed}")
        with open(path, "wb") as f:
            f.write(data)
        start = time.process_time()         # the machine may be busy
        try:
            photo = read(path if i % 2 else data)
            if photo.pixels.size < 1 << 20:
                kind = KINDS[i % 5]
                encode(photo, "PNG" if kind == "WEBP" and max(photo.pixels.shape) > webp.SIDE else kind)
            said["photos"] += 1
        except Unreadable as e:
            said["refused"] += 1
            if "\n" in str(e) or len(str(e)) > 300 or not str(e):
                wrong.append(f"{name}: its sentence is {str(e)!r}")
        except Exception as e:
            wrong.append(f"{name}: {type(e).__name__}: {e}")
        if time.process_time() - start > SLOW:
            wrong.append(f"{name}: took {time.process_time() - start:.1f} s")
    print(json.dumps({**said, "wrong": wrong, "peak": peak()}))


def peak():
    """The most bytes that this process had. On Linux ru_maxrss begins with those of the process that started it."""
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
