"""Writing: what other readers find in our files."""
import io
import os
import struct
import zlib

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from PIL import Image, JpegImagePlugin

from colorize.photo.find import kind_of
from colorize.photo.photo import Photo
from colorize.photo.read import read
from colorize.photo.write import encode, write

from .samples import image, picture, png_of, saved, tiff

SIZES = (1, 1), (1, 7), (23, 1), (37, 51), (700, 801)       # the last one in several pieces


def photo(size, channels, dtype="uint8", kind="PNG", **info):
    """A Photo of picture()'s: 2 and 4 channels have alpha."""
    x = picture(*size, channels, dtype)
    if channels % 2:
        return Photo(x, None, kind, info)
    return Photo(np.ascontiguousarray(x[..., :-1]), np.ascontiguousarray(x[..., -1]), kind, info)


def chunks(data):
    """[(name, data)] of a PNG, checksums looked at."""
    found, at = [], 8
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        found.append((name, data[at + 8:at + 8 + length]))
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(data[at + 4:at + 8 + length])
        at += 12 + length
    return found


def unpacked(data):
    """The array of a PNG by the specification: filters undone pixel by pixel."""
    found = chunks(data)
    w, h, bits, kind = struct.unpack(">IIBB", found[0][1][:10])
    c = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    step = c * bits // 8
    rows = np.frombuffer(zlib.decompress(b"".join(d for name, d in found if name == b"IDAT")), "uint8")
    rows = rows.reshape(h, 1 + w * step)
    out = np.zeros((h + 1, w * step + step), "uint8")
    for y in range(h):
        kind, row = rows[y, 0], rows[y, 1:]
        assert kind in (1, 2)
        if kind == 1:
            for x in range(step):
                out[y + 1, step + x::step] = np.cumsum(row[x::step], dtype="uint8")
        else:
            out[y + 1, step:] = row + out[y, step:]
    return np.ascontiguousarray(out[1:, step:]).view(f">u{bits // 8}").reshape(h, w, c)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_png_is_exact(dtype, channels, size):
    x, data = picture(*size, channels, dtype), encode(photo(size, channels, dtype))
    assert np.array_equal(unpacked(data), x)
    if dtype == "uint8":
        assert np.array_equal(imageio.imread(data, extension=".png").reshape(x.shape), x)
    else:
        assert np.array_equal(read(data).pixels, x[..., :channels - (channels % 2 == 0)])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("compression", [1, 8])
def test_tiff_is_exact(dtype, channels, size, compression):
    x, data = picture(*size, channels, dtype), encode(photo(size, channels, dtype, "TIFF", compression=compression))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page, = file.pages
        assert np.array_equal(page.asarray().reshape(x.shape), x)
        assert page.compression == compression and tuple(page.extrasamples) == ((2,) if channels % 2 == 0 else ())
    if dtype == "uint8":
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))).reshape(x.shape), x)


def test_tiffs_stay_as_they_were_packed():
    assert read(tiff(picture(9, 9))).info["compression"] == 1
    packed = read(saved(image(), "TIFF", compression="tiff_lzw"))
    assert packed.info["compression"] == 8
    with tifffile.TiffFile(io.BytesIO(encode(packed))) as file:
        assert file.pages[0].compression == 8 and np.array_equal(file.pages[0].asarray(), packed.pixels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["BMP", "JPEG", "WEBP"])
def test_the_others_as_pillow_reads_them(size, kind):
    for channels in (1, 3):
        x = picture(*size, channels)
        made = Image.open(io.BytesIO(encode(photo(size, channels), kind)))
        assert made.format == kind and made.mode == ("L" if (kind, channels) == ("JPEG", 1) else "RGB")
        got = np.asarray(made.convert("RGB")).astype(int)
        assert abs(got - x).mean() <= {"BMP": 0, "JPEG": 4, "WEBP": 12}[kind]
    lossless = np.asarray(Image.open(io.BytesIO(encode(photo(size, 4, lossless=True), "WEBP"))))
    assert np.array_equal(lossless, picture(*size, 4))


def test_sixteen_bits_are_rounded_where_there_are_eight():
    x = np.arange(65536, dtype="uint16").reshape(256, 256, 1).repeat(3, 2)
    got = np.asarray(Image.open(io.BytesIO(encode(Photo(x), "BMP"))))
    assert np.array_equal(got, np.round(x / 257).astype("uint8"))


@pytest.mark.parametrize("kind", ["JPEG", "BMP"])
def test_what_is_transparent_becomes_white(kind):
    for dtype in ("uint8", "uint16"):
        top = np.iinfo(dtype).max
        alpha = np.repeat([0, top // 2, top], 16).astype(dtype) * np.ones((48, 1), dtype)
        made = encode(Photo(np.full((48, 48, 3), top // 5, dtype), alpha), kind)
        got = np.asarray(Image.open(io.BytesIO(made)))[24, 8::16, 0]
        assert abs(got.astype(int) - [255, 153, 51]).max() <= 2


# ------------------------------------------------------------------ JPEG


@pytest.mark.parametrize("quality", [60, 85, 95, 100])
def test_jpeg_has_the_quality_that_it_had(quality):
    given = saved(image(channels=1), "JPEG", quality=quality)
    old, new = read(given), Image.open(io.BytesIO(encode(read(given).with_pixels(picture(24, 33, 3)))))
    assert new.quantization[0] == Image.open(io.BytesIO(given)).quantization[0] == old.info["tables"][0]
    want = Image.open(io.BytesIO(saved(image(), "JPEG", quality=max(75, quality)))).quantization[1]
    assert abs(np.subtract(new.quantization[1], want)).max() <= 1
    assert JpegImagePlugin.get_sampling(new) == 0           # 4:4:4


def test_jpeg_of_other_formats_has_92():
    new = Image.open(io.BytesIO(encode(read(png_of(picture(24, 33, 3))), "JPEG")))
    assert new.quantization == Image.open(io.BytesIO(saved(image(), "JPEG", quality=92))).quantization


def test_jpeg_twice_is_nearly_jpeg_once():
    once = read(saved(image(64, 64, 1), "JPEG", quality=80))
    assert abs(read(encode(once)).pixels.astype(int) - once.pixels).mean() < 0.1


# ------------------------------------------------------------------ files


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "photo.tif"
    write(photo((9, 14), 3), path)
    before = path.read_bytes()
    assert tifffile.imread(str(path)).shape == (9, 14, 3)
    monkeypatch.setattr(zlib, "compress", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(photo((20, 30), 3), path)
    assert path.read_bytes() == before and os.listdir(str(tmp_path)) == ["photo.tif"]


def test_the_suffix_says_the_format_else_the_photo(tmp_path):
    for name, kind in (("a.JPG", "JPEG"), ("a.jpeg", "JPEG"), ("a.tif", "TIFF"), ("a.webp", "WEBP"), ("a.bmp", "BMP"),
                       ("a", "PNG"), ("a.xyz", "PNG")):
        write(photo((9, 14), 3), str(tmp_path / name))
        assert Image.open(io.BytesIO((tmp_path / name).read_bytes())).format == kind
        assert kind_of(name) == (None if kind == "PNG" else kind)


def test_what_a_format_cannot_hold_is_said():
    wide = Photo(np.zeros((1, 70000, 3), "uint8"))
    for kind, most in (("JPEG", 65500), ("WEBP", 16383)):
        with pytest.raises(ValueError, match=f"{kind} .* {most} .* 70000 x 1: "):
            encode(wide, kind)
    for kind in ("PNG", "TIFF", "BMP"):
        assert read(encode(wide, kind)).pixels.shape == (1, 70000, 3)
    with pytest.raises(ValueError, match="WebP .* at most 30 million .* 8000 x 8000"):
        encode(Photo(np.broadcast_to(np.zeros((1, 1, 3), "uint8"), (8000, 8000, 3))), "WEBP")
    with pytest.raises(ValueError, match="JPEG, PNG, TIFF, WEBP, BMP, got 'GIF'"):
        encode(wide, "GIF")


@pytest.mark.parametrize("pixels, alpha", [(np.zeros((4, 5), "uint8"), None), (np.zeros((4, 5, 2), "uint8"), None),
                                           (np.zeros((4, 5, 3)), None),
                                           (np.zeros((4, 5, 3), "uint8"), np.zeros((4, 5), "uint16")),
                                           (np.zeros((4, 5, 3), "uint8"), np.zeros((5, 4), "uint8"))])
def test_a_photo_of_wrong_arrays_is_refused(pixels, alpha):
    with pytest.raises(ValueError, match="a Photo"):
        Photo(pixels, alpha)
