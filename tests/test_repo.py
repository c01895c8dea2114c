"""The repository's own rules: what imports what, and what an import costs."""
import ast
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOPS = "minicnn", "colorize", "benchmarks", "examples", "tests"
SOURCES = sorted(p for top in TOPS for p in (ROOT / top).rglob("*.py"))


def name_of(path):
    """minicnn/ops/conv.py as minicnn.ops.conv."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


ENGINE = [p for p in SOURCES if name_of(p).split(".")[0] == "minicnn"]
PACKAGES = [p for p in SOURCES if name_of(p).split(".")[0] in ("minicnn", "colorize")]


def imports(path):
    """Every module that a file imports, at the top or inside a function, by its full name."""
    package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            base = ".".join(base + ([node.module] if node.module else []))
            for alias in node.names:                # `from . import x` names a module, `from .x import f` does not
                inner = ROOT.joinpath(*base.split("."), alias.name)
                yield f"{base}.{alias.name}" if inner.is_dir() or inner.with_suffix(".py").exists() else base


def layer(module):
    """How high a module stands: imports go from higher to lower or equal ones."""
    for height, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return height
    raise AssertionError(f"{module} has no place in LAYERS: give it one")


LAYERS = [
    ["minicnn.autograd", "minicnn.tracked", "minicnn.walk"],
    ["minicnn.device"],
    ["minicnn.dispatch"],
    ["minicnn.cpu.runtime", "minicnn.cpu.parts", "minicnn.cuda.launcher", "minicnn.cuda.graph"],
    ["minicnn.ops"],
    ["minicnn.cpu", "minicnn.cuda", "minicnn.layers", "minicnn.init", "minicnn.train", "minicnn.files",
     "minicnn.gradcheck", "minicnn.summary", "minicnn.fuse", "minicnn.parallel"],
    ["minicnn"],
    ["colorize.cli", "colorize.threads"],
    ["colorize.color"],
    ["colorize.photo"],
    ["colorize.models", "colorize.weights", "colorize.metrics"],
    ["colorize.data", "colorize.pictures", "colorize.runs"],
    ["colorize.train", "colorize.evaluate", "colorize.predict", "colorize"],
    ["colorize.tune"],
    ["benchmarks", "examples", "docs", "tests"],
]


def ours(module):
    return module.split(".")[0] in TOPS


def test_the_walk_over_imports_sees_them():
    assert {"minicnn.autograd", "minicnn.device", "minicnn.ops.shapes"} <= set(imports(ROOT / "minicnn/ops/conv.py"))
    assert "minicnn.ops.activation" in set(imports(ROOT / "minicnn/__init__.py"))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_downwards(path):
    here = layer(name_of(path))
    upwards = [m for m in imports(path) if ours(m) and layer(m) > here]
    assert not upwards, f"{name_of(path)} imports {upwards}, which stand above it"


def test_modules_import_each_other_without_a_circle():
    graph = {name_of(p): {m for m in imports(p) if ours(m)} for p in ENGINE if p.name != "__init__.py"}
    while graph:
        free = [m for m, needs in graph.items() if not needs & (set(graph) - {m})]
        assert free, f"these import each other in a circle: {sorted(graph)}"
        for module in free:
            del graph[module]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_device_imports_cupy(path):
    cupy = [m for m in imports(path) if m.split(".")[0] in ("cupy", "cupyx")]
    assert not cupy or name_of(path) == "minicnn.device" or name_of(path).startswith("tests")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_parallel_imports_mpi(path):
    assert "mpi4py" not in {m.split(".")[0] for m in imports(path)} or name_of(path) == "minicnn.parallel"


def is_kernel_file(module):
    """Does a formula name what is in it? Only `dispatch` loads such a file."""
    kernels = module.startswith(("minicnn.cpu.", "minicnn.cuda.")) or module.endswith("_cpu")
    return kernels and module.rpartition(".")[2] not in ("runtime", "parts", "launcher", "graph")


@pytest.mark.parametrize("path", [p for p in PACKAGES if not is_kernel_file(name_of(p))], ids=name_of)
def test_kernel_files_are_reached_through_dispatch(path):
    kernels = [m for m in imports(path) if is_kernel_file(m)]
    assert not kernels, f"{name_of(path)} imports {kernels}: name the kernel above its formula, with @kernels"


@pytest.mark.parametrize("path", [p for p in PACKAGES if name_of(p).startswith("colorize.predict")], ids=name_of)
def test_the_photo_command_loads_no_training_data(path):
    assert not [m for m in imports(path) if m.startswith(("colorize.data", "colorize.train", "colorize.runs"))]


def python(code):
    """What a fresh Python prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()


def test_import_is_quick():
    code = "import time, numpy; start = time.process_time(); import minicnn; print(time.process_time() - start)"
    python(code)                                    # the first run may have to write .pyc files
    assert statistics.median(float(python(code)) for _ in range(5)) < 0.5


def test_import_loads_no_compiler_and_no_gpu():
    heavy = "{'cupy', 'numba', 'scipy', 'torch'}"
    assert python(f"import sys, minicnn; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_star_import_leaves_pythons_names_alone():
    assert python("from minicnn import *; import builtins; "
                  "print(sorted(n for n in globals() if n in dir(builtins) and n[0] != '_'))") == "[]"


def test_star_import_brings_no_modules():
    assert python("from minicnn import *; import types; "
                  "print([n for n, x in list(globals().items()) if type(x) is types.ModuleType and n != 'types' "
                  "and n[0] != '_'])") == "[]"
