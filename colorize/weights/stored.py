"""An array that is still in its file."""
import math
import struct

import numpy as np

__all__ = ["Stored", "check_size"]


class Stored:
    """shape, dtype: as the file states them (dtype None: a type that is not read); read() gives the array."""

    def __init__(self, shape, dtype, get):
        self.shape, self.dtype, self.get = tuple(shape), dtype, get

    def read(self):
        try:
            return self.get()
        except FileNotFoundError:
            raise
        except (OSError, KeyError, RuntimeError, TypeError, OverflowError, MemoryError, struct.error) as e:
            raise ValueError(f"an array of shape {self.shape} cannot be read: the file is damaged ({e})") from None

    @property
    def floating(self):
        return self.dtype is not None and np.dtype(self.dtype).kind == "f"


def check_size(name, shape, itemsize, size):
    """Refuse a shape that does not need exactly `size` bytes."""
    if math.prod(shape) * itemsize != size:
        raise ValueError(f"{name} has shape {tuple(shape)} and needs {math.prod(shape) * itemsize} bytes, got {size}")
