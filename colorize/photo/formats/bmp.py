"""BMP: read by Pillow, and written in strips, which Pillow packs."""
import struct

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from ..photo import Unreadable
from .found import Found, checked

__all__ = ["look", "write"]

METRE = 0.0254                      # an inch
HEADER = 256                        # bytes that a header may have
RLE = 1, 2
WIDEST = 1 << 16                    # pixels a row in run lengths, where 4 bytes may skip 255 rows


def look(file, size, limit):
    head = file.read(18)
    if len(head) < 18 or struct.unpack("<I", head[14:])[0] > HEADER:
        raise Unreadable("it does not have the header of a BMP")

    def opened():
        file.seek(0)
        return BmpImageFile(file)
    image = opened()
    count = checked(*image.size, limit)
    if image.info.get("compression") in RLE and image.size[0] > WIDEST:
        raise Unreadable(f"its rows of {image.size[0]} pixels are too long for a packed BMP: at most {WIDEST} fit")
    dpi = image.info.get("dpi", (0, 0))
    return Found(opened, count, {"dpi": dpi} if min(dpi) > 0 else {})


def write(file, strips, height, width, info):
    """strips: a function from (first, stop) to these rows, uint8 (rows, width, 3).

    Pillow's own `save` would need all rows at once.
    """
    row = (3 * width + 3) // 4 * 4
    dots = [min(round(v / METRE), (1 << 31) - 1) for v in info.get("dpi", (0, 0))]
    file.write(struct.pack("<2sIHHI", b"BM", 54 + row * height, 0, 0, 54))
    file.write(struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, row * height, *dots, 0, 0))
    step = max(1, (1 << 20) // row)
    for stop in range(height, 0, -step):                # a BMP begins with its lowest row
        file.write(Image.fromarray(strips(max(stop - step, 0), stop)).tobytes("raw", "BGR", row, -1))
