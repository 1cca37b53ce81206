"""Messages for unknown names; names and paths are distinguished on every system."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest

from upscore.core.choices import chosen, is_path, near_path, suggest, unknown_choice
from upscore.errors import SettingsError


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


def test_chosen_names_are_in_the_order_of_the_list_and_each_once() -> None:
    assert chosen("save", ["b", "a", "b"], ("a", "b", "c")) == ("a", "b")
    with pytest.raises(SettingsError, match=r"^save is empty; there are a, b, separated by"):
        chosen("save", [], ("a", "b"))
    with pytest.raises(SettingsError, match=r"^save has no 'overlays'; did you mean 'overlay'"):
        chosen("save", ["labels", "overlays"], ("labels", "overlay"))
    with pytest.raises(SettingsError, match=r"^save is 'labels'; expected a list, such as \['lab"):
        chosen("save", "labels", ("labels", "overlay"))


def test_the_nearest_file_or_folder(tmp_path: Path) -> None:
    (tmp_path / "Photos" / "val").mkdir(parents=True)
    (tmp_path / ".photoss").touch()
    assert near_path(tmp_path / "photos2") == f" (did you mean {tmp_path / 'Photos'}?)"
    wrong = tmp_path / "fotos" / "val"
    assert near_path(wrong) == f" (did you mean {tmp_path / 'Photos' / 'val'}?)"
    assert near_path(tmp_path / "photoz" / "test").endswith(f"{tmp_path / 'Photos'}?)")
    assert near_path(tmp_path / "Photos" / "xyz") == ""
    assert near_path(tmp_path / "a" / "b" / "c") == ""


def test_names_that_could_have_been_meant_are_no_files(tmp_path: Path) -> None:
    assert near_path(Path("rads"), ["roads", "objects"]) == " (did you mean roads?)"
    assert near_path(tmp_path / "rads", ["roads"]) == ""
