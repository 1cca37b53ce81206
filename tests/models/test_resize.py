"""The two ways in which ``conv-vgg-bilinear`` brings its score map to the image's size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from crf.crf_cases import bilinear
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.model_folder import CONFIG, WEIGHTS
from upscore.models.checkpoint import load_model, save_model
from upscore.models.conv_vgg_bilinear import ConvVGGBilinear
from upscore.models.factory import create_model
from upscore.training.recipe import load_recipe

SIZES = [(375, 500), (61, 97), (1, 33), (96, 128)]


def network(resize: str | None = None, *, classes: int = 3) -> ConvVGGBilinear:
    options = {} if resize is None else {"resize": resize}
    torch.manual_seed(0)
    model = create_model(
        "conv-vgg-bilinear", num_classes=classes, width=1 / 64, score_init="normal", **options
    )
    assert isinstance(model, ConvVGGBilinear)
    return model.eval()


@torch.no_grad()
def scores(model: ConvVGGBilinear, height: int, width: int) -> tuple[Tensor, Tensor]:
    """fc8's map, and the scores made of it."""
    found: list[Tensor] = []
    handle = model.fc8.register_forward_hook(lambda *args: found.append(args[2]))
    x = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    result = model(x)
    handle.remove()
    return found[0], result


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_size_is_the_whole_map_interpolated(height: int, width: int) -> None:
    """Against numpy lines for the interpolation that OpenCV documents."""
    coarse, result = scores(network("size"), height, width)
    want = bilinear(coarse[0].numpy(), (height, width))
    np.testing.assert_allclose(result[0].numpy(), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_scale_factor_is_32_times_the_map_cut_off(height: int, width: int) -> None:
    coarse, result = scores(network("scale_factor"), height, width)
    rows, columns = coarse.shape[2:]
    want = bilinear(coarse[0].numpy(), (32 * rows, 32 * columns))[:, :height, :width]
    np.testing.assert_allclose(result[0].numpy(), want, rtol=1e-5, atol=1e-6)


def test_both_are_the_same_where_32_divides_the_sides() -> None:
    for height, width, same in ((96, 128, True), (96, 129, False)):
        ours, other = (scores(network(how), height, width)[1] for how in ("size", "scale_factor"))
        assert torch.allclose(ours, other, atol=1e-6) == same


@torch.no_grad()
@pytest.mark.parametrize(
    ("height", "width", "beyond"), [(375, 500, (9, 12)), (61, 97, (3, 31)), (96, 128, (0, 0))]
)
def test_how_far_size_reaches_beyond_the_far_edge(
    height: int, width: int, beyond: tuple[int, int]
) -> None:
    """A map that holds the coordinates of its elements; docs/models.md has these numbers."""
    rows, columns = -(-height // 32), -(-width // 32)
    y = (torch.arange(rows) * 32 + 15.5).view(-1, 1).expand(rows, columns)
    x = (torch.arange(columns) * 32 + 15.5).view(1, -1).expand(rows, columns)
    for how, far in (("size", beyond), ("scale_factor", (0, 0))):
        model = network(how, classes=2)
        model.fc8.register_forward_hook(lambda *_: torch.stack([y, x])[None])
        shown = model(torch.zeros(1, 3, height, width))[0]
        # the middle of the photo, where no rim is repeated, and the line through it to the edge
        for line, side, more in (
            (shown[0, :, 0], height, far[0]),
            (shown[1, 0], width, far[1]),
        ):
            a, b = side // 2 - 5, side // 2 + 5
            slope = float(line[b] - line[a]) / (b - a)
            edge = float(line[a]) + slope * (side - 0.5 - a) + 0.5
            assert edge == pytest.approx(side + more, abs=0.05)


@torch.no_grad()
def test_a_folder_of_before_the_option_opens_as_it_was_trained(tmp_path: Path) -> None:
    model = network()
    save_model(tmp_path, model, labels=Labels.of("abc"), input_spec=InputSpec.named("imagenet"))
    config = json.loads((tmp_path / CONFIG).read_text())
    del config["options"]["resize"]
    (tmp_path / CONFIG).write_text(json.dumps(config))
    identity = {key: config[key] for key in ("architecture", "options")}
    state = load_file(tmp_path / WEIGHTS)
    save_file(state, tmp_path / WEIGHTS, metadata={"upscore": json.dumps(identity)})
    loaded = load_model(tmp_path).model
    assert isinstance(loaded, ConvVGGBilinear)
    coarse, result = scores(loaded, 61, 97)
    want = F.interpolate(coarse, scale_factor=32, mode="bilinear")[..., :61, :97]
    torch.testing.assert_close(result, want)


def test_the_recipe_follows_the_reports_words() -> None:
    assert load_recipe("conv-vgg-bilinear").model.options == {"resize": "size"}
