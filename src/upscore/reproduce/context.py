"""What a reproduction is given, and the steps that both sources share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from upscore.core.images import image_size
from upscore.core.labels import LabelMap, RGBImage
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import Runtime
from upscore.data.dataset import DataSet, Split
from upscore.errors import SettingsError, UpscoreError, WorkError
from upscore.inference.run_model import find_model, load_network
from upscore.inference.segmenter import Segmenter
from upscore.metrics.object_size import COCO_SIZES, RELATIVE_SIZES, Bins
from upscore.models.checkpoint import WEIGHTS
from upscore.report.run_data import Curve, read_curve
from upscore.reproduce.budget import Budget
from upscore.reproduce.example_selection import class_shares, find_photo, require_class
from upscore.reproduce.folder import Folder
from upscore.reproduce.labelling import LabelStore, file_digest
from upscore.reproduce.scores import measured
from upscore.reproduce.trainings import Planned

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""A description -> a bar, which yields what is called with (done, of how many)."""

LARGEST_CROP = (256, 320)
STEP = 32
LOOKED_AT = 20
SMALL_PHOTO = 500 * 375 // 2
"""Pixels: half a photo of VOC."""


@dataclass
class Job:
    """A reproduction under way.

    Attributes:
        data: as typed.
        split: what is validated and measured on.
        train_split: name of what is trained on.
        assignments: settings of people's own, for all trainings.
        seeds: that everything is trained with; none: one training each, with the recipe's seed.
        ablate: whether the networks between the plain one and FCN-8s are trained as well.
        photo, label: place and class that figures shall show, where chosen.
        failures: trainings that went wrong, by name; the page tells it.
        unlabelled: photos that did, by place.
    """

    data: Path
    dataset: DataSet
    split: Split
    folder: Folder
    budget: Budget
    assignments: tuple[str, ...]
    runtime: Runtime
    progress: Progress
    train_split: str = "train"
    seeds: tuple[int, ...] = ()
    ablate: bool = False
    photo: int | None = None
    label: int | None = None
    failures: dict[str, str] = field(default_factory=dict)
    unlabelled: dict[int, str] = field(default_factory=dict)
    _shares: list[dict[str, float]] | None = None

    @property
    def background(self) -> int | None:
        return self.dataset.labels.background

    @property
    def train(self) -> Split:
        """What is trained on."""
        return self.dataset.split(self.train_split)

    @property
    def store(self) -> LabelStore:
        return LabelStore(self.folder.labels, self.split)

    def shares(self) -> list[dict[str, float]]:
        """See :func:`class_shares`; counted once, and kept in a folder that is begun."""
        if self._shares is None:
            of = {"data": self.dataset.fingerprint(), "split": self.split.name}
            begun = self.folder.plan.exists()  # a refused command leaves no folder behind
            found = (
                measured(self.folder.measurement("photos"), of, self._count)
                if begun
                else self._count()
            )
            self._shares = found["shares"]
        return self._shares

    def _count(self) -> dict[str, Any]:
        with self.progress("looking at the photos") as update:
            return class_shares(self.split, update)

    def choose(self, photo: str | None, class_name: str | None) -> None:
        """What figures shall show. Raises SettingsError for what is not there."""
        if photo is not None:
            self.photo = find_photo(self.split, photo)
            if not self.shares()[self.photo]:
                raise SettingsError(
                    f"--photo is {photo!r}, of which no pixel has a class (or it cannot be read); "
                    "choose another, or leave --photo out"
                )
        if class_name is None:
            return
        shares = self.shares()
        self.label = require_class(shares, self.split, class_name)
        if self.photo is not None and str(self.label) not in shares[self.photo]:
            raise SettingsError(
                f"--class is {class_name!r}, which does not occur in --photo {photo!r}; leave one "
                "of them out"
            )

    def median_size(self) -> tuple[int, int]:
        """Height and width of the training split's photos, of some of them."""
        pairs = self.train.pairs
        some = pairs[:: max(1, len(pairs) // LOOKED_AT)]
        sizes = [image_size(pair.image) for pair in some]
        height, width = (int(median(size[axis] for size in sizes)) for axis in (0, 1))
        return height, width

    def crop(self) -> tuple[int, int]:
        """Height and width for small networks: the median of the photos', up to 256 x 320."""
        height, width = (
            min(limit, STEP * -(-side // STEP))
            for limit, side in zip(LARGEST_CROP, self.median_size(), strict=True)
        )
        return height, width

    def bins(self) -> Bins:
        """Sizes of objects: COCO's, or of small photos, in which hardly one is large, relative."""
        height, width = self.median_size()
        return COCO_SIZES if height * width >= SMALL_PHOTO else RELATIVE_SIZES

    def finished(self, plans: Sequence[Planned]) -> list[Planned]:
        """Those that have a network to show."""
        return [plan for plan in plans if plan.name not in self.failures]

    def model(self, plan: Planned, *, final: bool = False) -> Path:
        """Folder of its best weights on the validation split, or of those at the end."""
        path = self.folder.run(plan.name)
        return RunFolder(path).last if final else find_model(path)

    def weights(self, plan: Planned, *, final: bool = False) -> str:
        """What tells one network from another."""
        return file_digest(self.model(plan, final=final) / WEIGHTS)

    def network(self, plan: Planned, *, final: bool = False) -> Segmenter:
        """Over the whole photo."""
        return load_network(self.model(plan, final=final), self.runtime)

    def curve(self, plan: Planned) -> Curve:
        """Its log; empty where there is none."""
        log = RunFolder(self.folder.run(plan.name)).log
        return read_curve(log) if log.exists() else Curve()

    def label_all(
        self,
        identities: Mapping[str, Mapping[str, Any]],
        predict: Callable[[RGBImage, Sequence[str]], Mapping[str, LabelMap]],
        what: str,
    ) -> None:
        """Label every photo by stages whose identities these are, as far as it is not done."""
        for stage, identity in identities.items():
            self.store.begin(stage, {**identity, "data": self.dataset.fingerprint(),
                                     "split": self.split.name})  # fmt: skip
        with self.progress(what) as update:
            self.unlabelled.update(self.store.label(list(identities), predict, progress=update))

    def read_label_map(self, stage: str, place: int) -> RGBImage | None:
        """In the classes' colours; None where the photo was not labelled."""
        try:
            return self.dataset.labels.colorize(self.store.read(stage, place))
        except UpscoreError:
            return None

    def require_networks(
        self, plans: Sequence[Planned], *, least: int = 0, needed: Collection[str] = ()
    ) -> None:
        """Raise WorkError when fewer trainings have finished, or not those that are needed."""
        done = self.finished(plans)
        if len(done) >= least and {plan.name for plan in done}.issuperset(needed):
            return
        lines = [f"{name}: {text}" for name, text in self.failures.items()]
        raise WorkError(
            f"{self.folder.path}: {len(done)} of {len(plans)} trainings have finished, too few for "
            "any table. The same command tries the others again:\n" + "\n".join(lines)
        )
