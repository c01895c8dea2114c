"""A photo from a file or from bytes, in any format; for what cannot be read, an error of one sentence.

Files are untrusted. Their first bytes choose the format, not their name. Only the decoder of that format runs, it
sees only the parts of the file that it needs, and no memory is taken for pixels before their number is checked.
"""
import io
import logging
import os
import stat
import warnings

from . import pixels
from .formats import bmp, jpeg, png, tiff, webp
from .formats.parts import size_of
from .photo import Photo, Unreadable

__all__ = ["LIMIT", "read"]

LIMIT = 105_000_000         # pixels: 100 megapixels, as cameras count them

PILLOW = r"PIL\."            # the modules whose warnings are silenced
OURS = {"JPEG": jpeg, "PNG": png, "TIFF": tiff, "WEBP": webp, "BMP": bmp}
BEGINNINGS = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
              (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"), (b"BM", "BMP"))
OTHERS = ((b"GIF8", "a GIF"), (b"%PDF", "a PDF"), (b"8BPS", "a Photoshop file"), (b"\0\0\0\x0cjP", "a JPEG 2000"),
          (b"\xff\x4f\xff\x51", "a JPEG 2000"), (b"\xff\x0a", "a JPEG XL"), (b"\0\0\0\x0cJXL", "a JPEG XL"),
          (b"<svg", "an SVG"), (b"gimp xcf", "a file of GIMP's"), (b"IIU\0", "a raw file of a camera"))


def read(source, limit=LIMIT, announce=None):
    """The Photo of a path, or of the bytes of a file, with at most `limit` pixels.

    announce: a function that gets the number of pixels before they are decoded (see Found.pixels). It may wait; if
    it returns False, nothing is decoded and read() returns None.
    Raises Unreadable with one sentence, which begins with the path if there is one.
    """
    _quiet()
    given = isinstance(source, (bytes, bytearray, memoryview))
    try:
        if given:
            return _photo(io.BytesIO(source), limit, announce)
        if os.path.isdir(source):
            os.listdir(source)              # raises if it may not be entered
            raise Unreadable("it is a folder, not a file")
        if not stat.S_ISREG(os.stat(source).st_mode):       # to open a pipe would wait for ever
            raise Unreadable("it is not a file")
        with open(source, "rb") as file:
            return _photo(file, limit, announce)
    except (Unreadable, OSError, MemoryError) as e:
        text = getattr(e, "strerror", None) or str(e) or "it needs more memory than there is"
        raise Unreadable(text if given else f"{os.fspath(source)}: {text}") from None


def _photo(file, limit, announce):
    size = size_of(file)
    kind = _kind(file.read(16), size)
    file.seek(0)
    try:
        found = OURS[kind].look(file, size, limit)
        if announce and not announce(found.pixels):
            return None
        x, alpha, space = pixels.arrays(found)
        return Photo(x, alpha, kind, found.info, found.notes, space)
    except (Unreadable, MemoryError):
        raise
    except Exception as e:                  # a damaged file raises almost anything
        if getattr(e, "errno", None):       # but a failing disk is not damage in the file
            raise
        text = " ".join(str(e).split()) or type(e).__name__
        raise Unreadable(f"this {kind} is damaged or cut short ({text})") from None


def _kind(head, size):
    """The format, from the first 16 bytes."""
    if size == 0:
        raise Unreadable("it is empty")
    for beginning, kind in BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    other = next((name for beginning, name in OTHERS if head.startswith(beginning)), None)
    if head[4:8] == b"ftyp":
        other = {b"avif": "an AVIF", b"crx ": "a raw file of a camera"}.get(head[8:12], "a HEIC photo or a video")
    raise Unreadable(f"it is {other or 'no photo'}: save it as JPEG, PNG, TIFF, WebP or BMP")


def _quiet():
    """Silence Pillow's warnings: we say the same in our words, or they do not matter."""
    if not any(getattr(known[3], "pattern", None) == PILLOW for known in warnings.filters):
        warnings.filterwarnings("ignore", module=PILLOW)
    logger = logging.getLogger("PIL")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())            # otherwise it prints its errors
