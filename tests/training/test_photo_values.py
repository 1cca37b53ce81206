"""A network keeps how the values of its photos became 8 bits, and whoever uses it does the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import upscore
from training.conftest import TINY
from upscore.core.images import read_image
from upscore.core.photo_values import PhotoValues
from upscore.data import open_dataset
from upscore.errors import RunError, SettingsError
from upscore.inference.trained_photos import trained_photos
from upscore.workflows.predictions import open_predictions

TWELVE = PhotoValues((0.0, 4095.0))


def deep_set(folder: Path, most: int) -> Path:
    """Ten photos with values up to ``most`` in 16 bits, and a class for the light half."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(10):
        mask = np.zeros((40, 40), np.uint8)
        mask[:, 20:] = 1
        grey = (rng.integers(0, most // 2, mask.shape) + most // 2 * mask.astype(int)).astype(
            np.uint16
        )
        grey[0, 0] = most
        Image.fromarray(grey).save(folder / f"images/{number}.png")
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
    (folder / "classes.txt").write_text("dark\nlight\n")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deep")
    settings = [*TINY, "budget.iterations=2", "validate.every=2"]
    upscore.train(
        "fcn8s-quick",
        data=deep_set(folder / "data", 4000),
        out=folder / "RUN",
        assignments=settings,
    )
    return folder / "RUN"


def test_the_range_of_the_training_goes_with_the_network(run: Path, tmp_path: Path) -> None:
    assert trained_photos(run) == trained_photos(run / "model") == TWELVE
    assert trained_photos(Path("roads")) == PhotoValues()
    darker = deep_set(tmp_path / "darker", 1000)  # 10 bits, were it alone
    photo = darker / "images/3.png"
    expected = read_image(photo, values=TWELVE)
    assert expected.max() == 1000 >> 4
    found = upscore.load(run).segment(photo)
    np.testing.assert_array_equal(found.image, expected)
    upscore.predict(run, [photo], out=tmp_path / "out", save=["labels"])
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "out/labels/3.png")), found.labels
    )

    dataset = open_dataset(darker)
    assert dataset.photo_values == PhotoValues((0.0, 1023.0))
    split = open_predictions(run, dataset, data=darker).photos_of(dataset.split("train"))
    image = read_image(split.pairs[0].image, values=TWELVE)
    np.testing.assert_array_equal(split.read(0).image, image)


def test_networks_of_a_pipeline_agree(run: Path, tmp_path: Path) -> None:
    pipeline = tmp_path / "both.yaml"
    text = "stages:\n  a: {{whole_image: {{run: {run}}}}}\n  b: {{whole_image: {{run: {other}}}}}\n"
    text += "  c: {{ensemble: {{of: [a, b]}}}}\nanswer: c\n"
    pipeline.write_text(text.format(run=run, other=run / "model"))
    assert trained_photos(pipeline) == TWELVE
    other = tmp_path / "other"
    other.mkdir()
    for name in ("model.safetensors", "config.json"):
        (other / name).write_bytes((run / "model" / name).read_bytes())
    config = other / "config.json"
    config.write_text(config.read_text().replace("4095.0", "1023.0"))
    pipeline.write_text(text.format(run=run, other=other))
    with pytest.raises(SettingsError, match=r"trained on photos with other ranges.*1023"):
        trained_photos(pipeline)
    config.write_text(config.read_text().replace("1023.0", '"x"'))
    with pytest.raises(RunError, match=r"config\.json: "):
        trained_photos(other)
