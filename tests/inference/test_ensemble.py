from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from inference.support import CPU, PLAIN, THREE, ByColor, random_photo, wrap
from upscore.core.labels import Labels
from upscore.crf.settings import crf_settings
from upscore.errors import DataError, SettingsError
from upscore.inference import test_time_augmentation as tta
from upscore.inference.ensemble import Ensemble
from upscore.inference.instance_wise import PAPER, InstanceWise
from upscore.inference.refine import Refine
from upscore.inference.tiles import Tiled
from upscore.proposals.base import Proposals

NAMES = ["ground", "tree", "sky"]


class Says:
    """A segmenter with random scores of its own, in any order of the classes."""

    def __init__(self, seed: int, names=NAMES) -> None:
        self.labels = Labels.of(names)
        self.seed = seed

    def scores(self, image):
        shape = (len(NAMES), *image.shape[:2])
        scores = np.random.default_rng(self.seed).normal(size=shape).astype(np.float32)
        return np.ascontiguousarray(scores[[NAMES.index(name) for name in self.labels.names]])

    def probabilities(self, image):
        exp = np.exp(self.scores(image))
        return exp / exp.sum(axis=0)

    def predict(self, image):
        return self.scores(image).argmax(axis=0).astype(np.uint8)


def softmax64(scores: np.ndarray) -> np.ndarray:
    exp = np.exp(scores - scores.max(axis=0))
    return exp / exp.sum(axis=0)


@pytest.fixture
def members() -> list[Says]:
    return [Says(1), Says(2), Says(3)]


def check(ensemble: Ensemble, photo, want: np.ndarray) -> None:
    got = ensemble.probabilities(photo)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=1e-6)
    np.testing.assert_allclose(
        softmax64(ensemble.scores(photo).astype(np.float64)), want, atol=1e-6
    )
    assert np.array_equal(ensemble.predict(photo), got.argmax(axis=0))


@pytest.mark.parametrize("size", [(12, 17), (1, 1)])
def test_mean(members, size):
    photo = random_photo(*size)
    want = np.mean([member.probabilities(photo).astype(np.float64) for member in members], axis=0)
    check(Ensemble(members), photo, want)


def test_weighted(members, photo):
    parts = [member.probabilities(photo).astype(np.float64) for member in members]
    want = (1 * parts[0] + 0 * parts[1] + 3 * parts[2]) / 4
    check(Ensemble(members, combine="weighted", weights=[1, 0, 3]), photo, want)
    check(Ensemble(members, combine="weighted", weights=[0.5, 0, 1.5]), photo, want)


def test_product(members, photo):
    parts = [member.scores(photo).astype(np.float64) for member in members]
    want = softmax64(np.prod([np.maximum(part, 0) for part in parts], axis=0))
    check(Ensemble(members, combine="product"), photo, want)


@pytest.mark.parametrize("combine", ["mean", "product"])
def test_members_with_another_order_of_classes(photo, combine):
    turned = Says(2, ["sky", "ground", "tree"])
    ensemble = Ensemble([Says(1), turned], combine=combine)
    want = Ensemble([Says(1), Says(2)], combine=combine)
    assert ensemble.labels == Labels.of(NAMES)
    np.testing.assert_allclose(ensemble.probabilities(photo), want.probabilities(photo), atol=1e-6)
    assert not np.array_equal(turned.scores(photo), Says(2).scores(photo))
    other_first = Ensemble([turned, Says(1)], combine=combine)
    assert other_first.labels.names == ("sky", "ground", "tree")
    np.testing.assert_allclose(
        other_first.probabilities(photo)[[1, 2, 0]], want.probabilities(photo), atol=1e-6
    )


def test_one_member_is_itself(photo):
    member = Says(4)
    assert np.array_equal(Ensemble([member]).probabilities(photo), member.probabilities(photo))
    assert np.array_equal(Ensemble([member]).predict(photo), member.predict(photo))


@pytest.mark.parametrize(("combine", "needs"), [("mean", "probabilities"), ("product", "scores")])
def test_merge_of_what_members_give_is_the_same_and_leaves_it_alone(members, photo, combine, needs):
    ensemble = Ensemble(members, combine=combine)
    assert ensemble.needs == needs
    outputs = [getattr(member, needs)(photo) for member in members]
    before = [output.copy() for output in outputs]
    merged = ensemble.merge(outputs)
    assert np.array_equal(merged, ensemble.probabilities(photo))
    assert all(np.array_equal(a, b) for a, b in zip(outputs, before, strict=True))
    single = Ensemble(members[:1], combine=combine)
    merged = single.merge(outputs[:1])
    merged[:] = 7
    assert np.array_equal(outputs[0], before[0])


class OneBox:
    def __call__(self, image, *, name=""):  # noqa: ARG002
        return Proposals(np.array([[4, 4, 20, 20]], np.float32), np.ones(1, np.float32))

    def settings(self):
        return {"kind": "OneBox"}


def instance_wise(**changes) -> InstanceWise:
    settings = PAPER.model_copy(update={"input_size": (16, 16), "growth": 1.0, **changes})
    return InstanceWise(nn.Conv2d(3, 3, 3, padding=1), THREE, PLAIN, CPU, OneBox(),
                        settings=settings)  # fmt: skip


def test_where_no_box_is_the_other_member_decides(by_color, photo):
    labels = Ensemble([instance_wise(), by_color]).predict(photo)
    outside = np.ones((48, 64), bool)
    outside[4:20, 4:20] = False
    assert np.array_equal(labels[outside], by_color.predict(photo)[outside])
    assert set(np.unique(labels[outside])) > {0}
    product = Ensemble([instance_wise(), by_color], combine="product")
    assert (product.predict(photo)[outside] == 0).all()  # as in the release
    np.testing.assert_allclose(product.probabilities(photo)[:, outside], 1 / 3, rtol=1e-6)


def test_ensembles_within_ensembles(members, photo):
    inner = Ensemble(members[:2])
    want = np.mean([inner.probabilities(photo), members[2].probabilities(photo)], axis=0)
    check(Ensemble([inner, members[2]]), photo, want.astype(np.float64))
    check(Ensemble([Ensemble(members[:2], combine="product"), members[2]], combine="product"),
          photo, Ensemble(members, combine="product").probabilities(photo))  # fmt: skip


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["ground", "tree"], "member 2 .* it lacks sky; expected networks trained on the same"),
        ([*NAMES, "cow"], "member 2 .* it has cow, which member 1 lacks"),
        (["ground", "trees", "sky"], "it lacks tree and has trees, which member 1 lacks"),
    ],
)
def test_members_with_other_classes_are_refused_by_name(names, message):
    with pytest.raises(SettingsError, match=message):
        Ensemble([Says(1), Says(2, names)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"combine": "median"}, "combine is 'median'; allowed: mean, weighted, product"),
        ({"weights": [1, 1, 1]}, "weights are given .* combines by mean; set combine: weighted"),
        ({"combine": "weighted"}, r"3 members has none weights; expected one for each"),
        ({"combine": "weighted", "weights": [1, 2]}, "3 members has 2 weights"),
        (
            {"combine": "weighted", "weights": [1, -1, 1]},
            r"are \[1, -1, 1\]; expected numbers of 0",
        ),
        ({"combine": "weighted", "weights": [0, 0, 0]}, "one at least above 0"),
        ({"combine": "weighted", "weights": [1, float("nan"), 1]}, "nan"),
    ],
)
def test_impossible_ways_to_combine_are_refused(members, options, message):
    with pytest.raises(SettingsError, match=message):
        Ensemble(members, **options)


def test_no_member_is_refused():
    with pytest.raises(SettingsError, match="has no members; expected one or more"):
        Ensemble([])


@pytest.mark.parametrize(
    "member",
    [
        tta.TestTimeAugmentation(ByColor(), flip=True),
        Refine(ByColor(), crf_settings("deconvnet").build()),
        Tiled(tta.TestTimeAugmentation(ByColor()), tile=128),
        Ensemble([ByColor()]),
        instance_wise(softmax="before"),
    ],
    ids=lambda member: type(member).__name__,
)
def test_a_product_of_logarithms_is_refused(member):
    Ensemble([member, member])
    with pytest.raises(SettingsError, match=r"member 2 .* logarithms of probabilities"):
        Ensemble([wrap(nn.Conv2d(3, 3, 1)), member], combine="product")


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(3, 4, 4)], "3 members was given 1 outputs"),
        ([], "was given 0 outputs"),
        ([(3, 4, 4)] * 4, "was given 4 outputs"),
        ([(3, 4, 4), (3, 4, 5), (3, 4, 4)], r"member 2 .* shape \(3, 4, 5\); expected \(3, 4, 4\)"),
        ([(4, 4, 4)] * 3, r"member 1 .* shape \(4, 4, 4\); expected \(3, 4, 4\)"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(members, shapes, message):
    with pytest.raises(DataError, match=message):
        Ensemble(members).merge([np.zeros(shape, np.float32) for shape in shapes])


def test_what_is_no_image_is_refused(members):
    for method in ("scores", "probabilities", "predict"):
        with pytest.raises(DataError, match="dtype float64"):
            getattr(Ensemble(members), method)(np.zeros((3, 3, 3)))
