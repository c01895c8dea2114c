"""RGB profiles: the lightness that lcms sees stays, greys stay grey, and a damaged profile costs only itself."""
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from colorize.color.resize import resize
from colorize.photo import pixels
from colorize.photo.photo import Photo
from colorize.photo.profiles import rgb_space
from colorize.photo.read import read
from colorize.photo.rgb_space import SRGB
from colorize.photo.write import encode
from colorize.predict import recolor
from colorize.predict.painter import Painter
from colorize.predict.recolor import lightness, painted

from .samples import png_of, profile, srgb

TOP = {"uint8": 255, "uint16": 65535}


def power(gamma):
    return b"curv" + struct.pack(">4xIH2x", 1, round(gamma * 256))


def table(*values):
    return b"curv" + struct.pack(">4xI", len(values)) + np.array(values, ">u2").tobytes()


def formula(kind, *numbers):
    return b"para" + struct.pack(f">4xH2x{len(numbers)}i", kind, *(round(v * 65536) for v in numbers))


def xyz(*numbers):
    return b"XYZ " + struct.pack(">4x3i", *(round(v * 65536) for v in numbers))


def matrix(colours, *curves):
    """A profile of three colours in XYZ, and a curve for all or three."""
    curves = curves * 3 if len(curves) == 1 else curves
    return profile(b"RGB ", *[(c + b"XYZ", xyz(*v)) for c, v in zip((b"r", b"g", b"b"), colours)],
                   *[(c + b"TRC", v) for c, v in zip((b"r", b"g", b"b"), curves)])


LEVELS = np.linspace(0, 1, 1024)
AS_SRGB = np.where(LEVELS > 0.04045, ((LEVELS + 0.055) / 1.055) ** 2.4, LEVELS / 12.92)
FORMULA = formula(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
PRIMARIES = {"srgb": [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)],
             "adobe": [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)],
             "prophoto": [(0.79767, 0.28804, 0), (0.13519, 0.71188, 0), (0.03134, 0.00009, 0.82491)],
             "p3": [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)]}
PROFILES = {"srgb": matrix(PRIMARIES["srgb"], FORMULA), "adobe": matrix(PRIMARIES["adobe"], power(2.199)),
            "prophoto": matrix(PRIMARIES["prophoto"], formula(3, 1.8, 1, 0, 1 / 16, 1 / 32)),
            "p3": matrix(PRIMARIES["p3"], FORMULA),
            "table": matrix(PRIMARIES["adobe"], table(*np.linspace(0, 1, 300) ** 2.2 * 65535)),
            "uneven": matrix(PRIMARIES["p3"], power(1.8), power(2.2), power(2.5)),
            "dark": matrix(PRIMARIES["srgb"], table(*[0] * 20, *np.linspace(0, 65535, 200)))}


def by_lcms(rgb, icc, mode="LAB"):
    """Lab (or sRGB with mode="RGB") of uint8, or of uint16 in 8 bits: float (H, W, 3)."""
    if rgb.dtype == np.uint16:
        rgb = ((rgb.astype("uint32") + 128) // 257).astype("uint8")
    target = ImageCms.createProfile("LAB" if mode == "LAB" else "sRGB")
    change = ImageCms.buildTransform(ImageCms.ImageCmsProfile(io.BytesIO(icc)), target, "RGB", mode, 1, 0x0100)
    x = np.asarray(ImageCms.applyTransform(Image.fromarray(rgb), change))
    if mode == "RGB":
        return x.astype(float)
    return np.stack([x[..., 0] * (100 / 255), *x[..., 1:].view("int8").transpose(2, 0, 1).astype(float)], -1)


def waves(dtype, spread=0.15):
    """A toned picture (60, 90, 3) with noise in its colours, from dark to light."""
    y, x = np.mgrid[:60, :90]
    grey = 0.5 + 0.45 * np.sin(x / 14) * np.cos(y / 9)
    noise = np.random.default_rng(3).normal(0, spread / 3, (60, 90, 3))
    return ((grey[..., None] * [1, 1 - spread, 1 - 2 * spread] + noise).clip(0, 1) * TOP[dtype]).astype(dtype)


def colours(strength=18, seed=0):
    return np.random.default_rng(seed).normal(0, strength, (6, 9, 2)).astype("float32")


@pytest.mark.parametrize("dtype", TOP)
@pytest.mark.parametrize("name", sorted(PROFILES))
@pytest.mark.parametrize("channels", [1, 3])
def test_the_lightness_that_lcms_sees_stays(name, dtype, channels):
    space, x = rgb_space(PROFILES[name]), waves(dtype)[..., :channels]
    before = by_lcms(np.repeat(x, 3 // channels, 2), PROFILES[name])
    after = by_lcms(painted(x, colours(), space=space), PROFILES[name])
    assert np.abs(after - before)[..., 0].mean() < 0.4
    seen = lightness(x, (20, 30), space=space)
    assert np.abs(seen - resize(before[None, ..., :1], (20, 30), "pillow")[0, ..., 0]).mean() < 0.5


@pytest.mark.parametrize("dtype", TOP)
@pytest.mark.parametrize("name", sorted(PROFILES))
def test_no_colour_is_grey(name, dtype):
    ramp = (np.linspace(0, 1, 256) * TOP[dtype]).astype(dtype)[None, :, None]
    out = painted(ramp, np.zeros((2, 2, 2)), space=rgb_space(PROFILES[name]))
    lab = by_lcms(out, PROFILES[name])
    assert np.abs(lab[..., 1:]).max() <= 1
    if name != "uneven":
        assert np.ptp(out.astype(int), axis=2).max() <= (1 if dtype == "uint8" else 200)
    if name not in ("uneven", "dark"):      # whose black has many levels
        assert np.abs(out.astype(int) - ramp)[:, 16:].max() <= (1 if dtype == "uint8" else 200)


@pytest.mark.parametrize("name", ["adobe", "prophoto", "p3"])
def test_a_photo_has_the_same_colours_whatever_its_profile(name):
    """The grey of one and the same light, painted alike, is the same in sRGB afterwards."""
    x = waves("uint8", 0)
    ab = colours(10)
    change = ImageCms.buildTransform(ImageCms.createProfile("sRGB"),
                                     ImageCms.ImageCmsProfile(io.BytesIO(PROFILES[name])), "RGB", "RGB", 1)
    other = np.asarray(ImageCms.applyTransform(Image.fromarray(x), change))
    out = painted(other, ab, space=rgb_space(PROFILES[name]))
    assert np.abs(by_lcms(out, PROFILES[name], "RGB") - painted(x, ab)).mean() < 0.8
    assert np.abs(out.astype(int) - painted(x, ab)).mean() > 1                      # the test means something


def test_colours_that_only_a_wide_space_has_stay():
    x = np.full((8, 8, 1), 128, "uint8")
    ab = np.broadcast_to([-70.0, 30.0], (2, 2, 2))
    chroma = {name: np.hypot(*by_lcms(painted(x, ab, space=rgb_space(PROFILES[name])), PROFILES[name])[4, 4, 1:])
              for name in ("srgb", "adobe", "prophoto")}
    assert chroma["srgb"] < chroma["adobe"] - 5 < chroma["prophoto"] and chroma["prophoto"] > 70


@pytest.mark.parametrize("icc", [srgb(), PROFILES["srgb"], matrix(PRIMARIES["srgb"], table(*AS_SRGB * 65535)),
                                 matrix(np.array(PRIMARIES["srgb"]) + 2e-4, FORMULA)])
def test_what_is_srgb_is_painted_as_without_a_profile(icc):
    photo = read(png_of(waves("uint8"), (b"iCCP", b"x\0\0" + zlib.compress(icc))))
    assert photo.space is SRGB and photo.info["icc"] == icc and photo.notes == ()


@pytest.mark.parametrize("name", ["adobe", "prophoto", "p3"])
def test_photos_have_the_space_of_their_profile(name):
    chunk = b"iCCP", b"x\0\0" + zlib.compress(PROFILES[name])
    photo, again = read(png_of(waves("uint8"), chunk)), read(png_of(waves("uint16"), chunk))
    assert photo.space == again.space == rgb_space(PROFILES[name]) != SRGB
    assert hash(photo.space) == hash(again.space) and photo.with_pixels(photo.pixels).space == photo.space
    assert np.array_equal(photo.pixels, waves("uint8")) and np.array_equal(again.pixels, waves("uint16"))
    made = Image.open(io.BytesIO(encode(photo, "JPEG")))
    assert made.info["icc_profile"] == PROFILES[name]
    assert photo.space not in {SRGB, *(rgb_space(PROFILES[other]) for other in PROFILES if other != name)}


class Model:
    """Says the same ab everywhere, and keeps what it saw."""
    fit, fixed = "stretch", True

    def fused(self):
        return self

    def working_size(self, height, width):
        return 20, 30

    def small(self, L):
        self.seen = L
        return np.broadcast_to(np.array([10, 20], "float32"), (1, 4, 6, 2))


@pytest.mark.parametrize("compare", [False, True])
def test_a_painter_looks_and_paints_in_the_space(compare):
    x, space, model = waves("uint8"), rgb_space(PROFILES["prophoto"]), Model()
    photo = Painter(model, 1)(Photo(x.copy(), space=space), compare)
    assert np.array_equal(model.seen[0], lightness(x, (20, 30), space=space)) and photo.space == space
    assert np.abs(model.seen[0] - lightness(x, (20, 30))).max() > 2
    want = painted(x, np.broadcast_to(np.array([10, 20], "float32"), (4, 6, 2)), space=space)
    assert np.array_equal(photo.pixels, np.concatenate([x, want], 1) if compare else want)


def test_tables_of_many_profiles_are_forgotten():
    for i in range(20):
        painted(waves("uint16"), colours(), space=rgb_space(matrix(PRIMARIES["adobe"], power(1.5 + i / 20))))
    assert recolor._tables.cache_info().currsize == recolor._tables.cache_info().maxsize < 10


# ------------------------------------------------------------------ tables and damage


def lut():
    """A profile of tables that knows no colour: the lightness is the mean of the three."""
    identity, corners = bytes(range(256)), b"".join(bytes([255 * bin(i).count("1") // 3, 128, 128]) for i in range(8))
    data = (b"mft1\0\0\0\0" + bytes([3, 3, 2, 0]) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
            + identity * 3 + corners + identity * 3)
    return profile(b"RGB ", (b"A2B0", data), pcs=b"Lab ")


@pytest.mark.parametrize("dtype", TOP)
@pytest.mark.parametrize("channels", [1, 3])
def test_profiles_of_tables_become_srgb(dtype, channels):
    x = np.ascontiguousarray(waves(dtype)[..., :channels])
    photo = read(png_of(x, (b"iCCP", b"x\0\0" + zlib.compress(lut()))))
    assert photo.notes == (pixels.CONVERTED,) and "icc" not in photo.info and photo.space is SRGB
    assert photo.pixels.dtype == dtype and photo.pixels.shape == (60, 90, 3)
    want = x.astype(float).mean(2) / TOP[dtype] * 100
    lab = by_lcms(photo.pixels, PROFILES["srgb"])
    assert np.abs(lab[..., 0] - want).max() < 1.5 and np.abs(lab[..., 1:]).max() <= 2


EVEN = PRIMARIES["adobe"]
HOSTILE = {"no matrix": profile(b"RGB ", *[(c + b"TRC", power(2.2)) for c in (b"r", b"g", b"b")]),
           "no curves": profile(b"RGB ", *[(c + b"XYZ", xyz(*v)) for c, v in zip((b"r", b"g", b"b"), EVEN)]),
           "nothing": profile(b"RGB "), "cut": PROFILES["adobe"][:300], "header": PROFILES["adobe"][:132],
           "zero matrix": matrix([(0, 0, 0)] * 3, power(2.2)),
           "one colour": matrix([(0.3214, 0.3333, 0.275)] * 3, power(2.2)),
           "huge matrix": matrix([(30000, 20000, 10000), (-30000, 0, 1), (0, 0, 30000)], power(2.2)),
           "falling": matrix(EVEN, table(*np.linspace(65535, 0, 50))),
           "zigzag": matrix(EVEN, table(0, 60000, 3, 65535)),
           "flat": matrix(EVEN, table(0, 0, 0)), "power of 0": matrix(EVEN, power(0)),
           "half": matrix(EVEN, table(0, 30000)), "lifted": matrix(EVEN, table(20000, 65535)),
           "a long table": matrix(EVEN, b"curv" + struct.pack(">4xI", 1 << 30) + bytes(900)),
           "a table cut short": matrix(EVEN, b"curv" + struct.pack(">4xI", 4000) + bytes(900)),
           "a huge table": matrix(EVEN, table(*np.linspace(0, 65535, 100000))),
           "no such formula": matrix(EVEN, formula(9, 1)), "divided by 0": matrix(EVEN, formula(1, 2.2, 0, 1)),
           "infinite": matrix(EVEN, formula(3, 30000, 30000, 1, 1, 0)), "negative": matrix(EVEN, formula(0, -3)),
           "no such curve": matrix(EVEN, b"what" + bytes(60)), "no such colours": profile(
               b"RGB ", *[(c + b"XYZ", b"text" + bytes(40)) for c in (b"r", b"g", b"b")],
               *[(c + b"TRC", power(2.2)) for c in (b"r", b"g", b"b")]),
           "tags": PROFILES["adobe"][:128] + b"\xff\xff\xff\xff" + PROFILES["adobe"][132:200]}


@pytest.mark.parametrize("name", sorted(HOSTILE))
@pytest.mark.parametrize("dtype", TOP)
def test_damaged_profiles_cost_a_word(name, dtype):
    x = waves(dtype)
    photo = read(png_of(x, (b"iCCP", b"x\0\0" + zlib.compress(HOSTILE[name]))))
    assert photo.space is SRGB and len(photo.notes) == 1 and photo.notes[0] in (pixels.CONVERTED, pixels.DAMAGED)
    if photo.notes[0] == pixels.DAMAGED:
        assert np.array_equal(photo.pixels, x) and photo.info["icc"] == HOSTILE[name]
    else:
        assert "icc" not in photo.info
    ramp = read(png_of(np.arange(256, dtype="uint8")[None, :, None].repeat(3, 2),
                       (b"iCCP", b"x\0\0" + zlib.compress(HOSTILE[name])))).pixels[0, :, 1].astype(int)
    assert ramp[-1] - ramp[0] >= 128 and np.diff(ramp).min() >= -2           # no profile destroys a picture
    assert painted(photo.pixels, colours(), space=photo.space).shape == x.shape


def test_random_damage():
    rng = np.random.default_rng(0)
    for i in range(300):
        icc = bytearray(PROFILES[sorted(PROFILES)[i % len(PROFILES)]])
        for at in rng.integers(128, len(icc), rng.integers(1, 30)):
            icc[at] = rng.integers(256)
        photo = read(png_of(waves("uint8")[:9, :9], (b"iCCP", b"x\0\0" + zlib.compress(bytes(icc)))))
        out = painted(photo.pixels, colours(), space=photo.space)
        assert out.shape == (9, 9, 3) and isinstance(photo, Photo)
