"""EfficientNet-Lite0 (Tan and Le, 2019, in its form for phones) as an encoder of grey photos.

Every level halves the photo. A block makes six times as many channels by a 1x1 convolution, filters each channel on
its own, and combines them into a few. If the shape stays the same, the block's input is added. The published weights,
trained on ImageNet, take RGB, so for grey photos the three filters of the first layer are added up.
"""
import minicnn as mc

__all__ = ["CHANNELS", "Encoder", "GREY", "WHITE"]

BLOCKS = [(1, 3, 1, 16, 1), (2, 3, 2, 24, 6), (2, 5, 2, 40, 6), (3, 3, 2, 80, 6), (3, 5, 1, 112, 6),
          (4, 5, 2, 192, 6), (1, 3, 1, 320, 6)]             # (how many, kernel, stride of the first, channels,
                                            # how many times as many channels inside)
LEVELS = 2, 4, 10, 15                       # blocks whose output is at 1/4, 1/8, 1/16 and 1/32 of the photo's size
CHANNELS = 24, 40, 112, 320                 # the channels of these outputs
GREY, WHITE = 127.0, 128.0                  # the input is (level - GREY) / WHITE for levels in 0..255
EPS = 1e-3                                  # eps of batchnorm
MOMENTUM = 0.03


class Encoder:
    """It turns x (N, H, W, 1) into arrays with 24, 40, 112 and 320 channels at 1/4, 1/8, 1/16 and 1/32 of the size.
    Sides are rounded up."""

    def __init__(self):
        self.stem = block(conv(1, 32, 3, stride=2), mc.relu6)
        self.blocks, cin = [], 32
        for count, kernel, stride, cout, wider in BLOCKS:
            for i in range(count):
                self.blocks.append(Inverted(cin, cout, kernel, stride if i == 0 else 1, wider))
                cin = cout

    def __call__(self, x):
        x, levels = self.stem(x), []
        for i, layer in enumerate(self.blocks):
            x = layer(x)
            if i in LEVELS:
                levels.append(x)
        return levels


class Inverted:
    """An inverted residual block, which has many channels inside and few at both ends."""

    def __init__(self, cin, cout, kernel, stride, wider):
        inside, layers = cin * wider, []
        if wider > 1:
            layers += [conv(cin, inside, 1), mc.BatchNorm(inside, momentum=MOMENTUM, eps=EPS), mc.relu6]
        layers += [conv(inside, inside, kernel, stride=stride, groups=inside),
                   mc.BatchNorm(inside, momentum=MOMENTUM, eps=EPS), mc.relu6,
                   conv(inside, cout, 1), mc.BatchNorm(cout, momentum=MOMENTUM, eps=EPS)]
        self.layers, self.added = mc.Chain(*layers), stride == 1 and cin == cout

    def __call__(self, x):
        return x + self.layers(x) if self.added else self.layers(x)


def conv(cin, cout, kernel, stride=1, groups=1):
    return mc.Conv(cin, cout, kernel, stride=stride, padding="same", groups=groups, bias=False, init=mc.kaiming())


def block(layer, activation):
    """The convolution, a batchnorm and the activation."""
    return mc.Chain(layer, mc.BatchNorm(layer.w.shape[-1], momentum=MOMENTUM, eps=EPS), activation)
