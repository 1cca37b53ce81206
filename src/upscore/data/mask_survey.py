"""What the masks of a data set hold, file by file, and where the files disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscore.core.images import MaskFile
from upscore.core.labels import VOID, Color
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.processes import num_cores
from upscore.core.plural import plural
from upscore.core.quoting import join
from upscore.data.masks import (
    MaskTable,
    pack_colors,
    palette_colors,
    read_stored_mask,
)
from upscore.data.pair import Pair
from upscore.data.problem import Problem
from upscore.errors import DataError, NotFoundError

MAX_GUESSED = 32
"""Masks with more different values than this hold no class numbers that could be guessed."""
MAX_VALUES = 256
"""So many different values of a file are kept."""
SAMPLED = 100
"""So many masks are looked at where all would take long."""


@dataclass(frozen=True)
class MaskFacts:
    """One mask.

    Attributes:
        values: pixels of each value; of each colour, red << 16 | green << 8 | blue, where
            ``is_color``.
        is_color: whether the values are colours. Grey saved as colours is not.
        may_be_color: whether the file has three channels.
    """

    path: Path
    values: Mapping[int, int]
    is_color: bool
    may_be_color: bool
    bits: int
    palette: bytes | None
    lossy: str


def mask_facts(mask: MaskFile, path: Path, *, colors: bool = True) -> MaskFacts:
    """What a mask holds.

    Args:
        colors: whether to count the colours of colour masks, which takes long.
    """
    raw = mask.values
    may_be_color = raw.ndim == 3
    is_color = may_be_color and not bool((raw == raw[..., :1]).all())
    if may_be_color and not is_color:
        raw = raw[..., 0]
    values = _count(pack_colors(raw) if is_color else raw) if colors or not is_color else {}
    return MaskFacts(path, values, is_color, may_be_color, mask.bits, mask.palette, mask.lossy)


def _count(raw: np.typing.NDArray[np.integer]) -> dict[int, int]:
    if raw.dtype == np.uint8:
        counts = np.bincount(raw.ravel(), minlength=256)
        found = np.flatnonzero(counts)
        return dict(zip(found.tolist(), counts[found].tolist(), strict=True))
    found, counts = np.unique(raw, return_counts=True)
    kept = slice(MAX_VALUES)
    return dict(zip(found[kept].tolist(), counts[kept].tolist(), strict=True))


def some_masks(splits: Iterable[Sequence[Pair]]) -> list[Path]:
    """About ``SAMPLED`` masks, evenly spread over all pairs; all of them where there are fewer."""
    masks = list(dict.fromkeys(pair.mask for pairs in splits for pair in pairs))
    return masks[:: max(1, len(masks) // SAMPLED)]


def survey(masks: Iterable[Path], *, max_pixels: int) -> list[MaskFacts]:
    """What masks hold; those that cannot be read are left out (``data check`` reports them)."""

    def look(path: Path) -> MaskFacts | None:
        try:
            return mask_facts(read_stored_mask(path, max_pixels=max_pixels), path)
        except (DataError, NotFoundError):
            return None

    return [facts for facts in prefetch(look, masks, workers=num_cores()) if facts is not None]


def disagreements(
    facts: Sequence[MaskFacts], root: Path, table: MaskTable | None, *, is_stated: bool = False
) -> list[Problem]:
    """Why the same value may mean different things in different masks.

    Args:
        table: what the values mean, as far as it is known.
        is_stated: whether a person has named the values one by one.
    """
    facts = sorted(facts, key=lambda one: str(one.path))
    found = [*_lossy(facts)]
    if table is None:
        found += _kinds(facts)
    if table is None or table.values is not None:
        found += [*_palettes(facts), *_renumbered(facts)]
    if table is None:
        found += _ranges(facts, MAX_GUESSED)
    elif table.num_indices > 1 and not is_stated:
        one_bit_is_read = [one for one in facts if one.bits > 1]
        found += _ranges(one_bit_is_read, table.num_indices)
        found += _zero_and_void(one_bit_is_read)
    return [Problem.at("masks disagree", root, text) for text in found]


def _lossy(facts: Sequence[MaskFacts]) -> Iterable[str]:
    for name in sorted({one.lossy for one in facts if one.lossy}):
        lossy = [one for one in facts if one.lossy == name]
        yield (
            f"{_of(lossy, facts)} {name} files, such as {lossy[0].path.name}; {name} changes "
            "values, so masks must be PNG, made anew from the tool that drew them"
        )


def _kinds(facts: Sequence[MaskFacts]) -> Iterable[str]:
    colored = [one for one in facts if one.is_color]
    single = [one for one in facts if not one.may_be_color and one.values.keys() != {0}]
    if colored and single and any(one.palette is None for one in single):
        yield (
            f"{_of(colored, facts)} RGB colours, such as {colored[0].path.name}, and others are "
            f"single numbers, such as {single[0].path.name}; make all of them alike"
        )


def _palettes(facts: Sequence[MaskFacts]) -> Iterable[str]:
    """Values whose colour is another one in other files."""
    known: dict[bytes, list[Color]] = {}
    first: dict[int, tuple[Color, MaskFacts]] = {}
    other: list[tuple[int, MaskFacts]] = []
    with_palette = [one for one in facts if one.palette is not None]
    for one in with_palette:
        assert one.palette is not None
        if one.palette not in known:
            known[one.palette] = [
                (int(r), int(g), int(b)) for r, g, b in palette_colors(one.palette)
            ]
        colors = known[one.palette]
        for value in one.values:
            if first.setdefault(value, (colors[value], one))[0] != colors[value]:
                other.append((value, one))
                break
    if other:
        value, one = other[0]
        assert one.palette is not None
        color, before = first[value]
        yield (
            f"value {value} is the colour {_show(color)} in {before.path.name} and "
            f"{_show(known[one.palette][value])} in {one.path.name}: {len(other)} of "
            f"{plural(len(with_palette), 'palette mask')} have another palette, so a number may "
            "mean different classes. Give the colours of the classes in a dataset.yaml, or save "
            "all masks with one palette"
        )


def _renumbered(facts: Sequence[MaskFacts]) -> Iterable[str]:
    """Palettes of class numbers as greys, which GIF writers number anew in each file."""
    for one in facts:
        if one.palette is None:
            continue
        colors = palette_colors(one.palette)[list(one.values)]
        greys = colors[:, 0].tolist()
        are_greys = len(set(greys)) == len(greys) and bool((colors == colors[:, :1]).all())
        pairs = [two for two in zip(one.values, greys, strict=True) if two[0] != two[1]]
        if pairs and are_greys and max(greys) < MAX_GUESSED:
            value, grey = pairs[0]
            yield (
                f"value {value} of {one.path.name} is the grey {grey} by its palette, as where a "
                "program numbered the greys anew (GIF does). If the greys are the class numbers, "
                "save the masks as grey PNG files; if the values are, without a palette"
            )
            return


def _ranges(facts: Sequence[MaskFacts], end: int) -> Iterable[str]:
    """Numbers below ``end`` in some files and others in others, as 0/1 beside 0/255."""
    used = [(one, one.values.keys() - {0}) for one in facts if not one.is_color]
    small = [one for one, values in used if values and max(values) < end]
    large = [one for one, values in used if values and min(values) >= end]
    if small and large and len(small) + len(large) == sum(bool(values) for _, values in used):
        depths = {one.bits for one in large} - {one.bits for one in small}
        bits = f" and {max(depths)} bits" if depths else ""
        void = " (255 would be void in some and an object in others)" if _has_void(large) else ""
        yield (
            f"{_of(small, facts)} of {_values(small)}, such as {small[0].path.name}, and "
            f"{len(large)} of {_values(large)}{bits}, such as {large[0].path.name}{void}. Write "
            "all masks with the same numbers, or if they are right say what each means in a "
            "dataset.yaml"
        )


def _zero_and_void(facts: Sequence[MaskFacts]) -> Iterable[str]:
    """Masks of 0 and 255 where 255 is void, so that there is one class."""
    if {value for one in facts for value in one.values} == {0, VOID}:
        yield (
            f"{_of(facts, facts)} of 0 and 255 alone, and 255 is void beside a list of class "
            "names, so there is one class in them. If 255 is a class, write a dataset.yaml with a "
            "line for each value, such as `masks: {0: background, 255: object}`"
        )


def _has_void(facts: Sequence[MaskFacts]) -> bool:
    return any(VOID in one.values for one in facts)


def _values(facts: Sequence[MaskFacts]) -> str:
    return join(sorted({value for one in facts for value in one.values}))


def _of(some: Sequence[MaskFacts], facts: Sequence[MaskFacts]) -> str:
    return f"{len(some)} of {plural(len(facts), 'mask')} {'is' if len(some) == 1 else 'are'}"


def _show(color: Color) -> str:
    return f"({color[0]},{color[1]},{color[2]})"


@dataclass(frozen=True)
class ValueUse:
    """How often a value, or a packed colour, occurs. ``color`` is that of the palette."""

    value: int
    color: Color | None
    pixels: int
    files: int


def value_uses(facts: Sequence[MaskFacts], *, as_colors: bool) -> list[ValueUse]:
    """Every value of the masks, in order; packed colours where ``as_colors``."""
    pixels: Counter[int] = Counter()
    files: Counter[int] = Counter()
    colors: dict[int, Color] = {}
    for one in facts:
        values: dict[int, int] = dict(one.values)
        if one.palette is not None:
            palette = palette_colors(one.palette)
            colors |= {
                v: (int(palette[v][0]), int(palette[v][1]), int(palette[v][2])) for v in values
            }
        if as_colors and not one.is_color:
            values = Counter()
            for value, count in one.values.items():
                values[_pack(colors[value] if one.palette else (value, value, value))] += count
        pixels.update(values)
        files.update(values.keys())
    return [ValueUse(v, colors.get(v), pixels[v], files[v]) for v in sorted(pixels)]


def _pack(color: Color) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]
