"""NVRTC 11.8, NVIDIA's run-time compiler, which needs no GPU: source in, what ptxas says about each kernel out.

    python -m pip install ".[cuda-check]"

CUDA 11.8 is the one release that still makes machine code for the Jetson Nano (sm_53) and already for sm_90.
"""
import concurrent.futures
import ctypes
import functools
import hashlib
import importlib.util
import json
import multiprocessing
import os
import re
import stat
import tempfile
from collections import namedtuple
from pathlib import Path

LIBRARIES = "libnvrtc-builtins.so.11.8", "libnvrtc.so.11.2"

Used = namedtuple("Used", "registers shared local spills doubles")
Used.__doc__ = """What one kernel needs: registers a thread, bytes of static shared memory a block, bytes of local
memory and of spills a thread, and whether its PTX has double precision in it."""
Unit = namedtuple("Unit", "name source options")
Unit.__doc__ = "What is compiled: the file's name for messages, its text, and options without the architecture."


class CompileError(Exception):
    """The compiler's log."""


@functools.lru_cache(maxsize=None)
def library():
    """The library, or an ImportError that says how to get it."""
    package = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.cuda_nvrtc")
    folder = Path(next(iter(package.submodule_search_locations), "") if package else "", "lib")
    if not package or not all(Path(folder, name).exists() for name in LIBRARIES):
        raise ImportError("NVRTC 11.8 is not installed: pip install nvidia-cuda-nvrtc-cu11==11.8.89 (x86-64 Linux)")
    ctypes.CDLL(str(folder / LIBRARIES[0]), ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(folder / LIBRARIES[1]))


def compiled(unit, arch):
    """{kernel: Used} of every kernel in the unit, for compute capability `arch`; CompileError if it has errors."""
    nvrtc, program = library(), ctypes.c_void_p()
    options = *unit.options, f"--gpu-architecture=sm_{arch}", "-ftz=true", "--ptxas-options=-v"
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), unit.source.encode(), unit.name.encode(), 0, None, None)
    try:
        given = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
        log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
        if failed:
            raise CompileError(f"{unit.name} for sm_{arch} with {' '.join(unit.options)}:\n{log}")
        return resources(log, _text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program))
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(size, get, program):
    n = ctypes.c_size_t()
    size(program, ctypes.byref(n))
    text = ctypes.create_string_buffer(n.value)
    get(program, text)
    return text.value.decode()


ENTRY = re.compile(r"Compiling entry function '(\w+)'.*?"
                   r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
                   r"Used (\d+) registers([^\n]*)", re.S)


def resources(log, ptx):
    """{kernel: Used} out of what `ptxas -v` printed and the PTX."""
    found = {}
    bodies = dict(re.findall(r"\.entry (\w+)\((.*?)\n\}", ptx, re.S))
    helpers = re.findall(r"\n\.func .*?\n\}", ptx, re.S)            # not inlined: any kernel may call them
    for name, frame, stores, loads, registers, rest in ENTRY.findall(log):
        shared = re.search(r"(\d+) bytes smem", rest)
        doubles = any(re.search(r"\.f64\b", text) for text in (bodies[name], *helpers))
        found[name] = Used(int(registers), int(shared.group(1)) if shared else 0, int(frame),
                           int(stores) + int(loads), doubles)
    if set(found) != set(bodies):
        raise CompileError(f"ptxas names {sorted(found)}, the PTX {sorted(bodies)}")
    return found


# ------------------------------------------------------------------ many, on all cores, and once only


def compile_all(jobs):
    """{(unit, arch): {kernel: Used} or CompileError} of the jobs, pairs (unit, arch); kept for the next time.

    NVRTC compiles one program at a time in a process, so there is a process for each core.
    """
    jobs, folder = list(dict.fromkeys(jobs)), cache()
    found = {job: _kept(folder / _key(*job)) for job in jobs}
    todo = [job for job in jobs if found[job] is None]
    if todo:
        fresh = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(min(len(todo), _cores()), mp_context=fresh) as pool:
            for job, answer in zip(todo, pool.map(_answer, todo, chunksize=1)):
                found[job] = answer
                if not isinstance(answer, CompileError):
                    _keep(folder / _key(*job), answer)
    return found


def _answer(job):
    try:
        return compiled(*job)
    except CompileError as e:
        return e


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def cache():
    """A folder of this user's that nobody else can write."""
    folder = Path(tempfile.gettempdir(), f"minicnn-nvrtc-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        return Path(tempfile.mkdtemp(prefix="minicnn-nvrtc-"))
    return folder


def _key(unit, arch):
    return hashlib.sha256(json.dumps(["11.8.89", *unit, arch]).encode()).hexdigest() + ".json"


def _kept(path):
    try:
        return {name: Used(*used) for name, used in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError):
        return None


def _keep(path, answer):
    half = path.with_name(f"{path.name}.{os.getpid()}")
    half.write_text(json.dumps(answer))
    os.replace(half, path)


# ------------------------------------------------------------------ what a kernel may need

SHARED, REGISTERS = 48 * 1024, 32 * 1024    # of a block, on the smallest GPU: the Jetson Nano


def faults(used, block):
    """What is wrong with a kernel of so many threads a block; an empty list where nothing is."""
    registers = -(-used.registers // 8) * 8 * block                 # the GPU gives them out by eight
    return [text for wrong, text in (
        (used.spills, f"spills {used.spills} bytes"),
        (used.local, f"keeps {used.local} bytes in local memory"),
        (used.doubles, "computes in double precision (a constant without f?)"),
        (used.shared > SHARED, f"takes {used.shared} bytes of shared memory, above {SHARED}"),
        (registers > REGISTERS, f"takes {registers} registers a block, above {REGISTERS}")) if wrong]
