"""A run's curves: loss.png by matplotlib, and TensorBoard's files by tensorboardX. Both packages may be missing."""
import io
from importlib import import_module

from minicnn.files import write

from ..runs import read_metrics

__all__ = ["Board", "MISSING", "draw", "missing"]

MISSING = {"matplotlib": "without matplotlib there is no loss.png (pip install matplotlib)",
           "tensorboardX": "--tensorboard needs tensorboardX: pip install tensorboardX"}
SMOOTHED = 200              # about how many points of the training loss are drawn


def missing(name):
    """Is the package of that name missing?"""
    try:
        import_module(name)
        return False
    except ImportError:
        return True


def draw(path, baselines):
    """Write loss.png into the run at that path. It shows the losses and the ab error, with lines for the answers
    "grey" and "mean ab". Returns False if matplotlib is missing."""
    if missing("matplotlib"):
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    lines = read_metrics(path)
    figure = Figure(figsize=(11, 4.2), dpi=100)
    losses, errors = figure.subplots(1, 2)
    training = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    validation = [line for line in lines if "validation loss" in line]
    losses.plot(*zip(*(smoothed(training) or [(0, float("nan"))])), color="tab:blue", alpha=0.8, label="training")
    steps = [line["step"] for line in validation]
    losses.plot(steps, [line["validation loss"] for line in validation], color="tab:orange", marker=".",
                label="validation")
    errors.plot(steps, [line["ab rmse"] for line in validation], color="tab:orange", marker=".", label="validation")
    for name, style in (("grey", "--"), ("mean ab", ":")):
        if baselines is not None:
            losses.axhline(baselines["loss"][name], color="grey", linestyle=style, label=name)
            errors.axhline(baselines["ab rmse"][name], color="grey", linestyle=style, label=name)
    for axes, title in ((losses, "loss"), (errors, "ab error (RMS, Lab units)")):
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    write(f"{path}/loss.png", file.getvalue())
    return True


def smoothed(points):
    """Points (step, value), averaged in groups so that about SMOOTHED are left.

    >>> smoothed([(1, 2.0), (2, 4.0)])
    [(1, 2.0), (2, 4.0)]
    """
    n = max(1, len(points) // SMOOTHED)
    groups = [points[i:i + n] for i in range(0, len(points), n)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


class Board:
    """Write a run's numbers and pictures, from a step on, to run.path/tensorboard."""

    def __init__(self, run, step):
        if missing("tensorboardX"):
            raise ImportError(MISSING["tensorboardX"])
        writer = import_module("tensorboardX").SummaryWriter
        self.writer = writer(run.file("tensorboard"), purge_step=step or None)

    def numbers(self, step, numbers):
        for name, x in numbers.items():
            self.writer.add_scalar(name, x, step)

    def picture(self, step, picture):
        self.writer.add_image("samples", picture, step, dataformats="HWC")
        self.writer.flush()

    def close(self):
        self.writer.close()
