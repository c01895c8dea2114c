"""save and load: all that belongs into the file and nothing else; all or nothing."""
import os
import stat

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minicnn as mc
from minicnn import files
from minicnn.files import metadata


class Layer:
    def __init__(self, inputs, outputs, dtype="float32"):
        rng = np.random.default_rng(inputs)
        self.w = mc.Param(rng.standard_normal((inputs, outputs)).astype(dtype))
        self.bn, self.moments = mc.Param(mc.bnparams(outputs, dtype)), mc.bnmoments(outputs, dtype=dtype)
        self.name, self.size = "layer", 3

    def __call__(self, x):
        return mc.batchnorm(mc.matmul(x, self.w), self.moments, self.bn)


class Model:
    def __init__(self, dtype="float32", hidden=4):
        self.layers = [Layer(3, hidden, dtype), Layer(hidden, 2, dtype)]
        self.scale = mc.Param(np.array(2, dtype))

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x * self.scale


NAMES = {"scale"} | {f"layers.{i}.{n}" for i in (0, 1) for n in ("w", "bn", "moments.mean", "moments.var")}


def trained(steps=3, opt=None, dtype="float32"):
    """A model after some steps, so that nothing in it has its initial value."""
    model = Model(dtype)
    x = np.random.default_rng(0).standard_normal((6, 3)).astype(dtype)
    mc.minimize_(lambda x: mc.mean(model(x) ** 2 * np.array([1, 2], dtype)), [x + i for i in range(steps)],
                 opt or mc.Adam(lr=.1))
    return model


def arrays(model):
    out = {"scale": model.scale.value}
    for i, layer in enumerate(model.layers):
        out.update({f"layers.{i}.w": layer.w.value, f"layers.{i}.bn": layer.bn.value,
                    f"layers.{i}.moments.mean": layer.moments.mean, f"layers.{i}.moments.var": layer.moments.var})
    return out


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(path, dtype):
    model, other = trained(dtype=dtype), Model(dtype)
    assert mc.save(path, model) is None
    assert set(load_file(path)) == NAMES and same(load_file(path), arrays(model))
    assert mc.load(str(path), other) is None
    assert same(arrays(other), arrays(model)) and other.scale.opt is None
    x = np.ones((2, 3), dtype)
    assert np.array_equal(model(x), other(x))
    for a, b in zip(arrays(model).values(), arrays(other).values()):
        assert b.flags.writeable and not np.shares_memory(a, b)
    mc.sgd_(lambda: mc.sum(other(x) ** 2), [()])        # what was loaded can be trained


def test_any_layout_is_written_in_order(path):
    base = np.arange(24.0, dtype="float32").reshape(4, 6)
    model = {"t": mc.Param(base.T), "s": mc.Param(base[::2, 1::2]), "e": mc.Param(np.zeros((0, 3), "f4")),
             "b": mc.Param(base.astype(">f4"))}
    mc.save(path, model)
    got = load_file(path)
    assert all(np.array_equal(got[k], p.value) for k, p in model.items()) and got["e"].shape == (0, 3)


def test_optimizers_go_on_as_if_nothing_had_happened(path):
    whole = trained(5)
    half, other = trained(3), Model()
    mc.save(path, half, opt=True)
    names = set(load_file(path))
    assert names - NAMES == {f"opt.{n}.{k}" for n in NAMES if "moments" not in n for k in "mvt"}
    mc.load(path, other, opt=mc.Adam(lr=.1))
    x = np.random.default_rng(0).standard_normal((6, 3)).astype("float32")
    mc.minimize_(lambda x: mc.mean(other(x) ** 2 * np.array([1, 2], "f4")), [x + 3, x + 4])
    assert same(arrays(other), arrays(whole)) and other.scale.opt.t == 5
    plain = Model()
    mc.load(path, plain)                                # the state is there, but nobody asked for it
    assert plain.scale.opt is None


def test_a_param_keeps_its_own_kind_of_optimizer(path):
    model = trained(opt=mc.Adam(lr=.1))
    model.scale.opt = mc.Momentum()
    mc.update_(model.scale, np.float32(1))
    model.layers[0].w.opt = None                        # never trained
    mc.save(path, model, opt=True)
    other = Model()
    other.scale.opt = own = mc.Momentum(lr=.3)
    mc.load(path, other, opt=mc.Adam(lr=.7))
    assert other.scale.opt is not own and other.scale.opt.lr == .3
    assert np.array_equal(other.scale.opt.velocity, model.scale.opt.velocity)
    assert other.layers[0].bn.opt.lr == .7 and other.layers[0].bn.opt.t == 3
    assert other.layers[0].w.opt.state() == {"t": 0}
    with pytest.raises(ValueError, match=r"opt.scale.\* has t, velocity, but Adam needs m, t, v"):
        mc.load(path, Model(), opt=mc.Adam())
    mc.save(path, model)
    with pytest.raises(ValueError, match="holds no state of optimizers"):
        mc.load(path, Model(), opt=mc.Adam())


def test_one_error_lists_everything_and_nothing_is_changed(path):
    content = arrays(trained())
    del content["layers.0.w"], content["layers.1.moments.var"]
    content["layers.1.w"] = np.zeros((4, 3), "f4")
    content["scale"] = np.array(3)
    content["head.w"] = np.zeros(1, "f4")
    save_file(content, path)
    model, before = Model(), arrays(Model())
    with pytest.raises(ValueError) as e:
        mc.load(path, model)
    text = str(e.value)
    for part in ("missing layers.0.w, layers.1.moments.var", "extra head.w", str(path), "scale is of type I64",
                 "layers.1.w has shape (4, 3) in the file and (4, 2) in the model"):
        assert part in text
    assert "\n" not in text and same(arrays(model), before)


def test_wrong_optimizer_state_changes_nothing(path):
    model = trained()
    mc.save(path, model, opt=True)
    content = load_file(path)
    content["opt.scale.m"] = np.zeros(3, "f4")
    save_file(content, path)
    other, before = Model(), arrays(Model())
    with pytest.raises(ValueError, match=r"opt.scale.m has shape \(3,\) in the file and \(\) in the model"):
        mc.load(path, other, opt=mc.Adam())
    assert same(arrays(other), before) and other.scale.opt is None
    with pytest.raises(TypeError, match="opt as an optimizer"):
        mc.load(path, other, opt=True)


def test_numbers_take_the_models_dtype(path):
    content = {k: v.astype("float16") for k, v in arrays(trained()).items()}
    save_file(content, path)                            # also: a file without our metadata
    model = Model()
    mc.load(path, model)
    assert same(arrays(model), {k: v.astype("float32") for k, v in content.items()})
    mc.save(path, trained(dtype="float64"))
    mc.load(path, model)
    assert same(arrays(model), {k: v.astype("float32") for k, v in arrays(trained(dtype="float64")).items()})


def test_a_shared_param_is_saved_once(path):
    w = mc.Param(np.ones(2, "f4"))
    mc.save(path, {"encoder": [w], "decoder": [w]})
    assert set(load_file(path)) == {"encoder.0"}
    v = mc.Param(np.zeros(2, "f4"))
    model = {"encoder": [v], "decoder": [v]}
    mc.load(path, model)
    assert model["decoder"][0] is v and v.value.tolist() == [1, 1]


def test_arrays_stay_on_their_device(path, monkeypatch):
    mc.save(path, [mc.Param(np.ones(2, "f4"))])
    moved = []
    monkeypatch.setattr("minicnn.files.on_gpu", lambda x: True)
    monkeypatch.setattr("minicnn.files.to", lambda name, x: moved.append(name) or x)

    class OnGpu(np.ndarray):                            # stands in for a CuPy array: it knows its device
        device = type("Device", (), {"id": 1})()

    mc.load(path, [mc.Param(np.zeros(2, "f4").view(OnGpu))])
    assert moved == ["cuda:1"]


# ------------------------------------------------------------------ files that are not there, or not whole


def test_missing_broken_and_future_files(path, tmp_path):
    with pytest.raises(FileNotFoundError):
        mc.load(path, Model())
    mc.save(path, Model())
    whole = path.read_bytes()
    before = arrays(Model())
    for content in (b"", b"\x00" * 7, b"PK\x03\x04" + b"\x00" * 100, whole[:40], whole[:-1], whole + b"\x00",
                    b"\xff" * 8 + whole[8:]):
        path.write_bytes(content)
        model = Model()
        with pytest.raises(ValueError, match="is not a safetensors file, or is cut short") as e:
            mc.load(path, model)
        assert str(path) in str(e.value) and "\n" not in str(e.value) and same(arrays(model), before)
    save_file(arrays(Model()), path, {"format": "minicnn", "version": "2"})
    with pytest.raises(ValueError, match="version 2 of the format.*newer minicnn"):
        mc.load(path, Model())
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        mc.save(tmp_path / "no" / "model.safetensors", Model())


@pytest.mark.parametrize("where", ["os.replace", "os.fsync"])
def test_killed_before_the_file_is_in_place(path, tmp_path, monkeypatch, where):
    mc.save(path, trained())
    before = path.read_bytes()

    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(f"minicnn.files.{where}", die)
        with pytest.raises(KeyboardInterrupt):
            mc.save(path, Model())
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_a_folder_that_cannot_be_written_leaves_the_old_file(path, tmp_path, monkeypatch):
    mc.save(path, trained())
    before = path.read_bytes()
    real = open

    def refuse(name, mode="r", *args, **options):       # root may write everywhere: say no ourselves
        if "x" in mode or "w" in mode:
            raise PermissionError(13, "Permission denied", name)
        return real(name, mode, *args, **options)

    with monkeypatch.context() as m:
        m.setattr("builtins.open", refuse)
        with pytest.raises(PermissionError) as e:
            mc.save(path, Model())
    assert e.value.filename == os.path.realpath(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_the_file_is_an_ordinary_one(path, tmp_path):
    other = tmp_path / "plain"
    other.write_bytes(b"")
    mc.save(path, Model())
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    link = tmp_path / "link"
    link.symlink_to(path)
    mc.save(link, trained())
    assert link.is_symlink() and same(load_file(path), arrays(trained()))


@pytest.mark.parametrize("model, text", [
    (lambda x: x, "found no Param in this function"),
    ([], "found no Param in this list"),
    (mc.Param(1.0), "no usable name"),
    ({"a.b": mc.Param(1.0), "a": {"b": mc.Param(1.0)}}, "no dots in the keys"),
])
def test_models_without_names(path, model, text):
    with pytest.raises(ValueError, match=text):
        mc.save(path, model)
    assert not path.exists()


def test_notes_are_kept_beside_the_arrays(tmp_path):
    model, path = trained(), tmp_path / "m.safetensors"
    mc.save(path, model, notes={"made by": "a test", "format": "not this"})
    assert metadata(path) == {"made by": "a test", "format": "minicnn", "version": "1"}
    other = Model()
    mc.load(path, other)
    assert np.array_equal(mc.value(other.scale), mc.value(model.scale))


def test_notes_of_what_is_no_such_file(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"12345678")
    with pytest.raises(ValueError, match="not a safetensors file"):
        metadata(path)
    with pytest.raises(FileNotFoundError):
        metadata(tmp_path / "missing")


def test_half_precision_on_disk(tmp_path):
    model, half, full = trained(), tmp_path / "half.safetensors", tmp_path / "full.safetensors"
    mc.save(half, model, dtype="float16", notes={"a": "b"})
    mc.save(full, model)
    stored = load_file(str(half))
    assert {x.dtype for x in stored.values()} == {np.dtype("float16")} and metadata(half)["a"] == "b"
    again = Model()
    mc.load(half, again)
    assert again.layers[0].w.value.dtype == np.float32
    for name, x in load_file(str(full)).items():
        assert np.array_equal(stored[name], x.astype("float16"))
    assert np.array_equal(again.layers[1].w.value, model.layers[1].w.value.astype("float16").astype("float32"))


def test_half_precision_that_does_not_fit(tmp_path):
    model = Model()
    model.scale.value = np.array(1e6, "float32")
    with pytest.raises(ValueError, match="scale has numbers up to 1e.06, too large for float16"):
        mc.save(tmp_path / "x", model, dtype="float16")
    with pytest.raises(ValueError, match="expected 'float16', 'float32' or 'float64'"):
        mc.save(tmp_path / "x", model, dtype="int8")
    with pytest.raises(ValueError, match="drop one of them"):
        mc.save(tmp_path / "x", model, dtype="float16", opt=True)
    assert not list(tmp_path.iterdir())


def test_what_was_begun_is_abandoned(tmp_path):
    """As by the handler of a signal, while another thread writes."""
    with pytest.raises(FileNotFoundError):
        with files.writing(tmp_path / "a") as file:
            file.write(b"half")
            files.abandon()
            assert not list(tmp_path.iterdir())
    with files.writing(tmp_path / "b") as file:
        file.write(b"all")
    files.abandon()
    assert [p.name for p in tmp_path.iterdir()] == ["b"] and (tmp_path / "b").read_bytes() == b"all"
