"""Small photo files of every kind, made by Pillow, tifffile and by hand: {name: bytes}."""
import functools
import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin


def picture(h, w, channels=1, dtype="uint8"):
    """A smooth picture (h, w, channels) that uses the dtype's whole range, and in 16 bits its lower bytes."""
    y, x = np.mgrid[:h, :w].astype(float)
    waves = [np.sin(x / (5 + 2 * i) + i) + np.cos(y / (4 + 3 * i)) for i in range(channels)]
    z = np.stack(waves, -1)
    z = (z - z.min()) / max(np.ptp(z), 1e-9)
    return np.round(z * np.iinfo(dtype).max).astype(dtype)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def image(h=24, w=33, channels=3):
    x = picture(h, w, channels)
    return Image.fromarray(x if channels > 1 else x[..., 0])


def tiff(x, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, x, **options)
    return file.getvalue()


def chunk(name, data):
    return struct.pack(">I4s", len(data), name) + data + struct.pack(">I", zlib.crc32(name + data))


def png(head, *chunks):
    """A PNG of these chunks; head: width, height, bits, kind, 0, 0, interlaced."""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *head))
            + b"".join(chunk(*c) for c in chunks) + chunk(b"IEND", b""))


def png_of(x, *chunks):
    """A PNG without filters of (h, w, 1 to 4) in 8 or 16 bits, with more chunks before the pixels."""
    h, w, c = x.shape
    rows = np.ascontiguousarray(x.astype(x.dtype.newbyteorder(">"))).view("uint8").reshape(h, -1)
    rows = np.concatenate([np.zeros((h, 1), "uint8"), rows], 1)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[c]
    return png((w, h, 8 * x.dtype.itemsize, kind, 0, 0, 0), *chunks, (b"IDAT", zlib.compress(rows.tobytes())))


def rle_bmp(h=8, w=10):
    """An 8-bit BMP of runs: every row one run of its own grey."""
    rows = b"".join(bytes([w, 20 * y, 0, 0]) for y in range(h)) + b"\0\1"
    palette = b"".join(bytes([i, i, i, 0]) for i in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, w, h, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", 14 + 40 + 1024 + len(rows), 0, 0, 14 + 40 + 1024) + head + palette + rows


def exif(orientation=6):
    """A maker, a date, an orientation, and the EXIF directory with another date, byte by byte."""
    maker, date = b"Maker\0", b"1931:02:03 04:05:06\0"
    first, behind = 8 + 2 + 4 * 12 + 4, 2 + 12 + 4
    entries = [(271, 2, len(maker), first), (274, 3, 1, orientation), (306, 2, len(date), first + 6),
               (34665, 4, 1, first + 26)]
    return (b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 4) + b"".join(struct.pack("<HHII", *e) for e in entries)
            + bytes(4) + maker + date + struct.pack("<HHHIII", 1, 36867, 2, len(date), first + 26 + behind, 0) + date)


@functools.lru_cache(None)                  # the profile says at which second it was made
def srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(space, *tags, pcs=b"XYZ "):
    """An ICC profile, version 2, of these tags: (name, data)."""
    tags = ((b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)), *tags)
    at, table, rest = 132 + 12 * len(tags), b"", b""
    for name, data in tags:
        table += struct.pack(">4sII", name, at + len(rest), len(data))
        rest += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s12x4s28xiii48x", at + len(rest), b"", 0x02400000,
                       b"mntr" if space != b"CMYK" else b"prtr", space, pcs, b"acsp", 63190, 65536, 54061)
    return head + struct.pack(">I", len(tags)) + table + rest


def made():
    """{name: bytes}: what reading is tested, and damaged, with."""
    rgb, grey, alpha, cmyk = image(), image(channels=1), image(channels=4), image().convert("CMYK")
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "grandmother", zip=True)
    files = {
        "grey.jpg": saved(grey, "JPEG"),
        "rgb.jpg": saved(rgb, "JPEG", exif=exif(), icc_profile=srgb(), comment=b"hi"),
        "progressive.jpg": saved(rgb, "JPEG", progressive=True), "cmyk.jpg": saved(cmyk, "JPEG"),
        "grey.png": saved(grey, "PNG", pnginfo=text), "rgb.png": saved(rgb, "PNG", icc_profile=srgb(), exif=exif(8)),
        "alpha.png": saved(alpha, "PNG"), "palette.png": saved(rgb.quantize(16), "PNG", transparency=3),
        "bit.png": saved(grey.convert("1"), "PNG"), "grey16.png": png_of(picture(9, 14, 1, "uint16")),
        "rgb16.png": png_of(picture(9, 14, 3, "uint16")), "alpha16.png": png_of(picture(9, 14, 4, "uint16")),
        "la16.png": png_of(picture(9, 14, 2, "uint16")), "key.png": png_of(picture(9, 14), (b"tRNS", b"\0\0")),
        "lossy.webp": saved(rgb, "WEBP", exif=exif()), "lossless.webp": saved(alpha, "WEBP", lossless=True),
        "moving.webp": saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)]),
        "rgb.bmp": saved(rgb, "BMP"), "grey.bmp": saved(grey, "BMP"), "bit.bmp": saved(grey.convert("1"), "BMP"),
        "alpha.bmp": saved(alpha, "BMP"), "rle.bmp": rle_bmp(),
        "float.tif": tiff(picture(9, 14)[..., 0] / np.float32(255)), "rgb16.tif": tiff(picture(9, 14, 3, "uint16")),
        "alpha16.tif": tiff(picture(9, 14, 4, "uint16"), extrasamples=["unassalpha"], photometric="rgb"),
        "big16.tif": tiff(picture(9, 14, 3, "uint16"), byteorder=">", compression="zlib", predictor=True),
        "bigtiff.tif": tiff(picture(9, 14, 3), bigtiff=True), "tiles.tif": tiff(picture(40, 40, 3), tile=(16, 16)),
        "tiles16.tif": tiff(picture(40, 40, 3, "uint16"), tile=(16, 16), compression="zlib"),
        "planes.tif": tiff(picture(9, 14, 3).transpose(2, 0, 1), planarconfig="separate", photometric="rgb"),
        "lab.tif": saved(_lab(rgb), "TIFF"), "cmyk.tif": saved(cmyk, "TIFF"),
        "ycbcr.tif": saved(rgb, "TIFF", compression="jpeg"), "grey.tif": saved(grey, "TIFF", exif=exif(3)),
        "lzw.tif": saved(rgb, "TIFF", compression="tiff_lzw"), "fax.tif": saved(grey.convert("1"), "TIFF",
                                                                              compression="group4"),
        "packbits.tif": saved(grey, "TIFF", compression="packbits"),
        "pages.tif": saved(grey, "TIFF", save_all=True, append_images=[grey.rotate(180)]),
    }
    return files


def _lab(rgb):
    return ImageCms.applyTransform(rgb, ImageCms.buildTransform(ImageCms.createProfile("sRGB"),
                                                                ImageCms.createProfile("LAB"), "RGB", "LAB"))
