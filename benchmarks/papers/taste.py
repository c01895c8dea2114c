"""How bold should a classifier be? A line for each way to read its scores.

    python -m benchmarks.papers.taste runs/mine --photos photos/val.txt --undo 1,0.5 --saturation 1,1.3

`undo` is how far the weights of the loss are divided out of the probabilities, T the temperature, saturation a factor
of the colours. The network looks at each photo once for each size. Grey, the truth, and a second run stand below.
"""
import argparse
import itertools

import numpy as np

import minicnn as mc
from colorize.color.resize import resize
from colorize.color.spaces import rgb_to_lab
from colorize.data.folder import Photos
from colorize.metrics.table import Metrics
from colorize.weights.opening import opened
from colorize.weights.own import file_of

MEASURES = "psnr", "auc", "auc rebalanced", "colourfulness", "ciede2000"


def numbers(kind):
    return lambda text: [kind(part) for part in text.split(",")]


def flags():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers.taste", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run or weights of a classifier that undoes its weights, nano say")
    parser.add_argument("--photos", required=True, help="a folder or a list of photos that no training saw")
    parser.add_argument("--limit", type=int, default=100, help="photos (100)")
    parser.add_argument("--sizes", type=numbers(int), default=[256], help="short sides for the network (256)")
    parser.add_argument("--undo", type=numbers(float), default=[1.0, 0.5, 0.0], help="1,0.5,0")
    parser.add_argument("--temperature", type=numbers(float), default=[1.0, 0.7], help="1,0.7")
    parser.add_argument("--saturation", type=numbers(float), default=[1.0, 1.2, 1.4], help="1,1.2,1.4")
    parser.add_argument("--beside", metavar="RUN", help="another model, jetson's published checkpoint say")
    return parser


def answers(model, L, args):
    """{label: ab (1, H, W, 2)} of one photo's L (1, H, W)."""
    found = {}
    for size in args.sizes:
        model.size = size
        x = resize(L[..., None], model.working_size(*L.shape[1:]), model.down)
        scores = mc.value(model(model.prepare(x)))
        for undo, T in itertools.product(args.undo, args.temperature):
            model.undo, model.temperature, model.decoding = undo, T, "annealed"
            ab = resize(model.ab(scores, x), L.shape[1:], model.up)
            for s in args.saturation:
                found[f"{size:4d}  {undo:4.2f}  {T:4.2f}  {s:10.2f}"] = ab * np.float32(s)
    return found


def main():
    args = flags().parse_args()
    model = opened(file_of(args.run))[0].fused()
    beside = opened(file_of(args.beside))[0].fused() if args.beside else None
    metrics, seen = None, 0
    for rgb in Photos(args.photos, 256, batch=1, crop="centre", shuffle=True):
        lab = rgb_to_lab(rgb)
        said = answers(model, lab[..., 0], args)
        if beside:
            said["beside"] = beside.colorize(lab[..., 0])
        metrics = metrics or Metrics(np.zeros(2), models=list(said), window=None)
        metrics.add(lab[..., :1], said, lab[..., 1:])
        seen += 1
        if seen == args.limit:
            break
    print(f"{seen} photos\n{'size':>4}  undo     T  saturation" + "".join(f"{name:>16}" for name in MEASURES))
    for name, row in metrics.result().items():
        if name != "mean ab":
            print(f"{name:28}" + "".join(f"{row[key]:16.2f}" for key in MEASURES))


if __name__ == "__main__":
    main()
