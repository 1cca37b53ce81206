"""Settings of a pipeline file: its networks, ensembles and CRFs, and the stage whose output counts.

Unknown keys are refused, as in recipes. Errors of the file itself are found here; the runs, stores
and CRF settings that it names are checked when the pipeline is built.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from annotated_types import Len, MinLen
from pydantic import Field, create_model, field_validator, model_validator

from upscore.core.limits import DEFAULT_TILE
from upscore.core.option_values import require_tile
from upscore.core.quoting import join, quote, shorten
from upscore.core.settings import Count, FilePath, Settings, build, check_path, load_yaml
from upscore.errors import SettingsError
from upscore.inference.instance_wise import InstanceSettings
from upscore.proposals.edge_boxes.parameters import SEARCH_PARAMETERS

NAME = re.compile(r"\w[\w+-]*")
"""Names of stages: they become folders of results."""

MAX_STAGES = 200
"""Far more than are useful; a stage calls its inputs, and Python limits calls inside each other."""

Kind = Literal["whole_image", "instance_wise", "refine", "ensemble"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class WholeImageStage(Settings):
    """A network over the whole photo."""

    run: FilePath
    """Run or model folder."""
    tile: int = DEFAULT_TILE
    """Photos with a longer side are done in overlapping tiles of this side; 0: never."""
    flip: bool = False
    """Average over the mirrored photo too."""
    scales: Annotated[tuple[float, ...], Len(1, 20)] = (1.0,)
    """Average over these sizes of the photo."""

    @field_validator("tile")
    @classmethod
    def _check_tile(cls, tile: int) -> int:
        require_tile(tile)
        return tile


_search_fields: dict[str, Any] = dict.fromkeys(SEARCH_PARAMETERS, (float | None, None))
_SearchSettings: Any = create_model("_SearchSettings", __base__=Settings, **_search_fields)
"""The parameters of EdgeBoxes that a file may give; None: EdgeBoxes' own."""


class ProposalSettings(_SearchSettings):  # type: ignore[misc]
    """The source of boxes: a store, or edge-boxes as in `upscore proposals make`."""

    store: FilePath | None = None
    """File of `upscore proposals make`. Boxes of other photos are computed in the same way."""
    source: Literal["edge-boxes"] | None = None
    """Computed for each photo."""
    edges: Literal["learned", "gradient"] | None = None
    """Edge map: our network (the default), or colour gradients."""
    model: FilePath | None = None
    """Other weights of the network, of `upscore edges train`."""
    max_boxes: Count | None = None
    """Number of the best boxes, from which an instance_wise stage takes its own; 2000."""

    @model_validator(mode="after")
    def _check(self) -> ProposalSettings:
        if (self.store is None) == (self.source is None):
            found = "neither" if self.store is None else "both"
            raise ValueError(
                "give either {store: FILE.parquet} or {source: edge-boxes}; found " + found
            )
        options = self.options()
        if self.store is not None and options:
            raise ValueError(
                f"{', '.join(options)}: for source: edge-boxes; a store has its boxes already"
            )
        if self.edges == "gradient" and self.model is not None:
            raise ValueError("model: edges: gradient has none; leave it out")
        return self

    def options(self) -> dict[str, Any]:
        """The given options of EdgeBoxes and its edges."""
        given = self.model_dump(exclude_none=True, exclude={"store", "source"})
        return dict(given)


class InstanceWiseStage(InstanceSettings):
    """A network over object proposals, with every setting of ``InstanceSettings``."""

    run: FilePath
    """Run or model folder."""
    preset: Literal["paper", "released"] = "paper"
    """Source of the settings that are not given here, except for ``growth``, ``square``,
    ``leave_image`` and ``input_size``, which are first of all those of the run's training."""
    proposals: ProposalSettings | None = None

    @model_validator(mode="after")
    def _check(self) -> InstanceWiseStage:
        if self.proposals is None:
            raise ValueError(
                "an instance_wise stage needs to know where boxes come from; give it proposals: "
                "{store: FILE.parquet} or proposals: {source: edge-boxes}"
            )
        return self

    @property
    def given(self) -> dict[str, Any]:
        """Settings of ``InstanceSettings`` that the file gives."""
        return self.model_dump(include=self.model_fields_set & set(InstanceSettings.model_fields))


class RefineStage(Settings):
    """A dense CRF after another stage."""

    input: str = Field(alias="of")
    """Name of that stage."""
    crf: str = "deconvnet"
    """Settings: deconvnet, released, deeplab, deeplab-largefov, or a YAML file."""

    @field_validator("crf")
    @classmethod
    def _check_crf(cls, crf: str) -> str:
        check_path(Path(crf))
        return crf


class EnsembleStage(Settings):
    """Several stages together."""

    inputs: Annotated[tuple[str, ...], MinLen(2)] = Field(alias="of")
    """Their names."""
    combine: Literal["mean", "weighted", "product"] = "mean"
    """mean or weighted mean of probabilities; or product of scores, as DeconvNet was released."""
    weights: tuple[float, ...] | None = None
    """Of a weighted mean: one for each stage."""

    @model_validator(mode="after")
    def _check(self) -> EnsembleStage:
        twice = [name for name, times in Counter(self.inputs).items() if times > 1]
        if twice:
            raise ValueError(
                f"of names {join(sorted(twice))} twice; use combine: weighted and weights"
            )
        return self


class PipelineStage(Settings):
    """One stage: exactly one of the four."""

    whole_image: WholeImageStage | None = None
    instance_wise: InstanceWiseStage | None = None
    refine: RefineStage | None = None
    ensemble: EnsembleStage | None = None

    @model_validator(mode="after")
    def _check(self) -> PipelineStage:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a stage is exactly one of {', '.join(KINDS)}; found {', '.join(given) or 'none'}"
            )
        return self

    @property
    def kind(self) -> Kind:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the stages whose outputs this one takes; none for a network."""
        if self.refine is not None:
            return (self.refine.input,)
        return () if self.ensemble is None else self.ensemble.inputs

    @property
    def run(self) -> Path | None:
        """The run of a network, as written in the file."""
        network = self.whole_image or self.instance_wise
        return None if network is None else network.run


class PipelineSettings(Settings):
    """A pipeline file. Paths in it are relative to its folder."""

    description: str = ""
    """One line for readers."""
    output: str = Field(alias="answer")
    """The stage that labels photos."""
    stages: Annotated[dict[str, PipelineStage], Len(1, MAX_STAGES)]
    """By name, in any order."""

    @model_validator(mode="after")
    def _check(self) -> PipelineSettings:
        problems = [
            f"stages.{shorten(name)}: a stage is named by letters, digits, - _ and +, as fcn8s-crf"
            for name in self.stages
            if not NAME.fullmatch(name)
        ]
        there = join(self.stages)
        if self.output not in self.stages:
            problems.append(f"answer: no stage {quote(self.output)}; there are {there}")
        for name, stage in self.stages.items():
            problems += [
                f"stages.{name}.{stage.kind}.of: no stage {quote(other)}; there are {there}"
                for other in stage.inputs
                if other not in self.stages
            ]
        if not problems:
            try:
                TopologicalSorter({n: stage.inputs for n, stage in self.stages.items()}).prepare()
            except CycleError as error:
                # each stage of the cycle is an input of the next one
                cycle = " is made of ".join(reversed(error.args[1]))
                problems.append(
                    f"stages: {cycle}, a circle; each stage must come to a network in the end"
                )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def order(self, names: Collection[str]) -> list[str]:
        """``names`` and the stages that they depend on, each after its inputs.

        Raises:
            SettingsError: an unknown stage.
        """
        for name in names:
            if name not in self.stages:
                raise SettingsError(
                    f"no stage {quote(name)} in this pipeline; there are {join(self.stages)}"
                )
        found: dict[str, None] = {}  # in order

        def visit(name: str) -> None:
            if name not in found:
                for other in self.stages[name].inputs:
                    visit(other)
                found[name] = None

        for name in names:
            visit(name)
        return list(found)


def read_pipeline(path: Path) -> PipelineSettings:
    """The settings in a pipeline file.

    Raises:
        NotFoundError: no such file.
        SettingsError: not YAML, or wrong settings (all of them listed).
    """
    return build(PipelineSettings, load_yaml(path), str(path))
