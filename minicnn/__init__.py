"""minicnn: a small deep-learning engine, in the spirit of Julia's Knet. See README.md, then autograd.py.

`__all__` leaves out the names that shadow Python's own (mc.sum, mc.max, mc.abs, mc.pow) so that
`from minicnn import *` is safe, and those of modules.
"""
import builtins as _builtins

from .autograd import Param, Result, Tape, diff, grad, gradloss, params, value
from .autograd import force_training, freeze, primitive, training, zerograd
from .device import cpucopy, device, gpucopy, memory, seed
from .ops.basic import abs, add, clip, div, exp, log, matmul, max, mean, mul, neg, pow, sqrt, sub, sum
from .ops.basic import cat, getitem, mat, pad, reshape, transpose
from .ops.conv import conv4, conv4w, conv4x, deconv4
from .ops.pool import pool, unpool, upsample
from .ops.batchnorm import batchnorm, bnmoments, bnparams
from .ops.activation import elu, leaky_relu, relu, relu6, selu, sigm, softplus, tanh
from .ops.loss import accuracy, bce, huber, logistic, logsoftmax, logsumexp, mse, nll, softmax
from .ops.dropout import dropout
from .gradcheck import gcheck, gradcheck
from .init import bilinear, gaussian, kaiming, param, param0, xavier, xavier_normal
from .layers import BatchNorm, Chain, Conv, Deconv, Dense, Dropout, Pool, Upsample
from .summary import summary
from .fuse import fuse
from .train import schedules
from .train.data import Data, minibatch, prefetch
from .train.iterators import cycle, ncycle, take, takenth
from .train.optimizers import SGD, Adadelta, Adagrad, Adam, Momentum, Nesterov, Rmsprop, clone, update_
from .train.minimize import adadelta, adagrad, adam, converge, minimize, momentum, nesterov, rmsprop, sgd
from .train.minimize import adadelta_, adagrad_, adam_, converge_, minimize_, momentum_, nesterov_, rmsprop_, sgd_
from .train.progress import progress, progress_
from .train.search import goldensection, hyperband
from .files import load, save

__version__ = "0.1.0"
__all__ = [name for name, x in globals().items()
           if not (name.startswith("_") or hasattr(_builtins, name) or isinstance(x, type(_builtins)))]
