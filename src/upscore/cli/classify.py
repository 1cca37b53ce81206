"""``upscore classify`` and ``upscore heatmap``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import MaxPixels
from upscore.core.failures import check_failures
from upscore.core.limits import MAX_PIXELS
from upscore.core.option_values import require_alpha, require_at_least
from upscore.core.runtime import DeviceName, Precision
from upscore.core.tables import Table
from upscore.errors import SettingsError

if TYPE_CHECKING:
    from upscore.inference.classify import Classification

Model = Annotated[
    str,
    arg(
        help="The classifier: lite0, vgg16 or vgg16_bn (ImageNet's 1000 classes), a file of such "
        "weights (.pth, .safetensors, .h5, .caffemodel), or a model folder of a classifier.",
        metavar="NAME|FILE|FOLDER",
    ),
]


def classify(
    photos: Annotated[Positional[tuple[str, ...]], arg(metavar="PHOTO...")] = (),
    /,
    *,
    model: Model = "lite0",
    top: int = 5,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Name what photos show as a whole: the most probable classes of an image classifier.

    The middle square of each photo is classified. To label pixels, use `upscore predict`.

    Args:
        photos: Photo files.
        top: Number of classes to print for each photo.
        device: Device for the network; auto uses a GPU if there is one.
        precision: Precision; auto uses bf16 where the hardware supports it.
    """
    if not photos:
        raise SettingsError("no photo is named; type: upscore classify PHOTO.jpg")
    require_at_least(1, top=top)
    from upscore.workflows.classify import classify_files  # torch

    def show(photo: str, found: Classification) -> None:
        if len(photos) > 1:
            console.print(photo)
        rows = [(name, f"{share:.1%}") for name, share in found.top(top)]
        console.print(Table((), rows).screen())

    result = classify_files(
        photos,
        model=model,
        top=top,
        device=device,
        precision=precision,
        max_pixels=max_pixels,
        show=show,
    )
    keep_result(result)
    what = "photos could not be classified"
    check_failures(result.failures, len(result.found), what, others="all others are")


def heatmap(
    photo: Annotated[Positional[Path], arg(metavar="PHOTO")],
    /,
    *,
    class_name: Annotated[str | None, arg(name="class", metavar="NAME")] = None,
    out: Annotated[Path, arg(metavar="PNG")] = Path("heatmap.png"),
    model: Model = "lite0",
    side: int = 640,
    alpha: float = 0.6,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Draw where a photo shows a class, by an image classifier applied at every place.

    The classifier's fully connected layers become convolutions (FCN paper, figure 2), so that the
    same weights give a probability for the window of 224x224 pixels around each place.

    Args:
        photo: A photo of any size.
        class_name: The class, by name or number; by default the most probable one of the photo.
        out: The picture, .png or .jpg.
        side: Longer side in pixels at which the photo is looked at: at a larger one, windows show
            smaller parts of the photo.
        alpha: Opacity of the colours, 0 to 1.
        device: Device for the network; auto uses a GPU if there is one.
        precision: Precision; auto uses bf16 where the hardware supports it.
    """
    from upscore.core.draw import require_picture

    require_picture(out)
    require_alpha(alpha)
    from upscore.workflows.classify import heatmap as make_heatmap  # torch

    found = make_heatmap(
        photo,
        class_name,
        model=model,
        side=side,
        device=device,
        precision=precision,
        max_pixels=max_pixels,
    )
    found.save(out, alpha=alpha)
    keep_result({"class": found.name, "highest": found.highest, "picture": str(out)})
    console.print(f"{found.name}: probabilities up to {found.highest:.1%}: {out}")
