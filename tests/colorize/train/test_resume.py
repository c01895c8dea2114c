"""A run that is killed and goes on ends as one that was not, to the bit."""
import os
import random
import signal
import time

import pytest
from safetensors.numpy import load_file

from colorize.train import program as train

from ..runner import TINY, lines, photos, same, started, status

SHORT = [*TINY, "--steps", "24", "--validate", "10", "--checkpoint", "0"]


class Killed(BaseException):
    """What SIGKILL is like: nothing can catch it and go on."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbs."""
    path = tmp_path_factory.mktemp("whole") / "run"
    assert status(*SHORT, "--out", path) == 0
    return path


def go_on(path, *more):
    """As a user does: the same command where there is no run yet, else --resume."""
    if (path / "config.json").exists():
        return "--resume", path, *more
    return *SHORT, "--out", path, *more


@pytest.mark.slow
def test_killed_at_any_call_that_changes_a_file(whole, tmp_path, monkeypatch):
    """Each of os.write, os.replace, os.fsync and os.ftruncate may be the last thing a process does."""
    calls, last = [], [None]

    def watch(name):
        original = getattr(os, name)

        def call(*args, **kw):
            calls.append(name)
            if last[0] is not None and len(calls) >= last[0]:
                raise Killed
            return original(*args, **kw)
        monkeypatch.setattr(os, name, call)
    for name in ("write", "replace", "fsync", "ftruncate"):
        watch(name)
    assert status(*SHORT, "--out", tmp_path / "counted") == 0
    same(whole, tmp_path / "counted")
    path, deaths = tmp_path / "killed", 0
    for n in (1, 2, 3, 5, 6, 8, 9, 11, 13, 16, 18, 21, 23):     # the run goes on from one death to the next
        calls.clear()
        last[0] = n
        try:
            assert status(*go_on(path)) == 0
            break
        except Killed:
            deaths += 1
    assert deaths >= 10 and (path / "metrics.jsonl").stat().st_size > 500
    calls.clear()
    last[0] = None
    assert status(*go_on(path)) == 0
    same(whole, path)


def killed_often(whole, path, times, seed):
    """Kill the run so many times, then let it end."""
    rng, longest, kills = random.Random(seed), 12.0, 0
    while kills < times:
        process, began = started(*go_on(path)), time.monotonic()
        try:
            process.wait(rng.uniform(0.2, longest))
        except BaseException:
            process.kill()
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            kills += 1
        else:                                           # it was quicker than that, and must have ended well
            assert process.returncode == 0
            longest = time.monotonic() - began
            same(whole, path)
            path = path.with_name(f"{path.name}-again")
    assert status(*go_on(path)) == 0
    same(whole, path)


@pytest.mark.slow
def test_killed_by_the_system(whole, tmp_path):
    killed_often(whole, tmp_path / "run", 3, seed=1)


@pytest.mark.long
def test_killed_by_the_system_20_times(whole, tmp_path):
    killed_often(whole, tmp_path / "run", 20, seed=2)


@pytest.mark.parametrize("workers", [0, 1, 5])
def test_the_number_of_workers_changes_nothing(whole, tmp_path, workers):
    assert status(*SHORT, "--out", tmp_path / "run", "--workers", workers) == 0
    same(whole, tmp_path / "run")


def test_a_longer_run_goes_on_where_a_shorter_one_ended(tmp_path):
    """In epochs, with a constant rate and dropout, whose draws are those of the step."""
    flags = ["--data", photos(tmp_path / "photos", 16), "--val", photos(tmp_path / "val", 4, seed=9),
             "--model", "vgg-uv-small", "--size", "32", "--width", "0.02", "--compression", "0.1", "--lr", "0.01",
             "--optimizer", "nesterov", "--schedule", "constant", "--batch", "4", "--val-photos", "4", "--device",
             "cpu", "--checkpoint", "1000", "--validate", "4"]
    assert status(*flags, "--epochs", "2", "--out", tmp_path / "whole") == 0
    assert status(*flags, "--epochs", "1", "--out", tmp_path / "parts") == 0
    assert status("--resume", tmp_path / "parts", "--epochs", "2") == 0
    a, b = (load_file(str(tmp_path / name / "last.safetensors")) for name in ("whole", "parts"))
    assert all((a[key] == b[key]).all() for key in a) and int(a["opt.net.layers.1.layers.1.w.t"]) == 8
    assert [line for line in lines(tmp_path / "parts") if "loss" in line] == \
           [line for line in lines(tmp_path / "whole") if "loss" in line]


def test_ctrl_c_saves_and_says_how_to_go_on(whole, tmp_path, capfd, monkeypatch):
    """At step 13, with no checkpoint near: what was done is saved, and the rest gives the same run."""
    after = train.Training.after

    def interrupt(self, loss):
        after(self, loss)
        if self.state["step"] == 13:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)                            # Python calls handlers between its instructions
    monkeypatch.setattr(train.Training, "after", interrupt)
    path, handler = tmp_path / "run", signal.getsignal(signal.SIGINT)
    assert status(*SHORT[:-1], "1000", "--out", path) == 130
    said = capfd.readouterr()
    assert f"stopped at step 13, which is saved; go on with\n    python -m colorize.train --resume {path}" in said.out
    assert "stopping after this step" in said.err and signal.getsignal(signal.SIGINT) is handler
    monkeypatch.undo()
    assert status("--resume", path) == 0
    assert "at step 13" in capfd.readouterr().out
    same(whole, path)


def test_a_second_ctrl_c_stops_at_once(tmp_path, capfd, monkeypatch):
    def interrupts(self, loss):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
    monkeypatch.setattr(train.Training, "after", interrupts)
    assert status(*SHORT, "--out", tmp_path / "run") == 130
    assert capfd.readouterr().err.splitlines()[-1] == "colorize.train: stopped"


def test_sigterm_saves(tmp_path):
    process = started(*TINY, "--minutes", "5", "--out", tmp_path / "run")
    for line in process.stdout:
        if line.startswith("step"):
            break
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "go on with" in out, err
    assert status("--resume", tmp_path / "run", "--steps", "1") == 0
