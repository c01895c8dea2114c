"""Open what --data names, which is drawn scenes, a pack, a folder or a list of paths. Its flags are here, too."""
import argparse
import os

from ..cli import named_numbers, number, switch, whole
from .augment import TENFOLD, Augment
from .batches import split
from .folder import Photos
from .pack import Packed
from .photos import RESAMPLINGS, find
from .scenes import Scenes

__all__ = ["augment", "data_flags", "held_out", "kind_of", "pictures", "weigh", "widen"]

# ------------------------------------------------------------------ flags


def data_flags(parser):
    """The flags that say how photos become square batches. A program adds --data and its own."""
    group = parser.add_argument_group("photos")
    group.add_argument("--batch", type=whole(1), metavar="N", help="how many photos a step takes")
    group.add_argument("--workers", type=whole(), metavar="N", help="how many threads read photos")
    group.add_argument("--seed", type=whole(), metavar="N", help="the same seed gives the same random numbers")
    group.add_argument("--resize", choices=["short-side", "squash"],
                       help="make the short side, or both sides, as long as --resize-to says")
    group.add_argument("--resize-to", type=whole(1), metavar="PX",
                       help="the length before cropping; without it, the model's size")
    group.add_argument("--resample", choices=RESAMPLINGS, help="how photos are resized; cv- is OpenCV's way")
    group.add_argument("--crop", choices=["random", "centre", "top-left", "none"], help="which part is taken")
    group.add_argument("--keep-grey", type=switch, metavar="BOOL", help="keep photos that have next to no colour")


def augment(text):
    """The type of --augment: none, flip, tenfold, or shares such as flip=0.5,scale=0.8,vshift=0.1,hshift=0.1."""
    if text in ("none", "flip", "tenfold"):
        return {"none": None, "flip": Augment(), "tenfold": TENFOLD}[text]
    try:
        given = dict(part.split("=") for part in text.split(","))
        return Augment(**{"flip": 0.0, **{key: float(value) for key, value in given.items()}})
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"expected none, flip, tenfold, or shares such as flip=0.5,scale=0.8,"
                                         f"vshift=0.1,hshift=0.1; got {text!r}") from None


def weigh(text):
    """A flag's type: {folder: how often its photos come} of a text such as flowers=0.25,portraits=2."""
    return named_numbers(text, number(0), "folders and how often each of their photos comes in a pass, such as "
                                          "flowers=0.25,portraits=2")


def widen(text):
    """A flag's type: {folder: up to how many times its photos are stretched sideways} of a text such as coco=1.33."""
    return named_numbers(text, number(1), "folders and up to how many times, 1 or more, their photos are stretched "
                                          "sideways, such as coco=1.33")


# ------------------------------------------------------------------ batches


def kind_of(data):
    """The kind of a --data, which is a path or a sequence of paths: "scenes", "pack" or "photos"."""
    if isinstance(data, (list, tuple)):
        return "photos"
    if data == "scenes":
        return "scenes"
    return "pack" if os.path.isfile(os.path.join(data, "index.json")) else "photos"


def pictures(data, size, *, held=False, scenes=2048, resize="short-side", resize_to=None, resample="bicubic",
             crop="random", keep_grey=False, augment=None, weights=None, widen=None, batch=32, shuffle=True,
             partial=False, seed=1, workers=2, then=None, report=None):
    """The batches of a --data: "scenes", a pack, a folder, a list file, or a sequence of paths.

    held: take the scenes for validation. crop="none" takes whole photos, and needs resize="squash".
    """
    common = {"batch": batch, "shuffle": shuffle, "partial": partial, "seed": seed, "workers": workers, "then": then}
    kind, crop = kind_of(data), None if crop == "none" else crop
    if kind == "scenes":
        if weights or widen:
            raise ValueError("scenes have no folders: give --data, or leave out --weigh and --widen")
        return Scenes("val" if held else "train", size, scenes=scenes, **{**common, "shuffle": False})
    if kind == "pack":
        return Packed(data, size, crop=crop, augment=augment, weights=weights, widen=widen, report=report, **common)
    return Photos(data, size, resize=resize.replace("-", " "), resize_to=resize_to, resample=resample, crop=crop,
                  augment=augment, weights=weights, widen=widen, drop_grey=not keep_grey, report=report, **common)


def held_out(data, most=500, seed=1):
    """(training, validation) paths of a folder or list. The seed draws a tenth of them, at most `most`, for
    validation."""
    if kind_of(data) == "scenes":
        return data, data
    if kind_of(data) == "pack":
        raise ValueError(f"{data} is a pack, and nothing can be held out of it: name validation photos with --val")
    paths = find(data)
    if len(paths) < 2:
        raise ValueError(f"{data} has one photo, so none can be held out: name validation photos with --val")
    n = max(1, min(most, len(paths) // 10))
    held, training = split(paths, n, len(paths) - n, seed=seed)
    return sorted(training), sorted(held)
