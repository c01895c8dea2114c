"""What PyTorch (cuDNN, on a GPU) does for each Work of kernel_works.py, on the same arrays, in fp32 without TF32.

Each method gives (step, kind): step() computes what is timed, kind says how its result becomes minicnn's array (None:
it does not).
`form` is PyTorch's memory format; both are timed. A padding="same" with stride 2 is PyTorch's in the mirror.
"""
import torch
import torch.nn.functional as F
from torch import nn

from ..peers import peer_torch

FORMS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


class Peer:
    def __init__(self, kind):
        if kind == "cuda" and not torch.cuda.is_available():
            raise ImportError("PyTorch is installed, but without a GPU that it can use")
        self.device, self.version = kind, torch.__version__
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True               # cuDNN tries all of its algorithms, and takes the fastest

    def tensor(self, a):
        """A minicnn array as a tensor, the same memory."""
        return torch.as_tensor(a, device=self.device)

    def image(self, a, form, mirror=False):
        """(N, H, W, C) as (N, C, H, W) in a memory format."""
        x = self.tensor(a).permute(0, 3, 1, 2)
        return (x.flip(2, 3) if mirror else x).contiguous(memory_format=FORMS[form])

    def weights(self, a, form, mirror):
        w = self.tensor(a).permute(3, 2, 0, 1)
        return (w.flip(2, 3) if mirror else w).contiguous(memory_format=FORMS[form])

    def difference(self, ours, theirs, kind):
        """The largest difference from minicnn's result, relative to its largest number."""
        theirs = theirs.detach()
        if kind.startswith("mirrored"):
            theirs = theirs.flip(2, 3)
        if kind != "same":
            theirs = theirs.permute(*((0, 2, 3, 1) if kind.endswith("image") else (2, 3, 1, 0)))
        ours = self.tensor(ours)
        return float((ours - theirs.reshape(ours.shape)).abs().max() / ours.abs().max())

    def free(self):
        if self.device == "cuda":
            torch.cuda.empty_cache()

    # -------------------------------------------------------------- convolutions

    def convolution(self, layer, what, x, w, b, dy, form):
        o, mirror = dict(layer.options), mirrored(layer.options)
        if o["padding"] == "same":
            o["padding"] = (layer.w[0] - 1) * o["dilation"] // 2
            if layer.deconv:
                o["output_padding"] = o["stride"] - 1
        f = F.conv_transpose2d if layer.deconv else F.conv2d
        x, w, b = self.image(x, form, mirror), self.weights(w, form, mirror), self.tensor(b)
        kind = "mirrored " * mirror + ("weights" if what == "weights' gradient" else "image")
        if what == "forward":
            return _forward(lambda: f(x, w, b, **o)), kind
        wanted = x if what == "input's gradient" else w
        return self.gradient(lambda: f(x, w, b, **o), wanted, self.image(dy, form, mirror)), kind

    def gradient(self, f, wanted, dy):
        wanted.requires_grad_()
        y = f()
        return lambda: torch.autograd.grad(y, [wanted], dy, retain_graph=True)[0]

    # -------------------------------------------------------------- the rest

    def batchnorm(self, x, params, eps, activation, dy, form):
        x, (scale, shift) = self.image(x, form), self.tensor(params).clone().chunk(2)

        def f():
            y = F.batch_norm(x, None, None, scale, shift, training=True, eps=eps)
            return torch.tanh(y) if activation else y
        if dy is None:
            return _forward(f), "image"
        for p in (scale, shift):                            # minicnn computes their gradients too
            p.requires_grad_()
        x.requires_grad_()
        y, dy = f(), self.image(dy, form)
        return lambda: torch.autograd.grad(y, [x, scale, shift], dy, retain_graph=True)[0], "image"

    def inference_batchnorm(self, x, scale, shift, form):
        x, scale, shift = self.image(x, form), self.tensor(scale), self.tensor(shift)
        mean, var = torch.zeros_like(scale), torch.full_like(scale, 1 - 1e-5)
        return _forward(lambda: F.batch_norm(x, mean, var, scale, shift, eps=1e-5)), "image"

    def tanh(self, x, dy, form):
        x = self.image(x, form)
        if dy is None:
            return _forward(lambda: torch.tanh(x)), "image"
        return self.gradient(lambda: torch.tanh(x), x, self.image(dy, form)), "image"

    def sums(self, x, form):
        x = self.image(x, form)
        return _forward(lambda: x.sum(dim=(0, 2, 3))), "same"

    def square_error(self, a, b, dy):
        a, b = self.tensor(a), self.tensor(b)
        return self._loss(lambda: F.mse_loss(a, b, reduction="sum"), a, dy)

    def nll(self, scores, labels, weights, dy):
        scores, labels, weights = self.tensor(scores), self.tensor(labels)[:, 0].long(), self.tensor(weights)[:, 0]
        return self._loss(lambda: (F.cross_entropy(scores, labels, reduction="none") * weights).sum(), scores, dy)

    def _loss(self, f, wanted, dy):
        return (_forward(f) if dy is None else self.gradient(f, wanted, self.tensor(dy))), "same"

    def softmax(self, scores):
        scores = self.tensor(scores)
        return _forward(lambda: torch.softmax(scores, 1)), "same"

    def pool(self, x, form):
        x = self.image(x, form)
        return _forward(lambda: F.max_pool2d(x, 2)), "image"

    def upsample(self, x, mode, form):
        x = self.image(x, form)
        return _forward(lambda: F.interpolate(x, scale_factor=2, mode=mode)), "image"

    def adam(self, w, g):
        w = nn.Parameter(self.tensor(w).clone())
        w.grad = self.tensor(g)
        return torch.optim.Adam([w], lr=1e-4, fused=True).step, None

    # -------------------------------------------------------------- whole models

    def net(self, model, form):
        """The model, which is on the CPU, as a torch module; mirrored where it must be."""
        mirror = peer_torch.mirrored(model)
        net = nn.Sequential(*(peer_torch.translated(layer, mirror) for layer in model.layers))
        return net.to(self.device, memory_format=FORMS[form])

    def forward(self, model, x, form, compiled=None):
        """One inference; compiled: None for eager, or torch.compile's mode."""
        mirror, net = peer_torch.mirrored(model) < 0, self.net(model, form).eval()
        net = net if compiled is None else torch.compile(net, mode=compiled)
        return peer_torch.inference(net, self.image(x, form, mirror)), "mirrored " * mirror + "image"

    def training(self, model, x, target, form):
        mirror, net = peer_torch.mirrored(model) < 0, self.net(model, form)
        x, target = self.image(x, form, mirror), self.image(target, form, mirror)
        return peer_torch.training(net, x, target), "same"


def mirrored(options):
    """Is this padding PyTorch's only in the mirror?"""
    return options["padding"] == "same" and options["stride"] > 1


def _forward(f):
    def step():
        with torch.no_grad():
            return f()
    return step
