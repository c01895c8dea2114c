"""PyTorch as a peer: eager, with either memory format, or compiled.

padding="same" with stride 2 puts its one row at the bottom, PyTorch's padding=1 at the top. Padding by hand or
cropping would slow PyTorch down (20 % of a training step), so such a model gets mirrored images and mirrored weights
instead: the same function, and nothing of it is timed.
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import minicnn as mc

from ..models import Scale


class Torch:
    def __init__(self, threads, channels_last=False, compiled=False):
        torch.set_num_threads(threads)
        self.version = torch.__version__
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.compiled = compiled

    def image(self, x, mirror=1):
        """(N, H, W, C) as torch's (N, C, H, W), in this peer's memory format."""
        x = np.ascontiguousarray(x[:, ::mirror, ::mirror].transpose(0, 3, 1, 2))
        return torch.from_numpy(x).contiguous(memory_format=self.format)

    def net(self, model, mirror):
        net = nn.Sequential(*(translated(layer, mirror) for layer in model.layers)).to(memory_format=self.format)
        return torch.compile(net) if self.compiled else net

    def forward(self, model, x):
        mirror = mirrored(model)
        step = inference(self.net(model, mirror), self.image(x, mirror))
        return step, lambda y: [_back(y)[:, ::mirror, ::mirror]]

    def training(self, model, x, target):
        mirror = mirrored(model)
        net = self.net(model, mirror)
        step = training(net, self.image(x, mirror), self.image(target, mirror))
        weights = [p for p in net.parameters() if p.ndim == 4]
        return step, lambda loss: [loss.detach().numpy()] + [_weights(w.grad)[::mirror, ::mirror] for w in weights]

    def conv(self, w, x, dilation):
        w, x = _turned(w).contiguous(memory_format=self.format), self.image(x)

        def step():
            with torch.inference_mode():
                return F.conv2d(x, w, padding=dilation, dilation=dilation)
        return step, lambda y: [_back(y)]

    def constant_conv(self, w, x, dilation):
        return self.conv(w, x, dilation)

    def gradients(self, w, x, dy, dilation):
        w, x, dy = _turned(w).contiguous(memory_format=self.format), self.image(x), self.image(dy)
        o = [(1, 1), (dilation, dilation), (dilation, dilation), False, (0, 0), 1, (True, True, False)]

        def step():
            with torch.inference_mode():
                return torch.ops.aten.convolution_backward(dy, x, w, None, *o)
        return step, lambda grads: [_weights(grads[1]), _back(grads[0])]


# ------------------------------------------------------------------ what is timed


def inference(net, x):
    net.eval()

    def step():
        with torch.inference_mode():
            return net(x)
    return step


def training(net, x, target):
    """A step of Adam on the mean squared error, which it gives."""
    adam = torch.optim.Adam(net.train().parameters(), lr=1e-4, fused=True)

    def step():
        adam.zero_grad(set_to_none=True)
        loss = F.mse_loss(net(x), target)
        loss.backward()
        adam.step()
        return loss
    return step


# ------------------------------------------------------------------ weights


def _turned(w):
    """(kh, kw, a, b) as torch's (b, a, kh, kw)."""
    return torch.from_numpy(np.ascontiguousarray(w.transpose(3, 2, 0, 1)))


def _weights(w):
    return w.permute(2, 3, 1, 0).numpy()


def _back(y):
    return y.detach().permute(0, 2, 3, 1).numpy()


# ------------------------------------------------------------------ layers


def mirrored(model):
    """-1 where the model's padding is PyTorch's only in the mirror, otherwise 1."""
    return -1 if any(getattr(layer, "padding", None) == "same" for layer in model.layers) else 1


def translated(layer, mirror):
    """The torch module that does what a minicnn layer does."""
    if isinstance(layer, (mc.Conv, mc.Deconv)):
        return _convolution(layer, mirror)
    if isinstance(layer, mc.BatchNorm):
        return _batchnorm(layer)
    if isinstance(layer, mc.Upsample):
        return nn.Upsample(scale_factor=layer.scale, mode=layer.mode)
    if isinstance(layer, Scale):
        return _Scale(layer)
    return {mc.tanh: nn.Tanh(), mc.relu: nn.ReLU(), mc.softmax: nn.Softmax(1)}[layer]


def _convolution(layer, mirror):
    kh, kw, a, b = layer.w.shape
    padding = (kh - 1) // 2 if layer.padding == "same" else layer.padding
    options = {"stride": layer.stride, "padding": padding, "dilation": layer.dilation, "bias": layer.b is not None}
    if isinstance(layer, mc.Deconv):
        extra = layer.stride - 1 if layer.padding == "same" else 0
        module = nn.ConvTranspose2d(b, a, (kh, kw), output_padding=extra, **options)
    else:
        module = nn.Conv2d(a, b, (kh, kw), **options)
    module.weight.data = _turned(mc.value(layer.w)[::mirror, ::mirror])
    if layer.b is not None:
        module.bias.data = torch.tensor(mc.value(layer.b))
    return module


def _batchnorm(layer):
    moments, scale_shift = layer.moments, torch.tensor(mc.value(layer.params))
    bn = nn.BatchNorm2d(len(moments.mean), eps=layer.eps, momentum=moments.momentum)
    bn.weight.data, bn.bias.data = scale_shift.chunk(2)
    bn.running_mean.data, bn.running_var.data = torch.tensor(moments.mean), torch.tensor(moments.var)
    return bn


class _Scale(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.factor, self.shift = layer.factor, layer.shift

    def forward(self, x):
        return x * self.factor + self.shift
