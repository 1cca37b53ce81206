"""Inputs of a reproduction, and the steps that both sources share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from upscore.core.images import image_size
from upscore.core.labels import LabelMap, RGBImage
from upscore.core.model_folder import WEIGHTS, find_model
from upscore.core.progress import OnProgress, count_items
from upscore.core.run_folder import RunFolder
from upscore.core.runtime import Runtime
from upscore.data.dataset import DataSet, Split
from upscore.errors import SettingsError, UpscoreError, WorkError
from upscore.inference.run_model import load_network
from upscore.inference.segmenter import Segmenter
from upscore.metrics.comparison import compare
from upscore.metrics.comparison_files import to_json
from upscore.metrics.object_size import COCO_SIZES, RELATIVE_SIZES, Bins
from upscore.report.run_data import Curve, read_curve
from upscore.reproduce.budget import Budget
from upscore.reproduce.example_selection import class_shares, find_photo, require_class, spread
from upscore.reproduce.folder import Folder
from upscore.reproduce.labelling import LabelStore, file_digest
from upscore.reproduce.trainings import PlannedTraining
from upscore.training.recipe import Recipe, load_recipe

LARGEST_CROP = (256, 320)
STEP = 32
LOOKED_AT = 20
SMALL_PHOTO = 500 * 375 // 2
"""Pixels: half a photo of VOC."""


@dataclass
class Context:
    """Inputs and state of one reproduction.

    Attributes:
        data: path of the data set.
        split: validation split, on which everything is measured.
        train_split: name of the training split.
        content: digest of the data set's :class:`~upscore.data.record.DataRecord`.
        assignments: ``KEY=VALUE`` settings for all trainings.
        seeds: seeds of every training; empty for one training each, with the recipe's seed.
        ablate: whether the networks between the plain one and FCN-8s are trained as well.
        methods: of deconvnet-paper, names in
            :data:`~upscore.reproduce.other_methods.OTHER_METHODS` to train as well; of the history,
            its systems, where not all.
        plans: all trainings.
        photo, label: index of the photo and class that figures show, where chosen.
        failures: error messages of trainings by their names.
        unlabelled: error messages of photos by their index in the split.
    """

    data: Path
    dataset: DataSet
    split: Split
    folder: Folder
    budget: Budget
    assignments: tuple[str, ...]
    runtime: Runtime
    on_progress: OnProgress
    train_split: str = "train"
    content: str = ""
    seeds: tuple[int, ...] = ()
    ablate: bool = False
    methods: tuple[str, ...] = ()
    plans: Sequence[PlannedTraining] = ()
    photo: int | None = None
    label: int | None = None
    failures: dict[str, str] = field(default_factory=dict)
    unlabelled: dict[int, str] = field(default_factory=dict)
    _shares: list[dict[str, float]] | None = None

    @property
    def given_budget(self) -> str | None:
        """A budget that ``--set`` gives to every training in place of its share, or None."""
        given = [text for text in self.assignments if text.startswith("budget.")]
        return given[-1] if given else None

    @property
    def background(self) -> int | None:
        return self.dataset.labels.background

    @property
    def train(self) -> Split:
        """The training split."""
        return self.dataset.split(self.train_split)

    @property
    def store(self) -> LabelStore:
        return LabelStore(self.folder.labels, self.split)

    def shares(self) -> list[dict[str, float]]:
        """Result of :func:`class_shares`; counted once and stored in the folder."""
        if self._shares is None:
            progress = count_items(self.on_progress, "counting pixels by class")
            count = partial(class_shares, self.split, progress)
            begun = self.folder.plan.exists()  # a refused command leaves no folder behind
            found = self.folder.measured("photos", self.of_data(), count) if begun else count()
            self._shares = found["shares"]
        return self._shares

    def of_data(self) -> dict[str, Any]:
        """Data and split, of which a measurement is."""
        return {"data": self.content, "split": self.split.name}

    def of_stages(self, identities: Mapping[str, Any], stages: Iterable[str]) -> dict[str, Any]:
        """Inputs of a measurement of the stored label maps of some stages."""
        return {
            "identities": {stage: identities[stage] for stage in stages},
            "failures": {str(place): text for place, text in self.unlabelled.items()},
            **self.of_data(),
        }

    def choose(self, photo: str | None, class_name: str | None) -> None:
        """Set photo and class of the figures. Raises SettingsError where they do not exist."""
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

    def example_places(self, num: int) -> list[int]:
        """Up to ``num`` photos for figures, evenly spread; the chosen one is the first."""
        places = spread(self.shares(), num)
        if self.photo is None:
            return places
        return [self.photo, *(place for place in places if place != self.photo)][:num]

    def median_size(self) -> tuple[int, int]:
        """Median height and width of the training photos, estimated from some of them."""
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
        """Size groups of objects: COCO's, or relative ones for small photos."""
        height, width = self.median_size()
        return COCO_SIZES if height * width >= SMALL_PHOTO else RELATIVE_SIZES

    def plan_training(
        self,
        name: str,
        title: str,
        recipe: str,
        changes: Sequence[str],
        *,
        budget: str | None,
        published: str | None,
        setting: str = "",
        seed: int | None = None,
    ) -> PlannedTraining:
        """A training by a shipped recipe, changed by ``changes`` and by all that was typed.

        Args:
            budget: replaces the recipe's own, as in ``minutes=0.8``; None keeps that.
            published, setting, seed: see :class:`PlannedTraining`; setting is ``name`` if empty.

        Raises:
            SettingsError: unknown settings, or values that do not fit.
        """
        if any(text.startswith("processes=") for text in self.assignments):
            raise SettingsError(
                "--set processes: a reproduction trains in one process; for several, train the run "
                "folders below --out by `upscore train` and run this again"
            )
        given = [] if budget is None or self.given_budget else [f"budget.{budget}"]
        split = f"data.val_split={self.split.name}"
        full = load_recipe(recipe, [*given, split, *changes, *self.assignments])
        return PlannedTraining(name, title, full, published, setting or name, seed)

    @property
    def done(self) -> list[PlannedTraining]:
        """Trainings that have finished."""
        return [plan for plan in self.plans if plan.name not in self.failures]

    def model(self, plan: PlannedTraining, *, final: bool = False) -> Path:
        """Model folder of the best weights on the validation split, or of the final weights."""
        path = self.folder.run(plan.name)
        return RunFolder(path).last if final else find_model(path)

    def weights(self, plan: PlannedTraining, *, final: bool = False) -> str:
        """Digest of the weights, which identifies a network."""
        return file_digest(self.model(plan, final=final) / WEIGHTS)

    def network(self, plan: PlannedTraining, *, final: bool = False) -> Segmenter:
        """The network as a segmenter of whole photos."""
        return load_network(self.model(plan, final=final), self.runtime)

    def curve(self, plan: PlannedTraining) -> Curve:
        """The training curve; empty where there is no log."""
        return read_log(self.folder.run(plan.name))

    def stage_runs(self, plan: PlannedTraining) -> list[tuple[Recipe, Path]]:
        """The recipe and run folder of each stage of a training, or of the whole without stages."""
        run = self.folder.run(plan.name)
        folders = [run / "stages" / stage.name for stage in plan.recipe.stages[:-1]]
        recipes = plan.recipe.stage_recipes() or [plan.recipe]
        return list(zip(recipes, [*folders, run], strict=True))

    def label_all(
        self,
        identities: Mapping[str, Mapping[str, Any]],
        predict: Callable[[RGBImage, Sequence[str]], Mapping[str, LabelMap]],
        what: str,
    ) -> None:
        """Label the photos that these stages, given by their identities, have not labelled yet."""
        for stage, identity in identities.items():
            self.store.begin(stage, {**identity, **self.of_data()})
        progress = count_items(self.on_progress, what)
        self.unlabelled.update(self.store.label(list(identities), predict, progress=progress))

    def label_map(self, stage: str, place: int) -> LabelMap | None:
        """The label map of a stage; None where the photo was not labelled."""
        try:
            return self.store.read(stage, place)
        except UpscoreError:
            return None

    def score_stages(
        self, name: str, stages: Mapping[str, str], identities: Mapping[str, Any], *, what: str
    ) -> dict[str, Any]:
        """Scores by class, near boundaries and by object size, and differences to the first stage.

        Args:
            name: of the measurement.
            stages: what tables call each, by its name in the store; two or more.
            identities: of the stages, as in the store.
            what: stage of the progress.

        Returns:
            What ``upscore compare`` writes to compare.json; ``stage`` beside the name of each.

        Raises:
            DataError: no photo that all of them have labelled.
        """
        store, bins = self.store, self.bins()

        def measure() -> dict[str, Any]:
            result = compare(
                [store.labelled(stage, title, self.unlabelled) for stage, title in stages.items()],
                self.split,
                instances=self.dataset.instances,
                bins=bins,
                progress=count_items(self.on_progress, what),
            )
            content = to_json(result, {}, {})
            for stage, contender in zip(stages, content["contenders"], strict=True):
                contender["stage"] = stage
            return content

        of = {"stages": dict(stages), "bins": bins.describe()}
        return self.folder.measured(name, of | self.of_stages(identities, stages), measure)

    def require_networks(self, *, least: int = 0, needed: Collection[str] = ()) -> None:
        """Raise WorkError when fewer trainings have finished, or not those that are needed."""
        done = self.done
        if len(done) >= least and {plan.name for plan in done}.issuperset(needed):
            return
        lines = [f"{name}: {text}" for name, text in self.failures.items()]
        raise WorkError(
            f"{self.folder.path}: {len(done)} of {len(self.plans)} trainings have finished, too "
            "few for any table. The same command tries the others again:\n" + "\n".join(lines)
        )


def read_log(run: Path) -> Curve:
    """The curve of a run folder; empty where there is no log."""
    log = RunFolder(run).log
    return read_curve(log) if log.exists() else Curve()
