"""The CUDA kernel of ops/activation.py: one pass over memory."""
from .launcher import Source, blocks, empty, ready

kernels = Source(__file__, "activation.cu")


def _of(function, arrays=1):
    """What that function of activation.cu makes of so many arrays of one shape, and a number, element by element."""
    def call(*args):
        given, (a,) = args[:arrays], args[arrays:] or (0,)
        if given[-1].shape != given[0].shape or not given[0].size:
            return NotImplemented
        given, y = [ready(x) for x in given], empty(given[0].shape)
        kernels.launch("each", blocks(y.size), (given[0], given[-1], y, y.size, a), {"F": function})
        return y
    return call


relu, relu6, tanh, sigm, softplus = map(_of, ("relu", "relu6", "tanh_", "sigm", "softplus"))
leaky_relu, elu = _of("leaky_relu"), _of("elu")
reluback, relu6back, tanhback, sigmback, leakyback, eluback = (
    _of(name, 2) for name in ("reluback", "relu6back", "tanhback", "sigmback", "leakyback", "eluback"))
