"""Pipelines: networks, ensembles and CRFs by name, each computed once for a photo."""

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
from upscore.inference.pipeline.builder import PipelineBuilder
from upscore.inference.pipeline.settings import PipelineSettings, read_pipeline
from upscore.inference.refine import Refine, refine
from upscore.inference.segmenter import ScoreMap, Segmenter, softmax

OnStep = Callable[[str, int, ScoreMap], None]
"""Called with a stage, a number of boxes, and the stage's probabilities (C, H, W) after them."""

_Result = dict[Literal["probabilities", "scores"], ScoreMap]
"""The output of a stage for a photo; with scores if they are a factor of a product."""


class Pipeline(Segmenter):
    """Segmenters by name, one of which is the output; a segmenter itself.

    An ``Ensemble`` or ``Refine`` whose members are stages too is computed from the outputs of those
    stages, so that each network processes a photo once, whichever stages are wanted::

        fcn, deconvnet = WholeImage(...), InstanceWise(...)
        both = Ensemble([fcn, deconvnet])
        Pipeline({"fcn": fcn, "deconvnet": deconvnet, "both": both}, output="both")

    Args:
        stages: segmenters by name, each after its inputs.
        output: name of the stage that labels photos.
        settings: of the pipeline file, if there is one.

    Raises:
        SettingsError: no such output, a stage that comes before one of its inputs, or a product of
            a product.
    """

    def __init__(
        self,
        stages: Mapping[str, Segmenter],
        *,
        output: str,
        settings: PipelineSettings | None = None,
    ) -> None:
        self.settings = settings
        self._stages = dict(stages)
        self._inputs: dict[str, tuple[str, ...]] = {}
        for name in stages:
            self._inputs[name] = self._find_inputs(name)
        self.output = output
        self._require([output])
        self.labels = self.labels_of(output)
        self._multiplied = {
            source
            for name, stage in self._stages.items()
            if isinstance(stage, Ensemble) and stage.needs == "scores"
            for source in self._inputs[name]
        }
        for name in self._multiplied:
            if isinstance(self._stages[name], Ensemble):
                raise SettingsError(
                    f"stage {name!r} is a product and part of another one; let that one multiply "
                    "all members"
                )

    def _find_inputs(self, name: str) -> tuple[str, ...]:
        """Names of a stage's inputs; none where its members are not all stages."""
        segmenter = self._stages[name]
        members: Sequence[Segmenter] = ()
        if isinstance(segmenter, Ensemble):
            members = segmenter.members
        elif isinstance(segmenter, Refine):
            members = (segmenter.segmenter,)
        names = {id(stage): other for other, stage in self._stages.items()}
        if not all(id(member) in names for member in members):
            return ()
        found = tuple(names[id(member)] for member in members)
        for other in found:
            if other not in self._inputs:
                raise SettingsError(
                    f"stage {name!r} is made of {other!r}, which must come before it"
                )
        return found

    @property
    def stages(self) -> tuple[str, ...]:
        """All names, each after its inputs."""
        return tuple(self._stages)

    def labels_of(self, stage: str) -> Labels:
        """The classes of a stage; members of an ensemble may have them in another order."""
        return self._stages[stage].labels

    @property
    def stepwise(self) -> tuple[str, ...]:
        """The ``InstanceWise`` stages on which the output depends."""
        return tuple(
            name
            for name in self._order([self.output])
            if isinstance(self._stages[name], InstanceWise)
        )

    @property
    def box_settings(self) -> dict[str, InstanceSettings]:
        """Settings of the ``InstanceWise`` stages, as they are used."""
        return {
            name: stage.settings
            for name, stage in self._stages.items()
            if isinstance(stage, InstanceWise)
        }

    def probabilities(self, image: RGBImage) -> ScoreMap:
        """Those of the output stage. Stages may raise errors of their own."""
        return self.probabilities_of(image, [self.output])[self.output]

    def probabilities_of(
        self, image: RGBImage, stages: Sequence[str] | None = None
    ) -> dict[str, ScoreMap]:
        """Probabilities (C, H, W) float32 of several stages, each network run once.

        Args:
            stages: their names; None for all.

        Raises:
            SettingsError: an unknown stage. And as ``probabilities``.
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

        Arguments and errors are those of ``probabilities_of``; the time of each stage, without
        that of its inputs, is added to ``seconds``.
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
    ) -> ScoreMap:
        """``probabilities``, with intermediate results of the ``InstanceWise`` stages.

        Args:
            counts: numbers of boxes, 1 or more each. A photo with fewer boxes gives the result of
                all its boxes.
            on_step: called for each stage of ``stepwise`` and each count, in rising order.
            order: of the boxes, as in :meth:`InstanceWise.steps`.

        Raises:
            SettingsError: no count, or one below 1. And as ``probabilities``.
        """
        steps = _Steps(counts, on_step, order)
        return dict(self._run(image, [self.output], steps=steps))[self.output]

    def _run(
        self,
        image: RGBImage,
        wanted: Sequence[str],
        *,
        seconds: MutableMapping[str, float] | None = None,
        steps: _Steps | None = None,
    ) -> Iterator[tuple[str, ScoreMap]]:
        """Names and probabilities of the wanted stages; each is dropped after its last use.

        Until the next one is yielded an array may be an input, so do not change it.
        """
        require_rgb(image)
        order = self._order(wanted)
        uses = Counter(source for name in order for source in self._inputs[name])
        results: dict[str, _Result] = {}
        for name in order:
            stage = self._stages[name]
            begin = time.perf_counter()
            if steps is not None and isinstance(stage, InstanceWise):
                result = self._in_steps(name, stage, image, steps)
            else:
                sources = [results[source] for source in self._inputs[name]]
                result = self._result(name, image, sources)
            if seconds is not None:
                seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - begin
            for source in self._inputs[name]:
                uses[source] -= 1
                if not uses[source]:
                    del results[source]
            if uses[name]:
                results[name] = result
            if name in wanted:
                yield name, result["probabilities"]

    def _result(self, name: str, image: RGBImage, sources: Sequence[_Result]) -> _Result:
        segmenter = self._stages[name]
        if sources and isinstance(segmenter, Ensemble):
            merged = segmenter.merge([source[segmenter.needs] for source in sources])
            return {"probabilities": merged}
        if sources and isinstance(segmenter, Refine):
            return {"probabilities": refine(segmenter.crf, image, sources[0]["probabilities"])}
        if name in self._multiplied:
            scores = segmenter.scores(image)
            return {"probabilities": softmax(scores.copy()), "scores": scores}
        return {"probabilities": segmenter.probabilities(image)}

    def _in_steps(
        self, name: str, segmenter: InstanceWise, image: RGBImage, steps: _Steps
    ) -> _Result:
        """The result of a stage after its own number of boxes, with steps before and after it."""
        own = segmenter.settings.top
        probabilities: ScoreMap | None = None
        for count, after in segmenter.steps(image, [*steps.counts, own], order=steps.order):
            if count in steps.counts:
                steps.on_step(name, count, after)
            if count == own:
                probabilities = after
        if probabilities is None or name in self._multiplied:  # steps have no raw scores
            return self._result(name, image, ())
        return {"probabilities": probabilities}

    def _order(self, names: Sequence[str]) -> list[str]:
        """``names`` and the stages on which they depend, in the order of the stages."""
        self._require(names)
        found = set(names)
        for name in reversed(self._stages):
            if name in found:
                found.update(self._inputs[name])
        return [name for name in self._stages if name in found]

    def _require(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._stages:
                raise SettingsError(f"no stage {name!r}; there are {', '.join(self._stages)}")


@dataclass(frozen=True)
class _Steps:
    """Numbers of boxes after which ``on_step`` gets a result, and the order of the boxes."""

    counts: Sequence[int]
    on_step: OnStep
    order: Order


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
        stages: the stages to load, with those on which they depend: None for every stage of the
            file, () for its output. Where the output is not among them, the last one is.

    Raises:
        NotFoundError, RunError, DataError, SettingsError: no such file; wrong settings, an unknown
            stage or a cycle in it; or runs, stores and CRF settings that are missing, damaged or do
            not fit together. All problems of one kind are listed, before weights are loaded.
    """
    settings = read_pipeline(path)
    names = settings.order(settings.stages if stages is None else stages or [settings.output])
    output = settings.output if settings.output in names else names[-1]
    builder = PipelineBuilder(settings, path, device=device, precision=precision)
    return Pipeline(builder.build(names), output=output, settings=settings)
