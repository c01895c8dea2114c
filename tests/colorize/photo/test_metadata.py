"""What stands beside the pixels: EXIF, XMP, IPTC, profiles, dots per inch, texts, as Pillow finds them afterwards."""
import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, IptcImagePlugin, PngImagePlugin

from colorize.photo.photo import Photo
from colorize.photo.profiles import grey_table
from colorize.photo.read import read
from colorize.photo.write import encode

from .samples import chunk, exif, image, picture, png_of, profile, saved, srgb, tiff

XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
       b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Make="Maker"/>'
       b'</rdf:RDF></x:xmpmeta>')
IPTC = b"".join(struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text for number, text in
                ((5, b"grandmother"), (80, b"an unknown photographer")))
KINDS = "JPEG", "PNG", "TIFF", "WEBP"


def given(kind):
    """A file of that kind with all that it can hold, by Pillow; it lies on its side."""
    options = {"exif": exif(6), "icc_profile": srgb(), "dpi": (300, 300)}
    data = saved(image(), kind, **options, **({"xmp": XMP} if kind == "WEBP" else {}))
    if kind == "JPEG":
        segment = b"http://ns.adobe.com/xap/1.0/\0" + XMP
        photoshop = (b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0\0\0\0\x02ab" + b"8BIM\x04\x04\0\0"
                     + struct.pack(">I", len(IPTC)) + IPTC + b"\0" * (len(IPTC) % 2))
        more = [struct.pack(">HH", marker, len(s) + 2) + s for marker, s in ((0xFFE1, segment), (0xFFED, photoshop))]
        return data[:20] + b"".join(more) + data[20:]       # behind JFIF's
    if kind == "PNG":
        return data[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + data[33:]
    if kind == "TIFF":
        return tiff(picture(24, 33, 3), resolution=(300, 300), resolutionunit="INCH", metadata=None, extratags=[
            (34675, 7, len(srgb()), srgb(), True), (274, 3, 1, 6, True), (271, 2, 6, "Maker", True),
            (306, 2, 20, "1931:02:03 04:05:06", True),
            (700, 1, len(XMP), XMP, True), (33723, 7, len(IPTC), IPTC, True)])
    return data


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("kind", [*KINDS, "BMP"])
def test_all_that_a_format_can_hold_is_kept(source, kind):
    photo = read(given(source))
    assert photo.pixels.shape == (33, 24, 3)
    made = Image.open(io.BytesIO(encode(photo, kind)))
    assert made.size == (24, 33)
    if source != "WEBP" and kind != "WEBP":
        assert made.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    if kind == "BMP":
        return
    tags = made.getexif()
    assert tags.get(0x0112, 1) == 1 and tags[0x010F] == "Maker" and tags[0x0132] == "1931:02:03 04:05:06"
    if source != "TIFF":
        assert tags.get_ifd(0x8769)[0x9003] == "1931:02:03 04:05:06"
    assert made.info["icc_profile"] == srgb()
    xmp = made.info.get("xmp") or made.info.get("XML:com.adobe.xmp", "").encode() or made.tag_v2[700]
    assert xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    if kind in ("JPEG", "TIFF") and source in ("JPEG", "TIFF"):
        assert IptcImagePlugin.getiptcinfo(made) == {(2, 5): b"grandmother", (2, 80): b"an unknown photographer"}


def test_what_xmp_alone_says_stays():
    data = saved(image(), "JPEG")
    segment = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    photo = read(data[:20] + struct.pack(">HH", 0xFFE1, len(segment) + 2) + segment + data[20:])
    assert photo.pixels.shape == (24, 33, 3) and photo.info["xmp"] == XMP


def test_a_second_round_changes_nothing():
    for kind in KINDS:
        once = read(encode(read(given(kind))))
        twice = read(encode(once))
        assert sorted(once.info) == sorted(twice.info)
        assert all(once.info[key] == twice.info[key] for key in once.info if key != "dpi")


def test_texts_comments_and_gamma_are_kept():
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "grandmother")
    text.add_text("Comment", "in the garden " * 50, zip=True)
    text.add_itxt("Author", "Zoë", "fr", "Auteur")
    text.add(b"gAMA", struct.pack(">I", 45455))
    made = Image.open(io.BytesIO(encode(read(saved(image(channels=1), "PNG", pnginfo=text)))))
    assert made.text == {"Title": "grandmother", "Comment": "in the garden " * 50, "Author": "Zoë"}
    assert made.info["gamma"] == pytest.approx(0.45455)
    made = Image.open(io.BytesIO(encode(read(saved(image(), "JPEG", comment=b"in the garden")))))
    assert made.info["comment"] == b"in the garden"


def test_a_jpeg_keeps_what_pillow_has_no_place_for():
    extended = b"http://ns.adobe.com/xmp/extension/\0" + bytes(60000)
    more = [(0xFFFE, b"in the garden"), (0xFFFE, b"in spring"), (0xFFE1, extended)]
    data = given("JPEG")
    photo = read(data[:20] + b"".join(struct.pack(">HH", n, len(s) + 2) + s for n, s in more) + data[20:])
    found = [segment for segment in Image.open(io.BytesIO(encode(photo))).applist if segment[0] != "APP0"]
    assert found[0] == ("APP1", b"Exif\0\0" + photo.info["exif"])             # as EXIF wants it
    assert {("COM", b"in the garden"), ("COM", b"in spring"), ("APP1", extended)} < set(found)
    assert [name for name, _ in found].count("APP13") == 1


def test_what_does_not_fit_into_a_jpeg_costs_only_itself():
    info = {"exif": exif()[6:].ljust(65528, b"\0"), "xmp": bytes(65505), "icc": bytes(255 * 65519 + 1),
            "dpi": (0.1, 1e9)}
    made = Image.open(io.BytesIO(encode(Photo(picture(24, 33, 3), None, "JPEG", info))))
    assert made.info["dpi"] == (1, 65535) and not {"exif", "icc_profile", "xmp"} & set(made.info)


def test_a_grey_preview_does_not_stay():
    small = saved(image(8, 8, 1), "JPEG")
    blob = (b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 274, 3, 1, 8, 0, 26)
            + struct.pack("<HHHIIHHIII", 2, 513, 4, 1, 56, 514, 4, 1, len(small), 0) + small)
    made = Image.open(io.BytesIO(encode(read(saved(image(), "JPEG", exif=b"Exif\0\0" + blob)))))
    want = bytearray(blob)
    want[18], want[22] = 1, 0               # the orientation; where the second directory is
    assert made.info["exif"] == b"Exif\0\0" + want


def test_damaged_exif_costs_only_itself():
    for blob in (b"", b"II*\0\xff\xff\0\0", b"MM\0*\0\0\0\x08\xff\xff", b"XX" + bytes(90)):
        blob = b"Exif\0\0" + blob
        for kind in ("JPEG", "WEBP"):
            photo = read(saved(image(), kind, exif=blob))
            assert photo.pixels.shape == (24, 33, 3)
            for other in KINDS:
                assert read(encode(photo, other)).pixels.shape == (24, 33, 3)


# ------------------------------------------------------------------ profiles


CURVES = {"power": b"curv" + struct.pack(">4xIH", 1, int(1.8 * 256)), "none": b"curv" + struct.pack(">4xI", 0),
          "table": b"curv" + struct.pack(">4xI", 17) + (np.linspace(0, 1, 17) ** 2.5 * 65535).astype(">u2").tobytes(),
          "formula": b"para" + struct.pack(">4xH2x5i", 3, *(int(v * 65536) for v in (
              2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))),
          "formula 1": b"para" + struct.pack(">4xH2x3i", 1, *(int(v * 65536) for v in (2.2, 1.1, -0.1)))}


@pytest.mark.parametrize("curve", sorted(CURVES))
@pytest.mark.parametrize("pcs", [b"XYZ ", b"Lab "])
def test_grey_profiles_as_lcms_converts_them(curve, pcs):
    icc = profile(b"GRAY", (b"kTRC", CURVES[curve]), pcs=pcs)
    ramp = Image.fromarray(np.arange(256, dtype="uint8")[None])
    want = np.asarray(ImageCms.profileToProfile(ramp, ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                                                ImageCms.createProfile("sRGB"), 1, outputMode="RGB",
                                                flags=0x0100))[0, :, 1]        # without its shortcuts
    photo = read(png_of(np.asarray(ramp)[..., None], (b"iCCP", b"x\0\0" + zlib.compress(icc))))
    assert photo.pixels.shape == (1, 256, 1) and "icc" not in photo.info
    assert abs(photo.pixels[0, :, 0].astype(int) - want).max() <= 1
    deep = grey_table(icc, 65536)
    assert deep.dtype == np.uint16 and abs(deep[::257].astype(float) / 257 - photo.pixels[0, :, 0]).max() <= 0.51
    assert (np.diff(deep.astype(int)) >= 0).all() and len(np.unique(deep)) > 20000


def test_grey_photos_of_16_bits_are_converted_in_16_bits():
    x, icc = picture(40, 50, 1, "uint16"), profile(b"GRAY", (b"kTRC", CURVES["power"]))
    photo = read(tiff(x[..., 0], extratags=[(34675, 7, len(icc), icc, True)]))
    y = (x / 65535.0) ** 1.8
    want = np.where(y > 0.0031308, 1.055 * y ** (1 / 2.4) - 0.055, 12.92 * y) * 65535
    assert abs(photo.pixels - want).max() < 150         # the profile has 1.8 with 8 bits behind the point
    assert "icc" not in photo.info


def test_cmyk_profiles_are_used():
    """One that knows black alone: the lightness falls from 100 to 0 with K, whatever the rest is."""
    identity = bytes(range(256))
    corners = b"".join(bytes([0 if i & 1 else 255, 128, 128]) for i in range(16))
    lut = (b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
           + identity * 4 + corners + identity * 3)
    icc = profile(b"CMYK", (b"A2B0", lut), (b"A2B1", lut), pcs=b"Lab ")
    x = np.zeros((8, 16, 4), "uint8")
    x[..., 0], x[..., 3] = 200, np.arange(16) * 17
    cmyk = Image.frombytes("CMYK", (16, 8), x.tobytes())
    got = read(saved(cmyk, "TIFF", icc_profile=icc))
    rgb = got.pixels[0].astype(int)
    assert "icc" not in got.info and np.ptp(rgb, axis=1).max() <= 2
    assert abs(rgb[[0, 8, 15], 0] - [255, 112, 0]).max() <= 4         # L* of 100, 46.7 and 0
    plain = read(saved(cmyk, "TIFF")).pixels[0, 0].astype(int)
    assert np.ptp(plain) > 100


def test_rgb_profiles_stay_and_change_no_pixel():
    x = picture(24, 33)
    for channels in (1, 3):                 # an RGB profile of a grey photo holds for its three equal channels
        data = saved(Image.fromarray(x.repeat(3, 2) if channels == 3 else x[..., 0]), "PNG", icc_profile=srgb())
        photo = read(data)
        assert np.array_equal(photo.pixels, x.repeat(channels, 2)) and photo.info["icc"] == srgb()
    coloured = photo.with_pixels(picture(24, 33, 3))
    assert Image.open(io.BytesIO(encode(coloured))).info["icc_profile"] == srgb()
    assert "icc_profile" not in Image.open(io.BytesIO(encode(Photo(x, None, "PNG", photo.info)))).info


@pytest.mark.parametrize("icc", [b"", b"no profile", bytes(200), srgb()[:150], profile(b"GRAY"), profile(b"CMYK"),
                                 profile(b"GRAY", (b"kTRC", b"curv\0\0\0\0\xff\xff\xff\xff"))])
def test_damaged_profiles_cost_only_themselves(icc):
    grey = read(saved(image(channels=1), "JPEG", icc_profile=icc))
    assert np.array_equal(grey.pixels, read(saved(image(channels=1), "JPEG")).pixels)
    assert read(saved(image().convert("CMYK"), "JPEG", icc_profile=icc)).pixels.shape == (24, 33, 3)


def test_a_large_profile_is_put_together_from_its_pieces():
    icc = srgb() + bytes(200000)
    made = encode(read(saved(image(), "JPEG", icc_profile=icc)))
    assert Image.open(io.BytesIO(made)).info["icc_profile"] == icc


def test_bigtiff_keeps_its_tags():
    data = tiff(picture(9, 14, 3), bigtiff=True, description="grandmother", metadata=None)
    with tifffile.TiffFile(io.BytesIO(encode(read(data)))) as file:
        assert file.pages[0].description == "grandmother"
