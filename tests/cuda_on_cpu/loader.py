"""Compiles .cu text with g++ and calls its kernels on NumPy arrays.

Each kernel with its options becomes a shared library of its own, which is kept in a folder of this user's.
"""
import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
BASE = ["g++", "-fPIC", "-shared", "-w", "-fno-strict-aliasing", "-fno-math-errno"]
CHECK = ["-gdwarf-4", "-fsanitize=thread,bounds-strict,signed-integer-overflow,shift,integer-divide-by-zero,"
         "alignment,bool,float-cast-overflow"]              # but runtime.cpp is the sanitizers' library
KINDS = {"f": np.float32, "i": np.int32, "u": np.uint32, "b": np.uint8}
GUARD = 64 * 1024                           # bytes before and behind each argument that belong to nobody
_lock = threading.RLock()                   # the runtime is one for the process, and g++ had better run once a file


class CompileException(Exception):
    """As cupy.cuda.compiler's: the text is the compiler's."""


class KernelError(Exception):
    """What a kernel did wrong while it ran."""


class Dim3(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint)]


class Region(ctypes.Structure):
    """Memory that a kernel may touch, as runtime.cpp has it."""
    _fields_ = [("begin", ctypes.c_void_p), ("end", ctypes.c_void_p), ("element", ctypes.c_int),
                ("argument", ctypes.c_int), ("constant", ctypes.c_bool), ("cells", ctypes.c_void_p)]


@functools.lru_cache(maxsize=None)
def missing():
    """Why kernels cannot run here, or ""."""
    return "" if shutil.which("g++") else "g++ is not installed"


@functools.lru_cache(maxsize=None)
def _machine():
    """Flags for this machine: nvcc fuses multiply-adds, so g++ should where it can."""
    try:
        fma = re.search(r"^flags.*\bfma\b", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        fma = None
    version = subprocess.run(["g++", "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()[0]
    return ["-ffp-contract=fast"] + ["-mfma"] * bool(fma), version


@functools.lru_cache(maxsize=None)
def folder():
    """Where compiled kernels are kept: a folder that is this user's alone."""
    base = os.environ.get("XDG_CACHE_HOME") or tempfile.gettempdir()
    path = Path(base, f"minicnn-cuda-on-cpu-{os.getuid()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = os.lstat(path)
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or path.is_symlink():
        return Path(tempfile.mkdtemp(prefix="minicnn-cuda-on-cpu-"))
    return path


def _built(text, command, suffix):
    """The library of this C++ text, compiled unless it is there; several processes may do so at once."""
    header = (HERE / "cuda_cpu.h").read_text()
    key = hashlib.sha256("\0".join([header, text, *map(str, command), *_machine()[0], _machine()[1]]).encode())
    target = folder() / f"{key.hexdigest()[:32]}.so"
    if not target.exists():
        made = target.with_name(f"{target.stem}.{os.getpid()}.{threading.get_ident()}.so")
        source = made.with_suffix(suffix)
        source.write_text(text)
        try:
            done = subprocess.run([*BASE, *_machine()[0], "-I", str(HERE), str(source), *map(str, command), "-o",
                                   str(made)], stderr=subprocess.PIPE, universal_newlines=True, check=False)
            if done.returncode:
                raise CompileException(done.stderr)
            os.replace(made, target)
        finally:
            source.unlink()
    return target


@functools.lru_cache(maxsize=None)
def _runtime():
    path = _built((HERE / "runtime.cpp").read_text(), ["-O2", "-std=c++14", "-ldl"], ".cpp")
    lib = ctypes.CDLL(str(path))
    lib.mc_launch.argtypes = [ctypes.c_void_p] * 2 + [Dim3] * 2 + [ctypes.c_void_p] * 2 + [
        ctypes.c_int, ctypes.POINTER(Region), ctypes.c_int]
    lib.mc_message.restype, lib.mc_base.restype = ctypes.c_char_p, ctypes.c_void_p
    return path, lib


@functools.lru_cache(maxsize=None)
def compiled(code, options, kernel, check=False):
    """The library of one kernel of a .cu text; CuPy's options, as far as minicnn gives them."""
    with _lock:
        flags = ["-std=c++14" if o == "--std=c++14" else o for o in options]
        unknown = [o for o in flags if not o.startswith(("-std=", "-D"))]
        if unknown:
            raise CompileException(f"error: the compiler here does not know the options {unknown}")
        if not re.search(rf"__global__\b[^{{;]*\b{kernel}\s*\(", code):
            raise CompileException(f"error: there is no kernel {kernel}")
        text = "namespace {\n%s\n}\nMC_EXPORT(%s)\n" % (re.sub(r'extern\s+"C"', "", code), kernel)
        lib = ctypes.CDLL(str(_built(text, ["-O1", *flags, *(CHECK if check else ()), "-nostdlib", "-include",
                                            HERE / "cuda_cpu.h", _runtime()[0], "-lm", "-lc", "-lgcc"], ".cpp")))
        for name in ("mc_shared_begin", "mc_shared_end"):
            getattr(lib, name).restype = ctypes.c_void_p
        lib.mc_signature.restype = ctypes.c_char_p
        lib.parameters = list(zip(*lib.mc_signature().decode().split("/")))
        lib.names = re.findall(r"(\w+)\s*(?:,|$)", re.search(rf"\b{kernel}\s*\(([^)]*)\)", code).group(1))
        return lib


# ------------------------------------------------------------------ calling a kernel


def _root(a):
    """The array that owns the memory of a."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


class Memory:
    """Copies of a launch's arrays, each between two stretches of no-man's-land; arrays that overlap do so here."""

    def __init__(self, arrays):
        self.parts = []                                     # [start, end, arrays, buffer, offset]
        for a in sorted(arrays, key=lambda a: a.ctypes.data):
            start, end = a.ctypes.data, a.ctypes.data + a.nbytes
            if self.parts and start < self.parts[-1][1] and a.nbytes:
                self.parts[-1][1] = max(self.parts[-1][1], end)
                self.parts[-1][2].append(a)
            else:
                self.parts.append([start, end, [a]])
        for part in self.parts:
            start, end, (first, *_) = part
            buffer = np.empty(end - start + 2 * GUARD + 1024, "uint8")
            offset = -buffer.ctypes.data % 512 + GUARD + (start - _root(first).ctypes.data) % 512
            buffer[:offset], buffer[offset + end - start:] = 0xff, 0xff         # NaN
            part += [buffer, offset]
            for a in part[2]:
                self._place(part, a)[:] = a.reshape(-1).view("uint8")

    @staticmethod
    def _place(part, a):
        at = part[4] + a.ctypes.data - part[0]
        return part[3][at:at + a.nbytes]

    def address(self, a):
        part = next(p for p in self.parts if any(a is b for b in p[2]))
        return part[3].ctypes.data + part[4] + a.ctypes.data - part[0]

    def regions(self, args, parameters):
        """What check mode may touch; const where every argument there is."""
        for start, end, arrays, *_ in self.parts:
            uses = [i for i, a in enumerate(args) if any(a is b for b in arrays)]
            at = self.address(arrays[0]) + start - arrays[0].ctypes.data
            yield Region(at, at + end - start, min(a.itemsize for a in arrays), uses[0],
                         all(parameters[i][0] == "C" for i in uses))

    def back(self):
        """Copy what the kernel wrote to the arrays; False where it wrote beyond one."""
        for part in self.parts:
            start, end, arrays, buffer, offset = part
            if not ((buffer[:offset] == 0xff).all() and (buffer[offset + end - start:] == 0xff).all()):
                return False
            for a in arrays:
                a.reshape(-1).view("uint8")[:] = self._place(part, a)
        return True


def checked(kernel, parameters, args):
    """Refuse arguments that CuPy would pass in another size or kind than the kernel's C++ declaration has."""
    if len(parameters) != len(args):
        raise TypeError(f"{kernel} has {len(parameters)} parameters, got {len(args)} arguments")
    for i, ((how, kind), a) in enumerate(zip(parameters, args)):
        null = how != "V" and isinstance(a, np.uint64) and a == 0
        good = isinstance(a, np.generic if how == "V" else np.ndarray) and a.dtype == KINDS[kind]
        if not null and not (good and (how == "V" or a.flags.c_contiguous)):
            got = f"{a.dtype} {a.shape}" if isinstance(a, np.ndarray) else f"{type(a).__name__} {a!r}"
            raise TypeError(f"{kernel}: parameter {i} is {'a pointer to ' * (how != 'V')}{KINDS[kind].__name__}, "
                            f"got {got}{' that is not contiguous' if good else ''}")


def _readable(message, lib):
    """The runtime's message with names for argument numbers, and lines for machine addresses."""
    def line(found):
        """The innermost line of a .cu file; a call returns to the address behind it."""
        offset = int(found.group(1), 16) - _runtime()[1].mc_base(lib.mc_invoke)
        shown = subprocess.run(["addr2line", "-i", "-e", lib._name, hex(offset - 1)], stdout=subprocess.PIPE,
                               check=False).stdout.decode().split("\n")
        return next((os.path.basename(s.split(" ")[0]) for s in shown if "cuda_cpu.h" not in s), "??")

    message = re.sub(r"@(0x[0-9a-f]+)", line, message)
    return re.sub(r"#(-?\d+)", lambda m: lib.names[int(m.group(1))] if m.group(1) != "-1" else "shared", message)


def launch(code, options, kernel, grid, block, args, schedule=0, check=False):
    """Run a kernel on NumPy arrays and scalars, as CuPy would on its own; a KernelError says what it did wrong.

    The schedule is the order of threads and blocks (see runtime.cpp); `check` watches every access to memory.
    """
    lib = compiled(code, options, kernel, check)
    checked(kernel, lib.parameters, args)
    if not (len(grid) == len(block) == 3 and 0 < grid[0] < 2 ** 31 and all(0 < n < 65536 for n in grid[1:])):
        raise ValueError(f"{kernel}: a grid of {grid} cannot be launched")
    if min(block) < 1 or int(np.prod(block)) > 1024:
        raise ValueError(f"{kernel}: a block of {block} cannot be launched")
    with _lock:
        arrays = {id(a): a for a in args if isinstance(a, np.ndarray)}
        memory, (_, runtime) = Memory(arrays.values()), _runtime()
        values = [np.uint64(memory.address(a)) if isinstance(a, np.ndarray) else a for a in args]
        holders = [np.array(v) for v in values]
        pointers = (ctypes.c_void_p * max(len(args), 1))(*[h.ctypes.data for h in holders])
        shared = lib.mc_shared_begin(), lib.mc_shared_end()
        regions = [*memory.regions(args, lib.parameters), Region(*shared, 4, -1, False)] if check else []
        failed = runtime.mc_launch(ctypes.cast(lib.mc_invoke, ctypes.c_void_p), pointers, Dim3(*grid), Dim3(*block),
                                   *shared, schedule, (Region * len(regions))(*regions), len(regions))
        if failed:
            raise KernelError(f"{kernel}: {_readable(runtime.mc_message().decode(), lib)}")
        if not memory.back():
            raise KernelError(f"{kernel}: OUT OF BOUNDS: it wrote before or behind an argument")
