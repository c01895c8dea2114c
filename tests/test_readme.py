"""What the documents say is true: programs run, commands are those of .ci/run, links lead somewhere."""
import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from examples import shapes

from .tools import randn

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")),
             *sorted((ROOT / "minicnn").rglob("*.md")), *sorted((ROOT / "colorize").rglob("*.md"))]


def blocks(path, language):
    """The text of each fenced block in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.S | re.M)


def run(*command, cwd, **env):
    """Output and errors of a command, which must succeed."""
    done = subprocess.run(command, cwd=str(cwd), env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_file_names_exist(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    names = [n for n in re.findall(r"`([\w./]+\.(?:py|md|cfg|toml))`", text)
             if not n.endswith((*EXAMPLE, "NAME.py"))]
    missing = [n for n in links + names
               if not any((base / n).exists() for base in (path.parent, ROOT, ROOT / "minicnn"))]
    if path.parent != ROOT:                     # a guide to a folder may leave out the inner folder of a file
        missing = [n for n in missing if n in links or not any(path.parent.rglob(n))]
    assert not missing


EXAMPLE = ("swish.py", "test_swish.py")      # made by minicnn/ops/README.md


def test_the_test_command_is_that_of_ci():
    commands = [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    script = [line.strip() for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()]
    tests = [c for c in commands if "pytest" in c and "pip" in c]
    assert len(tests) == 1 and tests[0] in script, f"{tests} is not a line of .ci/run"


def test_lenet_in_the_readme_is_the_example():
    """Line by line: each of the README's lines comes next, or later, in examples/lenet.py."""
    example = iter((ROOT / "examples" / "lenet.py").read_text(encoding="utf-8").splitlines())
    quoted, = [b for b in blocks(ROOT / "README.md", "python") if "class Conv" in b]
    for line in filter(None, map(str.strip, quoted.splitlines())):
        assert any(line == there.strip() for there in example), f"not in the example, or not in this order: {line}"


@pytest.mark.parametrize("name, examples", [("README.md", 15), ("docs/engine.md", 20)])
def test_the_tour_runs(tmp_path, monkeypatch, name, examples):
    """Every >>> example of the page, one after the other in one session, gives what is printed there."""
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(ROOT / name), module_relative=False, encoding="utf-8")
    assert tried >= examples and not failed


@pytest.mark.slow
def test_shapes_learns(capsys):
    assert shapes.main() > 0.95
    assert "new pictures are recognised" in capsys.readouterr().out


def test_the_recipe_for_an_operator_works(tmp_path):
    """minicnn/ops/README.md, followed literally in a copy."""
    for folder in ("minicnn", "tests/minicnn/ops", "tests/cuda_on_cpu"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "tests/__init__.py", "tests/minicnn/__init__.py", "tests/conftest.py",
                 "tests/tools.py", "tests/oracles.py",
                 "tests/fake_cupy.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    recipe = ROOT / "minicnn" / "ops" / "README.md"
    names = re.findall(r"^## \d.*`(.*\.py)`$", recipe.read_text(encoding="utf-8"), re.M)
    assert names == ["minicnn/ops/swish.py", "minicnn/__init__.py", "minicnn/cpu/swish.py", "minicnn/cuda/swish.py",
                     "tests/minicnn/ops/test_swish.py"]
    cuda, = blocks(recipe, "cuda")
    (tmp_path / "minicnn/cuda/swish.cu").write_text(cuda, encoding="utf-8")
    for name, text in zip(names, blocks(recipe, "python")):
        path = tmp_path / name
        if path.exists():                               # the one line that goes after those of the other operators
            before = path.read_text(encoding="utf-8")
            last = before.rindex("from .ops.")
            end = before.index("\n", last) + 1
            text = before[:end] + text + before[end:]
        path.write_text(text, encoding="utf-8")

    command, = blocks(recipe, "sh")
    command = [sys.executable, *shlex.split(command)[1:], "-q", "-p", "no:cacheprovider"]
    passed = "27 passed" if shutil.which("g++") else "21 passed"        # the CUDA kernel too
    assert passed in run(*command, cwd=tmp_path, MINICNN_NUMBA="1", PYTHONPATH=str(tmp_path))
    assert passed in run(*command, cwd=tmp_path, MINICNN_NUMBA="0", PYTHONPATH=str(tmp_path))
    ask = ("import sys, numpy, minicnn; minicnn.swish(numpy.ones(3, 'float32')); "
           "print('minicnn.cpu.swish' in sys.modules)")
    assert run(sys.executable, "-c", ask, cwd=tmp_path, MINICNN_NUMBA="1").strip() == "True"
    assert run(sys.executable, "-c", ask, cwd=tmp_path, MINICNN_NUMBA="0").strip() == "False"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_names_exist(path):
    text = path.read_text(encoding="utf-8")
    names = set(re.findall(r"\bmc\.(\w+)", text)) - {"swish", "f_"}     # swish: made by the recipe; f_: any name
    assert not [n for n in names if not hasattr(mc, n)]


def test_moving_weights_from_knet():
    """docs/knet.md on the order of axes: checked by convolving as Julia would, indices reversed."""
    x, w, dense = randn(2, 3, 5, 4), randn(6, 3, 3, 2), randn(7, 6, 3, 3)
    expected = np.zeros((2, 6, 3, 3))                       # (N, C, H, W), as NumPy reads Julia's (W, H, C, N)
    for i in range(3):
        for j in range(3):
            expected[:, :, i, j] = np.einsum("nchw,kchw->nk", x[:, :, i:i + 3, j:j + 2], w)
    y = mc.conv4(w.transpose(2, 3, 1, 0), x.transpose(0, 2, 3, 1))
    assert np.allclose(y, expected.transpose(0, 2, 3, 1))
    scores = mc.mat(y) @ dense.transpose(2, 3, 1, 0).reshape(-1, 7)
    assert np.allclose(scores, np.einsum("nchw,ochw->no", expected, dense))
    image = randn(2, 6, 3, 3, seed=1)
    back = mc.deconv4(w.transpose(2, 3, 1, 0), image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert np.allclose((back * x).sum(), (image * expected).sum())      # the transpose of that conv
