"""From a Pillow image of any mode to arrays: strip by strip, so that there is one copy and not three."""
import numpy as np

from . import profiles
from .photo import Unreadable
from .rgb_space import SRGB

__all__ = ["STRIP", "arrays"]

STRIP = 1 << 20             # pixels in one strip
CONVERTED = "its colour profile has tables or is damaged: its colours were converted to sRGB"
DAMAGED = "its colour profile is damaged: its colours were read as sRGB"


def arrays(found):
    """(pixels, alpha, space) of a Found: upright, (H, W, 1 or 3) uint8 or uint16; (H, W) or None; a Space.

    If its colours had to be converted, its notes say so.
    """
    pixels, alpha = _deep(found) if found.deep else _plain(found)
    kind = profiles.space(found.info.get("icc"))
    if kind == "RGB":
        pixels, space = _in_rgb(pixels, found)
        return pixels, alpha, space
    icc = found.info.pop("icc", None)
    if kind == "GRAY" and pixels.shape[2] == 1:
        _from_grey(pixels, icc)
    return pixels, alpha, SRGB


def _strips(height, width):
    rows = max(1, STRIP // width)
    return [(y, min(y + rows, height)) for y in range(0, height, rows)]


def _upright(shape, dtype, turned):
    """(array, view): an array for the upright photo, and a view of it in which the photo lies as in its file."""
    h, w, *rest = shape
    out = np.zeros((w, h, *rest) if turned > 4 else (h, w, *rest), dtype)
    view = {1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1],
            5: lambda x: x.swapaxes(0, 1), 6: lambda x: x.swapaxes(0, 1)[::-1],
            7: lambda x: x.swapaxes(0, 1)[::-1, ::-1], 8: lambda x: x.swapaxes(0, 1)[:, ::-1]}[turned](out)
    return out, view


# ------------------------------------------------------------------ what Pillow decodes in one pass


def _plain(found):
    image = found.opened()
    image.load()
    array, channels, has_alpha, dtype = _reader(image, found)
    width, height = image.size
    pixels, view = _upright((height, width, channels), dtype, found.turned)
    alpha = mask = None
    if has_alpha or found.key is not None:
        alpha, mask = _upright((height, width), dtype, found.turned)
    for y, stop in _strips(height, width):
        x = array(image.crop((0, y, width, stop)))
        view[y:stop] = x[..., :channels]
        if has_alpha:
            mask[y:stop] = x[..., channels]
        elif found.key is not None:
            mask[y:stop] = np.where((x == np.array(found.key)).all(-1), 0, np.iinfo(dtype).max)
    return pixels, alpha


def _reader(image, found):
    """(a function from a strip to an array, channels, does alpha follow them?, dtype) for the mode of an image."""
    mode = image.mode
    if mode in ("P", "PA"):
        return _of_palette(image)
    if mode == "1":
        return _as("L"), 1, False, np.uint8
    if mode == "La":                        # premultiplied by alpha
        return _as("LA"), 1, True, np.uint8
    if mode in ("L", "LA", "RGB", "RGBA"):
        return _as(mode), len(mode.rstrip("A")), mode[-1] == "A", np.uint8
    if mode in ("CMYK", "LAB"):
        change = profiles.to_srgb(mode, found.info.get("icc"))
        return (lambda strip: np.asarray(change(strip))), 3, False, np.uint8
    if mode.startswith("I;16"):
        return _of_16(found), 1, False, np.uint16
    if mode in ("I", "F"):
        return _of_numbers(image)
    return _as("RGB"), 3, False, np.uint8


def _as(mode):
    def array(strip):
        x = np.asarray(strip if strip.mode == mode else strip.convert(mode))
        return x[..., None] if x.ndim == 2 else x
    return array


def _of_palette(image):
    colours = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    grey = (colours == colours[:, :1]).all()
    alpha = image.mode == "PA" or "transparency" in image.info
    if alpha:                               # through RGBA, since not all Pillows convert to LA directly
        pick = [0, 3] if grey else [0, 1, 2, 3]
        return (lambda strip: np.asarray(strip.convert("RGBA"))[..., pick]), len(pick) - 1, True, np.uint8
    return (lambda strip: np.asarray(strip.convert("RGB"))[..., :1 if grey else 3]), 1 if grey else 3, False, np.uint8


def _of_16(found):
    def array(strip):
        x = np.asarray(strip).astype(np.uint16)[..., None]
        if found.top != 65535:
            x = (x.astype(np.uint32).clip(0, found.top) * 65535 // found.top).astype(np.uint16)
        return 65535 - x if found.inverted else x
    return array


def _of_numbers(image):
    """32-bit integers and floats do not say their range: it is 1, 255 or 65535, the first that no pixel exceeds."""
    width, height = image.size
    most = max(np.nan_to_num(np.asarray(image.crop((0, y, width, stop)))).max() for y, stop in _strips(height, width))
    top = next((t for t in (1, 255, 65535) if most <= t), None)
    if top is None or top == 1 and image.mode == "I":
        raise Unreadable(f"its pixels of mode {image.mode} go up to {most:g}: save it with 8 or 16 bits")
    dtype = np.uint8 if image.mode == "I" and top == 255 else np.uint16
    scale = np.iinfo(dtype).max / top

    def array(strip):
        x = np.nan_to_num(np.asarray(strip)).astype(np.float64).clip(0, top)
        return (x * scale + 0.5).astype(dtype)[..., None]
    return array, 1, False, dtype


# ------------------------------------------------------------------ 16 bits a channel


def _deep(found):
    deep = found.deep
    pixels = alpha = None
    for opened, take, first in deep.passes:
        image = opened()
        image.load()
        width, height = image.size
        if pixels is None:
            pixels, view = _upright((height, width, deep.channels), np.uint16, found.turned)
            if deep.alpha:
                alpha, mask = _upright((height, width), np.uint16, found.turned)
        for y, stop in _strips(height, width):
            x = take(np.asarray(image.crop((0, y, width, stop))))
            n = min(x.shape[2], deep.channels - first)
            view[y:stop, :, first:first + n] |= x[..., :n]
            if deep.alpha and n < x.shape[2]:
                mask[y:stop] |= x[..., n]
        del image
    if found.inverted:
        np.subtract(65535, pixels, out=pixels)
    if deep.premultiplied:
        _divide(pixels, alpha)
    if found.key is not None:
        alpha = np.empty(pixels.shape[:2], np.uint16)
        for y, stop in _strips(*alpha.shape):
            alpha[y:stop] = np.where((pixels[y:stop] == np.array(found.key)).all(-1), 0, 65535)
    return pixels, alpha


def _divide(pixels, alpha):
    """Undo the multiplication of colours by their alpha, in place."""
    for y, stop in _strips(*alpha.shape):
        a = alpha[y:stop, :, None].astype(np.float64)
        x = pixels[y:stop] * (65535 / np.maximum(a, 1)) + 0.5
        pixels[y:stop] = np.where(a > 0, x.clip(0, 65535), 0).astype(np.uint16)


# ------------------------------------------------------------------ profiles


def _from_grey(pixels, icc):
    """Convert grey pixels to sRGB, in place."""
    table = profiles.grey_table(icc, 256 if pixels.dtype == np.uint8 else 65536)
    if table is not None:
        for y, stop in _strips(*pixels.shape[:2]):
            pixels[y:stop] = table[pixels[y:stop]]


def _in_rgb(pixels, found):
    """(pixels, space) under an RGB profile. It stays if it has a Space; else lcms converts the pixels, in 8 bits."""
    icc = found.info["icc"]
    space = profiles.rgb_space(icc)
    if space is not None:
        return pixels, space
    change = profiles.rgb_to_srgb(icc)
    found.notes = [*found.notes, DAMAGED if change is None else CONVERTED]
    if change is None:
        return pixels, SRGB
    del found.info["icc"]
    out = pixels if pixels.shape[2] == 3 else np.empty((*pixels.shape[:2], 3), pixels.dtype)
    for y, stop in _strips(*pixels.shape[:2]):
        x = np.repeat(pixels[y:stop], 3 // pixels.shape[2], 2)
        if x.dtype == np.uint8:
            out[y:stop] = change(x)
        else:
            x = ((x.astype(np.uint32) + 128) // 257).astype(np.uint8)
            out[y:stop] = change(x).astype(np.uint16) * 257
    return out, SRGB
