"""python -m colorize.evaluate: see program.py."""
import sys

from ..cli import status
from .program import NAME, main

if __name__ == "__main__":
    sys.exit(status(main, NAME))
