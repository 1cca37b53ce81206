from __future__ import annotations

import copy
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from inference.support import CPU, PLAIN, THREE, random_photo
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.runtime import Runtime
from upscore.core.settings import build
from upscore.edges.detectors import GradientEdges
from upscore.errors import DataError, RunError, SettingsError
from upscore.inference.crop_resize import extract_crops
from upscore.inference.instance_wise import (
    PAPER,
    PRESETS,
    RELEASED,
    InstanceSettings,
    InstanceWise,
)
from upscore.models.factory import create_model
from upscore.proposals import deconvnet_boxes
from upscore.proposals.base import Proposals
from upscore.proposals.deconvnet_boxes import whole_pixels
from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

SIZE = (20, 24)
SMALL = PAPER.model_copy(update={"input_size": SIZE, "batch": 4})

# inside, over each border, one pixel, thin, beside the photo in two places, the photo and more
BOXES = [
    (5, 6, 41, 39), (-12, 3, 20, 30), (40, 20, 80, 44), (30, -10, 50, 12), (25, 30, 47, 61),
    (11, 12, 12, 13), (2, 20, 60, 23), (70, 2, 90, 20), (10.4, 3.7, 33.2, 17.1),
    (-30, -30, -12, -12), (-8, -8, 72, 56),
]  # fmt: skip


class Fixed:
    """A source that has the same boxes for every photo."""

    def __init__(self, boxes) -> None:
        self.boxes = np.array(boxes, np.float32).reshape(-1, 4)

    def __call__(self, image, *, name=""):  # noqa: ARG002
        return Proposals(self.boxes, np.linspace(1, 0, len(self.boxes), dtype=np.float32))

    def settings(self):
        return {"kind": "Fixed"}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Scores of both signs that depend on the place in the crop."""
    torch.manual_seed(5)
    model = nn.Conv2d(3, 3, 5, padding=2)
    with torch.no_grad():
        model.weight.mul_(3)
        model.bias.copy_(torch.tensor([0.2, -0.4, -0.1]))
    return model


def build_it(network, boxes=BOXES, settings=SMALL, **changes) -> InstanceWise:
    return InstanceWise(
        network, THREE, PLAIN, CPU, Fixed(boxes), settings=settings.model_copy(update=changes)
    )


def back(scores: torch.Tensor, size: tuple[int, int], antialias: bool) -> np.ndarray:
    y = F.interpolate(scores, size=size, mode="bilinear", align_corners=False, antialias=antialias)
    return y[0].numpy()


def brute_force(network, photo, boxes, settings: InstanceSettings) -> np.ndarray:
    """The aggregate, from a full-size float64 map of each box: zero, or NaN, outside of it."""
    height, width, _ = photo.shape
    model = copy.deepcopy(network).double().eval()
    outside = 0.0 if settings.start == "zero" else np.nan
    maps = []
    windows = [whole_pixels(box) for box in boxes]
    if settings.whole_image:
        windows.append((0, 0, width, height))
    for x1, y1, x2, y2 in windows:
        (seen,) = extract_crops(
            photo, [(x1, y1, x2, y2)], settings.input_size, antialias=settings.antialias
        )
        with torch.no_grad():
            scores = model(torch.from_numpy(seen).permute(2, 0, 1)[None].double() / 255)
            if settings.softmax == "before":
                scores = scores.softmax(dim=1)
        full = back(scores, (y2 - y1, x2 - x1), settings.antialias)
        map_ = np.full((3, height, width), outside)
        for y in range(height):
            for x in range(width):
                if y1 <= y < y2 and x1 <= x < x2:
                    map_[:, y, x] = full[:, y - y1, x - x1]
        maps.append(map_)
    if not maps:
        return np.zeros((3, height, width))
    stack = np.stack(maps)
    if settings.start == "zero" and settings.aggregate == "max":
        stack = np.concatenate([stack, np.zeros_like(stack[:1])])
    if settings.start == "covered":
        nothing = np.isnan(stack).all(axis=0)
        stack[:, nothing] = 0  # else numpy warns
    combine = {"max": np.nanmax, "sum": np.nansum, "mean": np.nanmean}[settings.aggregate]
    return combine(stack, axis=0)


def softmax64(scores: np.ndarray) -> np.ndarray:
    exp = np.exp(scores - scores.max(axis=0))
    return exp / exp.sum(axis=0)


@pytest.mark.parametrize("start", ["zero", "covered"])
@pytest.mark.parametrize("aggregate", ["max", "sum", "mean"])
@pytest.mark.parametrize("antialias", [True, False])
def test_aggregates_are_those_of_full_maps(network, photo, aggregate, start, antialias):
    segmenter = build_it(network, aggregate=aggregate, start=start, antialias=antialias)
    boxes = segmenter.boxes(photo).boxes
    want = brute_force(network, photo, boxes, segmenter.settings)
    got = segmenter.scores(photo)
    assert got.shape == (3, 48, 64)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_allclose(got, want, atol=2e-5)
    np.testing.assert_allclose(segmenter.probabilities(photo), softmax64(want), atol=1e-5)
    assert np.array_equal(segmenter.predict(photo), got.argmax(axis=0))


@pytest.mark.parametrize("aggregate", ["max", "sum", "mean"])
@pytest.mark.parametrize("start", ["zero", "covered"])
def test_softmax_before_aggregation(network, photo, aggregate, start):
    segmenter = build_it(network, BOXES[:6], aggregate=aggregate, start=start, softmax="before")
    boxes = segmenter.boxes(photo).boxes
    sums = brute_force(network, photo, boxes, segmenter.settings)
    total = sums.sum(axis=0)
    assert (total == 0).any()  # some pixels are in no box
    want = np.where(total > 0, sums / np.where(total > 0, total, 1), 1 / 3)
    got = segmenter.probabilities(photo)
    np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_allclose(np.exp(segmenter.scores(photo)), got, atol=1e-6)
    assert np.array_equal(segmenter.predict(photo)[total == 0], np.zeros((total == 0).sum()))
    assert (segmenter.predict(photo) == got.argmax(axis=0)).mean() > 0.999


def test_the_photo_as_one_more_proposal(network, photo):
    settings = SMALL.model_copy(update={"whole_image": True, "top": 2, "aggregate": "sum"})
    segmenter = build_it(network, settings=settings)
    boxes = segmenter.boxes(photo).boxes
    assert len(boxes) == 2
    want = brute_force(network, photo, boxes, settings)
    np.testing.assert_allclose(segmenter.scores(photo), want, atol=2e-5)
    alone = build_it(network, [], settings)
    np.testing.assert_allclose(alone.scores(photo), brute_force(network, photo, [], settings),
                               atol=2e-5)  # fmt: skip


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (50, 2)])
def test_tiny_photos(network, size):
    photo = random_photo(*size)
    segmenter = build_it(network, [(0, 0, 1, 1), (0, 0, size[1], size[0]), (-3, -3, 9, 4)])
    want = brute_force(network, photo, segmenter.boxes(photo).boxes, SMALL)
    np.testing.assert_allclose(segmenter.scores(photo), want, atol=2e-5)
    assert segmenter.predict(photo).shape == size


@pytest.mark.parametrize(
    "boxes", [[], [(100, 100, 120, 130), (-50, -50, -30, -30)]], ids=["none", "outside"]
)
@pytest.mark.parametrize("softmax", ["after", "before"])
@pytest.mark.parametrize("aggregate", ["max", "sum", "mean"])
@pytest.mark.parametrize("start", ["zero", "covered"])
def test_without_a_box_every_class_is_as_likely_and_the_label_background(
    network, photo, boxes, softmax, aggregate, start
):
    segmenter = build_it(network, boxes, softmax=softmax, aggregate=aggregate, start=start)
    np.testing.assert_allclose(segmenter.probabilities(photo), 1 / 3, rtol=1e-6)
    assert (segmenter.predict(photo) == 0).all()
    assert np.isfinite(segmenter.scores(photo)).all()
    for _, probabilities in segmenter.steps(photo, [1, 5]):
        np.testing.assert_allclose(probabilities, 1 / 3, rtol=1e-6)


def test_a_box_beside_the_photo_keeps_the_network_idle(photo):
    class Counting(nn.Module):
        seen = 0

        def forward(self, x):
            Counting.seen += len(x)
            return x

    build_it(Counting(), BOXES).predict(photo)
    assert Counting.seen == len(BOXES) - 2


def test_pixels_that_no_box_covers_are_background(network, photo):
    segmenter = build_it(network, [(20, 10, 30, 20)], start="covered")
    labels, probabilities = segmenter.predict(photo), segmenter.probabilities(photo)
    x1, y1, x2, y2 = whole_pixels(segmenter.boxes(photo).boxes[0])
    outside = np.ones((48, 64), bool)
    outside[y1:y2, x1:x2] = False
    assert (labels[outside] == 0).all()
    np.testing.assert_allclose(probabilities[:, outside], 1 / 3, rtol=1e-6)
    assert np.abs(probabilities[:, ~outside] - 1 / 3).max() > 0.01


# -- presets -------------------------------------------------------------------------------------


def dense_resize(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """MATLAB's imresize of (h, w, C), "bilinear": a matrix of triangle weights for each axis."""

    def matrix(source: int, target: int) -> np.ndarray:
        scale = source / target
        width = max(scale, 1.0)
        centre = (np.arange(target)[:, None] + 0.5) * scale
        weights = np.maximum(0, 1 - np.abs(np.arange(source)[None] + 0.5 - centre) / width)
        return weights / weights.sum(axis=1, keepdims=True)

    rows = matrix(array.shape[0], size[0])
    columns = matrix(array.shape[1], size[1])
    return np.einsum("yi,ijc,xj->yxc", rows, array.astype(np.float64), columns)


def as_released(network, photo, boxes, size, *, shift: bool, top: int = 50) -> np.ndarray:
    """generate_EDeconvNet_CRF_results.m, as deconvnet-reference.md section 7 tells it.

    ``boxes`` xyxy, not grown; the release read squares that had grown, in a padded photo.
    """
    height, width, _ = photo.shape
    padded = np.zeros((height + 2 * width, width + 2 * height, 3))
    padded[width : width + height, height : height + width] = photo
    canvas = np.zeros((*padded.shape[:2], 3))
    model = copy.deepcopy(network).double().eval()
    processed = 0
    for x1, y1, x2, y2 in boxes:
        side = 1.2 * max(x2 - x1, y2 - y1)
        left, top_ = (x1 + x2) / 2 - side / 2, (y1 + y2) / 2 - side / 2
        if side < 112:
            continue
        if processed == top:
            break
        processed += 1
        # 1-based, both ends inside, in the padded photo
        first_column = int(np.floor(left + 0.5)) + height + 1
        first_row = int(np.floor(top_ + 0.5)) + width + 1
        last_column = int(np.floor(left + side + 0.5)) + height
        last_row = int(np.floor(top_ + side + 0.5)) + width
        part = np.s_[first_row - 1 : last_row, first_column - 1 : last_column]
        crop = np.floor(dense_resize(padded[part], size) + 0.5) / 255
        with torch.no_grad():
            scores = model(torch.from_numpy(crop).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
        canvas[part] = np.maximum(
            canvas[part], dense_resize(scores.numpy(), canvas[part].shape[:2])
        )
    first_row, first_column = (width, height) if shift else (width + 1, height + 1)  # 1-based
    answer = canvas[first_row - 1 : first_row - 1 + height, first_column - 1 :][:, :width]
    return answer.transpose(2, 0, 1)


RELEASED_BOXES = [
    (40, -132, 160, -12),  # grown, it ends where the photo begins: only a shift shows it
    (20, 30, 140, 100), (100, 60, 199, 149), (3, 3, 60, 70), (-5, 40, 90, 150), (60, 10, 155, 51),
    (110, 20, 200, 110), (40, 45, 161, 133),
]  # fmt: skip


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("top", [50, 3])
def test_released_is_what_the_released_code_does(network, shift, top):
    photo = random_photo(150, 200)
    settings = RELEASED.model_copy(
        update={"input_size": (32, 32), "released_shift": shift, "top": top}
    )
    segmenter = build_it(network, RELEASED_BOXES, settings)
    assert len(segmenter.boxes(photo)) == min(6, top)  # two are too small
    want = as_released(network, photo, RELEASED_BOXES, (32, 32), shift=shift, top=top)
    got = segmenter.scores(photo)
    assert got.min() == 0
    assert np.abs(got - want).max() < 0.03  # a crop's bytes may be rounded the other way
    np.testing.assert_allclose(got, want, atol=1e-3 * np.abs(want).max() + 5e-3)
    other = as_released(network, photo, RELEASED_BOXES, (32, 32), shift=not shift, top=top)
    assert np.abs(got - other).max() > 0.1  # a pixel matters


def test_presets_share_the_rules_of_the_boxes():
    assert PRESETS == {"paper": PAPER, "released": RELEASED}
    assert PAPER.box_rule() == deconvnet_boxes.PAPER
    assert RELEASED.box_rule() == deconvnet_boxes.RELEASED
    assert PAPER.box_rule(top=7) == replace(deconvnet_boxes.PAPER, top=7)
    assert InstanceSettings() == PAPER
    different = {name for name in InstanceSettings.model_fields
                 if getattr(PAPER, name) != getattr(RELEASED, name)}  # fmt: skip
    assert different == {"square", "min_side"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"top": 0}, r"top: .*greater than or equal to 1 \(found 0\)"),
        ({"growth": 0}, "growth: .*greater than 0"),
        ({"aggregate": "median"}, "aggregate: .*'max', 'sum' or 'mean'"),
        ({"start": "one"}, "start: .*'zero' or 'covered'"),
        ({"softmax": True}, "softmax: .*'after' or 'before'"),
        ({"input_size": [0, 224]}, r"input_size\.0: .*greater than or equal to 1"),
        ({"input_size": [224]}, "input_size"),
        ({"batch": 0}, "batch: "),
        ({"min_side": -1}, "min_side: "),
        ({"agregate": "max"}, "unknown setting 'agregate'; did you mean 'aggregate'"),
    ],
)
def test_impossible_settings_are_refused(content, message):
    with pytest.raises(SettingsError, match=message):
        build(InstanceSettings, content, "pipeline.yaml")


# -- batches, steps, memory ----------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 3, 50])
def test_the_size_of_batches_does_not_matter(network, photo, batch):
    want = build_it(network, batch=5).scores(photo)
    np.testing.assert_allclose(build_it(network, batch=batch).scores(photo), want, atol=1e-6)


@pytest.mark.parametrize("whole_image", [False, True])
@pytest.mark.parametrize("aggregate", ["max", "sum", "mean"])
@pytest.mark.parametrize("start", ["zero", "covered"])
def test_steps_are_runs_of_their_own(network, photo, aggregate, start, whole_image):
    changes = {"aggregate": aggregate, "start": start, "whole_image": whole_image, "batch": 3}
    segmenter = build_it(network, top=4, **changes)
    steps = dict(segmenter.steps(photo, [5, 1, 3, 5, 9, 60]))
    assert list(steps) == [1, 3, 5, 9, 60]
    for count, got in steps.items():
        want = build_it(network, top=count, **changes).probabilities(photo)
        np.testing.assert_allclose(got, want, atol=1e-6)
    assert not np.allclose(steps[1], steps[3])
    assert not np.allclose(steps[5], steps[60])


@pytest.mark.parametrize("top", [3, 50])
def test_steps_from_the_largest_box_on(network, photo, top):
    """After k boxes, the answer is that of the k largest of the ``top`` best, given alone."""
    segmenter = build_it(network, top=top, batch=3)
    boxes = sorted(
        segmenter.boxes(photo).boxes.tolist(), key=lambda b: -(b[2] - b[0]) * (b[3] - b[1])
    )
    assert boxes != segmenter.boxes(photo).boxes.tolist()
    steps = dict(segmenter.steps(photo, [1, 2, 20], order="size"))
    assert list(steps) == [1, 2, 20]
    for count, got in steps.items():
        few = boxes[:count]
        alone = build_it(network, boxes=few, top=50, growth=1.0)
        np.testing.assert_allclose(got, alone.probabilities(photo), atol=1e-6)
    np.testing.assert_allclose(steps[20], segmenter.probabilities(photo), atol=1e-6)


def test_each_step_is_an_array_of_its_own(network, photo):
    segmenter = build_it(network)
    later = [got for _, got in segmenter.steps(photo, [1, 5, 50])]
    at_once = [got.copy() for _, got in segmenter.steps(photo, [1, 5, 50])]
    assert all(np.array_equal(a, b) for a, b in zip(later, at_once, strict=True))


def test_steps_take_one_pass(photo):
    class Counting(nn.Module):
        seen = 0

        def forward(self, x):
            Counting.seen += len(x)
            return x

    list(build_it(Counting()).steps(photo, [1, 2, 3, 50]))
    assert Counting.seen == len(BOXES) - 2


@pytest.mark.parametrize(
    ("counts", "message"),
    [([], "counts of boxes are empty"), ([1, 0], "hold 0; expected"), ([-3], "hold -3")],
)
def test_impossible_steps_are_refused(network, photo, counts, message):
    with pytest.raises(SettingsError, match=message):
        list(build_it(network).steps(photo, counts))


def test_scores_of_earlier_boxes_are_not_kept(photo):
    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.outputs = []
            self.most = 0

        def forward(self, x):
            out = x.clone()
            self.outputs.append(weakref.ref(out.untyped_storage()))
            self.most = max(self.most, sum(one() is not None for one in self.outputs))
            return out

    model = Watching()
    segmenter = build_it(model, BOXES * 10, batch=1, top=200)
    watching = segmenter.network.model
    segmenter.predict(photo)
    assert len(watching.outputs) == 90
    assert watching.most <= 2


def test_a_batch_is_never_larger_than_asked_and_batches_are_even(photo):
    class Sizes(nn.Module):
        seen: list[int] = []  # noqa: RUF012

        def forward(self, x):
            Sizes.seen.append(len(x))
            return x

    build_it(Sizes(), BOXES[:6] * 8, batch=5, top=47).predict(photo)
    assert sum(Sizes.seen) == 47
    assert set(Sizes.seen) == {4, 5}


# -- the network ---------------------------------------------------------------------------------


def test_deconvnet_on_edge_boxes(photo):
    torch.manual_seed(0)
    model = create_model("deconvnet", num_classes=3, width=1 / 16, fc_width=32)
    photo = random_photo(96, 128)
    segmenter = InstanceWise(
        model, THREE, InputSpec.named("imagenet"), CPU, EdgeBoxes(GradientEdges(), max_boxes=100),
        settings=PAPER.model_copy(update={"input_size": (64, 64), "top": 7}),
    )  # fmt: skip
    assert model.training
    assert len(segmenter.boxes(photo)) == 7
    probabilities = segmenter.probabilities(photo)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)


def test_bf16_is_close_to_fp32(network, photo):
    want = build_it(network).scores(photo)
    half = InstanceWise(network, THREE, PLAIN, Runtime("cpu", "bf16"), Fixed(BOXES), settings=SMALL)
    got = half.scores(photo)
    assert got.dtype == np.float32
    assert np.abs(got - want).max() < 0.02 * np.abs(want).max()


def test_views_and_read_only_photos(network, photo):
    segmenter = build_it(network)
    turned = photo[:, ::-1]
    want = segmenter.scores(np.ascontiguousarray(turned))
    assert np.array_equal(segmenter.scores(turned), want)
    photo.flags.writeable = False
    segmenter.predict(photo)


def test_what_is_no_image_is_refused(network):
    segmenter = build_it(network)
    for method in (segmenter.scores, segmenter.probabilities, segmenter.predict, segmenter.boxes):
        with pytest.raises(DataError, match="dtype float64"):
            method(np.zeros((4, 4, 3)))


def test_another_number_of_classes_is_refused(network, photo):
    segmenter = InstanceWise(
        network, Labels.of(["a", "b"]), PLAIN, CPU, Fixed(BOXES), settings=SMALL
    )
    with pytest.raises(RunError, match=r"shape \(3, 3, 20, 24\) .* its 2 classes"):
        segmenter.predict(photo)
