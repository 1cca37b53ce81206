"""What docs/crf.md shows runs, and says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from crf.brute_force import brute_force
from crf.crf_cases import softmax
from upscore.crf import Bilateral, DenseCRF, Gaussian
from upscore.crf.settings import CRF_NAMES, BilateralSettings, CRFSettings, crf_settings, load_crf
from upscore.crf.terms import Normalization
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


@pytest.mark.parametrize(
    ("row", "how", "low", "high"),
    [("`symmetric`, `before`, `after`", "symmetric", 0.0, 0.015), ("`none`", "none", 0.04, 0.1)],
)
def test_how_far_the_lattice_is_from_exact_sums(
    row: str, how: Normalization, low: float, high: float
) -> None:
    """The noise of ``benchmarks/crf_exactness.py``, deeplab's terms: labels that differ."""
    crf = DenseCRF(Gaussian(3, 3), Bilateral(50, 5, 10), normalization=how, iterations=10)
    other = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)
        probabilities = softmax(rng.normal(0, 1, (4, 10, 12)))
        exact = brute_force(crf, image, probabilities=probabilities).marginals
        ours = crf(image, probabilities=probabilities)
        other.append(float((ours.argmax(axis=0) != exact.argmax(axis=0)).mean()))
    found = re.search(
        rf"noise \| 3/3, 50/5/10 \| {row} \| [^|]* \| ([\d.]+)(?: to [\d.]+)? %", TEXT
    )
    assert found is not None
    assert low <= np.mean(other) <= high
    assert np.mean(other) == pytest.approx(float(found[1]) / 100, abs=0.01)
