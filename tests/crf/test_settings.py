"""CRF settings by name and as YAML files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from upscore.crf.mean_field import Potts
from upscore.crf.settings import (
    CRF_NAMES,
    BilateralSettings,
    CRFSettings,
    GaussianSettings,
    crf_settings,
    load_crf,
)
from upscore.crf.terms import Bilateral, Gaussian
from upscore.errors import NotFoundError, SettingsError


def test_named_settings_are_the_published_ones() -> None:
    assert CRF_NAMES == ("deconvnet", "released", "deeplab", "deeplab-largefov")
    built = {name: crf_settings(name).build() for name in CRF_NAMES}
    for crf in built.values():
        assert crf.gaussian == Gaussian(sxy=3, weight=3)
        assert crf.iterations == 10
        assert crf.compatibility == Potts(1.0)
        assert (crf.tolerance, crf.prune, crf.terms) == (None, 0.0, ())
    assert built["deconvnet"].bilateral == Bilateral(sxy=20, srgb=3, weight=5)
    assert built["released"].bilateral == Bilateral(sxy=20, srgb=3, weight=5)
    assert built["deeplab"].bilateral == Bilateral(sxy=50, srgb=5, weight=10)
    assert built["deeplab-largefov"].bilateral == Bilateral(sxy=121, srgb=5, weight=4)
    assert [built[name].normalization for name in CRF_NAMES] == [
        "symmetric", "none", "symmetric", "after",
    ]  # fmt: skip


def test_every_setting_arrives_in_the_crf() -> None:
    settings = CRFSettings(
        gaussian=GaussianSettings(sxy=(2, 4), weight=1, normalization="after"),
        bilateral=BilateralSettings(sxy=10, srgb=[1, 2, 3], weight=0.5, normalization="none"),
        iterations=3,
        tolerance=0.01,
        normalization="before",
        compatibility=[[0, 1], [2, 0]],
        prune=0.1,
    )
    crf = settings.build(threads=1)
    assert crf.gaussian == Gaussian((2.0, 4.0), 1.0, "after")
    assert crf.bilateral == Bilateral(10.0, (1.0, 2.0, 3.0), 0.5, "none")
    assert (crf.iterations, crf.tolerance, crf.normalization) == (3, 0.01, "before")
    assert (crf.prune, crf.threads) == (0.1, 1)
    assert isinstance(crf.compatibility, np.ndarray)
    assert crf.compatibility.tolist() == [[0, 1], [2, 0]]


def test_a_term_may_be_missing() -> None:
    crf = CRFSettings(bilateral=BilateralSettings(sxy=5, srgb=3, weight=1)).build()
    assert crf.gaussian is None
    assert crf.bilateral is not None


@pytest.mark.parametrize("name", CRF_NAMES)
def test_files_give_back_what_was_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "größe.yaml"
    path.write_text(crf_settings(name).to_yaml(), encoding="utf-8")
    assert load_crf(path) == load_crf(str(path)) == crf_settings(name) == load_crf(name)


def test_a_table_and_lists_survive_a_file(tmp_path: Path) -> None:
    settings = CRFSettings(
        gaussian=GaussianSettings(sxy=(2, 4), weight=1), compatibility=((0, 1.5), (1, 0))
    )
    (tmp_path / "crf.yaml").write_text(settings.to_yaml(), encoding="utf-8")
    assert load_crf(tmp_path / "crf.yaml") == settings


def test_json_holds_every_setting() -> None:
    content = crf_settings("deeplab").to_json()
    assert content["bilateral"] == {
        "sxy": 50.0, "srgb": 5.0, "weight": 10.0, "normalization": None
    }  # fmt: skip
    assert CRFSettings(**content) == crf_settings("deeplab")
    assert set(content) == set(CRFSettings.model_fields)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deeplabb", r"no CRF settings 'deeplabb'; did you mean 'deeplab'\? There are deconvnet"),
        (
            "",
            r"no CRF settings ''; there are deconvnet, released, deeplab, deeplab-largefov; or",
        ),
    ],
)
def test_unknown_names_list_the_known(name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_crf(name)
    with pytest.raises(SettingsError, match=message):
        crf_settings(name)


@pytest.mark.parametrize(
    "path", ["none.yaml", "none.yml", "folder/none", r"C:\crf\none", r"crf\none", Path("deconvnet")]
)
def test_a_missing_file(path: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match=r"no such file of CRF settings; .* deconvnet, rel"):
        load_crf(path)


TERM = "gaussian: {sxy: 3, weight: 3}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gausian: {sxy: 3, weight: 3}", r"unknown setting 'gausian'; did you mean 'gaussian'"),
        (
            "gaussian: {sxy: 3, weight: 3, srgb: 2}",
            r"unknown setting 'gaussian\.srgb'; there are s",
        ),
        ("gaussian: {sxy: -3, weight: 3}", r"gaussian\.sxy: want a number above 0.*found -3"),
        ("gaussian: {sxy: 0, weight: 3}", r"gaussian\.sxy: want a number above 0"),
        ("gaussian: {sxy: [3, 0], weight: 3}", r"gaussian\.sxy: .*found \[3, 0\]"),
        ("gaussian: {sxy: [], weight: 3}", r"gaussian\.sxy: .*found \[\]"),
        ("gaussian: {sxy: .nan, weight: 3}", r"gaussian\.sxy: .*found nan"),
        ("gaussian: {sxy: yes, weight: 3}", r"gaussian\.sxy: .*found True"),
        ("gaussian: {sxy: wide, weight: 3}", r"gaussian\.sxy: .*found 'wide'"),
        ("gaussian: {sxy: 3, weight: -1}", r"gaussian\.weight: .*greater than or equal to 0"),
        ("gaussian: {sxy: 3, weight: .inf}", r"gaussian\.weight: .*finite"),
        ("gaussian: {sxy: 3}", r"setting 'gaussian\.weight' is missing"),
        ("bilateral: {sxy: 3, weight: 3}", r"setting 'bilateral\.srgb' is missing"),
        ("gaussian: 3", r"gaussian: .*found 3"),
        ("iterations: 5", r"a CRF without terms changes nothing; give gaussian, bilateral"),
        (TERM + "iterations: -1", r"iterations: .*greater than or equal to 0"),
        (TERM + "iterations: 1.5", r"iterations: .*integer"),
        (TERM + "tolerance: -1", r"tolerance: .*greater than or equal to 0"),
        (TERM + "normalization: sym", r"normalization: .*'symmetric', 'before', 'after' or 'none'"),
        (TERM + "prune: 1", r"prune: .*less than 1"),
        (TERM + "compatibility: [[0, 1]]", r"compatibility: want a number \(Potts\) or a square"),
        (TERM + "compatibility: []", r"compatibility: want a number"),
        (TERM + "compatibility: [[0, a], [1, 0]]", r"compatibility: want a number"),
        (TERM + "compatibility: many", r"compatibility: .*found 'many'"),
        ("gaussian: {sxy: 3", r"not valid YAML"),
        ("- 3", r"want 'key: value' lines, found list"),
    ],
)
def test_wrong_files_say_what_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"mine\.yaml.*" + message):
        load_crf(path)


def test_all_problems_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("gaussian: {sxy: 0, weight: -1}\nbilatral: {}\nprune: 2\n")
    with pytest.raises(SettingsError) as caught:
        load_crf(path)
    assert len(str(caught.value).splitlines()) == 4


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        crf_settings("deconvnet").iterations = 3  # type: ignore[misc]
