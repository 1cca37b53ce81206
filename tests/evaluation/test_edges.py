"""Edge scores against slow twins of the benchmark's formulas, and on maps of known scores."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from upscore.core.failures import Failure
from upscore.data.formats.bsds import find_bsds
from upscore.edges.benchmark.score import (
    EdgeCounts,
    average_precision,
    best_f,
    count_edges,
    evaluate_edges,
    f_measure,
)
from upscore.edges.benchmark.thinning import thin
from upscore.errors import DataError, SettingsError

SHAPE = (40, 56)


def ruled(*columns: int) -> np.ndarray:
    """Upright lines from top to bottom."""
    mask = np.zeros(SHAPE, bool)
    mask[:, columns] = True
    return mask


def soft(seed: int) -> np.ndarray:
    """An edge map as detectors give it: ridges of any strength."""
    rng = np.random.default_rng(seed)
    gradient = np.hypot(*np.gradient(gaussian_filter(rng.standard_normal(SHAPE), 2)))
    return (gradient / gradient.max()).astype(np.float32)


def drawn(seed: int, num: int = 3) -> np.ndarray:
    """(num, H, W): what annotators drew, near to one another."""
    base = soft(seed).astype(np.float64)
    rng = np.random.default_rng(seed + 1000)
    return np.stack(
        [thin(base + 0.05 * gaussian_filter(rng.standard_normal(SHAPE), 1) > 0.4)
         for _ in range(num)]
    )  # fmt: skip


def item(seed: int):
    return f"photo{seed}", soft(seed), drawn(seed)


def some_counts(seed: int, num: int = 30) -> EdgeCounts:
    rng = np.random.default_rng(seed)
    detected = np.sort(rng.integers(0, 5000, num))[::-1].copy()
    right = np.minimum.accumulate((detected * rng.uniform(0.2, 1, num)).astype(np.int64))
    return EdgeCounts(
        found=np.sort(rng.integers(0, 9000, num))[::-1].copy(),
        true=np.full(num, 9000),
        right=right,
        detected=detected,
    )


# the benchmark's formulas, written once more as loops


def slow_f(p: float, r: float) -> float:
    return 2 * p * r / (p + r) if p + r > 0 else 0.0


def slow_best(thresholds, precision, recall) -> tuple[float, float, float, float]:
    best = (slow_f(precision[0], recall[0]), thresholds[0], precision[0], recall[0])
    for i in range(1, len(thresholds)):
        for step in range(100):
            d = step / 99
            t, p, r = (v[i] * d + v[i - 1] * (1 - d) for v in (thresholds, precision, recall))
            if slow_f(p, r) > best[0]:
                best = (slow_f(p, r), t, p, r)
    return best


def slow_ap(precision, recall) -> float:
    points: dict[float, float] = {}
    for p, r in zip(precision, recall, strict=True):
        points.setdefault(float(r), float(p))
    if len(points) < 2:
        return 0.0
    known = sorted(points.items())
    total = 0.0
    for step in range(101):
        wanted = step / 100
        for (r0, p0), (r1, p1) in itertools.pairwise(known):
            if r0 <= wanted <= r1:
                total += p0 + (p1 - p0) * (wanted - r0) / (r1 - r0)
                break
    return total * 0.01


@pytest.mark.parametrize("seed", range(20))
def test_the_formulas(seed):
    counts = some_counts(seed, 2 + seed)
    thresholds = np.arange(1, 3 + seed) / (3 + seed)
    found = best_f(thresholds, counts)
    wanted = slow_best(thresholds, counts.precision, counts.recall)
    np.testing.assert_allclose(
        (found.f, found.threshold, found.precision, found.recall), wanted, rtol=1e-12
    )
    wanted_ap = slow_ap(counts.precision, counts.recall)
    assert math.isclose(average_precision(counts.precision, counts.recall), wanted_ap, rel_tol=1e-9)


def test_no_pixel_divides_nothing():
    nothing = EdgeCounts.zeros(3)
    assert nothing.precision.tolist() == nothing.recall.tolist() == nothing.f.tolist() == [0] * 3
    assert f_measure(np.array([0.0, 0.5]), np.array([0.0, 0.5])).tolist() == [0, 0.5]


@pytest.mark.parametrize("seed", range(6))
def test_counts_by_a_twin(seed):
    """Scipy's matching decides how many are found; who is right lies between bounds."""
    strength, boundaries = soft(seed), drawn(seed)
    thresholds = np.arange(1, 20) / 20
    counts = count_edges(strength, boundaries, thresholds, tolerance=0.03)
    distance = 0.03 * math.hypot(*SHAPE)
    for number, threshold in enumerate(thresholds):
        places = np.argwhere(thin(strength >= threshold))
        numbers = []
        near_any = np.zeros(len(places), bool)
        for truth in boundaries:
            apart = np.hypot(*(places[:, None] - np.argwhere(truth)[None]).transpose(2, 0, 1))
            graph = csr_array((apart <= distance).astype(np.uint8))
            partners = maximum_bipartite_matching(graph, perm_type="column")
            numbers.append(np.count_nonzero(partners >= 0))
            near_any |= (apart <= distance).any(axis=1)
        assert counts.found[number] == sum(numbers)
        assert counts.detected[number] == len(places)
        assert max(numbers) <= counts.right[number] <= min(sum(numbers), near_any.sum())
        assert counts.true[number] == boundaries.sum()


def test_a_map_like_the_annotators_finds_all():
    lines = ruled(10, 30)
    scores = evaluate_edges(
        [("a", 0.9 * lines.astype(np.float32), lines[None])], thinned=True, workers=1
    )
    assert (scores.ods, scores.ois) == (1, 1)
    assert scores.best.threshold == pytest.approx(0.01)
    assert (scores.best.precision, scores.best.recall) == (1, 1)
    assert scores.precision.tolist() == [1] * 90 + [0] * 9
    # the benchmark's area: linear from (0, 0), where nothing is detected, to (1, 1)
    assert scores.ap == pytest.approx(0.505)


def test_one_of_two_annotators_is_enough_for_precision_but_not_for_recall():
    ours = ruled(10)
    both = np.stack([ruled(10), ruled(10, 40)])
    scores = evaluate_edges([("a", ours.astype(np.float32), both)], thresholds=3, thinned=True)
    assert scores.best.precision == 1
    assert scores.best.recall == pytest.approx(2 / 3)
    assert scores.ods == pytest.approx(0.8)


def test_the_tolerance_is_a_share_of_the_diagonal():
    ours, truth = ruled(10).astype(np.float32), ruled(13)[None]
    diagonal = math.hypot(*SHAPE)
    for pixels, wanted in ((2.99, 0.0), (3.01, 1.0)):
        scores = evaluate_edges(
            [("a", ours, truth)], thresholds=1, thinned=True, tolerance=pixels / diagonal
        )
        assert scores.ods == wanted


def test_a_thick_edge_is_thinned_before_it_is_counted():
    thick = gaussian_filter(ruled(28).astype(float), (0, 2)).astype(np.float32)
    thick /= thick.max()
    scores = evaluate_edges([("a", thick, ruled(28)[None])], tolerance=0.02)
    assert scores.ods == pytest.approx(1, abs=0.03)
    assert (scores.counts.detected <= SHAPE[0]).all()
    # strengths fade over 5 pixels at the top and bottom: not all of the line at high thresholds
    assert scores.counts.detected[-1] < SHAPE[0] - 8


def test_ods_is_one_threshold_and_ois_each_images_own():
    strong, weak = (value * ruled(10).astype(np.float32) for value in (0.9, 0.3))
    clutter = 0.5 * ruled(10, 20, 30, 40, 50).astype(np.float32)
    truth = ruled(10)[None]
    items = [
        ("strong", np.maximum(strong, clutter), truth),  # best above 0.5
        ("weak", weak, truth),  # best up to 0.3
    ]
    scores = evaluate_edges(items, thresholds=9, thinned=True)
    assert scores.ois == 1
    assert scores.ods == pytest.approx(2 / 3)  # half the recall, or a third of the precision
    assert [image.best.f for image in scores.images] == [1, 1]
    assert scores.images[0].best.threshold > 0.5
    assert scores.own_best.threshold == pytest.approx((0.9 + 0.3) / 2)  # the highest of several


def test_thresholds_are_evenly_spaced_and_include_their_value():
    strength = np.full(SHAPE, 0, np.float32)
    strength[20] = np.linspace(0, 1, SHAPE[1], dtype=np.float32)
    strength[20, 50] = 0.2  # 51 of 255
    scores = evaluate_edges([("a", strength, (strength > 0)[None])], thinned=True)
    np.testing.assert_allclose(scores.thresholds, np.arange(1, 100) / 100)
    for number, threshold in enumerate(scores.thresholds):
        wanted = np.count_nonzero(strength >= np.float32(threshold))
        assert scores.counts.detected[number] == wanted
    few = evaluate_edges([item(0)], thresholds=24)
    all_ = evaluate_edges([item(0)], thresholds=99)
    np.testing.assert_array_equal(few.counts.detected, all_.counts.detected[3::4])
    np.testing.assert_array_equal(few.counts.right, all_.counts.right[3::4])
    assert few.ods == pytest.approx(all_.ods, abs=0.02)


def test_processes_give_the_same_in_the_same_order():
    items = [item(seed) for seed in range(5)]
    items.insert(2, ("bad", items[0][1][:-1], items[0][2]))
    calls = []
    one = evaluate_edges(items, thresholds=9)
    two = evaluate_edges(
        iter(items), thresholds=9, workers=2, total=6, progress=lambda *call: calls.append(call)
    )
    assert [image.name for image in two.images] == [f"photo{i}" for i in range(5)]
    assert (two.ods, two.ois, two.ap) == (one.ods, one.ois, one.ap)
    assert two.failures == one.failures
    assert [failure.index for failure in two.failures] == [2]
    assert sorted(calls) == [(done, 6) for done in range(1, 7)]


def test_sums_are_over_images_not_means():
    items = [item(seed) for seed in range(3)]
    scores = evaluate_edges(items, thresholds=9)
    parts = [evaluate_edges([one], thresholds=9).counts for one in items]
    np.testing.assert_array_equal(scores.counts.found, sum(part.found for part in parts))
    np.testing.assert_array_equal(
        scores.precision,
        sum(part.right for part in parts) / sum(part.detected for part in parts),
    )


def test_nothing_drawn_and_nothing_detected_have_scores():
    name, strength, boundaries = item(0)
    empty = evaluate_edges([(name, np.zeros_like(strength), boundaries)])
    assert (empty.ods, empty.ois, empty.ap) == (0, 0, 0)
    assert empty.counts.true[0] == boundaries.sum()
    undrawn = evaluate_edges([(name, strength, np.zeros_like(boundaries))])
    assert (undrawn.ods, undrawn.ois, undrawn.ap) == (0, 0, 0)
    full = evaluate_edges([(name, np.ones_like(strength), boundaries)], thresholds=3)
    assert np.isfinite(full.ods)
    tiny = evaluate_edges([("b", np.ones((1, 1), np.float32), np.ones((1, 1, 1), bool))])
    assert 0 <= tiny.ods <= 1


BAD = {
    "annotator": (soft(0), np.zeros((0, *SHAPE), bool), "no annotator drew"),
    "size": (soft(0), drawn(0)[:, :-3], r"of 56x40, but the boundaries are 56x37; make the map"),
    "nan": (np.where(soft(0) > 0.9, np.nan, soft(0)), drawn(0), "an edge strength holds NaN"),
    "infinite": (np.where(soft(0) > 0.9, np.inf, 0), drawn(0), r"lies in 0\.\.inf"),
    "above": (255 * soft(0), drawn(0), r"lies in .*\.\.255.*expected \[0, 1\]"),
    "below": (soft(0) - 0.5, drawn(0), r"lies in -0\.48.*expected \[0, 1\]"),
    "bytes": ((255 * soft(0)).astype(np.uint8), drawn(0), "has dtype uint8; expected floats"),
    "colour": (np.stack([soft(0)] * 3, -1), drawn(0), r"shape \(40, 56, 3\)"),
    "one annotator": (soft(0), drawn(0)[0], r"boundaries of shape \(40, 56\), bool; expected bool"),
    "counts": (soft(0), drawn(0).astype(np.uint8), "uint8; expected bool"),
    "empty": (np.zeros((0, 0), np.float32), np.zeros((2, 0, 0), bool), "no pixel"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_items_are_listed_and_the_rest_is_scored(what):
    strength, boundaries, message = BAD[what]
    good = item(1)
    scores = evaluate_edges([("bad", strength, boundaries), good], thresholds=9)
    assert [failure.name for failure in scores.failures] == ["bad"]
    assert scores.failures[0].message.startswith("bad: ")
    assert scores.ods == evaluate_edges([good], thresholds=9).ods
    with pytest.raises(DataError, match=message):
        evaluate_edges([("bad", strength, boundaries)])


def test_failures_of_the_caller_are_passed_on():
    broken = Failure(99, "broken", "cannot be read")
    scores = evaluate_edges([item(0), broken, item(1)], thresholds=9)
    assert scores.failures == (Failure(1, "broken", "cannot be read"),)
    assert len(scores.images) == 2
    with pytest.raises(DataError, match="no image could be scored: cannot be read"):
        evaluate_edges([broken])
    with pytest.raises(DataError, match="there is none"):
        evaluate_edges([])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"thresholds": 0}, "thresholds is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"tolerance": 0.0}, "tolerance is 0"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"tolerance": 1.5}, "tolerance is 1.5"),
    ],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(SettingsError, match=message):
        evaluate_edges([item(0)], **setting)


@pytest.mark.real
def test_people_agree_with_one_another_as_published(real_data: Path):
    """One annotator as the edge map, the others as the truth: F 0.80 on all of BSDS500's test."""
    if not (real_data / "bsds500").exists():
        pytest.skip(f"no {real_data / 'bsds500'}")
    counts = EdgeCounts.zeros(1)
    for image in find_bsds(real_data / "bsds500")["val"][::10]:
        boundaries = image.read_boundaries()
        for number, one in enumerate(boundaries):
            others = np.delete(boundaries, number, axis=0)
            counts += count_edges(one.astype(np.float32), others, np.array([0.5]))
    assert 0.75 < counts.f[0] < 0.83
    assert counts.precision[0] > counts.recall[0]


def test_the_area_of_a_detector_that_is_never_unsure_is_as_documented():
    text = (Path(__file__).parents[2] / "docs" / "edges.md").read_text(encoding="utf-8")
    area = average_precision(np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    assert f"AP {area:.3f}" in text
