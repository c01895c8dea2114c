// What CUDA C++ has and C++ lacks, for compiling unmodified .cu files with g++ (see runtime.cpp, loader.py).
// No #include: a kernel compiles in a fraction of a second, and finds no name that NVRTC would not know.

// what runtime.cpp has for kernels
struct mc_dim3 { unsigned x, y, z; };
struct mc_context { mc_dim3 thread, block, threads, blocks; };
enum { MC_SYNC, MC_IDX, MC_UP, MC_DOWN, MC_XOR, MC_BALLOT, MC_ANY, MC_ALL };
extern "C" {
    extern mc_context mc_now;
    void mc_barrier(const char* file, int line);
    unsigned long long mc_warp(int kind, unsigned mask, unsigned long long value, int lane, int width,
                               const char* file, int line);
    void mc_atomic(void* p, int size, void* from);
    void mc_fence();
}

#ifndef MC_RUNTIME
#define __global__ __attribute__((noinline, unused))
#define __device__ __attribute__((unused))
#define __host__
#define __constant__ static
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __shared__ static __attribute__((used))    // the only variables without a value: .bss is shared memory
#define MC_INLINE static inline __attribute__((always_inline, unused))
#define MC_UNCHECKED __attribute__((no_sanitize("thread")))
#define MC_HERE const char* file = __builtin_FILE(), int line = __builtin_LINE()    // the call's place

typedef __SIZE_TYPE__ size_t;
extern "C" {
    float expf(float), exp2f(float), expm1f(float), logf(float), log2f(float), log1pf(float), powf(float, float),
        sqrtf(float), tanhf(float), erff(float), fabsf(float), fmaxf(float, float), fminf(float, float),
        fmaf(float, float, float), floorf(float), ceilf(float), rintf(float), truncf(float), copysignf(float, float);
}
#define threadIdx (mc_now.thread)
#define blockIdx (mc_now.block)
#define blockDim (mc_now.threads)
#define gridDim (mc_now.blocks)
#define warpSize 32

#define MC_VECTOR(T, name, align) \
    struct __attribute__((aligned(align / 2))) name##2 { T x, y; }; \
    struct __attribute__((aligned(align))) name##4 { T x, y, z, w; }; \
    MC_INLINE name##2 make_##name##2(T x, T y) { return {x, y}; } \
    MC_INLINE name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
MC_VECTOR(float, float, 16)
MC_VECTOR(int, int, 16)
MC_VECTOR(unsigned, uint, 16)

// ------------------------------------------------------------------ numbers

template <class To, class From> MC_INLINE To mc_bits(From a) { To b; __builtin_memcpy(&b, &a, sizeof b); return b; }
MC_INLINE float __int_as_float(int a) { return mc_bits<float>(a); }
MC_INLINE int __float_as_int(float a) { return mc_bits<int>(a); }
#define MC_MINMAX(T) \
    MC_INLINE T min(T a, T b) { return b < a ? b : a; } \
    MC_INLINE T max(T a, T b) { return a < b ? b : a; }
MC_MINMAX(int) MC_MINMAX(unsigned)
MC_INLINE unsigned min(int a, unsigned b) { return min((unsigned)a, b); }
MC_INLINE unsigned min(unsigned a, int b) { return min(a, (unsigned)b); }
MC_INLINE unsigned max(int a, unsigned b) { return max((unsigned)a, b); }
MC_INLINE unsigned max(unsigned a, int b) { return max(a, (unsigned)b); }
MC_INLINE float min(float a, float b) { return fminf(a, b); }
MC_INLINE float max(float a, float b) { return fmaxf(a, b); }
MC_INLINE int abs(int a) { return a < 0 ? -a : a; }
MC_INLINE bool isnan(float a) { return a != a; }
MC_INLINE bool isinf(float a) { return fabsf(a) == __builtin_inff(); }
MC_INLINE float __expf(float a) { return expf(a); }
MC_INLINE float __logf(float a) { return logf(a); }
MC_INLINE float __fdividef(float a, float b) { return a / b; }
MC_INLINE float __frcp_rn(float a) { return 1.0f / a; }
MC_INLINE float rsqrtf(float a) { return 1.0f / sqrtf(a); }
MC_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
MC_INLINE int __popc(unsigned a) { return __builtin_popcount(a); }
MC_INLINE int __clz(int a) { return a ? __builtin_clz(a) : 32; }
MC_INLINE int __ffs(int a) { return __builtin_ffs(a); }
template <class T> MC_INLINE T __ldg(const T* p) { return *p; }

// ------------------------------------------------------------------ threads among each other

MC_INLINE void __syncthreads(MC_HERE) { mc_barrier(file, line); }
MC_INLINE void __threadfence() { mc_fence(); }
MC_INLINE void __threadfence_block() {}
MC_INLINE void __syncwarp(unsigned mask = ~0u, MC_HERE) { mc_warp(MC_SYNC, mask, 0, 0, 32, file, line); }
#define MC_VOTE(name, kind, T) \
    MC_INLINE T name(unsigned mask, int p, MC_HERE) { return (T)mc_warp(kind, mask, p != 0, 0, 32, file, line); }
MC_VOTE(__ballot_sync, MC_BALLOT, unsigned)
MC_VOTE(__any_sync, MC_ANY, int)
MC_VOTE(__all_sync, MC_ALL, int)
#define MC_SHUFFLE(name, kind) \
    template <class T> MC_INLINE T name(unsigned mask, T v, int lane, int width = 32, MC_HERE) { \
        static_assert(sizeof(T) == 4, "shuffles take 32 bits here"); \
        return mc_bits<T>((unsigned)mc_warp(kind, mask, mc_bits<unsigned>(v), lane, width, file, line)); \
    }
MC_SHUFFLE(__shfl_sync, MC_IDX)
MC_SHUFFLE(__shfl_up_sync, MC_UP)
MC_SHUFFLE(__shfl_down_sync, MC_DOWN)
MC_SHUFFLE(__shfl_xor_sync, MC_XOR)
#define MC_ATOMIC(name, T, expression) \
    static __attribute__((noinline, unused)) MC_UNCHECKED T name(T* p, T v) { \
        mc_atomic(p, sizeof(T), __builtin_return_address(0)); T old = *p; *p = (expression); return old; \
    }
MC_ATOMIC(atomicAdd, int, (int)((unsigned)old + (unsigned)v))
MC_ATOMIC(atomicAdd, unsigned, old + v)
MC_ATOMIC(atomicAdd, float, old + v)

// ------------------------------------------------------------------ how the loader calls a kernel

template <class T> struct mc_kind { static constexpr char name = 'v'; };
template <> struct mc_kind<int> { static constexpr char name = 'i'; };
template <> struct mc_kind<unsigned> { static constexpr char name = 'u'; };
template <> struct mc_kind<float> { static constexpr char name = 'f'; };
template <> struct mc_kind<unsigned char> { static constexpr char name = 'b'; };
template <class T> struct mc_type { static constexpr char how = 'V', name = mc_kind<T>::name; };        // by value
template <class T> struct mc_type<T*> { static constexpr char how = 'P', name = mc_kind<T>::name; };
template <class T> struct mc_type<const T*> { static constexpr char how = 'C', name = mc_kind<T>::name; };
template <int... I> struct mc_numbers {};
template <class... A, int... I>
MC_INLINE MC_UNCHECKED void mc_apply(void (*k)(A...), void** a, mc_numbers<I...>) { k(*(A*)a[I]...); }
template <class... A> MC_INLINE MC_UNCHECKED void mc_apply(void (*k)(A...), void** a) {
    mc_apply(k, a, mc_numbers<__integer_pack(sizeof...(A))...>());
}
template <class... A> MC_INLINE const char* mc_describe(void (*)(A...)) {
    static const char text[] = {mc_type<A>::how..., '/', mc_type<A>::name..., 0};
    return text;
}
extern "C" char __bss_start[] __attribute__((visibility("hidden"))), _end[] __attribute__((visibility("hidden")));
#define MC_EXPORT(name) \
    extern "C" MC_UNCHECKED void mc_invoke(void** a) { mc_apply(name, a); } \
    extern "C" const char* mc_signature() { return mc_describe(name); } \
    extern "C" char* mc_shared_begin() { return __bss_start; } \
    extern "C" char* mc_shared_end() { return _end; }
#endif
