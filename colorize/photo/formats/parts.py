"""A file that shows only some parts of another one, so that a decoder sees only what it needs."""
import bisect
import io

__all__ = ["Parts", "size_of"]


def size_of(file):
    """How many bytes an open file has."""
    file.seek(0, io.SEEK_END)
    size = file.tell()
    file.seek(0)
    return size


class Parts:
    """Some parts, (offset, length), of a file, end to end, with what a decoder needs: read, seek and tell.

    >>> Parts(io.BytesIO(b"0123456789"), [(1, 2), (7, 3)]).read()
    b'12789'
    """

    def __init__(self, file, parts):
        self.file, self.offsets, self.starts, self.at = file, [], [0], 0
        for offset, length in parts:
            if self.offsets and self.offsets[-1] + self.starts[-1] - self.starts[-2] == offset:
                self.starts[-1] += length               # it begins where the last one ends
            elif length > 0:
                self.offsets.append(offset)
                self.starts.append(self.starts[-1] + length)

    def read(self, n=-1):
        end = self.starts[-1] if n is None or n < 0 else min(self.at + n, self.starts[-1])
        pieces = []
        while self.at < end:
            i = bisect.bisect_right(self.starts, self.at) - 1
            self.file.seek(self.offsets[i] + self.at - self.starts[i])
            piece = self.file.read(min(end, self.starts[i + 1]) - self.at)
            if not piece:
                break
            pieces.append(piece)
            self.at += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.starts[-1]}[whence])
        return self.at

    def tell(self):
        return self.at
