"""``upscore demo``."""

from __future__ import annotations

from pathlib import Path

from upscore.cli import data, evaluate, predict, report, train
from upscore.cli.console import console
from upscore.errors import SettingsError

PHOTOS = 200
NETWORK = "roads"


def demo(*, out: Path = Path("demo")) -> None:
    """Try every step once, offline: make pictures, predict, train, score, report.

    It takes a few minutes on a laptop.

    Args:
        out: Output folder for pictures, run folder and predictions.
    """
    from upscore.core.model_folder import builtin_networks

    if out.exists():
        raise SettingsError(f"{out} is there already; remove it, or name another folder: --out DIR")
    toy, run = out / "toy", out / "run"
    photos = [str(toy / "JPEGImages" / f"toy_{number:06d}.jpg") for number in range(10)]
    data.toy(out=toy, num=PHOTOS)
    if NETWORK in builtin_networks():
        console.print(
            "First a network that ships with upscore. It was trained on street scenes, so its "
            "predictions on these generated pictures mean nothing; try it on your own photos."
        )
        predict.predict(tuple(photos[:2]), model=NETWORK, out=out / "at-once")
    console.print("Now train a network on the classes of these pictures.")
    train.train("fcn8s-toy", data=toy, out=run)
    evaluate.evaluate(run, data=toy)
    predict.predict((str(run), *photos), out=out / "predictions")
    report.report((run,))
    console.print(f"Open {run / 'report.html'} in a browser.")
