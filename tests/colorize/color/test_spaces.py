"""Colour against scikit-image, and against what OpenCV gave (checksums and a few values, to the bit)."""
import zlib

import numpy as np
import pytest

from colorize.color import norms
from colorize.color import spaces

from ...tools import need

LEVELS = np.arange(0, 256, 3, dtype="uint8")
LATTICE = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS, indexing="ij"), -1)      # 636,056 colours, black and white too
RANDOM = np.random.default_rng(0).integers(0, 256, (37, 41, 3), "uint8")


def like(got, expected, tolerance):
    assert got.shape == expected.shape
    assert np.abs(np.asarray(got, "float64") - expected).max() <= tolerance


# ------------------------------------------------------------------ Lab


def test_lab_of_bytes(backend):
    lab = backend.get(spaces.rgb_to_lab(backend.put(LATTICE)))
    assert lab.dtype == np.float32
    like(lab, need("skimage.color").rgb2lab(LATTICE / 255), 2e-4)


def test_lab_of_floats(backend):
    rgb = np.random.default_rng(0).uniform(0, 1, (50, 60, 3)).astype("float32")
    rgb[0, :3] = [[0, 0, 0], [1, 1, 1], [0.0404, 0.0405, 0.041]]
    lab = backend.get(spaces.rgb_to_lab(backend.put(rgb)))
    assert lab.dtype == backend.dtype
    like(lab, need("skimage.color").rgb2lab(rgb.astype("float64")), 3e-4)


def test_luminance_is_lab_without_ab(backend):
    for rgb in (RANDOM, RANDOM.astype("float32") / 255):
        L = backend.get(spaces.rgb_to_luminance(backend.put(rgb)))
        assert L.shape == (37, 41, 1)
        like(L, backend.get(spaces.rgb_to_lab(backend.put(rgb)))[..., :1], 1e-4)


def test_rgb_of_lab(backend):
    """Also of colours that sRGB does not have, which are clipped."""
    lab = np.random.default_rng(1).uniform([0, -90, -90], [100, 90, 90], (40, 50, 3))
    lab = lab[(lab[:, :, 0] + 16) / 116 > lab[:, :, 2] / 200].astype("float32")         # skimage clips more elsewhere
    rgb = backend.get(spaces.lab_to_rgb(backend.put(lab)))
    assert rgb.dtype == backend.dtype and rgb.min() == 0 and rgb.max() == 1
    like(rgb, need("skimage.color").lab2rgb(lab.astype("float64")), 2e-5)
    free = backend.get(spaces.lab_to_rgb(backend.put(lab), clip=False))
    assert free.min() < -0.1 and free.max() > 1.1
    like(free.clip(0, 1), rgb, 1e-6)
    assert np.array_equal(backend.get(spaces.lab_to_rgb(backend.put(lab), uint8=True)),
                          backend.get(spaces.to_uint8(backend.put(rgb))))


def test_all_colours_come_back():
    """All 16.7 million of them, in slices."""
    levels = np.arange(256, dtype="uint8")
    for red in range(0, 256, 16):
        rgb = np.stack(np.meshgrid(levels[red:red + 16], levels, levels, indexing="ij"), -1)
        lab = spaces.rgb_to_lab(rgb)
        assert np.array_equal(spaces.lab_to_rgb(lab, uint8=True), rgb)
        assert np.array_equal(spaces.lab_to_rgb(lab[:2], uint8=True, gamut=True), rgb[:2])


def test_a_lattice_comes_back(backend):
    lab = spaces.rgb_to_lab(backend.put(LATTICE))
    for gamut in (False, True):
        assert np.array_equal(backend.get(spaces.lab_to_rgb(lab, uint8=True, gamut=gamut)), LATTICE)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (1, 3), (2, 1, 5, 3), (513, 3), (3 * 2 ** 15 + 7, 3)], ids=str)
def test_shapes(shape):
    """One pixel, none, and pieces and tiles of the kernels that are not full; views and read-only arrays."""
    rgb = np.random.default_rng(2).integers(0, 256, (*shape[:-1], 6), "uint8")[..., ::2]
    rgb.flags.writeable = False
    lab, exact = spaces.rgb_to_lab(rgb), spaces.rgb_to_lab(rgb / 255)
    assert lab.shape == shape and np.allclose(lab, exact, atol=5e-4)
    assert np.array_equal(spaces.lab_to_rgb(lab, uint8=True), rgb)
    assert np.allclose(spaces.keep_gamut(lab * np.float32(1.2)), spaces.keep_gamut(exact * 1.2), atol=0.5)
    L = spaces.rgb_to_luminance(rgb)
    assert L.shape == (*shape[:-1], 1) and np.allclose(L, exact[..., :1], atol=2e-4)


def test_nan_stays_visible(backend):
    lab = backend.put(np.array([[50, np.nan, 0], [50, 0, 0]], "float32"))
    assert np.isnan(backend.get(spaces.lab_to_rgb(lab))).tolist() == [[True] * 3, [False] * 3]
    rgb = backend.put(np.array([[0.5, np.nan, 0.5], [0.5, 0.5, 0.5]], "float32"))
    assert np.isnan(backend.get(spaces.rgb_to_lab(rgb))).any(-1).tolist() == [True, False]


# ------------------------------------------------------------------ the gamut


def test_keep_gamut_keeps_luminance_and_hue(backend):
    lab = np.random.default_rng(3).uniform([1, -110, -110], [99, 110, 110], (60, 70, 3)).astype("float32")
    kept = backend.get(spaces.keep_gamut(backend.put(lab))).astype("float64")
    assert np.array_equal(kept[..., 0], lab[..., 0])
    chroma, before = np.hypot(kept[..., 1], kept[..., 2]), np.hypot(lab[..., 1], lab[..., 2])
    cross = kept[..., 1] * lab[..., 2] - kept[..., 2] * lab[..., 1]
    assert np.abs(cross).max() < 1e-3 * before.max() and (chroma <= before + 1e-4).all()
    assert ((kept[..., 1:] * lab[..., 1:]).sum(-1) >= 0).all()                  # the same side of grey

    exact = spaces.lab_to_rgb(kept, clip=False)
    assert exact.min() > -5e-3 and exact.max() < 1 + 5e-3
    inside = spaces.lab_to_rgb(lab.astype("float64"), clip=False)
    inside = (inside.min(-1) > 0) & (inside.max(-1) < 1)
    assert inside.any() and np.array_equal(kept[inside], lab[inside])
    more = kept[~inside] * [1, 1.02, 1.02]              # no chroma was given away
    outside = spaces.lab_to_rgb(more[chroma[~inside] > 5], clip=False)
    assert ((outside.min(-1) < 0) | (outside.max(-1) > 1)).all()


def test_keep_gamut_of_black_white_and_beyond(backend):
    lab = backend.put(np.array([[0, 50, 50], [100, 50, 50], [120, 0, 0], [-5, 0, 9]], "float32"))
    kept = backend.get(spaces.keep_gamut(lab))
    assert kept[:, 0].tolist() == [0, 100, 100, 0] and np.abs(kept[:, 1:]).max() < 1
    assert backend.get(spaces.lab_to_rgb(lab, gamut=True, uint8=True)).tolist() == [[0] * 3, [255] * 3, [255] * 3,
                                                                                 [0] * 3]


def test_clipping_turns_the_hue_and_keep_gamut_does_not():
    lab = np.array([60, 30, -110.0])
    hue = [np.degrees(np.arctan2(*spaces.rgb_to_lab(spaces.lab_to_rgb(lab, gamut=g))[:0:-1])) for g in (False, True)]
    assert abs(hue[0] - np.degrees(np.arctan2(-110, 30))) > 3 > 0.2 > abs(hue[1] - np.degrees(np.arctan2(-110, 30)))


# ------------------------------------------------------------------ OpenCV


@pytest.mark.parametrize("f, crc, of, expected", [
    (spaces.rgb_to_lab8, 70627370, [28, 113, 199], [120, 136, 76]),
    (spaces.rgb_to_yuv, 3734528783, [28, 113, 199], [97, 178, 67]),
    (spaces.yuv_to_rgb, 2937006624, [227, 142, 56], [145, 255, 255]),
], ids=lambda x: getattr(x, "__name__", ""))
def test_bytes_as_opencv(f, crc, of, expected, backend):
    """Checksums over the lattice of what OpenCV 5.0.0 gave; on all 16.7 million colours they agreed as well."""
    assert backend.get(f(backend.put(np.array(of, "uint8")))).tolist() == expected
    y = backend.get(f(backend.put(LATTICE)))
    assert y.dtype == np.uint8 and zlib.crc32(y.tobytes()) == crc


def test_floating_yuv_as_opencv(backend):
    x = np.array([[15, 3, 42], [15, 3, 48]], "float32") / 255
    yuv = [[0.04327059, 0.55974615, 0.5136399], [0.04595294, 0.5700029, 0.5112875]]
    rgb = [[-0.32341176, 0.44648236, -0.93327063], [-0.29658824, 0.43281177, -0.93327063]]
    like(backend.get(spaces.rgb_to_yuv(backend.put(x))), np.array(yuv), 1e-6)
    like(backend.get(spaces.yuv_to_rgb(backend.put(x))), np.array(rgb), 1e-6)
    like(backend.get(spaces.yuv_to_rgb(backend.put(np.array(yuv)))), x, 1e-3)


def test_8_bit_lab(backend):
    lab = backend.put(np.array([[0, 0, 0], [100, 127, -128], [50.1, 0.4, -0.6], [101, 300, -300]], "float32"))
    lab8 = spaces.lab_to_uint8(lab)
    assert backend.get(lab8).tolist() == [[0, 128, 128], [255, 255, 0], [128, 128, 127], [255, 255, 0]]
    back = backend.get(spaces.uint8_to_lab(lab8))
    assert back.dtype == np.float32
    like(back, np.array([[0, 0, 0], [100, 127, -128], [128 / 2.55, 0, -1], [100, 127, -128]]), 1e-5)
    near = backend.get(spaces.uint8_to_lab(spaces.rgb_to_lab8(backend.put(RANDOM))))
    like(near, backend.get(spaces.rgb_to_lab(backend.put(RANDOM))), 2.5)       # its tables are coarse in the dark


# ------------------------------------------------------------------ normalisations


@pytest.mark.parametrize("name, L, a", [("jetson", 0.5, 39 / 255), ("zhang", 0.25, 20 / 110), ("vgg", 75, 20 / 128),
                                        ("unit", 0.75, 20 / 128), ("faces", 0.75, 148 / 255),
                                        ("faces-tanh", 0.75, 2 * (148 / 255 - 0.5))])
def test_normalise(name, L, a, backend):
    given = [backend.put(np.full((2, 1), v, "float32")) for v in (75, 20)]
    normal = norms.normalise(name, *given)
    for got, expected in zip(normal, (L, a)):
        assert got.dtype == backend.dtype
        like(backend.get(got), np.full((2, 1), expected), 1e-5)
    for got, expected in zip(norms.denormalise(name, *normal), given):
        like(backend.get(got), backend.get(expected), 1e-4)
    assert norms.normalise(name, L=given[0])[1] is None and norms.denormalise(name, ab=given[1])[0] is None


def test_every_normalisation_is_tested():
    assert set(norms.NORMS) == {"jetson", "zhang", "vgg", "unit", "faces", "faces-tanh"}


# ------------------------------------------------------------------ wrong calls


@pytest.mark.parametrize("call, error, message", [
    (lambda: spaces.rgb_to_lab(np.zeros((3, 4, 4), "uint8")), ValueError, r"rgb_to_lab .* got shape \(3, 4, 4"),
    (lambda: spaces.rgb_to_lab(np.zeros((4, 3), "int64")), TypeError, "rgb_to_lab needs a uint8 .* got int64"),
    (lambda: spaces.rgb_to_lab([[0, 0, 0]]), TypeError, "got list"),
    (lambda: spaces.lab_to_rgb(np.zeros((4, 3), "uint8")), TypeError, "lab_to_rgb needs a float32 .* got uint8"),
    (lambda: spaces.lab_to_rgb(np.zeros((4, 3)), clip=False, uint8=True), ValueError, "drop one"),
    (lambda: spaces.to_uint8(np.zeros(3, "uint8")), TypeError, "to_uint8 needs a float32"),
    (lambda: norms.normalise("Zhang", np.zeros(3)), ValueError, "'Zhang' is not known: choose one of faces, "),
], ids=lambda x: "")
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()
