"""The repository's own rules: what imports what, what an import costs, how long files are."""
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
    ["minicnn.autograd", "minicnn.tracked", "minicnn.device", "minicnn.walk"],
    ["minicnn.cuda", "minicnn.cpu"],
    ["minicnn.ops"],
    ["minicnn.fuse", "minicnn.graph", "minicnn.summary", "minicnn.train", "minicnn.layers", "minicnn.init",
     "minicnn.files", "minicnn.gradcheck", "minicnn.parallel"],
    ["minicnn"],
    ["colorize"],
    ["benchmarks", "examples", "tests"],
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


@pytest.mark.parametrize("path", [p for p in ENGINE if not p.stem.endswith("_cpu")], ids=name_of)
def test_kernel_files_are_reached_through_dispatch(path):
    kernels = [m for m in imports(path) if m.endswith("_cpu")]
    assert not kernels, f"{name_of(path)} imports {kernels}: call dispatch(formula, ...) instead"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450, "more than one subject? split it"


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
