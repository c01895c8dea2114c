"""The table of `python -m colorize.models`: what each model costs, and what its document says."""
from .memory import counts, layers, multiply_adds

__all__ = ["HEADER", "PUBLISHED", "row"]

PUBLISHED = {               # name: (parameters or None, our count for it, 10^9 multiply-adds or None, remark)
    "jetson": (298_302, "total", 1.70, "298,300 in layers: the printed 298,302 has 2 counters of a Keras metric"),
    "colornet": (24_793_081, "total", 32.2, "24,788,345 trainable and 4,736 not, as printed"),
    "zhang": (32_236_011, "trainable", 41.8, "the release's file; 4,992 running moments besides"),
    "knet": (None, "total", None, "the slides print no counts; ours is Zhang et al. without batchnorm, 324 scores"),
    "vgg-decoder": (16_286_802, "total", None, "14,714,688 + 1,572,114; the document's block3_conv2 and block3_conv3 "
                                               "must be 590,080, it prints 590,880"),
    "vgg-uv": (143_183_810, "total", None, "as printed"),
    "vgg-uv-small": (58_962_882, "trainable", None, "printed as the total, which has 3,072 running moments more"),
    "mean-fc": (172_242_690, "total", None, "from the author's code; the report prints no counts"),
    "mean-cnn1": (512, "total", None, "from the author's code"),
    "mean-cnn2": (1_589_058, "total", None, "from the author's code"),
    "mean-cnn3": (4_583_810, "total", None, "from the author's code"),
    "faces": (1_761_250, "trainable", None, "from the author's code, which is not what the report says"),
    "faces-text": (1_090_868, "trainable", None, "what the report says, which is not what was run"),
    "studio": (None, "total", None, "ours: the encoder of EfficientNet-Lite0, and a decoder"),
    "nano": (None, "total", None, "ours: at most 300,000 parameters and 0.55 billion multiply-adds"),
}


def row(model):
    """A model's line of the table, and the remark below it."""
    published, which, published_macs, remark = PUBLISHED[model.name]
    ours = counts(model)
    if published is None:
        verdict = "-"
    elif published == ours[which]:
        verdict = f"= {which}"
    else:
        verdict = f"{published - ours[which]:+,}"
    giga = multiply_adds(model) / 1e9
    stated = f"{published:,}" if published else "-"
    stated_macs = f"{published_macs:g}" if published_macs else "-"
    return (f"{model.name:13}{model.size:>5}{layers(model):>7}{ours['trainable']:>13,}{ours['total']:>13,}"
            f"{stated:>13}  {verdict:13}{giga:>9.4f}{stated_macs:>10}\n{'':13}{remark}")


HEADER = (f"{'model':13}{'size':>5}{'layers':>7}{'trainable':>13}{'total':>13}"
          f"{'published':>13}  {'it is our':13}{'10^9 MAC':>9}{'published':>10}")
