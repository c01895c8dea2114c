// The activation that is computed on the way out of another kernel. NaN passes through.
//
// Constant: MC_ACTIVATION, 0 none, 1 relu, 2 tanh, 3 sigm, 4 leaky_relu, 5 relu6.

#include "tanh.cuh"

__device__ static float activated(float v) {
#if MC_ACTIVATION == 1
    return v < 0.0f ? 0.0f : v;
#elif MC_ACTIVATION == 2
    return tanh_(v);
#elif MC_ACTIVATION == 3
    return __fdividef(1.0f, 1.0f + __expf(-v));
#elif MC_ACTIVATION == 4
    return v < 0.0f ? 0.01f * v : v;
#elif MC_ACTIVATION == 5
    return v < 0.0f ? 0.0f : (v > 6.0f ? 6.0f : v);
#else
    return v;
#endif
}
