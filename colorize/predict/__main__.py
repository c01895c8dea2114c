"""python -m colorize.predict: the same as python -m colorize."""
from .program import command

if __name__ == "__main__":
    command()
