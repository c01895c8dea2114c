"""Many photos on threads: all are done, a bad one stops no other, pixels have a budget, and stopping is clean."""
import errno
import io
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from colorize.predict import batch
from colorize.predict.batch import Done, run
from colorize.predict.plan import Job


@pytest.fixture
def folder(tmp_path):
    for i in range(6):
        Image.new("L", (20, 10), 40 * i).save(str(tmp_path / f"{i}.png"))
    return tmp_path


def planned(folder, *more):
    names = [f"{i}.png" for i in range(6)] + list(more)
    return [Job(str(folder / name), str(folder / "out" / name)) for name in names]


def red(photo, compare=False, threads=1):
    """A painter."""
    return photo.with_pixels(np.full((*photo.pixels.shape[:2], 3), [200, 0, 0], photo.pixels.dtype))


def test_all_are_done_and_a_bad_one_stops_no_other(folder):
    (folder / "bad.png").write_bytes(b"no photo at all")
    jobs = planned(folder, "bad.png", "gone.png")
    done = {one.job: one for one in run(jobs, red, 3)}
    assert set(done) == set(jobs)
    assert {job for job in jobs if done[job].error} == set(jobs[-2:])
    assert done[jobs[-2]].error.startswith("it is no photo") and "No such file" in done[jobs[-1]].error
    assert sorted(p.name for p in (folder / "out").iterdir()) == [f"{i}.png" for i in range(6)]
    assert np.asarray(Image.open(str(folder / "out/3.png")))[5, 5].tolist() == [200, 0, 0]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp"])
def test_thin_photos(tmp_path, ending):
    jobs = []
    for size in (200, 1), (1, 500), (3000, 14), (1, 3000):
        jobs.append(Job(str(tmp_path / f"{size[0]}.{ending}"), str(tmp_path / f"out/{size[0]}-{size[1]}.{ending}")))
        Image.effect_noise(size, 50).convert("RGB").save(jobs[-1].source)
        done, = run(jobs[-1:], red, 1)
        assert done == Done(jobs[-1], None, (), None)
        with Image.open(jobs[-1].target) as image:
            assert image.size == size


def test_what_has_come_there_meanwhile_stays(folder):
    same = [Job(job.source, str(folder / "out/same.png")) for job in planned(folder)]
    errors = [one.error for one in run(same, red, 1)]
    assert errors.count(None) == 1 and sum("same.png" in str(e) and "--force" in str(e) for e in errors) == 5
    assert [one.error for one in run(same, red, 1, force=True)] == [None] * 6


def test_a_full_disk_ends_it_with_one_sentence(folder, monkeypatch):
    def full(photo, path):
        tried.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(batch, "write", full)
    for n in 1, 3:
        tried = []
        assert [one.error for one in run(planned(folder), red, n)] == ["No space left on device"]
        assert 0 < len(tried) <= n


def test_names_with_control_characters_and_spaces(folder):
    (folder / "two  \x1b[2Jspaces.png").write_bytes(b"no photo")
    one, = run(planned(folder, "two  \x1b[2Jspaces.png")[-1:], red, 1)
    assert one.error.startswith("it is no photo: ")


def test_a_painter_that_fails(folder):
    def paint(photo, compare, threads):
        raise MemoryError if photo.pixels[0, 0, 0] == 40 else RuntimeError("two\nlines")
    said = [one.error for one in run(planned(folder), paint, 2)]
    assert sorted(said) == ["there is not enough memory for this photo"] + ["two lines"] * 5
    assert not (folder / "out").exists()


@pytest.mark.parametrize("compare", [False, True])
def test_pixels_in_memory_have_a_budget(folder, monkeypatch, compare):
    """Of 1000: 600 leave room for 200 more, and a comparison counts twice. Every photo ends, the largest too. The
    first one, of 100, is alone and has all threads."""
    monkeypatch.setattr(batch, "BUDGET", 1000)
    for i, side in ((0, 30), (2, 30), (4, 100)):
        Image.new("L", (side, 20), 7).save(str(folder / f"{i}.png"))
    lock, inside, together, shares = threading.Lock(), [], set(), {}

    def paint(photo, compare, threads):
        n = photo.pixels.shape[0] * photo.pixels.shape[1]
        with lock:
            inside.append(n)
            shares[n] = threads
            together.add(tuple(sorted(inside)))
        time.sleep(0.3)
        with lock:
            inside.remove(n)
        return red(photo)
    jobs = planned(folder)
    Image.new("L", (5, 20), 7).save(str(folder / "first.png"))
    first = Job(str(folder / "first.png"), str(folder / "out/first.png"))
    assert [one.error for one in run([first, *jobs[1::2], *jobs[::2]], paint, 6, compare)] == [None] * 7
    assert shares.pop(100) == 6 and not any(100 in x for x in together if len(x) > 1)
    if compare:
        assert max(len(x) for x in together) == 2 and (600,) in together and (2000,) in together
        assert not any({600, 2000} & set(x) for x in together if len(x) > 1)
        assert shares == {200: 3, 600: 6, 2000: 6}
    else:
        assert max(len(x) for x in together) == 3 and (2000,) in together      # which three are first may change
        assert all(sum(x) <= 1000 or x == (2000,) for x in together)
        assert shares == {200: 2, 600: 4, 2000: 6}


def test_a_photo_that_waits_for_room_is_not_begun_after_the_end(folder, monkeypatch):
    monkeypatch.setattr(batch, "BUDGET", 200)
    begun = []

    def paint(photo, compare, threads):
        begun.append(photo)
        time.sleep(0.2)
        return red(photo)
    for _ in run(planned(folder), paint, 6):
        break
    assert len(begun) <= 2                  # the second one may have begun before this was left


def test_a_photo_alone_has_all_threads(folder):
    given = []

    def paint(photo, compare, threads):
        given.append(threads)
        return red(photo)
    assert [one.error for one in run(planned(folder)[:1], paint, 7)] == [None] and given == [7]


def test_leaving_early_ends_what_is_begun_and_begins_nothing(folder):
    begun, ended = [], []

    def paint(photo, compare, threads):
        begun.append(photo)
        time.sleep(0.1)
        ended.append(photo)
        return red(photo)
    for _ in run(planned(folder), paint, 2):
        break
    assert len(begun) == len(ended) < 6
    written = list((folder / "out").iterdir())
    assert len(written) == len(ended) and all(p.suffix == ".png" and p.name[0] != "." for p in written)


def test_notes(folder):
    colours = np.zeros((40, 40, 3), "uint8")
    colours[:, :20], colours[:, 20:] = [220, 40, 30], [30, 80, 220]
    Image.fromarray(colours).save(str(folder / "0.png"))
    notes = {one.job.source[-5:]: list(one.notes) for one in run(planned(folder), red, 1)}
    assert notes["0.png"] == [batch.IN_COLOUR] and notes["1.png"] == []


class Guesser:
    def guess(self, pixels, threads, space=None):
        return np.array([[[1.0, 4.0]], [[3.0, 6.0]]])


def test_the_mean_colour_writes_nothing(folder):
    means = [one.mean for one in run(planned(folder), Guesser(), 2, mean=True)]
    assert np.array_equal(means, [[2, 5]] * 6) and not (folder / "out").exists()


def streams(monkeypatch, data):
    """Standard input gives these bytes; what standard output gets, which is bytes in memory."""
    given, got = io.BytesIO(data), io.BytesIO()
    for name, raw in (("stdin", given), ("stdout", got)):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw))
    return got


def test_streams(folder, monkeypatch):
    got = streams(monkeypatch, (folder / "2.png").read_bytes())
    assert list(run([Job("-", "-")], red, 1)) == [Done(Job("-", "-"), None, (), None)]
    image = Image.open(io.BytesIO(got.getvalue()))
    assert (image.format, image.size, image.mode) == ("PNG", (20, 10), "RGB")


def test_standard_input_with_nothing_or_too_much(monkeypatch):
    streams(monkeypatch, b"")
    assert "empty" in next(iter(run([Job("-", "-")], red, 1))).error
    monkeypatch.setattr(batch, "MOST", 10)
    streams(monkeypatch, b"x" * 11)
    assert "more than 10 bytes" in next(iter(run([Job("-", "-")], red, 1))).error
