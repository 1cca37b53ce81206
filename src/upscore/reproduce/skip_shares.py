"""The part of an FCN's scores that comes from each of its skips."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from upscore.core.labels import RGBImage
from upscore.core.runtime import Runtime
from upscore.models.checkpoint import load_model
from upscore.models.fcn import FCN


def skip_shares(
    model: Path,
    photos: Iterable[RGBImage],
    runtime: Runtime,
    progress: Callable[[int], None] = lambda _done: None,
) -> dict[str, dict[str, float]]:
    """Measure the parts of the scores, in float32.

    Parts are those of :meth:`upscore.models.fcn.FCN.contributions`. The mean over the classes is
    taken out at each pixel, since it changes no probability.

    Args:
        model: folder of an FCN.
        photos: (H, W, 3) uint8 each; one or more.

    Returns:
        By part: ``rms``, the root of the mean square over pixels and classes; ``share``, that
        divided by the sum over all parts; ``changed``, the share of pixels with another label where
        the part is left out.
    """
    saved = load_model(model)
    network = saved.model.to(runtime.torch_device)
    assert isinstance(network, FCN)
    squares: dict[str, float] = {}
    changed: dict[str, int] = {}
    pixels = 0
    for done, photo in enumerate(photos, 1):
        with torch.inference_mode():
            image = torch.from_numpy(np.array(photo)).to(runtime.torch_device)
            parts = network.contributions(saved.input_spec.apply(image.permute(2, 0, 1)[None]))
            scores = torch.stack(list(parts.values())).sum(dim=0)
            labels = scores.argmax(dim=1)
            for name, part in parts.items():
                centred = part - part.mean(dim=1, keepdim=True)
                # the mean over classes, the sum over pixels
                squares[name] = squares.get(name, 0.0) + float(centred.square().mean(1).sum())
                without = (scores - part).argmax(dim=1)
                changed[name] = changed.get(name, 0) + int((without != labels).sum())
        pixels += labels.numel()
        progress(done)
    rms = {name: (total / pixels) ** 0.5 for name, total in squares.items()}
    whole = sum(rms.values()) or 1.0
    return {
        name: {"rms": value, "share": value / whole, "changed": changed[name] / pixels}
        for name, value in rms.items()
    }
