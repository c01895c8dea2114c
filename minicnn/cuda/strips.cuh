// How the kernels of channels go through x (rows, C), and how a block adds up what its threads have of a channel.
//
// A block goes through x in strips of MC_ROWS rows, and takes MC_WIDTH consecutive floats of each: all of them, or a
// part of the one row where a row is long. A thread has the same places in every strip, so always the same channels,
// and keeps what it needs of them in registers. `end` is the number of floats in x.
//
// Constants: MC_C channels, MC_ROWS, MC_WIDTH.

#define THREADS 256
#define EACH ((MC_WIDTH + THREADS - 1) / THREADS)       // places of a thread: loads in flight
#define STRIP (MC_ROWS * MC_C)

// Row 0 of all (rows, c) becomes the sum of the rows.
template <class T>
__device__ static void fold(T* all, unsigned rows, unsigned c) {
    for (; rows > 1; rows = (rows + 1) / 2) {
        const unsigned half = (rows + 1) / 2;
        __syncthreads();
        for (unsigned i = threadIdx.x; i < (rows - half) * c; i += blockDim.x)
            all[i] += all[i + half * c];
    }
    __syncthreads();
}
