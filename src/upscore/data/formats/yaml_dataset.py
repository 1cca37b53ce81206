"""A data set described by a ``dataset.yaml``, which gives the meaning of every mask value."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import Field, PlainValidator, model_validator

from upscore.core.choices import unknown_choice
from upscore.core.damage import reading
from upscore.core.failures import LISTED
from upscore.core.labels import MAX_CLASSES, VOID, Color, Labels, voc_color
from upscore.core.photo_values import PhotoValues
from upscore.core.quoting import join, quote, shorten
from upscore.core.settings import Settings, build, check_path, load_yaml
from upscore.data.dataset import DataSet
from upscore.data.drawn_splits import draw_splits
from upscore.data.guess import FILE, VOID_NAME
from upscore.data.masks import MaskTable
from upscore.data.pair import Pair
from upscore.data.pairing import Lister, with_unique_names
from upscore.data.patterns import Pattern, match_pair
from upscore.data.turns import DrawnOn
from upscore.errors import DataError, NotFoundError, SettingsError

LOWEST = -(2**31)
"""The lowest mask value, which GIS programs write where there is no label."""
MOST_SPLITS = 100
"""The files of each are looked up."""
MOST_PARTS = 50
"""Folders in a pattern."""
Part = Annotated[int, Ge(0), Le(255)]
Lists = dict[str, str]
Shares = dict[str, float]
Folders = list[str]
Table = dict[int | str, str]


def _read_splits(value: Any) -> Lists | Shares | Folders:
    """One of the three kinds. (The messages of a pydantic union name types, not what to write.)"""
    if isinstance(value, list | dict) and len(value) > MOST_SPLITS:
        raise ValueError(f"{len(value)} splits; expected at most {MOST_SPLITS}")
    if isinstance(value, list) and value:
        if any(not isinstance(name, str) or not name for name in value):
            raise ValueError("expected names, for example [train, val]")
        repeated = sorted(name for name, times in Counter(value).items() if times > 1)
        if repeated:
            raise ValueError(f"{join(repeated)} is given twice")
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError(
            "expected list files (train: train.txt), shares (train: 0.8) or folders ([train, val])"
        )
    entries = {str(name): entry for name, entry in value.items()}
    if all(isinstance(entry, str) and entry for entry in entries.values()):
        return entries
    for name, entry in entries.items():
        if isinstance(entry, str):
            raise ValueError("list files and shares cannot be mixed; give one kind")
        if isinstance(entry, bool) or not isinstance(entry, int | float) or not 0 < entry <= 1:
            raise ValueError(
                f"{shorten(name)} is {quote(entry)}; expected a list file or a share in (0, 1]"
            )
    shares = {name: float(entry) for name, entry in entries.items()}
    if sum(shares.values()) > 1.0 + 1e-9:
        raise ValueError(f"the shares add up to {sum(shares.values()):g}; expected at most 1")
    return shares


def _read_masks(value: Any) -> Table | str:
    if value in ("indices", "colors"):
        return str(value)
    if not isinstance(value, dict) or not value:
        raise ValueError("expected 'value: class' lines, or 'indices', or 'colors'")
    for key, name in value.items():
        if not isinstance(name, str):
            raise ValueError(
                f"{shorten(str(key))} stands for {quote(name)}; expected a class name (in quotes) "
                "or void"
            )
    return {key if isinstance(key, int) else str(key): name for key, name in value.items()}


class ClassEntry(Settings):
    """A class with its own colour in label maps and pictures. A bare name is enough."""

    name: str
    color: tuple[Part, Part, Part] | None = None
    """Red, green, blue; left out, it is the colour of PASCAL VOC's palette."""

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, dict | ClassEntry):
            raise ValueError("expected a name (in quotes) or {name: sky, color: [128, 128, 128]}")
        return value


class Description(Settings):
    """The content of a dataset.yaml."""

    root: str = "."
    """Folder that every other path starts from; relative to the dataset.yaml."""
    image: str
    """Where the photos are, with one ``*`` or ``{name}`` for the name, as in ``photos/*.jpg``.
    Beside ``{name}``, ``*`` is any text without ``/``; ``**/`` is any number of folders."""
    mask: str
    """Where the masks are, likewise; the names must be equal."""
    splits: Annotated[Lists | Shares | Folders, PlainValidator(_read_splits)]
    """``train: train.txt`` (a list file, one name a line), or ``train: 0.8`` (a seeded share of all
    names), or a list of folder names that ``{split}`` in both patterns stands for."""
    seed: Annotated[int, Ge(0)] = 0
    """Changes which names go where when splits are shares."""
    classes: list[ClassEntry] = Field(min_length=1)
    """Class names in order: the first is class 0. Or ``{name: sky, color: [128, 128, 128]}``."""
    masks: Annotated[Table | Literal["indices", "colors"], PlainValidator(_read_masks)]
    """What a mask holds: ``value: class`` or ``"r,g,b": class`` or ``"#rrggbb": class``, with
    ``void`` for pixels that do not count. ``indices``: value i is class i, 255 is void.
    ``colors``: the colours of ``classes``."""
    range: tuple[float, float] | None = None
    """The values of photos of more than 8 bits that are black and white; else found in them."""
    bands: list[Annotated[int, Ge(1)]] | None = None
    """Which bands of the photos, from 1, are red, green and blue; or one, for grey."""

    drawn_on: DrawnOn | None = None
    """What the masks of photos that EXIF turns were drawn on: ``upright`` photos, or the pixels as
    ``stored``, which are then turned as their photos are."""

    @model_validator(mode="after")
    def _check(self) -> Description:
        if len(self.classes) > MAX_CLASSES:
            raise ValueError(
                f"classes: {len(self.classes)} of them; expected at most {MAX_CLASSES}"
            )
        problems = [
            *_pattern_problems(self),
            *_class_problems(self),
            *_mask_problems(self),
            *_photo_problems(self),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.classes]

    def labels(self) -> Labels:
        """The classes with their colours. Where none is given, that of VOC in masks of colours."""
        voc = [voc_color(index) for index in range(len(self.names))]
        plain = Labels.of(self.names, voc if self.masks == "colors" else None)
        return Labels.of(
            self.names,
            [entry.color or color for entry, color in zip(self.classes, plain.colors, strict=True)],
        )

    def table(self) -> MaskTable:
        """Mask value or colour -> class index or 255."""
        if self.masks == "indices":
            return MaskTable.indices(len(self.classes))
        if self.masks == "colors":
            return MaskTable(colors={c: i for i, c in enumerate(self.labels().colors)})
        assert isinstance(self.masks, dict)
        target = {**{name: i for i, name in enumerate(self.names)}, VOID_NAME: VOID}
        colors: dict[Color, int] = {}
        values: dict[int, int] = {}
        for key, name in self.masks.items():
            if color := parse_color(key):
                colors[color] = target[name]
            else:
                values[int(key)] = target[name]
        return MaskTable(colors=colors) if colors else MaskTable(values=values)


def parse_color(key: int | str) -> Color | None:
    """``"128,0,0"``, ``"(128, 0, 0)"`` or ``"#800000"`` -> (128, 0, 0); None for anything else."""
    text = str(key).strip()
    if match := re.fullmatch(r"#([0-9a-fA-F]{6})", text):
        code = int(match[1], 16)
        return code >> 16, code >> 8 & 255, code & 255
    if match := re.fullmatch(r"[(\[]?\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*[)\]]?", text):
        red, green, blue = (int(part) for part in match.groups())
        return (red, green, blue) if max(red, green, blue) <= 255 else None
    return None


def _pattern_problems(d: Description) -> list[str]:
    problems = []
    for key, pattern in (("image", d.image), ("mask", d.mask)):
        parts = len(Path(pattern).parts)
        if Path(pattern).is_absolute() or "\0" in pattern or parts > MOST_PARTS:
            problems.append(
                f"{key}: expected a path below root, as photos/*.jpg; give the folder as root: "
                f"/home/me/set (found {quote(pattern)})"
            )
        if Pattern(pattern).num_names != 1:
            problems.append(
                f"{key}: expected exactly one * or {{name}} where the name stands, for example "
                "photos/*.jpg; * beside {name} is any text and **/ any folders "
                f"(found {quote(pattern)})"
            )
        if ("{split}" in pattern) != isinstance(d.splits, list):
            problems.append(
                f"{key}: {{split}} in the patterns and a list under splits (splits: [train, val]) "
                f"go together (found {quote(pattern)})"
            )
    if d.image == d.mask:
        problems.append(f"mask: the same as image ({quote(d.mask)})")
    return problems


def _class_problems(d: Description) -> list[str]:
    problems = []
    if VOID_NAME in d.names:
        problems.append(f"classes: {VOID_NAME!r} is no class; use it under masks only")
    try:
        d.labels()
    except SettingsError as error:
        problems.append(f"classes: {error}")
    if d.masks == "colors":
        bare = [entry.name for entry in d.classes if entry.color is None]
        if bare:
            problems.append(
                f"masks: 'colors' needs a colour for every class; {join(bare)} has none"
            )
        elif len(set(d.labels().colors)) < len(d.classes):
            problems.append("masks: 'colors' needs different colours; two classes share one")
    return problems


def _mask_problems(d: Description) -> list[str]:
    if not isinstance(d.masks, dict):
        return []
    problems = []
    allowed = [*d.names, VOID_NAME]
    kinds = set()
    colors: dict[Color, int | str] = {}
    for key, name in d.masks.items():
        color = parse_color(key)
        if color is not None:
            kinds.add("colours")
            if color in colors:
                problems.append(
                    f"masks.{shorten(str(key))}: the same colour as {quote(colors[color])}"
                )
            colors[color] = key
        elif isinstance(key, int) and (LOWEST if name == VOID_NAME else 0) <= key <= 65535:
            kinds.add("values")
        else:
            problems.append(
                f"masks.{shorten(str(key))}: expected a value of 0..65535 (below 0 for void only) "
                "or a colour as 'r,g,b' of 0..255 or '#rrggbb'"
            )
        if name not in allowed:
            problems.append(f"masks.{shorten(str(key))}: {unknown_choice('class', name, allowed)}")
        if len(problems) >= LISTED:  # the nearest class of each costs time
            return problems
    if len(kinds) > 1:
        problems.append("masks: single values and colours cannot be mixed; masks hold one kind")
    unreached = [name for name in d.names if name not in d.masks.values()]
    if unreached:
        problems.append(f"masks: no value stands for {join(unreached)}")
    return problems


def _photo_problems(d: Description) -> list[str]:
    problems = []
    if d.range is not None and d.range[0] >= d.range[1]:
        problems.append(
            f"range: expected [black, white], the smaller first (found {list(d.range)})"
        )
    if d.bands is not None and len(d.bands) not in (1, 3):
        problems.append(f"bands: expected three, for example [3, 2, 1], or one (found {d.bands})")
    return problems


def find_described(path: Path) -> Path | None:
    """A dataset.yaml, given itself (any .yaml file) or by its folder."""
    if path.is_file() and path.suffix.lower() in (".yaml", ".yml"):
        return path
    inside = path / FILE
    return inside if inside.is_file() else None


def open_described(root: Path, *, max_pixels: int) -> DataSet:
    """The data set that a dataset.yaml, the file ``root``, describes.

    Raises:
        SettingsError: the file is no description; one line per problem.
        NotFoundError: its root or a list file does not exist.
        DataError: no photo matches the pattern.
    """
    file = root
    description = build(Description, load_yaml(file), str(file))
    with reading(file, "root: no such folder", "name another", error=SettingsError):
        root = file.parent / check_path(Path(description.root).expanduser())
    if not root.is_dir():
        raise NotFoundError(
            f"{file}: root: no such folder {root} (it is relative to {file.parent})"
        )
    problems = []
    splits: dict[str, tuple[Pair, ...]] = {}
    if isinstance(description.splits, list):
        for split in description.splits:
            lister = _lister(description, root, split)
            splits[split] = lister.all_pairs()
            problems += lister.problems
        splits = with_unique_names(splits)
    else:
        lister = _lister(description, root)
        if not lister.images:
            raise DataError(
                f"{file}: image: no file matches {quote(description.image)} under {root}"
            )
        if _has_lists(description):
            for split, name in description.splits.items():
                with reading(file, f"splits.{split}", "name a list file", error=SettingsError):
                    path = root / check_path(Path(str(name)))
                if not path.is_file():
                    raise NotFoundError(f"{file}: splits.{split}: no such list file {path}")
                splits[split] = lister.listed(path)
        else:
            shares = {k: float(v) for k, v in description.splits.items()}
            drawn = draw_splits(list(lister.images), shares, seed=description.seed)
            splits = {split: lister.pairs(names, root) for split, names in drawn.items()}
            lister.partnerless_masks()
        problems += lister.problems
    return DataSet(
        root=root,
        layout=FILE,
        labels=description.labels(),
        splits=splits,
        table=description.table(),
        max_pixels=max_pixels,
        problems=tuple(problems),
        drawn_on=description.drawn_on,
        is_stated=isinstance(description.masks, dict),
        photo_values=PhotoValues(
            description.range, None if description.bands is None else tuple(description.bands)
        ),
    )


def _patterns(d: Description, split: str = "") -> tuple[Pattern, Pattern]:
    """Those of photos and of masks. In list files a name may have folders."""
    folders = _has_lists(d)
    image, mask = (
        Pattern(text.replace("{split}", split), folders_in_names=folders)
        for text in (d.image, d.mask)
    )
    return image, mask


def _has_lists(d: Description) -> bool:
    return isinstance(d.splits, dict) and all(isinstance(v, str) for v in d.splits.values())


def _lister(description: Description, root: Path, split: str = "") -> Lister:
    image, mask = _patterns(description, split)
    images, masks = match_pair(root, image, mask)
    return Lister(images, masks, image.template(root), mask.template(root), root)
