"""How much colour is left when chroma is stored small, as CS838 does:

    python -m benchmarks.papers.chroma --photos photos/

U and V of each photo, a square of `--size` pixels, are made smaller, rounded to 8 bits and enlarged again; Y stays.
A share of 0.15 of the sides is what CS838 calls a compression of 85%.
"""
import argparse

import numpy as np

from colorize.color.resize import resize
from colorize.color.spaces import rgb_to_lab, rgb_to_yuv, yuv_to_rgb
from colorize.data.folder import Photos
from colorize.metrics.table import Metrics

SHARES = 0.5, 0.3, 0.2, 0.15, 0.1, 0.05


def compressed(rgb, share):
    """uint8 photos (N, H, W, 3) with U and V at that share of their sides."""
    yuv = rgb_to_yuv(rgb).astype("float32")
    small = [max(1, int(side * share)) for side in rgb.shape[1:3]]
    chroma = resize(yuv[..., 1:], small, "opencv").round().clip(0, 255)
    yuv[..., 1:] = resize(chroma, rgb.shape[1:3], "opencv").round().clip(0, 255)
    return yuv_to_rgb(yuv.astype("uint8"))


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers.chroma", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, help="a folder or a list")
    parser.add_argument("--size", type=int, default=160, help="pixels a side (160)")
    parser.add_argument("--limit", type=int, default=200, help="photos (200)")
    args = parser.parse_args()
    metrics, seen = Metrics(np.zeros(2), models=[f"{share:g}" for share in SHARES]), 0
    for rgb in Photos(args.photos, args.size, batch=8, crop="centre", shuffle=True):
        lab = rgb_to_lab(rgb)
        answers = {f"{share:g}": rgb_to_lab(compressed(rgb, share))[..., 1:] for share in SHARES}
        metrics.add(lab[..., :1], answers, lab[..., 1:])
        seen += len(rgb)
        if seen >= args.limit:
            break
    rows = metrics.result()
    print(f"{seen} photos of {args.size} x {args.size}\n\nshare   pixels  rms of ab    PSNR  colourfulness kept")
    for share in SHARES:
        row = rows[f"{share:g}"]
        print(f"{share:5.2f}  {int(args.size * share):5d}^2  {row['ab rmse']:9.2f}  {row['psnr']:6.2f}  "
              f"{row['colourfulness'] / rows['truth']['colourfulness']:18.3f}")
    print(f" grey         0  {rows['grey']['ab rmse']:9.2f}  {rows['grey']['psnr']:6.2f}                   0")


if __name__ == "__main__":
    main()
