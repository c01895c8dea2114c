"""How each source document trained its model, as settings of `python -m colorize.train --recipe NAME`.

`readings` says what a document leaves open and we chose. --recipe only fills in flags that are not given, and prints
how the run differs from the published one.
"""
from collections import namedtuple

__all__ = ["RECIPES", "Recipe", "differences"]

Recipe = namedtuple("Recipe", "settings options photos init readings")
Recipe.__doc__ = """A document's training. settings: flags. options: the model's. photos: what it trained on. init:
its first weights, or None. readings: what we chose. metrics/published.py has the numbers that it reached."""

WHOLE = {"resize": "squash", "crop": "none", "augment": "none", "keep_grey": True}      # whole photos, squashed

RECIPES = {
    "jetson": Recipe(
        {"model": "jetson", "epochs": 13, "batch": 32, "optimizer": "adam,eps=1e-7", "lr": 1e-4,
         "schedule": "constant", "resample": "cv-linear", **WHOLE},
        {"size": 256}, "the 1,281,167 photos of ImageNet 2012, about 15 hours", None, []),
    "colour-this": Recipe(
        {"model": "vgg-decoder", "epochs": 1000, "batch": 64, "optimizer": "adam", "lr": 1e-3,
         "schedule": "constant", "resample": "bicubic", "cache_features": True, **WHOLE},
        {"size": 224}, "7,000 photos of Unsplash", "ImageNet's VGG16", ["the optimizer's lr", "no augmentation"]),
    "cs838": Recipe(
        {"model": "vgg-uv-small", "epochs": 50, "batch": 50, "optimizer": "nesterov,gamma=0.9",
         "lr": 0.05, "schedule": "inverse=4e-5", "resize": "short-side", "resize_to": 224, "resample": "cv-cubic",
         "crop": "top-left", "augment": "none", "keep_grey": False},
        {"size": 224}, "1,500 photos of MIRFLICKR", "ImageNet's VGG16",
        ["the loss: the report says MSE, the author's code another without a gradient",
         "photos with next to no colour are left out, not only those with none"]),
    "knet": Recipe(
        {"model": "knet", "epochs": 10, "batch": 32, "optimizer": "adam", "lr": 1e-3,
         "schedule": "constant", "resize": "short-side", "resize_to": 128, "crop": "centre", "augment": "none",
         "keep_grey": True},
        {"size": 128}, "the 100,000 photos of MiniPlaces", None, ["optimizer, lr, batch, epochs"]),
    "uf-faces": Recipe(
        {"model": "faces", "epochs": 500, "batch": 100, "optimizer": "adam", "lr": 1e-3, "l2": 1e-5,
         "schedule": "constant", "resize": "squash", "resample": "cv-linear", "crop": "none", "augment": "tenfold",
         "shuffle": "once", "keep_grey": True},
        {"size": 128, "last": "tanh"}, "600 photos of Georgia Tech faces, ten copies each", None,
        ["the copies are not saved as JPEG in between"]),
    "zhang": Recipe(
        {"model": "zhang", "steps": 500_000, "batch": 40, "optimizer": "adam,beta2=0.99", "lr": 3e-5,
         "l2": 1e-3, "schedule": "steps=0.45,0.9", "resize": "short-side", "resize_to": 256, "resample": "bicubic",
         "crop": "random", "augment": "flip", "keep_grey": True},
        {"size": 176, "neighbours": 10, "where": "gradient"}, "1.3 million photos of ImageNet",
        "k-means initialisation", ["the release's solver where it differs from the paper"]),
}
LENGTHS = "epochs", "steps", "minutes"


def differences(name, settings, options, count):
    """Lines that say how a run on `count` photos, with these settings and options, differs from the published one."""
    recipe = RECIPES[name]
    lines = [f"photos: {count:,} of {settings['data']}, published: {recipe.photos}"]
    for key, value in recipe.settings.items():
        if key not in LENGTHS and settings.get(key) != value:
            lines.append(f"{key.replace('_', '-')}: {settings.get(key)}, published: {value}")
    lines += [f"{key}: {options[key]}, published: {value}" for key, value in recipe.options.items()
              if key in options and options[key] != value]
    if options.get("width", 1.0) != 1.0:
        lines.append(f"width: {options['width']:g}, published: 1")
    length = {key: recipe.settings[key] for key in LENGTHS if key in recipe.settings}
    ours = {key: settings[key] for key in LENGTHS if settings[key] is not None}
    if ours != length:
        lines.append(f"length: {_length(ours)}, published: {_length(length)}")
    if recipe.init and not settings["init"]:
        lines.append(f"weights at the start: random, published: {recipe.init}; give --init where you have them")
    return lines + [f"our reading: {reading}" for reading in recipe.readings]


def _length(settings):
    return ", ".join(f"{value:g} {key}" for key, value in settings.items())
