"""Which kernel a formula has: every name leads to a function, every kernel is named, and a typo is an error."""
import ast
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

import minicnn as mc
from minicnn.dispatch import kernels

from ..tools import formulas, need

ROOT = Path(__file__).resolve().parents[2]
NAMED = [(f, name) for package in ("minicnn", "colorize") for f in formulas(package)
         for name in f.kernels.values() if name]
FILES = [*(ROOT / "minicnn/cpu").glob("*.py"), *(ROOT / "minicnn/cuda").glob("*.py"),
         *(ROOT / "colorize").rglob("*_cpu.py")]
SOURCES = {"kernels", "forward", "backward", "f32"}        # what kernel files also name
SERVE = {"runtime", "parts", "launcher", "graph", "strips", "winograd", "stride2", "depthwise", "__init__"}  # others


def defined(path):
    """A file's public functions that Python calls: what has a decorator is called inside Numba."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)]
    return [name for name in found if name[0].islower() and name not in SOURCES]


@pytest.mark.parametrize("f, name", NAMED, ids=lambda x: x if isinstance(x, str) else None)
def test_a_name_leads_to_a_function(f, name):
    if ".cuda." not in name:
        need("numba")
    module, _, function = name.rpartition(".")
    kernel = getattr(importlib.import_module(module), function)
    takes_any = kernel.__code__.co_flags & inspect.CO_VARARGS
    assert callable(kernel) and (takes_any or kernel.__code__.co_argcount == f.__wrapped__.__code__.co_argcount)


def test_every_kernel_is_named_by_a_formula():
    names = {name for _, name in NAMED}
    assert len(names) > 90
    for path in FILES:
        if path.stem not in SERVE:
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            unnamed = {n for n in defined(path) if f"{module}.{n}" not in names}
            assert not unnamed, f"{path}: no formula names {unnamed}"


def test_a_wrong_name_is_an_error_at_import():
    for name in ("minicnn.cpu.conv.conv5", "minicnn.cpu.no_such_file.conv4"):
        with pytest.raises(ImportError, match=name):
            @kernels(cpu=name)
            def _conv4(x):
                return x


def test_the_formula_runs_where_no_kernel_is_named():
    @kernels()
    def _twice(x):
        return 2 * x
    assert _twice(np.float32(2)) == 4 and mc.relu(np.ones(2)).dtype == "float64"
