"""A CRF that learns by gradient descent, on generated photos."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from upscore.core.labels import VOID
from upscore.crf.layer import CRFLayer
from upscore.crf.learning import CROP, learn_crf
from upscore.crf.settings import CRFSettings, load_crf

START = CRFSettings.model_validate(
    {"gaussian": {"sxy": 1, "weight": 1}, "bilateral": {"sxy": 8, "srgb": 20, "weight": 1}}
)
COLORS = np.array([[40, 40, 40], [60, 180, 60], [220, 60, 60]], np.uint8)
SEEN = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.48, 0.42]])
"""Probabilities by true class: class 2 always loses narrowly to class 1, so only penalties that
differ by class can bring it back."""


def read(place, *, size=(24, 30)):
    rng = np.random.default_rng(place)
    labels = np.zeros(size, np.uint8)
    labels[4:14, 3:13] = 1
    labels[8:20, 17:28] = 2
    photo = np.clip(COLORS[labels] + rng.normal(0, 5, (*size, 3)), 0, 255).astype(np.uint8)
    p = SEEN[labels] * rng.uniform(0.8, 1.2, (*size, 3))
    p = (p / p.sum(axis=2, keepdims=True)).transpose(2, 0, 1)
    truth = labels.copy()
    truth[0] = VOID
    return photo, -np.log(p).astype(np.float32), truth


def accuracy(settings, place=7):
    photo, energies, truth = read(place)
    labels = settings.build()(photo, energies=energies).argmax(axis=0)
    return float((labels == truth)[truth != VOID].mean())


def learn(**more):
    arguments = {"num_classes": 3, "steps": 25, "seed": 0} | more
    return learn_crf(START, read, 3, **arguments)


def test_learned_penalties_bring_back_a_class():
    learned = learn()
    assert accuracy(START) < 0.85
    assert accuracy(learned) > 0.97
    assert accuracy(learn(weights_only=True)) < 0.85
    # all else is as before
    kept = {"iterations", "tolerance", "normalization", "prune"}
    assert learned.model_dump(include=kept) == START.model_dump(include=kept)
    assert learned.bilateral.sxy == START.bilateral.sxy


def test_the_file_is_what_was_learned(tmp_path):
    learned = learn(steps=5)
    (tmp_path / "crf.yaml").write_text(learned.to_yaml())
    again = load_crf(tmp_path / "crf.yaml")
    assert again == learned
    photo, energies, _ = read(7)
    marginals = again.build()(photo, energies=energies)
    assert np.array_equal(marginals, learned.build()(photo, energies=energies))
    # and the layer with these numbers gives the same
    layer = CRFLayer(again.build(), num_classes=3)
    image = torch.from_numpy(photo.transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        log_marginals = layer(image, -torch.from_numpy(energies)[None])
    np.testing.assert_allclose(log_marginals[0].exp().numpy(), marginals, atol=1e-4)


def test_weights_alone_leave_the_potts_model():
    learned = learn(steps=5, weights_only=True)
    assert learned.compatibility == START.compatibility
    assert learned.bilateral.weight != START.bilateral.weight


def test_same_seed_same_numbers_other_seed_others():
    large = (CROP + 20, CROP + 30)  # so that the place of a crop depends on the seed
    found = [
        learn_crf(START, lambda place: read(place, size=large), 3, num_classes=3, steps=2, seed=s)
        for s in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


def test_weights_stay_what_settings_allow():
    """Where the network is wrong everywhere, each term makes it surer of what is wrong."""

    def wrong(place):
        photo, energies, labels = read(place)
        return photo, energies, ((energies.argmin(axis=0) + 1) % 3).astype(labels.dtype)

    learned = learn_crf(START, wrong, 3, num_classes=3, steps=15, weights_only=True)
    assert learned.gaussian.weight == learned.bilateral.weight == 0


def test_void_photos_change_nothing():
    def void(place):
        photo, energies, labels = read(place)
        return photo, energies, np.full_like(labels, VOID)

    learned = learn_crf(START, void, 3, num_classes=3, steps=2)
    assert learned.bilateral == START.bilateral
    assert np.array_equal(learned.compatibility, -np.eye(3))


def test_progress():
    events = []
    learn(steps=3, progress=lambda *event: events.append(event))
    assert events == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("absent", ["gaussian", "bilateral"])
def test_a_term_that_start_lacks_is_not_learned(absent):
    start = START.model_copy(update={absent: None})
    assert getattr(learn_crf(start, read, 3, num_classes=3, steps=2), absent) is None
