"""Run folders with generated contents: what the report reads, without any network."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from upscore.core.files import write_json, write_text
from upscore.core.labels import CAMVID_LABELS, VOID, Labels
from upscore.core.run_folder import RunFolder
from upscore.data.dataset import Split
from upscore.data.masks import MaskTable
from upscore.data.pair import Pair
from upscore.metrics.evaluate import evaluate
from upscore.metrics.score_files import write_results
from upscore.report.examples import write_examples

COLUMNS = "iteration,fraction,seconds,images,loss,lr,val_miou,val_pixel_accuracy,memory_mib".split(
    ","
)
NASTY = Labels.of(["<script>alert(1)</script>", 'a & "b"', "'c' $x$ {{ 7*7 }}", "Straße 道路"])


def blocks(rng: np.random.Generator, height: int, width: int, num_classes: int) -> np.ndarray:
    """A label map of overlapping discs on stripes."""
    rows, columns = np.mgrid[:height, :width]
    labels = (rows * num_classes // (2 * height)).astype(np.uint8)
    for _ in range(8):
        y, x, r = rng.integers(height), rng.integers(width), rng.integers(height // 12, height // 4)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < r**2
        labels[disc] = rng.integers(num_classes)
    return labels


def make_photos(
    folder: Path, labels: Labels, *, num: int = 18, size: tuple[int, int] = (90, 120), seed: int = 1
) -> tuple[Split, dict[str, np.ndarray]]:
    """Photos in the classes' colours under noise, and the truth that a fake network distorts."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    pairs, truths = [], {}
    for i in range(num):
        name = f"street & <b>{i:02d}" if i % 5 == 0 else f"straße {i:02d}"
        truth = blocks(rng, *size, len(labels))
        photo = labels.colorize(truth).astype(np.int64) * 2 // 3 + 40
        photo = np.clip(photo + rng.normal(0, 14, photo.shape), 0, 255).astype(np.uint8)
        photo[0, 0, 0] = i  # the fake network recognises its photo by it
        truths[i] = truth.copy()
        truth[: size[0] // 15] = VOID
        Image.fromarray(photo).save(folder / f"{i}.png")
        Image.fromarray(truth).save(folder / f"{i}_mask.png")
        pairs.append(Pair(name, folder / f"{i}.png", folder / f"{i}_mask.png"))
    return Split("val", tuple(pairs), labels, MaskTable.indices(len(labels))), truths


def write_log(path: Path, *, rows: int = 60, step: int = 100, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for i in range(1, rows + 1):
            part = i / rows
            loss = 2.2 * np.exp(-3 * part) + 0.25 + rng.normal(0, 0.05)
            common = [i * step, part, 25.0 * i, 4 * i * step]
            writer.writerow([*common, f"{loss:.6f}", 0.002, "", "", 900 + i])
            if i % 5 == 0:
                miou = 0.68 * (1 - np.exp(-3 * part)) + rng.normal(0, 0.008)
                writer.writerow([*common, "", 0.002, f"{miou:.4f}", 0.9, 900 + i])


def write_manifest(path: Path, *, labels: Labels, width: float) -> RunFolder:
    run = RunFolder(path)
    path.mkdir(parents=True)
    run.write_manifest(
        {
            "command": f"upscore train fcn8s-quick --data camvid --out {path.name}",
            "started": "2026-01-02T03:04:05+00:00",
            "git_commit": "0123abc",
            "device": "cpu",
            "precision": "bf16",
            "seed": 0,
            "machine": {"cpu": "Some CPU", "cores": 2, "versions": {"torch": "2.9"}},
            "data": {
                "path": "data/camvid",
                "layout": "camvid",
                "fingerprint": "00ff",
                "splits": {"train": 367, "val": 18},
            },
        }
    )
    recipe = {
        "description": "Ours, for people with minutes.",
        "model": {"name": "fcn8s", "options": {"width": width}},
        "optim": {"name": "adamw", "lr": 0.002},
    }
    write_text(run.recipe, yaml.safe_dump(recipe, allow_unicode=True))
    write_json(
        run.model / "config.json",
        {"architecture": "fcn8s", "num_parameters": 14_321_000, "classes": labels.to_json()},
    )
    return run


def make_run(
    path: Path,
    *,
    labels: Labels = CAMVID_LABELS,
    error: float = 0.15,
    seed: int = 1,
    width: float = 0.5,
    splits: tuple[str, ...] = ("val",),
    num: int = 18,
    size: tuple[int, int] = (90, 120),
) -> RunFolder:
    """A whole run folder. ``error`` is the share of the discs that the fake network gets wrong."""
    run = write_manifest(path, labels=labels, width=width)
    write_log(run.log, seed=seed)
    split, truths = make_photos(path.parent / "photos", labels, num=num, size=size)
    rng = np.random.default_rng(seed)
    for name in splits:
        wrong = {}
        for i, truth in truths.items():
            height, width_ = truth.shape
            other = blocks(rng, height, width_, len(labels))
            bad = blocks(rng, height, width_, 100) < 200 * error * rng.random()
            wrong[i] = np.where(bad, other, truth).astype(np.uint8)

        def predict(image: np.ndarray, table: dict[int, np.ndarray] = wrong) -> np.ndarray:
            return table[int(image[0, 0, 0])]

        folder = run.evaluation / name
        found = evaluate(predict, split)
        write_results(found, folder, about={"settings": {"tile": 1024, "flip": False}})
        write_examples(lambda s, p=predict: p(s.image), split, found.images, folder / "examples")
    return run
