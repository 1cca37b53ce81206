"""Which images are worth looking at, and their pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, get_args

from upscore.core.draw import error_map
from upscore.core.failures import first_line
from upscore.core.files import make_folder, read_json, write_json
from upscore.core.images import write_image, write_label_map
from upscore.core.labels import LabelMap
from upscore.core.quoting import quote
from upscore.data.dataset import Sample, Split
from upscore.errors import RunError
from upscore.metrics.evaluate import ImageScore

Kind = Literal["best", "typical", "worst"]
Picture = Literal["photo", "truth", "prediction", "error"]
PICTURES: tuple[Picture, ...] = get_args(Picture)

OURS = re.compile(r"(best|typical|worst)-\d+-(photo|truth|prediction|error)\.png")
"""Names of the pictures that this module writes, and so may clear away."""


@dataclass(frozen=True)
class Example:
    """One image of the three groups; ``rank`` counts from 1, worst first among the worst.

    ``pictures`` holds file names in the examples folder.
    """

    kind: Kind
    rank: int
    name: str
    miou: float
    pixel_accuracy: float
    valid_pixels: int
    pictures: dict[Picture, str]


def choose(
    images: Sequence[ImageScore], *, best: int = 3, typical: int = 3, worst: int = 10
) -> dict[Kind, list[ImageScore]]:
    """Group images by their own mIoU; typical ones are nearest to the median.

    No image is in two groups. A split too small for all three gives each group a share. Images
    that are all void have no score and are left out; ties go by place in the split.
    """
    scored = [(image.miou, image) for image in images if image.miou is not None]
    ranked = sorted(scored, key=lambda pair: (-pair[0], pair[1].index))
    num = len(ranked)
    few = max(1, num // 4)
    num_best = min(best, few) if num >= 2 else 0
    num_typical = min(typical, few) if num >= 3 else 0
    num_worst = min(worst, num - num_best - num_typical)
    middle = ranked[num_best : num - num_worst]
    if middle:
        centre = median(miou for miou, _ in scored)
        middle = sorted(middle, key=lambda pair: (abs(pair[0] - centre), pair[1].index))
    groups: dict[Kind, list[tuple[float, ImageScore]]] = {
        "best": ranked[:num_best],
        "typical": middle[:num_typical],
        "worst": ranked[num - num_worst :][::-1],
    }
    return {kind: [image for _, image in group] for kind, group in groups.items()}


def write_examples(
    predict: Callable[[Sample], LabelMap], split: Split, images: Sequence[ImageScore], folder: Path
) -> list[Example]:
    """Predict the chosen images once more and write their pictures and examples.json.

    Photo and error map are RGB PNG; truth and prediction are palette PNG in the classes' colours,
    so that they are label maps as well. Pictures of an earlier evaluation are removed. An image
    that can no longer be read or labelled is skipped: its score is in the tables.

    Raises:
        OutputError: the folder cannot be written.
    """
    make_folder(folder)
    for old in folder.iterdir():
        if OURS.fullmatch(old.name):
            old.unlink(missing_ok=True)
    examples: list[Example] = []
    chosen = [
        (kind, rank, image)
        for kind, group in choose(images).items()
        for rank, image in enumerate(group, 1)
    ]
    for kind, rank, image in chosen:
        try:
            sample = split.read(image.index)
            prediction = predict(sample)
        except Exception:  # whatever it was, the scores are there
            continue
        names: dict[Picture, str] = {what: f"{kind}-{rank:02d}-{what}.png" for what in PICTURES}
        write_image(folder / names["photo"], sample.image)
        write_label_map(folder / names["truth"], sample.labels, split.labels)
        write_label_map(folder / names["prediction"], prediction, split.labels)
        write_image(folder / names["error"], error_map(sample.labels, prediction))
        assert image.miou is not None
        assert image.pixel_accuracy is not None
        examples.append(
            Example(
                kind, rank, image.name, image.miou, image.pixel_accuracy, image.valid_pixels, names
            )
        )
    write_json(folder / "examples.json", {"examples": [asdict(item) for item in examples]})
    return examples


def read_examples(folder: Path) -> list[Example]:
    """What :func:`write_examples` wrote; empty when it did not run.

    Raises:
        RunError: examples.json is damaged.
    """
    path = folder / "examples.json"
    if not path.exists():
        return []
    content = read_json(path)
    try:
        return [_from_json(item) for item in content["examples"]]
    except Exception as error:  # values of any kind
        raise RunError(
            f"{path}: damaged ({type(error).__name__}: {first_line(error)}); run `upscore "
            "evaluate` again"
        ) from error


def _from_json(item: dict[str, Any]) -> Example:
    if item["kind"] not in get_args(Kind):
        raise ValueError(f"kind is {quote(item['kind'])}")
    pictures: dict[Picture, str] = {}
    for what in PICTURES:
        name = str(item["pictures"][what])
        if not OURS.fullmatch(name):  # a name here is opened by the report
            raise ValueError(f"picture is {quote(name)}")
        pictures[what] = name
    return Example(
        kind=item["kind"],
        rank=int(item["rank"]),
        name=str(item["name"]),
        miou=float(item["miou"]),
        pixel_accuracy=float(item["pixel_accuracy"]),
        valid_pixels=int(item["valid_pixels"]),
        pictures=pictures,
    )
