// Softmax and the losses. Scores are rows (positions) of MC_C classes; MC_T threads share a row: 1, 2, .. 32 of a
// warp (then a block has several rows) or its whole block of 256.
//
// Sums over all positions are taken in the same order on every GPU: at most 1024 blocks leave a part each, which
// add_parts adds.

#ifndef MC_C                                // the kernels of two arrays need no constants
#define MC_C 1
#define MC_T 1
#endif
#define HELD ((MC_C + MC_T - 1) / MC_T)     // classes that each thread holds, MC_T apart
#define ROWS (256 / MC_T)                   // of a block
#define INFINITE __int_as_float(0x7f800000)

// ------------------------------------------------------------------ threads together

struct Add {
    static __device__ __forceinline__ float of(float a, float b) { return a + b; }
};

struct Larger {                             // passes over NaN, which the sum of the exponentials then shows
    static __device__ __forceinline__ float of(float a, float b) { return fmaxf(a, b); }
};

// F of the v of all T neighbouring threads (1 .. 32, or the block's 256), known to each of them.
template <class F, int T> __device__ __forceinline__ float together(float v) {
#pragma unroll
    for (int d = (T < 32 ? T : 32) / 2; d > 0; d /= 2) v = F::of(v, __shfl_xor_sync(0xffffffffu, v, d));
    if (T > 32) {
        __shared__ float of_warp[8];
        __syncthreads();                                        // what was here before has been read
        if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
        __syncthreads();
        v = of_warp[0];
        for (int i = 1; i < 8; i++) v = F::of(v, of_warp[i]);
    }
    return v;
}

// A sum of many terms in blocks of 16, which float32 keeps to about a millionth.
struct Sum {
    float total, part;
    int terms;

    __device__ __forceinline__ Sum() : total(0.0f), part(0.0f), terms(0) {}

    __device__ __forceinline__ void add(float v) {
        part += v;
        if (++terms == 16) {
            total += part;
            part = 0.0f;
            terms = 0;
        }
    }

    // The block's part of the sum.
    __device__ __forceinline__ void leave(float* parts) const {
        const float sum = together<Add, 256>(total + part);
        if (threadIdx.x == 0) parts[blockIdx.x] = sum;
    }
};

extern "C" __global__ void __launch_bounds__(256)
add_parts(const float* __restrict__ parts, float* __restrict__ sum, unsigned n) {
    float v = 0.0f;
    for (unsigned i = threadIdx.x; i < n; i += 256) v += parts[i];
    v = together<Add, 256>(v);
    if (threadIdx.x == 0) *sum = v;
}

// ------------------------------------------------------------------ softmax

struct Row {
    float v[HELD];                          // this thread's scores, less the row's maximum; -inf where there is none
    float top, total;                       // the maximum, 0 where that is infinite; the sum of all exp(v)

    __device__ __forceinline__ explicit Row(const float* scores) {
        float most = -INFINITE, sum = 0.0f;
#pragma unroll
        for (int k = 0; k < HELD; k++) {
            v[k] = inside(k) ? scores[at(k)] : -INFINITE;
            most = fmaxf(most, v[k]);
        }
        most = together<Larger, MC_T>(most);
        top = fabsf(most) == INFINITE ? 0.0f : most;
#pragma unroll
        for (int k = 0; k < HELD; k++) {
            v[k] -= top;
            sum += expf(v[k]);
        }
        total = together<Add, MC_T>(sum);
    }

    static __device__ __forceinline__ int at(int k) { return threadIdx.x % MC_T + k * MC_T; }
    static __device__ __forceinline__ bool inside(int k) { return (k + 1) * MC_T <= MC_C || at(k) < MC_C; }
};

// The row of this thread, in a block's rows from `first` on.
__device__ __forceinline__ unsigned row_from(unsigned first) {
    return first + threadIdx.x / MC_T;
}

// Threads behind the last row compute that one too, since shuffles need them.
__device__ __forceinline__ const float* scores_of(const float* scores, unsigned row, unsigned n) {
    return scores + (row < n ? row : n - 1) * MC_C;
}

extern "C" __global__ void __launch_bounds__(256)
softmax(const float* __restrict__ x, float* __restrict__ y, unsigned n) {
    const unsigned row = row_from(blockIdx.x * ROWS);
    const Row r(scores_of(x, row, n));
    const float scale = 1.0f / r.total;
#pragma unroll
    for (int k = 0; k < HELD; k++)
        if (row < n && r.inside(k)) y[row * MC_C + r.at(k)] = expf(r.v[k]) * scale;
}

extern "C" __global__ void __launch_bounds__(256)
logsoftmax(const float* __restrict__ x, float* __restrict__ y, unsigned n) {
    const unsigned row = row_from(blockIdx.x * ROWS);
    const Row r(scores_of(x, row, n));
    const float log = logf(r.total);
#pragma unroll
    for (int k = 0; k < HELD; k++)
        if (row < n && r.inside(k)) y[row * MC_C + r.at(k)] = r.v[k] - log;
}

extern "C" __global__ void __launch_bounds__(256)
logsumexp(const float* __restrict__ x, float* __restrict__ y, unsigned n) {
    const unsigned row = row_from(blockIdx.x * ROWS);
    const Row r(scores_of(x, row, n));
    if (row < n && threadIdx.x % MC_T == 0) y[row] = r.top + logf(r.total);
}

// ------------------------------------------------------------------ negative log likelihood

// parts = the sums of -values * logsoftmax(scores)[indices], each over some positions, with `targets` of both.
extern "C" __global__ void __launch_bounds__(256)
nllsum(const float* __restrict__ scores, const int* __restrict__ indices, const float* __restrict__ values,
       float* __restrict__ parts, unsigned n, unsigned targets) {
    Sum sum;
    for (unsigned first = blockIdx.x * ROWS; first < n; first += gridDim.x * ROWS) {
        const unsigned row = row_from(first);
        const float* const s = scores_of(scores, row, n);
        const Row r(s);
        const float log = logf(r.total);
        for (unsigned k = threadIdx.x % MC_T; row < n && k < targets; k += MC_T) {
            const float value = values[row * targets + k];
            const unsigned index = indices[row * targets + k];
            if (value == 0.0f) continue;
            sum.add(value * (index < MC_C ? log - (s[index] - r.top) : __int_as_float(0x7fc00000)));
        }
    }
    sum.leave(parts);
}

// dx = dy * (softmax(scores) * (total value of the position) - values at their indices)
extern "C" __global__ void __launch_bounds__(256)
nll_gradient(const float* __restrict__ dy, const float* __restrict__ scores, const int* __restrict__ indices,
             const float* __restrict__ values, float* __restrict__ dx, unsigned n, unsigned targets) {
    const unsigned row = row_from(blockIdx.x * ROWS);
    const Row r(scores_of(scores, row, n));
    if (row >= n) return;
    float weight = 0.0f, out[HELD];
    for (unsigned k = row * targets; k < (row + 1) * targets; k++)
        weight += (unsigned)indices[k] < MC_C || values[k] == 0.0f ? values[k] : __int_as_float(0x7fc00000);
    const float scale = weight / r.total, times = *dy;
#pragma unroll
    for (int k = 0; k < HELD; k++) out[k] = expf(r.v[k]) * scale;
    for (unsigned j = row * targets; j < (row + 1) * targets; j++) {
        const int index = indices[j];
        const float value = values[j];
#pragma unroll
        for (int k = 0; k < HELD; k++)
            if (index == r.at(k)) out[k] -= value;
    }
#pragma unroll
    for (int k = 0; k < HELD; k++)
        if (r.inside(k)) dx[row * MC_C + r.at(k)] = out[k] * times;
}

// ------------------------------------------------------------------ two arrays

__device__ __forceinline__ bool wide(const float* p) {
    return ((unsigned long long)p & 15) == 0;
}

__device__ __forceinline__ float squared(float a, float b) {
    return (a - b) * (a - b);
}

// parts = the sums of (a - b) ** 2 over some elements each.
extern "C" __global__ void __launch_bounds__(256)
square_error(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ parts, unsigned n) {
    const unsigned first = blockIdx.x * 256 + threadIdx.x, step = gridDim.x * 256;
    const unsigned quads = wide(a) && wide(b) ? n / 4 : 0;
    Sum sum;
    for (unsigned i = first; i < quads; i += step) {
        const float4 u = ((const float4*)a)[i], v = ((const float4*)b)[i];
        sum.add((squared(u.x, v.x) + squared(u.y, v.y)) + (squared(u.z, v.z) + squared(u.w, v.w)));
    }
    for (unsigned i = 4 * quads + first; i < n; i += step) sum.add(squared(a[i], b[i]));
    sum.leave(parts);
}

// y = (a - b) * scale, a number on the GPU
extern "C" __global__ void __launch_bounds__(256)
scaled_difference(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ scale,
                  float* __restrict__ y, unsigned n) {
    const unsigned first = blockIdx.x * 256 + threadIdx.x, step = gridDim.x * 256;
    const unsigned quads = wide(a) && wide(b) && wide(y) ? n / 4 : 0;
    const float s = *scale;
    for (unsigned i = first; i < quads; i += step) {
        const float4 u = ((const float4*)a)[i], v = ((const float4*)b)[i];
        ((float4*)y)[i] = make_float4((u.x - v.x) * s, (u.y - v.y) * s, (u.z - v.z) * s, (u.w - v.w) * s);
    }
    for (unsigned i = 4 * quads + first; i < n; i += step) y[i] = (a[i] - b[i]) * s;
}
