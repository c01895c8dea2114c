"""python -m colorize: see predict.py."""
from .predict import command

if __name__ == "__main__":
    command()
