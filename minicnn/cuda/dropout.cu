// y = x * scale where the noise of dropout.py at that position is at least `least`, else 0.

__device__ static float masked_(float x, unsigned i, unsigned least, float scale, unsigned seed) {
    unsigned h = i * 0x9E3779B9u + seed;
    h = (h ^ (h >> 16)) * 0x21F0AAADu;
    h = (h ^ (h >> 16)) * 0x735A2D97u;
    h = h ^ (h >> 15);
    return h >= least ? x * scale : 0.0f;
}

__device__ static bool wide(const float* p) {
    return ((unsigned long long)p & 15) == 0;
}

// Four elements at a time where x is no slice that begins between two groups of 16 bytes.
extern "C" __global__ void __launch_bounds__(256)
masked(const float* __restrict__ x, float* __restrict__ y, unsigned n, unsigned least, float scale, unsigned seed) {
    const unsigned first = blockIdx.x * 256 + threadIdx.x, step = gridDim.x * 256;
    const unsigned quads = wide(x) && wide(y) ? n / 4 : 0;
    for (unsigned i = first; i < quads; i += step) {
        float4 v = ((const float4*)x)[i];
        v.x = masked_(v.x, 4 * i, least, scale, seed);
        v.y = masked_(v.y, 4 * i + 1, least, scale, seed);
        v.z = masked_(v.z, 4 * i + 2, least, scale, seed);
        v.w = masked_(v.w, 4 * i + 3, least, scale, seed);
        ((float4*)y)[i] = v;
    }
    for (unsigned i = 4 * quads + first; i < n; i += step)
        y[i] = masked_(x[i], i, least, scale, seed);
}
