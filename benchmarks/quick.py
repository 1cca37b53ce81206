"""The recipe ``quick`` beside the plain way, on the same crops, from the same pretrained backbone.

The plain way: U-Net on EfficientNet-Lite0, AdamW at 0.001 with a cosine, cross-entropy, norms in
training mode.

    python benchmarks/quick.py --data ../shared/data/camvid --iterations 880 --out /tmp/quick
"""

import argparse
from pathlib import Path

import upscore
from upscore.training.recipe import Recipe, load_recipe

PLAIN = [
    "model.name=unet", "model.options={backbone: lite0, batch_norm: true}",
    "init.freeze_norms=false", "loss.class_weights=none", "loss.region=none", "average=0",
    "optim={name: adamw, lr: 0.001, weight_decay: 0.0001}",
]  # fmt: skip


def recipes(iterations: int, seed: int) -> dict[str, Recipe]:
    common = [f"budget.iterations={iterations}", f"seed={seed}", "validate.every=1000000"]
    return {"quick": load_recipe("quick", common), "plain": load_recipe("quick", [*PLAIN, *common])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=880)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name, recipe in recipes(arguments.iterations, arguments.seed).items():
        result = upscore.train(
            recipe, data=arguments.data, out=arguments.out / f"{name}-{arguments.seed}", resume=True
        )
        score = "-" if result.last is None else f"{result.last:.4f}"
        samples = result.iterations * recipe.batch.size
        print(f"{name}: val mIoU {score} after {samples} crops, {result.seconds / 60:.1f} minutes")


if __name__ == "__main__":
    main()
