"""EXIF and XMP: they say which way is up, and must say so no more once the pixels are upright."""
import re
import struct

from . import ifd

__all__ = ["PREFIX", "made", "upright", "upright_xmp"]

PREFIX = b"Exif\0\0"                # stands before EXIF in a JPEG


def upright(blob):
    """(blob, orientation): the EXIF structure with orientation 1 and without a preview; and its old orientation.

    No other byte changes, so that the offsets in makers' notes stay right. If it is no EXIF: (None, 1).
    """
    blob = bytearray(blob[len(PREFIX):] if blob[:len(PREFIX)] == PREFIX else blob)
    found = ifd.header(blob)
    if found is None or found[1] or found[2] + 2 > len(blob):
        return None, 1
    order, _, at = found
    n, = struct.unpack_from(order + "H", blob, at)
    turned = 1
    for entry in range(at + 2, min(at + 2 + 12 * n, len(blob) - 11), 12):
        tag, kind, count = struct.unpack_from(order + "HHI", blob, entry)
        if tag == ifd.ORIENTATION and kind in (3, 4) and count == 1:           # 16 bits; some programs write 32
            form = order + ifd.INTEGERS[kind]
            turned, = struct.unpack_from(form, blob, entry + 8)
            struct.pack_into(form, blob, entry + 8, 1)
    if at + 2 + 12 * n + 4 <= len(blob):        # the next directory has the preview, which is grey
        struct.pack_into(order + "I", blob, at + 2 + 12 * n, 0)
    return bytes(blob), turned if 1 <= turned <= 8 else 1


def upright_xmp(xmp, turned):
    """The XMP with orientation 1, if EXIF turned the picture: no program turns one by XMP alone."""
    if turned == 1:
        return xmp
    return re.sub(rb"(tiff:Orientation(?:>|\s*=\s*[\"'])\s*)[2-8]", rb"\g<1>1", xmp)


def made(tree, order):
    """The EXIF structure with these tags (see ifd.py), or None if there are none."""
    if not tree:
        return None
    return (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8) + ifd.pack(tree, order, 8)
