"""Which format the name of a file says, and which files are below a folder."""
import os

__all__ = ["SUFFIXES", "files_below", "kind_of"]

SUFFIXES = {".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".tif": "TIFF",
            ".tiff": "TIFF", ".webp": "WEBP", ".bmp": "BMP"}


def kind_of(path):
    """The format that the suffix of a path names, or None."""
    return SUFFIXES.get(os.path.splitext(os.fspath(path))[1].lower())


def files_below(folder, leave_out=None, closed=None):
    """The files in a folder and below it, folder by folder and sorted, without hidden ones.

    leave_out: the real path of a folder to skip. closed: a list that gets the folders that may not be entered.
    """
    def failed(error):
        if closed is not None:
            closed.append(error.filename)
    for here, below, names in os.walk(folder, onerror=failed):
        below[:] = sorted(name for name in below if name[0] != "."
                          and os.path.realpath(os.path.join(here, name)) != leave_out)
        yield from (os.path.join(here, name) for name in sorted(names) if name[0] != ".")
