"""The weights that come with colorize."""
import os

from .own import model_of

__all__ = ["SHIPPED", "shipped"]

SHIPPED = "nano"                            # the model
FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nano.safetensors")


def shipped():
    """The model with the weights that come with colorize, as float32; the file has float16."""
    if not os.path.isfile(FILE):
        raise FileNotFoundError(f"the weights of colorize are missing, expected {FILE}: install colorize again, or "
                                "name a file of weights with --weights")
    return model_of(FILE)[0]
