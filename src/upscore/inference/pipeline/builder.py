"""Builds the segmenters of a pipeline: checks its runs, stores and CRFs, then loads them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar, cast

from upscore.core.choices import is_path
from upscore.core.extras import require_extras
from upscore.core.json import JSONObject
from upscore.core.labels import Labels, RGBImage
from upscore.core.model_folder import included
from upscore.core.runtime import DeviceName, Precision, Runtime, select_runtime
from upscore.crf.mean_field import DenseCRF
from upscore.crf.settings import load_crf
from upscore.errors import UpscoreError
from upscore.inference.ensemble import Ensemble
from upscore.inference.pipeline.settings import (
    EnsembleStage,
    InstanceWiseStage,
    PipelineSettings,
    ProposalSettings,
    RefineStage,
)
from upscore.inference.refine import Refine, crf_device
from upscore.inference.run_model import load_network, read_labels
from upscore.inference.segmenter import Segmenter
from upscore.inference.trained_crops import WINDOW, load_instance_wise, trained_settings
from upscore.proposals.base import Proposals, ProposalSource, image_key
from upscore.proposals.sources import make_source

logger = logging.getLogger(__name__)

Made = TypeVar("Made")


class PipelineBuilder:
    """Checks and builds the segmenters of the pipeline file ``path``."""

    def __init__(
        self,
        settings: PipelineSettings,
        path: Path,
        *,
        device: DeviceName = "auto",
        precision: Precision = "auto",
    ) -> None:
        self.settings = settings
        self.path = path
        self.device: DeviceName = device
        self.precision: Precision = precision
        self._problems: list[UpscoreError] = []
        self._labels: dict[str, Labels] = {}
        self._crfs: dict[str, DenseCRF] = {}
        self._sources: dict[ProposalSettings, ProposalSource] = {}

    def check(self, names: Sequence[str]) -> None:
        """Check everything that some stages need, without loading weights.

        Args:
            names: of the stages, each after its inputs.

        Raises:
            NotFoundError, RunError, DataError, SettingsError, MissingExtraError: missing, damaged
                or inconsistent parts, a line each; the type is that of the first problem.
        """
        for name in names:
            stage = self.settings.stages[name]
            at = f"stages.{name}.{stage.kind}"
            if stage.run is not None:
                labels = self._try(f"{at}.run", partial(read_labels, self._run(stage.run)))
                if labels is not None:
                    self._labels[name] = labels
            if stage.instance_wise is not None:
                self._check_boxes(f"{at}.proposals", stage.instance_wise)
                if name in self._labels:  # else there is no such run
                    self._check_window(at, stage.instance_wise)
            elif stage.refine is not None:
                self._check_crf(at, name, stage.refine)
            elif stage.ensemble is not None:
                self._check_ensemble(at, name, stage.ensemble)
        if self._problems:
            lines = "\n".join(str(problem) for problem in self._problems)
            raise type(self._problems[0])(lines)

    def build(self, names: Sequence[str]) -> dict[str, Segmenter]:
        """The segmenters of some stages, after :meth:`check`. Raises as that."""
        self.check(names)
        runtime = select_runtime(self.device, self.precision)
        made: dict[str, Segmenter] = {}
        for name in names:
            stage = self.settings.stages[name]
            try:
                made[name] = self._stage(name, runtime, made)
            except UpscoreError as error:
                raise type(error)(f"{self.path}: stages.{name}.{stage.kind}: {error}") from error
        return made

    def _stage(self, name: str, runtime: Runtime, made: dict[str, Segmenter]) -> Segmenter:
        stage = self.settings.stages[name]
        if stage.whole_image is not None:
            whole = stage.whole_image
            return load_network(
                self._run(whole.run), runtime, tile=whole.tile, flip=whole.flip, scales=whole.scales
            )
        if stage.instance_wise is not None:
            boxes = stage.instance_wise
            assert boxes.proposals is not None
            return load_instance_wise(
                self._run(boxes.run),
                self._sources[boxes.proposals],
                runtime,
                preset=boxes.preset,
                **boxes.given,
            )
        if stage.refine is not None:
            return Refine(made[stage.refine.input], self._crfs[name])
        assert stage.ensemble is not None
        return _ensemble(stage.ensemble, [made[other] for other in stage.inputs])

    def _check_boxes(self, at: str, stage: InstanceWiseStage) -> None:
        settings = stage.proposals
        assert settings is not None
        if settings in self._sources:
            self._sources[settings] = LastImageProposals(self._sources[settings])
            return
        source = self._try(at, partial(self._source, settings))
        if source is not None:
            self._sources[settings] = source

    def _check_window(self, at: str, stage: InstanceWiseStage) -> None:
        """Warn if the file gives another crop geometry than that of the network's training."""
        trained = self._try(f"{at}.run", partial(trained_settings, self._run(stage.run))) or {}
        if not trained.keys() >= set(WINDOW):  # it was not trained on boxes
            return
        for key in WINDOW:
            if key in stage.given and stage.given[key] != trained[key]:
                logger.warning(
                    "%s: %s.%s is %s, but %s was trained with %s; leave %s out, and boxes are "
                    "shown as in training",
                    self.path, at, key, json.dumps(stage.given[key]), stage.run,
                    json.dumps(trained[key]), key,
                )  # fmt: skip

    def _source(self, settings: ProposalSettings) -> ProposalSource:
        require_extras("this stage", "proposals")
        if settings.store is not None:
            from upscore.proposals.cached_source import StoredOrMade
            from upscore.proposals.store import ProposalStore

            store = ProposalStore.open(self._at(settings.store))
            return StoredOrMade(store, device=self.device, precision=self.precision)
        options = settings.options()
        if settings.model is not None:
            options["model"] = self._at(settings.model)
        return make_source("edge-boxes", device=self.device, precision=self.precision, **options)

    def _check_crf(self, at: str, name: str, stage: RefineStage) -> None:
        named = self._at(Path(stage.crf)) if is_path(stage.crf) else stage.crf
        crf = self._try(f"{at}.crf", partial(load_crf, named))
        labels = self._labels.get(stage.input)
        if labels is not None:
            self._labels[name] = labels
        if crf is None:
            return
        built = self._try(f"{at}.crf", partial(crf.build, device=crf_device(self.device)))
        if built is not None:
            self._crfs[name] = built
            if labels is not None:  # refuses a table of another size
                self._try(f"{at}.crf", partial(built.compatibility_matrix, len(labels)))

    def _check_ensemble(self, at: str, name: str, stage: EnsembleStage) -> None:
        known = [self._labels[other] for other in stage.inputs if other in self._labels]
        if len(known) != len(stage.inputs):
            return  # a member's own problem comes first
        self._labels[name] = known[0]
        # segmenters whose weights are not loaded
        members = [cast(Segmenter, SimpleNamespace(labels=labels)) for labels in known]
        self._try(f"{at} of {', '.join(stage.inputs)}", partial(_ensemble, stage, members))

    def _try(self, at: str, make: Callable[[], Made]) -> Made | None:
        """The result of ``make``, or None if it fails; the error is added to the problems."""
        try:
            return make()
        except UpscoreError as error:
            self._problems.append(type(error)(f"{self.path}: {at}: {error}"))
            return None

    def _run(self, run: Path) -> Path:
        """A folder beside the file, or the name of a network in this package."""
        return included(run, place=self.path.parent) or self._at(run)

    def _at(self, path: Path) -> Path:
        return self.path.parent / path


def _ensemble(stage: EnsembleStage, members: Sequence[Segmenter]) -> Ensemble:
    return Ensemble(members, combine=stage.combine, weights=stage.weights)


class LastImageProposals:
    """Another source of boxes, with a cache of the last photo for further stages that use it."""

    def __init__(self, source: ProposalSource) -> None:
        self.source = source
        self._last: tuple[str, Proposals] | None = None

    def settings(self) -> JSONObject:
        return self.source.settings()

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:
        key = image_key(image)  # not the array itself, which a reader of videos may reuse
        last = self._last  # read once, as another thread may replace it
        if last is not None and last[0] == key:
            return last[1]
        found = self.source(image, name=name)
        self._last = key, found
        return found
