"""The page of the history: what each system from 2012 to 2015 brought, in English and Korean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from upscore.core.runtime import cpu_name
from upscore.report.document import Chart, Document, Item, Row, Section, Sheet, Table
from upscore.report.figures.reproduction import horizontal_bars
from upscore.report.figures.scheme import Column, Skip, scheme_chart
from upscore.report.html_helpers import NO_VALUE
from upscore.report.page_words import Language
from upscore.reproduce import common_sections
from upscore.reproduce.common_sections import picture_row
from upscore.reproduce.context import Context
from upscore.reproduce.differences import Contender, direction, interval
from upscore.reproduce.example_selection import large_objects
from upscore.reproduce.history_measures import Measures, measure
from upscore.reproduce.history_methods import Step, history

MORE_PHOTOS = 2
"""Number of photos at the end of the page, beside the one that every step shows."""

SHOTS = 4
"""Number of pictures side by side there."""

LIMITS = ("limit_seed", "limit_budget", "limit_size", "limit_choice", "limit_time")


def document(context: Context) -> tuple[Document, dict[str, Any]]:
    """Make the missing measurements, and build the page in both languages.

    Returns:
        What the page shows, with its translation; and the scores, as JSON values.

    Raises:
        WorkError: fewer than two systems have finished.
        DataError: no photo that all systems have labelled.
    """
    found = measure(context)
    english, korean = (_Page(context, found, language).document() for language in ("en", "ko"))
    return replace(english, translations=(korean,)), found.to_json()


@dataclass(frozen=True)
class _Page:
    """The page in one language."""

    context: Context
    found: Measures
    language: Language

    @property
    def steps(self) -> list[Step]:
        return history().choose(self.context.methods)

    @property
    def shown(self) -> list[Step]:
        """Steps that have a result."""
        return [step for step in self.steps if step.stage in self.found.stages]

    def say(self, name: str, **values: Any) -> str:
        return history().words[self.language][name].format(**values)

    def document(self) -> Document:
        photo, *others = self._places()
        sections = [
            Section(self.say("reading"), self._reading()),
            *(self._section(number, step, photo) for number, step in enumerate(self.steps, 1)),
            Section(self.say("all"), items=self._all(others)),
            Section(self.say("limits"), tuple(self.say(name) for name in LIMITS)),
        ]
        return common_sections.document(
            self.context,
            title=self.say("title"),
            lead=self._lead(),
            sections=sections,
            tiles=(),
            missing=self.found.missing,
            budget="",
            language=self.language,
        )

    def _places(self) -> list[int]:
        """Of photos for figures, chosen by their truth; the first is shown in every step."""
        context = self.context
        if context.photo is None and context.label is not None:
            found = large_objects(
                context.shares(), 1 + MORE_PHOTOS, background=context.background,
                wanted=context.label,
            )  # fmt: skip
            return [place for place, _ in found]
        return context.example_places(1 + MORE_PHOTOS)

    def _lead(self) -> str:
        context = self.context
        runtime = context.runtime
        return self.say(
            "lead",
            budget=context.budget,
            trainings=len(context.plans),
            data=context.data.name,
            train=len(context.train),
            photos=len(context.split),
            split=context.split.name,
            machine=f"{cpu_name()}, {runtime.device}, {runtime.precision}",
        )

    def _reading(self) -> tuple[str, ...]:
        given = self.context.given_budget
        table = history().trainings
        equal = all(table[plan.name].share == 1 for plan in self.context.plans)
        shares = self.say("equal" if equal else "shares")
        if given is not None:
            shares = self.say("given", budget=given)
        texts = [self.say("about", steps=len(self.steps)), self.say("scores"), self.say("gains")]
        return (*texts, shares)

    def _section(self, number: int, step: Step, photo: int) -> Section:
        title = self.say("step", number=number, title=step.title, year=step.year)
        text = [step.idea[self.language], self.say("source", source=step.source[self.language])]
        items: list[Item] = [self._scheme(step)]
        if step not in self.shown:
            return Section(title, (*text, self.say("failed")), tuple(items))
        text += [self._gain(before, gains) for before, gains in self._gains_of(step)]
        if (sliding := self.found.stages[step.stage]["costs"]["sliding"]) is not None:
            text.append(self._sliding(sliding))
        return Section(title, tuple(text), (*items, self._picture(step, photo), self._table(step)))

    def _gains_of(self, step: Step) -> list[tuple[str, Mapping[str, Any]]]:
        return [(to, gain) for (of, to), gain in self.found.gains.items() if of == step.stage]

    def _gain(self, before: str, gains: Mapping[str, Any]) -> str:
        area, rims = gains["miou"], gains["boundary_iou"]
        return self.say(
            "gain",
            before=self._titles()[before],
            miou=_interval(area),
            verdict=self._verdict(area),
            rims=_interval(rims),
            other=self._verdict(rims),
        )

    def _sliding(self, seconds: Mapping[str, float]) -> str:
        patches, whole = seconds["patches"], seconds["whole"]
        times = f"{patches / whole:.1f}"
        return self.say("sliding", patches=f"{patches:.3f}", whole=f"{whole:.3f}", times=times)

    def _verdict(self, difference: Contender) -> str:
        return self.say({1: "better", -1: "worse"}.get(direction(difference) or 0, "open"))

    def _titles(self) -> dict[str, str]:
        return {stage: title for step in self.steps for stage, title in step.stages.items()}

    def _scheme(self, step: Step) -> Chart:
        names = history().drawings.get(self.language, {})
        columns = [
            Column(tuple(names.get(name, name) for name in text.split("|")), height)
            for text, height in step.scheme.columns
        ]
        skips = [
            Skip(first, last, names.get(name, name)) for first, last, name in step.scheme.skips
        ]
        caption = self.say("scheme", title=step.title)
        return Chart(
            f"scheme-{step.stage}", caption, lambda theme: scheme_chart(columns, skips, theme=theme)
        )

    def _picture(self, step: Step, photo: int) -> Sheet:
        stages = {**self._before(step), **step.stages}
        row = picture_row(self.context, photo, stages, self.language)
        caption = self.say("picture", photo=row.title)
        labels = self.context.dataset.labels
        return Sheet(f"photo-{step.stage}", caption, (replace(row, title=""),), labels)

    def _before(self, step: Step) -> dict[str, str]:
        """Stage and title of the system that a step is compared with."""
        before = [to for to, _ in self._gains_of(step) if to not in step.parts]
        return {stage: self._titles()[stage] for stage in before}

    def _table(self, step: Step) -> Table:
        caption = self.say("table", photos=self.found.photos, split=self.context.split.name)
        rows = [
            {self.say("system"): title, **self._scores(stage)}
            for stage, title in {**self._before(step), **step.stages}.items()
        ]
        best = (self.say("miou"), self.say("rims"), self.say("f"))
        return Table.of(f"scores-{step.stage}", caption, rows, best=best)

    def _scores(self, stage: str) -> dict[str, Any]:
        one = self.found.stages[stage]
        costs = one["costs"]
        return {
            self.say("miou"): one["scores"]["miou"],
            self.say("rims"): one["boundary_iou"]["mean"],
            self.say("f"): one["boundary_f"]["mean"],
            self.say("parameters"): costs["parameters"],
            self.say("iterations"): costs["iterations"],
            self.say("training"): None if costs["training"] is None else round(costs["training"]),
            self.say("prediction"): costs["prediction"],
        }

    def _all(self, places: Sequence[int]) -> tuple[Item, ...]:
        left_out = (self.say("f"), self.say("iterations"))
        rows: list[dict[str, Any]] = []
        for step in self.shown:
            scores = self._scores(step.stage)
            rows.append(
                {
                    self.say("system"): f"{step.title} ({step.year})",
                    self.say("miou"): scores.pop(self.say("miou")),
                    self.say("versus"): self._over(step),
                    **{name: value for name, value in scores.items() if name not in left_out},
                    self.say("adds"): step.adds[self.language],
                }
            )
        names = [f"{step.year}  {step.title}" for step in self.shown]
        lines = [
            (self.say(name), [self._scores(step.stage)[self.say(name)] for step in self.shown])
            for name in ("miou", "rims")
        ]
        caption = self.say(
            "all_table",
            photos=self.found.photos,
            split=self.context.split.name,
            timed=self.found.timed,
        )
        best = (self.say("miou"), self.say("rims"))
        return (
            Table.of("systems", caption, rows, best=best),
            Chart(
                "figure-years",
                self.say("all_chart"),
                lambda theme: horizontal_bars(names, lines, theme=theme),
            ),
            *self._more(places),
        )

    def _over(self, step: Step) -> str | None:
        """The gain over the system before it."""
        for before, gain in self._gains_of(step):
            title = self._titles()[before]
            return self.say("over", gain=_interval(gain["miou"]), before=title)
        return None

    def _more(self, places: Sequence[int]) -> tuple[Item, ...]:
        """Further photos, each in rows of a few pictures."""
        stages = {step.stage: step.title for step in self.shown}
        rows: list[Row] = []
        for place in places:
            whole = picture_row(self.context, place, stages, self.language)
            for start in range(0, len(whole.shots), SHOTS):
                of_data = whole.of_data if not start else frozenset[int]()
                shots = whole.shots[start : start + SHOTS]
                rows.append(Row("" if start else whole.title, shots, of_data))
        if not rows:
            return ()
        labels = self.context.dataset.labels
        return (Sheet("photos", self.say("all_sheet"), tuple(rows), labels),)


def _interval(difference: Contender) -> str:
    """Its two ends are not parted at the end of a line."""
    return (interval(difference) or NO_VALUE).replace(", ", ",\u00a0")
