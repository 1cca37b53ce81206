"""The table of bad inputs: what is typed, how it ends, what a person reads.

Every row runs the real command line in this process. No row may show a traceback, and each message
names the file, setting or key, what was found, and what to do.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.cli.main import main
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.run_folder import RunFolder
from upscore.data import open_dataset
from upscore.data.toy import make_toy
from upscore.models.checkpoint import save_model
from upscore.models.factory import create_model


@dataclass
class World:
    """A folder to spoil: toy data, a run with random weights, a photo."""

    path: Path

    @property
    def toy(self) -> Path:
        return self.path / "toy"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def photo(self) -> Path:
        return next(iter(sorted((self.toy / "JPEGImages").glob("*.jpg"))))

    @property
    def masks(self) -> list[Path]:
        return sorted((self.toy / "SegmentationClass").glob("*.png"))

    def file(self, name: str, content: str | bytes = b"") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def train(self, *assignments: str, recipe: str = "fcn8s-quick") -> list[str]:
        return ["train", recipe, "--data", str(self.toy), "--out", str(self.path / "new"),
                *(["--set", *assignments] if assignments else [])]  # fmt: skip

    def evaluate(self, *more: str) -> list[str]:
        return ["evaluate", str(self.run), "--data", str(self.toy), *more]

    def predict(self, *inputs: str | Path, more: tuple[str, ...] = ()) -> list[str]:
        names = [str(item) for item in inputs]
        return ["predict", str(self.run), *names, "--out", str(self.path / "out"), *more]

    def refine(self, *more: str, images: Path | None = None) -> list[str]:
        """Of the array file ``result.npy`` and the one photo ``photos/result.jpg``."""
        photos = images or self.path / "photos"
        return ["refine", str(self.path / "result.npy"), "--images", str(photos), "--out",
                str(self.path / "out"), *more]  # fmt: skip

    def result(self, *, classes: int = 2, scale: float = 1.0, crop: int = 0) -> None:
        """Uniform probabilities for a copy of the photo, times ``scale``, ``crop`` rows short."""
        shutil.copy(self.photo, self.file("photos/result.jpg"))
        width, height = Image.open(self.photo).size
        uniform = np.full((classes, height - crop, width), scale / classes, np.float32)
        np.save(self.path / "result.npy", uniform)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("world"))
    make_toy(world.toy, num=6, seed=0)
    labels = open_dataset(world.toy).labels
    model = create_model("fcn32s", num_classes=len(labels), width=0.02, fc_width=4)
    save_model(world.run / "model", model, labels=labels, input_spec=InputSpec.named("imagenet"))
    RunFolder(world.run).write_manifest({"command": "test"})
    return world


@pytest.fixture
def world(pristine: World, tmp_path: Path) -> World:
    shutil.copytree(pristine.path, tmp_path / "world")
    return World(tmp_path / "world")


# -- how a world is spoiled, and what is typed then ----------------------------------------------


def mask_value(w: World) -> list[str]:
    mask = Image.open(w.masks[0])
    values = np.asarray(mask).copy()
    values[:3, :5] = 77
    spoiled = Image.fromarray(values)
    spoiled.putpalette(mask.getpalette() or [])
    spoiled.save(w.masks[0])
    return ["data", "check", str(w.toy)]


def mask_size(w: World) -> list[str]:
    Image.open(w.masks[0]).resize((9, 9), Image.Resampling.NEAREST).save(w.masks[0])
    return ["data", "check", str(w.toy)]


def truncated(w: World) -> list[str]:
    w.photo.write_bytes(w.photo.read_bytes()[:900])
    return ["data", "check", str(w.toy)]


def missing_mask(w: World) -> list[str]:
    w.masks[0].unlink()
    return ["data", "check", str(w.toy)]


def empty_split(w: World) -> list[str]:
    w.file("toy/ImageSets/Segmentation/val.txt", "")
    return w.evaluate()


def two_splits(w: World) -> list[str]:
    lists = w.toy / "ImageSets" / "Segmentation"
    (lists / "val.txt").write_text((lists / "train.txt").read_text())
    return ["data", "check", str(w.toy)]


def yaml_set(text: str) -> Callable[[World], list[str]]:
    def spoil(w: World) -> list[str]:
        return ["data", "check", str(w.file("dataset.yaml", text))]

    return spoil


def manifest(**changes: object) -> Callable[[World], list[str]]:
    def spoil(w: World) -> list[str]:
        content = json.loads((w.run / "manifest.json").read_text())
        (w.run / "manifest.json").write_text(json.dumps({**content, **changes}))
        return w.predict(w.photo)

    return spoil


def config(**changes: object) -> Callable[[World], list[str]]:
    def spoil(w: World) -> list[str]:
        path = w.run / "model" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        return w.predict(w.photo)

    return spoil


def without(name: str) -> Callable[[World], list[str]]:
    def spoil(w: World) -> list[str]:
        target = w.run / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        return w.predict(w.photo)

    return spoil


def cut_weights(w: World) -> list[str]:
    path = w.run / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    return w.predict(w.photo)


def damaged_manifest(w: World) -> list[str]:
    (w.run / "manifest.json").write_text('{"format_ver')
    return w.predict(w.photo)


def other_classes(w: World) -> list[str]:
    labels = Labels.of(["background", "cat", "dog"])
    model = create_model("fcn32s", num_classes=3, width=0.02, fc_width=4)
    save_model(w.run / "model", model, labels=labels, input_spec=InputSpec.named("imagenet"))
    return w.evaluate()


def bad_among_good(w: World) -> list[str]:
    w.file("photos/bad.jpg", b"not a photo")
    shutil.copy(w.photo, w.path / "photos" / "good.jpg")
    return w.predict(w.path / "photos")


def taken_out(w: World) -> list[str]:
    w.file("new/something.txt", "mine")
    return w.train()


def file_for_out(w: World) -> list[str]:
    w.file("out", "mine")
    return w.predict(w.photo)


def recipe_file(text: str) -> Callable[[World], list[str]]:
    def spoil(w: World) -> list[str]:
        return w.train(recipe=str(w.file("mine.yaml", text)))

    return spoil


def pixels(w: World) -> list[str]:
    return w.predict(w.photo, more=("--max-pixels", "100"))


def crf_file(text: str) -> Callable[[World], list[str]]:
    def spoil(w: World) -> list[str]:
        return w.predict(w.photo, more=("--crf", str(w.file("crf.yaml", text))))

    return spoil


def refining(
    *more: str, scale: float = 1.0, crop: int = 0, images: str = "photos"
) -> Callable[[World], list[str]]:
    def spoil(w: World) -> list[str]:
        w.result(scale=scale, crop=crop)
        return w.refine(*more, images=w.path / images)

    return spoil


def refining_labels(w: World) -> list[str]:
    return ["refine", str(w.masks[0]), "--images", str(w.toy / "JPEGImages"), "--out",
            str(w.path / "out")]  # fmt: skip


def refining_overlays(w: World) -> list[str]:
    w.result()
    return ["refine", str(w.toy / "JPEGImages"), "--images", str(w.path / "photos"), "--out",
            str(w.path / "out")]  # fmt: skip


def refining_broken(w: World) -> list[str]:
    w.result()
    w.file("result.npy", b"broken")
    return w.refine()


ONE = "answer: a\nstages: {a: {whole_image: {run: run}}"


def pipeline(text: str, *more: str, verb: str = "predict") -> Callable[[World], list[str]]:
    """A pipeline file beside the run folder ``run``, given to a verb."""

    def spoil(w: World) -> list[str]:
        path = str(w.file("p.yaml", text))
        if verb == "evaluate":
            return ["evaluate", path, "--data", str(w.toy), *more]
        return ["predict", path, str(w.photo), "--out", str(w.path / "out"), *more]

    return spoil


def typed(*words: str) -> Callable[[World], list[str]]:
    """Words with {toy}, {run}, {photo}, {path} filled in."""

    def spoil(w: World) -> list[str]:
        places = {"toy": w.toy, "run": w.run, "photo": w.photo, "path": w.path}
        return [word.format(**places) for word in words]

    return spoil


def reproducing(*more: str) -> Callable[[World], list[str]]:
    return typed("reproduce", "fcn-report", "--data", "{toy}", "--out", "{path}/new", *more)


def few(
    *assignments: str, classes: str = "rest\ncat", num: int = 2, object_value: int = 1
) -> Callable[[World], list[str]]:
    """Photos whose masks are half 0, half ``object_value``, without a validation split."""
    short = ("budget.iterations=1", "augment.crop=[64,64]")  # if it is not refused

    def spoil(w: World) -> list[str]:
        mask = np.zeros((40, 48), np.uint8)
        mask[20:] = object_value
        for index in range(num):
            Image.new("RGB", (48, 40)).save(w.file(f"few/images/{index}.png"))
            Image.fromarray(mask).save(w.file(f"few/masks/{index}.png"))
        w.file("few/classes.txt", classes)
        return ["train", "--data", str(w.path / "few"), "--out", str(w.path / "new"),
                "--set", *short, *assignments]  # fmt: skip

    return spoil


def training(*assignments: str, recipe: str = "fcn8s-quick") -> Callable[[World], list[str]]:
    return lambda w: w.train(*assignments, recipe=recipe)


def sweeping(*assignments: str, more: tuple[str, ...] = ()) -> Callable[[World], list[str]]:
    def typed_so(w: World) -> list[str]:
        given = ["--set", *assignments] if assignments else []
        return ["sweep", "fcn8s-quick", "--data", str(w.toy), "--out", str(w.path / "new"),
                *more, *given]  # fmt: skip

    return typed_so


def another_sweep(content: str) -> Callable[[World], list[str]]:
    def spoil(w: World) -> list[str]:
        w.file("new/something.txt")
        w.file("new/sweep.json", content)
        return sweeping("seed=0,1", TINY)(w)

    return spoil


def sweep_into_taken(w: World) -> list[str]:
    w.file("new/something.txt")
    return sweeping("seed=0,1", TINY)(w)


TINY = "model.options={width: 0.02, fc_width: 4}"

CASES: dict[str, tuple[Callable[[World], list[str]], int, str]] = {
    # data
    "no such data": (typed("data", "check", "{path}/none"), 2, r"none: no such data set; give"),
    "no layout": (typed("data", "check", "{run}"), 2, r"unknown folder layout.*dataset\.yaml"),
    "data is a photo": (typed("data", "check", "{photo}"), 2, r"is a file; give a folder"),
    "mask value": (mask_value, 1, r"77 \(15 pixels\)"),
    "mask size": (mask_size, 1, r"9x9"),
    "truncated photo": (truncated, 1, r"\.jpg.*(damaged|truncated)"),
    "missing mask": (missing_mask, 1, r"toy_000000"),
    "empty split": (empty_split, 2, r"split 'val' is empty"),
    "file in two splits": (two_splits, 1, r"toy_000000|in two splits|both"),
    "yaml: unknown key": (yaml_set("rooot: .\nclasses: [a]"), 2, r"dataset\.yaml: .*'rooot'"),
    "yaml: not yaml": (yaml_set("classes: [a"), 2, r"dataset\.yaml.* not valid YAML"),
    "yaml: a list": (yaml_set("- a\n"), 2, r"dataset\.yaml: expected 'key: value'"),
    "toy: one photo": (
        typed("data", "toy", "--out", "{path}/t", "--num", "1"), 2, r"--num is 1; allowed: 2"),
    "toy: taken": (typed("data", "toy", "--out", "{run}"), 1, r"not empty and no toy set"),
    "get: no archive": (
        typed("data", "get", "sbd", "--to", "{path}/s", "--from", "{path}/none.tgz"), 2,
        r"none\.tgz",
    ),
    "get: wrong archive": (
        typed("data", "get", "sbd", "--to", "{path}/s", "--from", "{photo}"), 1, r"md5 is",
    ),
    "get: unknown set": (typed("data", "get", "coco", "--to", "{path}/c"), 2, r"voc2012"),
    # recipe
    "unknown recipe": (training(recipe="fcn8-quick"), 2, r"did you mean 'fcn8s-quick'"),
    "no recipe file": (training(recipe="none.yaml"), 2, r"none\.yaml: no such recipe file"),
    "recipe: unknown key": (recipe_file("model: {name: fcn8s}\nbudget: {hours: 2}"), 2,
                            r"unknown setting 'budget\.hours'; there are iterations"),
    "recipe: no model": (recipe_file("budget: {epochs: 2}"), 2, r"setting 'model' is missing"),
    "recipe: not yaml": (recipe_file("model: {name"), 2, r"mine\.yaml, line \d+: not valid YAML"),
    "recipe: empty": (recipe_file(""), 2, r"mine\.yaml: expected 'key: value'"),
    "set: unknown key": (training("optim.lrr=1"), 2, r"'optim\.lrr'; did you mean optim\.lr\?"),
    "set: no equals": (training("optim.lr"), 2, r"write it as KEY=VALUE"),
    "set: wrong type": (training("batch.size=two"), 2, r"batch\.size: .*integer.*'two'"),
    "set: negative rate": (training("optim.lr=-1"), 2, r"optim\.lr: .*greater than 0"),
    "set: two budgets": (training("budget.minutes=1", "budget.epochs=1"), 2, r"exactly one of"),
    "set: unknown network": (training("model.name=fcn9s"), 2, r"no network 'fcn9s'.*fcn8s"),
    "set: unknown option": (training("model.options.widht=1"), 2, r"'widht'; did you mean 'width'"),
    "set: huge width": (
        training(f"model.options.fc_width={10**18}"), 2, r"fc_width: input should be less .*65536"),
    "set: huge crop": (
        training("augment.crop=[1000000,1000000]"), 2, r"crop\.0: input should be less .*16384"),
    "set: huge batch": (training(f"batch.size={10**20}"), 2, r"batch\.size: .*less .*65536"),
    "set: yes is no number": (training("optim.lr=yes"), 2, r"lr: expected a number, found true"),
    "set: option range": (training("model.options.width=0"), 2, r"width: input should be greater"),
    "set: no such split": (training("data.val_split=test"), 2, r"no split 'test'; there are"),
    "set: batch of unequal photos": (training("augment.crop=null"), 2, r"set augment\.crop to"),
    "set: fp16 on a CPU": (training("precision=fp16", "device=cpu"), 2, r"fp16 needs a GPU"),
    "set: weights not there": (training("init.weights=none.pth"), 2, r"none\.pth"),
    # sweep
    "sweep: nothing": (sweeping(), 2, r"nothing to sweep: .*upscore train"),
    "sweep: one value": (sweeping("seed=0"), 2, r"nothing to sweep"),
    "sweep: empty value": (sweeping("seed=0,,1"), 2, r"seed=0,,1.*value is empty"),
    "sweep: key twice": (sweeping("seed=0,1", "seed=2"), 2, r"seed is given twice"),
    "sweep: open bracket": (sweeping("augment.crop=[32,32"), 2, r"bracket is not closed"),
    "sweep: unknown key": (sweeping("optim.lrr=1,2"), 2, r"'optim\.lrr'; did you mean optim\.lr\?"),
    "sweep: some do not fit": (sweeping("optim.lr=1e-4,-1,low"), 2, r"-1.*'low'"),
    "sweep: no such network": (sweeping("model.name=fcn8s,fcn9s", TINY), 2,
                               r"name=fcn9s: no network 'fcn9s'"),
    "sweep: no such weights": (sweeping("init.weights=none,a.pth", TINY), 2,
                               r"init\.weights is 'a\.pth', which is no file"),
    "sweep: no such split": (sweeping("data.val_split=val,test", TINY), 2, r"no split 'test'"),
    "sweep: no process": (sweeping("seed=0,1", more=("--processes", "0")), 2, r"--processes is 0"),
    "sweep: out is taken": (sweep_into_taken, 2, r"new: exists and is not a sweep"),
    "sweep: of other settings": (another_sweep('{"swept": {"optim.lr": [1, 2]}}'), 2,
                                 r"another sweep, over optim\.lr, not over seed"),
    "sweep: another recipe": (another_sweep('{"swept": {"seed": [0]}, "base": {"log_every": 7}}'),
                              2, r"another sweep.*log_every is 7 in the run, null now"),
    "sweep: newer": (another_sweep('{"format_version": 99}'), 2, r"newer upscore"),
    "sweep: damaged": (another_sweep("{"), 2, r"sweep\.json: damaged"),
    # run folder
    "no run": (typed("evaluate", "{path}/none", "--data", "{toy}"), 2, r"no such run folder"),
    "run is data": (typed("evaluate", "{toy}", "--data", "{toy}"), 2, r"neither a run folder"),
    "run without model": (without("model"), 2, r"has no model yet.*--resume"),
    "run without config": (without("model/config.json"), 2, r"config\.json"),
    "run without weights": (without("model/model.safetensors"), 2, r"model\.safetensors"),
    "cut weights": (cut_weights, 2, r"model\.safetensors: .*(damaged|cannot be read)"),
    "damaged manifest": (damaged_manifest, 2, r"manifest\.json: damaged"),
    "newer run": (manifest(format_version=99), 2, r"newer upscore.*pip install -U"),
    "newer model": (config(format_version=99), 2, r"newer upscore.*pip install -U"),
    "unknown architecture": (config(architecture="fcn9s"), 2, r"fcn9s"),
    "other width": (config(options={"width": 0.5, "num_classes": 8, "in_channels": 3}), 2,
                    r"belong to different networks"),
    "other classes than the data": (other_classes, 2, r"cat"),
    "split that is not there": (lambda w: w.evaluate("--split", "test"), 2, r"no split 'test'"),
    "report of nothing": (typed("report", "{path}/none"), 2, r"none: no such run folder"),
    # prediction
    "no input": (typed("predict", "{run}", "--out", "{path}/out"), 2, r"no photo is named"),
    "no such photo": (lambda w: w.predict("none.jpg"), 2, r"none\.jpg: no such file"),
    "empty pattern": (lambda w: w.predict("none/*.jpg"), 2, r"pattern matches no photo"),
    "folder without photos": (
        lambda w: w.predict(w.file("empty/notes").parent), 2, r"no photo in this folder"),
    "one bad photo": (bad_among_good, 1, r"bad\.jpg: is not an image"),
    "too many pixels": (pixels, 1, r"raise it with --max-pixels"),
    "unknown product": (lambda w: w.predict(w.photo, more=("--save", "mask")), 2,
                        r"there are labels, overlay, probabilities"),
    "bad tile": (
        lambda w: w.predict(w.photo, more=("--tile", "100")), 2, r"--tile is 100; allowed"),
    "bad scale": (lambda w: w.predict(w.photo, more=("--scales", "-1")), 2, r"scales"),
    # refinement
    "crf: unknown name": (lambda w: w.predict(w.photo, more=("--crf", "deconvnt")), 2,
                          r"no CRF settings 'deconvnt'; did you mean 'deconvnet'\?.*\.yaml file"),
    "crf: of evaluate": (lambda w: w.evaluate("--crf", "many"), 2, r"there are deconvnet"),
    "crf: no file": (lambda w: w.predict(w.photo, more=("--crf", "none.yaml")), 2,
                     r"none\.yaml: no such file of CRF settings"),
    "crf: unknown key": (crf_file("gaussian: {sx: 3, sxy: 3, weight: 3}"), 2,
                         r"crf\.yaml: unknown setting 'gaussian\.sx'; did you mean gaussian\.sxy"),
    "crf: negative deviation": (crf_file("gaussian: {sxy: -3, weight: 3}"), 2,
                                r"gaussian\.sxy: expected a number above 0.*found -3"),
    "crf: no term": (crf_file("iterations: 3"), 2, r"give gaussian, bilateral or both"),
    "crf: table of another size": (
        crf_file("gaussian: {sxy: 3, weight: 3}\ncompatibility: [[0, 1], [1, 0]]"), 2,
        r"compatibility is for 2 classes"),
    "refine: nothing named": (typed("refine", "--images", "{toy}", "--out", "{path}/out"), 2,
                              r"no input; name results"),
    "refine: no results": (refining_overlays, 2, r"no result in this folder.*npz, npy, png"),
    "refine: no photos folder": (refining(images="none"), 2, r"none: no such file or folder"),
    "refine: photos of other names": (refining(images="toy"), 2, r"no photo 'result' in .*toy"),
    "refine: another size": (refining(crop=3), 1, r"result\.npy: of \d+x\d+ .*resize it to the"),
    "refine: not normalised": (refining(scale=2), 1, r"result\.npy: .*sum to 2 .*divide by"),
    "refine: negative": (refining(scale=-1), 1, r"result\.npy: .*negative"),
    "refine: not numbers": (refining(scale=float("nan")), 1, r"result\.npy: .*NaN"),
    "refine: broken": (refining_broken, 1, r"result\.npy: not an array file of numpy"),
    "refine: classes of labels": (refining_labels, 2, r"a label map; give its number .*--classes"),
    "refine: other classes": (refining("--classes", "3"), 1, r"of 2 classes, but --classes 3"),
    "refine: unsure": (refining("--confidence", "2"), 2, r"--confidence is 2.0; allowed"),
    "refine: unknown settings": (refining("--crf", "x"), 2, r"no CRF settings 'x'"),
    "refine: no workers": (refining("--workers", "0"), 2, r"--workers is 0; allowed: 1 or more"),
    # pipelines
    "pipeline: no file": (typed("predict", "{path}/p.yaml", "{photo}", "--out", "{path}/out"), 2,
                          r"p\.yaml: no such pipeline file"),
    "pipeline: not yaml": (pipeline("stages: {"), 2, r"p\.yaml, line \d: not valid YAML"),
    "pipeline: a recipe": (pipeline("model: {name: fcn8s}"), 2, r"unknown setting 'model'"),
    "pipeline: unknown key": (pipeline("answer: a\nstages: {a: {whole_imag: {run: run}}}"), 2,
                              r"'stages\.a\.whole_imag'; did you mean stages\.a\.whole_image"),
    "pipeline: missing run": (
        pipeline("answer: a\nstages: {a: {whole_image: {run: none}}}"), 2,
        r"p\.yaml: stages\.a\.whole_image\.run: .*none: no such run folder"),
    "pipeline: unknown stage": (pipeline(ONE + ", b: {refine: {of: c}}}"), 2,
                                r"stages\.b\.refine\.of: no stage 'c'; there are a, b"),
    "pipeline: a circle": (pipeline(ONE + ", b: {refine: {of: c}}, c: {refine: {of: b}}}"), 2,
                           r"b is made of c is made of b, a circle"),
    "pipeline: no proposals": (
        pipeline("answer: a\nstages: {a: {instance_wise: {run: run}}}"), 2,
        r"needs to know where boxes come from; give it proposals: \{store: FILE\.parquet\}"),
    "pipeline: no store": (
        pipeline("answer: a\nstages: {a: {instance_wise: {run: run, "
                 "proposals: {store: b.parquet}}}}"), 2, r"b\.parquet: no such file; .*make"),
    "pipeline: crf too": (pipeline(ONE + "}", "--crf", "deconvnet"), 2,
                          r"--crf is for a run folder, but .*p\.yaml is a pipeline"),
    "pipeline: stages": (pipeline(ONE + "}", "--stages", "b", verb="evaluate"), 2,
                         r"no stage 'b' in this pipeline; there are a"),
    "pipeline: steps of none": (pipeline(ONE + "}", "--save-proposal-steps", "1"), 2,
                                r"the answer 'a' of this pipeline comes from none"),
    "stages of a run": (lambda w: w.evaluate("--stages", "a"), 2, r"run is not a pipeline file"),
    "steps of a run": (lambda w: w.predict(w.photo, more=("--save-proposal-steps", "1,5")), 2,
                       r"give a pipeline file in place of the run folder"),
    "steps that are none": (lambda w: w.predict(w.photo, more=("--save-proposal-steps", "1,x")), 2,
                            r"--save-proposal-steps is '1,x'; expected numbers of boxes"),
    "template: unknown": (typed("pipeline", "edeconv", "--out", "{path}/p.yaml"), 2,
                          r"no shipped pipeline 'edeconv'; did you mean 'edeconvnet-crf'"),
    "template: missing run": (
        typed("pipeline", "edeconvnet-crf", "--run", "fcn={run}", "--out", "{path}/p.yaml"), 2,
        r"needs --run fcn=RUN --run deconvnet=RUN; found no --run for deconvnet"),
    # proposals and edges
    "proposals: no data": (
        typed("proposals", "make", "--data", "{path}/none", "--out", "b.parquet"), 2,
        r"none: no such"),
    "proposals: no such split": (
        typed("proposals", "make", "--data", "{toy}", "--out", "b.parquet", "--split", "tst"), 2,
        r"no split 'tst'"),
    "proposals: option of another source": (
        typed("proposals", "make", "--data", "{toy}", "--out", "b.parquet", "--source", "grid",
              "--beta", "0.9"), 2, r"--beta is for --source edge-boxes"),
    "proposals: no such weights": (
        typed("proposals", "make", "--data", "{toy}", "--out", "{path}/b.parquet", "--model",
              "{path}/w.safetensors"), 2, r"w\.safetensors: no such file"),
    "compare: a single run": (
        typed("compare", "{run}", "--data", "{toy}"), 2, r"two or more runs or pipelines, found 1"),
    "compare: a run that is not there": (
        typed("compare", "{run}", "{toy}/none", "--data", "{toy}"), 2, r"none: no such run folder"),
    "compare: a stage of a run": (
        typed("compare", "{run}", "{run}/manifest.json:crf", "--data", "{toy}"), 2,
        r"manifest\.json:crf: only pipeline files have stages"),
    "compare: pictures below none": (
        typed("compare", "{run}", "{run}", "--data", "{toy}", "--pictures", "-1"), 2,
        r"--pictures is -1; allowed: 0 or more"),
    "reproduce: a budget in hours": (
        reproducing("--budget", "hours=1"), 2, r"--budget is 'hours=1'; allowed: papers"),
    "reproduce: a budget too small for an iteration of each": (
        reproducing("--budget", "minutes=0.01"), 2,
        r"exp1 would get 0\.12 seconds.*expected at least minutes=0\.25"),
    "reproduce: no validation split": (
        reproducing("--split", "dev"), 2, r"no split 'dev'; there are train"),
    "reproduce: a class that is not there": (
        reproducing("--class", "unicorn"), 2, r"no class 'unicorn'"),
    "reproduce: a photo that is not there": (
        reproducing("--photo", "none"), 2, r"--photo is 'none'; split 'val' has"),
    "reproduce: a folder of something else": (
        typed("reproduce", "fcn-report", "--data", "{toy}", "--out", "{toy}"), 2,
        r"toy: exists and holds no reproduction"),
    "reproduce: several processes": (
        reproducing("--set", "processes=2"), 2, r"a reproduction trains in one process"),
    "proposals: recall of an unknown source": (
        typed("proposals", "recall", "--data", "{toy}", "--sources", "gird"), 2, r"gird"),
    "proposals: recall of no boxes": (
        typed("proposals", "recall", "--data", "{toy}", "--counts", "0"), 2, r"--counts are"),
    "proposals: show no photo": (
        typed("proposals", "show", "{path}/none.jpg", "--out", "{path}/p.png"), 2,
        r"none\.jpg: no such"),
    "proposals: show no boxes": (
        typed("proposals", "show", "{path}/none.jpg", "--out", "{path}/p.png", "--boxes", "0"), 2,
        r"none\.jpg: no such file"),
    "edges: train on nothing": (
        typed("edges", "train", "--data", "{path}/none", "--out", "{path}/new"), 2,
        r"none: no such folder; expected BSDS500"),
    "edges: train on other data": (
        typed("edges", "train", "--data", "{toy}", "--out", "{path}/new"), 2,
        r"no boundaries|no photos of BSDS500"),
    "edges: train, unknown setting": (
        typed("edges", "train", "--data", "{toy}", "--out", "{path}/new", "--set", "iteration=2"),
        2, r"unknown setting 'iteration'; did you mean 'iterations'"),
    "edges: evaluate nothing": (
        typed("edges", "evaluate", "--data", "{path}/none"), 2, r"none: no such folder"),
    # few photos, and weights that ship
    "quick: one photo": (few(num=1), 2, r"one photo and there is no 'val'.*data\.val_split=train"),
    "quick: one class": (
        few(classes="cat", object_value=255), 2, r"few: the masks .* only 'cat' \(255"),
    "quick: no such weights": (
        few("init.weights=lite"), 2,
        r"init\.weights is 'lite', which is no file, folder or name; did you mean 'lite0'"),
    "quick: weights of another backbone": (
        few("init.weights=vgg16"), 2,
        r"init\.weights is vgg16, which are weights of the backbone vgg16, and this "
        r"fpn has .*; set model.options.backbone=vgg16, or init.weights=lite0 or lite0-fp32"),
    "quick: random weights": (
        few("init.weights=none"), 2,
        r"init\.freeze_norms is true, but init\.weights is none.*init\.freeze_norms=false"),
    "quick: no such stage": (few("init.freeze=s3"), 2, r"no stage 's3'; did you mean"),
    "quick: four channels": (
        few("model.options.in_channels=4"), 2,
        r"in_channels is 4, but every photo is read as RGB"),
    "quick: batch norm of one value": (
        few("batch.size=1", "augment.crop=[32,32]"), 2,
        r"batch\.size is 1, .* batch norm lateral\.s32\.norm sees one element"),
    # output
    "out is taken": (taken_out, 2, r"new: exists and is no run folder"),
    "out is a file": (file_for_out, 1, r"a file stands where a folder is needed"),
    # command line
    "unknown verb": (typed("trian", "x"), 2, r"trian"),
    "unknown flag": (typed("train", "fcn8s-quick", "--dat", "x", "--out", "y"), 2, r"--data"),
    "missing flag": (typed("train", "fcn8s-quick", "--out", "y"), 2, r"--data"),
    "not a number": (typed("data", "toy", "--out", "{path}/t", "--num", "many"), 2, r"many"),
    "not a device": (lambda w: w.evaluate("--device", "tpu"), 2, r"tpu"),
    "cuda without one": (lambda w: w.evaluate("--device", "cuda"), 2, r"torch sees no GPU"),
}  # fmt: skip


@pytest.mark.usefixtures("compare_here")
@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if name == "cuda without one" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    prepare, status, message = CASES[name]
    arguments = prepare(world)
    ended = 0
    try:
        main(arguments)
    except SystemExit as stop:
        ended = int(stop.code or 0)
    shown = capsys.readouterr()
    text = " ".join((shown.out + shown.err).split())
    assert ended == status, text
    assert re.search(message, text), text
    assert "Traceback" not in text
    assert "unexpected" not in text
    if not (world.path / "new" / "something.txt").exists():
        assert not (world.path / "new").exists(), "a refused training leaves no folder"


def test_one_bad_photo_leaves_the_others_done(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(bad_among_good(world))
    capsys.readouterr()
    assert [p.name for p in (world.path / "out" / "labels").iterdir()] == ["good.png"]


def full_disk(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(number, "simulated")

    monkeypatch.setattr("upscore.core.files.temporary_file", fail)


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")],
)
@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "refine", "toy", "reproduce"])
def test_output_that_cannot_be_written(
    verb: str,
    number: int,
    message: str,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = {
        "train": world.train("budget.iterations=1", "model.options={width: 0.02, fc_width: 4}"),
        "evaluate": world.evaluate(),
        "predict": world.predict(world.photo),
        "refine": refining()(world),
        "toy": ["data", "toy", "--out", str(world.path / "fresh"), "--num", "3"],
        "reproduce": reproducing("--budget", "minutes=1")(world),
    }[verb]
    full_disk(monkeypatch, number)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    text = " ".join(capsys.readouterr().err.split())
    assert stop.value.code == 1
    assert message in text
    assert "cannot write" in text
    assert "Traceback" not in text


def test_debug_shows_the_traceback(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--debug", "data", "check", str(world.path / "none")])
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ours_is_called_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_args: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(sys.modules["upscore.cli.main"], "parse", broken)
    with pytest.raises(SystemExit) as stop:
        main(["doctor"])
    assert stop.value.code == 1
    assert "unexpected ZeroDivisionError: oops" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be removed there")
def test_the_current_folder_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SystemExit) as end:
        main(["data", "check", str(tmp_path)])
    assert end.value.code == 2
    assert "the current folder does not exist (" in capsys.readouterr().err
