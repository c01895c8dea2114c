"""What the tests of the trainer share: tiny trainings, in this process or killed in another."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from colorize import cli
from colorize.train import program as train

ROOT = Path(__file__).resolve().parent.parent.parent
TINY = ["--width", "0.1", "--size", "32", "--batch", "4", "--val-photos", "4", "--device", "cpu"]
SHORT = [*TINY, "--steps", "20", "--validate", "10"]
TIMES = ("seconds", "waiting")              # what a line of metrics.jsonl need not repeat


def status(*argv):
    """The exit status of the trainer, run here."""
    return cli.status(train.main, train.NAME, [str(a) for a in argv])


def refused(capfd, *argv):
    """The one sentence on stderr of a command that is refused."""
    code = status(*argv)
    err = capfd.readouterr().err.splitlines()
    assert code == 2 and len(err) == 1 and err[0].startswith("colorize.train: "), (code, err)
    return err[0]


def refused_quietly(capfd, *argv):
    """As refused, for a run that had begun: the progress bar stands above the sentence."""
    assert status(*argv) == 2
    return capfd.readouterr().err.splitlines()[-1]


def started(*argv, **env):
    """The trainer in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "colorize.train", *map(str, argv)], cwd=str(ROOT),
                            env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, universal_newlines=True)


def lines(run):
    """The lines of metrics.jsonl, without times."""
    text = (Path(run) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in text]


def same(run, other):
    """Two runs ended alike: weights, optimizers and moments to the bit, the best weights, and the metrics."""
    for name in ("last.safetensors", "best.safetensors"):
        a, b = (load_file(str(Path(r) / name)) for r in (run, other))
        assert sorted(a) == sorted(b)
        for key in a:
            assert np.array_equal(a[key], b[key]), f"{key} in {name} differs"
    assert lines(run) == lines(other)


def photos(folder, n, size=40, seed=0, chroma=1.0):
    """A folder with n small photos: each of two colours."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(n):
        rgb = np.repeat(rng.integers(0, 255, (2, 1, 3)), size // 2, 0).repeat(size, 1).astype(float)
        rgb = rgb.mean(-1, keepdims=True) + chroma * (rgb - rgb.mean(-1, keepdims=True))
        Image.fromarray(rgb.clip(0, 255).astype("uint8")).save(str(folder / f"{i:03}.png"))
    return folder
