"""What a format's own file finds out about a photo before its pixels are decoded."""
from ..data.photos import Unreadable

__all__ = ["METADATA", "Deep", "Found", "TooLarge", "checked"]

METADATA = 32 << 20         # bytes that all texts, profiles and tags of one photo may have


class Found:
    """opened: a function that gives Pillow's image, with no pixel decoded; info: see Photo.

    turned: the EXIF orientation that is still to be applied. key: the value, or the three, that are transparent.
    deep: how Deep pixels are got. inverted: 0 is white, which Pillow left so. top: what white is among 16 bits.
    """

    def __init__(self, opened, info, turned=1, key=None, deep=None, inverted=False, top=65535, notes=()):
        self.opened, self.info, self.turned, self.key, self.deep = opened, info, turned, key, deep
        self.inverted, self.top, self.notes = inverted, top, notes


class Deep:
    """Pixels of 16 bits a channel, of which Pillow gives 8: it is asked twice, in the words of its raw modes.

    high, low: what gives the upper and the lower bytes. low None: `high` gives bytes, two for each channel.
    """

    def __init__(self, channels, alpha, high, low=None, premultiplied=False):
        self.channels, self.alpha, self.high, self.low, self.premultiplied = channels, alpha, high, low, premultiplied


class TooLarge(Unreadable):
    """More pixels than were allowed."""


def checked(width, height, limit):
    """Refuse what declares more than `limit` pixels, before anything is made for them."""
    if width < 1 or height < 1:
        raise Unreadable(f"it declares {width} x {height} pixels")
    if width * height > limit:
        raise TooLarge(f"its {width} x {height} pixels are too many: at most {limit / 1e6:g} million are read")
