"""Hooks of a training's log: TensorBoard, Weights & Biases and MLflow behind one interface.

Each package is imported only where a recipe names it, and writes into the run folder.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args
from uuid import uuid4

from upscore.core.damage import read_text
from upscore.core.extras import missing_extra
from upscore.core.failures import first_line
from upscore.core.files import write_text
from upscore.core.run_folder import RunFolder
from upscore.core.settings import load_yaml
from upscore.errors import MissingExtraError, RunError, WorkError

logger = logging.getLogger(__name__)

LogName = Literal["tensorboard", "wandb", "mlflow"]

MODULES: Mapping[LogName, str] = {
    "tensorboard": "torch.utils.tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
}

QUIET: Mapping[LogName, Mapping[str, str]] = {
    "tensorboard": {},
    "wandb": {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"},
    "mlflow": {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"},
}
"""Environment variables that are set where the user has not: nothing is sent anywhere."""

PROJECT = "upscore"
LONGEST_ID = 200


class LogHook(Protocol):
    """What gets the numbers of a training besides log.csv."""

    def on_row(self, iteration: int, values: Mapping[str, float]) -> None:
        """Keep the numbers of one row, by column, those of a validation in a row of their own."""
        ...

    def close(self) -> None:
        """Write what is left: the training has ended or was interrupted."""
        ...


def require_hooks(names: Sequence[LogName] | None) -> None:
    """Check, before a training, that what a recipe names is installed.

    Raises:
        MissingExtraError: it is not; says what to type.
    """
    for name in names or ():
        _module(name)


def open_hooks(names: Sequence[LogName] | None, run: RunFolder, after_iteration: int) -> Hooks:
    """The hooks of a run; None: TensorBoard's where it is installed.

    Args:
        after_iteration: the training resumes after this one.

    Raises:
        MissingExtraError: a package that is named is not installed.
        WorkError: one that does not start.
    """
    if names is None:
        try:
            return Hooks({"tensorboard": TensorBoard(run, after_iteration)})
        except MissingExtraError:
            return Hooks({})
    hooks = Hooks({})
    for name in dict.fromkeys(names):
        _module(name)
        try:
            hooks.add(name, OPEN[name](run, after_iteration))
        except Exception as error:
            hooks.close()
            raise WorkError(
                f"log_to: {name} does not start: {first_line(error)}; for a training without it: "
                "--set log_to=[]"
            ) from error
    return hooks


class Hooks:
    """Several hooks as one. One that fails is reported and left out; the training continues."""

    def __init__(self, hooks: Mapping[str, LogHook]) -> None:
        self._hooks = dict(hooks)

    def add(self, name: str, hook: LogHook) -> None:
        self._hooks[name] = hook

    def on_row(self, iteration: int, values: Mapping[str, float]) -> None:
        self._each(self._hooks, lambda hook: hook.on_row(iteration, values))

    def close(self) -> None:
        self._each(self._hooks, lambda hook: hook.close())
        self._hooks.clear()

    def _each(self, names: Iterable[str], act: Callable[[LogHook], None]) -> None:
        for name in list(names):
            try:
                act(self._hooks[name])
            except Exception as error:
                logger.warning(
                    "log_to: %s failed (%s); the training continues without it, log.csv has all",
                    name,
                    first_line(error),
                )
                del self._hooks[name]


class TensorBoard:
    """Event files in ``RUN/events``; rows after the state that a run resumes from are hidden."""

    def __init__(self, run: RunFolder, after_iteration: int) -> None:
        writer = _module("tensorboard").SummaryWriter
        self._writer: Any = writer(run.path / "events", purge_step=after_iteration + 1)

    def on_row(self, iteration: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)

    def close(self) -> None:
        self._writer.close()


class WandB:
    """Weights & Biases in ``RUN/wandb``, offline unless WANDB_MODE says otherwise."""

    def __init__(self, run: RunFolder, _after_iteration: int) -> None:
        self._run: Any = _module("wandb").init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.path.resolve().name,
            id=_kept_id(run, "wandb", lambda: uuid4().hex),
            resume="allow",
            mode=os.environ["WANDB_MODE"],
            dir=str(run.path),
            config=load_yaml(run.recipe),
            settings={"console": "off", "silent": True},
        )

    def on_row(self, iteration: int, values: Mapping[str, float]) -> None:
        self._run.log({"iteration": iteration, **values})

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """MLflow's files in ``RUN/mlruns``, or the server that MLFLOW_TRACKING_URI names."""

    def __init__(self, run: RunFolder, _after_iteration: int) -> None:
        module = _module("mlflow")
        place = os.environ.get("MLFLOW_TRACKING_URI") or (run.path / "mlruns").resolve().as_uri()
        self._client: Any = module.MlflowClient(tracking_uri=place)
        self._id = _kept_id(run, "mlflow", lambda: self._begin(run))

    def _begin(self, run: RunFolder) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        begun = self._client.create_run(experiment, run_name=run.path.resolve().name)
        self._client.log_artifact(begun.info.run_id, str(run.recipe))
        return str(begun.info.run_id)

    def on_row(self, iteration: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=iteration)

    def close(self) -> None:
        self._client.set_terminated(self._id)


OPEN: Mapping[LogName, Callable[[RunFolder, int], LogHook]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
}
assert OPEN.keys() == MODULES.keys() == set(get_args(LogName))


def _module(name: LogName) -> Any:
    for variable, value in QUIET[name].items():
        os.environ.setdefault(variable, value)
    try:
        return importlib.import_module(MODULES[name])
    except ImportError as error:
        raise missing_extra(f"log_to: {name}", name) from error


def _kept_id(run: RunFolder, name: LogName, make: Callable[[], str]) -> str:
    """What the package calls this run; kept in the run folder, so that a resumed run keeps it."""
    path = run.state / f"{name}.txt"
    if path.exists():
        return read_text(path, LONGEST_ID, error=RunError).strip()
    made = make()
    write_text(path, made + "\n")
    return made
