"""Crops of objects with their masks, made as DeconvNet's training makes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscore.core.boxes import grow_boxes, square_boxes
from upscore.core.crop_geometry import CropGeometry
from upscore.core.labels import VOID, LabelMap, RGBImage
from upscore.core.regions import connected_regions
from upscore.data.dataset import Sample
from upscore.inference.crop_resize import extract_crops
from upscore.proposals.deconvnet_boxes import LABEL_FILL, crop_with_padding, whole_pixels

Box = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ObjectCrop:
    """A crop around one object.

    Attributes:
        photo: its name.
        crop: (h, w, 3) uint8.
        labels: (h, w) uint8, void outside the photo.
        label: class of the object.
    """

    photo: str
    crop: RGBImage
    labels: LabelMap
    label: int

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(h, w): pixels of the class."""
        mask: npt.NDArray[np.bool_] = self.labels == self.label
        return mask

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """(h, w): pixels that have a class."""
        valid: npt.NDArray[np.bool_] = self.labels != VOID
        return valid


def object_box(labels: LabelMap, label: int) -> Box:
    """Box (4,) xyxy of the largest connected region of a class, which must occur."""
    regions = connected_regions(np.where(labels == label, np.uint8(1), np.uint8(VOID)))
    areas = np.bincount(regions.ravel())
    areas[0] = 0
    rows, columns = np.nonzero(regions == areas.argmax())
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)


def crop_object(sample: Sample, label: int, geometry: CropGeometry) -> ObjectCrop:
    """The crop around the largest region of a class, which must occur in the photo."""
    boxes = grow_boxes(object_box(sample.labels, label)[None], geometry.growth)
    if geometry.square:
        boxes = square_boxes(boxes)
    window = whole_pixels(boxes[0])
    photo = np.ascontiguousarray(sample.image)
    (crop,) = extract_crops(photo, [window], geometry.size, antialias=True)
    height, width = geometry.size
    target = Image.fromarray(crop_with_padding(sample.labels, boxes[0], LABEL_FILL))
    labels = np.asarray(target.resize((width, height), Image.Resampling.NEAREST))
    return ObjectCrop(sample.name, crop, labels, label)
