"""The launcher (minicnn/cuda.py) and everything around kernels (minicnn/device.py), on a fake cupy."""
import importlib
import sys
import types

import numpy as np
import pytest

import minicnn as mc
from minicnn.cuda import launcher as cuda
from minicnn.device import on_gpu

from ... import fake_cupy
from ...cuda_on_cpu import Recorder, Running, installed
from ...tools import randn

device = importlib.import_module("minicnn.device")

TEXT = """// Test kernels.
__device__ float twice(float v) { return 2.0f * v; }

extern "C" __global__ void __launch_bounds__(64)
scale(const float* __restrict__ x, float* __restrict__ y, const float *bias, int n, float a) {
    int i = blockIdx.x * 64 + threadIdx.x;
    if (i < n) y[i] = MC_C * twice(x[i]) * a + (bias ? bias[i] : 0.0f);
}

extern "C" __global__ void __launch_bounds__(128, 2) pick(const unsigned char* x, unsigned* y, const int* z,
                                                                    unsigned n) {
    if (threadIdx.x < n) y[threadIdx.x] = x[threadIdx.x] + z[threadIdx.x];
}
"""


@pytest.fixture
def source(tmp_path):
    """A Source of TEXT."""
    (tmp_path / "some.cu").write_text(TEXT)
    return cuda.Source(str(tmp_path / "some.py"), "some.cu")


@pytest.fixture
def recorder():
    """What is launched, without running it."""
    recorder = Recorder()
    with installed(recorder, count=2):
        yield recorder


def array(*shape, dtype="float32"):
    return fake_cupy.asarray(np.ones(shape, dtype))


# ------------------------------------------------------------------ launches


def test_a_kernel_runs(cuda_on_cpu, source):
    x, y = array(100), cuda.empty(100)
    source.launch("scale", 2, (x, y, None, 100, 0.5), {"C": 3})
    assert y.get().tolist() == [3.0] * 100
    source.launch("scale", (2, 1), (x, y, x, 100, np.float64(1)), {"C": 3})
    assert y.get().tolist() == [7.0] * 100
    small, whole = array(5, dtype="uint8"), cuda.empty(5, "uint32")
    source.launch("pick", 1, (small, whole, array(5, dtype="int32"), np.int64(5)), {"C": 3})
    assert whole.get().tolist() == [2] * 5


def test_arguments_have_the_declared_types(recorder, source):
    sent = []
    recorder.launch = lambda code, options, kernel, grid, block, args: sent.append((grid, block, args))
    source.launch("scale", 7, (array(4), array(4), None, 4, 2), {"C": 1})
    (grid, block, (x, y, null, n, a)), = sent
    assert (grid, block) == ((7, 1, 1), (64, 1, 1))
    assert [type(v) for v in (null, n, a)] == [np.uint64, np.int32, np.float32] and null == 0
    source.launch("pick", (1, 2, 3), (array(4, dtype="uint8"), array(4, dtype="uint32"), None, 2 ** 32 - 1), {})
    assert sent[1][:2] == ((1, 2, 3), (128, 1, 1)) and sent[1][2][3] == np.uint32(2 ** 32 - 1)


def test_a_file_is_compiled_once_for_each_device_and_constants(recorder, source, monkeypatch):
    compiled, RawModule = [], fake_cupy.RawModule
    monkeypatch.setattr(fake_cupy, "RawModule", lambda **kw: compiled.append(kw) or RawModule(**kw))
    args = array(4, dtype="uint8"), array(4, dtype="uint32"), None, 4
    for constants in ({"C": 1}, {"C": 1}, {"C": 2}, {"C": 1}):
        source.launch("pick", 1, args, constants)
        source.launch("scale", 1, (None, None, None, 4, 1), constants)
    assert [kw["options"] for kw in compiled] == [("--std=c++14", "-DMC_C=1"), ("--std=c++14", "-DMC_C=2")]
    assert all(kw["code"].startswith('#line 1 "some.cu"\n') for kw in compiled)
    with mc.device("cuda:1"):
        source.launch("scale", 1, (None, None, None, 4, 1), {"C": 1})
    assert len(compiled) == 3


@pytest.mark.parametrize("args, error, words", [
    ((3, 4), TypeError, "some.cu: scale takes 5 arguments, got 2"),
    ((array(4, dtype="float64"), array(4), None, 4, 1), TypeError, r"x as float32 in C order, got float64 \(4,\)"),
    ((array(4, 2).T, array(4), None, 4, 1), TypeError, r"x as float32 in C order, got float32 \(2, 4\)"),
    ((array(4), np.ones(4, "f"), None, 4, 1), TypeError, "got y as ndarray on the CPU, other arrays are on the GPU"),
    ((array(4), array(4), None, 2 ** 31, 1), ValueError, "needs n as int of 32 bits, got 2147483648"),
    ((array(4), array(4), None, -2 ** 31 - 1, 1), ValueError, "needs n as int of 32 bits"),
    ((array(4), array(4), None, 1.5, 1), ValueError, "needs n as int of 32 bits, got 1.5"),
])
def test_a_wrong_call_is_refused(recorder, source, args, error, words):
    with pytest.raises(error, match=words):
        source.launch("scale", 1, args, {"C": 1})
    assert not recorder.launches


def test_numbers_for_unsigned(recorder, source):
    for n in (-1, 2 ** 32):
        with pytest.raises(ValueError, match="pick needs n as unsigned of 32 bits"):
            source.launch("pick", 1, (None, None, None, n), {})


def test_arrays_of_2_to_the_31_elements_are_refused(recorder, source):
    large = cuda.empty((2, 2 ** 30), "uint8")           # never touched, so it takes no memory
    with pytest.raises(ValueError, match=r"x of shape \(2, 1073741824\) has 2147483648 elements.*smaller batch"):
        source.launch("pick", 1, (large, None, None, 1), {})
    source.launch("pick", 1, (large.reshape(-1)[1:], None, None, 1), {})


def test_an_array_of_another_gpu_is_refused(recorder, source):
    with mc.device("cuda:1"):
        x = array(4)
    with pytest.raises(ValueError, match=r"got x on GPU 1, but GPU 0 is in force: use mc.device\('cuda:1'\)"):
        source.launch("scale", 1, (x, None, None, 4, 1), {"C": 1})


def test_a_failed_compile_says_where(cuda_on_cpu, source):
    with pytest.raises(RuntimeError, match=r"some.cu does not compile for compute capability 53 with --std=c\+\+14: "
                                           r"some.cu:7:\d+: error: .*MC_C"):
        source.launch("scale", 1, (None, None, None, 0, 1), {})
    with pytest.raises(KeyError, match="other"):
        cuda.signatures(source.path)["other"]


def test_included_files_keep_their_lines(tmp_path, cuda_on_cpu):
    (tmp_path / "half.cuh").write_text("__device__ static float half(float v) {\n    return v / MC_TWO;\n}\n")
    (tmp_path / "some.cu").write_text('// A comment.\n#include "half.cuh"\n' + TEXT)
    assert cuda.read(str(tmp_path / "some.cu")).splitlines()[5:7] == ['#line 3 "some.cu"', TEXT.splitlines()[0]]
    with pytest.raises(RuntimeError, match=r"half.cuh:2:\d+: error: .*MC_TWO"):
        cuda.Source(str(tmp_path / "some.py"), "some.cu").launch("scale", 1, (None, None, None, 0, 1), {"C": 1})


@pytest.mark.parametrize("text, words", [
    ('extern "C" __global__ void k(int n) {}', "a kernel begins with extern"),
    ('extern "C" __global__ void __launch_bounds__(32) k(double a) {}', "a kernel's parameter is 'double a'"),
    ('extern "C" __global__ void __launch_bounds__(32) k(int *a, long b) {}', "a kernel's parameter is 'long b'"),
])
def test_declarations_that_the_launcher_cannot_read(tmp_path, text, words):
    (tmp_path / "wrong.cu").write_text(text)
    with pytest.raises(ValueError, match=words):
        cuda.signatures(str(tmp_path / "wrong.cu"))


def test_ready_and_blocks():
    with installed(Running(), arch=90, multiprocessors=132):
        x = array(3, 4)
        assert cuda.ready(x) is x and cuda.ready(x.T).flags.c_contiguous and cuda.ready(x.T).shape == (4, 3)
        assert cuda.limits() == (90, 132)
        assert [cuda.blocks(n) for n in (0, 1, 1024, 1025, 10 ** 9)] == [1, 1, 1, 2, 132 * 8]
        assert cuda.blocks(1025, each=1) == 5
    with installed(Running()):
        assert cuda.limits() == (53, 1) and cuda.blocks(10 ** 9) == 8


# ------------------------------------------------------------------ devices


def test_devices(recorder):
    assert mc.Param(randn(2)).value.__class__ is np.ndarray
    with mc.device("cuda:1"):
        w = mc.param(3, 2)
        assert on_gpu(w.value) and w.value.device.id == 1
        with mc.device("cuda"):
            assert mc.param0(2).value.device.id == 0
        assert mc.param0(2).value.device.id == 1
        with mc.device("cpu"):
            assert not on_gpu(mc.param0(2).value)
    assert not on_gpu(mc.param0(2).value)
    with pytest.raises(ValueError, match="device got 'cuda:2', but there are 2 GPUs"):
        mc.device("cuda:2")
    assert device.current() == "cpu" and fake_cupy.gpu.current == 0


def test_out_of_memory_says_how_much(cuda_on_cpu, monkeypatch):
    def full(size):
        raise MemoryError("out of memory")
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy)
    monkeypatch.setattr(fake_cupy.gpu, "allocate", full)
    assert type(device).__name__ == "module" and ORIGINAL() == (fake_cupy, "")          # sets the allocator
    with pytest.raises(MemoryError, match=rf"no room for 400 bytes more: {3 << 30} of {4 << 30} are free .use a sma"):
        cuda.empty((10, 10))


ORIGINAL = device._cupy.__wrapped__                     # without its cache: what looks for a GPU


class CUDARuntimeError(RuntimeError):
    pass


def no_driver():
    raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")


def cupy_with(count):
    return types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=count)))


@pytest.mark.parametrize("module, why", [
    (None, "CuPy cannot be imported"),
    (cupy_with(no_driver), r"CuPy found no usable GPU \(cudaErrorInsufficientDriver"),
    (cupy_with(lambda: 0), "CuPy found no GPU"),
], ids=["no-cupy", "no-driver", "no-gpu"])
def test_without_a_gpu_the_cpu_works_and_cuda_says_why(monkeypatch, module, why):
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(device, "_cupy", ORIGINAL)
    with pytest.raises(RuntimeError, match=f"device 'cuda' was asked for, but {why}.*or use 'cpu'"):
        mc.device("cuda")
    with pytest.raises(RuntimeError, match=why):
        mc.gpucopy(mc.Conv(1, 2, 3))
    model = mc.Conv(1, 2, 3)
    assert model(randn(1, 5, 5, 1).astype("float32")).shape == (1, 3, 3, 2)
    assert device.current() == "cpu" and not on_gpu(mc.cpucopy(model).w.value)


# ------------------------------------------------------------------ the engine on the GPU


def model():
    mc.seed(1)
    return mc.Chain(mc.Conv(1, 4, 3, padding=1), mc.BatchNorm(4), mc.tanh, mc.Deconv(4, 2, 3, stride=2))


def images(n=8):
    x = randn(n, 6, 6, 1).astype("float32")
    return x, np.concatenate([x, -x], 3).repeat(2, 1).repeat(2, 2)


def train(net, data, optimizer):
    loss = lambda x, y: mc.mse(net(x)[:, :12, :12], y)
    return [float(value) for value in mc.minimize(loss, mc.ncycle(data, 3), optimizer)]


def test_copies_to_the_gpu_and_back(cuda_on_cpu):
    net = model()
    there = mc.gpucopy(net)
    arrays = [a for _, a in device._arrays(there)]
    assert len(arrays) >= 7 and all(map(on_gpu, arrays))
    x, _ = images()
    np.testing.assert_allclose(there(fake_cupy.asarray(x)).get(), net(x), atol=1e-5)
    back = mc.cpucopy(there)
    for (_, a), (_, b) in zip(device._arrays(net), device._arrays(back)):
        assert not on_gpu(b) and a is not b and a.tobytes() == b.tobytes()
    with pytest.raises(TypeError):
        there(x)


def test_a_copy_on_the_gpu_of_what_is_there_shares_nothing(cuda_on_cpu):
    there = mc.gpucopy(model())
    again = mc.gpucopy(there)
    before = [a.get() for _, a in device._arrays(there)]
    for _, a in device._arrays(again):
        a[...] = 7
    assert all(np.array_equal(a.get(), b) for (_, a), b in zip(device._arrays(there), before))


@pytest.mark.parametrize("Opt", [mc.SGD, mc.Momentum, mc.Nesterov, mc.Adagrad, mc.Rmsprop, mc.Adadelta, mc.Adam],
                         ids=lambda o: o.__name__)
def test_training_is_as_on_the_cpu(cuda_on_cpu, Opt):
    """The same losses, from minibatch to optimizer, with the gradient clipped."""
    x, y = images()
    expected = train(model(), mc.minibatch(x, y, 4, shuffle=True, seed=3), Opt(gclip=1))
    with mc.device("cuda"):
        net = model()
        got = train(net, mc.minibatch(x, y, 4, shuffle=True, seed=3), Opt(gclip=1))
        assert all(on_gpu(p.value) for p in mc.params(net))
        assert all(on_gpu(a) for batch in mc.minibatch(x, y, 4) for a in batch)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_training_repeats_bit_for_bit(cuda_on_cpu):
    with mc.device("cuda"):
        x, y = images()
        runs = [train(model(), mc.prefetch(mc.minibatch(x, y, 4)), mc.Adam()) for _ in range(2)]
    assert runs[0] == runs[1]


def test_minibatch_of_an_array_on_the_gpu(cuda_on_cpu):
    x = fake_cupy.asarray(np.arange(10, dtype="float32"))
    with mc.device("cuda"):
        assert sorted(v for b in mc.minibatch(x, 5, shuffle=True) for v in b.get().tolist()) == list(range(10))


def test_files_hold_what_was_on_the_gpu(cuda_on_cpu, tmp_path):
    net = mc.gpucopy(model())
    mc.save(str(tmp_path / "m.safetensors"), net)
    mc.seed(2)
    for fresh in (model(), mc.gpucopy(model())):
        for p in mc.params(fresh):
            p.value *= 0
        mc.load(str(tmp_path / "m.safetensors"), fresh)
        for a, b in zip(mc.params(net), mc.params(fresh)):
            assert device.to("cpu", a.value).tobytes() == device.to("cpu", b.value).tobytes()


def test_labels_outside_of_the_classes_are_caught(cuda_on_cpu):
    scores = array(4, 3)
    for labels in ([0, 1, 2, 3], [0, -2, 0, 0]):
        with pytest.raises(ValueError, match="must lie between -1 and 2"):
            mc.nll(scores, fake_cupy.asarray(np.array(labels)))


def test_the_fake_is_as_strict_as_cupy(cuda_on_cpu):
    x, a = array(4), np.ones(4, "f")
    for wrong in (lambda: x + a, lambda: a + x, lambda: np.add(x, a), lambda: np.asarray(x),
                  lambda: np.concatenate([x, a]), lambda: x.__setitem__(0, a), lambda: fake_cupy.stack([a, a]),
                  lambda: np.add.at(x, ([0, 1],), 1)):
        with pytest.raises(TypeError):
            wrong()
    assert type(x.sum()) is type(x[0]) is type(x.max()) is fake_cupy.ndarray and float(x.sum()) == 4
    assert isinstance(np.float32(2) * x, fake_cupy.ndarray) and not hasattr(x.flags, "writeable")
    x += x
    assert x.get().tolist() == [2] * 4 and np.isnan(fake_cupy.empty(3, "f").get()).all()
