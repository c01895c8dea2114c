"""Activations, element by element; each gradient reads the output where it can, so that the input may go."""
import numpy as np

from ..autograd import nograd, primitive, value
from ..device import xp
from ..dispatch import kernels
from .basic import add, mul, sub
from .shapes import floating, number

__all__ = ["elu", "leaky_relu", "relu", "relu6", "selu", "sigm", "softplus", "tanh"]

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@primitive(keep="y")
def relu(x):
    """max(0, x), with gradient 0 at 0.

    >>> relu(np.array([-1., 2.]))
    array([0., 2.])
    """
    floating("relu", x=x)
    return _relu(x)


@primitive
def reluback(dy, y):
    """The gradient of relu: dy where y > 0."""
    return _reluback(dy, y)


@primitive(keep="y")
def relu6(x):
    """min(max(0, x), 6), with gradient 0 at 0 and at 6.

    >>> relu6(np.array([-1., 2., 7.]))
    array([0., 2., 6.])
    """
    floating("relu6", x=x)
    return _relu6(x)


@primitive
def relu6back(dy, y):
    """The gradient of relu6: dy where 0 < y < 6."""
    return _relu6back(dy, y)


@primitive(keep="y")
def tanh(x):
    """The hyperbolic tangent."""
    floating("tanh", x=x)
    return _tanh(x)


def tanhback(dy, y):
    """The gradient of tanh: dy * (1 - y * y)."""
    return _tanhback(dy, y)


@primitive(keep="y")
def sigm(x):
    """The logistic function 1 / (1 + exp(-x)), without overflow."""
    floating("sigm", x=x)
    return _sigm(x)


@primitive(keep="x")
def leaky_relu(x, slope=0.01):
    """x where it is positive, slope * x elsewhere."""
    floating("leaky_relu", x=x)
    return _leaky_relu(x, float(number("leaky_relu", "slope", slope)))


@primitive(keep="y")
def elu(x, alpha=1.0):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere."""
    floating("elu", x=x)
    if not number("elu", "alpha", alpha) >= 0:              # the gradient takes the sign of x from that of y
        raise ValueError(f"elu needs alpha of at least 0, got {alpha}")
    return _elu(x, float(alpha))


def selu(x):
    """The self-normalising elu: SELU_SCALE * elu(x, SELU_ALPHA)."""
    return mul(elu(x, SELU_ALPHA), SELU_SCALE)


@primitive(keep="x")
def softplus(x):
    """log(1 + exp(x)), without overflow."""
    floating("softplus", x=x)
    return _softplus(x)


ACTIVATIONS = {f.__name__: f for f in (elu, leaky_relu, relu, relu6, selu, sigm, softplus, tanh)}
BACK = {"relu": reluback, "relu6": relu6back, "tanh": tanhback}     # those that batchnorm computes along the way


def then(y, activation, scale, shift):
    """activation(y) * scale + shift, each of them optional: what may follow a convolution."""
    y = y if activation is None else ACTIVATIONS[activation](y)
    return y if scale is None else y * scale + shift


@kernels(cpu="minicnn.cpu.activation.relu", cuda="minicnn.cuda.activation.relu")
def _relu(x):
    return np.maximum(x, 0)


@kernels(cpu="minicnn.cpu.activation.reluback", cuda="minicnn.cuda.activation.reluback")
def _reluback(dy, y):
    return xp(dy).where(np.isnan(y), y, dy * (y > 0))       # NaN stays visible


@kernels(cpu="minicnn.cpu.activation.relu6", cuda="minicnn.cuda.activation.relu6")
def _relu6(x):
    return np.clip(x, 0, 6)


@kernels(cpu="minicnn.cpu.activation.relu6back", cuda="minicnn.cuda.activation.relu6back")
def _relu6back(dy, y):
    return xp(dy).where(np.isnan(y), y, dy * ((y > 0) & (y < 6)))


@kernels(cpu="minicnn.cpu.activation.tanh", cuda="minicnn.cuda.activation.tanh")
def _tanh(x):
    return np.tanh(x)


@kernels(cpu="minicnn.cpu.activation.tanhback", cuda="minicnn.cuda.activation.tanhback")
def _tanhback(dy, y):
    return mul(dy, sub(1, mul(y, y)))


@kernels(cpu="minicnn.cpu.activation.sigm", cuda="minicnn.cuda.activation.sigm")
def _sigm(x):
    e = np.exp(-np.abs(x))
    return xp(x).where(x >= 0, 1, e) / (1 + e)


@kernels(cpu="minicnn.cpu.activation.sigmback", cuda="minicnn.cuda.activation.sigmback")
def _sigmback(dy, y):
    return mul(dy, mul(y, sub(1, y)))


@kernels(cpu="minicnn.cpu.activation.leaky_relu", cuda="minicnn.cuda.activation.leaky_relu")
def _leaky_relu(x, slope):
    return xp(x).where(x > 0, x, x * slope)


@kernels(cpu="minicnn.cpu.activation.leakyback", cuda="minicnn.cuda.activation.leakyback")
def _leakyback(dy, x, slope):
    x = value(x)
    return mul(dy, xp(x).where(np.isnan(x), x, xp(x).where(x > 0, 1, slope)).astype(x.dtype))


@kernels(cpu="minicnn.cpu.activation.elu", cuda="minicnn.cuda.activation.elu")
def _elu(x, alpha):
    return xp(x).where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@kernels(cpu="minicnn.cpu.activation.eluback", cuda="minicnn.cuda.activation.eluback")
def _eluback(dy, y, alpha):
    """dy where y > 0, else dy * alpha * exp(x) = dy * (y + alpha)."""
    positive = (value(y) > 0).astype(y.dtype)
    return mul(dy, add(mul(add(y, alpha), sub(1, positive)), positive))


@kernels(cpu="minicnn.cpu.activation.softplus", cuda="minicnn.cuda.activation.softplus")
def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


relu.back = (lambda dy, y, x: reluback(dy, y),)
reluback.back = (lambda ddx, z, dy, y: reluback(ddx, y), nograd)
relu6.back = (lambda dy, y, x: relu6back(dy, y),)
relu6back.back = (lambda ddx, z, dy, y: relu6back(ddx, y), nograd)
tanh.back = (lambda dy, y, x: tanhback(dy, y),)
sigm.back = (lambda dy, y, x: _sigmback(dy, y),)
leaky_relu.back = (lambda dy, y, x, slope=0.01: _leakyback(dy, x, float(slope)),)
elu.back = (lambda dy, y, x, alpha=1.0: _eluback(dy, y, float(alpha)),)
softplus.back = (lambda dy, y, x: mul(dy, sigm(x)),)
