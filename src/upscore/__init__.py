"""Semantic segmentation with FCN, DeconvNet and their decoders: train, score, label, report.

The functions below do what the commands of the same names do; each returns a result object. Names
are imported when they are first used, so that ``import upscore`` is fast.
"""

TYPE_CHECKING = False  # type checkers take it as true; importing typing would cost 10 ms

if TYPE_CHECKING:
    from upscore import crf as crf
    from upscore import edges as edges
    from upscore import metrics as metrics
    from upscore import proposals as proposals
    from upscore.core.progress import show_progress as show_progress
    from upscore.data import open_dataset as open_dataset
    from upscore.inference.api import load as load
    from upscore.inference.classify import load_classifier as load_classifier
    from upscore.models.factory import create_model as create_model
    from upscore.models.factory import list_models as list_models
    from upscore.training.torch_dataset import TorchDataset as TorchDataset
    from upscore.workflows.classify import classify as classify
    from upscore.workflows.classify import heatmap as heatmap
    from upscore.workflows.compare import compare as compare
    from upscore.workflows.evaluate import evaluate as evaluate
    from upscore.workflows.predict import predict as predict
    from upscore.workflows.refine import refine as refine
    from upscore.workflows.train import train as train

__version__ = "0.1.0"

_HOMES = {
    "TorchDataset": "training.torch_dataset",
    "classify": "workflows.classify",
    "compare": "workflows.compare",
    "create_model": "models.factory",
    "evaluate": "workflows.evaluate",
    "heatmap": "workflows.classify",
    "list_models": "models.factory",
    "load": "inference.api",
    "load_classifier": "inference.classify",
    "open_dataset": "data",
    "predict": "workflows.predict",
    "refine": "workflows.refine",
    "show_progress": "core.progress",
    "train": "workflows.train",
}
_PACKAGES = ("crf", "edges", "metrics", "proposals")

__all__ = [
    "TorchDataset",
    "__version__",
    "classify",
    "compare",
    "create_model",
    "crf",
    "edges",
    "evaluate",
    "heatmap",
    "list_models",
    "load",
    "load_classifier",
    "metrics",
    "open_dataset",
    "predict",
    "proposals",
    "refine",
    "show_progress",
    "train",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f"upscore.{name}")
    if name in _HOMES:
        return getattr(import_module(f"upscore.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'upscore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
