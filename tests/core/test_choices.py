"""Messages for unknown names; names and paths are distinguished on every system."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest

from upscore.core.choices import is_path, suggest, unknown_choice


def test_the_nearest_name_comes_first_and_all_are_listed() -> None:
    assert unknown_choice("recipe", "fcn8", ["unet", "fcn8s"]) == (
        "no recipe 'fcn8'; did you mean 'fcn8s'? There are unet, fcn8s"
    )
    assert unknown_choice("recipe", 7, ["unet", "fcn8s"]) == "no recipe 7; there are unet, fcn8s"
    assert suggest("zz", iter(("a1", "b1"))) == "there are a1, b1"


@pytest.mark.parametrize(
    "text",
    [
        "my.yaml", "my.yml", "MY.YAML", "runs/my", "./my", r"C:\runs\my", r".\my", r"runs\my",
        str(PureWindowsPath("C:/runs/my")),
    ],
)  # fmt: skip
def test_paths_of_every_system(text: str) -> None:
    assert is_path(text)


def test_names_and_path_objects() -> None:
    assert not is_path("fcn8s-quick")
    assert not is_path("deconvnet")
    assert is_path(Path("deconvnet"))
