"""Draw what a search found: a heat map of two flags, with a panel for each setting of the others, or, if flags have
ranges, the measure over each flag. This needs matplotlib, which may be missing."""
import io
import itertools
import math

import numpy as np

from ..metrics.table import rising
from ..train.curves import missing

__all__ = ["draw"]


def draw(trials, varied, by):
    """The picture as the bytes of a PNG file, or None without matplotlib."""
    if missing("matplotlib"):
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    lists = {flag: values.texts for flag, values in varied.items() if hasattr(values, "texts")}
    found = {}
    for trial in reversed(trials.ranked()):             # the best of those with the same flags comes last
        found[tuple(trial["flags"].values())] = trials.number(trial)
    if len(lists) == len(varied) and all(len(texts) > 1 for texts in lists.values()):
        figure = _heat(Figure, lists, found, by)
    else:
        figure = _scatter(Figure, list(varied), trials, by)
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def _heat(Figure, lists, found, by):
    """Panels of cells. The flags with the most values go across and down."""
    flags = list(lists)
    order = sorted(flags, key=lambda flag: -len(lists[flag]))
    across, down = order[0], order[1] if len(order) > 1 else None
    others = [flag for flag in flags if flag not in (across, down)]
    panels = list(itertools.product(*(lists[flag] for flag in others)))
    rows = lists[down] if down else [""]
    finite = [x for x in found.values() if math.isfinite(x)] or [0.0]
    figure = Figure(figsize=(len(panels) * (1.5 + 0.9 * len(lists[across])), 1.6 + 0.6 * len(rows)), dpi=100)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        setting = dict(zip(others, panel))
        cells = np.full((len(rows), len(lists[across])), np.nan)
        for (i, y), (j, x) in itertools.product(enumerate(rows), enumerate(lists[across])):
            flags_ = {**setting, across: x, **({down: y} if down else {})}
            cells[i, j] = found.get(tuple(flags_[flag] for flag in flags), np.nan)
        axes.imshow(cells, cmap="viridis" if rising(by) else "viridis_r", vmin=min(finite), vmax=max(finite),
                    aspect="auto")
        for (i, j), x in np.ndenumerate(cells):
            axes.text(j, i, f"{x:.4g}" if math.isfinite(x) else "-", ha="center", va="center", fontsize=8,
                      bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1.5})
        axes.set(xlabel=across, ylabel=down or "", title=", ".join(f"{k}={v}" for k, v in setting.items()) or by,
                 xticks=range(len(lists[across])), yticks=range(len(rows)), xticklabels=lists[across],
                 yticklabels=rows)
    if others:
        figure.suptitle(by)
    figure.tight_layout()
    return figure


def _scatter(Figure, flags, trials, by):
    """The measure over each flag. A larger dot had more of the resource."""
    figure = Figure(figsize=(4 * len(flags), 3.5), dpi=100)
    done = [trial for trial in trials.trials if math.isfinite(trials.number(trial))]
    most = max([trial["resource"] or 1 for trial in done], default=1)
    for axes, flag in zip(figure.subplots(1, len(flags), squeeze=False)[0], flags):
        xs, numeric = _positions([trial["flags"][flag] for trial in done])
        axes.scatter(xs, [trials.number(trial) for trial in done], alpha=0.7,
                     s=[15 + 60 * (trial["resource"] or 1) / most for trial in done])
        if numeric and xs and min(xs) > 0 and max(xs) > 10 * min(xs):
            axes.set_xscale("log")
        axes.set(xlabel=flag, ylabel=by)
        axes.grid(alpha=0.3)
    figure.tight_layout()
    return figure


def _positions(texts):
    """(numbers, True) if all texts are numbers, else (texts, False)."""
    try:
        return [float(text) for text in texts], True
    except ValueError:
        return texts, False
