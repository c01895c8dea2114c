// The sum of what several blocks have left of the same numbers, in the order of the blocks: a run repeats bit for bit.

extern "C" __global__ void __launch_bounds__(256)
add_parts(const float* __restrict__ parts, float* __restrict__ dw, unsigned size, int splits) {
    for (unsigned i = blockIdx.x * 256 + threadIdx.x; i < size; i += gridDim.x * 256) {
        float sum = 0.0f;
#pragma unroll 4
        for (int s = 0; s < splits; ++s) sum += __ldg(parts + s * size + i);
        dw[i] = sum;
    }
}
