"""Every format that upscore reads: a small good file, and how it is read."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor

from upscore.core.images import InputSpec, image_size, read_image, read_mask
from upscore.core.labels import Labels
from upscore.core.run_folder import RunFolder
from upscore.crf.search import read_history
from upscore.crf.settings import crf_settings, load_crf
from upscore.data.class_files import read_classes
from upscore.data.detect import open_dataset
from upscore.data.download import unpack
from upscore.data.formats.bsds import BSDSImage
from upscore.data.lists import read_lines
from upscore.data.masks import read_stored_mask
from upscore.edges.benchmark.files import read_edge_map
from upscore.edges.network import EdgeNetwork
from upscore.edges.weight_files import load_edge_network, save_edge_network
from upscore.inference.foreign_predictions import read_prediction
from upscore.inference.pipeline.builder import PipelineBuilder
from upscore.inference.pipeline.settings import read_pipeline
from upscore.inference.run_model import read_labels
from upscore.inference.trained_crops import trained_settings
from upscore.metrics.confusion import Confusion
from upscore.metrics.evaluate import Evaluation, ImageScore
from upscore.metrics.score_files import read_results, write_results
from upscore.models.caffe_files import read_caffemodel
from upscore.models.checkpoint import load_model, save_model
from upscore.models.factory import create_model
from upscore.models.keras_files import read_keras_vgg
from upscore.models.layer_files import read_layer_file
from upscore.models.released import CONVOLUTIONS, load_released, looks_like
from upscore.models.state_dicts import read_weight_file
from upscore.proposals.base import Proposals
from upscore.proposals.precomputed import CocoBoxes, read_deconvnet_boxes
from upscore.proposals.store import ProposalStore, StoredPhoto, write_store
from upscore.report.examples import PICTURES, read_examples
from upscore.report.run_data import read_curve
from upscore.training.log import COLUMNS, RunLog
from upscore.training.recipe import load_recipe
from upscore.training.state import Position, load_state, save_state

LABELS = Labels.of(["ground", "tree"])
PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
MASK = (PHOTO[..., 0] > 128).astype(np.uint8)


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        make: writes a good file, and what it needs, into an empty folder; returns the file.
        read: reads the file through the code of upscore; errors are upscore's own.
        is_text: whether its values can be replaced one by one.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    is_text: bool = False


def _text(name: str, content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name

    return make


def _json(name: str, content: Any) -> Callable[[Path], Path]:
    return _text(name, json.dumps(content, indent=1))


# -- settings ----------------------------------------------------------------------------------


def _dataset(folder: Path) -> Path:
    for part in ("photos", "masks"):
        (folder / part).mkdir()
    for number in range(4):
        Image.fromarray(PHOTO).save(folder / "photos" / f"p{number}.png")
        Image.fromarray(MASK).save(folder / "masks" / f"p{number}.png")
    (folder / "dataset.yaml").write_text(
        "root: .\nimage: photos/*.png\nmask: masks/*.png\nsplits: {train: 0.5, val: 0.5}\nseed: 3\n"
        "classes:\n  - name: ground\n    color: [1, 2, 3]\n  - tree\n"
        "masks:\n  0: ground\n  1: tree\n  255: void\n"
    )
    return folder / "dataset.yaml"


def _read_dataset(path: Path) -> object:
    dataset = open_dataset(path)
    return [dataset.split(name) for name in dataset.split_names]


def _recipe(folder: Path) -> Path:
    return _text("recipe.yaml", load_recipe("deconvnet").to_yaml())(folder)


def _crf(folder: Path) -> Path:
    content = {**crf_settings("deconvnet").to_json(), "compatibility": [[0, 1], [1, 0]]}
    return _text("crf.yaml", yaml.safe_dump(content))(folder)


def _read_crf(path: Path) -> object:
    return load_crf(path).build(device="cpu")


def _pipeline(folder: Path) -> Path:
    _run(folder)
    _store(folder)
    _crf(folder)
    (folder / "pipeline.yaml").write_text(
        "description: all\nanswer: all\nstages:\n"
        "  whole:\n    whole_image: {run: ., tile: 512, flip: true, scales: [1, 0.5]}\n"
        "  boxes:\n    instance_wise:\n      run: .\n      preset: paper\n"
        "      proposals: {store: boxes.parquet}\n"
        "  both:\n    ensemble: {of: [whole, boxes], combine: weighted, weights: [1, 2]}\n"
        "  all:\n    refine: {of: both, crf: crf.yaml}\n"
    )
    return folder / "pipeline.yaml"


def _read_pipeline(path: Path) -> object:
    settings = read_pipeline(path)
    PipelineBuilder(settings, path).check(settings.order(settings.stages))
    return settings


# -- networks ----------------------------------------------------------------------------------


def _run(folder: Path) -> RunFolder:
    run = RunFolder(folder)
    model = create_model("fcn32s", num_classes=2, channels=[1, 1, 1, 1, 1], fc_width=2)
    save_model(run.model, model, labels=LABELS, input_spec=InputSpec.named("imagenet"))
    run.write_manifest({"command": "test", "data": {"fingerprint": "x", "classes": ["a"]}})
    return run


def _read_run(path: Path) -> object:
    """A run by any of its files."""
    folder = path.parent if path.name == "manifest.json" else path.parent.parent
    RunFolder.open(folder)
    read_labels(folder)
    trained_settings(folder)
    return load_model(folder / "model")


def _state(folder: Path) -> Path:
    tensors = {"model": {"a": torch.ones(3, 4)}, "optimizers": [{"state": {0: torch.zeros(2)}}]}
    save_state(folder / "resume.pt", Position(iteration=7), tensors)
    return folder / "resume.pt"


def _torch_file(name: str, *, is_zip: bool) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        state = {"conv.weight": torch.ones(2, 3, 1, 1), "conv.bias": torch.zeros(2)}
        torch.save(state, folder / name, _use_new_zipfile_serialization=is_zip)
        return folder / name

    return make


def _hdf5(folder: Path) -> Path:
    import h5py

    from upscore.models.vgg import torchvision_keys

    with h5py.File(folder / "vgg.h5", "w") as file:
        for name, _, _ in torchvision_keys(batch_norm=False):
            layer = f"block{name[4]}_conv{name[6]}"
            file[f"{layer}/{layer}/kernel:0"] = np.ones((3, 3, 2, 2), np.float32)
            file[f"{layer}/{layer}/bias:0"] = np.ones(2, np.float32)
    return folder / "vgg.h5"


def _field(number: int, content: bytes) -> bytes:
    """A field of protobuf that holds bytes."""
    head = b""
    for value in (number << 3 | 2, len(content)):
        while value > 127:
            head += bytes([value & 127 | 128])
            value >>= 7
        head += bytes([value])
    return head + content


def _blob(*shape: int) -> bytes:
    values = np.ones(shape, dtype="<f4")
    return _field(7, _field(1, bytes(shape))) + _field(5, values.tobytes())


def _caffemodel(folder: Path) -> Path:
    """A layer of each generation, as protobuf encodes them."""
    old = bytes([8, 1, 16, 1, 24, 2, 32, 3]) + _field(5, np.arange(6, dtype="<f4").tobytes())
    single = _field(7, _field(1, bytes([2]))) + b"\x2d\0\0\0\0\x2d\0\0\0\0"
    v0 = _field(1, _field(1, b"conv1_1") + _field(2, b"conv") + _field(50, old))
    v1 = _field(2, b"data") + _field(4, b"conv1_2") + bytes([40, 4]) + _field(6, old) * 2
    v2 = _field(1, b"fc6") + _field(2, b"Convolution") + _field(7, _blob(2, 3)) + _field(7, single)
    path = folder / "a.caffemodel"
    path.write_bytes(_field(1, b"net") + _field(2, v0) + _field(2, v1) + _field(100, v2))
    return path


def _released(folder: Path) -> Path:
    """A narrow FCN-32s."""
    shapes: dict[str, tuple[int, ...]] = {}
    before = 3
    for name in CONVOLUTIONS:
        shapes[name] = (2, before, 3, 3)
        before = 2
    shapes |= {"fc6": (2, 2, 7, 7), "fc7": (2, 2, 1, 1), "score_fr": (2, 2, 1, 1)}
    layers = [
        _field(1, name.encode()) + _field(7, _blob(*shape)) + _field(7, _blob(2))
        for name, shape in shapes.items()
    ]
    layers.append(_field(1, b"upscore") + _field(7, _blob(2, 2, 64, 64)))
    path = folder / "fcn32s.caffemodel"
    path.write_bytes(b"".join(_field(100, layer) for layer in layers))
    return path


def _read_released(path: Path) -> object:
    file = read_layer_file(path)
    looks_like(file)
    return load_released(file, "fcn32s")


def _read_caffemodel(path: Path) -> object:
    return [(one.name, [blob.array() for blob in one.blobs]) for one in read_caffemodel(path)]


def _edge_weights(folder: Path) -> Path:
    state: dict[str, Tensor] = EdgeNetwork().state_dict()
    save_edge_network(state, folder / "edges.safetensors")
    return folder / "edges.safetensors"


# -- results -----------------------------------------------------------------------------------


def _scores(folder: Path) -> Path:
    evaluation = Evaluation(
        split="val",
        labels=LABELS,
        confusion=Confusion.of(np.array([[5, 1], [2, 7]])),
        images=(ImageScore(0, "p0", 0.8, 0.7, 15),),
        failures=(),
        seconds=1.5,
        predict_seconds=1.0,
    )
    write_results(evaluation, folder, about={"command": "x"})
    return folder / "scores.json"


def _read_scores(path: Path) -> object:
    return read_results(path.parent).scores


EXAMPLE = {
    "kind": "worst", "rank": 1, "name": "p0", "miou": 0.5, "pixel_accuracy": 0.6,
    "valid_pixels": 9, "pictures": {what: f"worst-01-{what}.png" for what in PICTURES},
}  # fmt: skip

ROWS = "".join(f"{i},0.1,{i}.5,{i * 4},0.7,0.01,0.5,0.6,99\n" for i in range(1, 300, 100))


def _read_log(path: Path) -> object:
    curve = read_curve(path)
    RunLog(path, after_iteration=150).close()
    return curve.hundred_iteration_mean(), curve.finer_than_mean


# -- arrays, boxes, archives, pictures -----------------------------------------------------------


def _npz(folder: Path) -> Path:
    probabilities = np.full((2, 12, 16), 0.5, np.float32)
    colors = np.array(LABELS.colors, np.uint8)
    np.savez_compressed(
        folder / "a.npz", probabilities=probabilities, classes=list(LABELS.names), colors=colors
    )
    return folder / "a.npz"


def _npy(folder: Path) -> Path:
    np.save(folder / "a.npy", MASK)
    return folder / "a.npy"


def _read_array(path: Path) -> object:
    if path.suffix == ".npy":
        read_edge_map(path)
    return read_prediction(path).label_set(2)


def _bsds(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"1{suffix}"
        if suffix == ".npz":
            np.savez_compressed(path, boundaries=np.packbits(MASK[None], -1), shape=(1, 12, 16))
            return path
        from scipy.io import savemat

        cells = np.empty((1, 2), object)
        for place in range(2):
            cells[0, place] = {"Boundaries": MASK, "Segmentation": MASK.astype(np.uint16)}
        savemat(path, {"groundTruth": cells})
        return path

    return make


def _read_bsds(path: Path) -> object:
    return BSDSImage("1", path, path).read_boundaries()


def _mat(name: str, *, compressed: bool) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from scipy.io import savemat

        boxes = np.array([[13, 17, 30, 25], [13, 17, 14, 18]], np.float64)
        parts = {"Segmentation": MASK, "Boundaries": MASK, "CategoriesPresent": [1, 2]}
        content = {"boxes_padded": boxes} if name == "boxes_padded" else {name: parts}
        savemat(folder / "a.mat", content, do_compression=compressed)
        return folder / "a.mat"

    return make


def _read_boxes(path: Path) -> object:
    return read_deconvnet_boxes(path, height=12, width=16)


def _store(folder: Path) -> Path:
    boxes = Proposals(np.array([[0, 0, 5, 6], [1, 2, 3, 4]], np.float32), np.array([1, 0.5]))
    path = folder / "boxes.parquet"
    with write_store(path, settings={"kind": "Made"}, data={"layout": "folder"}) as writer:
        for number in range(3):
            writer.add(StoredPhoto(f"p{number}", f"{number:064x}", (12, 16), 2), boxes)
    return path


def _read_store(path: Path) -> object:
    store = ProposalStore.open(path)
    return store.made_for(), store.num_boxes, [store.read(name) for name in store.names]


COCO = {
    "images": [{"id": 7, "file_name": "a/x.jpg", "height": 12, "width": 16}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4.5], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 5]},
    ],
}


def _read_coco(path: Path) -> object:
    return CocoBoxes(path).read(PHOTO, "x")


def _archive(mode: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        members = {f"set/CamVid/{name}": PHOTO.tobytes() for name in ("a.png", "sub/b.png")}
        path = folder / f"archive.{mode}"
        if mode == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
                for name, content in members.items():
                    packed.writestr(name, content)
            return path
        writing: Any = f"w:{'' if mode == 'tar' else mode}"
        with tarfile.open(path, writing, format=tarfile.PAX_FORMAT) as tar:
            for name, content in members.items():
                item = tarfile.TarInfo(name)
                item.size = len(content)
                item.pax_headers = {"comment": "é"}
                tar.addfile(item, io.BytesIO(content))
        return path

    return make


def _read_archive(path: Path) -> None:
    unpack(path, path.parent / "unpacked")


def _photo(suffix: str, mode: str = "RGB", **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"photo{suffix}"
        picture = Image.fromarray(PHOTO).convert(mode)
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = 6, "maker"
        with_exif: dict[str, Any] = (
            {"exif": exif} if suffix in (".jpg", ".png", ".webp", ".tif") else {}
        )
        picture.save(path, **with_exif, **options)
        return path

    return make


def _read_picture(path: Path) -> None:
    image_size(path)
    read_mask(path)
    read_image(path)


def _read_mask(path: Path) -> object:
    read_mask(path)
    return read_prediction(path)


FORMATS: dict[str, Format] = {
    "dataset": Format(_dataset, _read_dataset, is_text=True),
    "recipe": Format(_recipe, lambda path: load_recipe(str(path)), is_text=True),
    "pipeline": Format(_pipeline, _read_pipeline, is_text=True),
    "crf": Format(_crf, _read_crf, is_text=True),
    "manifest": Format(lambda f: _run(f).manifest, _read_run, is_text=True),
    "config": Format(lambda f: _run(f).model / "config.json", _read_run, is_text=True),
    "weights": Format(lambda f: _run(f).model / "model.safetensors", _read_run),
    "weights-header": Format(
        lambda f: _run(f).model / "model.safetensors", _read_run, is_text=True
    ),
    "edge-weights": Format(_edge_weights, load_edge_network),
    "state": Format(_state, load_state),
    "pth": Format(_torch_file("a.pth", is_zip=True), read_weight_file),
    "pth-old": Format(_torch_file("a.pth", is_zip=False), read_weight_file),
    "hdf5": Format(_hdf5, read_keras_vgg),
    "caffemodel": Format(_caffemodel, _read_caffemodel),
    "released": Format(_released, _read_released),
    "scores": Format(_scores, _read_scores, is_text=True),
    "examples": Format(
        _json("examples.json", {"examples": [EXAMPLE]}),
        lambda path: read_examples(path.parent),
        is_text=True,
    ),
    "trials": Format(
        _json("trials.json", {"format_version": 1, "about": {"data": "x"}, "trials": []}),
        read_history,
        is_text=True,
    ),
    "log": Format(_text("log.csv", ",".join(COLUMNS) + "\n" + ROWS), _read_log, is_text=True),
    "npz": Format(_npz, _read_array),
    "npy": Format(_npy, _read_array),
    "bsds-npz": Format(_bsds(".npz"), _read_bsds),
    "bsds-mat": Format(_bsds(".mat"), _read_bsds),
    "sbd": Format(_mat("GTcls", compressed=True), read_stored_mask),
    "sbd-plain": Format(_mat("GTcls", compressed=False), read_stored_mask),
    "boxes": Format(_mat("boxes_padded", compressed=False), _read_boxes),
    "store": Format(_store, _read_store),
    "store-metadata": Format(_store, _read_store, is_text=True),
    "coco": Format(_json("coco.json", COCO), _read_coco, is_text=True),
    **{
        f"archive-{mode}": Format(_archive(mode), _read_archive)
        for mode in ("zip", "tar", "gz", "bz2", "xz")
    },
    "list": Format(_text("train.txt", "p0\np1\nsub/p2.jpg\n"), read_lines, is_text=True),
    "classes": Format(_text("classes.txt", "ground\ntree\ncar\n"), read_classes, is_text=True),
    **{
        f"photo{suffix}": Format(_photo(suffix), _read_picture)
        for suffix in (".jpg", ".png", ".webp", ".tif", ".bmp", ".ppm", ".gif")
    },
    "photo-lzw.tif": Format(_photo(".tif", compression="tiff_lzw"), _read_picture),
    "mask.png": Format(_photo(".png", "P"), _read_mask),
    "mask-grey.png": Format(_photo(".png", "L"), _read_mask),
}
