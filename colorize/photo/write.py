"""A photo into a file, with everything that its own file said beside the pixels and the format has a place for.

Pixels are written in strips, so that memory never holds a large photo twice. PNG and TIFF keep 16 bits, the others
get 8; transparent places become white in JPEG and BMP.
"""
import io

import numpy as np
from PIL import Image

from minicnn import files

from .find import kind_of
from .formats import bmp, jpeg, png, tiff, webp

__all__ = ["encode", "write"]

KINDS = "JPEG", "PNG", "TIFF", "WEBP", "BMP"
STRIP = 1 << 20                             # pixels
LONGEST = {"JPEG": 65500, "WEBP": webp.SIDE}


def encode(photo, kind=None):
    """The photo as the bytes of a file. kind: one of KINDS, or None for the photo's own."""
    file = io.BytesIO()
    _into(file, photo, kind)
    return file.getvalue()


def write(photo, path, kind=None):
    """Write the photo; the file gets its name once it is complete. Without kind, the path's suffix chooses it."""
    with files.writing(path) as file:
        _into(file, photo, kind or kind_of(path))


def _into(file, photo, kind):
    kind = kind or photo.kind
    if kind not in KINDS:
        raise ValueError(f"a photo can be written as {', '.join(KINDS)}, got {kind!r}")
    height, width, channels = photo.pixels.shape
    if max(height, width) > LONGEST.get(kind, 1 << 31):
        raise ValueError(f"{kind} has at most {LONGEST[kind]} pixels a side, and this photo has {width} x {height}: "
                         f"write it as PNG or TIFF")
    if kind == "WEBP" and height * width > webp.LARGEST:
        raise ValueError(f"WebP takes much memory, so at most {webp.LARGEST / 1e6:g} million pixels are written, and "
                         f"this photo has {width} x {height}: write it as JPEG, PNG or TIFF")
    info = dict(photo.info)
    if channels == 1:
        info.pop("icc", None)               # it is for RGB only
    if kind in ("PNG", "TIFF"):
        channels += photo.alpha is not None
        writer = png if kind == "PNG" else tiff
        writer.write(file, lambda *rows: _rows(photo, *rows), height, width, channels, photo.pixels.dtype, info)
    elif kind == "BMP":
        bmp.write(file, lambda *rows: np.broadcast_to(_on_white(photo, *rows), (rows[1] - rows[0], width, 3)),
                  height, width, info)
    elif kind == "JPEG":
        jpeg.write(file, _image(photo, _on_white), info)
    else:
        webp.write(file, _image(photo, _eight), info)


def _rows(photo, first, stop):
    """Rows first .. stop of the photo, alpha as the last channel: (rows, W, 1 to 4)."""
    x = photo.pixels[first:stop]
    return x if photo.alpha is None else np.concatenate([x, photo.alpha[first:stop, :, None]], -1)


def _eight(photo, first, stop):
    """These rows as uint8."""
    x = _rows(photo, first, stop)
    return x if x.dtype == np.uint8 else ((x.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _on_white(photo, first, stop):
    """These rows as uint8 without alpha, on white."""
    x = _eight(photo, first, stop)
    if photo.alpha is None:
        return x
    a = x[..., -1:].astype(np.uint32)
    return ((x[..., :-1] * a + 255 * (255 - a) + 127) // 255).astype(np.uint8)


def _image(photo, strip):
    """A Pillow image of the strips that the function gives."""
    height, width = photo.pixels.shape[:2]
    rows, image = max(1, STRIP // width), None
    for y in range(0, height, rows):
        x = strip(photo, y, min(y + rows, height))
        if x.shape[2] == 2:                 # WebP has no grey with alpha
            x = x[..., [0, 0, 0, 1]]
        part = Image.fromarray(x if x.shape[2] > 1 else x[..., 0])
        image = image or (part if rows >= height else Image.new(part.mode, (width, height)))
        if image is not part:
            image.paste(part, (0, y))
    return image
