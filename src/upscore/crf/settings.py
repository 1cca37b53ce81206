"""Settings of a dense CRF as names and YAML files, for the command line and the search."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from annotated_types import Ge, Lt
from pydantic import PlainSerializer, PlainValidator, model_validator

from upscore.core.choices import is_path, unknown_choice
from upscore.core.files import exists
from upscore.core.settings import Settings, build, load_yaml
from upscore.crf.mean_field import DenseCRF, Potts
from upscore.crf.terms import Bilateral, Gaussian, Normalization
from upscore.errors import NotFoundError, SettingsError


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _deviation(value: Any) -> float | tuple[float, ...]:
    """A number above 0, or a list of them."""
    parts = value if isinstance(value, list | tuple) else [value]
    if not parts or any(not _is_number(part) or part <= 0 for part in parts):
        raise ValueError("want a number above 0, or a list of them")
    numbers = tuple(float(part) for part in parts)
    return numbers if isinstance(value, list | tuple) else numbers[0]


def _penalties(value: Any) -> float | tuple[tuple[float, ...], ...]:
    """Potts' weight, or C lists of C numbers."""
    if _is_number(value):
        return float(value)
    allowed = "want a number (Potts) or a square table: C lists of C numbers"
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(allowed)
    for row in value:
        if not isinstance(row, list | tuple) or len(row) != len(value):
            raise ValueError(allowed)
        if not all(_is_number(entry) for entry in row):
            raise ValueError(allowed)
    return tuple(tuple(float(entry) for entry in row) for row in value)


# Custom validators, as pydantic would report one problem for each member of such a union; and a
# serialiser, as pydantic's own would warn about the type of the value.
_AS_IT_IS = PlainSerializer(lambda value: value)
Deviation = Annotated[float | tuple[float, ...], PlainValidator(_deviation), _AS_IT_IS]
Penalties = Annotated[float | tuple[tuple[float, ...], ...], PlainValidator(_penalties), _AS_IT_IS]
Weight = Annotated[float, Ge(0)]


class GaussianSettings(Settings):
    """Smoothness term: a Gaussian of the distance in pixels."""

    sxy: Deviation
    """Standard deviation in pixels, or a list with one per axis, x first."""
    weight: Weight
    """Strength; 0 leaves the term out."""
    normalization: Normalization | None = None
    """Of this term alone; null: that of the CRF."""


class BilateralSettings(Settings):
    """Appearance term: a Gaussian of distance and colour."""

    sxy: Deviation
    """Standard deviation in pixels, or a list with one per axis, x first."""
    srgb: Deviation
    """Standard deviation of the colour in 0..255, or a list with one per channel."""
    weight: Weight
    """Strength; 0 leaves the term out."""
    normalization: Normalization | None = None
    """Of this term alone; null: that of the CRF."""


class CRFSettings(Settings):
    """A dense CRF (Kraehenbuehl and Koltun 2011). ``--crf`` takes a YAML file of this form."""

    gaussian: GaussianSettings | None = None
    bilateral: BilateralSettings | None = None
    iterations: Annotated[int, Ge(0)] = 10
    """Mean field updates at most."""
    tolerance: Annotated[float, Ge(0)] | None = None
    """Stop before, when no marginal changed by more than this; null: never."""
    normalization: Normalization = "symmetric"
    """How kernels are normalised: symmetric, before, after (the filter), none."""
    compatibility: Penalties = 1.0
    """Potts' weight, or a table of C lists of C penalties."""
    prune: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Classes whose probability is below this in all pixels are left out; 0: none."""

    @model_validator(mode="after")
    def _check(self) -> CRFSettings:
        if self.gaussian is None and self.bilateral is None:
            raise ValueError(
                "a CRF without terms changes nothing; give gaussian, bilateral or both"
            )
        return self

    def build(self, *, threads: int | None = None, device: str = "cpu") -> DenseCRF:
        """The CRF itself; ``threads`` and ``device``: see :class:`~upscore.crf.DenseCRF`."""
        return DenseCRF(
            gaussian=Gaussian(**dict(self.gaussian)) if self.gaussian else None,
            bilateral=Bilateral(**dict(self.bilateral)) if self.bilateral else None,
            iterations=self.iterations,
            tolerance=self.tolerance,
            compatibility=(
                Potts(self.compatibility)
                if isinstance(self.compatibility, float)
                else np.array(self.compatibility, dtype=np.float32)
            ),
            normalization=self.normalization,
            prune=self.prune,
            threads=threads,
            device=device,
        )

    def to_json(self) -> dict[str, Any]:
        """Every setting, defaults included, as JSON values; ``CRFSettings(**...)`` reads it."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Every setting, defaults included."""
        return yaml.safe_dump(self.to_json(), sort_keys=False, allow_unicode=True)


def _published(
    sxy: float, srgb: float, weight: float, normalization: Normalization = "symmetric"
) -> CRFSettings:
    """The named ones share their Gaussian term: 3 pixels, weight 3."""
    return CRFSettings(
        gaussian=GaussianSettings(sxy=3.0, weight=3.0),
        bilateral=BilateralSettings(sxy=sxy, srgb=srgb, weight=weight),
        normalization=normalization,
    )


_NAMED = {
    # DeconvNet's numbers with the normalisation that pydensecrf applies by default
    "deconvnet": _published(20.0, 3.0, 5.0),
    # what DeconvNet's release ran: its library normalises nothing by default
    "released": _published(20.0, 3.0, 5.0, "none"),
    # the numbers of DeepLab's era
    "deeplab": _published(50.0, 5.0, 10.0),
    # chosen on VOC val for the scores of DeepLab-LargeFOV; normalised as its library of 2011 does
    "deeplab-largefov": _published(121.0, 5.0, 4.0, "after"),
}
CRF_NAMES = tuple(_NAMED)


def crf_settings(name: str) -> CRFSettings:
    """Published settings by name: one of ``CRF_NAMES``.

    Raises:
        SettingsError: another name; the message lists them.
    """
    if name in _NAMED:
        return _NAMED[name]
    raise SettingsError(f"{unknown_choice('CRF settings', name, CRF_NAMES)}; or name a .yaml file")


def load_crf(name_or_path: str | Path) -> CRFSettings:
    """Settings by name, or from a YAML file of :class:`CRFSettings`' fields.

    Args:
        name_or_path: see :func:`~upscore.core.choices.is_path` for what is taken for a path.

    Raises:
        NotFoundError: no such file.
        SettingsError: no such name, or wrong settings (all of them listed).
    """
    if not is_path(name_or_path):
        return crf_settings(str(name_or_path))
    path = Path(name_or_path)
    if not exists(path):
        raise NotFoundError(
            f"{path}: no such file of CRF settings; name one, or use {', '.join(CRF_NAMES)}"
        )
    return build(CRFSettings, load_yaml(path), str(path))
