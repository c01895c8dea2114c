"""Finding things inside plain objects: models here have no base class to ask."""
import functools
from types import ModuleType


def walk(x, kinds, path="", seen=None):
    """Yield (dotted path, object) of every object of these kinds inside x, each once, in a fixed order."""
    seen = set() if seen is None else seen
    if id(x) in seen or isinstance(x, (str, bytes, type, ModuleType)):
        return
    seen.add(id(x))
    if isinstance(x, kinds):
        yield path, x
        return
    if isinstance(x, dict):
        inside = x.items()
    elif isinstance(x, (list, tuple)):
        inside = enumerate(x)
    elif isinstance(x, functools.partial):
        inside = [("func", x.func), ("args", x.args), ("keywords", x.keywords)]
    elif callable(getattr(x, "__self__", None)):
        inside = [("self", x.__self__)]
    else:
        inside = getattr(x, "__dict__", {}).items()
    for name, y in list(inside):
        yield from walk(y, kinds, f"{path}.{name}" if path else str(name), seen)
