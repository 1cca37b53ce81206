"""The papers behind a network and its training, as BibTeX entries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

NETWORK_PAPERS = {
    "conv-vgg-bilinear": ("simonyan2015vgg",),
    "deconvnet": ("noh2015deconvnet",),
    "deeplab-largefov": ("simonyan2015vgg", "chen2015deeplab"),
    "fpn": ("lin2017fpn",),
    "hypercolumn": ("hariharan2015hypercolumn",),
    "patch-cnn": ("ciresan2012patches",),
    "segnet": ("badrinarayanan2017segnet",),
    "unet": ("ronneberger2015unet",),
}
"""Of FCNs, which have names such as fcn8s, it is their own paper."""

WEIGHT_PAPERS = {
    "lite0": ("tan2019efficientnet",),
    "lite0-fp32": ("tan2019efficientnet",),
    "vgg16": ("simonyan2015vgg",),
    "vgg16-caffe": ("simonyan2015vgg",),
    "vgg16_bn": ("simonyan2015vgg",),
    "hed-vgg16": ("simonyan2015vgg", "xie2015hed"),
}


def entries() -> dict[str, str]:
    """All entries by key."""
    text = (resources.files("upscore") / "papers.bib").read_text(encoding="utf-8")
    found = [entry.strip() for entry in re.split(r"\n(?=@)", text) if entry.strip()]
    return {re.split(r"[{,]", entry)[1]: entry for entry in found}


def papers_of_recipe(recipe: Mapping[str, Any]) -> list[str]:
    """Keys of the papers that a training used, in a fixed order.

    Args:
        recipe: settings, as in a run folder's recipe.yaml.
    """
    model, optim = recipe.get("model", {}), recipe.get("optim", {})
    used = set(papers_of_network(str(model.get("name")), model.get("options", {})))
    used.update(WEIGHT_PAPERS.get(str(recipe.get("init", {}).get("weights")), ()))
    if recipe.get("loss", {}).get("region") == "lovasz":
        used.add("berman2018lovasz")
    if optim.get("name") == "muon":
        used.add("jordan2024muon")
    if recipe.get("crops", {}).get("kind") == "proposals":
        used.add("zitnick2014edgeboxes")
    return [key for key in entries() if key in used]


def papers_of_network(name: str, options: Mapping[str, Any]) -> list[str]:
    """Keys of the papers of a network and its backbone."""
    used = set(NETWORK_PAPERS.get(name, ("long2015fcn",) if name.startswith("fcn") else ()))
    if options.get("backbone") == "lite0":
        used.add("tan2019efficientnet")
    elif name.startswith("fcn"):
        used.add("simonyan2015vgg")
    return [key for key in entries() if key in used]
