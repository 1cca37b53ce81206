"""Narrow networks as their authors released them: prototxt, and random weights by layer.

Only numpy is imported, as ``tests/models/opencv_caffe.py`` runs this with OpenCV alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Layers = dict[str, list[Array]]

CHANNELS = (3, 4, 5, 6, 7)
DEPTHS = (2, 2, 3, 3, 3)
FC, CLASSES = 8, 2
SIZES = ((17, 23), (30, 9))
"""Height and width of the photos; both odd and even, none a multiple of a stride."""


def photo(height: int, width: int) -> Array:
    """A prepared photo (1, 3, H, W): BGR, the mean subtracted."""
    rng = np.random.default_rng(height * 1000 + width)
    return rng.uniform(-110, 140, (1, 3, height, width)).astype(np.float32)


class Net:
    """Collects a network's layers, as text and as weights."""

    def __init__(self, name: str, height: int, width: int) -> None:
        self.rng = np.random.default_rng(sum(map(ord, name)))
        self.layers: Layers = {}
        self.channels = {"data": 3}
        self.text = [
            f'name: "{name}"\nlayer {{ name: "data" type: "Input" top: "data" input_param {{ '
            f"shape {{ dim: 1 dim: 3 dim: {height} dim: {width} }} }} }}"
        ]

    def add(self, name: str, kind: str, bottoms: str, settings: str, channels: int) -> str:
        words = "".join(f'bottom: "{bottom}" ' for bottom in bottoms.split())
        self.text.append(
            f'layer {{ name: "{name}" type: "{kind}" {words}top: "{name}" {settings} }}'
        )
        self.channels[name] = channels
        return name

    def conv(
        self, name: str, bottom: str, out: int, kernel: int, pad: int, *, dilation: int = 1
    ) -> str:
        inputs = self.channels[bottom]
        std = (2 / (inputs * kernel**2)) ** 0.5 / (50 if bottom == "data" else 1)
        weight = self.rng.normal(0, std, (out, inputs, kernel, kernel))
        self.layers[name] = [f4(weight), f4(self.rng.normal(0, 0.1, out))]
        settings = f"num_output: {out} kernel_size: {kernel} pad: {pad} dilation: {dilation}"
        return self.add(name, "Convolution", bottom, f"convolution_param {{ {settings} }}", out)

    def relu(self, bottom: str) -> str:
        name = bottom.replace("conv", "relu").replace("fc", "relu")
        self.text.append(
            f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{bottom}" }}'
        )
        return bottom

    def up(
        self, name: str, bottom: str, kernel: int, *, learned: bool = False, bias: bool = False
    ) -> str:
        stride, out = kernel // 2, self.channels[bottom]
        weight = np.zeros((out, out, kernel, kernel))
        line = 1 - np.abs(np.arange(kernel) - (kernel / 2 - 0.5)) / (kernel / 2)
        weight[range(out), range(out)] = np.outer(line, line)
        if learned:
            weight += self.rng.normal(0, 0.05, weight.shape)
        self.layers[name] = [f4(weight)]
        if bias:
            self.layers[name].append(f4(self.rng.normal(0, 0.3, out)))
        settings = f"num_output: {out} kernel_size: {kernel} stride: {stride} bias_term: "
        settings += "true" if bias else "false"
        return self.add(name, "Deconvolution", bottom, f"convolution_param {{ {settings} }}", out)

    def crop(self, name: str, bottom: str, like: str, offset: int) -> str:
        settings = f"crop_param {{ axis: 2 offset: {offset} }}"
        return self.add(name, "Crop", f"{bottom} {like}", settings, self.channels[bottom])

    def sum(self, name: str, one: str, other: str) -> str:
        settings = "eltwise_param { operation: SUM }"
        return self.add(name, "Eltwise", f"{one} {other}", settings, self.channels[one])

    def scale(self, name: str, bottom: str, factor: float) -> str:
        channels = self.channels[bottom]
        self.layers[name] = [np.full(channels, factor, np.float32)]
        return self.add(name, "Scale", bottom, "scale_param { axis: 1 }", channels)

    def trunk(self, pad: int) -> str:
        """VGG16's 13 convolutions and five pools."""
        settings = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
        return self._trunk(pad, [settings] * 5, dilation=1)

    def dilated_trunk(self) -> str:
        """DeepLab's: 3x3 pools, two of them without stride, and conv5 dilated."""
        settings = "pooling_param {{ pool: MAX kernel_size: 3 stride: {} pad: 1 }}"
        return self._trunk(1, [settings.format(step) for step in (2, 2, 2, 1, 1)], dilation=2)

    def _trunk(self, pad: int, pools: list[str], *, dilation: int) -> str:
        x = "data"
        for stage, (depth, channels) in enumerate(zip(DEPTHS, CHANNELS, strict=True), start=1):
            for index in range(1, depth + 1):
                name, wide = f"conv{stage}_{index}", dilation if stage == 5 else 1
                around = pad if name == "conv1_1" else wide
                x = self.relu(self.conv(name, x, channels, 3, around, dilation=wide))
            x = self.add(f"pool{stage}", "Pooling", x, pools[stage - 1], channels)
        return x


def f4(values: npt.NDArray[np.floating]) -> Array:
    return values.astype(np.float32)


def fcn(name: str, height: int, width: int) -> Net:
    """FCN as in the prototxts of fcn.berkeleyvision.org; the last layer is ``score``."""
    net = Net(name, height, width)
    at_once, cvpr = "atonce" in name, name == "fcn8s-cvpr"
    learned = cvpr or "learned" in name
    pool5 = net.trunk(100)
    fc6 = net.relu(net.conv("fc6", pool5, FC, 7, 0))
    first = "score-fr" if cvpr else "score_fr"
    score = net.conv(first, net.relu(net.conv("fc7", fc6, FC, 1, 0)), CLASSES, 1, 0)
    steps = [("pool4", 5, "upscore2", 0.01), ("pool3", 9, "upscore_pool4", 0.0001)]
    for pool, offset, up, factor in steps[: {"fcn32s": 0, "fcn16s": 1}.get(name.split("-")[0], 2)]:
        up = {"upscore2": "score2", "upscore_pool4": "score4"}[up] if cvpr else up
        score = net.up(up, score, 4, learned=learned, bias=up == "score2")
        feature = net.scale(f"scale_{pool}", pool, factor) if at_once else pool
        part = net.conv(f"score-{pool}" if cvpr else f"score_{pool}", feature, CLASSES, 1, 0)
        if at_once:
            net.layers[part][0] /= np.float32(factor)  # so that it matters
        part = net.crop(f"{part}c", part, score, offset)
        score = net.sum(f"fuse_{pool}", score, part)
    last, kernel, offset = {
        "fcn32s": ("upscore", 64, 19),
        "fcn16s": ("upscore16", 32, 27),
    }.get(name.split("-")[0], ("upsample" if cvpr else "upscore8", 16, 31))
    net.crop("score", net.up(last, score, kernel, learned=learned and not cvpr), "data", offset)
    return net


def deeplab(name: str, height: int, width: int) -> Net:
    """DeepLab-LargeFOV as in its authors' prototxt for tests; ``score`` has the photo's size."""
    net = Net(name, height, width)
    settings = "pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }"
    pool5a = net.add("pool5a", "Pooling", net.dilated_trunk(), settings, CHANNELS[-1])
    fc6 = net.relu(net.conv("fc6", pool5a, FC, 3, 12, dilation=12))
    score = net.conv("fc8_voc12", net.relu(net.conv("fc7", fc6, FC, 1, 0)), CLASSES, 1, 0)
    whole = net.add("interp", "Interp", score, "interp_param { zoom_factor: 8 }", CLASSES)
    net.crop("score", whole, "data", 0)
    return net


def vgg16(name: str, height: int, width: int) -> Net:
    """VGG16 with inner products; 224x224 only. ``score`` is fc8, or fc7 after its ReLU."""
    net = Net(name, height, width)
    x = net.trunk(1)
    inputs = CHANNELS[-1] * 49
    for layer, outputs in (("fc6", FC), ("fc7", FC), ("fc8", 5)):
        weight = net.rng.normal(0, (2 / inputs) ** 0.5, (outputs, inputs))
        net.layers[layer] = [f4(weight), f4(net.rng.normal(0, 0.1, outputs))]
        settings = f"inner_product_param {{ num_output: {outputs} }}"
        x = net.add(layer, "InnerProduct", x, settings, outputs)
        x, inputs = (net.relu(x) if layer != "fc8" else x), outputs
        if layer == ("fc8" if "classes" in name else "fc7"):
            net.add("score", "Power", x, "", outputs)
    return net


CASES: dict[str, tuple[Callable[[str, int, int], Net], int]] = {
    "fcn32s": (fcn, 2),
    "fcn16s": (fcn, 2),
    "fcn16s-learned": (fcn, 2),
    "fcn8s": (fcn, 1),
    "fcn8s-atonce": (fcn, 2),
    "fcn8s-cvpr": (fcn, 1),
    "deeplab-largefov": (deeplab, 1),
    "vgg16": (vgg16, 1),
    "vgg16-classes": (vgg16, 1),
}
"""How each is made, and the generation of its caffemodel."""


def sizes_of(case: str) -> tuple[tuple[int, int], ...]:
    return ((224, 224),) if case.startswith("vgg16") else SIZES


def deconvnet(*, folded: bool) -> Layers:
    """Weights of the released DeconvNet: batch norms are two arrays (1, C, 1, 1)."""
    net = Net(f"deconvnet{folded}", 1, 1)
    net.trunk(1)
    net.conv("fc6", "pool5", FC, 7, 0)
    net.conv("fc7", "fc6", FC, 1, 0)
    rng, layers = net.rng, net.layers
    before = {"fc6-deconv": FC}
    for stage in (5, 4, 3, 2, 1):
        for index in range(1, DEPTHS[stage - 1] + 1):
            before[f"deconv{stage}_{index}"] = CHANNELS[stage - 1]
    names = [*before]
    for name, nxt in zip(names, [*names[1:], None], strict=True):
        out = CHANNELS[0] if nxt is None else before[nxt]
        kernel = 7 if name == "fc6-deconv" else 3
        std = (2 / before[name]) ** 0.5 / (1 if kernel == 7 else 2)
        layers[name] = [
            f4(rng.normal(0, std, (before[name], out, kernel, kernel))),
            f4(rng.normal(0, 0.1, out)),
        ]
    for name in [*layers]:
        if name == "fc6-deconv":
            norm = "fc6-deconv-bn"
        else:
            norm = name.replace("deconv", "deBN").replace("conv", "bn").replace("fc", "bnfc")
            norm = norm.replace("deBN", "debn")
        channels = len(layers[name][1])
        layers[norm] = [
            f4(rng.uniform(0.5, 1.5, (1, channels, 1, 1))),
            f4(rng.normal(0, 0.1, (1, channels, 1, 1))),
        ]
    weight = rng.normal(0, 0.5, (CLASSES, CHANNELS[0], 1, 1))
    layers["seg-score-voc"] = [f4(weight), f4(rng.normal(0, 0.1, CLASSES))]
    return layers
