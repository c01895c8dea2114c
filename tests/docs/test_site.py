"""The sources of the site: every page has its place, every public name is on its page, pictures are small."""
import re
import types
from pathlib import Path

import pytest

import minicnn as mc
from docs import hooks, pictures

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(p.name for p in (ROOT / "docs").glob("*.md"))


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    assert sorted(re.findall(r": (\w+\.md)$", navigation, re.M)) == PAGES


def test_the_page_of_names_has_all_of_them():
    public = {n for n in dir(mc) if n[0] != "_" and not isinstance(getattr(mc, n), types.ModuleType)}
    shown = [name for module, names in hooks.groups().items() for name in names if not module.endswith("schedules")]
    assert sorted(shown) == sorted(public)
    assert set(mc.schedules.__all__) == set(hooks.groups()["train.schedules"])


@pytest.mark.parametrize("text, folder, expected", [
    ("[a](docs/photos.md#formats)", "", "[a](photos.md#formats)"),
    ("[a](minicnn/ops/README.md)", "", "[a](operators.md)"),
    ("[a](../docs/papers.md)", "benchmarks", "[a](papers.md)"),
    ("![a](docs/images/lenet.png)", "", "![a](images/lenet.png)"),
    ("[the example](examples/lenet.py)", "", "the example"),
    ("[a](https://example.org/b.md)", "", "[a](https://example.org/b.md)"),
    ("x[0](y)", "", "x[0](y)"),
    ("[a](docs/none.md)", "", "[a](none.md)")])                         # mkdocs then says that it is missing
def test_links_lead_to_pages(text, folder, expected):
    assert hooks.LINK.sub(lambda link: hooks.placed(link, folder), text) == expected


def test_pictures_are_small_and_shown():
    texts = "".join(p.read_text(encoding="utf-8") for p in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    for path in pictures.FOLDER.iterdir():
        assert path.stat().st_size < 150_000, path.name
        assert f"images/{path.name})" in texts, path.name


def test_a_picture_with_an_unknown_name():
    with pytest.raises(SystemExit, match="no picture named cat.*before-after, taste, report, lenet"):
        pictures.main(["cat"])
