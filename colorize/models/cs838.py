"""CS838: VGG16 and dense layers, which give U and V at 15% of the resolution ("colour-space compression").

`VggUV` is the progress report's network and `VggUVSmall` the final one. Sizes and layouts follow the author's code.
"""
import minicnn as mc
from minicnn.device import xp

from ..color.resize import resize
from ..color.spaces import rgb_to_lab, rgb_to_yuv, yuv_to_rgb
from .base import Colorizer, choice, grey_level, scaled
from .losses import euclidean, mse
from .vgg import PREPROCESS, vgg16, vgg_input

__all__ = ["VggUV", "VggUVSmall"]


class VggUV(Colorizer):
    """It takes grey as VGG16 does, and gives U, then V, each n x n, row after row, in -1..1.

    compression: the share of the resolution that is kept; 0.15 of 224 is n = 33. loss: the report used "mse", wanted
    to try "euclidean", and its code tried "mae".
    """

    multiple, fixed, down, up = 32, True, "opencv", "opencv"
    units = 4096

    def __init__(self, *, size=224, width=1.0, compression=0.15, preprocess="caffe", frozen=False, loss="mse",
                 activation="tanh"):
        self.sizes(size, width)
        if not isinstance(compression, (int, float)) or not 0 < compression <= 1 or int(size * compression) < 1:
            raise ValueError("compression, the share of the resolution that is kept, must be in 0..1 and leave a "
                             f"pixel of {size}, got {compression!r}")
        self.n, self.kind = int(size * compression), choice("loss", loss, ("mse", "mae", "euclidean"))
        self.preprocess = choice("preprocess", preprocess, tuple(PREPROCESS))
        last = {"tanh": [mc.tanh], "none": []}[choice("activation", activation, ("tanh", "none"))]
        self.net = mc.Chain(vgg16(width), mc.Chain(*self.dense(), *last))
        mc.freeze(self.net[0], bool(frozen))

    def dense(self):
        """The dense layers, which end in 2 n n outputs."""
        channels, units = scaled(self.width, 512, self.units)
        features, outputs = (self.size // 32) ** 2 * channels, 2 * self.n ** 2
        return [mc.Dense(features, units, init=mc.kaiming()), mc.relu, mc.Dense(units, units, init=mc.kaiming()),
                mc.relu, mc.Dense(units, outputs)]

    def inputs(self, rgb):
        return vgg_input(rgb_to_yuv(self.photos(rgb))[..., :1].astype("float32"), self.preprocess)

    def prepare(self, L):
        return vgg_input(grey_level(L) * 255, self.preprocess)

    def targets(self, rgb):
        """OpenCV's 8-bit U and V, resized as OpenCV resizes uint8."""
        uv = rgb_to_yuv(self.photos(rgb))[..., 1:].astype("float32")
        small = resize(uv, (self.n, self.n), "opencv").round().clip(0, 255)
        return small.transpose(0, 3, 1, 2).reshape(len(rgb), -1) / 127.5 - 1

    def loss(self, x, y):
        z = self(x)
        if self.kind == "mae":
            return mc.mean(mc.abs(z - y))
        return mse(z, y) if self.kind == "mse" else euclidean(self.pairs(z), self.pairs(y))

    def pairs(self, y):
        """[U | V] as (N, n * n, 2)."""
        return mc.transpose(mc.reshape(y, (y.shape[0], 2, self.n ** 2)), (0, 2, 1))

    def ab(self, y, L):
        uv = y.reshape(len(y), 2, self.n, self.n).transpose(0, 2, 3, 1)
        uv = resize((uv + 1) / 2 * 255, (self.size, self.size), "opencv")
        uv = ((uv - 128) / 255 + 0.5).astype(L.dtype)               # 128 of 8 bits is no colour
        rgb = yuv_to_rgb(xp(L).concatenate([grey_level(L), uv], -1))
        return rgb_to_lab(rgb.clip(0, 1))[..., 1:]


class VggUVSmall(VggUV):
    """The final network. It has two layers of 1536 units with dropout and leaky relu, and a last batchnorm."""

    units = 1536

    def __init__(self, *, size=224, width=1.0, compression=0.15, preprocess="caffe", frozen=False, loss="mse",
                 activation="tanh", dropout=0.5):
        self.dropout = dropout
        super().__init__(size=size, width=width, compression=compression, preprocess=preprocess, frozen=frozen,
                         loss=loss, activation=activation)

    def dense(self):
        channels, units = scaled(self.width, 512, self.units)
        features, outputs = (self.size // 32) ** 2 * channels, 2 * self.n ** 2
        lecun = mc.kaiming(1.0)
        return [mc.Dropout(self.dropout), mc.Dense(features, units, init=lecun), LeakyRelu(0.3),
                mc.Dropout(self.dropout), mc.Dense(units, units, init=lecun), LeakyRelu(0.3),
                mc.Dropout(self.dropout), mc.BatchNorm(units, momentum=0.01, eps=1e-3),
                mc.Dense(units, outputs, init=lecun)]


class LeakyRelu:
    """A layer of mc.leaky_relu with this slope."""

    def __init__(self, slope):
        self.slope = slope

    def __call__(self, x):
        return mc.leaky_relu(x, self.slope)
