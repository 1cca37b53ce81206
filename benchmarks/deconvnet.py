"""DeconvNet over 50 proposals of a 500x375 photo: ours against the plain way, step by step.

The plain way is what a first script does: eager, fp32, NCHW, torch's own layers, one proposal after
another, and each proposal's scores in a map of the photo's size. Then each row of the table changes
one thing more. All rows label the same photo with the same boxes and weights, in one process; the
last column is the share of pixels with the plain way's label. Rows from the second on run while
freed memory is kept, as ``upscore predict`` keeps it.

Time needs no trained weights, equal labels do: near a tie of two classes, labels of bf16 say
nothing. Plain random weights are worse still, since each layer makes rounding larger. So kernels
here are the identity and noise, batch norms have the statistics of crops of the photo turned over,
and the score layer tells the strongest directions of its features apart, so that all classes occur.
That is still a classifier with small margins, as a line of the second table says. The share of
equal pixels that counts is that of ``--run``, a trained DeconvNet, with which both ways label
photos.

    python benchmarks/deconvnet.py [--photos FOLDER] [--proposals 50] [--width 1.0] [--rounds 1]
                                   [--run RUN] [--run-photos 10] [--quick]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from upscore.core.image_files import IMAGE_SUFFIXES
from upscore.core.images import InputSpec, read_image
from upscore.core.labels import VOC_LABELS, LabelMap, RGBImage
from upscore.core.memory import tune_malloc
from upscore.core.model_folder import find_model
from upscore.core.runtime import (
    Runtime,
    cpu_name,
    describe_machine,
    matrix_rate,
    peak_memory_bytes,
    select_runtime,
)
from upscore.crf.settings import crf_settings
from upscore.inference.instance_wise import PAPER, InstanceSettings, InstanceWise
from upscore.inference.segmenter import ScoreMap
from upscore.models.base import Network
from upscore.models.checkpoint import load_model
from upscore.models.deconvolution import DeconvBlock, Im2colConvTranspose2d, as_convolution
from upscore.models.factory import create_model
from upscore.models.fold import fold_batch_norm
from upscore.models.im2col_conv import Im2colConv2d
from upscore.proposals.base import Proposals
from upscore.proposals.deconvnet_boxes import IMAGE_FILL, crop_with_padding, whole_pixels
from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

SIZE = (500, 375)  # width, height
SPEC = InputSpec.named("imagenet")
NOISE = 0.5  # of a kernel's norm, beside an identity of 1
COMPONENTS = 6  # directions of features that scores look at
CALIBRATION = 16  # crops, of the photo turned upside down

Window = tuple[int, int, int, int]


class Given:
    """The same boxes for every photo, grown already."""

    def __init__(self, boxes: Proposals) -> None:
        self.boxes = boxes

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:  # noqa: ARG002
        return self.boxes

    def settings(self) -> dict[str, object]:
        return {"kind": "Given"}


@dataclass
class Outcome:
    """What a way of labelling the photo took and gave: seconds, and scores (C, H, W)."""

    network: float
    rest: float
    scores: ScoreMap

    @property
    def total(self) -> float:
        return self.network + self.rest

    @property
    def labels(self) -> LabelMap:
        labels: LabelMap = self.scores.argmax(axis=0).astype(np.uint8)
        return labels


# -- the plain way ---------------------------------------------------------------------------------


def plain_layers(model: Network) -> nn.Module:
    """A copy with nothing but torch's own convolutions and deconvolutions."""
    plain = copy.deepcopy(model).eval()
    for module in plain.modules():
        if isinstance(module, Im2colConv2d):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
        elif isinstance(module, Im2colConvTranspose2d):
            module.__class__ = nn.ConvTranspose2d  # type: ignore[assignment]
    return plain


def plain_crop(image: RGBImage, window: Window, side: tuple[int, int], spec: InputSpec) -> Tensor:
    crop = torch.from_numpy(crop_with_padding(image, window, IMAGE_FILL)).permute(2, 0, 1)[None]
    resized = F.interpolate(crop.float(), size=side, mode="bilinear", antialias=True)
    return spec.apply(resized.round())  # bytes, as training saw them


def lay_full_maps(total: Tensor, scores: Tensor, window: Window) -> None:
    """One proposal's scores (C, h, w), in a map of the photo's size; then the maximum of both."""
    (x1, y1, x2, y2), (height, width) = window, total.shape[1:]
    size = (y2 - y1, x2 - x1)
    part = F.interpolate(scores[None], size=size, mode="bilinear", antialias=True)[0]
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    full = torch.zeros_like(total)
    if left < right and top < bottom:
        full[:, top:bottom, left:right] = part[:, top - y1 : bottom - y1, left - x1 : right - x1]
    torch.maximum(total, full, out=total)


def one_by_one(
    model: nn.Module,
    image: RGBImage,
    windows: Sequence[Window],
    settings: InstanceSettings,
    spec: InputSpec,
    *,
    batch: int = 1,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
) -> Outcome:
    """Label a photo with a model as it is, in batches, and with maps of the photo's size."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    spent, begin = 0.0, time.perf_counter()
    with torch.no_grad():
        total: Tensor | None = None
        for first in range(0, len(windows), batch):
            shown = windows[first : first + batch]
            x = torch.cat([plain_crop(image, w, settings.input_size, spec) for w in shown])
            x = x.to(dtype=dtype, memory_format=layout)
            before = time.perf_counter()
            scores = model(x).float()
            spent += time.perf_counter() - before
            if total is None:
                total = torch.zeros(scores.shape[1], *image.shape[:2])
            for window, part in zip(windows[first : first + batch], scores, strict=True):
                lay_full_maps(total, part, window)
    assert total is not None
    return Outcome(spent, time.perf_counter() - begin - spent, total.numpy())


# -- ours, step by step ----------------------------------------------------------------------------


def deconvolutions_as_convolutions(model: nn.Module) -> nn.Module:
    changed = copy.deepcopy(model)
    for module in changed.modules():
        if isinstance(module, DeconvBlock):
            deconv = module.deconv
            if isinstance(deconv, nn.ConvTranspose2d) and not isinstance(
                deconv, Im2colConvTranspose2d
            ):
                module.deconv = as_convolution(deconv)
    return changed


def ours(segmenter: InstanceWise, image: RGBImage) -> Outcome:
    """``InstanceWise``, with a clock around its network."""
    network, spent = segmenter.network.model, 0.0
    forward = network.forward

    def timed(x: Tensor) -> Tensor:
        nonlocal spent
        before = time.perf_counter()
        scores: Tensor = forward(x)
        spent += time.perf_counter() - before
        return scores

    network.forward = timed
    begin = time.perf_counter()
    scores = segmenter.scores(image)
    total = time.perf_counter() - begin
    network.forward = forward
    return Outcome(spent, total - spent, scores)


def steps(
    model: Network,
    image: RGBImage,
    windows: Sequence[Window],
    settings: InstanceSettings,
    runtime: Runtime,
    segmenter: InstanceWise,
) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """The rows of the table; models are made one at a time and dropped after their row."""

    def way(current: nn.Module, **options: object) -> Callable[[], Outcome]:
        return lambda: one_by_one(current, image, windows, settings, SPEC, **options)  # type: ignore[arg-type]

    plain = plain_layers(model)
    yield "plain: eager, fp32, NCHW, one at a time", way(plain)
    tune_malloc()
    yield "freed memory kept", way(plain)
    last = {"channels_last": True}
    plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    yield "channels last", way(plain, **last)
    del plain
    current: nn.Module = copy.deepcopy(model).eval()
    current.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    yield "fc6 and fc6_deconv as matrix products", way(current, **last)
    current = deconvolutions_as_convolutions(current)
    yield "deconvolutions as convolutions", way(current, **last)
    current = fold_batch_norm(model)
    current.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    yield "batch norm folded", way(current, **last)
    last["batch"] = settings.batch  # type: ignore[assignment]
    yield f"batches of {settings.batch}", way(current, **last)
    if runtime.precision != "fp32":
        current.to(runtime.dtype)
        yield runtime.precision, way(current, **last, dtype=runtime.dtype)
    del current
    yield "aggregation in place (upscore)", lambda: ours(segmenter, image)


# -- weights, photos -------------------------------------------------------------------------------


def calibrated(width: float, crops: Tensor) -> Network:
    """A network that is not trained but labels photos all the same; see the module's docstring.

    crops: uint8 (N, 3, h, w).
    """
    torch.manual_seed(0)
    model = create_model("deconvnet", num_classes=len(VOC_LABELS), width=width)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain average
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.kernel_size == (3, 3):
            with torch.no_grad():
                if module.in_channels > 3:
                    noise = torch.randn_like(module.weight)
                    nn.init.dirac_(module.weight)
                    module.weight.add_(noise, alpha=NOISE / (9 * module.in_channels) ** 0.5)
    model.train()
    x = SPEC.apply(crops)
    with torch.no_grad():
        features = model.layer_outputs(x, ("deconv1_2",))["deconv1_2"]
        model.eval()
        rows = features.permute(0, 2, 3, 1).flatten(0, 2)
        mean = rows.mean(0)
        centred = (rows - mean).double()
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(rows))
        ways = vectors[:, -COMPONENTS:] / values[-COMPONENTS:].sqrt()
        directions = F.normalize(torch.randn(COMPONENTS, len(VOC_LABELS)), dim=0).double()
        weight = (ways @ directions).float()
        model.seg_score.weight.copy_(weight.T[:, :, None, None])  # type: ignore[operator,union-attr]
        model.seg_score.bias.copy_(-mean @ weight)  # type: ignore[operator,union-attr]
    return model


def photos_of(folder: Path | None, count: int) -> list[RGBImage]:
    """Photos of a folder, or smooth noise, at 500x375."""
    if folder is None:
        rng = np.random.default_rng(0)
        small = [Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)) for _ in range(count)]
        return [np.asarray(each.resize(SIZE, Image.Resampling.BICUBIC)) for each in small]
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)[:count]
    if not files:
        raise SystemExit(f"{folder}: no photos in it")
    return [
        np.asarray(Image.fromarray(read_image(file)).resize(SIZE, Image.Resampling.BICUBIC))
        for file in files
    ]


def agreement(a: LabelMap, b: LabelMap) -> float:
    return float((a == b).mean())


def refined(scores: ScoreMap, image: RGBImage, crf: Callable[..., ScoreMap]) -> LabelMap:
    probabilities = torch.from_numpy(scores).softmax(dim=0).numpy()
    labels: LabelMap = crf(image, probabilities=probabilities).argmax(axis=0).astype(np.uint8)
    return labels


def compare_run(run: Path, photos: Sequence[RGBImage], top: int, side: int | None) -> None:
    """Share of equal labels of a trained DeconvNet, before and after the CRF."""
    saved = load_model(find_model(run))
    size = side or 224
    settings = PAPER.model_copy(update={"top": top, "input_size": (size, size)})
    source, crf = EdgeBoxes(max_boxes=2000), crf_settings("deconvnet").build()
    plain = plain_layers(saved.model)
    rows: dict[str, list[tuple[float, float]]] = {"fp32": [], "auto": []}
    used: list[int] = []
    segmenters = {
        precision: InstanceWise(
            saved.model, saved.labels, saved.input_spec, select_runtime("cpu", precision),  # type: ignore[arg-type]
            source, settings=settings,
        )
        for precision in rows
    }  # fmt: skip
    for image in photos:
        windows = [whole_pixels(box) for box in segmenters["auto"].boxes(image).boxes]
        if not windows:
            continue
        want = one_by_one(plain, image, windows, settings, saved.input_spec)
        used.append(len(np.unique(want.labels)))
        smooth = refined(want.scores, image, crf)
        for precision, segmenter in segmenters.items():
            got = segmenter.scores(image)
            labels: LabelMap = got.argmax(axis=0).astype(np.uint8)
            pair = (agreement(labels, want.labels), agreement(refined(got, image, crf), smooth))
            rows[precision].append(pair)
    print(f"\n{run}, {len(used)} photos, {statistics.mean(used):.1f} classes in a photo\n")
    print("| precision | pixels as the plain way | worst photo | after the CRF | worst photo |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for precision, pairs in rows.items():
        before, after = (np.array(values) for values in zip(*pairs, strict=True))
        name = segmenters[precision].network.runtime.precision
        print(f"| {name} | {before.mean():.3%} | {before.min():.3%} | {after.mean():.3%} | "
              f"{after.min():.3%} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="folder of photos; default: smooth noise")
    parser.add_argument("--proposals", type=int, default=50)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--run", type=Path, help="a trained DeconvNet, for the share of equal pixels"
    )
    parser.add_argument("--run-photos", type=int, default=10)
    parser.add_argument("--run-size", type=int, help="side of its crops; default: 224")
    parser.add_argument("--quick", action="store_true", help="an eighth of the width, 6 proposals")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.width, arguments.proposals = 0.125, 6
    (image,) = photos_of(arguments.photos, 1)
    runtime = select_runtime("cpu")
    source, crf = EdgeBoxes(max_boxes=2000), crf_settings("deconvnet").build()
    rule = PAPER.box_rule(top=arguments.proposals)
    boxes = rule(source(image), height=SIZE[1], width=SIZE[0])
    windows = [whole_pixels(box) for box in boxes.boxes]
    if not windows:
        raise SystemExit("no proposals in this photo; name others with --photos")
    turned = np.ascontiguousarray(image[::-1])
    crops = [plain_crop(turned, w, PAPER.input_size, InputSpec("rgb", (0.0,) * 3, (1.0,) * 3))
             for w in (windows * CALIBRATION)[:CALIBRATION]]  # fmt: skip
    model = calibrated(arguments.width, torch.cat(crops).round().byte())
    settings = PAPER.model_copy(update={"top": arguments.proposals, "growth": 1.0})

    def instance_wise(runtime: Runtime) -> InstanceWise:
        return InstanceWise(
            model, VOC_LABELS, SPEC, runtime, Given(boxes),  # type: ignore[arg-type]
            settings=settings,
        )  # fmt: skip

    segmenter = instance_wise(runtime)
    segmenter.predict(image)  # compiles
    num = len(windows)
    print(f"\n{cpu_name()}, {torch.get_num_threads()} threads, {runtime.precision}, torch "
          f"{describe_machine()['versions']['torch']}, width {arguments.width:g}, {num} "
          f"proposals of {SIZE[0]}x{SIZE[1]}\n")  # fmt: skip
    print("| each row changes one thing more | network, s a proposal | crops and maps, s a photo | "
          "s a photo | times as fast as plain | pixels as plain |")  # fmt: skip
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    results: dict[str, Outcome] = {}
    for name, work in steps(model, image, windows, settings, runtime, segmenter):
        outcomes = sorted((work() for _ in range(arguments.rounds)), key=lambda each: each.total)
        best = results[name] = outcomes[len(outcomes) // 2]
        first = next(iter(results.values()))
        print(f"| {name} | {best.network / num:.3f} | {best.rest:.2f} | {best.total:.2f} | "
              f"{first.total / best.total:.2f} | {agreement(best.labels, first.labels):.3%} |",
              flush=True)  # fmt: skip
    plain, fast = next(iter(results.values())), best
    exact = ours(instance_wise(Runtime("cpu", "fp32")), image)
    in_fp32 = agreement(exact.labels, plain.labels)
    print(f"| upscore in fp32 | {exact.network / num:.3f} | {exact.rest:.2f} | {exact.total:.2f} | "
          f"{plain.total / exact.total:.2f} | {in_fp32:.3%} |")  # fmt: skip

    begin = time.perf_counter()
    source(image)
    proposals = time.perf_counter() - begin
    crf(image, probabilities=segmenter.probabilities(image))  # compiles
    begin = time.perf_counter()
    after = refined(fast.scores, image, crf)
    smoothing = time.perf_counter() - begin
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, *PAPER.input_size))
    flop = counter.get_total_flops()
    rates = {p: matrix_rate(Runtime("cpu", p)) for p in {"fp32": 0, runtime.precision: 0}}
    whole, plain_whole = (proposals + each.total + smoothing for each in (fast, plain))
    used = np.bincount(plain.labels.ravel(), minlength=len(VOC_LABELS)) / plain.labels.size
    known = plain.scores.max(axis=0) > 0  # where a box is
    seen = plain.scores[:, known]
    margin = np.diff(np.sort(seen, axis=0)[-2:], axis=0)
    print("\n| figure | value |\n| --- | ---: |")
    print(f"| work of one proposal | {flop / 1e9:.1f} GFLOP |")
    for precision, rate in rates.items():
        print(f"| measured {precision} matrix rate | {rate / 1e9:.0f} GFLOP/s |")
    rate = rates[runtime.precision]
    print(f"| share of it that the network reaches | {flop * num / fast.network / rate:.0%} |")
    print(f"| edges and proposals (both ways) | {proposals:.2f} s |")
    print(f"| CRF (both ways) | {smoothing:.2f} s |")
    print(f"| whole photo, upscore | {whole:.2f} s |")
    print(f"| whole photo, plain network and maps | {plain_whole:.2f} s |")
    print(f"| upscore is faster | {plain_whole / whole:.2f} times |")
    print(f"| the plain network and maps alone over upscore's whole photo | "
          f"{plain.total / whole:.2f} times |")  # fmt: skip
    print("| pixels as the plain way after the CRF | "
          f"{agreement(after, refined(plain.scores, image, crf)):.3%} |")  # fmt: skip
    print(f"| classes with 1 % of the pixels or more; the largest | {(used >= 0.01).sum()}; "
          f"{used.max():.0%} |")  # fmt: skip
    print("| distance of the two best scores, over their deviation, median | "
          f"{np.median(margin) / seen.std():.3f} |")  # fmt: skip
    error = np.abs(fast.scores - plain.scores)[:, known]
    print(f"| difference of scores, over their deviation, mean | "
          f"{error.mean() / seen.std():.4f} |")  # fmt: skip
    print(f"| peak memory of this process, several networks in it | "
          f"{peak_memory_bytes() / 2**20:.0f} MiB |")  # fmt: skip
    if arguments.run is not None:
        compare_run(arguments.run, photos_of(arguments.photos, arguments.run_photos),
                    arguments.proposals, arguments.run_size)  # fmt: skip


if __name__ == "__main__":
    main()
