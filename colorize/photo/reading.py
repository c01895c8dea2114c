"""A photo from a file or from bytes, whatever its format; what cannot be read says so in one sentence."""
import io
import os
import stat

import numpy as np
from PIL import Image, ImageOps

from ..data.photos import Unreadable
from .photo import Photo

__all__ = ["LIMIT", "read"]

LIMIT = 105_000_000         # pixels: 100 megapixels, and cameras that call themselves so


def read(source, limit=LIMIT):
    """The Photo of a path, or of the bytes of a file. Unreadable: one sentence, which begins with the path."""
    try:
        if isinstance(source, (bytes, bytearray, memoryview)):
            return _photo(io.BytesIO(source), limit)
        if not stat.S_ISREG(os.stat(source).st_mode):       # opening a pipe would wait for ever
            raise Unreadable("it is not a file")
        with open(source, "rb") as file:
            return _photo(file, limit)
    except Exception as e:                  # a broken file raises almost anything, each format its own
        where = "" if isinstance(source, (bytes, bytearray, memoryview)) else f"{os.fspath(source)}: "
        raise Unreadable(where + (getattr(e, "strerror", None) or str(e) or type(e).__name__)) from None


def _photo(file, limit):
    with Image.open(file, formats=("JPEG", "PNG", "TIFF", "WEBP", "BMP")) as image:
        if image.size[0] * image.size[1] > limit:
            raise Unreadable(f"{image.size[0]} x {image.size[1]} pixels are too many: at most {limit} are read")
        kind = image.format
        upright = ImageOps.exif_transpose(image)
    if upright.mode not in ("L", "LA", "RGB", "RGBA"):
        upright = upright.convert("L" if upright.mode == "1" else "RGBA" if "transparency" in upright.info else "RGB")
    x = np.array(upright)
    x = x[..., None] if x.ndim == 2 else x
    colours = 3 if x.shape[2] > 2 else 1
    alpha = x[..., colours].copy() if x.shape[2] > colours else None
    return Photo(np.ascontiguousarray(x[..., :colours]), alpha, kind)
