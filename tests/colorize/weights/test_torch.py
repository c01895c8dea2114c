"""PyTorch's files: the networks of Zhang et al. and VGG16 against PyTorch, and files that mean harm."""
import io
import os
import pickle
import zipfile

import numpy as np
import pytest

import minicnn as mc
from colorize import models
from colorize.evaluate import answers
from colorize.weights import importers, torch_pickle
from colorize.weights.own import model_of, save_model

from ...tools import need

KINDS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def eccv16(torch, seed=0):
    """The published network, written from its description, with random weights and running moments."""
    nn = torch.nn
    torch.manual_seed(seed)

    def block(*sizes, stride=1, dilation=1):
        layers = []
        for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
            s = stride if i == len(sizes) - 2 else 1
            layers += [nn.Conv2d(a, b, 3, s, padding=dilation, dilation=dilation), nn.ReLU()]
        return nn.Sequential(*layers, nn.BatchNorm2d(sizes[-1]))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.model1, self.model2 = block(1, 64, 64, stride=2), block(64, 128, 128, stride=2)
            self.model3, self.model4 = block(128, 256, 256, 256, stride=2), block(256, 512, 512, 512)
            self.model5, self.model6 = (block(512, 512, 512, 512, dilation=2) for _ in range(2))
            self.model7 = block(512, 512, 512, 512)
            self.model8 = nn.Sequential(
                nn.ConvTranspose2d(512, 256, 4, 2, 1), nn.ReLU(), nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(),
                nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.Conv2d(256, 313, 1))
            self.model_out = nn.Conv2d(313, 2, 1, bias=False)

        def scores(self, L):
            x = (L - 50) / 100
            for i in range(1, 9):
                x = getattr(self, f"model{i}")(x)
            return x

        def forward(self, L):
            out = self.model_out(torch.softmax(self.scores(L), 1))
            return torch.nn.functional.interpolate(out, scale_factor=4, mode="bilinear", align_corners=False) * 110

    net = Net().eval()
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(m.weight)
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.uniform_(-0.5, 0.5)
            m.running_var.uniform_(0.5, 2)
    return net


def vgg16(torch, top=True, seed=0):
    """torchvision's VGG16, written from its description."""
    nn, layers, cin = torch.nn, [], 3
    torch.manual_seed(seed)
    for cout in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        layers += [nn.Conv2d(cin, cout, 3, 1, 1), nn.ReLU()] if cout else [nn.MaxPool2d(2)]
        cin = cout or cin
    net = nn.Module()
    net.features = nn.Sequential(*layers)
    if top:
        net.classifier = nn.Sequential(nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096),
                                       nn.ReLU(), nn.Dropout(), nn.Linear(4096, 10))
    for m in net.features:
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight)
            nn.init.uniform_(m.bias, -0.1, 0.1)
    return net.eval()


def saved(torch, path, state, zipped=True):
    torch.save(state, str(path), _use_new_zipfile_serialization=zipped)
    return path


def planes(torch, x):
    return torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


@pytest.mark.slow
@KINDS
def test_zhang_agrees_with_pytorch(tmp_path, zipped):
    torch = need("torch")
    net = eccv16(torch)
    model = models.build("zhang")
    said = importers.load(saved(torch, tmp_path / "zhang.pth", net.state_dict(), zipped), model)
    assert "the release of Zhang et al." in said and model.temperature == model.options["temperature"] == 1
    save_model(str(tmp_path / "kept.safetensors"), model)
    assert model_of(str(tmp_path / "kept.safetensors"))[0].temperature == 1
    asked, plain = answers.opened([f"{tmp_path / 'zhang.pth'},temperature=0.38", str(tmp_path / "zhang.pth")])
    assert asked.fast.temperature == 0.38 and plain.fast.temperature == 1
    L = np.random.default_rng(0).uniform(0, 100, (1, 64, 96, 1)).astype("float32")
    with torch.no_grad():
        scores, ab = net.scores(planes(torch, L)).numpy(), net(planes(torch, L)).numpy()
    ours = model(model.prepare(L))
    assert np.abs(ours.transpose(0, 3, 1, 2) - scores).max() < 1e-4 * max(1, np.abs(scores).max())
    assert np.abs(model.ab(ours, L).transpose(0, 3, 1, 2) - ab).max() < 1e-4 * max(1, np.abs(ab).max())


@KINDS
def test_vgg16_agrees_with_pytorch(tmp_path, zipped):
    torch = need("torch")
    net = vgg16(torch, top=False)
    model = models.build("vgg-decoder", preprocess="torch")
    importers.load(saved(torch, tmp_path / "vgg.pth", net.state_dict(), zipped), model)
    x = np.random.default_rng(0).normal(0, 1, (2, 64, 96, 3)).astype("float32")
    with torch.no_grad():
        features = net.features(planes(torch, x)).numpy()
    ours = model.net[0](x).transpose(0, 3, 1, 2)
    assert np.abs(ours - features).max() < 1e-4 * max(1, np.abs(features).max())
    assert all(p.frozen for p in mc.params(model.net[0]))


@pytest.mark.long
def test_the_dense_layers_of_vgg16_too(tmp_path):
    torch = need("torch")
    net = vgg16(torch)
    model = models.build("vgg-uv", preprocess="torch")
    said = importers.load(saved(torch, tmp_path / "vgg.pth", net.state_dict()), model)
    assert "30 arrays" in said and "2 arrays of the file" in said          # classifier.6
    x = np.random.default_rng(0).normal(0, 1, (1, 224, 224, 3)).astype("float32")
    with torch.no_grad():
        hidden = net.classifier[:5](torch.flatten(net.features(planes(torch, x)), 1)).numpy()
    ours = model.net[1][:4](model.net[0](x))
    assert np.abs(ours - hidden).max() < 1e-4 * max(1, np.abs(hidden).max())


def test_what_does_not_fit_is_listed_and_nothing_is_loaded(tmp_path):
    torch = need("torch")
    state = eccv16(torch).state_dict()
    state["model2.0.weight"] = torch.zeros(128, 64, 5, 5)
    state["model3.0.bias"] = torch.zeros(256, dtype=torch.int64)
    state["more"] = torch.zeros(1)
    del state["model_out.weight"]
    model = models.build("zhang")
    before = [p.value.copy() for p in mc.params(model)]
    with pytest.raises(ValueError) as e:
        importers.load(saved(torch, tmp_path / "wrong.pth", state), model)
    for part in ("missing model_out.weight", "extra more", "model3.0.bias has type int64",
                 "model2.0.weight has shape (128, 64, 5, 5) in the file, expected (128, 64, 3, 3)"):
        assert part in str(e.value)
    assert all(np.array_equal(a, p.value) for a, p in zip(before, mc.params(model)))
    with pytest.raises(ValueError, match="build vgg-decoder with preprocess='torch'"):
        importers.load(saved(torch, tmp_path / "vgg.pth", {}), models.build("vgg-decoder", width=0.1))


@KINDS
def test_tensors_of_all_kinds(tmp_path, zipped):
    """Views, transposes, dtypes, Parameters, a nested state dict, DataParallel's prefix."""
    torch = need("torch")
    base = torch.arange(24.0).reshape(4, 6)
    state = {"module.half": torch.tensor([1.5, -2]).half(), "module.double": torch.tensor([[3.0]]).double(),
             "module.view": base[1:, 2:5], "module.turned": base.t(), "module.scalar": torch.tensor(7.0),
             "module.param": torch.nn.Parameter(torch.ones(2)), "module.empty": torch.zeros(0, 3)}
    read = torch_pickle.read(saved(torch, tmp_path / "x.pth", {"epoch": 3, "state_dict": state}, zipped))
    assert set(read) == {name[7:] for name in state}
    for name, tensor in state.items():
        assert np.array_equal(read[name[7:]].read(), tensor.detach().numpy())


# ------------------------------------------------------------------ harm


class Harm:
    """Pickles as a call of this function."""

    def __init__(self, f, *args):
        self.f, self.args = f, args

    def __reduce__(self):
        return self.f, self.args


def wrapped(folder, data, zipped):
    """A file with this pickle where PyTorch has the state dict."""
    path = folder / "harm.pth"
    if zipped:
        with zipfile.ZipFile(path, "w") as z:
            z.writestr("archive/data.pkl", data)
    else:
        head = [pickle.dumps(x, 2) for x in (torch_pickle.MAGIC, torch_pickle.PROTOCOL, {"little_endian": True})]
        path.write_bytes(b"".join(head) + data + pickle.dumps([], 2))
    return path


@KINDS
@pytest.mark.parametrize("harm", [
    Harm(os.system, "touch harmed"), Harm(eval, "open('harmed', 'w')"), Harm(exec, "open('harmed', 'w')"),
    Harm(os.mkdir, "harmed"), {"x": [Harm(print, "harmed")]},
], ids=["system", "eval", "exec", "mkdir", "nested"])
@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_a_malicious_pickle_is_refused(tmp_path, monkeypatch, capfd, harm, zipped, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no state dict needs|not a state dict"):
        torch_pickle.read(wrapped(tmp_path, pickle.dumps(harm, protocol), zipped))
    assert not (tmp_path / "harmed").exists() and capfd.readouterr().out == ""


@KINDS
@pytest.mark.parametrize("data", [
    b"\x80\x02ctorch\nload\n(X\x01\x00\x00\x00xtR.",            # a function of torch
    b"\x80\x02ccollections\nOrderedDict\n(X\x01\x00\x00\x00xtR.",       # arguments where none belong
    b"\x80\x02cbuiltins\ngetattr\n.", b"\x80\x02c__builtin__\neval\n.",
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.",
    b"\x80\x02}(" + b")\x85" + b"\x85" * 100_000 + b"K\x01u.",          # hashing this key would exhaust the stack
    b"\x80\x02X\xff\xff\xff\xffabc.",                                    # text of 4 GB
    b"\x80\x02}r\xff\xff\xff\xff.",                                      # memo number 4294967295: harmless here
    b"\x80\x02(K\x01K\x02tQ.", b"\x80\x02}K\x01b", b"\x80\x02", b"", b".", b"\x80\x02]q\x00h\x05.", b"\x80\x05K\x01.",
    b"\x80\x02K\x01K\x02\x86K\x03a.", b"\x80\x02\x8c\x01x\x93.", b"\x80\x02(ios\nsystem\n.", b"\x80\x02\x82\x01.",
], ids=range(19))
def test_pickles_that_are_none_of_pytorchs(tmp_path, data, zipped):
    try:
        assert torch_pickle.read(wrapped(tmp_path, data, zipped)) == {}
    except ValueError as e:
        assert len(str(e)) < 400


def tensor_pickle(storage, offset, shape, strides, count=4):
    """A state dict of one tensor with these numbers, as pickled by PyTorch."""
    class Pickler(pickle._Pickler):
        def persistent_id(self, x):
            return ("storage", Named("torch", "FloatStorage"), "0", "cpu", count) if x is storage else None

        def save(self, x, save_persistent_id=True):
            if isinstance(x, Named):
                self.write(f"c{x.module}\n{x.name}\n".encode())
            elif isinstance(x, Call):
                self.save(x.f)
                self.save(x.args)
                self.write(b"R")
            else:
                super().save(x, save_persistent_id)

    out = io.BytesIO()
    rebuild = Named("torch._utils", "_rebuild_tensor_v2")
    Pickler(out, 2).dump({"x": Call(rebuild, (storage, offset, shape, strides, False))})
    return out.getvalue()


class Named:
    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    def __init__(self, f, args):
        self.f, self.args = f, args


def zip_of(folder, data, numbers, **options):
    with zipfile.ZipFile(folder / "x.pth", "w") as z:
        z.writestr("archive/data.pkl", data)
        z.writestr("archive/data/0", numbers, **options)
    return folder / "x.pth"


FOUR = np.arange(4, dtype="<f4").tobytes()


@pytest.mark.parametrize("offset, shape, strides, count, message", [
    (1, (4,), (1,), 4, "reaches beyond its storage of 4 numbers"), (0, (2, 2), (3, 1), 4, "reaches beyond"),
    (0, (1 << 40,), (1,), 4, "reaches beyond"), (0, (2,), (-1,), 4, "cannot be"), (-1, (2,), (1,), 4, "cannot be"),
    (0, (2,), (1, 1), 4, "cannot be"), (0, (4,), (1,), 1 << 40, "4398046511104 bytes"),
    (0, (5,), (1,), 5, "no plain entry of 20 bytes"), (0, "ab", "ab", 4, "cannot be"),
    (0, (1,) * 9, (1,) * 9, 4, "cannot be"),
])
def test_tensors_that_lie(tmp_path, offset, shape, strides, count, message):
    with pytest.raises(ValueError, match=message):
        torch_pickle.read(zip_of(tmp_path, tensor_pickle(object(), offset, shape, strides, count), FOUR))["x"].read()


@KINDS
def test_memos_count_up(tmp_path, zipped):
    """The C unpickler makes room for as many as the highest number says: 4 GB for 2 ** 28."""
    counted = b"\x80\x02}%s(X\x01\x00\x00\x00xq\x02K\x01u."
    assert torch_pickle.read(wrapped(tmp_path, counted % b"q\x01", zipped)) == {}            # Python 2 began with 1
    for high in (b"q\x02", b"r\x00\x00\x00\x10"):
        with pytest.raises(ValueError, match="remembers object (2|268435456) after 0 others"):
            torch_pickle.read(wrapped(tmp_path, counted % high, zipped))


def test_zip_entries_that_lie(tmp_path):
    good = tensor_pickle(object(), 0, (2, 2), (2, 1))
    path = zip_of(tmp_path, good, FOUR)
    assert np.array_equal(torch_pickle.read(path)["x"].read(), [[0, 1], [2, 3]])
    with pytest.raises(ValueError, match="no plain entry"):
        torch_pickle.read(zip_of(tmp_path, good, FOUR, compress_type=zipfile.ZIP_DEFLATED))["x"].read()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("archive/data.pkl", b"\0" * (torch_pickle.MOST + 1))
    with pytest.raises(ValueError, match="has 16777217 bytes in archive/data.pkl"):
        torch_pickle.read(path)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("other", b"")
    with pytest.raises(ValueError, match="no data.pkl"):
        torch_pickle.read(path)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", good)
        z.writestr("archive/byteorder", b"big")
    with pytest.raises(ValueError, match="big-endian"):
        torch_pickle.read(path)


@KINDS
def test_damage_anywhere_is_one_sentence(tmp_path, zipped):
    torch = need("torch")
    path = saved(torch, tmp_path / "x.pth", {"x": torch.arange(6.0).reshape(2, 3)}, zipped)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for i in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[i] ^= int(rng.integers(1, 256))
        for data in (bytes(changed), whole[:i]):
            path.write_bytes(data)
            try:
                found = [s.read() for s in torch_pickle.read(path).values() if s.dtype is not None]
            except ValueError as e:
                assert len(str(e)) < 600
            else:
                assert all(x.size <= 24 for x in found)
                if zipped and found and found[0].shape == (2, 3) and found[0].dtype == "float32":
                    assert sorted(found[0].ravel()) == [0, 1, 2, 3, 4, 5]           # this format has checksums
