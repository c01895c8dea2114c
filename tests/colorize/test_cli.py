"""What the programs share: flags, errors, pictures by --data."""
import argparse
import importlib

import pytest

import minicnn as mc
from colorize import cli


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
    assert cli.status(raising(error), "test") == code
    assert capsys.readouterr() == ("", said)


def test_what_is_a_bug_shows_itself(monkeypatch):
    with pytest.raises(KeyError):
        cli.status(raising(KeyError("x")), "test")
    monkeypatch.setenv("COLORIZE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="asked for"):
        cli.status(raising(ValueError("asked for")), "test")


def test_status_is_that_of_main():
    assert cli.status(lambda argv: None, "test") == 0 and cli.status(lambda argv: 7, "test") == 7


@pytest.mark.parametrize("kind,good,bad", [
    (cli.whole(1), {"1": 1, "20": 20}, ["0", "-3", "1.5", "one", ""]),
    (cli.number(above=0), {"1e-3": 0.001}, ["0", "nan", "inf", "x"]),
    (cli.number(least=0), {"0": 0.0}, ["-1e-9"]),
    (cli.share, {"0": 0.0, "1": 1.0}, ["1.01", "-0.1"]),
    (cli.switch, {"yes": True, "False": False}, ["2", "maybe"]),
])
def test_types_of_flags(kind, good, bad):
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match="expected"):
            kind(text)


def test_the_device_is_the_gpu_if_there_is_one(cuda_on_cpu):
    try:
        assert cli.use_device("auto") == "cuda:0"
    finally:
        mc.device("cpu")


def test_without_a_gpu():
    if importlib.import_module("minicnn.device").cupy() is not None:
        pytest.skip("this machine has a GPU")
    assert cli.use_device("auto") == "cpu"
    with pytest.raises(RuntimeError, match="was asked for"):
        cli.use_device("cuda")
