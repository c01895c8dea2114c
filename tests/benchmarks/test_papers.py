"""The experiments of docs/papers.md: commands that the programs accept."""
import pytest

from benchmarks.papers import program as papers
from colorize.evaluate import program as evaluate
from colorize.train import program as train


@pytest.fixture
def experiments(tmp_path):
    names = [f"{folder}/{i}.jpg" for folder in ("faces", "ncd", "other") for i in range(10)]
    for name in names:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    for part, chosen in (("train", names[::2]), ("val", names[1::2])):
        (tmp_path / "photos" / f"{part}.txt").write_text("\n".join(chosen))
    papers.lists(str(tmp_path / "photos"), str(tmp_path / "out"))
    return papers.Experiments(str(tmp_path / "photos"), str(tmp_path / "out"))


@pytest.mark.parametrize("document", papers.DOCUMENTS)
def test_commands_are_right(experiments, document):
    known = set()
    for step in getattr(experiments, document)():
        argv = papers.command(step, experiments.run(step.name))[2:]
        if step.program == "colorize.train":
            given = vars(train.flags().parse_args(argv))
            train.fresh(given)
            assert given.get("init_part") is None or given.get("init")
        else:
            what = {text.split(",")[0] for text in evaluate.flags().parse_args(argv).what}
            assert what <= known, "only what was trained before is evaluated"
        known.add(experiments.run(step.name))
    assert known


def test_lists(experiments, tmp_path):
    def names(part):
        return [line.split("/photos/")[1] for line in (tmp_path / "out" / f"{part}.txt").read_text().splitlines()]
    seen, people = names("mixed-val"), names("faces-train")
    assert seen == ["faces/4.jpg", "faces/9.jpg"] and people == [f"faces/{i}.jpg" for i in (0, 2, 4, 6, 8)]
