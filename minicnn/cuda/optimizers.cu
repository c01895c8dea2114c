// One update of the weights w by their gradient g, which is scaled and gets l2 times w; then w shrinks, and a rule
// changes w and the optimizer's state, all in place.
//
// Constants: MC_RULE, the rule; MC_STATES, how many arrays of state it has (a, then b).

struct Numbers {                                        // each rule takes some of them
    float scale, l2, shrink, lr, rho, rest, rho2, rest2, eps, correct;
};

__device__ static void sgd(float& w, float d, float&, float&, Numbers h) {
    w -= h.lr * d;
}

__device__ static void momentum(float& w, float d, float& velocity, float&, Numbers h) {
    velocity = h.rho * velocity - h.lr * d;
    w += velocity;
}

__device__ static void nesterov(float& w, float d, float& velocity, float&, Numbers h) {
    const float before = h.rho * velocity;
    velocity = before - h.lr * d;
    w += (1.0f + h.rho) * velocity - before;
}

__device__ static void adagrad(float& w, float d, float& G, float&, Numbers h) {
    G += d * d;
    w -= h.lr * d / sqrtf(G + h.eps);
}

__device__ static void rmsprop(float& w, float d, float& G, float&, Numbers h) {
    G = h.rho * G + h.rest * d * d;
    w -= h.lr * d / sqrtf(G + h.eps);
}

__device__ static void adadelta(float& w, float d, float& G, float& delta, Numbers h) {
    G = h.rho * G + h.rest * d * d;
    d *= sqrtf(delta + h.eps) / sqrtf(G + h.eps);
    delta = h.rho * delta + h.rest * d * d;
    w -= h.lr * d;
}

__device__ static void adam(float& w, float d, float& m, float& v, Numbers h) {
    m = h.rho * m + h.rest * d;
    v = h.rho2 * v + h.rest2 * d * d;
    w -= h.lr * m / (sqrtf(v * h.correct) + h.eps);
}

// ------------------------------------------------------------------ the kernel

__device__ static bool wide(const float* p) {
    return ((unsigned long long)p & 15) == 0;           // so is null
}

__device__ static void step(float& w, float g, float& a, float& b, Numbers h) {
    const float d = g * h.scale + w * h.l2;
    w *= h.shrink;
    MC_RULE(w, d, a, b, h);
}

// Four elements at a time where no array is a slice that begins between two groups of 16 bytes.
extern "C" __global__ void __launch_bounds__(256)
update(float* __restrict__ w, const float* __restrict__ g, float* __restrict__ a, float* __restrict__ b, unsigned n,
       float scale, float l2, float shrink, float lr, float rho, float rest, float rho2, float rest2, float eps,
       float correct) {
    const Numbers h = {scale, l2, shrink, lr, rho, rest, rho2, rest2, eps, correct};
    const unsigned first = blockIdx.x * 256 + threadIdx.x, stride = gridDim.x * 256;
    const unsigned quads = wide(w) && wide(g) && wide(a) && wide(b) ? n / 4 : 0;
    for (unsigned i = first; i < quads; i += stride) {
        const float4 G = ((const float4*)g)[i];
        float4 W = ((float4*)w)[i], A = MC_STATES > 0 ? ((float4*)a)[i] : W, B = MC_STATES > 1 ? ((float4*)b)[i] : W;
        step(W.x, G.x, A.x, B.x, h);
        step(W.y, G.y, A.y, B.y, h);
        step(W.z, G.z, A.z, B.z, h);
        step(W.w, G.w, A.w, B.w, h);
        ((float4*)w)[i] = W;
        if (MC_STATES > 0) ((float4*)a)[i] = A;
        if (MC_STATES > 1) ((float4*)b)[i] = B;
    }
    for (unsigned i = 4 * quads + first; i < n; i += stride) {
        float W = w[i], A = MC_STATES > 0 ? a[i] : 0.0f, B = MC_STATES > 1 ? b[i] : 0.0f;
        step(W, g[i], A, B, h);
        w[i] = W;
        if (MC_STATES > 0) a[i] = A;
        if (MC_STATES > 1) b[i] = B;
    }
}
