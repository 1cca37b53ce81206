"""A store as a source: what it holds, and what is computed for photos that it lacks."""

from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest

from inference.pipeline_world import make_store
from inference.support import random_photo
from upscore.edges.detectors import GradientEdges
from upscore.edges.learned import LearnedEdges
from upscore.errors import DataError, SettingsError
from upscore.proposals.cached_source import StoredOrMade, edge_boxes_of
from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes
from upscore.proposals.store import ProposalStore, plain_settings

HERE, ELSEWHERE = random_photo(40, 50), random_photo(44, 52, seed=1)
SOURCE = EdgeBoxes(GradientEdges(scales=(1.0, 2.0)), max_boxes=12, min_box_area=50, beta=0.6)


def stored(tmp_path, settings=None) -> ProposalStore:
    settings = SOURCE.settings() if settings is None else settings
    return ProposalStore.open(make_store(tmp_path / "b.parquet", {"é": HERE}, settings=settings))


def test_what_the_store_holds_comes_from_it(tmp_path, caplog):
    source = StoredOrMade(stored(tmp_path))
    with caplog.at_level(logging.INFO, "upscore.proposals"):
        found = source(HERE)
    assert np.array_equal(found.boxes, source.store.read("é").boxes)
    assert source.settings() == source.store.settings
    assert not caplog.records


def test_what_it_lacks_is_computed_alike_and_logged_once(tmp_path, caplog):
    source = StoredOrMade(stored(tmp_path))
    with caplog.at_level(logging.INFO, "upscore.proposals"):
        found = source(ELSEWHERE, name="é")  # the name does not matter
        source(random_photo(20, 20, seed=2))
    want = SOURCE(ELSEWHERE)
    assert len(want) > 0
    assert np.array_equal(found.boxes, want.boxes)
    assert np.array_equal(found.scores, want.scores)
    assert len(caplog.records) == 1
    assert "b.parquet: lacks a photo; its boxes" in caplog.records[0].getMessage()


@pytest.mark.parametrize("kind", ["Grid", "SelectiveSearch"])
def test_boxes_of_another_source_cannot_be_computed(tmp_path, kind):
    with pytest.raises(DataError, match=rf"b\.parquet: has no boxes of this photo, it was made for "
                       rf"1 photos .'é'.; and they .* are of {kind}, not of "
                       "EdgeBoxes. Run `upscore proposals make`"):  # fmt: skip
        StoredOrMade(stored(tmp_path, {"kind": kind, "max_boxes": 2000}))(ELSEWHERE)


@pytest.mark.parametrize(
    "source",
    [SOURCE, EdgeBoxes(LearnedEdges(scales=(1.0,)), eta=0.9), EdgeBoxes()],
)
def test_edge_boxes_of_its_own_settings(source):
    made = edge_boxes_of(plain_settings(source.settings()), device="cpu", precision="fp32")
    assert plain_settings(made.settings()) == plain_settings(source.settings())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": {"kind": "StructuredForest", "model": "abc"}}, "edges of StructuredForest"),
        ({"edges": {"kind": "LearnedEdges", "weights": "abc", "scales": [1.0]}},
         r'would make others: edges\.weights "abc" there'),
        ({"edges": {"kind": "LearnedEdges"}}, "does not know .'scales'."),
        ({"edges": None}, "does not know"),
        ({"gamma_ray": 2}, "does not know .*gamma_ray"),
        ({"alpha": 7.0}, "does not know .*alpha is 7"),
        ({"kind": "CocoBoxes"}, "they are of CocoBoxes, not of EdgeBoxes"),
    ],
)  # fmt: skip
def test_settings_that_this_version_does_not_know(changes, message):
    with pytest.raises(SettingsError, match=message):
        edge_boxes_of(plain_settings(SOURCE.settings()) | changes)


def test_it_goes_to_other_processes(tmp_path):
    source = pickle.loads(pickle.dumps(StoredOrMade(stored(tmp_path), device="cpu")))
    assert len(source(HERE)) == 4
    assert source.device == "cpu"


def test_what_is_no_image(tmp_path):
    with pytest.raises(DataError, match="dtype float64"):
        StoredOrMade(stored(tmp_path))(np.zeros((3, 3, 3)))
