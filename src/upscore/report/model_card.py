"""The card of a network on a hub: README.md with its classes, scores, data and recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from upscore.core.extras import install_command
from upscore.core.tables import Table
from upscore.report.run_data import RunData, SplitResults, split_order


def model_card(run: RunData, *, repo: str, license: str | None) -> str:
    """The card as Markdown with a YAML head, as huggingface.co reads it.

    It holds no path of this machine: of each path in the records only the last part is shown.

    Args:
        run: with the content of the network's config.json in ``model``; recipe, manifest and
            evaluations may be missing.
        repo: OWNER/NAME.
        license: identifier of a licence; None where its author states none.
    """
    head = {
        **({} if license is None else {"license": license}),
        "library_name": "upscore",
        "pipeline_tag": "image-segmentation",
        "tags": ["semantic-segmentation", str(run.model["architecture"])],
    }
    splits = sorted(run.splits, key=lambda item: split_order(item.name))
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n",
        _introduction(run, repo),
        "## Classes\n\n" + _classes(run, splits),
        "## Scores\n\n" + _scores(splits),
        "## Training\n\n" + _training(run),
        "## Licence\n\n"
        + (f"{license}, as stated by its author.\n" if license else "Its author states none.\n"),
    ]
    return "\n".join(parts)


def _introduction(run: RunData, repo: str) -> str:
    name = repo.rpartition("/")[2]
    counted = run.model.get("num_parameters")
    number = f"{counted:,} parameters, " if isinstance(counted, int) else ""
    return (
        f"# {name}\n\nSemantic segmentation: `{run.model['architecture']}`, {number}"
        f"{len(run.model['classes'])} classes, made with upscore.\n\n"
        f"```\n{install_command('hub')}\nupscore hub pull {repo} --out {name}\n"
        f"upscore predict {name} photo.jpg\n```\n"
    )


def _classes(run: RunData, splits: list[SplitResults]) -> str:
    """Value in label maps, name, and IoU on each split."""
    tables = []
    for split in splits:
        scores, names = split.results.scores, split.results.evaluation.labels.names
        tables.append({name: c.iou for name, c in zip(names, scores.per_class, strict=True)})
    rows = [
        (value, item["name"], *(table.get(item["name"]) for table in tables))
        for value, item in enumerate(run.model["classes"])
    ]
    header = ("label", "class", *(f"IoU on {split.name}" for split in splits))
    return Table(header, rows, digits=3).markdown()


def _scores(splits: list[SplitResults]) -> str:
    if not splits:
        return "None: `upscore evaluate` has not scored this network.\n"
    rows = []
    for split in splits:
        scores, about = split.results.scores, split.results.about
        rows.append(
            (
                split.name,
                data_name(about.get("data")) or "unnamed",
                len(split.results.evaluation.images),
                scores.miou,
                scores.classes_averaged,
                scores.pixel_accuracy,
                scores.mean_accuracy,
            )
        )
    header = (
        "split", "data set", "photos", "mIoU", "classes averaged", "pixel accuracy",
        "mean accuracy",
    )  # fmt: skip
    table = Table(header, rows, digits=3).markdown()
    return f"{table}\nIn [0, 1], from one confusion matrix over all photos of a split.\n"


def _training(run: RunData) -> str:
    lines = []
    if name := data_name(run.recorded("data")):
        counts = run.recorded_dict("data", "splits")
        of = f" ({', '.join(f'{key} {value}' for key, value in counts.items())})" if counts else ""
        lines.append(f"Data set: {name}{of}.")
    if run.curve.last_iteration:
        lines.append(f"Iterations: {run.curve.last_iteration:,}.")
    if run.recipe:
        recipe = yaml.safe_dump(
            without_folders(run.recipe), sort_keys=False, allow_unicode=True, width=100
        )
        lines.append(f"\nRecipe:\n\n```yaml\n{recipe}```")
    return "\n".join(lines or ["No records of it."]) + "\n"


def data_name(data: Any) -> str | None:
    """The name of a data set from its record in a manifest or scores.json, without its folders."""
    path = data.get("path") if isinstance(data, Mapping) else None
    if not isinstance(path, str):
        return None
    parts = [part for part in re.split(r"[\\/]", path) if part not in ("", ".", "..")]
    if len(parts) > 1 and parts[-1].lower() in ("dataset.yaml", "dataset.yml"):
        del parts[-1]
    return parts[-1] if parts else None


def without_folders(value: Any, *, key: str = "") -> Any:
    """A recipe in which each text with a slash is cut to what follows the last one.

    Paths of a person's machine are nobody else's business. Descriptions stay as they are.
    """
    if isinstance(value, Mapping):
        return {name: without_folders(item, key=str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item, key=key) for item in value]
    if isinstance(value, str) and key != "description":
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value
