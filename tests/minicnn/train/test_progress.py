"""progress: what appears on stderr, in a file and on a terminal, and that nothing else changes."""
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest

import minicnn as mc


class Terminal(io.StringIO):
    def isatty(self):
        return True


def use(monkeypatch, file):
    """Let progress write there; sys.stderr itself belongs to pytest."""
    monkeypatch.setattr("minicnn.train.progress.sys", SimpleNamespace(stderr=file))
    return file


@pytest.fixture(params=[io.StringIO, Terminal], ids=["file", "terminal"])
def stderr(request, monkeypatch):
    return use(monkeypatch, request.param())


def last(file):
    """The last line as one would see it."""
    return file.getvalue().rstrip("\n").split("\n")[-1].split("\r")[-1]


def test_items_pass_and_the_last_line_is_the_end(stderr):
    it = mc.progress([.5, .25, np.float32(.125)], "train")
    assert len(it) == 3
    for _ in range(2):
        assert list(it) == [.5, .25, .125]
        assert last(stderr).startswith("train: 100%") and "3/3" in last(stderr) and "0.125" in last(stderr)
        assert re.search(r"[\d.]+(it/s|s/it)", last(stderr)) and stderr.getvalue().endswith("\n")


def test_a_file_gets_few_lines_and_no_control_codes(monkeypatch):
    file = use(monkeypatch, io.StringIO())
    mc.progress_(range(5000))
    text = file.getvalue()
    assert len(text.splitlines()) == 2 and not re.search(r"[\r\x1b\x08]", text) and text.isascii()
    assert "5000/5000" in text and "1/5000" in text


def test_a_terminal_is_redrawn_each_second(monkeypatch):
    file, now = use(monkeypatch, Terminal()), [0.0]
    monkeypatch.setattr("minicnn.train.progress.monotonic", lambda: now[0])
    looked = []

    def look(x):
        looked.append(x)
        return f"item {x}"

    for _ in mc.progress(range(40), look):
        now[0] += .25
    assert looked == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 39]      # the loss is read only to be shown
    assert "item 36" in file.getvalue() and "item 39" in last(file) and "item 37" not in file.getvalue()


def test_without_a_length(stderr):
    assert list(mc.progress(x for x in (1.5, 2.5))) == [1.5, 2.5]
    assert "2it" in last(stderr) and "2.5" in last(stderr)
    with pytest.raises(TypeError):
        len(mc.progress(mc.cycle([1])))


def test_a_break_and_an_error_close_the_bar(stderr):
    for i, _ in enumerate(mc.progress(range(10), "early")):
        if i == 6:
            break
    assert "7/10" in last(stderr) and stderr.getvalue().endswith("\n")

    def broken():
        yield 1.0
        yield 2.0
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        mc.progress_(broken())
    assert "2it" in last(stderr) and stderr.getvalue().endswith("\n")


def test_items_that_are_no_numbers(stderr):
    items = [(np.zeros(3), 1), np.zeros((2, 2)), "text", None]
    assert all(a is b for a, b in zip(mc.progress(items), items))
    mc.progress_(items)
    assert "4/4" in last(stderr)
    mc.progress_([])


def test_around_training(stderr):
    w = mc.Param(np.float32(3))
    mc.progress_(mc.sgd(lambda x: (w - x) ** 2, mc.ncycle([1.0], 20)))
    assert "20/20" in last(stderr) and f"{(2 * .8 ** 19) ** 2:.4g}" in last(stderr)


def test_wrong_calls():
    with pytest.raises(TypeError, match="progress needs something to iterate over, got int"):
        mc.progress(3)
    with pytest.raises(TypeError, match="msg as a title or a function"):
        mc.progress([1], 3)
    with pytest.raises(TypeError, match="second"):
        mc.progress([1], second=3)
