"""Numba's cache: warmup fills it for good, and where it cannot be written, minicnn still runs."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ..tools import need

need("numba")
pytestmark = pytest.mark.slow            # left out of the fast tests: see CONTRIBUTING.md
ROOT = Path(__file__).resolve().parents[2]

MODEL = """
import numpy as np, minicnn as mc
layers = []
for cin, cout in ((1, 75), (75, 90)):
    layers += [mc.Conv(cin, cout, 3, stride=2, padding="same"), mc.BatchNorm(cout), mc.tanh]
layers += [mc.Conv(90, 3, 1), mc.BatchNorm(3), mc.tanh]
layers += [mc.Deconv(3, 75, 3, stride=2, padding="same"), mc.BatchNorm(75), mc.tanh]
layers += [mc.Deconv(75, 64, 3, stride=2, padding="same"), mc.tanh, mc.Conv(64, 64, 3, padding=1), mc.relu]
layers += [mc.Deconv(64, 2, 1), mc.BatchNorm(2), mc.tanh]
model, x = mc.Chain(*layers), np.linspace(-1, 1, 2 * 64 * 64, dtype="float32").reshape(2, 64, 64, 1)
target = np.repeat(x, 2, axis=3)
mc.fuse(model)(x)
mc.adam_(lambda x, y: mc.mse(model(x), y), [(x, target)])
"""

# every kernel that `run` calls, whether used or not, and for how many types of arguments it is compiled
COUNTS = """
import importlib, inspect, pkgutil, minicnn
from minicnn import warmup
for module in pkgutil.walk_packages(minicnn.__path__, "minicnn."):
    if module.name.startswith("minicnn.cpu."):
        importlib.import_module(module.name)
for name, f in sorted(warmup.kernels().items()):
    if list(inspect.signature(f.py_func).parameters)[:3] == ["start", "stop", "scratch"]:
        print(name, len(f.signatures))
"""


def python(*args, **options):
    """What a fresh Python prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MINICNN_NUMBA": "1", **options.pop("env", {})}
    env = {name: value for name, value in env.items() if value is not None}
    done = subprocess.run([sys.executable, *args], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(folder):
    return {p: p.stat().st_mtime_ns for p in Path(folder).rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def source():
    """A copy of minicnn that nobody edits meanwhile: Numba compiles anew what is younger than its cache."""
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(ROOT / "minicnn", folder / "minicnn", ignore=shutil.ignore_patterns("__pycache__"))
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def test_after_warmup_nothing_is_compiled(source, tmp_path):
    env = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(source)}
    said = python("-m", "minicnn.warmup", env=env, cwd=source)
    assert "kernels compiled, 0 found in the cache" in said and str(tmp_path) in said
    before = files(tmp_path)
    assert len(before) > 40, said
    printed = python("-c", MODEL + "from minicnn.warmup import counts; print(counts()[:2])", env=env, cwd=source)
    compiled, cached = map(int, printed.strip().strip("()").split(","))
    assert files(tmp_path) == before, "a kernel was compiled that warmup had not"
    assert compiled == 0 and cached > 10

    said = python("-m", "minicnn.warmup", env=env, cwd=source)
    assert "\n0 kernels compiled" in said
    used = python("-c", "from minicnn import warmup; warmup.main(); print('--')" + COUNTS, env=env, cwd=source)
    used = dict(line.split() for line in used.split("--\n")[1].splitlines())
    assert len(used) > 20
    assert not [name for name, n in used.items() if n == "0"], "kernels that warmup does not reach"


def test_warmup_without_kernels_says_why():
    assert "MINICNN_NUMBA=0" in python("-m", "minicnn.warmup", env={"MINICNN_NUMBA": "0"}, cwd=ROOT)
    hidden = "import sys; sys.modules['numba'] = None\n" \
             "import importlib.util as u; find = u.find_spec\n" \
             "u.find_spec = lambda name, *a: None if name == 'numba' else find(name, *a)\n" \
             "from minicnn import warmup; warmup.main()"
    assert "Numba is not installed" in python("-c", hidden, cwd=ROOT)


# ------------------------------------------------------------------ where nothing can be written

# Linux lets root write anywhere by CAP_DAC_OVERRIDE (1); PR_CAPBSET_DROP (24) takes that from what is executed next
LOCKED_OUT = """
import ctypes, os, sys
assert os.getuid() or not ctypes.CDLL(None).prctl(24, 1, 0, 0, 0), "root keeps its power over permissions here"
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""


def tanh_in(folder, home):
    """Where the first kernel was cached, in a process that may not write to `folder`."""
    code = "import os, sys\n" \
           "for folder in sys.argv[1:]: assert not os.access(folder, os.W_OK), folder + ' can be written to'\n" \
           "import numpy as np, minicnn as mc\n" \
           "y = mc.tanh(np.ones(3, 'float32')); assert abs(y - np.tanh(1)).max() < 1e-6\n" \
           "from minicnn.warmup import counts; compiled, cached, where = counts(); assert compiled > 0\n" \
           "print('|'.join(sorted(where)))"
    env = {"HOME": str(home), "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": None,
           "LOCALAPPDATA": None, "PYTHONDONTWRITEBYTECODE": "1"}
    locked = [p for p in (folder / "minicnn", folder / "minicnn" / "ops", home) if not p.stat().st_mode & 0o200]
    return python("-c", LOCKED_OUT, code, *map(str, locked), env=env, cwd=folder).strip()


@pytest.fixture
def locked(source):
    """minicnn in a folder without permission to write, and a home beside it."""
    if os.name != "posix":
        pytest.skip("permissions are tested on POSIX systems only")
    for path in [source / "minicnn", *(source / "minicnn").rglob("*")]:
        if path.is_dir():
            path.chmod(0o555)
    home = source / "home"
    home.mkdir(exist_ok=True)
    home.chmod(0o755)
    return source, home


def test_a_read_only_installation_caches_in_the_users_folder(locked):
    folder, home = locked
    where = tanh_in(folder, home)
    assert where and all(path.startswith(str(home)) for path in where.split("|"))
    assert files(home)


def test_without_any_cache_kernels_still_run(locked):
    folder, home = locked
    shutil.rmtree(home)
    home.mkdir()
    home.chmod(0o555)
    assert tanh_in(folder, home) == ""
    assert not files(home)
