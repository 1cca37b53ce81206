"""EdgeBoxes once more, in float64 and without any table, straight from its definition: for maps of
some thousand pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

REACH = 2
LEAST = 0.05


@dataclass
class Group:
    pixels: list[tuple[int, int]]  # x, y
    mass: float
    mean: tuple[float, float]
    normal: float
    last: tuple[int, int]


def turn(a: float, b: float) -> float:
    change = abs(a - b) / math.pi
    return min(change, 1 - change)


def around(x: int, y: int, reach: int = 1) -> list[tuple[int, int]]:
    span = range(-reach, reach + 1)
    return [(x + i, y + j) for i in span for j in span if (i, j) != (0, 0)]


def find_groups(strength, orientation, *, least=0.1, most_turn=0.5, least_mass=0.5) -> list[Group]:
    height, width = strength.shape
    free = [
        (x, y) for x in range(1, width - 1) for y in range(1, height - 1) if strength[y, x] > least
    ]
    group_of: dict[tuple[int, int], int] = {}
    edges = set(free)
    for number, start in enumerate(free):
        if start in group_of:
            continue
        turned, here = 0.0, start
        frontier: dict[tuple[int, int], float] = {}
        met = set()
        while turned < most_turn:
            group_of[here] = number
            for side in around(*here):
                if side in edges and side not in group_of and side not in met:
                    met.add(side)
                    frontier[side] = turn(orientation[side[::-1]], orientation[here[::-1]])
            if not frontier:
                break
            here = min(frontier, key=lambda place: frontier[place])  # the first of equals
            turned += frontier.pop(here)
    mass = dict.fromkeys(group_of.values(), 0.0)
    for place, number in group_of.items():
        mass[number] += float(strength[place[::-1]])
    loose = [place for place in free if mass[group_of[place]] <= least_mass]
    for place in loose:
        del group_of[place]
    while True:
        left = []
        for place in loose:
            beside = [side for side in around(*place) if side in group_of]
            if beside:
                own = orientation[place[::-1]]
                near = min(beside, key=lambda side: turn(orientation[side[::-1]], own))
                group_of[place] = group_of[near]
            else:
                left.append(place)
        if len(left) == len(loose):
            break
        loose = left
    groups = []
    for number in sorted(set(group_of.values())):
        pixels = [place for place in free if group_of.get(place) == number]
        m = np.array([float(strength[y, x]) for x, y in pixels])
        angle = np.array([float(orientation[y, x]) for x, y in pixels])
        xs, ys = np.array(pixels, float).T
        groups.append(
            Group(
                pixels,
                m.sum(),
                ((m * xs).sum() / m.sum(), (m * ys).sum() / m.sum()),
                math.atan2((m * np.sin(2 * angle)).sum(), (m * np.cos(2 * angle)).sum()) / 2,
                pixels[-1],
            )
        )
    return groups


def affinities(groups: list[Group], shape, *, gamma=2.0) -> np.ndarray:
    height, width = shape
    of = {place: n for n, group in enumerate(groups) for place in group.pixels}
    result = np.zeros((len(groups), len(groups)))
    for (x, y), i in of.items():
        if not (REACH <= x < width - REACH and REACH <= y < height - REACH):
            continue
        for near in around(x, y, REACH):
            j = of.get(near, -1)
            if j > i:
                a, b = groups[i], groups[j]
                along = math.atan2(a.mean[1] - b.mean[1], a.mean[0] - b.mean[0])
                across = along + math.pi / 2
                value = abs(math.cos(a.normal - across) * math.cos(b.normal - across)) ** gamma
                result[i, j] = result[j, i] = value
    return result


class BruteForce:
    """Scores of boxes x0, y0, x1, y1 (pixel indices, all included) of one thinned edge map."""

    def __init__(self, strength, orientation, *, kappa=1.5, least=0.1, gamma=2.0) -> None:
        self.strength = np.where(strength > least, strength, 0).astype(np.float64)
        self.strength[0], self.strength[:, 0] = 0, 0
        self.kappa = kappa
        self.groups = find_groups(strength, orientation, least=least)
        self.affinity = affinities(self.groups, strength.shape, gamma=gamma)

    def __call__(self, x0: int, y0: int, x1: int, y1: int) -> float:
        half_w, half_h = (x1 - x0) // 2, (y1 - y0) // 2
        if half_w + half_h == 0:
            return 0.0
        inside = [x0 <= g.last[0] <= x1 and y0 <= g.last[1] <= y1 for g in self.groups]
        w = np.zeros(len(self.groups))
        for n, group in enumerate(self.groups):
            for x, y in group.pixels:
                if (x in (x0, x1) and y0 <= y <= y1) or (y in (y0, y1) and x0 <= x <= x1):
                    w[n] = 1
        for _ in self.groups:  # Bellman and Ford
            before = w.copy()
            through = (w[:, None] * self.affinity).max(axis=0, initial=0)
            w = np.maximum(w, np.where(through >= LEAST, through, 0))
            if (w == before).all():
                break
        total = sum((1 - w[n]) * g.mass for n, g in enumerate(self.groups) if inside[n])
        inner_x, inner_y = x0 + half_w // 2, y0 + half_h // 2
        total -= self.strength[inner_y : inner_y + half_h + 1, inner_x : inner_x + half_w + 1].sum()
        return float(total / (half_w + half_h) ** self.kappa)


def windows(height, width, *, alpha=0.65, max_aspect_ratio=3.0, min_box_area=1000.0):
    scale, aspect = math.sqrt(1 / alpha), (1 + alpha) / (2 * alpha)
    pace = (1 - alpha) / (1 + alpha) + 1e-7  # so that 33 * 7 / 33 is 7
    side = math.sqrt(min_box_area)
    most = int(math.log(max_aspect_ratio) / math.log(aspect**2))
    result = []
    for s in range(math.ceil(math.log(max(height, width) / side) / math.log(scale))):
        for a in range(-most, most + 1):
            size, shape = side * scale**s, aspect**a
            high, wide = int(size / shape), int(size * shape)
            step_y, step_x = max(2, int(high * pace)), max(2, int(wide * pace))
            for y in range(0, min(height - high + step_y, height), step_y):
                for x in range(0, min(width - wide + step_x, width), step_x):
                    result.append((x, y, min(x + wide, width - 1), min(y + high, height - 1)))
    return result


def refine(score, box, shape, *, alpha=0.65, min_score=0.01):
    height, width = shape
    best = score(*box)
    if best <= min_score:
        return None
    pace = (1 - alpha) / (1 + alpha) + 1e-7
    steps = [int((box[2] - box[0]) * pace), int((box[3] - box[1]) * pace)]
    while True:
        steps = [step // 2 for step in steps]
        if max(steps) <= 2:
            return best, box
        steps = [max(step, 1) for step in steps]
        for corner, axis in ((1, 1), (3, 1), (0, 0), (2, 0)):
            out = -1 if corner < 2 else 1
            for sign in (out, -out):
                moved = list(box)
                moved[corner] += sign * steps[axis]
                moved[corner] = min(max(moved[corner], 0), (width, height)[axis] - 1)
                value = score(*moved)
                if value > best:
                    best, box = value, tuple(moved)
                    break


def iou(a, b) -> float:
    both_x, both_y = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(both_x, 0) * max(both_y, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def choose(found, *, beta=0.75, eta=1.0, max_boxes=10_000):
    """Of (score, box), best first, those that do not overlap with a better one."""
    chosen = []
    for score, box in found:
        if len(chosen) == max_boxes:
            break
        if all(iou(box, other) <= beta for _, other in chosen):
            chosen.append((score, box))
            if eta < 1 and beta > 0.5:
                beta *= eta
    return chosen
