"""What --data names, and the flags that go with it."""
import argparse

import pytest

from colorize.data import opening
from colorize.data.pack import Packed, pack
from colorize.data.scenes import Scenes

from ..runner import photos


def test_augment():
    assert opening.augment("none") is None and opening.augment("flip").flip == 0.5
    change = opening.augment("scale=0.8,hshift=0.1")
    assert (change.flip, change.scale, change.vshift, change.hshift) == (0, 0.8, 0, 0.1)
    for text in ("spin", "flip=2", "scale", "scale=a"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected none, flip, tenfold"):
            opening.augment(text)


def test_pictures_of_each_kind(tmp_path):
    folder = photos(tmp_path / "photos", 6, size=48)
    assert isinstance(opening.pictures("scenes", 32), Scenes)
    assert opening.pictures("scenes", 32, held=True).split == "val"
    pack(folder, tmp_path / "packed", 40, report=lambda sentence: None)
    packed = opening.pictures(str(tmp_path / "packed"), 32, batch=3)
    assert isinstance(packed, Packed) and next(iter(packed)).shape == (3, 32, 32, 3)
    whole = opening.pictures(folder, 32, resize="squash", crop="none", batch=6, shuffle=False)
    assert next(iter(whole)).shape == (6, 32, 32, 3)


def test_held_out_photos_are_not_trained_on(tmp_path):
    folder = str(photos(tmp_path / "photos", 40))
    training, held = opening.held_out(folder, seed=3)
    assert len(held) == 4 and not set(training) & set(held) and len(training) == 36
    assert (training, held) == opening.held_out(folder, seed=3) and held != opening.held_out(folder, seed=4)[1]
    assert len(opening.held_out(folder, most=2)[1]) == 2
    with pytest.raises(ValueError, match="has one photo"):
        opening.held_out(str(photos(tmp_path / "one", 1)))
    pack(folder, tmp_path / "packed", 32, report=lambda sentence: None)
    with pytest.raises(ValueError, match="name validation photos with --val"):
        opening.held_out(str(tmp_path / "packed"))
