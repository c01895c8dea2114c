"""Pack photos into one file of pixels, which gives batches several times faster than JPEGs.

    pack("photos/train.txt", "train-144.pack", 144)
    for rgb in Packed("train-144.pack", 128, crop="random"): ...

A pack is a folder with two files. `pixels.npy` holds the bytes of all photos, one after the other; it is mapped into
memory and never read as a whole. `index.json` holds their names, shapes and checksums.
"""
import hashlib
import json
import os
import shutil
import zlib

import numpy as np
from PIL import Image

from ..photo.photo import Unreadable
from ..threads import ahead
from .batches import Batches, NearGrey
from .folder import GREY, check_colour, check_resize, rooted, shape_after
from .photos import WHOLE, decoded, resized

__all__ = ["Packed", "pack"]

FORMAT = "colorize pack 1"
WIDEST = 3.0                # of longer photos only the middle is kept, with this many times the short side
SPOT_CHECKS = 32            # how many photos are compared with their checksums when a pack is opened


def pack(path, out, size=144, *, resize="short side", resample="bicubic", drop_grey=False, workers=2, report=print):
    """Write the photos at `path`, which is as for Photos, into the new folder `out`. Returns how many were written.

    `size` is the short side in pixels, or both sides with resize="squash"; leave some room for random crops. Photos
    that cannot be read or are near-grey are left out. `report` gets a sentence about each photo that cannot be read,
    and a summary. The folder has another name until all is written.
    """
    check_resize(size, resize, size, resample, "centre")
    if os.path.lexists(out):
        raise FileExistsError(f"{out} exists already: remove it or choose another name")
    root, names = rooted(path)
    least = GREY if drop_grey is True else float(drop_grey)

    def read(name):
        try:
            return name, _pixels(os.path.join(root, name), size, resize, resample, least)
        except Unreadable as e:
            return name, e
    unfinished = f"{os.fspath(out).rstrip(os.sep)}.{os.getpid()}.unfinished"
    os.makedirs(unfinished)
    try:
        with open(os.path.join(unfinished, "pixels.npy"), "wb") as f:
            kept, summary = _write_pixels(f, ahead(read, names, workers), report)
        _write_index(unfinished, {"format": FORMAT, "size": size, "resize": resize, "resample": resample,
                                  "photos": kept, "sha256": _digest(kept)})
        os.rename(unfinished, out)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    report(f"{out}: {summary}")
    return len(kept)


def _write_pixels(f, photos, report):
    """Write the pixels of (name, pixels or Unreadable). Returns [[name, height, width, checksum]] and a summary."""
    kept, grey, damaged = [], 0, 0
    f.write(_header(0))
    for name, pixels in photos:
        if isinstance(pixels, NearGrey):
            grey += 1
        elif isinstance(pixels, Unreadable):
            damaged += 1
            report(f"{pixels}: the photo is left out")
        else:
            f.write(pixels.data)
            kept.append([name, *pixels.shape[:2], zlib.crc32(pixels)])
    total = f.tell() - len(_header(0))
    summary = f"{len(kept)} photos, {total / 1e6:.0f} MB; {damaged} could not be read, {grey} are near-grey"
    if not kept:
        raise ValueError(f"nothing is left to pack: {summary}")
    f.seek(0)
    f.write(_header(total))
    f.flush()
    os.fsync(f.fileno())
    return kept, summary


def _pixels(path, size, resize, resample, least):
    """One photo as it is packed, uint8 (height, width, 3) and contiguous."""
    image, full = decoded(path, size, resample)
    if least:
        check_colour(image, path, least)
    width, height = shape_after(resize, size, full)
    most = round(WIDEST * size)
    margins = [max(0.0, (1 - most / side) / 2) for side in (width, height)]
    window = (*margins, *(1 - m for m in margins)) if any(margins) else WHOLE
    return np.ascontiguousarray(resized(image, (min(width, most), min(height, most)), resample, window))


def _header(n):
    """The 128 bytes that stand before n bytes of pixels, so that np.load can read the file."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({n},), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


def _digest(photos):
    return hashlib.sha256(json.dumps(photos).encode()).hexdigest()


def _write_index(folder, index):
    with open(os.path.join(folder, "index.json"), "w", encoding="utf-8") as f:
        json.dump(index, f)
        f.flush()
        os.fsync(f.fileno())


class Packed(Batches):
    """Batches (batch, size, size, 3) of uint8 RGB from a folder that `pack` wrote.

    `crop` takes size x size pixels, and only `augment` resizes them. `size` is the pack's if you leave it out. Photos
    and Batches describe the other options.
    """

    def __init__(self, path, size=None, *, crop="random", augment=None, batch=32, shuffle=True, partial=False,
                 seed=None, workers=2, weights=None, widen=None, then=None, report=None):
        self.path = os.fspath(path)
        index = _read_index(self.path)
        size = size or index["size"]
        if size > index["size"]:
            raise ValueError(f"{path} holds photos of {index['size']} px, and {size} px were asked for: pack them "
                             "larger")
        if crop is None and (index["resize"] != "squash" or size != index["size"]):
            raise ValueError(f"crop=None takes whole photos, but those of {path} are not all {size} x {size} pixels: "
                             "give a crop")
        self.shapes = np.array([(h, w) for _, h, w, _ in index["photos"]])
        self.ends = self.shapes.prod(axis=1).cumsum() * 3
        self.checksums = [checksum for *_, checksum in index["photos"]]
        self.pixels = _mapped(self.path, int(self.ends[-1]))
        spots = np.linspace(0, len(self.ends) - 1, SPOT_CHECKS).astype(int)
        self.verify(np.unique(spots))
        super().__init__([name for name, *_ in index["photos"]], size, batch=batch, shuffle=shuffle, partial=partial,
                         seed=seed, workers=workers, crop=crop, augment=augment, weights=weights, widen=widen,
                         then=then, report=report)

    def photo(self, i):
        """Photo number i as it was packed, uint8 (height, width, 3), read-only."""
        h, w = self.shapes[i]
        return self.pixels[self.ends[i] - 3 * h * w:self.ends[i]].reshape(h, w, 3)

    def verify(self, photos=None):
        """Compare the pixels of these photos, or of all, with their checksums."""
        for i in range(len(self.ends)) if photos is None else photos:
            if zlib.crc32(self.photo(i)) != self.checksums[i]:
                raise ValueError(f"the pack {self.path} is damaged (photo {i} has changed): pack it again")

    def picture(self, photo, copy, u, epoch):
        pixels = self.photo(photo)
        height, width = pixels.shape[:2]
        window, mirrored = self.window(photo, width, height, copy, u)
        left, top, right, bottom = (share * side for share, side in zip(window, (width, height) * 2))
        if abs(right - left - self.size) + abs(bottom - top - self.size) < 1e-6:
            x, y = round(left), round(top)
            picture = pixels[y:y + self.size, x:x + self.size]
        else:
            picture = resized(Image.fromarray(pixels), (self.size, self.size), "bicubic", window)
        return picture[:, ::-1] if mirrored else picture


def _read_index(path):
    try:
        with open(os.path.join(path, "index.json"), encoding="utf-8") as f:
            index = json.load(f)
    except (OSError, ValueError) as e:
        raise ValueError(f"{path} is not a pack ({e}): make one with pack(photos, {path!r})") from None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise ValueError(f"{path} is not a pack of the format {FORMAT!r}: pack it again")
    if index.get("sha256") != _digest(index.get("photos")) or not _sound(index):
        raise ValueError(f"the index of the pack {path} is damaged: pack it again")
    return index


def _sound(index):
    """Does the index have the types and sizes that `pack` writes?"""
    size, photos = index.get("size"), index.get("photos")
    return type(size) is int and size > 0 and "resize" in index and isinstance(photos, list) and photos != [] and all(
        isinstance(p, list) and list(map(type, p)) == [str, int, int, int] and min(p[1:3]) >= size for p in photos)


def _mapped(path, total):
    file = os.path.join(path, "pixels.npy")
    if not os.path.isfile(file) or os.path.getsize(file) != total + len(_header(0)):
        raise ValueError(f"the pack {path} is damaged ({file} is missing or not {total} bytes long): pack it again")
    return np.load(file, mmap_mode="r").view(np.ndarray)
