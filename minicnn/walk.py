"""Finding and replacing things inside plain objects: models here have no base class to ask."""
import copy
import functools
from types import FunctionType, ModuleType


def walk(x, kinds, path="", seen=None):
    """Yield (dotted path, object) of what is found inside x, each object once, in the order of attributes.

    `kinds` are the types to find, or a function that says whether an object is one; those are not looked into.
    """
    seen = set() if seen is None else seen
    if id(x) in seen or isinstance(x, (str, bytes, type, ModuleType)):
        return
    seen.add(id(x))
    if kinds(x) if isinstance(kinds, FunctionType) else isinstance(x, kinds):
        yield path, x
        return
    if isinstance(x, dict):
        inside = x.items()
    elif isinstance(x, (list, tuple)):
        inside = enumerate(x)
    elif isinstance(x, functools.partial):
        inside = [("func", x.func), ("args", x.args), ("keywords", x.keywords)]
    elif callable(getattr(x, "__self__", None)):            # a bound method of a model
        inside = [("self", x.__self__)]
    else:
        inside = getattr(x, "__dict__", {}).items()
    for name, y in list(inside):
        yield from walk(y, kinds, f"{path}.{name}" if path else str(name), seen)


def rebuilt(x, replace):
    """A deep copy of x in which `replace` = [(object, its replacement)]: deepcopy looks into its memo first."""
    return copy.deepcopy(x, {id(old): new for old, new in replace})
