"""What each kernel takes of each GPU: python -m benchmarks.kernels.resources writes results/resources.md.

Registers, shared memory and spills are the compiler's own numbers (tests/nvrtc.py); occupancy, the share of a
multiprocessor's threads that can be there at a time, follows from them.
"""
import argparse
from collections import defaultdict, namedtuple
from pathlib import Path

from minicnn.cuda import launcher as cuda
from tests import nvrtc

from ..report import atomically
from . import plans
from .launches import ROOT

TABLE = ROOT / "benchmarks" / "results" / "resources.md"

Core = namedtuple("Core", "threads blocks shared reserved step")
Core.__doc__ = """A multiprocessor: most threads, most blocks, bytes of shared memory, how many of those each block
loses to the system, and in which steps shared memory is given out. All have 65,536 registers."""
CORES = {53: Core(2048, 32, 64 << 10, 0, 256), 75: Core(1024, 16, 64 << 10, 0, 256),
         86: Core(1536, 16, 100 << 10, 1024, 128), 89: Core(1536, 24, 100 << 10, 1024, 128),
         90: Core(2048, 32, 228 << 10, 1024, 128)}
NAMES = {53: "sm_53 (Jetson Nano)", 75: "sm_75 (T4)", 86: "sm_86 (RTX 3070 Ti)", 89: "sm_89 (RTX 4090)",
         90: "sm_90 (H100, H200)"}


def up(n, step):
    return -(-n // step) * step


def occupancy(arch, block, used):
    """Threads that a multiprocessor can hold of this kernel, as a share of the most."""
    core, warps = CORES[arch], -(-block // 32)
    by_registers = 65536 // up(used.registers * 32, 256) // 4 * 4 // warps      # warps get theirs four at a time
    by_shared = core.shared // max(1, up(used.shared + core.reserved, core.step))
    return min(core.blocks, core.threads // block, by_registers, by_shared) * block / core.threads


# ------------------------------------------------------------------ the table

SHORT = {"KH": "window", "SH": "stride", "DH": "dilation", "TOP": "padding"}
LEFT_OUT = {"KW", "SW", "DW", "LEFT"}       # where they equal their neighbours
TILE = ("TX", "TN", "TM")


def found(archs=tuple(CORES)):
    """{(file, kernel): {row: {arch: {tile: (Used, block)}}}}, and {(file, kernel, row): {(model, plan)}}.

    A row is the constants without those of the tile, which depends on the GPU.
    """
    rows, where = defaultdict(lambda: defaultdict(dict)), defaultdict(set)
    cases = [(arch, name, kind, launch) for arch in archs for name in plans.MODELS
             for kind, plan in plans.of_model(name, arch).items() for launch in plan]
    compiled = nvrtc.compile_all((unit(launch), arch) for arch, _, _, launch in cases)
    for arch, name, kind, launch in cases:
        answer = compiled[unit(launch), arch]
        if isinstance(answer, nvrtc.CompileError):
            raise SystemExit(str(answer))
        row = tuple((k, v) for k, v in launch.constants.items() if k not in TILE)
        tile = tuple(launch.constants[k] for k in TILE if k in launch.constants)
        rows[launch.file, launch.kernel][row].setdefault(arch, {})[tile] = answer[launch.kernel], launch.block
        where[launch.file, launch.kernel, row].add((name, kind))
    return rows, where


def unit(launch):
    return nvrtc.Unit(Path(launch.file).name, cuda.read(ROOT / launch.file), cuda.options(launch.constants))


def markdown(rows, where):
    out = ["# Registers, shared memory and occupancy of every kernel", "",
           "Written by `python -m benchmarks.kernels.resources`; computed by NVRTC 11.8, no GPU took part. The "
           f"kernels are those of the forward and the fused forward pass (an image of {plans.PIXELS} px) "
           f"and of a training step (batch {plans.BATCH}) of {', '.join(plans.MODELS)}. None spills or has local "
           "memory.", "",
           "`16x6x8: 111 r, 16.9 K, 25 %`: 16 threads along the channels with 6 channels and 8 pixels each; "
           "registers a thread, shared memory a block, and the share of a multiprocessor's threads that can be there "
           "at a time."]
    for file, kernel in sorted(rows):
        archs = sorted({arch for by_arch in rows[file, kernel].values() for arch in by_arch})
        out += ["", f"## {Path(file).name}: {kernel}", "",
                "| constants | launched by | " + " | ".join(NAMES[a] for a in archs) + " |",
                "|---" * (len(archs) + 2) + "|"]
        for cells, same in alike(rows[file, kernel], archs).items():
            names = launched(set().union(*(where[file, kernel, row] for row in same)))
            out.append(f"| {'; '.join(map(shown, same))} | {names} | " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def alike(rows, archs):
    """{cells: the rows of a kernel that have them}"""
    found = defaultdict(list)
    for row in sorted(rows, key=str):
        tiles = [sorted(rows[row].get(arch, {}).items()) for arch in archs]
        found[tuple("<br>".join(cell(arch, tile, *used) for tile, used in each)
                    for arch, each in zip(archs, tiles))].append(row)
    return found


def cell(arch, tile, used, block):
    shared = f"{used.shared / 1024:.1f} K, " if used.shared >= 100 else f"{used.shared} B, " * bool(used.shared)
    return ("x".join(map(str, tile)) + ": " if tile else "") + \
        f"{used.registers} r, {shared}{100 * occupancy(arch, block, used):.0f} %"


def shown(row):
    """Constants as people say them: 75 to 90 channels, window 3, stride 2."""
    given, words = dict(row), []
    if {"C", "K"} <= set(given):
        words.append(f"{given.pop('C')} to {given.pop('K')}")
    square = all(given.get(a) == given.get(b) for a, b in (("KH", "KW"), ("SH", "SW"), ("DH", "DW"), ("TOP", "LEFT")))
    for name, value in given.items():
        if square and (name in LEFT_OUT or (name in ("SH", "DH") and value == 1) or (name == "TOP" and value == 0)):
            continue
        if name in ("TRANSPOSED", "BIAS", "AFFINE"):
            words += [name.lower()] * value
        elif not (name == "ACTIVATION" and value == 0):
            words.append(f"{SHORT.get(name, name.lower()) if square else name.lower()} {value}")
    return ", ".join(map(str, words)) or "none"


def launched(where):
    """jetson (forward, training), zhang."""
    kinds = defaultdict(set)
    for name, kind in where:
        kinds[name].add(kind)
    return ", ".join(name + ("" if len(kinds[name]) == 3 else f" ({', '.join(sorted(kinds[name]))})")
                     for name in plans.MODELS if name in kinds)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels.resources",
                                     description=__doc__.split("\n")[0])
    parser.parse_args(argv)
    try:
        nvrtc.library()
    except ImportError as e:
        return str(e)
    rows, where = found()
    bad = [fault for (file, kernel), by_row in rows.items() for row, by_arch in by_row.items()
           for arch, tiles in by_arch.items() for used, block in tiles.values()
           for fault in [f"{file} {kernel} {dict(row)} sm_{arch}: {text}" for text in nvrtc.faults(used, block)]]
    if bad:
        return "\n".join(bad)
    atomically(TABLE, markdown(rows, where))
    print(TABLE)


if __name__ == "__main__":
    raise SystemExit(main())
