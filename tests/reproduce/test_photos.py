from __future__ import annotations

import pytest

from upscore.data import open_dataset
from upscore.errors import SettingsError
from upscore.reproduce.example_selection import (
    class_shares,
    find_photo,
    large_objects,
    pairs_of_objects,
    require_class,
    spread,
)


def test_spread_prefers_photos_with_something_in_them():
    shares = [{"0": 1.0}, {"0": 0.5, "1": 0.5}, {}, {"0": 0.9, "2": 0.1}]
    assert spread(shares, 4) == [1, 3]
    assert spread([{"0": 1.0}, {}, {"0": 1.0}], 4) == [0, 2]
    many = [{"0": 0.5, "1": 0.5}] * 100
    assert spread(many, 4) == [12, 37, 62, 87]


def test_large_objects_are_no_background_and_leave_an_outline():
    shares = [{"0": 0.9, "1": 0.1}, {"1": 0.5, "2": 0.5}, {"2": 0.95, "0": 0.05}, {"3": 0.4}]
    found = large_objects(shares, 3, background=0)
    assert found == [(1, 1), (3, 3), (0, 1)]
    assert large_objects(shares, 9, background=0)[-1] == (2, 2)
    assert large_objects(shares, 3, background=0, wanted=2) == [(1, 2), (2, 2)]
    assert large_objects(shares, 3, background=0, wanted=7) == []


def test_pairs_of_objects_are_of_one_class_and_two_photos():
    shares = [
        {"0": 0.5, "1": 0.5}, {"0": 0.7, "1": 0.3}, {"2": 0.4}, {"1": 0.2, "2": 0.1}, {"1": 0.1},
        {"3": 0.5}, {"1": 0.9},
    ]  # fmt: skip
    found = pairs_of_objects(shares, 9, background=0)
    assert found == [(1, 0, 1), (1, 3, 4), (2, 2, 3)]
    assert pairs_of_objects(shares, 1, background=0) == [(1, 0, 1)]
    assert pairs_of_objects(shares, 9, background=0, wanted=2) == [(2, 2, 3)]
    assert pairs_of_objects(shares, 9, background=0, photo=3) == [(1, 3, 0), (2, 3, 2)]
    assert pairs_of_objects(shares, 9, background=0, photo=3, wanted=2) == [(2, 3, 2)]
    assert pairs_of_objects(shares, 9, background=0, wanted=3) == []  # one photo only
    assert pairs_of_objects(shares, 9, background=0, photo=5) == []
    assert pairs_of_objects(shares, 9, background=0, wanted=0) == []


def test_shares_of_a_split(toy):
    split = open_dataset(toy).split("val")
    shares = class_shares(split)["shares"]
    assert len(shares) == len(split)
    for place, found in enumerate(shares):
        labels = split.read(place).labels
        assert sum(found.values()) == pytest.approx(1)
        for key, share in found.items():
            assert share == pytest.approx((labels == int(key)).sum() / (labels != 255).sum())


def test_photos_and_classes_that_are_not_there(toy):
    split = open_dataset(toy).split("val")
    assert find_photo(split, split.pairs[1].name) == 1
    with pytest.raises(SettingsError, match=r"--photo is 'none'; split 'val' has 2 photos"):
        find_photo(split, "none")
    with pytest.raises(SettingsError, match=r"'background'.* occurs in no photo.*; there are "):
        require_class([{"1": 1.0}], split, "background")
    with pytest.raises(SettingsError, match="no class 'unicorn'"):
        require_class([{"1": 1.0}], split, "unicorn")
