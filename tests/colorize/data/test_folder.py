"""Streaming: the same batches whatever the threads, from any step on; damaged and grey photos; weights; memory."""
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn as mc
from colorize.data.augment import TENFOLD, Augment
from colorize.data.batches import split
from colorize.data.folder import Photos
from colorize.data.pack import Packed, pack
from colorize.threads import ahead

from ...tools import missing

ROOT = Path(__file__).resolve().parents[3]


def colour(i):
    """A colour that tells photo number i."""
    return (40 + 5 * (i % 40), 200 - 3 * i % 150, 10 * (i % 23))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """30 photos in three folders, each of one colour with a bright left half."""
    root = tmp_path_factory.mktemp("photos")
    for i in range(30):
        (root / "abc"[i % 3]).mkdir(exist_ok=True)
        pixels = np.zeros((40, 60, 3), "uint8") + np.array(colour(i), "uint8")
        pixels[:, :15] = 255
        Image.fromarray(pixels).save(str(root / "abc"[i % 3] / f"{i:02}.png"))
    return root


def known(photos, rgb):
    """Which photos these are, by the colour of their right bottom corner (or left, where mirrored)."""
    table = {colour(int(name[-6:-4])): name for name in photos.names if name[-6:-4].isdigit()}
    corners = [tuple(x[-1, -1].tolist()) for x in rgb], [tuple(x[-1, 0].tolist()) for x in rgb]
    return [table.get(right) or table[left] for right, left in zip(*corners)]


def test_a_pass_has_every_photo_once_in_an_order_of_its_own(folder):
    photos = Photos(folder, 32, crop="centre", batch=7, seed=1, partial=True)
    passes = [[name for rgb in photos for name in known(photos, rgb)] for _ in range(3)]
    assert len(photos) == 5 and all(sorted(p) == photos.names for p in passes)
    assert len({tuple(p) for p in passes}) == 3
    plain = Photos(folder, 32, crop="centre", batch=7, shuffle=False, partial=True)
    assert [name for rgb in plain for name in known(plain, rgb)] == plain.names


def test_opencv_s_resampling_sees_all_pixels(tmp_path):
    """A large JPEG is not decoded smaller for it: that would average, and cv2.resize does not."""
    noise = np.random.default_rng(0).integers(0, 255, (640, 640, 3), dtype="uint8")
    Image.fromarray(noise).save(str(tmp_path / "x.jpg"), quality=95)
    whole = np.asarray(Image.open(str(tmp_path / "x.jpg"))).astype(float)
    expected = sum(whole[i::20, j::20] for i in (9, 10) for j in (9, 10)) / 4       # the places between these
    for source in (Photos, lambda path, size, **how: packed(tmp_path, path, size, **how)):
        rgb = next(iter(source(tmp_path / "x.jpg", 32, resize="squash", resample="cv-linear", crop=None, batch=1)))
        assert np.abs(rgb[0] - expected).max() <= 1


def packed(folder, path, size, resize, resample, **how):
    pack(path, folder / "pack", size, resize=resize, resample=resample, report=lambda sentence: None)
    return Packed(folder / "pack", size, **how)


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_change_nothing(folder, workers):
    def options():
        return {"size": 24, "batch": 4, "seed": 5, "augment": Augment(scale=0.7, vshift=0.2)}
    alone, many = Photos(folder, workers=0, **options()), Photos(folder, workers=workers, **options())
    for _ in range(2):
        assert np.array_equal(list(alone), list(many))


def test_batch_size_changes_no_draw(folder):
    small, large = (np.concatenate(list(Photos(folder, 24, batch=b, seed=2, augment=Augment()))) for b in (5, 10))
    assert np.array_equal(small, large)


@pytest.mark.parametrize("step", [0, 3, 6, 7, 16])
def test_resume_gives_the_rest_and_reads_nothing_else(folder, step):
    def photos():
        return Photos(folder, 24, batch=4, seed=3, augment=Augment(scale=0.6), workers=0)
    passes = photos()
    whole = [rgb for _ in range(4) for rgb in passes]
    resumed, read = photos(), []
    picture = resumed.picture
    resumed.picture = lambda photo, *rest: read.append(photo) or picture(photo, *rest)
    rest = list(resumed.resume(step))
    assert np.array_equal(rest, whole[step:step // 7 * 7 + 7]) and len(read) == 4 * len(rest)
    assert np.array_equal(list(resumed), whole[step // 7 * 7 + 7:][:7])


def test_it_trains_like_other_data(folder):
    seen = list(mc.take(mc.ncycle(Photos(folder, 24, batch=8, then=lambda rgb: (rgb[..., :1], rgb)), 2), 5))
    assert len(seen) == 5 and seen[0][0].shape == (8, 24, 24, 1) and seen[4][1].dtype == np.uint8
    mc.seed(4)
    first = next(iter(Photos(folder, 24, batch=8)))
    mc.seed(4)
    assert np.array_equal(first, next(iter(Photos(folder, 24, batch=8))))


# ------------------------------------------------------------------ sizes and crops


def test_crops_and_sizes_of_the_documents(tmp_path):
    x = np.zeros((300, 500, 3), "uint8")
    x[..., 0], x[..., 1] = np.arange(500) // 2, (np.arange(300) // 2)[:, None]
    Image.fromarray(x).save(str(tmp_path / "x.png"))

    def corner(**options):
        rgb = next(iter(Photos(tmp_path, batch=1, seed=0, **options)))[0].astype(int)
        return rgb.shape[:2], (rgb[0, 0, :2] * 2).tolist(), (rgb[-1, -1, :2] * 2).tolist()

    def near(a, b):
        return np.abs(np.array(a) - b).max() <= 4
    shape, first, last = corner(size=224, crop="top-left")
    assert shape == (224, 224) and near(first, (0, 0)) and near(last, (300, 298))
    shape, first, last = corner(size=150, crop="centre")
    assert shape == (150, 150) and near(first, (100, 0)) and near(last, (398, 298))
    shape, first, last = corner(size=256, resize="squash", crop=None)
    assert shape == (256, 256) and near(first, (0, 0)) and near(last, (498, 298))
    shape, first, last = corner(size=176, resize_to=256, resize="squash", crop="random")
    assert shape == (176, 176) and near(np.array(last) - first, (500 * 175 / 256, 300 * 175 / 256))


def test_random_crops_reach_both_ends(folder):
    rgb = np.concatenate([b for _ in range(8) for b in _again(Photos(folder, 20, batch=30, seed=1), 8)])
    white = (rgb[:, 10] == 255).all(-1).sum(axis=1)
    assert white.min() == 0 and white.max() == 7        # the white quarter of a 30 x 20 photo is cut off, or whole


def _again(photos, passes):
    return (rgb for _ in range(passes) for rgb in photos)


def test_flips(folder):
    rgb = next(iter(Photos(folder, 20, crop="top-left", batch=30, augment=Augment(flip=0.5), seed=1)))
    left, right = (rgb[:, 0, 0] == 255).all(-1), (rgb[:, 0, -1] == 255).all(-1)
    assert (left ^ right).all() and 5 < left.sum() < 25


def test_tenfold_gives_ten_pictures_of_each_photo(folder):
    photos = Photos(folder, 20, resize="squash", crop=None, batch=10, augment=TENFOLD, shuffle=False)
    first = next(iter(photos))
    assert len(photos) == 30 and known(photos, first) == photos.names[:1] * 10
    assert np.array_equal(first[0][:, ::-1], first[1]) and np.array_equal(first[1], first[7])


def test_once_makes_all_passes_the_same(folder):
    photos = Photos(folder, 24, batch=10, shuffle="once", augment=Augment(), seed=1)
    first = list(photos)
    assert np.array_equal(first, list(photos)) and known(photos, first[0]) != photos.names[:10]


# ------------------------------------------------------------------ weights


def test_weights_draw_some_folders_more_often(folder):
    photos = Photos(folder, 32, crop="centre", batch=5, partial=True, seed=1, weights={"a": 2, "b": 0.5, "c": 0})
    passes = [[name for rgb in photos for name in known(photos, rgb)] for _ in range(6)]
    for names in passes:
        by_folder = {f: [n for n in names if n[0] == f] for f in "abc"}
        assert len(by_folder["a"]) == 20 and len(set(by_folder["a"])) == 10
        assert len(by_folder["b"]) == len(set(by_folder["b"])) == 5 and not by_folder["c"]
    assert len({n for names in passes for n in names if n[0] == "b"}) > 7          # not always the same half
    copies = Photos(folder, 16, batch=20, seed=1, weights={"a": 20, "b": 0, "c": 0}, augment=Augment(flip=0))
    assert len(np.unique(np.concatenate(list(copies)).reshape(200, -1), axis=0)) > 20    # each time another crop


@pytest.mark.parametrize("options, message", [
    ({"weights": {"d": 2}}, "no photos .* d: .* a, b, c"), ({"weights": {"a": -1}}, "numbers .* {'a': -1}"),
    ({"weights": {"a": 2}, "shuffle": False}, "shuffle=True"), ({"crop": "middle"}, "crop .* random.* got 'middle'"),
    ({"resize": "fit"}, "resize .* 'squash', got 'fit'"), ({"resample": "sinc"}, "resample .* nearest.* got 'sinc'"),
    ({"crop": None}, "give .* a crop"), ({"resize_to": 20}, "resize_to=20 .* 32"),
    ({"shuffle": "yes"}, "shuffle .* 'once', got 'yes'"),
    ({"batch": 31}, "make batchsize smaller"), ({"augment": 2}, "augment .* Augment, TENFOLD or None, got int")])
def test_wrong_calls(folder, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Photos(folder, 32, **options)


def test_lists_and_paths(folder):
    (folder / "list.txt").write_text("b/01.png\na/00.png\n", encoding="utf-8")
    assert Photos(folder / "list.txt", 16, batch=2).names == ["b/01.png", "a/00.png"]
    paths = [folder / "a" / "00.png", str(folder / "c" / "02.png")]
    assert Photos(paths, 16, batch=2).names == ["a/00.png", "c/02.png"]
    with pytest.raises(ValueError, match="empty list"):
        Photos([], 16)


def test_split():
    parts = split(range(100), 0.8, 0.1, 0.1, seed=3)
    assert [len(p) for p in parts] == [80, 10, 10] and sorted(sum(parts, [])) == list(range(100))
    assert parts == split(range(100), 80, 10, 10, seed=3) and parts[0] != split(range(100), 80, seed=4)[0]
    with pytest.raises(ValueError, match="smaller"):
        split(range(10), 8, 3)


# ------------------------------------------------------------------ photos that cannot be used


@pytest.fixture
def bad_folder(tmp_path):
    """6 good photos, 3 damaged ones, 3 grey ones."""
    for i in range(6):
        Image.new("RGB", (40, 40), colour(i)).save(str(tmp_path / f"{i:02}.png"))
        if i < 3:
            (tmp_path / f"{i:02}damaged.jpg").write_bytes(b"\xff\xd8\xff" + bytes(i * 50))
            Image.new("RGB", (40, 40), (120 + i, 122, 121)).save(str(tmp_path / f"{i:02}grey.png"))
    return tmp_path


@pytest.mark.parametrize("workers", [0, 3])
def test_bad_photos_are_reported_once_and_replaced(bad_folder, workers):
    said = []
    photos = Photos(bad_folder, 32, batch=4, seed=1, drop_grey=True, workers=workers, report=said.append)
    for _ in range(3):
        for rgb in photos:
            assert rgb.shape == (4, 32, 32, 3) and len(known(photos, rgb)) == 4
    assert len(said) == 3 and all(f"{i:02}damaged.jpg" in "".join(said) for i in range(3))
    assert len(photos.damaged) == 3 and len(photos.grey) == 3
    fresh = Photos(bad_folder, 32, batch=4, seed=1, drop_grey=True, workers=0, report=said.append)
    again = Photos(bad_folder, 32, batch=4, seed=1, drop_grey=True, workers=0, report=said.append)
    assert again.scan() == 6 and len(again.damaged) == 3
    assert np.array_equal(list(fresh), list(again))             # known beforehand or not: the same batches


def test_without_shuffle_bad_photos_are_left_out(bad_folder):
    photos = Photos(bad_folder, 32, batch=2, shuffle=False, drop_grey=True, report=lambda s: None)
    assert [n for rgb in photos for n in known(photos, rgb)] == [f"{i:02}.png" for i in range(6)]
    assert known(photos, photos.batch([0, 3])) == ["00.png", "01.png"]


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_folder_of_grey_photos_is_an_error(tmp_path, shuffle):
    for i in range(5):
        Image.new("L", (40, 40), 50 * i).save(str(tmp_path / f"{i}.png"))
    with pytest.raises(ValueError, match="5 photos 0 cannot be read and 5 are near-grey"):
        list(Photos(tmp_path, 32, batch=5, shuffle=shuffle, drop_grey=True))


def test_reports_go_to_stderr(bad_folder, capsys):
    list(Photos(bad_folder, 32, batch=12, shuffle=False))
    err = capsys.readouterr().err
    assert err.count("the photo is skipped") == 3 and len(err.splitlines()) == 3


# ------------------------------------------------------------------ threads and memory


def test_no_thread_stays_behind(folder):
    for stop in range(4):
        for i, _ in enumerate(Photos(folder, 24, batch=4, workers=3)):
            if i == stop:
                break
    assert not [t for t in threading.enumerate() if t.name.startswith("colorize-data")]


def test_ahead_stays_ahead_by_a_few_only():
    made = []
    it = ahead(lambda i: made.append(i) or i, range(1000), 2)
    assert [next(it) for _ in range(3)] == [0, 1, 2] and len(made) <= 3 + 4
    it.close()


def test_errors_of_then_arrive(folder):
    def then(rgb):
        raise ZeroDivisionError("in a thread")
    with pytest.raises(ZeroDivisionError, match="in a thread"):
        next(iter(Photos(folder, 24, batch=4, then=then)))


CODE = """
import resource, sys
from colorize.data.folder import Photos
from colorize.data.pack import Packed, pack
photos, peak = Photos(sys.argv[1], 128, batch=32), lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for i, rgb in enumerate(photos):
    if i == 15: before = peak()
    if i == 75: break
print(peak() - before)
"""


def test_memory_is_flat_over_real_photos():
    data = os.environ.get("COLORIZE_DATA")
    if not data:
        missing("COLORIZE_DATA", "COLORIZE_DATA is not set: no photos to stream")
    done = subprocess.run([sys.executable, "-c", CODE, os.path.join(data, "photos", "train.txt")], check=True,
                          cwd=str(ROOT), stdout=subprocess.PIPE, universal_newlines=True)
    assert int(done.stdout) < 8000, "KB more after 2400 photos than after 500"
