"""Numbers that the documents print, and the measures that only they use.

The numbers come from other photos than yours, so read them only beside the rows grey and mean ab.
"""
from collections import namedtuple

import numpy as np

from minicnn.device import xp

from ..color.resize import resize
from ..color.spaces import lab_to_rgb, rgb_to_yuv

__all__ = ["MEASURES", "NUMBERS", "AsPublished", "Number", "numbers"]

Number = namedtuple("Number", "model options measure value source")
Number.__doc__ = """A published number. options: what the model must be built with. measure: the line of our table."""

ZHANG = "Zhang et al. 2016, table 1, 10,000 photos of ImageNet; quoted from memory"
SURVEY = "Anwar et al., survey, the 723 photos of NCD"
FACES, NCD = "UF report, 75 Georgia Tech faces", "UF report, 73 photos of NCD, after transfer from faces"


def _uf(model, options, source, **values):
    """The numbers of one row of the UF report's tables."""
    names = {"a": "uf-faces mse a", "b": "uf-faces mse b", "mean_a": "uf-faces mse of mean a",
             "mean_b": "uf-faces mse of mean b", "psnr_a": "psnr a pooled", "psnr_b": "psnr b pooled",
             "ssim_a": "ssim a as published", "ssim_b": "ssim b as published"}
    return [Number(model, options, names[key], value, source) for key, value in values.items()]


NUMBERS = [
    Number("jetson", {"space": "lab", "loss": "mse"}, "jetson mse", 0.01327,
           "the Jetson Nano paper's log, 16,000 photos of ImageNet"),
    Number("vgg-decoder", {}, "colour-this accuracy", 0.80, "Colour This, its training on photos of Unsplash"),
    Number("vgg-uv-small", {}, "cs838 mse", 0.02776, "CS838, the training's log, 428 photos of MIRFLICKR"),
    *_uf("mean-fc", {}, FACES, mean_a=4.68e-4, mean_b=4.59e-4),
    *_uf("mean-cnn2", {"last": "relu"}, FACES, mean_a=6.2262e-5, mean_b=1.72e-4),
    *_uf("mean-cnn2", {"last": "tanh"}, FACES, mean_a=4.40178e-5, mean_b=1.29e-4),
    *_uf("mean-cnn2", {"last": "relu"}, NCD, mean_a=1.34e-3, mean_b=9.4e-4),
    *_uf("mean-cnn2", {"last": "tanh"}, NCD, mean_a=1.64e-3, mean_b=9.8e-4),
    *_uf("faces", {"last": "sigmoid"}, FACES, a=3.39e-4, b=4.06e-4, psnr_a=34.694, psnr_b=33.908),
    *_uf("faces", {"last": "tanh"}, FACES, a=2.22e-4, b=3.80e-4, psnr_a=36.522, psnr_b=34.200),
    *_uf("faces", {"last": "sigmoid"}, NCD, a=5.042e-3, b=3.354e-3, psnr_a=22.973, psnr_b=24.744, ssim_a=0.706,
            ssim_b=0.805),
    *_uf("faces", {"last": "tanh"}, NCD, a=3.32e-3, b=2.99e-3, psnr_a=24.788, psnr_b=25.230, ssim_a=0.803,
            ssim_b=0.837),
    Number("zhang", {"rebalance": "zhang"}, "auc", 89.5, ZHANG),
    Number("zhang", {"rebalance": "zhang"}, "auc rebalanced", 67.3, ZHANG),
    Number("zhang", {"rebalance": "none"}, "auc", 91.6, ZHANG),
    Number("zhang", {"rebalance": "none"}, "auc rebalanced", 65.1, ZHANG),
    Number("zhang", {}, "psnr", 20.93, SURVEY),
    Number("zhang", {}, "ssim", 0.865, SURVEY),
    Number("grey", {}, "auc", 89.1, ZHANG),
    Number("grey", {}, "auc rebalanced", 58.0, ZHANG),
]


def numbers(model, options):
    """The published numbers for a model with these options."""
    return [n for n in NUMBERS if n.model == model and all(options.get(key) == v for key, v in n.options.items())]


# ------------------------------------------------------------------ what they measured


COMPRESSED = 33                             # the side of CS838's targets in pixels
MEASURES = ("jetson mse", "colour-this accuracy", "cs838 mse", "uf-faces mse a", "uf-faces mse b",
            "uf-faces mse of mean a", "uf-faces mse of mean b")


class AsPublished:
    """The documents' own measures of one row. add(L, ab, true) takes a photo as arrays (H, W, ...) in Lab units.

    jetson mse             the error of ab in -1..1
    colour-this accuracy   the share of pixels where the larger one of a and b is the truth's; always "b" gives 2/3
    cs838 mse              the error of U and V in -1..1 at 33 x 33 pixels
    uf-faces mse           the error of a and b in 0..1, and of each photo's mean a and b
    """

    def __init__(self):
        self.sums, self.photos = np.zeros(7), 0

    def add(self, L, ab, true):
        error = (ab - true).astype("float64")
        squares = (error ** 2).mean((0, 1))
        means = error.mean((0, 1)) ** 2
        right = (ab.argmax(-1) == true.argmax(-1)).mean()
        uv = ((_uv(L, ab) - _uv(L, true)) ** 2).mean()
        numbers = [squares.sum() / 2 * (2 / 255) ** 2, right, uv, *squares / 255 ** 2, *means / 255 ** 2]
        self.sums, self.photos = self.sums + np.array([float(x) for x in numbers]), self.photos + 1

    def result(self):
        """{measure: its mean over the photos}."""
        return dict(zip(MEASURES, (self.sums / self.photos).tolist()))


def _uv(L, ab):
    """U and V (n, n, 2), in -1..1, of a photo, made small and clipped as CS838 does in 8 bits."""
    yuv = rgb_to_yuv(lab_to_rgb(xp(ab).concatenate([L[..., None], ab], -1)))
    return resize(yuv[None, ..., 1:].clip(0, 1), (COMPRESSED, COMPRESSED), "opencv")[0].clip(0, 1) * 2 - 1
