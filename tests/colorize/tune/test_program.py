"""Tuning: what is varied, the four searches over a stand-in for the trainer, going on, errors; the real one."""
import json
import math
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorize import cli
from colorize.metrics import table as metrics
from colorize.metrics.published import MEASURES
from colorize.train import program as train
from colorize.tune import heat
from colorize.tune import program as tune
from colorize.tune.trials import name_of

from ...tools import need


class Trainer:
    """A stand-in for colorize.train.main: its loss is `f(flags)`, and it is as strict about its directories."""

    def __init__(self, f):
        self.f, self.calls, self.fail = f, [], {}

    def __call__(self, argv):
        self.calls.append(argv)
        given, i = {}, 0
        while i < len(argv):                                        # --flag=text or --flag text
            flag, equals, text = argv[i].partition("=")
            given[flag[2:]] = text if equals else argv[i + 1]
            i += 1 if equals else 2
        if len(self.calls) in self.fail:
            raise self.fail[len(self.calls)]
        path = Path(given.pop("resume", None) or given.pop("out"))
        config = path / "config.json"
        if "--resume" in argv:
            given = {**json.loads(config.read_text()), **given}
        else:
            assert not config.exists()
            path.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps(given))
        print("a line of the trainer's")
        loss = self.f(given)
        if isinstance(loss, BaseException):
            raise loss
        if loss == "stop":
            return 130
        rows = {"model": {"loss": loss, "psnr": 20 - (loss or 0)}, "grey": {"loss": 9.0, "psnr": 11.0},
                "mean ab": {"loss": 8.0, "psnr": 12.0}}
        (path / "result.json").write_text(json.dumps({"rows": rows, "seconds": 1.5, "step": 3}))
        return 0


def tuned(tmp_path, trainer, *args, behind=("--data", "scenes")):
    argv = [*map(str, args), "--out", str(tmp_path / "t"), "--", *behind]
    return tune.main(argv, trainer)


FACES = "--data", "scenes", "--model", "faces"


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "t" / "trials.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------ what is varied


def test_lists_and_ranges():
    varied = tune.space(["lr=1e-5..1e-2", "width=-1..3", "epochs=1..100", "last=relu,tanh"])
    assert varied["last"] == tune.Choice(["relu", "tanh"]) and varied["epochs"].whole and not varied["lr"].whole
    assert [tune.at(varied["lr"], u) for u in (0, 0.5, 1)] == ["1e-05", "0.0003162", "0.01"]
    assert [tune.at(varied["width"], u) for u in (0, 0.5, 1)] == ["-1", "1", "3"]
    assert [tune.at(varied["epochs"], u) for u in (0, 0.5, 1)] == ["1", "10", "100"]
    assert [tune.at(varied["last"], u) for u in (0, 0.49, 0.5, 1)] == ["relu", "relu", "tanh", "tanh"]


def test_the_documents_commands_parse():
    text = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = [shlex.split(line)[3:] for line in text.splitlines() if line.startswith("python -m colorize.tune")]
    assert [command[0] for command in commands] == ["grid", "hyperband"]
    for command in commands:
        cut = command.index("--")
        assert tune.asked(tune.flags().parse_args(command[:cut]), command[cut + 1:])
        assert train.flags().parse_args(command[cut + 1:])


def test_draws_repeat_and_cover_the_range():
    varied = tune.space(["lr=1e-4..1", "last=a,b"])
    draws = [tune.drawn(varied, 5, n) for n in range(200)]
    assert draws[7] == tune.drawn(varied, 5, 7) != tune.drawn(varied, 6, 7)
    exponents = np.log10([float(d["lr"]) for d in draws])
    assert abs(exponents.mean() + 2) < 0.3 and exponents.min() < -3.7 and exponents.max() > -0.3
    assert 60 < sum(d["last"] == "a" for d in draws) < 140


def test_names_of_folders_differ_and_hold_no_odd_letters():
    assert name_of({"lr": "1e-3", "last": "tanh"}) == "lr=1e-3,last=tanh"
    odd = [name_of({"init": text}) for text in ("a/b.pth", "a_b.pth", "x" * 500)]
    assert len(set(odd)) == 3 and all("/" not in name and len(name) < 140 for name in odd)


# ------------------------------------------------------------------ the searches


def test_grid_tries_every_combination_once(tmp_path, capsys):
    trainer = Trainer(lambda given: abs(math.log10(float(given["lr"])) + 4) + float(given["epochs"]) / 100)
    assert tuned(tmp_path, trainer, "grid", "--vary", "lr=1e-3,1e-4,1e-5", "--vary", "epochs=1,5") == 0
    asked = [tuple(arg for arg in call if arg.startswith(("--lr", "--epochs"))) for call in trainer.calls]
    assert asked == [(f"--lr={lr}", f"--epochs={n}") for lr in ("1e-3", "1e-4", "1e-5") for n in ("1", "5")]
    assert all(call[:2] == ["--data", "scenes"] for call in trainer.calls)
    said = capsys.readouterr().out
    assert "6 trials" in said and "a line of the trainer's" not in said
    table = (tmp_path / "t" / "table.txt").read_text().splitlines()
    assert table[0].split()[:4] == ["trial", "lr", "epochs", "loss"]
    assert [line.split()[0] for line in table[1:3]] == ["3", "4"] and table[-2].split()[:2] == ["grey", "9"]
    command = said[said.index("python -m colorize.train"):].splitlines()[0]
    assert shlex.split(command)[3:] == ["--data", "scenes", "--lr=1e-4", "--epochs=1"]
    assert (tmp_path / "t" / "trials" / "lr=1e-4,epochs=1" / "result.json").exists()
    assert "a line of" in (tmp_path / "t" / "logs" / "lr=1e-4,epochs=1.txt").read_text()


def test_a_measure_of_which_more_is_better(tmp_path, capsys):
    trainer = Trainer(lambda given: float(given["lr"]))
    tuned(tmp_path, trainer, "grid", "--vary", "lr=1,3,2", "--by", "psnr")
    assert "--lr=1\n" in capsys.readouterr().out
    order = [line.split()[1] for line in (tmp_path / "t" / "table.txt").read_text().splitlines()[1:4]]
    assert order == ["1", "2", "3"]


def test_random_draws_and_never_repeats(tmp_path):
    trainer = Trainer(lambda given: float(given["width"]))
    tuned(tmp_path, trainer, "random", "--vary", "width=1..4", "--trials", 30, "--seed", 4)
    widths = [line["flags"]["width"] for line in lines(tmp_path)]
    assert len(trainer.calls) == len(widths) == len(set(widths)) == 4       # whole numbers: there are no more


def test_golden_finds_the_best_learning_rate(tmp_path):
    trainer = Trainer(lambda given: math.log(float(given["lr"]) / 0.02) ** 2 + (int(given["batch"]) - 40) ** 2 / 1e3)
    tuned(tmp_path, trainer, "golden", "--vary", "lr=1e-3", "--vary", "batch=8..128", "--dxmin", 0.05)
    best = min(lines(tmp_path), key=lambda line: line["rows"]["model"]["loss"])["flags"]
    assert abs(math.log(float(best["lr"]) / 0.02)) < 0.1 and abs(int(best["batch"]) - 40) <= 4
    assert trainer.calls[0][2:4] == ["--lr=0.001", "--batch=32"]
    assert all(8 <= int(line["flags"]["batch"]) <= 128 for line in lines(tmp_path))


def test_golden_stays_where_flags_can_be(tmp_path, capsys):
    """Whole numbers from 1 on; what the trainer refuses is out of reach, and no end."""
    trainer = Trainer(lambda given: int(given["batch"]) + float(given["warmup"]))
    assert tuned(tmp_path, trainer, "golden", "--vary", "batch=2", "--vary", "warmup=0.5") == 0
    found = [line["flags"] for line in lines(tmp_path)]
    assert min(int(flags["batch"]) for flags in found) == 1

    def refuses(given):
        return ValueError("lr is too large") if float(given["lr"]) > 0.5 else -float(given["lr"])
    assert tune.main(["golden", "--vary", "lr=0.3", "--out", str(tmp_path / "u"), "--"], Trainer(refuses)) == 0
    assert "out of reach: --lr=0.8155: lr is too large" in capsys.readouterr().out
    with pytest.raises(ValueError, match="lr is too large"):
        tune.main(["golden", "--vary", "lr=0.7", "--out", str(tmp_path / "v"), "--"], Trainer(refuses))
    nan = Trainer(lambda given: FloatingPointError("the loss is NaN"))
    with pytest.raises(ValueError, match="golden .* no number .* --vary"):
        tune.main(["golden", "--vary", "lr=0.7", "--out", str(tmp_path / "w"), "--"], nan)


def test_hyperband_goes_on_with_the_best(tmp_path, capsys):
    trainer = Trainer(lambda given: abs(math.log10(float(given["lr"])) + 3) + 1 / float(given["steps"]))
    tuned(tmp_path, trainer, "hyperband", "--vary", "lr=1e-6..1", "--resource", "steps", "--most", 9)
    assert "22 trials" in capsys.readouterr().out and len(trainer.calls) == 22
    found = lines(tmp_path)
    assert [line["resource"] for line in found[:13]] == [1] * 9 + [3] * 3 + [9]
    first = sorted(found[:9], key=lambda line: line["rows"]["model"]["loss"])
    assert sorted(line["name"] for line in found[9:12]) == sorted(line["name"] for line in first[:3])
    for call, line in zip(trainer.calls, found):
        again = [other for other in found[:found.index(line)] if other["name"] == line["name"]]
        assert ("--resume" in call) == bool(again) and f"--steps={line['resource']}" in call


# ------------------------------------------------------------------ going on


def test_an_interrupted_search_goes_on_and_repeats_nothing(tmp_path, capsys):
    stopped = {"1e-4": True}
    trainer = Trainer(lambda given: "stop" if stopped.get(given["lr"]) else float(given["lr"]))
    assert tuned(tmp_path, trainer, "grid", "--vary", "lr=1e-3,1e-4,1e-5") == 130
    said = capsys.readouterr().out
    assert f"python -m colorize.tune --resume {tmp_path / 't'}" in said and len(trainer.calls) == 2
    stopped.clear()
    assert tune.main(["--resume", str(tmp_path / "t")], trainer) == 0
    path = str(tmp_path / "t" / "trials" / "lr=1e-4")
    assert trainer.calls[2] == ["--resume", path] and trainer.calls[3][2] == "--lr=1e-5" and len(trainer.calls) == 4
    assert len(lines(tmp_path)) == 3
    tune.main(["--resume", str(tmp_path / "t")], trainer)           # all is known: only the table again
    assert len(trainer.calls) == 4


def test_every_search_ends_the_same_if_it_is_interrupted_anywhere(tmp_path):
    def loss(given):
        return (math.log(float(given["lr"])) + 5) ** 2 + 1 / float(given.get("epochs", 1))
    for search, more in (("golden", ["--vary", "lr=1e-3"]), ("hyperband", ["--vary", "lr=1e-4..1", "--most", "9"]),
                         ("random", ["--vary", "lr=1e-4..1", "--trials", "9"])):
        whole, parts = tmp_path / search / "whole", tmp_path / search / "parts"
        tune.main([search, *more, "--out", str(whole), "--"], Trainer(loss))
        trainer = Trainer(loss)
        trainer.fail = {n: KeyboardInterrupt() for n in (2, 5, 6)}
        argv = [search, *more, "--out", str(parts), "--"]
        for _ in range(3):
            assert tune.main(argv, trainer) == 130
            argv = ["--resume", str(parts)]
        assert tune.main(argv, trainer) == 0
        assert (parts / "trials.jsonl").read_text() == (whole / "trials.jsonl").read_text()


def test_a_line_that_a_crash_cut_short_is_done_again(tmp_path):
    trainer = Trainer(lambda given: float(given["lr"]))
    tuned(tmp_path, trainer, "grid", "--vary", "lr=1,2")
    path = tmp_path / "t" / "trials.jsonl"
    path.write_text(path.read_text()[:-20])
    tune.main(["--resume", str(tmp_path / "t")], trainer)
    assert len(lines(tmp_path)) == 2 and trainer.calls[2] == ["--resume", str(tmp_path / "t" / "trials" / "lr=2")]


def test_paths_are_kept_whole(tmp_path):
    trainer = Trainer(lambda given: 1.0)
    behind = ["--data", "some/photos", "--val=v.txt", "--init", "/w"]
    tuned(tmp_path, trainer, "grid", "--vary", "lr=1", behind=behind)
    assert trainer.calls[0][:5] == ["--data", os.path.abspath("some/photos"), f"--val={os.path.abspath('v.txt')}",
                                    "--init", "/w"]


# ------------------------------------------------------------------ what can go wrong


def test_a_trial_that_fails_is_an_answer(tmp_path, capsys):
    nan = FloatingPointError("the loss is NaN: begin again by --out ANOTHER")
    trainer = Trainer(lambda given: nan if given["lr"] == "9" else float(given["lr"]))
    assert tuned(tmp_path, trainer, "grid", "--vary", "lr=2,9,1") == 0
    table = (tmp_path / "t" / "table.txt").read_text().splitlines()
    assert [line.split()[1] for line in table[1:4]] == ["1", "2", "9"] and table[3].split()[-1] == "failed"
    assert "lr=9: failed: the loss is NaN\n" in capsys.readouterr().out, "what to do is not for a search"
    with pytest.raises(ValueError, match="all 1 trials failed, .* the loss is NaN"):
        tune.main(["grid", "--vary", "lr=9", "--out", str(tmp_path / "u"), "--"], trainer)


def test_a_measure_that_is_no_number_is_the_worst(tmp_path, capsys):
    trainer = Trainer(lambda given: None if given["lr"] == "2" else float(given["lr"]))
    assert tuned(tmp_path, trainer, "grid", "--vary", "lr=2,3,1") == 0
    table = (tmp_path / "t" / "table.txt").read_text().splitlines()
    assert [line.split()[1:3] for line in table[1:4]] == [["1", "1"], ["3", "3"], ["2", "-"]]
    assert "lr=2: loss nan" in capsys.readouterr().out


def test_a_search_of_an_older_version_goes_on(tmp_path):
    """What its config.json does not say is as it is by default."""
    trainer = Trainer(lambda given: float(given["lr"]))
    tuned(tmp_path, trainer, "grid", "--vary", "lr=1,2")
    config = tmp_path / "t" / "config.json"
    config.write_text(json.dumps({"tune": {"search": "grid", "vary": ["lr=1,2,3"]}}))
    assert tune.main(["--resume", str(tmp_path / "t")], trainer) == 0
    assert len(trainer.calls) == 3 and "--lr=3" in trainer.calls[2]


def test_anything_else_ends_the_search(tmp_path):
    trainer = Trainer(lambda given: ValueError("there is no photos"))
    with pytest.raises(ValueError, match="there is no photos"):
        tuned(tmp_path, trainer, "grid", "--vary", "lr=1,2")
    assert len(trainer.calls) == 1


@pytest.mark.parametrize("argv, words", [
    ([], "name a search"),
    (["grid"], "name a search"),
    (["grid", "--vary", "lr"], "needs FLAG=VALUES"),
    (["grid", "--vary", "lr=1..2"], "a range"),
    (["random", "--vary", "lr=2..1"], "LOW below HIGH"),
    (["random", "--vary", "lr=a..b"], "range as LOW..HIGH"),
    (["grid", "--vary", "lr=1", "--vary", "lr=2"], "--vary lr "),
    (["grid", "--vary", "out=a,b"], "a folder of its own"),
    (["golden", "--vary", "last=tanh"], "above 0: give --vary last"),
    (["golden", "--vary", "lr=1,2"], "above 0: give --vary lr"),
    (["hyperband", "--vary", "epochs=1..9"], "leave out --epochs"),
    (["hyperband", "--vary", "lr=1,2", "--", "--steps=9"], "leave out --steps"),
    (["grid", "--vary", "lr=1", "--", "--lr=2"], "it is varied"),
    (["grid", "--vary", "lr=1", "--", "--out", "x"], "a folder of its own"),
    (["grid", "--vary", "lr=1", "--by", "beauty", "--"], "choose one of loss, ab mse"),
    (["grid", "--vary", "lr=1", "--by", "PSNR", "--"], "'PSNR'"),
    (["grid", "--vary", "lr=1", "--data", "p/"], "... -- --data p/"),
    (["grid", "--vary", "learning-rate=1"], "unrecognized arguments: --learning-rate=1"),
    (["grid", "--vary", "lr=1,none"], "argument --lr: expected a number above 0, got 'none'"),
    (["grid", "--vary", "last=tanh,relu"], "nano has no option last"),
    (["random", "--vary", "warmup=0.5..2"], "expected a number from 0 to 1, got '2'"),
    (["random", "--vary", "lr=1,2", "--vary", "optimizer=adam,lion"], "there is no optimizer 'lion'"),
    (["golden", "--vary", "lr=1", "--", "--model", "unet"], "invalid choice: 'unet'"),
    (["--resume", "BROKEN"], "config.json of a search"),
    (["--resume", "nowhere"], "holds no search"),
    (["--resume", "RUN"], "holds a training run"),
    (["--resume", "RUN", "--seed", "2"], "leave out everything else"),
])
def test_errors_are_one_sentence(argv, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RUN").mkdir()
    (tmp_path / "RUN" / "config.json").write_text("{}")
    (tmp_path / "BROKEN").mkdir()
    (tmp_path / "BROKEN" / "config.json").write_text("{")
    trainer = Trainer(lambda given: 1.0)
    assert cli.status(lambda a: tune.main(a, trainer), "colorize.tune", argv) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert words in said[-1] and not trainer.calls and sorted(os.listdir(".")) == ["BROKEN", "RUN"]


def test_two_searches_in_one_folder(tmp_path, capsys):
    def nested(given):
        again = ["--resume", str(tmp_path / "t")]
        assert cli.status(lambda a: tune.main(a, trainer), "colorize.tune", again) == 2
        return 1.0
    trainer = Trainer(nested)
    assert tuned(tmp_path, trainer, "grid", "--vary", "lr=1") == 0
    assert "is in use by another program" in capsys.readouterr().err


# ------------------------------------------------------------------ pictures, the real trainer


def test_the_heat_map_has_a_cell_for_each_trial(tmp_path, monkeypatch):
    need("matplotlib")
    from matplotlib.figure import Figure
    drawn = []
    monkeypatch.setattr(Figure, "tight_layout", lambda self: drawn.append(self))
    trainer = Trainer(lambda given: int(given["epochs"]) * 100 + int(given["lr"]) + (given["last"] == "tanh") / 2)
    tuned(tmp_path, trainer, "grid", "--vary", "lr=1,2,3", "--vary", "epochs=4,5", "--vary", "last=relu,tanh",
          behind=FACES)
    panels = drawn[0].axes
    assert [axes.get_title() for axes in panels] == ["last=relu", "last=tanh"]
    assert panels[1].get_xlabel() == "lr" and panels[1].get_ylabel() == "epochs"
    texts = {text.get_position(): text.get_text() for text in panels[1].texts}
    assert texts == {(j, i): f"{(4 + i) * 100 + j + 1.5:.4g}" for i in range(2) for j in range(3)}
    assert np.asarray(Image.open(str(tmp_path / "t" / "tune.png"))).std() > 5


def test_ranges_are_drawn_as_dots(tmp_path, monkeypatch):
    need("matplotlib")
    from matplotlib.figure import Figure
    drawn = []
    monkeypatch.setattr(Figure, "tight_layout", lambda self: drawn.append(self))
    trainer = Trainer(lambda given: float(given["lr"]))
    tuned(tmp_path, trainer, "random", "--vary", "lr=1e-4..1", "--vary", "last=relu,tanh", "--trials", 8,
          behind=FACES)
    lr, last = drawn[0].axes
    assert lr.get_xscale() == "log" and len(lr.collections[0].get_offsets()) == 8
    assert {label.get_text() for label in last.get_xticklabels()} <= {"relu", "tanh"}


def test_without_matplotlib_there_is_no_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(heat, "missing", lambda name: True)
    assert tuned(tmp_path, Trainer(lambda given: 1.0), "grid", "--vary", "lr=1,2") == 0
    assert "without matplotlib" in capsys.readouterr().out and not (tmp_path / "t" / "tune.png").exists()


@pytest.mark.slow
def test_with_the_real_trainer(tmp_path):
    behind = ["--size", "32", "--width", "0.1", "--val-photos", "8", "--batch", "8", "--device", "cpu"]
    search = ["hyperband", "--vary", "lr=1e-3..1e-1", "--resource", "steps", "--most", "3"]
    assert tune.main([*search, "--out", str(tmp_path / "t"), "--", *behind]) == 0
    found = lines(tmp_path)
    assert [line["resource"] for line in found] == [1, 1, 1, 3, 3, 3][:len(found)] and len(found) >= 5
    assert all(line["step"] == line["resource"] for line in found)
    assert list(found[0]["rows"]["model"]) == ["loss", *metrics.measures(), *MEASURES], "what --by may name"
    assert all((tmp_path / "t" / "trials" / line["name"] / "best.safetensors").exists() for line in found)
