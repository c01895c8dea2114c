"""What all models share: the contract, the sizes, and the way from a photo's L to ab at the photo's size."""
import copy
import math

import minicnn as mc
from minicnn.device import xp
from minicnn.ops.shapes import is_int

from ..color.resize import resize
from ..color.spaces import lab_to_rgb

__all__ = ["Colorizer", "Reshape", "choice", "grey_level", "scaled"]

FITS = ("stretch", "short")
LONGEST = 4                                 # with fit="short" the long side is at most so many times the short side


class Colorizer:
    """A model, whose network is `net`. The class of a document adds how batches are made and what numbers mean:

    inputs(rgb), targets(rgb)   turn a batch of uint8 photos (N, H, W, 3) into x and y
    prepare(L)                  turns L (N, H, W, 1), in 0..100, into x
    ab(y, L)                    turns the network's answer y for L into ab (N, h, w, 2) in Lab units
    loss(x, y)                  gives a scalar, inside mc.diff
    """

    name = "model"                          # `build` sets name and options
    options = {}
    multiple = 1                            # the sides of photos must be multiples of this, in pixels
    fixed = False                           # or must the sides be exactly `size`?
    of_lightness = False                    # is inputs(rgb) the same as prepare(L)?
    down, up = "pillow", "pillow"           # the document's resampling of L, and of ab

    def sizes(self, size, width, fit="stretch"):
        """Check and keep the options for sizes."""
        if not is_int(size) or size < self.multiple or size % self.multiple:
            raise ValueError(f"size must be a multiple of {self.multiple} pixels, got {size!r}")
        if not isinstance(width, (int, float)) or not 0 < width < math.inf:
            raise ValueError(f"width, a factor for the number of channels, must be above 0, got {width!r}")
        self.size, self.width, self.fit = int(size), width, choice("fit", fit, FITS)

    def __call__(self, x):
        return self.net(x)

    def parts(self):
        """The parts whose parameters the document counts."""
        return self.net

    def fused(self):
        """A copy for inference, with its network fused."""
        fast = copy.copy(self)
        fast.net = mc.fuse(self.net)
        return fast

    def batch(self, rgb):
        """(x, y) of a batch of photos."""
        return self.inputs(rgb), self.targets(rgb)

    def photos(self, rgb):
        """rgb, or an error if it is no batch of photos that the network takes."""
        if str(getattr(rgb, "dtype", None)) != "uint8" or rgb.ndim != 4 or rgb.shape[3] != 3:
            raise TypeError(f"{self.name} needs photos as uint8 (N, H, W, 3), got "
                            f"{getattr(rgb, 'dtype', type(rgb).__name__)} {getattr(rgb, 'shape', '')}".rstrip())
        if self.fixed and rgb.shape[1:3] != (self.size, self.size):
            raise ValueError(f"{self.name} takes photos of {self.size}x{self.size} pixels, got {rgb.shape[1]}x"
                             f"{rgb.shape[2]}: resize them, or build it with another size=")
        if rgb.shape[1] % self.multiple or rgb.shape[2] % self.multiple or 0 in rgb.shape:
            raise ValueError(f"{self.name} takes photos whose sides are multiples of {self.multiple} pixels, got "
                             f"{rgb.shape[1]}x{rgb.shape[2]}: crop or resize them")
        return rgb

    def working_size(self, height, width):
        """The (height, width) at which the network sees a photo of this size."""
        if self.fixed or self.fit == "stretch":
            return self.size, self.size
        short = min(height, width)
        return tuple(max(1, round(min(n / short, LONGEST) * self.size / self.multiple)) * self.multiple
                     for n in (height, width))

    def colorize(self, L):
        """ab (..., H, W, 2), in Lab units, for L (H, W) or (N, H, W) of any size, in 0..100."""
        single = self.luminance(L)
        batch = L[None] if single else L
        ab = resize(self.small(batch), L.shape[-2:], self.up)
        return ab[0] if single else ab

    def small(self, L):
        """ab (N, h, w, 2), of the network's own size, for L (N, H, W)."""
        x = resize(L[..., None].astype("float32", copy=False), self.working_size(*L.shape[1:]), self.down)
        return self.ab(mc.value(self(self.prepare(x))), x)

    def luminance(self, L):
        """Is L one photo, and not a batch? An array that is no L raises an error."""
        if str(getattr(L, "dtype", type(L).__name__)) not in ("float32", "float64") or L.ndim not in (2, 3):
            raise TypeError(f"colorize needs L as a floating array (H, W) or (N, H, W), got "
                            f"{getattr(L, 'dtype', type(L).__name__)} {getattr(L, 'shape', '')}: "
                            "color.rgb_to_luminance(rgb)[..., 0] gives it")
        if 0 in L.shape:
            raise ValueError(f"colorize needs L with pixels, got no pixels in shape {L.shape}")
        low, high = float(L.min()), float(L.max())
        if low < -1 or high > 101 or math.isnan(low + high):
            raise ValueError(f"colorize needs L in 0..100, got {low:g} to {high:g}")
        return L.ndim == 2


class Reshape:
    """A layer that turns images or rows into arrays (N, *shape)."""

    def __init__(self, *shape):
        self.shape = shape

    def __call__(self, x):
        return mc.reshape(x, (x.shape[0],) + self.shape)


def scaled(width, *channels):
    """The numbers of channels, times `width`."""
    return [max(1, round(c * width)) for c in channels]


def choice(name, got, known):
    """The option `got`, which must be one of the `known`."""
    if not isinstance(got, str) or got not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {got!r}")
    return got


def grey_level(L):
    """The sRGB level (..., 1), in 0..1, of grey with L (..., 1) in 0..100."""
    flat = xp(L).concatenate([L, L * 0, L * 0], -1)
    return lab_to_rgb(flat)[..., :1]
