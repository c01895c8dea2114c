"""Compute what a frozen encoder gives for each photo once, and keep it on disk, so that only the decoder runs.

Photos are recognised by their pixels, so they must be the same in each pass.
"""
import copy
import hashlib
import os
import threading

import numpy as np

import minicnn as mc
from minicnn.autograd import Param
from minicnn.device import current, to
from minicnn.layers import Dropout
from minicnn.walk import walk

__all__ = ["Features", "encoder_of"]

DIGEST = 16                 # bytes of the digest by which a photo is recognised


def encoder_of(settings, model):
    """(encoder, decoder): the frozen layers at the beginning of the model, and the rest. ValueError without such."""
    layers = getattr(model.net, "layers", ())
    n = next((i for i, layer in enumerate(layers) if not _constant(layer)), 0)
    if not n:
        raise ValueError("--cache-features needs a model that begins with frozen layers without dropout, which "
                         f"{model.name} does not: choose vgg-decoder, vgg-uv with --frozen true, or zhang with "
                         "--freeze net.layers.0")
    if settings["data"] == "scenes" or settings["crop"] == "random" or settings["augment"] != "none" or \
            settings["age"] or settings["widen"]:
        raise ValueError("--cache-features needs photos that are the same in each pass: give --data, --crop centre "
                         "or none, --augment none, and neither --age nor --widen")
    return mc.Chain(*layers[:n]), mc.Chain(*layers[n:])


def _constant(layer):
    """Does the layer always give the same? It has frozen Params and no dropout; a frozen BatchNorm never changes."""
    weights = [p for _, p in walk(layer, Param)]
    return bool(weights) and all(p.frozen for p in weights) and not list(walk(layer, Dropout))


class Features:
    """Keeps a row of features for each photo in the file `path`.numbers, and the photos' digests in `path`.names.

    A digest is written after its row, so that a crash leaves no digest without features.
    """

    def __init__(self, settings, model, path):
        self.model, self.decoder = model, copy.copy(model)
        self.encoder, self.decoder.net = encoder_of(settings, model)
        x = model.inputs(to(current(), np.zeros((1, model.size, model.size, 3), "uint8")))
        self.shape = mc.value(self.encoder(x)).shape[1:]
        self.bytes, self.lock = 4 * int(np.prod(self.shape)), threading.Lock()
        self.numbers, self.names = (os.open(f"{path}.{kind}", os.O_RDWR | os.O_CREAT, 0o666)
                                    for kind in ("numbers", "names"))
        n = min(os.fstat(self.numbers).st_size // self.bytes, os.fstat(self.names).st_size // DIGEST)
        known = os.pread(self.names, n * DIGEST, 0)
        self.rows = {known[i * DIGEST:(i + 1) * DIGEST]: i for i in range(n)}
        self.next = n

    def batch(self, rgb):
        """(features, targets) of uint8 photos rgb (N, H, W, 3)."""
        rows = np.stack([self.row(to("cpu", photo)) for photo in rgb])
        return to(current(), rows), self.model.targets(rgb)

    def loss(self, x, y):
        """The loss of the decoder."""
        return self.decoder.loss(x, y)

    def row(self, photo):
        """The features of a photo (H, W, 3), from the file if it has them, else from the encoder."""
        name = hashlib.blake2b(photo.tobytes(), digest_size=DIGEST).digest()
        row = self.rows.get(name)
        if row is not None:
            return np.frombuffer(os.pread(self.numbers, self.bytes, row * self.bytes), "float32").reshape(self.shape)
        x = self.model.inputs(to(current(), photo[None]))
        features = to("cpu", mc.value(self.encoder(x)))[0].astype("float32", copy=False)
        with self.lock:
            if name not in self.rows:
                _write(self.numbers, features.tobytes(), self.next * self.bytes)
                _write(self.names, name, self.next * DIGEST)
                self.rows[name], self.next = self.next, self.next + 1
        return features

    def close(self):
        os.close(self.numbers)
        os.close(self.names)


def _write(file, data, place):
    """Write all of the data. A full disk first takes a part of it, and only then raises."""
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], place + done)
