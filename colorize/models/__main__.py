"""python -m colorize.models lists all models, with their parameters and multiply-adds beside the published ones."""
from . import build, names
from .table import HEADER, row

print(HEADER, "=" * len(HEADER), sep="\n")
for name in names():
    print(row(build(name)), flush=True)
