"""A photo into a file, with what its own file said beside the pixels."""
import io

import numpy as np
from PIL import Image

from minicnn import files

__all__ = ["KINDS", "encode", "write"]

KINDS = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "TIFF": (".tif", ".tiff"), "WEBP": (".webp",), "BMP": (".bmp",)}


def encode(photo, kind=None):
    """The bytes of a file with the photo, of that kind (the photo's own)."""
    pixels = photo.pixels if photo.pixels.dtype == np.uint8 else (photo.pixels >> 8).astype(np.uint8)
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    file = io.BytesIO()
    image.save(file, kind or photo.kind)
    return file.getvalue()


def write(photo, path, kind=None):
    """Write the photo to a path; the file appears under its name once it is complete. kind: the photo's own."""
    files.write(path, encode(photo, kind))
