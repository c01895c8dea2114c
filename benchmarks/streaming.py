"""How many photos a second reach a model: from JPEGs, from a pack, and drawn; random crops, flips and Lab included.

    COLORIZE_DATA=... python -m benchmarks.streaming            # its photos/, or --photos FOLDER
"""
import argparse
import os
import re
import tempfile
import time
from pathlib import Path

from colorize.color.spaces import rgb_to_lab
from colorize.data.augment import Augment
from colorize.data.folder import Photos
from colorize.data.pack import Packed, pack
from colorize.data.scenes import Scenes

from . import report

PACKED = 144                # the short side of packed photos, from which 128 x 128 are cropped


def private_mb():
    """Memory of this process that is no file's, in MB: a mapped pack is the system's to drop. None if not known."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found.group(1)) / 1e3 if found else None


def measure(data, most=None):
    """One pass over the data, or `most` pictures of it, as a row of the table: after a first few batches, which
    compile the kernels and fill the buffers."""
    batches = iter(data)
    for _ in range(min(8, len(data) // 4)):
        next(batches)
    memory, start, cpu, n = [private_mb()], time.perf_counter(), time.process_time(), 0
    for batch in batches:
        n += len(batch)
        if n % (50 * len(batch)) == 0:
            memory.append(private_mb())
        if most and n >= most:
            break
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    known = [m for m in memory if m is not None]
    return {"pictures": n, "rate": n / seconds, "cpu": cpu / n, "memory": (known[0], max(known)) if known else None}


def row(title, found, threads):
    memory = "?" if found["memory"] is None else "{:,.0f} to {:,.0f} MB".format(*found["memory"])
    return (f"| {title} | {found['pictures']:,} | {found['rate']:,.0f}/s | {found['cpu'] * 1e3:.2f} ms | "
            f"{threads / found['cpu']:,.0f}/s | {memory} |")


def table(photos, size, batch, workers, scenes, folder):
    """The rows, each as soon as it is known."""
    options = {"batch": batch, "workers": workers, "seed": 1, "then": rgb_to_lab}
    yield "| | pictures | measured | processor time each | at most, alone on the machine | memory, first to most |"
    yield "|---|---|---|---|---|---|"
    if photos:
        changes = {"crop": "random", "augment": Augment(flip=0.5)}
        found = measure(Photos(photos, size, **changes, **options))
        yield row("JPEGs: decode, resize, crop, flip, Lab, batch", found, workers)
        packed = os.path.join(folder, "photos.pack")
        start = time.perf_counter()
        n = pack(photos, packed, max(PACKED, size), workers=workers, report=lambda sentence: None)
        took = time.perf_counter() - start
        yield row("pack: crop, flip, Lab, batch", measure(Packed(packed, size, **changes, **options)), workers)
    for side in (64, size):
        yield row(f"scenes, {side} px: draw, Lab, batch", measure(Scenes(size=side, **options), scenes), workers)
    if photos:
        yield f"\nPacking {n:,} photos took {took:.0f} s."


def arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__.split("\n")[0])
    data = os.environ.get("COLORIZE_DATA")
    parser.add_argument("--photos", default=os.path.join(data, "photos") if data else None,
                        help="a folder or a list file; by default photos/ of COLORIZE_DATA")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=600, help="how many are drawn")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="keep the table there, as streaming-<cpu>.md")
    return parser.parse_args(argv)


def main(argv=None):
    given = arguments(argv)
    if not given.photos:
        print("no photos: set COLORIZE_DATA or give --photos; only scenes are measured")
    lines, before = [], report.busy()
    with tempfile.TemporaryDirectory() as folder:
        for line in table(given.photos, given.size, given.batch, given.workers, given.scenes, folder):
            print(line, flush=True)
            lines.append(line)
    title = (f"{given.size} x {given.size} pixels, batches of {given.batch}, {given.workers} threads, "
             f"{report.now()}; cores that other programs kept busy before and after: {before}, {report.busy()}.\n")
    print("\n" + title)
    if given.out:
        name = "streaming-" + re.sub(r"[^a-z0-9]+", "-", report.cpu_name().lower()).strip("-") + ".md"
        report.atomically(given.out / name, "\n".join([title, *lines]) + "\n")


if __name__ == "__main__":
    main()
