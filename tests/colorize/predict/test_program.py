"""The command for people with old photos: what it writes, what it leaves alone, what it says, and how it ends."""
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn as mc
from colorize import cli
from colorize import models
from colorize.photo.read import read
from colorize.predict import batch
from colorize.predict import program as predict
from colorize.predict.painter import SATURATION, Painter
from colorize.weights import shipped
from colorize.weights.own import save_model

from ...tools import need
from .runner import ONE, made


@pytest.fixture(autouse=True)
def ship(weights, monkeypatch):
    """They are the weights that ship."""
    monkeypatch.setattr(shipped, "FILE", str(weights))


def colorize(*argv):
    """The exit status of the command, run here."""
    return cli.status(predict.main, predict.NAME, [str(a) for a in argv])


def lab(path):
    """Lab of a file, (h, w, 3), by scikit-image."""
    x = read(path).pixels                   # no other reader here has 16 bits of three channels
    return need("skimage.color").rgb2lab(x.repeat(3 // x.shape[2], 2) / np.float64(np.iinfo(x.dtype).max))


def test_one_photo(folder, capsys):
    before = made(folder)
    assert colorize("photos/grey.jpg") == 0
    assert sorted(set(made(folder)) - set(before)) == ["photos/grey.color.jpg"]
    old, new = lab("photos/grey.jpg"), lab("photos/grey.color.jpg")
    assert np.abs(old[..., 0] - new[..., 0]).mean() < 0.5
    assert np.abs(new[..., 1:].mean((0, 1)) - np.array(ONE) * SATURATION).max() < 1.5
    out, err = capsys.readouterr()
    assert "1 photo with nano" in out and "parameters) on cpu" in out and "photos/grey.color.jpg" in out and not err


def test_a_folder_again_and_by_force(folder, capsys):
    assert colorize("photos", "-o", "out") == 0
    assert made("out") == ["below/sepia.png", "deep.png", "grey.jpg"]
    stamps = {name: os.stat(f"out/{name}").st_mtime_ns for name in made("out")}
    os.remove("out/deep.png")
    capsys.readouterr()
    assert colorize("photos", "-o", "out") == 0
    assert "1 photo coloured" in capsys.readouterr().out
    assert {n for n in stamps if os.stat(f"out/{n}").st_mtime_ns == stamps[n]} == {"below/sepia.png", "grey.jpg"}
    assert colorize("photos", "-o", "out") == 0
    assert capsys.readouterr().out.startswith("3 photos done before (--force ")
    assert colorize("photos", "-o", "out", "--force") == 0
    assert all(os.stat(f"out/{n}").st_mtime_ns != stamps[n] for n in stamps)


def test_results_beside_the_photos_are_no_photos(folder):
    assert colorize("photos") == 0
    first = made(folder)
    assert "photos/below/sepia.color.png" in first
    assert colorize("photos") == 0 and colorize("photos/*.jpg", "--compare") == 0
    assert set(made(folder)) - set(first) == {"photos/grey.compare.jpg"}


def test_sixteen_bits_and_sepia(folder):
    assert colorize("photos", "-o", "out") == 0
    assert Path("out/deep.png").read_bytes()[24:26] == b"\x10\x02"      # 16 bits each of red, green and blue
    assert np.abs(lab("photos/deep.png")[..., 0] - lab("out/deep.png")[..., 0]).max() < 0.1
    old, new = lab("photos/below/sepia.png"), lab("out/below/sepia.png")
    assert np.abs(old[..., 0] - new[..., 0]).mean() < 0.5
    inside = (old[..., 0] > 45) & (old[..., 0] < 70)                # where sRGB has so much chroma
    assert np.abs(new[inside][:, 1:] - np.array(ONE) * SATURATION).max() < 2    # nothing of the sepia is left


def test_alpha_stays(folder):
    rgba = np.full((30, 40, 4), 90, "uint8")
    rgba[..., 3] = np.arange(40) * 6
    Image.fromarray(rgba).save("a.png")
    assert colorize("a.png") == 0
    assert np.array_equal(np.asarray(Image.open("a.color.png"))[..., 3], rgba[..., 3])


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (700, 2), (33, 7)])
def test_any_size(folder, size):
    Image.new("L", size, 99).save("x.png")
    assert colorize("x.png", "-o", "y.bmp") == 0
    with Image.open("y.bmp") as image:
        assert image.size == size and image.mode == "RGB" and image.format == "BMP"


def test_a_bad_file_among_good_ones(folder, capsys):
    (folder / "photos/bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    (folder / "photos/text.png").write_text("no photo")
    assert colorize("photos", "-o", "out") == 1
    out, err = capsys.readouterr()
    bad = [line for line in err.splitlines() if line.startswith("colorize: ")]
    assert len(bad) == 2 and bad[0].startswith("colorize: photos/bad.jpg: ") and "Traceback" not in err
    assert bad[1].startswith("colorize: photos/text.png: it is no photo: ")
    assert "3 photos coloured in" in out and "; 2 failed" in out and len(made("out")) == 3


def test_a_full_disk(folder, capsys, monkeypatch):
    def full(photo, path):
        raise OSError(28, "No space left on device", path)
    monkeypatch.setattr(batch, "write", full)
    monkeypatch.setattr(predict, "threads", lambda: 1)
    assert colorize("photos", "-o", "out") == 1
    out, err = capsys.readouterr()
    assert [line for line in err.splitlines() if line.startswith("colorize")] == [
        "colorize: photos/deep.png: No space left on device: out/deep.png"]
    assert "0 photos coloured in" in out and "; 1 failed; 2 photos not done" in out and "disk is full" in out


def test_what_stands_for_no_photo_stops_no_other(folder, capsys):
    os.mkdir("empty")
    assert colorize("photos/grey.jpg", "empty", "-o", "out", "gone.jpg") == 1
    out, err = capsys.readouterr()
    assert "1 photo coloured" in out and made("out") == ["grey.jpg"]
    assert [line.split()[0] for line in err.splitlines()] == ["colorize:"] * 2
    assert "empty" in err.splitlines()[0] and "gone.jpg" in err.splitlines()[1]


def test_photos_behind_flags(folder):
    assert colorize("photos/grey.jpg", "--saturation", "0.8", "photos/deep.png", "-o", "out", "photos/below") == 0
    assert len(made("out")) == 3


def test_a_result_that_is_there(folder, capsys):
    (folder / "x.jpg").write_bytes(b"mine")
    assert colorize("photos/grey.jpg", "-o", "x.jpg") == 0
    out = capsys.readouterr().out
    assert out.startswith("x.jpg already exists (--force ") and out.count("\n") == 1
    assert (folder / "x.jpg").read_bytes() == b"mine"
    assert colorize("photos/grey.jpg", "-o", "x.jpg", "--force") == 0 and lab("x.jpg").shape == (90, 120, 3)


def test_names_are_printed_without_control_characters(folder, capsys):
    os.rename("photos/grey.jpg", "photos/\x1b[2Jgrey\n.jpg")
    (folder / "photos/\x1b[2Jbad\x9b.jpg").write_bytes(b"no photo")
    assert colorize("photos/\x1b[2Jgrey\n.jpg") == 0
    assert colorize("photos/\x07") == 2
    assert colorize("photos", "-o", "\x07out") == 1
    out, err = capsys.readouterr()
    assert "photos/\\x1b[2Jgrey\\n.color.jpg\n" in out and "\\x07out\n" in out
    assert "photos/\\x07" in err and "photos/\\x1b[2Jbad\\x9b.jpg: it is no photo" in err
    assert not set(out + err) & set("\x1b\x07\x9b")


def test_photos_of_other_formats_are_counted(folder, capsys):
    for name in ("a.heic", "b.HEIC", "below/c.gif"):
        (folder / "photos" / name).write_bytes(b"x")
    os.rename("photos/grey.jpg", "photos/grey.jfif")
    assert colorize("photos", "-o", "out") == 0
    out = capsys.readouterr().out
    assert "\n3 photos left out" in out and " .gif .heic\n" in out and "3 photos coloured" in out
    assert "out/grey.jfif" in made(folder)


def test_a_folder_that_may_not_be_looked_into(folder, monkeypatch, capsys):
    (folder / "out/below").mkdir(parents=True)

    def refusing(look):
        def looked(path="."):
            if os.fspath(path).endswith("photos/below"):
                raise PermissionError(13, "Permission denied", path)
            return look(path)
        return looked
    for name in "scandir", "listdir":       # for root, chmod forbids nothing
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    assert colorize("photos", "-o", "out") == 1
    assert "colorize: photos/below: Permission denied\n" in capsys.readouterr().err
    assert made("out") == ["deep.png", "grey.jpg"]


def test_taste(folder):
    def seen(*flags):
        assert colorize("photos/deep.png", "-o", "x.png", "--force", *flags) == 0
        return lab("x.png")[40:50, 50:60, 1:].mean((0, 1))
    assert np.abs(seen("--saturation", "0")).max() < 0.1
    assert np.abs(seen("--saturation", "1") - ONE).max() < 0.7
    model = models.build("nano", width=0.1)
    mix = model.bins.centres[(model.bins.centres[:, 0] == 20) & np.isin(model.bins.centres[:, 1], [20, 40, 60])]
    assert len(mix) == 3
    model.net.scores.b.value[...] = -30
    for centre, score in zip(mix, (2.0, 0.0, 1.0)):
        model.net.scores.b.value[(model.bins.centres == centre).all(1)] = score
    model.net.scores.w.value[...] = 0
    save_model("mixed.safetensors", model)
    for T in (1, 0.25, 3):
        share = np.exp(np.array([2.0, 0.0, 1.0]) / T)
        wanted = share @ mix / share.sum()
        got = seen("--saturation", "1", "--weights", "mixed.safetensors", "--temperature", T)
        assert np.abs(got - wanted).max() < 0.7, T


def test_hints(folder):
    picture = np.full((90, 120), 150, "uint8")
    picture[20:70, 30:80] = 90
    Image.fromarray(picture).save("plain.png")
    assert colorize("plain.png", "--hint", "50,40,#3050a0", "--saturation", "1") == 0
    got, blue = lab("plain.color.png"), need("skimage.color").rgb2lab(np.array([[[0x30, 0x50, 0xa0]]]) / 255)[0, 0]
    assert np.abs(got[30:60, 40:70, 1:] - blue[1:]).max() < 3       # lightness is the photo's
    outside = np.ones((90, 120), bool)
    outside[15:75, 25:85] = False
    assert np.abs(got[outside][:, 1:] - ONE).max() < 2


def test_compare(folder):
    assert colorize("photos/grey.jpg", "--compare") == 0
    both, old = lab("photos/grey.compare.jpg"), lab("photos/grey.jpg")
    assert both.shape == (90, 240, 3) and np.abs(both[:, :112, 1:]).max() < 3
    assert np.abs(both[:, 128:, 1:].mean((0, 1)) - np.array(ONE) * SATURATION).max() < 2
    assert np.abs(both[:, :112, 0] - old[:, :112, 0]).mean() < 1


def test_the_mean_colour_and_nothing_written(folder, capsys):
    before = made(folder)
    for flags, said in ((), "a* 20.00, b* 40.00"), (("--saturation", "0.5"), "a* 10.00, b* 20.00"):
        assert colorize("photos", "--mean", *flags) == 0
        assert sorted(capsys.readouterr().out.splitlines()) == [
            f"photos/{name}: mean {said}" for name in ("below/sepia.png", "deep.png", "grey.jpg")]
    assert made(folder) == before
    assert colorize("photos", "--mean", "-o", "x") == 2


def test_a_model_of_one_mean_colour(folder, capsys):
    model = models.build("mean-cnn1", size=128)
    save_model("mean.safetensors", model)
    assert colorize("photos/grey.jpg", "--weights", "mean.safetensors") == 0
    assert colorize("photos/grey.jpg", "--weights", "mean.safetensors", "--mean") == 0
    assert "mean a* " in capsys.readouterr().out
    assert colorize("photos/grey.jpg", "--weights", "mean.safetensors", "--temperature", "0.4", "--force") == 2
    err = capsys.readouterr().err
    assert "mean-cnn1" in err and "--temperature" in err


def test_a_photo_that_is_in_colour_is_mentioned(folder, capsys):
    colours = np.zeros((40, 40, 3), "uint8")
    colours[:, :20], colours[:, 20:] = [220, 40, 30], [30, 80, 220]
    Image.fromarray(colours).save("colours.png")
    assert colorize("colours.png", "photos/grey.jpg", "-o", "out") == 0
    assert f"\ncolours.png: {batch.IN_COLOUR}\n" in capsys.readouterr().out


def test_on_a_gpu(folder, cuda_on_cpu, monkeypatch):
    monkeypatch.delattr(cuda_on_cpu.cuda.Stream, "begin_capture")       # as in CuPy before CUDA graphs
    try:
        assert colorize("photos", "-o", "gpu", "--device", "cuda") == 0
    finally:
        mc.device("cpu")
    assert colorize("photos", "-o", "cpu", "--device", "cpu") == 0
    for name in made("cpu"):
        assert np.abs(lab(f"cpu/{name}") - lab(f"gpu/{name}")).max() < 2


def test_how_many_pixels_models_see(weights):
    model = shipped.shipped()
    assert model.size == 32
    assert Painter(model).model.working_size(800, 400) == (64, 32)
    assert Painter(models.build("faces")).model.working_size(900, 600) == (128, 128)


# ------------------------------------------------------------------ wrong calls


@pytest.mark.parametrize("argv, text", [
    ("nothing.jpg", "nothing.jpg"),
    ("photos/grey.jpg --saturation much", "at least 0 and at most 100, got 'much'"),
    ("photos/grey.jpg --saturation 1e30", "at least 0 and at most 100, got '1e30'"),
    ("photos/grey.jpg --temperature 0", "above 0, got '0'"),
    ("photos/grey.jpg --hint 1,2,blue", "expected x,y,#rrggbb"),
    ("photos --hint 1,2,#0000ff", "--hint is for one photo, and there are 3"),
    ("photos/grey.jpg --model zhang", "weights of zhang"),
    ("photos/grey.jpg --model resnet", "invalid choice: 'resnet'"),
    ("photos/grey.jpg --weights photos/grey.jpg", "photos/grey.jpg is not"),
    ("photos/grey.jpg --weights gone.pth", "No such file or directory: gone.pth"),
    ("photos/grey.jpg --weights weights.safetensors --model jetson", "weights of nano, not of jetson"),
    ("photos/grey.jpg --device tpu", "expected 'cpu', 'cuda'"),
    ("photos/grey.jpg -o photos/grey.jpg --force", "never overwritten"),
    ("photos -o photos --force", "never overwritten"),
    ("photos/grey.jpg --mean --force", "--mean writes nothing"),
    ("photos/grey.jpg --sat 2", "unrecognized arguments: --sat 2"),
    ("", "the following arguments are required: PHOTO"),
])
def test_wrong_calls(folder, weights, capsys, argv, text):
    shutil.copy(str(weights), "weights.safetensors")
    before = made(folder)
    try:
        assert colorize(*argv.split()) == 2
    except SystemExit as e:                 # from the parser
        assert e.code == 2
    out, err = capsys.readouterr()
    assert text in err and err.startswith("colorize: ") and err.count("\n") == 1 and "Traceback" not in err
    assert made(folder) == before


def test_a_hint_outside_of_the_photo_is_an_error_of_that_photo(folder, capsys):
    assert colorize("photos/grey.jpg", "--hint", "500,2,#0000ff") == 1
    err = capsys.readouterr().err
    assert err.startswith("colorize: photos/grey.jpg: ") and "500,2" in err and "120 x 90 pixels" in err


def test_weights_that_do_not_ship(folder, capsys, monkeypatch):
    monkeypatch.setattr(shipped, "FILE", "/nowhere/nano.safetensors")
    assert colorize("photos/grey.jpg") == 2
    err = capsys.readouterr().err
    assert err.startswith("colorize: ") and "/nowhere/nano.safetensors" in err and "--weights" in err


def test_damaged_weights(folder, capsys):
    model = models.build("nano", width=0.1, size=32)
    model.net.scores.b.value[...] = np.nan
    save_model("nan.safetensors", model)
    assert colorize("photos/grey.jpg", "--weights", "nan.safetensors") == 1
    assert "its weights are damaged" in capsys.readouterr().err
    assert not os.path.exists("photos/grey.color.jpg")
