// Convolution and its transpose as one implicit matrix product (conv.py launches it).
//
// y[pixel, o] = sum over taps t and channels c of x[source(pixel, t), c] * w[t, c, o].
//
// conv4 takes every tap of the window; the pixel that tap (i, j) reads is (oy * SH - TOP + i * DH, ...). conv4x, the
// transpose, writes an image whose rows fall into SH phases and its columns into SW: within a phase (blockIdx.z) all
// pixels are reached by the same taps, and neighbours read neighbours, so that it is a small convolution of stride 1.
//
// A block computes PIXELS x CHANNELS of the output; a thread TM pixels x TN channels of it in registers. The sum runs
// over (tap, channel) pairs, DEPTH of them at a time through shared memory, while the next ones are on their way.
//
// Constants: MC_C channels of x, MC_K channels of y, MC_KH MC_KW window, MC_SH MC_SW stride, MC_DH MC_DW dilation,
// MC_TOP MC_LEFT padding, MC_TRANSPOSED, MC_TX threads along the channels, MC_TN and MC_TM; then what happens to
// a finished value: MC_BIAS, MC_ACTIVATION (see activated.cuh), MC_AFFINE.

#include "product.cuh"
#include "activated.cuh"

#define DEPTH 8
#define TAPS (MC_KH * MC_KW)
#define PIXELS (THREADS / MC_TX * MC_TM)
#define CHANNELS (MC_TX * MC_TN)
#define XROW (PIXELS + 4)                       // padded: neither side of the copy meets a bank twice
#define WROW (CHANNELS + 4)
#define XLOADS (PIXELS / (THREADS / DEPTH))
#define WLOADS ((CHANNELS * DEPTH + THREADS - 1) / THREADS)

#if TAPS > 32
typedef unsigned long long Mask;
#else
typedef unsigned Mask;
#endif

struct alignas(16) Tile {
    float x[2][DEPTH][XROW];
    float w[2][DEPTH][WROW];
    int base[PIXELS];                           // where in x the pixel's window begins
    int out[PIXELS];                            // which pixel of y it is; -1 beyond the last
    Mask seen[PIXELS];                          // bit t: tap t lies inside the image
    int row[TAPS], column[TAPS];                // where tap t looks, relative to the window's beginning
    int from[TAPS];                             // where in w the tap's weights begin
};

struct Phase {
    int row, column, rows, columns, taps;       // of blockIdx.z: the first pixel, how many, how many taps reach them
};

// Where the taps of this block's phase look; taps in the order of the window.
__device__ static Phase find_taps(Tile& tile, int oh, int ow) {
#if MC_TRANSPOSED
    Phase f;
    f.row = blockIdx.z / MC_SW;
    f.column = blockIdx.z % MC_SW;
    f.rows = (oh - f.row + MC_SH - 1) / MC_SH;
    f.columns = (ow - f.column + MC_SW - 1) / MC_SW;
    f.taps = 0;
#pragma unroll 1
    for (int i = 0; i < MC_KH; ++i) {
        const int y = f.row + MC_TOP - i * MC_DH;
        if (y % MC_SH != 0) continue;
#pragma unroll 1
        for (int j = 0; j < MC_KW; ++j) {
            const int x = f.column + MC_LEFT - j * MC_DW;
            if (x % MC_SW != 0) continue;
            if (threadIdx.x == 0) {
                tile.row[f.taps] = y / MC_SH;
                tile.column[f.taps] = x / MC_SW;
                tile.from[f.taps] = (i * MC_KW + j) * MC_C * MC_K;
            }
            ++f.taps;
        }
    }
    return f;
#else
    for (int t = threadIdx.x; t < TAPS; t += THREADS) {
        tile.row[t] = t / MC_KW * MC_DH;
        tile.column[t] = t % MC_KW * MC_DW;
        tile.from[t] = t * MC_C * MC_K;
    }
    const Phase f = {0, 0, oh, ow, TAPS};
    return f;
#endif
}

// For each of the block's pixels: where it reads, through which taps, and where it writes.
__device__ static void find_pixels(Tile& tile, const Phase& f, int n, int h, int w, int oh, int ow) {
    const unsigned pixels = (unsigned)n * f.rows * f.columns;
    for (int i = threadIdx.x; i < PIXELS; i += THREADS) {
        const unsigned p = blockIdx.x * PIXELS + i;
        Mask seen = 0;
        int base = 0, out = -1;
        if (p < pixels) {
            const int line = p / f.columns, x = p - line * f.columns;
            const int image = line / f.rows, y = line - image * f.rows;
#if MC_TRANSPOSED
            const int top = y, left = x;
            out = (image * oh + f.row + y * MC_SH) * ow + f.column + x * MC_SW;
#else
            const int top = y * MC_SH - MC_TOP, left = x * MC_SW - MC_LEFT;
            out = p;
#endif
            base = ((image * h + top) * w + left) * MC_C;
#pragma unroll 1
            for (int t = 0; t < f.taps; ++t) {
                const bool inside = (unsigned)(top + tile.row[t]) < (unsigned)h
                                    && (unsigned)(left + tile.column[t]) < (unsigned)w;
                seen |= (Mask)inside << t;
            }
        }
        tile.base[i] = base;
        tile.out[i] = out;
        tile.seen[i] = seen;
    }
}

// ------------------------------------------------------------------ the copy into shared memory, through registers

struct Copy {
    int k, lane, base[XLOADS];                  // this thread's pair of each step, and its pixels
    Mask seen[XLOADS];
    float x[XLOADS], w[WLOADS];

    __device__ explicit Copy(const Tile& tile) : k(threadIdx.x % DEPTH), lane(threadIdx.x / DEPTH) {
#pragma unroll
        for (int r = 0; r < XLOADS; ++r) {
            base[r] = tile.base[lane + r * (THREADS / DEPTH)];
            seen[r] = tile.seen[lane + r * (THREADS / DEPTH)];
        }
    }

    // Read the pairs from k0 on; zeros beyond `depth` and outside the image.
    __device__ void fetch(const Tile& tile, const float* x_, const float* w_, int wide, int k0, int depth, int first) {
        const bool valid = k0 + k < depth;
        const int t = valid ? (k0 + k) / MC_C : 0, c = k0 + k - t * MC_C;
        const int look = valid ? (tile.row[t] * wide + tile.column[t]) * MC_C + c : 0;
#pragma unroll
        for (int r = 0; r < XLOADS; ++r)
            x[r] = valid && (seen[r] >> t & 1) ? __ldg(x_ + base[r] + look) : 0.0f;
#pragma unroll
        for (int r = 0; r < WLOADS; ++r) {
#if MC_TRANSPOSED                               // w (taps, MC_K, MC_C): neighbours in memory are neighbouring pairs
            const int q = lane + r * (THREADS / DEPTH);
            const bool inside = valid && q < CHANNELS && first + q < MC_K;
            w[r] = inside ? __ldg(w_ + tile.from[t] + (first + q) * MC_C + c) : 0.0f;
#else                                           // w (taps, MC_C, MC_K): neighbours are output channels
            const int i = threadIdx.x + r * THREADS, q = i % CHANNELS, row = k0 + i / CHANNELS;
            const bool inside = i < CHANNELS * DEPTH && row < depth && first + q < MC_K;
            w[r] = inside ? __ldg(w_ + (unsigned)(row * MC_K + first + q)) : 0.0f;    // a register less than int
#endif
        }
    }

    __device__ void store(Tile& tile, int to) const {
#pragma unroll
        for (int r = 0; r < XLOADS; ++r) tile.x[to][k][lane + r * (THREADS / DEPTH)] = x[r];
#pragma unroll
        for (int r = 0; r < WLOADS; ++r) {
#if MC_TRANSPOSED
            const int q = lane + r * (THREADS / DEPTH);
            if (q < CHANNELS) tile.w[to][k][q] = w[r];
#else
            const int i = threadIdx.x + r * THREADS;
            if (i < CHANNELS * DEPTH) tile.w[to][i / CHANNELS][i % CHANNELS] = w[r];
#endif
        }
    }
};

// ------------------------------------------------------------------ the way out

__device__ static float finished(float v, const float* b, const float* scale, const float* shift, int o) {
#if MC_BIAS
    v += __ldg(b + o);
#endif
    v = activated(v);
#if MC_AFFINE
    v = fmaf(v, __ldg(scale + o), __ldg(shift + o));
#endif
    return v;
}

extern "C" __global__ void __launch_bounds__(256, 2)
gather(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,
       const float* __restrict__ scale, const float* __restrict__ shift, float* __restrict__ y,
       int n, int h, int wide, int oh, int ow) {
    __shared__ Tile tile;
    const Phase f = find_taps(tile, oh, ow);
    if (blockIdx.x * PIXELS >= (unsigned)n * f.rows * f.columns) return;
    __syncthreads();
    find_pixels(tile, f, n, h, wide, oh, ow);
    __syncthreads();

    const int first = blockIdx.y * CHANNELS, depth = f.taps * MC_C;
    const int mine = threadIdx.x / MC_TX * MC_TM, tx = threadIdx.x % MC_TX;      // the thread's pixels and channels
    float acc[MC_TM][MC_TN] = {};
    Copy copy(tile);
    copy.fetch(tile, x, w, wide, 0, depth, first);
    copy.store(tile, 0);
    __syncthreads();
    int now = 0;
#pragma unroll 1
    for (int k0 = 0; k0 < depth; k0 += DEPTH, now ^= 1) {
        const bool more = k0 + DEPTH < depth;
        if (more) copy.fetch(tile, x, w, wide, k0 + DEPTH, depth, first);
        if (k0 + DEPTH <= depth) {
#pragma unroll
            for (int k = 0; k < DEPTH; ++k) multiply(tile.x[now][k] + mine, tile.w[now][k], tx, acc);
        } else {
#pragma unroll 1
            for (int k = 0; k < depth - k0; ++k) multiply(tile.x[now][k] + mine, tile.w[now][k], tx, acc);
        }
        if (more) copy.store(tile, now ^ 1);
        __syncthreads();
    }

#pragma unroll
    for (int m = 0; m < MC_TM; ++m) {
        if (tile.out[mine + m] < 0) continue;
        float* row = y + tile.out[mine + m] * MC_K;
#pragma unroll
        for (int q = 0; q < MC_TN; ++q) {
            const int o = first + column(tx, q);
            if (o < MC_K) row[o] = finished(acc[m][q], b, scale, shift, o);
        }
    }
}
