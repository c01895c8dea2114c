"""Evaluation: what it opens, the table against plain loops, the CSV file, the sheets, published measures, errors."""
import csv
import json
import math
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn as mc
from colorize import cli
from colorize import models
from colorize.color.spaces import lab_to_rgb, rgb_to_lab, rgb_to_luminance
from colorize.evaluate import answers
from colorize.evaluate import program as evaluate
from colorize.evaluate.comparing import Comparison
from colorize.metrics import published
from colorize.weights.own import save_model

from ...tools import missing, need

ROOT = Path(__file__).resolve().parents[3]
SIZES = [(40, 60), (60, 40), (50, 50), (48, 90), (44, 44), (41, 70), (64, 48), (45, 45)]


def photo(i):
    """A smooth colour picture (h, w, 3), uint8, another for each i."""
    h, w = SIZES[i % len(SIZES)]
    y, x = np.mgrid[:h, :w] / 40
    lab = np.stack([50 + 20 * np.sin(3 * x + i), 30 * np.cos(y + i), 35 * np.sin(x - y + 2 * i)], -1)
    return lab_to_rgb(lab, uint8=True)


@pytest.fixture(scope="module")
def truths(tmp_path_factory):
    """Eight photos, one of them in a folder below."""
    root = tmp_path_factory.mktemp("truths")
    (root / "more").mkdir()
    for i in range(8):
        Image.fromarray(photo(i)).save(str(root / ("more" if i == 7 else "") / f"p{i}.png"))
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's directory as the trainer leaves it."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    folder.mkdir()
    mc.seed(3)
    model = models.build("nano", width=0.1, size=64)
    save_model(str(folder / "best.safetensors"), model, step=1)
    (folder / "config.json").write_text("{}")
    return folder


def evaluated(tmp_path, *args):
    """(the rows, the folder) of a run of the program."""
    out = tmp_path / "out"
    evaluate.main([*map(str, args), "--out", str(out)])
    return json.loads((out / "result.json").read_text())["rows"], out


# ------------------------------------------------------------------ what it opens


def test_a_run_a_file_and_an_option_of_its_own(run):
    first, second, third = answers.opened([str(run), str(run / "best.safetensors"), f"{run},decode=mode,label=mode"])
    assert [a.label for a in (first, second, third)] == ["first", "first 2", "mode"]
    assert first.options["width"] == 0.1 and third.options["decode"] == "mode" and first.options["decode"] == "mean"
    L = rgb_to_luminance(photo(0))[..., 0]
    kept = models.build("nano", width=0.1, size=64)
    mc.load(str(run / "best.safetensors"), kept)
    assert np.allclose(first.ab(L), kept.colorize(L), atol=1e-3) and not np.allclose(first.ab(L), third.ab(L), atol=1)


def test_weights_that_do_not_say_their_model(tmp_path):
    model = models.build("jetson", width=0.1, size=64)
    mc.save(str(tmp_path / "w.safetensors"), model)
    path = str(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="add --model, one of jetson"):
        answers.opened([path])
    for opened in (answers.opened([path], "jetson", {"width": "0.1"}),
                   answers.opened([f"{path},model=jetson,width=0.1"])):
        assert opened[0].name == "jetson" and opened[0].parameters == sum(p.size for p in mc.params(model))
    assert answers.opened([path], "jetson", {"width": "0.1"})[0].label == "w"


def test_weights_that_name_a_model_without_its_options(tmp_path):
    model = models.build("jetson", width=0.1, size=64)
    for notes in ({"model": "jetson"}, {"model": "jetson", "options": "3"}):
        mc.save(str(tmp_path / "w.safetensors"), model, notes=notes)
        with pytest.raises(ValueError, match="does not say which options"):
            answers.opened([str(tmp_path / "w.safetensors")])


def test_a_published_pytorch_file(tmp_path):
    torch = need("torch")
    model = models.build("zhang", width=0.05)
    from colorize.weights import layouts
    state = {}
    for place in layouts.torch_zhang(model):
        for name, shape in zip(place.names, place.shapes):
            state[name] = torch.full(shape, 0.01)
    torch.save(state, str(tmp_path / "z.pth"))
    opened = answers.opened([str(tmp_path / "z.pth")], None, {"width": "0.05"})[0]
    assert opened.name == "zhang" and "release" in opened.about


def test_the_published_checkpoint():
    data = os.environ.get("COLORIZE_DATA")
    if not data:
        missing("COLORIZE_DATA", "COLORIZE_DATA is not set: the published checkpoint is there")
    opened = answers.opened([os.path.join(data, "published", "jetson")])[0]
    assert (opened.name, opened.label, opened.parameters) == ("jetson", "jetson", 297_210)


def test_pictures_are_found_by_path_then_by_name(truths, tmp_path):
    for name in ("p0.jpg", "deep/p7.png", "a/p1.png", "b/p1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(str(tmp_path / name))
    folder = answers.opened([str(tmp_path)])[0]
    assert folder.picture("p0.png") == str(tmp_path / "p0.jpg")
    assert folder.picture("more/p7.png") == str(tmp_path / "deep/p7.png")
    assert folder.picture("p1.png") is None and folder.picture("b/p1.jpg") == str(tmp_path / "b/p1.png")
    assert folder.picture("p3.png") is None


# ------------------------------------------------------------------ the table


def test_a_folder_of_the_truths_themselves_is_perfect(truths, tmp_path):
    rows, _ = evaluated(tmp_path, f"{truths},label=same", "--photos", truths, "--size", 40)
    for measure, number in rows["truth"].items():
        assert rows["same"][measure] == pytest.approx(number, abs=1e-6), measure
    assert rows["same"]["mean colour r2"] == 1 and rows["mean ab"]["mean colour r2"] == 0


def test_the_numbers_are_those_of_a_plain_loop(truths, run, tmp_path):
    rows, out = evaluated(tmp_path, run, "--photos", truths, "--size", 32, "--mean-ab", 2, 3, "--oracle")
    model = models.build("nano", width=0.1, size=64)
    mc.load(str(run / "best.safetensors"), model)
    sums, pixels, psnrs, means = np.zeros(3), 0, [], []
    for path in sorted(truths.rglob("*.png")):
        image = Image.open(str(path))
        scale = 32 / min(image.size)
        rgb = np.asarray(image.resize(tuple(round(side * scale) for side in image.size), Image.BICUBIC))
        lab = rgb_to_lab(rgb).astype("float64")
        L, true = lab[..., 0], lab[..., 1:]
        ab = model.fused().colorize(L.astype("float32"))
        own = np.broadcast_to(true.mean((0, 1)), true.shape)
        sums += [((guess - true) ** 2).sum() / 2 for guess in (ab, np.array([2, 3]), own)]
        pixels += L.size
        coloured = lab_to_rgb(np.concatenate([lab[..., :1], ab.astype("float64")], -1))
        psnrs.append(-10 * math.log10(((coloured - lab_to_rgb(lab)) ** 2).mean()))
        means.append((ab.mean((0, 1)), true.mean((0, 1))))
    for row, total in zip(("first", "mean ab", "photo's mean"), sums):
        assert rows[row]["ab mse"] == pytest.approx(total / pixels, rel=1e-3)
    assert rows["first"]["psnr"] == pytest.approx(np.mean(psnrs), abs=0.01)
    said, is_ = (np.array(x) for x in zip(*means))
    r2 = 1 - ((said - is_) ** 2).sum() / ((is_ - [2, 3]) ** 2).sum()
    assert rows["first"]["mean colour r2"] == pytest.approx(r2, abs=1e-3)
    with open(str(out / "photos.csv"), newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8 * 4 and {line["answer"] for line in lines} == {"first", "grey", "mean ab", "photo's mean"}
    ours = [line for line in lines if line["answer"] == "first"]
    order = sorted(range(8), key=lambda i: str(sorted(truths.rglob("*.png"))[i].relative_to(truths)))
    assert [float(line["psnr"]) for line in ours] == pytest.approx([psnrs[i] for i in order], abs=0.02)
    assert all(min(int(line["height"]), int(line["width"])) == 32 for line in lines)


def test_several_side_by_side_and_the_pictures(truths, run, tmp_path):
    rows, out = evaluated(tmp_path, run, f"{run},decode=mode,label=mode", f"{truths},label=same", "--photos", truths,
                          "--size", 32, "--side-by-side", 3, "--extremes", 2, "--by", "ab mse", "--ssim", "none")
    assert list(rows) == ["first", "mode", "same", "grey", "mean ab", "truth"]
    assert rows["first"] != rows["mode"] and not any("ssim" in measure for measure in rows["same"])
    assert sorted(os.listdir(str(out))) == ["photos.csv", "result.json", "side-by-side.png", "table.txt",
                                            "worst-and-best-1.png", "worst-and-best-2.png", "worst-and-best-3.png"]
    sheet = np.asarray(Image.open(str(out / "side-by-side.png")))
    assert sheet.shape[1] == 5 * (240 + 4) + 4                      # input, three answers, truth
    worst = np.asarray(Image.open(str(out / "worst-and-best-1.png")))
    assert worst.shape[1] == 2 * (480 + 4) + 4
    assert "side by side" not in (out / "table.txt").read_text()


def test_the_worst_and_the_best_are_those_of_the_measure(tmp_path):
    comparison = Comparison(["m"], [0, 0], str(tmp_path), by="psnr", extremes=2, window=None)
    true = np.full((8, 8, 3), 128, "uint8")
    for i, error in enumerate([5, 40, 1, 20, 3, np.nan]):
        comparison.add(f"p{i}", true, {"m": np.full((8, 8, 2), error, "float32")})
    assert [e[3].split("\n")[0] for e in comparison.worst["m"]] == ["p5", "p1"]
    assert [e[3].split("\n")[0] for e in comparison.best["m"]] == ["p2", "p4"]
    comparison.finish()


def test_memory_does_not_grow_with_the_photos(tmp_path):
    comparison = Comparison(["m"], [0, 0], str(tmp_path), extremes=2, window=None)
    rgb, used = photo(2), []
    tracemalloc.start()
    for i in range(60):
        comparison.add(f"p{i}", rgb, {"m": np.full((*rgb.shape[:2], 2), i % 7, "float32")})
        used.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert used[-1] - used[20] < 40 * 8000                          # numbers; a photo's pixels alone are 7,500 bytes
    comparison.finish()


# ------------------------------------------------------------------ as published


def test_published_measures_by_hand(truths, tmp_path):
    rows, _ = evaluated(tmp_path, f"{truths},label=same", "--photos", truths, "--size", 36, "--as-published",
                        "--mean-ab", -4, 6)
    right, squares = [], np.zeros((0, 36, 36, 2))
    for path in sorted(truths.rglob("*.png")):
        rgb = np.asarray(Image.open(str(path)).resize((36, 36), Image.BICUBIC))
        ab = rgb_to_lab(rgb)[..., 1:].astype("float64")
        right.append((ab[..., 1] > ab[..., 0]).mean())
        squares = np.concatenate([squares, ((ab - [-4, 6]) ** 2)[None]])
    row = rows["mean ab"]
    assert row["colour-this accuracy"] == pytest.approx(np.mean(right), abs=1e-3)
    assert row["jetson mse"] == pytest.approx(squares.mean() * (2 / 255) ** 2, rel=1e-3)
    assert row["uf-faces mse a"] == pytest.approx(squares[..., 0].mean() / 255 ** 2, rel=1e-3)
    assert row["psnr b pooled"] == pytest.approx(-10 * math.log10(row["uf-faces mse b"]), abs=1e-3)
    assert rows["same"]["cs838 mse"] < 1e-9 < row["cs838 mse"] and row["ssim a as published"] < 1
    assert rows["same"]["uf-faces mse of mean b"] < 1e-12


def test_uv_ends_where_8_bits_end():
    lab = rgb_to_lab(np.zeros((33, 33, 3), "uint8") + np.array([255, 0, 0], "uint8")).astype("float64")
    measure = published.AsPublished()
    measure.add(lab[..., 0], lab[..., 1:], lab[..., 1:] * 0)
    u = 2 * 0.492 * (0 - 0.299)                                     # v is 1.23 without an end
    assert measure.result()["cs838 mse"] == pytest.approx((u ** 2 + 1) / 2, rel=2e-3)


def test_uv_is_that_of_opencv_s_formula():
    L, ab = np.full((33, 33), 60.0), np.zeros((33, 33, 2)) + [20.0, -10.0]
    r, g, b = lab_to_rgb(np.concatenate([L[..., None], ab], -1))[0, 0]
    y = 0.299 * r + 0.587 * g + 0.114 * b
    measure = published.AsPublished()
    measure.add(L, ab, ab * 0)
    u, v = 0.492 * (b - y) * 2, 0.877 * (r - y) * 2                # grey's are 0
    assert measure.result()["cs838 mse"] == pytest.approx((u ** 2 + v ** 2) / 2, rel=1e-3)


def test_every_published_number_belongs_to_a_model_and_a_measure(truths, tmp_path):
    rows, _ = evaluated(tmp_path, f"{truths},label=same", "--photos", truths, "--size", 32, "--as-published")
    for number in published.NUMBERS:
        assert number.measure in rows["same"], number
        known = {} if number.model == "grey" else models.options(number.model)
        assert set(number.options) <= set(known), number
    tanh = published.numbers("faces", {"last": "tanh"})
    assert {n.value for n in tanh if n.measure == "psnr a pooled"} == {36.522, 24.788}
    for n in published.NUMBERS:                                     # the two ways in which the report says the same
        if n.measure.startswith("psnr") and n.model == "faces":
            mse = next(m for m in published.NUMBERS if m.source == n.source and m.options == n.options and
                       m.measure == f"uf-faces mse {n.measure[5]}")
            assert n.value == pytest.approx(-10 * math.log10(mse.value), abs=0.03)


# ------------------------------------------------------------------ what can go wrong


def test_a_damaged_photo_and_a_missing_picture_are_left_out(truths, tmp_path, capsys):
    theirs, photos = tmp_path / "theirs", tmp_path / "photos"
    theirs.mkdir(), photos.mkdir()
    for i in range(4):
        Image.fromarray(photo(i)).save(str(photos / f"p{i}.png"))
        if i != 1:
            Image.fromarray(photo(i)).resize((20, 20)).save(str(theirs / f"p{i}.jpg"))
    (photos / "p2.png").write_bytes((photos / "p2.png").read_bytes()[:200])
    rows, out = evaluated(tmp_path, theirs, "--photos", photos, "--size", 32)
    said = capsys.readouterr()
    result = json.loads((out / "result.json").read_text())
    assert result["photos"] == 2 and set(result["left out"]) == {"p1.png", "p2.png"}
    assert said.err.count("p2.png") == 1 and "theirs has no picture of p1.png" in said.err
    assert "2 photos; 2 were left out" in said.out
    assert rows["theirs"]["ab mse"] < rows["grey"]["ab mse"]


@pytest.mark.parametrize("more", [[], ["--mean-ab", "2", "3"]])
def test_what_is_damaged_is_known_before_it_is_counted(truths, run, tmp_path, capsys, more):
    """With a mean that is given, too: in the plan, in what is shown, in what --as-published needs."""
    theirs, photos = tmp_path / "theirs", tmp_path / "photos"
    theirs.mkdir(), photos.mkdir()
    for i in range(8):
        Image.fromarray(photo(i)).save(str(photos / f"p{i}.png"))
        Image.fromarray(photo(i)).save(str(theirs / f"p{i}.png"))
    (photos / "p0.png").write_bytes(b"no photo")
    (theirs / "p2.png").write_bytes((theirs / "p2.png").read_bytes()[:200])
    (theirs / "p5.png").unlink()
    args = [str(theirs), "--photos", str(photos), "--size", "32", "--side-by-side", "5", "--ssim", "none", *more]
    assert cli.status(evaluate.main, "colorize.evaluate", [*args, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert f"photos: 5 of {photos}" in said.out and "; 3 are left out" in said.out
    assert [sum(name in line for line in said.err.splitlines()) for name in ("p0", "p2", "p5")] == [1, 1, 1]
    sheet = np.asarray(Image.open(str(tmp_path / "out" / "side-by-side.png")))
    assert sheet.shape[0] > 5 * 160, "as many as were asked for"
    args = [*args, "--as-published", "--out", str(tmp_path / "published")]
    assert cli.status(evaluate.main, "colorize.evaluate", args) == 2
    said = capsys.readouterr().err
    assert "--as-published needs 7 photos" in said and "got 5" in said
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize("args, words", [
    (["nowhere"], "there is no nowhere"),
    (["nowhere,width"], "PATH,key=value"),
    (["TRUTHS,decode=mode"], "decode"),
    (["RUN,skip=1"], "nano has no option skip"),
    (["RUN,label=grey"], "names must differ"),
    (["RUN", "--model", "nano", "--option", "width"], "--option needs KEY=VALUE"),
    (["RUN", "--limit", "3", "--as-published"], "needs 7 photos"),
    (["RUN", "--out", "TRUTHS"], "is not empty"),
    (["RUN", "--out", "TRUTHS/p0.png"], "is not a folder"),
    (["RUN", "--photos", "EMPTY"], "holds no photo"),
    (["RUN", "--photos", "DAMAGED"], "none of the 1 photos"),
    (["RUN,width=0.2"], "does not fit the model"),
    (["EMPTY"], "holds no photo"),
    (["BEGUN"], "has no weights yet"),
])
def test_errors_are_one_sentence(args, words, truths, run, tmp_path, capsys):
    (tmp_path / "empty").mkdir(), (tmp_path / "damaged").mkdir(), (tmp_path / "begun").mkdir()
    (tmp_path / "damaged" / "a.png").write_bytes(b"no photo")
    (tmp_path / "begun" / "config.json").write_text("{}")
    places = {"TRUTHS": truths, "RUN": run, "EMPTY": tmp_path / "empty", "DAMAGED": tmp_path / "damaged",
              "BEGUN": tmp_path / "begun"}
    for name, path in places.items():
        args = [arg.replace(name, str(path)) for arg in args]
    for flag, default in (("--photos", truths), ("--out", tmp_path / "out")):
        args += [] if flag in args else [flag, str(default)]
    assert cli.status(evaluate.main, "colorize.evaluate", args) == 2
    said = capsys.readouterr().err.strip().split("\n")
    assert words in said[-1] and said[-1].startswith("colorize.evaluate: ") and not (tmp_path / "out").exists()


def test_a_photo_that_does_not_fit_into_memory(truths, run, tmp_path, capsys):
    """It is refused before it is read at that size."""
    args = [str(run), "--photos", str(truths), "--out", str(tmp_path / "out"), "--size", "1000000", "--device", "cpu"]
    assert cli.status(evaluate.main, "colorize.evaluate", args) == 2
    said = capsys.readouterr().err
    assert "a photo of 1000000 pixels needs about" in said and "use a smaller --size" in said


def test_ctrl_c_leaves_nothing_unfinished(truths, run, tmp_path, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt
    monkeypatch.setattr(Comparison, "add", stop)
    args = [str(run), "--photos", str(truths), "--out", str(tmp_path / "out"), "--size", "32"]
    assert cli.status(evaluate.main, "colorize.evaluate", args) == 130
    assert os.listdir(str(tmp_path)) == []


def test_the_documents_commands_parse():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = [line.split()[3:] for line in text.splitlines() if line.startswith("python -m colorize.evaluate")]
    assert commands and all(evaluate.flags().parse_args(command).photos for command in commands)


def test_the_program_by_itself(truths, run, tmp_path):
    command = [sys.executable, "-m", "colorize.evaluate", str(run), "--photos", str(truths), "--size", "32", "--out",
               str(tmp_path / "out"), "--limit", "3", "--device", "cpu"]
    done = subprocess.run(command, cwd=str(ROOT), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    for words in ("photos: 3 of", "ciede2000", str(tmp_path / "out" / "table.txt")):
        assert words in done.stdout
