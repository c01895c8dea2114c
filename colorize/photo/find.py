"""Finding files below a folder."""
import os

__all__ = ["files_below"]


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
