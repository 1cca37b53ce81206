"""Class names, their colours, and the void label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.choices import unknown_choice
from upscore.core.palette import bright_colors
from upscore.core.quoting import join, quote
from upscore.errors import SettingsError

VOID = 255
"""The label of pixels that count neither in training nor in evaluation, whatever it is on disk."""

BACKGROUND = "background"
"""The class of this name is no object."""

MAX_CLASSES = 255
"""Labels are uint8 and 255 is void, so 0..254 remain."""

LONGEST_NAME = 200
"""Characters; names stand in tables and messages."""

BLACK = (0, 0, 0)
VOID_COLOR = (224, 224, 192)
"""VOC's colour of the void border."""

Color = tuple[int, int, int]
LabelMap = npt.NDArray[np.uint8]
"""(H, W) uint8, class indices with 255 for void."""
RGBImage = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, red first."""
Shares = dict[str, float]
"""The share of each class in a photo, in [0, 1], by its name."""


def shares_text(shares: Shares, *, most: int) -> str:
    """The largest shares in percent.

    Example:
        >>> shares_text({"road": 0.25, "sky": 0.75, "tree": 0.0}, most=4)
        'sky 75.0%, road 25.0%'
    """
    largest = sorted(shares.items(), key=lambda item: -item[1])
    return join([f"{name} {share:.1%}" for name, share in largest if share], most=most)


def voc_color(index: int) -> Color:
    """Colour of class ``index`` (0..255) in the palette that PASCAL VOC uses (bit interleaving)."""
    if index == VOID:
        return VOID_COLOR
    rgb = [0, 0, 0]
    rest = index
    for shift in range(7, -1, -1):
        for channel in range(3):
            rgb[channel] |= ((rest >> channel) & 1) << shift
        rest >>= 3
    return rgb[0], rgb[1], rgb[2]


@dataclass(frozen=True)
class Labels:
    """An ordered set of class names with one colour each. Class ``i`` is ``names[i]``.

    Raises:
        SettingsError: no class, more than 255, a repeated or empty name, a colour outside 0..255,
            or as many colours as there are not names.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MAX_CLASSES:
            raise SettingsError(
                f"a label set has 1 to {MAX_CLASSES} classes, this one has {len(self.names)}"
            )
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise SettingsError(f"class name used twice: {join(repeated)}")
        longest = max(map(len, self.names))
        if longest > LONGEST_NAME:
            raise SettingsError(f"a class name of {longest} characters; at most {LONGEST_NAME}")
        if any(not name.strip() for name in self.names):
            raise SettingsError("a class has an empty name; give every class a name")
        if len(self.colors) != len(self.names):
            raise SettingsError(f"{len(self.names)} class names but {len(self.colors)} colours")
        for name, color in zip(self.names, self.colors, strict=True):
            if len(color) != 3 or any(not 0 <= part <= 255 for part in color):
                raise SettingsError(
                    f"colour of class {quote(name)} is {quote(color)}; expected three of 0..255"
                )

    @classmethod
    def of(cls, names: Iterable[str], colors: Iterable[Sequence[int]] | None = None) -> Labels:
        """Labels from names; colours default to bright ones, black for the background."""
        names = tuple(names)
        if colors is None:
            bright = iter(bright_colors(len(names)))
            return cls(
                names, tuple(BLACK if n == BACKGROUND else next(bright, BLACK) for n in names)
            )
        return cls(names, tuple((int(c[0]), int(c[1]), int(c[2])) for c in colors))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of a class by name. Raises SettingsError that lists all."""
        if name in self.names:
            return self.names.index(name)
        raise SettingsError(unknown_choice("class", name, self.names))

    @property
    def background(self) -> int | None:
        """Index of the class called ``background``, which is no object; None without one."""
        return self.names.index(BACKGROUND) if BACKGROUND in self.names else None

    def palette(self) -> npt.NDArray[np.uint8]:
        """(256, 3) uint8: the classes' colours, VOC's for the rest, void at 255."""
        table = np.array([voc_color(i) for i in range(256)], dtype=np.uint8)
        table[: len(self.colors)] = self.colors
        return table

    def colorize(self, labels: LabelMap) -> RGBImage:
        """Label map (H, W) uint8 -> picture (H, W, 3) uint8."""
        return self.palette()[labels]

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "color": list(color)}
            for name, color in zip(self.names, self.colors, strict=True)
        ]

    @classmethod
    def from_json(cls, items: Sequence[dict[str, Any]]) -> Labels:
        return cls.of([str(i["name"]) for i in items], [i["color"] for i in items])


VOC_LABELS = Labels.of(
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor".split(),
    [voc_color(index) for index in range(21)],
)
"""PASCAL VOC's 21 classes in the order of its masks."""

CAMVID_LABELS = Labels.of(
    "sky building pole road pavement tree sign_symbol fence car pedestrian bicyclist".split(),
    [
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ],
)  # fmt: skip
"""CamVid's 11 classes in the order of SegNet's release (formats.md 2.4); 11 on disk is void."""
