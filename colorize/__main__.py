"""python -m colorize: see predict/program.py."""
from .predict.program import command

if __name__ == "__main__":
    command()
