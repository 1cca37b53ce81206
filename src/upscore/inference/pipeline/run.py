"""A pipeline: networks, ensembles and CRFs that share their work, as a file describes them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from upscore.core.images import require_rgb
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.runtime import DeviceName, Precision
from upscore.errors import SettingsError
from upscore.inference.ensemble import Ensemble
from upscore.inference.instance_wise import InstanceSettings, InstanceWise, Order
from upscore.inference.pipeline.builder import PipelineParts
from upscore.inference.pipeline.settings import read_pipeline
from upscore.inference.refine import Refine, refine
from upscore.inference.segmenter import Scores, Segmenter, log_scores, softmax

OnStep = Callable[[str, int, Scores], None]
"""Called with a stage, a number of boxes, and the stage's probabilities (C, H, W) after them."""


class Pipeline:
    """Segmenters by name, of which one is the answer; it is a segmenter itself.

    An ``Ensemble`` or ``Refine`` among them whose members are stages too is computed from what
    those have said, so that each network sees a photo once, whatever is asked for::

        fcn, deconvnet = WholeImage(...), InstanceWise(...)
        both = Ensemble([fcn, deconvnet])
        Pipeline({"fcn": fcn, "deconvnet": deconvnet, "both": both}, answer="both")

    Args:
        stages: each after those that it is made of.
        answer: name of the one that labels photos.

    Raises:
        SettingsError: no such answer, an order in which a stage comes before what it is made of, or
            a product of a product.
    """

    def __init__(self, stages: Mapping[str, Segmenter], *, answer: str) -> None:
        self._stages: dict[str, _Stage] = {}
        for name, segmenter in stages.items():
            self._stages[name] = _Stage(segmenter, self._sources(name, segmenter, stages))
        self.answer = answer
        self._require([answer])
        self._multiplied = {
            source
            for stage in self._stages.values()
            if isinstance(stage.segmenter, Ensemble) and stage.segmenter.needs == "scores"
            for source in stage.of
        }
        for name in self._multiplied:
            if isinstance(self._stages[name].segmenter, Ensemble):
                raise SettingsError(
                    f"stage {name!r} is a product and part of another one; let that one multiply "
                    "all members"
                )

    def _sources(
        self, name: str, segmenter: Segmenter, stages: Mapping[str, Segmenter]
    ) -> tuple[str, ...]:
        """Names of the stages that a stage is made of, or none where it is made of others."""
        members: Sequence[Segmenter] = ()
        if isinstance(segmenter, Ensemble):
            members = segmenter.members
        elif isinstance(segmenter, Refine):
            members = (segmenter.segmenter,)
        names = {id(stage): other for other, stage in stages.items()}
        if not all(id(member) in names for member in members):
            return ()
        found = tuple(names[id(member)] for member in members)
        late = [other for other in found if other not in self._stages]
        if late:
            raise SettingsError(f"stage {name!r} is made of {late[0]!r}, which must come before it")
        return found

    @property
    def stages(self) -> tuple[str, ...]:
        """All names, each after those that it is made of."""
        return tuple(self._stages)

    @property
    def labels(self) -> Labels:
        """Of the answer."""
        return self.labels_of(self.answer)

    def labels_of(self, stage: str) -> Labels:
        """The classes of a stage; members of an ensemble may have them in another order."""
        return self._stages[stage].segmenter.labels

    @property
    def stepwise(self) -> tuple[str, ...]:
        """The stages that look at a photo box by box and that the answer is made of."""
        return tuple(
            name
            for name in self._order([self.answer])
            if isinstance(self._stages[name].segmenter, InstanceWise)
        )

    @property
    def box_settings(self) -> dict[str, InstanceSettings]:
        """Settings of the stages that look at a photo box by box, as they are used."""
        return {
            name: stage.segmenter.settings
            for name, stage in self._stages.items()
            if isinstance(stage.segmenter, InstanceWise)
        }

    def probabilities(self, image: RGBImage) -> Scores:
        """Of the answer, (C, H, W) float32 in [0, 1].

        Raises:
            DataError: no such image (H, W, 3) uint8, or what a stage raises.
        """
        return self.probabilities_of(image, [self.answer])[self.answer]

    def scores(self, image: RGBImage) -> Scores:
        """Logarithm of the answer's probabilities, (C, H, W) float32. Raises as those."""
        return log_scores(self.probabilities(image))

    def predict(self, image: RGBImage) -> LabelMap:
        """(H, W) uint8, the answer's first class of the highest probability. Raises likewise."""
        return self.predict_of(image, [self.answer])[self.answer]

    def probabilities_of(
        self, image: RGBImage, stages: Sequence[str] | None = None
    ) -> dict[str, Scores]:
        """Probabilities (C, H, W) float32 of several stages, each network run once.

        Args:
            stages: their names; None for all.

        Raises:
            SettingsError: an unknown stage.
            DataError: as ``probabilities``.
        """
        return dict(self._run(image, self.stages if stages is None else stages))

    def predict_of(
        self,
        image: RGBImage,
        stages: Sequence[str] | None = None,
        *,
        seconds: MutableMapping[str, float] | None = None,
    ) -> dict[str, LabelMap]:
        """Label maps (H, W) uint8 of several stages, holding few probabilities at a time.

        Args:
            stages: their names; None for all.
            seconds: each stage's own time is added here, without that of the stages that it is made
                of.

        Raises:
            SettingsError: an unknown stage.
            DataError: as ``probabilities``.
        """
        wanted = self.stages if stages is None else stages
        return {
            name: probabilities.argmax(axis=0).astype(np.uint8)
            for name, probabilities in self._run(image, wanted, seconds=seconds)
        }

    def probabilities_in_steps(
        self,
        image: RGBImage,
        counts: Sequence[int],
        on_step: OnStep,
        *,
        order: Order = "score",
    ) -> Scores:
        """``probabilities``, telling on the way what box by box stages say after some boxes.

        Args:
            counts: numbers of boxes, 1 or more each; of a photo with fewer boxes, all of them.
            on_step: called for each of ``stepwise`` and each count, rising.
            order: of the boxes, as in :meth:`InstanceWise.steps`.

        Raises:
            SettingsError: no count, or one below 1.
            DataError: as ``probabilities``.
        """
        steps = _Steps(counts, on_step, order)
        return dict(self._run(image, [self.answer], steps=steps))[self.answer]

    def _run(
        self,
        image: RGBImage,
        wanted: Sequence[str],
        *,
        seconds: MutableMapping[str, float] | None = None,
        steps: _Steps | None = None,
    ) -> Iterator[tuple[str, Scores]]:
        """Names and probabilities of the wanted stages, not to be written to before the next one.

        Each result is dropped after its last use.
        """
        require_rgb(image)
        order = self._order(wanted)
        uses = Counter(source for name in order for source in self._stages[name].of)
        results: dict[str, _Result] = {}
        for name in order:
            stage = self._stages[name]
            begin = time.perf_counter()
            if steps is not None and isinstance(stage.segmenter, InstanceWise):
                result = self._in_steps(name, stage.segmenter, image, steps)
            else:
                result = self._result(name, image, [results[source] for source in stage.of])
            if seconds is not None:
                seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - begin
            for source in stage.of:
                uses[source] -= 1
                if not uses[source]:
                    del results[source]
            if uses[name]:
                results[name] = result
            if name in wanted:
                yield name, result.probabilities

    def _result(self, name: str, image: RGBImage, sources: Sequence[_Result]) -> _Result:
        segmenter = self._stages[name].segmenter
        if sources and isinstance(segmenter, Ensemble):
            return _Result(segmenter.merge([source.of_kind(segmenter.needs) for source in sources]))
        if sources and isinstance(segmenter, Refine):
            return _Result(refine(segmenter.crf, image, sources[0].probabilities))
        if name in self._multiplied:
            scores = segmenter.scores(image)
            return _Result(softmax(scores.copy()), scores)
        return _Result(segmenter.probabilities(image))

    def _in_steps(
        self, name: str, segmenter: InstanceWise, image: RGBImage, steps: _Steps
    ) -> _Result:
        """The answer of a stage is that of its own number of boxes, which is one more step."""
        own = segmenter.settings.top
        probabilities: Scores | None = None
        for count, after in segmenter.steps(image, [*steps.counts, own], order=steps.order):
            if count in steps.counts:
                steps.on_step(name, count, after)
            if count == own:
                probabilities = after
        if probabilities is None or name in self._multiplied:  # steps tell no raw scores
            return self._result(name, image, ())
        return _Result(probabilities)

    def _order(self, names: Sequence[str]) -> list[str]:
        """``names`` and all that they are made of, in the order of the stages."""
        self._require(names)
        found = set(names)
        for name in reversed(self._stages):
            if name in found:
                found.update(self._stages[name].of)
        return [name for name in self._stages if name in found]

    def _require(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._stages:
                raise SettingsError(f"no stage {name!r}; there are {', '.join(self._stages)}")


@dataclass(frozen=True)
class _Stage:
    """A segmenter, and the names of the stages that it is made of."""

    segmenter: Segmenter
    of: tuple[str, ...]


@dataclass(frozen=True)
class _Steps:
    """What shall be told as boxes are added, and in which order they are."""

    counts: Sequence[int]
    on_step: OnStep
    order: Order


@dataclass(frozen=True)
class _Result:
    """What a stage says of a photo; scores where a product wants them."""

    probabilities: Scores
    scores: Scores | None = None

    def of_kind(self, kind: Literal["probabilities", "scores"]) -> Scores:
        if kind == "probabilities":
            return self.probabilities
        assert self.scores is not None
        return self.scores


def load_pipeline(
    path: Path,
    *,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    stages: Sequence[str] | None = None,
) -> Pipeline:
    """The pipeline of a file (docs/pipelines.md), ready to label photos.

    Args:
        path: YAML; paths in it begin at its folder.
        stages: what to load, with all that it is made of: None for every stage of the file, ()
            for the answer. The last one is the answer where the file's own is not among them.

    Raises:
        NotFoundError, RunError, DataError, SettingsError: no such file; wrong settings in it, a
            stage or a circle that cannot be; or runs, stores and CRF settings that are missing,
            damaged or do not fit together. All problems of one kind are listed, before weights are
            loaded.
    """
    settings = read_pipeline(path)
    names = settings.order(settings.stages if stages is None else stages or [settings.answer])
    answer = settings.answer if settings.answer in names else names[-1]
    parts = PipelineParts(settings, path, device=device, precision=precision)
    return Pipeline(parts.build(names), answer=answer)
