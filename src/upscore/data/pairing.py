"""Files in folders, and the pairs that they make."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from upscore.core.image_files import is_image
from upscore.core.plural import plural
from upscore.core.quoting import join
from upscore.data.lists import (
    Names,
    path_parts,
    read_list,
    same_spelling,
    split_line,
    without_suffix,
)
from upscore.data.pair import Pair
from upscore.data.problem import Problem
from upscore.errors import DataError

SPLIT_NAMES = ("train", "val", "test")
SPLIT_WORDS = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}
"""What other tools call these."""
LONGEST_NAME, LONGEST_LINE = 240, 2000
"""Bytes of a file name without its suffix, and characters of a path, on all usual systems."""
SEPARATORS = "-_. ("
"""Between the name of a photo and what its mask has before or behind it."""


def usual_splits(names: Iterable[str]) -> dict[str, str]:
    """Which of some names of folders or lists are those of ``SPLIT_NAMES``, in any spelling."""
    known = sorted(names)
    usual = {SPLIT_WORDS.get(name.lower(), name.lower()): name for name in known}
    usual |= {name: name for name in known}
    return {split: usual[split] for split in SPLIT_NAMES if split in usual}


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
            found.setdefault(same_spelling(stem), []).append(path)
    return {stem: tuple(paths) for stem, paths in found.items()}


@dataclass
class Lister:
    """Makes the pairs of a data set and collects the problems of their files.

    ``images`` and ``masks`` map a name to its files. A missing name gets the path of
    ``image_template`` or ``mask_template`` with the name for ``{name}``, so that the error can name
    the file that is missing. Paths in list files start at ``root``.
    """

    images: Mapping[str, Sequence[Path]]
    masks: Mapping[str, Sequence[Path]]
    image_template: str
    mask_template: str
    root: Path
    problems: list[Problem] = field(default_factory=list)
    unlabelled: list[Path] = field(default_factory=list)
    """Photos without a mask, where most have one."""
    _collided: set[str] = field(default_factory=set)

    @classmethod
    def of_folders(
        cls,
        images: Path,
        masks: Path,
        *,
        root: Path,
        image_suffix: str = ".jpg",
        mask_suffix: str = ".png",
    ) -> Lister:
        """For the files of two folders; the suffixes are those of files that are missing."""
        mask_suffixes = (mask_suffix,) if mask_suffix == ".mat" else None
        return cls(
            files_by_stem(images),
            files_by_stem(masks, mask_suffixes),
            str(images / f"{{name}}{image_suffix}"),
            str(masks / f"{{name}}{mask_suffix}"),
            root,
        )

    def pair(self, name: str) -> Pair:
        """The pair of a name."""
        image = self._one(name, self.images) or _fill(self.image_template, name)
        mask = self._one(name, self.masks) or _fill(self.mask_template, name)
        return Pair(name, image, mask)

    def all_pairs(self) -> tuple[Pair, ...]:
        """The pairs of all photos; every mask without a photo becomes a problem."""
        pairs = tuple(map(self.pair, self.labelled()))
        self.partnerless_masks()
        return pairs

    def labelled(self) -> list[str]:
        """Names of the photos that have masks; the others are kept in ``unlabelled``.

        Where no more than half of the photos have one, all names: the masks are called otherwise.
        """
        have = [name for name in self.images if name in self.masks or self._other_file(name)]
        if 2 * len(have) <= len(self.images):
            return list(self.images)
        missing = self.images.keys() - set(have)
        self.unlabelled += [self.images[name][0] for name in self.images if name in missing]
        return have

    def _other_file(self, name: str) -> bool:
        """Whether a file of the mask's name is there that is no image; it is named as a problem."""
        mask = _fill(self.mask_template, name)
        return any(mask.parent.glob(f"{glob.escape(mask.stem)}.*"))

    def pairs(self, names: Sequence[str], source: Path) -> tuple[Pair, ...]:
        """Pairs of names, each once; a name given twice becomes a problem."""
        counts = Counter(names)
        self._note_repeated(counts, source)
        return tuple(map(self.pair, counts))

    def listed(self, path: Path) -> tuple[Pair, ...]:
        """Pairs of a list file, each once; a line given twice becomes a problem.

        A line names a photo, and in a second column its mask if that has another name. See
        :mod:`upscore.data.lists`.

        Raises:
            NotFoundError, DataError: no such file, or no text.
        """
        pairs: dict[str, Pair] = {}
        counts: Counter[str] = Counter()
        for line in read_list(path):
            if not _can_be_named(line):
                raise DataError(
                    f"{path}: {line[:60]!r} is no name of a file; expected one name a line, or a "
                    "photo and its mask"
                )
            pair = self._listed(line)
            if pairs.get(pair.name, pair).image != pair.image:  # one name in two folders
                pair = Pair(str(pair.image.with_suffix("")), pair.image, pair.mask)
            counts[pair.name] += 1
            pairs.setdefault(pair.name, pair)
        self._note_repeated(counts, path)
        return tuple(pairs.values())

    def _listed(self, line: str) -> Pair:
        photo, second = split_line(line, self._photo_names, self._mask_names)
        name = self._photo_names.find(photo)
        if name is None:
            name = without_suffix(photo)
            if self._photo_names.are_flat and not _fill(self.image_template, name).exists():
                name = name.rpartition("/")[2]
        pair = self.pair(name)
        image = self._at(photo) or pair.image
        if second is None:
            return Pair(name, image, pair.mask)
        mask_name = self._mask_names.find(second)
        mask = self._at(second) or (pair.mask if mask_name is None else self.pair(mask_name).mask)
        return Pair(name, image, mask)

    def _at(self, listed: str) -> Path | None:
        """The file of a listed path, of which only the last parts may exist below the root."""
        parts = path_parts(listed)
        tails = (self.root.joinpath(*parts[start:]) for start in range(len(parts) - 1))
        return next((path for path in tails if path.is_file()), None)

    @cached_property
    def _photo_names(self) -> Names:
        return Names(self.images)

    @cached_property
    def _mask_names(self) -> Names:
        return Names(self.masks)

    def _note_repeated(self, counts: Mapping[str, int], source: Path) -> None:
        for name in sorted(name for name, count in counts.items() if count > 1):
            text = f"lists {name!r} {counts[name]} times; it is used once, remove the other lines"
            self.problems.append(Problem.at("listed twice", source, text))

    def partnerless_masks(self) -> None:
        """Note every mask without a photo. (A photo without a mask is a pair that lacks a file.)"""
        alone = [name for name in self.masks if name not in self.images]
        self.problems += _endings(alone, self.images, self.masks)
        if self.problems and self.problems[-1].kind == "names differ":
            return
        for name in alone:
            photo = _fill(self.image_template, name)
            text = f"mask without a photo; add {photo} or remove the mask"
            self.problems.append(Problem.at("missing partner", self.masks[name][0], text))

    def _one(self, name: str, where: Mapping[str, Sequence[Path]]) -> Path | None:
        paths = where.get(name, ())
        if len(paths) > 1 and str(paths[0]) not in self._collided:
            self._collided.add(str(paths[0]))
            others = join([path.name for path in paths])
            text = (
                f"{paths[0].parent}: {others} share the name {name!r}, so it is unclear which "
                "belongs to the pair; keep one"
            )
            self.problems.append(Problem("name collision", paths[0], text))
        return paths[0] if paths else None


def of_another_kind(path: Path) -> str:
    """The end of a message on a file that is not there, where one that is no image has its name."""
    others = sorted(path.parent.glob(f"{glob.escape(path.stem)}.*"))
    if not others:
        return ""
    return f" ({others[0].name} is there, which is no image: save it as PNG)"


def _can_be_named(line: str) -> bool:
    """Whether file systems allow the parts of a line as names."""
    if "\0" in line or len(line) > LONGEST_LINE:
        return False
    words = re.split(r"[/\\]|\.\w+\W", line) if len(line) > LONGEST_NAME // 4 else ()
    return all(len(os.fsencode(word)) <= LONGEST_NAME for word in words)


def _fill(template: str, name: str) -> Path:
    return Path(template.replace("{name}", name))


def _endings(
    alone: Sequence[str], images: Mapping[str, Sequence[Path]], masks: Mapping[str, Sequence[Path]]
) -> list[Problem]:
    """One problem where masks have the names of photos with something before or behind."""
    patterns: dict[str, list[str]] = {}
    for name in alone:
        if found := _within(name, images):
            patterns.setdefault(found[0], []).append(found[1])
    count = sum(map(len, patterns.values()))
    if not count or 2 * count < len(alone):
        return []
    photo, first = next(iter(patterns.items()))
    mask = masks[first[0].replace("{name}", photo)][0]
    begin = f"{plural(count, 'mask')}, such as {mask.name}, have no photo of their name, though "
    kinds = sorted({pattern for several in patterns.values() for pattern in several})
    if any(len(several) > 1 for several in patterns.values()):
        shown = join([kind.replace("{name}", "").strip(f"{SEPARATORS})") for kind in kinds])
        text = (
            f"{begin}there is a photo {photo!r}: this looks like one mask a class ({shown}). "
            "Write one mask for each photo, with a value for each class, named as the photo"
        )
    elif len(kinds) == 1:
        text = (
            f"{begin}there is a photo {photo!r}. Say so in a dataset.yaml: mask: "
            f"'{mask.parent.name}/{kinds[0]}{mask.suffix}' (see docs/data.md)"
        )
    else:
        text = f"{begin}there is a photo {photo!r}. Name each mask as its photo"
    return [Problem.at("names differ", mask.parent, text)]


def _within(name: str, images: Collection[str]) -> tuple[str, str] | None:
    """The photo whose name is a part of a mask's, and the mask's name with {name} in its place."""
    for place in range(len(name) - 1, 0, -1):
        if name[place] in SEPARATORS and name[:place] in images:
            return name[:place], f"{{name}}{name[place:]}"
    for place in range(1, len(name)):
        if name[place - 1] in SEPARATORS and name[place:] in images:
            return name[place:], f"{name[:place]}{{name}}"
    return None


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
