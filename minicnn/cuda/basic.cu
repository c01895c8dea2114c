// The sum of each channel of x (rows, C), in a fixed order: parts of it block by block, then the whole.
//
// Constants: see strips.cuh.

#include "strips.cuh"

// parts (C, blocks); `end` floats in x.
extern "C" __global__ void __launch_bounds__(256, 8)
sum_parts(const float* __restrict__ x, float* __restrict__ parts, unsigned end) {
    __shared__ float all[EACH * THREADS];
    const unsigned first = blockIdx.y * MC_WIDTH, width = min(MC_WIDTH, STRIP - first);
    float sum[EACH] = {};
    for (unsigned strip = blockIdx.x * STRIP + first; strip < end; strip += gridDim.x * STRIP) {
        const unsigned size = min(width, end - strip);
#pragma unroll
        for (int k = 0; k < EACH; k++) {
            const unsigned i = threadIdx.x + k * THREADS;
            sum[k] += i < size ? x[strip + i] : 0.0f;
        }
    }
#pragma unroll
    for (int k = 0; k < EACH; k++)
        all[threadIdx.x + k * THREADS] = sum[k];
    fold(all, MC_ROWS, MC_C);
    for (unsigned c = threadIdx.x; c < min(width, (unsigned)MC_C); c += THREADS)
        parts[(first + c) * gridDim.x + blockIdx.x] = all[c];
}

// One block a channel: sums (C) of its n parts.
extern "C" __global__ void __launch_bounds__(128)
sum_whole(const float* __restrict__ parts, float* __restrict__ sums, unsigned n) {
    __shared__ float all[128];
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < n; i += 128)
        sum += parts[blockIdx.x * n + i];
    all[threadIdx.x] = sum;
    fold(all, 128, 1);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = all[0];
}
