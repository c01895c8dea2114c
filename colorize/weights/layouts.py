"""Where the arrays of published files belong in our models: one function for each kind of file and model.

Each returns a list of Places. Our images are (N, H, W, C), so PyTorch's weights must be transposed: they are (cout,
cin, kh, kw), those of transposed convolutions (cin, cout, kh, kw). Keras has our order.
"""
from collections import namedtuple

import numpy as np

from minicnn.layers import BatchNorm, Conv, Deconv, Dense

__all__ = ["Place", "jetson_tensorflow", "keras_colornet", "keras_vgg", "torch_efficientnet", "torch_vgg",
           "torch_zhang"]

Place = namedtuple("Place", "owner key names shapes convert")
Place.__doc__ = """An array of a model, `getattr(owner, key)`, and the arrays of the file that it is made of: their
`names`, the `shapes` that they must have, and `convert`, a function from them to our array."""


def same(x):
    return x


def batchnorm(bn, names):
    """The Places of a BatchNorm; names: of scale, shift, mean and variance."""
    scale, shift, mean, var = names
    n = bn.moments.mean.shape
    return [Place(bn.params, "value", (scale, shift), (n, n), lambda *x: np.concatenate(x)),
            Place(bn.moments, "mean", (mean,), (n,), same), Place(bn.moments, "var", (var,), (n,), same)]


# ------------------------------------------------------------------ PyTorch


def torch_layer(layer, name, image=None):
    """The Places of a layer; image: the (H, W, C) that a Dense flattens, which PyTorch flattens as C, H, W."""
    if isinstance(layer, BatchNorm):
        return batchnorm(layer, [f"{name}.{k}" for k in ("weight", "bias", "running_mean", "running_var")])
    w, weight = layer.w.shape, (f"{name}.weight",)
    if isinstance(layer, Dense):
        place = Place(layer.w, "value", weight, (w[::-1],), lambda x: flattened(x, image).T)
    else:
        place = Place(layer.w, "value", weight, ((w[3], w[2], w[0], w[1]),), lambda x: x.transpose(2, 3, 1, 0))
    bias = [] if layer.b is None else [Place(layer.b, "value", (f"{name}.bias",), (layer.b.shape,), same)]
    return [place] + bias


def flattened(x, image):
    """Dense weights (outputs, C * H * W) as (outputs, H * W * C)."""
    if image is None:
        return x
    h, w, c = image
    return x.reshape(-1, c, h, w).transpose(0, 2, 3, 1).reshape(len(x), -1)


def torch_zhang(model):
    """The eccv16 of Zhang et al.: the layers in model1 ... model8 have the same numbers as ours."""
    body, head = model.net[0], model.net[1]
    return [place for i, block in enumerate([*body.layers, head], 1) for j, layer in enumerate(block.layers)
            if isinstance(layer, (Conv, Deconv, BatchNorm)) for place in torch_layer(layer, f"model{i}.{j}")] + \
        torch_layer(model.out, "model_out")


def torch_efficientnet(model):
    """EfficientNet-Lite0 as PyTorch has it, without its last two layers: only the encoder of our model."""
    encoder = model.net.encoder
    places = _convolution(encoder.stem.layers, "_conv_stem", "_bn0")
    for i, block in enumerate(encoder.blocks):
        parts = ["_expand_conv", "_depthwise_conv", "_project_conv"][-(len(block.layers.layers) // 3 + 1):]
        bns = ["_bn0", "_bn1", "_bn2"][-len(parts):]
        for j, (part, bn) in enumerate(zip(parts, bns)):
            places += _convolution(block.layers.layers[3 * j:], f"_blocks.{i}.{part}", f"_blocks.{i}.{bn}")
    return places


def _convolution(layers, name, bn):
    """Places of a convolution and the batchnorm behind it. A layer for one channel adds up what RGB had."""
    w = layers[0].w.shape
    grey = w[2] == 1 and w[:2] == (3, 3) and layers[0].groups == 1
    shape = (w[3], 3 if grey else w[2], w[0], w[1])
    return [Place(layers[0].w, "value", (f"{name}.weight",), (shape,),
                  lambda x: (x.sum(1, keepdims=True) if grey else x).transpose(2, 3, 1, 0)),
            *batchnorm(layers[1], [f"{bn}.{k}" for k in ("weight", "bias", "running_mean", "running_var")])]


def torch_vgg(model):
    """torchvision's VGG16: features.N, and the first two dense layers if the model has them."""
    layers = [layer for level in model.net[0].layers for layer in level.layers]
    places = [place for j, layer in enumerate(layers) if isinstance(layer, Conv)
              for place in torch_layer(layer, f"features.{j}")]
    for i, layer in enumerate(dense_of(model)):
        image = (model.size // 32, model.size // 32, layers[-3].w.shape[3]) if i == 0 else None
        places += torch_layer(layer, f"classifier.{3 * i}", image)
    return places


def dense_of(model):
    """The dense layers that are those of VGG16: 4096 units each, for photos of 224 pixels."""
    found = [layer for layer in model.net[1].layers if isinstance(layer, Dense)][:2]
    return found if [layer.w.shape for layer in found] == [(25088, 4096), (4096, 4096)] else []


# ------------------------------------------------------------------ Keras and TensorFlow


KERAS_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def keras_layer(layer, name):
    """The Places of a Conv, Deconv or Dense of this name."""
    names = f"{name}/kernel", f"{name}/bias"
    return [Place(p, "value", (name,), (p.shape,), same) for p, name in zip((layer.w, layer.b), names)]


def keras_vgg(model):
    """Keras's VGG16: block1_conv1 ... block5_conv3, and fc1 and fc2 if the model has them."""
    places = []
    for i, level in enumerate(model.net[0].layers, 1):
        for j, layer in enumerate([x for x in level.layers if isinstance(x, Conv)], 1):
            places += keras_layer(layer, f"block{i}_conv{j}")
    for i, layer in enumerate(dense_of(model), 1):
        places += keras_layer(layer, f"fc{i}")
    return places


def keras_colornet(model):
    """The port's conv1_1 ... conv8_3 and pred; its batchnorms are numbered in their order."""
    places, norms, blocks = [], 0, [x for x in model.net.layers if hasattr(x, "layers")]
    for i, block in enumerate(blocks, 1):
        convs = 0
        for layer in block.layers:
            if isinstance(layer, Conv):
                convs += 1
                places += keras_layer(layer, f"conv{i}_{convs}")
            elif isinstance(layer, BatchNorm):
                norms += 1
                places += batchnorm(layer, [f"batchnorm {norms}/{k}" for k in KERAS_NORM])
    return places + keras_layer(model.net.layers[-1], "pred")


def jetson_tensorflow(model):
    """The Jetson paper's checkpoint: encoder and decoder; each block counts as three: conv, batchnorm, tanh."""
    places = []
    for part in ("encoder", "decoder"):
        for i, block in enumerate(getattr(model.net, part)):
            layer, *rest = block.layers
            at = f"{part}/layer_list/"
            places += keras_layer(layer, f"{at}{3 * i}")
            for bn in rest[:-1]:
                places += batchnorm(bn, [f"{at}{3 * i + 1}/{k}" for k in KERAS_NORM])
    return places
