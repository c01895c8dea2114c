// Images (N, H, W, C) whose kernels have a thread for each pixel and channel, or four channels where C allows it.
//
// A block covers 256 >> shift rows of pixels, and 1 << shift neighbouring (pixel, channels) in each; grids go down the
// rows, across them, and into the images.
//
// Constant: MC_C channels.

#define WIDE (MC_C % 4 ? 1 : 4)             // channels a thread takes at a time

template <int V> struct alignas(4 * V) Channels { float v[V]; };

template <int V> __device__ __forceinline__ Channels<V> all(float value) {
    Channels<V> a;
    for (int k = 0; k < V; k++) a.v[k] = value;
    return a;
}

template <int V> __device__ __forceinline__ Channels<V> get(const float* p) {
    return *(const Channels<V>*)p;
}

// What is at p, which must be readable in any case: loads that wait for no condition are under way together.
template <int V> __device__ __forceinline__ Channels<V> get_where(bool inside, const float* p, float otherwise) {
    Channels<V> a = get<V>(p);
    for (int k = 0; k < V; k++) a.v[k] = inside ? a.v[k] : otherwise;
    return a;
}

template <int V> __device__ __forceinline__ void set(float* p, Channels<V> a) {
    *(Channels<V>*)p = a;
}

// sum += a * times
template <int V> __device__ __forceinline__ void add(Channels<V>& sum, Channels<V> a, float times = 1.0f) {
    for (int k = 0; k < V; k++) sum.v[k] += a.v[k] * times;
}

// a * (1 - f) + b * f
template <int V> __device__ __forceinline__ Channels<V> between(Channels<V> a, Channels<V> b, float f) {
    for (int k = 0; k < V; k++) a.v[k] = a.v[k] * (1.0f - f) + b.v[k] * f;
    return a;
}

// Where a pixel's channels begin, in images of h x w.
__device__ __forceinline__ int place(int image, int y, int x, int h, int w) {
    return ((image * h + y) * w + x) * MC_C;
}

// The nearest of 0 .. n - 1.
__device__ __forceinline__ int nearest(int i, int n) {
    return i < 0 ? 0 : i < n ? i : n - 1;
}

__device__ __forceinline__ unsigned long long address(const void* p) {
    return (unsigned long long)p;
}

// f.at<WIDE>(image, row, column, channel) everywhere, or channel by channel where an array does not begin at 16 bytes:
// `addresses` are those of all arrays of floats, or-ed.
template <class F>
__device__ __forceinline__ void each(int n, int rows, int columns, int shift, unsigned long long addresses, F f) {
    const int row = blockIdx.x * (256u >> shift) + (threadIdx.x >> shift);
    const unsigned at = (blockIdx.y << shift) + (threadIdx.x & ((1u << shift) - 1u));
    const int column = at / (MC_C / WIDE), c = at % (MC_C / WIDE) * WIDE;
    if (row >= rows || column >= columns) return;
    const bool wide = (addresses & 15) == 0;
    for (int image = blockIdx.z; image < n; image += gridDim.z) {
        if (WIDE == 1 || wide)
            f.template at<WIDE>(image, row, column, c);
        else
#pragma unroll 1
            for (int k = 0; k < WIDE; k++) f.template at<1>(image, row, column, c + k);
    }
}
