// The inner step of a matrix product: a thread holds MC_TM rows and MC_TN columns of the result in registers, and adds
// one outer product after the other to them, of a column of a and a row of b that lie in shared memory.
//
// MC_TX threads share a row of the result. They take its columns two at a time, since shared memory gives 8 bytes as
// fast as 4.

#define THREADS 256
#define PAIRS (MC_TX > 1 ? MC_TN / 2 : 0)

// The q-th column of the thread that is the tx-th along them.
__device__ static int column(int tx, int q) {
    return q < 2 * PAIRS ? 2 * (tx + MC_TX * (q / 2)) + q % 2 : MC_TX * q + tx;
}

// acc += the thread's `rows` of a (the first of them given) times its columns of b (`columns`: all of the tile's).
__device__ static void multiply(const float* rows, const float* columns, int tx, float (&acc)[MC_TM][MC_TN]) {
    float a[MC_TM], b[MC_TN];
#if MC_TM % 4 == 0
#pragma unroll
    for (int m = 0; m < MC_TM; m += 4) {
        const float4 four = *(const float4*)(rows + m);
        a[m] = four.x, a[m + 1] = four.y, a[m + 2] = four.z, a[m + 3] = four.w;
    }
#else
#pragma unroll
    for (int m = 0; m < MC_TM; ++m) a[m] = rows[m];
#endif
#pragma unroll
    for (int q = 0; q < PAIRS; ++q) {
        const float2 two = *(const float2*)(columns + column(tx, 2 * q));
        b[2 * q] = two.x, b[2 * q + 1] = two.y;
    }
#pragma unroll
    for (int q = 2 * PAIRS; q < MC_TN; ++q) b[q] = columns[column(tx, q)];
#pragma unroll
    for (int m = 0; m < MC_TM; ++m)
#pragma unroll
        for (int q = 0; q < MC_TN; ++q) acc[m][q] = fmaf(a[m], b[q], acc[m][q]);
}
