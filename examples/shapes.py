"""A small network learns to tell circles, squares and triangles apart, from pictures that it draws itself.

    python -m examples.shapes
"""
import numpy as np

import minicnn as mc

NAMES = "circle", "square", "triangle"
SIZE = 32


def draw(label, rng):
    """One picture (SIZE, SIZE, 1) of a shape: place, size, angle, brightness and noise are random."""
    down, right = np.mgrid[:SIZE, :SIZE] - rng.uniform(12, SIZE - 12, (2, 1, 1))
    radius, angle = rng.uniform(8, 12), rng.uniform(0, 2 * np.pi)
    sides = {"circle": 60, "square": 4, "triangle": 3}[NAMES[label]]
    middles = angle + 2 * np.pi * np.arange(sides) / sides              # the directions of the sides' middles
    outwards = down * np.sin(middles)[:, None, None] + right * np.cos(middles)[:, None, None]
    inside = outwards.max(axis=0) < radius * np.cos(np.pi / sides)      # radius is that of the corners
    return (inside * rng.uniform(0.5, 1) + rng.normal(0, 0.1, (SIZE, SIZE)))[..., None]


def pictures(n, seed):
    """n pictures (n, SIZE, SIZE, 1) in float32, and their labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(NAMES), size=n)
    return np.stack([draw(label, rng) for label in labels]).astype("float32"), labels


def network():
    """Scores (N, 3) from pictures (N, 32, 32, 1): three times conv, batchnorm, relu, pool; then a matrix."""
    def block(cin, cout):
        return mc.Conv(cin, cout, 3, padding="same"), mc.BatchNorm(cout), mc.relu, mc.pool
    return mc.Chain(*block(1, 8), *block(8, 16), *block(16, 32), mc.Dense(4 * 4 * 32, len(NAMES)))


def show(x, guesses):
    """Print pictures beside each other as characters, each under the network's guess."""
    print("   ".join(f"{NAMES[g]:{SIZE // 2}}" for g in guesses))
    shades = np.array(list(" .:-=+*#%@"))
    small = mc.pool(x, window=(4, 2), mode="avg")[..., 0]               # a character is twice as high as wide
    for rows in shades[(small.clip(0, 0.99) * len(shades)).astype(int)].swapaxes(0, 1):
        print("   ".join("".join(row) for row in rows))


def main(training_pictures=2000, epochs=10):
    """Draw, train, test on pictures that were not trained on; returns the share of right answers."""
    mc.seed(1)
    model = network()
    mc.summary(model, (SIZE, SIZE, 1))

    def loss(x, labels):
        return mc.nll(model(x), labels)

    data = mc.minibatch(*pictures(training_pictures, seed=1), 50, shuffle=True)
    for value in mc.takenth(mc.progress(mc.adam(loss, mc.ncycle(data, epochs), lr=5e-3)), len(data)):
        print(f"loss {value:.3f}")

    x, labels = pictures(500, seed=2)
    right = float(mc.accuracy(model(x), labels))
    one_of_each = np.unique(labels, return_index=True)[1]
    show(x[one_of_each], model(x[one_of_each]).argmax(axis=1))
    print(f"{right:.1%} of {len(x)} new pictures are recognised")
    return right


if __name__ == "__main__":
    main()
