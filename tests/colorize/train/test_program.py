"""python -m colorize.train: what it leaves behind, and one sentence for whatever goes wrong."""
import errno
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import minicnn as mc
from colorize import runs
from colorize.models import build, names
from colorize.train import loop, preparing, recipes, validation
from colorize.train import program as train
from colorize.weights.own import model_of
from minicnn.files import metadata

from ...tools import need
from ..runner import SHORT, TINY, lines, photos, refused, refused_quietly, started, status

# ------------------------------------------------------------------ a run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    assert status(*TINY, "--steps", "150", "--batch", "16", "--val-photos", "32", "--width", "0.3", "--out",
                  path) == 0
    return path


@pytest.mark.slow
def test_it_learns(run):
    result = json.loads((run / "result.json").read_text())
    rows = result["rows"]
    assert rows["model"]["loss"] < 0.9 * rows["grey"]["loss"] and rows["model"]["ab rmse"] < rows["grey"]["ab rmse"]
    assert result["best"]["loss"] == rows["model"]["loss"] and result["step"] == 150
    assert 0 <= result["waiting"] <= 1


def test_what_is_in_the_directory(run):
    there = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert {"config.json", "metrics.jsonl", "last.safetensors", "best.safetensors", "prior.safetensors", "lock",
            "result.json", "report.html", "samples/step-000000.png", "samples/best.png", "layers/filters.png",
            "layers/activations.png"} <= there
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["steps"] == 150 and config["options"]["width"] == 0.3
    assert config["versions"]["numpy"] == np.__version__ and config["device"] == "cpu"
    training_lines = [line for line in lines(run) if "loss" in line]
    assert [line["step"] for line in training_lines] == list(range(10, 151, 10))
    assert training_lines[-1]["epoch"] == round(150 / 128, 4)
    assert [line["step"] for line in lines(run) if "validation loss" in line][-1] == 150


def test_the_report_is_one_file(run):
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 5
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_the_samples_are_the_same_photos(run):
    """The columns input and truth do not change while the model does."""
    first, last = (np.asarray(Image.open(str(run / "samples" / name))) for name in ("step-000000.png", "best.png"))
    third = first.shape[1] // 3
    assert first.shape == last.shape
    assert np.array_equal(first[:, :third], last[:, :third]) and np.array_equal(first[:, -third:], last[:, -third:])
    assert not np.array_equal(first[:, third:2 * third], last[:, third:2 * third])
    assert np.ptp(first[20:, :third].astype(int), axis=2).max() <= 2, "the input is grey"


def test_the_weights_say_what_they_are(run):
    model, notes = model_of(run)
    assert model.name == "nano" and model.options["width"] == 0.3
    assert json.loads(notes["step"]) == json.loads((run / "result.json").read_text())["best"]["step"]


def test_without_matplotlib(tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert status(*SHORT, "--out", tmp_path / "run") == 0
    assert "without matplotlib there is no loss.png" in capfd.readouterr().out
    assert not (tmp_path / "run" / "loss.png").exists() and (tmp_path / "run" / "report.html").exists()


def test_time_ends_a_run(tmp_path):
    assert status(*TINY, "--minutes", "0.05", "--out", tmp_path / "run") == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert 3 <= result["seconds"] < 10 and result["step"] > 0


# ------------------------------------------------------------------ photos


def test_photos_of_all_kinds(tmp_path, capfd):
    """A damaged one is named and counted, a grey one counted; a small folder makes small batches."""
    folder = photos(tmp_path / "photos", 9)
    photos(folder / "grey", 2, chroma=0.0)
    (folder / "broken.jpg").write_bytes(b"no photo")
    assert status(*SHORT, "--data", folder, "--val", photos(tmp_path / "val", 3), "--batch", "32", "--out",
                  tmp_path / "run") == 0
    said = capfd.readouterr()
    assert sum("broken.jpg" in line for line in said.err.splitlines()) == 1
    assert re.search(r"photos +12 in .*, 3 validate; of 12 looked at, 1 cannot be read and 2 are near grey", said.out)


def test_a_tenth_is_held_out(tmp_path, capfd):
    folder = photos(tmp_path / "photos", 30)
    assert status(*SHORT, "--data", folder, "--out", tmp_path / "run", "--steps", "1") == 0
    assert "27 in" in capfd.readouterr().out


def test_photos_are_weighed(tmp_path, capfd):
    """Both what a pass draws and what mean colour and prior are counted on."""
    folder, val = tmp_path / "photos", photos(tmp_path / "val", 3)
    photos(folder / "a", 4)
    photos(folder / "b", 6)
    assert status(*SHORT, "--data", folder, "--val", val, "--weigh", "a=2,b=0.5", "--out", tmp_path / "run") == 0
    said = capfd.readouterr().out
    assert "10 in" in said and ", 11 a pass, 3 validate" in said
    assert "folders c: choose from a, b" in refused(
        capfd, *SHORT, "--data", folder, "--weigh", "c=1", "--out", tmp_path / "no")
    assert status("--resume", tmp_path / "run", "--steps", "22") == 0
    facts = []
    for flags in (["--weigh", "b=0"], []):
        data = folder if flags else folder / "a"
        assert status(*SHORT, "--data", data, "--val", val, *flags, "--out", tmp_path / f"{len(facts)}") == 0
        state = json.loads(metadata(tmp_path / f"{len(facts)}" / "last.safetensors")["state"])
        facts.append(state["facts"]["mean"])
    assert facts[0] == pytest.approx(facts[1], abs=1e-3)


def test_photos_that_cannot_be_used(tmp_path, capfd):
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "run"
    assert "holds no photo" in refused(capfd, *SHORT, "--data", empty, "--out", out)
    grey = photos(tmp_path / "grey", 6, chroma=0.0)
    assert "are near-grey" in refused(capfd, *SHORT, "--data", grey, "--out", out)
    assert "there is no" in refused(capfd, *SHORT, "--data", tmp_path / "nowhere", "--out", out)
    assert not out.exists(), "a mistake leaves no directory behind"


def test_a_validation_photo_counts_once(tmp_path):
    """No other photo stands in for one that cannot be used."""
    folder = photos(tmp_path / "val", 7)
    for i in (1, 4, 5):
        (folder / f"{i:03}.png").write_bytes(b"no")
    config = train.fresh({"model": "jetson", "data": str(photos(tmp_path / "data", 6)), "val": str(folder),
                          "size": "32", "width": "0.1", "batch": 3, "augment": "none", "val_photos": 4})
    found = preparing.Photos(config["settings"], build("jetson", size=32, width=0.1)).validation.first(9)
    assert len(found) == 4 == len({photo.tobytes() for photo in found})


def test_photos_that_changed_since(tmp_path, capfd):
    folder = photos(tmp_path / "photos", 12)
    assert status(*TINY, "--steps", "2", "--data", folder, "--out", tmp_path / "run") == 0
    photos(folder / "more", 8)
    assert status("--resume", tmp_path / "run", "--steps", "4") == 0
    assert "are not those that the run began with" in capfd.readouterr().out


# ------------------------------------------------------------------ what goes wrong on the way


def test_a_loss_that_is_not_a_number(tmp_path, capfd):
    out = tmp_path / "run"
    sentence = refused_quietly(capfd, *TINY, "--batchnorm", "false", "--optimizer", "sgd", "--lr",
                               "1e30", "--schedule", "constant", "--steps", "50", "--out", out)
    assert "the loss is not a number at step" in sentence and "begin again with --out ANOTHER" in sentence
    assert "--gclip 1" in sentence and re.search("--lr .* 1e.30 ", sentence)
    assert f"the checkpoint of step 0 is kept in {out}" in sentence
    model, _ = model_of(out)
    assert all(np.isfinite(mc.value(p)).all() for p in mc.params(model))


def test_a_run_that_diverged_goes_on_from_its_best_weights(tmp_path, capfd, monkeypatch):
    """The newest checkpoint is spoiled; what the sentence says to do, done as it says, works."""
    spoilt, after = [], loop.Training.after

    def spoil(self, loss):
        after(self, loss)
        if self.state["step"] == 13:
            for p in mc.params(self.model.net):
                p.value[...] = 1e30
            self.save()
            spoilt.append(self.state["step"])
    monkeypatch.setattr(loop.Training, "after", spoil)
    flags, out = [*SHORT, "--batchnorm", "false"], tmp_path / "run"
    sentence = refused_quietly(capfd, *flags, "--out", out)
    monkeypatch.undo()
    assert spoilt and "the checkpoint of step 13 is kept" in sentence
    said = re.search(r"of step 10, with (--init .*) --out ANOTHER, .* --lr .* 0.003 ", sentence)
    assert "not a number" in refused_quietly(capfd, "--resume", out), "as the sentence says"
    assert status(*flags, *said.group(1).split(), "--out", tmp_path / "again", "--lr", "0.001") == 0


@pytest.mark.slow
@pytest.mark.parametrize("what", ["last.safetensors", "metrics.jsonl", "step-000020.png"])
def test_a_full_disk(tmp_path, capfd, monkeypatch, what):
    """From step 10 on, writing that file fails; afterwards there is room again, and the run ends as any other."""
    full, out = [True], tmp_path / "run"

    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), what)
    after, log, write = loop.Training.after, runs.Run.log, mc.files.write
    now = [0]

    def counted(self, loss):
        now[0] = self.state["step"] + 1
        after(self, loss)
    monkeypatch.setattr(loop.Training, "after", counted)
    monkeypatch.setattr(runs.Run, "log", lambda self, **line: no_room() if full[0] and now[0] >= 10 and
                        what == "metrics.jsonl" else log(self, **line))
    failing = lambda path, data: no_room() if full[0] and now[0] >= 10 and str(path).endswith(what) else \
        write(path, data)
    for module in ("minicnn.files", "colorize.pictures", "colorize.runs"):
        monkeypatch.setattr(sys.modules[module], "write", failing)
    flags = [*SHORT, "--checkpoint", "0"]
    sentence = refused_quietly(capfd, *flags, "--out", out)
    kept = {"last.safetensors": 9, "metrics.jsonl": 10, "step-000020.png": 20}[what]
    facts = "colorize.train: ", "the disk is full", what, f"step {kept} is kept in {out}", f"--resume {out}"
    assert all(fact in sentence for fact in facts), sentence
    full[0] = False
    assert status("--resume", out) == 0
    assert status(*flags, "--out", tmp_path / "whole") == 0
    a, b = (model_of(r / "last.safetensors")[0] for r in (out, tmp_path / "whole"))
    assert all(np.array_equal(mc.value(p), mc.value(q)) for p, q in zip(mc.params(a), mc.params(b)))


def test_numbers_that_json_has_not(tmp_path, capfd, monkeypatch):
    """NaN among the measures is null; a validation loss that is never a number ends in a sentence."""
    measures = validation.Validation.measures

    def odd(self, *args, **kw):
        return {row: {**numbers, "chroma": float("nan"), "auc": float("inf")}
                for row, numbers in measures(self, *args, **kw).items()}
    monkeypatch.setattr(validation.Validation, "measures", odd)
    assert status(*SHORT, "--out", tmp_path / "run") == 0

    def refuse(text):
        raise AssertionError(text)
    read = [json.loads(text, parse_constant=refuse) for text in
            ((tmp_path / "run" / "result.json").read_text(),
             *(tmp_path / "run" / "metrics.jsonl").read_text().splitlines())]
    assert read[0]["rows"]["model"]["chroma"] is None and read[0]["rows"]["grey"]["auc"] is None
    assert {"auc": None}.items() <= read[1].items() and read[0]["rows"]["model"]["psnr"] > 10
    monkeypatch.setattr(validation.Validation, "loss", lambda self, model: float("nan"))
    sentence = refused_quietly(capfd, *SHORT, "--out", tmp_path / "other")
    assert "the validation photos was never a number" in sentence and sentence.endswith("last.safetensors")


def test_two_programs_in_one_directory(tmp_path, capfd):
    out = tmp_path / "run"
    process = started(*TINY, "--minutes", "5", "--out", out)
    try:
        for line in process.stdout:
            if line.startswith("step"):
                break
        sentence = refused(capfd, "--resume", out)
        assert f"{out} is in use by another program (process {process.pid})" in sentence
        sentence = refused(capfd, *SHORT, "--out", out)
        assert f"{out} holds a run already" in sentence and f"--resume {out}" in sentence
    finally:
        process.kill()
        process.communicate()
    assert status("--resume", out, "--steps", "1") == 0


# ------------------------------------------------------------------ flags


@pytest.mark.parametrize("argv,text", [
    (["--model", "jetson", "--bins", "20"], "jetson has no option bins: it has size, width, fit"),
    (["--width", "wide"], "nano needs width like 1.0, got 'wide'"),
    (["--skips", "perhaps"], "nano needs skips like True, got 'perhaps'"),
    (["--model", "jetson", "--loss", "hinge"], "loss must be one of mse, huber, chroma; got 'hinge'"),
    (["--size", "50"], "size must be a multiple of 32"),
    (["--optimizer", "lion"], "there is no optimizer 'lion': choose one of sgd"),
    (["--optimizer", "adam,rho=1"], "adam has no option 'rho': it has beta1, beta2, eps"),
    (["--schedule", "triangle"], "there is no schedule 'triangle'"),
    (["--schedule", "steps=a"], "--schedule steps needs numbers from 0 to 1, got 'a'"),
    (["--schedule", "cosine=3"], "there is no schedule 'cosine=3'"),
    (["--schedule", "exponential=-1"], "--schedule exponential needs numbers from 1e-09, got '-1'"),
    (["--schedule", "inverse=-1"], "--schedule inverse needs numbers from 0, got '-1'"),
    (["--schedule", "steps=5"], "--schedule steps needs numbers from 0 to 1, got '5'"),
    (["--optimizer", "adam,beta1=2"], "Adam got beta1=2.0: expected"),
    (["--bins", "1000"], "bins must be '313', '18x18', the step of a grid"),
    (["--neighbours", "2.5"], "targets needs neighbours as an int, got 2.5"),
    (["--device", "gpu"], "device got 'gpu': expected 'cpu', 'cuda' or 'cuda:1'"),
    (["--freeze", "net"], "--freeze net leaves no weight of nano to train"),
    (["--init", __file__], "is not a file of weights"),
    (["--data", __file__, "--crop", "none", "--resize", "short-side"], "256 x 256 pixels"),
    (["--augment", "rotate"], "expected none, flip, tenfold, or shares"),
    (["--weigh", "flowers"], "such as flowers=0.25,portraits=2; got 'flowers'"),
    (["--weigh", "=1"], "got '=1'"),
    (["--weigh", "a=-1"], "got 'a=-1'"),
    (["--weigh", "a=1"], "scenes have no folders: give --data, or leave out --weigh"),
    (["--lr", "-1"], "expected a number above 0"),
    (["--freeze", "net.nose"], "no weight of nano has a name that begins with 'net.nose'"),
    (["--init", "missing.safetensors"], "missing.safetensors"),
    (["--unknown"], "unrecognized arguments: --unknown"),
    (["--resume", "nowhere"], "nowhere holds no run, "),
    (["--out", __file__], "is not a folder"),
    (["--out", os.path.dirname(__file__)], "is not empty"),
])
def test_one_sentence(argv, text, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text in refused(capfd, *argv)
    assert not list(tmp_path.iterdir())


def test_what_resume_cannot_change(run, capfd, monkeypatch, tmp_path):
    assert "leave out --lr (only --epochs" in refused(capfd, "--resume", run, "--lr", "1")
    before = (run / "config.json").read_text(encoding="utf-8")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert "--tensorboard needs tensorboardX" in refused(capfd, "--resume", run, "--tensorboard")
    assert (run / "config.json").read_text(encoding="utf-8") == before, "what was refused is not kept"
    (tmp_path / "config.json").write_text('{"tune": {}, "fixed": []}')
    assert "holds a search and no training run" in refused(capfd, "--resume", tmp_path)


def test_runs_of_older_versions_and_of_others(run, tmp_path, capfd):
    """A setting that config.json does not have is as it is by default; what is no run ends in one sentence."""
    old = tmp_path / "old"
    shutil.copytree(str(run), str(old))
    config = json.loads((old / "config.json").read_text(encoding="utf-8"))
    for key in ("tensorboard", "init_part", "gclip", "resample", "freeze", "weigh"):
        del config["settings"][key]
    config["recipe"] = "forgotten"
    (old / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model, _ = model_of(old / "last.safetensors")
    notes = metadata(old / "last.safetensors")
    state = json.loads(notes["state"])
    for key in ("busy", "waited", "step time"):
        del state[key]
    with_notes = lambda **changed: mc.save(old / "last.safetensors", model, notes={**notes, **changed})
    with_notes(state=json.dumps({**state, "step": 0}), metrics="10000000")
    assert status("--resume", old, "--steps", "2") == 0
    assert all(json.loads(line) for line in (old / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    for changed in ({"state": "{}"}, {"state": "3"}, {"state": "x"}, {"metrics": "many"}):
        with_notes(**changed)
        sentence = refused_quietly(capfd, "--resume", old)
        assert "holds weights and no checkpoint" in sentence and "with --init" in sentence
    with_notes(state='{"step": 3}')
    assert "lacks facts about its photos" in refused_quietly(capfd, "--resume", old)
    for text, said in (("{", "config.json of a run"), ("[]", "config.json of a run"),
                       ("{}", "config.json has no settings"), ('{"settings": 3}', "config.json has no settings")):
        (old / "config.json").write_text(text)
        assert said in refused(capfd, "--resume", old)


def test_tensorboard_that_is_missing(capfd, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert "--tensorboard needs tensorboardX" in refused(capfd, *SHORT, "--tensorboard", "--out", tmp_path / "run")


def test_a_model_that_does_not_fit(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr("colorize.models.memory.available", lambda: 10 ** 4)
    assert "use a smaller batch or width" in refused(capfd, *SHORT, "--out", tmp_path / "run")


def test_activation_is_the_last_one_where_there_is_no_other():
    assert train.fresh({"model": "faces", "activation": "relu"})["options"]["last"] == "relu"
    assert train.fresh({"model": "faces-text", "activation": "tanh"})["options"]["last"] == "sigmoid"


# ------------------------------------------------------------------ recipes


@pytest.mark.parametrize("name", list(recipes.RECIPES))
def test_recipes_are_made_of_flags(name):
    """Each builds its model, and only says what its flags cannot."""
    config = train.fresh({"recipe": name, "data": "photos", "width": "0.05"})
    recipe = recipes.RECIPES[name]
    assert set(recipe.settings) <= set(train.DEFAULTS)
    assert config["settings"]["model"] in names() and config["options"]["width"] == 0.05
    said = recipes.differences(name, config["settings"], config["options"], 100)
    assert said[0].startswith("photos: 100 of") and "width: 0.05, published: 1" in said
    assert not any(line.startswith(("lr", "batch", "length")) for line in said)


def test_a_recipe_says_how_the_run_differs(tmp_path, capfd):
    folder = photos(tmp_path / "photos", 12)
    assert status("--recipe", "jetson", "--data", folder, "--size", "32", "--width", "0.1", "--steps", "2", "--lr",
                  "0.001", "--device", "cpu", "--out", tmp_path / "run") == 0
    said = capfd.readouterr().out
    for text in ("size: 32, published: 256", "lr: 0.001, published: 0.0001", "length: 2 steps, published: 13 epochs",
                 "ImageNet"):
        assert text in said
    assert re.search(r"jetson mse +0\.01327 +0\.\d+ +0\.\d+ +0\.\d+", said), "published, ours, grey, mean ab"


# ------------------------------------------------------------------ curves


def test_tensorboard_and_curves(tmp_path):
    """What was written is read back: the numbers of metrics.jsonl, and a picture for each of samples/step-*."""
    need("matplotlib")
    need("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    out = tmp_path / "run"
    assert status(*SHORT, "--tensorboard", "--out", out) == 0
    with Image.open(str(out / "loss.png")) as picture:
        assert picture.size[0] > 500
    written, = (out / "tensorboard").iterdir()
    values = [(event.step, value) for event in map(Event.FromString, records(written.read_bytes()))
              for value in event.summary.value]
    scalars = {(step, value.tag): value.simple_value for step, value in values if value.HasField("simple_value")}
    for line in lines(out):
        for key in ("loss", "validation_loss"):
            if key.replace("_", " ") in line:
                assert scalars[line["step"], key] == pytest.approx(line[key.replace("_", " ")], rel=1e-6)
    pictures = [step for step, value in values if value.HasField("image")]
    assert [f"step-{step:06}.png" for step in pictures] == sorted(p.name for p in (out / "samples").glob("step-*"))


def records(data):
    """The records of a TensorFlow record file: length, checksum, bytes, checksum."""
    while data:
        n = int.from_bytes(data[:8], "little")
        yield data[12:12 + n]
        data = data[16 + n:]


# ------------------------------------------------------------------ on a GPU


@pytest.mark.slow
def test_on_a_gpu(cuda_on_cpu, tmp_path):
    """The CUDA kernels, run on the CPU: colours are converted on the GPU, and the run goes on there."""
    flags = [*TINY[:-2], "--device", "cuda", "--steps", "3", "--validate", "10"]
    try:
        assert status(*flags, "--out", tmp_path / "run") == 0
        assert status("--resume", tmp_path / "run", "--steps", "4") == 0
    finally:
        mc.device("cpu")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["device"] == "cuda:0"
    assert status(*TINY, "--steps", "4", "--validate", "10", "--out", tmp_path / "cpu") == 0
    there, here = ([line["validation loss"] for line in lines(tmp_path / name) if "validation loss" in line]
                   for name in ("run", "cpu"))
    assert there[0] == pytest.approx(here[0], rel=1e-4)
