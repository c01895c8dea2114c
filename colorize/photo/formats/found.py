"""What each format finds out about a photo before its pixels are decoded."""
import numpy as np

from ..photo import Unreadable

__all__ = ["METADATA", "Deep", "Found", "checked", "with_mode"]

METADATA = 32 << 20         # bytes that the texts, profiles and tags of one photo may have together


class Found:
    """opened: a function that gives Pillow's image, with no pixel decoded; info, notes: see Photo.

    pixels: how many, as a measure of memory; a format that needs more memory counts each several times.
    turned: the EXIF orientation that is still to be applied. key: the transparent value, or the three of it.
    deep: a Deep, if Pillow gives only 8 of 16 bits. inverted: 0 is white in Pillow's image. top: white in 16 bits.
    """

    def __init__(self, opened, pixels, info, turned=1, key=None, deep=None, inverted=False, top=65535, notes=()):
        self.opened, self.pixels, self.info, self.turned, self.key = opened, pixels, info, turned, key
        self.deep, self.inverted, self.top, self.notes = deep, inverted, top, notes


class Deep:
    """Pixels of 16 bits a channel, of which Pillow gives only 8 at once: several passes put them together.

    passes: [(opened, take, first)]. `take` makes uint16 (rows, W, some channels) of an 8-bit strip of that image.
    These bits go into the channels from `first` on; the channel behind all colours is alpha.
    """

    def __init__(self, channels, alpha, passes, premultiplied=False):
        self.channels, self.alpha, self.passes, self.premultiplied = channels, alpha, passes, premultiplied

    @staticmethod
    def high_and_low(opened, high, low):
        """The two passes for the upper and the lower bytes; high, low: what Pillow's decoders call them."""
        def asked(raw):
            image = opened()
            image.tile = [with_mode(tile, raw) for tile in image.tile]
            return image
        return [(lambda: asked(high), lambda x: x.astype(np.uint16) << 8, 0),
                (lambda: asked(low), lambda x: x.astype(np.uint16), 0)]


def with_mode(tile, raw):
    """One of Pillow's tiles, (codec, extents, offset, arguments), with that raw mode."""
    codec, extents, offset, arguments = tile
    arguments = raw if isinstance(arguments, str) else (raw, *arguments[1:])
    return getattr(tile, "_make", tuple)((codec, extents, offset, arguments))       # older Pillows have plain tuples


def checked(width, height, limit):
    """The number of pixels. More than `limit` are refused before any memory is taken for them."""
    if width < 1 or height < 1:
        raise Unreadable(f"it declares {width} x {height} pixels")
    if width * height > limit:
        raise Unreadable(f"its {width} x {height} pixels are too many: at most {limit / 1e6:g} million are read")
    return width * height
