"""Splits that a data set does not list are drawn by the names of its photos."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

VAL = "val"
"""The split that is drawn from ``train`` where a data set has none of this name."""
VAL_SHARE = 0.2
MAX_VAL = 200


def draw_validation(names: Sequence[str]) -> list[str]:
    """A fifth of ``names`` for validation, at least 1 and at most 200, sorted.

    Which ones depends on the set of names alone, not on their order.
    """
    share = min(VAL_SHARE, MAX_VAL / max(1, len(names)))
    return draw_splits(names, {VAL: share}, seed=0)[VAL]


def draw_train_and_val(names: Sequence[str]) -> dict[str, list[str]]:
    """A fifth of the names for ``val``, the others for ``train``; a single name for ``train``."""
    shares = {"train": 1 - VAL_SHARE, VAL: VAL_SHARE} if len(names) > 1 else {"train": 1.0}
    return draw_splits(names, shares, seed=0)


def draw_splits(
    names: Sequence[str], shares: Mapping[str, float], *, seed: int
) -> dict[str, list[str]]:
    """Assign names to splits by a hash of (seed, name), whatever the order of files or the machine.

    Every split gets at least one name while there are enough; within a split the names are sorted.

    Args:
        shares: split -> share in (0, 1]; what adds up to less than 1 leaves names out.
    """

    def rank(name: str) -> bytes:
        return hashlib.sha256(f"{seed}:{name}".encode()).digest()

    ranked = sorted(names, key=rank)
    # small splits first, so that rounding takes names from the large one
    order = sorted(shares, key=lambda split: shares[split])
    drawn: dict[str, list[str]] = {}
    begin = 0
    left_out = 1.0 - sum(shares.values())
    for place, split in enumerate(order):
        rest = len(ranked) - begin
        last = place == len(order) - 1 and left_out < 1e-9
        want = rest if last else min(rest, max(1, round(shares[split] * len(ranked))))
        drawn[split] = sorted(ranked[begin : begin + want])
        begin += want
    return {split: drawn[split] for split in shares}
