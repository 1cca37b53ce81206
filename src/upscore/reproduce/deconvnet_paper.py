"""The page of the DeconvNet paper: its table, its figures, and the experiments of its text."""

from __future__ import annotations

from typing import Any

from upscore.report.document import Document, Section
from upscore.reproduce import common_sections
from upscore.reproduce.changes import changes_table
from upscore.reproduce.class_groups import group_table
from upscore.reproduce.context import Context
from upscore.reproduce.deconvnet_checks import checks
from upscore.reproduce.deconvnet_measures import Measures, crop_pair, measure, saved_deconvnet
from upscore.reproduce.deconvnet_pictures import analysis_items, ensemble_items, proposal_items
from upscore.reproduce.deconvnet_stages import DECONVNET, FCN, TITLES
from upscore.reproduce.deconvnet_tables import (
    ablation_table,
    class_tables,
    overall_table,
    samples_table,
    size_items,
    trimap_items,
)
from upscore.reproduce.differences import score_text
from upscore.reproduce.example_selection import pairs_of_objects
from upscore.reproduce.other_methods import OTHER_METHODS
from upscore.reproduce.switches import exchange_items
from upscore.training.shown import overlap_warning


def document(context: Context) -> tuple[Document, dict[str, Any]]:
    """Make the missing measurements, and build the page.

    Returns:
        What the page shows; and the scores, as JSON values.

    Raises:
        WorkError: FCN-8s or DeconvNet, of which nearly all is made, has not finished.
        DataError: no photo that all stages have labelled.
    """
    context.require_networks(needed=(FCN, DECONVNET))
    found = measure(context)
    methods = found["methods"]
    changes = changes_table(
        context.plans,
        f"What the budget, {context.budget}, and --set change against the published trainings of "
        f"{_published_titles(context)}, setting by setting. All others are those of the shipped "
        "recipes.",
    )
    sections = [
        Section(
            "What the paper says, and what came out here",
            (
                "Of differences in mIoU over the whole split, those count whose 95 % interval of a "
                "paired bootstrap over the photos leaves out 0.",
            ),
            checks=tuple(checks(found)),
        ),
        Section(
            "Scores",
            _about(context),
            (
                *class_tables(context, methods),
                overall_table(methods),
                *((changes,) if changes else ()),
            ),
        ),
        Section("What the networks learned from", items=(samples_table(context),)),
        _decoder_section(context),
        _switches_section(context),
        Section("Proposals", items=proposal_items(context, found)),
        Section(
            "Two networks and their ensemble",
            items=ensemble_items(context, methods, found["repairs"]),
        ),
        Section("Objects by size", items=size_items(methods)),
        _boundaries_section(found),
        Section("Ablations", _about_ablations(context), (ablation_table(found["ablations"]),)),
    ]
    page = common_sections.document(
        context,
        title="The DeconvNet paper, reproduced",
        lead=f"FCN-8s, DeconvNet, their ensemble and the CRF after them, on {context.data.name}: "
        "our measured numbers beside the published ones.",
        sections=sections,
        tiles=[
            (score_text(one["scores"]["miou"]), f"mIoU of {one['name']}")
            for one in methods["contenders"]
        ],
    )
    return page, found


def _decoder_section(context: Context) -> Section:
    items = analysis_items(context)
    text = f"No photo of {context.split.name} shows an object, so there is no figure of its layers."
    return Section("What the decoder does", () if items else (text,), items)


def _switches_section(context: Context) -> Section:
    title = "What switches hold"
    found = pairs_of_objects(
        context.shares(),
        1,
        background=context.background,
        wanted=context.label,
        photo=context.photo,
    )
    if not found:
        text = "No two photos show objects of one class that could exchange their switches."
        return Section(title, (text,))
    text = (
        "The paper says that unpooling keeps what is specific to an example, and deconvolution "
        "what is specific to a class. Exchanging switches is our test of that, not the paper's."
    )
    pair = crop_pair(context, found[0])
    items = exchange_items(saved_deconvnet(context), pair, context.dataset.labels)
    return Section(title, (text,), items)


def _boundaries_section(found: Measures) -> Section:
    title, items = "Near boundaries", trimap_items(found["methods"])
    if found["boundaries"]:
        return Section(title, items=(*items, group_table(found["boundaries"], TITLES)))
    text = (
        "No class of these photos is one of the persons, animals and vehicles for which the text "
        "sees gains at boundaries, so there is no table of them."
    )
    return Section(title, (text,), items)


def _about(context: Context) -> tuple[str, ...]:
    text = [
        f"Ours are on {context.data.name} ({len(context.split)} photos of {context.split.name}), "
        "the published ones on VOC 2012 test: their order can be compared, not their height.",
        "The paper's FCN-8s is that of CVPR 2015 (62.2 on VOC 2012 test); the recipe fcn8s is the "
        "later one with heavy learning (67.2 there)"
        + ("." if context.budget.papers else ", and ours here is a small fcn8s-quick."),
    ]
    if not context.budget.papers:
        shared = (
            f"The budget, {context.budget}, is shared among the trainings; the three DeconvNets "
            f"have twice the {context.budget.unit} of {_joined(_whole_photo_titles(context))}."
            if context.given_budget is None
            else f"Every training has {context.given_budget}."
        )
        text.append(f"{shared} Networks are small and begin from random weights.")
    if context.methods:
        text.append(
            "Hypercolumn here classifies every pixel of a whole photo, the published one the boxes "
            "of detected objects. The table's DeepLab-CRF is DeepLab-MSc-CRF-LargeFOV; ours is "
            "without the scores of image and pools (MSc)."
        )
    warning = overlap_warning(context.train, context.split)
    if warning is not None:
        text.append(f"{warning[0].upper()}{warning[1:]}.")
    if context.background is None:
        text.append(
            "The data has no class called background, so DeconvNet also looks at the photo as a "
            "whole: no pixel is without an answer."
        )
    return tuple(text)


def _whole_photo_titles(context: Context) -> list[str]:
    return [TITLES[FCN], *(OTHER_METHODS[name].title for name in context.methods)]


def _published_titles(context: Context) -> str:
    return _joined([plan.title for plan in context.plans if plan.published is not None])


def _joined(titles: list[str]) -> str:
    """``A``, ``A and B``, ``A, B and C``."""
    return " and ".join([", ".join(titles[:-1]), titles[-1]] if titles[1:] else titles)


def _about_ablations(context: Context) -> tuple[str, ...]:
    text = "All are DeconvNet with one thing changed, measured against DeconvNet as it is."
    if not context.budget.papers:
        text += f" Their networks were trained for as many {context.budget.unit} as DeconvNet."
    return (text,)
