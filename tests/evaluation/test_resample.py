from __future__ import annotations

import numpy as np
import pytest

from upscore.errors import SettingsError
from upscore.metrics import bootstrap as resample
from upscore.metrics.bootstrap import overlaps
from upscore.metrics.confusion import mean_iou


def matrices(num: int, share_right: float, seed: int = 0, num_classes: int = 4) -> list[np.ndarray]:
    """Images of different difficulty, the same ones for one seed."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(num):
        hard = rng.uniform(0.7, 1.0)
        matrix = np.full((num_classes, num_classes), 100 * (1 - hard * share_right) / 3)
        np.fill_diagonal(matrix, 100 * hard * share_right)
        made.append((matrix * rng.integers(1, 5, (num_classes, 1))).astype(np.int64))
    return made


def difference_interval(first, second, **more):
    stacks = [np.array([overlaps(matrix) for matrix in part]) for part in (first, second)]
    return resample.difference_interval(*stacks, **more)


def miou(parts: list[np.ndarray]) -> float:
    value = mean_iou(np.sum(parts, axis=0))
    assert value is not None
    return value


def test_same_draws_as_a_plain_loop(monkeypatch):
    monkeypatch.setattr(resample, "NUM_DRAWS", 50)
    first, second = matrices(7, 0.8), matrices(7, 0.9)
    rng = np.random.default_rng(5)
    differences = []
    for times in rng.multinomial(7, np.full(7, 1 / 7), size=50):
        places = np.repeat(np.arange(7), times)
        differences.append(miou([second[i] for i in places]) - miou([first[i] for i in places]))
    low, high = difference_interval(first, second, seed=5)
    assert [low, high] == pytest.approx(np.quantile(differences, [0.025, 0.975]))


def test_paired_images_leave_a_narrow_interval():
    """The difficulty of an image moves both scores alike, so it cancels."""
    first, second = matrices(30, 0.80), matrices(30, 0.82)
    low, high = difference_interval(first, second)
    assert 0 < low < miou(second) - miou(first) < high
    unpaired_low, unpaired_high = difference_interval(first, second[::-1])
    assert high - low < (unpaired_high - unpaired_low) / 3


def test_nothing_changed():
    same = matrices(5, 0.8)
    assert difference_interval(same, same) == (0.0, 0.0)


def test_a_class_that_few_images_hold():
    """A draw without that class averages over the others, and gives no NaN."""
    first = matrices(6, 0.8)
    for matrix in first[1:]:
        matrix[3], matrix[:, 3] = 0, 0
    low, high = difference_interval(first, first)
    assert (low, high) == (0.0, 0.0)


@pytest.mark.filterwarnings("error")
def test_all_void():
    void = [np.zeros((3, 3), np.int64)] * 4
    assert difference_interval(void, void) == (0.0, 0.0)
    some = [*void[:3], np.eye(3, dtype=np.int64)]
    low, high = difference_interval(some, some)
    assert (low, high) == (0.0, 0.0)


def test_interval_of_a_mean_as_a_plain_loop(monkeypatch):
    monkeypatch.setattr(resample, "NUM_DRAWS", 40)
    values = [0.1, -0.3, 0.7, 0.2]
    rng = np.random.default_rng(3)
    means = [np.mean(np.repeat(values, times)) for times in rng.multinomial(4, [0.25] * 4, size=40)]
    found = resample.mean_interval(values, seed=3)
    assert found == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert resample.mean_interval([0.25]) == (0.25, 0.25)
    with pytest.raises(SettingsError, match="one value or more"):
        resample.mean_interval([])


def test_other_numbers_of_images():
    with pytest.raises(SettingsError, match="found 2 and 3"):
        difference_interval(matrices(2, 0.5), matrices(3, 0.5))
    with pytest.raises(SettingsError, match="found 0 and 0"):
        difference_interval([], [])


def test_several_trainings_share_their_draws(monkeypatch):
    monkeypatch.setattr(resample, "NUM_DRAWS", 40)
    first = [matrices(6, 0.80, seed) for seed in (0, 1)]
    second = [matrices(6, 0.88, seed) for seed in (0, 1)]
    rng = np.random.default_rng(9)
    differences = []
    for times in rng.multinomial(6, np.full(6, 1 / 6), size=40):
        places = np.repeat(np.arange(6), times)
        means = [np.mean([miou([one[i] for i in places]) for one in part])
                 for part in (first, second)]  # fmt: skip
        differences.append(means[1] - means[0])
    stacks = [
        [np.array([overlaps(matrix) for matrix in one]) for one in part] for part in (first, second)
    ]
    low, high = resample.mean_difference_interval(*stacks, seed=9)
    assert [low, high] == pytest.approx(np.quantile(differences, [0.025, 0.975]))
    with pytest.raises(SettingsError, match=r"same images of all, found 6 and 6 and 5"):
        resample.mean_difference_interval([stacks[0][0]], [stacks[0][1], stacks[1][0][:5]])


def test_spread_between_trainings():
    """Student's t of tables: 12.706 for one degree of freedom, 4.303 for two."""
    assert resample.spread_interval([0.5]) is None
    assert resample.spread_interval([0.0, 1.0]) == pytest.approx(
        (0.5 - 12.706 / 2, 0.5 + 12.706 / 2), abs=1e-3
    )
    reach = 4.303 * 0.1 / 3**0.5
    assert resample.spread_interval([0.1, 0.2, 0.3]) == pytest.approx(
        (0.2 - reach, 0.2 + reach), abs=1e-4
    )


def test_mean_iou_of_counts():
    some = matrices(5, 0.7)
    counts = np.array([overlaps(matrix) for matrix in some])
    assert resample.mean_iou_of(counts) == pytest.approx(miou(some))
    assert resample.mean_iou_of(np.zeros((2, 2, 4), np.int64)) is None
