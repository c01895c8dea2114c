"""--age, --widen and --slow: what they do to a run, that it repeats, and what is refused."""
import numpy as np
import pytest
from PIL import Image

import minicnn as mc
from colorize.color.spaces import rgb_to_luminance
from colorize.data.folder import Photos
from colorize.data.pack import Packed, pack
from colorize.data.scenes import scene
from colorize.models import build, names
from colorize.train.aging import Aging
from colorize.weights.own import model_of

from ..runner import TINY, photos, refused, same, status


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of photos in two folders, and one for validation."""
    root = tmp_path_factory.mktemp("data")
    photos(root / "train" / "squeezed", 8)
    photos(root / "train" / "others", 8, seed=1)
    return ["--data", root / "train", "--val", photos(root / "val", 4, seed=2), "--keep-grey", "true"]


@pytest.mark.slow
def test_a_run_with_all_three_repeats_and_goes_on(data, tmp_path):
    flags = [*TINY, *data, "--age", "0.6", "--widen", "squeezed=1.33", "--slow", "net.down=0.3,net.down.0=0",
             "--schedule", "constant", "--validate", "5", "--checkpoint", "0"]
    assert status(*flags, "--steps", "12", "--out", tmp_path / "whole") == 0
    assert status(*flags, "--steps", "12", "--workers", "0", "--out", tmp_path / "again") == 0
    same(tmp_path / "whole", tmp_path / "again")
    assert status(*flags, "--steps", "7", "--out", tmp_path / "parts") == 0
    assert status("--resume", tmp_path / "parts", "--steps", "12") == 0
    weights = [mc.params(model_of(tmp_path / name / "last.safetensors")[0].net) for name in ("whole", "parts")]
    assert all(np.array_equal(mc.value(p), mc.value(q)) for p, q in zip(*weights))
    assert status(*[f for f in flags if f not in ("--age", "0.6")], "--steps", "12", "--out", tmp_path / "young") == 0
    young = mc.params(model_of(tmp_path / "young" / "last.safetensors")[0].net)
    assert not np.array_equal(mc.value(young[-1]), mc.value(weights[0][-1]))


def test_slow_weights_go_a_part_of_the_way(tmp_path):
    """One step of SGD: the longest name decides, and what is not named learns as ever."""
    flags = [*TINY, "--steps", "1", "--optimizer", "sgd", "--lr", "0.5", "--schedule", "constant"]
    assert status(*flags, "--out", tmp_path / "plain") == 0
    assert status(*flags, "--slow", "net.down=0.25,net.down.1=0,net.*.b=0.5", "--out", tmp_path / "slow") == 0
    mc.seed(1)
    start = build("nano", width=0.1, size=32).net
    plain, slow = (model_of(tmp_path / name / "last.safetensors")[0].net for name in ("plain", "slow"))

    def parts(f):
        """How much of the plain way the slow run went, for the largest step among those weights."""
        a, b, c = (mc.value(f(net)) for net in (start, plain, slow))
        i = np.abs(b - a).argmax()
        return ((c - a).ravel()[i] / (b - a).ravel()[i]).item()
    assert parts(lambda net: net.down[0][0].w) == pytest.approx(0.25, rel=1e-2)
    assert parts(lambda net: net.down[1][0].w) == 0
    assert parts(lambda net: net.up[0][0].w) == pytest.approx(1, rel=1e-5)
    assert parts(lambda net: net.scores.b) == pytest.approx(0.5, rel=1e-2)


def test_aged_batches_show_other_photos_with_the_same_colours():
    model, rgb = build("nano", width=0.1, size=32), np.stack([scene(i, 32) for i in range(4)])
    learner = Aging(model, 1.0)
    x, y = learner.batch(rgb)
    again, other = learner.batch(rgb)[0], learner.batch(rgb[::-1].copy())[0]
    assert np.array_equal(x, again) and not np.array_equal(x, other[::-1])
    assert not np.allclose(x, model.inputs(rgb), atol=0.02)
    assert all(np.array_equal(a, b) for a, b in zip(y, model.targets(rgb)))
    assert np.isfinite(mc.value(learner.loss(x, y)))
    with pytest.raises(TypeError, match="nano needs photos as uint8"):
        learner.batch(rgb / 255)


@pytest.mark.parametrize("name", names())
def test_models_of_lightness_see_nothing_else(name):
    small = {"mean-fc": 0.02, "mean-cnn1": 1.0}.get(name, 0.05)
    model, rgb = build(name, size=64, width=small), np.stack([scene(i, 64) for i in range(2)])
    if model.of_lightness:
        assert np.array_equal(model.inputs(rgb), model.prepare(rgb_to_luminance(rgb)))
    else:
        with pytest.raises(ValueError, match=f"--age .* {name} "):
            Aging(model, 0.5)


def test_ageing_runs_on_the_gpu_as_well(cuda_on_cpu):
    mc.seed(1)
    model, rgb = build("nano", width=0.1, size=32), np.stack([scene(i, 32) for i in range(2)])
    there = mc.gpucopy(model)
    with mc.device("cuda"):
        x, _ = Aging(there, 1.0).batch(cuda_on_cpu.asarray(rgb))
    assert np.allclose(cuda_on_cpu.asnumpy(x), Aging(model, 1.0).batch(rgb)[0], atol=1e-5)


def test_what_is_refused_before_anything_is_written(data, tmp_path, capfd):
    out = tmp_path / "run"
    for flags, words in (
            (["--slow", "nothing=0.3"], "no weight of nano has a name that begins with 'nothing'"),
            (["--slow", "net.down=2"], "from 0 to 1, at which they learn, such as net.encoder=0.3; got 'net.down=2'"),
            (["--slow", "net.down"], "got 'net.down'"),
            (["--age", "1.5"], "expected a number from 0 to 1, got '1.5'"),
            ([*data, "--widen", "squeezed=0.5"], "1 or more, their photos are stretched sideways, such as coco=1.33"),
            ([*data, "--widen", "c=1.3"], "folders c: choose from others, squeezed"),
            (["--widen", "a=1.3"], "scenes have no folders: give --data, or leave out --weigh and --widen"),
            (["--model", "vgg-uv-small", "--age", "0.5"], "vgg-uv-small does not: leave --age out, or choose nano")):
        assert words in refused(capfd, *TINY, *flags, "--steps", "2", "--out", out)
        assert not out.exists()


# ------------------------------------------------------------------ widening


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """Squeezed and other photos of bars 8 pixels wide: how wide they become tells how far they were stretched."""
    root = tmp_path_factory.mktemp("bars")
    row = np.where(np.arange(64) // 8 % 2, 255, 0).astype("uint8")
    for name in ("squeezed", "other"):
        (root / name).mkdir()
        for i in range(20):
            Image.fromarray(np.repeat(np.broadcast_to(row, (64, 64))[..., None], 3, -1)).save(
                str(root / name / f"{i}.png"))
    return root


def widths(batches):
    """How wide the bars are in each picture: pixels between the first and the last edge, shared by those between."""
    found = []
    for rgb in batches:
        for picture in rgb[..., 0].astype(float):
            edges = np.flatnonzero(np.diff(picture[10] > 127))
            found.append((edges[-1] - edges[0]) / (len(edges) - 1))
    return np.array(found)


def test_photos_are_stretched_by_chance_and_others_not(bars):
    options = {"resize_to": 64, "crop": "random", "seed": 3, "batch": 20}
    assert np.allclose(widths(Photos(bars / "squeezed", 48, **options)), 8, atol=0.2)
    wide = widths(Photos([str(p) for p in sorted(bars.glob("*/*.png"))], 48, shuffle=False,
                         widen={"squeezed": 1.5}, **options))
    assert np.allclose(wide[:20], 8, atol=0.2)                      # "other" comes first
    stretched = wide[20:]
    assert stretched.min() >= 7.9 and stretched.max() <= 12.2 and np.ptp(stretched) > 2.5
    assert abs(stretched.mean() - 10) < 0.9
    again = widths(Photos([str(p) for p in sorted(bars.glob("*/*.png"))], 48, shuffle=False, workers=0,
                          widen={"squeezed": 1.5}, **options))
    assert np.array_equal(wide, again)


def test_packs_are_widened_alike(bars, tmp_path):
    pack(bars, tmp_path / "pack", 64, report=lambda s: None)
    options = {"crop": "centre", "seed": 3, "batch": 40, "widen": {"squeezed": 1.4}}
    a, = (np.array(x, int) for x in Photos(bars, 48, resize_to=64, **options))
    b, = (np.array(x, int) for x in Packed(tmp_path / "pack", 48, **options))
    assert np.abs(a - b).max() <= 1


def test_factors_below_1_are_refused(bars):
    with pytest.raises(ValueError, match="widen needs factors of 1 or more, got"):
        Photos(bars, 48, widen={"other": 0.9})
