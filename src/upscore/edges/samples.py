"""What the edge network learns from: photos, soft boundaries, and random views of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Ge, Gt, Le
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from upscore.core.settings import Settings
from upscore.data.formats.bsds import BSDSImage

FAR = 4.0
"""Distance from a boundary, in deviations, from which on the soft target is 0."""


class EdgeViews(Settings):
    """Random views of a photo, all drawn again each time."""

    crop: Annotated[int, Ge(32)] = 256
    """Side of the square crop, pixels."""
    warp: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of the views that are turned by any angle and scaled; the rest keep their pixels."""
    scale: tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]] = (0.7, 1.4)
    """Range of that scaling."""
    light: Annotated[float, Ge(0), Le(1)] = 0.2
    """Largest relative change of brightness, contrast and of each colour channel."""


def soft_boundaries(
    boundaries: npt.NDArray[np.bool_], *, deviation: float, anyone: float
) -> npt.NDArray[np.uint8]:
    """How much a detection at each pixel is worth: the target that the network learns.

    Each annotator's boundary counts as a Gaussian of the distance to it: the lines of two people
    for the same boundary rarely meet on the same pixels, and the benchmark forgives some pixels.
    The benchmark's precision asks whether anyone drew a boundary here, the maximum over annotators,
    and its recall which share of them did, the mean; the target is a mixture of both.

    Args:
        boundaries: (A, H, W) bool.
        deviation: of the Gaussian, in pixels.
        anyone: share of the maximum in the mixture, in [0, 1].

    Returns:
        (H, W) uint8; 255 where all annotators agree.
    """
    total = np.zeros(boundaries.shape[1:], dtype=np.float32)
    largest = total.copy()
    for one in boundaries:
        if one.any():
            distance = distance_transform_edt(~one).astype(np.float32) / deviation
            near = np.where(distance < FAR, np.exp(-0.5 * distance**2), 0.0)
            total += near
            np.maximum(largest, near, out=largest)
    mixed = anyone * largest + (1.0 - anyone) / len(boundaries) * total
    return np.round(255.0 * mixed).astype(np.uint8)


class EdgeSamples:
    """All photos in memory (0.6 MB each), and batches of random views of them.

    A batch depends on the seed and its number alone, so a resumed training continues as if it had
    never stopped.
    """

    def __init__(
        self,
        images: Sequence[BSDSImage],
        views: EdgeViews,
        *,
        deviation: float,
        anyone: float,
        seed: int,
    ) -> None:
        self.views = views
        self.seed = seed
        self._names = [image.name for image in images]
        self._planes = [_planes(image, deviation, anyone) for image in images]

    def __len__(self) -> int:
        return len(self._planes)

    def names(self, size: int, number: int) -> list[str]:
        """Names of the photos in batch ``number`` of ``size`` views."""
        return [self._names[self._photo(place)] for place in _places(size, number)]

    def batch(self, size: int, number: int) -> tuple[Tensor, Tensor]:
        """Batch ``number`` of ``size`` views; every photo comes once an epoch.

        Returns:
            Photos (N, 3, crop, crop) and targets (N, 1, crop, crop), float32 in [0, 1].
        """
        views = []
        for place in _places(size, number):
            random = np.random.default_rng((self.seed, *divmod(place, len(self))))
            views.append(self._view(self._planes[self._photo(place)], random))
        batch = torch.stack(views)
        return batch[:, :3], batch[:, 3:]

    def _photo(self, place: int) -> int:
        """Index of the photo at a place of the endless stream."""
        epoch, index = divmod(place, len(self))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self))
        return int(order[index])

    def _view(self, planes: Tensor, random: np.random.Generator) -> Tensor:
        """(4, crop, crop) float32 in [0, 1]: a mirrored, turned, perhaps warped crop, relit."""
        side = self.views.crop
        if random.random() < self.views.warp:
            view = self._warped(planes, random)
        else:
            height, width = planes.shape[-2:]
            # a photo smaller than the crop is continued by mirroring
            down, right = max(0, side - height), max(0, side - width)
            if down or right:
                planes = F.pad(planes.float(), (0, right, 0, down), mode="reflect")
                height, width = planes.shape[-2:]
            y = int(random.integers(height - side + 1))
            x = int(random.integers(width - side + 1))
            view = planes[:, y : y + side, x : x + side].float() / 255.0
        view = torch.rot90(view, int(random.integers(4)), (1, 2))
        if random.random() < 0.5:
            view = view.flip(2)
        light = 1.0 + self.views.light * torch.from_numpy(random.uniform(-1, 1, (3, 1, 1))).float()
        shift = self.views.light * float(random.uniform(-0.5, 0.5))
        photo = (view[:3] * light + shift).clamp(0, 1)
        return torch.cat([photo, view[3:]])

    def _warped(self, planes: Tensor, random: np.random.Generator) -> Tensor:
        side, (height, width) = self.views.crop, planes.shape[-2:]
        low, high = self.views.scale
        scale = math.exp(random.uniform(math.log(low), math.log(high)))
        angle = random.uniform(0, 2 * math.pi)
        reach = side / scale
        centre_y = random.uniform(min(reach, height) / 2, height - min(reach, height) / 2)
        centre_x = random.uniform(min(reach, width) / 2, width - min(reach, width) / 2)
        cos, sin = math.cos(angle) * reach, math.sin(angle) * reach
        # grid_sample's coordinates run from -1 to 1 over the photo
        matrix = torch.tensor(
            [
                [cos / width, -sin / width, 2 * centre_x / width - 1],
                [sin / height, cos / height, 2 * centre_y / height - 1],
            ]
        )
        grid = F.affine_grid(matrix[None], [1, 4, side, side], align_corners=False)
        view = F.grid_sample(
            planes[None].float(), grid, padding_mode="reflection", align_corners=False
        )
        return view[0] / 255.0


def _places(size: int, number: int) -> range:
    return range(number * size, (number + 1) * size)


def _planes(image: BSDSImage, deviation: float, anyone: float) -> Tensor:
    """(4, H, W) uint8: red, green, blue, soft boundaries."""
    photo = image.read_image()
    target = soft_boundaries(image.read_boundaries(), deviation=deviation, anyone=anyone)
    return torch.from_numpy(np.concatenate([photo, target[..., None]], -1)).permute(2, 0, 1)
