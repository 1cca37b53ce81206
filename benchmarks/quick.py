"""The recipe ``quick`` beside the plain way, on the same crops, from the same pretrained backbone.

The plain way is written here in plain torch: a U-Net as segmentation_models_pytorch builds it
(nearest upsampling, skip, two 3x3 convolutions with batch norm and ReLU; 256, 128, 64, 32 and 16
channels) on EfficientNet-Lite0, AdamW with a cosine, cross-entropy, norms in training mode.

    python benchmarks/quick.py --data ../shared/data/camvid --iterations 880 --out /tmp/quick
    python benchmarks/quick.py --data ../shared/data/msrc --crop 224 288 --photos 40 \
      --classes car face --iterations 750 --seeds 0 1 2 --out /tmp/few

With --photos N the training has N photos of the split train, drawn with the seed, and with
--classes the others of the data set are one class, ``rest``.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import upscore
from upscore.core.images import InputSpec
from upscore.core.labels import VOID
from upscore.data import DataSet, open_dataset
from upscore.metrics.confusion import Confusion
from upscore.models.backbones import find_backbone
from upscore.models.state_dicts import read_weight_file
from upscore.training.recipe import Recipe, load_recipe
from upscore.training.sample_order import random_order
from upscore.training.sample_stream import Sampler

CHANNELS = (256, 128, 64, 32, 16)
INPUT = InputSpec.named("lite0")


class PlainUNet(nn.Module):
    """Scores at half the size, enlarged twofold by the last block, as SMP's do."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        kind = find_backbone("lite0")
        self.backbone = kind(kind.feature_options(), classifier=False)
        self.backbone.load_imagenet(
            read_weight_file(kind.imagenet_files["lite0"].find()), source="lite0"
        )
        skips = [stage.channels for stage in reversed(self.backbone.stages[:-1])] + [0]
        before, self.blocks = self.backbone.stages[-1].channels, nn.ModuleList()
        for skip, after in zip(skips, CHANNELS, strict=True):
            self.blocks.append(
                nn.Sequential(*self._conv(before + skip, after), *self._conv(after, after))
            )
            before = after
        self.score = nn.Conv2d(before, num_classes, 3, padding=1)

    @staticmethod
    def _conv(before: int, after: int) -> list[nn.Module]:
        conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(after), nn.ReLU()]

    def forward(self, images: Tensor) -> Tensor:
        names = [stage.name for stage in self.backbone.stages]
        features = self.backbone(images, names)
        x = features[names[-1]]
        for block, name in zip(self.blocks, [*reversed(names[:-1]), None], strict=True):
            x = F.interpolate(x, scale_factor=2.0)
            if name is not None:
                x = torch.cat([x, features[name]], 1)
            x = block(x)
        scores: Tensor = self.score(x)
        return scores


def train_plain(recipe: Recipe, data: Path, *, rate: float) -> float:
    """Val mIoU after the plain training on the crops that ``recipe`` draws."""
    dataset = open_dataset(data)
    train, val = dataset.train_and_val("train", "val")
    source = Sampler(
        train, recipe.augment, random_order(len(train)), seed=recipe.seed,
        batch=recipe.batch.size, workers=1,
    )  # fmt: skip
    torch.manual_seed(recipe.seed)
    model = PlainUNet(len(dataset.labels)).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    iterations = recipe.budget.iterations
    assert iterations is not None
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    for _, (batch,) in zip(range(iterations), source.steps(0), strict=False):
        with torch.autocast("cpu", torch.bfloat16):
            scores = model(INPUT.apply(batch.images))
        loss = F.cross_entropy(scores.float(), batch.labels, ignore_index=VOID)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    model.eval()
    confusion = Confusion(len(dataset.labels))
    for index in range(len(val)):
        sample = val.read(index)
        height, width = sample.labels.shape
        padding = (0, math.ceil(width / 32) * 32 - width, 0, math.ceil(height / 32) * 32 - height)
        image = torch.from_numpy(sample.image).permute(2, 0, 1)[None]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            scores = model(F.pad(INPUT.apply(image), padding))
        found = scores[0, :, :height, :width].argmax(0).to(torch.uint8).numpy()
        confusion.update(sample.labels, found)
    miou = confusion.scores().miou
    assert miou is not None
    return miou


def few_photos(
    data: Path, out: Path, *, photos: int | None, classes: list[str] | None, seed: int
) -> Path:
    """A data set of some photos of the split train and all of val, with fewer classes."""
    dataset: DataSet = open_dataset(data)
    names = [label["name"] for label in dataset.labels.to_json()]
    lookup = np.full(256, VOID, np.uint8)
    kept = ["rest", *classes] if classes else names
    lookup[: len(names)] = [
        (kept.index(name) if name in kept else 0) if classes else index
        for index, name in enumerate(names)
    ]
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    (out / "classes.txt").write_text("\n".join(kept))
    train, val = dataset.train_and_val("train", "val")
    order = np.random.default_rng(seed).permutation(len(train))[:photos]
    for split, indices in ((train, order), (val, np.arange(len(val)))):
        chosen = []
        for index in indices:
            sample = split.read(int(index))
            chosen.append(sample.name)
            Image.fromarray(sample.image).save(out / "images" / f"{sample.name}.png")
            Image.fromarray(lookup[sample.labels]).save(out / "masks" / f"{sample.name}.png")
        name = "train" if split is train else "val"
        (out / f"{name}.txt").write_text("\n".join(chosen))
    return out


def load_quick(arguments: argparse.Namespace, seed: int, *more: str) -> Recipe:
    """``quick`` as these benchmarks train it: a number of steps, one validation at the end."""
    return load_recipe(
        "quick",
        [
            f"budget.iterations={arguments.iterations}", f"seed={seed}",
            f"augment.crop={arguments.crop}", f"threads={arguments.threads}",
            "data.workers=1", "validate.every=1000000", *more,
        ],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=880)
    parser.add_argument("--crop", type=int, nargs=2, default=[256, 320])
    parser.add_argument("--photos", type=int)
    parser.add_argument("--classes", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.001], help="of the plain way")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for seed in arguments.seeds:
        data = arguments.data
        if arguments.photos or arguments.classes:
            data = few_photos(
                data, arguments.out / f"data-{seed}", photos=arguments.photos,
                classes=arguments.classes, seed=seed,
            )  # fmt: skip
        recipe = load_quick(arguments, seed)
        samples = arguments.iterations * recipe.batch.size
        start = time.perf_counter()
        result = upscore.train(recipe, data=data, out=arguments.out / f"quick-{seed}", resume=True)
        report(f"quick, seed {seed}", result.last, samples, start)
        for rate in arguments.rates:
            start = time.perf_counter()
            report(f"plain, rate {rate:g}, seed {seed}", train_plain(recipe, data, rate=rate),
                   samples, start)  # fmt: skip


def report(name: str, score: float | None, samples: int, start: float) -> None:
    found = "-" if score is None else f"{score:.4f}"
    minutes = (time.perf_counter() - start) / 60
    print(f"{name}: val mIoU {found} after {samples} crops, {minutes:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
