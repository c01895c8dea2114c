// Depthwise convolution: every channel has a filter of its own (depthwise_cuda.py launches it).
//
// y[p, c] = sum over taps t of x[source(p, t), c] * w[t, c]. There is no matrix product in it, and what it costs is
// reading: a thread computes MC_COLUMNS neighbouring pixels, which share the row of the image that they see.
//
// Constants: MC_C channels, MC_KH x MC_KW window, MC_SH x MC_SW stride, MC_TOP and MC_LEFT padding; MC_TURNED, the
// weights are turned around (conv4x of stride 1 is such a convolution); MC_COLUMNS; then what happens to a finished
// value: MC_BIAS, MC_ACTIVATION (see activated.cuh), MC_AFFINE.

#include "activated.cuh"
#include "channels.cuh"
#include "parts.cuh"

#define TAPS (MC_KH * MC_KW)

// w, and what follows: null pointers where there is none.
struct Filters {
    const float *w, *b, *scale, *shift;

    // The filters' tap (i, j).
    template <int V> __device__ __forceinline__ Channels<V> tap(int i, int j, int c) const {
        return get<V>(w + (MC_TURNED ? TAPS - 1 - i * MC_KW - j : i * MC_KW + j) * MC_C + c);
    }

    template <int V> __device__ __forceinline__ Channels<V> finished(Channels<V> sum, int c) const {
#if MC_BIAS
        add<V>(sum, get<V>(b + c));
#endif
        for (int k = 0; k < V; k++) sum.v[k] = activated(sum.v[k]);
#if MC_AFFINE
        const Channels<V> times = get<V>(scale + c), plus = get<V>(shift + c);
        for (int k = 0; k < V; k++) sum.v[k] = fmaf(sum.v[k], times.v[k], plus.v[k]);
#endif
        return sum;
    }

    __device__ __forceinline__ unsigned long long addresses() const {
        return address(w) | address(b) | address(scale) | address(shift);
    }
};

// sum += a * b
template <int V> __device__ __forceinline__ void add_product(Channels<V>& sum, Channels<V> a, Channels<V> b) {
    for (int k = 0; k < V; k++) sum.v[k] = fmaf(a.v[k], b.v[k], sum.v[k]);
}

// ------------------------------------------------------------------ the pixels that a window sees

struct Filtered {
    const float* x;
    Filters filters;
    float* y;
    int h, w, oh, ow;

    template <int V> __device__ __forceinline__ void at(int image, int oy, int group, int c) const {
        constexpr int SEEN = (MC_COLUMNS - 1) * MC_SW + MC_KW;          // pixels of a row
        const int first = group * MC_COLUMNS, left = first * MC_SW - MC_LEFT;
        Channels<V> sum[MC_COLUMNS];
#pragma unroll
        for (int p = 0; p < MC_COLUMNS; p++) sum[p] = all<V>(0.0f);
#pragma unroll 1                            // a row's loads fit into registers
        for (int i = 0; i < MC_KH; i++) {
            const int iy = oy * MC_SH - MC_TOP + i;
            if (iy < 0 || iy >= h) continue;
            Channels<V> taps[MC_KW];
#pragma unroll
            for (int j = 0; j < MC_KW; j++) taps[j] = filters.tap<V>(i, j, c);
#pragma unroll
            for (int q = 0; q < SEEN; q++) {
                const int ix = nearest(left + q, w);
                const Channels<V> a = get_where<V>(ix == left + q, x + place(image, iy, ix, h, w) + c, 0.0f);
#pragma unroll
                for (int p = 0; p < MC_COLUMNS; p++)
                    if (q >= p * MC_SW && q < p * MC_SW + MC_KW) add_product<V>(sum[p], a, taps[q - p * MC_SW]);
            }
        }
#pragma unroll
        for (int p = 0; p < MC_COLUMNS; p++)
            if (first + p < ow)
                set<V>(y + place(image, oy, first + p, oh, ow) + c, filters.finished<V>(sum[p], c));
    }
};

extern "C" __global__ void __launch_bounds__(256, 2)
filter(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,
       const float* __restrict__ scale, const float* __restrict__ shift, float* __restrict__ y,
       int n, int h, int wide, int oh, int ow, int places) {
    const Filters filters = {w, b, scale, shift};
    each(n, oh, (ow + MC_COLUMNS - 1) / MC_COLUMNS, places, address(x) | address(y) | filters.addresses(),
         Filtered{x, filters, y, h, wide, oh, ow});
}

// ------------------------------------------------------------------ the windows that see a pixel, of any stride

struct Collected {
    const float* dy;
    Filters filters;
    float* dx;
    int h, w, oh, ow;

    template <int V> __device__ __forceinline__ void at(int image, int iy, int ix, int c) const {
        Channels<V> sum = all<V>(0.0f);
#pragma unroll 1
        for (int i = (unsigned)(iy + MC_TOP) % MC_SH; i < MC_KH; i += MC_SH) {      // the taps that meet it
            const int down = iy + MC_TOP - i, oy = down / MC_SH;
            if (down < 0 || oy >= oh) continue;
#pragma unroll 1
            for (int j = (unsigned)(ix + MC_LEFT) % MC_SW; j < MC_KW; j += MC_SW) {
                const int across = ix + MC_LEFT - j, ox = across / MC_SW;
                if (across < 0 || ox >= ow) continue;
                add_product<V>(sum, get<V>(dy + place(image, oy, ox, oh, ow) + c), filters.tap<V>(i, j, c));
            }
        }
        set<V>(dx + place(image, iy, ix, h, w) + c, filters.finished<V>(sum, c));
    }
};

extern "C" __global__ void __launch_bounds__(256, 4)
collect(const float* __restrict__ dy, const float* __restrict__ w, const float* __restrict__ b,
        const float* __restrict__ scale, const float* __restrict__ shift, float* __restrict__ dx,
        int n, int h, int wide, int oh, int ow, int places) {
    const Filters filters = {w, b, scale, shift};
    each(n, h, wide, places, address(dy) | address(dx) | filters.addresses(),
         Collected{dy, filters, dx, h, wide, oh, ow});
}

// ------------------------------------------------------------------ the gradient for the weights

#define LINES 8                             // rows of the image that a block's warps take at a time
#define KEPT (MC_KW > MC_SW ? MC_KW - MC_SW : 0)        // columns of a window that the next one sees, too

// A warp has 32 channels, and goes along a row of dy with the window's pixels in registers. Block (c, s) leaves the
// sums of its channels over `share` rows in parts[s]; add_parts adds these.
extern "C" __global__ void __launch_bounds__(256, 2)
filter_weights(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ parts, int n, int h,
               int wide, int oh, int ow, int share) {
    __shared__ float all[LINES][TAPS][32];
    const int lane = threadIdx.x % 32, line = threadIdx.x / 32, c = blockIdx.x * 32 + lane;
    const int stop = min(n * oh, (int)(blockIdx.y + 1) * share);
    float sum[TAPS] = {};
#pragma unroll 1
    for (int r = c < MC_C ? blockIdx.y * share + line : stop; r < stop; r += LINES) {
        const int image = r / oh, top = (r - image * oh) * MC_SH - MC_TOP;
        float seen[MC_KH][MC_KW];
#pragma unroll
        for (int i = 0; i < MC_KH; i++)
#pragma unroll
            for (int j = 0; j < KEPT; j++) {
                const int iy = nearest(top + i, h), ix = nearest(j - MC_LEFT, wide);
                const float v = __ldg(x + place(image, iy, ix, h, wide) + c);
                seen[i][j + MC_SW] = iy == top + i && ix == j - MC_LEFT ? v : 0.0f;
            }
#pragma unroll 1
        for (int ox = 0; ox < ow; ox++) {
            const float d = __ldg(dy + (r * ow + ox) * MC_C + c);
#pragma unroll
            for (int i = 0; i < MC_KH; i++) {
                const int iy = nearest(top + i, h);
#pragma unroll
                for (int j = 0; j < KEPT; j++) seen[i][j] = seen[i][j + MC_SW];
#pragma unroll
                for (int j = KEPT; j < MC_KW; j++) {
                    const int at = ox * MC_SW - MC_LEFT + j, ix = nearest(at, wide);
                    const float v = __ldg(x + place(image, iy, ix, h, wide) + c);
                    seen[i][j] = iy == top + i && ix == at ? v : 0.0f;
                }
            }
#pragma unroll
            for (int i = 0; i < MC_KH; i++)
#pragma unroll
                for (int j = 0; j < MC_KW; j++) sum[i * MC_KW + j] = fmaf(seen[i][j], d, sum[i * MC_KW + j]);
        }
    }
#pragma unroll
    for (int t = 0; t < TAPS; t++) all[line][t][lane] = sum[t];
    __syncthreads();
    for (int i = threadIdx.x; i < TAPS * 32; i += 256) {
        const int t = i / 32, channel = blockIdx.x * 32 + i % 32;
        float total = 0.0f;
#pragma unroll
        for (int k = 0; k < LINES; k++) total += all[k][t][i % 32];
        if (channel < MC_C) parts[((int)blockIdx.y * TAPS + t) * MC_C + channel] = total;
    }
}
