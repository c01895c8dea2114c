"""TensorFlow as a peer: Keras layers inside one tf.function."""
import numpy as np
import tensorflow as tf

import minicnn as mc

from ..models import Scale

layers = tf.keras.layers


class TensorFlow:
    def __init__(self, threads):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self.version = tf.__version__

    def forward(self, model, x):
        net, x = _net(model, x.shape), tf.constant(x)
        run = tf.function(lambda x: net(x, training=False), input_signature=[tf.TensorSpec(x.shape)])
        return (lambda: run(x)), (lambda y: [y.numpy()])

    def training(self, model, x, target):
        net, x, target = _net(model, x.shape), tf.constant(x), tf.constant(target)
        adam = tf.keras.optimizers.Adam(1e-4, epsilon=1e-8)
        weights = [i for i, w in enumerate(net.trainable_variables) if len(w.shape) == 4]

        @tf.function
        def step(x, target):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(net(x, training=True) - target))
            grads = tape.gradient(loss, net.trainable_variables)
            adam.apply_gradients(zip(grads, net.trainable_variables))
            return [loss] + [grads[i] for i in weights]
        return (lambda: step(x, target)), (lambda results: [r.numpy() for r in results])

    def conv(self, w, x, dilation):
        w, x = tf.constant(w), tf.constant(x)
        run = tf.function(lambda w, x: _conv(w, x, dilation))
        return (lambda: run(w, x)), (lambda y: [y.numpy()])

    def constant_conv(self, w, x, dilation):
        w, x = tf.constant(w), tf.constant(x)
        run = tf.function(lambda x: _conv(w, x, dilation))
        return (lambda: run(x)), (lambda y: [y.numpy()])

    def gradients(self, w, x, dy, dilation):
        w, x, dy = tf.constant(w), tf.constant(x), tf.constant(dy)

        @tf.function
        def run(w, x, dy):
            with tf.GradientTape() as tape:
                tape.watch([w, x])
                y = _conv(w, x, dilation)
            return tape.gradient(y, [w, x], dy)
        return (lambda: run(w, x, dy)), (lambda grads: [g.numpy() for g in grads])


def _conv(w, x, dilation):
    return tf.nn.convolution(x, w, padding="SAME", dilations=dilation)


# ------------------------------------------------------------------ layers


def _net(model, shape):
    net = tf.keras.Sequential([tf.keras.Input(shape[1:], batch_size=shape[0])]
                              + [part for layer in model.layers for part in _translated(layer)])
    for part in net.layers:
        if hasattr(part, "given"):
            part.set_weights(part.given)
    return net


def _translated(layer):
    """The Keras layers that do what a minicnn layer does."""
    if isinstance(layer, (mc.Conv, mc.Deconv)):
        yield from _convolution(layer)
    elif isinstance(layer, mc.BatchNorm):
        yield _batchnorm(layer)
    elif isinstance(layer, mc.Upsample):
        yield layers.UpSampling2D(layer.scale, interpolation=layer.mode)
    elif isinstance(layer, Scale):
        yield layers.Rescaling(layer.factor, layer.shift)
    else:
        yield layers.Activation({mc.tanh: "tanh", mc.relu: "relu", mc.softmax: "softmax"}[layer])


def _convolution(layer):
    """A conv or deconv; Keras's "same" is minicnn's, other paddings here equal it or are a border of zeros."""
    kh, kw, a, b = layer.w.shape
    options = {"strides": layer.stride, "dilation_rate": layer.dilation, "padding": "same",
               "use_bias": layer.b is not None}
    if isinstance(layer, mc.Deconv):
        keras = layers.Conv2DTranspose(a, (kh, kw), **options)
    else:
        if layer.padding != "same" and layer.stride > 1:
            yield layers.ZeroPadding2D(layer.padding)
            options["padding"] = "valid"
        keras = layers.Conv2D(b, (kh, kw), **options)
    keras.given = [mc.value(layer.w)] + ([] if layer.b is None else [mc.value(layer.b)])
    yield keras


def _batchnorm(layer):
    keras = layers.BatchNormalization(momentum=1 - layer.moments.momentum, epsilon=layer.eps)
    keras.given = [*np.split(mc.value(layer.params), 2), layer.moments.mean, layer.moments.var]
    return keras
