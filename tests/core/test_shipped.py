"""Names and texts of the YAML files inside the package."""

from __future__ import annotations

import pytest

from upscore.core.builtin_configs import shipped_names, shipped_text
from upscore.errors import SettingsError


def test_names_are_sorted_and_without_suffix() -> None:
    names = shipped_names("recipes")
    assert "fcn8s-quick" in names
    assert names == sorted(names)


def test_text_of_a_name() -> None:
    assert shipped_text("recipes", "fcn8s-quick", what="recipe").startswith("description:")


def test_an_unknown_name_is_told_with_the_nearest_and_all() -> None:
    with pytest.raises(SettingsError, match="did you mean 'fcn8s-quick'") as error:
        shipped_text("recipes", "fcn8s-quik", what="recipe", otherwise="; or name a .yaml file")
    assert str(error.value).startswith("no shipped recipe 'fcn8s-quik'")
    assert str(error.value).endswith("unet-quick; or name a .yaml file")


def test_a_name_like_no_other_has_no_suggestion() -> None:
    with pytest.raises(SettingsError, match=r"no shipped pipeline 'zzz'; there are "):
        shipped_text("pipelines", "zzz", what="pipeline")
