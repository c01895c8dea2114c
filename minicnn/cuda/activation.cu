// The activations and their gradients, element by element.
//
// Constant: MC_F, the function below that the kernel applies to (x, y, a): `a` is the slope or alpha of those that
// have one, and what a function does not name is not read from memory. NaN passes through all of them.

#include "tanh.cuh"

// ------------------------------------------------------------------ of x

__device__ static float tanh_(float x, float, float) {
    return tanh_(x);
}

__device__ static float relu(float x, float, float) {
    return x < 0.0f ? 0.0f : x;
}

__device__ static float relu6(float x, float, float) {
    return x < 0.0f ? 0.0f : (x > 6.0f ? 6.0f : x);
}

__device__ static float sigm(float x, float, float) {
    const float e = expf(-fabsf(x));
    return __fdividef(x < 0.0f ? e : 1.0f, 1.0f + e);
}

__device__ static float leaky_relu(float x, float, float a) {
    return x > 0.0f ? x : x * a;
}

__device__ static float elu(float x, float, float a) {
    return x > 0.0f ? x : a * expm1f(x);
}

__device__ static float softplus(float x, float, float) {
    return (x < 0.0f ? 0.0f : x) + log1pf(expf(-fabsf(x)));
}

// ------------------------------------------------------------------ gradients, of (dy, y) or (dy, x)

__device__ static float reluback(float dy, float y, float) {
    return y > 0.0f ? dy : (y == y ? 0.0f : y);
}

__device__ static float relu6back(float dy, float y, float) {
    return y > 0.0f && y < 6.0f ? dy : (y == y ? 0.0f : y);
}

__device__ static float tanhback(float dy, float y, float) {
    return dy * (1.0f - y * y);
}

__device__ static float sigmback(float dy, float y, float) {
    return dy * (y * (1.0f - y));
}

__device__ static float leakyback(float dy, float x, float a) {
    return x > 0.0f ? dy : (x == x ? dy * a : x);
}

__device__ static float eluback(float dy, float y, float a) {
    return y > 0.0f ? dy : dy * (y + a);
}

// ------------------------------------------------------------------ the kernel

__device__ static bool wide(const float* p) {
    return ((unsigned long long)p & 15) == 0;
}

// z = MC_F(x, y, a), four elements at a time where no array is a slice that begins between two groups of 16 bytes.
extern "C" __global__ void __launch_bounds__(256)
each(const float* __restrict__ x, const float* __restrict__ y, float* __restrict__ z, unsigned n, float a) {
    const unsigned first = blockIdx.x * 256 + threadIdx.x, step = gridDim.x * 256;
    const unsigned quads = wide(x) && wide(y) && wide(z) ? n / 4 : 0;
    for (unsigned i = first; i < quads; i += step) {
        const float4 u = ((const float4*)x)[i], v = ((const float4*)y)[i];
        ((float4*)z)[i] = make_float4(MC_F(u.x, v.x, a), MC_F(u.y, v.y, a), MC_F(u.z, v.z, a), MC_F(u.w, v.w, a));
    }
    for (unsigned i = 4 * quads + first; i < n; i += step)
        z[i] = MC_F(x[i], y[i], a);
}
