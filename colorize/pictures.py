"""Pictures of results: grids with captions; rows of input, output and truth; contact sheets; a network's first layer.

    save("samples.png", grid(strips(model, rgb), header=STRIP))

A picture is a uint8 array (H, W, 3) of NumPy. Texts have Pillow's built-in font. A PNG file gets its name only when
it is complete.
"""
import copy
import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import minicnn as mc
from minicnn.device import current, to, xp
from minicnn.files import write
from minicnn.layers import Conv, Dense
from minicnn.walk import rebuilt, walk

from .color.spaces import lab_to_rgb, rgb_to_luminance, to_uint8

__all__ = ["STRIP", "activations", "coloured", "filters", "fitted", "grid", "save", "sheet", "strips"]

STRIP = "input", "output", "truth"          # the columns of `strips`
GAP, LINE, WHITE = 4, 14, 255               # pixels between cells, height of a line of text, colour of the background
SHOWN, TILE = 64, (32, 128)                 # how many filters or channels are shown; least and most side of a tile


def save(path, picture):
    """Write a picture to a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    write(path, file.getvalue())


# ------------------------------------------------------------------ grids


def grid(rows, captions=None, header=None, cell=None):
    """Put rows of pictures into one picture. None is an empty cell, and rows may differ in length.

    captions: rows of texts below the pictures, where \\n begins a new line, and None or "" gives no text. header: a
    text above each column. cell: the (height, width) of all cells, or those of the largest picture; pictures are
    scaled to fit.
    """
    found = [picture for row in rows for picture in row if picture is not None]
    if not found:
        raise ValueError("grid got no picture: give rows with at least one")
    for picture in found:
        _check(picture)
    texts = [[text or "" for text in row] for row in captions or []]
    if captions is not None and [len(row) for row in texts] != [len(row) for row in rows]:
        raise ValueError(f"grid got captions in rows of {[len(row) for row in texts]} and pictures in rows of "
                         f"{[len(row) for row in rows]}: give one text for each picture")
    height, width = cell or (max(p.shape[0] for p in found), max(p.shape[1] for p in found))
    lines = max((text.count("\n") + 1 for row in texts for text in row if text), default=0)
    columns, top = max(map(len, rows)), GAP + (LINE if header else 0)
    step = height + lines * LINE + GAP, width + GAP
    canvas = np.full((top + len(rows) * step[0], GAP + columns * step[1], 3), WHITE, "uint8")
    writing = [(GAP + j * step[1], 1, text) for j, text in enumerate(header or [])]
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            y, x = top + i * step[0], GAP + j * step[1]
            if picture is not None:
                canvas[y:y + height, x:x + width] = fitted(picture, height, width)
            if texts:
                writing += [(x, y + height + k * LINE, line) for k, line in enumerate(texts[i][j].split("\n"))]
    return _written(canvas, writing, width)


def sheet(sections, columns=6, cell=None):
    """A contact sheet of sections [(heading, [(picture, caption)])], each in rows of so many `columns`."""
    parts = []
    for heading, entries in sections:
        lines = [entries[i:i + columns] for i in range(0, len(entries), columns)]
        body = grid([[picture for picture, _ in line] for line in lines],
                    [[caption for _, caption in line] for line in lines], cell=cell)
        bar = np.full((LINE + GAP, max(body.shape[1], 200), 3), WHITE, "uint8")
        parts += [_written(bar, [(GAP, 2, heading)], bar.shape[1]), body]
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=WHITE)
                           for part in parts])


def fitted(picture, height, width):
    """The picture, scaled to fit into (height, width) without changing its shape, in the middle of white."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(height / picture.shape[0], width / picture.shape[1])
    h, w = (max(1, round(side * scale)) for side in picture.shape[:2])
    canvas = np.full((height, width, 3), WHITE, "uint8")
    y, x = (height - h) // 2, (width - w) // 2
    canvas[y:y + h, x:x + w] = Image.fromarray(picture).resize((w, h), Image.BICUBIC)
    return canvas


def _check(picture):
    dtype, shape = str(getattr(picture, "dtype", type(picture).__name__)), getattr(picture, "shape", ())
    if dtype != "uint8" or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise TypeError(f"a picture is a uint8 array (H, W, 3), got {dtype} {shape}")


def _written(canvas, texts, width):
    """The canvas with texts [(x, y, text)], each cut to `width` pixels."""
    if not texts:
        return canvas
    image = Image.fromarray(canvas)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default()
    for x, y, text in texts:
        text = text.encode("latin-1", "replace").decode("latin-1")       # the font of an old Pillow has no more
        while text and draw.textlength(text, font) > width:
            text = text[:-1]
        draw.text((x, y), text, fill="black", font=font)
    return np.array(image)


# ------------------------------------------------------------------ what a model makes of photos


def coloured(L, ab):
    """The picture or pictures (..., H, W, 3) with L (..., H, W) and ab (..., H, W, 2) in Lab units."""
    lab = xp(ab).concatenate([L[..., None].astype(ab.dtype), ab], -1)
    return to("cpu", lab_to_rgb(lab, uint8=True))


def strips(model, rgb):
    """A row [input, output, truth] for each of the photos (N, H, W, 3), uint8, of any size."""
    photos = to(current(), rgb)
    L = rgb_to_luminance(photos)[..., 0]
    outputs = coloured(L, model.colorize(L))
    inputs = coloured(L, xp(L).zeros((*L.shape, 2), "float32"))
    return [list(row) for row in zip(inputs, outputs, to("cpu", photos))]


# ------------------------------------------------------------------ the first layer


def filters(model):
    """A picture of the first layer's weights, in colour if it takes three channels. Grey is 0, and each filter has
    its own scale."""
    w = to("cpu", mc.value(_first(model).w))
    if w.ndim == 2:                                 # a dense layer over all pixels of a photo
        side = math.isqrt(len(w))
        w = w.reshape(side, -1, 1, w.shape[1])
    tiles = np.moveaxis(w, 3, 0)[:SHOWN]
    tiles = tiles if tiles.shape[3] in (1, 3) else tiles.mean(3, keepdims=True)
    largest = np.abs(tiles).max(axis=(1, 2, 3), keepdims=True)
    return _mosaic(tiles / np.maximum(2 * largest, 1e-12) + 0.5)


def activations(model, rgb):
    """A picture of what the first layer's filters answer to one photo (H, W, 3), uint8, from black to white."""
    layer = _first(model)
    spy, watched = _Spy(layer), copy.copy(model)
    watched.net = rebuilt(model.net, [(layer, spy)] + [(p, p) for p in mc.params(model.net)])
    watched.small(rgb_to_luminance(to(current(), rgb[None]))[..., 0])
    y = spy.answer[0]
    if y.ndim == 1:
        side = math.ceil(math.sqrt(len(y)))
        y = np.pad(y, (0, side * side - len(y))).reshape(side, side, 1)
    tiles = np.moveaxis(y, 2, 0)[:SHOWN, ..., None]
    low, high = tiles.min(axis=(1, 2, 3), keepdims=True), tiles.max(axis=(1, 2, 3), keepdims=True)
    return _mosaic((tiles - low) / np.maximum(high - low, 1e-12))


class _Spy:
    """A layer that keeps its answer."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, x):
        y = self.layer(x)
        self.answer = to("cpu", mc.value(y))
        return y


def _first(model):
    """The first convolution of a network that is not fused, or its first dense layer if it has no convolution."""
    return next(layer for kind in (Conv, Dense) for _, layer in walk(model.net, kind))


def _mosaic(tiles):
    """Tiles (n, h, w, 1 or 3), in 0..1, as one picture. Small tiles are enlarged without blur."""
    tiles = np.repeat(to_uint8(tiles), 3 // tiles.shape[3], axis=3)
    times = max(1, TILE[0] // max(tiles.shape[1:3]))
    tiles = tiles.repeat(times, 1).repeat(times, 2)
    columns = math.ceil(math.sqrt(len(tiles)))
    cell = tuple(min(side, TILE[1]) for side in tiles.shape[1:3])
    return grid([list(tiles[i:i + columns]) for i in range(0, len(tiles), columns)], cell=cell)
