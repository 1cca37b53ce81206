"""Names from list files, files in folders, and the pairs that they make."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upscore.core.image_files import is_image
from upscore.core.labels import Labels
from upscore.data.dataset import Pair
from upscore.data.problem import Problem
from upscore.errors import DataError, NotFoundError, SettingsError

SPLIT_NAMES = ("train", "val", "test")


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without blank ones and surrounding space (UTF-8, any line ends).

    Raises:
        NotFoundError: no such file.
        DataError: not UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise DataError(f"{path}: not a UTF-8 text file; want one name a line") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_classes(path: Path) -> Labels:
    """Labels from a text file: one class name a line, in the order of the mask values.

    Raises:
        DataError: empty file, a name twice, or more than 255 names.
    """
    try:
        return Labels.of(read_lines(path))
    except SettingsError as error:
        raise DataError(f"{path}: {error}; want one class name a line") from error


def classes_or(default: Labels, root: Path) -> Labels:
    """The classes of ``root/classes.txt``; ``default`` without the file or for the same names."""
    path = root / "classes.txt"
    labels = read_classes(path) if path.exists() else default
    return default if labels.names == default.names else labels


def files_by_stem(
    folder: Path, suffixes: Sequence[str] | None = None
) -> dict[str, tuple[Path, ...]]:
    """Images of ``folder``, or files with one of ``suffixes``, by name without suffix.

    Hidden files are left out.

    An absent folder has no files: each missing partner is reported when pairs are listed.
    """
    found: dict[str, list[Path]] = {}
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - Path for 17,000 names is slow
        if name.startswith("."):
            continue
        path = folder / name
        if is_image(path) if suffixes is None else suffix.lower() in suffixes:
            found.setdefault(stem, []).append(path)
    return {stem: tuple(paths) for stem, paths in found.items()}


@dataclass
class Lister:
    """Makes the pairs of a data set and collects the problems of their files.

    ``images`` and ``masks`` map a name to its files. A missing name gets the path of
    ``image_template`` or ``mask_template`` with the name for ``{name}``, so that the error can name
    the file that is missing.
    """

    images: Mapping[str, Sequence[Path]]
    masks: Mapping[str, Sequence[Path]]
    image_template: str
    mask_template: str
    problems: list[Problem] = field(default_factory=list)
    _collided: set[str] = field(default_factory=set)

    @classmethod
    def of_folders(
        cls, images: Path, masks: Path, *, image_suffix: str = ".jpg", mask_suffix: str = ".png"
    ) -> Lister:
        """For the files of two folders; the suffixes are those of files that are missing."""
        mask_suffixes = (mask_suffix,) if mask_suffix == ".mat" else None
        return cls(
            files_by_stem(images),
            files_by_stem(masks, mask_suffixes),
            str(images / f"{{name}}{image_suffix}"),
            str(masks / f"{{name}}{mask_suffix}"),
        )

    def pair(self, name: str) -> Pair:
        """The pair of a name."""
        image = self._one(name, self.images) or _fill(self.image_template, name)
        mask = self._one(name, self.masks) or _fill(self.mask_template, name)
        return Pair(name, image, mask)

    def all_pairs(self) -> tuple[Pair, ...]:
        """The pairs of all photos; every mask without a photo becomes a problem."""
        pairs = tuple(map(self.pair, self.images))
        self.partnerless_masks()
        return pairs

    def pairs(self, names: Sequence[str], source: Path) -> tuple[Pair, ...]:
        """Pairs of listed names, each once; a name listed twice becomes a problem."""
        once = dict.fromkeys(names)
        if len(once) < len(names):
            for name in sorted({name for name in names if names.count(name) > 1}):
                text = (
                    f"lists {name!r} {names.count(name)} times; it is used once, remove the other "
                    "lines"
                )
                self.problems.append(Problem.at("listed twice", source, text))
        return tuple(map(self.pair, once))

    def partnerless_masks(self) -> None:
        """Note every mask without a photo. (A photo without a mask is a pair that lacks a file.)"""
        for name, paths in self.masks.items():
            if name not in self.images:
                photo = _fill(self.image_template, name)
                text = f"mask without a photo; add {photo} or remove the mask"
                self.problems.append(Problem.at("missing partner", paths[0], text))

    def _one(self, name: str, where: Mapping[str, Sequence[Path]]) -> Path | None:
        paths = where.get(name, ())
        if len(paths) > 1 and str(paths[0]) not in self._collided:
            self._collided.add(str(paths[0]))
            others = ", ".join(path.name for path in paths)
            text = (
                f"{paths[0].parent}: {others} share the name {name!r}, so it is unclear which "
                "belongs to the pair; keep one"
            )
            self.problems.append(Problem("name collision", paths[0], text))
        return paths[0] if paths else None


def _fill(template: str, name: str) -> Path:
    return Path(template.replace("{name}", name))


def with_unique_names(splits: Mapping[str, tuple[Pair, ...]]) -> dict[str, tuple[Pair, ...]]:
    """Put the split before every name where two folders use the same (both have 001.png)."""
    names = [pair.name for pairs in splits.values() for pair in pairs]
    if len(set(names)) == len(names):
        return dict(splits)
    return {
        split: tuple(Pair(f"{split}-{p.name}", p.image, p.mask) for p in pairs)
        for split, pairs in splits.items()
    }


def count_problems(
    root: Path, splits: Mapping[str, Sequence[Pair]], expected: Mapping[str, int]
) -> list[Problem]:
    """Splits of a released set with another number of pairs than its publisher documents."""
    return [
        Problem.at(
            "wrong count",
            root,
            f"split {name!r} has {len(splits[name])} pairs, the release has {count}; the set is "
            "incomplete or edited, get it again with `upscore data get`",
        )
        for name, count in expected.items()
        if name in splits and len(splits[name]) != count
    ]
