"""Methods that the DeconvNet paper compares with and that are trained when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from upscore.core.choices import chosen


@dataclass(frozen=True)
class OtherMethod:
    """A network beside FCN-8s and DeconvNet.

    Attributes:
        title: what tables call it.
        recipe: shipped recipe of its VGG16.
        quick: shipped recipe of its small network.
        crf: settings of the CRF after it, or None.
        published: whether ``recipe`` has the settings of its own paper.
    """

    title: str
    recipe: str
    quick: str
    crf: str | None
    published: bool


OTHER_METHODS = {
    "hypercolumn": OtherMethod("Hypercolumn", "hypercolumn", "hypercolumn-quick", None, False),
    "deeplab-largefov": OtherMethod(
        "DeepLab-LargeFOV",
        "deeplab-largefov",
        "deeplab-largefov-quick",
        "deeplab-largefov",
        True,
    ),
}
"""Name in ``--methods``, of the run folder and of the stage -> method; as old as in the table."""


def crf_stage(name: str) -> str:
    """Name of the stage of a method with its CRF."""
    return f"{name}-crf"


def stages_of(names: Sequence[str]) -> dict[str, str]:
    """Titles of the stages of some methods, each followed by that with its CRF."""
    titles: dict[str, str] = {}
    for name in names:
        method = OTHER_METHODS[name]
        titles[name] = method.title
        if method.crf is not None:
            titles[crf_stage(name)] = f"{method.title}+CRF"
    return titles


def check_methods(names: Sequence[str]) -> tuple[str, ...]:
    """``names``, each once, in the order of :data:`OTHER_METHODS`. Raises SettingsError."""
    return chosen("methods", names, OTHER_METHODS) if names else ()
