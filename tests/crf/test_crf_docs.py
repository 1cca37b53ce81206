"""What docs/crf.md shows runs, and says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from upscore.crf.settings import CRF_NAMES, BilateralSettings, CRFSettings, crf_settings, load_crf
from upscore.inference.refine import CRF_TILE

TEXT = (Path(__file__).parents[2] / "docs" / "crf.md").read_text(encoding="utf-8")


def test_the_python_runs() -> None:
    rng = np.random.default_rng(0)
    names = {
        "image": rng.integers(0, 256, (12, 17, 3), dtype=np.uint8),
        "probabilities": rng.dirichlet(np.ones(21), (12, 17)).transpose(2, 0, 1),
        "labels": rng.integers(0, 21, (12, 17), dtype=np.uint8),
    }
    blocks = re.findall(r"```python\n(.*?)```", TEXT.split("## Settings")[0], flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
        assert names["refined"].shape == (21, 12, 17)


def test_the_file_is_the_named_settings(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(gaussian.*?)```", TEXT, flags=re.DOTALL)
    (tmp_path / "crf.yaml").write_text(block)
    assert load_crf(tmp_path / "crf.yaml") == crf_settings("deconvnet")


def test_every_setting_and_name_is_in_the_tables() -> None:
    settings = [*CRFSettings.model_fields, *BilateralSettings.model_fields]
    for word in (*settings, *CRF_NAMES):
        assert re.search(rf"`(\w+\.)?{word}`|`{word}\.", TEXT), word
    for name in CRF_NAMES:
        bilateral = crf_settings(name).bilateral
        assert bilateral is not None
        row = f"{bilateral.sxy:g}, {bilateral.srgb:g}, {bilateral.weight:g}"
        assert re.search(rf"`{name}` \| 3, 3 \| {row} \| {crf_settings(name).normalization} ", TEXT)


def test_the_size_that_is_refined_whole() -> None:
    assert f"{CRF_TILE} pixels" in TEXT
