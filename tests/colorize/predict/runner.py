"""What the tests of the command share."""
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ONE = 20.0, 40.0                            # the colour that the model of these tests sees everywhere


def made(folder):
    """The files in a folder and below it."""
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())
