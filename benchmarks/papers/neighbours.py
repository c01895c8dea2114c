"""How much of a face's mean colour do the photos taken just before and after it tell?

    python -m benchmarks.papers.neighbours --photos photos/faces

The stand-in faces are numbered as they were taken, person by person. Every fifth photo is asked about; the answer is
the mean over the others within so many numbers. Who only recognises person and place can hardly be better, so this
bounds what a regressor of the mean colour can reach on people whom it knows.
"""
import argparse

import numpy as np

from colorize import models
from colorize.data.folder import Photos

FIFTH = 5
REACH = 1, 2, 4, 8


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers.neighbours", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, help="the folder of faces")
    args = parser.parse_args()
    model = models.build("mean-cnn1", size=64, last="tanh")
    means = np.concatenate([model.targets(rgb) for rgb in Photos(
        args.photos, 64, resize="squash", crop=None, batch=50, shuffle=False, partial=True, drop_grey=False)])
    asked = np.arange(FIFTH - 1, len(means), FIFTH)
    known = np.setdiff1d(np.arange(len(means)), asked)
    total = ((means[asked] - means[known].mean(0)) ** 2).sum()
    for reach in REACH:
        said = np.array([means[known[abs(known - i) <= reach]].mean(0) for i in asked])
        print(f"within {reach}: R2 {1 - ((said - means[asked]) ** 2).sum() / total:.3f}")


if __name__ == "__main__":
    main()
