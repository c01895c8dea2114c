"""Kernels with one fault each, for minicnn/cuda/test_on_cpu.py: BAD is the fault, GOOD its repair.

Reports must name a line that ends in BAD or SEEN. All are called with 512 floats x, y, and one zero counter.
"""
from collections import namedtuple

Fault = namedtuple("Fault", "name kind blocks threads body")
HEAD = """extern "C" __global__ void __launch_bounds__(256)
k(const float* __restrict__ x, float* __restrict__ y, int n, unsigned* __restrict__ counter) {
    int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
"""

FAULTS = [Fault(*fault) for fault in [
    ("no barrier after writing", "RACE|UNINITIALISED", 2, 256, """
    __shared__ float s[256];
    s[t] = x[i];
    __syncthreads(); // GOOD
    y[i] = s[255 - t]; // SEEN
"""),
    ("no barrier before the buffer is used again", "RACE", 2, 256, """
    __shared__ float s[256];
    float v = 0.0f;
    for (int k = 0; k < 2; k++) {
        s[t] = x[i] + k; // SEEN
        __syncthreads();
        v += s[255 - t];
        __syncthreads(); // GOOD
    }
    y[i] = v;
"""),
    ("a write behind an array", "OUT OF BOUNDS", 2, 256, """
    y[i + 1] = x[i]; // BAD
    y[i] = x[i]; // GOOD
"""),
    ("a read before an array", "OUT OF BOUNDS", 2, 256, """
    float left = x[i - 1]; // BAD
    float left = i > 0 ? x[i - 1] : 0.0f; // GOOD
    y[i] = left;
"""),
    ("the grid is larger than the array", "OUT OF BOUNDS", 3, 256, """
    if (i < n) // GOOD
    y[i] = x[i]; // SEEN
"""),
    ("the end of a row", "OUT OF BOUNDS", 1, 256, """
    __shared__ float tile[16][16];
    int row = t / 16, column = t % 16;
    tile[row][column] = x[i];
    __syncthreads();
    y[i] = tile[row][column + 1]; // BAD
    y[i] = tile[row][15 - column]; // GOOD
"""),
    ("a null pointer", "OUT OF BOUNDS", 1, 256, """
    const float* bias = 0;
    y[i] = x[i] + bias[t]; // BAD
    y[i] = x[i] + (bias ? bias[t] : 0.0f); // GOOD
"""),
    ("a return before a barrier", "DIVERGENT", 1, 256, """
    if (t >= 200) return; // BAD
    __syncthreads(); // SEEN
    y[i] = x[i];
"""),
    ("a barrier in each branch", "DIVERGENT", 1, 256, """
    if (t < 128) __syncthreads(); // BAD
    else __syncthreads(); // BAD
    __syncthreads(); // GOOD
    y[i] = x[i];
"""),
    ("a barrier that some skip", "DIVERGENT", 1, 256, """
    if (t < 128) // BAD
    __syncthreads(); // SEEN
    y[i] = x[i];
"""),
    ("a shuffle in a branch", "BAD MASK|DEADLOCK", 1, 32, """
    float v = x[i];
    if (t < 16) v += __shfl_down_sync(0xffffffffu, v, 8); // BAD
    if (t < 16) v += __shfl_down_sync(0x0000ffffu, v, 8, 16); // GOOD
    y[i] = v;
"""),
    ("a shuffle while others are at a barrier", "DEADLOCK", 1, 32, """
    float v = x[i];
    if (t < 16) v += __shfl_xor_sync(0xffffffffu, v, 1); // BAD
    v += __shfl_xor_sync(0xffffffffu, v, 1); // GOOD
    __syncthreads();
    y[i] = v;
"""),
    ("a full mask in half a warp", "BAD MASK", 1, 48, """
    y[i] = __shfl_xor_sync(0xffffffffu, x[i], 1); // BAD
    y[i] = __shfl_xor_sync(t < 32 ? 0xffffffffu : 0x0000ffffu, x[i], 1); // GOOD
"""),
    ("a mask without oneself", "BAD MASK", 1, 32, """
    y[i] = __shfl_sync(0x7fffffffu, x[i], 0); // BAD
    y[i] = __shfl_sync(0xffffffffu, x[i], 0); // GOOD
"""),
    ("a lane that takes no part", "BAD SHUFFLE", 1, 32, """
    if (t >= 16) return;
    y[i] = __shfl_sync(0x0000ffffu, x[i], 20); // BAD
    y[i] = __shfl_sync(0x0000ffffu, x[i], 2); // GOOD
"""),
    ("two shuffles at a time", "DIVERGENT", 1, 32, """
    float v = x[i];
    if (t < 16) v = __shfl_xor_sync(0xffffffffu, v, 1); // BAD
    else v = __shfl_xor_sync(0xffffffffu, v, 2); // BAD
    v = __shfl_xor_sync(0xffffffffu, v, t < 16 ? 1 : 2); // GOOD
    y[i] = v;
"""),
    ("blocks add to one place", "RACE", 2, 256, """
    if (t == 0) y[0] += x[i]; // BAD
    if (t == 0) y[blockIdx.x] += x[i]; // GOOD
"""),
    ("threads add to one place", "RACE", 1, 256, """
    y[t / 2] += x[i]; // BAD
    atomicAdd(&y[t / 2], x[i]); // GOOD
"""),
    ("an atomic beside a plain write", "RACE", 1, 64, """
    if (t == 0) counter[0] = 1; // BAD
    if (t == 0) atomicAdd(counter, 1u); // GOOD
    else atomicAdd(counter, 1u); // SEEN
"""),
    ("a block reads what another writes", "RACE", 2, 256, """
    y[i] = x[i];
    y[511 - i] += 1.0f; // BAD
    y[i] += 1.0f; // GOOD
"""),
    ("the last block without a fence", "RACE", 4, 64, """
    __shared__ unsigned last;
    y[i] = x[i]; // SEEN
    __threadfence(); // GOOD
    __syncthreads();
    if (t == 0) last = atomicAdd(counter, 1u) == gridDim.x - 1;
    __syncthreads();
    if (last) y[256 + t] = y[t] + y[64 + t] + y[128 + t] + y[192 + t]; // SEEN
"""),
    ("no __syncwarp", "RACE", 1, 32, """
    __shared__ float s[32];
    s[t] = x[i];
    __syncwarp();
    float other = s[t ^ 1];
    __syncwarp(); // GOOD
    s[t] += other; // SEEN
    __syncwarp();
    y[i] = s[31 - t];
"""),
    ("shared memory that nobody wrote", "UNINITIALISED", 2, 256, """
    __shared__ float s[256];
    if (t < 200) s[t] = x[i]; // BAD
    s[t] = t < 200 ? x[i] : 0.0f; // GOOD
    __syncthreads();
    y[i] = s[255 - t]; // SEEN
"""),
    ("a product of ints", "OVERFLOW", 1, 256, """
    int area = n * n * n * n; // BAD
    unsigned area = (unsigned)n * n * n * n; // GOOD
    y[i] = (float)area;
"""),
    ("a division by zero", "OVERFLOW", 1, 256, """
    y[i] = (float)(n / t); // BAD
    y[i] = (float)(n / (t + 1)); // GOOD
"""),
    ("a shift by 32", "OVERFLOW", 1, 32, """
    y[i] = (float)(1u << (t + 1)); // BAD
    y[i] = (float)(1u << t); // GOOD
"""),
    ("a float that is no int", "OVERFLOW", 1, 32, """
    y[i] = (float)(int)(x[i] * 1e20f); // BAD
    y[i] = (float)(int)x[i]; // GOOD
"""),
    ("four floats at once, off by one", "MISALIGNED", 1, 64, """
    float4 v = *(const float4*)(x + 4 * t + 1); // BAD
    float4 v = *(const float4*)(x + 4 * t); // GOOD
    y[i] = v.x + v.y + v.z + v.w;
"""),
    ("a write to a const array", "WRITE TO CONST", 1, 256, """
    ((float*)x)[i] = 0.0f; // BAD
    y[i] = 0.0f;
"""),
]]


def text(fault, mark):
    """The kernel with the lines of one mark, BAD or GOOD; those of the other are empty."""
    other = "// GOOD" if mark == "BAD" else "// BAD"
    return "\n".join("" if line.endswith(other) else line for line in (HEAD + fault.body + "}").splitlines())


def lines(fault):
    """The numbers of the lines that a report may name."""
    return [k + 1 for k, line in enumerate(text(fault, "BAD").splitlines()) if line.endswith(("// BAD", "// SEEN"))]
