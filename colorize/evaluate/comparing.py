"""Compare several answers on a stream of photos. The results are a table, a CSV file, and sheets with the best and
the worst photos and with all answers side by side. Memory does not grow with the number of photos."""
import csv
import math
import os

import numpy as np

from minicnn.device import current, to

from .. import pictures
from ..color.spaces import rgb_to_lab
from ..metrics.published import AsPublished
from ..metrics.table import Metrics, grey, mean_ab, rising

__all__ = ["Comparison"]

CELL = 160, 240                             # height and width of a photo on a sheet, in pixels
ORACLE = "photo's mean"


class Comparison:
    """A comparison of the answers with these names. `mean` is the colour (2,) of the row "mean ab".

    out: the folder to write to. by: the measure that says which photos are worst. extremes: how many photos the
    sheets of the worst and the best have. oracle: add a row that knows each photo's mean colour. Metrics describes
    the other options.
    """

    def __init__(self, names, mean, out, *, by="ciede2000", extremes=12, oracle=False, window="uniform",
                 as_published=False):
        self.names, self.mean, self.out, self.by, self.extremes = list(names), np.asarray(mean), out, by, extremes
        self.oracle = [ORACLE] * oracle
        self.metrics = Metrics(mean, models=self.names + self.oracle, window=window, as_published=as_published)
        self.means = {name: _Means(self.mean) for name in self.metrics.rows}
        self.published = {name: AsPublished() for name in self.metrics.rows} if as_published else {}
        self.worst, self.best, self.rows, self.photos = {}, {}, [], 0
        os.makedirs(out, exist_ok=True)
        self.part = os.path.join(out, ".photos.csv.tmp")
        self.file, self.csv = open(self.part, "w", newline="", encoding="utf-8"), None

    def add(self, name, rgb, answers, keep=False):
        """Add a photo (H, W, 3), uint8, and its answers {name: ab (H, W, 2)}. keep: show it side by side."""
        lab = rgb_to_lab(to(current(), rgb))
        L, true = lab[..., :1], lab[..., 1:]
        answers = {**answers, **{row: mean_ab(true, true.mean((0, 1))) for row in self.oracle}}
        self.metrics.add(L[None], {row: ab[None] for row, ab in answers.items()}, true[None])
        every = {**answers, "grey": grey(true), "mean ab": mean_ab(true, self.mean), "truth": true}
        for row, ab in every.items():
            self.means[row].add(ab, true)
            if self.published:
                self.published[row].add(L[..., 0], ab, true)
        latest = self.metrics.latest()
        self.write(name, rgb.shape, latest)
        self.photos += 1
        shown = {row: pictures.coloured(L[..., 0], answers[row]) for row in self.names}
        for row, picture in shown.items():
            self.rank(row, latest[row], name, picture, rgb)
        if keep:
            self.rows.append(self.side_by_side(name, pictures.coloured(L[..., 0], every["grey"]), shown, rgb, latest))

    def write(self, name, shape, latest):
        """Write the lines of a photo to the CSV file."""
        if self.csv is None:
            self.csv = csv.writer(self.file)
            self.csv.writerow(["photo", "height", "width", "answer", *latest["grey"]])
        for row, numbers in latest.items():
            if row != "truth":
                self.csv.writerow([name, *shape[:2], row, *(f"{x:.6g}" for x in numbers.values())])

    def rank(self, row, numbers, name, picture, truth):
        """Keep the photo if it is among the worst or the best."""
        value = -numbers[self.by] if rising(self.by) else numbers[self.by]
        value = math.inf if math.isnan(value) else value
        pair = np.concatenate([pictures.fitted(p, *CELL) for p in (picture, truth)], 1)
        entry = value, self.photos, pair, f"{name}\n{_said(numbers)}"
        self.worst[row] = sorted([*self.worst.get(row, []), entry], key=lambda e: (-e[0], e[1]))[:self.extremes]
        self.best[row] = sorted([*self.best.get(row, []), entry], key=lambda e: e[:2])[:self.extremes]

    def side_by_side(self, name, given, shown, truth, latest):
        """(pictures, captions) for a row of the sheet side by side."""
        cells = [given, *shown.values(), truth]
        texts = [f"{name}\n{_said(latest['grey'])}", *(f"\n{_said(latest[row])}" for row in shown), "\n"]
        return [pictures.fitted(p, *CELL) for p in cells], texts

    def abandon(self):
        """Remove the unfinished files."""
        self.file.close()
        os.remove(self.part)
        if not os.listdir(self.out):
            os.rmdir(self.out)

    # -------------------------------------------------------------- at the end

    def result(self):
        """{row: {measure: number}} over all photos."""
        return {name: {**numbers, "mean colour r2": self.means[name].r2(),
                       **(self.published[name].result() if self.published else {})}
                for name, numbers in self.metrics.result().items()}

    def finish(self):
        """Write the files. Returns their paths."""
        self.file.close()
        paths = [os.path.join(self.out, "photos.csv")]
        os.replace(self.part, paths[0])
        for i, row in enumerate(self.names):
            sections = [(f"{row}: {title} by {self.by}; each with the truth on its right", [e[2:] for e in found])
                        for title, found in (("worst", self.worst[row]), ("best", self.best[row])) if found]
            if sections:
                paths.append(os.path.join(self.out, f"worst-and-best-{i + 1}.png"))
                pictures.save(paths[-1], pictures.sheet(sections, columns=3))
        if self.rows:
            paths.append(os.path.join(self.out, "side-by-side.png"))
            shown, texts = zip(*self.rows)
            pictures.save(paths[-1], pictures.grid(shown, texts, header=["input", *self.names, "truth"]))
        return paths


class _Means:
    """How well the mean colour of each photo is predicted: 1 is perfect, and 0 is no better than always `mean`."""

    def __init__(self, mean):
        self.mean, self.error, self.total = mean, 0.0, 0.0

    def add(self, ab, true):
        said, is_ = (to("cpu", x.mean((0, 1), dtype="float64")) for x in (ab, true))
        self.error, self.total = self.error + ((said - is_) ** 2).sum(), self.total + ((is_ - self.mean) ** 2).sum()

    def r2(self):
        return round(1 - self.error / self.total, 6) + 0.0 if self.total else math.nan


def _said(numbers):
    return f"dE {numbers['ciede2000']:.1f}  ab mse {numbers['ab mse']:.0f}  {numbers['psnr']:.1f} dB"
