// The gradient of convolution for its weights (conv.py launches it).
//
// dw[t, c, o] = sum over pixels of x[source(pixel, t), c] * dy[pixel, o]: a matrix product whose rows are the (tap,
// channel) pairs of the weights and whose inner side are all pixels of the batch. Those are dealt to SPLITS blocks
// (blockIdx.z), each of which leaves its sum in parts[blockIdx.z]; add_parts adds these in their order, so that a
// run repeats bit for bit.
//
// Constants: MC_C channels of x, MC_K channels of dy, MC_KH MC_KW window, MC_SH MC_SW stride, MC_DH MC_DW dilation,
// MC_TOP MC_LEFT padding; MC_TX threads along the channels of dy, MC_TN channels and MC_TM rows a thread.

#include "parts.cuh"
#include "product.cuh"

#define DEPTH 8                                 // pixels a step
#define SEGMENT 256                             // pixels between looking up where they lie
#define ROWS (THREADS / MC_TX * MC_TM)
#define COLUMNS (MC_TX * MC_TN)
#define XLOADS ((ROWS * DEPTH + THREADS - 1) / THREADS)
#define DLOADS ((COLUMNS * DEPTH + THREADS - 1) / THREADS)
#define ALL_ROWS (MC_KH * MC_KW * MC_C)

#if MC_KH * MC_KW > 32
typedef unsigned long long Mask;
#else
typedef unsigned Mask;
#endif

struct alignas(16) Tile {
    float x[2][DEPTH][ROWS + 4];
    float dy[2][DEPTH][COLUMNS + 4];
    int base[SEGMENT];                          // where in x the pixel's window begins
    Mask seen[SEGMENT];                         // bit t: tap t lies inside the image
};

// For the SEGMENT pixels from `start` on: where their windows begin, and which taps lie inside.
__device__ static void find_pixels(Tile& tile, unsigned start, unsigned stop, int h, int w, int oh, int ow) {
    const unsigned p = start + threadIdx.x;
    Mask seen = 0;
    int base = 0;
    if (p < stop) {
        const int line = p / ow, image = line / oh;
        const int top = (line - image * oh) * MC_SH - MC_TOP, left = (int)(p - line * ow) * MC_SW - MC_LEFT;
        base = ((image * h + top) * w + left) * MC_C;
#pragma unroll 1
        for (int i = 0; i < MC_KH; ++i)
#pragma unroll 1
            for (int j = 0; j < MC_KW; ++j) {
                const bool inside = (unsigned)(top + i * MC_DH) < (unsigned)h
                                    && (unsigned)(left + j * MC_DW) < (unsigned)w;
                seen |= (Mask)inside << (i * MC_KW + j);
            }
    }
    tile.base[threadIdx.x] = base;
    tile.seen[threadIdx.x] = seen;
}

// The copy into shared memory, through registers: a thread reads one row of the weights for several pixels.
struct Copy {
    int row, tap, look;                         // look: from the window's beginning to the row's tap and channel
    float x[XLOADS], dy[DLOADS];

    __device__ explicit Copy(int wide) {
        row = threadIdx.x % ROWS;
        const int r = blockIdx.x * ROWS + row;
        tap = r < ALL_ROWS ? r / MC_C : -1;
        look = (tap / MC_KW * MC_DH * wide + tap % MC_KW * MC_DW) * MC_C + r % MC_C;
    }

    // Read the pixels from p on, the `i`-th and following of the segment; zeros beyond `stop`.
    __device__ void fetch(const Tile& tile, const float* x_, const float* dy_, unsigned p, int i, unsigned stop) {
#pragma unroll
        for (int r = 0; r < XLOADS; ++r) {
            const int d = (threadIdx.x + r * THREADS) / ROWS;
            const bool inside = d < DEPTH && tap >= 0 && (tile.seen[i + d] >> tap & 1);
            x[r] = inside ? __ldg(x_ + tile.base[i + d] + look) : 0.0f;
        }
#pragma unroll
        for (int r = 0; r < DLOADS; ++r) {
            const int e = threadIdx.x + r * THREADS, d = e / COLUMNS, o = blockIdx.y * COLUMNS + e % COLUMNS;
            dy[r] = d < DEPTH && p + d < stop && o < MC_K ? __ldg(dy_ + (p + d) * MC_K + o) : 0.0f;
        }
    }

    __device__ void store(Tile& tile, int to) const {
#pragma unroll
        for (int r = 0; r < XLOADS; ++r) {
            const int d = (threadIdx.x + r * THREADS) / ROWS;
            if (d < DEPTH) tile.x[to][d][row] = x[r];
        }
#pragma unroll
        for (int r = 0; r < DLOADS; ++r) {
            const int e = threadIdx.x + r * THREADS;
            if (e < COLUMNS * DEPTH) tile.dy[to][e / COLUMNS][e % COLUMNS] = dy[r];
        }
    }
};

extern "C" __global__ void __launch_bounds__(256, 2)
weights(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ parts,
        int h, int wide, int oh, int ow, unsigned pixels, unsigned share) {
    __shared__ Tile tile;
    const unsigned start = blockIdx.z * share, stop = min(pixels, start + share);
    const int mine = threadIdx.x / MC_TX * MC_TM, tx = threadIdx.x % MC_TX;
    float acc[MC_TM][MC_TN] = {};
    Copy copy(wide);
#pragma unroll 1
    for (unsigned s = start; s < stop; s += SEGMENT) {
        find_pixels(tile, s, stop, h, wide, oh, ow);
        __syncthreads();
        const int steps = (min(stop - s, (unsigned)SEGMENT) + DEPTH - 1) / DEPTH;
        copy.fetch(tile, x, dy, s, 0, stop);
        copy.store(tile, 0);
        __syncthreads();
#pragma unroll 1
        for (int i = 0; i < steps; ++i) {
            const bool more = i + 1 < steps;
            if (more) copy.fetch(tile, x, dy, s + (i + 1) * DEPTH, (i + 1) * DEPTH, stop);
#pragma unroll
            for (int k = 0; k < DEPTH; ++k) multiply(tile.x[i % 2][k] + mine, tile.dy[i % 2][k], tx, acc);
            if (more) copy.store(tile, (i + 1) % 2);
            __syncthreads();
        }
    }
    float* part = parts + (unsigned)blockIdx.z * (ALL_ROWS * MC_K);
#pragma unroll
    for (int m = 0; m < MC_TM; ++m) {
        const int r = blockIdx.x * ROWS + mine + m;
#pragma unroll
        for (int q = 0; q < MC_TN; ++q) {
            const int o = blockIdx.y * COLUMNS + column(tx, q);
            if (r < ALL_ROWS && o < MC_K) part[r * MC_K + o] = acc[m][q];
        }
    }
}
