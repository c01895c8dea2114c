"""Resampling against Pillow, which has its own code for floating images, and PyTorch, whose bicubic is OpenCV's."""
import numpy as np
import pytest
from PIL import Image

from colorize.color.resize import resize

from ...tools import need

SIZES = [((37, 51), (256, 256)), ((64, 48), (16, 16)), ((33, 33), (224, 224)), ((100, 7), (31, 90)), ((1, 1), (3, 5))]


def photo(size):
    return np.random.default_rng(0).uniform(-100, 100, (2,) + size + (2,)).astype("float32")


@pytest.mark.parametrize("old, new", SIZES)
def test_pillow(old, new):
    x = photo(old)
    y = resize(x, new, "pillow")
    assert y.shape == (2,) + new + (2,) and y.dtype == "float32"
    for n in range(2):
        for c in range(2):
            expected = np.asarray(Image.fromarray(x[n, :, :, c]).resize(new[::-1], Image.BICUBIC))
            assert np.abs(y[n, :, :, c] - expected).max() < 1e-3


@pytest.mark.parametrize("method, mode", [("opencv", "bicubic"), ("bilinear", "bilinear")])
@pytest.mark.parametrize("old, new", SIZES)
def test_torch(method, mode, old, new):
    torch = need("torch")
    x = photo(old)
    planes = torch.tensor(x.transpose(0, 3, 1, 2)).double()
    expected = torch.nn.functional.interpolate(planes, size=new, mode=mode, align_corners=False)
    assert np.abs(resize(x, new, method).transpose(0, 3, 1, 2) - expected.numpy()).max() < 1e-3


def test_the_same_size_and_wrong_calls():
    x = photo((8, 9))
    assert resize(x, (8, 9), "pillow") is x
    with pytest.raises(ValueError, match="'nearest', expected one of pillow, opencv, bilinear"):
        resize(x, 4, "nearest")
    with pytest.raises(ValueError, match=r"\(N, H, W, C\), got \(8, 9\)"):
        resize(x[0, :, :, 0], 4, "pillow")
    with pytest.raises(ValueError, match="at least 1"):
        resize(x, (0, 4), "pillow")
