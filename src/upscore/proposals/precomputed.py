"""Boxes that were computed before: our store, DeconvNet's released caches, COCO's JSON."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from upscore.core.damage import read_bytes, reading
from upscore.core.failures import first_line
from upscore.core.files import checksum
from upscore.core.images import require_rgb
from upscore.core.json import JSONObject, parse_json
from upscore.core.labels import RGBImage
from upscore.core.matlab import read_mat
from upscore.core.quoting import quote
from upscore.errors import DataError, NotFoundError, SettingsError
from upscore.proposals.base import Proposals, image_key
from upscore.proposals.store import SUFFIX, ProposalStore


@dataclass(frozen=True)
class FromFile:
    """A source that looks up the boxes of a photo in a file; how depends on what ``path`` is.

    - A ``.parquet`` that ``upscore proposals make`` wrote finds a photo by its content (and among
      photos of equal content by its name).
    - A folder of ``NAME.mat``, the ``edgebox_cached`` that DeconvNet released, finds it by its
      name: see :func:`read_deconvnet_boxes`.
    - A ``.json`` as COCO has them finds it by its name: see :class:`CocoBoxes`.

    Boxes may leave the image. Fewer than ``max_boxes`` are given where the file has fewer.

    Attributes:
        path: file or folder.
        max_boxes: how many of the first are given; None for all.
        images: for COCO results, which have no file names: the annotations that have them.

    Raises:
        SettingsError: ``max_boxes`` below 1, or ``images`` for something else than results.
        NotFoundError: no such file or folder.
    """

    path: Path
    max_boxes: int | None = None
    images: Path | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.max_boxes is not None and self.max_boxes < 1:
            raise SettingsError(f"max_boxes is {self.max_boxes}; allowed: 1 or more")
        for path in (self.path, self.images):
            if path is not None and not path.exists():
                raise NotFoundError(f"{path}: no such file of boxes")
        if self.images is not None and self.path.suffix.lower() != ".json":
            raise SettingsError(f"{self.path}: only COCO results need annotations beside them")

    def settings(self) -> JSONObject:
        """Of a store, those of the source that made it: the boxes are the same."""
        if self.max_boxes is None:
            return self._reader.settings()
        return {"kind": "FromFile", "of": self._reader.settings(), "max_boxes": self.max_boxes}

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:
        """The boxes of an image (H, W, 3) uint8.

        Args:
            name: of the photo, without suffix; a store does without.

        Raises:
            DataError: not such an image, no boxes of this photo, or the file is damaged.
        """
        require_rgb(image)
        found = self._reader.read(image, name)
        return found if self.max_boxes is None else found.top(self.max_boxes)

    @cached_property
    def _reader(self) -> _Reader:
        if self.path.is_dir():
            return MatFolder(self.path)
        suffix = self.path.suffix.lower()
        if suffix == SUFFIX:
            return _Store(ProposalStore.open(self.path))
        if suffix == ".json":
            return CocoBoxes(self.path, self.images)
        raise SettingsError(
            f"{self.path}: expected a {SUFFIX} of `upscore proposals make`, a .json as COCO has "
            "them, or the folder of DeconvNet's .mat files"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Without what was read, which each process reads for itself."""
        return {"path": self.path, "max_boxes": self.max_boxes, "images": self.images}


class _Reader(Protocol):
    def settings(self) -> JSONObject: ...

    def read(self, image: RGBImage, name: str) -> Proposals: ...


@dataclass(frozen=True)
class _Store:
    store: ProposalStore

    def settings(self) -> JSONObject:
        return self.store.settings

    def read(self, image: RGBImage, name: str) -> Proposals:
        key = image_key(image)
        if name in self.store and self.store.find(name).key == key:
            return self.store.read(name)
        if key in self.store:
            return self.store.read(key)
        if name in self.store:
            height, width = self.store.find(name).size
            raise DataError(
                f"{self.store.path}: the photo {quote(name)} had other pixels ({width}x{height}) "
                f"when its boxes were made, now it is {image.shape[1]}x{image.shape[0]}; run "
                "`upscore proposals make` again (it computes what has changed)"
            )
        return self.store.read(name or key)  # says what is missing, and for what it was made


# -- DeconvNet's caches ----------------------------------------------------------------------------


@dataclass(frozen=True)
class MatFolder:
    """A folder of DeconvNet's caches, one ``NAME.mat`` a photo."""

    path: Path

    def settings(self) -> JSONObject:
        sizes = [(path.name, path.stat().st_size) for path in sorted(self.path.glob("*.mat"))]
        digest = zlib.crc32(repr(sizes).encode())
        return {"kind": "MatFolder", "files": len(sizes), "names_and_sizes": f"{digest:08x}"}

    def read(self, image: RGBImage, name: str) -> Proposals:
        if not name:
            raise DataError(f"{self.path}: finds photos by their names; pass name=")
        height, width, _ = image.shape
        return read_deconvnet_boxes(self.path / f"{name}.mat", height=height, width=width)


def read_deconvnet_boxes(path: Path, *, height: int, width: int) -> Proposals:
    """The boxes of one photo in DeconvNet's ``edgebox_cached``, in the photo's own pixels.

    ``boxes_padded`` there has rows of x1, y1, x2, y2, counted from 1, both ends inside, of the
    photo padded by its width above and below and by its height left and right. The boxes have grown
    already and leave the photo. There are no scores: the order is kept, and the score falls evenly
    from 1 with the rank.

    Args:
        height: of the photo; the padding depends on it.
        width: of the photo.

    Raises:
        NotFoundError: no such file.
        DataError: not a MATLAB file, without ``boxes_padded``, of another shape, with boxes that
            are empty or leave the padded photo.
    """
    if not path.exists():
        raise NotFoundError(
            f"{path}: no such file; expected one NAME.mat for each photo NAME, as in DeconvNet's "
            "edgebox_cached"
        )
    content = read_mat(path, "boxes_padded")
    if not isinstance(content, np.ndarray):
        raise DataError(
            f"{path}: has no boxes_padded of numbers; is it a file of DeconvNet's edgebox_cached?"
        )
    rows: npt.NDArray[Any] = content
    if rows.size == 0:
        return Proposals.none()
    if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: boxes_padded has shape {rows.shape} and dtype {rows.dtype}; expected (K, 4) "
            "numbers x1, y1, x2, y2"
        )
    rows = rows.astype(np.float64)
    limit = np.array([width + 2 * height, height + 2 * width] * 2)
    bad = ~np.isfinite(rows).all(axis=1)
    bad |= (rows[:, :2] < 1).any(axis=1) | (rows > limit).any(axis=1)
    bad |= (rows[:, 2:] < rows[:, :2]).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{path}: boxes_padded holds {rows[row].tolist()} in row {row + 1}; expected 1 <= x1 "
            f"<= x2 <= {limit[0]} and 1 <= y1 <= y2 <= {limit[1]}, as the photo is "
            f"{width}x{height}. Are these the boxes of this photo?"
        )
    padding = np.array([height, width] * 2)  # left and right by the height, above by the width
    boxes = rows - padding - np.array([1, 1, 0, 0])
    ranks = np.arange(len(boxes))
    return Proposals(boxes.astype(np.float32), (1 - ranks / len(boxes)).astype(np.float32))


# -- COCO ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CocoBoxes:
    """A JSON as COCO has them, read whole.

    Either results: a list of ``{"image_id", "bbox": [x, y, width, height], "score"}``. Or
    annotations: an object with ``images`` and ``annotations``, whose boxes all have the score 1 and
    keep their order; crowds are left out. Boxes without area are left out.

    A photo is found by the stem of its ``file_name``. Results without ``images`` have none: there
    the ``image_id`` must be the name, or the number that the name ends in (``COCO_val2014_..139``
    is 139).

    Raises:
        DataError: not JSON, or not like that; the message names the entry.
    """

    path: Path
    images: Path | None = None

    def settings(self) -> JSONObject:
        names = None if self.images is None else checksum(self.images, "sha256")
        return {"kind": "CocoBoxes", "sha256": checksum(self.path, "sha256"), "images": names}

    def read(self, image: RGBImage, name: str) -> Proposals:
        if not name:
            raise DataError(f"{self.path}: finds photos by their names; pass name=")
        content = self._content
        if content.stems:
            number = content.stems.get(name)
        else:
            digits = re.search(r"\d+$", name)
            numbers = [name, str(int(digits.group()))] if digits else [name]
            number = next((number for number in numbers if number in content.boxes), None)
        if number is None:
            hint = "; if its image_id is another, FromFile(..., images=FILE) takes annotations"
            raise DataError(
                f"{self.path}: has no boxes of a photo {quote(name)}{'' if content.stems else hint}"
            )
        size = content.sizes.get(number)
        if size is not None and size != image.shape[:2]:
            raise DataError(
                f"{self.path}: the photo {quote(name)} is {size[1]}x{size[0]} there, but the one "
                f"given is {image.shape[1]}x{image.shape[0]}; boxes are in the former's pixels"
            )
        return content.boxes.get(number, Proposals.none())

    @cached_property
    def _content(self) -> _CocoContent:
        content = _read_json(self.path)
        if isinstance(content, dict) and isinstance(content.get("annotations"), list):
            entries, described = content["annotations"], content
        elif isinstance(content, list):
            entries, described = content, {} if self.images is None else _read_json(self.images)
        else:
            raise DataError(
                f"{self.path}: expected COCO results (a list) or annotations (an object with "
                "images and annotations)"
            )
        if not isinstance(described, dict):
            raise DataError(f"{self.images}: expected COCO annotations: an object with images")
        images = described.get("images", [])
        if not isinstance(images, list):
            raise DataError(
                f"{self.images or self.path}: images is {quote(images)}; expected a list"
            )
        stems, sizes = _coco_images(images, self.images or self.path)
        return _CocoContent(stems, sizes, _coco_boxes(entries, self.path))


MOST_BYTES = 1_000_000_000
"""Of a JSON file; COCO's annotations of 118,000 photos have 450 MB."""


class _CocoContent(NamedTuple):
    """What a file of COCO's holds.

    Attributes:
        stems: image_id of each file name without suffix.
        sizes: height and width of each image_id that has them.
        boxes: of each image_id that has some.
    """

    stems: dict[str, str]
    sizes: dict[str, tuple[int, int]]
    boxes: dict[str, Proposals]


def _coco_images(
    images: Iterable[Any], path: Path
) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    stems: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for place, item in enumerate(images):
        try:
            number, file_name = _number(item["id"]), item["file_name"]
            if not isinstance(file_name, str):
                raise TypeError(f"file_name is {quote(file_name)}")
            if "height" in item and "width" in item:
                sizes[number] = int(item["height"]), int(item["width"])
        except Exception as error:  # values of any kind
            raise DataError(
                f"{path}: images[{place}] lacks id or file_name, or has a bad size "
                f"({type(error).__name__}: {first_line(error)})"
            ) from error
        stem = Path(file_name).stem
        if stems.setdefault(stem, number) != number:
            raise DataError(f"{path}: two images are called {quote(stem)}; rename one")
    return stems, sizes


def _coco_boxes(entries: Iterable[Any], path: Path) -> dict[str, Proposals]:
    rows: dict[str, list[tuple[float, ...]]] = {}
    for place, entry in enumerate(entries):
        try:
            if entry.get("iscrowd"):
                continue
            x, y, width, height = (float(value) for value in entry["bbox"])
            row = x, y, x + width, y + height, float(entry.get("score", 1))
            rows.setdefault(_number(entry["image_id"]), []).append(row)
        except Exception as error:  # values of any kind
            raise DataError(
                f"{path}: entry {place} is not a box ({type(error).__name__}: "
                f"{first_line(error)}); expected image_id, bbox: "
                "[x, y, width, height] and, in results, score"
            ) from error
    found = {}
    for number, of_one in rows.items():
        table = np.array(of_one, np.float64)
        boxes, scores = table[:, :4].astype(np.float32), table[:, 4]
        no_area = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
        try:
            found[number] = Proposals.sorted(boxes[~no_area], scores[~no_area])
        except DataError as error:
            raise DataError(f"{path}: boxes of image_id {number}: {error}") from error
    return found


def _number(value: Any) -> str:
    """The number of an image, which some tools write as text."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"an image's number is {quote(value)}")
    return str(value)


def _read_json(path: Path) -> Any:
    text = read_bytes(path, MOST_BYTES)
    with reading(path, "truncated or not JSON", "make or fetch it again"):
        return parse_json(text)
