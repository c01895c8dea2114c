"""Reading: every kind of pixels, against the arrays that the files were made of."""
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from colorize.photo.read import LIMIT, Unreadable, read

from .samples import exif, image, made, picture, png, png_of, rle_bmp, saved, tiff


def turned(x, orientation):
    """What stands upright of a picture that lies as EXIF says."""
    return {1: x, 2: x[:, ::-1], 3: x[::-1, ::-1], 4: x[::-1], 5: x.swapaxes(0, 1), 6: np.rot90(x, -1),
            7: np.rot90(x, 2).swapaxes(0, 1), 8: np.rot90(x)}[orientation]


def same(photo, x, alpha=None):
    assert photo.pixels.dtype == x.dtype and np.array_equal(photo.pixels, x)
    assert photo.alpha is None if alpha is None else np.array_equal(photo.alpha, alpha)
    assert photo.pixels.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (23, 1), (37, 51)])
def test_png_is_exact(dtype, channels, size):
    x = picture(*size, channels, dtype)
    colours = channels - (channels % 2 == 0)
    photo = read(png_of(x))
    same(photo, x[..., :colours], x[..., colours] if channels % 2 == 0 else None)
    assert photo.kind == "PNG"


@pytest.mark.parametrize("dtype, channels, planes", [
    *[("uint8", c, "contig") for c in (1, 2, 3, 4)], *[("uint16", c, "contig") for c in (1, 2, 3, 4)],
    *[("uint8", c, "separate") for c in (3, 4)], *[("uint16", c, "separate") for c in (2, 3, 4)]])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("options", [
    {}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}, {"tile": (16, 32)},
    {"tile": (16, 32), "compression": "zlib", "predictor": True}], ids=str)
def test_tiff_is_exact(dtype, channels, planes, order, options):
    x, colours = picture(41, 52, channels, dtype), channels - (channels % 2 == 0)
    data = tiff(x.transpose(2, 0, 1) if planes == "separate" else x if channels > 1 else x[..., 0], byteorder=order,
                photometric="rgb" if channels > 2 else "minisblack", planarconfig=planes if channels > 1 else None,
                extrasamples=["unassalpha"] if channels % 2 == 0 else None, **options)
    same(read(data), x[..., :colours], x[..., colours] if channels % 2 == 0 else None)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "raw", "lzma"])
def test_tiff_compressions_of_pillow(compression):
    for channels in (1, 3, 4):
        x = picture(24, 33, channels)
        same(read(saved(image(channels=channels), "TIFF", compression=compression)), x[..., :3],
             x[..., 3] if channels == 4 else None)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_once(orientation, kind):
    x = picture(24, 40, 3)
    data = saved(Image.fromarray(x), kind, exif=exif(orientation), quality=95, **(
        {"lossless": True} if kind == "WEBP" else {}))
    photo = read(data)
    assert photo.pixels.shape == turned(x, orientation).shape
    assert abs(photo.pixels.astype(int) - turned(x, orientation)).mean() < (4 if kind == "JPEG" else 0.01)


@pytest.mark.parametrize("order", "<>")
def test_orientation_of_32_bits(order):
    x = picture(24, 40, 3)
    lies = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIHHHIII", 42, 8, 1, 274, 4, 1, 6, 0)
    webp = saved(Image.fromarray(x), "WEBP", lossless=True, exif=lies)
    for photo in (read(png_of(x, (b"eXIf", lies))), read(webp)):
        same(photo, turned(x, 6))
        assert photo.info["exif"] == lies.replace(struct.pack(order + "I", 6), struct.pack(order + "I", 1))
    same(read(tiff(x, byteorder=order, metadata=None, extratags=[(274, 4, 1, 6, True)])), turned(x, 6))


@pytest.mark.parametrize("orientation", [3, 6])
def test_deep_pixels_and_alpha_are_turned_too(orientation):
    x, lies = picture(9, 14, 4, "uint16"), struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 274, 3, 1, orientation, 0, 0)
    same(read(png_of(x, (b"eXIf", lies))), turned(x, orientation)[..., :3], turned(x, orientation)[..., 3])
    for c in (2, 3):
        x = picture(9, 14, c, "uint16")
        data = tiff(x, photometric="rgb" if c == 3 else "minisblack", planarconfig="contig", extratags=[
            (274, 3, 1, orientation, True)], extrasamples=["unassalpha"] if c == 2 else None)
        up = turned(x, orientation)
        same(read(data), up[..., :1] if c == 2 else up, up[..., 1] if c == 2 else None)


def test_white_is_zero():
    for dtype in ("uint8", "uint16"):
        x = picture(9, 14, 1, dtype)
        same(read(tiff(x[..., 0], photometric="miniswhite")), np.iinfo(dtype).max - x)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels, kind", [(1, "minisblack"), (3, "rgb")])
def test_colours_multiplied_by_alpha_are_divided(dtype, channels, kind):
    top = np.iinfo(dtype).max
    straight, alpha = picture(20, 30, channels, dtype), np.linspace(0, top, 600).round().astype(dtype).reshape(20, 30)
    multiplied = (straight * (alpha[..., None] / top)).round().astype(dtype)
    photo = read(tiff(np.dstack([multiplied, alpha]), photometric=kind, planarconfig="contig",
                      extrasamples=["assocalpha"]))
    assert np.array_equal(photo.alpha, alpha) and photo.pixels.dtype == dtype
    seen = alpha > top // 2
    assert abs(photo.pixels[seen].astype(int) - straight[seen]).max() <= 2


def test_floats_and_large_integers_have_the_range_that_fits():
    x = np.linspace(0, 1, 60, dtype="float32").reshape(6, 10)
    for scale, dtype in ((1, "float32"), (255, "float32"), (65535, "float32"), (65535, "int32")):
        want = np.round(x.astype(float) * 65535).astype(int)
        got = read(tiff((x * scale).astype(dtype))).pixels[..., 0]
        assert got.dtype == np.uint16 and abs(got.astype(int) - want).max() <= 1
    same(read(tiff(np.arange(200, dtype="int32").reshape(10, 20))), np.arange(200, dtype="uint8").reshape(10, 20, 1))
    assert read(tiff(np.array([[np.nan, 0.5], [1, 0]], "float32"))).pixels[0, 0, 0] == 0
    with pytest.raises(Unreadable, match="mode [FI] .* up to"):
        read(tiff(x * 1e6))


def test_palettes_bits_and_keys():
    grey = np.repeat(np.arange(16, dtype="uint8") * 17, 3)
    indices = np.arange(24, dtype="uint8").reshape(4, 6) % 16
    packed = b"".join(b"\0" + bytes(r[::2] << 4 | r[1::2]) for r in indices)
    head, pixels = (6, 4, 4, 3, 0, 0, 0), (b"IDAT", zlib.compress(packed))
    same(read(png(head, (b"PLTE", grey.tobytes()), pixels)), indices[..., None] * 17)
    photo = read(png(head, (b"PLTE", grey.tobytes()), (b"tRNS", b"\xff\0\x80"), pixels))
    same(photo, indices[..., None] * 17, np.where(indices == 1, 0, np.where(indices == 2, 0x80, 255)))
    colours = np.random.default_rng(0).integers(0, 255, 48).astype("uint8")
    same(read(png(head, (b"PLTE", colours.tobytes()), pixels)), colours.reshape(16, 3)[indices])
    bits = Image.fromarray(picture(9, 14)[..., 0]).convert("1")
    for kind in ("PNG", "TIFF", "BMP"):
        same(read(saved(bits, kind)), np.asarray(bits)[..., None].astype("uint8") * 255)
    for dtype, channels in (("uint8", 1), ("uint8", 3), ("uint16", 1), ("uint16", 3)):
        x = picture(9, 14, channels, dtype)
        key = struct.pack(f">{channels}H", *(int(v) for v in x[3, 5]))
        alpha = np.where((x == x[3, 5]).all(-1), 0, np.iinfo(dtype).max)
        same(read(png_of(x, (b"tRNS", key))), x, alpha)


def test_interlaced_png_is_exact():
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
    for x in (picture(13, 10, 3), picture(13, 10, 3, "uint16")):
        rows = [b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for y, dy, left, dx in passes
                for row in x[y::dy, left::dx] if row.size]
        data = png((10, 13, 8 * x.dtype.itemsize, 2, 0, 0, 1), (b"IDAT", zlib.compress(b"".join(rows))))
        same(read(data), x)


def test_bmp_of_runs():
    same(read(rle_bmp()), np.repeat(np.arange(7, -1, -1, dtype="uint8") * 20, 10).reshape(8, 10, 1))


def test_grey_has_one_channel_and_everything_else_three():
    x = picture(24, 33)
    for kind in ("JPEG", "PNG", "TIFF", "BMP"):
        assert read(saved(Image.fromarray(x[..., 0]), kind)).pixels.shape == (24, 33, 1)
        assert read(saved(Image.fromarray(x.repeat(3, 2)), kind)).pixels.shape == (24, 33, 3)


def test_cmyk_lab_and_ycbcr_become_rgb():
    x = picture(24, 33, 3)
    rgb = Image.fromarray(x)
    lab = ImageCms.applyTransform(rgb, ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"))
    files = {"cmyk jpeg": saved(rgb.convert("CMYK"), "JPEG", quality=97), "cmyk": saved(rgb.convert("CMYK"), "TIFF"),
             "lab": saved(lab, "TIFF"), "ycbcr": saved(rgb, "TIFF", compression="jpeg", quality=97),
             "ycbcr, plain": tiff(np.asarray(rgb.convert("YCbCr")), photometric="ycbcr", extratags=[
                 (532, 5, 6, (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1), True)])}
    for name, data in files.items():
        got = read(data).pixels
        assert got.shape == x.shape and abs(got.astype(int) - x).mean() < 4, name
    fine, coarse = (struct.pack("<HHIHH", 530, 3, 2, n, n) for n in (1, 2))
    with pytest.raises(Unreadable, match="coarser"):
        read(files["ycbcr, plain"].replace(fine, coarse))


# ------------------------------------------------------------------ files as a whole


def test_the_first_frame_is_taken_and_said():
    files = made()
    assert ["2 pages" in note for note in read(files["pages.tif"]).notes] == [True]
    assert ["2 frames" in note for note in read(files["moving.webp"]).notes] == [True]
    grey = image(channels=1)
    moving = saved(grey, "PNG", save_all=True, append_images=[grey.rotate(180)])
    photo = read(moving)
    assert ["still" in note and "2 frames" in note for note in photo.notes] == [True]
    assert np.array_equal(photo.pixels, picture(24, 33)) and read(files["grey.tif"]).notes == ()


def test_the_content_counts_not_the_name(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(made()["grey.png"])
    assert read(path).kind == read(str(path)).kind == read(path.read_bytes()).kind == "PNG"


def test_no_other_decoder_is_tried(monkeypatch):
    def never(*args, **options):
        raise AssertionError("Pillow looked for a decoder")
    monkeypatch.setattr(Image, "open", never)
    monkeypatch.setattr(Image, "init", never)
    for data in made().values():
        read(data)


def test_the_limit_counts_before_pixels_are_made():
    data = png_of(picture(20, 30))
    assert read(data, limit=600).pixels.shape == (20, 30, 1)
    with pytest.raises(Unreadable, match="30 x 20 pixels are too many"):
        read(data, limit=599)
    assert LIMIT > 11648 * 8736             # a camera of 100 megapixels


def test_raw_files_of_cameras_are_refused():
    data = tiff(picture(9, 14, 3), extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
    with pytest.raises(Unreadable, match="raw file of a camera"):
        read(data)


def test_checksums_matter_for_pixels_only():
    data = png_of(picture(4, 5), (b"tEXt", b"Title\0x"))
    at = data.index(b"tEXt") + 4 + 7
    assert "chunks" not in read(data[:at] + b"\0\0\0\0" + data[at + 4:]).info
    assert read(data).info["chunks"] == [(b"tEXt", b"Title\0x")]
    with pytest.raises(Unreadable, match="damaged"):
        read(data[:-20] + bytes(20))


def test_readable_from_any_bytes():
    data = made()["rgb.jpg"]
    for given in (data, bytearray(data), memoryview(data)):
        lying = Image.open(io.BytesIO(data))
        assert np.array_equal(read(given).pixels, np.asarray(lying.transpose(Image.ROTATE_270)))
