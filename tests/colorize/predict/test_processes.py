"""The command as a process: its streams, signals, and names that are no text."""
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from .runner import ROOT, made


def started(*argv, stdin=subprocess.DEVNULL):
    """The command in a process of its own; it hears Ctrl-C even where a shell began the tests in the background."""
    return subprocess.Popen([sys.executable, "-m", "colorize", *map(str, argv)], stdin=stdin, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def test_standard_input_to_standard_output(folder, weights):
    with open("photos/grey.jpg", "rb") as photo:
        out, err = started("-", "--weights", weights, stdin=photo).communicate()
    (folder / "out.jpg").write_bytes(out)
    with Image.open("out.jpg") as image:
        assert image.size == (120, 90) and image.mode == "RGB"
    assert b"1 photo coloured" in err


def test_a_file_named_like_standard_output(folder, weights):
    (folder / "-").write_bytes(b"x")
    out, _ = started("photos/grey.jpg", "-o", "-", "--weights", weights).communicate()
    assert out.startswith(b"\xff\xd8") and (folder / "-").read_bytes() == b"x"


def test_standard_input_with_nothing(folder, weights):
    out, err = started("-", "--weights", weights).communicate()
    assert not out and b"colorize: standard input: it is empty" in err


def test_ctrl_c_while_standard_input_is_waited_for(folder, weights):
    process = started("-", "--weights", weights, stdin=subprocess.PIPE)
    assert process.stderr.readline().startswith(b"1 photo with nano")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(20) == 130 and b"stopped" in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_starting_loads_few_modules():
    """At most 40 of colorize, none of those for training data, none that read other people's weights."""
    code = "import sys, colorize.__main__; print(*(m for m in sys.modules if m.partition('.')[0] == 'colorize'))"
    loaded = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
                            stdout=subprocess.PIPE, universal_newlines=True).stdout.split()
    assert "colorize.predict.program" in loaded and len(loaded) <= 40
    assert not [m for m in loaded if m.startswith(("colorize.data", "colorize.weights.importers", "colorize.train"))]


def test_a_few_photos_load_no_compiler(folder, weights):
    code = (f"import sys; from colorize.predict import program\n"
            f"status = program.main(['photos', '-o', 'out', '--weights', {str(weights)!r}])\n"
            "print(status, 'numba' in sys.modules)")
    out = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True).stdout
    assert out.splitlines()[-1] == "0 False" and len(made("out")) == 3


def test_names_that_are_no_text(folder, weights):
    os.rename("photos/grey.jpg", b"photos/gr\xe4.jpg")
    done = subprocess.run([sys.executable, "-m", "colorize", "photos", "--weights", str(weights)], check=True,
                          stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING":
                                                       "utf-8:strict"})
    assert b"3 photos coloured" in done.stdout and os.path.exists(b"photos/gr\xe4.color.jpg")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_streams_that_are_closed(folder, weights, closed):
    """Some launchers have none of them."""
    command = f"exec {sys.executable} -m colorize photos -o out --weights {weights} {closed}"
    done = subprocess.run(["sh", "-c", command], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert done.returncode == 0 and len(made("out")) == 3
    for command, text in ((f"photos/grey.jpg -o - --weights {weights} >&-", b"standard output is closed"),
                          (f"- -o x.jpg --weights {weights} <&-", b"standard input: it is empty")):
        done = subprocess.run(["sh", "-c", f"exec {sys.executable} -m colorize {command}"], stderr=subprocess.PIPE,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert done.returncode in (1, 2) and text in done.stderr and b"Traceback" not in done.stderr


def many_large(folder):
    """41 photos of 3 megapixels more."""
    y, x = np.mgrid[:1500, :2000]
    Image.fromarray(((x // 7 + y // 5) % 256).astype("uint8")).save("photos/large.png")
    data = (folder / "photos/large.png").read_bytes()
    for i in range(40):
        (folder / f"photos/large{i}.png").write_bytes(data)


def begun(*argv):
    """The command, once it has begun to write into out/."""
    process = started(*argv)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not os.path.isdir("out"):
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped(folder, weights, number, status):
    many_large(folder)
    process = begun("photos", "-o", "out", "--weights", weights)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status and b"Traceback" not in err and b"stops at once" in err
    names = made("out")
    assert f"{len(names)} of 44 photos are done".encode() in err
    assert 0 < len(names) < 44 and all(not os.path.basename(name).startswith(".") for name in names)
    for name in names:
        with Image.open(f"out/{name}") as image:
            image.load()


def test_stopped_twice(folder, weights):
    many_large(folder)
    process = begun("photos", "-o", "out", "--weights", weights)
    process.send_signal(signal.SIGINT)
    assert any(b"stops at once" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in err
    assert all(not os.path.basename(name).startswith(".") for name in made("out"))


def test_no_other_thread_asks_which_libraries_are_loaded(folder, weights):
    """Python deadlocks where one thread asks (threadpoolctl) while another one loads a library."""
    many = [str(i) for i in range(20)]                      # more than are done without kernels
    for name in many:
        (folder / f"photos/{name}.jpg").write_bytes((folder / "photos/grey.jpg").read_bytes())
    code = ("import sys, threading, threadpoolctl\n"
            "from colorize.predict import program\n"
            "asked, init = [], threadpoolctl.ThreadpoolController.__init__\n"
            "def spied(*args, **named):\n"
            "    asked.append(threading.current_thread() is threading.main_thread())\n"
            "    return init(*args, **named)\n"
            "threadpoolctl.ThreadpoolController.__init__ = spied\n"
            f"status = program.main(['photos', '-o', 'out', '--weights', {str(weights)!r}])\n"
            "print(status, len(asked) > 0, all(asked))\n")
    out = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True).stdout
    assert out.splitlines()[-1] == "0 True True" and len(made("out")) == 23
