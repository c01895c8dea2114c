"""Packs: what comes out is what Photos gives, a damaged pack is refused, nothing half-written stays."""
import json
import os

import numpy as np
import pytest
from PIL import Image

from colorize.color.spaces import rgb_to_lab
from colorize.data.augment import Augment
from colorize.data.folder import Photos
from colorize.data.pack import Packed, pack


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for i in range(12):
        (root / "ab"[i % 2]).mkdir(exist_ok=True)
        knots = np.random.default_rng(i).integers(0, 255, (4, 5, 3), dtype="uint8")
        image = Image.fromarray(knots).resize((70 + 20 * i, 100), Image.BICUBIC)
        image.save(str(root / "ab"[i % 2] / f"{i:02}.png"))
    return root


@pytest.fixture(scope="module")
def packed(folder):
    out = folder.parent / f"{folder.name}.pack"
    assert pack(folder, out, 48, report=lambda s: None) == 12
    return out


def test_batches_are_those_of_photos(folder, packed):
    for options in ({"crop": "centre", "shuffle": False}, {"crop": "random", "seed": 3}, {"crop": "top-left"}):
        options = {"seed": 1, **options}
        a = list(Photos(folder, 32, resize_to=48, batch=5, **options))
        b = list(Packed(packed, 32, batch=5, **options))
        assert abs(np.array(a, int) - b).max() <= 1 and len(b) == 2


def test_changes_and_weights_work_as_with_photos(folder, packed):
    options = {"batch": 6, "seed": 3, "augment": Augment(scale=0.6, vshift=0.3), "weights": {"a": 2, "b": 0}}
    a, b = (np.array(list(data), int) for data in (Photos(folder, 32, resize_to=48, **options),
                                                   Packed(packed, 32, **options)))
    assert a.shape == b.shape == (2, 6, 32, 32, 3) and abs(a - b).mean() < 4       # resized once, or twice
    lab = next(iter(Packed(packed, batch=4, then=rgb_to_lab)))
    assert lab.shape == (4, 48, 48, 3) and lab.dtype == np.float32
    resumed, passes = Packed(packed, 32, **options).resume(3), Packed(packed, 32, **options)
    assert np.array_equal(list(resumed), [list(passes), list(passes)][1][1:])


def test_squashed_packs_need_no_crop(folder, tmp_path):
    pack(folder, tmp_path / "p", 32, resize="squash", resample="cv-linear", report=lambda s: None)
    a = list(Photos(folder, 32, resize="squash", resample="cv-linear", crop=None, batch=12, shuffle=False))
    assert np.array_equal(a, list(Packed(tmp_path / "p", crop=None, batch=12, shuffle=False)))


def test_files_are_what_they_say(packed):
    pixels = np.load(str(packed / "pixels.npy"), mmap_mode="r")
    index = json.loads((packed / "index.json").read_text(encoding="utf-8"))
    assert pixels.dtype == np.uint8 and pixels.shape == (sum(h * w * 3 for _, h, w, _ in index["photos"]),)
    data = Packed(packed, batch=1)
    assert data.names == [p[0] for p in index["photos"]] == sorted(data.names, key=lambda n: (n[0], n))
    assert [min(data.photo(i).shape[:2]) for i in range(12)] == [48] * 12
    assert data.photo(11).shape == (48, 139, 3) and not data.photo(0).flags.writeable
    data.verify()


def test_very_wide_photos_keep_their_middle(tmp_path):
    x = np.zeros((10, 1000, 3), "uint8")
    x[:, 485:515] = 255
    (tmp_path / "in").mkdir()
    Image.fromarray(x).save(str(tmp_path / "in" / "x.png"))
    pack(tmp_path / "in", tmp_path / "p", 10, report=lambda s: None)
    assert Packed(tmp_path / "p", batch=1).photo(0).shape == (10, 30, 3)
    assert (Packed(tmp_path / "p", batch=1).photo(0) == 255).all()


def test_bad_photos_are_counted(folder, tmp_path):
    said = []
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no")
    Image.new("L", (50, 50), 99).save(str(tmp_path / "in" / "grey.png"))
    with pytest.raises(ValueError, match="nothing is left to pack"):
        pack(tmp_path / "in", tmp_path / "p", 32, drop_grey=True, report=said.append)
    assert os.listdir(str(tmp_path)) == ["in"] and "broken.jpg" in said[0]
    assert pack(tmp_path / "in", tmp_path / "p", 32, report=said.append) == 1
    assert "1 could not be read, 0 are near-grey" in said[-1]


def test_nothing_half_written_stays(folder, tmp_path):
    def full_disk(sentence):
        raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        (tmp_path / "bad.jpg").write_bytes(b"")
        pack([folder / "a" / "00.png", tmp_path / "bad.jpg"], tmp_path / "p", 32, report=full_disk)
    assert os.listdir(str(tmp_path)) == ["bad.jpg"]


def test_an_existing_pack_is_left_alone(folder, packed):
    with pytest.raises(FileExistsError, match="exists already"):
        pack(folder, packed, 32)


@pytest.mark.parametrize("harm, message", [
    (lambda p: p.joinpath("index.json").unlink(), "is not a pack"),
    (lambda p: p.joinpath("index.json").write_text("[1]"), "the format 'colorize pack 1'"),
    (lambda p: _edit(p / "index.json", b"00.png", b"07.png"), "the index of the pack .* is damaged"),
    (lambda p: _edit(p / "index.json", b'"size": 16', b'"side": 16'), "the index of the pack .* is damaged"),
    (lambda p: _edit(p / "index.json", b'"size": 16', b'"size": 17'), "the index of the pack .* is damaged"),
    (lambda p: p.joinpath("pixels.npy").unlink(), "missing or not"),
    (lambda p: _truncate(p / "pixels.npy"), "missing or not"),
    (lambda p: _zero(p / "pixels.npy"), "photo . has changed")])
def test_damage_is_found_when_a_pack_is_opened(folder, tmp_path, harm, message):
    pack(folder, tmp_path / "p", 16, report=lambda s: None)
    harm(tmp_path / "p")
    with pytest.raises(ValueError, match=message):
        Packed(tmp_path / "p", batch=2)


def _edit(path, old, new):
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def _zero(path):
    data = path.read_bytes()
    path.write_bytes(data[:500] + bytes(400) + data[900:])


def test_wrong_calls(folder, packed, tmp_path):
    with pytest.raises(ValueError, match="48 px, .* 64 px .*: pack them larger"):
        Packed(packed, 64)
    with pytest.raises(ValueError, match="give a crop"):
        Packed(packed, crop=None)
    with pytest.raises(ValueError, match="is not a pack"):
        Packed(tmp_path)
    with pytest.raises(ValueError, match="resample .* nearest"):
        pack(folder, tmp_path / "p", resample="best")
