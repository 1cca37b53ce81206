"""Commands and options of other tools, and what to type here."""

from __future__ import annotations

import re

VERB_HABITS = {
    "fit": "train",
    "learn": "train",
    "finetune": "train",
    "fine-tune": "train",
    "val": "evaluate",
    "validate": "evaluate",
    "test": "evaluate",
    "eval": "evaluate",
    "score": "evaluate",
    "infer": "predict",
    "inference": "predict",
    "segment": "predict",
    "label": "predict",
    "detect": "predict",
    "run": "predict",
    "crf": "refine",
    "diff": "compare",
    "check": "data check",
    "stats": "data stats",
    "toy": "data toy",
    "download": "data get",
    "convert": "weights convert",
    "models": "recipes",
    "list": "recipes",
    "push": "hub push",
    "pull": "hub pull",
}
"""Commands of other tools by the command here."""

MISSING_VERBS = {
    **dict.fromkeys(
        ("export", "onnx"),
        "networks are used from Python, upscore.load(RUN), or are PyTorch modules: "
        "upscore.models.checkpoint.load_model(FOLDER).model",
    ),
    **dict.fromkeys(
        ("serve", "server", "deploy", "api"),
        "load the network once in your own service, upscore.load(RUN), and segment in it",
    ),
}
"""Commands of other tools that have no counterpart, and what to do instead."""

CROP = "--set 'augment.crop=[{256},{256}]'"
_OUT = "--out FOLDER"
_TRAIN = {
    "lr": "--set optim.lr={0.001}",
    "learning-rate": "--set optim.lr={0.001}",
    "optimizer": "--set optim.name=adamw",
    "batch": "--set batch.size={8}",
    "batch-size": "--set batch.size={8}",
    "imgsz": CROP,
    "img-size": CROP,
    "image-size": CROP,
    "crop-size": CROP,
    "workers": "--set data.workers={2}",
    "num-workers": "--set data.workers={2}",
    "threads": "--set threads={2}",
    "precision": "--set precision=bf16",
    "amp": "--set precision=auto (the default)",
    "patience": "--set validate.patience={5}",
    "weights": "--set init.weights=RUN",
    "pretrained": "nothing: quick starts from ImageNet weights (others: --set init.weights=RUN)",
    "model": "the recipe as the first word: upscore train quick (upscore recipes lists them)",
    "arch": "the recipe as the first word: upscore train quick (upscore recipes lists them)",
    "recipe": "the recipe as the first word, for example upscore train quick",
    "config": "the recipe as the first word, for example upscore train FILE.yaml",
    "cfg": "the recipe as the first word, for example upscore train FILE.yaml",
    "max-steps": "--iterations {1000}",
    "steps": "--iterations {1000}",
    "iters": "--iterations {1000}",
}
_NETWORK = {
    "weights": "the run folder as the first word",
    "checkpoint": "the run folder as the first word",
    "ckpt": "the run folder as the first word",
    "run": "the run folder as the first word",
    "imgsz": "--scales 1 (photos keep their size)",
    "tta": "--flip --scales 0.75 1 1.25",
    "augment": "--flip --scales 0.75 1 1.25",
}
_INPUTS = "the photos without an option, for example upscore predict RUN PHOTO.jpg"

OPTION_HABITS: dict[str, dict[str, str]] = {
    "": {
        "name": _OUT,
        "project": _OUT,
        "output": _OUT,
        "output-dir": _OUT,
        "out-dir": _OUT,
        "save-dir": _OUT,
        "save-path": _OUT,
        "o": _OUT,
        "dataset": "--data PHOTOS",
        "data-dir": "--data PHOTOS",
        "data-root": "--data PHOTOS",
        "root": "--data PHOTOS",
        "gpu": "--device cuda",
        "gpus": "--device cuda",
        "cuda": "--device cuda",
    },
    "train": _TRAIN,
    "predict": _NETWORK
    | dict.fromkeys(("source", "input", "images", "image", "data", "i"), _INPUTS)
    | {"overwrite": "nothing: results are replaced unless --resume is given"},
    "evaluate": _NETWORK | {"model": "the run folder as the first word"},
    "data check": {"data": "the folder alone, for example upscore data check PHOTOS"},
    "data stats": {"data": "the folder alone, for example upscore data stats PHOTOS"},
    "sweep": {
        "seed": "--set seed={0,1,2}",
        "iterations": "--set budget.iterations={1000}",
        "epochs": "--set budget.epochs={10}",
        "minutes": "--set budget.minutes={10}",
        "lr": "--set optim.lr={0.001,0.002}",
    },
    "compare": {"model": "the run folders as the first words", "runs": "the run folders alone"},
}
"""Options of other tools, without dashes, by command; those of "" count for every one. A part in
braces is an example; the value that was typed is put in its place."""


def habit(verb: str, option: str, value: str | None = None) -> str | None:
    """What to type in place of an option (without dashes) of another tool, if it is known.

    Args:
        value: what was typed for it; without one the example between braces stands.
    """
    answer = OPTION_HABITS.get(verb, {}).get(option) or OPTION_HABITS[""].get(option)
    if answer == CROP and value and (sides := re.fullmatch(r"(\d+)[x,](\d+)", value)):
        width, height = sides.groups()
        return f"--set 'augment.crop=[{height},{width}]' (height, width)"
    return answer and re.sub(r"\{(.*?)\}", lambda example: value or example[1], answer)
