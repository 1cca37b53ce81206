"""What each part of the recipe ``quick`` brings: one training for each variant and seed.

    python -m benchmarks.quick_ablation --data ../shared/data/msrc --crop 224 288 --out ablation

A training that is there already is not repeated, so that the script goes on where it stopped.
"""

import argparse
import json
import statistics
from pathlib import Path

import upscore
from benchmarks.quick import load_quick

VARIANTS: dict[str, list[str]] = {
    "quick": [],
    "head not warmed up": ["init.head.crops=0"],
    "backbone frozen": ["init.freeze=s32"],
    "backbone frozen up to s8": ["init.freeze=s8"],
    "backbone_rate 1": ["optim.backbone_rate=1"],
    "backbone_rate 0.25": ["optim.backbone_rate=0.25"],
    "backbone_rate 0.03": ["optim.backbone_rate=0.03"],
    "norms learn": ["init.freeze_norms=false"],
    "AdamW at 0.001": ["optim.name=adamw", "optim.lr=0.001"],
    "no Lovasz term": ["loss.region=none"],
    "Dice": ["loss.region=dice"],
    "Tversky": ["loss.region=tversky"],
    "focal 2, no Lovasz term": ["loss.region=none", "loss.focal=2"],
    "no class weights": ["loss.class_weights=none"],
    "no average of weights": ["average=0"],
    "finest stride 4": ["model.options.finest=4", "model.options.finest_width=64"],
    "finest stride 2, 64 wide": ["model.options.finest_width=64"],
    "no dropout": ["model.options.dropout=0"],
    "rotation 10": ["augment.rotation=10"],
    "rare 0.5": ["augment.rare=0.5"],
    "mix 0.5": ["augment.mix=0.5"],
    "blur 1, gamma 0.3, hue 0.05": ["augment.blur=1", "augment.gamma=0.3", "augment.hue=0.05"],
    "no colours": ["augment.brightness=0", "augment.contrast=0", "augment.saturation=0"],
    "scale 0.4 to 2": ["augment.scale=[0.4,2]"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=290)
    parser.add_argument("--crop", type=int, nargs=2, default=[256, 320])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.variants:
        scores = []
        for seed in arguments.seeds:
            kept = arguments.out / f"{name.replace(' ', '_')}-{seed}.json"
            if not kept.exists():
                run = kept.with_suffix("")
                recipe = load_quick(arguments, seed, *VARIANTS[name])
                result = upscore.train(recipe, data=arguments.data, out=run, resume=True)
                if result.interrupted:
                    raise SystemExit("interrupted; the same command goes on")
                kept.write_text(json.dumps(result.last))
            scores.append(json.loads(kept.read_text()))
        each = ", ".join(f"{score:.3f}" for score in scores)
        print(f"| {name} | {each} | {statistics.mean(scores):.3f} |", flush=True)


if __name__ == "__main__":
    main()
