"""Makes the pictures of README.md and of the site again: python -m docs.pictures [NAME ...]

    before-after     a drawn photo, and what `python -m colorize` makes of it
    taste            the same photo with other flags
    report           curves and examples from the report of a short training on drawn scenes
    lenet            how LeNet learns the digits

Without names it makes all of them, in about three minutes on two cores. It needs `pip install ".[test]"`. They show
nobody's photos: they are drawn here, or by colorize.data.scenes. On the same machine the same files come out.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import minicnn as mc
from colorize import pictures
from examples import lenet

FOLDER = pathlib.Path(__file__).parent / "images"
HEIGHT, WIDTH = 300, 450            # of the drawn photo


def main(names):
    """Make the pictures with these names, or all of them."""
    makers = {"before-after": before_after, "taste": taste, "report": report, "lenet": curves_of_lenet}
    unknown = [name for name in names if name not in makers]
    if unknown:
        sys.exit(f"There is no picture named {', '.join(unknown)}. The names are {', '.join(makers)}.")
    FOLDER.mkdir(exist_ok=True)
    for name in names or makers:
        path = makers[name]()
        print(f"{path.relative_to(FOLDER.parent.parent)}: {path.stat().st_size // 1000} kB")


def run(*command):
    """Run a program of this repository; it must succeed."""
    subprocess.run([sys.executable, "-m", *map(str, command)], check=True, stdout=subprocess.DEVNULL)


def save(name, picture, quality=88):
    """Write a picture (H, W, 3) of uint8 as a JPEG; returns its path."""
    path = FOLDER / name
    Image.fromarray(picture).save(path, quality=quality, optimize=True)
    return path


# ------------------------------------------------------------------ a photo


def coast(seed=8):
    """A drawn photo of the sea: brightness (HEIGHT, WIDTH) from 0 to 1."""
    rng = np.random.default_rng(seed)
    down = np.linspace(0, 1, HEIGHT)[:, None] * np.ones((1, WIDTH))
    sky = 0.46 + 0.55 * down
    clouds = np.clip(3 * clumps(rng, 0.58, 3, 1.2) - 1.65, 0, 1) * np.clip(1.2 - down / 0.6, 0, 1)
    picture = sky + (0.97 - sky) * clouds
    skyline = 0.62 - 0.24 * clumps(rng, 0.55, 3)[0]
    hills = 0.36 + 0.16 * clumps(rng, 0.75, 6) + 0.15 * down
    picture = np.where(down > skyline, hills, picture)
    near = np.clip((down - 0.58) / 0.42, 0, 1)
    waves = 0.46 - 0.1 * near + (0.1 + 0.3 * near) * (clumps(rng, 0.85, 8, 5) - 0.5)
    picture = np.where(down > 0.56, waves, picture)
    return np.clip(0.47 + 1.25 * (picture - 0.5) + rng.normal(0, 0.015, picture.shape), 0, 1)     # contrast, grain


def clumps(rng, roughness, first, stretch=1):
    """Noise (HEIGHT, WIDTH) from 0 to 1 that looks like clouds: a sum of random grids, each twice as fine as the one
    before and `roughness` times as strong. `first` is the number of cells across; stretch makes them flatter."""
    total, strength, across = np.zeros((HEIGHT, WIDTH)), 1.0, first
    while across < WIDTH:
        cells = rng.uniform(-1, 1, (int(across * stretch) + 1, across + 1)).astype("float32")
        total += strength * np.asarray(Image.fromarray(cells).resize((WIDTH, HEIGHT), Image.BICUBIC))
        strength, across = strength * roughness, across * 2
    return (total - total.min()) / np.ptp(total)


def old_photo(path):
    """Write the coast to a file, on paper that has turned brown."""
    paper = np.array([255, 247, 228]), np.array([22, 15, 10])           # the brightest and the darkest
    light = coast()[..., None]
    Image.fromarray((paper[0] * light + paper[1] * (1 - light)).astype("uint8")).save(path, quality=95)


def coloured(*flags):
    """The old photo before and after `python -m colorize photo.jpg FLAGS`: two pictures (HEIGHT, WIDTH, 3)."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = pathlib.Path(folder, "photo.jpg"), pathlib.Path(folder, "photo.color.jpg")
        old_photo(before)
        run("colorize", before, *flags)
        return [np.asarray(Image.open(path).convert("RGB")) for path in (before, after)]


def before_after():
    return save("before-after.jpg", pictures.grid([coloured()]))


def taste():
    flags = ["", "--saturation 0.6", "--saturation 2", "--hint 225,240,#206058"]
    results = [coloured(*text.split())[1] for text in flags]
    return save("taste.jpg", pictures.grid([results], [[text or "without flags" for text in flags]], cell=(150, 225)))


# ------------------------------------------------------------------ training


def report(steps=240):
    """The curves of a training, and its validation pictures: grey, coloured by the model, true."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder, "run")
        run("colorize.train", "--steps", steps, "--minutes", 30, "--validate", steps // 6, "--out", place)
        curves = Image.open(place / "loss.png").convert("RGB")
        strips = np.asarray(Image.open(place / "samples" / "best.png").convert("RGB"))
    side, step, top = 128, 128 + pictures.GAP, pictures.GAP + pictures.LINE
    examples = [[strips[top + i * step:top + i * step + side, pictures.GAP + j * step:][:, :side] for i in range(8)]
                for j in range(3)]
    captions = [[text] + [""] * 7 for text in ("the grey scene", "the model's colours", "the true colours")]
    below = pictures.grid(examples, captions, cell=(104, 104))
    height = round(curves.height * below.shape[1] / curves.width)
    above = np.asarray(curves.resize((below.shape[1], height), Image.LANCZOS))
    return save("report.jpg", np.concatenate([above, below]), quality=85)


def curves_of_lenet(epochs=20):
    """Loss of each batch and accuracy on the test digits after each pass, of the network in the README."""
    mc.seed(1)
    xtrain, ytrain, xtest, ytest = lenet.digits()
    model = lenet.Chain(lenet.Conv(5, 5, 1, 20), lenet.Conv(5, 5, 20, 50), lenet.Dense(2 * 2 * 50, 100, mc.relu),
                        lenet.Dense(100, 10, lambda x: x))
    data = mc.minibatch(xtrain, ytrain, 50, shuffle=True)
    losses, right = [], []
    for loss in mc.adam(model, mc.ncycle(data, epochs)):
        losses.append(float(loss))
        if len(losses) % len(data) == 0:
            right.append(100 * float(mc.accuracy(model(xtest), ytest)))
    figure = Figure(figsize=(8, 2.8), dpi=100)
    left, other = figure.subplots(1, 2)
    left.semilogy(np.arange(1, len(losses) + 1) / len(data), losses, linewidth=0.8)
    left.set(title="loss of each batch", xlabel="passes over the training digits")
    other.plot(range(1, epochs + 1), right, color="tab:orange", marker=".")
    other.set(title=f"test digits read right: {right[-1]:.1f}%", xlabel="passes", ylabel="%")
    for axes in (left, other):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    path = FOLDER / "lenet.png"
    FigureCanvasAgg(figure).print_png(str(path))
    return path


if __name__ == "__main__":
    main(sys.argv[1:])
