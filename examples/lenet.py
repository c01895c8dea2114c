"""LeNet on handwritten digits: a convolutional network with nothing but mc.param, operators and plain classes.

    python examples/lenet.py

The digits, 1797 images of 8 x 8 pixels, come with scikit-learn (pip install scikit-learn). Training takes seconds.
"""
import numpy as np
from sklearn.datasets import load_digits

import minicnn as mc


class Conv:
    def __init__(self, h, w, inputs, outputs): self.w, self.b = mc.param(h, w, inputs, outputs), mc.param0(outputs)
    def __call__(self, x): return mc.pool(mc.relu(mc.conv4(self.w, x, padding="same") + self.b))


class Dense:
    def __init__(self, inputs, outputs, f): self.w, self.b, self.f = mc.param(inputs, outputs), mc.param0(outputs), f
    def __call__(self, x): return self.f(mc.mat(x) @ self.w + self.b)


class Chain:
    def __init__(self, *layers): self.layers = layers

    def __call__(self, x, y=None):
        for layer in self.layers:
            x = layer(x)
        return x if y is None else mc.nll(x, y)


def digits():
    """(training images, labels, test images, labels), the images (N, 8, 8, 1) from 0 to 1."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32").reshape(-1, 8, 8, 1)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1400], order[1400:]
    return x[train], y[train], x[test], y[test]


def main(epochs=20):
    mc.seed(1)
    xtrain, ytrain, xtest, ytest = digits()
    lenet = Chain(Conv(5, 5, 1, 20), Conv(5, 5, 20, 50), Dense(2 * 2 * 50, 100, mc.relu), Dense(100, 10, lambda x: x))
    data = mc.minibatch(xtrain, ytrain, 50, shuffle=True)
    mc.progress_(mc.adam(lenet, mc.ncycle(data, epochs)), "LeNet")
    print(f"test accuracy: {mc.accuracy(lenet(xtest), ytest):.2%}")


if __name__ == "__main__":
    main()
