"""Sliding windows, their refinement, and the choice among boxes that overlap.

Zitnick and Dollar, "Edge boxes", ECCV 2014, sections 3.2 and 3.3. Boxes in here are four pixel
indices, x0, y0, x1, y1, with x1 and y1 included.
"""

# ruff: noqa: ARG001  (run_parallel passes the same first three arguments to all kernels)
# ruff: noqa: RUF046  (the compiler's floor gives a float)
# mypy: disable-error-code="assignment,arg-type,return-value,no-any-return"
# (kernels mix Python's and numpy's numbers, which the compiler makes the same)

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from upscore.core.jit.compile import jit, jit_inline
from upscore.core.jit.threads import Barrier, run_parallel
from upscore.errors import SettingsError
from upscore.proposals.edge_boxes.groups import Float32s, Int32s
from upscore.proposals.edge_boxes.parameters import EdgeBoxesParameters, SearchParameters
from upscore.proposals.edge_boxes.scores import (
    NOTHING,
    Tables,
    Workspace,
    new_workspaces,
    score_box,
)

MOST_WINDOWS = 20_000_000

FIRST_ROUND = 4
"""So many times the wanted boxes are refined before any window is given up."""

HOPELESS = 0.2
"""A window below this share of the last wanted box's score is not refined. Refinement raises half
of all scores by 1.7 or less, nine in ten by 3.5 or less."""

LOST = (0.35, 0.65, 0.9)
"""The same for going on: after the upper and lower side made their first, widest moves, after all
sides did, and after each round of smaller ones."""

SHARE = 32
"""Windows that a thread takes at once, of many more: every thread gets easy and hard ones."""


def sliding_windows(height: int, width: int, parameters: SearchParameters) -> Int32s:
    """(N, 4) int32: neighbours in position, scale or aspect ratio overlap with an IoU of alpha.

    Windows that leave the image on the right or below are cut there.

    Raises:
        SettingsError: there would be more than ``MOST_WINDOWS``.
    """
    alpha, most_aspect = parameters.alpha, parameters.max_aspect_ratio
    kinds = []
    num_windows = 0
    # float32 as in the released code: sizes that fall on a whole number stay there
    smallest, pace = np.float32(math.sqrt(parameters.min_box_area)), float(step(alpha))
    scale_step = np.float32(math.sqrt(1 / alpha))
    aspect_step = np.float32((1 + alpha) / (2 * alpha))
    num_scales = math.ceil(math.log(max(height, width) / smallest) / math.log(scale_step))
    num_aspects = int(math.log(most_aspect) / (2 * math.log(aspect_step)))
    for scale in range(num_scales):
        for aspect in range(-num_aspects, num_aspects + 1):
            size = smallest * scale_step ** np.float32(scale)
            shape = aspect_step ** np.float32(aspect)
            high, wide = int(size / shape), int(size * shape)
            step_y, step_x = max(2, int(high * pace)), max(2, int(wide * pace))
            # windows leave the image by less than a step; much larger ones than it do not exist
            ys = np.arange(0, min(height - high + step_y, height), step_y)
            xs = np.arange(0, min(width - wide + step_x, width), step_x)
            kinds.append((ys, xs, high, wide))
            num_windows += ys.size * xs.size
            if num_windows > MOST_WINDOWS:
                raise SettingsError(
                    f"alpha {alpha:g} and max_aspect_ratio {most_aspect:g} make more than "
                    f"{MOST_WINDOWS} windows of a {width}x{height} image; take a smaller alpha"
                )
    windows = np.empty((num_windows, 4), np.int32)
    at = 0
    for ys, xs, high, wide in kinds:
        part = windows[at : at + ys.size * xs.size].reshape(ys.size, xs.size, 4)
        part[..., 0], part[..., 1] = xs, ys[:, None]
        part[..., 2], part[..., 3] = (
            np.minimum(xs + wide, width - 1),
            np.minimum(ys + high, height - 1)[:, None],
        )
        at += ys.size * xs.size
    return windows


def step(alpha: float) -> np.float32:
    """How far windows lie apart in units of their size: then they overlap with an IoU of alpha."""
    narrow = np.float32(alpha)
    return (np.float32(1) - narrow) / (np.float32(1) + narrow)


def search(
    tables: Tables, windows: Int32s, parameters: EdgeBoxesParameters, *, threads: int
) -> tuple[Int32s, Float32s]:
    """At most ``max_boxes`` boxes (K, 4) int32 and their scores (K,) float32, best first.

    Windows that score above ``min_score`` are refined, the best first, and boxes that overlap with
    a better one by more than ``beta`` are left out. Once ``max_boxes`` are there, windows that
    score less than ``HOPELESS`` times the last of them are not refined any more.
    """
    wanted, pace = parameters.max_boxes, step(parameters.alpha)
    workspaces = new_workspaces(tables, threads)
    scores = np.zeros(len(windows), np.float32)
    least = np.float32(parameters.min_score)
    run_parallel(_score, threads, tables, workspaces, windows, scores, least)
    good = np.flatnonzero(scores)
    order = good[np.argsort(-scores[good], kind="stable")]
    boxes, scores = windows[order], scores[order]

    def refine(begin: int, end: int, last: np.float32) -> npt.NDArray[np.int64]:
        """Refine some boxes and choose among all up to them."""
        lost = last * np.array(LOST, np.float32)
        part = slice(begin, end)
        run_parallel(_refine, threads, tables, workspaces, boxes[part], scores[part], pace, lost)
        order = np.argsort(-scores[:end], kind="stable")
        beta, eta = np.float32(parameters.beta), np.float32(parameters.eta)
        return order[choose(boxes[order], beta, eta, wanted)]

    end = min(FIRST_ROUND * wanted, len(order))
    kept = refine(0, end, NOTHING)
    if end < len(order):
        last = scores[kept[-1]] if len(kept) == wanted else NOTHING
        more = end + int((scores[end:] >= last * np.float32(HOPELESS)).sum())
        kept = refine(end, more, last)
    return boxes[kept], scores[kept]


@jit
def _score(
    part: int, parts: int, barrier: Barrier, tables: Tables, workspaces: Workspace, boxes: Int32s,
    scores: Float32s, least: float,
) -> None:  # fmt: skip
    workspace = workspaces[part]
    for begin in range(part * SHARE, len(boxes), parts * SHARE):
        for i in range(begin, min(begin + SHARE, len(boxes))):
            x0, y0 = np.int64(boxes[i, 0]), np.int64(boxes[i, 1])
            x1, y1 = np.int64(boxes[i, 2]), np.int64(boxes[i, 3])
            scores[i] = score_box(tables, workspace, x0, y0, x1, y1, least, 0)


@jit
def _refine(
    part: int, parts: int, barrier: Barrier, tables: Tables, workspaces: Workspace, boxes: Int32s,
    scores: Float32s, pace: float, lost: Float32s,
) -> None:  # fmt: skip
    """Moves each side of the boxes by ever smaller steps for as long as the score rises.

    Boxes whose score is below ``lost`` (as ``LOST``) stay as they are then.
    """
    workspace = workspaces[part]
    height, width = tables.places.shape[:2]
    for begin in range(part * SHARE, len(boxes), parts * SHARE):
        for i in range(begin, min(begin + SHARE, len(boxes))):
            x0, y0 = np.int64(boxes[i, 0]), np.int64(boxes[i, 1])
            x1, y1 = np.int64(boxes[i, 2]), np.int64(boxes[i, 3])
            best = scores[i]
            step_x = int(np.float32(x1 - x0) * pace)
            step_y = int(np.float32(y1 - y0) * pace)
            rounds = 0
            while True:
                step_x, step_y = step_x >> 1, step_y >> 1
                if step_x <= 2 and step_y <= 2:
                    break
                step_x, step_y = max(step_x, 1), max(step_y, 1)
                # each side outwards, and inwards where that is no better: even and odd moves
                move = 0
                while move < 8:
                    side, sign = move >> 1, 1 - 2 * (move & 1)
                    to_x0, to_y0, to_x1, to_y1 = x0, y0, x1, y1
                    if side == 0:
                        to_y0 = min(max(y0 - sign * step_y, 0), y1)
                    elif side == 1:
                        to_y1 = max(min(y1 + sign * step_y, height - 1), y0)
                    elif side == 2:
                        to_x0 = min(max(x0 - sign * step_x, 0), x1)
                    else:
                        to_x1 = max(min(x1 + sign * step_x, width - 1), x0)
                    score = NOTHING
                    if to_x0 != x0 or to_y0 != y0 or to_x1 != x1 or to_y1 != y1:
                        score = score_box(tables, workspace, to_x0, to_y0, to_x1, to_y1, best, side)
                    if score > best:
                        best = score
                        x0, y0, x1, y1 = to_x0, to_y0, to_x1, to_y1
                        move |= 1
                    move += 1
                    if move == 4 and rounds == 0 and best < lost[0]:
                        break  # and from the outer loop, since limits rise
                rounds += 1
                if best < lost[min(rounds, 2)]:
                    break
            boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = x0, y0, x1, y1
            scores[i] = best


@jit_inline
def _bucket(wide: int, high: int, across: int, down: int, last: int) -> int:
    mixed = np.uint64(wide) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ np.uint64(high)) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = (mixed ^ np.uint64(across)) * np.uint64(0x165667B19E3779F9)
    mixed = (mixed ^ np.uint64(down)) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(32)) & np.uint64(last)


@jit
def choose(boxes: Int32s, beta: float, eta: float, wanted: int) -> npt.NDArray[np.int64]:
    """Indices of boxes (N, 4), best first, that overlap with no better one chosen.

    After each choice, as long as beta is above 1/2, it is multiplied by ``eta``.

    Chosen boxes lie in buckets by their width, height and centre, coarse enough that those of an
    IoU above beta are in a few buckets: widths differ by a factor of 1/beta at most, and centres
    by 1 - beta times the larger width.
    """
    lowest = min(beta, np.float32(0.5) * eta) if eta < 1 else beta
    lowest = np.float64(min(lowest, np.float32(0.99)))
    octave = -2 * math.log(lowest)
    num_buckets = 16
    while num_buckets < 2 * min(wanted, len(boxes)):
        num_buckets *= 2
    newest = np.full(num_buckets, -1, np.int64)
    before = np.empty(min(wanted, len(boxes)), np.int64)
    chosen = np.empty(min(wanted, len(boxes)), np.int64)
    count = 0
    for i in range(len(boxes)):
        if count == len(chosen):
            break
        x0, y0, x1, y1 = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
        width, height = np.float64(x1 - x0), np.float64(y1 - y0)
        centre_x, centre_y = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
        log_width, log_height = math.log(width) / octave, math.log(height) / octave
        free = True
        wide = int(math.floor(log_width - 0.5))
        while free and wide <= math.floor(log_width + 0.5):
            top_width = math.exp(octave * (wide + 1))
            cell_x = 2 * (1 - lowest) * top_width
            reach_x = (1 - lowest) * max(width, min(top_width, width / lowest))
            high = int(math.floor(log_height - 0.5))
            while free and high <= math.floor(log_height + 0.5):
                top_height = math.exp(octave * (high + 1))
                cell_y = 2 * (1 - lowest) * top_height
                reach_y = (1 - lowest) * max(height, min(top_height, height / lowest))
                across = int(math.floor((centre_x - reach_x) / cell_x))
                while free and across <= math.floor((centre_x + reach_x) / cell_x):
                    down = int(math.floor((centre_y - reach_y) / cell_y))
                    while free and down <= math.floor((centre_y + reach_y) / cell_y):
                        at = newest[_bucket(wide, high, across, down, num_buckets - 1)]
                        while at >= 0 and free:
                            j = chosen[at]
                            both_x = min(x1, boxes[j, 2]) - max(x0, boxes[j, 0])
                            both_y = min(y1, boxes[j, 3]) - max(y0, boxes[j, 1])
                            if both_x > 0 and both_y > 0:
                                both = np.float64(both_x) * np.float64(both_y)
                                other = np.float64(boxes[j, 2] - boxes[j, 0]) * np.float64(
                                    boxes[j, 3] - boxes[j, 1]
                                )
                                free = both <= beta * (width * height + other - both)
                            at = before[at]
                        down += 1
                    across += 1
                high += 1
            wide += 1
        if free:
            wide, high = int(math.floor(log_width)), int(math.floor(log_height))
            across = int(math.floor(centre_x / (2 * (1 - lowest) * math.exp(octave * (wide + 1)))))
            down = int(math.floor(centre_y / (2 * (1 - lowest) * math.exp(octave * (high + 1)))))
            bucket = _bucket(wide, high, across, down, num_buckets - 1)
            chosen[count], before[count], newest[bucket] = i, newest[bucket], count
            count += 1
            if eta < 1 and beta > 0.5:
                beta *= eta
    return chosen[:count]
