"""A photo in memory: its pixels, and what its file says beside them."""
import numpy as np

from .rgb_space import SRGB

__all__ = ["Photo", "Unreadable"]


class Unreadable(ValueError):
    """A file that is no photo, or one that cannot be read; the message says why."""


class Photo:
    """pixels: (H, W, 1) or (H, W, 3), uint8 or uint16, upright; alpha: (H, W) in the same dtype, not premultiplied,
    or None.

    kind: the format of its file, "JPEG", "PNG", "TIFF", "WEBP" or "BMP".
    info: what the file says beside the pixels; write.py keeps what the new format can hold: "exif" (a TIFF structure,
        orientation 1), "icc" (an RGB profile), "xmp", "iptc" (each as bytes), "dpi" (x, y), "tables" (of a JPEG,
        luminance first), "compression" (of a TIFF), "lossless" (of a WebP), "segments" (of a JPEG) and "chunks" (of a
        PNG), each as (name, bytes).
    notes: sentences for the user, for example which frame was read.
    space: the Space that says what the pixels' numbers mean: the one of the profile in `info`, or sRGB.
    """

    def __init__(self, pixels, alpha=None, kind="PNG", info=None, notes=(), space=SRGB):
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"a Photo needs pixels (H, W, 1 or 3) of uint8 or uint16, got {pixels.shape} of "
                             f"{pixels.dtype}")
        if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
            raise ValueError(f"a Photo with pixels {pixels.shape} of {pixels.dtype} needs alpha of that kind, got "
                             f"{alpha.shape} of {alpha.dtype}")
        self.pixels, self.alpha, self.kind = pixels, alpha, kind
        self.info, self.notes, self.space = info or {}, tuple(notes), space

    def with_pixels(self, pixels):
        """The same photo with other pixels, of the same height and width."""
        return Photo(pixels, self.alpha, self.kind, self.info, self.notes, self.space)
