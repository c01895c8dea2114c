"""What the programs share: flags, errors, pictures by --data."""
import argparse
import importlib
import os
import subprocess

import numpy as np
import pytest

import minicnn as mc
from colorize import program
from colorize.bins import gamut
from colorize.data.pack import Packed, pack
from colorize.data.scenes import Scenes
from colorize.models import build, options

from .runner import photos


def raising(error):
    def main(argv):
        raise error
    return main


@pytest.mark.parametrize("error,code,said", [
    (ValueError("two\n  lines"), 2, "test: two lines\n"),
    (FileNotFoundError(2, "No such file or directory", "x.jpg"), 2, "test: No such file or directory: x.jpg\n"),
    (OSError("of its own"), 2, "test: of its own\n"),
    (MemoryError(), 2, "test: MemoryError\n"),
    (KeyboardInterrupt(), 130, "test: stopped\n"),
])
def test_errors_are_one_sentence(error, code, said, capsys):
    assert program.status(raising(error), "test") == code
    assert capsys.readouterr() == ("", said)


def test_what_is_a_bug_shows_itself(monkeypatch):
    with pytest.raises(KeyError):
        program.status(raising(KeyError("x")), "test")
    monkeypatch.setenv("COLORIZE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="asked for"):
        program.status(raising(ValueError("asked for")), "test")


def test_status_is_that_of_main():
    assert program.status(lambda argv: None, "test") == 0 and program.status(lambda argv: 7, "test") == 7


@pytest.mark.parametrize("kind,good,bad", [
    (program.whole(1), {"1": 1, "20": 20}, ["0", "-3", "1.5", "one", ""]),
    (program.number(above=0), {"1e-3": 0.001}, ["0", "nan", "inf", "x"]),
    (program.number(least=0), {"0": 0.0}, ["-1e-9"]),
    (program.share, {"0": 0.0, "1": 1.0}, ["1.01", "-0.1"]),
    (program.switch, {"yes": True, "False": False}, ["2", "maybe"]),
])
def test_types_of_flags(kind, good, bad):
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match="expected"):
            kind(text)


def test_augment():
    assert program.augment("none") is None and program.augment("flip").flip == 0.5
    change = program.augment("scale=0.8,hshift=0.1")
    assert (change.flip, change.scale, change.vshift, change.hshift) == (0, 0.8, 0, 0.1)
    for text in ("spin", "flip=2", "scale", "scale=a"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected none, flip, tenfold"):
            program.augment(text)


@pytest.mark.parametrize("name", ["nano", "zhang", "knet"])
def test_bins_are_a_name_or_a_number_for_every_model(name):
    for text, q in (("313", 313), ("18x18", 324), ("20", 101), ("12.5", len(gamut(12.5)))):
        assert build(name, width=0.05, **program.model_options(name, options(name), {"bins": text})).bins.q == q
    for text in ("314", "1", "nan", "many"):
        with pytest.raises(ValueError, match="bins must be '313', '18x18', the step"):
            build(name, **program.model_options(name, options(name), {"bins": text}))


def test_pictures_of_each_kind(tmp_path):
    folder = photos(tmp_path / "photos", 6, size=48)
    assert isinstance(program.pictures("scenes", 32), Scenes)
    assert program.pictures("scenes", 32, held=True).split == "val"
    pack(folder, tmp_path / "packed", 40, report=lambda sentence: None)
    packed = program.pictures(str(tmp_path / "packed"), 32, batch=3)
    assert isinstance(packed, Packed) and next(iter(packed)).shape == (3, 32, 32, 3)
    whole = program.pictures(folder, 32, resize="squash", crop="none", batch=6, shuffle=False)
    assert next(iter(whole)).shape == (6, 32, 32, 3)


def test_held_out_photos_are_not_trained_on(tmp_path):
    folder = str(photos(tmp_path / "photos", 40))
    training, held = program.held_out(folder, seed=3)
    assert len(held) == 4 and not set(training) & set(held) and len(training) == 36
    assert (training, held) == program.held_out(folder, seed=3) and held != program.held_out(folder, seed=4)[1]
    assert len(program.held_out(folder, most=2)[1]) == 2
    with pytest.raises(ValueError, match="has one photo"):
        program.held_out(str(photos(tmp_path / "one", 1)))
    pack(folder, tmp_path / "packed", 32, report=lambda sentence: None)
    with pytest.raises(ValueError, match="name validation photos with --val"):
        program.held_out(str(tmp_path / "packed"))


def test_the_device_is_the_gpu_if_there_is_one(cuda_on_cpu):
    try:
        assert program.use_device("auto") == "cuda:0"
    finally:
        mc.device("cpu")


def test_without_a_gpu():
    if importlib.import_module("minicnn.device").cupy() is not None:
        pytest.skip("this machine has a GPU")
    assert program.use_device("auto") == "cpu"
    with pytest.raises(RuntimeError, match="was asked for"):
        program.use_device("cuda")


def test_versions_and_git():
    versions = program.versions()
    assert versions["numpy"] == np.__version__ and versions["minicnn"] == mc.__version__
    root = os.path.dirname(os.path.dirname(program.__file__))
    if not os.path.exists(os.path.join(root, ".git")):
        assert program.git_state() is None
        return
    head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], stdout=subprocess.PIPE, check=True)
    assert program.git_state().rstrip("+") == head.stdout.decode().strip()


def test_new_folders_do_not_exist(tmp_path):
    first = program.new_folder(str(tmp_path), "nano")
    os.makedirs(first)
    assert program.new_folder(str(tmp_path), "nano") == first + "-2" and first.endswith("-nano")
