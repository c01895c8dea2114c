"""Find photos on disk, decode them to upright RGB, and resize them as Pillow or OpenCV would.

A window is the part of a photo that is wanted: (left, top, right, bottom) as shares of its width and height. Cutting
and resizing are one step, so that no other pixels are computed.
"""
import os
import stat

import numpy as np
from PIL import Image, ImageOps

from ..color.resize import OPENCV_SLOPE, cubic
from ..photo.find import files_below
from ..photo.photo import Unreadable

__all__ = ["decoded", "find", "resized", "cv_resize"]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")      # Pillow tries no other decoder
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
LIMIT = 1 << 26             # the most pixels that a photo may have: 200 MB as RGB
WHOLE = 0.0, 0.0, 1.0, 1.0

# ------------------------------------------------------------------ finding


def find(path):
    """The paths of the photos in a folder and all folders below it, sorted, or of those that a list file names.

    A list file has one path a line, relative to its own folder. Empty lines, lines that begin with #, and hidden
    files and folders are skipped.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        found = [file for file in files_below(path) if file.lower().endswith(SUFFIXES)]
    elif not os.path.exists(path):
        raise FileNotFoundError(f"there is no {path}: give a folder with photos, or a text file with one path a line")
    elif path.lower().endswith(SUFFIXES):
        found = [path]
    else:
        return _listed(path)
    if not found:
        raise ValueError(f"{path} holds no photo: expected files that end in {' '.join(SUFFIXES)}, in it or below it")
    return sorted(found)


def _listed(path):
    try:
        with open(path, encoding="utf-8") as f:
            lines = [line.strip() for line in f]
    except UnicodeDecodeError:
        raise ValueError(f"{path} is neither a photo nor a text file with one path a line") from None
    found = [os.path.join(os.path.dirname(path), line) for line in lines if line and line[0] != "#"]
    if not found:
        raise ValueError(f"the list {path} names no photo: write one path a line, relative to the list's folder")
    return found


# ------------------------------------------------------------------ decoding


def decoded(path, least=None, resample=None):
    """(image, size): an upright RGB image of Pillow's, and the (width, height) of the photo.

    With `least`, a JPEG may come out 2, 4 or 8 times smaller, which is many times faster; both sides keep at least
    2 * least pixels. It keeps its size if `resample` is OpenCV's, which would pick other pixels.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):         # reading a pipe would wait for ever
            raise Unreadable("it is not a file")
        with Image.open(path, formats=FORMATS) as image:
            turned = image.getexif().get(0x0112, 1)
            size = image.size[::-1] if turned in (5, 6, 7, 8) else image.size
            if least and resample not in OPENCV:
                image.draft(None, (2 * least, 2 * least))
            if image.size[0] * image.size[1] > LIMIT:
                raise Unreadable(f"it has {size[0]} x {size[1]} pixels, which is more than {LIMIT}: make it smaller")
            image.load()
            rgb = _rgb(image)
            return (ImageOps.exif_transpose(rgb) if turned != 1 else rgb), size
    except Unreadable as e:
        raise Unreadable(f"{path}: {e}") from None
    except Exception as e:                  # a broken file can raise almost any error
        raise Unreadable(f"{path}: {str(e) or type(e).__name__}") from None


def _rgb(image):
    """An image of any mode as RGB. Transparent pixels show white, and 16-bit grey is scaled to 8 bits."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        rgb = Image.new("RGB", rgba.size, "white")
        rgb.paste(rgba, mask=rgba.getchannel("A"))
        rgb.info.update(image.info)
        return rgb
    if image.mode[0] in "IF":
        grey = np.nan_to_num(np.asarray(image).astype("float32"))
        top = 65535 if image.mode.startswith("I;16") else next(t for t in (1, 255, 65535, np.inf) if grey.max() <= t)
        if top == 1 and image.mode == "I" or top == np.inf:
            raise Unreadable(f"the range of its pixels is unknown: mode {image.mode}, the largest {grey.max():g}")
        return Image.fromarray((grey.clip(0, top) * (255 / top) + 0.5).astype("uint8")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


# ------------------------------------------------------------------ resizing

PILLOW = {"nearest": Image.NEAREST, "box": Image.BOX, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC,
          "lanczos": Image.LANCZOS}         # they average when they make a picture smaller
OPENCV = "cv-linear", "cv-cubic"            # these do not
RESAMPLINGS = (*PILLOW, *OPENCV)


def resized(image, size, resample="bicubic", window=WHOLE):
    """The window of Pillow's image as a uint8 array (height, width, 3). `size` is (width, height)."""
    box = tuple(min(max(share, 0.0), 1.0) * side for share, side in zip(window, image.size * 2))
    if resample in PILLOW:
        return np.asarray(image.resize(size, PILLOW[resample], box))
    return cv_resize(np.asarray(image), size, resample[3:], box)


def cv_resize(x, size, kernel="linear", box=None):
    """cv2.resize(x, size) of x (height, width, channels), uint8 or float32, with INTER_LINEAR or INTER_CUBIC.

    It interpolates between 2 or 4 pixels in each direction and never averages, so a much smaller picture gets coarse.
    `box` is (left, top, right, bottom) in pixels. TensorFlow's bilinear tf.image.resize gives the same as "linear".

    >>> cv_resize(np.array([[[0.], [1]]], "float32"), (4, 1))[0, :, 0]
    array([0.  , 0.25, 0.75, 1.  ], dtype=float32)
    """
    left, top, right, bottom = box or (0, 0, x.shape[1], x.shape[0])
    y = _interpolated(x, top, bottom, size[1], kernel)
    y = _interpolated(y.swapaxes(0, 1), left, right, size[0], kernel).swapaxes(0, 1)
    return (y.clip(0, 255) + 0.5).astype("uint8") if x.dtype == np.uint8 else y.astype(x.dtype)


def _interpolated(x, start, stop, n, kernel):
    """n float32 rows, interpolated between the rows start and stop of x."""
    at = start + (np.arange(n) + 0.5) * ((stop - start) / n) - 0.5
    first = np.floor(at).astype(int)
    t = (at - first).astype("float32")
    if kernel == "linear":
        taps, weights = (0, 1), (1 - t, t)
    else:
        taps, weights = (-1, 0, 1, 2), [cubic(d, OPENCV_SLOPE) for d in (t + 1, t, 1 - t)]
        weights.append(1 - sum(weights))
    return sum(w[:, None, None] * x[(first + tap).clip(0, len(x) - 1)] for tap, w in zip(taps, weights))

