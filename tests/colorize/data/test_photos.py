"""Finding, decoding, resizing: every kind of file, hostile ones included; resizing against Pillow and naive loops."""
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from colorize.data.photos import LIMIT, RESAMPLINGS, cv_resize, decoded, find, resized
from colorize.photo.photo import Unreadable


def colours(w, h, seed=0):
    """A smooth picture, which JPEG keeps nearly as it is."""
    knots = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype="uint8")
    return Image.fromarray(knots).resize((w, h), Image.BICUBIC)


def saved(folder, name, image, **options):
    path = str(folder / name)
    image.save(path, **options)
    return path


def array(path, least=None):
    return np.asarray(decoded(path, least)[0]).astype(int)


# ------------------------------------------------------------------ finding


def test_find_walks_folders_and_reads_lists(tmp_path):
    for name in ("b/2.JPG", "b/1.png", "a.jpeg", ".hidden.jpg", ".thumbs/x.jpg", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [os.path.relpath(p, str(tmp_path)) for p in find(tmp_path)]
    assert found == ["a.jpeg", os.path.join("b", "1.png"), os.path.join("b", "2.JPG")]
    (tmp_path / "b" / "list.txt").write_text("2.JPG\n\n# not this\n../a.jpeg\n", encoding="utf-8")
    assert [os.path.basename(p) for p in find(tmp_path / "b" / "list.txt")] == ["2.JPG", "a.jpeg"]
    assert all(os.path.exists(p) for p in find(str(tmp_path / "b" / "list.txt")))


@pytest.mark.parametrize("make, message", [(lambda p: p / "none", "there is no"), (lambda p: p, "holds no photo"),
                                           (lambda p: _write(p / "l.txt", b"# x\n"), "names no photo"),
                                           (lambda p: _write(p / "l.bin", b"\xff\xfe\x00"), "neither a photo nor")])
def test_find_says_what_is_missing(tmp_path, make, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        find(make(tmp_path))


def _write(path, data):
    path.write_bytes(data)
    return path


# ------------------------------------------------------------------ decoding


@pytest.mark.parametrize("turned", range(1, 9))
def test_orientation_is_applied(tmp_path, turned):
    image, exif = colours(48, 32), Image.Exif()
    exif[0x0112] = turned
    path = saved(tmp_path, "x.jpg", image, quality=95, exif=exif)
    x = np.asarray(image).astype(int)
    upright = {1: x, 2: x[:, ::-1], 3: x[::-1, ::-1], 4: x[::-1], 5: x.swapaxes(0, 1), 6: np.rot90(x, -1),
               7: np.rot90(x, 2).swapaxes(0, 1), 8: np.rot90(x)}[turned]
    assert array(path).shape == upright.shape and abs(array(path) - upright).mean() < 3
    assert decoded(path)[1] == upright.shape[1::-1]


def test_modes_become_rgb(tmp_path):
    image = colours(20, 10)
    x = np.asarray(image).astype(int)
    grey = np.asarray(image.convert("L")).astype(int)
    assert np.array_equal(array(saved(tmp_path, "rgb.png", image)), x)
    assert np.array_equal(array(saved(tmp_path, "l.png", image.convert("L"))), np.stack([grey] * 3, -1))
    assert abs(array(saved(tmp_path, "p.png", image.quantize(256))) - x).mean() < 6
    assert abs(array(saved(tmp_path, "cmyk.jpg", image.convert("CMYK"), quality=95)) - x).mean() < 4
    assert abs(array(saved(tmp_path, "cmyk.tif", image.convert("CMYK"))) - x).max() <= 1
    wide = Image.fromarray((grey * 257).astype("uint16"))
    assert np.array_equal(array(saved(tmp_path, "16.png", wide))[..., 0], grey)
    assert np.array_equal(array(saved(tmp_path, "16.tif", wide))[..., 1], grey)
    share = Image.fromarray((grey / 255).astype("float32"))
    assert np.array_equal(array(saved(tmp_path, "f.tif", share))[..., 2], grey)
    assert set(np.unique(array(saved(tmp_path, "1.png", image.convert("1"))))) <= {0, 255}


def test_transparency_shows_white(tmp_path):
    rgba = np.zeros((4, 4, 4), "uint8")
    rgba[:, 2:] = 200, 100, 0, 255
    path = saved(tmp_path, "a.png", Image.fromarray(rgba))
    assert (array(path)[:, :2] == 255).all() and (array(path)[:, 2:] == (200, 100, 0)).all()
    rgba[..., 3] = 51
    assert (array(saved(tmp_path, "b.png", Image.fromarray(rgba)))[0, 3] == (244, 224, 204)).all()
    palette = Image.fromarray(rgba[..., 0], "L").convert("P")
    assert (array(saved(tmp_path, "p.gif", palette, transparency=palette.getpixel((0, 0))))[0, 0] == 255).all()


def test_large_jpegs_are_decoded_smaller(tmp_path):
    path = saved(tmp_path, "x.jpg", colours(1600, 1200), quality=90)
    image, size = decoded(path, 100)
    assert size == (1600, 1200) and image.size == (400, 300)
    assert decoded(path, 140)[0].size == (400, 300) and decoded(path, 160)[0].size == (800, 600)
    assert decoded(path)[0].size == (1600, 1200)
    assert decoded(path, 100, "cv-linear")[0].size == (1600, 1200)      # cv2.resize does not average


def png_claiming(w, h):
    """A PNG that says it has so many pixels, in a few bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(bytes(1 << 16))) + chunk(b"IEND", b""))


def hostile(folder):
    jpeg = io.BytesIO()
    colours(64, 64).save(jpeg, "JPEG")
    jpeg = jpeg.getvalue()
    files = {"empty.jpg": b"", "text.jpg": b"this is not a photo at all\n" * 9, "head.jpg": jpeg[:30],
             "truncated.jpg": jpeg[:len(jpeg) // 2],
             "bomb.png": png_claiming(30000, 30000), "large.png": png_claiming(9000, 9000),
             "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
             "zeros.gif": b"GIF89a" + bytes(100), "tiff.tif": b"II*\x00\xff\xff\xff\x7f" + bytes(50)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder.jpg").mkdir()
    os.mkfifo(str(folder / "pipe.jpg"))
    return sorted([*files, "folder.jpg", "pipe.jpg", "missing.jpg"])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_hostile_files_are_unreadable(tmp_path):
    for name in hostile(tmp_path):
        with pytest.raises(Unreadable) as e:
            decoded(str(tmp_path / name), 64)
        assert name in str(e.value) and "\n" not in str(e.value), e.value
    assert 9000 * 9000 > LIMIT


# ------------------------------------------------------------------ resizing


@pytest.mark.parametrize("resample", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
def test_a_window_is_the_same_as_resizing_and_cutting(resample):
    image = colours(213, 160, seed=3)
    whole = np.asarray(image.resize((170, 128), getattr(Image, resample.upper()))).astype(int)
    got = resized(image, (128, 100), resample, (17 / 170, 9 / 128, 145 / 170, 109 / 128)).astype(int)
    off = abs(got - whole[9:109, 17:145])
    assert off.max() <= (6 if resample == "box" else 1) and off.mean() < 0.1    # a box ends on this pixel or the next


def test_a_very_long_photo_costs_no_memory():
    image = Image.new("RGB", (30000, 2), "red")
    assert resized(image, (128, 128), "bicubic", (0.5, 0, 0.5 + 2 / 30000, 1)).shape == (128, 128, 3)


def slow_cubic(x, size, a=-0.75):
    """cv2.resize with INTER_CUBIC, pixel by pixel in float64."""
    def k(d):
        d = abs(d)
        if d <= 1:
            return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
        return a * (d ** 3 - 5 * d ** 2 + 8 * d - 4) if d < 2 else 0
    (w, h), (hi, wi) = size, x.shape[:2]
    y = np.zeros((h, w, x.shape[2]))
    for i in range(h):
        for j in range(w):
            sy, sx = (i + .5) * hi / h - .5, (j + .5) * wi / w - .5
            for p in range(int(np.floor(sy)) - 1, int(np.floor(sy)) + 3):
                for q in range(int(np.floor(sx)) - 1, int(np.floor(sx)) + 3):
                    y[i, j] += k(sy - p) * k(sx - q) * x[min(max(p, 0), hi - 1), min(max(q, 0), wi - 1)]
    return y


@pytest.mark.parametrize("size", [(7, 5), (23, 31), (12, 9)])
def test_cubic_of_opencv(size):
    x = np.random.default_rng(0).uniform(50, 200, (9, 12, 3))
    got = cv_resize(x.astype("float32"), size, "cubic")
    assert got.dtype == np.float32 and np.abs(got - slow_cubic(x, size)).max() < 1e-3
    bytes_ = x.astype("uint8")
    expected = slow_cubic(bytes_.astype(float), size).round().clip(0, 255)
    assert abs(cv_resize(bytes_, size, "cubic") - expected).max() <= 1


def test_cubic_gives_opencvs_numbers():
    x = np.arange(12, dtype="float32").reshape(3, 4, 1) ** 2
    expected = [[1.7178, 2.7783, 5.2254, 7.8267, 12.6904, 16.0982],         # cv2 5.0.0
                [52.3447, 59.7842, 72.6681, 82.6964, 97.9971, 107.7837]]
    assert np.abs(cv_resize(x, (6, 2), "cubic")[..., 0] - expected).max() < 1e-3


@pytest.mark.parametrize("size", [(7, 5), (23, 31)])
def test_linear_of_opencv(size):
    x = np.random.default_rng(0).uniform(0, 255, (9, 12, 3)).astype("float32")
    w, h = size
    rows = np.clip((np.arange(h) + .5) * 9 / h - .5, 0, 8)
    columns = np.clip((np.arange(w) + .5) * 12 / w - .5, 0, 11)
    down = np.stack([[np.interp(rows, np.arange(9), x[:, j, c]) for j in range(12)] for c in range(3)], -1)
    both = np.stack([[np.interp(columns, np.arange(12), down[:, i, c]) for i in range(h)] for c in range(3)], -1)
    assert np.abs(cv_resize(x, size) - both).max() < 1e-3


def test_opencv_windows_lie_where_pillows_do():
    image = colours(120, 90, seed=5)
    expected = np.asarray(image.crop((36, 18, 72, 54)).resize((32, 32)))
    for resample in RESAMPLINGS:
        got = resized(image, (32, 32), resample, (0.3, 0.2, 0.6, 0.6)).astype(int)
        assert got.shape == (32, 32, 3) and abs(got - expected).mean() < 3
