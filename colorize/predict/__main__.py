"""python -m colorize.predict: the same program as python -m colorize."""
from .program import command

if __name__ == "__main__":
    command()
