// Pooling and upsampling of images (N, H, W, C), forwards and backwards: every thread computes what it writes.
//
// Constants: MC_C channels, MC_KH x MC_KW the window, MC_SH x MC_SW its stride, MC_TOP and MC_LEFT padding; what
// enlarges takes the stride as its scale. Heights and widths, of what is pooled (h, w) and of the pooled (oh, ow),
// are arguments.

#include "channels.cuh"

#define INFINITE __int_as_float(0x7f800000)

template <int V> struct alignas(V) Marks { unsigned char v[V]; };

// ------------------------------------------------------------------ from a window's pixels to one

// The largest of each window, or (if MARK) which of its pixels that is; the first of equal ones, and NaN is the
// largest of all.
template <bool MARK> struct Largest {
    const float* x;
    float* y;
    unsigned char* where;
    int h, w, oh, ow;

    template <int V> __device__ __forceinline__ void at(int image, int oy, int ox, int c) const {
        constexpr int LINES = MC_KH * MC_KW <= 9 ? MC_KH : 1;   // whose loads are under way together: what fits
        Channels<V> best = all<V>(-INFINITE);
        int first[V] = {};
#pragma unroll LINES
        for (int i = 0; i < MC_KH; i++)
            for (int j = 0; j < MC_KW; j++) {
                const int iy = oy * MC_SH - MC_TOP + i, ix = ox * MC_SW - MC_LEFT + j;
                const int row = nearest(iy, h), column = nearest(ix, w);
                const Channels<V> a =
                    get_where<V>(row == iy && column == ix, x + place(image, row, column, h, w) + c, -INFINITE);
                for (int k = 0; k < V; k++) {
                    const bool better = !(a.v[k] <= best.v[k] || best.v[k] != best.v[k]);
                    best.v[k] = better ? a.v[k] : best.v[k];
                    first[k] = better ? i * MC_KW + j : first[k];
                }
            }
        if (!MARK) {
            set<V>(y + place(image, oy, ox, oh, ow) + c, best);
            return;
        }
        Marks<V> marks;
        for (int k = 0; k < V; k++) marks.v[k] = first[k];
        *(Marks<V>*)(where + place(image, oy, ox, oh, ow) + c) = marks;
    }
};

struct WindowSum {
    const float* x;
    float* y;
    int h, w, oh, ow;

    template <int V> __device__ __forceinline__ void at(int image, int oy, int ox, int c) const {
        constexpr int LINES = MC_KH * MC_KW <= 9 ? MC_KH : 1;
        Channels<V> sum = all<V>(0.0f);
#pragma unroll LINES
        for (int i = 0; i < MC_KH; i++) {
            Channels<V> line = all<V>(0.0f);
            for (int j = 0; j < MC_KW; j++) {
                const int iy = oy * MC_SH - MC_TOP + i, ix = ox * MC_SW - MC_LEFT + j;
                const int row = nearest(iy, h), column = nearest(ix, w);
                add<V>(line, get_where<V>(row == iy && column == ix, x + place(image, row, column, h, w) + c, 0.0f));
            }
            add<V>(sum, line);
        }
        set<V>(y + place(image, oy, ox, oh, ow) + c, sum);
    }
};

extern "C" __global__ void __launch_bounds__(256, 4)
poolmax(const float* __restrict__ x, float* __restrict__ y, int n, int h, int w, int oh, int ow, int shift) {
    each(n, oh, ow, shift, address(x) | address(y), Largest<false>{x, y, nullptr, h, w, oh, ow});
}

extern "C" __global__ void __launch_bounds__(256, 4)
first_maximum(const float* __restrict__ x, unsigned char* __restrict__ where, int n, int h, int w, int oh, int ow,
              int shift) {
    each(n, oh, ow, shift, address(x), Largest<true>{x, nullptr, where, h, w, oh, ow});
}

extern "C" __global__ void __launch_bounds__(256, 4)
poolsum(const float* __restrict__ x, float* __restrict__ y, int n, int h, int w, int oh, int ow, int shift) {
    each(n, oh, ow, shift, address(x) | address(y), WindowSum{x, y, h, w, oh, ow});
}

// ------------------------------------------------------------------ from one pixel to its window's

// The sum of y over the windows that a pixel is in; if MARKED, over those that it is the maximum of.
template <bool MARKED> struct Spread {
    const float* y;
    const unsigned char* where;
    float* x;
    int h, w, oh, ow;

    template <int V> __device__ __forceinline__ void at(int image, int iy, int ix, int c) const {
        constexpr int DOWN = (MC_KH - 1) / MC_SH + 1, ACROSS = (MC_KW - 1) / MC_SW + 1;        // windows that meet
        constexpr int LINES = DOWN * ACROSS <= 4 ? DOWN : 1;
        Channels<V> sum = all<V>(0.0f);
        const int down = (unsigned)(iy + MC_TOP) / MC_SH;       // the last windows that reach it
        const int across = (unsigned)(ix + MC_LEFT) / MC_SW;
#pragma unroll LINES
        for (int a = DOWN - 1; a >= 0; a--)
            for (int b = ACROSS - 1; b >= 0; b--) {
                const int oy = nearest(down - a, oh), ox = nearest(across - b, ow);
                const int i = iy + MC_TOP - oy * MC_SH, j = ix + MC_LEFT - ox * MC_SW;
                const bool inside = oy == down - a && i < MC_KH && ox == across - b && j < MC_KW;
                const int from = place(image, oy, ox, oh, ow) + c;
                Channels<V> given = get_where<V>(inside, y + from, 0.0f);
                if (MARKED) {
                    const Marks<V> first = *(const Marks<V>*)(where + from);
                    for (int k = 0; k < V; k++) given.v[k] = first.v[k] == i * MC_KW + j ? given.v[k] : 0.0f;
                }
                add<V>(sum, given);
            }
        set<V>(x + place(image, iy, ix, h, w) + c, sum);
    }
};

extern "C" __global__ void __launch_bounds__(256, 4)
poolmax_back(const float* __restrict__ dy, const unsigned char* __restrict__ where, float* __restrict__ dx, int n,
             int h, int w, int oh, int ow, int shift) {
    each(n, h, w, shift, address(dy) | address(dx), Spread<true>{dy, where, dx, h, w, oh, ow});
}

extern "C" __global__ void __launch_bounds__(256, 4)
poolspread(const float* __restrict__ y, float* __restrict__ x, int n, int h, int w, int oh, int ow, int shift) {
    each(n, h, w, shift, address(y) | address(x), Spread<false>{y, nullptr, x, h, w, oh, ow});
}

// ------------------------------------------------------------------ upsampling of h x w

struct Repeated {
    const float* x;
    float* y;
    int h, w;

    template <int V> __device__ __forceinline__ void at(int image, int iy, int ox, int c) const {
        const Channels<V> a = get<V>(x + place(image, iy, (unsigned)ox / MC_SW, h, w) + c);
        for (int i = 0; i < MC_SH; i++)
            set<V>(y + place(image, iy * MC_SH + i, ox, h * MC_SH, w * MC_SW) + c, a);
    }
};

// The two of n pixels between which the enlarged pixel o lies, and how far it is from the first.
struct Neighbours {
    int low, high;
    float f;

    __device__ __forceinline__ Neighbours(int o, int scale, int n) {
        const int pixel = (unsigned)o / (unsigned)scale;
        const int twice = (o - pixel * scale) * 2 + 1 - scale;  // 2 * scale times the way from the pixel's middle
        low = pixel - (twice < 0);
        high = low + 1;
        f = low < 0 || high >= n ? 0.0f : (twice < 0) + twice * (0.5f / scale);
        low = low < 0 ? 0 : low;
        high = high >= n ? n - 1 : high;
    }
};

struct Blended {
    const float* x;
    float* y;
    int h, w;

    template <int V> __device__ __forceinline__ void at(int image, int oy, int ox, int c) const {
        const Neighbours down(oy, MC_SH, h), across(ox, MC_SW, w);
        Channels<V> corner[2];
        for (int b = 0; b < 2; b++) {
            const int ix = b ? across.high : across.low;
            corner[b] = between<V>(get<V>(x + place(image, down.low, ix, h, w) + c),
                                   get<V>(x + place(image, down.high, ix, h, w) + c), down.f);
        }
        set<V>(y + place(image, oy, ox, h * MC_SH, w * MC_SW) + c, between<V>(corner[0], corner[1], across.f));
    }
};

// The transpose of Blended: each pixel collects from the enlarged ones that are less than a pixel away.
struct Unblended {
    const float* dy;
    float* dx;
    int h, w;

    // The share that pixel i of n has in the enlarged pixel d after its own first; 0 where there is none.
    static __device__ __forceinline__ float share(int d, int scale, int i, int n) {
        const int twice = 2 * d + 1 - scale;
        const bool border = twice < 0 ? i == 0 : i == n - 1;    // nothing lies beyond: all of it
        const float beyond = d < 0 || d >= scale ? 0.0f : 1.0f;
        return border ? beyond : 1.0f - (twice < 0 ? -twice : twice) * (0.5f / scale);
    }

    template <int V> __device__ __forceinline__ void at(int image, int iy, int ix, int c) const {
        Channels<V> sum = all<V>(0.0f);
#pragma unroll 1                            // a line's loads fit into registers
        for (int i = -(MC_SH / 2); i < MC_SH + MC_SH / 2; i++) {
            Channels<V> line = all<V>(0.0f);
            for (int j = -(MC_SW / 2); j < MC_SW + MC_SW / 2; j++) {
                const int oy = nearest(iy * MC_SH + i, h * MC_SH), ox = nearest(ix * MC_SW + j, w * MC_SW);
                const float* const p = dy + place(image, oy, ox, h * MC_SH, w * MC_SW) + c;
                add<V>(line, get<V>(p), share(j, MC_SW, ix, w));
            }
            add<V>(sum, line, share(i, MC_SH, iy, h));
        }
        set<V>(dx + place(image, iy, ix, h, w) + c, sum);
    }
};

extern "C" __global__ void __launch_bounds__(256, 4)
upsample_nearest(const float* __restrict__ x, float* __restrict__ y, int n, int h, int w, int shift) {
    each(n, h, w * MC_SW, shift, address(x) | address(y), Repeated{x, y, h, w});
}

extern "C" __global__ void __launch_bounds__(256, 4)
upsample_bilinear(const float* __restrict__ x, float* __restrict__ y, int n, int h, int w, int shift) {
    each(n, h * MC_SH, w * MC_SW, shift, address(x) | address(y), Blended{x, y, h, w});
}

extern "C" __global__ void __launch_bounds__(256, 4)
upsample_bilinear_back(const float* __restrict__ dy, float* __restrict__ dx, int n, int h, int w, int shift) {
    each(n, h, w, shift, address(dy) | address(dx), Unblended{dy, dx, h, w});
}
