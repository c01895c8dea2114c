"""Run directories: who may have one, what a checkpoint holds, what resuming cuts off."""
import json
import os
import subprocess

import numpy as np
import pytest

import minicnn as mc
from colorize import models, runs
from colorize.weights.own import model_of, save_model


def tiny():
    mc.seed(1)
    return models.build("nano", size=32, width=0.05)


def step(model, opt):
    """One update of each Param that is not frozen."""
    for p in mc.params(model):
        if not p.frozen:
            p.opt = p.opt or mc.train.optimizers.clone(opt)
            mc.update_(p, np.ones_like(mc.value(p)))


def test_one_holder_at_a_time(tmp_path):
    with runs.Run.create(tmp_path / "run", {}):
        with pytest.raises(ValueError, match=f"in use by another program .process {os.getpid()}."):
            runs.Run.open(tmp_path / "run")
    with runs.Run.open(tmp_path / "run") as run:
        assert run.config == {} and not run.begun


def test_a_run_is_not_written_over(tmp_path):
    with runs.Run.create(tmp_path / "run", {"a": 1}):
        pass
    with pytest.raises(ValueError, match="holds a run already.* --resume"):
        runs.Run.create(tmp_path / "run", {})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ValueError, match="is not empty.* thesis.txt.* --out"):
        runs.Run.create(tmp_path / "mine", {})
    assert sorted(os.listdir(str(tmp_path / "mine"))) == ["thesis.txt"]
    with pytest.raises(ValueError, match="holds no run"):
        runs.Run.open(tmp_path / "mine")


def test_what_was_written_behind_the_checkpoint_is_cut_off(tmp_path):
    """Whole lines and torn ones; and the weights, optimizers and state are those of the checkpoint."""
    model, opt = tiny(), mc.Adam()
    with runs.Run.create(tmp_path / "run", {}) as run:
        run.log(step=1, loss=2.0)
        step(model, opt)
        run.checkpoint(model, {"step": 1, "sum": 0.1 + 0.2})
        kept = [mc.value(p).copy() for p in mc.params(model)]
        run.log(step=2, loss=1.0)
        os.write(run.metrics, b'{"step": 3, "lo')
        assert [line["step"] for line in runs.read_metrics(run.path)] == [1, 2], "an unfinished line is no line"
        step(model, opt)
    with runs.Run.open(tmp_path / "run") as run:
        assert run.begun and run.restore(model, opt) == {"step": 1, "sum": 0.1 + 0.2} == run.state()
        run.log(step=2, loss=1.0)
    assert runs.read_metrics(tmp_path / "run") == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    assert all(np.array_equal(a, mc.value(p)) for a, p in zip(kept, mc.params(model)))
    assert {p.opt.t for p in mc.params(model) if not p.frozen} == {1}
    assert all(p.opt is None for p in mc.params(model) if p.frozen)


def test_leftovers_of_a_killed_program_go(tmp_path):
    with runs.Run.create(tmp_path / "run", {}):
        (tmp_path / "run" / ".last.safetensors.1.ab.tmp").write_text("half a file")
    with runs.Run.open(tmp_path / "run"):
        assert sorted(os.listdir(str(tmp_path / "run"))) == ["config.json", "lock", "metrics.jsonl"]


def test_weights_know_their_model(tmp_path):
    model = tiny()
    save_model(tmp_path / "w.safetensors", model, step=7)
    other, notes = model_of(tmp_path / "w.safetensors")
    assert other.name == "nano" and other.options == model.options and json.loads(notes["step"]) == 7
    assert all(np.array_equal(mc.value(p), mc.value(q)) for p, q in zip(mc.params(model), mc.params(other)))
    mc.save(tmp_path / "bare.safetensors", model)
    with pytest.raises(ValueError, match="does not say which model"):
        model_of(tmp_path / "bare.safetensors")
    with pytest.raises(FileNotFoundError, match="has no weights: expected best.safetensors or last.safetensors"):
        model_of(tmp_path)


def test_versions_and_git():
    versions = runs.versions()
    assert versions["numpy"] == np.__version__ and versions["minicnn"] == mc.__version__
    root = os.path.dirname(os.path.dirname(runs.__file__))
    if not os.path.exists(os.path.join(root, ".git")):
        assert runs.git_state() is None
        return
    head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], stdout=subprocess.PIPE, check=True)
    assert runs.git_state().rstrip("+") == head.stdout.decode().strip()


def test_new_folders_do_not_exist(tmp_path):
    first = runs.new_folder(str(tmp_path), "nano")
    os.makedirs(first)
    assert runs.new_folder(str(tmp_path), "nano") == first + "-2" and first.endswith("-nano")
