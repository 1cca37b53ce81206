"""Verdicts on the paper's sentences, and the counts behind them, against slow references."""

from __future__ import annotations

import numpy as np
import pytest

from upscore.core.labels import VOC_LABELS, VOID, Labels
from upscore.data.pair import Pair
from upscore.errors import DataError
from upscore.metrics import bootstrap as resample
from upscore.metrics.boundary import BoundaryF, BoundaryIoU
from upscore.metrics.confusion import count, mean_iou
from upscore.reproduce import deconvnet_checks
from upscore.reproduce.class_groups import GROUPS, group_boundaries, group_table, groups_of
from upscore.reproduce.deconvnet_pictures import example_groups
from upscore.reproduce.deconvnet_stages import TITLES
from upscore.reproduce.differences import significant
from upscore.reproduce.ensemble_gains import gains
from upscore.reproduce.labelling import LabelStore


class Store:
    """Label maps in memory, as a LabelStore has them; ``broken`` photos have no truth."""

    def __init__(self, labels, truths, stages, broken=()):
        self.split = self
        self.labels = labels
        self.pairs = [Pair(f"photo{place}", None, None) for place in range(len(truths))]
        self._truths, self._stages, self._broken = truths, stages, broken

    complete = LabelStore.complete

    def __len__(self):
        return len(self._truths)

    def read_labels(self, place):
        if place in self._broken:
            raise DataError("cannot be read")
        return self._truths[place]

    def read(self, stage, place):
        return self._stages[stage][place]


def photos(num, *, num_classes, size=(24, 30), seed=0):
    """Label maps of rectangles on class 0."""
    rng = np.random.default_rng(seed)
    made = []
    for place in range(num):
        labels = np.zeros(size, np.uint8)
        for k in range(3):
            y, x = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
            labels[y : y + 8, x : x + 8] = (place + k) % (num_classes - 1) + 1
        labels[:, -1] = VOID
        made.append(labels)
    return made


def worse(truths, share, seed=1):
    """The same with some pixels of another class."""
    rng = np.random.default_rng(seed)
    made = []
    for truth in truths:
        labels = np.where(truth == VOID, np.uint8(0), truth)
        noise = rng.random(labels.shape) < share
        made.append(np.where(noise, np.uint8(0), labels))
    return made


# -- the ensemble's gain and the CRF's ---------------------------------------------------------


TRUTHS = photos(12, num_classes=4)
FOUR = Labels.of(["background", "cat", "dog", "car"])


def gained(network, crf, ensemble, **more):
    stages = {"net": network, "crf": crf, "both": ensemble}
    return gains(Store(FOUR, TRUTHS, stages, **more), network="net", crf="crf", ensemble="both")


def test_difference_of_gains_is_that_of_each_draw(monkeypatch):
    monkeypatch.setattr(resample, "NUM_DRAWS", 60)
    network, crf, ensemble = (
        worse(TRUTHS, share, seed) for seed, share in enumerate((0.4, 0.3, 0.1))
    )
    found = gained(network, crf, ensemble, broken=(5,))
    kept = [place for place in range(12) if place != 5]

    def miou(maps, places):
        return mean_iou(sum(count(TRUTHS[p], maps[p], 4) for p in places))

    def both_gains(places):
        base = miou(network, places)
        return miou(ensemble, places) - base, miou(crf, places) - base

    of_ensemble, of_crf = both_gains(kept)
    assert found["ensemble"]["difference"]["miou"] == pytest.approx(of_ensemble)
    assert found["crf"]["difference"]["miou"] == pytest.approx(of_crf)
    assert found["more"]["difference"]["miou"] == pytest.approx(of_ensemble - of_crf)
    draws = []
    for times in np.random.default_rng(0).multinomial(11, np.full(11, 1 / 11), size=60):
        places = [p for p, n in zip(kept, times, strict=True) for _ in range(n)]
        first, second = both_gains(places)
        draws.append(first - second)
    low, high = np.quantile(draws, [0.025, 0.975])
    assert found["more"]["difference"]["low"] == pytest.approx(low)
    assert found["more"]["difference"]["high"] == pytest.approx(high)


@pytest.mark.parametrize(
    ("crf", "ensemble", "agrees"),
    [
        (0.35, 0.1, True),
        (0.1, 0.35, False),  # both gain, the CRF more
        (0.2, 0.2, None),
    ],
)
def test_whether_the_ensemble_gains_more(crf, ensemble, agrees):
    found = gained(worse(TRUTHS, 0.4, 1), worse(TRUTHS, crf, 2), worse(TRUTHS, ensemble, 3))
    assert found["ensemble"]["difference"]["low"] > 0
    assert found["crf"]["difference"]["low"] > 0
    check = deconvnet_checks.gains_check({**found, "network": "fcn8s"})
    assert check.agrees is agrees
    assert "over FCN-8s" in check.found


def test_no_photo_leaves_gains_unknown():
    found = gained(TRUTHS, TRUTHS, TRUTHS, broken=range(12))
    check = deconvnet_checks.gains_check({**found, "network": "deconvnet"})
    assert check.agrees is None
    assert "missing" in check.found


# -- boundaries of groups of classes -----------------------------------------------------------


def test_classes_of_the_groups_in_voc_and_msrc():
    assert groups_of(VOC_LABELS) == {
        "person": [15],
        "animals": [3, 8, 10, 12, 13, 17],
        "vehicles": [1, 2, 4, 6, 7, 14, 19],
    }
    names = (
        "building grass tree cow sheep sky aeroplane water face car bicycle flower sign bird book "
        "chair road cat dog body boat"  # of MSRC
    ).split()
    found = groups_of(Labels.of(names))
    assert {group: [names[i] for i in of] for group, of in found.items()} == {
        "person": ["face", "body"],
        "animals": ["bird", "cat", "cow", "dog", "sheep"],
        "vehicles": ["aeroplane", "bicycle", "boat", "car"],
    }
    assert groups_of(Labels.of(["background", "disc"])) == {}
    assert len({name for names in GROUPS.values() for name in names}) == sum(
        map(len, GROUPS.values())
    )


def test_boundaries_of_groups_by_hand(monkeypatch):
    monkeypatch.setattr(resample, "NUM_DRAWS", 50)
    labels = Labels.of(["background", "cat", "chair", "dog", "cow", "train"])
    truths = photos(9, num_classes=4)
    maps = {"fcn8s": worse(truths, 0.3, 1), "deconvnet": worse(truths, 0.1, 2)}
    maps["fcn8s"][0][0, 0] = 4  # said, never true: no member of the mean
    found = group_boundaries(Store(labels, truths, maps, broken=(2,)), ("fcn8s", "deconvnet"))
    assert list(found) == ["animals"]  # of the vehicle there is no pixel
    assert found["animals"]["classes"] == ["cat", "dog"]
    kept = [place for place in range(9) if place != 2]

    def score(kind, stage, places):
        one = kind(6)
        for place in places:
            one.update(truths[place], maps[stage][place])
        values = one.class_iou() if kind is BoundaryIoU else one.class_f()
        return np.mean([values[1], values[3]])

    for stage, of in found["animals"]["stages"].items():
        assert of["boundary_iou"] == pytest.approx(score(BoundaryIoU, stage, kept))
        assert of["boundary_f"] == pytest.approx(score(BoundaryF, stage, kept))
    draws = []
    for times in np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=50):
        places = [p for p, n in zip(kept, times, strict=True) for _ in range(n)]
        draws.append(score(BoundaryIoU, "deconvnet", places) - score(BoundaryIoU, "fcn8s", places))
    difference = found["animals"]["stages"]["deconvnet"]["difference"]
    assert found["animals"]["stages"]["fcn8s"]["difference"] is None
    assert [difference["low"], difference["high"]] == pytest.approx(
        np.quantile(draws, [0.025, 0.975])
    )
    table = group_table(found, TITLES)
    assert [row[:2] for row in table.rows] == [("animals", "FCN-8s"), ("animals", "DeconvNet")]
    assert "animals: cat, dog" in table.caption


@pytest.mark.parametrize(
    ("fcn", "deconvnet", "agrees"), [(0.3, 0.1, True), (0.1, 0.3, False), (0.2, 0.2, None)]
)
def test_whether_boundaries_of_a_group_gain(fcn, deconvnet, agrees):
    maps = {"fcn8s": worse(TRUTHS, fcn, 1), "deconvnet": worse(TRUTHS, deconvnet, 2)}
    found = group_boundaries(Store(FOUR, TRUTHS, maps), ("fcn8s", "deconvnet"))
    assert list(found) == ["animals", "vehicles"]
    for group, of in found.items():
        check = deconvnet_checks.boundary_check(group, of["stages"])
        assert check.agrees is agrees
        assert group in check.sentence


def test_without_a_group_nothing_is_counted():
    labels = Labels.of(["background", "disc", "ring", "bar"])
    store = Store(labels, TRUTHS, {})
    store.read_labels = None  # not even looked at
    assert group_boundaries(store, ("fcn8s", "deconvnet")) == {}


# -- proposals, and the photos of figure 7 -----------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "agrees"), [(0.1, 0.2, True), (-0.2, -0.1, False), (-0.1, 0.1, None)]
)
def test_whether_proposals_help(low, high, agrees):
    first = {"scores": {"miou": 0.1}, "difference": None}
    last = {"scores": {"miou": 0.2}, "difference": {"miou": 0.1, "low": low, "high": high}}
    content = {"contenders": [first, first, first, first, last]}
    check = deconvnet_checks.proposals_check("the best first", content)
    assert check.agrees is agrees
    assert check.found == "mIoU after 1: 0.100, 5: 0.100, 10: 0.100, 20: 0.100, 50: 0.200"
    assert significant(last, above=True) is agrees


def test_groups_of_figure_7():
    images = [
        {"name": name, "miou": list(values)}
        for name, values in {
            "even": (0.5, 0.5, 0.9, 0.5),
            "deconvnet": (0.2, 0.6, 0.9, 0.4),
            "more": (0.1, 0.8, 0.9, 0.8),
            "fcn": (0.6, 0.2, 0.9, 0.7),
            "void": (None, None, None, None),
        }.items()
    ]
    a, b, c = example_groups(images).values()
    assert [name for name, _ in a] == ["more", "deconvnet"]
    assert [margin for _, margin in a] == pytest.approx([0.7, 0.4])
    assert [name for name, _ in b] == ["fcn"]
    assert [name for name, _ in c] == ["fcn"]
    assert c[0][1] == pytest.approx(0.1)
