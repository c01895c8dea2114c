"""Every kernel compiles for every GPU, from the Jetson Nano's on, and needs no more than there is.

minicnn's own host code says what is launched (benchmarks/plans.py): the forward pass, a training step and the fused
forward pass of each model, and a fixed grid of other shapes, once for each compute capability, since tile sizes
depend on it. NVRTC 11.8 makes real machine code of that, as C++14 and, unlike CuPy, without taking host functions for
device functions. For the oldest and the newest GPU every shape is compiled; for those between, where all of them
would take minutes more, one of those that have the same tiles and differ in channels and windows only.
"""
import functools
import re
from collections import namedtuple
from pathlib import Path

import pytest

from benchmarks.kernels import plans
from minicnn.cuda import launcher as cuda

from ... import nvrtc
from ...tools import missing

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "minicnn").rglob("*.cu"))
ARCHES = 53, 75, 86, 89, 90
WHOLE = 53, 90                              # every shape
SIZES = set("C K TOP LEFT KH KW SH SW DH DW".split())       # elsewhere, one of those that differ in these only

Case = namedtuple("Case", "file kernel constants")


def need_compiler():
    try:
        nvrtc.library()
    except ImportError as e:
        missing("nvrtc", str(e))


@pytest.fixture(scope="module")
def cases():
    """{arch: the Cases that are compiled for it}."""
    found = {arch: sorted({Case(launch.file, launch.kernel, tuple(launch.constants.items()))
                           for launch in plans.everything(arch)}) for arch in ARCHES}
    return {arch: all_of_it if arch in WHOLE else list({variant(case): case for case in all_of_it}.values())
            for arch, all_of_it in found.items()}


def variant(case):
    return case._replace(constants=tuple((name, value) for name, value in case.constants if name not in SIZES))


@functools.lru_cache(maxsize=None)
def unit(case):
    return nvrtc.Unit(Path(case.file).name, cuda.read(ROOT / case.file), cuda.options(dict(case.constants)))


@pytest.fixture(scope="module")
def compiled(cases):
    """{(unit, arch): {kernel: Used} or CompileError}."""
    need_compiler()
    return nvrtc.compile_all((unit(case), arch) for arch in ARCHES for case in cases[arch])


@pytest.mark.parametrize("file", FILES)
def test_every_kernel_is_launched(file, cases):
    for arch in ARCHES:
        launched = {case.kernel for case in cases[arch] if case.file == file}
        assert launched == set(cuda.signatures(ROOT / file)), \
            f"for sm_{arch}, of {file} only {sorted(launched)} are launched: make plans.of_others call the others"


@pytest.mark.parametrize("arch", ARCHES)
def test_every_kernel_fits(arch, cases, compiled):
    wrong = []
    for case in cases[arch]:
        answer = compiled[unit(case), arch]
        found = [str(answer)] if isinstance(answer, nvrtc.CompileError) else \
            nvrtc.faults(answer[case.kernel], cuda.signatures(ROOT / case.file)[case.kernel].block)
        wrong += [f"{case.file} {case.kernel} {dict(case.constants)}: {fault}" for fault in found]
    assert not wrong, f"{len(wrong)} faults on sm_{arch}:\n" + "\n".join(wrong[:20])


# ------------------------------------------------------------------ the gate itself

KERNEL = """extern "C" __global__ void __launch_bounds__(256{bounds}) k(const float* x, float* y, int n) {{
    {body}
}}
"""
MANY = " ".join(f"float a{i} = x[{i}];" for i in range(160)) + "__syncthreads();" + \
    " ".join(f"y[{i}] = a{i};" for i in range(160))
PLANTED = {
    "a spill": ("", ", 2", MANY, "spills"),
    "an array that is indexed at run time": ("", "", "float a[50]; for (int i = 0; i < 50; ++i) a[i] = x[i]; "
                                             "for (int i = 0; i < n; ++i) a[(i * n) % 50] += a[i]; y[0] = a[n];",
                                             "local memory"),
    "a double constant": ("", "", "y[n] = x[n] * 2.1;", "double precision"),
    "a double in a function of its own": ("__device__ __noinline__ float f(float v) { return v * 2.1; }", "",
                                          "y[n] = f(x[n]);", "double precision"),
    "too much shared memory": ("", "", "__shared__ float s[12289]; s[threadIdx.x] = x[n]; __syncthreads(); "
                               "y[n] = s[n];", "shared|smem"),
    "too many registers": ("", "", MANY, "registers"),
    "a function of the host": ("float f(float v) { return v; }", "", "y[n] = f(x[n]);", "execution space"),
    "C++17": ("", "", "if constexpr (true) y[n] = x[n];", "error"),
    "a header": ("#include <stdint.h>", "", "y[n] = x[n];", "could not open|cannot open"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_gate_sees(name):
    need_compiler()
    before, bounds, body, message = PLANTED[name]
    source = before + "\n" + KERNEL.format(bounds=bounds, body=body)
    arch = 90 if "registers" in name else 53            # for sm_53 the compiler spills instead
    answer, = nvrtc.compile_all([(nvrtc.Unit("k.cu", source, ("--std=c++14",)), arch)]).values()
    found = [str(answer)] if isinstance(answer, nvrtc.CompileError) else nvrtc.faults(answer["k"], 256)
    assert found and any(re.search(message, fault) for fault in found), found


def test_a_second_time_nothing_is_compiled(monkeypatch, tmp_path):
    need_compiler()
    monkeypatch.setattr(nvrtc, "cache", lambda: tmp_path)
    job = nvrtc.Unit("k.cu", KERNEL.format(bounds="", body="y[n] = x[n] + MC_N;"), ("--std=c++14", "-DMC_N=1")), 90
    first = nvrtc.compile_all([job])
    monkeypatch.setattr(nvrtc, "library", None)
    assert nvrtc.compile_all([job]) == first and first[job]["k"].registers > 0
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
