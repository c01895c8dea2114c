"""Which photos a command line means, and where each one goes."""
import os

import pytest

from colorize.predict.plan import Job, plan


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """photos/ with a.jpg b.TIF sub/a.jpg, results of earlier runs, other files, hidden ones; the folder in force."""
    for name in ("a.jpg", "b.TIF", "sub/a.jpg", "sub/deep/c.png", "a.color.jpg", "sub/a.compare.jpg", "notes.txt",
                 ".hidden.jpg", ".git/x.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pairs(*args, **options):
    return [(job.source, job.target) for job in plan(*args, **options).jobs]


def test_beside_the_photo(tree):
    assert plan(["photos/a.jpg"]).jobs == [Job("photos/a.jpg", "photos/a.color.jpg")]
    assert pairs(["photos/b.TIF"], mark="compare") == [("photos/b.TIF", "photos/b.compare.TIF")]


def test_a_folder_and_all_below_it(tree):
    assert pairs(["photos"]) == [("photos/a.jpg", "photos/a.color.jpg"), ("photos/b.TIF", "photos/b.color.TIF"),
                                 ("photos/sub/a.jpg", "photos/sub/a.color.jpg"),
                                 ("photos/sub/deep/c.png", "photos/sub/deep/c.color.png")]


def test_a_folder_mirrored(tree):
    assert pairs(["photos/"], "out") == [("photos/a.jpg", "out/a.jpg"), ("photos/b.TIF", "out/b.TIF"),
                                         ("photos/sub/a.jpg", "out/sub/a.jpg"),
                                         ("photos/sub/deep/c.png", "out/sub/deep/c.png")]


def test_several_folders_keep_their_names(tree):
    assert pairs(["photos/sub/", "photos/sub/deep/../../a.jpg"], "out") == [
        ("photos/sub/a.jpg", "out/sub/a.jpg"), ("photos/sub/deep/c.png", "out/sub/deep/c.png"),
        ("photos/sub/deep/../../a.jpg", "out/a.jpg")]


def test_the_results_folder_may_be_inside(tree):
    (tree / "photos/out/sub").mkdir(parents=True)
    (tree / "photos/out/sub/a.jpg").write_bytes(b"x")
    assert len(plan(["photos"], "photos/out").jobs) == 4
    assert len(plan(["photos/a.jpg", "photos/b.TIF", "photos/out", "photos/sub"], "photos/out").jobs) == 4
    for pattern in ("photos/**", "**/*.*"):
        assert [source for source, _ in pairs([pattern], "photos/out")] == [
            "photos/a.jpg", "photos/b.TIF", "photos/sub/a.jpg", "photos/sub/deep/c.png"]
    assert pairs(["photos/sub/deep/*"], "photos/sub") == [("photos/sub/deep/c.png", "photos/sub/c.png")]


def test_comparisons_have_names_of_their_own(tree):
    assert pairs(["photos/sub"], "out", mark="compare") == [("photos/sub/a.jpg", "out/a.compare.jpg"),
                                                            ("photos/sub/deep/c.png", "out/deep/c.compare.png")]
    assert pairs(["photos/a.jpg"], "x.jpg", mark="compare") == [("photos/a.jpg", "x.jpg")]


def test_the_results_folder_may_not_be_the_photos_own(tree):
    with pytest.raises(ValueError, match="photos.a.jpg is the photo itself, which is never overwritten"):
        plan(["photos"], "photos")
    with pytest.raises(ValueError, match="photos/a.jpg is one of the photos, which are never overwritten"):
        plan(["photos/sub/a.jpg", "photos/a.jpg"], "photos")
    with pytest.raises(ValueError, match="a.jpg is the photo itself"):
        plan(["photos/a.jpg"], "photos/sub/../a.jpg")


def test_a_photo_by_another_name_is_not_overwritten(tree):
    """Another name by a hard link here; on some disks A.jpg is another name of a.jpg."""
    os.link("photos/a.jpg", "photos/sub/A.jpg")
    with pytest.raises(ValueError, match="photos/sub/A.jpg is the photo itself"):
        plan(["photos/a.jpg"], "photos/sub/A.jpg")
    os.mkdir("out")
    os.link("photos/sub/a.jpg", "out/b.TIF")
    with pytest.raises(ValueError, match="out/b.TIF is one of the photos"):
        plan(["photos/b.TIF", "photos/sub/a.jpg"], "out")


def test_patterns(tree):
    assert pairs(["photos/*.jpg"]) == [("photos/a.jpg", "photos/a.color.jpg")]
    assert pairs(["photos/**/[ac].*g"], "out") == [("photos/a.jpg", "out/a.jpg"),
                                                   ("photos/sub/a.jpg", "out/sub/a.jpg"),
                                                   ("photos/sub/deep/c.png", "out/sub/deep/c.png")]
    (tree / "odd[1].jpg").write_bytes(b"x")
    assert pairs(["odd[1].jpg"]) == [("odd[1].jpg", "odd[1].color.jpg")]            # a name, before it is a pattern


def test_endings_that_are_read_and_others(tree):
    for name in ("1.jfif", "2.JPE", "3.heic", "sub/4.GIF", "sub/deep/5.avif", ".6.heic", "7.txt"):
        (tree / "photos" / name).write_bytes(b"x")
    os.symlink("photos", "link")
    found, unread, _ = plan(["photos", "link"])
    assert [job.source for job in found[:3]] == ["photos/1.jfif", "photos/2.JPE", "photos/a.jpg"] and len(found) == 6
    assert unread == {os.path.realpath(f"photos/{name}") for name in ("3.heic", "sub/4.GIF", "sub/deep/5.avif")}
    found, unread, _ = plan(["photos/*"])
    assert len(found) == 4 and len(unread) == 1
    (tree / "phone").mkdir()
    (tree / "phone/a.heic").write_bytes(b"x")
    with pytest.raises(ValueError, match="no photo in phone .* formats: 1"):
        plan(["phone"])


def test_results_that_the_shell_names_are_no_photos(tree):
    everything = [str(p.relative_to(tree)) for p in sorted((tree / "photos").glob("*.jpg"))]
    assert "photos/a.color.jpg" in everything
    assert pairs(everything) == [("photos/.hidden.jpg", "photos/.hidden.color.jpg"),
                                 ("photos/a.jpg", "photos/a.color.jpg")]
    assert pairs(["photos/a.jpg", "photos/a.color.jpg"], "out") == [("photos/a.jpg", "out/a.jpg")]
    assert pairs(["photos/a.color.jpg"]) == [("photos/a.color.jpg", "photos/a.color.color.jpg")]    # who insists


def test_a_photo_named_twice_is_done_once(tree):
    os.symlink("photos", "link")
    assert pairs(["photos/a.jpg", "./photos/a.jpg", "link/a.jpg"]) == [("photos/a.jpg", "photos/a.color.jpg")]


def test_two_photos_may_not_become_one(tree):
    with pytest.raises(ValueError, match="photos/a.jpg and photos/sub/a.jpg would both become out/a.jpg"):
        plan(["photos/a.jpg", "photos/sub/a.jpg"], "out")


def test_one_photo_to_a_file(tree):
    assert plan(["photos/a.jpg"], "x/new.PNG").jobs == [Job("photos/a.jpg", "x/new.PNG")]
    assert plan(["photos/a.jpg"], "-").jobs == [Job("photos/a.jpg", "-")]
    assert pairs(["photos/a.jpg"], "new/") == [("photos/a.jpg", "new/a.jpg")]
    assert pairs(["photos/a.jpg"], "new") == [("photos/a.jpg", "new/a.jpg")]
    (tree / "there.png").mkdir()
    assert pairs(["photos/a.jpg"], "there.png") == [("photos/a.jpg", "there.png/a.jpg")]
    with pytest.raises(ValueError, match=r"-o new.gif .* \.jpg"):
        plan(["photos/a.jpg"], "new.gif")


def test_streams(tree):
    assert plan(["-"]).jobs == [Job("-", "-")]
    assert plan(["-"], "new.webp").jobs == [Job("-", "new.webp")]
    with pytest.raises(ValueError, match="got 2 arguments"):
        plan(["-", "photos/a.jpg"])
    with pytest.raises(ValueError, match="has no name: name a file with -o"):
        plan(["-"], "out/")
    with pytest.raises(ValueError, match="-o - .* one photo, and there are 4"):
        plan(["photos"], "-")


def test_what_is_not_there(tree):
    (tree / "empty").mkdir()
    none = "there is no nothing.jpg"
    for inputs, text in ((["empty"], "no photo in empty .* .jpg"),
                         (["photos/*.txt"], r"no photo matches photos/\*.txt"), (["nothing.jpg"], none),
                         (["nothing.jpg", "empty"], none + ".*; there is no photo in empty")):
        with pytest.raises(ValueError, match=text):
            plan(inputs)
    (tree / "empty/a.color.jpg").write_bytes(b"x")
    for text in ("empty", "empty/*"):
        with pytest.raises(ValueError, match="results"):
            plan([text])
    with pytest.raises(ValueError, match="only results"):
        plan(["empty", "empty"], "empty")
    with pytest.raises(ValueError, match="-o got an empty name"):
        plan(["photos"], "")


def test_what_is_not_there_stops_no_other(tree):
    (tree / "empty").mkdir()
    found, _, wrong = plan(["photos/a.jpg", "nothing.jpg", "empty", "photos/*.TIF"])
    assert [job.source for job in found] == ["photos/a.jpg", "photos/b.TIF"]
    assert len(wrong) == 2 and "no nothing.jpg" in wrong[0] and "no photo in empty" in wrong[1]


def test_results_may_not_land_on_a_file(tree):
    (tree / "plain").write_bytes(b"x")
    with pytest.raises(ValueError, match="-o plain .* .jpg"):
        plan(["photos/a.jpg"], "plain")
    for inputs, out in ((["photos/b.TIF", "photos/sub"], "photos/a.jpg"), (["photos"], "plain"),
                        (["photos"], "new.png")):
        with pytest.raises(ValueError, match=f"-o {out} is a file"):
            plan(inputs, out)
    assert pairs(["photos/*.jpg"], "results.v2") == [("photos/a.jpg", "results.v2/a.jpg")]
