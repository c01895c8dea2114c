// Batch normalisation of x (rows, C): the moments of each channel, the scaling with the activation behind it, and the
// gradients. What is summed over rows is summed in a fixed order: parts block by block, then the whole.
//
// strips.cuh says how blocks go through x. Eight blocks a core, so at most 32 registers a thread, are what keeps enough
// loads in flight.
//
// Constants: MC_C channels, MC_ROWS, MC_WIDTH; MC_ACTIVATION (0 none, 1 relu, 2 tanh, 5 relu6).

#include "strips.cuh"
#include "activated.cuh"

// ------------------------------------------------------------------ what is summed

struct Moments {                                        // of n numbers: their mean, and the squared distances from it
    float n, mean, squares;
};

struct Sums {
    float a, b;
};

__device__ static void operator+=(Moments& a, Moments b) {
    const float n = a.n + b.n, share = n > 0.0f ? b.n / n : 0.0f, d = b.mean - a.mean;
    a.mean += d * share;
    a.squares += b.squares + d * (d * (a.n * share));
    a.n = n;
}

__device__ static void operator+=(Sums& a, Sums b) {
    a.a += b.a;
    a.b += b.b;
}

// ------------------------------------------------------------------ moments

// parts (3, C, blocks): n, mean, squares. A mean far from 0 costs no digits: a thread's own sums are of differences
// from the first number it meets, and means are differences from the channel's first number.
extern "C" __global__ void __launch_bounds__(256, 8)
moments_parts(const float* __restrict__ x, float* __restrict__ parts, unsigned end) {
    __shared__ Moments all[EACH * THREADS];
    const unsigned first = blockIdx.y * MC_WIDTH, width = min(MC_WIDTH, STRIP - first);
    unsigned strip = blockIdx.x * STRIP + first, size = min(width, end - strip), strips = 0;
    float start[EACH], sum[EACH] = {}, squares[EACH] = {};
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        const unsigned i = threadIdx.x + k * THREADS;
        start[k] = i < size ? x[strip + i] : 0.0f;
    }
    for (; strip < end; strip += gridDim.x * STRIP) {
        size = min(width, end - strip);
        strips++;
#pragma unroll
        for (int k = 0; k < EACH; k++) {
            const unsigned i = threadIdx.x + k * THREADS;
            const float d = i < size ? x[strip + i] - start[k] : 0.0f;
            sum[k] += d;
            squares[k] += d * d;
        }
    }
#pragma unroll
    for (int k = 0; k < EACH; k++) {                    // only the last strip may end early
        const unsigned i = threadIdx.x + k * THREADS;
        const float n = i < size ? strips : i < width ? strips - 1 : 0, mean = __fdividef(sum[k], n);
        all[i] = {n, start[k] - x[(first + i) % MC_C] + mean, squares[k] - sum[k] * mean};
        if (n == 0.0f)
            all[i] = {};
    }
    fold(all, MC_ROWS, MC_C);
    for (unsigned c = threadIdx.x; c < min(width, (unsigned)MC_C); c += THREADS) {
        float* part = parts + (first + c) * gridDim.x + blockIdx.x;
        part[0] = all[c].n;
        part[MC_C * gridDim.x] = all[c].mean;
        part[2 * MC_C * gridDim.x] = all[c].squares;
    }
}

// One block a channel: mean and var (C) out of its n parts.
extern "C" __global__ void __launch_bounds__(128)
moments_whole(const float* __restrict__ x, const float* __restrict__ parts, float* __restrict__ mean,
              float* __restrict__ var, unsigned n) {
    __shared__ Moments all[128];
    Moments sum = {};
    for (unsigned i = threadIdx.x; i < n; i += 128) {
        const float* part = parts + blockIdx.x * n + i;
        sum += {part[0], part[MC_C * n], part[2 * MC_C * n]};
    }
    all[threadIdx.x] = sum;
    fold(all, 128, 1);
    if (threadIdx.x == 0) {
        mean[blockIdx.x] = x[blockIdx.x] + all[0].mean;
        var[blockIdx.x] = all[0].squares / all[0].n;
    }
}

// ------------------------------------------------------------------ forward

struct Channels {                                       // what a thread needs of the channels at its places
    float mean[EACH], scale[EACH], shift[EACH];
};

// y = activated((x - mean) * scale + shift)
__device__ static void scaled(const float* __restrict__ x, float* __restrict__ y, unsigned end, const Channels& of) {
    const unsigned first = blockIdx.y * MC_WIDTH, width = min(MC_WIDTH, STRIP - first);
    for (unsigned strip = blockIdx.x * STRIP + first; strip < end; strip += gridDim.x * STRIP) {
        const unsigned size = min(width, end - strip);
        float v[EACH];
#pragma unroll
        for (int k = 0; k < EACH; k++) {
            const unsigned i = threadIdx.x + k * THREADS;
            v[k] = i < size ? x[strip + i] : 0.0f;
        }
#pragma unroll
        for (int k = 0; k < EACH; k++)
            v[k] = activated((v[k] - of.mean[k]) * of.scale[k] + of.shift[k]);
#pragma unroll
        for (int k = 0; k < EACH; k++) {
            const unsigned i = threadIdx.x + k * THREADS;
            if (i < size)
                y[strip + i] = v[k];
        }
    }
}

// params (2 C), scales and then shifts, or null
extern "C" __global__ void __launch_bounds__(256, 8)
normalise(const float* __restrict__ x, const float* __restrict__ mean, const float* __restrict__ var,
          const float* __restrict__ params, float* __restrict__ y, unsigned end, float eps) {
    Channels of;
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        const unsigned c = (blockIdx.y * MC_WIDTH + threadIdx.x + k * THREADS) % MC_C;
        of.mean[k] = mean[c];
        of.scale[k] = rsqrtf(var[c] + eps) * (params ? params[c] : 1.0f);
        of.shift[k] = params ? params[MC_C + c] : 0.0f;
    }
    scaled(x, y, end, of);
}

extern "C" __global__ void __launch_bounds__(256, 8)
affine(const float* __restrict__ x, const float* __restrict__ scale, const float* __restrict__ shift,
       float* __restrict__ y, unsigned end) {
    Channels of = {};
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        const unsigned c = (blockIdx.y * MC_WIDTH + threadIdx.x + k * THREADS) % MC_C;
        of.scale[k] = scale[c];
        of.shift[k] = shift[c];
    }
    scaled(x, y, end, of);
}

// ------------------------------------------------------------------ backward

// dy through the activation that gave y; y is not read where there is none.
__device__ static float back(float dy, float y) {
#if MC_ACTIVATION == 1
    return y > 0.0f ? dy : (y == y ? 0.0f : y);
#elif MC_ACTIVATION == 2
    return dy * (1.0f - y * y);
#elif MC_ACTIVATION == 5
    return y > 0.0f && y < 6.0f ? dy : (y == y ? 0.0f : y);
#else
    return dy;
#endif
}

// parts (2, C, blocks): the sums of dz and of dz * (x - mean), where dz = back(dy, y)
extern "C" __global__ void __launch_bounds__(256, 8)
back_parts(const float* __restrict__ dy, const float* __restrict__ y, const float* __restrict__ x,
           const float* __restrict__ mean, float* __restrict__ parts, unsigned end) {
    __shared__ Sums all[EACH * THREADS];
    const unsigned first = blockIdx.y * MC_WIDTH, width = min(MC_WIDTH, STRIP - first);
    float m[EACH];
    Sums sums[EACH] = {};
#pragma unroll
    for (int k = 0; k < EACH; k++)
        m[k] = mean[(first + threadIdx.x + k * THREADS) % MC_C];
    for (unsigned strip = blockIdx.x * STRIP + first; strip < end; strip += gridDim.x * STRIP) {
        const unsigned size = min(width, end - strip);
#pragma unroll
        for (int k = 0; k < EACH; k++) {
            const unsigned i = threadIdx.x + k * THREADS;
            if (i < size) {
                const float dz = back(dy[strip + i], y[strip + i]);
                sums[k] += {dz, dz * (x[strip + i] - m[k])};
            }
        }
    }
#pragma unroll
    for (int k = 0; k < EACH; k++)
        all[threadIdx.x + k * THREADS] = sums[k];
    fold(all, MC_ROWS, MC_C);
    for (unsigned c = threadIdx.x; c < min(width, (unsigned)MC_C); c += THREADS) {
        float* part = parts + (first + c) * gridDim.x + blockIdx.x;
        part[0] = all[c].a;
        part[MC_C * gridDim.x] = all[c].b;
    }
}

// One block a channel, out of its n parts: dparams (2 C), and factors (3, C) for back_combine.
extern "C" __global__ void __launch_bounds__(128)
back_whole(const float* __restrict__ parts, const float* __restrict__ var, const float* __restrict__ params,
           float* __restrict__ dparams, float* __restrict__ factors, unsigned n, float rows, float eps) {
    __shared__ Sums all[128];
    const unsigned c = blockIdx.x;
    Sums sum = {};
    for (unsigned i = threadIdx.x; i < n; i += 128)
        sum += {parts[c * n + i], parts[(MC_C + c) * n + i]};
    all[threadIdx.x] = sum;
    fold(all, 128, 1);
    if (threadIdx.x == 0) {
        const float inv = rsqrtf(var[c] + eps), scale = inv * (params ? params[c] : 1.0f);
        const float dscale = all[0].b * inv, dshift = all[0].a;
        dparams[c] = dscale;
        dparams[MC_C + c] = dshift;
        factors[c] = scale;
        factors[MC_C + c] = -scale * inv * dscale / rows;
        factors[2 * MC_C + c] = -scale * dshift / rows;
    }
}

// dx = scale * (dz - dshift / rows - xhat * dscale / rows), as a * dz + b * (x - mean) + c
extern "C" __global__ void __launch_bounds__(256, 8)
back_combine(const float* __restrict__ dy, const float* __restrict__ y, const float* __restrict__ x,
             const float* __restrict__ mean, const float* __restrict__ factors, float* __restrict__ dx,
             unsigned end) {
    const unsigned first = blockIdx.y * MC_WIDTH, width = min(MC_WIDTH, STRIP - first);
    float m[EACH], a[EACH], b[EACH], c[EACH];
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        const float* factor = factors + (first + threadIdx.x + k * THREADS) % MC_C;
        a[k] = factor[0];
        b[k] = factor[MC_C];
        c[k] = factor[2 * MC_C];
        m[k] = mean[(first + threadIdx.x + k * THREADS) % MC_C];
    }
    for (unsigned strip = blockIdx.x * STRIP + first; strip < end; strip += gridDim.x * STRIP) {
        const unsigned size = min(width, end - strip);
        float dz[EACH], v[EACH];
#pragma unroll
        for (int k = 0; k < EACH; k++) {
            const unsigned i = threadIdx.x + k * THREADS;
            dz[k] = i < size ? back(dy[strip + i], y[strip + i]) : 0.0f;
            v[k] = i < size ? x[strip + i] : 0.0f;
        }
#pragma unroll
        for (int k = 0; k < EACH; k++) {
            const unsigned i = threadIdx.x + k * THREADS;
            if (i < size)
                dx[strip + i] = a[k] * dz[k] + b[k] * (v[k] - m[k]) + c[k];
        }
    }
}
