"""The CUDA kernels' harness: it must run what is right, and say what is wrong, where, in each of its schedules."""
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from ... import planted
from ...cuda_on_cpu import loader
from ...tools import missing

if loader.missing():
    missing("g++", loader.missing())

SCHEDULES = range(8)
STD = ("--std=c++14",)


def launch(code, grid, block, *args, schedule=0, check=False, kernel="k"):
    loader.launch(f'#line 1 "planted.cu"\n{code}', STD, kernel, (grid, 1, 1), (block, 1, 1), args, schedule, check)


def run(fault, mark, **options):
    """Launch a planted kernel; what it made of y."""
    x, y, counter = np.arange(512, dtype="float32") + 1, np.zeros(512, "float32"), np.zeros(1, "uint32")
    launch(planted.text(fault, mark), fault.blocks, fault.threads, x, y, np.int32(512), counter, **options)
    return y


each_fault = pytest.mark.parametrize("fault", planted.FAULTS, ids=lambda f: f.name.replace(" ", "-"))


@each_fault
def test_a_planted_fault_is_found(fault):
    """In every schedule, with its kind and one of its lines."""
    for schedule in SCHEDULES:
        with pytest.raises(loader.KernelError, match=fault.kind) as e:
            run(fault, "BAD", schedule=schedule, check=True)
        named = re.findall(r"planted\.cu:(\d+)", str(e.value))
        assert named and {int(n) for n in named} & set(planted.lines(fault)), str(e.value)


@each_fault
def test_its_repair_passes(fault):
    results = [run(fault, "GOOD", schedule=schedule, check=True) for schedule in SCHEDULES]
    results += [run(fault, "GOOD", schedule=schedule) for schedule in SCHEDULES]
    for y in results[1:]:
        np.testing.assert_array_equal(y, results[0])


def named(name):
    return next(fault for fault in planted.FAULTS if fault.name == name)


def test_schedules():
    """The orders of threads: up, down, the same warp by warp, then random ones."""
    code = """
extern "C" __global__ void __launch_bounds__(256) k(int* __restrict__ y, unsigned* __restrict__ counter) {
    y[atomicAdd(counter, 1u)] = threadIdx.x;
    __syncwarp();
    y[atomicAdd(counter, 1u)] = threadIdx.x;
}
"""
    orders = []
    for schedule in SCHEDULES:
        y = np.zeros(512, "int32")
        launch(code, 1, 256, y, np.zeros(1, "uint32"), schedule=schedule)
        orders.append(y.tolist())
        assert sorted(orders[-1]) == sorted(list(range(256)) * 2)
        alone = len(set((y[:64] // 32).tolist())) == 1
        assert alone == (schedule in (2, 3, 5, 7)), f"one warp runs alone in schedule {schedule}: {alone}"
    assert [o[0] for o in orders[:4]] == [0, 255, 0, 255]
    assert len(set(map(tuple, orders))) == len(orders)


def test_shared_memory_begins_as_nan():
    assert np.isnan(run(named("shared memory that nobody wrote"), "BAD")).any()


@pytest.mark.parametrize("name", ["a write behind an array", "a return before a barrier", "a shuffle in a branch"])
def test_without_check_the_worst_is_found_too(name):
    with pytest.raises(loader.KernelError):
        run(named(name), "BAD")


def test_shared_memory_of_a_template_is_shared():
    """g++ drops some attributes of a template's static variables."""
    code = """
template <int N> __device__ float other(float v, int t) {
    __shared__ float s[N];
    if (t < 200) s[t] = v;
    __syncthreads();
    return s[N - 1 - t];
}
""" + planted.HEAD + "y[i] = other<256>(x[i], t); }"
    args = np.zeros(512, "f"), np.zeros(512, "f"), np.int32(512), np.zeros(1, "uint32")
    launch(code, 1, 256, *args)
    assert np.isnan(args[1][:56]).all() and (args[1][56:] == 0).all()
    with pytest.raises(loader.KernelError, match="UNINITIALISED"):
        launch(code, 1, 256, *args, check=True)


def test_a_message_names_the_argument_the_threads_and_both_lines():
    with pytest.raises(loader.KernelError) as e:
        run(named("blocks add to one place"), "BAD", check=True)
    line, = planted.lines(named("blocks add to one place"))
    assert str(e.value) == (f"k: RACE: thread 0 of block 1 reads y[0] at planted.cu:{line}, thread 0 of block 0 "
                            f"wrote it at planted.cu:{line}, nothing lies between")


# ------------------------------------------------------------------ what is right runs right

SHUFFLES = """
extern "C" __global__ void __launch_bounds__(64) k(const int* __restrict__ x, int* __restrict__ y) {
    int t = threadIdx.x, v = x[t];
    y[t] = __shfl_sync(~0u, v, 3);
    y[64 + t] = __shfl_sync(~0u, v, t + 1, 8);
    y[128 + t] = __shfl_up_sync(~0u, v, 2);
    y[192 + t] = __shfl_up_sync(~0u, v, 3, 8);
    y[256 + t] = __shfl_down_sync(~0u, v, 5);
    y[320 + t] = __shfl_down_sync(~0u, v, 3, 16);
    y[384 + t] = __shfl_xor_sync(~0u, v, 7);
    y[448 + t] = __shfl_xor_sync(~0u, v, 16, 8);
    y[512 + t] = (int)__ballot_sync(~0u, v % 3 == 0);
    y[576 + t] = __any_sync(~0u, v == 40) + 2 * __all_sync(~0u, v < 132);
}
"""


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_shuffles(schedule):
    """Against CUDA's rules: a lane whose source lies outside of its segment keeps its own value."""
    x, y = np.arange(100, 164, dtype="int32"), np.zeros(640, "int32")
    launch(SHUFFLES, 1, 64, x, y, schedule=schedule, check=schedule % 2 == 0)
    lane, got = np.arange(64), y.reshape(10, 64)
    warp, eight = lane // 32 * 32, lane // 8 * 8
    sources = [warp + 3, eight + (lane + 1) % 8, np.where(lane % 32 < 2, lane, lane - 2),
               np.where(lane % 8 < 3, lane, lane - 3), np.where(lane % 32 > 26, lane, lane + 5),
               np.where(lane % 16 > 12, lane, lane + 3), lane ^ 7, np.where(lane % 32 < 16, lane, lane ^ 16)]
    for k, source in enumerate(sources):
        np.testing.assert_array_equal(got[k], x[source], err_msg=f"shuffle {k}")
    for w in (0, 1):
        votes = sum(1 << i for i in range(32) if x[32 * w + i] % 3 == 0)
        assert set(got[8, 32 * w:32 * w + 32].view("uint32").tolist()) == {votes}
        assert set(got[9, 32 * w:32 * w + 32].tolist()) == {2 if w == 0 else 0}


def test_every_thread_of_every_block_runs_once():
    code = """
extern "C" __global__ void __launch_bounds__(120) k(int* __restrict__ y) {
    unsigned t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    unsigned b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    y[b * 120 + t] += (int)(b * 120 + t);
}
"""
    for schedule in SCHEDULES:
        y = np.zeros(24 * 120, "int32")
        loader.launch(code, STD, "k", (2, 3, 4), (5, 6, 4), (y,), schedule, check=True)
        np.testing.assert_array_equal(y, np.arange(y.size))


def test_numbers_are_a_gpus():
    """Denormals are zero, a * b + c rounds once (where this machine can), tests for NaN work."""
    code = """
extern "C" __global__ void __launch_bounds__(32) k(const float* __restrict__ x, float* __restrict__ y) {
    y[0] = x[0] * 0.5f;
    y[1] = fmaf(x[1], x[1], -1.0f);
    y[2] = x[2] < 0.0f ? 0.0f : x[2];
    y[3] = __int_as_float(0x7f800000);
    y[4] = rsqrtf(x[3]) + __fdividef(x[3], 2.0f) + __expf(0.0f) + __ldg(x + 3);
    y[5] = (float)(__popc(255) + __clz(1) + __ffs(8) + (int)__umulhi(1u << 31, 6u));
}
"""
    x, y = np.array([2e-38, 1 + 2 ** -12, np.nan, 4], "float32"), np.zeros(6, "float32")
    launch(code, 1, 1, x, y)
    assert y[0] == 0 and y[1] == np.float32(2 ** -11 + 2 ** -24) and np.isnan(y[2]) and y[3] == np.inf
    assert y[4] == 7.5 and y[5] == 8 + 31 + 4 + 3


def test_arrays_that_overlap_share_memory():
    code = planted.HEAD + "y[i] = x[i] + 1.0f; }"
    x = np.zeros(520, "float32")
    launch(code, 2, 256, x[:512], x[:512], np.int32(512), np.zeros(1, "uint32"), check=True)
    assert (x[:512] == 1).all() and (x[512:] == 0).all()
    with pytest.raises(loader.KernelError, match="RACE"):
        launch(code, 2, 256, x[:512], x[4:516], np.int32(512), np.zeros(1, "uint32"), check=True)


@pytest.mark.parametrize("args, words", [
    ((np.zeros(4, "f"), np.zeros(4, "f"), 4, np.zeros(1, "uint32")), "parameter 2 is int32, got int 4"),
    ((np.zeros(4, "f"), np.zeros(4, "f"), 4.0, np.zeros(1, "uint32")), "parameter 2 is int32, got float 4.0"),
    ((np.zeros(4, "f"), np.zeros(4, "f"), np.int64(4), np.zeros(1, "uint32")), "parameter 2 is int32, got int64"),
    ((np.zeros(4), np.zeros(4, "f"), np.int32(4), np.zeros(1, "uint32")), r"pointer to float32, got float64 \(4,\)"),
    ((np.zeros(8, "f")[::2], np.zeros(4, "f"), np.int32(4), np.zeros(1, "uint32")), "that is not contiguous"),
    ((np.zeros(4, "f"), np.zeros(4, "f"), np.int32(4)), "4 parameters, got 3"),
    ((np.zeros(4, "f"), None, np.int32(4), np.zeros(1, "uint32")), "parameter 1 is a pointer"),
    ((np.zeros(4, "f"), np.uint64(8), np.int32(4), np.zeros(1, "uint32")), "parameter 1 is a pointer"),
])
def test_arguments_of_another_kind_are_refused(args, words):
    with pytest.raises(TypeError, match=words):
        launch(planted.HEAD + "}", 1, 1, *args)


@pytest.mark.parametrize("grid, block", [((0, 1, 1), (1, 1, 1)), ((1, 65536, 1), (1, 1, 1)), ((1, 1), (1, 1, 1)),
                                         ((1, 1, 1), (1025, 1, 1)), ((1, 1, 1), (0, 1, 1))])
def test_grids_that_cuda_refuses(grid, block):
    with pytest.raises(ValueError, match="cannot be launched"):
        loader.launch('extern "C" __global__ void k(int n) {}', STD, "k", grid, block, (np.int32(1),))


def test_a_kernel_that_does_not_compile_says_where():
    with pytest.raises(loader.CompileException, match=r"planted.cu:2:\d+: error: .*MC_C"):
        launch('extern "C" __global__ void k(int n) {\nn = MC_C; }', 1, 1, np.int32(1))
    with pytest.raises(loader.CompileException, match="no kernel other"):
        launch('extern "C" __global__ void k(int n) {}', 1, 1, np.int32(1), kernel="other")


# ------------------------------------------------------------------ the folder of compiled kernels

PROGRAM = """
import numpy as np
from tests.cuda_on_cpu import loader
y = np.zeros(4, "float32")
code = 'extern "C" __global__ void k(float* y) { y[threadIdx.x] = 7.0f; }'
loader.launch(code, (), "k", (1, 1, 1), (4, 1, 1), (y,))
print(y.tolist(), loader.folder())
"""


@pytest.mark.slow
def test_processes_share_compiled_kernels(tmp_path):
    """Several start at once with an empty folder; nothing but finished libraries stays in it."""
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    runs = [subprocess.Popen([sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE) for _ in range(3)]
    outputs = {run.communicate(timeout=120)[0].decode().strip() for run in runs}
    folder = tmp_path / f"minicnn-cuda-on-cpu-{os.getuid()}"
    assert outputs == {f"[7.0, 7.0, 7.0, 7.0] {folder}"}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(p.suffix for p in folder.iterdir()) == [".so", ".so"]


def test_a_folder_that_others_may_write_is_not_used(tmp_path):
    folder = tmp_path / f"minicnn-cuda-on-cpu-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE, check=True)
    assert str(folder) not in ran.stdout.decode() and not list(folder.iterdir())
